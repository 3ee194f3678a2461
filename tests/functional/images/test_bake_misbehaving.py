"""A bake in a world that misbehaves: lists that lag behind, lost leases, signals late in it, and nodes that lie."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import AuthError, NodeFailed, TemporaryFailure
from hart_salt.base.gate import Gate
from hart_salt.images import bake as baking
from hart_salt.images.bake import Order, bake
from hart_salt.inventory.context import Context
from hart_salt.inventory.leases import LeaseLocks
from hart_salt.inventory.records import BAKE
from hart_salt.inventory.session import Times
from hart_salt.model import IMAGE_PENDING, BakedImage
from hart_salt.node.lifecycle import Lifecycle
from tests.functional.images.test_bake import (
    DIGEST,
    GENERALISE,
    NODE,
    BakingDriver,
    baked,
    driver_of,
    failing,
    left_of_batch,
    node_of_bake,
)
from tests.functional.node.life_world import NOTHING, FakeMaster, FakeSession, Stage, new_stage
from tests.unit.inventory.lease_world import FakeEngine, Server


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(baking, "UNDO_INTERVAL", 0)
    monkeypatch.setattr(baking, "LONGEST_PAUSE", 0.01)
    stage = new_stage(tmp_path, monkeypatch)
    stage.driver = BakingDriver(stage)
    return stage


def hidden_from(stage: Stage, monkeypatch: pytest.MonkeyPatch, lists: int) -> None:
    """Let the first lists of images be empty."""
    real, left = driver_of(stage).baked_images, iter(range(lists))

    def lagging(region: str | None = None) -> list[BakedImage]:
        found = real(region)
        return [] if next(left, None) is not None else found

    monkeypatch.setattr(stage.driver, "baked_images", lagging)


def interrupt() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


# images that are listed late


def test_an_image_that_no_list_has_yet_is_deleted(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its create call has answered, so that it is known without a list."""
    hidden_from(stage, monkeypatch, 99)
    driver_of(stage).problem = "the disk is broken"
    assert baked(stage)[0]["result"] is False
    assert driver_of(stage).stored == {}
    assert stage.left() == NOTHING


def test_a_signal_during_the_create_call_deletes_the_image_that_the_call_makes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden_from(stage, monkeypatch, 99)

    def hit() -> None:
        del stage.world.faults["after make"]
        interrupt()

    stage.world.faults["after make"] = hit
    assert baked(stage)[1] == signal.SIGTERM
    assert driver_of(stage).stored == {}
    assert stage.left() == NOTHING


@pytest.mark.parametrize("lists", [0, 1, 3])
def test_an_image_whose_create_call_had_no_answer_is_looked_for_several_times(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, lists: int
) -> None:
    hidden_from(stage, monkeypatch, lists)
    stage.world.faults["after make"] = failing(TemporaryFailure("no answer", uncertain=True))
    assert "no answer" in baked(stage)[0]["error"]
    assert driver_of(stage).stored == {}
    assert stage.left() == NOTHING
    assert left_of_batch(stage) == []


def test_an_image_that_cannot_be_deleted_at_first_is_deleted_in_the_end(stage: Stage) -> None:
    times = iter(range(2))

    def twice() -> None:
        if next(times, None) is not None:
            raise TemporaryFailure("later")

    stage.world.faults.update({"finish": failing(AuthError("no")), "delete image": twice})
    assert baked(stage)[0]["error"] == "no"
    assert driver_of(stage).stored == {}


def test_a_copy_that_fails_takes_no_other_image_with_it(stage: Stage) -> None:
    """Neither the half-made image of another bake nor the first image, which the provider lists there by then."""
    stored = driver_of(stage).stored
    stored["theirs"] = BakedImage("theirs", "hart-app-2", IMAGE_PENDING, role="app", batch="b2", regions=("north",))

    def fail() -> None:
        first = next(one for one in stored.values() if one.complete)
        stored[first.image_id] = dataclasses.replace(first, regions=("local", "north"))
        raise AuthError("no")

    stage.world.faults["after copy"] = fail
    entry, _, _ = baked(stage, "north")
    assert {*stored} == {"theirs", entry["image"]}


# late signals


@pytest.mark.parametrize("step", ["terminate", "delete key", "remove record"])
def test_a_signal_while_the_node_goes_leaves_the_complete_image_only(stage: Stage, step: str) -> None:
    def hit() -> None:
        del stage.world.faults[step]
        interrupt()

    stage.world.faults[step] = hit
    entry, interrupted, problems = baked(stage, "north")
    assert (entry["result"], interrupted, problems) == (False, signal.SIGTERM, [])
    assert entry["error"] == "interrupted; the image image-1 is complete"
    assert [one.complete for one in driver_of(stage).stored.values()] == [True]
    assert stage.left() == NOTHING
    assert left_of_batch(stage) == []


@pytest.mark.parametrize("step", ["delete key", "remove record"])
def test_a_failure_while_the_node_goes_leaves_its_record_for_the_sweep(stage: Stage, step: str) -> None:
    stage.world.faults[step] = failing(AuthError("no"))
    entry, _, _ = baked(stage)
    assert (entry["result"], entry["image"]) == (False, "image-1")
    assert "no" in entry["error"]
    (record,) = stage.store.all()
    assert (record.minion_id, record.kind, record.role) == (NODE, BAKE, None)
    assert stage.world.instances == {}
    assert left_of_batch(stage) == ["b1"]
    assert driver_of(stage).stored["image-1"].complete


# leases


class Leased:
    """A stage whose bake holds leases, and another master that shares its records."""

    def __init__(self, stage: Stage, root: Path) -> None:
        self.stage = stage
        self.server = Server()
        self.call, self.other = (self._locks(root / name) for name in ("m1", "m2"))

    def _locks(self, root: Path) -> LeaseLocks:
        engine, server = FakeEngine(self.server), self.server
        return LeaseLocks(engine, self.stage.store, str(root), Times(), server.clock, server.sleep, lambda _: None)

    def bake(self, *copies: str) -> dict[str, Any]:
        master: Any = FakeMaster(self.stage.world)
        context = Context(master, self.stage.info, self.stage.store, self.call, Gate(), self.stage.others)
        order = Order("app", DIGEST, "amd64", copies)
        return bake(node_of_bake(), order, self.stage.driver, context, lambda: None)[0]

    def lose(self) -> None:
        """Let the lease run out, and another master take the node."""
        self.stage.world.faults.clear()
        self.server.now += Times().lease
        for record in self.stage.store.all():
            self.stage.store.put(dataclasses.replace(record, session="another"))


@pytest.fixture
def leased(stage: Stage, tmp_path: Path) -> Leased:
    return Leased(stage, tmp_path)


def test_another_master_sees_a_bake_as_a_living_call(leased: Leased) -> None:
    seen: list[tuple[bool, bool]] = []
    leased.stage.world.faults["look at image"] = lambda: seen.append(
        (leased.other.busy(NODE), leased.other.batch_lives("b1"))
    )  # fmt: skip
    assert leased.bake()["result"] is True
    assert set(seen) == {(True, True)}
    assert not leased.other.batch_lives("b1")


@pytest.mark.parametrize("step", ["connect", "power off", "look at image"])
def test_a_bake_without_its_lease_leaves_the_node_to_the_master_that_took_it(leased: Leased, step: str) -> None:
    """A half-made image is nobody's but this bake's, whose batch it has: that goes."""
    leased.stage.world.faults[step] = leased.lose
    entry = leased.bake()
    assert entry["result"] is False
    assert len(leased.stage.world.instances) == 1
    assert [record.session for record in leased.stage.store.all()] == ["another"]
    assert [one for one in driver_of(leased.stage).stored.values() if not one.complete] == []


def test_a_node_that_another_master_took_after_the_image_was_complete_is_not_destroyed(leased: Leased) -> None:
    leased.stage.world.faults["finish"] = leased.lose
    entry = leased.bake()
    assert (entry["result"], entry["image"]) == (False, "image-1")
    assert driver_of(leased.stage).stored["image-1"].complete
    assert len(leased.stage.world.instances) == 1
    assert leased.stage.world.undone == []


def test_a_lease_that_is_lost_right_before_the_node_goes_leaves_it(
    leased: Leased, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = Lifecycle.show

    def showing(self: Lifecycle, stage: str, **more: Any) -> None:
        show(self, stage, **more)
        if stage == "destroying":
            leased.lose()

    monkeypatch.setattr(Lifecycle, "show", showing)
    assert leased.bake()["result"] is False
    assert len(leased.stage.world.instances) == 1
    assert leased.stage.world.undone == []


# nodes that lie


def test_a_node_that_prints_without_end_while_it_is_generalised_makes_no_image(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = FakeSession.stream

    async def flooding(self: FakeSession, command: str, on_lines: Any) -> int:
        if command == GENERALISE.run:
            raise NodeFailed("the node printed more than 16 MiB")
        return await stream(self, command, on_lines)

    monkeypatch.setattr(FakeSession, "stream", flooding)
    assert "printed more than" in baked(stage)[0]["error"]
    assert driver_of(stage).stored == {}
    assert stage.left() == NOTHING


def test_a_node_that_never_ends_its_generalisation_makes_no_image(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = FakeSession.stream

    async def endless(self: FakeSession, command: str, on_lines: Any) -> int:
        if command == GENERALISE.run:
            await asyncio.Event().wait()
        return await stream(self, command, on_lines)

    monkeypatch.setattr(FakeSession, "stream", endless)
    monkeypatch.setattr(baking, "GENERALISE_TIMEOUT", 0.05)
    assert "the preparation of the image did not finish within 0.05 s" in baked(stage)[0]["error"]
    assert driver_of(stage).stored == {}
    assert stage.left() == NOTHING


@pytest.mark.parametrize(
    "version", ["3008.3'; rm -rf /", "3008.3\n", "9" * 65, "", "\x1b]0;x\x07", 3008, None, ["3008.3"]]
)
def test_a_version_that_a_node_invents_is_in_no_tag(stage: Stage, version: Any) -> None:
    """What a node says of its Salt becomes a tag of the image; a text that is no version does not."""
    stage.world.document["salt_version"] = version
    entry, _, _ = baked(stage)
    releases = [one.release for one in driver_of(stage).stored.values()]
    assert releases in ([""], [])
    assert entry["result"] is bool(releases)


def test_a_node_says_nothing_about_name_role_batch_and_digest_of_the_image(stage: Stage) -> None:
    """The tags that decide which nodes boot an image come from the configuration."""
    stage.world.document.update({"role": "db", "digest": "x", "batch": "b2", "name": "evil"})
    baked(stage)
    assert {(one.role, one.batch, one.digest) for one in driver_of(stage).stored.values()} <= {("app", "b1", DIGEST)}


def test_a_provider_whose_image_is_pending_for_ever_is_left_at_a_signal(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A closed terminal is a SIGHUP: it ends the wait at once."""
    looks: list[int] = []

    def pending(self: BakingDriver, image: BakedImage) -> BakedImage:
        looks.append(1)
        if len(looks) == 2:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGHUP)
        return dataclasses.replace(image, state=IMAGE_PENDING)

    monkeypatch.setattr(BakingDriver, "baked_image", pending)
    entry, interrupted, _ = baked(stage)
    assert (entry["result"], interrupted) == (False, signal.SIGHUP)
    assert driver_of(stage).stored == {}
    assert stage.left() == NOTHING
