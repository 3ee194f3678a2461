"""
Subnets, and the temporary security group: separate from the node's own groups, open to one address, removed at the end.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hart_salt.base.errors import InvalidRequest, TemporaryFailure
from hart_salt.drivers import source_address
from hart_salt.drivers.ec2 import driver as ec2
from hart_salt.model import Leftover, Node
from tests.drivers.ec2.driver import (
    asked,
    boto,
    called,
    default_vpc,
    driver_of,
    groups_of,
    launch,
    left,
    make_group,
    make_vpc,
    node,
    ssh_from,
)
from tests.drivers.ec2.emulator import answers
from tests.drivers.ec2.emulator.state import REGION
from tests.drivers.tested import BATCH, KEY, OWNER, SCRIPT, Time
from tests.emulation.faults import Fault, MachineFault

if TYPE_CHECKING:
    from tests.drivers.ec2.emulator.cloud import Ec2 as Cloud  # imports moto, which is slow

NAME = f"hart-{OWNER}-{BATCH}"
DELETE = "Action=DeleteSecurityGroup&"
#: address of the master in the network of the nodes
INSIDE = "10.9.0.77"


@pytest.fixture
def inside(cloud: Cloud, time: Time, tmp_path: Path) -> ec2.Ec2:
    """Return the driver of a master that is in the network of the nodes."""
    return driver_of(cloud, time, tmp_path, source=lambda towards: INSIDE)


def default_group(cloud: Cloud, vpc: str) -> str:
    group: Any = cloud.region().get_default_security_group(vpc)
    return str(group.id)


def rules_of(cloud: Cloud, group: str) -> list[dict[str, Any]]:
    (found,) = boto(cloud).describe_security_groups(GroupIds=[group])["SecurityGroups"]
    return list(found["IpPermissions"])


# subnets


def test_without_a_zone_ec2_picks_a_subnet_of_the_default_vpc(cloud: Cloud, driver: ec2.Ec2) -> None:
    cloud.settings.full_zones = ("eu-west-1a",)
    assert launch(driver, node()).zone == "eu-west-1b"
    assert "SubnetId" not in asked(cloud, "RunInstances")["NetworkInterfaces"][0]


def test_with_a_zone_the_subnet_is_its_default_subnet(cloud: Cloud, driver: ec2.Ec2) -> None:
    make_vpc(cloud, "eu-west-1c", "eu-west-1c")
    assert launch(driver, node(zone="eu-west-1c")).zone == "eu-west-1c"


def test_a_subnet_by_its_id(cloud: Cloud, driver: ec2.Ec2) -> None:
    _, (first, second) = make_vpc(cloud, "eu-west-1a", "eu-west-1b")
    launch(driver, node(options={"subnet": second}))
    assert asked(cloud, "RunInstances")["NetworkInterfaces"][0]["SubnetId"] == second
    assert first != second


def test_the_only_subnet_of_a_vpc_or_of_its_zone_is_used(cloud: Cloud, driver: ec2.Ec2) -> None:
    one, (only,) = make_vpc(cloud, "eu-west-1a")
    two, (_, other) = make_vpc(cloud, "eu-west-1a", "eu-west-1b")
    assert driver._parts.lookup.place(node(options={"vpc": one})).subnet == only
    assert driver._parts.lookup.place(node(options={"vpc": two}, zone="eu-west-1b")).subnet == other


def refused_place(cloud: Cloud, driver: ec2.Ec2, wanted: Node) -> str:
    """Return the only objection, which also prevents the start of the batch."""
    (objection,) = driver.objections(wanted)
    with pytest.raises(InvalidRequest), driver.access(BATCH, KEY, [wanted]):
        pytest.fail("there is no place for it")
    assert left(cloud) == {}
    return objection


@pytest.mark.parametrize(
    ("options", "zone", "text"),
    [
        ({"subnet": "{subnet}"}, "eu-west-1c", "the subnet {subnet} is in eu-west-1a, not in eu-west-1c"),
        ({"subnet": "{subnet}", "vpc": "{default}"}, None, "the subnet {subnet} is in {vpc}, not in {default}"),
        ({"vpc": "{vpc}"}, "eu-west-1c", "there is no subnet in {vpc} and eu-west-1c"),
        ({"subnet": "subnet-00000000"}, None, "InvalidSubnetID.NotFound DescribeSubnets"),
    ],
)
def test_a_contradictory_or_unknown_subnet_is_refused(
    cloud: Cloud, driver: ec2.Ec2, options: dict[str, Any], zone: str | None, text: str
) -> None:
    vpc, (subnet,) = make_vpc(cloud, "eu-west-1a")
    names = {"vpc": vpc, "subnet": subnet, "default": default_vpc(cloud)}
    given = {name: value.format(**names) for name, value in options.items()}
    assert text.format(**names) in refused_place(cloud, driver, node(zone=zone, options=given))


def test_the_error_names_all_subnets_if_there_are_several(cloud: Cloud, driver: ec2.Ec2) -> None:
    vpc, (first, second) = make_vpc(cloud, "eu-west-1a", "eu-west-1b")
    boto(cloud).create_tags(Resources=[second], Tags=[{"Key": "Name", "Value": "web"}])
    choices = ", ".join(sorted([f"{first} (eu-west-1a, {vpc})", f"{second} (web, eu-west-1b, {vpc})"]))
    assert refused_place(cloud, driver, node(options={"vpc": vpc})) == (
        f"there are several subnets in {vpc} and eu-west-1, and none is a default subnet: set subnet to one of "
        f"{choices}"
    )


# the temporary group


def test_the_group_admits_only_the_master(cloud: Cloud, driver: ec2.Ec2, time: Time) -> None:
    began = int(time())
    with driver.access(BATCH, KEY, [node()]) as access:
        ((vpc, group),) = access.handle["groups"].items()
        assert vpc == default_vpc(cloud)
        (rule,) = rules_of(cloud, group)
        assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 22, 22)
        assert [it["CidrIp"] for it in rule["IpRanges"]] == ["203.0.113.7/32"]
        assert not any(rule.get(name) for name in ("Ipv6Ranges", "UserIdGroupPairs", "PrefixListIds"))
        assert driver.leftovers() == [Leftover("security group", NAME, group, BATCH, REGION, began)]
    assert (left(cloud), driver.leftovers()) == ({}, [])


def test_an_ipv6_address_of_the_master(cloud: Cloud, driver: ec2.Ec2) -> None:
    wanted = node(options={"connect_from": "2001:db8::7"})
    with driver.access(BATCH, KEY, [wanted]) as access:
        (group,) = access.handle["groups"].values()
        (rule,) = rules_of(cloud, group)
        assert [it["CidrIpv6"] for it in rule["Ipv6Ranges"]] == ["2001:db8::7/128"]


def test_the_instance_has_the_group_besides_its_own_until_it_is_settled(cloud: Cloud, driver: ec2.Ec2) -> None:
    vpc = default_vpc(cloud)
    own = [make_group(cloud, vpc, name="web"), make_group(cloud, vpc, name="db")]
    wanted = node(options={"security_groups": own})
    with driver.access(BATCH, KEY, [wanted]) as access:
        instance = driver.launch(wanted, SCRIPT, access)
        assert groups_of(cloud, instance) == sorted([*own, *access.handle["groups"].values()])
        driver.settle(instance)
        assert groups_of(cloud, instance) == sorted(own)
    assert left(cloud) == {"instances": ["w1.example.com"], "security groups": ["db", "web"]}


def test_an_instance_without_groups_of_its_own_keeps_the_default_group_of_the_vpc(
    cloud: Cloud, driver: ec2.Ec2
) -> None:
    instance = launch(driver, node())
    assert groups_of(cloud, instance) == [default_group(cloud, default_vpc(cloud))]


def test_one_group_for_each_vpc_of_the_batch(cloud: Cloud, driver: ec2.Ec2) -> None:
    make_vpc(cloud, "eu-west-1a")
    region = cloud.region()
    (default,) = (it for it in region.describe_subnets() if it.default_for_az and it.availability_zone == "eu-west-1a")
    region.delete_subnet(default.id)
    wanted = [node("a", zone="eu-west-1a"), node("b", zone="eu-west-1b"), node("c", zone="eu-west-1b")]
    with driver.access(BATCH, KEY, wanted) as access:
        assert len(set(access.handle["groups"].values())) == 2
        made = [driver.launch(one, SCRIPT, access) for one in wanted]
        for instance in made:
            driver.settle(instance)
    assert left(cloud) == {"instances": ["a", "b", "c"]}


def test_a_batch_without_nodes_makes_no_group(cloud: Cloud, driver: ec2.Ec2) -> None:
    with driver.access(BATCH, KEY, []) as access:
        assert access.handle["groups"] == {}
    assert cloud.calls == []


@pytest.mark.parametrize("options", [{"security_groups": ["sg-00000000000000000"]}])
def test_groups_that_do_not_exist(cloud: Cloud, driver: ec2.Ec2, options: dict[str, Any]) -> None:
    (objection,) = driver.objections(node(options=options))
    assert (
        "InvalidGroup.NotFound DescribeSecurityGroups); security_groups must be ids of groups in eu-west-1" in objection
    )


def test_groups_of_another_vpc(cloud: Cloud, driver: ec2.Ec2) -> None:
    vpc, _ = make_vpc(cloud, "eu-west-1a")
    group = make_group(cloud, vpc)
    (objection,) = driver.objections(node(options={"security_groups": [group]}))
    assert objection == f"security_groups: {group} are not in {default_vpc(cloud)}, the VPC of the node"


# the address of the master


def test_the_master_s_address_comes_from_the_address_service(
    cloud: Cloud, time: Time, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_address, "_ask", lambda service: {"https://x.example/": "198.51.100.9"}[service])
    driver = driver_of(cloud, time, tmp_path, address_service="https://x.example/")
    with driver.access(BATCH, KEY, [node(options={"connect_from": None})]) as access:
        (group,) = access.handle["groups"].values()
        assert rules_of(cloud, group)[0]["IpRanges"][0]["CidrIp"] == "198.51.100.9/32"


def test_nothing_is_created_when_the_address_of_the_master_is_unknown(cloud: Cloud, time: Time, tmp_path: Path) -> None:
    driver = driver_of(cloud, time, tmp_path, address_service="http://127.0.0.1:9/")
    wanted = node(options={"connect_from": None})
    with pytest.raises(InvalidRequest, match="set connect_from"), driver.access(BATCH, KEY, [wanted]):
        pytest.fail("there is no access")
    assert called(cloud, "CreateSecurityGroup") == 0


@pytest.fixture
def private(cloud: Cloud) -> Node:
    """Return a node in a VPC of its own, reached at its private address."""
    vpc, (subnet,) = make_vpc(cloud, "eu-west-1a")
    group = make_group(cloud, vpc)
    options = {"subnet": subnet, "security_groups": [group], "connect_from": None}
    return node(connect_via="private", options=options)


def test_in_the_nodes_network_the_group_admits_the_master_s_source_address(
    cloud: Cloud, inside: ec2.Ec2, private: Node
) -> None:
    with inside.access(BATCH, KEY, [private]) as access:
        (group,) = access.handle["groups"].values()
        assert rules_of(cloud, group)[0]["IpRanges"][0]["CidrIp"] == f"{INSIDE}/32"


def open_to(cloud: Cloud, wanted: Node, *rules: dict[str, Any]) -> str:
    options: Any = wanted.options
    (group,) = options.security_groups
    boto(cloud).authorize_security_group_ingress(GroupId=group, IpPermissions=list(rules))
    return str(group)


ALL_PORTS = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.9.0.0/16"}]}


@pytest.mark.parametrize(
    "rule",
    [
        ssh_from(IpRanges=[{"CidrIp": "10.9.0.0/16"}]),
        ssh_from(IpRanges=[{"CidrIp": "192.0.2.0/24"}, {"CidrIp": f"{INSIDE}/32"}]),
        {"IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
        ALL_PORTS,
    ],
)
@pytest.mark.parametrize("how", [{"connect_via": "private"}, {"public_ip": False}])
def test_no_group_is_made_if_the_node_s_own_groups_admit_the_master(
    cloud: Cloud, inside: ec2.Ec2, private: Node, rule: dict[str, Any], how: dict[str, Any]
) -> None:
    wanted = dataclasses.replace(private, settings=node(**how).settings)
    group = open_to(cloud, wanted, rule)
    cloud.calls.clear()
    with inside.access(BATCH, KEY, [wanted]) as access:
        instance = inside.launch(wanted, SCRIPT, access)
        assert groups_of(cloud, instance) == [group]
        inside.settle(instance)
    changes = ("CreateSecurityGroup", "DeleteSecurityGroup", "ModifyInstanceAttribute", "AuthorizeSecurityGroupIngress")
    assert [name for name in changes if called(cloud, name)] == []


@pytest.mark.parametrize(
    "rule",
    [
        ssh_from(IpRanges=[{"CidrIp": "10.9.1.0/24"}]),
        {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
        {"IpProtocol": "udp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
        ssh_from(Ipv6Ranges=[{"CidrIpv6": "::/0"}]),
    ],
)
def test_a_group_is_made_if_the_node_s_own_groups_do_not_admit_the_master(
    cloud: Cloud, inside: ec2.Ec2, private: Node, rule: dict[str, Any]
) -> None:
    open_to(cloud, private, rule)
    with inside.access(BATCH, KEY, [private]) as access:
        assert all(access.handle["groups"].values())


def test_a_rule_for_members_of_a_group_counts_if_the_master_is_a_member(
    cloud: Cloud, inside: ec2.Ec2, private: Node, tmp_path: Path
) -> None:
    options: Any = private.options
    members = make_group(cloud, inside._parts.lookup.place(private).vpc, name="masters")
    open_to(cloud, private, ssh_from(UserIdGroupPairs=[{"GroupId": members}]))
    with inside.access(BATCH, KEY, [private]) as access:
        assert all(access.handle["groups"].values())
    boto(cloud).create_network_interface(SubnetId=options.subnet, PrivateIpAddress=INSIDE, Groups=[members])
    later = driver_of(cloud, Time(), tmp_path, source=lambda towards: INSIDE)
    with later.access(BATCH, KEY, [private]) as access:
        assert list(access.handle["groups"].values()) == [None]


def test_over_the_public_address_a_group_is_made_whatever_the_node_s_own_groups_admit(
    cloud: Cloud, driver: ec2.Ec2
) -> None:
    group = make_group(cloud, default_vpc(cloud), ssh_from(IpRanges=[{"CidrIp": "0.0.0.0/0"}]))
    with driver.access(BATCH, KEY, [node(options={"security_groups": [group]})]) as access:
        assert all(access.handle["groups"].values())


# removal, and failures


def test_the_group_is_removed_also_when_the_batch_fails(cloud: Cloud, driver: ec2.Ec2) -> None:
    with pytest.raises(ZeroDivisionError), driver.access(BATCH, KEY, [node()]):
        raise ZeroDivisionError
    assert left(cloud) == {}


def test_removal_waits_for_an_instance_that_is_ending(cloud: Cloud, driver: ec2.Ec2, time: Time) -> None:
    cloud.settings.gone_after = 45
    with driver.access(BATCH, KEY, [node()]) as access:
        driver.terminate(driver.launch(node(), SCRIPT, access))
    assert (left(cloud), 45 <= sum(time.waits) < 60) == ({}, True)


def test_an_instance_that_stays_leaves_the_group(cloud: Cloud, driver: ec2.Ec2, time: Time) -> None:
    """An instance that failed can be kept for diagnosis."""
    with driver.access(BATCH, KEY, [node()]) as access:
        instance = driver.launch(node(), SCRIPT, access)
    assert groups_of(cloud, instance) == [default_group(cloud, default_vpc(cloud))]
    assert (left(cloud), time.waits) == ({"instances": ["w1.example.com"]}, [1])


def test_a_group_that_cannot_be_removed_is_reported_by_name(cloud: Cloud, driver: ec2.Ec2, time: Time) -> None:
    held = answers.error("DependencyViolation", "resource sg-1 has a dependent object")
    cloud.faults.add(Fault("POST", body=DELETE, status=400, answer=held, times=None))
    said = f"the temporary security group {NAME} could not be removed: .*DependencyViolation DeleteSecurityGroup"
    with pytest.raises(TemporaryFailure, match=said), driver.access(BATCH, KEY, [node()]):
        pass
    assert 250 < sum(time.waits) < 350
    cloud.faults.clear()
    assert [leftover.name for leftover in driver.leftovers()] == [NAME]


def test_what_a_crash_left_is_found_in_every_region_and_removed(
    cloud: Cloud, driver: ec2.Ec2, time: Time, tmp_path: Path
) -> None:
    """The instance still exists, and is only in this group."""
    managers = {region: driver.access(BATCH, KEY, [node(region=region)]) for region in (REGION, "us-east-1")}
    for region, manager in managers.items():
        driver.launch(node(region, region=region), SCRIPT, manager.__enter__())
    later = driver_of(cloud, time, tmp_path)
    found = later.leftovers()
    assert sorted((it.kind, it.name, it.batch, it.region) for it in found) == [
        ("security group", NAME, BATCH, REGION), ("security group", NAME, BATCH, "us-east-1"),
    ]  # fmt: skip
    for leftover in found:
        for _ in range(2):
            later.remove(leftover)
    assert later.leftovers() == []
    assert left(cloud) == {"instances": [REGION, "us-east-1"]}


def test_a_volume_that_outlived_its_instance_is_a_leftover(cloud: Cloud, driver: ec2.Ec2) -> None:
    tags = [{"Key": "hart-owner", "Value": OWNER}, {"Key": "hart-batch", "Value": BATCH}]
    specification = [{"ResourceType": "volume", "Tags": tags}]
    client = boto(cloud)
    mine = client.create_volume(AvailabilityZone="eu-west-1a", Size=8, TagSpecifications=specification)["VolumeId"]
    client.create_volume(AvailabilityZone="eu-west-1a", Size=8)
    launch(driver, node())
    (leftover,) = driver.leftovers()
    assert (leftover.kind, leftover.handle, leftover.batch, leftover.region) == ("volume", mine, BATCH, REGION)
    for _ in range(2):
        driver.remove(leftover)
    assert driver.leftovers() == []


def test_an_existing_group_of_the_batch_is_used(cloud: Cloud, driver: ec2.Ec2) -> None:
    """The create took effect, and the answer was lost."""
    cloud.faults.add(Fault("POST", body="Action=CreateSecurityGroup&", when="after", drop=True))
    cloud.faults.add(Fault("POST", body="Action=AuthorizeSecurityGroupIngress&", when="after", status=500))
    with driver.access(BATCH, KEY, [node()]) as access:
        (group,) = access.handle["groups"].values()
        assert len(rules_of(cloud, group)) == 1
    assert left(cloud) == {}


def test_a_group_is_found_when_its_create_is_never_answered(cloud: Cloud, driver: ec2.Ec2) -> None:
    cloud.faults.add(Fault("POST", body="Action=CreateSecurityGroup&", when="after", drop=True, times=5))
    with driver.access(BATCH, KEY, [node()]) as access:
        assert all(access.handle["groups"].values())
    assert left(cloud) == {}


def test_the_batch_fails_when_the_group_cannot_be_created(cloud: Cloud, driver: ec2.Ec2) -> None:
    cloud.faults.add(Fault("POST", body="Action=CreateSecurityGroup&", status=500, times=5))
    with pytest.raises(TemporaryFailure, match="CreateSecurityGroup"), driver.access(BATCH, KEY, [node()]):
        pytest.fail("there is no access")
    assert left(cloud) == {}


def test_a_group_whose_rule_is_refused_is_removed(cloud: Cloud, driver: ec2.Ec2) -> None:
    denied = answers.error("UnauthorizedOperation", "You are not authorized")
    cloud.faults.add(Fault("POST", body="Action=AuthorizeSecurityGroupIngress&", status=403, answer=denied))
    with pytest.raises(Exception, match="AuthorizeSecurityGroupIngress"), driver.access(BATCH, KEY, [node()]):
        pytest.fail("there is no access")
    assert left(cloud) == {}


def test_the_driver_waits_for_a_new_group_to_be_visible(cloud: Cloud, driver: ec2.Ec2, time: Time) -> None:
    cloud.settings.groups_hidden_for = 3
    launch(driver, node())
    assert (left(cloud), 3 <= sum(time.waits) < 6) == ({"instances": ["w1.example.com"]}, True)


def test_an_instance_that_ended_by_itself_does_not_delay_the_removal(cloud: Cloud, driver: ec2.Ec2, time: Time) -> None:
    cloud.faults.add(MachineFault(given_up="Server.InternalError: Internal error on launch"))
    with driver.access(BATCH, KEY, [node()]) as access:
        driver.launch(node(), SCRIPT, access)
        time.advance(10)
    assert left(cloud) == {}
