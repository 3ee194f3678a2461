"""Which nodes a timeline has, and where their seconds come from."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import Refused
from hart_salt.inventory.journal import Entry
from hart_salt.inventory.records import Record
from hart_salt.operations.timeline import FORMER, timeline
from hart_salt.reports.lives import DONE, FAILED
from tests.unit.inventory.lease_world import RECORD
from tests.unit.reports.samples import BATCH, SECONDS
from tests.unit.reports.test_lives import LOG

OTHER = "6b0d289a000000"


def record(minion_id: str, batch: str = BATCH, **changes: object) -> Record:
    made = replace(RECORD, minion_id=minion_id, batch=batch, role="app", stage="ready", seconds=SECONDS, created=5.0)
    return replace(made, **changes)  # type: ignore[arg-type]


def records(*those: Record) -> dict[str, Record]:
    return {one.minion_id: one for one in those}


def test_the_record_has_the_stages_and_the_log_has_the_start_and_the_steps(tmp_path: Path) -> None:
    log = tmp_path / "elsewhere.log"
    log.write_text(LOG)
    (life,) = timeline(["a"], records(record("a", log=str(log))), tmp_path / "none").lives
    assert (life.stages, life.steps["install"], life.end, life.minion_id) == (SECONDS, 9.8, DONE, "a")
    assert life.began > 1e9


def test_a_record_is_enough(tmp_path: Path) -> None:
    (life,) = timeline(["a"], records(record("a", log=str(tmp_path / "gone.log"))), tmp_path).lives
    assert (life.stages, life.steps, life.began) == (SECONDS, {}, 5.0)


def test_the_log_of_another_node_with_the_same_id_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(LOG)
    (life,) = timeline(["a"], records(record("a", OTHER, log=str(tmp_path / "a.log"))), tmp_path).lives
    assert (life.began, life.steps) == (5.0, {})


def test_a_node_that_comes_up_has_only_its_log(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(LOG.partition("2026-11-30T07:00:31.510")[0])
    (life,) = timeline(["a"], records(record("a", seconds={}, log=str(tmp_path / "a.log"))), tmp_path).lives
    assert list(life.stages) == ["launching", "running", "bootstrapping"]


def test_a_node_without_a_record_is_found_by_its_log(tmp_path: Path) -> None:
    (tmp_path / "gone.example.com.log").write_text(LOG.replace("== enrolled", "== failed"))
    (life,) = timeline(["gone.example.com"], {}, tmp_path).lives
    assert (life.minion_id, life.end) == ("gone.example.com", FAILED)


def noted(minion_id: str, batch: str = BATCH, **changes: Any) -> Entry:
    made = Entry("create", minion_id, True, 9.0, role="app", provider="do", batch=batch, created=5.0, stages=SECONDS)
    return replace(made, **changes)


def test_a_node_without_record_and_log_is_found_in_the_journal(tmp_path: Path) -> None:
    """The log of a node that another master created is there."""
    journal = [noted("gone", OTHER), noted("gone", result=False), noted("gone", action="destroy", stages={})]
    (life,) = timeline(["gone"], {}, tmp_path, journal).lives
    assert (life.stages, life.began, life.end, life.batch) == (SECONDS, 5.0, FAILED, BATCH)
    lives = timeline([BATCH], records(record("a")), tmp_path, [*journal, noted("a", result=False)]).lives
    assert {life.minion_id: life.end for life in lives} == {"a": DONE, "gone": FAILED}


def test_former_nodes_of_the_same_role_are_compared(tmp_path: Path) -> None:
    journal = [noted("b", OTHER), noted("c", OTHER, role="db"), noted("d", OTHER, result=False), noted("a", OTHER)]
    assert set(timeline(["a"], records(record("a")), tmp_path, journal).others) == {"b"}
    many = [noted(f"b{number}", OTHER) for number in range(FORMER + 50)]
    assert len(timeline(["a"], records(record("a")), tmp_path, many).others) == FORMER


def test_a_batch_has_its_nodes_also_those_that_failed(tmp_path: Path) -> None:
    (tmp_path / "failed.log").write_text(LOG.replace("== enrolled", "== failed"))
    (tmp_path / "other.log").write_text(LOG.replace(BATCH, OTHER))
    (tmp_path / "no-life.log").write_text("nothing")
    found = timeline([BATCH], records(record("a"), record("b", OTHER)), tmp_path)
    assert (found.of, {life.minion_id for life in found.lives}) == (f"batch {BATCH}", {"a", "failed"})


def test_logs_from_before_a_batch_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "failed.log").write_text(LOG)
    os.utime(tmp_path / "failed.log", (1e9, 1e9))
    assert {life.minion_id for life in timeline([BATCH], records(record("a")), tmp_path).lives} == {"a"}


def test_the_slowest_node_comes_first(tmp_path: Path) -> None:
    slow = record("slow", seconds={**SECONDS, "running": 100.0})
    found = timeline([BATCH], records(record("a"), slow, record("b")), tmp_path)
    assert [life.minion_id for life in found.lives] == ["slow", "a", "b"]


def test_other_nodes_of_the_same_role_and_provider_are_compared(tmp_path: Path) -> None:
    known = records(
        record("a"), record("b", OTHER), record("c", OTHER, role="db"), record("d", OTHER, provider="elsewhere"),
        record("e", OTHER, seconds={}),
    )  # fmt: skip
    found = timeline(["a"], known, tmp_path)
    assert (set(found.others), found.others_are) == ({"b"}, "role app at do")
    assert timeline(["a", "c"], known, tmp_path).others == {}, "of different roles nothing is comparable"
    assert (
        timeline(["a"], records(record("a", role=None), record("b", role=None)), tmp_path).others_are == "no role at do"
    )


def test_nodes_of_which_nothing_is_known_are_named_beside_the_others(tmp_path: Path) -> None:
    found = timeline(["a", "imported"], records(record("a"), record("imported", seconds={})), tmp_path)
    assert [life.minion_id for life in found.lives] == ["a"]
    assert found.notes == ["imported: neither the record nor a log on this machine has the stages"]
    assert found.of == "a, imported"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("webb1", "webb1: there is neither a record nor a log of a node with this id, did you mean web1?"),
     ("nope", "neither a record nor a log of a node with this id, and it is no batch"),
     ("../etc/passwd", "may hold only letters"),
     (BATCH, f"{BATCH}: no record and no log on this machine is of this batch"),
     ("imported", "imported: there is no timeline, because hart did not create it")],
)  # fmt: skip
def test_a_name_of_which_nothing_is_known_is_refused(tmp_path: Path, name: str, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence.replace("?", r"\?")):
        timeline([name], records(record("web1", OTHER), record("imported", OTHER, seconds={})), tmp_path)


def test_a_title_names_a_few_of_many(tmp_path: Path) -> None:
    known = records(*(record(f"web{number}", OTHER) for number in range(9)))
    assert timeline(list(known), known, tmp_path).of == "web0, web1, web2, web3, web4 and 4 more"
    assert timeline(["web1", OTHER], known, tmp_path).of == f"web1, batch {OTHER}"
