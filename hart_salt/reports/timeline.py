"""The timeline: where the seconds of some nodes went, as data and as a page."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hart_salt.base.gate import Gate
from hart_salt.reports import charts
from hart_salt.reports.blocks import Column, Figure, Table
from hart_salt.reports.charts import Bar, Chart, Key
from hart_salt.reports.lives import DONE, FAILED, STAGES, Life
from hart_salt.reports.measures import Measure, in_order, measures, percentile
from hart_salt.reports.page import date, render

SHOWN = 40  #: the most nodes in a picture: the slowest
STEP = 20  #: characters of the name of a step in a picture
FAILURES = 10  #: the most failed nodes that are listed by name

#: each stage in plain words, and what happens in it
WORDS: Mapping[str, tuple[str, str]] = {
    "launching": ("boot", "create the instance and wait until it runs"),
    "running": ("connect", "connect over SSH to the node's one-time host key"),
    "bootstrapping": ("install", "run the bootstrap script"),
    "enrolling": ("accept key", "accept the minion's key on the master"),
    "enrolled": ("start", "start salt-minion and wait for its answer"),
    "ready": ("seal", "run the operator's script and remove all temporary access"),
    "applying": ("apply", "apply states"),
    "generalising": ("clean", "remove what belongs to this one node"),
    "imaging": ("image", "wait until the provider has made the image"),
    "baked": ("complete", "mark the image as complete"),
    "destroying": ("destroy", "destroy the node of the bake"),
    "copying": ("copy", "copy the image to other regions"),
}


@dataclass(frozen=True)
class Timeline:
    """The lives of some nodes, the slowest first, and what to compare them with."""

    #: such as ``batch 6a1b2c3d4e5f60`` or a minion id
    of: str
    lives: Sequence[Life]
    #: the seconds of other nodes in each stage, by minion id
    others: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    #: which nodes these are, such as ``role app at do``
    others_are: str = ""
    #: sentences about what could not be shown
    notes: Sequence[str] = ()

    @property
    def began(self) -> float:
        """When the first node began, in seconds since the epoch."""
        return min(life.began for life in self.lives)

    @property
    def seconds(self) -> float:
        """The seconds from the start of the first node to the end of the last one."""
        return max(life.began + life.seconds for life in self.lives) - self.began

    @property
    def stages(self) -> list[Measure]:
        """The measure of each stage, of the nodes that got through it."""
        return measures({life.minion_id: finished(life) for life in self.lives})

    @property
    def steps(self) -> list[Measure]:
        """The measure of each step of the bootstrap."""
        return measures({life.minion_id: life.steps for life in self.lives if life.steps})


def finished(life: Life) -> dict[str, float]:
    """Return the seconds of the stages that the node completed: not of the one in which it failed or still is."""
    left = () if life.end == DONE else {life.spans[-1].stage}
    return {stage: spent for stage, spent in life.stages.items() if stage not in left}


def data(timeline: Timeline) -> dict[str, Any]:
    """Return the timeline as plain data. Times are in seconds."""
    return {
        "nodes": {
            life.minion_id: {
                "end": life.end,
                "began": round(life.began - timeline.began, 3),
                "total": round(life.seconds, 3),
                "seconds": {stage: round(spent, 3) for stage, spent in life.stages.items()},
                "steps": dict(life.steps),
            }
            for life in timeline.lives
        },
        "stages": {one.name: _plain(one) for one in timeline.stages},
        "steps": {one.name: _plain(one) for one in timeline.steps},
        "total": round(timeline.seconds, 3),
    }


def _plain(measure: Measure) -> dict[str, Any]:
    numbers = {name: round(getattr(measure, name), 3) for name in ("median", "p90", "slowest")}
    return {**numbers, "node": measure.node}


def page(timeline: Timeline, gate: Gate, now: float) -> str:
    """Return the page of a timeline. ``now`` is in seconds since the epoch."""
    lives = timeline.lives
    failed = [life for life in lives if life.end == FAILED]
    return render(
        "timeline.html.j2", gate, now,
        title=f"Where the seconds went: {timeline.of}",
        subtitle=_subtitle(timeline),
        figures=_figures(timeline),
        sentences=_sentences(timeline),
        failures=_failures(failed),
        notes=timeline.notes,
        nodes=_nodes_chart(timeline),
        stages=_stage_table(timeline),
        steps=_steps_chart(timeline),
        numbers=_numbers(timeline),
    )  # fmt: skip


def word(stage: str) -> str:
    """Return a stage in plain words."""
    return WORDS[stage][0] if stage in WORDS else stage


def result(end: str, stages: Collection[str]) -> str:
    """Return how a life with these stages ended, in a word."""
    good = "baked" if "imaging" in stages else "ready"
    return {DONE: good, FAILED: "failed"}.get(end, "unfinished")


def style(stage: str) -> str:
    """Return the class of a stage in the style sheet."""
    return stage if stage in WORDS else "other"


def _subtitle(timeline: Timeline) -> str:
    batches = sorted({life.batch for life in timeline.lives if life.batch})
    batch = f", batch {batches[0]}" if len(batches) == 1 and batches[0] not in timeline.of else ""
    return f"{_number(len(timeline.lives), 'node')}, started on {date(timeline.began)}{batch}"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _figures(timeline: Timeline) -> list[Figure]:
    lives = timeline.lives
    done = [life.seconds for life in lives if life.end == DONE]
    failed, unfinished = (sum(life.end == end for life in lives) for end in (FAILED, "unfinished"))
    single = len(lives) == 1
    found = [Figure("in all" if single else "from the first start to the last end", charts.seconds(timeline.seconds))]
    goal = result(DONE, lives[0].stages)
    found += [Figure(goal, "yes" if single else f"{len(done)}", "good")] if done else []
    found += [Figure("failed", "yes" if single else f"{failed}", "bad")] if failed else []
    found += [Figure("unfinished", "yes" if single else f"{unfinished}", "warn")] if unfinished else []
    if len(done) > 1:
        found += [
            Figure("median of a node", charts.seconds(statistics.median(done))),
            Figure("nine of ten nodes within", charts.seconds(percentile(done, 90))),
            Figure("slowest node", charts.seconds(max(done))),
        ]
    return found


def _sentences(timeline: Timeline) -> list[str]:
    stages = timeline.stages
    found = []
    if stages:
        whole = sum(one.median for one in stages)
        most = max(stages, key=lambda one: one.median)
        share = charts.percent(most.median, whole)
        found += [
            f"Most of the time went into “{word(most.name)}” ({_meaning(most.name)}): {charts.seconds(most.median)}"
            f"{_median(timeline.lives)}, {share:.0f}\N{NO-BREAK SPACE}% of the time of a node."
        ]
    if timeline.others:
        total = statistics.median(sum(one.values()) for one in timeline.others.values())
        found += [
            f"For comparison: {_number(len(timeline.others), 'other node')} of {timeline.others_are} took "
            f"{charts.seconds(total)}{_median(timeline.others)}."
        ]
    if len(timeline.lives) > SHOWN:
        found += [
            f"The picture and the last table show the {SHOWN} slowest of {len(timeline.lives)} nodes; all other "
            "numbers are of all nodes."
        ]
    return found


def _median(nodes: Collection[Any]) -> str:
    return "" if len(nodes) == 1 else " (median)"


def _meaning(stage: str) -> str:
    return WORDS[stage][1] if stage in WORDS else stage


def _failures(failed: Sequence[Life]) -> list[str]:
    found = [
        f"{life.minion_id} failed in “{word(life.spans[-1].stage)}” after {charts.seconds(life.seconds)}, with its "
        "rollback"
        for life in failed[:FAILURES]
    ]
    left = len(failed) - FAILURES
    return [*found, f"and {_number(left, 'more node')}"] if left > 0 else found


def _nodes_chart(timeline: Timeline) -> Chart:
    lives, stages = timeline.lives[:SHOWN], timeline.stages
    averages: list[tuple[str, Mapping[str, float]]] = []
    if len(timeline.lives) > 1 and stages:
        averages += [(f"Median of {_number(len(timeline.lives), 'node')}", {one.name: one.median for one in stages})]
    if timeline.others:
        of_others = {one.name: one.median for one in measures(timeline.others)}
        averages += [(f"Median of {_number(len(timeline.others), 'other node')}", of_others)]
    ends = [life.began - timeline.began + life.seconds for life in lives]
    whole = max([*ends, *(sum(seconds.values()) for _, seconds in averages)])
    bars = [_average(label, seconds, whole) for label, seconds in averages]
    bars += [_bar(life, life.began - timeline.began, whole) for life in lives]
    used = in_order([stage for life in lives for stage in life.stages] + [one.name for one in stages])
    return Chart(
        "nodes", "Seconds of each node in each stage",
        f"A bar for each of {_number(len(lives), 'node')}, one part for each stage; the tables below have the same "
        "numbers.",
        bars, charts.ticks(whole, " s"), [Key(style(stage), word(stage), _meaning(stage)) for stage in used],
    )  # fmt: skip


def _average(label: str, seconds: Mapping[str, float], whole: float) -> Bar:
    at, parts = 0.0, []
    for stage in in_order(seconds):
        parts.append(_part(stage, at, seconds[stage], whole))
        at += seconds[stage]
    return Bar(label, charts.seconds(at), parts, label, "average")


def _bar(life: Life, offset: float, whole: float) -> Bar:
    parts = [_part(span.stage, offset + span.begin, span.seconds, whole) for span in life.spans]
    spent = charts.seconds(life.seconds)
    value = {DONE: spent, FAILED: f"failed: {spent}"}.get(life.end, f"unfinished: {spent}")
    return Bar(charts.label(life.minion_id), value, parts, life.minion_id, "failed" if life.end == FAILED else "node")


def _part(stage: str, begin: float, spent: float, whole: float) -> charts.Part:
    title = f"{word(stage)} ({stage}): {charts.seconds(spent)}, from {charts.seconds(begin)} on"
    return charts.part(begin, spent, whole, style(stage), title, charts.seconds(spent))


def _stage_table(timeline: Timeline) -> Table:
    stages = timeline.stages
    whole = sum(one.median for one in stages)
    of_others = {one.name: one.median for one in measures(timeline.others)}
    single = len(timeline.lives) == 1
    names = ["seconds"] if single else ["median", "nine of ten within", "slowest"]
    names += ["other nodes"] if of_others else []
    columns = [Column("stage"), *(Column(name, number=True) for name in [*names, "share"])]
    rows = []
    for one in stages:
        numbers = [one.median] if single else [one.median, one.p90, one.slowest]
        cells = [charts.seconds(number) for number in numbers]
        cells += [_or_dash(of_others.get(one.name))] if of_others else []
        row = [f"{word(one.name)} ({one.name})", *cells, f"{charts.percent(one.median, whole):.0f} %"]
        rows.append([*row, _meaning(one.name) if single else one.node])
    columns += [Column("what happens", long=True) if single else Column("slowest node")]
    return Table("Seconds in each stage, of the nodes that completed it", columns, rows)


def _or_dash(number: float | None) -> str:
    return "–" if number is None else charts.seconds(number)


def _steps_chart(timeline: Timeline) -> Chart | None:
    steps = timeline.steps
    if not steps:
        return None
    single = len(timeline.lives) == 1
    whole = max(one.median if single else one.slowest for one in steps)
    bars = []
    for one in steps:
        spent = charts.seconds(one.median)
        value = spent if single else f"median {spent}, slowest {charts.seconds(one.slowest)}"
        parts = (
            []
            if single
            else [charts.part(one.median, one.slowest - one.median, whole, "running", f"{one.name}: {value}")]
        )
        parts += [charts.part(0, one.median, whole, "bootstrapping", f"{one.name}: {value}")]
        bars.append(Bar(charts.label(one.name, STEP), value, parts, one.name))
    legend = [] if single else [Key("bootstrapping", "median"), Key("running", "up to the slowest node")]
    return Chart(
        "steps", "Seconds of each step of the bootstrap script",
        "; ".join(f"{bar.label}: {bar.value}" for bar in bars), bars, charts.ticks(whole, " s"), legend,
    )  # fmt: skip


def _numbers(timeline: Timeline) -> Table:
    lives = timeline.lives[:SHOWN]
    stages = in_order(stage for life in lives for stage in life.stages)
    columns = [Column("node"), *(Column(word(stage), number=True) for stage in stages)]
    columns += [Column("total", number=True), Column("result")]
    rows = [
        [life.minion_id, *(_or_dash(life.stages.get(stage)) for stage in stages), charts.seconds(life.seconds),
         result(life.end, life.stages)]
        for life in lives
    ]  # fmt: skip
    return Table("Seconds of each node in each stage", columns, rows)


__all__ = ["STAGES", "WORDS", "Timeline", "data", "page"]
