"""
Records of nodes, and the locks that say which of them a living process works on.

A record is written before its instance is asked for and removed after its instance is gone: after any
crash there is something to go by. Records hold no secret.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

from hart_salt.errors import Refused
from hart_salt.model import Instance

BANK = "hart/nodes"
#: ends every key: Salt 3006 and 3007 strip each ``p`` and ``.`` from the end of the keys that they list
SUFFIX = ".node"


@dataclass(frozen=True)
class Record:
    """What is kept about a node. Times are seconds since the epoch; durations are seconds."""

    minion_id: str
    provider: str
    driver: str
    region: str
    size: str
    stage: str
    owner: str
    batch: str
    created: float
    role: str | None = None
    zone: str | None = None
    instance_id: str | None = None
    public_ip: str | None = None
    private_ip: str | None = None
    #: True once nothing temporary is left on the node and with the provider
    sealed: bool = False
    error: str | None = None
    log: str | None = None
    minion_key_finger: str | None = None
    ssh_host_keys: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def instance_of(record: Record) -> Instance | None:
    """The instance that a record is about, as far as the record knows it; None where it has none yet."""
    if not record.instance_id:
        return None
    return Instance(
        instance_id=record.instance_id,
        minion_id=record.minion_id,
        state="unknown",
        role=record.role,
        batch=record.batch,
        region=record.region,
        zone=record.zone,
        size=record.size,
        public_ip=record.public_ip,
        private_ip=record.private_ip,
        created=record.created,
    )


class Cache(Protocol):
    """The part of ``salt.cache.Cache`` that is used. Writes of one key are atomic; nothing else is."""

    def store(self, bank: str, key: str, data: Any) -> None: ...
    def fetch(self, bank: str, key: str) -> Any: ...
    def flush(self, bank: str, key: str) -> None: ...
    def list(self, bank: str) -> list[str]: ...


class Store:
    """The records of this master (of all masters that share its cache) and this machine's locks."""

    def __init__(self, cache: Cache, cachedir: str) -> None:
        self._cache = cache
        self._locks = Path(cachedir) / "hart" / "locks"

    def put(self, record: Record) -> None:
        """Write a record, over any that its minion id has."""
        self._cache.store(BANK, record.minion_id + SUFFIX, asdict(record))

    def get(self, minion_id: str) -> Record | None:
        """Return the record of an id, or None. Fields of a newer hart are passed over."""
        data = self._cache.fetch(BANK, minion_id + SUFFIX)
        known = {entry.name for entry in fields(Record)}
        return Record(**{key: value for key, value in data.items() if key in known}) if data else None

    def all(self) -> list[Record]:
        """Return every record, ordered by minion id."""
        keys = sorted(key for key in self._cache.list(BANK) if key.endswith(SUFFIX))
        found = (self.get(key.removesuffix(SUFFIX)) for key in keys)
        return [record for record in found if record is not None]

    def remove(self, minion_id: str) -> None:
        """Remove a record; one that is gone is success."""
        self._cache.flush(BANK, minion_id + SUFFIX)

    @contextmanager
    def claim(self, minion_id: str) -> Iterator[None]:
        """
        Hold the lock of a node while something is done to it.

        The kernel releases it when the process ends, however it ends. Raises ``Refused`` if another
        operation holds it.
        """
        self._locks.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._locks / f"{minion_id}.lock"
        descriptor = _lock(path)
        if descriptor is None:
            raise Refused(f"{minion_id} is being worked on by another operation: wait for it to end")
        try:
            yield
        finally:
            # Removed while held: whoever opened it meanwhile sees that the file is no longer the one there.
            path.unlink(missing_ok=True)
            os.close(descriptor)

    def busy(self, minion_id: str) -> bool:
        """Whether a living process holds the node's lock."""
        try:
            with (self._locks / f"{minion_id}.lock").open() as file:
                return not _flock(file.fileno(), fcntl.LOCK_SH)
        except FileNotFoundError:
            return False


def _lock(path: Path) -> int | None:
    """Lock a file that is at ``path`` for certain; None when it is locked by another."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _exclusive(descriptor):
            os.close(descriptor)
            return None
        try:
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)


def _exclusive(descriptor: int) -> bool:
    """Take the lock unless another operation has it; ``busy`` shares it for a moment, and is waited for."""
    while not _flock(descriptor, fcntl.LOCK_EX):
        if not _flock(descriptor, fcntl.LOCK_SH):
            return False
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def _flock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
