"""
Refusals of the clouds and their error classes, for any answer to a call.

The refusals are in ``test_refusals.yaml``.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import pytest

from hart_salt.base import errors
from hart_salt.drivers.contract import Driver
from tests.drivers.clouds import CLOUDS
from tests.drivers.ec2.emulator import answers as ec2
from tests.drivers.gce.emulator import answers as gce
from tests.drivers.tested import Time
from tests.emulation.emulator import Emulator
from tests.emulation.faults import Fault
from tests.emulation.stateful import StatefulEmulator
from tests.emulation.tables import tables_of

TABLES = tables_of(__file__)
CREATE: Mapping[str, Mapping[str, Any]] = {
    "do": {"method": "POST", "path": r"/v2/droplets$"},
    "ec2": {"method": "POST", "body": "Action=RunInstances&"},
    "gce": {"method": "POST", "path": r"/zones/[^/]+/instances$"},
    "hetzner": {"method": "POST", "path": r"/v1/servers$"},
    "vultr": {"method": "POST", "path": r"/v2/instances$"},
}
LOOK: Mapping[str, Mapping[str, Any]] = {
    **{name: {**CREATE[name], "method": "GET"} for name in ("do", "hetzner", "vultr")},
    "ec2": {"method": "POST", "body": "Action=DescribeInstances&"},
    "gce": {"method": "GET", "path": r"/aggregated/instances$"},
}


def of_each(table: dict[str, dict[str, list[Any]]]) -> list[Any]:
    """The rows of all clouds, each between the name of its cloud and its class of error."""
    return [
        (name, *row, getattr(errors, kind))
        for name, kinds in table.items() for kind, rows in kinds.items() for row in rows
    ]  # fmt: skip


def launch(own: Any, driver: Any, settings: dict[str, Any]) -> None:
    """Launch a node with the given settings."""
    region = settings.get("region")
    wanted = own.node(**{name: value for name, value in settings.items() if name != "region"})
    own.launch(driver, dataclasses.replace(wanted, region=region or wanted.region))


# objections


@pytest.mark.parametrize(
    ("cloud_name", "size", "region"), [("hetzner", "cx23", "fsn1"), ("vultr", "vc2-1c-1gb", "ams")]
)
def test_a_size_that_is_out_of_stock(
    own: ModuleType, cloud: StatefulEmulator[Any, Any], driver: Driver, size: str, region: str
) -> None:
    cloud.settings.sold_out = (size,)
    (objection,) = driver.objections(own.node())
    assert objection == f"{size} is not available in {region} now; salt-run hart.list_sizes shows what is"


@pytest.mark.parametrize("cloud_name", ["hetzner", "vultr"])
@pytest.mark.parametrize("wrong", [{"region": "mars"}, {"size": "no-such-size"}])
def test_what_is_found_to_be_unknown_by_others_is_said_once(
    own: ModuleType, driver: Driver, wrong: dict[str, str]
) -> None:
    assert driver.objections(dataclasses.replace(own.node(), **wrong)) == []


# the class of each refusal of a create

#: the cloud's answer, and hart's message as a regular expression
SAYS: dict[str, tuple[Callable[[int, str], Any], str]] = {
    "do": (lambda status, said: {"id": "an_id", "message": said}, r".*{said} \({status} an_id\).*"),
    "ec2": (
        lambda status, said: ec2.error(said, "So it is."),
        r"Amazon EC2 in eu-west-1: So it is\. \({said} RunInstances\)(; .+)?",
    ),
    "gce": (
        lambda status, said: gce.error(status, "In words.", said),
        r"Compute Engine: In words\. \({status} {said}\)(; .+)?",
    ),
    "hetzner": (
        lambda status, said: {"error": {"code": said, "message": "Odd."}}, r"Hetzner: Odd\. \({status} ?{said}\).*"),
    "vultr": (lambda status, said: {"error": said, "status": status}, r"Vultr: {said} \({status}\)(; .+)?"),
}  # fmt: skip


@pytest.mark.parametrize(("cloud_name", "status", "said", "kind"), of_each(TABLES["refused"]))
def test_the_class_of_each_refusal(
    cloud_name: str,
    own: ModuleType,
    cloud: Emulator,
    driver: Driver,
    time: Time,
    status: int,
    said: str,
    kind: type[errors.DriverError],
) -> None:
    answer, text = SAYS[cloud_name]
    tries = 3 if (cloud_name, status) == ("gce", 401) else 1  # Google's library tries a new token
    cloud.faults.add(Fault(**CREATE[cloud_name], status=status, answer=answer(status, said), times=tries))
    with pytest.raises(kind) as caught:
        launch(own, driver, {})
    assert type(caught.value) is kind or cloud_name == "gce", "Compute Engine has classes of its own below these"
    assert re.fullmatch(text.format(status=status, said=re.escape(said)), str(caught.value), re.DOTALL)
    assert (cloud.count(**CREATE[cloud_name]), own.left(cloud)) == (tries, {})
    # Compute Engine's operations take time, that of the firewall rule as well.
    assert time.waits == [] or cloud_name == "gce"


# refusals of the emulated cloud itself


@pytest.mark.parametrize(("cloud_name", "switches", "settings", "kind"), of_each(TABLES["switched"]))
def test_what_the_cloud_refuses_by_itself(
    cloud_name: str,
    own: ModuleType,
    cloud: Any,
    driver: Driver,
    switches: dict[str, Any],
    settings: dict[str, Any],
    kind: type[errors.DriverError],
) -> None:
    vars(cloud.settings).update(switches)
    if cloud_name == "gce":
        cloud.add_image("big", disk_size=20)
    with pytest.raises(kind):
        launch(own, driver, settings)
    assert own.left(cloud) == {}


# any answer to a call

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
#: parts of an answer that no error may show
SECRET = {"gce": "<html>", "hetzner": "root_password", "vultr": "default_password"}


@pytest.mark.parametrize("cloud_name", CLOUDS)
def test_kinds_of_errors_are_all_that_comes_out(cloud_name: str, cloud: Emulator, driver: Driver) -> None:
    """For any answer to a call, only ``DriverError`` is raised."""
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
