"""Lookups of what EC2 has for a node. It does not change during a call of hart, so each lookup is made once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from hart_salt.base.errors import AuthError, InvalidRequest
from hart_salt.drivers.ec2 import images
from hart_salt.drivers.ec2.client import Api
from hart_salt.drivers.ec2.network import Networks, Place
from hart_salt.drivers.ec2.request import Plan, architectures_of, disk_of, filters, id_of
from hart_salt.drivers.sdk_driver import Answers
from hart_salt.model import Node, Region

T = TypeVar("T")

#: regions that are queried at the same time; a new account has about 17 enabled
AT_ONCE = 8
#: ``opt-in-status`` of regions that an account cannot use
CLOSED = "not-opted-in"
TAGS_OF = 200  #: values of one filter at most (EC2's reference of Filter)


class Lookup:
    """Lookups with a cache. Safe for several threads: a second thread waits for the result of the first."""

    def __init__(self, api: Api, networks: Networks, regions: Sequence[str]) -> None:
        """
        Store the arguments; make no call.

        regions
            the regions of the settings; if empty, all enabled regions
        """
        self._api = api
        self._networks = networks
        self._regions = tuple(regions)
        self._answers = Answers()

    # regions

    def everywhere(self, look: Callable[[str], T]) -> list[T]:
        """Call ``look`` for all usable regions in parallel, and return the results. A region that fails is an error."""
        regions = self.enabled()
        with ThreadPoolExecutor(min(AT_ONCE, len(regions))) as pool:
            try:
                return list(pool.map(look, regions))
            except AuthError as error:
                if self._regions:
                    raise
                hint = "set the provider's setting regions to the regions that it may use"
                raise AuthError(f"{error}; {hint}") from error

    def enabled(self) -> Sequence[str]:
        """Return the names of the usable regions; without a call if the settings name them."""
        return self._regions or [name for name, is_open in self._statuses().items() if is_open]

    def _statuses(self) -> Mapping[str, bool]:
        named: dict[str, Any] = {"RegionNames": list(self._regions)} if self._regions else {}

        def look() -> list[Any]:
            return self._api.listed(self._api.default_region, "describe_regions", "Regions", AllRegions=True, **named)

        listed = self._answers.once("regions", look)
        return {it["RegionName"]: it.get("OptInStatus") != CLOSED for it in listed if it.get("RegionName")}

    def regions(self) -> Sequence[Region]:
        """Return all regions, with the zones of the usable ones; the others are marked."""
        zones = self._answers.once("zones", self._zones_by_region)
        return [
            Region(name, self._api.description(name), zones.get(name, ()), usable)
            for name, usable in sorted(self._statuses().items())
        ]

    def _zones_by_region(self) -> Mapping[str, tuple[str, ...]]:
        return dict(zip(self.enabled(), self.everywhere(self._zones), strict=True))

    def _zones(self, region: str) -> tuple[str, ...]:
        fields = filters({"state": "available", "zone-type": "availability-zone"})
        listed = self._api.listed(region, "describe_availability_zones", "AvailabilityZones", Filters=fields)
        return tuple(sorted(zone["ZoneName"] for zone in listed if zone.get("ZoneName")))

    # instances

    def with_tags(self, region: str, listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """
        Return reports with their tags, which ``DescribeInstances`` does not promise (ansible/ansible#12642).

        Make one more call for the instances without tags, and none if there are none: an instance that seems to have no
        owner would count as lost, and one that seems to be nobody's could be imported.
        """
        bare = [id_of(facts, region) for facts in listed if not facts.get("Tags")]
        if not bare:
            return listed
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in bare}
        for start in range(0, len(bare), TAGS_OF):
            wanted = [{"Name": "resource-id", "Values": bare[start : start + TAGS_OF]}]
            for tag in self._api.listed(region, "describe_tags", "Tags", Filters=wanted):
                found.get(tag.get("ResourceId") or "", []).append(tag)
        return [facts if facts.get("Tags") else {**facts, "Tags": found[facts["InstanceId"]]} for facts in listed]

    # nodes

    def plan(self, node: Node) -> Plan:
        """
        Look up everything that the create call needs.

        Raises ``InvalidRequest`` if EC2 does not have what the node names.
        """
        image, place = self.image(node), self.place(node)
        return Plan(
            image=image["ImageId"],
            root_device=image["RootDeviceName"],
            burstable=bool(self._size_of(node).get("BurstablePerformanceSupported")),
            vpc=place.vpc,
            subnet=place.subnet,
            groups=tuple(group["GroupId"] for group in self.groups(node)),
        )

    def size(self, name: str, region: str) -> Mapping[str, Any] | None:
        """Return EC2's description of a size, or None if the region does not have it."""

        def look() -> Mapping[str, Any] | None:
            # An unknown name is an error, but a filter finds nothing; by wildcards, it may find more than one.
            fields = filters({"instance-type": name})
            found = self._api.listed(region, "describe_instance_types", "InstanceTypes", Filters=fields)
            return next((facts for facts in found if facts.get("InstanceType") == name), None)

        return self._answers.once(("size", region, name), look)

    def _size_of(self, node: Node) -> Mapping[str, Any]:
        facts = self.size(node.size, node.region)
        if facts is None:
            raise InvalidRequest(f"EC2 has no size {node.size} in {node.region}")
        return facts

    def image(self, node: Node) -> Mapping[str, Any]:
        """Return the image for the architecture of the node's size."""
        architectures = architectures_of(self._size_of(node))
        if not architectures:
            raise InvalidRequest(f"instances of the size {node.size} are neither x86_64 nor arm64")
        wanted = (node.region, node.settings.image, architectures[0])
        return self._answers.once(("image", *wanted), lambda: images.find(self._api, *wanted))

    def room(self, node: Node) -> None:
        """Check the size of the node's volume. Raises ``InvalidRequest`` if its image needs a larger one."""
        options: Any = node.options
        try:
            least = disk_of(self.image(node))
        except InvalidRequest:
            return  # the lookup of the image reports it
        if least is not None and options.volume_size is not None and options.volume_size < least:
            raise InvalidRequest(f"the image {node.settings.image} needs a volume_size of {least:g} or more")

    def place(self, node: Node) -> Place:
        """Return the subnet of the node."""
        options: Any = node.options
        key = ("place", node.region, node.zone, options.subnet, options.vpc, options.ipv6)
        return self._answers.once(key, lambda: self._networks.place(node))

    def groups(self, node: Node) -> Sequence[Mapping[str, Any]]:
        """Return the security groups that the node keeps."""
        options: Any = node.options
        vpc, wanted = self.place(node).vpc, tuple(options.security_groups)
        return self._answers.once(
            ("groups", node.region, vpc, wanted), lambda: self._networks.groups(node.region, vpc, wanted)
        )

    def zone_has_size(self, node: Node) -> None:
        """
        Check the node's size in its zone: not every zone of a region has every size.

        Raises ``InvalidRequest`` if the zone does not have it.
        """
        if not node.zone:
            return
        found = self.zones_with(node.size, node.region)
        if node.zone not in found:
            where = f"; these zones have it: {', '.join(found)}" if found else ""
            raise InvalidRequest(f"{node.zone} has no instances of the size {node.size}{where}")

    def zones_with(self, size: str, region: str) -> Sequence[str]:
        """Return the zones of a region that have a size."""
        return self._answers.once(("zones", region, size), lambda: self._zones_with(size, region))

    def _zones_with(self, size: str, region: str) -> Sequence[str]:
        listed = self._api.listed(
            region, "describe_instance_type_offerings", "InstanceTypeOfferings",
            LocationType="availability-zone", Filters=filters({"instance-type": size}),
        )  # fmt: skip
        return sorted({offering["Location"] for offering in listed if offering.get("Location")})

    def sizes(self, region: str) -> Sequence[tuple[Mapping[str, Any], bool]]:
        """Return every size that EC2 reports in a region, and whether it is available there."""
        listed = self._api.listed(
            region, "describe_instance_type_offerings", "InstanceTypeOfferings", LocationType="region"
        )
        offered = {offering.get("InstanceType") for offering in listed}
        reported = self._api.listed(region, "describe_instance_types", "InstanceTypes")
        return [(facts, facts.get("InstanceType") in offered) for facts in reported]
