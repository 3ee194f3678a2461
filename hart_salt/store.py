"""
Records of nodes, and when a role was last scaled.

A record is written before its instance is asked for and removed after its instance is gone: after any
crash there is something to go by. Records hold no secret.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Protocol

from hart_salt.model import Instance, IpAddress

BANK = "hart/nodes"
#: when each role was last scaled
ROLES = "hart/roles"
#: ends every key: Salt 3006 and 3007 strip each ``p`` and ``.`` from the end of the keys that they list
SUFFIX = ".node"
#: the stage of a record whose minion is being imported: its machine was there before, and sweep never ends it
IMPORTING = "importing"
READY = "ready"


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


class Store:
    """The records of this master, and of all masters that share its cache."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

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

    def scaled(self, role: str, now: float) -> None:
        """Remember that a role was scaled."""
        self._cache.store(ROLES, role + SUFFIX, {"scaled": now})

    def last_scaled(self, role: str) -> float | None:
        """When a role was last scaled, in seconds since the epoch; None: never."""
        data = self._cache.fetch(ROLES, role + SUFFIX)
        return float(data["scaled"]) if data else None
