"""What the driver ``do`` refuses by itself, and the error class of each refusal of DigitalOcean."""

from __future__ import annotations

import dataclasses

import pytest

from hart_salt.base.errors import InvalidRequest
from hart_salt.drivers.do import driver as do
from hart_salt.model import Node
from tests.drivers.do.driver import BATCH, KEY, NOWHERE, left, node
from tests.drivers.do.emulator.cloud import DigitalOcean as Cloud

# objections


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (node("a_b"), "a droplet's name"),
        (node(tags=["a.b"]), "the tag a.b can contain"),
        (node(tags={"a": "b c"}), "the tag a:b c can contain"),
        (node(tags=["x" * 256]), "the tag xxx"),
        (node(tags={"hart-owner": "me"}), "is one of hart's own"),
        (node(tags=["hart-batch:1"]), "is one of hart's own"),
        (node(public_ip=False, options={"ipv6": True}), "ipv6 is a public address"),
        (node(options={"vpc": "my-network"}), "the VPC's UUID"),
        (dataclasses.replace(node(), zone="nyc3-a"), "no zones"),
    ],
)
def test_objections(cloud: Cloud, driver: do.DigitalOcean, wanted: Node, text: str) -> None:
    (objection,) = driver.objections(wanted)
    assert text in objection
    assert cloud.calls == []


def test_no_objections(cloud: Cloud, driver: do.DigitalOcean) -> None:
    assert driver.objections(node(tags={"env": "prod"}, options={"ipv6": True, "vpc": NOWHERE})) == []
    assert cloud.calls == []


# errors


def test_user_data_that_is_too_long(cloud: Cloud, driver: do.DigitalOcean) -> None:
    with driver.access(BATCH, KEY, []) as access, pytest.raises(InvalidRequest):
        driver.launch(node(), "#" * (64 * 1024 + 1), access)
    assert left(cloud) == {}
