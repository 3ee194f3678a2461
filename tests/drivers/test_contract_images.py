"""
The driver contract for images of nodes, over every driver that can make them: each verb without faults.

Faults and refusals are in ``test_contract_image_faults.py``. A driver joins with ``SnapshotSupport``.
"""

from __future__ import annotations

import dataclasses

import pytest

from hart_salt.base import errors
from hart_salt.drivers.contract import Driver
from hart_salt.model import IMAGE_AVAILABLE, IMAGE_FAILED, IMAGE_PENDING, BakedImage, Price
from tests.drivers import imaging
from tests.drivers.environment import OTHER_OWNER, CloudEnvironment, Environment, launch_node
from tests.drivers.imaging import (
    CLOUDS_WITH_IMAGES,
    IN_REGIONS,
    WITH_IMAGES,
    half_made,
    made,
    marked,
    new_image,
    settled,
    stopped,
)

EACH = pytest.mark.parametrize("environment", WITH_IMAGES, indirect=True)
EACH_CLOUD = pytest.mark.parametrize("environment", CLOUDS_WITH_IMAGES, indirect=True)
COPYING = pytest.mark.parametrize("environment", IN_REGIONS, indirect=True)
EVERYWHERE = pytest.mark.parametrize(
    "environment", [name for name in CLOUDS_WITH_IMAGES if name not in IN_REGIONS], indirect=True
)
#: the fields of a report that the tags contain
IN_TAGS = ("role", "batch", "digest", "release", "arch")


def slow(environment: Environment, seconds: float = 60.0) -> None:
    """Make images take so long, where a clock can be set."""
    if isinstance(environment, CloudEnvironment):
        environment.cloud.settings.image_after = seconds


def said(image: BakedImage | None) -> tuple[object, ...]:
    """Return what the tags of an image say."""
    return tuple(getattr(image, name) for name in IN_TAGS)


# making


@EACH
def test_an_image_is_pending_then_available_and_complete_only_when_it_is_finished(
    environment: Environment, driver: Driver
) -> None:
    slow(environment)
    instance, new = stopped(environment, driver), new_image(environment)
    begun = driver.make_image(instance, new)
    assert (begun.name, begun.complete, begun.batch) == (new.name, False, new.batch)
    assert begun.state == IMAGE_PENDING or not isinstance(environment, CloudEnvironment)
    found = settled(environment, driver, begun)
    assert found is not None
    assert (found.state, found.complete, found.name, found.batch) == (IMAGE_AVAILABLE, False, new.name, new.batch)
    assert found.image_id
    assert driver.images_everywhere or new.region in found.regions
    for _ in range(2):
        driver.finish_image(marked(found, new))
    (listed,) = environment.driver().baked_images()
    assert listed == environment.driver().baked_image(dataclasses.replace(found, name=""))
    assert (listed.image_id, listed.name, listed.state, listed.complete) == (
        found.image_id, new.name, IMAGE_AVAILABLE, True,
    )  # fmt: skip
    assert said(listed) == said(marked(found, new))
    assert listed.created is not None
    assert listed.created > 1.5e9
    assert listed.problem == ""
    for size in (listed.size_gb, listed.disk_gb):
        assert size is None or size > 0


@EACH
def test_an_image_in_the_making_is_reported_by_any_later_call_and_is_a_leftover_of_its_batch(
    environment: Environment, driver: Driver
) -> None:
    slow(environment)
    new = new_image(environment, "b7")
    begun = driver.make_image(stopped(environment, driver), new)
    for moment in ("in the making", "available"):
        later = environment.driver()
        (listed,) = later.baked_images()
        assert (listed.name, listed.batch, listed.complete) == (new.name, "b7", False), moment
        assert later.baked_image(begun) is not None, moment
        assert [(one.name, one.batch) for one in half_made(later)] == [(new.name, "b7")], moment
        settled(environment, driver, begun)
    driver.finish_image(marked(driver.baked_images()[0], new))
    assert half_made(environment.driver()) == []


@EACH
def test_images_in_the_making_can_be_removed_as_leftovers_and_leave_nothing(
    environment: Environment, driver: Driver
) -> None:
    slow(environment)
    instance = stopped(environment, driver)
    for wait in (False, True):
        begun = driver.make_image(instance, new_image(environment))
        if wait:
            settled(environment, driver, begun)
        later = environment.driver()
        (leftover,) = half_made(later)
        for _ in range(2):
            later.remove(leftover)
        imaging.advance(environment, 600)
        assert (later.baked_images(), half_made(later)) == ([], [])
    driver.terminate(instance)
    nothing_is_left(environment, driver)


@EACH
def test_an_image_that_was_finished_since_it_was_listed_as_half_made_is_not_removed(
    environment: Environment, driver: Driver
) -> None:
    """Another call has finished it, and nodes may be made of it."""
    new = new_image(environment)
    begun = driver.make_image(stopped(environment, driver), new)
    (leftover,) = half_made(driver)
    found = settled(environment, driver, begun)
    assert found is not None
    driver.finish_image(marked(found, new))
    for later in (driver, environment.driver()):
        later.remove(leftover)
    assert [one.complete for one in driver.baked_images()] == [True]


def nothing_is_left(environment: Environment, driver: Driver) -> None:
    assert (driver.baked_images(), driver.leftovers(), driver.instances()) == ([], [], [])
    if isinstance(environment, CloudEnvironment):
        assert environment.left() == {}
        assert imaging.machines(environment).saved == {}


@EACH
def test_an_image_is_deleted_also_in_the_making_and_an_absent_one_is_a_success(
    environment: Environment, driver: Driver
) -> None:
    slow(environment)
    instance, new = stopped(environment, driver), new_image(environment)
    begun = driver.make_image(instance, new)
    driver.delete_image(begun)
    imaging.advance(environment, 600)
    assert (driver.baked_images(), driver.baked_image(begun)) == ([], None)
    image = made(environment, driver, instance, new_image(environment, "b2"))
    for _ in range(2):
        driver.delete_image(image)
        assert (driver.baked_images(), driver.baked_image(image)) == ([], None)
    with pytest.raises(errors.NotFound):
        driver.finish_image(image)
    driver.terminate(instance)
    nothing_is_left(environment, driver)


@EACH
def test_the_instance_can_be_terminated_before_or_after_its_image_is_deleted(
    environment: Environment, driver: Driver
) -> None:
    """Sweep meets both: a node whose image is in the making is terminated, and the image removed when it is seen."""
    slow(environment)
    driver.make_image(stopped(environment, driver), new_image(environment))
    for instance in driver.instances():
        driver.terminate(instance)
    assert driver.instances() == []
    imaging.swept(environment, driver)
    nothing_is_left(environment, driver)


@EACH
def test_the_image_stays_when_its_instance_is_terminated_and_instances_can_be_made_of_it(
    environment: Environment, driver: Driver
) -> None:
    instance = stopped(environment, driver)
    image = made(environment, driver, instance)
    driver.terminate(instance)
    assert [one.image_id for one in environment.driver().baked_images()] == [image.image_id]
    node = imaging.booting(environment, "web-2.example.com", image)
    assert not driver.objections(node)
    second = launch_node(driver, node)
    assert [one.minion_id for one in driver.instances()] == ["web-2.example.com"]
    if isinstance(environment, CloudEnvironment):
        backend = imaging.machines(environment)
        booted = backend.booted[str(environment.machine(second).id)]
        assert {booted.image, booted.image_name} & set(backend.saved), "its disk is that of the first instance"
    driver.terminate(second)
    driver.delete_image(image)
    nothing_is_left(environment, driver)


@EACH
def test_two_images_of_one_instance_are_not_confused(environment: Environment, driver: Driver) -> None:
    instance = stopped(environment, driver)
    first = made(environment, driver, instance)
    second = made(environment, driver, instance, new_image(environment, "b2", role="db.main", release="3007.14"))
    assert first.image_id != second.image_id
    facts = {one.name: (one.role, one.release, one.batch) for one in environment.driver().baked_images()}
    assert facts == {first.name: ("app", "3008.3", "b1"), second.name: ("db.main", "3007.14", "b2")}
    driver.delete_image(first)
    assert [one.name for one in driver.baked_images()] == [second.name]


@EACH
def test_images_of_another_master_are_invisible(environment: Environment, driver: Driver) -> None:
    """Sweep removes what ``leftovers`` lists: each driver checks the owner itself, whatever the provider filters."""
    slow(environment)
    other = environment.driver(OTHER_OWNER)
    instance = stopped(environment, other)
    begun = other.make_image(instance, new_image(environment))
    if isinstance(environment, CloudEnvironment):
        environment.ignore_filters()
    for _ in ("in the making", "available", "complete"):
        assert (driver.baked_images(), half_made(driver)) == ([], [])
        found = settled(environment, other, begun)
        assert found is not None
        other.finish_image(marked(found, new_image(environment)))
    assert [one.complete for one in other.baked_images()] == [True]


@EACH_CLOUD
def test_an_image_that_the_provider_gives_up_is_failed_with_a_reason_and_can_be_deleted(
    environment: CloudEnvironment, driver: Driver
) -> None:
    slow(environment)
    environment.cloud.settings.fails_image = True
    instance = stopped(environment, driver)
    found = settled(environment, driver, driver.make_image(instance, new_image(environment)))
    assert found is not None
    assert found.state == IMAGE_FAILED
    assert found.problem
    assert (found.complete, found.batch) == (False, "b1")
    for _ in range(2):
        driver.delete_image(found)
    driver.terminate(instance)
    nothing_is_left(environment, driver)


@EACH_CLOUD
def test_another_action_in_progress_is_waited_for(environment: CloudEnvironment, driver: Driver) -> None:
    instance = stopped(environment, driver)
    environment.machine(instance).later.append((environment.time.now + 30.0, lambda: None))
    assert made(environment, driver, instance).state == IMAGE_AVAILABLE


@EACH_CLOUD
def test_an_invalid_id_is_never_sent(environment: CloudEnvironment, driver: Driver) -> None:
    image = made(environment, driver, stopped(environment, driver))
    environment.cloud.calls.clear()
    for name in (".", "..", "a/b", "1/../2", "1?tag_name=a", "1;2", "*", "debian-12-x64"):
        wrong = dataclasses.replace(image, image_id=name, name="")
        assert driver.baked_image(wrong) is None, name
        driver.delete_image(wrong)
    assert [call for call in environment.cloud.calls if environment.changes(call)] == []
    assert [one.image_id for one in driver.baked_images()] == [image.image_id]


@EACH
def test_the_price_of_a_gigabyte_is_known_or_none(environment: Environment, driver: Driver) -> None:
    price = driver.image_price(environment.node("a").region)
    assert price is None or (isinstance(price, Price) and 0 <= price.amount < 1 and len(price.currency) == 3)


# regions


def other_region(environment: CloudEnvironment) -> str:
    """Return another region than that of the nodes."""
    return next(region for region in environment.places if region != environment.node("a").region)


@COPYING
def test_an_image_is_copied_to_another_region_and_instances_are_made_of_it_there(
    environment: CloudEnvironment, driver: Driver
) -> None:
    slow(environment)
    instance, new, region = stopped(environment, driver), new_image(environment), other_region(environment)
    image = made(environment, driver, instance, new)
    assert environment.driver().baked_images(region) == []
    copy = driver.copy_image(image, region)
    assert (copy.state, copy.regions, copy.batch) == (IMAGE_PENDING, (region,), "b1")
    found = settled(environment, driver, copy)
    assert found is not None
    assert found.state == IMAGE_AVAILABLE
    assert region in found.regions
    if copy.image_id != image.image_id:
        assert [one.batch for one in half_made(environment.driver())] == ["b1"]
        driver.finish_image(marked(found, dataclasses.replace(new, region=region)))
    (there,) = environment.driver().baked_images(region)
    assert (there.complete, *said(there)) == (True, *said(image))
    assert [one.image_id for one in driver.baked_images(new.region)] == [image.image_id]
    changes = {"region": region, "zone": environment.places[region]}
    second = launch_node(driver, imaging.booting(environment, "web-2.example.com", there, **changes))
    backend = imaging.machines(environment)
    booted = backend.booted[str(environment.machine(second).id)]
    assert {booted.image, booted.image_name} & set(backend.saved), "its disk is that of the first instance"
    for one in (instance, second):
        driver.terminate(one)
    for there in driver.baked_images() * 2:
        driver.delete_image(there)
    nothing_is_left(environment, driver)


@COPYING
def test_a_copy_that_fails_is_failed_with_a_reason_and_the_image_stays(
    environment: CloudEnvironment, driver: Driver
) -> None:
    slow(environment)
    image = made(environment, driver, stopped(environment, driver))
    environment.cloud.settings.fails_image = True
    copy = driver.copy_image(image, other_region(environment))
    found = settled(environment, driver, copy)
    assert found is not None
    assert found.state == IMAGE_FAILED
    assert found.problem
    if copy.image_id != image.image_id:
        driver.delete_image(found)
    assert [(one.image_id, one.state) for one in driver.baked_images()] == [(image.image_id, IMAGE_AVAILABLE)]
    assert half_made(driver) == []


@COPYING
def test_a_copy_to_a_region_that_cannot_have_it_is_an_invalid_request(
    environment: CloudEnvironment, driver: Driver
) -> None:
    image = made(environment, driver, stopped(environment, driver))
    with pytest.raises(errors.InvalidRequest):
        driver.copy_image(image, "no-such-region")
    assert [one.image_id for one in driver.baked_images()] == [image.image_id]
    assert half_made(driver) == []


@EVERYWHERE
def test_an_image_can_be_used_in_every_region(environment: CloudEnvironment, driver: Driver) -> None:
    region = other_region(environment)
    image = made(environment, driver, stopped(environment, driver))
    assert image.regions == ()
    (there,) = environment.driver().baked_images(region)
    assert there == image
    changes = {"region": region, "zone": environment.places[region]}
    second = launch_node(driver, imaging.booting(environment, "web-2.example.com", there, **changes))
    backend = imaging.machines(environment)
    booted = backend.booted[str(environment.machine(second).id)]
    assert {booted.image, booted.image_name} & set(backend.saved), "its disk is that of the first instance"
