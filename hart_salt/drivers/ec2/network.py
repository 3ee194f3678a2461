"""The network of an instance at Amazon: its subnet, the security groups that it keeps, and the temporary group."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tenacity

from hart_salt.base.errors import DriverError, InvalidRequest, NotFound, TemporaryFailure
from hart_salt.drivers import retry
from hart_salt.drivers.ec2.client import Api, code_of
from hart_salt.drivers.ec2.request import as_tags, filters, from_tags
from hart_salt.model import Node

SSH = 22
ANY = "-1"  #: EC2's value for every protocol, with every port
TCP = ("tcp", "6")
#: attempts to delete a group, about five minutes in all: a terminated instance still holds it for a while
#: (cloud-barista/cb-spider#460, swiftotter/driver#43)
DELETE_ATTEMPTS = 34
DELETE_WAIT = tenacity.wait_exponential(multiplier=1, max=10)
#: attempts of a call that names a new resource, 15 s in all; EC2's reference: "eventually consistent"
NEW_ATTEMPTS = 6
NEW_WAIT = tenacity.wait_exponential(multiplier=0.5, max=8)


@dataclass(frozen=True)
class Place:
    """The VPC and the subnet of a node."""

    vpc: str
    #: None: EC2 picks a default subnet of the VPC in a zone with capacity
    subnet: str | None
    #: networks of the subnets that are possible
    networks: tuple[str, ...]


@dataclass(frozen=True)
class Networks:
    """The subnets and security groups of one account."""

    api: Api
    sleep: Callable[[float], None]

    # subnets

    def place(self, node: Node) -> Place:
        """
        Find the node's subnet.

        It is the one of the settings, or the only one of the VPC or the zone, or a default subnet; without a zone,
        EC2 picks among the default subnets.

        Raises ``InvalidRequest``, which lists the choices, if that is ambiguous.
        """
        options: Any = node.options
        if options.subnet:
            return self._named_subnet(node, options)
        wanted = {"state": "available", "vpc-id": options.vpc, "availability-zone": node.zone}
        fields = {name: value for name, value in wanted.items() if value}
        found = self.api.listed(node.region, "describe_subnets", "Subnets", Filters=filters(fields))
        if len(found) == 1:
            return self._checked(node, found, found[0]["SubnetId"])
        default = [subnet for subnet in found if subnet.get("DefaultForAz")]
        if not default:
            raise InvalidRequest(_no_choice(node, options.vpc, found))
        return self._checked(node, default, default[0]["SubnetId"] if node.zone else None)

    def _named_subnet(self, node: Node, options: Any) -> Place:
        found = self.api.listed(node.region, "describe_subnets", "Subnets", SubnetIds=[options.subnet])
        (subnet,) = found
        if node.zone and subnet["AvailabilityZone"] != node.zone:
            raise InvalidRequest(f"the subnet {options.subnet} is in {subnet['AvailabilityZone']}, not in {node.zone}")
        if options.vpc and subnet["VpcId"] != options.vpc:
            raise InvalidRequest(f"the subnet {options.subnet} is in {subnet['VpcId']}, not in {options.vpc}")
        return self._checked(node, found, options.subnet)

    def _checked(self, node: Node, subnets: Sequence[Mapping[str, Any]], chosen: str | None) -> Place:
        options: Any = node.options
        without = [subnet["SubnetId"] for subnet in subnets if not _has_ipv6(subnet)]
        if options.ipv6 and without:
            raise InvalidRequest(f"ipv6 needs a subnet with an IPv6 network: {', '.join(without)} has none")
        return Place(subnets[0]["VpcId"], chosen, tuple(subnet["CidrBlock"] for subnet in subnets))

    # groups that an instance keeps

    def groups(self, region: str, vpc: str, wanted: Sequence[str]) -> list[Mapping[str, Any]]:
        """Return EC2's description of the groups that a role names, or of the VPC's default group."""
        if not wanted:
            return self._groups(region, Filters=filters({"group-name": "default", "vpc-id": vpc}))
        try:
            found = self._groups(region, GroupIds=list(dict.fromkeys(wanted)))
        except NotFound as error:
            raise InvalidRequest(f"{error}; security_groups must be ids of groups in {region}") from error
        outside = [group["GroupId"] for group in found if group.get("VpcId") != vpc]
        if outside:
            raise InvalidRequest(f"security_groups: {', '.join(outside)} are not in {vpc}, the VPC of the node")
        return found

    def _groups(self, region: str, **wanted: Any) -> list[Mapping[str, Any]]:
        return self.api.listed(region, "describe_security_groups", "SecurityGroups", **wanted)

    def lets_in(self, region: str, vpc: str, groups: Sequence[Mapping[str, Any]], network: str) -> bool:
        """Return whether groups allow SSH from a network, by its addresses or by membership in another group."""
        rules = [rule for group in groups for rule in group.get("IpPermissions", []) if _is_for_ssh(rule)]
        if any(_covers(rule, network) for rule in rules):
            return True
        sources = {pair.get("GroupId") for rule in rules for pair in rule.get("UserIdGroupPairs", [])}
        address = ipaddress.ip_network(network)
        if not sources or address.num_addresses != 1:
            return False
        fields = {"addresses.private-ip-address": str(address[0]), "vpc-id": vpc}
        own = self.api.listed(region, "describe_network_interfaces", "NetworkInterfaces", Filters=filters(fields))
        return any(group["GroupId"] in sources for interface in own for group in interface.get("Groups", []))

    # the temporary group

    def make_group(self, region: str, vpc: str, name: str, tags: Mapping[str, str], network: str) -> str:
        """
        Make a group that allows SSH from one network, and return its id. Remove the group if its rule fails.

        Both calls can be retried: a name is unique in its VPC, and a rule in its group. If the answer of the create
        call is lost, the group is found by its name.
        """
        group = self._create_group(region, vpc, name, tags)
        try:
            self.when_known(lambda: self._allow(region, group, network))
        except DriverError:
            with contextlib.suppress(DriverError):
                self.remove_group(region, group)
            raise
        return group

    def _create_group(self, region: str, vpc: str, name: str, tags: Mapping[str, str]) -> str:
        try:
            made = self.api.call(
                region, "create_security_group", field="GroupId", GroupName=name, VpcId=vpc,
                Description="hart: SSH from the master while nodes boot",
                TagSpecifications=[{"ResourceType": "security-group", "Tags": as_tags(tags)}],
            )  # fmt: skip
            return str(made["GroupId"])
        except (InvalidRequest, TemporaryFailure) as error:
            if code_of(error) != "InvalidGroup.Duplicate" and not getattr(error, "uncertain", False):
                raise
            found = self._groups(region, Filters=filters({"group-name": name, "vpc-id": vpc}))
            if not found:
                raise
            return str(found[0]["GroupId"])

    def _allow(self, region: str, group: str, network: str) -> None:
        name, field = ("CidrIpv6", "Ipv6Ranges") if ":" in network else ("CidrIp", "IpRanges")
        source = {field: [{name: network, "Description": "the salt-master"}]}
        rule = {"IpProtocol": "tcp", "FromPort": SSH, "ToPort": SSH, **source}
        try:
            self.api.call(region, "authorize_security_group_ingress", GroupId=group, IpPermissions=[rule])
        except InvalidRequest as error:
            if code_of(error) != "InvalidPermission.Duplicate":
                raise

    def when_known(self, call: Callable[[], Any]) -> Any:
        """Make a call that names a new resource, such as a group: for some seconds EC2 may not know it everywhere."""
        return retry.again(call, NotFound, self.sleep, NEW_ATTEMPTS, NEW_WAIT)

    def remove_group(self, region: str, group: str) -> None:
        """
        Delete a group. Idempotent: an absent group is a success.

        While interfaces use it, EC2 refuses with ``DependencyViolation``. The group is then detached from the
        interfaces of instances that stay, and hart retries up to ``DELETE_ATTEMPTS`` times, until terminating
        instances release it.
        """
        retry.again(lambda: self._delete_group(region, group), _InUse, self.sleep, DELETE_ATTEMPTS, DELETE_WAIT)

    def _delete_group(self, region: str, group: str) -> None:
        try:
            self.api.call(region, "delete_security_group", GroupId=group)
        except NotFound:
            return
        except TemporaryFailure as error:
            if code_of(error) != "DependencyViolation":
                raise
            with contextlib.suppress(DriverError):
                self._detach(region, group)
            raise _InUse(str(error)) from error

    def _detach(self, region: str, group: str) -> None:
        """Detach a group from all its interfaces. An interface without another group gets its VPC's default group."""
        holders = self.api.listed(
            region, "describe_network_interfaces", "NetworkInterfaces", Filters=filters({"group-id": group})
        )
        for interface in holders:
            kept = [it["GroupId"] for it in interface["Groups"] if it["GroupId"] != group]
            kept = kept or [it["GroupId"] for it in self.groups(region, interface["VpcId"], ())]
            with contextlib.suppress(DriverError):  # the interface of a terminating instance
                self.api.call(
                    region, "modify_network_interface_attribute",
                    NetworkInterfaceId=interface["NetworkInterfaceId"], Groups=kept,
                )  # fmt: skip


class _InUse(TemporaryFailure):
    """The group cannot be deleted: an interface uses it."""


def _has_ipv6(subnet: Mapping[str, Any]) -> bool:
    blocks = subnet.get("Ipv6CidrBlockAssociationSet") or []
    return any((block.get("Ipv6CidrBlockState") or {}).get("State") == "associated" for block in blocks)


def _no_choice(node: Node, vpc: str | None, found: Sequence[Mapping[str, Any]]) -> str:
    place = " and ".join(part for part in (vpc, node.zone or node.region) if part)
    if not found:
        return f"there is no subnet in {place}"
    names = ", ".join(sorted(_described(subnet) for subnet in found))
    return f"there are several subnets in {place}, and none is a default subnet: set subnet to one of {names}"


def _described(subnet: Mapping[str, Any]) -> str:
    name = from_tags(subnet.get("Tags")).get("Name")
    facts = ", ".join(part for part in (name, subnet["AvailabilityZone"], subnet["VpcId"]) if part)
    return f"{subnet['SubnetId']} ({facts})"


def _is_for_ssh(rule: Mapping[str, Any]) -> bool:
    if rule.get("IpProtocol") == ANY:
        return True
    return rule.get("IpProtocol") in TCP and rule.get("FromPort", 0) <= SSH <= rule.get("ToPort", 65535)


def _covers(rule: Mapping[str, Any], network: str) -> bool:
    wanted = ipaddress.ip_network(network)
    ranges = [it["CidrIp"] for it in rule.get("IpRanges", [])] + [it["CidrIpv6"] for it in rule.get("Ipv6Ranges", [])]
    allowed = (ipaddress.ip_network(text, strict=False) for text in ranges)
    # mypy cannot see that equal versions are equal types.
    return any(it.version == wanted.version and wanted.subnet_of(it) for it in allowed)  # type: ignore[arg-type]
