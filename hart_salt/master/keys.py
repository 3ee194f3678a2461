"""
The key store: which minions are trusted. Acceptance, lookup and deletion are Salt's own.

Wheel functions are called directly: WheelClient would put arguments and results on the event bus; the loader does not.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import salt.cache
import salt.key
import salt.loader
import salt.utils.crypt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from hart_salt.base import faults
from hart_salt.base.errors import EnvironmentFault, NodeFailed

MINIMUM_KEY_BITS = 2048
MAXIMUM_KEY_BITS = 16384  #: OpenSSL's own limit
ACCEPT_ATTEMPTS = 3  #: a daemon that handles a foreign key may undo what happened in the meantime
HOLDERS_REPORTED = 5  #: the maximum number of ids in the notes on the key of an image's own minion

#: Salt's names for the states of a key, as its wheel functions use them
ACCEPTED, PENDING, REJECTED, DENIED = "minions", "minions_pre", "minions_rejected", "minions_denied"
STATE_WORDS = {ACCEPTED: "accepted", PENDING: "pending", REJECTED: "rejected", DENIED: "denied"}


def check_public_key(pem: str) -> str:
    """
    Return ``pem`` in normal form if it is an RSA public key of 2048 to 16384 bits and nothing else.

    Salt itself would store garbage.

    Raises ``NodeFailed`` otherwise.
    """
    try:
        key = serialization.load_pem_public_key(pem.encode("ascii"))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise NodeFailed("the node reported a minion key that is not a public key") from error
    if not isinstance(key, rsa.RSAPublicKey) or not MINIMUM_KEY_BITS <= key.key_size <= MAXIMUM_KEY_BITS:
        raise NodeFailed(f"the node's minion key is not an RSA key of {MINIMUM_KEY_BITS} to {MAXIMUM_KEY_BITS} bits")
    plain = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    # Text around a key is ignored by everything that reads the key, but shown by everything that prints it.
    if not same_key(pem, plain):
        raise NodeFailed("the node reported a minion key with other text beside it, or in an unusual form")
    return plain


def same_key(one: str, other: str) -> bool:
    """Return whether two keys are equal as Salt compares them: line ends and surrounding spaces do not count."""
    return one.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()


def fingerprint(pem: str) -> str:
    """Return the fingerprint of a stored key as this Salt's own ``salt-key -f`` shows it; Salt versions differ."""
    return str(salt.utils.crypt.pem_finger(key=pem.encode(), sum_type="sha256"))


def master_fingerprint(pem: str) -> str:
    """
    Return the fingerprint of a master's key, as the setting ``master_finger`` of its minions needs it.

    ``salt-key -F master`` of Salt 3006 and 3007 shows the same; 3008 shows one that no minion accepts.
    """
    # A file in memory, so no directory for temporary files needs free space.
    with os.fdopen(os.memfd_create("hart-master-key"), "w") as file:
        file.write(pem.strip() + "\n")
        file.flush()
        return str(salt.utils.crypt.pem_finger(path=f"/proc/self/fd/{file.fileno()}", sum_type="sha256"))


def drop_stale_list(opts: Mapping[str, Any]) -> None:
    """
    Remove the list of accepted keys that a master of Salt before 3008 keeps with ``key_cache: sched``.

    The master renews it once per ``loop_interval`` (default 60 s). Until then it sends no job to a minion whose key was
    accepted since. Without the file, Salt reads the keys themselves.
    """
    if opts.get("key_cache") and not opts.get("keys.cache_driver"):
        with contextlib.suppress(OSError):  # it may be gone; if it cannot be removed, the minion is asked again later
            (Path(opts["pki_dir"]) / ACCEPTED / ".key_cache").unlink()


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

    def accepted_finger(self, minion_id: str) -> str | None:
        """Return the fingerprint of an id's accepted key; None if there is none."""
        return next((fingerprint(key) for key in self._keys(minion_id).get(ACCEPTED, [])), None)

    def accept(self, minion_id: str, pem: str) -> list[str]:
        """
        Make ``pem`` the accepted key of ``minion_id``, unless another key is accepted.

        A pending, rejected or denied key with the same id was stored before by someone else: it is deleted and replaced
        by the node's key. This is repeated if another key arrives under the id at that very moment. Returns one
        sentence for each replaced key.

        Raises ``NodeFailed`` if another key is accepted already (it is left for the admin), or if ``pem`` is not the
        only stored key afterwards.
        """
        replaced: dict[str, None] = {}
        for _ in range(ACCEPT_ATTEMPTS):
            replaced |= dict.fromkeys(self._accept_once(minion_id, pem))
            if ACCEPTED in self._keys(minion_id):
                break
        self._confirm(minion_id, pem)
        return list(replaced)

    def _accept_once(self, minion_id: str, pem: str) -> list[str]:
        there = self._keys(minion_id)
        for key in there.get(ACCEPTED, []):
            if not same_key(key, pem):
                raise NodeFailed(_foreign_accepted(minion_id, key))
        replaced = [
            f"a foreign key that was {STATE_WORDS[state]} under this id was replaced: {fingerprint(key)}"
            for state in (PENDING, REJECTED, DENIED)
            for key in there.get(state, [])
            if not same_key(key, pem)
        ]
        stale = {state: [minion_id] for state in (PENDING, REJECTED, DENIED) if state in there}
        if stale:
            self._delete(stale, rotate=False)
        if ACCEPTED not in there:
            self._deposit(minion_id, pem)
            # Salt 3008 fails here if a key is gone by then; whether the node's key is accepted is checked later.
            with contextlib.suppress(TypeError):
                self._wheel()["key.accept_dict"]({PENDING: [minion_id]})
        return replaced

    def holders(self, pem: str) -> list[str]:
        """
        Return notes on a key that, as a node reports, its image's own minion used before that was stopped.

        There is one sentence for each of the first few ids under which this key is pending or accepted. Nothing is
        deleted: a node could name the key of another machine that is about to be accepted.
        """
        try:
            pem = check_public_key(pem)
        except NodeFailed:
            return []
        answer = self._wheel()["key.print"]("*")
        found = [
            (state, minion_id, str(key))
            for state in (PENDING, ACCEPTED)
            for minion_id, key in answer.get(state, {}).items()
            if same_key(str(key), pem)
        ]
        return [
            f"the node reports that its image started its own minion, whose key {fingerprint(key)} is "
            f"{STATE_WORDS[state]} as {minion_id}: disable salt-minion in the image, and if no other machine has this "
            f"key, delete it with salt-key -d {shlex.quote(minion_id)}"
            for state, minion_id, key in found[:HOLDERS_REPORTED]
        ]

    def _confirm(self, minion_id: str, pem: str) -> None:
        """Check that the accepted key is the node's, because another key may have arrived between two steps."""
        keys = self._keys(minion_id).get(ACCEPTED, [])
        if not keys:
            raise NodeFailed(f"Salt did not accept the key of {minion_id}; see the master's log")
        if not same_key(keys[0], pem):
            raise NodeFailed(_foreign_accepted(minion_id, keys[0]))

    def _keys(self, minion_id: str) -> dict[str, list[str]]:
        """
        Return the keys stored under one id, by state. The id has no glob characters (the naming rules ensure that).
        """
        if self._key_cache is not None:
            return self._cached_keys(minion_id)
        answer = self._wheel()["key.print"](minion_id)
        found: dict[str, list[str]] = {}
        for state in STATE_WORDS:
            keys = answer.get(state, {}).get(minion_id)
            if keys:
                found[state] = [keys] if isinstance(keys, str) else list(keys)
        return found

    def _cached_keys(self, minion_id: str) -> dict[str, list[str]]:
        """Return the same by reading only this id: the wheel function of 3008 reads every key of the master."""
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

    def _deposit(self, minion_id: str, pem: str) -> None:
        """
        Store a public key that was made elsewhere as pending; no wheel function does that.

        Salt 3008 keeps keys in a cache with a configurable driver, and its ``key.gen_accept`` stores them like this;
        3006 and 3007 keep files, and Salt itself writes them like this.
        """
        if self._key_cache is not None:
            self._key_cache.store("keys", minion_id, {"pub": pem, "state": "pending"})
            return
        path = Path(self._opts["pki_dir"]) / PENDING / minion_id
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
        states = self.states()
        match: dict[str, list[str]] = {}
        for minion_id in minion_ids:
            for state in states.get(minion_id, ()):
                match.setdefault(state, []).append(minion_id)
        if match:
            self._delete(match, rotate=connected)

    def delete_own(self, fingerprints: Mapping[str, str | None]) -> None:
        """
        Delete, in one call, the keys of these ids that have the given fingerprints.

        Denied keys beside such a key are deleted too, because the id could not be used again otherwise: they arrived
        while that key held the id. The same applies to denied keys under an id without any other key.
        """
        match: dict[str, list[str]] = {}
        for minion_id, wanted in fingerprints.items():
            keys = self._keys(minion_id) if wanted else {}
            for state in _own_states(keys, functools.partial(_has_fingerprint, wanted)):
                match.setdefault(state, []).append(minion_id)
        if match:
            self._delete(match, rotate=True)

    def delete_one(self, minion_id: str, pem: str, *, connected: bool) -> None:
        """
        Delete the key of one id if it is ``pem``, with the denied keys beside it; another machine's key stays.

        ``connected`` is True if salt-minion was started: then any pending or denied key under this id arrived after
        ``pem`` was accepted, and the node caused it, for instance by making a new key.
        """
        keys = self._keys(minion_id)
        states = _own_states(keys, lambda key: same_key(key, pem))
        if connected and all(same_key(key, pem) for key in keys.get(ACCEPTED, [])):
            states |= keys.keys() & {PENDING, DENIED}
        match = {state: [minion_id] for state in states}
        if match:
            self._delete(match, rotate=connected)

    def _delete(self, match: Mapping[str, Sequence[str]], *, rotate: bool) -> None:
        """
        Delete keys by state and exact id, as the wheel function ``key.delete_dict`` does.

        That function is not used, because all of Salt's loaders in a process share their modules and the options in
        them: a loader without key rotation would disable it in all others.
        """
        opts = self._opts if rotate else dict(self._opts, rotate_aes_key=False)
        with salt.key.get_key(opts) as store:
            store.delete_key(match_dict=match)

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


def _has_fingerprint(wanted: str | None, key: str) -> bool:
    return fingerprint(key) == wanted


def _own_states(keys: Mapping[str, Sequence[str]], own: Callable[[str], bool]) -> set[str]:
    """Return the states of the keys under one id to delete with a node whose key is ``own``."""
    states = {state for state in (ACCEPTED, PENDING) if any(own(key) for key in keys.get(state, []))}
    if DENIED in keys and (states or keys.keys() == {DENIED}):
        states.add(DENIED)
    return states


def _foreign_accepted(minion_id: str, key: str) -> str:
    return (
        f"another key is already accepted as {minion_id}: {fingerprint(key)}; hart did not touch it: if it is "
        f"not yours, delete it with salt-key -d {minion_id}, and check auto_accept and autosign_file"
    )
