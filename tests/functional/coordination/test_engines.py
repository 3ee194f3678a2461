"""Leases at real servers: redis, etcd and MariaDB."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import EnvironmentFault
from hart_salt.config.coordination import server
from hart_salt.coordination import on_etcd, on_mysql, on_redis
from hart_salt.coordination import server as coordination
from hart_salt.coordination.contract import Engine, Lease, plain
from hart_salt.coordination.server import LazyEngine
from hart_salt.inventory.leases import LeaseLocks
from hart_salt.inventory.records import Store
from tests.end_to_end.tools import until
from tests.parts import begun
from tests.unit.inventory.test_records import MemoryCache

KINDS = ("redis", "etcd", "mysql")
LONG = 600.0  #: seconds that no test lasts
#: the fewest seconds after which the lease of a call that does nothing can be free; MariaDB counts whole seconds, and
#: etcd gives no shorter lease
SHORT = {"redis": 0.3, "etcd": 2.0, "mysql": 1.0}


def engine_of(url: str) -> Engine:
    return coordination.engine(server(url))


def taken(engine: Engine, name: str, seconds: float = LONG) -> Lease:
    lease = engine.take(name, seconds)
    assert lease is not None
    return lease


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, servers: Callable[[str], Any]) -> str:
    space: str = servers(request.param).space().url
    return space


@pytest.fixture
def short(request: pytest.FixtureRequest, url: str) -> float:
    return SHORT[request.node.callspec.params["url"]]


@pytest.fixture
def engines(url: str) -> Iterator[tuple[Engine, Engine]]:
    """Return the engines of two calls."""
    one, other = engine_of(url), engine_of(url)
    yield one, other
    one.close()
    other.close()


@pytest.fixture(params=KINDS)
def own(request: pytest.FixtureRequest, own_server: Callable[[str], Any]) -> Any:
    return own_server(request.param)


def test_only_one_call_has_a_lease(engines: tuple[Engine, Engine]) -> None:
    one, other = engines
    lease = taken(one, "hart/role/app")
    assert other.take("hart/role/app", LONG) is None
    assert other.living(["hart/role/app", "hart/role/web"]) == {"hart/role/app"}
    assert lease.renew()
    web = taken(other, "hart/role/web")
    assert lease.release()
    assert one.living(["hart/role/app", "hart/role/web"]) == {"hart/role/web"}
    again = taken(other, "hart/role/app")
    assert not lease.renew()
    with suppress(EnvironmentFault):
        assert not lease.release()
    assert again.renew()
    web.release()
    again.release()


def test_a_brief_lease_is_a_lease(engines: tuple[Engine, Engine]) -> None:
    one, other = engines
    lease = one.take("hart/node/a", LONG, brief=True)
    assert lease is not None
    assert (other.take("hart/node/a", LONG, brief=True), other.take("hart/node/a", LONG)) == (None, None)
    assert other.living(["hart/node/a"])
    assert lease.renew()
    assert lease.release()
    assert not lease.renew()
    assert not lease.release()
    again = other.take("hart/node/a", LONG, brief=True)
    assert again is not None
    again.release()
    assert other.living(["hart/node/a"]) == frozenset()


def test_a_brief_lease_that_another_call_could_have_had_says_so(
    engines: tuple[Engine, Engine], servers: Callable[[str], Any]
) -> None:
    one, other = engines
    session, lease = one.take("hart/session/one", LONG), one.take("hart/node/a", LONG, brief=True)
    assert None not in (session, lease)
    assert lease is not None
    if isinstance(one, on_mysql.MysqlEngine):  # its leases end with their connection, and the next query opens another
        mine = one.look("SELECT CONNECTION_ID()", [])[0]
        servers("mysql").execute(f"KILL {mine}")
    else:
        for name in ("one", ""):
            other.free(["hart/node/a"], name)
        _remove(one, "hart/node/a")
    theirs = until(lambda: other.take("hart/node/a", LONG, brief=True), "the lease is free")
    assert one.living(["hart/node/a"])  # with MySQL, on a new connection
    assert (lease.renew(), lease.release()) == (False, False)
    assert theirs.release()


def _remove(engine: Engine, name: str) -> None:
    if isinstance(engine, on_redis.RedisEngine):
        engine.client.delete(name)
    elif isinstance(engine, on_etcd.EtcdEngine):
        engine._client.delete(engine._key(name))


def test_only_a_connection_that_the_server_closed_has_ended(own: Any) -> None:
    engine = engine_of(own.space().url)
    leases = [taken(engine, "hart/session/one"), engine.take("hart/node/a", LONG, brief=True)]
    assert all(lease is not None and lease.renew() and not lease.has_ended() for lease in leases)
    own.hang()
    assert not any(lease is None or lease.has_ended() for lease in leases)
    own.resume()
    own.stop()
    if isinstance(engine, on_mysql.MysqlEngine):
        until(leases[0].has_ended, "the connection has ended")  # type: ignore[union-attr]
    else:
        assert not any(lease is None or lease.has_ended() for lease in leases)


def test_a_lease_at_etcd_is_one_request_each_way(
    servers: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(servers("etcd").space().url)
    assert isinstance(engine, on_etcd.EtcdEngine)
    session = taken(engine, "hart/session/one")
    sent: list[str] = []
    post = engine._client.post

    def counted(url: str, **arguments: Any) -> Any:
        sent.append(url.rpartition("/v3/")[2])
        return post(url, **arguments)

    monkeypatch.setattr(engine._client, "post", counted)
    lease = engine.take("hart/node/a", LONG, brief=True)
    assert lease is not None
    assert lease.release()
    assert sent == ["kv/txn", "kv/txn"]
    engine.close()
    assert engine.living(["hart/session/one"]) == frozenset()
    assert not session.renew()


def test_a_lease_of_etcd_that_has_run_out_is_replaced(servers: Callable[[str], Any]) -> None:
    engine = engine_of(servers("etcd").space().url)
    assert isinstance(engine, on_etcd.EtcdEngine)
    session = taken(engine, "hart/session/one")
    engine._leases[int(LONG)].revoke()
    assert taken(engine, "hart/node/a").release()
    assert not session.renew()
    engine.close()


def test_a_long_lease_keeps_the_connection_for_brief_ones(servers: Callable[[str], Any]) -> None:
    engine = engine_of(servers("mysql").space().url)
    assert isinstance(engine, on_mysql.MysqlEngine)
    assert engine.living(["hart/node/a"]) == frozenset()
    for seconds, idle in ((3.0, on_mysql.IDLE), (600.0, 600), (60.0, 600)):
        lease = engine.take("hart/node/a", seconds, brief=True)
        assert lease is not None
        assert engine.look("SELECT @@wait_timeout", [])[0] == idle
        assert lease.release()
    engine.close()
    assert engine.look("SELECT @@wait_timeout", [])[0] == 600
    engine.close()


def test_many_names_are_looked_up_at_once(engines: tuple[Engine, Engine]) -> None:
    one, other = engines
    leases = [taken(one, f"hart/session/{number}") for number in range(6)]
    names = [f"hart/session/{number}" for number in range(500)]
    assert other.living(names) == {f"hart/session/{number}" for number in range(6)}
    assert other.living([]) == frozenset()
    for lease in leases:
        lease.release()
    assert other.living(names) == frozenset()


def test_of_many_calls_that_take_one_name_one_gets_it(url: str) -> None:
    engines = [engine_of(url) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda engine: engine.take("hart/sweep", LONG), engines))
    assert sum(lease is not None for lease in found) == 1
    for lease in found:
        if lease is not None:
            lease.release()


def test_a_lease_that_is_not_renewed_is_free_after_its_time(engines: tuple[Engine, Engine], short: float) -> None:
    one, other = engines
    lease = taken(one, "hart/sweep", short)
    again = until(lambda: other.take("hart/sweep", LONG), "the lease is free")
    assert not lease.renew()
    assert other.living(["hart/sweep"])
    again.release()


HOLDER = """
import sys, time
from hart_salt.config.coordination import server
from hart_salt.coordination.server import engine
lease = engine(server(sys.argv[1])).take("hart/sweep", float(sys.argv[2]))
assert lease is not None
print("held", flush=True)
time.sleep(3600)
"""


def test_a_process_that_stands_still_loses_its_lease(engines: tuple[Engine, Engine], url: str, short: float) -> None:
    """It looks like a machine that vanished: its connections stay open, and nothing is sent on them."""
    _, other = engines
    with begun(HOLDER, url, str(short), says="held") as process:
        process.send_signal(signal.SIGSTOP)
        until(lambda: other.take("hart/sweep", LONG), "the lease is free").release()
        process.kill()


def test_the_leases_of_a_dead_call_are_freed_and_no_others(engines: tuple[Engine, Engine]) -> None:
    one, other = engines
    names = [f"hart/node/{number}" for number in range(9)]
    mine = {name: one.take(name, LONG, holder="dead-1") for name in names[::2]}
    others = [other.take(name, LONG, holder="living-2") for name in names[1::2]]
    assert None not in [*mine.values(), *others]
    for few in (names[:2], [*names, "hart/node/none"]):
        other.free(few, "living")
        other.free([], "dead-1")
        assert one.living(names) == set(names)
    for lease in mine.values() if isinstance(one, on_mysql.MysqlEngine) else ():  # its locks end with the process
        assert lease is not None
        lease.release()
    other.free(names[:2], "dead-1")
    other.free([*names, "hart/node/none"], "dead-1")
    assert other.living(names) == set(names[1::2])
    assert all(lease is not None and lease.renew() for lease in others)
    assert not any(lease is None or lease.renew() for lease in mine.values())


CALL = """
import sys
from hart_salt.config.coordination import server
from hart_salt.coordination.server import LazyEngine
from hart_salt.inventory.leases import LeaseLocks
from hart_salt.inventory.records import Store
from tests.unit.inventory.test_records import MemoryCache
locks = LeaseLocks(LazyEngine(server(sys.argv[1])), Store(MemoryCache()), sys.argv[2])
with locks.role("app", wait=False) as role, locks.sweep(wait=0) as sweep, locks.claim("a"):
    assert role and sweep
    print("held", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_call_held_is_free_at_once_on_its_machine(url: str, tmp_path: Path) -> None:
    def call(machine: str) -> LeaseLocks:
        return LeaseLocks(LazyEngine(server(url)), Store(MemoryCache()), str(tmp_path / machine))

    with begun(CALL, url, str(tmp_path / "m1"), says="held") as process:
        same = call("m1")
        with same.role("app", wait=False) as role, same.sweep(wait=0) as sweep:
            assert (role, sweep) == (False, False)
        process.kill()
        process.wait()
        if "mysql" not in url:
            with call("m2").role("app", wait=False) as elsewhere:
                assert not elsewhere
        same = call("m1")
        if "mysql" in url:  # the server frees them when it notices that the connection has ended
            until(lambda: not engine_of(url).living(["hart/sweep", "hart/role/app", "hart/node/a"]), "they are free")
        with same.role("app", wait=False) as role, same.sweep(wait=0) as sweep, same.claim("a"):
            assert (role, sweep) == (True, True)


def test_a_server_that_lost_everything_has_lost_the_lease(own: Any) -> None:
    engine = engine_of(own.space().url)
    lease = taken(engine, "hart/sweep")
    own.lose_everything()
    with suppress(EnvironmentFault):  # an old connection that has ended is an outage at first
        assert not lease.renew()
    assert not lease.renew()


def test_a_server_that_is_gone_is_named_without_its_password(own: Any) -> None:
    url = own.space().url
    engine = engine_of(url)
    lease = taken(engine, "hart/sweep")
    own.kill()
    for work in (lambda: engine.take("hart/other", LONG), lambda: engine.living(["hart/sweep"]), lease.renew):
        with suppress(EnvironmentFault):
            assert not work()
    with pytest.raises(EnvironmentFault, match="the coordination server cannot be used: ") as caught:
        engine.take("hart/other", LONG)
    assert f"{server(url).words}: " in str(caught.value)
    assert "hart: coordination" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_server_that_hangs_keeps_nobody_waiting_and_loses_nothing(own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    url = own.space().url
    lease = taken(engine_of(url), "hart/sweep")
    own.hang()
    for module in (on_redis, on_etcd, on_mysql):
        monkeypatch.setattr(module, "SOCKET_TIMEOUT", 0.3)
    other = engine_of(url)
    with pytest.raises(EnvironmentFault):
        other.take("hart/other", LONG)
    with pytest.raises(EnvironmentFault):
        other.living(["hart/sweep"])
    own.resume()
    assert lease.renew()


@pytest.mark.parametrize("kind", KINDS)
def test_names_stay_apart_from_those_of_another_space(kind: str, servers: Callable[[str], Any]) -> None:
    """Masters that do not belong together can use one server."""
    one, other = (engine_of(servers(kind).space().url) for _ in range(2))
    first, second = taken(one, "hart/role/app"), taken(other, "hart/role/app")
    first.release()
    second.release()


def test_names_are_plain() -> None:
    assert plain("hart/role/app") == "hart/role/app"
    assert plain("hart/role/app", "salt/") == "salt/hart/role/app"
    unusual = {plain(f"hart/node/{name}", "salt/") for name in ("A", "a", "x" * 80, "x" * 81, "ä")}
    assert len(unusual) == 5
    assert all(len(name) <= 64 and name.isascii() and name == name.lower() for name in unusual)
