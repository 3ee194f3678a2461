"""The emulated EC2 alone: what moto lacks, tested with a plain client of boto3 and with libcloud's driver."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

import botocore.exceptions
import pytest
import requests
from libcloud.compute.providers import get_driver
from libcloud.compute.types import NodeState, Provider

from tests.drivers.ec2.driver import boto, default_vpc, make_group, make_vpc, open_cloud
from tests.drivers.ec2.emulator import answers, schema
from tests.drivers.ec2.emulator import catalog as catalogue
from tests.drivers.ec2.emulator.state import KEY, REGION, SECRET
from tests.drivers.tested import Time
from tests.emulation.backend import recorded
from tests.emulation.faults import Fault, MachineFault

if TYPE_CHECKING:
    from tests.drivers.ec2.emulator.cloud import Ec2 as Cloud  # imports moto, which is slow


def image(name: str = "debian-12-amd64-20261101-2301") -> str:
    return next(it.ami(REGION) for it in catalogue.images() if it.name == name)


def tagged(name: str) -> list[dict[str, Any]]:
    return [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}]


def run(cloud: Cloud, name: str = "a", **more: Any) -> Any:
    """Run one instance and return it."""
    given = {"ImageId": image(), "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
    answer = boto(cloud).run_instances(**{**given, "TagSpecifications": tagged(name), **more})
    return answer["Instances"][0]


def refused(call: Any) -> tuple[str, int]:
    """Return code and status of a call that is refused; the call is made once."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call()
    facts: Any = caught.value.response
    return facts["Error"]["Code"], facts["ResponseMetadata"]["HTTPStatusCode"]


def seen(cloud: Cloud) -> dict[str, str]:
    """Return the states of all instances by name."""
    found = boto(cloud).describe_instances()["Reservations"]
    return {it["Tags"][0]["Value"]: it["State"]["Name"] for one in found for it in one["Instances"]}


# tokens


def test_a_token_stays_one_instance_and_is_refused_after_it_ended(cloud: Cloud, time: Time) -> None:
    first = run(cloud, ClientToken="x")
    time.advance(10)
    assert run(cloud, ClientToken="x")["InstanceId"] == first["InstanceId"]
    assert run(cloud, ClientToken="y")["InstanceId"] != first["InstanceId"]
    boto(cloud).terminate_instances(InstanceIds=[first["InstanceId"]])
    with pytest.raises(botocore.exceptions.ClientError, match="IdempotentInstanceTerminated"):
        run(cloud, ClientToken="x")
    assert cloud.made() == 2


@pytest.mark.parametrize(
    "other",
    [
        {"InstanceType": "t3.small"},
        {"UserData": "b"},
        {"TagSpecifications": tagged("b")},
        {"Monitoring": {"Enabled": True}},
    ],
)
def test_a_token_with_any_other_parameter_is_refused(cloud: Cloud, other: dict[str, Any]) -> None:
    run(cloud, ClientToken="x", UserData="a")
    assert refused(lambda: run(cloud, ClientToken="x", **{"UserData": "a", **other})) == (
        "IdempotentParameterMismatch", 400,
    )  # fmt: skip
    assert cloud.made() == 1


def test_a_token_belongs_to_one_region_and_is_optional(cloud: Cloud) -> None:
    run(cloud, ClientToken="x")
    there = next(it.ami("us-east-1") for it in catalogue.images())
    boto(cloud, "us-east-1").run_instances(
        ImageId=there, InstanceType="t3.micro", MinCount=1, MaxCount=1, ClientToken="x"
    )
    run(cloud)
    run(cloud)
    assert cloud.made() == 4


# why a create is refused

INTERFACE = {"DeviceIndex": 0}
STANDARD = {"CpuCredits": "standard"}


def tags(*keys: str) -> list[dict[str, Any]]:
    return [{"ResourceType": "instance", "Tags": [{"Key": key, "Value": ""} for key in keys]}]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"ImageId": "ami-00000000"}, "InvalidAMIID.NotFound"),
        ({"ImageId": "debian"}, "InvalidAMIID.Malformed"),
        ({"InstanceType": "t3.mikro"}, "InvalidParameterValue"),
        ({"InstanceType": "t4g.micro"}, "InvalidParameterValue"),  # another architecture
        ({"InstanceType": "m7a.medium", "CreditSpecification": STANDARD}, "InvalidParameterCombination"),
        ({"SubnetId": "subnet-00000000"}, "InvalidSubnetID.NotFound"),
        ({"SecurityGroupIds": ["sg-00000000"]}, "InvalidGroup.NotFound"),
        ({"UserData": "x" * 16385}, "InvalidUserData.Malformed"),
        ({"IamInstanceProfile": {"Name": "nobody"}}, "InvalidParameterValue"),
        ({"NetworkInterfaces": [INTERFACE], "SecurityGroupIds": ["sg-1"]}, "InvalidParameterCombination"),
        ({"NetworkInterfaces": [{**INTERFACE, "Ipv6AddressCount": 1}]}, "InvalidParameterValue"),
        ({"TagSpecifications": tags("aws:x")}, "InvalidParameterValue"),
        ({"TagSpecifications": tags("x", "x")}, "InvalidParameterValue"),
        ({"TagSpecifications": tags("x" * 128)}, "InvalidParameterValue"),
        ({"TagSpecifications": tags(*map(str, range(51)))}, "TagLimitExceeded"),
    ],
)
def test_a_create_that_is_refused(cloud: Cloud, more: dict[str, Any], code: str) -> None:
    """Refused twice with the same token: a refusal creates no instance."""
    for _ in range(2):
        refusal = refused(lambda: run(cloud, ClientToken="x", **more))
        assert refusal == (code, 400)
    assert (cloud.made(), cloud.left()["instances"]) == (0, [])


@pytest.mark.parametrize(
    ("ebs", "code"),
    [
        ({"VolumeSize": 7}, "InvalidBlockDeviceMapping"),
        ({"VolumeType": "io1"}, "MissingParameter"),
        ({"VolumeType": "gp2", "Iops": 3000}, "InvalidParameterCombination"),
        ({"VolumeType": "st1", "VolumeSize": 500}, "InvalidParameterValue"),
    ],
)
def test_a_root_volume_that_is_refused(cloud: Cloud, ebs: dict[str, Any], code: str) -> None:
    mapping = [{"DeviceName": catalogue.DEBIAN_ROOT, "Ebs": ebs}]
    assert refused(lambda: run(cloud, BlockDeviceMappings=mapping)) == (code, 400)


def test_another_device_name_than_the_root_adds_a_second_volume(cloud: Cloud) -> None:
    ebs = {"VolumeSize": 20, "DeleteOnTermination": True}
    run(cloud, BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": ebs}])
    assert sorted(it["Size"] for it in boto(cloud).describe_volumes()["Volumes"]) == [8, 20]


def test_groups_of_another_vpc_are_refused(cloud: Cloud) -> None:
    vpc, _ = make_vpc(cloud, "eu-west-1a")
    assert refused(lambda: run(cloud, SecurityGroupIds=[make_group(cloud, vpc)])) == ("InvalidParameter", 400)


def test_zones_without_capacity_and_the_vcpu_limit(cloud: Cloud) -> None:
    cloud.settings.full_zones = ("eu-west-1a", "eu-west-1b", "eu-west-1c")
    cloud.settings.vcpu_limit = 4
    assert refused(lambda: run(cloud)) == ("InsufficientInstanceCapacity", 500)
    cloud.settings.full_zones = ("eu-west-1a",)
    assert run(cloud)["Placement"]["AvailabilityZone"] == "eu-west-1b"
    run(cloud)
    assert refused(lambda: run(cloud)) == ("VcpuLimitExceeded", 400)
    zone = {"AvailabilityZone": "eu-west-1c"}
    arm = image("debian-12-arm64-20261101-2301")
    assert refused(lambda: run(cloud, ImageId=arm, InstanceType="t4g.micro", Placement=zone)) == ("Unsupported", 400)


# states of an instance


def test_the_stages_of_an_instance(cloud: Cloud, time: Time) -> None:
    cloud.settings.gone_after = 30
    made = run(cloud)
    assert (made["State"]["Name"], made["PrivateIpAddress"]) == ("pending", "10.120.0.4")
    assert "PublicIpAddress" not in made
    time.advance(10)
    assert seen(cloud) == {"a": "running"}
    ended = boto(cloud).terminate_instances(InstanceIds=[made["InstanceId"]])["TerminatingInstances"][0]
    assert (ended["PreviousState"]["Name"], ended["CurrentState"]["Name"]) == ("running", "shutting-down")
    time.advance(30)
    assert seen(cloud) == {"a": "terminated"}
    boto(cloud).terminate_instances(InstanceIds=[made["InstanceId"]])
    time.advance(3600)
    assert seen(cloud) == {}


def test_an_instance_that_is_not_visible_yet(cloud: Cloud) -> None:
    cloud.faults.add(MachineFault(hidden_lists=2))
    name = run(cloud)["InstanceId"]
    client = boto(cloud)
    for call in (client.terminate_instances, client.describe_instances):
        assert refused(lambda call=call: call(InstanceIds=[name])) == ("InvalidInstanceID.NotFound", 400)
    group = make_group(cloud, default_vpc(cloud))
    change = {"InstanceId": name, "Groups": [group]}
    assert refused(lambda: client.modify_instance_attribute(**change)) == ("InvalidInstanceID.NotFound", 400)
    assert [seen(cloud), seen(cloud)] == [{}, {"a": "pending"}]


def test_an_instance_that_is_given_up(cloud: Cloud, time: Time) -> None:
    reason = "Server.InternalError: Internal error on launch"
    cloud.faults.add(MachineFault(given_up=reason))
    name = run(cloud)["InstanceId"]
    time.advance(10)
    (found,) = boto(cloud).describe_instances(InstanceIds=[name])["Reservations"][0]["Instances"]
    assert found["State"]["Name"] == "terminated"
    assert found["StateReason"] == {"Code": "Server.InternalError", "Message": reason}


def test_instances_that_refuse_to_end(cloud: Cloud) -> None:
    client = boto(cloud)
    cloud.faults.add(MachineFault(refuse_delete=1), MachineFault(ignore_delete=1))
    first, second = (run(cloud, name)["InstanceId"] for name in "ab")
    assert refused(lambda: client.terminate_instances(InstanceIds=[first])) == ("IncorrectInstanceState", 400)
    ignored = client.terminate_instances(InstanceIds=[second])["TerminatingInstances"][0]
    assert ignored["CurrentState"]["Name"] == "pending"
    for name in (first, second):
        client.terminate_instances(InstanceIds=[name])
    assert seen(cloud) == {"a": "terminated", "b": "terminated"}


@pytest.mark.parametrize("name", ["x", "i-", "i-xyz", "12345678"])
def test_a_malformed_id(cloud: Cloud, name: str) -> None:
    assert refused(lambda: boto(cloud).terminate_instances(InstanceIds=[name])) == ("InvalidInstanceID.Malformed", 400)


def test_one_unknown_id_terminates_nothing(cloud: Cloud) -> None:
    name = run(cloud)["InstanceId"]
    ids = [name, "i-0123456789abcdef0"]
    assert refused(lambda: boto(cloud).terminate_instances(InstanceIds=ids)) == ("InvalidInstanceID.NotFound", 400)
    assert seen(cloud) == {"a": "pending"}


def test_the_machine_matches_the_api(cloud: Cloud) -> None:
    made = run(cloud, "web-1", UserData="#!/bin/sh\n")
    assert cloud.settle(10)
    backend: Any = cloud.machines.backend
    request = backend.booted[made["InstanceId"]]
    assert (request.hostname, request.user_data, request.image) == ("web-1", "#!/bin/sh\n", "debian-12-x64")
    assert (request.private_ip, request.region, request.size) == (made["PrivateIpAddress"], REGION, "t3.micro")


# groups


def test_a_group_of_an_interface_cannot_be_deleted(cloud: Cloud, time: Time) -> None:
    cloud.settings.gone_after = 20
    client = boto(cloud)
    group = make_group(cloud, default_vpc(cloud))
    name = run(cloud, SecurityGroupIds=[group])["InstanceId"]
    held = ("DependencyViolation", 400)
    assert refused(lambda: client.delete_security_group(GroupId=group)) == held
    client.terminate_instances(InstanceIds=[name])
    assert refused(lambda: client.delete_security_group(GroupId=group)) == held
    time.advance(20)
    client.delete_security_group(GroupId=group)
    assert refused(lambda: client.delete_security_group(GroupId=group)) == ("InvalidGroup.NotFound", 400)


def test_names_and_rules_are_unique(cloud: Cloud) -> None:
    vpc = default_vpc(cloud)
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "192.0.2.1/32"}]}
    group = make_group(cloud, vpc, rule)
    assert refused(lambda: make_group(cloud, vpc)) == ("InvalidGroup.Duplicate", 400)
    client = boto(cloud)
    again = {"GroupId": group, "IpPermissions": [rule]}
    assert refused(lambda: client.authorize_security_group_ingress(**again)) == ("InvalidPermission.Duplicate", 400)
    assert refused(lambda: make_group(cloud, vpc, name="sg-x")) == ("InvalidParameterValue", 400)


# signatures, permissions, models


def test_requests_must_be_signed(cloud: Cloud) -> None:
    answer = requests.post(cloud.endpoint, data={"Action": "DescribeRegions", "Version": "2016-11-15"}, timeout=120)
    assert (answer.status_code, "MissingAuthenticationToken" in answer.text) == (403, True)


@pytest.mark.parametrize(
    ("service", "call", "code"),
    [
        ("ec2", "describe_regions", ("AuthFailure", 401)),
        ("sts", "get_caller_identity", ("InvalidClientTokenId", 403)),
        ("pricing", "describe_services", ("UnrecognizedClientException", 400)),
    ],
)
def test_a_wrong_secret(cloud: Cloud, service: str, call: str, code: tuple[str, int]) -> None:
    cloud.keys[KEY] = "another"
    region = "us-east-1" if service == "pricing" else REGION
    assert refused(getattr(boto(cloud, region, service), call)) == code
    cloud.keys[KEY] = SECRET


def test_a_region_that_is_not_enabled(cloud: Cloud) -> None:
    assert refused(boto(cloud, "me-central-1").describe_instances) == ("AuthFailure", 401)


def test_calls_that_are_not_permitted(cloud: Cloud) -> None:
    cloud.settings.denied = ("ec2:DescribeVolumes",)
    cloud.settings.denied_regions = ("us-east-1",)
    assert refused(boto(cloud).describe_volumes) == ("UnauthorizedOperation", 403)
    assert refused(boto(cloud, "us-east-1").describe_instances) == ("UnauthorizedOperation", 403)
    boto(cloud).describe_instances()


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ({"Action": "Describe"}, "there is no call Describe"),
        ({"Action": "DescribeInstances", "Filtre.1.Name": "x"}, "Filtre.1.Name is not a parameter"),
        ({"Action": "DescribeInstances", "MaxResults": "many"}, "invalid literal"),
        ({"Action": "RunInstances", "MinCount": "1"}, "Missing required parameter in input: .MaxCount."),
        ({"Action": "RunInstances", "MinCount": "1", "MaxCount": "1", "NetworkInterface.1.Grops.1": "x"}, "Grops"),
    ],
)
def test_the_model_objects_to_a_wrong_request(form: dict[str, str], text: str) -> None:
    (problem,) = schema.request(form["Action"], form)
    assert re.search(text, problem)


def test_the_model_objects_to_a_wrong_answer() -> None:
    def said(inner: str, root: str = "DescribeInstancesResponse") -> list[str]:
        return schema.answer("DescribeInstances", f'<{root} xmlns="http://x/">{inner}</{root}>'.encode())

    item = "<reservationSet><item><instancesSet><item>{}</item></instancesSet></item></reservationSet>"
    assert said("<requestId>x</requestId><reservationSet/>") == []
    assert said(item.format("<instanceId>i-1</instanceId>")) == []
    for name, value in (("instanceID", "i"), ("amiLaunchIndex", "first"), ("ebsOptimized", "no")):
        assert len(said(item.format(f"<{name}>{value}</{name}>"))) == 1
    assert said("", "Html") == ["DescribeInstances: the answer is a Html"]
    assert "not XML" in schema.answer("DescribeInstances", b"<a")[0]


def test_faults_have_the_form_of_the_service(cloud: Cloud) -> None:
    cloud.faults.add(Fault("POST", body="DescribeVolumes", status=403))
    assert refused(boto(cloud).describe_volumes) == ("UnauthorizedOperation", 403)
    cloud.faults.add(Fault("POST", body="GetCallerIdentity", status=400))
    assert refused(boto(cloud, REGION, "sts").get_caller_identity) == ("InvalidParameterValue", 400)
    body = answers.error("A & B", "<c>")
    cloud.faults.add(Fault("POST", body="DescribeVolumes", status=400, answer=body))
    assert refused(boto(cloud).describe_volumes) == ("A & B", 400)


def test_two_clouds_are_independent(cloud: Cloud) -> None:
    run(cloud)
    with open_cloud(Time()) as other:
        assert (other.left()["instances"], other.world.account != cloud.world.account) == ([], True)
        run(other, "b")
        assert (other.left()["instances"], cloud.left()["instances"]) == (["b"], ["a"])


def test_forget_empties_the_account_and_keeps_the_count_of_instances(cloud: Cloud) -> None:
    make_group(cloud, default_vpc(cloud))
    run(cloud)
    cloud.settings.vcpu_limit = 1
    cloud.forget()
    assert {kind: names for kind, names in cloud.left().items() if names} == {}
    assert (cloud.made(), cloud.settings.vcpu_limit, seen(cloud)) == (1, 100, {})
    assert cloud.settle(10)
    assert recorded(cloud.machines).booted == {}


# a client that is not ours


@pytest.fixture
def libcloud(cloud: Cloud) -> Any:
    """Return libcloud's driver of the same API, which sends its parameters in the address and parses answers itself."""
    host, port = cloud.base_url.removeprefix("http://").split(":")
    where = {"secure": False, "host": host, "port": int(port), "region": REGION}
    return get_driver(Provider.EC2)(KEY, SECRET, signature_version="4", **where)


def test_libcloud_creates_finds_and_destroys(cloud: Cloud, libcloud: Any, time: Time) -> None:
    (picture,) = libcloud.list_images(ex_image_ids=[image()])
    assert picture.name == "debian-12-amd64-20261101-2301"
    size = next(it for it in libcloud.list_sizes() if it.id == "t3.micro")
    made = libcloud.create_node(name="web-1", image=picture, size=size, ex_userdata="#!/bin/sh\n")
    assert made.name == "web-1"
    time.advance(10)
    (found,) = libcloud.list_nodes()
    assert (found.id, found.state, found.public_ips, found.private_ips) == (
        made.id, NodeState.RUNNING, ["203.0.113.4"], ["10.120.0.4"],
    )  # fmt: skip
    assert cloud.user_data() == {"web-1": "#!/bin/sh\n"}
    assert libcloud.destroy_node(found) is True
    assert cloud.left()["instances"] == []


def test_libcloud_reads_zones_groups_and_volumes(cloud: Cloud, libcloud: Any) -> None:
    assert [zone.name for zone in libcloud.ex_list_availability_zones()] == ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
    made = libcloud.ex_create_security_group("web", "a test's", vpc_id=default_vpc(cloud))
    assert libcloud.ex_authorize_security_group_ingress(made["group_id"], 22, 22, cidr_ips=["192.0.2.1/32"]) is True
    (group,) = libcloud.ex_get_security_groups(group_ids=[made["group_id"]])
    assert (group.name, group.ingress_rules[0]["cidr_ips"]) == ("web", ["192.0.2.1/32"])
    run(cloud)
    assert [volume.size for volume in libcloud.list_volumes()] == [8]


def test_libcloud_understands_a_refusal(cloud: Cloud, libcloud: Any) -> None:
    with pytest.raises(Exception, match=r"InvalidInstanceID\.NotFound"):
        libcloud.list_nodes(ex_node_ids=["i-0123456789abcdef0"])


def test_user_data_comes_back_unchanged(cloud: Cloud) -> None:
    name = run(cloud, UserData="#!/bin/sh\n")["InstanceId"]
    found = boto(cloud).describe_instance_attribute(InstanceId=name, Attribute="userData")["UserData"]["Value"]
    assert base64.b64decode(found) == b"#!/bin/sh\n"
