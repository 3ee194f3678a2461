"""Nodes that end by themselves: their end is moved or removed. Real drivers over emulated APIs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import EnvironmentFault
from hart_salt.inventory.ends import end_of
from hart_salt.inventory.snapshot import record_of
from hart_salt.node import answering
from hart_salt.operations import extend, protection, resize, tagging
from hart_salt.operations.extend import NO_END, UNSURE, Extension
from hart_salt.operations.tagging import TagChange
from tests.emulation.faults import Fault
from tests.functional.operations.power_world import ID, OTHER, Stage, opened
from tests.functional.operations.test_resize import SIZES

EACH = pytest.mark.parametrize("stage", SIZES, indirect=True)
NOW, HOUR = 1_796_065_000.0, 3600.0
END = NOW + 600
DIGEST = "1-65107e62-986ec20d-fe2fd151-8b02980e-644b00b0-2ef8519c"


@pytest.fixture
def stage(request: pytest.FixtureRequest, root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(answering, "ASK_AGAIN", 0.02)
    with opened(getattr(request, "param", "do"), root, ID, OTHER) as made:
        made.cloud.calls.clear()
        yield made


def ending(stage: Stage, in_record: float | None, in_tag: float | None) -> None:
    """Give the first node an end."""
    stage.driver.set_end(stage.instance(), in_tag)
    stage.store.put(dataclasses.replace(stage.record(), ends=in_record))
    stage.cloud.calls.clear()


def by(stage: Stage, seconds: float | None, *, test: bool = False, now: float = NOW) -> dict[str, Any]:
    outcomes, _ = stage.do(extend.extend(Extension(seconds, lambda: now), test=test))
    entry: dict[str, Any] = outcomes[ID]
    return entry


def ends(stage: Stage) -> tuple[float | None, float | None]:
    """Return the end in the record and the end in the tag."""
    return stage.record().ends, stage.instance().ends


@EACH
def test_the_end_moves_in_the_tag_and_in_the_record(stage: Stage) -> None:
    ending(stage, END, END)
    entry = by(stage, 4 * HOUR)
    later = END + 4 * HOUR
    assert ends(stage) == (later, later)
    assert (entry["result"], entry["changed"]) == (True, True)
    assert (entry["before"], entry["ends"]) == ("2026-11-30T19:06:40+00:00", "2026-11-30T23:06:40+00:00")
    by(stage, 0.5)
    assert ends(stage) == (later + 1, later + 1), "whole seconds, and each call extends the life again"
    (first, second) = map(json.loads, stage.journal.read_text().splitlines())
    assert (first["action"], first["result"], first["details"]) == ("extend", True, {"by": "4h"})
    assert second["details"] == {"by": "0s"}


@EACH
def test_the_end_can_be_removed(stage: Stage) -> None:
    ending(stage, END, END)
    entry = by(stage, None)
    assert (entry["changed"], entry["ends"], ends(stage)) == (True, None, (None, None))
    stage.cloud.calls.clear()
    assert by(stage, None)["changed"] is False
    assert stage.changes() == []
    assert by(stage, HOUR)["error"] == NO_END
    assert ends(stage) == (None, None)


def test_an_end_that_has_passed_counts_from_now(stage: Stage) -> None:
    """The node still exists, for whatever reason."""
    ending(stage, END, END)
    by(stage, HOUR, now=END + 100)
    assert ends(stage) == (END + 100 + HOUR,) * 2


@pytest.mark.parametrize(("in_record", "in_tag"), [(END, END - 60), (END - 60, END), (END, None), (None, END)])
def test_the_later_of_two_ends_is_extended_and_both_are_the_same_afterwards(
    stage: Stage, in_record: float | None, in_tag: float | None
) -> None:
    ending(stage, in_record, in_tag)
    by(stage, HOUR)
    assert ends(stage) == (END + HOUR, END + HOUR)


@pytest.mark.parametrize(("in_record", "in_tag"), [(END, END - 60), (END, None), (None, END)])
def test_both_ends_are_removed(stage: Stage, in_record: float | None, in_tag: float | None) -> None:
    ending(stage, in_record, in_tag)
    by(stage, None)
    assert ends(stage) == (None, None)


def test_a_plan_changes_nothing(stage: Stage) -> None:
    ending(stage, END, END)
    entry = by(stage, HOUR, test=True)
    assert (entry["result"], entry["action"]) == (None, "extend")
    assert (entry["before"], entry["ends"]) == ("2026-11-30T19:06:40+00:00", "2026-11-30T20:06:40+00:00")
    assert by(stage, None, test=True)["ends"] is None
    assert (ends(stage), stage.changes(), stage.journal.exists(), stage.events()) == ((END, END), [], False, [])
    ending(stage, None, None)
    assert by(stage, None, test=True)["action"] == "none"
    assert by(stage, HOUR, test=True)["error"] == NO_END


def test_an_end_stays_within_the_dates_that_can_be_written(stage: Stage) -> None:
    ending(stage, END, 253_402_300_000.0)
    assert by(stage, 10**9)["ends"] == "9999-12-31T23:59:59+00:00"


@pytest.mark.parametrize("seconds", [HOUR, None])
def test_a_store_that_fails_after_the_change_never_shortens_the_life(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, seconds: float | None
) -> None:
    ending(stage, END, END)

    def down(*_: Any) -> None:
        raise EnvironmentFault("the store is down")

    with monkeypatch.context() as patch:
        patch.setattr(stage.store, "put", down)
        entry = by(stage, seconds)
    assert entry["result"] is False
    assert entry["error"] == f"the store is down; {UNSURE}"
    found = end_of(stage.record(), stage.instance())
    assert found is not None
    assert found >= END
    assert found == (END if seconds is None else END + HOUR)
    lost = record_of(stage.instance(), stage.driver.provider, stage.context.info)
    assert lost.ends is None or lost.ends >= END, "also if the record is lost now"
    by(stage, seconds)
    assert ends(stage) == ((None, None) if seconds is None else (END + 2 * HOUR, END + 2 * HOUR))


@EACH
@pytest.mark.parametrize("seconds", [HOUR, None])
def test_a_provider_that_refuses_leaves_the_record_as_it_was(stage: Stage, seconds: float | None) -> None:
    ending(stage, END, END)
    stage.cloud.faults.add(Fault("(?!GET).*", "", status=403))
    entry = by(stage, seconds)
    assert (entry["result"], stage.record().ends) == (False, END)
    found = end_of(stage.record(), stage.instance())
    assert found == END
    assert by(stage, seconds)["result"] is True


def test_a_node_of_another_master_is_left_alone(stage: Stage) -> None:
    ending(stage, END, END)
    owner = stage.driver.master.owner
    driver: Any = stage.driver
    driver.master = dataclasses.replace(driver.master, owner="fedcba9876543210")
    assert "does not have the tag of this master" in by(stage, HOUR)["error"]
    driver.master = dataclasses.replace(driver.master, owner=owner)
    assert ends(stage) == (END, END)


@EACH
def test_resize_tags_and_protection_keep_the_end_and_the_digest(stage: Stage) -> None:
    ending(stage, END, END)
    stage.store.put(dataclasses.replace(stage.record(), digest=DIGEST))
    size = SIZES[stage.driver.provider.driver]
    assert stage.do(resize.resize(size, test=False))[0][ID]["result"] is True
    assert stage.do(tagging.set_tags(TagChange({"team": "blue"}, ["stage"]), test=False))[0][ID]["result"] is True
    drivers = {stage.driver.provider.name: stage.driver}
    assert protection.change({ID: stage.record()}, drivers, stage.context, on=True)[0][ID]["result"] is True
    assert ends(stage) == (END, END)
    assert (stage.record().digest, stage.record().size) == (DIGEST, size)
