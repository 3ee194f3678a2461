"""How many nodes of a role there are to be, which ones go, and in what order a fleet is renewed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hart_salt.base.errors import HartError, Interrupted, Refused
from hart_salt.inventory.records import Record
from hart_salt.result import Result

NEWEST, OLDEST = "newest", "oldest"


@dataclass(frozen=True)
class TargetSize:
    """What a call wants: a number, or more or fewer of what there is, within bounds."""

    count: int | None = None
    delta: int | None = None
    minimum: int | None = None
    maximum: int | None = None

    def check(self) -> None:
        """Raise ``Refused`` for what makes no sense together."""
        if (self.count is None) == (self.delta is None):
            raise Refused("give either count, how many nodes there are to be, or delta, how many more than now")
        if self.count is not None and (self.minimum is not None or self.maximum is not None):
            raise Refused("min and max are bounds for delta; count says the number itself")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise Refused(f"min is {self.minimum} and max is {self.maximum}: min must not be above max")

    def target(self, have: int) -> int:
        """
        How many nodes there are to be, where there are ``have``.

        Bounds hold back a delta, and never make it change the number the other way: with delta=1 and max=10, twelve
        nodes stay twelve.
        """
        if self.count is not None:
            return self.count
        assert self.delta is not None  # noqa: S101 - check() has been called
        wanted = have + self.delta
        if self.delta > 0 and self.maximum is not None:
            wanted = max(have, min(wanted, self.maximum))
        if self.delta < 0:
            wanted = min(have, max(wanted, self.minimum or 0))
        return wanted


def victims(fleet: Sequence[Record], number: int, remove: str) -> list[Record]:
    """
    Choose the nodes that go.

    fleet
        those that may go
    remove
        ``newest``, ``oldest``, or ids separated by commas, of which the first go first

    Raises ``Refused`` where ids are named that are not of the fleet, or too few.
    """
    by_age = sorted(fleet, key=lambda record: (record.created, record.minion_id))
    if remove == NEWEST:
        chosen = by_age[::-1]
    elif remove == OLDEST:
        chosen = by_age
    else:
        chosen = _named(fleet, [part.strip() for part in remove.split(",") if part.strip()])
    if len(chosen) < number:
        raise Refused(f"{number} nodes are to go, and only {len(chosen)} of them can be chosen: {remove}")
    return chosen[:number]


def _named(fleet: Sequence[Record], ids: Sequence[str]) -> list[Record]:
    by_id = {record.minion_id: record for record in fleet}
    strangers = [minion_id for minion_id in ids if minion_id not in by_id]
    if strangers:
        raise Refused(
            f"remove names {', '.join(strangers)}, which is no ready node of the role here; it may be newest, oldest, "
            "or ids of such nodes"
        )
    return [by_id[minion_id] for minion_id in dict.fromkeys(ids)]


@dataclass(frozen=True)
class Outcomes:
    """What became of some nodes; ``interrupted``: the number of the signal that ended the work."""

    data: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    ok: bool = True
    interrupted: int | None = None

    def good(self) -> list[str]:
        """The nodes of which the result is good."""
        return [minion_id for minion_id, entry in self.data.items() if isinstance(entry, dict) and entry.get("result")]


@dataclass(frozen=True)
class FleetActions:
    """What a fleet is changed with."""

    create: Callable[[int], Outcomes]
    #: runs what is to be run on nodes before they go; returns why some of them must stay
    drain: Callable[[Sequence[Record]], Mapping[str, str]]
    destroy: Callable[[Sequence[Record]], Outcomes]


@dataclass
class Changes:
    """What was done to a fleet so far."""

    created: dict[str, dict[str, Any]] = field(default_factory=dict)
    destroyed: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: nodes that stay because what was to be run on them failed, and why
    kept: dict[str, str] = field(default_factory=dict)
    #: why no more was done
    problem: str = ""
    ok: bool = True
    interrupted: int | None = None

    def add(self, actions: FleetActions, number: int) -> list[str]:
        """Create nodes; returns those that came up. Raises ``HartError`` if nothing was changed before."""
        try:
            outcomes = actions.create(number)
        except HartError as error:
            self._stop(error)
            return []
        self.created.update(outcomes.data)
        self._note(outcomes)
        return outcomes.good()

    def take(self, actions: FleetActions, records: Sequence[Record]) -> bool:
        """
        Drain nodes and destroy them; those that could not be drained stay. Returns whether all went.

        Raises ``HartError`` if nothing was changed before.
        """
        try:
            stay = actions.drain(records)
            self.kept.update(stay)
            going = [record for record in records if record.minion_id not in stay]
            outcomes = actions.destroy(going) if going else Outcomes()
        except Interrupted as signal:
            self.ok, self.interrupted, self.problem = False, signal.signum, f"{signal} while nodes were drained"
            return False
        except HartError as error:
            self._stop(error)
            return False
        self.destroyed.update(outcomes.data)
        self._note(outcomes)
        self.ok = self.ok and not stay
        return outcomes.ok and not stay

    def _stop(self, error: HartError) -> None:
        """Keep why no more is done. Raises the error if nothing was changed before: then it is all that there is."""
        if not self.any:
            raise error
        self.ok, self.problem = False, str(error)
        if isinstance(error, Interrupted):
            self.interrupted = error.signum

    def _note(self, outcomes: Outcomes) -> None:
        self.ok = self.ok and outcomes.ok
        self.interrupted = outcomes.interrupted or self.interrupted

    @property
    def number(self) -> int:
        """How many nodes there are more than before."""
        return len(Outcomes(self.created).good()) - len(Outcomes(self.destroyed).good())

    @property
    def any(self) -> bool:
        """Whether anything is different from before."""
        return bool(Outcomes(self.created).good() or Outcomes(self.destroyed).good())


def renew(old: Sequence[Record], batch: int, actions: FleetActions) -> Changes:
    """
    Replace nodes by new ones, ``batch`` at a time: the new ones are ready before as many of the old ones go.

    Stops at the first failure. By then each old node is either whole or replaced by one that is ready: there are never
    fewer than before.
    """
    changes = Changes()
    by_age = sorted(old, key=lambda record: (record.created, record.minion_id))
    for first in range(0, len(by_age), batch):
        some = by_age[first : first + batch]
        up = changes.add(actions, len(some))
        if changes.interrupted is not None:
            break
        gone = changes.take(actions, some[: len(up)]) if up else False
        if len(up) < len(some) or not gone:
            break
    return changes


def outcomes(result: Result) -> Outcomes:
    """What came of each node, from the result of the call that was for them."""
    nodes = {minion_id: entry for minion_id, entry in result.data.items() if isinstance(entry, dict)}
    return Outcomes(nodes, result.ok, None if result.ok else result.signal)
