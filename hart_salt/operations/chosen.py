"""Find the nodes that a call names by their ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hart_salt.base.errors import BrokenRecord, Refused
from hart_salt.base.names import check_minion_id
from hart_salt.base.text import suggestion
from hart_salt.config.schema import Provider
from hart_salt.inventory.context import Context
from hart_salt.inventory.records import BANK, SUFFIX, Record
from hart_salt.inventory.snapshot import Snapshot, bare_record, record_of
from hart_salt.master.client import Master

#: how close an id must be to be suggested: ids of one domain are alike, and mean different nodes
ALIKE = 0.8


def records_of(
    minion_ids: Sequence[str], context: Context, any_provider: Provider, look: Callable[[], Snapshot]
) -> dict[str, Record]:
    """
    Return the records of these ids; for an instance without a record, the record that it would have.

    ``any_provider`` is the provider of the record that is returned for a broken record without an instance. ``look``
    takes a snapshot of all providers; it is called at most once, and only if a record is missing or broken.

    Raises ``Refused`` with all problems if one of the ids is not that of a node.
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
                # A broken record without an instance at any provider: only the record and a key of its id are left.
                record = record or bare_record(minion_id, any_provider, context.info)
        if record is not None:
            found[minion_id] = record
        else:
            problems.append(f"{minion_id}: {problem or broken or why_no_node(minion_id, context.master)}")
    if problems:
        raise Refused("\n".join([*problems, *(everywhere.problems if everywhere else ())]))
    return found


def refuse_elsewhere(records: Mapping[str, Record], context: Context, function: str = "hart.destroy") -> None:
    """Raise ``Refused`` if only another master can change one of the nodes; ``function`` is what it must call."""
    problems = [
        f"{minion_id}: {why}: call salt-run {function} {minion_id} there{_without_it(minion_id, function)}"
        for minion_id, record in records.items()
        if (why := context.locks.elsewhere(record))
    ]
    if problems:
        raise Refused("\n".join(problems))


def _without_it(minion_id: str, function: str) -> str:
    """Return what to do if the other master no longer exists, or if its mark is that of a former key."""
    if function != "hart.destroy":
        return ""
    return (
        f". If no such master exists any more, delete the instance at the provider, then the record with salt-run "
        f"cache.flush {BANK} key={minion_id}{SUFFIX} and the key with salt-key -d {minion_id}"
    )


def why_no_node(minion_id: str, master: Master) -> str:
    """Return why an id is not that of a node, and what to do."""
    if master.keys.states_of([minion_id]):
        return (
            f"is not a node of hart, only a key in Salt's store; salt-key -d {minion_id} deletes the key, and salt-run "
            f"hart.import_minion {minion_id} makes an accepted minion a node"
        )
    near = suggestion(minion_id, master.keys.states(), ALIKE)
    return f"is not known{near or ':'} there is no record, no instance and no key with that id"


def _unrecorded(seen: Snapshot, context: Context) -> dict[str, Record]:
    """Return records for the instances that are ours by their tags, of all providers that answered."""
    return {one.instance.minion_id: record_of(one.instance, one.provider, context.info) for one in seen.found}
