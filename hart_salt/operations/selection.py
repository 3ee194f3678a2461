"""Find nodes by what they have: role, provider, region and status."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from hart_salt.base.errors import EnvironmentFault, Refused
from hart_salt.config.loader import Config
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.context import Context
from hart_salt.inventory.snapshot import Snapshot, record_of, take_snapshot
from hart_salt.operations import filters, listing
from hart_salt.operations.drift import Drift
from hart_salt.result import Result

REFUSED = 2  #: the exit code of a request of which nothing was carried out
#: statuses of what is not a node that this master can change
NO_NODES = frozenset({listing.NOT_OURS, listing.BAD_ID, listing.ELSEWHERE})


@dataclass(frozen=True)
class Selector:
    """What nodes must have; None: anything."""

    role: str | None = None
    provider: str | None = None
    region: str | None = None
    status: str | None = None

    def __bool__(self) -> bool:
        return bool(self.given)

    @property
    def given(self) -> dict[str, str]:
        """What is not None, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def __str__(self) -> str:
        """Return it as it is written on a command line."""
        return " ".join(
            f"{name}='{value}'" if " " in value else f"{name}={value}" for name, value in self.given.items()
        )


@dataclass(frozen=True)
class Seen:
    """The nodes that match a selector, and what keeps the list from being complete, in sentences."""

    nodes: Mapping[str, dict[str, Any]]
    problems: Sequence[str]
    #: what is not known of the nodes, in sentences
    notes: Sequence[str] = ()


class Selection:
    """Finds the nodes of one master."""

    def __init__(
        self, config: Config, context: Context, drivers_for: Callable[[str | None], Sequence[Driver]], drift: Drift
    ) -> None:
        """
        Keep the arguments.

        ``drivers_for`` returns the driver of a provider, or those of all for None. It raises ``Refused`` for an unknown
        provider.
        """
        self._config = config
        self._context = context
        self._drivers_for = drivers_for
        self._drift = drift

    def look(self, selector: Selector, *, ping: bool, images: bool = True) -> Seen:
        """
        Return the matching nodes as all sources report them; ``images`` is as for ``nodes``.

        Raises ``Refused`` for a value that no node can have.
        """
        master, drivers = self._context.master, self._drivers_for(selector.provider)
        present = master.minions.present if ping else None
        seen = take_snapshot(drivers, self._context.store, master, present)
        nodes, unknown = self.nodes(seen, images=images)
        wanted = asdict(selector)
        filters.check(wanted, nodes, self._config, lambda: drivers)
        problems = [*seen.problems, *seen.broken.values(), *unknown]
        return Seen(listing.chosen(nodes, wanted), problems, self._drift.problems)

    def nodes(self, seen: Snapshot, *, images: bool = True) -> tuple[dict[str, dict[str, Any]], list[str]]:
        """
        Return the nodes, and why it is not known which of them calls work on; an outage must not hide the rest.

        Without ``images``, no provider is asked for its baked images, and nodes are not compared with them.
        """
        locks, info = self._context.locks, self._context.info
        self._drift.ask_only(seen.asked if images else ())
        try:
            return listing.nodes(seen, locks.look(seen.records).busy, info, locks.elsewhere, self._drift.known), []
        except EnvironmentFault as error:
            return listing.nodes(seen, lambda _: False, info, locks.elsewhere, self._drift.known), [str(error)]

    def image(self, minion_id: str, seen: Snapshot) -> str | None:
        """Return the id of the baked image that a node runs from; None if it is a plain one, or if it is not known."""
        found = next((one for one in seen.found if one.instance.minion_id == minion_id), None)
        record = seen.records.get(minion_id)
        if record is None and found is not None:
            record = record_of(found.instance, found.provider, self._context.info)
        return self._drift.image(record, found.instance if found else None) if record else None

    @property
    def notes(self) -> list[str]:
        """What is not known of the nodes that were looked at, in sentences."""
        return self._drift.problems

    def ids(self, selector: Selector, function: str) -> tuple[list[str], list[str]]:
        """
        Return the ids of the matching nodes that this master can change, and notes about those that it cannot.

        ``function`` is what the caller called. Minions are pinged only if the selector names a status.

        Raises ``Refused`` if no node matches, and if the list may be incomplete: a node that is not seen would be left
        out without a word.
        """
        seen = self.look(selector, ping=selector.status is not None, images=False)
        if seen.problems:
            raise Refused(
                f"{function} {selector} needs a complete list of the nodes, and this one is not: "
                f"{'; '.join(seen.problems)}; name the nodes by their ids, or add provider= with one that answers"
            )
        good = [minion_id for minion_id, entry in seen.nodes.items() if entry["status"] not in NO_NODES]
        if not good:
            raise Refused(f"no node of this master matches {selector}; see salt-run hart.list_minions")
        elsewhere = [minion_id for minion_id, entry in seen.nodes.items() if entry["status"] == listing.ELSEWHERE]
        verb = "matches and is" if len(elsewhere) == 1 else "match and are"
        left = f"{', '.join(elsewhere)} {verb} left out: only another master can change it"
        return good, [left] if elsewhere else []


def unconfirmed(planned: Result) -> Result:
    """Return a plan that nobody has confirmed, as a call that changed nothing."""
    count = f"{len(planned.data)} nodes" if len(planned.data) > 1 else "1 node"
    problem = f"nothing was destroyed: add yes=True to destroy {count}, or test=True to see only this plan"
    return replace(planned, ok=False, code=REFUSED, problems=[*planned.problems, problem])
