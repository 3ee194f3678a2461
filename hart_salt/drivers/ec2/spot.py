"""
Interruptions of spot instances, as EC2's list of spot requests shows them.

The codes of a request's status are from "Spot request status" of EC2's user guide, and so is the time that a marked
instance has: two minutes.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from hart_salt.drivers.capabilities import SpotSupport
from hart_salt.drivers.ec2.request import seconds
from hart_salt.model import Instance

if TYPE_CHECKING:
    from hart_salt.drivers.ec2.client import Api

FILTER_VALUES = 200  #: values of one filter at most (EC2's reference of Filter)
AT_ONCE = 8  #: regions that are asked at the same time
NOTICE = 120.0  #: seconds from the mark until EC2 takes the instance away
MARKED = ("marked-for-stop", "marked-for-termination")
#: EC2 has begun to stop or to terminate the instance; ``BY_USER`` is the end of the codes for what a user did
ENDING = ("instance-stopped-", "instance-terminated-")
BY_USER = "-by-user"


class SpotRequests(SpotSupport):
    """A driver whose spot instances have requests at EC2."""

    @property
    @abc.abstractmethod
    def _api(self) -> Api:
        """The account's API."""

    def interruptions(self, instances: Sequence[Instance]) -> Mapping[str, float | None]:
        """Make one list call for each region with spot instances, side by side."""
        spot = [one for one in instances if one.spot]
        return notices(self._api, _by_region(spot, self._api.default_region)) if spot else {}


def notices(api: Api, instances: Mapping[str, Sequence[str]]) -> dict[str, float | None]:
    """Return the notices for the ids of spot instances, by region."""
    with ThreadPoolExecutor(min(AT_ONCE, len(instances))) as pool:
        listed = pool.map(lambda region: list(_requests(api, region, instances[region])), instances)
        return dict(_notices(request for requests in listed for request in requests))


def _requests(api: Api, region: str, ids: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Return the requests of instances. Requests of instances that hart did not create have no tags of hart."""
    for start in range(0, len(ids), FILTER_VALUES):
        chosen = [{"Name": "instance-id", "Values": list(ids[start : start + FILTER_VALUES])}]
        yield from api.listed(region, "describe_spot_instance_requests", "SpotInstanceRequests", Filters=chosen)


def _notices(requests: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, float | None]]:
    for request in requests:
        status = request.get("Status") or {}
        code, instance_id = str(status.get("Code") or ""), request.get("InstanceId")
        if not instance_id:
            continue
        if code in MARKED:
            marked = seconds(status.get("UpdateTime"))
            yield str(instance_id), None if marked is None else marked + NOTICE
        elif code.startswith(ENDING) and not code.endswith(BY_USER):
            yield str(instance_id), None


def _by_region(instances: Iterable[Instance], default_region: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in instances:
        found.setdefault(one.region or default_region, []).append(one.instance_id)
    return found
