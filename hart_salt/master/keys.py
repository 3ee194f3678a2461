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
MAXIMUM_KEY_BITS = 16384  #: what OpenSSL itself takes
ACCEPT_ATTEMPTS = 3  #: a daemon that looks at a stranger's key may undo what was done meanwhile
HOLDERS_TOLD = 5  #: ids with the key of an image's own minion that a note is made of, at the most

#: Salt's names for the states of a key, as its wheel functions use them
ACCEPTED, PENDING, REJECTED, DENIED = "minions", "minions_pre", "minions_rejected", "minions_denied"
STATE_WORDS = {ACCEPTED: "accepted", PENDING: "pending", REJECTED: "rejected", DENIED: "denied"}


def check_public_key(pem: str) -> str:
    """
    Return ``pem``, written anew, if it is an RSA public key of 2048 to 16384 bits and nothing else.

    Salt itself would store garbage.

    Raises ``NodeFailed`` otherwise.
    """
    try:
        key = serialization.load_pem_public_key(pem.encode("ascii"))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise NodeFailed("what the node reported as its minion key is not a public key") from error
    if not isinstance(key, rsa.RSAPublicKey) or not MINIMUM_KEY_BITS <= key.key_size <= MAXIMUM_KEY_BITS:
        raise NodeFailed(f"the node's minion key is not an RSA key of {MINIMUM_KEY_BITS} to {MAXIMUM_KEY_BITS} bits")
    plain = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    # Text around a key is passed over by whatever reads it, and shown by whatever prints it.
    if not same_key(pem, plain):
        raise NodeFailed("what the node reported as its minion key holds more than a public key, or another form of it")
    return plain


def same_key(one: str, other: str) -> bool:
    """Compare keys as Salt does: line ends and blanks around the text do not count."""
    return one.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()


def fingerprint(pem: str) -> str:
    """The fingerprint of a stored key as this Salt's own ``salt-key -f`` shows it; its versions differ."""
    return str(salt.utils.crypt.pem_finger(key=pem.encode(), sum_type="sha256"))


def master_fingerprint(pem: str) -> str:
    """
    The fingerprint of a master's key, as ``master_finger`` of its minions wants it.

    ``salt-key -F master`` of Salt 3006 and 3007 shows the same; that of 3008 shows one that no minion would take.
    """
    # A file that is in memory only: no directory for temporary files need have room for it.
    with os.fdopen(os.memfd_create("hart-master-key"), "w") as file:
        file.write(pem.strip() + "\n")
        file.flush()
        return str(salt.utils.crypt.pem_finger(path=f"/proc/self/fd/{file.fileno()}", sum_type="sha256"))


class Keys:
    """The key store of the salt-master whose configuration ``opts`` is."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self._opts = opts
        self._wheels: Any = None

    def states(self) -> dict[str, tuple[str, ...]]:
        """Return, for every minion id in the key store, the states that a key of that id is in."""
        found: dict[str, tuple[str, ...]] = {}
        # Where no master ever ran there may be no such directory, which Salt before 3008 takes for granted.
        if not Path(self._opts["pki_dir"]).is_dir():
            return found
        listing = self._wheel()["key.list_all"]()
        for state in STATE_WORDS:
            for minion_id in listing.get(state, []):
                found[minion_id] = (*found.get(minion_id, ()), state)
        return found

    def accepted_finger(self, minion_id: str) -> str | None:
        """The fingerprint of the accepted key of an id; None: there is none."""
        return next((fingerprint(key) for key in self._keys(minion_id).get(ACCEPTED, [])), None)

    def accept(self, minion_id: str, pem: str) -> list[str]:
        """
        Make ``pem`` the accepted key of ``minion_id``, whatever was there but another accepted key.

        A key under the same id that is pending, rejected or denied is somebody's who came first: it is
        deleted and the node's takes its place; so it is again where somebody asks under the id at that very moment.
        Returns one sentence for each key that was replaced.

        Raises ``NodeFailed`` when another key is accepted already (it is left for the admin), or when the
        store does not hold ``pem`` as the only key afterwards.
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
            # Salt 3008 breaks with this over a key that is gone by then; whether ours is accepted is looked at.
            with contextlib.suppress(TypeError):
                self._wheel()["key.accept_dict"]({PENDING: [minion_id]})
        return replaced

    def holders(self, pem: str) -> list[str]:
        """
        What to tell of a key that a node says its image's own minion asked with, before that was stopped.

        Returns one sentence for each of the first few ids under which this key is pending or accepted. Nothing is
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
            f"the node says that its image started a minion of its own, whose key {fingerprint(key)} is "
            f"{STATE_WORDS[state]} as {minion_id}: disable salt-minion in the image, and if no other machine has this "
            f"key, delete it with salt-key -d {shlex.quote(minion_id)}"
            for state, minion_id, key in found[:HOLDERS_TOLD]
        ]

    def _confirm(self, minion_id: str, pem: str) -> None:
        """Somebody may have raced us between two steps; what is accepted now has to be the node's key."""
        keys = self._keys(minion_id).get(ACCEPTED, [])
        if not keys:
            raise NodeFailed(f"Salt did not accept the key of {minion_id}; see the master's log")
        if not same_key(keys[0], pem):
            raise NodeFailed(_foreign_accepted(minion_id, keys[0]))

    def _keys(self, minion_id: str) -> dict[str, list[str]]:
        """The keys stored under one id, by state. The id holds no glob characters (naming checks that)."""
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
        """The same by a look at this id alone: 3008's wheel function looks at each key of the master for it."""
        key = self._key_cache.fetch("keys", minion_id) or {}
        found = {state: [str(key["pub"])] for state, word in STATE_WORDS.items() if key.get("state") == word}
        denied = self._key_cache.fetch("denied_keys", minion_id)
        return {**found, DENIED: list(denied)} if denied else found

    @functools.cached_property
    def _key_cache(self) -> Any:
        """Where Salt 3008 keeps keys, with the driver that the master is set to; None: an earlier one, with files."""
        driver = self._opts.get("keys.cache_driver")
        return salt.cache.Cache(self._opts, driver=driver) if driver else None

    def _deposit(self, minion_id: str, pem: str) -> None:
        """
        Put a public key that was made elsewhere into the store, as pending: no wheel function does.

        Salt 3008 keeps keys in a cache whose driver is a setting, and its ``key.gen_accept`` stores them
        like this; 3006 and 3007 keep files, and Salt itself writes them like this.
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
        Delete the keys of these ids in whatever state, denied ones too, in one call.

        connected
            False for keys that no minion ever authenticated with: then the master need not rotate the key
            that its connected minions share (default True)
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
        Delete, in one call, the keys of these ids that have the fingerprint which is given with the id.

        What was denied beside such a key goes as well, or the id could not be used again: it asked while that key held
        the id. So does what was denied under an id that has no other key any more.
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
        Delete the key of one id where it is ``pem``, with what was denied beside it; a key that is another's stays.

        connected
            True where salt-minion was started: whatever waits or was denied under this id came after ``pem`` was
            accepted, and the node caused it, by making its key anew for one
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

        Not by that function: Salt's loaders of one process share their modules, and so the options in them.
        A loader made without rotation would take it from every other one.
        """
        opts = self._opts if rotate else dict(self._opts, rotate_aes_key=False)
        with salt.key.get_key(opts) as store:
            store.delete_key(match_dict=match)

    def _wheel(self) -> Any:
        """
        Salt's wheel functions, called directly.

        WheelClient would put arguments and results on the event bus; the loader does not.
        """
        if self._wheels is None:
            self._wheels = salt.loader.wheels(self._opts)
        return self._wheels

    def master_key(self) -> str:
        """The master's public key. Raises what Salt raises where there is none."""
        # The name of the single key differs between Salt versions.
        (public_key,) = self._wheel()["key.master_key_str"]()["local"].values()
        return str(public_key)


def _has_fingerprint(wanted: str | None, key: str) -> bool:
    return fingerprint(key) == wanted


def _own_states(keys: Mapping[str, Sequence[str]], own: Callable[[str], bool]) -> set[str]:
    """The states of the keys under one id that are to go with a node whose key is ``own``."""
    states = {state for state in (ACCEPTED, PENDING) if any(own(key) for key in keys.get(state, []))}
    if DENIED in keys and (states or keys.keys() == {DENIED}):
        states.add(DENIED)
    return states


def _foreign_accepted(minion_id: str, key: str) -> str:
    return (
        f"another key is accepted as {minion_id} already: {fingerprint(key)}; it was left for you: if it is "
        f"not yours, delete it with salt-key -d {minion_id}, and look at auto_accept and autosign_file"
    )
