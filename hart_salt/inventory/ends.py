"""When nodes are due to be destroyed. Pure."""

from __future__ import annotations

from hart_salt.inventory.records import Record
from hart_salt.model import Instance


def end_of(record: Record | None, instance: Instance | None) -> float | None:
    """
    Return when a node ends, in seconds since the epoch; None: never, as far as it is known.

    It is the later one of what the record and the tag of the instance say. ``hart.extend`` changes the tag first, and
    the record second: if it is interrupted in between, or the record is lost, the node does not end earlier.
    """
    said = [it.ends for it in (record, instance) if it is not None and it.ends is not None]
    return max(said, default=None)
