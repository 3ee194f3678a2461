"""Nodes are stopped, resized and started with the real command, beside a real master."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from saltfactories.manager import FactoriesManager

from tests.drivers.do.in_tables import CLOUD
from tests.end_to_end import light_cloud
from tests.end_to_end.light_cloud import LightCloud, nodes_of

_missing = light_cloud.missing()
pytestmark = pytest.mark.skipif(bool(_missing), reason=_missing)

IDS = [f"web-{number}.do0.example" for number in range(2)]
LARGER = "s-2vcpu-4gb"


@pytest.fixture
def light(factories: FactoriesManager) -> Iterator[LightCloud]:
    with light_cloud.light_cloud(factories, CLOUD) as opened:
        yield opened


def test_everyday_verbs_change_several_nodes_and_hart_lists_them_as_they_are(light: LightCloud) -> None:
    run, names = light.master.run, ",".join(IDS)
    assert run("hart.create", names, "role=app", f"provider={light.provider}").code == 0
    with light.master.events() as events:
        for words, facts in (
            (["hart.stop"], {"changed": True, "state": "stopped"}),
            (["hart.resize", f"size={LARGER}"], {"size": LARGER, "state": "stopped"}),
            (["hart.start"], {"changed": True, "state": "running"}),
        ):
            ran = run(words[0], names, *words[1:])
            assert ran.code == 0, ran
            for entry in nodes_of(ran).values():
                assert {name: entry[name] for name in facts} == facts, ran
    listed = run("hart.list_minions", f"provider={light.provider}").data
    assert {name: (listed[name]["status"], listed[name]["size"]) for name in IDS} == dict.fromkeys(
        IDS, ("ready", LARGER)
    )
    stages = [event.tag.rpartition("/")[2] for event in events if event.tag.startswith(f"hart/{IDS[0]}/")]
    assert stages == ["stopped", "resized", "started"]
