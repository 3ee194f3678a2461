"""Vultr's snapshots as images: the description that contains everything, and the price."""

from __future__ import annotations

import dataclasses

import pytest

from hart_salt.base.errors import InvalidRequest, QuotaExceeded, TemporaryFailure
from hart_salt.drivers.vultr import driver as vultr
from hart_salt.drivers.vultr.images import description
from hart_salt.model import IMAGE_AVAILABLE, IMAGE_FAILED, IMAGE_PENDING, Instance, NewImage, Price
from tests.drivers.vultr.driver import OWNER, Client, Time, launch, node
from tests.drivers.vultr.emulator.cloud import Vultr as Cloud
from tests.emulation.faults import Fault

BATCH = "0123456789abcd"
NEW = NewImage("hart-app-202611301200-" + BATCH, "app", BATCH, "1-aaaaaaaa", "3008.3", "ams", "amd64")
TEXT = (
    f"hart-app-202611301200-{BATCH} hart-owner:{OWNER} hart-batch:{BATCH} hart-role:app hart-digest:1-aaaaaaaa "
    "hart-release:3008.3 hart-arch:amd64 hart-complete:0"
)


@pytest.fixture
def off(driver: vultr.Vultr, instance: Instance) -> Instance:
    driver.power_off(instance, force=True)
    return instance


def test_the_create_call_has_a_description_and_nothing_else(cloud: Cloud, driver: vultr.Vultr, off: Instance) -> None:
    made = driver.make_image(off, NEW)
    (call,) = [call for call in cloud.calls if (call.method, call.path) == ("POST", "/v2/snapshots")]
    assert call.body == {"instance_id": off.instance_id, "description": TEXT}
    driver.finish_image(made)
    (changed,) = [call for call in cloud.calls if call.method == "PUT"]
    assert (changed.path, changed.body) == (
        f"/v2/snapshots/{made.image_id}", {"description": TEXT.removesuffix("0") + "1"},
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "", "golden", NEW.name, TEXT.removesuffix("0") + "2", TEXT.removesuffix(" hart-complete:0"), TEXT + " ",
        " " + TEXT, TEXT + " keep this", TEXT + "\n", TEXT.upper(), TEXT.replace(OWNER, "fedc" * 4),
        TEXT.replace(OWNER, ""), TEXT.replace(OWNER, OWNER + "0"), TEXT.replace("hart-batch:", "batch:"),
        TEXT.replace(f" hart-batch:{BATCH}", ""), TEXT.replace("hart-role:app", "hart-role:a b"),
        TEXT.replace(" ", ", "), f"copy of {TEXT}", TEXT[:100],
    ],
)  # fmt: skip
def test_no_other_text_is_mistaken_for_an_image_of_this_master(cloud: Cloud, driver: vultr.Vultr, text: str) -> None:
    cloud.add_snapshot(text)
    assert driver.baked_images() == []
    assert driver.leftovers() == []
    (snapshot,) = cloud.state.snapshots.values()
    assert snapshot.id in [one.setting for one in driver.images(None)]


@pytest.mark.parametrize("role", ["app", "db.main", "a b", "web/é", "50%", "x" * 40])
def test_the_description_of_any_role_is_read_as_it_was(cloud: Cloud, driver: vultr.Vultr, role: str) -> None:
    for complete in (False, True):
        text = description(OWNER, dataclasses.replace(NEW, role=role, release="3008.0+12.gabc"), complete=complete)
        assert text.isascii()
        cloud.add_snapshot(text)
    first, second = driver.baked_images()
    assert (first.role, first.release, first.complete) == (role, "3008.0+12.gabc", False)
    assert dataclasses.replace(second, image_id=first.image_id, complete=False) == first


def test_without_digest_release_and_arch(cloud: Cloud, driver: vultr.Vultr) -> None:
    cloud.add_snapshot(description(OWNER, dataclasses.replace(NEW, digest="", release="", arch="")))
    (found,) = driver.baked_images()
    assert (found.digest, found.release, found.arch, found.batch) == (None, None, "amd64", BATCH)


@pytest.mark.parametrize("limit", [30, 128, len(TEXT) - 1])
def test_a_description_that_vultr_cuts_leaves_no_image_behind(
    cloud: Cloud, driver: vultr.Vultr, off: Instance, limit: int
) -> None:
    cloud.settings.description_limit = limit
    with pytest.raises(InvalidRequest, match="did not keep the marks"):
        driver.make_image(off, NEW)
    assert cloud.state.snapshots == {}


def test_a_description_that_fits_once_fits_with_the_mark_of_a_complete_image(
    cloud: Cloud, driver: vultr.Vultr, off: Instance
) -> None:
    cloud.settings.description_limit = len(TEXT)
    driver.finish_image(driver.make_image(off, NEW))
    assert [one.complete for one in driver.baked_images()] == [True]


def test_an_answer_without_the_description(cloud: Cloud, driver: vultr.Vultr, off: Instance) -> None:
    """The description's own example lacks it."""
    answer = {"snapshot": {"id": "cb676a46-66fd-4dfb-b839-443f2e6c0b60", "status": "pending"}}
    cloud.faults.add(Fault("POST", "/v2/snapshots$", status=201, answer=answer, when="after"))
    made = driver.make_image(off, NEW)
    assert (made.image_id, made.name, made.state) == (answer["snapshot"]["id"], NEW.name, IMAGE_PENDING)


def test_the_price(driver: vultr.Vultr, cloud: Cloud) -> None:
    assert driver.image_price("ams") == Price(0.05, "USD")
    assert cloud.calls == []


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (400, "You have reached the maximum number of snapshots for this account.", QuotaExceeded),
        (412, "Snapshot limit reached.", QuotaExceeded),
        (400, "Invalid instance.", InvalidRequest),
    ],
)
def test_refusals(
    cloud: Cloud, driver: vultr.Vultr, off: Instance, status: int, said: str, kind: type[Exception]
) -> None:
    cloud.faults.add(Fault("POST", "/v2/snapshots$", status=status, answer={"error": said, "status": status}))
    with pytest.raises(kind, match=said):
        driver.make_image(off, NEW)
    assert cloud.state.snapshots == {}


@pytest.mark.parametrize(
    ("status", "state", "problem"),
    [
        ("complete", IMAGE_AVAILABLE, ""), ("pending", IMAGE_PENDING, ""), (None, IMAGE_PENDING, ""),
        ("failed", IMAGE_FAILED, "Vultr reports the status failed"),
    ],
)  # fmt: skip
def test_states(cloud: Cloud, driver: vultr.Vultr, off: Instance, status: str | None, state: str, problem: str) -> None:
    driver.make_image(off, NEW)
    for snapshot in cloud.state.snapshots.values():
        vars(snapshot).update(status=status, instance_id="")
    assert [(one.state, one.problem) for one in driver.baked_images()] == [(state, problem)]


def test_a_snapshot_that_is_deleted_is_gone(cloud: Cloud, driver: vultr.Vultr, off: Instance) -> None:
    """Also if Vultr still reports it."""
    made = driver.make_image(off, NEW)
    for snapshot in cloud.state.snapshots.values():
        snapshot.status = "deleted"
    assert (driver.baked_images(), driver.baked_image(made), driver.leftovers()) == ([], None, [])
    shown = {"snapshot": {"id": made.image_id, "description": TEXT, "status": "deleted"}}
    cloud.faults.add(Fault("GET", r"/v2/snapshots/", status=200, answer=shown))
    driver.delete_image(made)


def test_an_image_that_vultr_gives_up(cloud: Cloud, driver: vultr.Vultr, off: Instance, time: Time) -> None:
    """It cannot be booted, is a leftover, and does not hold its instance."""
    cloud.settings.fails_image, cloud.settings.image_after = True, 30.0
    made = driver.make_image(off, NEW)
    time.advance(36000)
    assert [one.kind for one in driver.leftovers()] == ["image"]
    with pytest.raises(InvalidRequest, match=r"Invalid snapshot_id"):
        launch(driver, node("w2.example.com", image=made.image_id))
    driver.delete_image(made)
    driver.terminate(off)
    assert driver.instances() == []


def test_a_server_that_is_locked_for_ever_is_a_temporary_failure(
    cloud: Cloud, driver: vultr.Vultr, off: Instance, time: Time
) -> None:
    answer = {"error": "Unable to create snapshot: Server is currently locked", "status": 500}
    cloud.faults.add(Fault("POST", "/v2/snapshots$", status=500, answer=answer, times=None))
    with pytest.raises(TemporaryFailure, match="currently locked") as caught:
        driver.make_image(off, NEW)
    assert not caught.value.uncertain
    assert 100 < sum(time.waits) < 600
    cloud.faults.clear()


def test_a_snapshot_of_the_user_is_left_alone_by_the_client(cloud: Cloud, driver: vultr.Vultr, off: Instance) -> None:
    snapshot = Client(cloud).make("snapshots", "snapshot", instance_id=off.instance_id, description="mine")
    assert driver.baked_images() == []
    assert list(cloud.state.snapshots) == [snapshot["id"]]
