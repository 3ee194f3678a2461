"""Which locks this master uses, and which combinations of locks and records cannot work."""

from __future__ import annotations

from hart_salt.base.errors import Refused
from hart_salt.config.cluster import Cluster
from hart_salt.config.coordination import FILE, server
from hart_salt.coordination.server import LazyEngine
from hart_salt.inventory.flocks import FileLocks
from hart_salt.inventory.leases import LeaseLocks
from hart_salt.inventory.locks import Locks
from hart_salt.inventory.records import Store
from hart_salt.inventory.session import times_of


def locks_of(cluster: Cluster, store: Store, cachedir: str, owner: str) -> Locks:
    """
    Return the locks that the setting ``coordination`` names; nothing is sent to a server yet.

    ``owner`` is this master's mark.
    """
    if cluster.coordination == FILE:
        return FileLocks(cachedir, owner)
    found = server(cluster.coordination)
    return LeaseLocks(LazyEngine(found), store, cachedir, times_of(found.lease), owner=owner)


def check_layout(cluster: Cluster, store: Store) -> None:
    """Raise ``Refused`` if locks and records do not reach equally far."""
    if cluster.coordination == FILE and store.shared and not cluster.single_master:
        raise Refused(
            f"the records are in a store that other masters can share ({store.place}), but the locks of hart are files "
            "of this machine: set hart: coordination to a server that all masters reach, or hart: single_master to "
            "true if no other master uses these records"
        )
    if cluster.coordination != FILE and not store.shared:
        raise Refused(
            f"hart: coordination is {server(cluster.coordination).words}, but the records are files of this machine "
            f"({store.place}), which other masters do not see: set cache in the master config to a shared store, such "
            "as redis, or remove hart: coordination"
        )
