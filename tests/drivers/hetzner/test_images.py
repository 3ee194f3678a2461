"""Hetzner's snapshots as images: labels, states, architecture, protection and the price."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from hart_salt.base.errors import InvalidRequest, NoCapacity, Protected, QuotaExceeded
from hart_salt.drivers.hetzner import driver as hetzner
from hart_salt.model import IMAGE_AVAILABLE, IMAGE_FAILED, IMAGE_PENDING, Instance, NewImage, Price
from tests.drivers.hetzner.driver import OWNER, Client, Time, launch, node
from tests.drivers.hetzner.emulator.cloud import Hetzner as Cloud
from tests.emulation.faults import Fault

BATCH = "0123456789abcd"
NEW = NewImage("hart-app-202611301200-" + BATCH, "app", BATCH, "1-aaaaaaaa", "3008.3", "fsn1", "amd64")
LABELS = {
    "hart": "", "hart-owner": OWNER, "hart-batch": BATCH, "hart-role": "app", "hart-digest": "1-aaaaaaaa",
    "hart-release": "3008.3", "hart-arch": "amd64",
}  # fmt: skip
MAKE = r"/v1/servers/\d+/actions/create_image$"


@pytest.fixture
def off(driver: hetzner.Hetzner, instance: Instance) -> Instance:
    driver.power_off(instance, force=True)
    return instance


def test_the_create_call_has_all_labels(cloud: Cloud, driver: hetzner.Hetzner, off: Instance) -> None:
    made = driver.make_image(off, NEW)
    (call,) = [call for call in cloud.calls if call.path.endswith("/create_image")]
    assert call.path == f"/v1/servers/{off.instance_id}/actions/create_image"
    assert call.body == {"type": "snapshot", "description": NEW.name, "labels": LABELS}
    (snapshot,) = cloud.state.snapshots.values()
    assert (str(snapshot.id), snapshot.labels) == (made.image_id, LABELS)


def test_the_labels_of_the_user_stay(cloud: Cloud, driver: hetzner.Hetzner, off: Instance) -> None:
    made = driver.make_image(off, NEW)
    Client(cloud).call("PUT", f"images/{made.image_id}", {"labels": {**LABELS, "team": "blue"}})
    driver.finish_image(made)
    (snapshot,) = cloud.state.snapshots.values()
    assert snapshot.labels == {**LABELS, "team": "blue", "hart-complete": "yes"}
    before = cloud.count("PUT")
    driver.finish_image(made)
    assert cloud.count("PUT") == before


def test_a_release_that_no_label_can_have(cloud: Cloud, driver: hetzner.Hetzner, off: Instance) -> None:
    driver.make_image(off, dataclasses.replace(NEW, release="3008.0+12.gabc"))
    assert [one.release for one in driver.baked_images()] == ["3008.0_12.gabc"]


@pytest.mark.parametrize(
    ("status", "state", "problem"),
    [
        ("creating", IMAGE_PENDING, ""), ("available", IMAGE_AVAILABLE, ""), ("odd", IMAGE_PENDING, ""),
        ("unavailable", IMAGE_FAILED, "Hetzner reports it as unavailable"),
    ],
)  # fmt: skip
def test_states(cloud: Cloud, driver: hetzner.Hetzner, off: Instance, status: str, state: str, problem: str) -> None:
    driver.make_image(off, NEW)
    for snapshot in cloud.state.snapshots.values():
        snapshot.status, snapshot.server = status, None
    assert [(one.state, one.problem) for one in driver.baked_images()] == [(state, problem)]


def test_an_image_that_hetzner_gives_up(cloud: Cloud, driver: hetzner.Hetzner, off: Instance, time: Time) -> None:
    """It is still a leftover, and can be deleted."""
    cloud.settings.fails_image, cloud.settings.image_after = True, 30.0
    made = driver.make_image(off, NEW)
    time.advance(30)
    now = driver.baked_image(made)
    assert now is not None
    assert (now.state, now.size_gb) == (IMAGE_FAILED, None)
    with pytest.raises(InvalidRequest):
        launch(driver, node("w2.example.com", image=made.image_id))
    for leftover in driver.leftovers():
        driver.remove(leftover)
    assert cloud.state.snapshots == {}


def test_the_architecture_is_that_of_the_server(cloud: Cloud, driver: hetzner.Hetzner, time: Time) -> None:
    """Whatever the label says, because nodes boot what is there."""
    instance = launch(driver, dataclasses.replace(node(), size="cax11"))
    time.advance(60)
    driver.power_off(instance, force=True)
    made = driver.make_image(instance, NEW)
    assert made.arch == "arm64"
    wanted = dataclasses.replace(node("w2.example.com", image=made.image_id), size="cax11")
    assert driver.objections(wanted) == []
    launch(driver, wanted)
    (objection,) = hetzner_objections(driver, made.image_id)
    assert "which is x86" in objection


def hetzner_objections(driver: hetzner.Hetzner, image: str) -> Any:
    return driver.objections(node("w3.example.com", image=image))


def test_a_protected_image_is_kept(cloud: Cloud, driver: hetzner.Hetzner, off: Instance) -> None:
    made = driver.make_image(off, NEW)
    path = f"images/{made.image_id}/actions/change_protection"
    assert Client(cloud).call("POST", path, {"delete": True}).status_code == 201
    with pytest.raises(Protected, match="turn off the protection of the image in Hetzner's console"):
        driver.delete_image(made)
    assert len(cloud.state.snapshots) == 1
    Client(cloud).call("POST", path, {"delete": False})
    driver.delete_image(made)
    assert cloud.state.snapshots == {}


@pytest.mark.parametrize("more", [{"deleted": "2026-01-30T23:50:00+00:00"}, {"type": "backup"}, {"type": "system"}])
def test_what_is_deleted_or_no_snapshot_does_not_exist(
    cloud: Cloud, driver: hetzner.Hetzner, off: Instance, more: dict[str, Any]
) -> None:
    made = driver.make_image(off, NEW)
    shown = {**driver._api.get(f"images/{made.image_id}", "image"), **more}
    meta = {"pagination": {"next_page": None}}
    cloud.faults.add(Fault("GET", r"/v1/images$", status=200, answer={"images": [shown], "meta": meta}))
    cloud.faults.add(Fault("GET", r"/v1/images/\d+$", status=200, answer={"image": shown}))
    assert driver.baked_images() == []
    assert driver.baked_image(made) is None


def test_the_list_is_asked_for_this_master_s_snapshots(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    driver.baked_images()
    (call,) = cloud.calls
    assert call.query == {"type": ["snapshot"], "label_selector": [f"hart-owner={OWNER}"], "per_page": ["50"]}


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "resource_limit_exceeded", QuotaExceeded), (412, "resource_unavailable", NoCapacity),
        (422, "invalid_input", InvalidRequest), (422, "resource_locked", InvalidRequest),
    ],
)  # fmt: skip
def test_refusals(
    cloud: Cloud, driver: hetzner.Hetzner, off: Instance, status: int, code: str, kind: type[Exception]
) -> None:
    answer = {"error": {"code": code, "message": "Odd."}}
    cloud.faults.add(Fault("POST", MAKE, status=status, answer=answer))
    with pytest.raises(kind, match=code):
        driver.make_image(off, NEW)
    assert cloud.state.snapshots == {}


@pytest.mark.parametrize(("status", "code"), [(423, "locked"), (409, "conflict")])
def test_a_server_that_is_locked_for_a_while(
    cloud: Cloud, driver: hetzner.Hetzner, off: Instance, time: Time, status: int, code: str
) -> None:
    answer = {"error": {"code": code, "message": "Odd."}}
    cloud.faults.add(Fault("POST", MAKE, status=status, answer=answer, times=3))
    driver.make_image(off, NEW)
    assert (len(cloud.state.snapshots), len(time.waits) >= 3) == (1, True)


# the price


def test_the_price(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    assert driver.image_price("fsn1") == Price(0.0119, "EUR")
    driver.sizes("fsn1")
    assert driver.image_price("nbg1") == Price(0.0119, "EUR")
    assert cloud.count("GET", "/v1/pricing") == 1


@pytest.mark.parametrize(
    "pricing",
    [
        {"currency": "EUR"}, {"currency": "EUR", "image": None}, {"currency": "EUR", "image": "odd"},
        {"currency": "EUR", "image": {"price_per_gb_month": "odd"}}, {"image": {"price_per_gb_month": {"net": "1"}}},
        {"currency": 7, "image": {"price_per_gb_month": {"net": "1"}}},
        {"currency": "EUR", "image": {"price_per_gb_month": {"net": "odd", "gross": "1"}}},
    ],
)  # fmt: skip
def test_a_price_that_is_not_known(cloud: Cloud, driver: hetzner.Hetzner, pricing: dict[str, Any]) -> None:
    cloud.faults.add(Fault("GET", "/v1/pricing$", status=200, answer={"pricing": pricing}))
    assert driver.image_price("fsn1") is None
