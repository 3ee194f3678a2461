"""Instances of the driver ``ec2``: lists, termination, many at once, and what operators see."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hart_salt.base.errors import InvalidRequest, NotFound, TemporaryFailure
from hart_salt.drivers.ec2 import client
from hart_salt.drivers.ec2 import driver as ec2
from hart_salt.model import Instance
from tests.drivers.ec2.driver import LOOK, asked, boto, called, driver_of, launch, left, node, open_cloud
from tests.drivers.ec2.emulator import catalog as catalogue
from tests.drivers.ec2.emulator.state import REGION
from tests.drivers.tested import BATCH, KEY, OWNER, SCRIPT, Time
from tests.emulation.faults import Fault, MachineFault

if TYPE_CHECKING:
    from tests.drivers.ec2.emulator.cloud import Ec2 as Cloud  # imports moto, which is slow

# lists


def test_instances_listed_without_their_tags_keep_their_owner(
    cloud: Cloud, driver: ec2.Ec2, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EC2 does not promise tags with ``DescribeInstances`` (ansible/ansible#12642): one more call gets them."""
    made = launch(driver, node())
    time.advance(60)
    before, listed = driver.instances(REGION), client.Api.listed

    def without_tags(api: client.Api, region: str, operation: str, field: str, **wanted: Any) -> list[Any]:
        found = listed(api, region, operation, field, **wanted)
        for instance in (one for group in found if field == "Reservations" for one in group["Instances"]):
            del instance["Tags"]
        return found

    cloud.calls.clear()
    monkeypatch.setattr(client.Api, "listed", without_tags)
    assert driver.instances(REGION) == before
    assert driver.instance(made) == before[0]
    (found,) = driver.candidates("w1.example.com", made.instance_id, REGION)
    assert (found.name, found.owner) == ("w1.example.com", OWNER)
    assert called(cloud, "DescribeTags") == 3


def test_a_list_has_all_its_pages_and_all_regions(cloud: Cloud, driver: ec2.Ec2, time: Time, tmp_path: Path) -> None:
    cloud.settings.page_cap = 2
    names = []
    for region in catalogue.OPEN_REGIONS:
        wanted = [node(f"n{number}.{region}", region=region) for number in range(5)]
        names += [one.minion_id for one in wanted]
        with driver.access(BATCH, KEY, wanted) as access:
            for one in wanted:
                driver.launch(one, SCRIPT, access)
    cloud.calls.clear()
    assert {instance.minion_id: instance.region for instance in driver.instances()} == {
        name: name.partition(".")[2] for name in names
    }
    assert called(cloud, "DescribeInstances") == 9
    cloud.calls.clear()
    assert len(driver.instances(REGION)) == 5
    assert called(cloud, "DescribeInstances") == 3
    only_here = driver_of(cloud, time, tmp_path, regions=[REGION])
    assert {instance.region for instance in only_here.instances()} == {REGION}
    assert [region.name for region in only_here.regions()] == [REGION]


def test_only_instances_of_this_master_are_listed(cloud: Cloud, driver: ec2.Ec2, time: Time, tmp_path: Path) -> None:
    image = next(iter(cloud.region().amis))
    boto(cloud).run_instances(ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1)
    launch(driver_of(cloud, time, tmp_path, owner="cd34" * 4), node("other"))
    launch(driver, node("mine"))
    assert [instance.minion_id for instance in driver.instances()] == ["mine"]


def test_the_owner_is_a_filter_of_the_list_and_checked_again(cloud: Cloud, driver: ec2.Ec2) -> None:
    tag = "<item><key>hart-owner</key><value>somebody</value></item>"
    other = f"<item><instanceId>i-0123456789abcdef0</instanceId><tagSet>{tag}</tagSet></item>"
    listed = f"<reservationSet><item><instancesSet>{other}</instancesSet></item></reservationSet>"
    answer = f'<DescribeInstancesResponse xmlns="http://x/">{listed}</DescribeInstancesResponse>'.encode()
    cloud.faults.add(Fault("POST", body=LOOK, status=200, answer=answer))
    assert driver.instances(REGION) == []
    assert asked(cloud, "DescribeInstances")["Filters"] == [{"Name": "tag:hart-owner", "Values": [OWNER]}]


def test_states(cloud: Cloud, driver: ec2.Ec2, time: Time) -> None:
    instance = launch(driver, node())
    time.advance(10)
    assert [it.state for it in driver.instances()] == ["running"]
    boto(cloud).stop_instances(InstanceIds=[instance.instance_id])
    assert [it.state for it in driver.instances()] == ["stopped"]


def test_a_failed_launch_is_reported_with_its_reason_only_to_its_own_driver(
    cloud: Cloud, driver: ec2.Ec2, time: Time, tmp_path: Path
) -> None:
    reason = "Client.VolumeLimitExceeded: Volume limit exceeded"
    cloud.faults.add(MachineFault(given_up=reason))
    instance = launch(driver, node())
    time.advance(10)
    (seen,) = driver.instances(REGION)
    assert (seen.state, seen.problem) == ("gone", reason)
    assert driver_of(cloud, time, tmp_path).instances() == []
    driver.terminate(instance)
    assert driver.instances() == []


def test_an_answer_with_most_fields_missing(cloud: Cloud) -> None:
    from hart_salt.drivers.ec2.request import instance

    assert instance({"InstanceId": "i-1"}, "r") == Instance("i-1", "", "pending", region="r")


# terminate


def test_terminate_is_idempotent_and_removes_the_volume(cloud: Cloud, driver: ec2.Ec2) -> None:
    instance = launch(driver, node())
    for _ in range(2):
        driver.terminate(instance)
    assert left(cloud) == {}
    assert boto(cloud).describe_volumes()["Volumes"] == []


def test_a_volume_that_is_kept_outlives_its_instance_and_is_reported(
    cloud: Cloud, driver: ec2.Ec2, time: Time, tmp_path: Path
) -> None:
    """``keep_volumes``: another process, such as a sweep, knows it by the tag."""
    instance = launch(driver, node(options={"keep_volumes": True}))
    (volume,) = boto(cloud).describe_volumes()["Volumes"]
    other = driver_of(cloud, time, tmp_path)
    assert other.kept_volumes(instance) == [volume["VolumeId"]]
    assert other.leftovers() == []
    other.terminate(instance)
    time.advance(60)
    (leftover,) = other.leftovers()
    assert (leftover.name, leftover.keep) == (volume["VolumeId"], True)
    assert [it["State"] for it in boto(cloud).describe_volumes()["Volumes"]] == ["available"]
    assert other.kept_volumes(instance) == []


def test_a_node_that_does_not_become_a_minion_leaves_no_volume(cloud: Cloud, driver: ec2.Ec2) -> None:
    """The create call lets the volume go; only sealing keeps it."""
    wanted = node(options={"keep_volumes": True})
    with driver.access(BATCH, KEY, [wanted]) as access:
        instance = driver.launch(wanted, SCRIPT, access)
        assert driver.kept_volumes(instance) == []
        driver.terminate(instance)
    assert boto(cloud).describe_volumes()["Volumes"] == []


def test_sealing_in_another_process_keeps_the_volume_too(
    cloud: Cloud, driver: ec2.Ec2, time: Time, tmp_path: Path
) -> None:
    wanted, plain = node(options={"keep_volumes": True}), node("w2.example.com")
    with driver.access(BATCH, KEY, [wanted, plain]) as access:
        made, other = (driver.launch(it, SCRIPT, access) for it in (wanted, plain))
    sweep = driver_of(cloud, time, tmp_path)
    for instance in (made, other):
        sweep.settle(instance)
    assert (len(sweep.kept_volumes(made)), sweep.kept_volumes(other)) == (1, [])


def shown(monkeypatch: pytest.MonkeyPatch, change: Callable[[list[Any]], list[Any]], looks: int = 10**6) -> list[str]:
    """Let EC2 show its instances as ``change`` returns them for this many looks, and return the looks."""
    listed, made = client.Api.listed, list[str]()

    def changed(api: client.Api, region: str, operation: str, field: str, **wanted: Any) -> list[Any]:
        found = listed(api, region, operation, field, **wanted)
        if field != "Reservations":
            return found
        made.append(operation)
        return change(found) if len(made) <= looks else found

    monkeypatch.setattr(client.Api, "listed", changed)
    return made


def nothing(found: list[Any]) -> list[Any]:
    return []


def without_volumes(found: list[Any]) -> list[Any]:
    return [{"Instances": [{**it, "BlockDeviceMappings": []} for it in group["Instances"]]} for group in found]


@pytest.mark.parametrize("change", [nothing, without_volumes])
@pytest.mark.parametrize("other", [False, True], ids=["", "another process"])
def test_a_volume_that_ec2_does_not_show_yet_is_kept_as_soon_as_it_does(
    cloud: Cloud, driver: ec2.Ec2, time: Time, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    change: Callable[[list[Any]], list[Any]], other: bool,
) -> None:  # fmt: skip
    wanted = node(options={"keep_volumes": True})
    with driver.access(BATCH, KEY, [wanted]) as access:
        instance = dataclasses.replace(driver.launch(wanted, SCRIPT, access), created=time())
        acting = driver_of(cloud, time, tmp_path) if other else driver
        looks = shown(monkeypatch, change, 2)
        acting.settle(instance)
        assert (len(looks), len(acting.kept_volumes(instance))) == (3, 1)


@pytest.mark.parametrize("change", [nothing, without_volumes])
@pytest.mark.parametrize("part", [ec2.Ec2.settle, ec2.Ec2.keep_volumes])
def test_a_volume_that_ec2_never_shows_does_not_count_as_kept(
    cloud: Cloud, driver: ec2.Ec2, monkeypatch: pytest.MonkeyPatch,
    change: Callable[[list[Any]], list[Any]], part: Callable[[ec2.Ec2, Instance], None],
) -> None:  # fmt: skip
    wanted = node(options={"keep_volumes": True})
    with driver.access(BATCH, KEY, [wanted]) as access:
        instance = driver.launch(wanted, SCRIPT, access)
        looks = shown(monkeypatch, change)
        with pytest.raises(TemporaryFailure, match="kept"):
            part(driver, instance)
    assert len(looks) == ec2.KEEP_ATTEMPTS


def test_volumes_of_an_instance_that_is_gone_cannot_be_kept(
    cloud: Cloud, driver: ec2.Ec2, time: Time, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = launch(driver, node(options={"keep_volumes": True}))
    driver.terminate(instance)
    time.advance(ec2.YOUNG)
    other = driver_of(cloud, time, tmp_path)
    with pytest.raises(NotFound):
        other.keep_volumes(instance)
    looks = shown(monkeypatch, nothing)
    with pytest.raises(NotFound):
        other.keep_volumes(instance)
    assert len(looks) == 1


def test_a_mapping_without_a_volume_is_none() -> None:
    from hart_salt.drivers.ec2.request import volumes_of

    mappings = [
        {"DeviceName": "a"},
        {"DeviceName": "b", "Ebs": {}},
        {"DeviceName": "c", "Ebs": {"Status": "attaching"}},
    ]
    kept = {"DeviceName": "d", "Ebs": {"VolumeId": "vol-1", "DeleteOnTermination": False}}
    facts = {"BlockDeviceMappings": [*mappings, kept]}
    assert (volumes_of(facts, going=True), volumes_of(facts, going=False)) == ({}, {"d": "vol-1"})


def test_an_instance_that_is_not_visible_yet_is_not_taken_for_gone(cloud: Cloud, driver: ec2.Ec2, time: Time) -> None:
    cloud.faults.add(MachineFault(hidden_for=40))
    with driver.access(BATCH, KEY, [node()]) as access:
        driver.terminate(driver.launch(node(), SCRIPT, access))
    assert (left(cloud), 40 <= sum(time.waits) < 60) == ({}, True)


def test_an_unknown_instance_of_a_record_is_gone_once_the_record_is_old(
    cloud: Cloud, driver: ec2.Ec2, time: Time
) -> None:
    nobody = Instance("i-0123456789abcdef0", "a", "unknown", region=REGION, created=time() - 180)
    driver.terminate(nobody)
    assert time.waits == []
    driver.terminate(dataclasses.replace(nobody, created=time() - 100))
    assert 80 <= sum(time.waits) < 95


def test_an_invalid_instance_id_is_never_sent(cloud: Cloud, driver: ec2.Ec2) -> None:
    for text in ("", "i-", "12345678", "../x", "i-0123456789abcdef"):
        driver.terminate(Instance(text, "a", "unknown", region=REGION))
    assert cloud.calls == []


# what operators see


def test_check_names_the_account(cloud: Cloud, driver: ec2.Ec2) -> None:
    number = cloud.world.account
    assert driver.check() == f"account {number}, arn:aws:iam::{number}:user/hart, 3 regions"


def test_regions(driver: ec2.Ec2) -> None:
    regions = {region.name: region for region in driver.regions()}
    assert (regions[REGION].description, regions[REGION].available) == ("Europe (Ireland)", True)
    assert regions[REGION].zones == ("eu-west-1a", "eu-west-1b", "eu-west-1c")
    assert (regions["me-central-1"].available, regions["me-central-1"].zones) == (False, ())


def test_a_region_that_is_not_enabled(driver: ec2.Ec2) -> None:
    with pytest.raises(InvalidRequest, match="ec2: the region me-central-1 is not enabled in this account"):
        driver.size("t3.micro", "me-central-1")


def test_sizes_with_prices(driver: ec2.Ec2) -> None:
    sizes = {size.name: size for size in driver.sizes(REGION)}
    assert set(sizes) == set(catalogue.SIZES)
    one = sizes["t4g.small"]
    assert (one.memory_mb, one.cpus, one.monthly_price, one.available) == (2048, 2.0, 13.43, True)
    assert one.description == "arm64"
    assert sizes["m1.small"].description == "x86_64; not of the current generation"
    assert sizes["mac1.metal"].monthly_price is None


def test_a_size_that_is_not_available_is_marked(monkeypatch: pytest.MonkeyPatch, driver: ec2.Ec2) -> None:
    zones = (REGION, "eu-west-1a", "eu-west-1b", "eu-west-1c")
    monkeypatch.setitem(catalogue.NOT_IN, "t3.small", zones)
    assert [size.name for size in driver.sizes(REGION) if not size.available] == ["t3.small"]


def test_one_size_is_requested_alone(cloud: Cloud, driver: ec2.Ec2) -> None:
    size = driver.size("t3.micro", REGION)
    assert size is not None
    assert (size.monthly_price, size.memory_mb) == (8.32, 1024)
    assert [driver.size(name, REGION) for name in ("t3.mikro", "t3.*", "*")] == [None] * 3
    lists = [call.text for call in cloud.calls if "DescribeInstanceTypes&" in call.text]
    assert len(lists) == 4
    assert all("instance-type" in text for text in lists)


def test_images(cloud: Cloud, driver: ec2.Ec2) -> None:
    number = cloud.add_snapshot("golden")
    cloud.add_snapshot("elsewhere", region="us-east-1")
    images = {image.setting: image for image in driver.images(REGION)}
    assert set(images) == {"bookworm", "trixie", "jammy", "noble", "resolute", number}
    assert all(image.available for image in images.values())
    assert (images["bookworm"].description, images[number].description) == ("debian-12-amd64-20261101-2301", "golden")


def test_a_release_that_is_not_available_is_marked(cloud: Cloud, driver: ec2.Ec2) -> None:
    region = cloud.region()
    region.amis = {number: it for number, it in region.amis.items() if "debian-13" not in (it.name or "")}
    assert [image.setting for image in driver.images(REGION) if not image.available] == ["trixie"]


# many at once


def test_calls_from_many_threads(cloud: Cloud, driver: ec2.Ec2) -> None:
    wanted = [node(f"n{number}") for number in range(24)]
    with driver.access(BATCH, KEY, wanted) as access, ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda one: driver.launch(one, SCRIPT, access), wanted))
        assert sorted(instance.minion_id for instance in made) == sorted(one.minion_id for one in wanted)
        assert set(pool.map(lambda _: len(driver.instances(REGION)), range(16))) == {24}
        list(pool.map(driver.settle, made))
        list(pool.map(driver.terminate, made))
    assert left(cloud) == {}


def calls_for(count: int, tmp_path: Path) -> dict[str, int]:
    """Return the number of calls by action for a batch that is launched and terminated."""
    time = Time()
    with open_cloud(time) as cloud:
        driver = driver_of(cloud, time, tmp_path)
        wanted = [node(f"n{number}") for number in range(count)]
        for one in wanted:
            assert driver.objections(one) == []
        with driver.access(BATCH, KEY, wanted) as access:
            made = [driver.launch(one, SCRIPT, access) for one in wanted]
            driver.instances(REGION)
            for instance in made:
                driver.settle(instance)
        for instance in made:
            driver.terminate(instance)
        names = [call.text.partition("&")[0].removeprefix("Action=") for call in cloud.calls]
        return {name: names.count(name) for name in dict.fromkeys(names)}


def test_the_number_of_calls_per_instance_does_not_grow(tmp_path: Path) -> None:
    for count in (1, 3, 10):
        assert calls_for(count, tmp_path) == {
            "DescribeInstanceTypes": 1,
            "DescribeImages": 1,
            "DescribeSubnets": 1,
            "DescribeSecurityGroups": 1,
            "CreateSecurityGroup": 1,
            "AuthorizeSecurityGroupIngress": 1,
            "RunInstances": count,
            "DescribeInstances": 1,
            "ModifyInstanceAttribute": count,
            "DeleteSecurityGroup": 1,
            "TerminateInstances": count,
        }
