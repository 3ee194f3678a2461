"""A node of an emulated cloud, with a minion that answers while its machine runs, for the tests of everyday verbs."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hart_salt.base.gate import Gate
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.context import Context
from hart_salt.inventory.flocks import FileLocks
from hart_salt.inventory.journal import Journal
from hart_salt.inventory.records import READY, Record, Store
from hart_salt.model import Instance
from hart_salt.node import answering
from hart_salt.operations.verbs import Verb, on_each
from tests.drivers.do import driver as do_driver
from tests.drivers.gce import driver as gce_driver
from tests.drivers.vultr import driver as vultr_driver
from tests.emulation.backend import recorded
from tests.parts import master_info
from tests.unit.inventory.test_records import MemoryCache

ID = "w1.example.com"
OTHER = "w2.example.com"
CLOUDS: dict[str, Any] = {"do": do_driver, "gce": gce_driver, "vultr": vultr_driver}
NO_EVENT = "no event"


@dataclass
class FakeMaster:
    """The minions of nodes in an emulated cloud, and the master's event bus."""

    #: returns the state of a node's machine
    state_of: Callable[[str], str]
    #: by minion id, the number of boots so far
    boots: dict[str, int] = field(default_factory=dict)
    #: minions that do not answer although their machines run
    silent: set[str] = field(default_factory=set)
    #: minions whose shell cannot be used
    mute: set[str] = field(default_factory=set)
    #: whether a minion that starts fires its event
    fires: bool = True
    #: called when a minion is asked
    meanwhile: Callable[[], None] = lambda: None
    on_start: Callable[[str], None] = lambda minion_id: None
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keys = self.minions = self

    def boot(self, minion_id: str) -> None:
        """Note that the node's machine has booted."""
        self.boots[minion_id] = self.boots.get(minion_id, 1) + 1
        if self.fires:
            self.on_start(minion_id)

    @contextlib.contextmanager
    def events(self, on_start: Callable[[str], None], on_answer: Callable[[str, str], None]) -> Iterator[None]:
        self.on_start = on_start
        yield

    def ping(self, minion_id: str, timeout: float) -> bool:
        return minion_id in self.present([minion_id])

    def present(self, minion_ids: Sequence[str]) -> frozenset[str]:
        self.meanwhile()
        return frozenset(one for one in minion_ids if one not in self.silent and self.state_of(one) == "running")

    def shell(self, minion_id: str, script: str, arguments: Sequence[str]) -> tuple[int, str] | None:
        assert (script, list(arguments)) == (answering.MARK, [])
        return None if minion_id in self.mute else (0, f"boot {self.boots.get(minion_id, 1)}")

    def fire(self, tag: str, data: dict[str, Any]) -> None:
        self.sent.append((tag, data))

    def close(self) -> None: ...


class Stage:
    """Ready nodes at a provider, with everything around them."""

    def __init__(self, cloud: Any, driver: Driver, own: Any, clock: Any, root: Path, minion_ids: Sequence[str]) -> None:
        self.cloud, self.driver, self.clock = cloud, driver, clock
        cloud.settings.power_after = 10.0
        self.master = FakeMaster(self._state_of)
        info = master_info(root)
        self.store = Store(MemoryCache())
        self.locks = FileLocks(str(root))
        self.journal = root / "history.jsonl"
        master: Any = self.master
        gate = Gate()
        self.context = Context(master, info, self.store, self.locks, gate, journal=Journal(self.journal, gate))
        for minion_id in minion_ids:
            own.launch(driver, own.node(minion_id))
        clock.advance(60)
        for one in driver.instances():
            driver.settle(one)
            self.store.put(self._record_of(one))
        self._hear_boots()

    def _record_of(self, one: Instance) -> Record:
        return Record(
            one.minion_id, self.driver.provider.name, self.driver.provider.driver, one.region or "", one.size or "",
            READY, self.context.info.owner, one.batch, 1.0, "app", zone=one.zone, instance_id=one.instance_id,
            public_ip=one.public_ip, private_ip=one.private_ip, sealed=True,
        )  # fmt: skip

    def _hear_boots(self) -> None:
        """Let the minion of a machine that is turned on boot."""
        backend = recorded(self.cloud.machines)
        names = {record.instance_id: record.minion_id for record in self.store.all()}

        def boots(do: Callable[[str], None]) -> Callable[[str], None]:
            def work(instance_id: str) -> None:
                do(instance_id)
                self.master.boot(names[instance_id])

            return work

        setattr(backend, "start", boots(backend.start))  # noqa: B010 - a method of one object
        setattr(backend, "restart", boots(backend.restart))  # noqa: B010

    def _state_of(self, minion_id: str) -> str:
        """Return the state without a call that an API would count."""
        self.cloud.machines.settle()
        record = self.record(minion_id)
        for one in self.cloud.instances():
            if str(one.id) == record.instance_id:
                powered = getattr(one, "powered", True) and not getattr(one, "stopped", False)
                return "running" if powered else "stopped"
        return "gone"

    def record(self, minion_id: str = ID) -> Record:
        found = self.store.get(minion_id)
        assert found is not None
        return found

    def instance(self, minion_id: str = ID) -> Instance:
        known = dataclasses.replace(self.driver.instances()[0], instance_id=self.record(minion_id).instance_id or "")
        found = self.driver.instance(known)
        assert found is not None
        return found

    def do(self, verb: Verb, *minion_ids: str, timeout: float = 60.0) -> tuple[dict[str, Any], int | None]:
        """Do the same with the nodes; by default with the first."""
        records = {name: self.record(name) for name in minion_ids or (ID,)}
        timeouts = dict.fromkeys(records, timeout)
        return on_each(verb, records, {self.driver.provider.name: self.driver}, self.context, timeouts)

    def events(self) -> list[str]:
        """Return the tags of the events so far."""
        return [tag for tag, _ in self.master.sent]

    def changes(self) -> list[str]:
        """Return the calls so far that changed something."""
        return [f"{call.method} {call.path}" for call in self.cloud.calls if call.method != "GET"]


@contextlib.contextmanager
def opened(name: str, root: Path, *minion_ids: str) -> Iterator[Stage]:
    """Open a cloud with these nodes."""
    own, clock = CLOUDS[name], do_driver.Time()
    with own.open_cloud(clock) as cloud:
        yield Stage(cloud, own.driver_of(cloud, clock), own, clock, root, minion_ids or (ID,))
