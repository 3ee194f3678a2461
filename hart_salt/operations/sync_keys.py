"""
Compare the keys of all ready nodes with the key store of every master, and repair what differs.

Only a node's own key is accepted, where it is missing or waits as pending; only keys that hart noted as
left are deleted.
Any other key is reported and stays.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hart_salt.base.errors import HartError, NodeFailed, PeerError
from hart_salt.inventory.context import Context
from hart_salt.inventory.other_masters import LeftKey
from hart_salt.inventory.records import READY, Record
from hart_salt.master.keys import ACCEPTED, PENDING, STATE_WORDS, Keys
from hart_salt.master.peer_work import digest
from hart_salt.master.peers import PeerOutcome, Peers
from hart_salt.master.public_keys import check_public_key, has_fingerprint

AT_ONCE = 200  #: nodes that are locked at the same time

States = Mapping[str, Mapping[str, Sequence[str]]]


class MasterKeys(Protocol):
    """The key store of one master, this one or another."""

    def accepted(self, minion_ids: Sequence[str]) -> Mapping[str, str]: ...
    def accept(self, keys: Mapping[str, str]) -> Mapping[str, PeerOutcome]: ...


class Here:
    """The key store of this master."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def states(self, minion_ids: Sequence[str]) -> States:
        there = self._keys.states()
        stored = {minion_id: self._keys.stored(minion_id) for minion_id in minion_ids if minion_id in there}
        return {i: {state: list(map(digest, pems)) for state, pems in found.items()} for i, found in stored.items()}

    def accepted(self, minion_ids: Sequence[str]) -> Mapping[str, str]:
        stored = {minion_id: self._keys.stored(minion_id).get(ACCEPTED, []) for minion_id in minion_ids}
        return {minion_id: pems[0] for minion_id, pems in stored.items() if pems}

    def accept(self, keys: Mapping[str, str]) -> Mapping[str, PeerOutcome]:
        return {i: PeerOutcome(it.notes, it.error) for i, it in self._keys.accept_many(keys).items()}


class There:
    """The key store of another master."""

    def __init__(self, peers: Peers, name: str) -> None:
        self._peers = peers
        self._name = name

    def accepted(self, minion_ids: Sequence[str]) -> Mapping[str, str]:
        return self._peers.accepted(self._name, minion_ids)

    def accept(self, keys: Mapping[str, str]) -> Mapping[str, PeerOutcome]:
        return self._peers.accept_at(self._name, keys)


@dataclass
class _Report:
    """What was found on one master, and what was done there."""

    correct: int = 0
    accepted: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    #: by minion id, what is wrong and was left as it is
    kept: dict[str, str] = field(default_factory=dict)
    error: str = ""

    def deletes(self, minion_id: str) -> None:
        """Note a deleted key; an id can have had several."""
        if minion_id not in self.deleted:
            self.deleted.append(minion_id)

    def data(self, test: bool) -> dict[str, Any]:
        good = not self.kept and not self.error
        words = ("would_accept", "would_delete") if test else ("accepted", "deleted")
        lists = {word: found for word, found in zip(words, (self.accepted, self.deleted), strict=True) if found}
        more = {**({"kept": self.kept} if self.kept else {}), **({"error": self.error} if self.error else {})}
        return {"result": (None if test else True) if good else False, "correct": self.correct, **lists, **more}


def sync(context: Context, *, test: bool = False) -> dict[str, dict[str, Any]]:
    """
    Compare and repair; with ``test``, change nothing and report what would be done.

    Returns a report by master; this master is first, under its id.

    Raises ``EnvironmentFault`` if the records cannot be read.
    """
    return _Sync(context, test).run()


class _Sync:
    def __init__(self, context: Context, test: bool) -> None:
        self._context = context
        self._test = test
        self._here = Here(context.master.keys)
        self._masters: dict[str, MasterKeys] = {context.info.master_id: self._here}
        self._masters |= {name: There(context.others.peers, name) for name in context.others.peers}
        self._reports = {name: _Report() for name in self._masters}
        self._states: dict[str, States] = {}

    def run(self) -> dict[str, dict[str, Any]]:
        records = {it.minion_id: it for it in self._context.store.all() if _has_key(it)}
        left = self._context.others.left()
        for name, states in self._look(list(records)).items():
            if isinstance(states, PeerError):
                self._reports[name].error = str(states)
            else:
                self._states[name] = states
        keys = self._keys(records)
        for name in self._states:
            self._repair(name, records, keys)
        for one in left:
            self._delete(one)
        return {name: report.data(self._test) for name, report in self._reports.items()}

    def _look(self, minion_ids: list[str]) -> dict[str, States | PeerError]:
        """Return the keys of nodes on each master. The others are asked at the same time: several can be down."""
        here: dict[str, States | PeerError] = {self._context.info.master_id: self._here.states(minion_ids)}
        return {**here, **self._context.others.peers.states(minion_ids)}

    # the nodes' own keys

    def _keys(self, records: Mapping[str, Record]) -> dict[str, str]:
        """Return the public key of each node: one that some master has accepted, and that the record names."""
        found: dict[str, str] = {}
        for name, states in self._states.items():
            wanted = [it for it in records if it not in found and ACCEPTED in states.get(it, {})]
            try:
                said = self._masters[name].accepted(wanted) if wanted else {}
            except PeerError as error:
                self._reports[name].error = str(error)
                continue
            found |= {i: pem for i, text in said.items() if (pem := _own_key(records[i], text))}
        return found

    def _repair(self, name: str, records: Mapping[str, Record], keys: Mapping[str, str]) -> None:
        report = self._reports[name]
        missing = {}
        for minion_id in records:
            there = self._states[name].get(minion_id, {})
            if minion_id not in keys:
                report.kept[minion_id] = "no master has accepted the key that the node's record names"
            elif list(there.get(ACCEPTED, [])) == [digest(keys[minion_id])]:
                report.correct += 1
            elif why := _foreign(there, digest(keys[minion_id])):
                report.kept[minion_id] = why
            else:
                missing[minion_id] = keys[minion_id]
        if self._test:
            report.accepted += missing
            return
        ids = list(missing)
        for start in range(0, len(ids), AT_ONCE):
            if report.error:  # it does not answer any more
                return
            self._accept(name, {i: missing[i] for i in ids[start : start + AT_ONCE]}, records)

    def _accept(self, name: str, keys: Mapping[str, str], records: Mapping[str, Record]) -> None:
        """Accept keys of nodes that are still what their records said: a node can be destroyed in the meantime."""
        report = self._reports[name]
        with self._claimed(keys, records, report) as ours:
            outcomes = self._masters[name].accept({i: keys[i] for i in ours}) if ours else {}
        for minion_id, outcome in outcomes.items():
            if outcome.error is None:
                report.accepted.append(minion_id)
            elif isinstance(outcome.error, PeerError):
                report.error = str(outcome.error)
            else:
                report.kept[minion_id] = str(outcome.error)

    @contextlib.contextmanager
    def _claimed(self, ids: Mapping[str, str], records: Mapping[str, Record], report: _Report) -> Iterator[list[str]]:
        with contextlib.ExitStack() as stack:
            ours = []
            for minion_id in ids:
                try:
                    stack.enter_context(self._context.locks.claim(minion_id))
                    if _is_unchanged(self._context.store.get(minion_id), records[minion_id]):
                        ours.append(minion_id)
                except HartError as error:
                    report.kept[minion_id] = str(error)
            yield ours

    # keys of nodes that are gone

    def _delete(self, left: LeftKey) -> None:
        """Delete a key that is left; another key under the id, such as that of a new node, stays."""
        others, gone = self._context.others, []
        for name in left.masters:
            if name not in others.peers:
                gone.append(name)  # it is no master of the nodes any more
                continue
            report = self._reports[name]
            if self._test:
                report.deletes(left.minion_id)
                continue
            if report.error:  # it does not answer: its timeout is not waited for again for each key
                continue
            outcome = others.peers.delete_at(name, {left.minion_id: left.key})[left.minion_id]
            if outcome.error is None:
                gone.append(name)
                report.deletes(left.minion_id)
            elif isinstance(outcome.error, PeerError):
                report.error = str(outcome.error)
            else:
                report.kept[left.minion_id] = str(outcome.error)
        if gone and not self._test:
            others.forget(left, tuple(gone))


def _own_key(record: Record, text: str) -> str:
    """Return a master's text if it is the public key that the record names, and nothing else; otherwise nothing."""
    with contextlib.suppress(NodeFailed):
        return check_public_key(text) if has_fingerprint(record.minion_key_finger, text) else ""
    return ""


def _is_unchanged(now: Record | None, before: Record) -> bool:
    """Return whether a record is still that of the same ready node; the claim itself may have put a session into it."""
    return now is not None and _has_key(now) and now.minion_key_finger == before.minion_key_finger


def _has_key(record: Record) -> bool:
    return record.stage == READY and record.kind == "minion" and bool(record.minion_key_finger)


def _foreign(there: Mapping[str, Sequence[str]], own: str) -> str:
    """Return why hart leaves the keys under an id as they are; empty if the node's own key can be accepted there."""
    states = [state for state, digests in there.items() if state != PENDING or list(digests) != [own]]
    if not states:
        return ""
    words = " and ".join(STATE_WORDS[state] for state in states)
    return (
        f"another key has this id or the key was refused there ({words}): see salt-key -f on that master, and delete "
        "what is not yours"
    )
