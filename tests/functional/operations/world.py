"""
A world in memory for operations: providers, a key store, records and locks, which keep state like the real ones.

A test injects a failure at a step, by the name of the step, and checks what is left.
"""

from __future__ import annotations

import dataclasses
import inspect
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base import signals
from hart_salt.base.gate import Gate
from hart_salt.inventory.context import Context
from hart_salt.inventory.flocks import FileLocks
from hart_salt.inventory.records import READY, SUFFIX, Record, Store
from hart_salt.master.client import Master
from hart_salt.master.keys import ACCEPTED, Keys
from hart_salt.master.minions import Minions
from hart_salt.model import RESERVED, Candidate, Instance, IpAddress
from tests.functional.fakes import EmptyDriver, Fault
from tests.parts import master_info
from tests.unit.inventory.test_records import MemoryCache

CLOUD = "cloud"  #: the default provider of a node
BATCH = "b1"  #: the batch of all nodes
ANOTHER_MASTER = "fedcba9876543210"


class World:
    """
    Everything that exists, and the failures to inject.

    Steps: ``list <provider>``, ``look up <instance id>``, ``terminate <instance id>`` and ``terminated`` after it,
    ``take <ip>``, ``delete keys``, ``claimed <minion id>``, ``fetch <minion id>``, ``flush <minion id>``.
    """

    def __init__(self, root: Path, providers: Sequence[str] = (CLOUD,)) -> None:
        self.info = master_info(root)
        #: by the name of a step: called when the step is reached, and may raise
        self.faults: dict[str, Fault] = {}
        #: fingerprints of accepted keys, by minion id
        self.keys: dict[str, str] = {}
        #: how often the master rotated its AES key
        self.rotations = 0
        #: minions that answer
        self.answering: set[str] = set()
        #: what was removed, in order: ``instance i-web``
        self.gone: list[str] = []
        #: stages on the event bus, with their data
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.drivers = {name: FakeDriver(name, self) for name in providers}
        self.cache = _Cache(self)
        self.store = Store(self.cache)
        self.locks = _Locks(self, str(root))
        master: Any = FakeMaster(self)
        self.context = Context(master, self.info, self.store, self.locks, Gate())

    def step(self, name: str) -> None:
        """Reach a step, at which a failure may be injected."""
        self.faults.get(name, lambda: None)()

    def start(self, minion_id: str, provider: str = CLOUD, **changes: Any) -> Record:
        """
        Make a node that is ready: its instance, its key and its record, which is returned.

        ``changes`` are fields of the record only, such as ``instance_id=None`` for a lost answer.
        """
        instance = self.drivers[provider].run(minion_id)
        self.keys[minion_id] = finger(minion_id)
        record = Record(
            minion_id, provider, "local", "local", "shared", READY, self.info.owner, instance.batch, 1.0, "app",
            zone=instance.zone, instance_id=instance.instance_id, sealed=True, minion_key_finger=finger(minion_id),
        )  # fmt: skip
        record = dataclasses.replace(record, **changes)
        self.store.put(record)
        return record

    def die(self, batch: str) -> None:
        """Leave the claim of an operation that died."""
        with self.locks.batch(batch, {"provider": CLOUD}) as claim:
            claim.keep = True

    def left(self) -> dict[str, list[str]]:
        """Return what exists, at all providers, of all owners."""
        instances = [name for driver in self.drivers.values() for name in driver.account]
        records = [record.minion_id for record in self.store.all()]
        return {"instances": sorted(instances), "keys": sorted(self.keys), "records": records}


def finger(minion_id: str) -> str:
    """Return the fingerprint of a node's own key."""
    return f"finger of {minion_id}"


def nodes(*minion_ids: str) -> dict[str, list[str]]:
    """Return what is left if only these nodes exist, completely."""
    return {"instances": [f"i-{one}" for one in minion_ids], "keys": [*minion_ids], "records": [*minion_ids]}


def interruption(monkeypatch: pytest.MonkeyPatch) -> Fault:
    """
    Return a fault that is SIGTERM; the work is cancelled when the step continues.

    For steps in threads of the work: the signal goes to the main thread, which waits for it.
    """
    heard = threading.Event()
    hear = signals.Hearing.hear

    def hear_and_report(self: signals.Hearing, signum: int, frame: Any = None) -> None:
        hear(self, signum, frame)
        heard.set()

    monkeypatch.setattr(signals.Hearing, "hear", hear_and_report)

    def fault() -> None:
        # To the main thread by id: another thread would only note it until the main thread runs.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        assert heard.wait(300), "nobody heard the signal"

    return fault


@dataclasses.dataclass
class Machine:
    """An instance in the account."""

    owner: str
    instance: Instance


class FakeDriver(EmptyDriver):
    """A provider whose account two masters share; an id is unique only in its region and zone, as in real clouds."""

    def __init__(self, name: str, world: World) -> None:
        super().__init__(name, world.info)
        self.world = world
        #: by instance id, of all owners
        self.account: dict[str, Machine] = {}
        #: reserved addresses, and the instance that has each; empty: none
        self.reserved: dict[str, str] = {}

    def run(self, minion_id: str, instance_id: str = "", batch: str = BATCH, owner: str = "") -> Instance:
        """Start an instance, of another master if ``owner`` is given."""
        instance = Instance(instance_id or f"i-{minion_id}", minion_id, "running", "app", batch, "local", "z9")
        self.account[instance.instance_id] = Machine(owner or self.master.owner, instance)
        return instance

    def instances(self, region: str | None = None) -> list[Instance]:
        self.world.step(f"list {self.provider.name}")
        return [one.instance for one in self.account.values() if one.owner == self.master.owner]

    def instance(self, instance: Instance) -> Instance | None:
        self.world.step(f"look up {instance.instance_id}")
        machine = self.account.get(instance.instance_id)
        return machine.instance if machine is not None else None

    def candidates(self, minion_id: str, instance_id: str | None = None, region: str | None = None) -> list[Candidate]:
        machines = [one for one in self.account.values() if one.instance.minion_id == minion_id]
        return [Candidate(one.instance, minion_id, one.owner) for one in machines]

    def terminate(self, instance: Instance) -> None:
        self.world.step(f"terminate {instance.instance_id}")
        machine = self.account.get(instance.instance_id)
        if machine is not None and _place(machine.instance) == _place(instance):
            del self.account[instance.instance_id]
            self.reserved.update({ip: "" for ip, holder in self.reserved.items() if holder == instance.instance_id})
            self.world.gone.append(f"instance {instance.instance_id}")
        self.world.step("terminated")

    def remove_address(self, instance: Instance, address: IpAddress) -> None:
        assert address.kind == RESERVED, "any other belongs to its instance"
        self.world.step(f"take {address.ip}")
        if self.reserved.get(address.ip) == instance.instance_id:
            self.reserved[address.ip] = ""
            self.world.gone.append(f"address {address.ip}")


def _place(instance: Instance) -> tuple[str | None, str | None]:
    return instance.region, instance.zone


class FakeMaster:
    """The key store, the event bus and the minions."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.keys = self.minions = self

    def states(self) -> dict[str, tuple[str, ...]]:
        return dict.fromkeys(self._world.keys, (ACCEPTED,))

    def states_of(self, minion_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
        states = self.states()
        return {minion_id: states[minion_id] for minion_id in minion_ids if minion_id in states}

    def delete(self, minion_ids: Sequence[str], *, connected: bool = True) -> None:
        self._delete([one for one in minion_ids if one in self._world.keys])

    def accepted_finger(self, minion_id: str) -> str | None:
        return self._world.keys.get(minion_id)

    def stored(self, minion_id: str) -> dict[str, list[str]]:
        return {}

    def delete_own(self, fingerprints: Mapping[str, str | None]) -> None:
        self._delete([one for one, wanted in fingerprints.items() if wanted and self._world.keys.get(one) == wanted])

    def _delete(self, minion_ids: Sequence[str]) -> None:
        self._world.step("delete keys")
        for minion_id in minion_ids:
            del self._world.keys[minion_id]
            self._world.gone.append(f"key {minion_id}")
        self._world.rotations += bool(minion_ids)

    def present(self, minion_ids: Sequence[str]) -> frozenset[str]:
        return frozenset(minion_ids) & self._world.answering

    def fire(self, tag: str, data: dict[str, Any]) -> None:
        self._world.events.append((tag, data))

    def close(self) -> None:
        """Do nothing."""


def _has(real: type, name: str) -> bool:
    """Return whether the real function has the same parameters."""
    here, there = (inspect.signature(getattr(one, name, _has)).parameters for one in (FakeMaster, real))
    return list(here) == list(there)


assert all(any(_has(real, name) for real in (Master, Keys, Minions)) for name in vars(FakeMaster) if name[0] != "_")


class _Cache(MemoryCache):
    """The record store, which records when a record is removed."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def fetch(self, bank: str, key: str) -> Any:
        self._world.step(f"fetch {key.removesuffix(SUFFIX)}")
        return super().fetch(bank, key)

    def flush(self, bank: str, key: str) -> None:
        self._world.step(f"flush {key.removesuffix(SUFFIX)}")
        if key in self.list(bank):
            self._world.gone.append(f"record {key.removesuffix(SUFFIX)}")
        super().flush(bank, key)


class _Locks(FileLocks):
    """The real locks, with a step when a node is locked."""

    def __init__(self, world: World, cachedir: str) -> None:
        super().__init__(cachedir)
        self._world = world

    @contextmanager
    def claim(self, minion_id: str, new: Record | None = None) -> Iterator[bool]:
        with super().claim(minion_id, new) as written:
            self._world.step(f"claimed {minion_id}")
            yield written
