"""Bakes of one role at the same time, and images that go while a node boots from them; with ``./test --all``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from saltfactories.manager import FactoriesManager

from tests.drivers.do.emulator.cloud import DigitalOcean
from tests.emulation.holds import Hold
from tests.end_to_end import light_cloud, tools
from tests.end_to_end.clouds import all_clouds
from tests.end_to_end.conftest import Ran
from tests.end_to_end.light_cloud import LightCloud
from tests.end_to_end.runs import side_by_side

_missing = light_cloud.missing()
pytestmark = [pytest.mark.skipif(bool(_missing), reason=_missing), pytest.mark.on_clouds()]


@pytest.fixture(scope="module", params=["do"])
def cloud(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def light(factories: FactoriesManager, cloud: str) -> Iterator[LightCloud]:
    with light_cloud.light_cloud(factories, all_clouds()[cloud]) as opened:
        yield opened


def images(light: LightCloud) -> dict[str, list[str]]:
    """Return the nodes of each baked image."""
    listed = light.master.run("hart.list_images", f"provider={light.provider}").data
    baked = {name: entry for name, entry in listed.items() if entry.get("baked")}
    assert all(entry["available"] for entry in baked.values()), baked
    return {name: entry["nodes"] for name, entry in baked.items()}


def _delete_images(light: LightCloud) -> None:
    """Delete everything but the instances at the provider, without hart."""
    assert isinstance(light.cloud, DigitalOcean)
    light.cloud.clear()


def image_of(light: LightCloud, ran: Ran) -> str:
    assert ran.code == 0, ran
    return str(ran.data[light.provider]["image"])


def test_bakes_at_once_keep_the_image_of_a_node_that_is_coming_up(light: LightCloud) -> None:
    """Of three images, each bake keeps the newest one; the first stays because the record of a node names it."""
    bake, web = light.baking("keep=1"), f"web.{light.provider}.app"
    first = image_of(light, light.master.run(*bake))
    create = ["hart.create", web, f"role={light.provider}", "image=baked!", "salt_source=none"]
    call = light.kind.create
    hold = light.cloud.holds.add(Hold(call.method, call.path, body=f'"{web}"'))
    try:
        with tools.running(light.master, *create) as run:
            assert hold.wait()
            ran = light.master.run("hart.remove_image", first, "force=True")
            assert ran.code != 0
            assert f"{web} runs from the image {first}" in ran.data["error"]
            both = [image_of(light, one) for one in side_by_side(light.master, [bake, bake])]
            left = images(light)
            hold.release()
            created = tools.ended(run)
    finally:
        light.cloud.holds.clear()
    assert first in left
    assert {*left} - {first} <= {*both}
    assert len(left) in (2, 3), "bakes that end at the same moment can each keep the other's image"
    assert created.data[web]["result"] is True, created
    assert images(light)[first] == [web]
    assert light.master.run("hart.destroy", web).code == 0
    for name in images(light):
        assert light.master.run("hart.remove_image", name, "force=True").code == 0
    assert light.left() == {}


def test_an_image_that_goes_before_the_create_call_fails_the_node_with_nothing_left(light: LightCloud) -> None:
    image, web = image_of(light, light.master.run(*light.baking())), f"web.{light.provider}.app"
    call = light.kind.create
    hold = light.cloud.holds.add(Hold(call.method, call.path, body=f'"{web}"'))
    try:
        with tools.running(
            light.master, "hart.create", web, f"role={light.provider}", "image=baked!", "salt_source=none"
        ) as run:
            assert hold.wait()
            _delete_images(light)  # somebody deletes it at the provider
            hold.release()
            created = tools.ended(run)
    finally:
        light.cloud.holds.clear()
    assert created.code == 1
    entry = created.data[web]
    assert entry["result"] is False
    assert "image" in entry["error"], image
    assert light.left() == {}
