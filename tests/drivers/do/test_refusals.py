"""What the driver ``do`` refuses by itself, and the class of each refusal of DigitalOcean."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from hart_salt.base.errors import (
    AuthError,
    DriverError,
    InvalidRequest,
    NoCapacity,
    NotFound,
    QuotaExceeded,
    RateLimited,
    TemporaryFailure,
)
from hart_salt.drivers.do import driver as do
from hart_salt.model import Node
from tests.drivers.do.driver import BATCH, CREATE, KEY, NOWHERE, Time, launch, left, node
from tests.drivers.do.emulator.cloud import DigitalOcean as Cloud
from tests.emulation.faults import Fault

# objections


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (node("a_b"), "a droplet's name"),
        (node(tags=["a.b"]), "the tag a.b may hold"),
        (node(tags={"a": "b c"}), "the tag a:b c may hold"),
        (node(tags=["x" * 256]), "the tag xxx"),
        (node(tags={"hart-owner": "me"}), "is one of hart's own"),
        (node(tags=["hart-batch:1"]), "is one of hart's own"),
        (node(public_ip=False, options={"ipv6": True}), "ipv6 is a public address"),
        (node(options={"vpc": "my-network"}), "the VPC's UUID"),
        (dataclasses.replace(node(), zone="nyc3-a"), "no zones"),
    ],
)
def test_objections(cloud: Cloud, driver: do.DigitalOcean, wanted: Node, text: str):
    (objection,) = driver.objections(wanted)
    assert text in objection
    assert cloud.calls == []


def test_no_objections(cloud: Cloud, driver: do.DigitalOcean):
    assert driver.objections(node(tags={"env": "prod"}, options={"ipv6": True, "vpc": NOWHERE})) == []
    assert cloud.calls == []


# errors


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "bad", InvalidRequest),
        (401, "Unable to authenticate you", AuthError),
        (403, "You are not authorized to perform this operation", AuthError),
        (404, "The resource you were accessing could not be found.", InvalidRequest),
        (409, "conflict", InvalidRequest),
        (418, "odd", InvalidRequest),
        (422, "creating this/these droplet(s) will exceed your droplet limit", QuotaExceeded),
        (422, "Region is not available", NoCapacity),
        (422, "Size is not available in this region.", NoCapacity),
        (422, "Size is currently unavailable", NoCapacity),
        (422, "1 are invalid key identifiers for Droplet creation.", InvalidRequest),
        (422, "The image you specified is not available in the selected region.", InvalidRequest),
        (422, "You specified an invalid size for Droplet creation.", InvalidRequest),
        (422, "something that nobody has heard of", InvalidRequest),
    ],
)
def test_the_class_of_each_refusal(
    cloud: Cloud, driver: do.DigitalOcean, time: Time, status: int, message: str, kind: type[DriverError]
):
    cloud.faults.add(Fault("POST", CREATE, status=status, answer={"id": "an_id", "message": message}))
    with pytest.raises(kind) as caught:
        launch(driver, node())
    assert type(caught.value) is kind
    assert f"{message} ({status} an_id)" in str(caught.value)
    assert (cloud.count("POST", CREATE), time.waits, left(cloud)) == (1, [], {})


@pytest.mark.parametrize(
    ("switches", "settings", "kind"),
    [
        ({"droplet_limit": 0}, {}, QuotaExceeded),
        ({"full_regions": ("nyc3",)}, {}, NoCapacity),
        ({"sold_out_sizes": ("s-1vcpu-1gb",)}, {}, NoCapacity),
        ({}, {"image": "bullseye"}, InvalidRequest),
        ({}, {"options": {"vpc": NOWHERE}}, InvalidRequest),
        ({}, {"options": {"volumes": [NOWHERE]}}, InvalidRequest),
    ],
)
def test_what_the_cloud_refuses_by_itself(cloud: Cloud, driver: do.DigitalOcean, switches, settings, kind):
    vars(cloud.settings).update(switches)
    with pytest.raises(kind):
        launch(driver, node(**settings))
    assert left(cloud) == {}


def test_user_data_that_is_too_long(cloud: Cloud, driver: do.DigitalOcean):
    with driver.access(BATCH, KEY, []) as access, pytest.raises(InvalidRequest):
        driver.launch(node(), "#" * (64 * 1024 + 1), access)
    assert left(cloud) == {}


def test_kinds_of_errors_are_all_that_comes_out(cloud: Cloud, driver: do.DigitalOcean):
    """Whatever a call is answered, nothing but ``DriverError`` is raised."""
    odd = [{}, [], "", "<html>", {"droplets": None}, {"droplets": [], "links": None},
           {"droplets": [], "links": {"pages": {"next": "no-query"}}}]  # fmt: skip
    for answer, status in itertools.product(odd, (200, 302, 404, 429, 500)):
        if answer == odd[3] and status == 200:
            continue
        cloud.faults.add(Fault("GET", CREATE, status=status, answer=answer, times=None))
        with pytest.raises((InvalidRequest, NotFound, RateLimited, TemporaryFailure)):
            driver.instances()
        cloud.faults.clear()
