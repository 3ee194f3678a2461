"""
One list without an instance is no proof that it is gone: lists of clouds have gaps.

An instance is gone when several lists have missed it, over at least as long as such gaps last, and its id finds nothing
either: one whose tags somebody took off is in no list of this master's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hart_salt.base.errors import HartError
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.records import Record, instance_of
from hart_salt.inventory.snapshot import Snapshot

LOOKS = 3  #: further looks, each of which has to miss it
INTERVAL = 5.0  #: seconds before each of them


def gone(
    missing: Sequence[Record],
    look: Callable[[frozenset[str]], Snapshot],
    driver: Callable[[str], Driver],
    sleep: Callable[[float], None],
) -> list[Record]:
    """
    The nodes among ``missing`` whose instances every further look misses as well.

    look
        looks at the providers of these names again; one that cannot be asked proves nothing
    driver
        gives the driver of a provider
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
    """Whether its id finds an instance; what cannot be asked may be there."""
    known = instance_of(record)
    try:
        found = driver.instance(known) if known is not None else None
    except HartError:
        return True
    return found is not None and found.state != "gone"
