"""The records in Salt's real drivers on real servers: redis, etcd and MariaDB."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis
import salt.cache
import salt.config

from hart_salt.base.errors import BrokenRecord, EnvironmentFault, Refused
from hart_salt.inventory.records import BANK, SUFFIX, Record, Records, Store
from hart_salt.master import banks, record_cache
from hart_salt.master.client import Master
from hart_salt.master.record_cache import RecordCache
from tests import servers as private
from tests.servers import Space, cache_of

Servers = Callable[[str], Any]
RECORD = Record(
    minion_id="a", provider="local", driver="local", region="r", size="s", stage="ready", owner="o", batch="b",
    created=1.5, ssh_host_keys=["ssh-ed25519 AAAA"], seconds={"launching": 0.25},
)  # fmt: skip
#: ids that a driver could mix up, cut off or hide
IDS = sorted([
    "app", "App", "APP", "aPp", "a.b.c", "p", "pp", "app.p", "x.p", "app.tstamp", "app.node", "1", "a" * 200,
    "aB" * 60, "a-b_c.example.com",
])  # fmt: skip


@pytest.fixture(params=list(private.KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def space(servers: Servers, kind: str) -> Space:
    found: Space = servers(kind).space()
    cache_of(found)  # Salt's module for etcd keeps the client of the test before
    return found


@pytest.fixture(scope="module")
def _fragile() -> Iterator[Callable[[str], Any]]:
    with contextlib.ExitStack() as stack:
        found: dict[str, Any] = {}

        def server(kind: str) -> Any:
            if kind not in found:
                found[kind] = stack.enter_context(private.running(kind))
            return found[kind]

        yield server


@pytest.fixture
def fragile(_fragile: Callable[[str], Any], kind: str) -> Iterator[Any]:
    """Return a server that a test may stop and hang; it runs again afterwards."""
    server = _fragile(kind)
    yield server
    if server.process is None:
        server.start()
    server.process.send_signal(signal.SIGCONT)


@pytest.fixture
def used(fragile: Any) -> Store:
    """Return a store on that server, with one record."""
    space = fragile.space()
    cache_of(space)
    store = store_of(space)
    store.put(RECORD)
    return store


def store_of(space: Space) -> Store:
    """Return the records as ``salt-run`` gets them."""
    master = Master({**salt.config.DEFAULT_MASTER_OPTS, **space.settings})
    return Store(master.cache(), master.record_place())


@pytest.fixture
def store(space: Space) -> Store:
    return store_of(space)


def test_records_are_kept_apart_whatever_their_ids(store: Store) -> None:
    store.check()
    assert (store.read(), store.get("app")) == (Records({}, {}), None)
    records = {minion_id: replace(RECORD, minion_id=minion_id, error="für p.") for minion_id in IDS}
    for record in records.values():
        store.put(record)
    assert store.read() == Records(records, {})
    assert {minion_id: store.get(minion_id) for minion_id in IDS} == records
    store.remove("App")
    store.remove("App")
    del records["App"]
    assert store.read() == Records(records, {})
    assert store.get("App") is None


def test_other_entries_beside_the_records_harm_none(space: Space, store: Store) -> None:
    store.put(RECORD)
    cache = cache_of(space)
    cache.store(BANK, "other", {"a": 1})
    cache.store(f"{BANK}/below", f"b{SUFFIX}", {"a": 1})
    cache.store(BANK, f"c{SUFFIX}", ["no record"])
    cache.store("hart", f"d{SUFFIX}", {"a": 1})
    found = store.read()
    assert (found.good, list(found.broken)) == ({"a": RECORD}, ["c"])
    with pytest.raises(BrokenRecord, match="it is not a mapping; .* and salt-run cache.flush hart/nodes key=c.node"):
        store.get("c")


def test_an_empty_record_is_broken_and_a_new_id_is_looked_up_by_itself(
    space: Space, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_of(space).store(BANK, f"a{SUFFIX}", {})
    with pytest.raises(BrokenRecord):
        store.get("a")
    monkeypatch.setattr(salt.cache.Cache, "list", None)
    assert store.get("b") is None


def test_all_records_are_read_with_one_request(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for minion_id in ("a", "B"):
        store.put(replace(RECORD, minion_id=minion_id))
    for method in ("fetch", "list"):
        monkeypatch.setattr(salt.cache.Cache, method, None)
    assert list(store.read().good) == ["B", "a"]


def test_a_driver_of_which_the_whole_bank_cannot_be_read_is_read_key_by_key(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with Salt 3006 and 3007, whose redis driver has a key for each entry."""
    store.put(RECORD)
    monkeypatch.setattr(banks, "_READERS", dict.fromkeys(private.KINDS, _no_reader))
    assert store.read() == Records({"a": RECORD}, {})


def _no_reader(module: object, bank: str) -> None:
    return None


@pytest.mark.parametrize("kind", ["mysql"], indirect=True)
def test_records_of_hart_1_0_with_capital_letters_are_found_and_replaced(space: Space) -> None:
    old = cache_of(space)
    for minion_id in ("App", "Web"):
        old.store(BANK, minion_id + SUFFIX, {**vars(replace(RECORD, minion_id=minion_id)), "format": 1})
    store = store_of(space)
    assert list(store.read().good) == ["App", "Web"]
    assert store.get("App") == replace(RECORD, minion_id="App")
    assert store.get("app") is None
    store.put(replace(RECORD, minion_id="app", stage="failed"))
    store.remove("Web")
    found = store_of(space).read()
    assert [(record.minion_id, record.stage) for record in found.good.values()] == [("App", "ready"), ("app", "failed")]
    assert sorted(old.list(BANK)) == ["^app.node", "app.node"]


@pytest.mark.parametrize("kind", ["mysql"], indirect=True)
def test_an_id_that_the_table_would_cut_off_is_refused(store: Store) -> None:
    minion_id = "A" * 130
    calls: list[Callable[[], Any]] = [
        lambda: store.put(replace(RECORD, minion_id=minion_id)),
        lambda: store.get(minion_id),
    ]
    for call in calls:
        with pytest.raises(Refused, match="265 characters, .* but 255 are possible: use a shorter name"):
            call()
    assert store.read() == Records({}, {})


def test_a_store_that_is_away_is_one_sentence_and_nothing_in_the_log(
    fragile: Any, used: Store, kind: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    outage: Any = vars(vars(used)["_cache"])["_outage"]
    monkeypatch.setattr(outage, "_sleep", slept.append)
    monkeypatch.setattr(outage, "_clock", lambda: 20.0 * len(slept))
    fragile.stop()
    caplog.set_level(logging.WARNING)
    for call in (used.read, lambda: used.put(RECORD), lambda: used.get("a")):
        with pytest.raises(
            EnvironmentFault,
            match=f"the record store cannot be .*: {kind} at 127.0.0.1:.*check that it runs, that this machine",
        ) as caught:
            call()
        assert "\n" not in str(caught.value)
        assert not isinstance(caught.value, BrokenRecord)
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == []
    assert len(slept) == 3  # the first call waits, the others do not
    slept.append(0.0)
    fragile.start()
    assert used.get("a") == RECORD


def test_a_store_that_hangs_is_waited_for(fragile: Any, used: Store) -> None:
    """Until it answers, a request is in its connection; it is repeated only after the time limit."""
    fragile.hang()
    timer = threading.Timer(1.0, fragile.resume)
    timer.start()
    used.put(replace(RECORD, stage="failed"))
    timer.join()
    assert used.get("a") == replace(RECORD, stage="failed")


def test_a_request_is_bounded_in_time(fragile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server never answers again. Without the bounds, the request would wait for ever."""
    monkeypatch.setattr(record_cache, "LIMIT", 1.0)
    monkeypatch.setattr("hart_salt.master.store_outage.LIMIT", 1.0)
    shorter = {kind: dict.fromkeys(options, 1) for kind, options in record_cache.BOUNDS.items()}
    monkeypatch.setattr(record_cache, "BOUNDS", shorter)
    space = fragile.space()
    cache_of(space)
    store = store_of(space)
    store.put(RECORD)
    fragile.hang()
    with pytest.raises(EnvironmentFault, match="the record store cannot be written"):
        store.put(RECORD)


def test_a_driver_whose_python_module_is_missing_is_named() -> None:
    store = Store(RecordCache({**salt.config.DEFAULT_MASTER_OPTS, "cache": "nonexistent"}))
    with pytest.raises(EnvironmentFault, match="Salt has no such cache driver here, or its Python module is not"):
        store.read()


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
def test_a_redis_that_can_lose_records_is_reported(space: Space, store: Store) -> None:
    with redis.Redis(port=space.server.port) as server:
        server.config_set("maxmemory", "100mb")
        assert list(store.check()) == []
        server.config_set("appendonly", "no")
        server.config_set("maxmemory-policy", "allkeys-lru")
        try:
            risks = list(store.check())
        finally:
            server.config_set("maxmemory", "0")
            server.config_set("maxmemory-policy", "noeviction")
            server.config_set("appendonly", "yes")
    assert [("appendonly" in one, "maxmemory-policy" in one) for one in risks] == [(True, False), (False, True)]


def test_a_store_without_risks_has_none(store: Store) -> None:
    assert list(store.check()) == []
