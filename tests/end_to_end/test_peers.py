"""
Two masters with a key store each: a node's key is on both from its first start until it is destroyed.

The machine of the second master has a minion, which is a minion of the first: through it, hart works on the second.
"""

from __future__ import annotations

import contextlib
import functools
import subprocess
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from pytestshellutils.utils.ports import get_unused_localhost_port
from saltfactories.manager import FactoriesManager

from tests.end_to_end import tools
from tests.end_to_end.conftest import SaltMaster
from tests.end_to_end.two_masters import ADDRESSES, FAILOVER, HOT, Layout, Pair, two_masters

#: only intervals are shorter than hart's and Salt's own
SOON = {"master_alive_interval": 2, "auth_timeout": 2, "acceptance_wait_time": 1, "random_reauth_delay": 1}
PEER = "two-minion"
PASSWORD = "a-pass-word-of-salt-api"  # noqa: S105 - no secret of anyone


def configure(pair: Pair, seconds: int = tools.TIMEOUT, **more: Any) -> None:
    """Write ``hart:`` of the first master, whose only peer is the second and may take so many seconds to answer."""
    kind = {name: value for name, value in pair.layout.minions.items() if name != "master"}
    peer = {"minion": PEER, "address": ADDRESSES[1], "timeout": seconds}
    pair.first.config["hart"] = {
        "roles": {"app": {}}, "masters": {"two": peer}, "minion_config": {**kind, **SOON}, **more,
    }  # fmt: skip
    pair.first.write()


@contextlib.contextmanager
def peers(factories: FactoriesManager, layout: Layout, **overrides: Any) -> Iterator[Pair]:
    """Start two masters, of which the second is a peer of the first; ``overrides`` are settings of both."""
    with two_masters(factories, layout, **overrides) as pair:
        there = str(pair.second.root / "etc/master")
        pair.first.config["hart"] = {"minion_config": {"hart_master_config": there}}
        pair.first.write()
        run(pair.first, "hart.create", PEER)
        configure(pair)
        yield pair


def run(master: SaltMaster, function: str, *arguments: str) -> Any:
    """Run a function of hart, which must succeed, and return its data."""
    done = master.run(function, *arguments)
    assert done.code == 0, done.stdout + done.stderr
    return done.data


def answers(master: SaltMaster, minion_id: str) -> bool:
    return bool(master.salt("-t", "2", minion_id, "test.ping").data == {minion_id: True})


def nodes(pair: Pair) -> list[list[str]]:
    """Return the accepted keys of nodes on each master."""
    accepted = pair.keys()
    return [[name for name in names if name != PEER] for names in accepted]


@contextlib.contextmanager
def silent_peer(pair: Pair) -> Iterator[None]:
    """Stop the processes of the peer's minion for the length of the block; then it does what it was asked meanwhile."""
    stopped = [it for it in pair.first.instance_processes() if f"/{PEER}/" in " ".join(it.cmdline())]
    assert stopped
    for process in stopped:
        process.suspend()
    try:
        yield
    finally:
        for process in stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


@pytest.fixture(scope="module")
def hot(factories: FactoriesManager, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    users = tmp_path_factory.mktemp("users") / "users"
    users.write_text(f"hart:{PASSWORD}\n")
    open_to_api = {
        "netapi_enable_clients": ["runner"],
        "external_auth": {"file": {"^filename": str(users), "hart": [{"@runner": ["hart.peer_keys"]}]}},
    }
    # Minions may do anything here: what hart refuses, hart refuses.
    with peers(factories, HOT, peer={".*": [".*"]}, **open_to_api) as pair:
        yield pair


@contextlib.contextmanager
def salt_api(master: SaltMaster) -> Iterator[str]:
    """Run salt-api of a master for the length of the block; it may take a moment until it answers."""
    place = {"host": master.config["interface"], "port": get_unused_localhost_port()}
    master.config["rest_cherrypy"] = {**place, "disable_ssl": True}
    master.write()
    process = subprocess.Popen(
        [str(master.bin / "salt-api"), "-c", str(master.root / "etc")], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=master.environment, start_new_session=True,
    )  # fmt: skip
    try:
        yield "http://{host}:{port}".format_map(place)
    finally:
        tools.end_group(process)
        del master.config["rest_cherrypy"]
        master.write()


def test_a_node_answers_both_masters_and_its_key_goes_from_both(hot: Pair) -> None:
    run(hot.first, "hart.create", "web", "role=app")
    assert nodes(hot) == [["web"], ["web"]]
    for master in hot:
        tools.until(functools.partial(answers, master, "web"), "an answer to both masters")
    said = hot.first.salt("web", "hart.peer_keys", "facts").data
    assert "this machine has no salt-master" in said["web"]["error"]
    said = hot.first.salt("web", "publish.publish", PEER, "hart.peer_keys", "facts").data
    assert said["web"] == {PEER: {"error": "a minion asked for this with publish.publish: only a master may"}}
    run(hot.first, "hart.destroy", "web")
    assert nodes(hot) == [[], []]


def test_a_master_that_is_down_is_refused_or_repaired_later(hot: Pair) -> None:
    run(hot.first, "hart.create", "old", "role=app")
    with silent_peer(hot):
        configure(hot, seconds=2)
        refused = hot.first.run("hart.create", "new", "role=app")
        assert refused.code == 2
        assert f"the master two cannot be reached: its minion {PEER} does not answer" in refused.data["error"]
        assert nodes(hot) == [["old"], ["old"]]
        configure(hot, seconds=2, masters_down="allow")
        made = run(hot.first, "hart.create", "new", "role=app")
        assert any("salt-run hart.sync_keys repairs it" in note for note in made["new"]["notes"])
        gone = run(hot.first, "hart.destroy", "old")
        assert any("salt-run hart.sync_keys deletes it" in note for note in gone["old"]["notes"])
        assert nodes(hot) == [["new"], ["old"]]
    tools.until(functools.partial(answers, hot.first, PEER), "an answer of the other master's minion")
    configure(hot)
    run(hot.first, "hart.sync_keys")
    assert nodes(hot) == [["new"], ["new"]]
    report = run(hot.first, "hart.sync_keys", "test=True")
    assert report["two"] == {"result": None, "correct": 2}
    run(hot.first, "hart.destroy", "new")
    assert nodes(hot) == [[], []]


def check(pair: Pair) -> str:
    return str(pair.first.run("hart.check").data["master two"])


def test_salt_api_is_a_way_to_the_other_master(hot: Pair) -> None:
    pytest.importorskip("cherrypy")
    with salt_api(hot.second) as address:
        peer = {"api": address, "username": "hart", "password": PASSWORD, "eauth": "file", "address": ADDRESSES[1]}
        hot.first.config["hart"]["masters"]["two"] = peer
        hot.first.write()
        tools.until(lambda: "with the same key as this master" in check(hot), "an answer of salt-api")
        run(hot.first, "hart.create", "web", "role=app")
        assert nodes(hot) == [["web"], ["web"]]
        run(hot.first, "hart.destroy", "web")
        assert nodes(hot) == [[], []]
        peer["password"] = "another-pass-word"  # noqa: S105 - that is the point
        hot.first.write()
        assert "its salt-api answers 401: username, password and eauth must be right" in check(hot)
    configure(hot)


def test_check_shows_the_other_master_and_a_layout_that_cannot_work_is_refused(hot: Pair) -> None:
    assert "with the same key as this master" in hot.first.run("hart.check").data["master two"]
    hot.first.config["hart"]["masters"]["two"].update(minion="nobody", timeout=2)
    hot.first.write()
    assert "this master has no minion nobody with an accepted key" in hot.first.run("hart.check").data["master two"]
    configure(hot)


def test_a_node_fails_over_to_a_master_with_another_key_because_both_sign_their_keys(
    factories: FactoriesManager,
) -> None:
    with peers(factories, FAILOVER) as pair:
        run(pair.first, "hart.create", "a", "role=app")
        assert nodes(pair) == [["a"], ["a"]]
        key = pair.first.instances / "a/etc/salt/pki/minion/minion_master.pub"
        before = key.read_text()
        pair.first.stop()
        tools.until(functools.partial(answers, pair.second, "a"), "an answer on the second master")
        assert key.read_text() != before
        tools.end_instance(pair.first, "a")
