"""
What the ready nodes of a fleet answer to the metric of its autoscaling.

The master asks, in one job, and attributes each answer to the minion that gave it. Events count for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hart_salt.base.text import one_line
from hart_salt.config.autoscale import Metric
from hart_salt.config.durations import words
from hart_salt.fleets.autoscale import usable
from hart_salt.master.minions import Call, Returned

GRAIN = "num_cpus"
MOST_CPUS = 65536  #: a larger number of CPUs is an error
MOST_SHOWN = 80  #: characters of an answer in a note
MOST_REASON = 200  #: characters of the reason of a failure in a note
MOST_NAMED = 5  #: nodes in a note; the others are counted
_NUMBER = re.compile(r"\+?[0-9]{1,15}(\.[0-9]{1,30})?")


class Asked(Protocol):
    """What asks minions: the ``minions`` of ``master.client.Master``."""

    def call_all(self, minion_ids: Sequence[str], calls: Sequence[Call], timeout: float) -> dict[str, list[Returned]]:
        """Call functions on several minions in one job."""


@dataclass(frozen=True)
class Measured:
    """The reading of each node, None without a usable one, and sentences about those."""

    readings: Mapping[str, float | None]
    notes: tuple[str, ...] = ()


def measure(minions: Asked, metric: Metric, minion_ids: Sequence[str]) -> Measured:
    """Return what the minions answer, at most ``metric.timeout`` seconds after the question."""
    if not minion_ids:
        return Measured({})
    asked = Call(metric.function, metric.args, metric.kwargs)
    calls = [_cpus(metric.function), asked] if metric.per else [asked]
    answers = minions.call_all(minion_ids, calls, metric.timeout)
    readings: dict[str, float | None] = {}
    wrong: list[str] = []
    for name in minion_ids:
        readings[name] = None
        if name in answers:
            readings[name], problem = _reading(metric, answers[name])
            wrong += [f"{name} {problem}"] if problem else []
    return Measured(readings, (*_silent(minion_ids, answers, metric), *_shortened(wrong)))


def _cpus(function: str) -> Call:
    """Return the call for the number of CPUs; in one job, all functions must differ."""
    return Call("grains.get" if function == "grains.item" else "grains.item", [GRAIN])


def _reading(metric: Metric, returned: Sequence[Returned]) -> tuple[float | None, str]:
    """Return the reading of one minion, or None and what is wrong with its answer."""
    answer = returned[-1]
    if not answer.ok:
        return None, f"failed at {metric.function}: {_why(answer.value)}"
    number = number_of(value_at(answer.value, metric.key))
    if number is None and metric.key is not None and not isinstance(answer.value, str | int | float):
        return None, f"answered no number under {metric.key} for {metric.function}"
    if number is None:
        return None, f"answered {_shown(answer.value)} for {metric.function}"
    if not metric.per:
        return number, ""
    grains = returned[0].value
    cpus = grains.get(GRAIN) if isinstance(grains, Mapping) else grains
    if isinstance(cpus, bool) or not isinstance(cpus, int) or not 0 < cpus <= MOST_CPUS:
        return None, f"has no number of CPUs: its grain {GRAIN} is {_shown(cpus)}"
    return number / cpus, ""


def value_at(answer: Any, key: str | None) -> Any:
    """Return the part of an answer at a path such as ``eth0:rx_bytes``; None if there is none."""
    for part in key.split(":") if key else ():
        number = int(part) if re.fullmatch(r"\d{1,9}", part) else -1
        if isinstance(answer, Mapping):
            answer = answer.get(part, answer.get(number))
        else:
            answer = answer[number] if isinstance(answer, list) and 0 <= number < len(answer) else None
    return answer


def number_of(value: Any) -> float | None:
    """Return a number of at least 0, also from a text with its digits; None if the answer is no such number."""
    if isinstance(value, str):
        return usable(float(value)) if len(value) <= MOST_SHOWN and _NUMBER.fullmatch(value.strip()) else None
    return usable(value)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f"'{text}'" if (text := one_line(value, MOST_SHOWN)) else "an empty text"
    if value is None or isinstance(value, bool | float):
        return str(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 10**18 else "a very large number"
    return "a mapping" if isinstance(value, Mapping) else "a list" if isinstance(value, list) else "another value"


def _why(value: Any) -> str:
    """Return why a function failed: of a traceback, the last line."""
    lines = [line for line in value.splitlines() if line.strip()] if isinstance(value, str) else []
    if not lines:
        return _shown(value)
    return one_line(lines[-1] if lines[0].startswith("Traceback") else str(value), MOST_REASON)


def _silent(minion_ids: Sequence[str], answers: Mapping[str, Any], metric: Metric) -> list[str]:
    missing = [name for name in minion_ids if name not in answers]
    if not missing:
        return []
    more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
    return [f"{', '.join(missing[:MOST_NAMED])}{more} did not answer {metric.function} within {words(metric.timeout)}"]


def _shortened(sentences: Sequence[str]) -> list[str]:
    if len(sentences) <= MOST_NAMED:
        return list(sentences)
    return [*sentences[:MOST_NAMED], f"{len(sentences) - MOST_NAMED} more nodes answered no usable number"]
