"""Images of instances at the clouds whose APIs have snapshots of the whole account: Hetzner and Vultr."""

from __future__ import annotations

import dataclasses
from types import ModuleType
from typing import Any

import pytest

from hart_salt.base.errors import (
    AuthError,
    DriverError,
    InvalidRequest,
    NotFound,
    QuotaExceeded,
    RateLimited,
    TemporaryFailure,
)
from hart_salt.drivers.rest_images import RestImaged
from hart_salt.model import IMAGE_AVAILABLE, IMAGE_PENDING, BakedImage, Instance, NewImage
from tests.drivers.clouds import driver_of
from tests.drivers.tested import Time
from tests.emulation.backend import recorded
from tests.emulation.faults import Fault, lost_answer, throttled
from tests.emulation.stateful import StatefulEmulator

Cloud = StatefulEmulator[Any, Any]
NEW = NewImage(
    "hart-db-main-202611301200-0123456789abcd", "db.main", "0123456789abcd", "1-aaaaaaaa-bbbbbbbb", "3008.3", "ams",
    "amd64",
)  # fmt: skip
MAKE = {"hetzner": r"/actions/create_image$", "vultr": r"/v2/snapshots$"}
LIST = {"hetzner": r"/v1/images$", "vultr": r"/v2/snapshots$"}
ONE = {"hetzner": r"/v1/images/\d+$", "vultr": r"/v2/snapshots/[0-9a-f-]+$"}
#: the switch for images that cannot be deleted until they are available, and the method that changes them
KEEPS = {"hetzner": "keeps_creating", "vultr": "keeps_pending"}
#: ids that no image has, and text that is no id
NOWHERE = {"hetzner": "999999999", "vultr": "00000000-0000-4000-8000-00000000dead"}
NO_ID = ["", "../servers", "*", "1/2"]
REGION = {"hetzner": "fsn1", "vultr": "ams"}

pytestmark = pytest.mark.parametrize("cloud_name", MAKE)


@pytest.fixture
def off(driver: RestImaged, instance: Instance) -> Instance:
    """Return an instance that is off."""
    driver.power_off(instance, force=True)
    return instance


def made(driver: RestImaged, off: Instance, **changes: Any) -> BakedImage:
    return driver.make_image(off, dataclasses.replace(NEW, **changes))


def snapshots(cloud: Cloud) -> list[Any]:
    """Return the account's snapshots as the emulator has them."""
    found: Any = cloud.state
    return list(found.snapshots.values())


def test_an_image_from_its_first_call_to_its_end(
    cloud_name: str, own: ModuleType, cloud: Cloud, driver: RestImaged, off: Instance, time: Time
) -> None:
    cloud.settings.image_after = 600.0
    pending = driver.make_image(off, NEW)
    assert (pending.name, pending.state, pending.complete) == (NEW.name, IMAGE_PENDING, False)
    assert (pending.size_gb, pending.batch, pending.regions) == (None, NEW.batch, ())
    assert driver.baked_images() == [pending]
    assert [(one.kind, one.name, one.batch, one.created) for one in driver.leftovers()] == [
        ("image", NEW.name, NEW.batch, pending.created)
    ]
    time.advance(600)
    available = driver.baked_image(pending)
    assert available is not None
    assert (available.state, available.complete) == (IMAGE_AVAILABLE, False)
    driver.finish_image(available)
    driver.finish_image(available)
    (done,) = driver.baked_images("any-region")
    assert dataclasses.replace(done, complete=False) == available
    assert done.complete
    assert driver.leftovers() == []
    described = (done.role, done.batch, done.digest, done.release, done.arch)
    assert described == (NEW.role, NEW.batch, NEW.digest, NEW.release, NEW.arch)
    assert done.disk_gb == {"hetzner": 40.0, "vultr": 25.0}[cloud_name]
    assert done.size_gb == {"hetzner": 2.3, "vultr": 25.0}[cloud_name]
    assert driver.images_everywhere
    own.launch(driver, own.node("w2.example.com", image=done.image_id))
    assert cloud.settle(10)
    request = list(recorded(cloud.machines).booted.values())[-1]
    assert request.image in recorded(cloud.machines).saved
    assert done.image_id in [one.setting for one in driver.images(None)]
    driver.delete_image(done)
    driver.delete_image(done)
    assert driver.baked_images() == []
    assert driver.baked_image(done) is None
    assert cloud.settle(10)
    assert recorded(cloud.machines).saved == {}


def test_an_image_of_a_node_of_the_other_size_does_not_fit_a_smaller_one(
    cloud_name: str, own: ModuleType, cloud: Cloud, driver: RestImaged, time: Time
) -> None:
    """The smallest disk is that of the instance."""
    large = {"hetzner": "ccx13", "vultr": "vc2-2c-4gb"}[cloud_name]
    instance = own.launch(driver, dataclasses.replace(own.node(), size=large))
    time.advance(60)
    driver.power_off(instance, force=True)
    image = made(driver, instance)
    now = driver.baked_image(image)
    assert now is not None
    assert now.disk_gb == 80.0
    with pytest.raises(InvalidRequest):
        own.launch(driver, own.node("w2.example.com", image=image.image_id))


def test_images_of_others_are_never_listed_nor_removed(
    cloud_name: str, own: ModuleType, cloud: Cloud, driver: RestImaged, off: Instance, time: Time, tmp_path: Any
) -> None:
    """The user's own, and those of another master, whatever filter the API applies."""
    other: Any = driver_of(cloud_name, cloud, time, tmp_path, owner="fedcba9876543210")
    made(other, off)
    cloud.add_snapshot("the user's")
    cloud.add_snapshot(NEW.name)
    handle = cloud.handle
    cloud.handle = lambda request: handle(dataclasses.replace(request, query={}))  # type: ignore[method-assign]
    assert driver.baked_images() == []
    assert driver.leftovers() == []
    assert len(snapshots(cloud)) == 3
    for leftover in other.leftovers():
        driver.remove(leftover)
    assert len(snapshots(cloud)) == 3


def test_a_list_has_all_its_pages(cloud_name: str, cloud: Cloud, driver: RestImaged, off: Instance) -> None:
    for number in range(5):
        made(driver, off, name=f"{NEW.name}-{number}")
    cloud.settings.page_cap = 2
    assert len(driver.baked_images()) == 5
    assert len(driver.leftovers()) == 5


# faults


@pytest.mark.parametrize("broken", [{"drop": True}, {"status": 500}, {"status": 201, "answer": "<html></html>"}])
def test_a_lost_answer_makes_no_second_image(
    cloud_name: str, cloud: Cloud, driver: RestImaged, off: Instance, broken: dict[str, Any]
) -> None:
    """An older image of the same name, of another batch, does not count."""
    made(driver, off, batch="00000000000000")
    cloud.faults.add(Fault("POST", MAKE[cloud_name], when="after", **broken))
    image = made(driver, off)
    assert (image.name, image.batch) == (NEW.name, NEW.batch)
    assert len(snapshots(cloud)) == 2


@pytest.mark.parametrize("broken", [{"drop": True}, {"status": 500}])
def test_a_call_without_an_answer_and_without_effect_is_uncertain(
    cloud_name: str, cloud: Cloud, driver: RestImaged, off: Instance, broken: dict[str, Any]
) -> None:
    made(driver, off, batch="00000000000000")
    cloud.faults.add(Fault("POST", MAKE[cloud_name], **broken))
    with pytest.raises(TemporaryFailure) as caught:
        made(driver, off)
    assert caught.value.uncertain
    assert len(snapshots(cloud)) == 1


def test_a_throttled_call_is_made_again(cloud_name: str, cloud: Cloud, driver: RestImaged, off: Instance) -> None:
    cloud.faults.add(throttled(MAKE[cloud_name], "POST", retry_after=5))
    made(driver, off)
    assert cloud.count("POST", MAKE[cloud_name]) == 2
    cloud.faults.add(throttled(MAKE[cloud_name], "POST", retry_after=3600))
    with pytest.raises(RateLimited):
        made(driver, off)


def test_while_the_instance_is_locked_the_call_is_made_again(
    cloud_name: str, cloud: Cloud, driver: RestImaged, off: Instance, time: Time
) -> None:
    """An image in the making locks the instance; without an end, hart gives up."""
    cloud.settings.image_after = 60.0
    made(driver, off)
    began = time()
    second = made(driver, off, name="hart-db-main-202611301201-0123456789abcd")
    assert time() - began >= 60.0
    assert len(snapshots(cloud)) == 2
    cloud.settings.image_after = 36000.0
    time.advance(60)
    made(driver, off, name="hart-db-main-202611301202-0123456789abcd")
    with pytest.raises(TemporaryFailure) as caught:
        driver.make_image(off, dataclasses.replace(NEW, name=second.name))
    assert not caught.value.uncertain
    assert len(snapshots(cloud)) == 3


def test_the_instance_can_be_terminated_only_after_its_image_is_made(
    cloud_name: str, cloud: Cloud, driver: RestImaged, off: Instance
) -> None:
    cloud.settings.image_after = 60.0
    image = made(driver, off)
    driver.terminate(off)
    assert driver.instances() == []
    now = driver.baked_image(image)
    assert now is not None
    assert now.state == IMAGE_AVAILABLE


def test_the_limit_of_images(cloud_name: str, cloud: Cloud, driver: RestImaged, off: Instance) -> None:
    cloud.settings.image_limit = 0
    with pytest.raises(QuotaExceeded):
        made(driver, off)
    assert snapshots(cloud) == []


def test_an_instance_that_is_gone(cloud_name: str, cloud: Cloud, driver: RestImaged, off: Instance) -> None:
    driver.terminate(off)
    with pytest.raises(NotFound):
        made(driver, off)


@pytest.mark.parametrize("verb", ["baked_image", "delete_image", "finish_image"])
@pytest.mark.parametrize("what", [None, *NO_ID])
def test_an_image_that_does_not_exist(
    cloud_name: str, cloud: Cloud, driver: RestImaged, verb: str, what: str | None
) -> None:
    """Text that is no id never becomes a path of a call."""
    image = BakedImage(NOWHERE[cloud_name] if what is None else what, "hart-none", IMAGE_PENDING)
    call = getattr(driver, verb)
    if verb == "finish_image":
        with pytest.raises(NotFound):
            call(image)
    else:
        assert call(image) is None
    known = {call.path for call in cloud.calls}
    assert known <= {f"{cloud.root}/{driver._images.path}{more}" for more in ("", f"/{NOWHERE[cloud_name]}")}


def test_an_image_without_an_id_is_found_by_its_name(
    cloud_name: str, cloud: Cloud, driver: RestImaged, off: Instance
) -> None:
    image = made(driver, off)
    nameless = dataclasses.replace(image, image_id="")
    assert driver.baked_image(nameless) == driver.baked_image(image)
    driver.delete_image(nameless)
    assert driver.baked_images() == []


# deleting


@pytest.mark.parametrize("image_after", [0.0, 60.0])
def test_an_image_in_the_making_is_deleted_after_a_bounded_wait(
    cloud_name: str, cloud: Cloud, driver: RestImaged, off: Instance, time: Time, image_after: float
) -> None:
    cloud.settings.image_after = image_after
    setattr(cloud.settings, KEEPS[cloud_name], True)
    image = made(driver, off)
    driver.delete_image(image)
    assert snapshots(cloud) == []


def test_the_wait_for_an_image_that_cannot_be_deleted_has_an_end(
    cloud_name: str, cloud: Cloud, driver: RestImaged, off: Instance, time: Time
) -> None:
    cloud.settings.image_after = 36000.0
    setattr(cloud.settings, KEEPS[cloud_name], True)
    image, began = made(driver, off), time()
    with pytest.raises(TemporaryFailure):
        driver.delete_image(image)
    assert 100 < time() - began < 600


def test_an_accepted_delete_without_effect_is_made_again(
    cloud_name: str, cloud: Cloud, driver: RestImaged, off: Instance
) -> None:
    image = made(driver, off)
    cloud.faults.add(Fault("DELETE", ONE[cloud_name], status=204))
    driver.delete_image(image)
    assert snapshots(cloud) == []


@pytest.mark.parametrize("broken", [{"drop": True}, {"status": 500}, {"status": 502, "answer": "<html></html>"}])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_delete_is_repeated(
    cloud_name: str, cloud: Cloud, driver: RestImaged, off: Instance, when: str, broken: dict[str, Any]
) -> None:
    image = made(driver, off)
    cloud.faults.add(Fault("DELETE", ONE[cloud_name], when=when, **broken))
    driver.delete_image(image)
    assert snapshots(cloud) == []


def test_another_refusal_of_a_delete_is_an_error(
    cloud_name: str, cloud: Cloud, driver: RestImaged, off: Instance
) -> None:
    """Unless the image is gone."""
    image = made(driver, off)
    cloud.faults.add(Fault("DELETE", ONE[cloud_name], status=400, times=1))
    with pytest.raises(InvalidRequest):
        driver.delete_image(image)
    cloud.faults.add(Fault("DELETE", ONE[cloud_name], status=400, when="after"))
    driver.delete_image(image)
    assert snapshots(cloud) == []


# leftovers


def test_a_half_made_image_is_removed_and_a_complete_one_stays(
    cloud_name: str, cloud: Cloud, driver: RestImaged, off: Instance
) -> None:
    """Also one that another call completes between the list and the removal."""
    half, whole = made(driver, off), made(driver, off, name="hart-db-main-202611301201-0123456789abcd")
    leftovers = driver.leftovers()
    assert {one.name for one in leftovers} == {half.name, whole.name}
    driver.finish_image(whole)
    for leftover in leftovers:
        driver.remove(leftover)
    assert [one.name for one in driver.baked_images()] == [whole.name]
    for leftover in leftovers[:1]:
        driver.remove(leftover)


@pytest.mark.parametrize("status", [401, 403])
def test_credentials_that_cannot_list_images_have_no_half_made_ones(
    cloud_name: str, cloud: Cloud, driver: RestImaged, status: int
) -> None:
    """A sweep with the rights of earlier versions goes on."""
    cloud.faults.add(Fault("GET", LIST[cloud_name], status=status, times=2))
    assert driver.leftovers() == []
    with pytest.raises(AuthError):
        driver.baked_images()


@pytest.mark.parametrize(("broken", "kind"), [({"drop": True}, TemporaryFailure), ({"status": 400}, InvalidRequest)])
def test_a_list_that_fails_is_an_error(
    cloud_name: str, cloud: Cloud, driver: RestImaged, broken: dict[str, Any], kind: type[DriverError]
) -> None:
    cloud.faults.add(Fault("GET", LIST[cloud_name], times=None, **broken))
    for verb in (driver.baked_images, driver.leftovers):
        with pytest.raises(kind):
            verb()
    cloud.faults.clear()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_report_that_cannot_be_read(
    cloud_name: str, cloud: Cloud, driver: RestImaged, off: Instance, method: str
) -> None:
    """It is no sign that the image is gone, and of a create call it leads to a look."""
    image = made(driver, off)
    odd = {driver._images.field: {"id": image.image_id, "labels": "odd", "description": 7}}
    if method == "GET":
        cloud.faults.add(Fault("GET", ONE[cloud_name], status=200, answer=odd))
        with pytest.raises(TemporaryFailure, match="cannot be read"):
            driver.baked_image(image)
    else:
        cloud.faults.add(Fault("POST", MAKE[cloud_name], status=201, answer=odd, when="after"))
        assert made(driver, off, batch="00000000000001").batch == "00000000000001"


def test_odd_entries_do_not_hide_the_others(cloud_name: str, cloud: Cloud, driver: RestImaged, off: Instance) -> None:
    image = made(driver, off)
    name = driver._images.path
    listed: Any = driver._images._api.listed(name, name)
    odd = [
        {},
        {"id": None},
        {"id": 7, "labels": "odd"},
        {"id": 7, "description": 7},
        {"description": "x", "labels": {}},
    ]
    meta = {"links": {"next": ""}, "pagination": {"next_page": None}}
    cloud.faults.add(Fault("GET", LIST[cloud_name], status=200, answer={name: [*odd, *listed], "meta": meta}))
    assert [one.image_id for one in driver.baked_images()] == [image.image_id]


@pytest.mark.parametrize("broken", [{"drop": True}, {"status": 500}])
@pytest.mark.parametrize("when", ["before", "after"])
def test_the_mark_of_a_complete_image_is_set_whatever_happens_to_the_call(
    cloud_name: str, cloud: Cloud, driver: RestImaged, off: Instance, when: str, broken: dict[str, Any]
) -> None:
    image = made(driver, off)
    cloud.faults.add(Fault("PUT", ONE[cloud_name], when=when, **broken))
    driver.finish_image(image)
    assert [one.complete for one in driver.baked_images()] == [True]


def test_the_mark_of_an_image_that_is_gone(cloud_name: str, cloud: Cloud, driver: RestImaged, off: Instance) -> None:
    image = made(driver, off)
    driver.delete_image(image)
    with pytest.raises(NotFound):
        driver.finish_image(image)


def test_a_lost_answer_whose_image_is_listed_late(
    cloud_name: str, cloud: Cloud, driver: RestImaged, off: Instance
) -> None:
    name = driver._images.path
    meta = {"links": {"next": ""}, "pagination": {"next_page": None}}
    cloud.faults.add(lost_answer(MAKE[cloud_name]))
    cloud.faults.add(Fault("GET", LIST[cloud_name], status=200, answer={name: [], "meta": meta}))
    assert made(driver, off).name == NEW.name
    assert len(snapshots(cloud)) == 1
