"""A salt-master's facts and its event bus, as a runner sees them, without a running one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import salt.exceptions

from hart_salt.base.errors import EnvironmentFault, Refused
from hart_salt.master.client import Master
from hart_salt.master.keys import Keys
from tests.parts import master_opts

KEY = "-----BEGIN PUBLIC KEY-----\nM\n-----END PUBLIC KEY-----"


class Bus:
    """An event bus; it takes connections if ``up``."""

    def __init__(self, up: bool = True) -> None:
        self.up = up
        self.fired: list[tuple[dict[str, Any], str]] = []
        self.closed = 0

    def __enter__(self) -> Bus:
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()

    def connect_pull(self, timeout: float) -> bool:
        return self.up

    def fire_event(self, data: dict[str, Any], tag: str) -> None:
        self.fired.append((data, tag))

    def destroy(self) -> None:
        self.closed += 1


@pytest.fixture
def opts(root: Path) -> dict[str, Any]:
    return master_opts(root)


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Bus:
    made = Bus()
    monkeypatch.setattr("salt.utils.event.get_event", lambda *_, **__: made)
    return made


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Keys, "master_key", lambda self: KEY)


def test_the_facts_of_a_master_with_a_key(opts: dict[str, Any], key: None) -> None:
    info = Master({**opts, "interface": "0.0.0.0"}).info()  # noqa: S104
    assert (info.master_id, info.public_key, info.local_address) == ("test_master", KEY, "127.0.0.1")
    assert info.owner == Master(opts).info().owner
    assert len(info.owner) == 16
    assert Master({**opts, "interface": "192.0.2.1"}).info().local_address == "192.0.2.1"


def test_a_machine_without_a_key_keeps_its_owner(opts: dict[str, Any]) -> None:
    first = Master(opts).info()
    assert first.public_key == ""
    assert first.owner == Master(opts).info().owner == (Path(opts["cachedir"]) / "hart/owner").read_text()


@pytest.mark.parametrize("text", [b"short", b"\xff\xfe"])
def test_a_file_that_holds_no_owner_is_refused(opts: dict[str, Any], text: bytes) -> None:
    path = Path(opts["cachedir"]) / "hart/owner"
    path.parent.mkdir(parents=True)
    path.write_bytes(text)
    with pytest.raises(Refused, match="does not hold 16 hex digits: remove it"):
        Master(opts).info()


def test_a_cachedir_that_cannot_be_written_is_named(opts: dict[str, Any]) -> None:
    Path(opts["cachedir"]).write_text("a file")
    with pytest.raises(EnvironmentFault, match="cache"):
        Master(opts).info()


def test_a_key_that_this_user_cannot_read_is_named(opts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(self: Keys) -> str:
        raise PermissionError(13, "Permission denied", "/pki/master.pub")

    monkeypatch.setattr(Keys, "master_key", unreadable)
    with pytest.raises(EnvironmentFault, match=r"cannot read this master's key.*/pki/master.pub"):
        Master(opts).info()


def test_a_master_that_never_ran_is_not_running(opts: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="has no key yet: start salt-master once"):
        Master(opts).require_running()


def test_a_master_whose_bus_answers_is_running(opts: dict[str, Any], key: None, bus: Bus) -> None:
    Master(opts).require_running()
    bus.up = False
    with pytest.raises(Refused, match="no salt-master is running on the sockets in"):
        Master(opts).require_running()
    assert bus.closed == 2


def test_sockets_that_this_user_cannot_use_are_named(
    opts: dict[str, Any], key: None, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(opts["sock_dir"]).mkdir()
    monkeypatch.setattr("os.access", lambda *_, **__: False)
    with pytest.raises(EnvironmentFault, match="the sockets of salt-master cannot be used"):
        Master(opts).require_running()


def test_events_go_over_one_connection(opts: dict[str, Any], key: None, bus: Bus) -> None:
    master = Master(opts)
    master.fire("hart/a/ready", {"one": 1})
    master.fire("hart/b/ready", {"two": 2})
    master.close()
    master.close()
    assert bus.fired == [({"one": 1}, "hart/a/ready"), ({"two": 2}, "hart/b/ready")]
    assert bus.closed == 1


def test_a_master_that_never_ran_has_nobody_to_hear_an_event(opts: dict[str, Any], bus: Bus) -> None:
    Master(opts).fire("hart/a/ready", {})
    assert bus.fired == []


@pytest.mark.parametrize("error", [None, salt.exceptions.SaltClientError("no master")])
def test_a_job_is_begun_by_the_master(
    opts: dict[str, Any], key: None, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    asked: list[Mapping[str, Any]] = []
    ended = []

    class Client:
        def __init__(self, opts: Mapping[str, Any]) -> None:
            assert opts["master_uri"] == f"tcp://127.0.0.1:{opts['ret_port']}"

        def cmd_async(self, low: Mapping[str, Any]) -> dict[str, str]:
            asked.append(low)
            if error:
                raise error
            return {"jid": "1"}

        def destroy(self) -> None:
            ended.append(self)

    @contextmanager
    def local(mopts: Mapping[str, Any]) -> Any:
        yield SimpleNamespace(key="the user's key")

    monkeypatch.setattr("salt.client.get_local_client", local)
    monkeypatch.setattr("salt.runner.RunnerClient", Client)
    if error:
        with pytest.raises(Refused, match="the master did not start hart.scale as a job: no master"):
            Master(opts).begin("hart.scale", {"role": "app"})
    else:
        assert Master(opts).begin("hart.scale", {"role": "app"}) == "1"
    (low,) = asked
    assert (low["fun"], low["kwarg"], low["key"]) == ("hart.scale", {"role": "app"}, "the user's key")
    assert len(ended) == 1


@pytest.mark.parametrize(
    ("cache", "words"),
    [
        ({}, "localfs below "),
        ({"cache": "redis", "cache.redis.host": "db.example.com"}, "redis at db.example.com:6379, database 0"),
        ({"cache": "redis", "cache.redis.port": 1, "cache.redis.db": 3}, "redis at localhost:1, database 3"),
        ({"cache": "redis", "cache.redis.unix_socket_path": "/s"}, "redis at /s, database 0"),
        ({"cache": "redis", "cache.redis.cluster_mode": True}, "redis cluster"),
        ({"cache": "mysql", "mysql.host": "fd00::1"}, "mysql at [fd00::1]:3306, database salt_cache"),
        ({"cache": "etcd", "etcd.host": "db.example.com"}, "etcd at db.example.com:2379"),
        ({"cache": "consul"}, "consul"),
        ({"cache": "consul", "consul.host": "192.0.2.1"}, "consul at 192.0.2.1"),
    ],
)
def test_the_place_of_the_records(opts: dict[str, Any], cache: dict[str, Any], words: str) -> None:
    place = Master({**opts, **cache}).record_place()
    assert place.words.startswith(words) if words.endswith(" ") else place.words == words
