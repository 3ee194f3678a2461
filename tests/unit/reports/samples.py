"""Nodes for the tests of reports."""

from __future__ import annotations

from dataclasses import replace

from hart_salt.reports.lives import FAILED, Life, Span, spans_of
from hart_salt.reports.timeline import Timeline

SECONDS = {
    "launching": 20.0, "running": 1.5, "bootstrapping": 12.0, "enrolling": 0.25, "enrolled": 6.0, "ready": 0.75,
}  # fmt: skip
STEPS = {"ssh": 0.1, "trust": 0.05, "key": 0.4, "install": 10.5, "hand-over": 0.01}
BATCH = "6b0d289a407e79"
BEGAN = 1796000000.0
#: what an attacker would like to be on a page
HOSTILE = "<script>alert(1)</script>\"'><img src=http://evil.example.com/x onerror=alert(2)>&amp;{{ 7*7 }}\u202egnp"


def life(number: int = 1, slower: float = 1.0, **changes: object) -> Life:
    spans = spans_of({stage: seconds * slower for stage, seconds in SECONDS.items()})
    made = Life(f"web{number}.example.com", BEGAN + number % 7, spans, batch=BATCH, steps=STEPS)
    return replace(made, **changes)  # type: ignore[arg-type]


def failed(number: int = 1) -> Life:
    return life(number, spans=(Span("launching", 0.0, 20.0), Span("running", 20.0, 300.0)), end=FAILED, steps={})


def timeline(count: int = 3) -> Timeline:
    lives = [life(number, 1 + number % 10 / 10) for number in range(1, count + 1)]
    slowest = sorted(lives, key=lambda one: -one.seconds)
    return Timeline(f"batch {BATCH}" if count > 1 else "web1.example.com", slowest)
