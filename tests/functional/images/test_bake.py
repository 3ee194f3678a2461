"""A bake in a world in memory: what is left after a success, a failure at each step, and a signal."""

from __future__ import annotations

import dataclasses
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.caller import Caller
from hart_salt.base.errors import AuthError, TemporaryFailure
from hart_salt.base.gate import Gate
from hart_salt.config.settings import Settings
from hart_salt.images import bake as baking
from hart_salt.images import generalise
from hart_salt.images.bake import Order, bake
from hart_salt.inventory.context import Context
from hart_salt.inventory.flocks import FileLocks
from hart_salt.inventory.journal import journal_of
from hart_salt.master.applied import Applied
from hart_salt.model import IMAGE_AVAILABLE, IMAGE_FAILED, IMAGE_PENDING, BakedImage, Instance, NewImage, Node
from hart_salt.node import bootstrap
from tests.functional.node.life_world import NOTHING, FakeDriver, FakeMaster, Stage, new_stage
from tests.parts import new_node

DIGEST = "1-" + "-".join(["0" * 8] * 6)
NODE = "hart-bake-app-0a1b2c3d"
GENERALISE = generalise.commands("local", "", "ssh-ed25519 A", NODE)


class BakingDriver(FakeDriver):
    """A provider that makes images in three looks, and has two regions."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.world, stage.info)
        self.stored: dict[str, BakedImage] = {}
        self.off: list[str] = []
        self.looks = 0
        self.problem = ""
        #: images do not become available any more, so that a signal is seen before that
        self.stuck = False

    def power_off(self, instance: Instance, *, force: bool = False) -> None:
        self.world.step("power off")
        assert force
        self.off.append(instance.instance_id)

    def make_image(self, instance: Instance, new: NewImage) -> BakedImage:
        self.world.step("before make")
        assert instance.instance_id in self.off
        image = self._begun(new.name, new.role, new.batch, new.digest, new.release, new.region)
        self.world.step("after make")
        return image

    def _begun(self, *about: str) -> BakedImage:
        name, role, batch, digest, release, region = about
        image = BakedImage(
            f"image-{len(self.stored) + 1}", name, IMAGE_PENDING, False, role, batch, digest, release,
            regions=(region,), size_gb=2.5, created=1.0,
        )  # fmt: skip
        self.stored[image.image_id] = image
        return image

    def baked_images(self, region: str | None = None) -> list[BakedImage]:
        self.world.step("list images")
        return [one for one in self.stored.values() if region in (None, *one.regions)]

    def baked_image(self, image: BakedImage) -> BakedImage | None:
        self.world.step("look at image")
        self.looks += 1
        if self.problem:
            return dataclasses.replace(image, state=IMAGE_FAILED, problem=self.problem)
        if self.stuck or self.looks % 3:
            return self.stored.get(image.image_id)
        made = dataclasses.replace(self.stored[image.image_id], state=IMAGE_AVAILABLE)
        self.stored[image.image_id] = made
        return made

    def finish_image(self, image: BakedImage) -> None:
        self.world.step("finish")
        there = self.stored[image.image_id]
        assert (image.role, image.batch, image.digest) == (there.role, there.batch, there.digest)
        self.stored[image.image_id] = dataclasses.replace(there, complete=True)

    def copy_image(self, image: BakedImage, region: str) -> BakedImage:
        self.world.step("before copy")
        made = self._begun(
            image.name, image.role or "", image.batch, image.digest or "", image.release or "", region
        )  # fmt: skip
        self.world.step("after copy")
        return made

    def delete_image(self, image: BakedImage) -> None:
        self.world.step("delete image")
        if self.stored.pop(image.image_id, None):
            self.world.undone.append("image")


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(baking, "UNDO_INTERVAL", 0)
    monkeypatch.setattr(baking, "LONGEST_PAUSE", 0.01)
    stage = new_stage(tmp_path, monkeypatch)
    stage.driver = BakingDriver(stage)
    return stage


def driver_of(stage: Stage) -> BakingDriver:
    assert isinstance(stage.driver, BakingDriver)
    return stage.driver


def node_of_bake(**settings: Any) -> Node:
    node = new_node(
        NODE, settings=Settings(**{"apply": ["base"], **settings}), batch="b1",
        minion_config={"id": NODE, "master": "192.0.2.9"},
    )  # fmt: skip
    return dataclasses.replace(node, role=None)


def baked(stage: Stage, *copies: str, **settings: Any) -> tuple[dict[str, Any], int | None, list[str]]:
    master: Any = FakeMaster(stage.world)
    context = Context(
        master, stage.info, stage.store, FileLocks(stage.info.cachedir), Gate(), stage.others,
        journal=journal_of(stage.info, Gate(), Caller()),
    )  # fmt: skip
    order = Order("app", DIGEST, "amd64", copies)
    return bake(node_of_bake(**settings), order, stage.driver, context, lambda: None)


def failing(error: Exception) -> Callable[[], object]:
    def fail() -> None:
        raise error

    return fail


def left_of_batch(stage: Stage) -> list[str]:
    """Return the claims of batches that are left for sweep."""
    return sorted(FileLocks(stage.info.cachedir).dead_batches())


def in_journal(stage: Stage) -> list[tuple[str, str, str | None, bool]]:
    """Return what the journal says of each outcome."""
    entries = journal_of(stage.info, Gate(), Caller()).read(role="app")
    return [(one.action, one.minion_id, one.role, one.result) for one in entries]


def test_the_image_is_complete_and_the_node_is_gone(stage: Stage) -> None:
    entry, interrupted, problems = baked(stage)
    assert (entry["result"], interrupted, problems) == (True, None, [])
    (image,) = driver_of(stage).stored.values()
    assert image.complete
    assert image.state == IMAGE_AVAILABLE
    assert (image.role, image.batch, image.digest, image.release) == ("app", "b1", DIGEST, "3008.3")
    assert image.name.startswith("hart-app-")
    assert (entry["image"], entry["role"], entry["region"]) == (image.image_id, "app", "local")
    assert "error" not in entry
    assert stage.left() == NOTHING
    assert stage.world.undone == ["instance", "key", "record"]
    assert left_of_batch(stage) == []
    assert in_journal(stage) == [("bake", NODE, "app", True)]


@pytest.mark.parametrize(
    ("version", "release"),
    [("3008.3", "3008.3"), ("3008.3-1", "3008.3"), ("1:3008.3+ds-1", "3008.3"), ("3009.0~rc1", "3009.0"), ("", "")],
)
def test_the_image_has_the_release_of_the_package_in_it(stage: Stage, version: str, release: str) -> None:
    stage.world.document["salt_version"] = version
    baked(stage)
    assert driver_of(stage).stored["image-1"].release == release


def test_it_is_never_ready_nor_sealed_and_its_states_come_before_the_image(stage: Stage) -> None:
    baked(stage)
    stages = [tag.rpartition("/")[2] for tag in stage.world.events]
    assert stages == ["launching", "running", "bootstrapping", "enrolled", "baked", "destroying", "destroyed"]
    assert stage.world.sealed == set()
    commands = [command for command, _ in stage.world.ran]
    assert commands.index(bootstrap.commands("").start) < commands.index(GENERALISE.keep)


#: the steps of a bake at which it can fail, and whether an image may be there by then
STEPS = [
    "before launch", "after launch", "connect", "before accept", "start", "apply", "power off", "before make",
    "after make", "look at image", "finish",
]  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_after_a_failure_at_any_step_nothing_is_left(stage: Stage, step: str) -> None:
    stage.world.faults[step] = failing(AuthError("no"))
    entry, interrupted, problems = baked(stage)
    assert (entry["result"], interrupted, problems) == (False, None, [])
    assert "no" in entry["error"]
    assert driver_of(stage).stored == {}
    assert stage.left() == NOTHING
    assert left_of_batch(stage) == []
    assert in_journal(stage) == [("bake", NODE, "app", False)]


@pytest.mark.parametrize("step", STEPS)
def test_after_a_signal_at_any_step_nothing_is_left_that_is_half_made(stage: Stage, step: str) -> None:
    def hit() -> None:
        del stage.world.faults[step]
        driver_of(stage).stuck = True
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    stage.world.faults[step] = hit
    entry, interrupted, problems = baked(stage)
    assert problems == []
    assert stage.left() == NOTHING
    complete = [one.complete for one in driver_of(stage).stored.values()]
    if step == "finish" and complete:  # the image was complete before the signal was seen
        assert (complete, entry["image"]) == ([True], "image-1")
        assert entry["result"] is (interrupted is None)
    else:
        assert (entry["result"], interrupted, complete) == (False, signal.SIGTERM, [])
        assert stage.world.events[-1] == f"hart/{NODE}/failed"


FAILED_STATES = Applied(["nginx: not found"], ("nginx (pkg.installed)", "  stderr: E: no nginx"))


def test_states_that_fail_fail_the_bake(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeMaster, "apply", lambda *_: FAILED_STATES)
    entry, _, _ = baked(stage)
    assert entry["error"] == "the states could not be applied: nginx: not found"
    assert entry["output"][-3:-1] == ["  stderr: E: no nginx", "hart: nginx: not found"]
    assert "  stderr: E: no nginx\n" in Path(entry["log"]).read_text()
    assert driver_of(stage).stored == {}
    assert stage.left() == NOTHING


def test_a_node_that_cannot_be_generalised_makes_no_image(stage: Stage) -> None:
    stage.world.exit_codes[GENERALISE.run] = 1
    entry, _, _ = baked(stage)
    assert "could not be prepared" in entry["error"]
    assert driver_of(stage).stored == {}
    assert stage.left() == NOTHING


def test_an_image_that_the_provider_gives_up_is_deleted(stage: Stage) -> None:
    driver_of(stage).problem = "the disk is broken"
    entry, _, _ = baked(stage)
    assert "the disk is broken" in entry["error"]
    assert driver_of(stage).stored == {}
    assert stage.left() == NOTHING


def test_a_look_that_fails_for_the_moment_is_repeated(stage: Stage) -> None:
    def once() -> None:
        del stage.world.faults["look at image"]
        raise TemporaryFailure("try later")

    stage.world.faults["look at image"] = once
    assert baked(stage)[0]["result"] is True


def test_an_image_that_never_becomes_available_is_deleted(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BakingDriver, "baked_image", lambda self, image: image)
    entry, _, _ = baked(stage, image_timeout=0.05)
    assert "did not become available within 0.05 s" in entry["error"]
    assert driver_of(stage).stored == {}
    assert stage.left() == NOTHING


def test_an_image_that_cannot_be_deleted_is_left_to_sweep(stage: Stage) -> None:
    stage.world.faults["finish"] = failing(AuthError("no"))
    stage.world.faults["delete image"] = failing(TemporaryFailure("the API is down"))
    entry, _, _ = baked(stage)
    assert "could not be deleted: the API is down; salt-run hart.sweep removes it" in entry["error"]
    assert list(driver_of(stage).stored) == ["image-1"]
    assert stage.world.instances == {}
    assert left_of_batch(stage) == ["b1"]


def test_a_node_that_cannot_be_destroyed_keeps_its_record_and_the_image_stays(stage: Stage) -> None:
    stage.world.faults["terminate"] = failing(AuthError("no"))
    entry, _, _ = baked(stage)
    assert entry["result"] is False
    assert entry["image"] == "image-1"
    assert f"salt-run hart.destroy {NODE} removes it" in entry["error"]
    assert [record.stage for record in stage.store.all()] == ["failed"]
    assert driver_of(stage).stored["image-1"].complete


@pytest.mark.parametrize("step", [*STEPS, "terminate", "before copy"])
def test_the_last_event_of_a_node_is_about_its_end(stage: Stage, step: str) -> None:
    """A reactor that keeps an inventory would keep the node for ever without it."""
    stage.world.faults[step] = failing(AuthError("no"))
    baked(stage, "north")
    assert stage.world.events[-1] == f"hart/{NODE}/{'destroyed' if step == 'before copy' else 'failed'}"


def test_copies_are_made_after_the_node_is_gone(stage: Stage) -> None:
    there: list[int] = []
    stage.world.faults["before copy"] = lambda: there.append(len(stage.world.instances))
    entry, _, _ = baked(stage, "north", "south")
    assert entry["result"] is True
    assert entry["copies"] == {"north": "image-2", "south": "image-3"}
    assert there == [0, 0]
    assert all(one.complete for one in driver_of(stage).stored.values())


@pytest.mark.parametrize("step", ["before copy", "after copy"])
def test_a_copy_that_fails_is_deleted_and_the_image_stays(stage: Stage, step: str) -> None:
    stage.world.faults[step] = failing(AuthError("no"))
    entry, _, problems = baked(stage, "north")
    assert entry["result"] is False
    assert (entry["image"], problems) == ("image-1", [])
    assert entry["error"] == "the image image-1 is complete, but it could not be copied to north: no"
    assert list(driver_of(stage).stored) == ["image-1"]
    assert left_of_batch(stage) == []


def test_a_signal_while_it_is_copied_deletes_the_copy_only(stage: Stage) -> None:
    def hit() -> None:
        driver_of(stage).stuck = True
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    stage.world.faults["after copy"] = hit
    entry, interrupted, _ = baked(stage, "north")
    assert interrupted == signal.SIGINT
    assert entry["error"] == "interrupted; the image image-1 is complete"
    assert list(driver_of(stage).stored) == ["image-1"]
