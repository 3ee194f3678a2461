"""
The records of nodes, and when each role was last scaled.

A record is written before its instance is requested and removed after its instance is gone, so any crash leaves a
record. Records hold no secret.
"""

from __future__ import annotations

import functools
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

from hart_salt.base import faults, servers
from hart_salt.base.errors import BrokenRecord, EnvironmentFault, HartError
from hart_salt.model import Instance, IpAddress, NodePlace, Place

#: the setting of the store, and those of some drivers
SETTING = "the setting cache in the master config"
LOGINS = {
    "redis": "cache.redis.password in the master config",
    "mysql": "mysql.user and mysql.password in the master config",
    "etcd": "etcd.username and etcd.password in the master config",
}
DATABASES = {
    "redis": "cache.redis.db in the master config",
    "mysql": "mysql.database in the master config",
}

BANK = "hart/nodes"
#: when each role was last scaled
ROLES = "hart/roles"
#: the claims of batches, where leases coordinate several masters
BATCHES = "hart/batches"
#: what is remembered of declared fleets, by fleet: what was seen, who holds it, when it was changed
FLEETS, HOLDS, CHANGES = "hart/fleets", "hart/holds", "hart/changes"
#: the end of every key: Salt 3006 and 3007 strip each ``p`` and ``.`` from the end of the keys that they list
SUFFIX = ".node"
#: the stage of a minion's record during its import: its machine existed before, and the sweep never deletes it
IMPORTING = "importing"
#: the driver whose instances are processes of one machine
LOCAL = "local"
READY = "ready"
#: the kind of a record whose node exists only until there is an image of it; the others are ``minion`` and ``master``
BAKE = "bake"
#: of a record that is not in the store, for an instance that was found
UNKNOWN = "unknown"
#: the format of records that this hart writes and reads; it increases when an older hart must not touch a record
FORMAT = 1


@dataclass(frozen=True)
class Record:
    """The record of a node. Times are seconds since the epoch; durations are seconds."""

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
    #: True once nothing temporary is left on the node and at the provider
    sealed: bool = False
    #: True: the node failed and was kept because of ``keep_failed``; the sweep does not touch it
    kept: bool = False
    error: str | None = None
    log: str | None = None
    minion_key_finger: str | None = None
    #: ``minion``, or ``master`` for a salt-master, which has no key in this master's store
    kind: str = "minion"
    master_key_finger: str | None = None
    ssh_host_keys: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    #: additional addresses that ``hart.add_ip`` added, by ``kind``, ``ip`` and ``handle``
    addresses: list[dict[str, str]] = field(default_factory=list)
    #: the session of the call that works on the node, or that was the last one to do so; None: no session wrote it
    session: str | None = None
    #: the machine that a node of ``local`` belongs to; None for every other node
    machine: str | None = None
    #: who created or imported it, as Salt reported it; None: unknown
    by: str | None = None
    #: the price of its size when it was created, before tax, and the currency; None: unknown
    monthly_price: float | None = None
    currency: str | None = None
    #: what it was made from, and when it is due to be destroyed: see ``Node``; None: unknown, and never
    digest: str | None = None
    ends: float | None = None
    #: True: hart does not destroy the node. Its instance has a mark of that as well, and either one is enough
    protected: bool = False

    @property
    def place(self) -> NodePlace:
        """The place of the node; it is not a field of its own in the store."""
        return NodePlace(self.provider, self.region, self.zone, self.size)


def is_same(one: Record | None, other: Record | None) -> bool:
    """Return whether two records say the same of a node, whichever call works on it."""
    if one is None or other is None:
        return one is other
    return replace(one, session=None) == replace(other, session=None)


def instance_of(record: Record) -> Instance | None:
    """Return the instance of a record, as far as the record knows it; None if it has none yet."""
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
    """Return the additional addresses in a record."""
    return [IpAddress(one["kind"], one["ip"], one["handle"]) for one in record.addresses]


class Cache(Protocol):
    """The used part of ``salt.cache.Cache``. Writes of one key are atomic; nothing else is."""

    def store(self, bank: str, key: str, data: Any) -> None: ...
    def fetch(self, bank: str, key: str) -> Any: ...
    def flush(self, bank: str, key: str) -> None: ...
    def list(self, bank: str) -> list[str]: ...
    def contains(self, bank: str, key: str) -> bool: ...
    def fetch_all(self, bank: str) -> Mapping[str, Any]:
        """Return the data of every key; None means that the key must be fetched by itself."""

    def risks(self) -> Sequence[str]:
        """Return why the store can lose records, a phrase each."""


@dataclass(frozen=True)
class Records:
    """All records at one moment, by minion id."""

    good: Mapping[str, Record]
    #: records that exist but cannot be used, each with a sentence that says why and what to do
    broken: Mapping[str, str]


class Store:
    """
    The records of this master, and of all masters that share its cache.

    Every method raises ``EnvironmentFault`` if the store cannot be used.
    """

    def __init__(self, cache: Cache, place: Place | None = None) -> None:
        self._cache = cache
        self._place = place or Place()

    @property
    def place(self) -> str:
        """The location of the records, in words."""
        return self._place.words

    @property
    def shared(self) -> bool:
        """Whether the records are in a store that other masters can use, too."""
        return self._place.shared

    def put(self, record: Record) -> None:
        """Write a record, replacing the record of the same minion id."""
        with self._asked("written"):
            self._cache.store(BANK, record.minion_id + SUFFIX, {**vars(record), "format": FORMAT})

    def get(self, minion_id: str) -> Record | None:
        """Return the record of an id, or None if there is none. Raises ``BrokenRecord`` if it cannot be used."""
        try:
            data = self._cache.fetch(BANK, minion_id + SUFFIX)
        except HartError:
            raise
        except Exception as error:
            self._keys()  # a store that does not answer at all is not a fault of this record
            raise self._broken(minion_id, _why(error)) from error
        if not data and not self._is_there(minion_id):
            return None
        try:
            return _read(minion_id, data)
        except ValueError as error:
            raise self._broken(minion_id, str(error)) from None

    def read(self) -> Records:
        """Return every record, ordered by minion id; a broken record does not hide the others."""
        good: dict[str, Record] = {}
        broken: dict[str, str] = {}
        for key, data in sorted(self._everything().items()):
            if not key.endswith(SUFFIX):
                continue
            minion_id = key.removesuffix(SUFFIX)
            try:
                record = as_written(minion_id, data) or self.get(minion_id)
            except BrokenRecord as error:
                broken[minion_id] = str(error)
            else:
                good.update({minion_id: record} if record else {})
        return Records(good, broken)

    def all(self) -> list[Record]:
        """Return every usable record, ordered by minion id."""
        return list(self.read().good.values())

    def ids(self) -> list[str]:
        """Return the ids of all records, also of those that cannot be read."""
        with self._asked("listed"):
            return sorted(key.removesuffix(SUFFIX) for key in self._keys())

    def remove(self, minion_id: str) -> None:
        """Remove a record, even a broken one; a record that is gone is a success."""
        file = self._file(minion_id)
        with self._asked("written"):
            if file is not None and file.is_dir():
                shutil.rmtree(file)
            self._cache.flush(BANK, minion_id + SUFFIX)

    def scaled(self, role: str, now: float) -> None:
        """Store the time at which a role was scaled."""
        with self._asked("written"):
            self._cache.store(ROLES, role + SUFFIX, {"scaled": now})

    def last_scaled(self, role: str) -> float | None:
        """Return when a role was last scaled, in seconds since the epoch; None if it never was or the time is lost."""
        try:
            scaled = float(self._cache.fetch(ROLES, role + SUFFIX)["scaled"])
            return scaled if math.isfinite(scaled) else None
        except (KeyError, TypeError, ValueError):
            return None
        except Exception:
            self._keys()
            return None

    def put_batch(self, batch: str, facts: Mapping[str, Any]) -> None:
        """Write the claim of a batch."""
        with self._asked("written"):
            self._cache.store(BATCHES, batch + SUFFIX, dict(facts))

    def batches(self) -> dict[str, dict[str, Any]]:
        """Return the claims of all batches. One that was removed while they were read is not among them."""
        with self._asked("read"):
            keys = [key for key in self._cache.list(BATCHES) if key.endswith(SUFFIX)]
            found = {key.removesuffix(SUFFIX): self._cache.fetch(BATCHES, key) for key in keys}
        return {batch: dict(facts) for batch, facts in found.items() if facts and isinstance(facts, Mapping)}

    def has_batch(self, batch: str) -> bool:
        """Return whether the claim of a batch is in the store."""
        with self._asked("read"):
            return bool(self._cache.fetch(BATCHES, batch + SUFFIX))

    def remove_batch(self, batch: str) -> None:
        """Remove the claim of a batch."""
        with self._asked("written"):
            self._cache.flush(BATCHES, batch + SUFFIX)

    def recall(self, bank: str, key: str) -> dict[str, Any]:
        """Return what is remembered under a key of a bank such as ``FLEETS``; empty if nothing is, or it is broken."""
        with self._asked("read"):
            found = self._cache.fetch(bank, key + SUFFIX)
        return dict(found) if isinstance(found, Mapping) else {}

    def remember(self, bank: str, key: str, data: Mapping[str, Any]) -> None:
        """Remember plain data under a key; empty data is forgotten."""
        with self._asked("written"):
            if data:
                self._cache.store(bank, key + SUFFIX, dict(data))
            else:
                self._cache.flush(bank, key + SUFFIX)

    def check(self) -> Sequence[str]:
        """
        Write, read and remove an entry, and return why the store can lose records, a phrase each.

        Raises ``EnvironmentFault`` if that fails.
        """
        key = f"check-{os.getpid()}"
        with self._asked("written"):
            self._cache.store(ROLES, key, {"check": key})
        with self._asked("read"):
            self._cache.fetch(ROLES, key)
        with self._asked("written"):
            self._cache.flush(ROLES, key)
        self._keys()
        return self._cache.risks()

    def _keys(self) -> list[str]:
        with self._asked("read"):
            if self._place.directory is not None:
                # Salt treats a directory without read permission as empty.
                _look_into(self._place.directory / BANK)
            return list(self._cache.list(BANK))

    def _everything(self) -> Mapping[str, Any]:
        with self._asked("read"):
            return self._cache.fetch_all(BANK)

    def _file(self, minion_id: str) -> Path | None:
        """Return the path of an id's record; None if records are not files."""
        directory = self._place.directory
        return None if directory is None else directory / BANK / f"{minion_id}{SUFFIX}.p"

    def _is_there(self, minion_id: str) -> bool:
        """Return whether anything exists under an id: for a directory Salt returns the same as for nothing."""
        file = self._file(minion_id)
        if file is None:
            with self._asked("read"):
                possible = self._cache.contains(BANK, minion_id + SUFFIX)
            # The list of all keys decides, but it is not read for a new id: a call can have a thousand of them.
            return possible and minion_id + SUFFIX in self._keys()
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
            f"it, and {removal} removes only the record",
        )

    @contextmanager
    def _asked(self, doing: str) -> Iterator[None]:
        """
        Raise every exception of the cache as a fault of the store; each of Salt's cache drivers raises its own types.
        """
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
        driver = self._place.words.partition(" ")[0]
        usable = f"check that it runs, that the user {faults.user()} may use it, and {SETTING}"
        said = servers.failure(
            _why(error), settings=SETTING, login=LOGINS.get(driver, SETTING), database=DATABASES.get(driver, SETTING),
            other=usable,
        )  # fmt: skip
        return f"{self._place.words}: {said}"


#: the kinds of the fields that hold one value, by their annotation
_PLAIN: Mapping[str, tuple[type, ...]] = {
    "str": (str,), "str | None": (str, type(None)), "bool": (bool,), "float": (float,),
}  # fmt: skip
_MIXED: Mapping[str, Callable[[Any], bool]] = {
    "float | None": lambda value: value is None or _is_finite(value),
    "list[str]": lambda value: type(value) is list and all(map(_is_plain, value)),
    "dict[str, float]": lambda value: (
        type(value) is dict and all(map(_is_plain, value)) and all(map(_is_finite, value.values()))
    ),
    "list[dict[str, str]]": lambda value: value == [],
}
_KINDS = {one.name: _PLAIN[str(one.type)] for one in fields(Record) if one.type in _PLAIN}
_CHECKS = {one.name: _MIXED[str(one.type)] for one in fields(Record) if one.name not in _KINDS}
_REQUIRED = frozenset(one.name for one in fields(Record) if one.default is one.default_factory is MISSING)


def as_written(minion_id: str, data: Any) -> Record | None:
    """
    Return a stored record that is plainly as ``put`` writes it; None if it needs the strict and slower ``_read``.

    Checking it like this takes a tenth of the time, which counts with thousands of records.
    """
    if type(data) is not dict or data.get("minion_id") != minion_id or data.pop("format", None) != FORMAT:
        return None
    for name, value in data.items():
        kinds = _KINDS.get(name)
        if kinds is None:
            if name not in _CHECKS or not _CHECKS[name](value):
                return None
        elif type(value) not in kinds or (type(value) is str and not value.isascii()):
            return None
    if not (data.keys() >= _REQUIRED and math.isfinite(data["created"])):
        return None
    return Record(**data)


def _is_plain(value: Any) -> bool:
    return type(value) is str and value.isascii()


def _is_finite(value: Any) -> bool:
    return type(value) is float and math.isfinite(value)


def _look_into(directory: Path) -> None:
    try:
        os.scandir(directory).close()
    except FileNotFoundError:
        return


def _why(error: Exception) -> str:
    """Return what went wrong, in the words of the error, or of the one that a driver of Salt's cache wrapped."""
    if type(error).__name__ == "SaltCacheError" and isinstance(error.__context__, Exception):
        return _why(error.__context__)
    if len(error.args) == 2 and isinstance(error.args[0], int) and isinstance(error.args[1], str):
        return error.args[1] or type(error).__name__  # of mysql: the number of the error, and its text
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
    Return the stored record. Fields that this hart does not know are ignored.

    Raises ``ValueError``, with what is wrong, if it is not a record, or has a newer format that older versions must not
    use.
    """
    if not isinstance(data, Mapping):
        raise ValueError("it is not a mapping")  # noqa: TRY004 - one kind of error for all that is wrong
    form = data.get("format", FORMAT)
    if form != FORMAT:
        raise ValueError(f"it has format {str(form)[:20]}, but this hart supports only {FORMAT}: a newer hart wrote it")
    try:
        # Through JSON, because it is the only input from which Pydantic makes a dataclass with strict types.
        record = _form().validate_json(json.dumps(dict(data), allow_nan=False), strict=True)
    except TypeError:
        raise ValueError("it holds data that no record holds") from None
    except ValidationError as error:  # a subclass of ValueError; others come from numbers such as NaN
        found = sorted({f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()})
        raise ValueError("; ".join(found[:3])) from None
    if record.minion_id != minion_id:
        raise ValueError("it belongs to another minion id")
    if any(not {"kind", "ip", "handle"} <= set(one) for one in record.addresses):
        raise ValueError("addresses: each needs kind, ip and handle")
    return record
