"""
Move the end of nodes that have one, which the setting ``ttl`` gives them, or remove it.

The tag at the provider changes first and the record second, and the later end of the two counts: a change that was
interrupted does not let a node end earlier.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hart_salt.base import concurrency
from hart_salt.base.errors import Refused
from hart_salt.config.durations import words
from hart_salt.inventory.ends import end_of
from hart_salt.inventory.journal import iso
from hart_salt.model import LAST_SECOND
from hart_salt.operations.verbs import Nodes, Target, Verb

NO_END = "it has no end that could be extended: only a node that was created with the setting ttl has one"
UNSURE = "its end may have changed at the provider only, where it counts if it is later; hart.show shows it"


@dataclass(frozen=True)
class Extension:
    """How much later nodes end, in seconds; None: they never end."""

    seconds: float | None
    clock: Callable[[], float] = time.time

    def of(self, ends: float | None) -> float | None:
        """
        Return the new end of a node, from its present one.

        It counts from the present end, and from now if that has passed. Raises ``Refused`` if the node has no end.
        """
        if self.seconds is None:
            return None
        if ends is None:
            raise Refused(NO_END)
        return float(min(math.ceil(max(self.clock(), ends) + self.seconds), LAST_SECOND))


def extend(extension: Extension, *, test: bool) -> Verb:
    """Return the verb that moves or removes the end of a node."""
    work = functools.partial(_plan if test else _extend, extension=extension)
    by = "never" if extension.seconds is None else words(extension.seconds)
    return Verb("extend", "extended", work, test, details={"by": by})


async def _plan(nodes: Nodes, target: Target, *, extension: Extension) -> dict[str, Any]:
    before = end_of(target.record, target.instance)
    ends = extension.of(before)
    return {"action": "none" if ends == before else "extend", "ends": _shown(ends), "before": _shown(before)}


async def _extend(nodes: Nodes, target: Target, *, extension: Extension) -> dict[str, Any]:
    before = end_of(target.record, target.instance)
    ends = extension.of(before)
    if ends != before:
        target.done = UNSURE
        await concurrency.uninterrupted(_move(nodes, target, ends))
    return {"changed": ends != before, "ends": _shown(ends), "before": _shown(before)}


async def _move(nodes: Nodes, target: Target, ends: float | None) -> None:
    await nodes.change(target, target.driver.set_end, ends)
    await nodes.remember(target, ends=ends)


def _shown(ends: float | None) -> str | None:
    return None if ends is None else iso(ends, "seconds")
