"""
A list without an instance does not prove that the instance is gone, because lists of clouds have gaps.

An instance is gone if several lists have missed it, over a longer time than such gaps last, and if its id is not found
either: an instance whose tags were removed is in no list of this master.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hart_salt.base.errors import HartError
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.records import Record, instance_of
from hart_salt.inventory.snapshot import Snapshot

LOOKS = 3  #: further lists, each of which must miss it
INTERVAL = 5.0  #: seconds before each of them


def gone(
    missing: Sequence[Record],
    look: Callable[[frozenset[str]], Snapshot],
    driver: Callable[[str], Driver],
    sleep: Callable[[float], None],
) -> list[Record]:
    """
    Return the nodes among ``missing`` whose instances every further list misses too.

    ``look`` lists the instances of the named providers again; a provider that cannot be queried proves nothing.
    ``driver`` returns the driver of a provider.
    """
    left = list(missing)
    for _ in range(LOOKS):
        if not left:
            break
        sleep(INTERVAL)
        seen = look(frozenset(record.provider for record in left))
        left = [record for record in left if record.provider in seen.asked and seen.instance_of(record) is None]
    return [record for record in left if not _is_there(record, driver(record.provider))]


def _is_there(record: Record, driver: Driver) -> bool:
    """Return whether its id finds an instance; also True if the provider cannot be queried."""
    known = instance_of(record)
    try:
        found = driver.instance(known) if known is not None else None
    except HartError:
        return True
    return found is not None and found.state != "gone"
