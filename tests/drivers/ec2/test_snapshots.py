"""Images that the driver ``ec2`` makes of instances: what only EC2 has; the contract suite has the rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hart_salt.base.errors import InvalidRequest, NotFound, QuotaExceeded, TemporaryFailure
from hart_salt.drivers.ec2 import driver as ec2
from hart_salt.drivers.ec2.snapshots import SNAPSHOT
from hart_salt.model import IMAGE_AVAILABLE, IMAGE_FAILED, IMAGE_PENDING, BakedImage, Instance, NewImage, Price
from tests.drivers.ec2 import driver as own
from tests.drivers.ec2.driver import asked, boto, called, driver_of, left
from tests.drivers.ec2.emulator import answers
from tests.drivers.ec2.emulator.state import REGION
from tests.drivers.tested import BATCH, OWNER, Time
from tests.emulation.backend import recorded
from tests.emulation.faults import Fault

if TYPE_CHECKING:
    from tests.drivers.ec2.emulator.cloud import Ec2 as Cloud

NEW = NewImage("hart-db-202611301450-0123456789ab", "db.main", BATCH, "s1-abc-p2", "3008.3", REGION, "amd64")


@pytest.fixture
def stopped(driver: ec2.Ec2, instance: Instance) -> Instance:
    """Return an instance that is off."""
    driver.power_off(instance, force=True)
    return instance


def baked(driver: ec2.Ec2, stopped: Instance, time: Time, new: NewImage = NEW) -> BakedImage:
    """Make an image, wait for it, and mark it as complete."""
    made = driver.make_image(stopped, new)
    time.advance(60)
    driver.finish_image(made)
    (found,) = [one for one in driver.baked_images() if one.image_id == made.image_id]
    return found


def tags_of(cloud: Cloud, resource: str, region: str = REGION) -> dict[str, str]:
    """Return the tags of an image or a snapshot, according to the API."""
    listed = boto(cloud, region).describe_tags(Filters=[{"Name": "resource-id", "Values": [resource]}])["Tags"]
    return {tag["Key"]: tag["Value"] for tag in listed}


def snapshots(cloud: Cloud, region: str = REGION) -> list[dict[str, Any]]:
    """Return the account's snapshots of images."""
    listed: list[dict[str, Any]] = boto(cloud, region).describe_snapshots(OwnerIds=["self"])["Snapshots"]
    return listed


def lost(action: str, times: int = 1) -> Fault:
    """Return a fault by which calls have their effect and get no answer."""
    return Fault("POST", body=f"Action={action}&", when="after", drop=True, times=times)


def says(action: str, code: str, **more: Any) -> Fault:
    """Return a fault by which a call is refused."""
    return Fault("POST", body=f"Action={action}&", status=400, answer=answers.error(code, "no"), **more)


# make


def test_the_create_call_has_all_tags_of_image_and_snapshot(
    driver: ec2.Ec2, stopped: Instance, cloud: Cloud, time: Time
) -> None:
    made = driver.make_image(stopped, NEW)
    tags = {
        "Name": NEW.name, "hart-owner": OWNER, "hart-role": "db.main", "hart-batch": BATCH,
        "hart-digest": NEW.digest, "hart-release": "3008.3", "hart-arch": "amd64",
    }  # fmt: skip
    (part,) = snapshots(cloud)
    assert tags_of(cloud, made.image_id) == tags_of(cloud, part["SnapshotId"]) == tags
    assert (called(cloud, "CreateImage"), called(cloud, "CreateTags")) == (1, 0)
    driver.finish_image(made)
    assert tags_of(cloud, made.image_id) == {**tags, "hart-complete": "true"}
    assert part["Encrypted"], "the volume of a node is encrypted, and so is its snapshot"


def test_other_volumes_of_the_instance_are_left_out(driver: ec2.Ec2, stopped: Instance, cloud: Cloud) -> None:
    client = boto(cloud)
    volume = client.create_volume(AvailabilityZone=stopped.zone, Size=3)["VolumeId"]
    client.attach_volume(Device="/dev/sdf", InstanceId=stopped.instance_id, VolumeId=volume)
    made = driver.make_image(stopped, NEW)
    assert asked(cloud, "CreateImage")["BlockDeviceMappings"] == [{"DeviceName": "/dev/sdf", "NoDevice": ""}]
    assert len(snapshots(cloud)) == 1
    found = driver.baked_image(made)
    assert found is not None
    assert (found.disk_gb, found.arch) == (8, "amd64")


@pytest.mark.parametrize("times", [1, 5])
def test_a_create_call_without_an_answer_makes_one_image(
    driver: ec2.Ec2, stopped: Instance, cloud: Cloud, times: int
) -> None:
    """The SDK makes the call again, and the name is taken by then."""
    cloud.faults.add(lost("CreateImage", times))
    made = driver.make_image(stopped, NEW)
    assert left(cloud)["images"] == [NEW.name]
    assert driver.baked_image(made) is not None


def test_a_name_that_another_call_took_is_refused(driver: ec2.Ec2, stopped: Instance) -> None:
    driver.make_image(stopped, NEW)
    with pytest.raises(InvalidRequest, match=r"InvalidAMIName\.Duplicate"):
        driver.make_image(stopped, replace(NEW, batch="b2"))


def test_a_name_that_another_master_took_is_refused(
    driver: ec2.Ec2, stopped: Instance, cloud: Cloud, time: Time, tmp_path: Path
) -> None:
    driver_of(cloud, time, tmp_path, owner="ffff" * 4).make_image(stopped, NEW)
    with pytest.raises(InvalidRequest, match=r"InvalidAMIName\.Duplicate"):
        driver.make_image(stopped, NEW)
    assert driver.baked_images() == []


def test_a_quota_and_a_missing_instance(driver: ec2.Ec2, stopped: Instance, cloud: Cloud) -> None:
    cloud.settings.image_limit = 0
    with pytest.raises(QuotaExceeded, match="ResourceLimitExceeded"):
        driver.make_image(stopped, NEW)
    driver.terminate(stopped)
    with pytest.raises(NotFound, match="is gone"):
        driver.make_image(stopped, NEW)


def test_why_an_image_failed(driver: ec2.Ec2, stopped: Instance, cloud: Cloud, time: Time) -> None:
    cloud.settings.fails_image = True
    made = driver.make_image(stopped, NEW)
    found = driver.baked_image(made)
    assert found is not None
    assert (found.state, found.problem) == (IMAGE_FAILED, "Client.InternalError: Client error on launch")


# EC2 does not know a new image everywhere


def test_an_image_that_ec2_does_not_show_yet_is_pending(
    driver: ec2.Ec2, stopped: Instance, cloud: Cloud, time: Time, tmp_path: Path
) -> None:
    cloud.settings.images_hidden_for = 20
    made = driver.make_image(stopped, NEW)
    assert driver.baked_image(made) == made
    assert driver.baked_images() == driver.baked_images(REGION) == [made]
    assert driver_of(cloud, time, tmp_path).baked_image(made) is None
    driver.finish_image(made)
    found = driver.baked_image(made)
    assert found is not None
    assert (found.state, found.complete) == (IMAGE_AVAILABLE, True)


def test_an_image_that_ec2_does_not_show_yet_is_deleted(driver: ec2.Ec2, stopped: Instance, cloud: Cloud) -> None:
    cloud.settings.images_hidden_for = 20
    driver.delete_image(driver.make_image(stopped, NEW))
    assert driver.baked_images() == []
    assert left(cloud) == {"instances": ["w1.example.com"]}


# delete


def test_snapshots_go_with_the_image_although_it_is_listed_for_a_while(
    driver: ec2.Ec2, stopped: Instance, cloud: Cloud, time: Time
) -> None:
    image = baked(driver, stopped, time)
    cloud.settings.deregistered_for = 5
    driver.delete_image(image)
    assert left(cloud) == {"instances": ["w1.example.com"]}
    assert (driver.baked_images(), driver.baked_image(image)) == ([], None)
    driver.delete_image(image)


def test_an_image_that_is_deregistered_is_gone_although_it_is_still_listed(
    driver: ec2.Ec2, stopped: Instance, cloud: Cloud
) -> None:
    cloud.settings.deregistered_for = 60
    made = driver.make_image(stopped, NEW)
    boto(cloud).deregister_image(ImageId=made.image_id)
    assert [it["State"] for it in boto(cloud).describe_images(Owners=["self"])["Images"]] == ["deregistered"]
    assert driver.baked_images() == []
    assert [one.kind for one in driver.leftovers()] == ["image snapshot"]


def test_an_image_that_cannot_be_deregistered_while_it_is_pending(
    driver: ec2.Ec2, stopped: Instance, cloud: Cloud
) -> None:
    cloud.settings.image_after, cloud.settings.keeps_pending_images = 90, True
    driver.delete_image(driver.make_image(stopped, NEW))
    assert left(cloud) == {"instances": ["w1.example.com"]}


def test_one_that_stays_pending_is_an_error(driver: ec2.Ec2, stopped: Instance, cloud: Cloud) -> None:
    cloud.settings.image_after, cloud.settings.keeps_pending_images = 9000, True
    made = driver.make_image(stopped, NEW)
    with pytest.raises(TemporaryFailure, match="is pending"):
        driver.delete_image(made)
    assert [one.name for one in driver.leftovers()] == [NEW.name]


def test_a_refusal_to_deregister_is_an_error(driver: ec2.Ec2, stopped: Instance, cloud: Cloud, time: Time) -> None:
    image = baked(driver, stopped, time)
    cloud.faults.add(says("DeregisterImage", "OperationNotPermitted"))
    with pytest.raises(InvalidRequest, match="OperationNotPermitted"):
        driver.delete_image(image)
    assert len(left(cloud)["snapshots"]) == 1


@pytest.mark.parametrize("regions", [(REGION,), ()])
def test_without_an_id_the_name_decides(
    driver: ec2.Ec2, stopped: Instance, cloud: Cloud, time: Time, regions: tuple[str, ...]
) -> None:
    """Only this image, and only its snapshots."""
    image, other = baked(driver, stopped, time), baked(driver, stopped, time, replace(NEW, name="hart-other"))
    named = replace(image, image_id="", regions=regions)
    assert driver.baked_image(named) == image
    driver.delete_image(named)
    assert driver.baked_images() == [other]
    assert len(snapshots(cloud)) == 1


@pytest.mark.parametrize("text", ["vol-1", "ami-zz", "*"])
def test_text_that_is_no_id_names_no_image(driver: ec2.Ec2, cloud: Cloud, text: str) -> None:
    image = BakedImage(text, "hart-x", IMAGE_AVAILABLE, regions=(REGION,))
    assert driver.baked_image(image) is None
    driver.delete_image(image)
    with pytest.raises(NotFound):
        driver.finish_image(image)
    assert called(cloud, "DeregisterImage") == called(cloud, "CreateTags") == 0


# copies


def test_a_copy_has_the_tags_and_is_encrypted(driver: ec2.Ec2, stopped: Instance, cloud: Cloud, time: Time) -> None:
    image = baked(driver, stopped, time)
    cloud.settings.image_after = 30
    copy = driver.copy_image(image, "us-east-1")
    assert (copy.state, copy.complete, copy.regions) == (IMAGE_PENDING, False, ("us-east-1",))
    assert copy.image_id != image.image_id
    (part,) = snapshots(cloud, "us-east-1")
    tags = {name: value for name, value in tags_of(cloud, image.image_id).items() if name != "hart-complete"}
    assert tags_of(cloud, copy.image_id, "us-east-1") == tags_of(cloud, part["SnapshotId"], "us-east-1") == tags
    assert part["Encrypted"]
    assert asked(cloud, "CopyImage")["Encrypted"]
    time.advance(60)
    driver.finish_image(copy)
    assert {one.regions: one.complete for one in driver.baked_images()} == {(REGION,): True, ("us-east-1",): True}
    assert [one.image_id for one in driver.baked_images("us-east-1")] == [copy.image_id]


def test_a_copy_without_an_answer_is_made_once(driver: ec2.Ec2, stopped: Instance, cloud: Cloud, time: Time) -> None:
    image = baked(driver, stopped, time)
    cloud.faults.add(lost("CopyImage", 5))
    copy = driver.copy_image(image, "us-east-1")
    assert [one.image_id for one in driver.baked_images("us-east-1")] == [copy.image_id]


def test_a_region_that_is_not_used_gets_no_copy(driver: ec2.Ec2, stopped: Instance, cloud: Cloud, time: Time) -> None:
    image = baked(driver, stopped, time)
    with pytest.raises(InvalidRequest, match="me-central-1"):
        driver.copy_image(image, "me-central-1")
    assert called(cloud, "CopyImage") == 0


# leftovers


def test_half_made_images_and_snapshots_without_one_are_left(
    driver: ec2.Ec2, stopped: Instance, cloud: Cloud, time: Time
) -> None:
    image = baked(driver, stopped, time)
    half = driver.make_image(stopped, replace(NEW, name="hart-half"))
    assert [(one.kind, one.name, one.batch, one.region) for one in driver.leftovers()] == [
        ("image", "hart-half", BATCH, REGION)
    ]
    boto(cloud).deregister_image(ImageId=half.image_id)
    (free,) = driver.leftovers()
    assert (free.kind, free.batch, free.region, free.created is None) == (SNAPSHOT, BATCH, REGION, False)
    driver.remove(free)
    driver.remove(free)
    assert driver.leftovers() == []
    assert driver.baked_images() == [image]
    assert len(snapshots(cloud)) == 1


def test_the_snapshot_of_a_pending_image_is_not_left_on_its_own(
    driver: ec2.Ec2, stopped: Instance, cloud: Cloud
) -> None:
    """EC2 does not show yet that it belongs to the image."""
    cloud.settings.image_after = 60
    driver.make_image(stopped, NEW)
    assert [one.kind for one in driver.leftovers()] == ["image"]


def test_a_snapshot_that_somebody_uses_is_not_left(
    driver: ec2.Ec2, stopped: Instance, cloud: Cloud, time: Time
) -> None:
    """Somebody took hart's tags away from the image to keep it."""
    image = baked(driver, stopped, time)
    tags = [{"Key": name} for name in tags_of(cloud, image.image_id)]
    boto(cloud).delete_tags(Resources=[image.image_id], Tags=tags)
    boto(cloud).create_tags(Resources=[image.image_id], Tags=[{"Key": "Name", "Value": "kept"}])
    cloud.region().amis[image.image_id].name = "kept"
    assert (driver.baked_images(), driver.leftovers()) == ([], [])


def test_a_half_made_image_is_removed_with_its_snapshots(driver: ec2.Ec2, stopped: Instance, cloud: Cloud) -> None:
    driver.make_image(stopped, NEW)
    (leftover,) = driver.leftovers()
    driver.remove(leftover)
    driver.remove(leftover)
    assert left(cloud) == {"instances": ["w1.example.com"]}


def test_what_is_another_masters_is_not_ours_whatever_the_filter(
    driver: ec2.Ec2, stopped: Instance, cloud: Cloud, time: Time, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = driver_of(cloud, time, tmp_path, owner="ffff" * 4)
    theirs = other.make_image(stopped, NEW)

    def without_filters(action: str, form: dict[str, str]) -> dict[str, str]:
        return {name: value for name, value in form.items() if not name.startswith("Filter.")}

    monkeypatch.setattr(cloud, "_with_page", without_filters)
    assert (driver.baked_images(), driver.baked_image(theirs)) == ([], None)
    assert {one.kind for one in driver.leftovers()} <= {"volume"}, "which the filter selects by its state"
    for image_id in (theirs.image_id, "ami-0123456789abcdef0", ""):
        driver.delete_image(replace(theirs, image_id=image_id))
    assert [one.image_id for one in other.baked_images()] == [theirs.image_id]
    assert len(snapshots(cloud)) == 1


def test_without_the_right_for_snapshots_half_made_images_are_found(
    driver: ec2.Ec2, stopped: Instance, cloud: Cloud
) -> None:
    """Credentials that were never meant to bake are not an error for a sweep."""
    driver.make_image(stopped, NEW)
    cloud.settings.denied = ("ec2:DescribeSnapshots",)
    assert [one.name for one in driver.leftovers()] == [NEW.name]


# use


def test_nodes_boot_from_an_image_and_from_its_copy(
    driver: ec2.Ec2, stopped: Instance, cloud: Cloud, time: Time
) -> None:
    """The source and the instance can be gone by then."""
    image = baked(driver, stopped, time)
    copy = driver.copy_image(image, "us-east-1")
    time.advance(60)
    driver.finish_image(copy)
    driver.terminate(stopped)
    driver.delete_image(image)
    made = own.launch(driver, own.node("w2.example.com", region="us-east-1", image=copy.image_id))
    cloud.settle()
    backend = recorded(cloud.machines)
    assert backend.booted[made.instance_id].image in backend.saved
    driver.delete_image(copy)
    cloud.settle()
    assert backend.saved == {}


def test_an_image_that_is_pending_cannot_be_booted(driver: ec2.Ec2, stopped: Instance, cloud: Cloud) -> None:
    cloud.settings.image_after = 100
    made = driver.make_image(stopped, NEW)
    with pytest.raises(InvalidRequest, match="is pending, and cannot be run"):
        own.launch(driver, own.node("w2.example.com", image=made.image_id))


@pytest.mark.parametrize(("size", "objections"), [(20, 0), (19, 1), (None, 0)])
def test_a_volume_that_is_too_small_is_refused(
    driver: ec2.Ec2, cloud: Cloud, time: Time, size: int | None, objections: int
) -> None:
    first = own.launch(driver, own.node(options={"volume_size": 20}))
    time.advance(60)
    driver.power_off(first, force=True)
    image = baked(driver, first, time)
    assert image.disk_gb == 20
    said = driver.objections(own.node("w2.example.com", image=image.image_id, options={"volume_size": size}))
    assert said == [f"the image {image.image_id} needs a volume_size of 20 or more"][:objections]


# prices


@pytest.mark.parametrize("region", [REGION, "us-east-1"])
def test_the_price_of_snapshots(driver: ec2.Ec2, cloud: Cloud, region: str) -> None:
    assert driver.image_price(region) == driver.image_price(region) == Price(0.05)
    assert cloud.count("POST", body="Storage Snapshot") == 1
    size = driver.size("t3.micro", region)
    assert size is not None
    assert size.monthly_price, "the prices of sizes are asked for as before"


def test_a_price_that_may_not_be_asked_for_is_not_known(driver: ec2.Ec2, cloud: Cloud) -> None:
    cloud.settings.denied = ("pricing:GetProducts",)
    assert driver.image_price(REGION) is None
