"""
Recorded entries with each of their fields missing, null or of another type.

A catalogue never fails for one odd entry, and the other entries stay as they were. An instance stays there whatever its
report lacks; without an id it is an error.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from hart_salt.base.errors import TemporaryFailure
from hart_salt.drivers.ec2 import images
from hart_salt.model import Instance
from tests.drivers.recorded.answers import CLOUDS, Recorded, recorded
from tests.drivers.recorded.readings import OWN, owned, read, reading_of
from tests.drivers.recorded.replay import OWN_PAIRS, replayed

#: the requests of catalogues
CATALOGUES: Mapping[str, tuple[str, ...]] = {
    "do": ("sizes", "regions", "images"),
    "vultr": ("plans", "regions", "os", "snapshots"),
    "hetzner": ("server_types", "locations", "images"),
    "ec2": (
        "DescribeInstanceTypes", "DescribeInstanceTypeOfferings", "DescribeRegions", "DescribeAvailabilityZones",
        "DescribeImages",
    ),
    "gce": ("aggregated/machineTypes", "zones/us-central1-a/machineTypes", "regions", "zones", "global/images"),
}  # fmt: skip
#: the field with an instance's id, and for lists of one cloud: the path and the field of one instance
IDS = {"do": "id", "vultr": "id", "hetzner": "id", "ec2": "InstanceId", "gce": "id"}
ONE = {"do": ("droplets", "droplet"), "vultr": ("instances", "instance"), "hetzner": ("servers", "server")}
#: fields without which an answer is an error as a whole: the SDK takes any object for any message
UNREADABLE = {"gce": [("name",)]}
ENTRIES = 2  #: entries of each answer that are varied
#: marks a field that is removed
MISSING = object()

Path = tuple[Any, ...]


def paths(value: Any, above: Path = ()) -> Iterator[Path]:
    """Yield the path of each field at any depth, in lists those of the first item."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*above, key)
            yield from paths(inner, (*above, key))
    elif isinstance(value, list) and value:
        yield from paths(value[0], (*above, 0))


def changed(value: Any, path: Path, new: Any) -> Any:
    """Return a copy with another value at a path, or without it."""
    made = copy.deepcopy(value)
    at = made
    for key in path[:-1]:
        at = at[key]
    if new is MISSING:
        del at[path[-1]]
    else:
        at[path[-1]] = new
    return made


def entries(body: Any) -> Iterator[Path]:
    """Yield the paths of the entries of an answer's lists."""
    for key, value in body.items() if isinstance(body, dict) else ():
        if isinstance(value, list):
            yield from ((key, number) for number, one in enumerate(value) if isinstance(one, dict))
        elif isinstance(value, dict):
            yield from ((key, *path) for path in entries(value))


def at(body: Any, path: Path) -> Any:
    for key in path:
        body = body[key]
    return body


def odd(answer: Recorded, path: Path) -> Any:
    """Return values that a field may have instead: none at all, null and, if the API has no types, another type."""
    if path[-2:-1] == ("labels",):
        return (MISSING,)  # the SDK accepts text only
    return (MISSING, None) if answer.cloud in ("ec2", "gce") else (MISSING, None, "odd")


def flat(reading: Any) -> list[Any]:
    """Return the entries of a reading, of all regions."""
    found = list(reading.values()) if isinstance(reading, dict) else [reading]
    return [one for part in found for one in part]


def name_of(entry: Any) -> Any:
    return entry.get("name") or entry.get("setting")


def catalogues() -> list[Recorded]:
    """Return the recorded catalogues of one page, as JSON."""
    return [
        answer
        for cloud, wanted in CATALOGUES.items()
        for answer in recorded(cloud).values()
        if answer.path in wanted and answer.status < 300 and isinstance(answer.body, dict)
    ]


@pytest.mark.parametrize("answer", catalogues(), ids=str)
def test_a_catalogue_never_fails_for_one_odd_entry(answer: Recorded) -> None:
    """What is shown without the entry is shown with it, whatever the entry lacks."""
    body = answer.body
    for entry in list(entries(body))[:ENTRIES]:
        without = dataclasses.replace(answer, body=changed(body, entry, MISSING))
        others = {name_of(one) for one in flat(read(without))}
        for path in paths(at(body, entry)):
            for new in odd(answer, path):
                varied = dataclasses.replace(answer, body=changed(body, (*entry, *path), new))
                shown = {name_of(one) for one in flat(read(varied))}
                assert others <= shown, (entry, path, new)


@pytest.mark.parametrize("cloud", ["do", "vultr", "hetzner"])
@pytest.mark.parametrize("entry", [{}, None, "odd", 7, []])
def test_an_entry_that_is_nothing_at_all(cloud: str, entry: Any) -> None:
    """The SDKs of the other clouds know the types of lists."""
    answer = next(one for one in catalogues() if one.cloud == cloud)
    (key, _), *_ = entries(answer.pages[0])
    if not isinstance(entry, dict) and cloud != "do":
        with pytest.raises(TemporaryFailure):  # the client checks that lists contain objects
            read(dataclasses.replace(answer, body={**answer.pages[0], key: [*answer.pages[0][key], entry]}))
        return
    body = {**answer.pages[0], key: [*answer.pages[0][key], entry]}
    assert flat(read(dataclasses.replace(answer, body=body))) == flat(read(answer))


# instances


def instances_of(cloud: str) -> list[Any]:
    """Return the recorded instances of a cloud that exist, as its API reports them."""
    found: list[Any] = []
    for answer in recorded(cloud).values():
        for body in answer.pages:
            if not isinstance(body, dict) or answer.status >= 300:
                continue
            found += body.get("droplets", []) + body.get("servers", [])
            found += body["instances"] if isinstance(body.get("instances"), list) else []
            found += [it for kind in ("droplet", "server", "instance") for it in (body.get(kind),) if it]
            found += [it for group in body.get("Reservations", ()) for it in group["Instances"]]
            scopes = body.get("items") if "Aggregated" in str(body.get("kind")) else None
            found += [it for scope in (scopes or {}).values() for it in scope.get("instances", ())]
    gone = ("terminated", "shutting-down")
    return [it for it in found if (it.get("State") or {}).get("Name") not in gone]


def alone(cloud: str, report: Any, number: str) -> Recorded:
    """Return the answer that has only this instance: by its id, or for EC2 a list."""
    if cloud == "ec2":
        request, body = "DescribeInstances", {"Reservations": [{"Instances": [report]}]}
    elif cloud == "gce":
        request, body = f"GET zones/us-central1-a/instances/{number}", report
    else:
        path, field = ONE[cloud]
        request, body = f"GET {path}/{number}", {field: report}
    beside = ("reserved_and_free",) if cloud == "do" else ()
    return Recorded(cloud, "alone", {}, request, 200, body, {}, beside, None)


def looked_up(answer: Recorded, number: str) -> Any:
    """Return the instance by its id."""
    with replayed(answer, OWN, OWN_PAIRS) as driver:
        return driver.instance(Instance(number, "w1", "running", region="us-east-1", zone="us-central1-a"))


@pytest.mark.parametrize("cloud", CLOUDS)
def test_an_instance_is_there_whatever_its_report_lacks(cloud: str) -> None:
    """By its id, hart finds out whether an instance that lists lack is gone: only its state may say so."""
    for report in instances_of(cloud)[: 2 * ENTRIES]:
        key = IDS[cloud]
        number = str(report[key])
        for path in paths(report):
            for new in (MISSING, None):
                if path in ((key,), *UNREADABLE.get(cloud, ())):
                    continue
                found = looked_up(alone(cloud, changed(report, path, new), number), number)
                assert found is not None, path
                assert found.instance_id == number, path
                assert found.state in ("pending", "running", "stopped"), path


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("new", [MISSING, None])
def test_an_instance_without_an_id_is_an_error(cloud: str, new: Any) -> None:
    """The list would lack an instance that exists."""
    report = instances_of(cloud)[0]
    number = str(report[IDS[cloud]])
    with pytest.raises(TemporaryFailure) as caught:
        looked_up(alone(cloud, changed(report, (IDS[cloud],), new), number), number)
    assert str(report.get("name", "")) in str(caught.value) or cloud in ("ec2", "vultr")


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_list_with_an_instance_that_lacks_its_id_is_an_error(cloud: str) -> None:
    lists: Callable[[Recorded], bool] = lambda it: it.name.startswith(("list", "aggregated"))  # noqa: E731
    answer = next(it for it in recorded(cloud).values() if lists(it) and isinstance(it.body, dict))
    body = owned(answer)(copy.deepcopy(answer.body))
    (path,) = list(entries(body))[:1]
    path = (*path, "Instances", 0) if cloud == "ec2" else path
    broken = dataclasses.replace(answer, body=changed(body, (*path, IDS[cloud]), MISSING))
    with replayed(broken, OWN, OWN_PAIRS) as driver, pytest.raises(TemporaryFailure):
        reading_of(broken)(driver, broken)


def test_an_ec2_image_whose_date_cannot_be_read_is_never_the_newest() -> None:
    dated = {"ImageId": "ami-1", "CreationDate": "2026-01-10T18:24:00.000Z"}
    for date in (None, "", "yesterday", "2026-13-40"):
        assert images._newest([dated, {"ImageId": "ami-2", "CreationDate": date}]) is dated
    assert images._newest([{"ImageId": "ami-2"}, dated]) is dated


def test_the_link_of_an_instance_of_compute_engine_names_its_zone_too() -> None:
    """Without its zone, it could not be terminated."""
    report = instances_of("gce")[0]
    found = looked_up(alone("gce", changed(report, ("zone",), MISSING), report["id"]), report["id"])
    assert found.zone == report["zone"].rpartition("/")[2]


#: a catalogue of sizes, and what a size must have; then what may be unknown, and hart's name of it
SIZES = {
    "do-sizes_2023": (("slug",), ("memory",), ("vcpus",)),
    "vultr-plans_2025": (("id",), ("ram",), ("vcpu_count",)),
    "hetzner-types_2026_with_locations": (("name",), ("memory",), ("cores",)),
    "ec2-types": (("InstanceType",), ("MemoryInfo", "SizeInMiB"), ("VCpuInfo", "DefaultVCpus")),
    "gce-machine_types_of_a_zone_2016": (("name",), ("memoryMb",), ("guestCpus",)),
}
UNKNOWN = [
    ("do-sizes_2023", ("price_monthly",), "monthly_price"),
    ("do-sizes_2023", ("disk",), "disk_gb"),
    ("vultr-plans_2025", ("monthly_cost",), "monthly_price"),
    ("vultr-plans_2025", ("disk",), "disk_gb"),
    ("hetzner-types_2026_with_locations", ("prices",), "monthly_price"),
    ("hetzner-types_2026_with_locations", ("prices", 0, "price_monthly", "net"), "monthly_price"),
    ("hetzner-types_2026_with_locations", ("disk",), "disk_gb"),
]


def sizes_with(name: str, path: Path, new: Any) -> tuple[list[Any], list[Any]]:
    """Return the sizes of a recorded catalogue as they are, and with another value in the first of them."""
    answer = next(one for one in catalogues() if str(one) == name)
    entry = next(entries(answer.body))
    usual, varied = read(answer), read(dataclasses.replace(answer, body=changed(answer.body, (*entry, *path), new)))
    return [one["all"] if isinstance(one, dict) else one for one in (usual, varied)]  # type: ignore[return-value]


@pytest.mark.parametrize("name", SIZES)
def test_a_size_without_its_name_its_memory_or_its_cpus_is_left_out(name: str) -> None:
    for path in SIZES[name]:
        for new in (MISSING, None):
            usual, varied = sizes_with(name, path, new)
            assert varied == usual[1:], path


@pytest.mark.parametrize(("name", "path", "unknown"), UNKNOWN)
def test_a_size_with_an_unknown_price_or_disk_is_shown(name: str, path: Path, unknown: str) -> None:
    for new in (None, MISSING):
        usual, varied = sizes_with(name, path, new)
        assert varied[1:] == usual[1:]
        assert varied[0] == {key: value for key, value in usual[0].items() if key != unknown}
