"""Shared parts of the tests of the driver ``do``: a cloud whose time passes only while the driver waits."""

from __future__ import annotations

from hart_salt.drivers.do import driver as do
from tests.drivers.do.emulator.client import Client as Client
from tests.drivers.do.emulator.cloud import DigitalOcean as Cloud
from tests.drivers.do.emulator.state import Settings as Switches
from tests.drivers.tested import BATCH as BATCH
from tests.drivers.tested import KEY as KEY
from tests.drivers.tested import OWNER, Tested
from tests.drivers.tested import SCRIPT as SCRIPT
from tests.drivers.tested import Time as Time
from tests.drivers.tested import launch as launch

CREATE = r"/v2/droplets$"
#: a UUID that no resource has
NOWHERE = "5a4981aa-9653-4bd1-bef5-d6bff52042e4"
USUAL = {"active_after": 10}
TESTED = Tested("do", Cloud, Switches, USUAL, do, "DigitalOcean", CREATE, region="nyc3", size="s-1vcpu-1gb")
open_cloud, driver_of, node, create_body = TESTED.open_cloud, TESTED.driver_of, TESTED.node, TESTED.create_body


def left(cloud: Cloud) -> dict[str, list[str]]:
    """Return what is left, without the tags that stay: hart's, the owner's and the role's."""
    state = TESTED.left(cloud)
    stay = {"hart", f"hart-owner:{OWNER}", "hart-role:db:main"}
    tags = [tag for tag in state.pop("tags", []) if tag not in stay]
    return {**state, **({"tags": tags} if tags else {})}
