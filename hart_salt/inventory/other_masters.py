"""
The keys of nodes on the other masters, and what is done if one of them is down.

A key that could not be deleted because its master was down is noted in the record store for ``hart.sync_keys``: once
the node's record is gone, nothing else knows that the key was hart's.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hart_salt.base import signals
from hart_salt.base.errors import HartError, MasterDown, NodeFailed
from hart_salt.base.names import check_minion_id
from hart_salt.config.cluster import Cluster
from hart_salt.inventory.locks import Locks
from hart_salt.inventory.records import SUFFIX, Cache, Store
from hart_salt.master.client import Master
from hart_salt.master.peers import PeerOutcome, Peers, peers_of

#: the bank of keys that are left on masters
BANK = "hart/left_keys"
REPAIR = "salt-run hart.sync_keys"


@dataclass(frozen=True)
class LeftKey:
    """A key of a node that is gone, and the masters that may still have it."""

    minion_id: str
    #: the public key or its fingerprint
    key: str
    masters: tuple[str, ...]

    @property
    def name(self) -> str:
        """
        The name of the note in its bank.

        It is that of the id and the key: a node with the id of another one that is gone can be gone before its key is.
        """
        return hashlib.sha256(f"{self.minion_id} {self.key.strip()}".encode()).hexdigest()[:32] + SUFFIX


@dataclass
class Outcome:
    """What became of one id's key on all other masters."""

    notes: list[str] = field(default_factory=list)
    error: HartError | None = None


class OtherMasters:
    """The other masters of the same nodes; without any, nothing is done."""

    def __init__(self, peers: Peers | None = None, cache: Callable[[], Cache] | None = None) -> None:
        """``cache`` makes the object for the bank of left keys; Salt's caches are opened only if needed."""
        self.peers = peers or Peers()
        self._cache = cache

    def __bool__(self) -> bool:
        return bool(self.peers)

    def accept(self, keys: Mapping[str, str]) -> dict[str, Outcome]:
        """
        Have every other master accept these public keys, by minion id.

        The error of an id is ``NodeFailed`` if a master did not confirm its key. A master that is down is only noted if
        ``masters_down`` is ``allow``.
        """
        return {minion_id: self._accepted(by_master) for minion_id, by_master in self.peers.accept(keys).items()}

    def _accepted(self, by_master: Mapping[str, PeerOutcome]) -> Outcome:
        outcome, failed = Outcome(), []
        for name, one in by_master.items():
            outcome.notes += [f"on the master {name}: {note}" for note in one.notes]
            if self._is_excused(one):
                note = f"the master {name} has not confirmed the node's key: {one.error}; {REPAIR} repairs it"
                outcome.notes.append(note)
            elif one.error is not None:
                failed.append(f"the master {name} did not accept the node's key: {one.error}")
        outcome.error = NodeFailed("; ".join(failed)) if failed else None
        return outcome

    def delete(self, keys: Mapping[str, str], every: bool = False) -> dict[str, Outcome]:
        """
        Have every other master delete the keys of these ids.

        The text of an id is the node's public key or its fingerprint; an id without a text has no key to delete. With
        ``every``, all keys of an id are deleted, not only the node's (default: False).

        The error of an id is ``NodeFailed`` if a key is left. A key on a master that is down is only noted, here and in
        the record store, if ``masters_down`` is ``allow``.
        """
        found = {minion_id: Outcome() for minion_id in keys}
        wanted = {minion_id: "" if every else text for minion_id, text in keys.items() if every or text}
        if not wanted:
            return found
        for minion_id, by_master in self.peers.delete(wanted).items():
            down = [name for name, one in by_master.items() if self._is_excused(one)]
            if down and keys[minion_id]:
                found[minion_id].notes += self._noted(minion_id, keys[minion_id], down)
            failed = [
                f"the master {name} may still have the node's key: {one.error}"
                for name, one in by_master.items()
                if one.error is not None and (name not in down or not keys[minion_id])
            ]
            found[minion_id].error = NodeFailed("; ".join(failed)) if failed else None
        return found

    def _is_excused(self, outcome: PeerOutcome) -> bool:
        return self.peers.may_be_down and isinstance(outcome.error, MasterDown)

    # keys that are left

    def _noted(self, minion_id: str, key: str, down: Sequence[str]) -> list[str]:
        """Note a key beside the notes on other keys of the id, which nodes had that are gone, too."""
        with self._store()._asked("written"):
            name = LeftKey(minion_id, key, ()).name
            before = _left_key(name, self._bank().fetch(BANK, name))
            known = before.masters if before else ()
            self._write(LeftKey(minion_id, key, tuple(dict.fromkeys((*known, *down)))))
        names = " and ".join(down)
        return [f"the node's key may still be on {names}, which cannot be reached; {REPAIR} deletes it"]

    def _write(self, left: LeftKey) -> None:
        data = {"minion_id": left.minion_id, "key": left.key, "masters": list(left.masters)}
        self._bank().store(BANK, left.name, data)

    def left(self) -> list[LeftKey]:
        """Return all keys that are left. Raises ``EnvironmentFault`` if the store cannot be read."""
        if self._cache is None:
            return []
        with self._store()._asked("read"):
            names = sorted(str(key) for key in self._bank().list(BANK))
            found = [_left_key(name, self._bank().fetch(BANK, name)) for name in names]
        return sorted((left for left in found if left is not None), key=lambda left: left.minion_id)

    def forget(self, left: LeftKey, gone: tuple[str, ...]) -> None:
        """Note that some masters do not have a key any more."""
        rest = tuple(name for name in left.masters if name not in gone)
        with self._store()._asked("written"):
            if rest:
                self._write(replace(left, masters=rest))
            else:
                self._bank().flush(BANK, left.name)

    def _bank(self) -> Cache:
        assert self._cache is not None  # noqa: S101 - there are other masters, so service has set it
        return self._cache()

    def _store(self) -> Store:
        return Store(self._bank())


def _left_key(name: str, data: Any) -> LeftKey | None:
    """Return a stored note; None for what hart did not write."""
    if not isinstance(data, Mapping):
        return None
    minion_id, key, masters = data.get("minion_id"), data.get("key"), data.get("masters")
    if not isinstance(minion_id, str) or not isinstance(key, str) or not key or not isinstance(masters, list):
        return None
    left = LeftKey(minion_id, key, tuple(str(master) for master in masters))
    return None if check_minion_id(minion_id) or left.name != name else left


def other_masters_of(cluster: Cluster, master: Master, master_id: str, locks: Locks) -> OtherMasters:
    """Return the other masters of the configuration. Requests to them end early with a signal or a lost lease."""
    ends = lambda: signals.arrived() or bool(locks.stop.reason)  # noqa: E731 - it is short
    return OtherMasters(peers_of(cluster, master.minions, master_id, ends), functools.cache(master.cache))
