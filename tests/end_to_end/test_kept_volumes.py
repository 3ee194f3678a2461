"""``keep_volumes`` with the real ``salt-run`` beside a real master: the volume of a node outlives it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from saltfactories.manager import FactoriesManager

from tests.drivers.ec2 import in_tables as cloud_ec2
from tests.drivers.gce import in_tables as cloud_gce
from tests.end_to_end import light_cloud
from tests.end_to_end.light_cloud import LightCloud, nodes_of

_missing = light_cloud.missing()
pytestmark = pytest.mark.skipif(bool(_missing), reason=_missing)


@pytest.fixture(scope="module")
def lights(factories: FactoriesManager) -> Iterator[list[LightCloud]]:
    with light_cloud.light_clouds(factories, [cloud_ec2.CLOUD, cloud_gce.CLOUD]) as opened:
        yield opened


@pytest.mark.parametrize(("number", "kind"), [(0, "volume"), (1, "disk")])
def test_the_volume_outlives_its_node_and_sweep_only_reports_it(
    lights: list[LightCloud], number: int, kind: str
) -> None:
    light = lights[number]
    light.configure(keep_volumes=True)
    try:
        ran = light.create()
        assert ran.code == 0, ran
        ((minion_id, _),) = nodes_of(ran).items()
        ran = light.master.run("hart.destroy", minion_id)
        assert ran.code == 0, ran
        (note,) = ran.data[minion_id]["notes"]
        assert f"stays at {light.provider}: delete it there if you do not need it" in note
        left = light.left()
        assert {name: len(found) for name, found in left.items()} == {f"{kind}s": 1}, left
        assert left[f"{kind}s"][0] in note
        swept = light.master.run("hart.sweep", "grace=0").data
        assert (swept["removed"], [(entry["kind"], entry["name"]) for entry in swept["kept"]]) == (
            [], [(kind, left[f"{kind}s"][0])],
        )  # fmt: skip
        assert light.left() == left
    finally:
        light.forget()
