"""What the driver ``vultr`` refuses by itself, and the error class of each refusal of Vultr."""

from __future__ import annotations

import dataclasses

import pytest

from hart_salt.base.errors import AuthError, InvalidRequest
from hart_salt.drivers.vultr import driver as vultr
from hart_salt.model import Node
from tests.drivers.do.driver import NOWHERE
from tests.drivers.vultr.driver import CREATE, launch, left, node
from tests.drivers.vultr.emulator.client import Client
from tests.drivers.vultr.emulator.cloud import Vultr as Cloud
from tests.emulation.faults import Fault

# objections


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (node("a_b"), "an instance's host name"),
        (node("-a"), "an instance's host name"),
        (node(tags={"hart-owner": "me"}), "is one of hart's own"),
        (node(tags=["hart-batch:1"]), "is one of hart's own"),
        (node(tags=["hart-address:ipv6"]), "is one of hart's own"),
        (dataclasses.replace(node(), zone="ams-a"), "no zones"),
        (node(options={"disable_public_ipv4": True}), "has no effect at Vultr without ipv6"),
        (node(public_ip=False), "needs vpc: set it to the id of a VPC with a NAT gateway"),
        (node(public_ip=False, private_networking=True), "needs vpc: set it to the id of a VPC with a NAT gateway"),
        (node(connect_via="private"), "set vpc or private_networking"),
        (node(image="bullseye"), "there is no image bullseye; salt-run hart.list_images shows them"),
        (node(options={"vpc": NOWHERE}), f"no VPC of the account in ams has the id {NOWHERE}; it has none"),
        (node(options={"firewall_group": NOWHERE}), f"no firewall group of the account has the id {NOWHERE}"),
        (node(options={"ssh_keys": [NOWHERE]}), f"no SSH key of the account has the id {NOWHERE}"),
    ],
)
def test_objections(cloud: Cloud, driver: vultr.Vultr, wanted: Node, text: str) -> None:
    (objection,) = driver.objections(wanted)
    assert text in objection
    assert cloud.count("POST") == 0


def test_ipv6_is_a_public_address(cloud: Cloud, driver: vultr.Vultr) -> None:
    vpc = cloud.add_vpc("own", "ams", gateway=True)
    (objection,) = driver.objections(node(public_ip=False, options={"ipv6": True, "vpc": vpc}))
    assert "ipv6 is a public address" in objection


def test_a_vpc_of_another_region(cloud: Cloud, driver: vultr.Vultr) -> None:
    own, other = cloud.add_vpc("own", "ams"), cloud.add_vpc("other", "fra")
    (objection,) = driver.objections(node(options={"vpc": other}))
    assert objection == f"no VPC of the account in ams has the id {other}; it has {own}"


def test_several_vpcs_without_a_choice(cloud: Cloud, driver: vultr.Vultr) -> None:
    ids = [cloud.add_vpc(name, "ams") for name in ("one", "two")]
    (objection,) = driver.objections(node(private_networking=True))
    assert objection == f"ams has several VPCs: set vpc to one of {', '.join(ids)}"


def test_a_vpc_without_a_nat_gateway(cloud: Cloud, driver: vultr.Vultr) -> None:
    vpc = cloud.add_vpc("own", "ams")
    wanted = node(public_ip=False, options={"vpc": vpc})
    (objection,) = driver.objections(wanted)
    assert "has no NAT gateway" in objection
    assert driver.objections(node(options={"vpc": vpc})) == []
    with pytest.raises(InvalidRequest, match="NAT gateway"):
        launch(driver, wanted)


def test_no_objections_and_the_calls_that_they_need(cloud: Cloud, driver: vultr.Vultr) -> None:
    for name in ("a", "b", "c"):
        assert driver.objections(node(name, tags={"env": "prod"}, options={"ipv6": True})) == []
    assert sorted(call.path for call in cloud.calls) == ["/v2/os", "/v2/plans", "/v2/regions/ams/availability"]


# errors


@pytest.mark.parametrize("status", [401, 403])
def test_an_address_that_is_not_allowed(cloud: Cloud, driver: vultr.Vultr, status: int) -> None:
    body = {"error": "Unauthorized IP address: 2001:db8::7", "status": status}
    cloud.faults.add(Fault("POST", CREATE, status=status, answer=body))
    with pytest.raises(AuthError) as caught:
        launch(driver, node())
    assert str(caught.value) == (
        f"Vultr: Unauthorized IP address: 2001:db8::7 ({status}); the account accepts API calls from certain addresses "
        "only: add this master's address in Vultr's console under Account, API, Access Control"
    )


def test_a_deleted_instance_does_not_count_towards_the_limit(cloud: Cloud, driver: vultr.Vultr) -> None:
    cloud.settings.instance_limit = 1
    driver.terminate(launch(driver, node("a")))
    launch(driver, node("b"))
    assert left(cloud) == {"instances": ["b"]}


def test_a_body_of_html_is_not_shown(cloud: Cloud, driver: vultr.Vultr) -> None:
    cloud.faults.add(Fault("GET", "account", status=400, answer="<html>default_password</html>"))
    with pytest.raises(InvalidRequest, match=r"^Vultr: Bad Request \(400\)$"):
        driver.check()


def test_the_emulator_s_client_sees_the_same_texts(cloud: Cloud) -> None:
    """The emulator's messages are the same as in the table above."""
    client = Client(cloud)
    cloud.settings.instance_limit = 0
    assert client.refused()[1].startswith("Server add failed: You have reached the maximum number")
    assert client.refused(region="mars") == (400, "Invalid region.")
    assert client.refused(plan="none") == (400, "Invalid plan chosen.")
    cloud.settings.sold_out = ("vc2-1c-1gb",)
    assert client.refused() == (400, "Server add failed: plan is not available in the selected region")
