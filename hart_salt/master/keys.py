"""
The key store: which minions are trusted. Acceptance, lookup and deletion are Salt's own.

Wheel functions are called directly: WheelClient would put arguments and results on the event bus; the loader does not.
"""

from __future__ import annotations

import contextlib
import functools
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import salt.cache
import salt.key
import salt.loader

from hart_salt.base import faults
from hart_salt.base.errors import EnvironmentFault, NodeFailed
from hart_salt.master.key_events import KeyEvents
from hart_salt.master.public_keys import check_public_key, fingerprint, has_fingerprint, normal, same_key

ACCEPT_ATTEMPTS = 3  #: a daemon that handles a foreign key may undo what happened in the meantime
#: with this option, Salt 3008 sends an event without a new thread for each, in a quarter of the time
SENDING = {"master_async_mworker": True}
HOLDERS_REPORTED = 5  #: the maximum number of ids in the notes on the key of an image's own minion

#: Salt's names for the states of a key, as its wheel functions use them
ACCEPTED, PENDING, REJECTED, DENIED = "minions", "minions_pre", "minions_rejected", "minions_denied"
STATE_WORDS = {ACCEPTED: "accepted", PENDING: "pending", REJECTED: "rejected", DENIED: "denied"}


def drop_stale_list(opts: Mapping[str, Any]) -> None:
    """
    Remove the list of accepted keys that a master of Salt before 3008 keeps with ``key_cache: sched``.

    The master renews it once per ``loop_interval`` (default 60 s). Until then it sends no job to a minion whose key was
    accepted since. Without the file, Salt reads the keys themselves.
    """
    if opts.get("key_cache") and not opts.get("keys.cache_driver"):
        with contextlib.suppress(OSError):  # it may be gone; if it cannot be removed, the minion is asked again later
            (Path(opts["pki_dir"]) / ACCEPTED / ".key_cache").unlink()


@dataclass
class Acceptance:
    """The outcome of accepting one key."""

    #: one sentence for each key of someone else that it replaced
    notes: list[str] = field(default_factory=list)
    #: why it is not accepted; None if it is
    error: Exception | None = None


@dataclass(frozen=True)
class OwnKey:
    """A node's own key, to be deleted."""

    pem: str
    #: True if salt-minion was started: then any pending or denied key under the node's id arrived after ``pem`` was
    #: accepted, and the node caused it, for instance by making a new key
    connected: bool


class Keys:
    """The key store of the salt-master with the configuration ``opts``."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self._opts = opts
        self._wheels: Any = None

    def states(self) -> dict[str, tuple[str, ...]]:
        """Return, for every minion id in the key store, the states that a key with that id is in."""
        found: dict[str, tuple[str, ...]] = {}
        # If no master ever ran, there may be no such directory; Salt before 3008 assumes that it exists.
        if not Path(self._opts["pki_dir"]).is_dir():
            return found
        drop_stale_list(self._opts)
        listing = self._wheel()["key.list_all"]()
        for state in STATE_WORDS:
            for minion_id in listing.get(state, []):
                found[minion_id] = (*found.get(minion_id, ()), state)
        return found

    def states_of(self, minion_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Return the same for some ids only, without reading other keys."""
        if not Path(self._opts["pki_dir"]).is_dir():
            return {}
        drop_stale_list(self._opts)
        return {minion_id: states for minion_id in minion_ids if (states := tuple(self._keys(minion_id)))}

    def accepted_finger(self, minion_id: str) -> str | None:
        """Return the fingerprint of an id's accepted key; None if there is none."""
        key = self._accepted(minion_id)
        return None if key is None else fingerprint(key)

    def stored(self, minion_id: str) -> dict[str, list[str]]:
        """Return the keys stored under one id, by state."""
        return self._keys(minion_id)

    def accept(self, minion_id: str, pem: str) -> list[str]:
        """
        Make ``pem`` the accepted key of ``minion_id``, unless another key is accepted; see ``accept_many``.

        Returns one sentence for each replaced key. Raises what ``accept_many`` returns as ``error``.
        """
        outcome = self.accept_many({minion_id: pem})[minion_id]
        if outcome.error is not None:
            raise outcome.error
        return outcome.notes

    def accept_many(self, wanted: Mapping[str, str]) -> dict[str, Acceptance]:
        """
        Make each public key (PEM) in ``wanted`` the accepted key of its minion id, and return the outcome of each id.

        The key store is opened once for all of them, and no other key in it is read. What happens to one id does not
        affect the others.

        A pending, rejected or denied key with the same id was stored before by someone else: it is deleted and replaced
        by the node's key. This is repeated if another key arrives under the id at that very moment.

        The error is ``NodeFailed`` if another key is accepted already (it is left for the admin), or if the node's key
        is not accepted afterwards.
        """
        outcomes = {minion_id: Acceptance() for minion_id in wanted}
        waiting = list(wanted)
        for _ in range(ACCEPT_ATTEMPTS):
            pending: dict[str, Acceptance] = {}
            for minion_id in waiting:
                with _error_in(outcomes[minion_id]):
                    if self._prepare(minion_id, wanted[minion_id], outcomes[minion_id].notes):
                        pending[minion_id] = outcomes[minion_id]
            self._accept_pending(pending)
            waiting = [it for it in waiting if not self._is_settled(it, wanted[it], outcomes[it])]
            if not waiting:
                break
        for minion_id in waiting:
            outcomes[minion_id].error = NodeFailed(f"Salt did not accept the key of {minion_id}; see the master's log")
        return outcomes

    def _prepare(self, minion_id: str, pem: str, notes: list[str]) -> bool:
        """
        Store the key as pending, in place of foreign keys that are not accepted; ``notes`` gets a sentence for each.

        Returns False if the key is accepted already.
        """
        there = self._keys(minion_id)
        for key in there.get(ACCEPTED, []):
            if not same_key(key, pem):
                raise NodeFailed(_foreign_accepted(minion_id, key))
        stale = {state: there[state] for state in (PENDING, REJECTED, DENIED) if state in there}
        if stale:
            self._delete({state: [minion_id] for state in stale}, rotate=False)
        if ACCEPTED not in there:
            self._deposit(minion_id, pem)
        notes += [
            note
            for state, keys in stale.items()
            for key in keys
            if not same_key(key, pem) and (note := _replaced(state, key)) not in notes
        ]
        return ACCEPTED not in there

    def _accept_pending(self, outcomes: Mapping[str, Acceptance]) -> None:
        """
        Have Salt accept the pending keys of these ids.

        Which keys are accepted is checked later. One after the other: a key that Salt cannot use ends its whole call.
        """
        if not outcomes:
            return
        with self._store() as store:
            for minion_id, outcome in outcomes.items():
                # The key may be gone by then: then Salt 3008 raises TypeError, and earlier versions FileNotFoundError.
                with _error_in(outcome), contextlib.suppress(TypeError, FileNotFoundError):
                    store.accept(match_dict={PENDING: [minion_id]})

    def _is_settled(self, minion_id: str, pem: str, outcome: Acceptance) -> bool:
        """
        Return whether there is an accepted key or an error by now.

        An accepted key must be the node's: another key may have arrived between two steps.
        """
        with _error_in(outcome):
            key = None if outcome.error else self._accepted(minion_id)
            if key is not None and not same_key(key, pem):
                raise NodeFailed(_foreign_accepted(minion_id, key))
            if key is not None:
                return True
        return outcome.error is not None

    def holders(self, pem: str) -> list[str]:
        """Return notes on one key that a node reports; see ``holders_of``."""
        return self.holders_of({"": pem})[""]

    def holders_of(self, named: Mapping[str, str]) -> dict[str, list[str]]:
        """
        Return notes on keys that, as nodes report, their images' own minions used before those were stopped.

        ``named`` has such a key (PEM) for each minion id. For each of them, there is one sentence for each of the first
        few ids under which the key is pending or accepted. Nothing is deleted: a node could name the key of another
        machine that is about to be accepted.

        Every key of the master is read once, so ask for many nodes at once.
        """
        wanted = {}
        for minion_id, pem in named.items():
            with contextlib.suppress(NodeFailed):
                wanted[minion_id] = normal(check_public_key(pem))
        found: dict[str, list[str]] = {pem: [] for pem in wanted.values()}
        for state, minion_id, key in self._all_keys() if wanted else ():
            notes = found.get(normal(key))
            if notes is not None and len(notes) < HOLDERS_REPORTED:
                notes.append(_holder(state, minion_id, key))
        return {minion_id: list(found.get(wanted.get(minion_id, ""), ())) for minion_id in named}

    def _all_keys(self) -> Iterator[tuple[str, str, str]]:
        """Yield the state, the id and the key of every pending and accepted key."""
        if self._key_cache is not None:
            with contextlib.suppress(AttributeError):  # a cache driver that cannot return all keys at once
                entries = self._key_cache.list_all("keys", include_data=True)
                for state in (PENDING, ACCEPTED):
                    for minion_id, entry in entries.items():
                        if entry.get("state") == STATE_WORDS[state]:
                            yield state, minion_id, str(entry["pub"])
                return
        answer = self._wheel()["key.print"]("*")
        for state in (PENDING, ACCEPTED):
            for minion_id, key in answer.get(state, {}).items():
                yield state, minion_id, str(key)

    def _keys(self, minion_id: str) -> dict[str, list[str]]:
        """
        Return the keys stored under one id, by state, by reading only this id.

        Salt's wheel functions list every key of the master for it. The id is no path (the naming rules ensure that).
        """
        return self._key_files(minion_id) if self._are_files else self._cached_keys(minion_id)

    def _accepted(self, minion_id: str) -> str | None:
        """Return the accepted key of an id; None if there is none. This reads less than ``_keys``."""
        if self._are_files:
            return next(iter(self._key_files(minion_id, (ACCEPTED,)).get(ACCEPTED, ())), None)
        key = self._key_cache.fetch("keys", minion_id) or {}
        return str(key["pub"]) if key.get("state") == STATE_WORDS[ACCEPTED] else None

    def _key_files(self, minion_id: str, states: Iterable[str] = STATE_WORDS) -> dict[str, list[str]]:
        """Return the same from the files, for these states (default: all). Salt follows no links here."""
        found: dict[str, list[str]] = {}
        for state in states:
            path = self._directory / state / minion_id
            if not path.is_symlink():
                with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                    found[state] = [path.read_text(encoding="utf-8")]
        return found

    def _cached_keys(self, minion_id: str) -> dict[str, list[str]]:
        """Return the same from the key cache of Salt 3008."""
        key = self._key_cache.fetch("keys", minion_id) or {}
        found = {state: [str(key["pub"])] for state, word in STATE_WORDS.items() if key.get("state") == word}
        denied = self._key_cache.fetch("denied_keys", minion_id)
        return {**found, DENIED: list(denied)} if denied else found

    @functools.cached_property
    def _key_cache(self) -> Any:
        """
        The key cache of Salt 3008 with the master's configured driver; None for earlier versions, which use files.
        """
        driver = self._opts.get("keys.cache_driver")
        return salt.cache.Cache(self._opts, driver=driver) if driver else None

    @functools.cached_property
    def _are_files(self) -> bool:
        """
        Whether the keys are files: before Salt 3008, and with the default driver of 3008, which keeps the same files.

        To read them takes a tenth of the time of that driver's ``fetch``, which checks every part of every path.
        """
        return self._opts.get("keys.cache_driver") in (None, "", "localfs_key")

    @functools.cached_property
    def _directory(self) -> Path:
        """The directory of the key files; since 3007 there are clusters, whose masters share it."""
        return Path(self._opts["cluster_pki_dir" if self._opts.get("cluster_id") else "pki_dir"])

    def _deposit(self, minion_id: str, pem: str) -> None:
        """
        Store a public key that was made elsewhere as pending; no wheel function does that.

        Salt 3008 keeps keys in a cache with a configurable driver, and its ``key.gen_accept`` stores them like this.
        3006, 3007 and the default driver of 3008 keep files, and Salt itself writes them like this.
        """
        if not self._are_files:
            self._key_cache.store("keys", minion_id, {"pub": pem, "state": "pending"})
            return
        path = self._directory / PENDING / minion_id
        new = path.with_name(f".{minion_id}.hart-new")
        try:
            new.write_text(pem)
            new.rename(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
            raise EnvironmentFault(f"the key cannot be stored: {faults.sentence(error, path.parent)}") from error

    def delete(self, minion_ids: Iterable[str], *, connected: bool = True) -> None:
        """
        Delete the keys of these ids in any state, even denied, in one call.

        ``connected`` is False for keys that no minion ever authenticated with: then the master need not rotate the key
        that its connected minions share (default: True).
        """
        match: dict[str, list[str]] = {}
        for minion_id in minion_ids:
            for state in self._keys(minion_id):
                match.setdefault(state, []).append(minion_id)
        if match:
            self._delete(match, rotate=connected)

    def delete_own(self, fingerprints: Mapping[str, str | None]) -> None:
        """
        Delete, in one call, the keys of these ids that have the given fingerprints, or are the given public keys.

        Denied keys beside such a key are deleted too, because the id could not be used again otherwise: they arrived
        while that key held the id. The same applies to denied keys under an id without any other key.
        """
        match: dict[str, list[str]] = {}
        for minion_id, wanted in fingerprints.items():
            keys = self._keys(minion_id) if wanted else {}
            for state in _own_states(keys, functools.partial(has_fingerprint, wanted)):
                match.setdefault(state, []).append(minion_id)
        if match:
            self._delete(match, rotate=True)

    def delete_one(self, minion_id: str, pem: str, *, connected: bool) -> None:
        """Delete the key of one id; see ``delete_each``."""
        self.delete_each({minion_id: OwnKey(pem, connected)})

    def delete_each(self, own: Mapping[str, OwnKey]) -> dict[str, None]:
        """
        Delete the keys of these ids that are the nodes' own, with the denied keys beside them.

        Another machine's key stays. The store is opened at most twice: for keys that were used, and for others.
        Returns the ids.
        """
        match: dict[bool, dict[str, list[str]]] = {True: {}, False: {}}
        for minion_id, key in own.items():
            for state in self._states_of(minion_id, key):
                match[key.connected].setdefault(state, []).append(minion_id)
        for connected, states in match.items():
            if states:
                self._delete(states, rotate=connected)
        return dict.fromkeys(own)

    def _states_of(self, minion_id: str, own: OwnKey) -> set[str]:
        """Return the states of the keys under one id to delete with its node."""
        keys = self._keys(minion_id)
        states = _own_states(keys, lambda key: same_key(key, own.pem))
        if own.connected and all(same_key(key, own.pem) for key in keys.get(ACCEPTED, [])):
            states |= keys.keys() & {PENDING, DENIED}
        return states

    def _delete(self, match: Mapping[str, Sequence[str]], *, rotate: bool) -> None:
        """
        Delete keys by state and exact id, as the wheel function ``key.delete_dict`` does.

        Without ``rotate``, no minion ever authenticated with the keys. Then Salt has no data of it in its cache either,
        and need not list all keys to find the data that it can remove.
        """
        with self._store(**({} if rotate else {"rotate_aes_key": False})) as store:
            if not rotate:
                store.check_minion_cache = lambda **_: None
            store.delete_key(match_dict=match)

    @contextmanager
    def _store(self, **more: Any) -> Iterator[Any]:
        """
        Open the key store as the wheel functions ``key.accept_dict`` and ``key.delete_dict`` do, for their one call.

        The functions end by listing all keys of the master, half a second for 10,000 keys, for a return value that hart
        does not use; here that is left out. A wheel function cannot have options of its own either: all of Salt's
        loaders in a process share their modules and the options in them, and a loader without key rotation would
        disable it in all others.
        """
        with salt.key.get_key({**self._sending, **more}) as store:
            store.dict_match = lambda _: {}
            store.event = self._events
            if self._key_cache is not None:
                store.cache = self._key_cache  # its own one would load Salt's cache drivers again
            yield store

    @functools.cached_property
    def _events(self) -> KeyEvents:
        return KeyEvents(self._sending)

    def connected(self) -> AbstractContextManager[None]:
        """Report all changes over one connection until the block ends, for calls that open the store often."""
        return self._events.kept()

    @functools.cached_property
    def _sending(self) -> dict[str, Any]:
        """The options for the key store, as a plain dictionary: Salt's own takes milliseconds for each copy."""
        return {**self._opts, **SENDING}

    def _wheel(self) -> Any:
        """
        Return Salt's wheel functions, to be called directly.

        WheelClient would put arguments and results on the event bus; the loader does not.
        """
        if self._wheels is None:
            self._wheels = salt.loader.wheels(self._opts)
        return self._wheels

    def master_key(self) -> str:
        """Return the master's public key. Raises Salt's own error if there is none."""
        # The name of the single key differs between Salt versions.
        (public_key,) = self._wheel()["key.master_key_str"]()["local"].values()
        return str(public_key)


def _own_states(keys: Mapping[str, Sequence[str]], own: Callable[[str], bool]) -> set[str]:
    """Return the states of the keys under one id to delete with a node whose key is ``own``."""
    states = {state for state in (ACCEPTED, PENDING) if any(own(key) for key in keys.get(state, []))}
    if DENIED in keys and (states or keys.keys() == {DENIED}):
        states.add(DENIED)
    return states


@contextmanager
def _error_in(outcome: Acceptance) -> Iterator[None]:
    """Keep an error as the outcome of one key: the others go on."""
    try:
        yield
    except Exception as error:
        outcome.error = error


def _replaced(state: str, key: str) -> str:
    return f"a foreign key that was {STATE_WORDS[state]} under this id was replaced: {fingerprint(key)}"


def _holder(state: str, minion_id: str, key: str) -> str:
    return (
        f"the node reports that its image started its own minion, whose key {fingerprint(key)} is {STATE_WORDS[state]} "
        f"as {minion_id}: disable salt-minion in the image, and if no other machine has this key, delete it with "
        f"salt-key -d {shlex.quote(minion_id)}"
    )


def _foreign_accepted(minion_id: str, key: str) -> str:
    return (
        f"another key is already accepted as {minion_id}: {fingerprint(key)}; hart did not touch it: if it is "
        f"not yours, delete it with salt-key -d {minion_id}, and check auto_accept and autosign_file"
    )
