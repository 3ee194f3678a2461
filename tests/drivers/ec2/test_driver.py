"""The create call of the driver ``ec2`` against the emulated EC2: what it requests and what is created."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import random
from typing import TYPE_CHECKING, Any

import pytest

from hart_salt.base.errors import InvalidRequest
from hart_salt.drivers.ec2 import driver as ec2
from tests.drivers.ec2.driver import CREATE, asked, boto, called, launch, left, make_vpc, node
from tests.drivers.ec2.emulator import catalog as catalogue
from tests.drivers.ec2.emulator.state import REGION
from tests.drivers.tested import BATCH, KEY, OWNER, SCRIPT, Time
from tests.emulation.faults import Fault

if TYPE_CHECKING:
    from tests.drivers.ec2.emulator.cloud import Ec2 as Cloud  # imports moto, which is slow

TAGS = {
    "Name": "w1.example.com",
    "hart-owner": OWNER,
    "hart-minion": "w1.example.com",
    "hart-batch": BATCH,
    "hart-role": "db.main",
}


def as_tags(listed: list[dict[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in listed}


def only(cloud: Cloud, what: str, field: str) -> dict[str, Any]:
    """Return the only resource of a kind in the account."""
    (found,) = getattr(boto(cloud), what)()[field]
    return dict(found)


def the_instance(cloud: Cloud) -> dict[str, Any]:
    return dict(only(cloud, "describe_instances", "Reservations")["Instances"][0])


# the create call


def test_the_create_call(cloud: Cloud, driver: ec2.Ec2) -> None:
    instance = launch(driver, node())
    body = asked(cloud, "RunInstances")
    tags = {it["ResourceType"]: as_tags(it["Tags"]) for it in body.pop("TagSpecifications")}
    assert tags == dict.fromkeys(("instance", "volume", "network-interface"), TAGS)
    assert len(body["ClientToken"]) == 64
    assert body.pop("ClientToken").isascii()
    assert base64.b64decode(body.pop("UserData")).decode() == SCRIPT
    (interface,) = body.pop("NetworkInterfaces")
    assert len(interface.pop("Groups")) == 2  # the VPC's default group, and the temporary one
    assert interface == {"DeviceIndex": 0, "AssociatePublicIpAddress": True, "DeleteOnTermination": True}
    assert body.pop("ImageId").startswith("ami-")
    assert body == {
        "InstanceType": "t3.micro",
        "MinCount": 1,
        "MaxCount": 1,
        "MetadataOptions": {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "BlockDeviceMappings": [
            {
                "DeviceName": catalogue.DEBIAN_ROOT,
                "Ebs": {"VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True},
            }
        ],
        "CreditSpecification": {"CpuCredits": "standard"},
    }
    assert (instance.state, instance.role, instance.batch, instance.public_ip) == ("pending", "db.main", BATCH, None)
    assert (instance.region, instance.zone, instance.size) == (REGION, "eu-west-1a", "t3.micro")


def test_the_created_instance_volume_and_interface(cloud: Cloud, driver: ec2.Ec2) -> None:
    launch(driver, node())
    made = the_instance(cloud)
    metadata = made["MetadataOptions"]
    assert (metadata["HttpTokens"], metadata["HttpPutResponseHopLimit"]) == ("required", 1)
    assert as_tags(made["Tags"]) == TAGS
    volume = only(cloud, "describe_volumes", "Volumes")
    assert (volume["Encrypted"], volume["VolumeType"], as_tags(volume["Tags"])) == (True, "gp3", TAGS)
    assert [it["Ebs"]["DeleteOnTermination"] for it in made["BlockDeviceMappings"]] == [True]
    interface = only(cloud, "describe_network_interfaces", "NetworkInterfaces")
    assert as_tags(interface["TagSet"]) == TAGS


def test_the_reported_instance_from_create_to_running(cloud: Cloud, driver: ec2.Ec2, time: Time) -> None:
    began = time()
    with driver.access(BATCH, KEY, [node()]) as access:
        first = driver.launch(node(), SCRIPT, access)
        assert driver.instances(REGION) == [first]
        time.advance(10)
        expected = dataclasses.replace(first, state="running", public_ip="203.0.113.4", private_ip="10.120.0.4")
        assert driver.instances() == [expected]
        assert expected.created == began


def test_the_volume_options(cloud: Cloud, driver: ec2.Ec2) -> None:
    launch(driver, node(options={"volume_size": 30, "volume_type": "io2", "volume_iops": 400}))
    volume = only(cloud, "describe_volumes", "Volumes")
    assert (volume["Size"], volume["VolumeType"], volume["Iops"], volume["Encrypted"]) == (30, "io2", 400, True)


@pytest.mark.parametrize(("image", "device"), [("bookworm", "/dev/xvda"), ("noble", "/dev/sda1")])
def test_the_root_volume_uses_the_image_s_device_name_and_is_the_only_one(
    cloud: Cloud, driver: ec2.Ec2, image: str, device: str
) -> None:
    launch(driver, node(image=image))
    assert asked(cloud, "RunInstances")["BlockDeviceMappings"][0]["DeviceName"] == device
    assert only(cloud, "describe_volumes", "Volumes")["Size"] == catalogue.IMAGE_SIZE


def test_a_spot_instance(cloud: Cloud, driver: ec2.Ec2) -> None:
    launch(driver, node(options={"spot": True}))
    body = asked(cloud, "RunInstances")
    options = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
    assert body["InstanceMarketOptions"] == {"MarketType": "spot", "SpotOptions": options}
    assert "spot-instances-request" in [it["ResourceType"] for it in body["TagSpecifications"]]
    assert the_instance(cloud)["InstanceLifecycle"] == "spot"


def test_the_highest_price_of_a_spot_instance(cloud: Cloud, driver: ec2.Ec2) -> None:
    launch(driver, node(options={"spot": True, "spot_max_price": 0.05}))
    assert asked(cloud, "RunInstances")["InstanceMarketOptions"]["SpotOptions"]["MaxPrice"] == "0.05"


@pytest.mark.parametrize("kind", ["Name", "Arn"])
def test_an_instance_profile_by_name_or_arn(cloud: Cloud, driver: ec2.Ec2, kind: str) -> None:
    cloud.add_profile("web")
    setting = {"Name": "web", "Arn": f"arn:aws:iam::{cloud.world.account}:instance-profile/web"}[kind]
    launch(driver, node(options={"instance_profile": setting}))
    assert asked(cloud, "RunInstances")["IamInstanceProfile"] == {kind: setting}


def test_the_request_has_no_profile_if_none_is_set(cloud: Cloud, driver: ec2.Ec2) -> None:
    launch(driver, node())
    assert "IamInstanceProfile" not in asked(cloud, "RunInstances")


@pytest.mark.parametrize(
    ("size", "credits", "sent"),
    [("t3.micro", "standard", "standard"), ("t3.micro", "unlimited", "unlimited"), ("m7a.medium", "standard", None)],
)
def test_cpu_credits_are_sent_only_for_burstable_sizes(
    cloud: Cloud, driver: ec2.Ec2, size: str, credits: str, sent: str | None
) -> None:
    instance = launch(driver, node(size=size, options={"cpu_credits": credits}))
    assert asked(cloud, "RunInstances").get("CreditSpecification", {}).get("CpuCredits") == sent
    if sent:
        found = boto(cloud).describe_instance_credit_specifications(InstanceIds=[instance.instance_id])
        assert found["InstanceCreditSpecifications"][0]["CpuCredits"] == sent


def test_ipv6(cloud: Cloud, driver: ec2.Ec2) -> None:
    vpc, (subnet,) = make_vpc(cloud, "eu-west-1b")
    wanted = node(options={"ipv6": True, "subnet": subnet})
    assert driver.objections(wanted) == [f"ipv6 needs a subnet with an IPv6 network: {subnet} has none"]
    client = boto(cloud)
    client.associate_vpc_cidr_block(VpcId=vpc, AmazonProvidedIpv6CidrBlock=True)
    client.associate_subnet_cidr_block(SubnetId=subnet, Ipv6CidrBlock="2001:db8:0:1::/64")
    assert driver.objections(wanted) == []
    launch(driver, wanted)
    assert the_instance(cloud)["NetworkInterfaces"][0]["Ipv6Addresses"][0]["Ipv6Address"].startswith("2001:db8:")


@pytest.mark.parametrize(
    ("tags", "sent"),
    [(["web", "db"], {"web": "", "db": ""}), ({"env": "prod", "Name": "x"}, {"env": "prod", "Name": "x"})],
)
def test_tags_of_the_user(cloud: Cloud, driver: ec2.Ec2, tags: Any, sent: dict[str, str]) -> None:
    launch(driver, node(tags=tags))
    assert as_tags(the_instance(cloud)["Tags"]) == {**TAGS, **sent}


def test_a_node_without_a_role_has_no_role_tag(cloud: Cloud, driver: ec2.Ec2) -> None:
    instance = launch(driver, dataclasses.replace(node(), role=None))
    assert instance.role is None
    assert "hart-role" not in as_tags(the_instance(cloud)["Tags"])


# user-data


def test_a_script_that_is_too_long_is_sent_compressed(cloud: Cloud, driver: ec2.Ec2) -> None:
    script = SCRIPT + "echo once more\n" * 2000
    launch(driver, node(), script)
    sent = base64.b64decode(asked(cloud, "RunInstances")["UserData"])
    assert len(sent) < 16384 < len(script)
    assert gzip.decompress(sent).decode() == script
    assert cloud.user_data() == {"w1.example.com": script}


def test_a_script_of_exactly_the_limit_is_sent_unchanged(cloud: Cloud, driver: ec2.Ec2) -> None:
    script = SCRIPT + "#" * (16384 - len(SCRIPT))
    launch(driver, node(), script)
    assert base64.b64decode(asked(cloud, "RunInstances")["UserData"]).decode() == script


def test_a_script_that_is_too_long_when_compressed_is_refused_before_any_create_call(
    cloud: Cloud, driver: ec2.Ec2
) -> None:
    noise = random.Random(0).randbytes(20000).hex()  # noqa: S311 - must not compress to half its size
    with pytest.raises(InvalidRequest, match=r"40010 bytes, \d+ when compressed, but EC2 accepts at most 16384 bytes"):
        launch(driver, node(), SCRIPT + noise)
    assert (called(cloud, "RunInstances"), left(cloud)) == (0, {})


# images


@pytest.mark.parametrize(
    ("setting", "size", "name"),
    [
        *((name, size, f"debian-{version}-20261101-2301") for name, size, version in (
            ("bookworm", "t3.micro", "12-amd64"), ("trixie", "t3.micro", "13-amd64"),
            ("bookworm", "t4g.micro", "12-arm64"), ("trixie", "c7g.medium", "13-arm64"))),
        ("jammy", "t3.micro", "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-20261102.1"),
        ("noble", "t4g.micro", "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-arm64-server-20261102.1"),
    ],
)  # fmt: skip
def test_the_newest_official_image_for_the_size(
    cloud: Cloud, driver: ec2.Ec2, setting: str, size: str, name: str
) -> None:
    """The owner also has older, daily and backports images, and another owner has a newer one."""
    launch(driver, node(image=setting, size=size))
    (image,) = boto(cloud).describe_images(ImageIds=[asked(cloud, "RunInstances")["ImageId"]])["Images"]
    assert image["Name"] == name
    assert image["OwnerId"] in (catalogue.DEBIAN, catalogue.CANONICAL)


def test_the_newest_image_is_found_by_date_and_not_by_name(cloud: Cloud, driver: ec2.Ec2) -> None:
    late = catalogue.PublicImage(
        "debian-12-amd64-20250101-1", catalogue.DEBIAN, "x86_64", "2026-11-20T00:00:00Z", catalogue.DEBIAN_ROOT
    )
    cloud.region()._add_image("ami-0000000000000beef", late)
    launch(driver, node(image="bookworm"))
    assert asked(cloud, "RunInstances")["ImageId"] == "ami-0000000000000beef"


def test_an_image_by_id_and_an_image_of_the_account_by_name(cloud: Cloud, driver: ec2.Ec2, time: Time) -> None:
    first, number = cloud.add_snapshot("golden"), cloud.add_snapshot("by id")
    time.advance(3600)
    second = cloud.add_snapshot("golden")
    with driver.access(BATCH, KEY, [node()]) as access:
        for name, image, expected in (("a", number, number), ("b", "golden", second)):
            made = driver.launch(node(name, image=image), SCRIPT, access)
            (found,) = boto(cloud).describe_instances(InstanceIds=[made.instance_id])["Reservations"]
            assert found["Instances"][0]["ImageId"] == expected
    assert first != second


@pytest.mark.parametrize(
    ("setting", "size", "text"),
    [
        *((setting, "t4g.micro", "is for x86_64, but instances of that size are arm64")
          for setting in ("ami-00000000000000001", "golden")),
        ("no such image", "t3.micro", "there is no bootable image no such image for x86_64 in eu-west-1"),
        ("bookworm", "mac1.metal", "are neither x86_64 nor arm64"),
        ("ami-99999999999999999", "t3.micro", "InvalidAMIID.NotFound DescribeImages"),
    ],
)  # fmt: skip
def test_images_that_cannot_be_booted(cloud: Cloud, driver: ec2.Ec2, setting: str, size: str, text: str) -> None:
    cloud.add_snapshot("golden")
    wanted = node(image=setting, size=size)
    (objection,) = driver.objections(wanted)
    assert text in objection
    with pytest.raises(InvalidRequest):
        launch(driver, wanted)
    assert (called(cloud, "RunInstances"), left(cloud)) == (0, {})


def test_an_image_without_a_root_volume(cloud: Cloud, driver: ec2.Ec2) -> None:
    cloud.region().amis[cloud.add_snapshot("golden")].root_device_name = ""
    assert driver.objections(node(image="golden")) == ["the image golden does not name its root volume"]


# tokens


def test_a_token_whose_instance_was_terminated_is_replaced(cloud: Cloud, driver: ec2.Ec2) -> None:
    """A retry of a create call comes after somebody terminated the instance (boto/boto3#4406)."""
    with driver.access(BATCH, KEY, [node()]) as access:
        first = driver.launch(node(), SCRIPT, access)
        driver.terminate(first)
        second = driver.launch(node(), SCRIPT, access)
    assert first.instance_id != second.instance_id
    assert (called(cloud, "RunInstances"), cloud.made()) == (3, 2)
    assert left(cloud) == {"instances": ["w1.example.com"]}


def test_each_node_of_a_batch_has_its_own_token_and_keeps_it_for_each_try(cloud: Cloud, driver: ec2.Ec2) -> None:
    cloud.faults.add(*[Fault("POST", body=CREATE, when="after", drop=True)] * 2)
    with driver.access(BATCH, KEY, [node()]) as access:
        for name in ("a", "b"):
            driver.launch(node(name), SCRIPT, access)
    tokens = [call.text.split("ClientToken=")[1][:64] for call in cloud.calls if "Action=RunInstances&" in call.text]
    assert len(tokens) == 4
    assert len(set(tokens)) == 2
    assert cloud.made() == 2


def test_a_second_launch_of_a_node_in_its_batch_returns_the_same_instance(cloud: Cloud, driver: ec2.Ec2) -> None:
    with driver.access(BATCH, KEY, [node()]) as access:
        first, again = (driver.launch(node(), SCRIPT, access) for _ in range(2))
    assert (first, cloud.made()) == (again, 1)
    driver.terminate(first)
    # In another access for a batch of the same name it must be a new instance.
    assert launch(driver, node()).instance_id != first.instance_id
