"""The log of a node as the stages and steps of its creation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.gate import Gate
from hart_salt.node.progress import Progress
from hart_salt.reports import lives
from hart_salt.reports.lives import DONE, FAILED, UNFINISHED, Life, last_life, read_life, spans_of

BATCH = "6b0d289a407e79"
LOG = f"""\
2026-11-30T07:00:00.000+00:00 hart: batch {BATCH}
2026-11-30T07:00:00.010+00:00 == launching at 0.50 s
2026-11-30T07:00:20.010+00:00 == running at 20.50 s
2026-11-30T07:00:21.010+00:00 == bootstrapping at 21.50 s
2026-11-30T07:00:21.110+00:00 hart: ssh
2026-11-30T07:00:21.110+00:00 hart: ssh took 0.31 s
2026-11-30T07:00:31.110+00:00 hart: install took 9.80 s
2026-11-30T07:00:31.510+00:00 == enrolled at 32.00 s
2026-11-30T07:00:35.510+00:00 == done at 36.00 s
"""


def life_of(text: str) -> Life:
    life = last_life("a", text.splitlines())
    assert life is not None
    return life


def test_the_stages_begin_with_launching_and_follow_one_another() -> None:
    life = life_of(LOG)
    assert life.stages == {"launching": 20.0, "running": 1.0, "bootstrapping": 10.5, "enrolled": 4.0}
    assert [span.begin for span in life.spans] == [0.0, 20.0, 21.0, 31.5]
    assert (life.seconds, life.end, life.batch) == (35.5, DONE, BATCH)
    assert life.steps == {"ssh": 0.31, "install": 9.8}


def test_a_failed_node_ends_in_the_stage_in_which_it_failed() -> None:
    life = life_of(LOG.replace("== enrolled", "== failed"))
    assert (life.end, life.spans[-1].stage, life.seconds) == (FAILED, "bootstrapping", 31.5)


def test_a_node_that_still_comes_up_ends_with_its_last_line() -> None:
    life = life_of(LOG.partition("2026-11-30T07:00:31.510")[0])
    assert (life.end, life.spans[-1].stage) == (UNFINISHED, "bootstrapping")
    assert life.seconds == pytest.approx(31.1)


@pytest.mark.parametrize("stage", ["destroying", "destroyed"])
def test_the_end_of_a_node_by_another_call_is_no_part_of_its_creation(stage: str) -> None:
    """The other call has a clock of its own that begins at 0."""
    later = (
        f"2026-12-30T07:00:00.000+00:00 == {stage} at 0.00 s\n2026-12-30T07:00:09.000+00:00 == destroyed at 9.00 s\n"
    )
    assert life_of(LOG + later) == life_of(LOG)
    crashed = LOG.partition("2026-11-30T07:00:31.510")[0]
    assert life_of(crashed + later) == life_of(crashed)


def test_a_bake_destroys_its_own_node() -> None:
    """Its log goes on after that, while copies are made."""
    begin = LOG.partition("2026-11-30T07:00:35.510")[0]
    stages = {"generalising": 36.0, "imaging": 40.0, "baked": 60.0, "destroying": 60.5, "copying": 62.0, "done": 80.0}
    stamp = "2026-11-30T07:01:00.000+00:00"
    life = life_of(begin + "".join(f"{stamp} == {stage} at {at:.2f} s\n" for stage, at in stages.items()))
    assert life.end == DONE
    assert list(life.stages.items())[-5:] == [
        ("generalising", 4.0), ("imaging", 20.0), ("baked", 0.5), ("destroying", 1.5), ("copying", 18.0),
    ]  # fmt: skip


def test_of_two_nodes_with_one_id_the_last_one_counts() -> None:
    second = LOG.replace("07:00", "08:00").replace(BATCH, "6b0d289a407e80").replace(" 36.00 s", " 46.00 s")
    life = life_of(LOG + second)
    assert (life.seconds, life.batch) == (45.5, "6b0d289a407e80")
    assert life.began - life_of(LOG).began == 3600


def test_a_log_of_before_has_no_batch() -> None:
    assert life_of(LOG.partition("\n")[2]).batch == ""
    again = LOG + LOG.partition("\n")[2]
    assert life_of(again).batch == "", "the batch is that of the line above launching"


def test_times_never_go_back() -> None:
    life = life_of(LOG.replace("enrolled at 32.00", "enrolled at 1.00"))
    assert all(span.seconds >= 0 for span in life.spans)
    assert life.stages["bootstrapping"] == pytest.approx(10.1), "the log shows that this much time had passed"


@pytest.mark.parametrize(
    "forged",
    [
        "== ready at 99.00 s", "x == ready at 99.00 s", "hart: a<b>c took 1.00 s", f"hart: {'x' * 40} took 1.00 s",
        "hart: install took 99999999.00 s", "hart: install took nan s", "hart: batch ../../etc/passwd",
    ],
)  # fmt: skip
def test_what_a_node_prints_does_not_look_like_a_stage_or_like_anything_else(tmp_path: Path, forged: str) -> None:
    progress = Progress(str(tmp_path), Gate(), lambda tag, data: None, _Nobody())
    progress.stage("a", "launching", {})
    progress.stage("a", "bootstrapping", {})
    progress.output("a", [forged])
    progress.stage("a", "done", {})
    life = read_life(tmp_path / "a.log")
    assert life is not None
    assert (list(life.stages), life.end, life.steps, life.batch) == (["launching", "bootstrapping"], DONE, {}, "")


class _Nobody:
    def update(self, minion_id: str, stage: str, seconds: float, line: str, reason: str = "") -> None: ...
    def expect(self, *those: Any) -> None: ...
    def close(self) -> None: ...


def test_steps_are_bounded_and_never_take_longer_than_the_node() -> None:
    begin, rest = LOG.split("2026-11-30T07:00:31.510")
    many = "".join(f"2026-11-30T07:00:31.110+00:00 hart: s{'x' * number} took 0.01 s\n" for number in range(1, 30))
    assert len(life_of(f"{begin}{many}2026-11-30T07:00:31.510{rest}").steps) == lives.STEPS
    assert life_of(LOG.replace("took 9.80", "took 980.00")).steps == {}


def test_a_step_counts_only_during_the_bootstrap() -> None:
    life = life_of(LOG.replace("== bootstrapping", "== enrolling"))
    assert life.steps == {}


@pytest.mark.parametrize(
    "text", ["", "no stage\n", "x == launching at 0.00 s\n", LOG.replace("2026-11-30", "2026-99-99")]
)
def test_a_text_that_is_no_log_has_no_life(text: str) -> None:
    assert last_life("a", text.splitlines()) is None


def test_a_log_is_read_up_to_its_limit_and_a_missing_one_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "web1.example.com.log"
    path.write_text("x" * 500 + "\n" + LOG)
    monkeypatch.setattr(lives, "READ", len(LOG))
    life = read_life(path)
    assert life is not None
    assert (life.minion_id, life.seconds) == ("web1.example.com", 35.5)
    assert read_life(tmp_path / "none.log") is None
    assert read_life(tmp_path) is None


def test_the_seconds_of_a_record_follow_one_another_in_the_order_of_a_nodes_life() -> None:
    spans = spans_of({"ready": 1.0, "later": 0.5, "launching": 2.0})
    assert [(span.stage, span.begin, span.end) for span in spans] == [
        ("launching", 0.0, 2.0), ("ready", 2.0, 3.0), ("later", 3.0, 3.5),
    ]  # fmt: skip
    assert spans_of({}) == ()
    assert spans_of({"ready": -1.0})[0].seconds == 0
