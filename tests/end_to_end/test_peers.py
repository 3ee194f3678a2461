"""
Two masters with a key store each: a node's key is on both from its first start until it is destroyed.

The machine of each master has a minion, which is a minion of the other: through it, hart works on this master.
"""

from __future__ import annotations

import contextlib
import functools
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pytestshellutils.utils.ports import get_unused_localhost_port
from saltfactories.manager import FactoriesManager

from tests.drivers.do.in_tables import CREATE
from tests.emulation.holds import Hold
from tests.end_to_end import certificates, light_cloud, tools
from tests.end_to_end.conftest import SaltMaster
from tests.end_to_end.two_masters import ADDRESSES, FAILOVER, HOT, Layout, LightPair, Pair, light_pair, two_masters

#: only intervals are shorter than hart's and Salt's own
SOON = {"master_alive_interval": 2, "auth_timeout": 2, "acceptance_wait_time": 1, "random_reauth_delay": 1}
PEER = "two-minion"
#: the minion on the first master's machine, a minion of the second
BACK = "one-minion"
PROVIDER = "provider=do"
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
        join(pair.first, PEER, pair.second)
        configure(pair)
        yield pair


def join(master: SaltMaster, minion_id: str, other: SaltMaster) -> None:
    """Make the minion on another master's machine a minion of this one."""
    master.config["hart"] = {"minion_config": {"hart_master_config": str(other.root / "etc/master")}}
    master.write()
    run(master, "hart.create", minion_id)


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
    return [[name for name in names if name not in (PEER, BACK)] for names in accepted]


@contextlib.contextmanager
def silent_peer(master: SaltMaster, minion_id: str = PEER) -> Iterator[None]:
    """Stop the processes of a peer's minion for the length of the block; then it does what it was asked by then."""
    stopped = [it for it in master.instance_processes() if f"/{minion_id}/" in " ".join(it.cmdline())]
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
def opened(factories: FactoriesManager, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair | LightPair]:
    """Start two masters, each a peer of the other, with an account of an emulated cloud where that is possible."""
    users = tmp_path_factory.mktemp("users") / "users"
    users.write_text(f"hart:{PASSWORD}\nother:{PASSWORD}\n")
    open_to_api: dict[str, Any] = {
        "netapi_enable_clients": ["runner"],
        "external_auth": {
            "file": {
                "^filename": str(users),
                "hart": [{"@runner": ["hart.peer_keys"]}],
                "other": [{"@runner": ["jobs.*"]}],
            }
        },
        # Minions may do anything here: what hart refuses, hart refuses.
        "peer": {".*": [".*"]},
    }
    start = two_masters if light_cloud.missing() else light_pair
    with start(factories, HOT, **open_to_api) as found:
        pair = found.pair if isinstance(found, LightPair) else found
        join(pair.first, PEER, pair.second)
        join(pair.second, BACK, pair.first)
        yield found


@pytest.fixture
def hot(opened: Pair | LightPair) -> Pair:
    """Return the masters, of which the first has the provider ``local`` and the second as its peer."""
    pair = opened.pair if isinstance(opened, LightPair) else opened
    configure(pair)
    return pair


@pytest.fixture
def light(opened: Pair | LightPair) -> LightPair:
    """Return the masters with the same provider of an emulated cloud; each is a peer of the other."""
    if not isinstance(opened, LightPair):
        pytest.skip(light_cloud.missing())
    configure_both(opened)
    return opened


def configure_both(light: LightPair, seconds: int = tools.TIMEOUT, **more: Any) -> None:
    """Write ``hart:`` of both masters; each may take so many seconds to answer the other."""
    light.configure(**more)
    minions = zip(light.pair, (PEER, BACK), ("two", "one"), reversed(ADDRESSES), strict=True)
    for master, minion_id, name, address in minions:
        master.config["hart"]["masters"] = {name: {"minion": minion_id, "address": address, "timeout": seconds}}
        master.write()


@contextlib.contextmanager
def salt_api(master: SaltMaster, tls: Path) -> Iterator[str]:
    """Run salt-api of a master for the length of the block; it may take a moment until it answers."""
    for name, text in certificates.files().items():
        (tls / Path(name).name).write_text(text)
    place = {"host": "127.0.0.1", "port": get_unused_localhost_port()}
    master.config["rest_cherrypy"] = {
        **place, "ssl_crt": str(tls / "master.crt"), "ssl_key": str(tls / "master.key")
    }  # fmt: skip
    master.write()
    process = subprocess.Popen(
        [str(master.bin / "salt-api"), "-c", str(master.root / "etc")], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=master.environment, start_new_session=True,
    )  # fmt: skip
    try:
        yield "https://{host}:{port}".format_map(place)
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
    with silent_peer(hot.first):
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


def test_salt_api_is_a_way_to_the_other_master(hot: Pair, tmp_path: Path) -> None:
    pytest.importorskip("cherrypy")
    with salt_api(hot.second, tmp_path) as address:
        peer = {
            "api": address, "username": "hart", "password": PASSWORD, "eauth": "file", "address": ADDRESSES[1],
            "ca_file": str(tmp_path / "ca.crt"),
        }  # fmt: skip
        hot.first.config["hart"]["masters"]["two"] = peer
        hot.first.write()
        tools.until(lambda: "with the same key as this master" in check(hot), "an answer of salt-api")
        run(hot.first, "hart.create", "web", "role=app")
        assert nodes(hot) == [["web"], ["web"]]
        run(hot.first, "hart.destroy", "web")
        assert nodes(hot) == [[], []]
        wrong = {
            "password": ("another-pass-word", "its salt-api answers 401: username, password and eauth must be right"),
            "username": ("other", "external_auth there must allow this user @runner hart.peer_keys"),
            "ca_file": (str(tmp_path / "minion.crt"), "the certificate of its salt-api is not trusted ("),
            "api": (address.replace("127.0.0.1", "localhost"), "and use in api a name that it contains"),
        }
        for setting, (value, sentence) in wrong.items():
            hot.first.config["hart"]["masters"]["two"] = {**peer, setting: value}
            hot.first.config["hart"]["masters_down"] = "allow"
            hot.first.write()
            refused = hot.first.run("hart.create", "web", "role=app")
            assert (refused.code, nodes(hot)) == (2, [[], []])
            assert refused.data["error"].startswith("hart:masters:two: the master two cannot be used: ")
            assert sentence in refused.data["error"]


def test_check_shows_the_other_master_and_a_layout_that_cannot_work_is_refused(hot: Pair) -> None:
    assert "with the same key as this master" in hot.first.run("hart.check").data["master two"]
    hot.first.config["hart"]["masters"]["two"].update(minion="nobody", timeout=2)
    hot.first.write()
    assert "this master has no minion nobody with an accepted key" in hot.first.run("hart.check").data["master two"]


def asked(master: SaltMaster, work: str) -> int:
    """Return how many requests for a work of ``hart.peer_keys`` the master has published."""
    loads = [path.read_bytes() for path in master.cachedir.glob("jobs/*/*/.load.p")]
    return sum(b"hart.peer_keys" in load and work.encode() in load for load in loads)


def test_a_signal_ends_the_wait_for_a_master_that_does_not_answer(hot: Pair) -> None:
    configure(hot, seconds=3600)
    before = asked(hot.first, "facts")
    with silent_peer(hot.first):
        process = hot.first.begin("hart.create", "web", "role=app")
        try:
            tools.until(lambda: asked(hot.first, "facts") > before, "a request to the other master")
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=tools.TIMEOUT)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 130
    assert json.loads(out)["error"] == "interrupted; nothing was started"
    assert nodes(hot) == [[], []]


def create(light: LightPair, minion_id: str) -> None:
    run(light.first, "hart.create", minion_id, "role=app", PROVIDER)
    assert nodes(light.pair) == [[minion_id], [minion_id]]


def test_a_node_can_be_destroyed_from_another_master_than_the_creating_one(
    light: LightPair, servers: Callable[[str], Any]
) -> None:
    space = servers("redis").space()
    light.pair.share(space.settings)
    try:
        configure_both(light, coordination=space.url)
        create(light, "a")
        run(light.second, "hart.destroy", "a")
        assert (nodes(light.pair), light.instances()) == ([[], []], [])
        create(light, "b")
        configure_both(light, 2, coordination=space.url)
        with silent_peer(light.second, BACK):
            failed = light.second.run("hart.destroy", "b")
            assert failed.code == 1
            assert "the master one may still have the node's key: its minion one-minion" in failed.data["b"]["error"]
            assert (nodes(light.pair), light.instances()) == ([["b"], []], [])
        configure_both(light, coordination=space.url)
        tools.until(functools.partial(answers, light.second, BACK), "an answer of the first master's minion")
        run(light.second, "hart.destroy", "b")
        assert nodes(light.pair) == [[], []]
        for master in light.pair:
            assert set(master.run("hart.list_minions").data) <= {PEER, BACK}
    finally:
        light.pair.share({"cache": "localfs"})


def test_a_node_can_be_destroyed_from_a_master_without_its_record(light: LightPair) -> None:
    create(light, "a")
    run(light.second, "hart.destroy", "a")
    assert (nodes(light.pair), light.instances()) == ([[], []], [])
    run(light.first, "hart.destroy", "a")
    shown = light.first.run("hart.list_minions", PROVIDER).data
    assert "a" not in shown


def test_a_signal_rolls_back_without_a_master_that_does_not_answer(light: LightPair) -> None:
    configure_both(light, 3600)
    hold = light.cloud.holds.add(Hold(CREATE.method, CREATE.path))
    before = asked(light.first, "accept")
    process = light.first.begin("hart.create", "a", "role=app", PROVIDER)
    try:
        assert hold.wait()
        with silent_peer(light.first):
            light.cloud.holds.clear()
            tools.until(lambda: asked(light.first, "accept") > before, "a request to accept the node's key")
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=tools.TIMEOUT)
    finally:
        light.cloud.holds.clear()
        process.kill()
        process.wait()
    said = json.loads(out)["nodes"]["a"]
    assert process.returncode == 130
    assert "it had not answered when the call was interrupted" in str(said)
    assert "salt-run hart.destroy a removes it" in str(said)
    assert (nodes(light.pair)[0], light.instances()) == ([], [])
    configure_both(light)
    tools.until(functools.partial(answers, light.first, PEER), "an answer of the other master's minion")
    run(light.first, "hart.destroy", "a")
    assert nodes(light.pair) == [[], []]


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
