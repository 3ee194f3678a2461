"""The emulated EC2 alone: images that users make, and what EC2 refuses about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.drivers.ec2.driver import boto
from tests.drivers.ec2.test_emulator import image, refused, run
from tests.drivers.tested import Time
from tests.emulation.backend import recorded

if TYPE_CHECKING:
    from tests.drivers.ec2.emulator.cloud import Ec2 as Cloud  # imports moto, which is slow


@pytest.fixture
def instance(cloud: Cloud, time: Time) -> str:
    """Return the id of a running instance with an encrypted volume of 12 GiB."""
    volume = {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 12, "Encrypted": True}}
    made = run(cloud, BlockDeviceMappings=[volume])["InstanceId"]
    time.advance(60)
    return str(made)


def made_of(cloud: Cloud, instance: str, name: str = "one", **more: Any) -> str:
    return str(boto(cloud).create_image(InstanceId=instance, Name=name, **more)["ImageId"])


def shown(cloud: Cloud, image_id: str) -> Any:
    """Return the report of an image, or None."""
    found = boto(cloud).describe_images(Filters=[{"Name": "image-id", "Values": [image_id]}])["Images"]
    return found[0] if found else None


def test_an_image_takes_its_time_and_shows_its_snapshot_at_the_end(cloud: Cloud, instance: str, time: Time) -> None:
    cloud.settings.image_after = 30
    made = made_of(cloud, instance)
    first = shown(cloud, made)
    assert (first["State"], "SnapshotId" in first["BlockDeviceMappings"][0]["Ebs"]) == ("pending", False)
    time.advance(30)
    there = shown(cloud, made)
    ebs = there["BlockDeviceMappings"][0]["Ebs"]
    assert (there["State"], ebs["VolumeSize"], ebs["Encrypted"]) == ("available", 12, True)
    (part,) = boto(cloud).describe_snapshots(OwnerIds=["self"])["Snapshots"]
    assert (part["SnapshotId"], part["State"], part["VolumeSize"]) == (ebs["SnapshotId"], "completed", 12)


def test_a_running_instance_is_restarted_for_it(cloud: Cloud, instance: str) -> None:
    made_of(cloud, instance)
    made_of(cloud, instance, "two", NoReboot=True)
    assert cloud.world.lives[instance].reboots == 1


def test_an_instance_that_is_ending_makes_no_image(cloud: Cloud, instance: str) -> None:
    boto(cloud).terminate_instances(InstanceIds=[instance])
    assert refused(lambda: made_of(cloud, instance)) == ("IncorrectInstanceState", 400)


@pytest.mark.parametrize(
    ("name", "code"),
    [("one", "InvalidAMIName.Duplicate"), ("a+b+c", "InvalidAMIName.Malformed"), ("ö" * 5, "Malformed")],
)
def test_names(cloud: Cloud, instance: str, name: str, code: str) -> None:
    made_of(cloud, instance)
    assert refused(lambda: made_of(cloud, instance, name))[0].endswith(code)


def test_the_root_volume_stays_as_it_is(cloud: Cloud, instance: str) -> None:
    for change in ({"NoDevice": ""}, {"Ebs": {"VolumeSize": 20}}, {"Ebs": {"Encrypted": True}}):
        mapping = [{"DeviceName": "/dev/xvda", **change}]
        assert refused(lambda mapping=mapping: made_of(cloud, instance, BlockDeviceMappings=mapping))[1] == 400


def test_a_snapshot_in_use_and_an_image_of_debian_stay(cloud: Cloud, instance: str) -> None:
    made = made_of(cloud, instance)
    client = boto(cloud)
    (part,) = client.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    assert refused(lambda: client.delete_snapshot(SnapshotId=part["SnapshotId"])) == ("InvalidSnapshot.InUse", 400)
    assert refused(lambda: client.deregister_image(ImageId=image())) == ("AuthFailure", 401)
    client.deregister_image(ImageId=made)
    assert refused(lambda: client.deregister_image(ImageId=made)) == ("InvalidAMIID.Unavailable", 400)
    client.delete_snapshot(SnapshotId=part["SnapshotId"])
    assert refused(lambda: client.delete_snapshot(SnapshotId=part["SnapshotId"])) == ("InvalidSnapshot.NotFound", 400)


def test_a_token_makes_one_copy_and_the_disk_goes_with_the_last_image(cloud: Cloud, instance: str) -> None:
    made = made_of(cloud, instance)
    there, asked = boto(cloud, "us-east-1"), {"SourceImageId": made, "SourceRegion": "eu-west-1", "ClientToken": "x"}
    copies = {there.copy_image(Name="one", **asked)["ImageId"] for _ in range(2)}
    assert len(copies) == 1
    boto(cloud).deregister_image(ImageId=made)
    assert cloud.settle(10)
    assert list(recorded(cloud.machines).saved) == [made]
    there.deregister_image(ImageId=copies.pop())
    assert cloud.settle(10)
    assert recorded(cloud.machines).saved == {}


def test_forget_removes_images_and_their_disks(cloud: Cloud, instance: str) -> None:
    made_of(cloud, instance)
    assert (cloud.left()["images"], len(cloud.left()["snapshots"])) == (["one"], 1)
    cloud.forget()
    assert {kind: names for kind, names in cloud.left().items() if names} == {}
    assert cloud.settle(10)
    assert recorded(cloud.machines).saved == {}
