"""What the clouds refuse, and the class of error that each refusal is, whatever a call is answered."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable
from typing import Any

import pytest

from hart_salt.base import errors
from tests.drivers.clouds import CLOUDS
from tests.drivers.ec2.emulator import answers as ec2
from tests.drivers.gce.emulator import answers as gce
from tests.emulation.faults import Fault

#: a UUID that nothing has, and a number
NOWHERE, NO_ID = "5a4981aa-9653-4bd1-bef5-d6bff52042e4", "999999999"
CREATE = {
    "do": {"method": "POST", "path": r"/v2/droplets$"},
    "ec2": {"method": "POST", "body": "Action=RunInstances&"},
    "gce": {"method": "POST", "path": r"/zones/[^/]+/instances$"},
    "hetzner": {"method": "POST", "path": r"/v1/servers$"},
    "vultr": {"method": "POST", "path": r"/v2/instances$"},
}
LOOK = {
    **{name: {**CREATE[name], "method": "GET"} for name in ("do", "hetzner", "vultr")},
    "ec2": {"method": "POST", "body": "Action=DescribeInstances&"},
    "gce": {"method": "GET", "path": r"/aggregated/instances$"},
}


def of_each(table: dict[str, list[Any]]) -> list[Any]:
    """The rows of all clouds, each with the name of its cloud."""
    return [(name, *row) for name, rows in table.items() for row in rows]


def launch(own: Any, driver: Any, settings: dict[str, Any]) -> None:
    """Launch a node that is as the settings say."""
    region = settings.get("region")
    wanted = own.node(**{name: value for name, value in settings.items() if name != "region"})
    own.launch(driver, dataclasses.replace(wanted, region=region or wanted.region))


# objections


@pytest.mark.parametrize(
    ("cloud_name", "size", "region"), [("hetzner", "cx23", "fsn1"), ("vultr", "vc2-1c-1gb", "ams")]
)
def test_a_size_that_is_out_of_stock(own, cloud, driver, size: str, region: str):
    cloud.settings.sold_out = (size,)
    (objection,) = driver.objections(own.node())
    assert objection == f"{size} is not available in {region} now; salt-run hart.list_sizes shows what is"


@pytest.mark.parametrize("cloud_name", ["hetzner", "vultr"])
@pytest.mark.parametrize("wrong", [{"region": "mars"}, {"size": "no-such-size"}])
def test_what_is_found_to_be_unknown_by_others_is_said_once(own, driver, wrong: dict[str, str]):
    assert driver.objections(dataclasses.replace(own.node(), **wrong)) == []


# the class of each refusal of a create

#: status, and the vendor's code or message for it
REFUSED = {
    "do": [
        (400, "bad", errors.InvalidRequest),
        (401, "Unable to authenticate you", errors.AuthError),
        (403, "You are not authorized to perform this operation", errors.AuthError),
        (404, "The resource you were accessing could not be found.", errors.InvalidRequest),
        (409, "conflict", errors.InvalidRequest),
        (418, "odd", errors.InvalidRequest),
        (422, "creating this/these droplet(s) will exceed your droplet limit", errors.QuotaExceeded),
        (422, "Region is not available", errors.NoCapacity),
        (422, "Size is not available in this region.", errors.NoCapacity),
        (422, "Size is currently unavailable", errors.NoCapacity),
        (422, "1 are invalid key identifiers for Droplet creation.", errors.InvalidRequest),
        (422, "The image you specified is not available in the selected region.", errors.InvalidRequest),
        (422, "You specified an invalid size for Droplet creation.", errors.InvalidRequest),
        (422, "something that nobody has heard of", errors.InvalidRequest),
    ],
    "ec2": [
        (401, "AuthFailure", errors.AuthError),
        (403, "UnauthorizedOperation", errors.AuthError),
        (400, "RequestExpired", errors.AuthError),
        (400, "OptInRequired", errors.AuthError),
        (400, "PendingVerification", errors.AuthError),
        (400, "VcpuLimitExceeded", errors.QuotaExceeded),
        (400, "InstanceLimitExceeded", errors.QuotaExceeded),
        (400, "MaxSpotInstanceCountExceeded", errors.QuotaExceeded),
        (400, "InsufficientFreeAddressesInSubnet", errors.NoCapacity),
        (400, "SpotMaxPriceTooLow", errors.NoCapacity),
        (400, "InvalidAMIID.errors.NotFound", errors.InvalidRequest),
        (400, "InvalidParameterValue", errors.InvalidRequest),
        (400, "Unsupported", errors.InvalidRequest),
        (400, "IdempotentParameterMismatch", errors.InvalidRequest),
        (400, "InvalidSubnetID.errors.NotFound", errors.InvalidRequest),
        (400, "SomethingThatNobodyHasHeardOf", errors.InvalidRequest),
    ],
    "gce": [
        (400, "invalid", errors.InvalidRequest),
        (400, "badRequest", errors.InvalidRequest),
        (400, "somethingNew", errors.InvalidRequest),
        (401, "authError", errors.AuthError),
        (403, "forbidden", errors.AuthError),
        (403, "accessNotConfigured", errors.AuthError),
        (403, "quotaExceeded", errors.QuotaExceeded),
        (403, "somethingNew", errors.AuthError),
        (404, "notFound", errors.InvalidRequest),
        (412, "conditionNotMet", errors.InvalidRequest),
        (418, "odd", errors.InvalidRequest),
        (503, "resourcePoolExhausted", errors.NoCapacity),
    ],
    "hetzner": [
        (401, "unauthorized", errors.AuthError),
        (403, "forbidden", errors.AuthError),
        (403, "token_readonly", errors.AuthError),
        (403, "", errors.AuthError),
        (403, "protected", errors.InvalidRequest),
        (403, "resource_limit_exceeded", errors.QuotaExceeded),
        (404, "not_found", errors.InvalidRequest),
        (404, "", errors.InvalidRequest),
        (400, "json_error", errors.InvalidRequest),
        (400, "something_new", errors.InvalidRequest),
        (409, "uniqueness_error", errors.InvalidRequest),
        (412, "resource_unavailable", errors.NoCapacity),
        (422, "resource_unavailable", errors.NoCapacity),
        (503, "resource_unavailable", errors.NoCapacity),
        (412, "placement_error", errors.NoCapacity),
        (422, "no_subnet_available", errors.NoCapacity),
        (422, "invalid_input", errors.InvalidRequest),
        (422, "unsupported_error", errors.InvalidRequest),
        (422, "private_net_only_server", errors.InvalidRequest),
        (423, "resource_locked", errors.InvalidRequest),
        (418, "", errors.InvalidRequest),
    ],
    "vultr": [
        (400, "Invalid region.", errors.InvalidRequest),
        (400, "Invalid plan chosen.", errors.InvalidRequest),
        (400, "Server add failed: plan is not available in the selected region", errors.NoCapacity),
        (400, "Server add failed: You have reached the maximum number of active instances for this account.",
         errors.QuotaExceeded),
        (400, "Server add failed: You have reached the maximum monthly fee limit for this account.",
         errors.QuotaExceeded),
        (400, "This exceeds your account limits", errors.QuotaExceeded),
        (402, "Limit reached", errors.QuotaExceeded),
        (400, "Access is limited to the owner", errors.InvalidRequest),
        (400, "Rate limit exceeded", errors.InvalidRequest),
        (400, "Rate-limit exceeded", errors.InvalidRequest),
        (400, "Server add failed: Please open a support request", errors.InvalidRequest),
        (401, "Invalid API token.", errors.AuthError),
        (401, "API key limit reached", errors.AuthError),
        (403, "Forbidden", errors.AuthError),
        (404, "Invalid VPC ID.", errors.InvalidRequest),
        (409, "Limit reached", errors.InvalidRequest),
        (412, "odd", errors.InvalidRequest),
        (418, "odd", errors.InvalidRequest),
        (422, "Invalid plan", errors.InvalidRequest),
        (400, "something that nobody has heard of", errors.InvalidRequest),
    ],
}  # fmt: skip
#: how a cloud says that, and what hart tells then, as a regular expression
SAYS: dict[str, tuple[Callable[[int, str], Any], str]] = {
    "do": (lambda status, said: {"id": "an_id", "message": said}, r".*{said} \({status} an_id\).*"),
    "ec2": (
        lambda status, said: ec2.error(said, "So it is."),
        r"Amazon EC2 in eu-west-1: So it is\. \({said} RunInstances\)",
    ),
    "gce": (
        lambda status, said: gce.error(status, "In words.", said), r"Compute Engine: In words\. \({status} {said}\)"),
    "hetzner": (
        lambda status, said: {"error": {"code": said, "message": "Odd."}}, r"Hetzner: Odd\. \({status} ?{said}\).*"),
    "vultr": (lambda status, said: {"error": said, "status": status}, r"Vultr: {said} \({status}\)"),
}  # fmt: skip


@pytest.mark.parametrize(("cloud_name", "status", "said", "kind"), of_each(REFUSED))
def test_the_class_of_each_refusal(
    cloud_name: str, own, cloud, driver, time, status: int, said: str, kind: type[errors.DriverError]
):
    answer, told = SAYS[cloud_name]
    tries = 3 if (cloud_name, status) == ("gce", 401) else 1  # Google's library tries a new token
    cloud.faults.add(Fault(**CREATE[cloud_name], status=status, answer=answer(status, said), times=tries))
    with pytest.raises(kind) as caught:
        launch(own, driver, {})
    assert type(caught.value) is kind or cloud_name == "gce", "Compute Engine has classes of its own below these"
    assert re.fullmatch(told.format(status=status, said=re.escape(said)), str(caught.value), re.DOTALL)
    assert (cloud.count(**CREATE[cloud_name]), own.left(cloud)) == (tries, {})
    # Compute Engine's operations take time, that of the firewall rule as well.
    assert time.waits == [] or cloud_name == "gce"


# what the cloud refuses by itself

#: switches of the emulator, and settings of the node
SWITCHED = {
    "do": [
        ({"droplet_limit": 0}, {}, errors.QuotaExceeded),
        ({"full_regions": ("nyc3",)}, {}, errors.NoCapacity),
        ({"sold_out_sizes": ("s-1vcpu-1gb",)}, {}, errors.NoCapacity),
        ({}, {"image": "bullseye"}, errors.InvalidRequest),
        ({}, {"options": {"vpc": NOWHERE}}, errors.InvalidRequest),
        ({}, {"options": {"volumes": [NOWHERE]}}, errors.InvalidRequest),
    ],
    "ec2": [
        ({"vcpu_limit": 1}, {}, errors.QuotaExceeded),
        ({"full_zones": ("eu-west-1a", "eu-west-1b", "eu-west-1c")}, {}, errors.NoCapacity),
        ({"denied": ("ec2:RunInstances",)}, {}, errors.AuthError),
        ({}, {"options": {"instance_profile": "nobody"}}, errors.InvalidRequest),
        ({}, {"options": {"volume_size": 4}}, errors.InvalidRequest),
        ({}, {"size": "t4g.micro", "zone": "eu-west-1c"}, errors.InvalidRequest),
    ],
    "gce": [
        ({"instance_limit": 0}, {}, errors.QuotaExceeded),
        ({"firewall_limit": 0}, {}, errors.QuotaExceeded),
        ({}, {"image": "bullseye"}, errors.InvalidRequest),
        ({}, {"options": {"subnet": "nothing"}}, errors.InvalidRequest),
        ({}, {"options": {"service_account": "nobody"}}, errors.InvalidRequest),
        ({}, {"tags": ["A"]}, errors.InvalidRequest),
        ({}, {"image": "big"}, errors.InvalidRequest),
    ],
    "hetzner": [
        ({"server_limit": 0}, {}, errors.QuotaExceeded),
        ({"sold_out": ("cx23",)}, {}, errors.NoCapacity),
        ({"no_host_for": ("cx23",)}, {}, errors.NoCapacity),
        ({}, {"image": NO_ID}, errors.InvalidRequest),
        ({}, {"image": "none"}, errors.InvalidRequest),
        ({}, {"options": {"network": NO_ID}}, errors.InvalidRequest),
        ({}, {"options": {"ssh_keys": [NO_ID]}}, errors.InvalidRequest),
        ({}, {"public_ip": False}, errors.InvalidRequest),
        ({}, {"region": "mars"}, errors.InvalidRequest),
        ({}, {"region": "ash"}, errors.InvalidRequest),
    ],
    "vultr": [
        ({"instance_limit": 0}, {}, errors.QuotaExceeded),
        ({"sold_out": ("vc2-1c-1gb",)}, {}, errors.NoCapacity),
        ({}, {"image": NOWHERE}, errors.InvalidRequest),
        ({}, {"image": "9999"}, errors.InvalidRequest),
        ({}, {"options": {"vpc": NOWHERE}}, errors.InvalidRequest),
        ({}, {"options": {"firewall_group": NOWHERE}}, errors.InvalidRequest),
        ({}, {"options": {"ssh_keys": [NOWHERE]}}, errors.InvalidRequest),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("cloud_name", "switches", "settings", "kind"), of_each(SWITCHED))
def test_what_the_cloud_refuses_by_itself(
    cloud_name: str, own, cloud, driver, switches, settings, kind: type[errors.DriverError]
):
    vars(cloud.settings).update(switches)
    if cloud_name == "gce":
        cloud.add_image("big", disk_size=20)
    with pytest.raises(kind):
        launch(own, driver, settings)
    assert own.left(cloud) == {}


# whatever a call is answered

LAST: Any = {"pagination": {"next_page": None}}
ODD: dict[str, list[Any]] = {
    "do": [
        {}, [], "", "<html>", {"droplets": None}, {"droplets": [], "links": None},
        {"droplets": [], "links": {"pages": {"next": "no-query"}}},
    ],
    "ec2": [b"", b"<a/>", b"<a", "<html><p></html>", b"\xff\xfe", {}, [], b'<?xml version="1.0"?><a><b/></a>'],
    "gce": [
        {}, [], "", "<html>", {"items": [1]}, {"items": {"zones/a": {"instances": [{"id": "0xab"}]}}},
        {"error": None}, {"error": {"errors": [None]}}, {"error": {"errors": [{}]}}, {"error": "text"},
    ],
    "hetzner": [
        {}, [], "", "<html>", 7, None, {"servers": None}, {"servers": []}, {"servers": {}, "meta": LAST},
        {"servers": [], "meta": None}, {"servers": [], "meta": {"pagination": []}},
        {"servers": [7], "meta": LAST}, {"servers": [], "meta": {"pagination": {"next_page": "2"}}},
        {"error": {"root_password": "x"}}, {"error": "root_password"}, {"error": {"code": 7, "message": ["x"]}},
        {"error": {"code": "x", "details": {"fields": [7, {"name": None}]}}}, {"error": {"code": None, "details": []}},
        {"error": {"code": "invalid_input", "details": {"fields": 7}}},
    ],
    "vultr": [
        {}, [], "", "<html>", 7, None, {"instances": None}, {"instances": []}, {"instances": {}, "meta": {}},
        {"instances": [], "meta": None}, {"instances": [], "meta": {"links": []}},
        {"instances": [], "meta": {"links": {"next": None}}}, {"instances": [7], "meta": {"links": {"next": ""}}},
        {"error": {"default_password": "x"}, "status": "y"},
    ],
}  # fmt: skip
#: what no error may show of an answer
SECRET = {"gce": "<html>", "hetzner": "root_password", "vultr": "default_password"}


@pytest.mark.parametrize("cloud_name", CLOUDS)
def test_kinds_of_errors_are_all_that_comes_out(cloud_name: str, cloud, driver):
    """Whatever a call is answered, nothing but ``DriverError`` is raised."""
    place = ("eu-west-1",) if cloud_name == "ec2" else ()
    for answer, status in itertools.product(ODD[cloud_name], (200, 302, 404, 429, 500)):
        if (cloud_name, answer, status) == ("do", "<html>", 200):
            continue
        cloud.faults.add(Fault(**LOOK[cloud_name], status=status, answer=answer, times=None))
        expected = (errors.InvalidRequest, errors.NotFound, errors.RateLimited, errors.TemporaryFailure)
        with pytest.raises(expected) as caught:
            driver.instances(*place)
        assert cloud_name not in SECRET or SECRET[cloud_name] not in str(caught.value)
        cloud.faults.clear()
