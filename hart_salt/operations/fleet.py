"""Decide how many nodes a role should have, which nodes to remove, and in what order to replace them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hart_salt.base.errors import HartError, Interrupted, Refused
from hart_salt.inventory.protected import sentence
from hart_salt.inventory.records import Record
from hart_salt.result import Result

NEWEST, OLDEST = "newest", "oldest"


@dataclass(frozen=True)
class TargetSize:
    """The wanted number of nodes: a number, a change of the present number within bounds, or the bounds alone."""

    count: int | None = None
    delta: int | None = None
    minimum: int | None = None
    maximum: int | None = None

    def check(self) -> None:
        """
        Check that the values can be combined.

        Raises ``Refused`` if they cannot.
        """
        bounded = self.minimum is not None or self.maximum is not None
        if self.count is not None and self.delta is not None:
            raise Refused("set either count, the number of nodes, or delta, the change of that number")
        if self.count is None and self.delta is None and not bounded:
            raise Refused("set count, the number of nodes, delta, the change of that number, or the bounds min and max")
        if self.count is not None and bounded:
            raise Refused("min and max are bounds and cannot be used with count")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise Refused(f"min is {self.minimum} and max is {self.maximum}: min must not be above max")

    def target(self, have: int) -> int:
        """
        Return how many nodes there should be if there are ``have`` now.

        Bounds limit a delta, but never reverse its direction: with delta=1 and max=10, twelve nodes stay twelve.
        Without a delta, the bounds alone decide: twelve nodes become ten.
        """
        if self.count is not None:
            return self.count
        if self.delta is None:
            low = max(have, self.minimum or 0)
            return low if self.maximum is None else min(low, self.maximum)
        wanted = have + self.delta
        if self.delta > 0 and self.maximum is not None:
            wanted = max(have, min(wanted, self.maximum))
        if self.delta < 0:
            wanted = min(have, max(wanted, self.minimum or 0))
        return wanted


def by_age(fleet: Sequence[Record]) -> list[Record]:
    """Return nodes with the oldest first."""
    return sorted(fleet, key=lambda record: (record.created, record.minion_id))


def victims(fleet: Sequence[Record], number: int, remove: str, protected: Collection[str] = ()) -> list[Record]:
    """
    Choose ``number`` nodes of ``fleet`` to remove.

    ``remove`` is ``newest``, ``oldest``, or ids separated by commas, of which the first go first. ``protected`` has the
    ids of nodes that stay: others are chosen for them.

    Raises ``Refused`` if an id is not in the fleet, or there are too few ids or nodes that are not protected.
    """
    if remove == NEWEST:
        chosen = by_age(fleet)[::-1]
    elif remove == OLDEST:
        chosen = by_age(fleet)
    else:
        chosen = _named(fleet, [part.strip() for part in remove.split(",") if part.strip()])
    if len(chosen) < number:
        raise Refused(f"{number} nodes must be removed, but remove={remove} chooses only {len(chosen)}")
    free = [record for record in chosen if record.minion_id not in protected]
    if len(free) < number:
        stay = [sentence(record.minion_id) for record in chosen if record.minion_id in protected]
        why = f"only {len(free)} of them can go" if free else "all that can be chosen are protected"
        raise Refused("\n".join([f"{number} {'node' if number == 1 else 'nodes'} must be removed, but {why}", *stay]))
    return free[:number]


def check_remove(fleet: Sequence[Record], remove: str) -> None:
    """Raise ``Refused`` if ``remove`` is neither an order nor ids of the fleet, even if nothing is removed now."""
    victims(fleet, 0, remove)


def _named(fleet: Sequence[Record], ids: Sequence[str]) -> list[Record]:
    by_id = {record.minion_id: record for record in fleet}
    unknown = [minion_id for minion_id in ids if minion_id not in by_id]
    if unknown:
        raise Refused(
            f"remove names {', '.join(unknown)}, which is not a ready node of this role here; remove must be newest, "
            "oldest, or ids of such nodes"
        )
    return [by_id[minion_id] for minion_id in dict.fromkeys(ids)]


@dataclass(frozen=True)
class Outcomes:
    """The outcome of some nodes; ``interrupted`` is the number of the signal that interrupted the work, or None."""

    data: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    ok: bool = True
    interrupted: int | None = None
    #: what failed and concerns no single node, a sentence each
    problems: Sequence[str] = ()

    def good(self) -> list[str]:
        """Return the ids of the nodes with a good result."""
        return [minion_id for minion_id, entry in self.data.items() if isinstance(entry, dict) and entry.get("result")]


@dataclass(frozen=True)
class FleetActions:
    """The functions that change a fleet."""

    create: Callable[[int], Outcomes]
    #: drains nodes before they are removed; returns why some of them must stay
    drain: Callable[[Sequence[Record]], Mapping[str, str]]
    destroy: Callable[[Sequence[Record]], Outcomes]


@dataclass
class Changes:
    """The changes of a fleet so far."""

    created: dict[str, dict[str, Any]] = field(default_factory=dict)
    destroyed: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: nodes that stay because their drain failed, and why it failed
    kept: dict[str, str] = field(default_factory=dict)
    #: why the changes stopped early
    problem: str = ""
    ok: bool = True
    interrupted: int | None = None

    def add(self, actions: FleetActions, number: int) -> list[str]:
        """
        Create nodes and return the ids of those that came up.

        Raises ``HartError`` if it fails and nothing was changed before.
        """
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
        Drain nodes and destroy them; a node that cannot be drained stays.

        Returns whether all of them were destroyed.

        Raises ``HartError`` if it fails and nothing was changed before.
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
        """
        Keep why the changes stop early.

        Raises ``error`` if nothing was changed before.
        """
        if not self.any:
            raise error
        self.ok, self.problem = False, str(error)
        if isinstance(error, Interrupted):
            self.interrupted = error.signum

    def _note(self, outcomes: Outcomes) -> None:
        self.ok = self.ok and outcomes.ok
        self.problem = "; ".join(filter(None, [self.problem, *outcomes.problems]))
        self.interrupted = outcomes.interrupted or self.interrupted

    @property
    def number(self) -> int:
        """How many more nodes there are than before; negative if fewer."""
        return len(Outcomes(self.created).good()) - len(Outcomes(self.destroyed).good())

    @property
    def any(self) -> bool:
        """Whether anything was changed."""
        return bool(Outcomes(self.created).good() or Outcomes(self.destroyed).good())


def renew(old: Sequence[Record], batch: int, actions: FleetActions) -> Changes:
    """
    Replace nodes by new ones, ``batch`` at a time: old nodes are removed only when as many new ones are ready.

    The first failure stops it. By then each old node is unchanged, or replaced by a new node that is ready: there are
    never fewer nodes than before.
    """
    changes = Changes()
    in_order = by_age(old)
    for first in range(0, len(in_order), batch):
        some = in_order[first : first + batch]
        up = changes.add(actions, len(some))
        if changes.interrupted is not None:
            break
        gone = changes.take(actions, some[: len(up)]) if up else False
        if len(up) < len(some) or not gone:
            break
    return changes


def outcomes(result: Result) -> Outcomes:
    """Return the outcome of each node, from the result of a call."""
    nodes = {minion_id: entry for minion_id, entry in result.data.items() if isinstance(entry, dict)}
    return Outcomes(nodes, result.ok, None if result.ok else result.signal, result.problems)
