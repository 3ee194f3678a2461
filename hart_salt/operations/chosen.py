"""The nodes that a call names by their ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hart_salt.base.errors import BrokenRecord, Refused
from hart_salt.base.names import check_minion_id
from hart_salt.config.schema import Provider
from hart_salt.inventory.context import Context
from hart_salt.inventory.records import Record
from hart_salt.inventory.snapshot import Snapshot, bare_record, record_of
from hart_salt.master.client import Master


def records_of(
    minion_ids: Sequence[str], context: Context, any_provider: Provider, look: Callable[[], Snapshot]
) -> dict[str, Record]:
    """
    The records of these ids; for an instance without one, the record that it would have.

    any_provider
        the one that the record of a node is for whose own is broken, where no provider has an instance of that id
    look
        what there is at all providers; called once at the most, and only where a record does not tell

    Raises ``Refused``, with all that is wrong, if one of the ids is none of a node.
    """
    found: dict[str, Record] = {}
    problems: list[str] = []
    everywhere: Snapshot | None = None
    for minion_id in dict.fromkeys(minion_ids):
        problem = check_minion_id(minion_id)
        record = broken = None
        try:
            record = None if problem else context.store.get(minion_id)
        except BrokenRecord as error:
            broken = str(error)
        if problem is None and record is None:
            everywhere = everywhere or look()
            record = _unrecorded(everywhere, context).get(minion_id)
            if broken and not everywhere.problems:
                # What goes with a broken record that no provider has an instance for: it, and a key of its id.
                record = record or bare_record(minion_id, any_provider, context.info)
        if record is not None:
            found[minion_id] = record
        else:
            problems.append(f"{minion_id}: {problem or broken or stranger(minion_id, context.master)}")
    if problems:
        raise Refused("\n".join([*problems, *(everywhere.problems if everywhere else ())]))
    return found


def stranger(minion_id: str, master: Master) -> str:
    """What to tell of an id that is none of a node."""
    if minion_id in master.keys.states():
        return (
            f"is no node of hart's, only a key in Salt's store; salt-key -d {minion_id} deletes that, and salt-run "
            f"hart.import_minion {minion_id} makes a node of an accepted minion"
        )
    return "is not known: there is no record, no instance and no key of that id"


def _unrecorded(seen: Snapshot, context: Context) -> dict[str, Record]:
    """Instances that are ours by their tags, of all providers that can be asked."""
    return {one.instance.minion_id: record_of(one.instance, one.provider, context.info) for one in seen.found}
