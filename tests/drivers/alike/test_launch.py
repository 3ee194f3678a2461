"""Create calls: the tags of the user and the role, if tags are a list; images; no public address."""

from __future__ import annotations

import dataclasses
from types import ModuleType
from typing import Any

import pytest

from hart_salt.drivers.contract import Driver
from tests.drivers.tested import BATCH, OWNER, Time
from tests.emulation.emulator import Emulator
from tests.emulation.stateful import StatefulEmulator

TWICE = (["web", "web", "a:b", "hart"], ["web", "a:b"])
NAMED = {
    "do": ({"env": "prod", "team": "x"}, ["env:prod", "team:x"]),
    "vultr": ({"Env": "Prod A/B", "team": ""}, ["Env:Prod A/B", "team:"]),
}
BATCHES = {"do": f"hart-batch:{OWNER}:{BATCH}", "vultr": f"hart-batch:{BATCH}"}


@pytest.mark.parametrize(
    ("cloud_name", "tags", "sent"), [(name, *row) for name, named in NAMED.items() for row in (TWICE, named)]
)
def test_tags_of_the_user(
    own: ModuleType, cloud: StatefulEmulator[Any, Any], driver: Driver, tags: Any, sent: list[str]
) -> None:
    own.launch(driver, own.node(tags=tags))
    assert own.create_body(cloud)["tags"][4:] == sent


@pytest.mark.parametrize("cloud_name", BATCHES)
def test_no_role_no_tag_of_one(
    cloud_name: str, own: ModuleType, cloud: StatefulEmulator[Any, Any], driver: Driver
) -> None:
    instance = own.launch(driver, dataclasses.replace(own.node(), role=None))
    assert instance.role is None
    assert own.create_body(cloud)["tags"] == ["hart", f"hart-owner:{OWNER}", BATCHES[cloud_name]]


IMAGES: dict[str, tuple[str, dict[str, str | int]]] = {
    "do": ("image", {
        "bookworm": "debian-12-x64", "trixie": "debian-13-x64", "jammy": "ubuntu-22-04-x64",
        "noble": "ubuntu-24-04-x64", "resolute": "ubuntu-26-04-x64",
        "rockylinux-9-x64": "rockylinux-9-x64", "155133621": 155133621,
    }),
    "vultr": ("os_id", {
        "bookworm": 2136, "trixie": 2625, "jammy": 1743, "noble": 2284, "resolute": 2900,
        "Rocky Linux 9 x64": 1869, "2760": 2760,
    }),
}  # fmt: skip


@pytest.mark.parametrize(
    ("cloud_name", "setting", "field", "sent"),
    [(name, setting, field, sent) for name, (field, images) in IMAGES.items() for setting, sent in images.items()],
)
def test_an_image_by_code_name_name_or_id(
    own: ModuleType, cloud: StatefulEmulator[Any, Any], driver: Driver, setting: str, field: str, sent: str | int
) -> None:
    own.launch(driver, own.node(image=setting))
    assert own.create_body(cloud)[field] == sent


@pytest.mark.parametrize("cloud_name", ["do", "ec2"])
def test_without_a_public_address(own: ModuleType, cloud: Emulator, driver: Driver, time: Time) -> None:
    own.launch(driver, own.node(public_ip=False))
    time.advance(10)
    (instance,) = driver.instances()
    assert (instance.public_ip, instance.private_ip) == (None, "10.120.0.4")
