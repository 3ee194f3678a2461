"""
The emulated Vultr accepts and returns, and the driver sends, what the vendor's own description specifies.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hart_salt.drivers.vultr import driver as vultr
from tests.drivers.do.driver import Time
from tests.drivers.do.emulator.client import Clock, public_key
from tests.drivers.vultr.driver import driver_of, launch, node, open_cloud
from tests.drivers.vultr.emulator import routes, schema
from tests.drivers.vultr.emulator.client import SPEC, Client
from tests.drivers.vultr.emulator.cloud import Vultr
from tests.drivers.vultr.emulator.state import Settings
from tests.emulation.schema import find, without_route

described = pytest.mark.skipif(schema.find() is None, reason="the vendor's description is not beside this checkout")
RULE = {"ip_type": "v4", "protocol": "tcp", "subnet": "192.0.2.0", "subnet_size": 24, "port": "22"}


@pytest.fixture
def cloud(clock: Clock) -> Iterator[Vultr]:
    settings = Settings(active_after=10, second_limit=None, check_answers=True)
    with Vultr(settings=settings, clock=clock) as cloud:
        yield cloud
        assert cloud.defects == []


@described
def test_the_emulator_has_every_call_of_the_description() -> None:
    description = schema.find()
    assert description is not None
    assert without_route(description, routes.ROUTES) == []


@described
def test_every_answer_conforms(cloud: Vultr, client: Client, clock: Clock) -> None:
    """The test makes one call of each kind, with instances in each state, and also causes errors."""
    snapshot = cloud.add_snapshot("mine")
    vpc = client.make("vpcs", "vpc", region="ams", description="own", v4_subnet="10.9.0.0", v4_subnet_mask=24)["id"]
    key = client.make("ssh-keys", "ssh_key", name="k", ssh_key=public_key())["id"]
    group = client.make("firewalls", "firewall_group", description="fw")["id"]
    client.make(f"firewalls/{group}/rules", "firewall_rule", **RULE)
    client.make("startup-scripts", "startup_script", name="s", script="IyEvYmluL3NoCg==")
    full = {"sshkey_id": [key], "tags": ["a:b"], "enable_ipv6": True, "backups": "enabled", "attach_vpc": [vpc],
            "firewall_group_id": group, "hostname": "h", "user_data": "eA=="}  # fmt: skip
    one = client.create(**full)["id"]
    client.create("app-2", os_id=0, snapshot_id=snapshot)
    everything = [
        "account", "instances", "instances?per_page=1", "instances?tag=a:b", f"instances/{one}",
        f"instances/{one}/vpcs", f"instances/{one}/ipv4", "regions", "regions/ams/availability", "plans", "os",
        "ssh-keys", f"ssh-keys/{key}", "snapshots", f"snapshots/{snapshot}",
        "startup-scripts", "vpcs", "firewalls", f"firewalls/{group}",
        f"firewalls/{group}/rules",
    ]  # fmt: skip
    for seconds in (0, 10):
        clock.advance(seconds)
        for path in everything:
            client.get(path)
    made = client.make("snapshots", "snapshot", instance_id=one, description="s")["id"]
    for method, path, body in (
        ("PATCH", f"instances/{one}", {"tags": ["b"], "user_data": "eQ=="}),
        ("PATCH", f"ssh-keys/{key}", {"name": "other"}),
        ("PUT", f"firewalls/{group}", {"description": "gw"}),
        ("POST", f"instances/{one}/vpcs/attach", {"vpc_id": vpc}),
        ("PUT", f"snapshots/{made}", {"description": "t"}),
        ("DELETE", f"snapshots/{made}", None),
        ("DELETE", f"instances/{one}", None),
        ("DELETE", f"ssh-keys/{key}", None),
        ("DELETE", f"firewalls/{group}", None),
    ):
        assert client.call(method, path, body).status_code in (202, 204)
    for path in (f"snapshots/{made}", f"instances/{one}", f"ssh-keys/{key}", f"firewalls/{group}"):
        assert client.call("GET", path).status_code == 404
    assert cloud.said_against() == []


@described
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "instances", {"label": "a", **SPEC, "sshkey_id": "one"}),
        ("POST", "instances", {"label": "a", **SPEC, "os_id": "2136"}),
        ("POST", "instances", {"label": "a", **SPEC, "tags": [1]}),
        ("POST", "instances", {"label": "a", **SPEC, "backups": False}),
        ("POST", "instances", {"label": "a", **SPEC, "vpc_only": "yes"}),
        ("POST", "instances", {"label": "a", **SPEC, "disable_public_ipv4": 1}),
        ("POST", "instances", {"label": "a", "os_id": 2136}),
        ("POST", "instances", {"label": "a", **SPEC, "user_data": None}),
        ("POST", "ssh-keys", {"name": "k"}),
        ("POST", "firewalls/x/rules", {"protocol": "tcp"}),
        ("POST", "vpcs", {"description": "v"}),
        ("GET", "instances?per_page=many", None),
    ],
)
def test_what_the_description_does_not_allow_is_refused(
    cloud: Vultr, client: Client, method: str, path: str, body: Any
) -> None:
    before = cloud.state.left()
    assert client.call(method, path, body).status_code == 400
    assert cloud.said_against() != []
    assert cloud.state.left() == before


@described
def test_the_additions_are_needed() -> None:
    """The description of 2023 does not have the additions; they must be removed once it does."""
    description = find(schema.SPECIFICATION)
    assert description is not None
    new = [f"{name}: not a field of POST /instances" for name in schema.CREATE]
    assert description.unknown_fields("POST", "/instances", dict.fromkeys(schema.CREATE, True)) == new


@described
def test_the_driver_sends_no_unknown_field() -> None:
    """Vultr ignores unknown fields, so nobody would notice a misspelt one."""
    description = schema.find()
    assert description is not None
    time = Time()
    with open_cloud(time, check_answers=True) as cloud:
        driver: vultr.Vultr = driver_of(cloud, time)
        vpc = cloud.add_vpc("own", "ams", gateway=True)
        client = Client(cloud)
        group = client.make("firewalls", "firewall_group", description="fw")["id"]
        key = client.make("ssh-keys", "ssh_key", name="k", ssh_key=public_key())["id"]
        snapshot = cloud.add_snapshot("mine")
        wanted = [
            node("a", tags=["x"], options={"ipv6": True, "disable_public_ipv4": True, "backups": True}),
            node("b", public_ip=False, options={"vpc": vpc, "firewall_group": group, "ssh_keys": [key]}),
            node("c", private_networking=True, image=snapshot),
        ]
        for one in wanted:
            assert driver.objections(one) == []
            launch(driver, one)
        for ask in (driver.check, driver.regions, lambda: driver.sizes("ams"), lambda: driver.images("ams")):
            assert ask()
        for instance in driver.instances():
            driver.terminate(instance)
        sent = [call.body for call in cloud.calls if (call.method, call.path) == ("POST", "/v2/instances")]
        fields = {name for body in sent for name in body}
        assert [text for body in sent for text in description.unknown_fields("POST", "/v2/instances", body)] == []
        assert {"vpc_only", "disable_public_ipv4", "enable_vpc", "snapshot_id", "sshkey_id"} <= fields
        assert cloud.said_against() == []
