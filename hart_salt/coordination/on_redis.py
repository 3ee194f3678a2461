"""Leases in redis: the lock of redis-py, a key with a random value and a time to live."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.exceptions import LockError, RedisError
from redis.lock import Lock
from redis.retry import Retry

from hart_salt.base.errors import EnvironmentFault
from hart_salt.coordination.contract import SOCKET_TIMEOUT, Lease, unusable

T = TypeVar("T")


class RedisEngine:
    """One redis server."""

    def __init__(self, url: str, words: str) -> None:
        """
        Make the connection's pool; nothing is sent yet.

        Raises ``ValueError`` if redis-py does not understand the URL.
        """
        self.words = words
        self._tls = url.lower().startswith("rediss:")
        #: without retries of redis-py: a lease is renewed again soon, and a claim must answer soon
        self.client: redis.Redis = redis.Redis.from_url(
            url, socket_timeout=SOCKET_TIMEOUT, socket_connect_timeout=SOCKET_TIMEOUT, retry=Retry(NoBackoff(), 0)
        )

    def take(self, name: str, seconds: float, *, brief: bool = False, holder: str = "") -> Lease | None:
        """Take a lease; see the contract. The value of its key is ``holder``, or random."""
        lock = Lock(self.client, name, timeout=seconds, thread_local=False)
        taken = self.call(lambda: lock.acquire(blocking=False, token=holder or None))
        return RedisLease(self, name, lock) if taken else None

    def free(self, names: Collection[str], holder: str) -> None:
        """Free the leases of a dead call; the server compares the value again when it deletes a key."""
        for name, value in self._values(names).items():
            if value == holder.encode():
                with suppress(LockError):
                    self.call(functools.partial(Lock(self.client, name).do_release, holder))

    def living(self, names: Collection[str]) -> frozenset[str]:
        """Return the names that are held; all are looked up in one request."""
        return frozenset(self._values(names))

    def _values(self, names: Collection[str]) -> dict[str, bytes]:
        if not names:
            return {}
        wanted = list(names)
        values: Any = self.call(lambda: self.client.mget(wanted))
        return {name: value for name, value in zip(wanted, values, strict=True) if value is not None}

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def call(self, work: Callable[[], T]) -> T:
        """Return the result of ``work``. Raises ``EnvironmentFault`` if the server cannot be used."""
        try:
            return work()
        except LockError:
            raise
        except (RedisError, OSError) as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> EnvironmentFault:
        return unusable(self.words, error, tls=self._tls)


class RedisLease:
    """A lease that was taken."""

    def __init__(self, engine: RedisEngine, name: str, lock: Lock) -> None:
        self.name = name
        self._engine = engine
        self._lock = lock

    def renew(self) -> bool:
        """Begin its time again; return False if it was lost."""
        try:
            return bool(self._engine.call(self._lock.reacquire))
        except LockError:
            return False

    def has_ended(self) -> bool:
        """Return False: it does not depend on a connection."""
        return False

    def release(self) -> bool:
        """Give it back; return whether the key still had this lease's value."""
        try:
            self._engine.call(self._lock.release)
        except LockError:
            return False
        return True
