"""Leases in etcd: the lock of etcd3gw, a key that is bound to a lease of etcd's own."""

from __future__ import annotations

import functools
import math
import secrets
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, TypeVar

import etcd3gw.lease
from etcd3gw.client import Etcd3Client
from etcd3gw.exceptions import ConnectionFailedError, ConnectionTimeoutError, Etcd3Exception
from etcd3gw.lock import Lock
from requests import RequestException

from hart_salt.base.errors import EnvironmentFault
from hart_salt.coordination.contract import SOCKET_TIMEOUT, Lease, unusable

T = TypeVar("T")

#: so many names are looked up one by one; more of them with one request for all names
FEW = 3


class EtcdEngine:
    """One etcd server, or cluster behind one address."""

    def __init__(self, words: str, prefix: str, **arguments: Any) -> None:
        """
        Make the client; nothing is sent yet.

        ``prefix`` begins every name. ``arguments`` are those of etcd3gw's client.
        """
        self.words = words
        self._prefix = prefix
        self._tls = arguments.get("protocol") == "https"
        self._client = Etcd3Client(timeout=SOCKET_TIMEOUT, **arguments)
        # A session of requests is not made for several threads at once.
        self._mutex = threading.Lock()
        #: the leases of etcd's own, by their time in seconds
        self._leases: dict[int, etcd3gw.lease.Lease] = {}
        self._random = secrets.token_hex(16)

    def take(self, name: str, seconds: float, *, brief: bool = False, holder: str = "") -> Lease | None:
        """
        Take a lease; see the contract. etcd counts whole seconds.

        All leases of a call with the same time are keys with one lease of etcd's own: taking one more is one request.
        """
        lock = _HeldLock(self._prefix + name, math.ceil(seconds), self._client, holder or self._random)
        return EtcdLease(self, name, lock) if self.call(lambda: self._put(lock)) else None

    def _put(self, lock: Lock) -> bool:
        """Put the key of a lock if there is none."""
        known = self._leases.get(lock.ttl)
        lock.lease = known or self._grant(lock.ttl)
        try:
            return lock.acquire()
        except (ConnectionFailedError, ConnectionTimeoutError):
            raise
        except Etcd3Exception:
            if known is None:
                raise
        lock.lease = self._grant(lock.ttl)  # the known one has run out
        return lock.acquire()

    def _grant(self, ttl: int) -> etcd3gw.lease.Lease:
        self._leases[ttl] = self._client.lease(ttl)
        return self._leases[ttl]

    def free(self, names: Collection[str], holder: str) -> None:
        """Free the leases of a dead call; the server compares the value again when it deletes a key."""
        for name, value in self._values(names).items():
            if value == holder:
                self.call(_HeldLock(self._prefix + name, 1, self._client, holder).release)

    def living(self, names: Collection[str]) -> frozenset[str]:
        """Return the names that are held."""
        return frozenset(self._values(names))

    def _values(self, names: Collection[str]) -> dict[str, str]:
        """Return the value of each name that is held."""
        if len(names) <= FEW:
            values = {name: self.call(functools.partial(self._client.get, self._key(name))) for name in names}
            return {name: _text(value[0]) for name, value in values.items() if value}
        found = self.call(functools.partial(self._client.get_prefix, self._key(names_begin(names))))
        held = {_text(about["key"]): _text(value) for value, about in found}
        return {name: held[self._key(name)] for name in names if self._key(name) in held}

    def _key(self, name: str) -> str:
        return str(Lock(self._prefix + name, client=self._client).key)

    def close(self) -> None:
        """Close the connections, and revoke the leases of etcd's own: nothing needs them any more."""
        leases, self._leases = self._leases, {}
        for lease in leases.values():
            with suppress(EnvironmentFault):
                self.call(lease.revoke)
        self._client.session.close()

    def call(self, work: Callable[[], T]) -> T:
        """Return the result of ``work``. Raises ``EnvironmentFault`` if the server cannot be used."""
        try:
            with self._mutex:
                return work()
        except ConnectionFailedError as error:
            raise unusable(self.words, EnvironmentFault("it accepts no connection"), tls=self._tls) from error
        except ConnectionTimeoutError as error:
            raise unusable(
                self.words, EnvironmentFault(f"no answer within {SOCKET_TIMEOUT:g} s"), tls=self._tls
            ) from error
        except (Etcd3Exception, RequestException, OSError, ValueError, KeyError) as error:
            raise unusable(self.words, error, tls=self._tls) from error


def names_begin(names: Collection[str]) -> str:
    """Return what all names begin with."""
    first, last = min(names), max(names)
    same = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:same]


def _text(key: Any) -> str:
    return key.decode(errors="replace") if isinstance(key, bytes) else str(key)


class _HeldLock(Lock):
    """A lock whose value is the name of its holder, and whose key has a lease of etcd's own that exists already."""

    def __init__(self, name: str, ttl: int, client: Etcd3Client, holder: str) -> None:
        super().__init__(name, ttl, client=client)
        self._uuid = holder

    def acquire(self) -> bool:
        """Put the key if there is none."""
        return bool(self.client.create(self.key, self._uuid, lease=self.lease))


class EtcdLease:
    """A lease that was taken."""

    def __init__(self, engine: EtcdEngine, name: str, lock: Lock) -> None:
        self.name = name
        self._engine = engine
        self._lock = lock

    def renew(self) -> bool:
        """Begin its time again, with that of all others of this call; return False if it was lost."""
        return self._engine.call(self._lock.refresh) > 0 and self._engine.call(self._lock.is_acquired)

    def has_ended(self) -> bool:
        """Return False: it does not depend on a connection."""
        return False

    def release(self) -> bool:
        """Give it back; return whether the key still had this call's value."""
        return bool(self._engine.call(self._lock.release))
