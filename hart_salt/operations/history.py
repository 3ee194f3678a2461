"""What the journal of this master says: the plain data of ``hart.history``."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from hart_salt.base.errors import Refused
from hart_salt.base.text import suggestion
from hart_salt.config.coordination import FILE
from hart_salt.inventory.context import Context
from hart_salt.inventory.journal import Entry, as_data


@dataclass(frozen=True)
class Wanted:
    """Which entries of the journal to show."""

    minion_id: str | None = None
    role: str | None = None
    #: seconds since the epoch; None: all that there are
    since: float | None = None
    #: the most entries; the last ones are shown
    limit: int = 100


def history(wanted: Wanted, context: Context, roles: Collection[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """
    Return the entries, the oldest first, and what the reader needs to know.

    ``roles`` are those of the configuration.

    Raises ``Refused`` for an id or a role that neither the journal nor the records have, nor the configuration.
    """
    everything = context.journal.read()
    _refuse_unknown(wanted, everything, context, roles)
    found = [one for one in everything if _matches(one, wanted)]
    left_out = len(found) - wanted.limit
    notes = [f"{left_out} older entries are not shown: limit={len(found)} shows all"] if left_out > 0 else []
    return [as_data(one) for one in found[max(0, left_out) :]], [*notes, *_elsewhere(context)]


def _matches(one: Entry, wanted: Wanted) -> bool:
    return (
        wanted.minion_id in (None, one.minion_id)
        and wanted.role in (None, one.role)
        and (wanted.since is None or (one.time or 0.0) >= wanted.since)
    )


def _refuse_unknown(wanted: Wanted, everything: Collection[Entry], context: Context, roles: Collection[str]) -> None:
    """Refuse what no entry can have: an empty history must mean that nothing happened."""
    if wanted.minion_id is not None:
        ids = {one.minion_id for one in everything}
        if wanted.minion_id not in ids:
            _refuse_unless(wanted.minion_id, ids | context.store.read().good.keys(), "neither the journal nor a record "
                           f"has {wanted.minion_id}")  # fmt: skip
    if wanted.role is not None:
        known = {one.role for one in everything if one.role} | set(roles)
        listed = f"; known: {', '.join(sorted(known))}" if known else ""
        _refuse_unless(wanted.role, known, f"there is no role {wanted.role}", listed)


def _refuse_unless(name: str, known: Collection[str], problem: str, more: str = "") -> None:
    if name not in known:
        raise Refused(f"{problem}{suggestion(name, known)}{more}")


def _elsewhere(context: Context) -> list[str]:
    """Return that other masters have their own journals, if there are other masters of the same nodes."""
    if context.cluster.coordination == FILE and not context.others and not context.info.cluster_id:
        return []
    own = f"these are the outcomes of calls on {context.info.master_id}"
    return [f"{own}: call hart.history on each master, because each has its own journal"]
