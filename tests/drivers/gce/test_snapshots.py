"""Images that the driver ``gce`` makes of instances: what only Compute Engine has; the contract suite has the rest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hart_salt.base.errors import InvalidRequest, NotFound, QuotaExceeded, TemporaryFailure
from hart_salt.drivers.gce import driver as gce
from hart_salt.drivers.gce.instances import name_of
from hart_salt.drivers.gce.snapshots import family_of
from hart_salt.model import IMAGE_FAILED, IMAGE_PENDING, BakedImage, Instance, NewImage
from tests.drivers.gce import driver as own
from tests.drivers.gce.driver import driver_of, left
from tests.drivers.gce.emulator.answers import error
from tests.drivers.gce.emulator.cloud import ComputeEngine as Cloud
from tests.drivers.tested import BATCH, OWNER, Time, body_of_post
from tests.emulation.backend import recorded
from tests.emulation.faults import Fault

NEW = NewImage("hart-db-main-202611301450-b1", "db.Main", BATCH, "s1-abc-p2", "3008.3", "us-central1", "amd64")
INSERT, LABELS = r"/global/images$", r"/global/images/[^/]+/setLabels$"


@pytest.fixture
def stopped(driver: gce.ComputeEngine, instance: Instance) -> Instance:
    """Return a sealed instance that is off."""
    driver.settle(instance)
    driver.power_off(instance, force=True)
    return instance


def baked(driver: gce.ComputeEngine, stopped: Instance, time: Time, new: NewImage = NEW) -> BakedImage:
    """Make an image, wait for it, and mark it as complete."""
    made = driver.make_image(stopped, new)
    time.advance(60)
    driver.finish_image(made)
    found = driver.baked_image(made)
    assert found is not None
    return found


# make


def test_the_create_call_has_the_labels_and_the_family(
    driver: gce.ComputeEngine, stopped: Instance, cloud: Cloud, time: Time
) -> None:
    """Labels cannot hold the role and the release as they are: the description does."""
    image = baked(driver, stopped, time)
    body = body_of_post(cloud, INSERT)
    assert body["labels"] == {
        "hart": "", "hart-owner": OWNER, "hart-batch": BATCH, "hart-role": "db_main", "hart-digest": "s1-abc-p2",
        "hart-release": "3008_3", "hart-arch": "amd64",
    }  # fmt: skip
    assert body["sourceDisk"] == f"projects/{cloud.project}/zones/{own.ZONE}/disks/{name_of('w1.example.com')}"
    assert body["family"] == "hart-db-main"
    assert (image.role, image.release, image.arch, image.digest) == ("db.Main", "3008.3", "amd64", "s1-abc-p2")
    assert (image.regions, image.complete, image.disk_gb, image.size_gb) == ((), True, 10, 1.25)
    assert image.image_id == image.name == NEW.name


@pytest.mark.parametrize(
    ("role", "family"), [("app", "hart-app"), ("db.Main_2", "hart-db-main-2"), ("x" * 70, "hart-" + "x" * 58)]
)
def test_families(role: str, family: str) -> None:
    assert family_of(role) == family


@pytest.mark.parametrize("remembers", [True, False])
def test_a_create_call_without_an_answer_makes_one_image(
    driver: gce.ComputeEngine, stopped: Instance, cloud: Cloud, time: Time, remembers: bool
) -> None:
    """The server recognises the request id; if it does not, the name is taken and the labels show whose it is."""
    cloud.settings.remembers_requests = remembers
    cloud.faults.add(Fault("POST", INSERT, when="after", drop=True))
    made = driver.make_image(stopped, NEW)
    assert left(cloud)["images"] == [NEW.name]
    time.advance(60)
    driver.finish_image(made)
    assert [one.complete for one in driver.baked_images()] == [True]


def test_answers_that_are_lost_for_good(driver: gce.ComputeEngine, stopped: Instance, cloud: Cloud) -> None:
    cloud.faults.add(Fault("POST", INSERT, when="after", drop=True, times=None))
    assert driver.make_image(stopped, NEW).batch == BATCH
    assert left(cloud)["images"] == [NEW.name]
    cloud.faults.clear()


@pytest.mark.parametrize("owner", [OWNER, "ffff" * 4])
def test_a_name_that_another_call_took_is_refused(
    driver: gce.ComputeEngine, stopped: Instance, cloud: Cloud, time: Time, owner: str
) -> None:
    driver_of(cloud, time, owner=owner).make_image(stopped, replace(NEW, batch="b2"))
    with pytest.raises(InvalidRequest, match="already exists"):
        driver.make_image(stopped, NEW)


def test_a_quota_a_running_instance_and_a_missing_one(
    driver: gce.ComputeEngine, stopped: Instance, cloud: Cloud
) -> None:
    cloud.settings.image_limit = 0
    with pytest.raises(QuotaExceeded, match="IMAGES"):
        driver.make_image(stopped, NEW)
    cloud.settings.image_limit = None
    driver.power_on(stopped)
    with pytest.raises(InvalidRequest, match="already being used"):
        driver.make_image(stopped, NEW)
    driver.terminate(stopped)
    with pytest.raises(NotFound):
        driver.make_image(stopped, NEW)
    with pytest.raises(NotFound):
        driver.make_image(replace(stopped, zone=None), NEW)


@pytest.mark.parametrize("drops", [True, False])
def test_why_an_image_failed(
    driver: gce.ComputeEngine, stopped: Instance, cloud: Cloud, time: Time, drops: bool
) -> None:
    """Only the operation of the create call has the reason, also if there is no image any more."""
    cloud.settings.fails_image, cloud.settings.drops_failed_images = True, drops
    made = driver.make_image(stopped, NEW)
    found = driver.baked_image(made)
    assert found is not None
    assert found.state == IMAGE_PENDING
    time.advance(60)
    found = driver.baked_image(made)
    assert found is not None
    assert found.state == IMAGE_FAILED
    assert "could not be made of the disk" in found.problem
    assert [one.state for one in driver_of(cloud, time).baked_images()] == ([] if drops else [IMAGE_FAILED])
    driver.delete_image(found)
    assert driver.baked_image(made) is None
    assert "images" not in left(cloud)


# labels


def test_labels_that_others_set_stay(driver: gce.ComputeEngine, stopped: Instance, cloud: Cloud, time: Time) -> None:
    made = driver.make_image(stopped, NEW)
    time.advance(60)
    image = next(one for one in cloud.state.images if one.name == NEW.name)
    image.labels = {**image.labels, "team": "blue"}
    cloud.faults.add(Fault("POST", LABELS, status=412, answer=error(412)))
    driver.finish_image(made)
    assert image.labels["team"] == "blue"
    assert image.labels["hart-complete"] == "true"
    before = cloud.count("POST", LABELS)
    driver.finish_image(made)
    assert cloud.count("POST", LABELS) == before


def test_the_answer_to_the_mark_is_lost(driver: gce.ComputeEngine, stopped: Instance, cloud: Cloud, time: Time) -> None:
    made = driver.make_image(stopped, NEW)
    time.advance(60)
    cloud.faults.add(Fault("POST", LABELS, when="after", drop=True))
    driver.finish_image(made)
    time.advance(5)
    assert [one.complete for one in driver.baked_images()] == [True]


@pytest.mark.parametrize("text", ["", "role=", "Made from x", "role=a", "role=a b; x", "x role=a; y"])
def test_a_description_that_somebody_changed_names_no_role(
    driver: gce.ComputeEngine, stopped: Instance, cloud: Cloud, time: Time, text: str
) -> None:
    image = baked(driver, stopped, time)
    next(one for one in cloud.state.images if one.name == NEW.name).description = text
    (found,) = driver.baked_images()
    assert (found.role, found.release, found.name) == (None, None, image.name)


# delete, leftovers


def test_an_image_that_is_being_made_is_deleted(driver: gce.ComputeEngine, stopped: Instance, cloud: Cloud) -> None:
    cloud.settings.image_after = 200
    driver.delete_image(driver.make_image(stopped, NEW))
    assert "images" not in left(cloud)


def test_one_that_is_made_for_ever_is_an_error(driver: gce.ComputeEngine, stopped: Instance, cloud: Cloud) -> None:
    cloud.settings.image_after = 9000
    made = driver.make_image(stopped, NEW)
    with pytest.raises(TemporaryFailure, match="not ready"):
        driver.delete_image(made)
    assert [(one.kind, one.name, one.batch) for one in driver.leftovers()] == [("image", NEW.name, BATCH)]


def test_another_masters_image_of_that_name_stays(
    driver: gce.ComputeEngine, stopped: Instance, cloud: Cloud, time: Time
) -> None:
    other = driver_of(cloud, time, owner="ffff" * 4)
    theirs = other.make_image(stopped, NEW)
    time.advance(60)
    assert driver.baked_image(theirs) is None
    driver.delete_image(theirs)
    assert [one.name for one in other.baked_images()] == [NEW.name]


def test_without_the_right_to_list_images_there_are_none_among_the_leftovers(
    driver: gce.ComputeEngine, stopped: Instance, cloud: Cloud
) -> None:
    """Credentials that were never meant to bake are not an error for a sweep."""
    driver.make_image(stopped, NEW)
    cloud.settings.denied = ("compute.images.list",)
    assert driver.leftovers() == []


# use


@pytest.mark.parametrize(("size", "objections"), [(20, 0), (10, 1)])
def test_nodes_boot_from_an_image(
    driver: gce.ComputeEngine, cloud: Cloud, time: Time, size: int, objections: int
) -> None:
    first = own.launch(driver, own.node(options={"volume_size": 20}))
    time.advance(60)
    driver.power_off(first, force=True)
    image = baked(driver, first, time)
    driver.terminate(first)
    wanted = own.node("w2.example.com", image=image.image_id, options={"volume_size": size})
    said = driver_of(cloud, time).objections(wanted)
    assert said == [f"the image {NEW.name} needs a volume_size of 20 or more"][:objections]
    if objections:
        return
    made = own.launch(driver, wanted)
    cloud.settle()
    backend = recorded(cloud.machines)
    assert backend.booted[made.instance_id].image in backend.saved
    driver.delete_image(image)
    cloud.settle()
    assert backend.saved == {}


def test_there_is_no_price(driver: gce.ComputeEngine) -> None:
    assert driver.image_price("us-central1") is None
    assert driver.images_everywhere
