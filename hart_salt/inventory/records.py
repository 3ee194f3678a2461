"""
Records of nodes, and when a role was last scaled.

A record is written before its instance is asked for and removed after its instance is gone: after any
crash there is something to go by. Records hold no secret.
"""

from __future__ import annotations

import functools
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

from hart_salt.base import faults
from hart_salt.base.errors import BrokenRecord, EnvironmentFault, HartError
from hart_salt.model import Instance, IpAddress, NodePlace, Place

BANK = "hart/nodes"
#: when each role was last scaled
ROLES = "hart/roles"
#: ends every key: Salt 3006 and 3007 strip each ``p`` and ``.`` from the end of the keys that they list
SUFFIX = ".node"
#: the stage of a record whose minion is being imported: its machine was there before, and sweep never ends it
IMPORTING = "importing"
READY = "ready"
#: the form of records that this hart writes and reads; it grows when an older hart must leave a record alone
FORMAT = 1


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
    #: True: it failed and was kept as ``keep_failed`` wants it; sweep leaves it
    kept: bool = False
    error: str | None = None
    log: str | None = None
    minion_key_finger: str | None = None
    #: ``minion``, or ``master`` for a salt-master, which has no key in this master's store
    kind: str = "minion"
    master_key_finger: str | None = None
    ssh_host_keys: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    #: further addresses that ``hart.add_ip`` gave it, by ``kind``, ``ip`` and ``handle``
    addresses: list[dict[str, str]] = field(default_factory=list)

    @property
    def place(self) -> NodePlace:
        """Where it is; no field of its own in the store."""
        return NodePlace(self.provider, self.region, self.zone, self.size)


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


def addresses_of(record: Record) -> list[IpAddress]:
    """The further addresses that a record knows of."""
    return [IpAddress(one["kind"], one["ip"], one["handle"]) for one in record.addresses]


class Cache(Protocol):
    """The part of ``salt.cache.Cache`` that is used. Writes of one key are atomic; nothing else is."""

    def store(self, bank: str, key: str, data: Any) -> None: ...
    def fetch(self, bank: str, key: str) -> Any: ...
    def flush(self, bank: str, key: str) -> None: ...
    def list(self, bank: str) -> list[str]: ...


@dataclass(frozen=True)
class Records:
    """All records at one moment, by minion id."""

    good: Mapping[str, Record]
    #: those that are there and cannot be used, each with a sentence that says why and what to do
    broken: Mapping[str, str]


class Store:
    """
    The records of this master, and of all masters that share its cache.

    Every method raises ``EnvironmentFault`` where the store cannot be used.
    """

    def __init__(self, cache: Cache, place: Place | None = None) -> None:
        self._cache = cache
        self._place = place or Place()

    @property
    def place(self) -> str:
        """Where the records are, in words."""
        return self._place.words

    def put(self, record: Record) -> None:
        """Write a record, over any that its minion id has."""
        with self._asked("written"):
            self._cache.store(BANK, record.minion_id + SUFFIX, {**asdict(record), "format": FORMAT})

    def get(self, minion_id: str) -> Record | None:
        """Return the record of an id, or None: there is none. Raises ``BrokenRecord`` for one that cannot be used."""
        try:
            data = self._cache.fetch(BANK, minion_id + SUFFIX)
        except Exception as error:
            self._keys()  # a store that does not answer at all is no fault of this record
            raise self._broken(minion_id, _why(error)) from error
        if not data and not self._is_there(minion_id):
            return None
        try:
            return _read(minion_id, data)
        except ValueError as error:
            raise self._broken(minion_id, str(error)) from None

    def read(self) -> Records:
        """Return every record, ordered by minion id; one that is broken keeps nobody from the others."""
        good: dict[str, Record] = {}
        broken: dict[str, str] = {}
        for key in sorted(key for key in self._keys() if key.endswith(SUFFIX)):
            minion_id = key.removesuffix(SUFFIX)
            try:
                record = self.get(minion_id)
            except BrokenRecord as error:
                broken[minion_id] = str(error)
            else:
                good.update({minion_id: record} if record else {})
        return Records(good, broken)

    def all(self) -> list[Record]:
        """Return every record that can be used, ordered by minion id."""
        return list(self.read().good.values())

    def remove(self, minion_id: str) -> None:
        """Remove a record, also a broken one; one that is gone is success."""
        file = self._file(minion_id)
        with self._asked("written"):
            if file is not None and file.is_dir():
                shutil.rmtree(file)
            self._cache.flush(BANK, minion_id + SUFFIX)

    def scaled(self, role: str, now: float) -> None:
        """Remember that a role was scaled."""
        with self._asked("written"):
            self._cache.store(ROLES, role + SUFFIX, {"scaled": now})

    def last_scaled(self, role: str) -> float | None:
        """When a role was last scaled, in seconds since the epoch; None: never, or nobody can tell any more."""
        try:
            scaled = float(self._cache.fetch(ROLES, role + SUFFIX)["scaled"])
            return scaled if math.isfinite(scaled) else None
        except (KeyError, TypeError, ValueError):
            return None
        except Exception:
            self._keys()
            return None

    def check(self) -> None:
        """Write something, read it and take it away. Raises ``EnvironmentFault`` where that does not work."""
        key = f"check-{os.getpid()}"
        with self._asked("written"):
            self._cache.store(ROLES, key, {"check": key})
        with self._asked("read"):
            self._cache.fetch(ROLES, key)
        with self._asked("written"):
            self._cache.flush(ROLES, key)
        self._keys()

    def _keys(self) -> list[str]:
        with self._asked("read"):
            if self._place.directory is not None:
                # Salt takes a directory that it may not look into for an empty one.
                _look_into(self._place.directory / BANK)
            return list(self._cache.list(BANK))

    def _file(self, minion_id: str) -> Path | None:
        """Where the record of an id is, as a file; None: it is none."""
        directory = self._place.directory
        return None if directory is None else directory / BANK / f"{minion_id}{SUFFIX}.p"

    def _is_there(self, minion_id: str) -> bool:
        """Whether there is anything under an id: what Salt gives for nothing it gives for a directory, too."""
        file = self._file(minion_id)
        if file is None:
            return minion_id + SUFFIX in self._keys()
        try:
            with self._asked("read"):
                file.lstat()
        except EnvironmentFault as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return False
            raise
        return True

    def _broken(self, minion_id: str, why: str) -> BrokenRecord:
        file = self._file(minion_id)
        key = minion_id + SUFFIX
        removal = f"rm -r {file}" if file else f"salt-run cache.flush {BANK} key={key}"
        return BrokenRecord(
            minion_id,
            f"the record {BANK}/{key} is broken: {why}; salt-run hart.destroy {minion_id} destroys the node with "
            f"it, and {removal} removes the record alone",
        )

    @contextmanager
    def _asked(self, doing: str) -> Iterator[None]:
        """Whatever a cache raises is said as a fault of the store; each driver of Salt's raises what it likes."""
        try:
            yield
        except HartError:
            raise
        except Exception as error:
            raise EnvironmentFault(f"the record store cannot be {doing}: {self._reason(error)}") from error

    def _reason(self, error: Exception) -> str:
        found = faults.os_error_in(error)
        if self._place.directory is not None and found is not None:
            return faults.sentence(found, self._place.directory / BANK)
        return (
            f"{self._place.words}: {_why(error)}; see that it runs and that the user {faults.user()} may use it, and "
            "what the master config says of cache"
        )


def _look_into(directory: Path) -> None:
    try:
        os.scandir(directory).close()
    except FileNotFoundError:
        return


def _why(error: Exception) -> str:
    """What went wrong, in the words of who said so."""
    if isinstance(error, KeyError):
        return "Salt has no such cache driver here, or its Python module is not installed"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@functools.cache
def _form() -> TypeAdapter[Record]:
    return TypeAdapter(Record)


def _read(minion_id: str, data: Any) -> Record:
    """
    The record that is stored. Fields that this hart does not know are passed over.

    Raises ``ValueError``, with what is wrong, for what is none, and for one that a newer hart keeps from older ones.
    """
    if not isinstance(data, Mapping):
        raise ValueError("it is no mapping")  # noqa: TRY004 - one kind of error for all that is wrong
    form = data.get("format", FORMAT)
    if form != FORMAT:
        raise ValueError(f"it is of format {str(form)[:20]}, and this hart knows {FORMAT} only: a newer hart wrote it")
    try:
        # By way of JSON: Pydantic makes a dataclass of nothing else where kinds are to be exact.
        record = _form().validate_json(json.dumps(dict(data), allow_nan=False), strict=True)
    except TypeError:
        raise ValueError("it holds what no record holds") from None
    except ValidationError as error:  # a kind of ValueError; another one is a number that is none, such as NaN
        found = sorted({f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()})
        raise ValueError("; ".join(found[:3])) from None
    if record.minion_id != minion_id:
        raise ValueError("it is that of another minion id")
    if any(not {"kind", "ip", "handle"} <= set(one) for one in record.addresses):
        raise ValueError("addresses: each needs kind, ip and handle")
    return record
