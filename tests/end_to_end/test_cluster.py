"""Salt's master cluster: both members see the same nodes, wherever a minion is connected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from saltfactories.manager import FactoriesManager

from tests.end_to_end import light_cloud, tools
from tests.end_to_end.conftest import Event
from tests.end_to_end.two_masters import CLUSTER, LightPair, light_pair, unsupported

_missing = light_cloud.missing() or unsupported()
pytestmark = pytest.mark.skipif(bool(_missing), reason=_missing)

OTHER = {"saltmaster": "127.0.0.2"}  #: nodes whose minions are connected to the second member only


@pytest.fixture(scope="module")
def _running(factories: FactoriesManager) -> Iterator[LightPair]:
    with light_pair(factories, CLUSTER) as light:
        yield light


@pytest.fixture
def light(_running: LightPair) -> Iterator[LightPair]:
    """Return the cluster with nodes of the second member; it is cleared after each test."""
    _running.configure(node=OTHER)
    yield _running
    _running.forget()


def test_a_node_that_one_member_creates_becomes_ready_through_the_other(light: LightPair) -> None:
    with light.first.events() as events:
        made = light.first.run("hart.create", "a", "role=app", "provider=do")
    assert made.code == 0, made.stdout + made.stderr
    assert [_forwarder(event) for event in events if event.tag == "salt/minion/a/start"] == ["127.0.0.2"]
    assert light.pair.keys() == [["a"], ["a"]]
    for master in light.pair:
        assert master.run("manage.up").data == ["a"]


def _forwarder(event: Event) -> object:
    """Return the member from which an event came; None if it is the bus's own."""
    return event.data.get("__peer_id")


def test_members_have_one_owner(light: LightPair) -> None:
    """The owner in the tags is that of the cluster, so each member lists the nodes of the other."""
    for master, name in zip(light.pair, "ab", strict=True):
        made = master.run("hart.create", name, "role=app", "provider=do")
        assert made.code == 0, made.stdout + made.stderr
    owners = [{tag for tag in shown["tags"] if tag.startswith("hart-owner:")} for shown in light.shown()]
    assert len(owners) == 2
    assert owners[0] == owners[1] != set()
    for master in light.pair:
        assert sorted(master.run("hart.list_minions").data) == ["a", "b"]


def test_members_that_share_their_records_list_the_same_and_destroy_each_other_s_nodes(
    light: LightPair, servers: Callable[[str], Any]
) -> None:
    space = servers("redis").space()
    light.pair.share(space.settings)
    light.configure(node=OTHER, coordination=space.url)
    try:
        made = light.first.run("hart.create", "a", "role=app", "provider=do")
        assert made.code == 0, made.stdout + made.stderr
        first, second = (master.run("hart.list_minions").data for master in light.pair)
        assert first == second
        assert first["a"]["status"] == "ready"
        gone = light.second.run("hart.destroy", "a")
        assert gone.code == 0, gone.stdout + gone.stderr
        assert light.pair.keys() == [[], []]
        assert light.instances() == []
        assert [master.run("hart.list_minions").data for master in light.pair] == [{}, {}]
    finally:
        light.pair.share({"cache": "localfs"})


def test_a_real_minion_of_the_other_member_becomes_ready(light: LightPair) -> None:
    light.pair.configure(roles={"app": {}}, providers={"local": OTHER})
    made = light.first.run("hart.create", "real", "role=app")
    try:
        assert made.code == 0, made.stdout + made.stderr
        for master in light.pair:
            assert master.salt("real", "test.ping").data == {"real": True}
        assert light.first.run("hart.destroy", "real").code == 0
        assert light.pair.keys() == [[], []]
    finally:
        if (light.first.instances / "real").exists():
            tools.end_instance(light.first, "real")
