"""
The settings of a fleet's autoscaling: ``hart:fleets:<name>:autoscale``.

They are those of Kubernetes' HorizontalPodAutoscaler, with its defaults; ``hart_salt/fleets/autoscale.py`` says what it
does with them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator

from hart_salt.config.durations import Duration, DurationOrZero
from hart_salt.config.settings import Section, Text, Whole, as_number, as_plain, as_text, problem
from hart_salt.config.week import Moment, as_moment

_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
#: the longest ``up_after``, ``down_after`` and ``warm_up``, in seconds: what is remembered of a fleet has a bound
LONGEST_WINDOW = 86400.0
#: the longest time to wait for the minions, in seconds: the fleet is not looked at in this time
LONGEST_TIMEOUT = 120.0


def as_function(value: Any) -> str:
    """Return the name of an execution function, such as ``status.loadavg``."""
    name = as_text(value)
    if not _FUNCTION.fullmatch(name):
        raise problem("must be the name of an execution function, such as status.loadavg")
    return name


def as_arguments(value: Any) -> list[Any]:
    """Return the positional arguments of a function."""
    if not isinstance(value, list | tuple):
        raise problem("must be a list")
    arguments: list[Any] = as_plain(value)
    return arguments


def as_keywords(value: Any) -> dict[str, Any]:
    """Return the named arguments of a function."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) and name.isidentifier() for name in value):
        raise problem("must be a mapping of names to values")
    keywords: dict[str, Any] = as_plain(value)
    return keywords


def as_target(value: Any) -> float:
    """Return a number above 0."""
    value = as_number(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1e12:
        raise problem("must be a number above 0, such as 0.6")
    return float(value)


def as_tolerance(value: Any) -> float:
    """Return a number from 0 to below 1."""
    value = as_number(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value < 1:
        raise problem("must be a number from 0 to below 1, such as 0.1 for 10 percent")
    return float(value)


class Metric(Section):
    """What each minion of the fleet is asked for."""

    function: Annotated[str, PlainValidator(as_function)] = Field(
        description="The execution function that the master calls on each ready node, such as `status.loadavg`. It "
        "must return a number of at least 0, or something that has one under `key`.",
    )
    args: Annotated[list[Any], PlainValidator(as_arguments)] = Field(
        default_factory=list, description="The positional arguments of `function`."
    )
    kwargs: Annotated[dict[str, Any], PlainValidator(as_keywords)] = Field(
        default_factory=dict, description="The named arguments of `function`."
    )
    key: Text | None = Field(
        None,
        description="Where in the answer the number is: the keys, with colons between them, such as `1-min` or "
        "`eth0:rx_bytes`. Without it, the answer must be a number.",
    )
    per: Literal["cpu"] | None = Field(
        None, description="`cpu` divides the number by the minion's number of CPUs, its grain `num_cpus`."
    )
    timeout: Duration = Field(
        15.0,
        description="How long to wait for the answers. A node without an answer by then counts as silent. At most 2m.",
    )

    def faults(self) -> list[tuple[str, str]]:
        """Return what is too long."""
        return [("timeout", "must be at most 2m")] if self.timeout > LONGEST_TIMEOUT else []


class Minimum(Section):
    """A minimum that holds from a time of the week until that of the next entry."""

    at: Annotated[Moment, PlainValidator(as_moment)] = Field(
        description="When it begins: a time of the week, such as `Mon-Fri 08:00` or `Sat 06:00 Europe/Berlin`."
    )
    min: Annotated[Whole, Field(ge=0)] = Field(
        description="The least number of nodes from then on. It raises the fleet's own `min`, and never lowers it."
    )


class Autoscale(Section):
    """How the number of nodes of a fleet follows its load."""

    metric: Metric = Field(description="What each minion of the fleet is asked for; see below.")
    target: Annotated[float, PlainValidator(as_target)] = Field(
        description="What the metric should be on each node, on average: above it the fleet grows, below it shrinks."
    )
    tolerance: Annotated[float, PlainValidator(as_tolerance)] = Field(
        0.1, description="How far the average can be from the target before anything changes: 0.1 is 10 percent."
    )
    up_after: DurationOrZero = Field(
        0.0,
        description="The fleet grows only as far as the load has asked for during all of this time: the smallest "
        "number of nodes counts. At most 1d.",
    )
    down_after: DurationOrZero = Field(
        300.0,
        description="The fleet shrinks only as far as the load has allowed during all of this time: the largest number "
        "of nodes counts. At most 1d.",
    )
    cooldown: DurationOrZero = Field(0.0, description="The shortest time between two changes of the number.")
    warm_up: DurationOrZero = Field(
        180.0,
        description="How old a node must be until its answer counts, from its creation on: a new node is busy with its "
        "own start, which is no load of the fleet. At most 1d.",
    )
    minimums: list[Minimum] = Field(
        default_factory=list,
        description="Minimums by the time of the week; the entry whose time was last holds. See below.",
    )

    def faults(self) -> list[tuple[str, str]]:
        """Return what is too long."""
        windows = {"up_after": self.up_after, "down_after": self.down_after, "warm_up": self.warm_up}
        return [(name, "must be at most 1d") for name, seconds in windows.items() if seconds > LONGEST_WINDOW]

    def scheduled(self, now: float) -> int:
        """Return the scheduled minimum at ``now``, in seconds since the epoch; 0 without any."""
        if not self.minimums:
            return 0
        begun = max(entry.at.last(now) for entry in self.minimums)
        return max(entry.min for entry in self.minimums if entry.at.last(now) == begun)

    def above(self, high: int) -> list[tuple[str, str]]:
        """Return a fault for each scheduled minimum above the fleet's ``max``: its setting, and what is wrong."""
        return [
            (f"minimums:{number}:min", f"is above the fleet's max, {high}")
            for number, entry in enumerate(self.minimums)
            if entry.min > high
        ]
