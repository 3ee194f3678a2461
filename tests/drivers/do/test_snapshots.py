"""The driver ``do``: images of droplets, whose snapshots have no tags until they exist. The contract is elsewhere."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from hart_salt.base.errors import QuotaExceeded, TemporaryFailure
from hart_salt.drivers import tags
from hart_salt.drivers.do import driver as do
from hart_salt.drivers.do.snapshots import PRICE
from hart_salt.drivers.retry import StillThere
from hart_salt.model import IMAGE_AVAILABLE, IMAGE_FAILED, IMAGE_PENDING, BakedImage, Instance, NewImage
from tests.drivers.do.driver import Time, node
from tests.drivers.do.emulator.client import Client
from tests.drivers.do.emulator.cloud import DigitalOcean as Cloud
from tests.drivers.do.emulator.state import Image
from tests.drivers.tested import OWNER
from tests.emulation.faults import Fault, throttled

NAME = "hart-db-main-202611301200-b7"
NEW = NewImage(NAME, "db.main", "b7", "1-0a1b2c3d", "3008.3", "nyc3", "amd64")
MARK = f"hart-image:{OWNER}:{NAME}"
DIGEST = f"hart-digest:{OWNER}:b7:1-0a1b2c3d"
COMPLETE = {
    "hart", f"hart-owner:{OWNER}", "hart-role:db:main", DIGEST, "hart-release:3008:3", "hart-arch:amd64",
    "hart-complete",
}  # fmt: skip


@pytest.fixture
def off(driver: do.DigitalOcean, instance: Instance) -> Instance:
    """Return a droplet that is off."""
    driver.power_off(instance, force=True)
    return instance


def marked(image: BakedImage | None) -> BakedImage:
    assert image is not None
    return dataclasses.replace(image, role="db.main", batch="b7", digest="1-0a1b2c3d", release="3008.3", arch="amd64")


def complete(driver: do.DigitalOcean, instance: Instance) -> BakedImage:
    """Return a complete image."""
    image = marked(driver.baked_image(driver.make_image(instance, NEW)))
    driver.finish_image(image)
    (listed,) = driver.baked_images()
    return listed


def own_images(cloud: Cloud) -> list[Image]:
    """Return the images that calls made."""
    return [one for one in cloud.state.images.values() if one.made]


def own(cloud: Cloud) -> Image:
    """Return the only image that a call made."""
    (image,) = own_images(cloud)
    return image


def unique_tags(cloud: Cloud) -> list[str]:
    """Return the tags that only one image or its droplet can have."""
    return [tag for tag in cloud.state.left()["tags"] if tag in (MARK, DIGEST)]


def changes(cloud: Cloud) -> list[str]:
    return [f"{call.method} {call.path}" for call in cloud.calls if call.method != "GET"]


# making


def test_the_droplet_is_marked_before_the_call_whose_name_ends_with_the_owner(
    cloud: Cloud, driver: do.DigitalOcean, off: Instance
) -> None:
    cloud.settings.image_after = 60
    cloud.calls.clear()
    begun = driver.make_image(off, NEW)
    *before, call = [call for call in cloud.calls if call.method == "POST"]
    assert (call.path, call.body) == (
        f"/v2/droplets/{off.instance_id}/actions", {"type": "snapshot", "name": f"{NAME}-{OWNER}"},
    )  # fmt: skip
    assert [one.body.get("name") for one in before] == [MARK, None, f"hart-baking:{OWNER}", None]
    assert (begun.image_id, begun.name, begun.state, begun.regions) == ("", NAME, IMAGE_PENDING, ("nyc3",))
    (pending,) = driver.baked_images()
    assert (pending.state, pending.batch, pending.created) == (IMAGE_PENDING, "b7", cloud.clock())
    assert driver.baked_images("ams3") == []


def test_a_complete_image_has_its_tags_the_mark_last_and_the_droplet_is_not_marked_any_more(
    cloud: Cloud, driver: do.DigitalOcean, off: Instance
) -> None:
    begun = driver.make_image(off, NEW)
    image = marked(driver.baked_image(begun))
    cloud.calls.clear()
    driver.finish_image(image)
    assert set(own(cloud).tags) == COMPLETE
    assert own(cloud).tags[-1] == "hart-complete"
    assert unique_tags(cloud) == [DIGEST]
    assert (image.size_gb, image.disk_gb) == (2.36, 25)
    cloud.calls.clear()
    driver.finish_image(image)
    assert changes(cloud) == [f"DELETE /v2/tags/{MARK}"]


def test_an_image_without_any_tag_is_known_by_its_name(cloud: Cloud, driver: do.DigitalOcean, off: Instance) -> None:
    driver.make_image(off, NEW)
    driver.terminate(off)
    assert own(cloud).tags == []
    (image,) = driver.baked_images()
    assert (image.name, image.batch, image.complete, image.role) == (NAME, "b7", False, None)
    found = {one.kind: (one.name, one.handle, one.batch) for one in driver.leftovers()}
    assert found == {"image": (NAME, str(own(cloud).id), "b7"), "tag": (MARK, f"tags/{MARK}", "b7")}
    for leftover in driver.leftovers() * 2:
        driver.remove(leftover)
    assert (driver.leftovers(), unique_tags(cloud), driver.baked_images()) == ([], [], [])


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("before-upgrade", ["hart", f"hart-owner:{OWNER}", "hart-role:db:main"]),
        (f"mine-{OWNER}", []),
        (f"hart-app-202611301200-b1-{OWNER[:-1]}x", ["hart-complete"]),
        ("hart-app-202611301200-b1", ["hart-complete", "hart-owner:fedcba9876543210"]),
    ],
)
def test_other_snapshots_are_neither_listed_nor_removed(
    cloud: Cloud, driver: do.DigitalOcean, name: str, given: list[str]
) -> None:
    """A snapshot that somebody makes of a node by hand may get the node's tags."""
    number = cloud.add_snapshot(name)
    cloud.state.images[number].tags += given
    assert (driver.baked_images(), driver.leftovers()) == ([], [])


def test_a_complete_image_that_somebody_renamed_is_still_listed_with_its_batch(
    cloud: Cloud, driver: do.DigitalOcean, off: Instance
) -> None:
    image = complete(driver, off)
    Client(cloud).call("PUT", f"images/{image.image_id}", {"name": "the good one"})
    (listed,) = driver.baked_images()
    assert listed == dataclasses.replace(image, name="the good one")
    driver.delete_image(listed)
    assert (unique_tags(cloud), driver.baked_images()) == ([], [])


@pytest.mark.parametrize(
    ("said", "state"),
    [({"status": "available"}, IMAGE_AVAILABLE), ({"status": None}, IMAGE_AVAILABLE),
     ({"status": "NEW"}, IMAGE_PENDING), ({"status": "pending", "error_message": " "}, IMAGE_PENDING),
     ({"status": "pending", "error_message": "no space"}, IMAGE_FAILED), ({"status": "deleted"}, None),
     ({"status": "retired"}, None)],
)  # fmt: skip
def test_the_states_of_an_image(cloud: Cloud, driver: do.DigitalOcean, said: dict[str, Any], state: str | None) -> None:
    shown = {"id": 7, "name": f"{NAME}-{OWNER}", "regions": ["nyc3"], **said}
    for answer in ({"images": [shown], "links": {}}, {"image": shown}):
        cloud.faults.add(Fault("GET", r"/v2/images", status=200, answer=answer))
    found = driver.baked_images()
    one = driver.baked_image(BakedImage("7", NAME, IMAGE_PENDING))
    assert [it.state for it in found] == ([state] if state else [])
    assert (one and one.state) == state
    assert [it.problem for it in found] == ["no space" if state == IMAGE_FAILED else ""][: len(found)]


def test_an_odd_report_of_an_own_image_is_a_temporary_failure_and_of_another_no_problem(
    cloud: Cloud, driver: do.DigitalOcean
) -> None:
    """Without it, the image would count as gone."""
    mine = {"name": f"{NAME}-{OWNER}"}
    cloud.faults.add(Fault("GET", r"/v2/images$", status=200, answer={"images": [None, {}, mine], "links": {}}))
    with pytest.raises(TemporaryFailure, match=NAME):
        driver.baked_images()
    cloud.faults.add(Fault("GET", r"/v2/images$", status=200, answer={"images": [None, {}], "links": {}}))
    assert driver.baked_images() == []


def test_text_in_tags_that_anybody_can_write_is_no_digest(cloud: Cloud, driver: do.DigitalOcean, off: Instance) -> None:
    complete(driver, off)
    own(cloud).tags[:] = [tag if tag != DIGEST else f"{tags.DIGEST}:{OWNER}:b7:A_B" for tag in own(cloud).tags]
    assert [one.digest for one in driver.baked_images()] == [None]


def test_a_limit_of_snapshots_is_a_quota_and_the_mark_goes(
    cloud: Cloud, driver: do.DigitalOcean, off: Instance
) -> None:
    cloud.settings.image_limit = 0
    with pytest.raises(QuotaExceeded, match="snapshot limit"):
        driver.make_image(off, NEW)
    assert (unique_tags(cloud), driver.baked_images()) == ([], [])


def test_an_image_that_never_began_is_failed_and_its_mark_can_be_removed(
    cloud: Cloud, driver: do.DigitalOcean, off: Instance
) -> None:
    """The call may still arrive, so the mark stays until somebody removes the image."""
    cloud.faults.add(Fault("POST", "/actions$", drop=True))
    with pytest.raises(TemporaryFailure):
        driver.make_image(off, NEW)
    (image,) = driver.baked_images()
    assert (image.state, image.batch) == (IMAGE_FAILED, "b7")
    assert "never began" in image.problem
    driver.delete_image(image)
    assert (unique_tags(cloud), driver.baked_images(), driver.leftovers()) == ([], [], [])


def test_an_image_that_is_listed_late_is_not_failed_and_is_deleted(
    cloud: Cloud, driver: do.DigitalOcean, off: Instance
) -> None:
    begun = driver.make_image(off, NEW)
    late = Fault("GET", "/v2/images$", status=200, answer={"images": [], "links": {}})
    cloud.faults.add(late)
    assert driver.baked_image(begun) is None
    cloud.faults.add(late)
    driver.delete_image(begun)
    assert (driver.baked_images(), unique_tags(cloud), own_images(cloud)) == ([], [], [])


def test_calls_of_a_list_do_not_grow_with_the_images(cloud: Cloud, driver: do.DigitalOcean, off: Instance) -> None:
    for number in range(3):
        new = dataclasses.replace(NEW, name=f"{NAME}{number}", batch=f"b7{number}")
        driver.finish_image(marked(driver.baked_image(driver.make_image(off, new))))
    cloud.calls.clear()
    assert len(driver.baked_images()) == 3
    assert [call.path for call in cloud.calls] == ["/v2/droplets", "/v2/images"]


# ends


def test_a_droplet_is_destroyed_once_its_snapshot_is_made(
    cloud: Cloud, driver: do.DigitalOcean, off: Instance, time: Time
) -> None:
    cloud.settings.image_after = 100
    driver.make_image(off, NEW)
    began = time.now
    driver.terminate(off)
    assert 100 <= time.now - began < 180
    assert len(driver.baked_images()) == 1


def test_the_wait_for_an_image_in_the_making_is_bounded(cloud: Cloud, driver: do.DigitalOcean, off: Instance) -> None:
    cloud.settings.image_after = 3600
    begun = driver.make_image(off, NEW)
    with pytest.raises(StillThere, match="still in the making"):
        driver.delete_image(begun)
    assert [one.state for one in driver.baked_images()] == [IMAGE_PENDING]


def test_an_image_is_deleted_after_the_end_of_its_transfer(
    cloud: Cloud, driver: do.DigitalOcean, off: Instance, time: Time
) -> None:
    image = complete(driver, off)
    cloud.settings.image_after = 60
    driver.copy_image(image, "ams3")
    began = time.now
    driver.delete_image(image)
    assert time.now - began >= 60
    assert (driver.baked_images(), unique_tags(cloud)) == ([], [])


def test_a_killed_delete_leaves_a_tag_that_is_a_leftover(cloud: Cloud, driver: do.DigitalOcean, off: Instance) -> None:
    image = complete(driver, off)
    Client(cloud).call("DELETE", f"images/{image.image_id}")
    assert [(one.kind, one.name, one.batch) for one in driver.leftovers()] == [("tag", DIGEST, "b7")]
    driver.remove(driver.leftovers()[0])
    assert (driver.leftovers(), unique_tags(cloud)) == ([], [])


def test_the_digest_of_a_node_is_no_leftover(cloud: Cloud, driver: do.DigitalOcean) -> None:
    Client(cloud).call("POST", "tags", {"name": "hart-digest:1-0a1b2c3d"})
    Client(cloud).call("POST", "tags", {"name": "hart-digest:fedcba9876543210:b7:1-0a1b2c3d"})
    assert driver.leftovers() == []


# copies


def test_a_copy_is_the_same_image_in_one_more_region(
    cloud: Cloud, driver: do.DigitalOcean, off: Instance, time: Time
) -> None:
    image = complete(driver, off)
    cloud.settings.image_after = 60
    copy = driver.copy_image(image, "ams3")
    assert (copy.image_id, copy.regions, copy.state) == (image.image_id, ("ams3",), IMAGE_PENDING)
    for asked in (driver, do.DigitalOcean(driver.provider, driver.master, sleep=time.sleep)):
        found = asked.baked_image(copy)
        assert found is not None
        assert (found.state, found.regions, found.problem) == (IMAGE_PENDING, ("ams3",), "")
        assert asked.baked_image(image) == image, "it is still available where it was"
    time.advance(60)
    assert driver.baked_image(copy) == dataclasses.replace(image, regions=("nyc3", "ams3"))
    cloud.calls.clear()
    again = driver.copy_image(image, "ams3")
    assert changes(cloud) == []
    assert driver.baked_image(again) == driver.baked_image(copy)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_copy_whose_answer_is_lost_is_not_made_twice(
    cloud: Cloud, driver: do.DigitalOcean, off: Instance, time: Time, when: str
) -> None:
    image = complete(driver, off)
    cloud.settings.image_after = 60
    cloud.faults.add(Fault("POST", r"/images/\d+/actions$", drop=True, when=when))
    copy = None
    try:
        copy = driver.copy_image(image, "ams3")
    except TemporaryFailure as error:
        assert error.uncertain
    assert (copy is None) is (when == "before")
    time.advance(60)
    assert own(cloud).regions == (["nyc3"] if when == "before" else ["nyc3", "ams3"])
    assert cloud.count("POST", "/images/.*/actions") == 1


def test_the_price_is_that_of_the_list(driver: do.DigitalOcean) -> None:
    price = driver.image_price("nyc3")
    assert price is not None
    assert (price.amount, price.currency) == (PRICE, "USD")


def test_another_action_that_never_ends_is_an_error_and_the_mark_goes(
    cloud: Cloud, driver: do.DigitalOcean, off: Instance
) -> None:
    cloud.state.droplets[int(off.instance_id)].later.append((cloud.clock() + 10**6, lambda: None))
    with pytest.raises(TemporaryFailure, match="pending event"):
        driver.make_image(off, NEW)
    assert (unique_tags(cloud), driver.baked_images()) == ([], [])


def test_a_throttled_create_call_is_made_again(cloud: Cloud, driver: do.DigitalOcean, off: Instance) -> None:
    cloud.faults.add(throttled("/actions$", "POST", times=2))
    driver.make_image(off, NEW)
    assert len(driver.baked_images()) == 1


def test_users_cannot_set_the_marks(driver: do.DigitalOcean) -> None:
    for tag in (MARK, f"hart-baking:{OWNER}", "hart-complete"):
        assert [it for it in driver.objections(node(tags=[tag])) if "hart's own" in it], tag
