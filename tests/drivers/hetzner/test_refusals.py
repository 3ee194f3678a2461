"""What the driver ``hetzner`` refuses by itself, and the error class of each of Hetzner's refusals."""

from __future__ import annotations

import dataclasses

import pytest

from hart_salt.base.errors import DriverError, InvalidRequest, RateLimited, TemporaryFailure
from hart_salt.drivers.hetzner import driver as hetzner
from hart_salt.model import Node
from tests.drivers.hetzner.driver import CREATE, NOWHERE, Client, Time, launch, left, node
from tests.drivers.hetzner.emulator.cloud import Hetzner as Cloud
from tests.emulation.faults import Fault

# objections


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (node("a_b"), "a server's name must be a host name"),
        (node("-a"), "a server's name must be a host name"),
        (node("a..b"), "a server's name must be a host name"),
        (node("a" * 64), "a server's name must be a host name"),
        (node(".".join(["a" * 50] * 5)), "a server's name must be a host name"),
        (node(tags={"hart-owner": "me"}), "is one of hart's own"),
        (node(tags={"hart": "me"}), "the tag hart:me is one of hart's own"),
        (node(tags=["hart-batch"]), "the tag hart-batch is one of hart's own"),
        (node(tags=["a:1", "a:2"]), "the tag a occurs twice"),
        (node(tags={"a": "b c"}), "the tag a:b c is not a valid label"),
        (node(tags={"a": "-b"}), "the tag a:-b is not a valid label"),
        (node(tags={"a": "b" * 64}), "is not a valid label"),
        (node(tags={"a": "b:c"}), "the tag a:b:c is not a valid label"),
        (node(tags=["k=v"]), "the tag k=v is not a valid label"),
        (node(tags=["/v"]), "the tag /v is not a valid label"),
        (node(tags=["-x/v"]), "the tag -x/v is not a valid label"),
        (node(tags=["a/b/c"]), "the tag a/b/c is not a valid label"),
        (node(tags=["a" * 64]), "is not a valid label"),
        (dataclasses.replace(node(), role="r" * 64), "is not a valid label value"),
        (dataclasses.replace(node(), zone="fsn1-dc14"), "no zones"),
        (node(public_ip=False), "needs network: set it to a private network with access"),
        (node(connect_via="private"), "set network"),
        (node(private_networking=True), "set network"),
        (node(image="bullseye"), "there is no image bullseye for cx23, which is x86; salt-run hart.list_images"),
        (node(image=NOWHERE), f"there is no image {NOWHERE} for cx23"),
        (dataclasses.replace(node(image="rocky-9"), size="cax11"), "there is no image rocky-9 for cax11, which is arm"),
        (node(options={"network": NOWHERE}), f"the project has no network {NOWHERE}"),
        (node(options={"firewall": "ssh"}), "the project has no firewall ssh"),
        (node(options={"ssh_keys": ["mine"]}), "the project has no SSH key mine"),
    ],
)
def test_objections(cloud: Cloud, driver: hetzner.Hetzner, wanted: Node, text: str) -> None:
    (objection,) = driver.objections(wanted)
    assert text in objection
    assert cloud.count("POST") == 0


def test_ipv6_and_a_firewall_need_a_public_address(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    cloud.add_network("inside", "eu-central")
    Client(cloud).make("firewalls", "firewall", name="ssh")
    options = {"ipv6": True, "firewall": "ssh", "network": "inside"}
    ipv6, firewall = driver.objections(node(public_ip=False, options=options))
    assert "ipv6 is a public address" in ipv6
    assert "a firewall needs a public address" in firewall


def test_a_network_of_another_zone(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    cloud.add_network("inside", "us-east")
    wanted = node(options={"network": "inside"})
    (objection,) = driver.objections(wanted)
    assert objection == "the network inside has no subnet in eu-central, the network zone of fsn1"
    with pytest.raises(InvalidRequest, match="no subnet in the network zone"):
        launch(driver, wanted)


def test_a_snapshot_of_the_other_architecture(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    wanted = node(image=str(cloud.add_snapshot("golden", "arm")))
    (objection,) = driver.objections(wanted)
    assert "which is x86" in objection
    with pytest.raises(InvalidRequest, match="architecture"):
        launch(driver, wanted)


def test_nodes_without_objections_cost_two_calls(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    for name in ("a", "b", "c"):
        assert driver.objections(node(name, tags={"env": "prod"}, options={"ipv6": True})) == []
    assert sorted(call.path for call in cloud.calls) == ["/v1/images", "/v1/server_types"]


# errors


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [("rate_limit_exceeded", 403, RateLimited), ("rate_limit_exceeded", 429, RateLimited), ("", 429, RateLimited),
     ("locked", 423, TemporaryFailure), ("conflict", 409, TemporaryFailure), ("maintenance", 503, TemporaryFailure)],
)  # fmt: skip
def test_temporary_refusals_are_retried_for_two_minutes(
    cloud: Cloud, driver: hetzner.Hetzner, time: Time, code: str, status: int, kind: type[DriverError]
) -> None:
    answer = {"error": {"code": code, "message": "Odd."}}
    cloud.faults.add(Fault("POST", CREATE, status=status, answer=answer, times=None))
    with pytest.raises(kind) as caught:
        launch(driver, node())
    assert not getattr(caught.value, "uncertain", False)
    assert 100 < sum(time.waits) <= 120
    assert left(cloud) == {}
    cloud.faults.clear()


def test_the_fields_and_the_request_id_of_a_refusal_are_reported(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    with pytest.raises(InvalidRequest) as caught:
        launch(driver, dataclasses.replace(node(), size="no-such-size"))
    assert str(caught.value) == (
        "Hetzner: invalid input in field 'server_type': server_type (422 invalid_input, request 1e30f35cca296a67)"
    )


def test_an_html_body_is_not_shown(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    cloud.faults.add(Fault("GET", CREATE, status=400, answer="<html>secret</html>"))
    with pytest.raises(InvalidRequest, match=r"^Hetzner: Bad Request \(400\)$"):
        driver.check()
