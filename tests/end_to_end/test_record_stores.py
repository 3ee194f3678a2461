"""Records in redis, etcd and MariaDB, with the real ``salt-run``: every operation, and outages in the middle of one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests import scope, servers
from tests.end_to_end import tools
from tests.end_to_end.conftest import SaltMaster
from tests.servers import Server, Space

AWAY = 3.0  #: seconds; the limit is 60, see hart_salt/master/store_outage.py


@pytest.fixture(scope="module", params=list(servers.KINDS))
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Return a server that tests may stop, hang and empty."""
    with servers.running(request.param) as found:
        yield found


@pytest.fixture
def space(server: Server) -> Space:
    return server.space()


@pytest.fixture
def stored(master: SaltMaster, space: Space) -> Iterator[SaltMaster]:
    """Return the session's master with its records on the server; all that salt-run needs is in its configuration."""
    before = dict(master.config)
    master.config.update(space.settings)
    master.hart["single_master"] = True
    master.write()
    yield master
    master.config.clear()
    master.config.update(before)
    master.write()


def lose_everything(space: Space) -> None:
    space.server.lose_everything()
    if isinstance(space.server, servers.MariaDb):
        space.server.execute(f"CREATE DATABASE {space.name}")


def statuses(master: SaltMaster) -> dict[str, str]:
    listed = master.run("hart.list_minions")
    assert listed.code == 0, listed
    return {minion_id: facts["status"] for minion_id, facts in listed.data.items()}


def test_nodes_live_with_their_records_on_a_server_and_without_them(stored: SaltMaster, space: Space) -> None:
    """Two ids that differ only in case are two nodes. A lost record is no reason to destroy a node."""
    ran = stored.run("hart.create", "[App1, app1]", "role=app")
    assert (ran.code, {name: one["result"] for name, one in ran.data.items()}) == (0, {"App1": True, "app1": True}), ran
    assert not stored.record("app1").exists()
    assert statuses(stored) == {"App1": "ready", "app1": "ready"}
    shown = stored.run("hart.show", "app1")
    assert (shown.code, '"app1"' in shown.stdout, '"App1"' in shown.stdout) == (0, True, False), shown
    again = stored.run("hart.create", "App1", "role=app")
    assert again.code != 0
    assert "a node with that id exists" in again.stdout + again.stderr, again
    destroyed = stored.run("hart.destroy", "App1")
    assert destroyed.code == 0, destroyed
    assert (statuses(stored), stored.keys()["minions"]) == ({"app1": "ready"}, ["app1"])
    assert stored.run("hart.sweep", "grace=0").data["removed"] == []

    lose_everything(space)
    swept = stored.run("hart.sweep", "grace=0")
    assert (swept.code, swept.data["removed"]) == (0, []), swept
    assert [one["name"] for one in swept.data["rebuilt"]] == ["app1"]
    assert (statuses(stored), stored.keys()["minions"]) == ({"app1": "ready"}, ["app1"])
    assert stored.run("hart.destroy", "app1").code == 0
    assert (statuses(stored), tools.left_of(stored, "app1")) == ({}, [])


@contextlib.contextmanager
def _restarts(space: Space) -> Iterator[None]:
    space.server.stop()
    timer = threading.Timer(AWAY, space.server.start)
    timer.start()
    yield
    timer.join()


@contextlib.contextmanager
def _hangs(space: Space) -> Iterator[None]:
    space.server.hang()
    timer = threading.Timer(AWAY, space.server.resume)
    timer.start()
    yield
    timer.join()


@contextlib.contextmanager
def _is_emptied(space: Space) -> Iterator[None]:
    lose_everything(space)
    yield


OUTAGES: dict[str, Callable[[Space], Any]] = {"restarts": _restarts, "hangs": _hangs, "is emptied": _is_emptied}

CASES = [(kind, outage) for kind in servers.KINDS for outage in OUTAGES]
#: by default each outage, and each server, once
FEW = [("redis", "is emptied"), ("etcd", "hangs"), ("mysql", "restarts")]


@pytest.mark.parametrize(("server", "outage"), CASES if scope.whole else FEW, indirect=["server"])
def test_a_create_outlives_an_outage_in_its_middle(stored: SaltMaster, space: Space, outage: str) -> None:
    with tools.tried(stored) as trial:
        trial.hold("launched", "web")
        with tools.running(stored, "hart.create", "web", "role=app") as run:
            trial.wait("launched", "web")
            with OUTAGES[outage](space):
                trial.go("launched", "web")
                ran = tools.ended(run)
        assert (ran.code, ran.data["web"]["result"]) == (0, True), ran
        assert statuses(stored) == {"web": "ready"}
        assert stored.run("hart.destroy", "web").code == 0


def test_a_store_that_is_away_is_one_sentence(stored: SaltMaster, space: Space) -> None:
    with pytest.MonkeyPatch.context():
        space.server.stop()
        try:
            for command in (["hart.list_minions"], ["hart.create", "web", "role=app"], ["hart.sweep"]):
                ran = stored.run(*command)
                assert ran.code != 0, ran
                said = ran.stdout + ran.stderr
                kind = space.settings["cache"]
                assert f"the record store cannot be read: {kind} at 127.0.0.1:" in said, ran
                assert "Traceback" not in said, ran
        finally:
            space.server.start()
    assert stored.left_over()["instances"] == []
