"""
A master with its accounts, in memory, for operations that look at everything and remove some of it.

Accounts have instances of several owners, temporary resources, and lists with gaps; there are a key store, and minions
that answer or do not. All of it keeps state like the real ones, and each test checks what is left.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base import signals
from hart_salt.base.errors import InvalidRequest
from hart_salt.base.gate import Gate
from hart_salt.inventory.context import Context
from hart_salt.inventory.flocks import FileLocks
from hart_salt.inventory.records import Record, Store
from hart_salt.inventory.snapshot import Snapshot, take_snapshot
from hart_salt.master.client import Master
from hart_salt.master.keys import ACCEPTED, Keys
from hart_salt.master.minions import Minions
from hart_salt.model import Instance, Leftover, MasterInfo
from hart_salt.operations.sealing import NOT_SEALED
from hart_salt.operations.sweep import Sweep
from tests.functional.fakes import EmptyDriver, Fault
from tests.parts import master_info
from tests.unit.inventory.test_records import MemoryCache

OLD = 1_000_000_000.0  #: a date before any grace period
THEIRS = "f" * 16  #: another master
DEAD, LIVING, OVER = "b-dead", "b-living", "b-over"


class FakeDriver(EmptyDriver):
    """An account that several masters may share; only resources with this master's tag are listed."""

    def __init__(self, name: str, world: World) -> None:
        super().__init__(name, world.info)
        self.world = world
        self.there: dict[str, Instance] = {}
        #: by instance id, the owner in its tag; None: no tag
        self.owners: dict[str, str | None] = {}
        #: by instance id, how many more lists miss it
        self.gaps: dict[str, int] = {}
        self.temporary: dict[str, Leftover] = {}
        #: ids of instances to which a temporary resource is attached
        self.attached: set[str] = set()

    def _step(self, name: str) -> None:
        self.world.step(f"{name} {self.provider.name}")

    def _is_shown(self, instance_id: str) -> bool:
        self.gaps[instance_id] = self.gaps.get(instance_id, 0) - 1
        return self.gaps[instance_id] < 0 and self.owners[instance_id] == self.master.owner

    def instances(self, region: str | None = None) -> list[Instance]:
        self._step("list")
        return [instance for instance in list(self.there.values()) if self._is_shown(instance.instance_id)]

    def instance(self, instance: Instance) -> Instance | None:
        self._step("look for one at")
        return self.there.get(instance.instance_id)

    def terminate(self, instance: Instance) -> None:
        self.world.step(f"terminate {instance.instance_id}")
        self.there.pop(instance.instance_id, None)
        self.attached.discard(instance.instance_id)

    def leftovers(self) -> list[Leftover]:
        self._step("leftovers")
        return list(self.temporary.values())

    def remove(self, leftover: Leftover) -> None:
        self.world.step(f"remove {leftover.handle}")
        if any(self.there[instance_id].batch == leftover.batch for instance_id in self.attached):
            raise InvalidRequest(f"{leftover.name} is in use")
        self.temporary.pop(leftover.handle, None)

    def settle(self, instance: Instance) -> None:
        self.world.step(f"settle {instance.instance_id}")
        self.attached.discard(instance.instance_id)


class FakeMaster:
    """The key store, the minions, and the event bus."""

    def __init__(self, world: World) -> None:
        self._world = world
        #: by minion id and state, the fingerprint of the key
        self.stored: dict[str, dict[str, str]] = {}
        #: by minion id, from which question on it answers
        self.answers_from: dict[str, int] = {}
        self.questions = 0
        #: ids of minions that still have temporary access of their bootstrap
        self.unsealed: set[str] = set()
        #: exit code and output of the seal script; if the code is not 0, it changed nothing
        self.seal_answer = (0, "")
        self.fired: list[str] = []
        self.keys = self.minions = self

    def states(self) -> dict[str, tuple[str, ...]]:
        self._world.step("keys")
        return {minion_id: tuple(keys) for minion_id, keys in self.stored.items()}

    def accepted_finger(self, minion_id: str) -> str | None:
        self._world.step("finger")
        return self.stored.get(minion_id, {}).get(ACCEPTED)

    def delete(self, minion_ids: Sequence[str], *, connected: bool = True) -> None:
        for minion_id in minion_ids:
            self.stored.pop(minion_id, None)

    def delete_own(self, fingerprints: Mapping[str, str | None]) -> None:
        self._world.step("delete keys")
        for minion_id, wanted in fingerprints.items():
            others = {state: key for state, key in self.stored.pop(minion_id, {}).items() if key != wanted}
            self.stored.update({minion_id: others} if others else {})

    def present(self, minion_ids: Sequence[str]) -> frozenset[str]:
        self._world.step("question")
        self.questions += 1
        never = self.questions + 1
        return frozenset(it for it in minion_ids if self.answers_from.get(it, never) <= self.questions)

    def shell_all(
        self, minion_ids: Sequence[str], script: str, arguments: Sequence[str]
    ) -> dict[str, tuple[int, str] | None]:
        self._world.step("shell")
        return {it: self._shell(it, arguments[1]) if it in self.answers_from else None for it in minion_ids}

    def _shell(self, minion_id: str, how: str) -> tuple[int, str]:
        if how == "look":
            return (NOT_SEALED if minion_id in self.unsealed else 0), ""
        if self.seal_answer[0] == 0:
            self.unsealed.discard(minion_id)
        return self.seal_answer

    def fire(self, tag: str, data: Any) -> None:
        self.fired.append(tag)

    def close(self) -> None:
        """Do nothing."""


REAL = (Master, Keys, Minions)
assert all(any(hasattr(one, name) for one in REAL) for name in vars(FakeMaster) if not name.startswith("_"))


class World:
    """Everything that exists, and what happens at which step."""

    def __init__(self, root: Path, stack: contextlib.ExitStack, *providers: str) -> None:
        self.info: MasterInfo = master_info(root)
        self.stack = stack
        #: by the name of a step: called when the step is reached, and may raise
        self.on: dict[str, Fault] = {}
        self.steps: list[str] = []
        self.drivers = {name: FakeDriver(name, self) for name in providers or ("cloud",)}
        self.master = FakeMaster(self)
        self.cache = MemoryCache()
        master: Any = self.master  # has what of the real ones is asked for here: see above
        self.context = Context(master, self.info, Store(self.cache), FileLocks(str(root)), Gate())
        self.locks = self.context.locks
        self.store = self.context.store
        self.interrupted: int | None = None
        self.heard = threading.Event()

    @property
    def cloud(self) -> FakeDriver:
        return self.drivers["cloud"]

    def step(self, name: str) -> None:
        """Reach a step, at which something may happen."""
        self.steps.append(name)
        self.on.get(name, lambda: None)()

    # what exists

    def instance(self, minion_id: str, provider: str = "cloud", *, owner: str | None = "", **changes: Any) -> Instance:
        """Add an instance. ``owner`` is in its tag (default: this master)."""
        given = {"batch": OVER, "created": OLD, **changes}
        instance = Instance(given.pop("instance_id", f"i-{minion_id}"), minion_id, "running", **given)
        self.drivers[provider].there[instance.instance_id] = instance
        self.drivers[provider].owners[instance.instance_id] = self.info.owner if owner == "" else owner
        return instance

    def record(self, minion_id: str, provider: str = "cloud", **changes: Any) -> Record:
        """Add a record of a node that became ready, unless the changes say otherwise."""
        ready = Record(
            minion_id, provider, "local", "r", "s", "ready", self.info.owner, OVER, OLD, instance_id=f"i-{minion_id}",
            sealed=True, minion_key_finger=f"finger of {minion_id}",
        )  # fmt: skip
        record = replace(ready, **changes)
        self.store.put(record)
        return record

    def node(self, minion_id: str, provider: str = "cloud", **changes: Any) -> Record:
        """Add a complete node: its instance, its accepted key and its record."""
        record = self.record(minion_id, provider, **changes)
        self.instance(minion_id, provider, batch=record.batch, created=record.created)
        self.accept(minion_id)
        return record

    def left(self, minion_id: str, provider: str = "cloud", **changes: Any) -> Record:
        """Add a complete node that never became ready."""
        return self.node(minion_id, provider, **{"stage": "enrolled", "sealed": False, **changes})

    def accept(self, minion_id: str) -> None:
        self.master.stored[minion_id] = {ACCEPTED: f"finger of {minion_id}"}

    def leftover(self, handle: str, batch: str = OVER, provider: str = "cloud", created: float | None = OLD) -> None:
        one = Leftover("SSH key", f"hart-{handle}", handle, batch, created=created)
        self.drivers[provider].temporary[handle] = one

    def dies(self, batch: str = DEAD, provider: str = "cloud") -> None:
        """Add an operation that died on this machine."""
        with self.locks.batch(batch, {"provider": provider}) as claim:
            claim.keep = True

    def lives(self, batch: str = LIVING, provider: str = "cloud") -> None:
        """Add an operation that is running on this machine."""
        self.stack.enter_context(self.locks.batch(batch, {"provider": provider}))

    def works_on(self, minion_id: str) -> None:
        """Let another operation work on a node."""
        self.stack.enter_context(self.locks.claim(minion_id))

    # the calls

    def sweep(self, *providers: str, grace: float = 0.0, **how: Any) -> dict[str, Any]:
        """Sweep these providers, or all."""
        chosen = {name: driver for name, driver in self.drivers.items() if name in (providers or self.drivers)}
        sweep = Sweep(chosen, self.context, sleep=lambda seconds: self.step(f"sleep {seconds:g}"))
        report, self.interrupted = sweep.run(grace=grace, **how)
        return report

    def look(self, present: Callable[[Sequence[str]], frozenset[str]] | None = None) -> Snapshot:
        """Return a snapshot of everything."""
        return take_snapshot(list(self.drivers.values()), self.store, self.context.master, present)

    def interrupt(self) -> None:
        """Send SIGTERM, and return when it was received: what is running continues with its cancellation pending."""
        os.kill(os.getpid(), signal.SIGTERM)
        assert self.heard.wait(60)

    # what is left

    def nodes(self) -> dict[str, str]:
        """Return what exists for each minion id: its instances, its record and its keys."""
        found: dict[str, str] = {}
        for driver in self.drivers.values():
            for instance in driver.there.values():
                found[instance.minion_id] = found.get(instance.minion_id, "") + "instance "
        for record in self.store.all():
            found[record.minion_id] = found.get(record.minion_id, "") + "record "
        for minion_id in self.master.stored:
            found[minion_id] = found.get(minion_id, "") + "key "
        return {minion_id: words.strip() for minion_id, words in sorted(found.items())}

    def temporary(self) -> list[str]:
        return sorted(handle for driver in self.drivers.values() for handle in driver.temporary)

    def claims(self) -> list[str]:
        """Return the batches of dead operations that are still known."""
        return sorted(self.locks.dead_batches())

    def everything(self) -> dict[str, Any]:
        """Return everything that a sweep could change, on this machine and elsewhere."""
        parts = [[d.there, d.owners, d.temporary, d.attached] for d in self.drivers.values()]
        files = {str(path): path.is_file() and path.read_text() for path in Path(self.info.cachedir).rglob("*")}
        master = [self.master.stored, self.master.unsealed, self.master.fired]
        return {"providers": repr(parts), "master": repr(master), "records": repr(self.cache.banks), "files": files}


WHOLE = "instance record key"


def names(orphans: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names in one list of a report."""
    return sorted(orphan["name"] for orphan in orphans)


@contextlib.contextmanager
def new_world(root: Path, monkeypatch: pytest.MonkeyPatch, *providers: str) -> Iterator[World]:
    """Yield a world whose locks are released at the end."""
    with contextlib.ExitStack() as stack:
        world = World(root, stack, *providers)
        hear = signals.Hearing.hear

        def heard(hearing: signals.Hearing, *arguments: Any) -> None:
            try:
                hear(hearing, *arguments)
            finally:
                world.heard.set()

        monkeypatch.setattr(signals.Hearing, "hear", heard)
        yield world
