"""
A role's nodes in memory: two providers, records, keys and minions that keep state like the real ones.

The code that takes snapshots, locks, counts, restores and drains is real. Only creating and destroying nodes is
simulated, on the same state, and each test checks what is left.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import HartError, Refused
from hart_salt.base.gate import Gate
from hart_salt.config.settings import Settings
from hart_salt.inventory import rebuild
from hart_salt.inventory.context import Context
from hart_salt.inventory.flocks import FileLocks
from hart_salt.inventory.identity import Found
from hart_salt.inventory.records import READY, ROLES, Record, Store, instance_of
from hart_salt.inventory.snapshot import Snapshot, take_snapshot
from hart_salt.master.applied import Applied
from hart_salt.master.client import Master
from hart_salt.master.keys import ACCEPTED, Keys
from hart_salt.master.minions import Minions
from hart_salt.model import Instance, MasterInfo
from hart_salt.operations import scale
from hart_salt.operations.fleet import Outcomes, TargetSize
from hart_salt.operations.scale import Order, Outcome, Scaling
from tests.functional.fakes import EmptyDriver
from tests.parts import master_info
from tests.unit.inventory.test_records import MemoryCache

NOW = 2_000_000_000.0
#: where new nodes are created
PROVIDER, REGION = "east", "r1"


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = NOW
        self.waited = 0.0

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.waited += seconds


class FakeDriver(EmptyDriver):
    """A provider whose lists can have gaps."""

    def __init__(self, name: str, info: MasterInfo) -> None:
        super().__init__(name, info)
        self.there: dict[str, Instance] = {}
        #: by instance id, how many more lists miss it
        self.gaps: dict[str, float] = {}
        self.fault: HartError | None = None
        self.lists = 0

    def instances(self, region: str | None = None) -> list[Instance]:
        if self.fault:
            raise self.fault
        self.lists += 1
        missed = [name for name, left in self.gaps.items() if left > 0]
        self.gaps = {name: left - 1 for name, left in self.gaps.items()}
        return [one for name, one in self.there.items() if name not in missed]

    def instance(self, instance: Instance) -> Instance | None:
        return self.there.get(instance.instance_id)

    def terminate(self, instance: Instance) -> None:
        self.there.pop(instance.instance_id, None)


class FakeMaster:
    """The key store, and minions that are drained before they are removed."""

    def __init__(self) -> None:
        self.keys = self.minions = self
        self.accepted: set[str] = set()
        #: each minion that was drained, and how
        self.drained: list[tuple[str, Any]] = []
        #: by minion id, the problems of its drain, or the exception to raise
        self.problems: dict[str, list[str] | Exception] = {}
        #: called when a minion is drained
        self.meanwhile: Callable[[], object] = lambda: None

    def states(self) -> dict[str, tuple[str, ...]]:
        return dict.fromkeys(self.accepted, (ACCEPTED,))

    def accepted_finger(self, minion_id: str) -> str | None:
        return f"finger of {minion_id}"

    def delete(self, minion_ids: Sequence[str]) -> None:
        self.accepted -= set(minion_ids)

    def apply(self, minion_id: str, states: str | Sequence[str], timeout: float) -> Applied:
        return Applied(self._obey(minion_id, states))

    def call(
        self, minion_id: str, function: str, args: Sequence[Any], kwargs: Mapping[str, Any], timeout: float
    ) -> list[str]:
        return self._obey(minion_id, (function, args, kwargs))

    def _obey(self, minion_id: str, what: Any) -> list[str]:
        if minion_id not in self.accepted:
            return ["the minion gave no answer"]
        self.drained.append((minion_id, what))
        self.meanwhile()
        answer = self.problems.get(minion_id, [])
        if isinstance(answer, Exception):
            raise answer
        return answer


REAL = (Master, Keys, Minions)
assert all(any(hasattr(one, name) for one in REAL) for name in vars(FakeMaster) if not name.startswith("_"))


@dataclass(frozen=True)
class Up:
    """The result of a create call: how many nodes come up, and whether a signal ends it."""

    number: int
    signum: int | None = None


class World:
    """A master with two providers, ``east`` and ``west``, and the failures to inject."""

    def __init__(self, root: Path) -> None:
        self.clock = Clock()
        self.master = FakeMaster()
        self.info = master_info(root)
        self.cache = MemoryCache()
        self.store = Store(self.cache)
        self.locks = FileLocks(str(root))
        master: Any = self.master  # has the part of a real one that is asked for here, see above
        self.context = Context(master, self.info, self.store, self.locks, Gate())
        self.clouds = {name: FakeDriver(name, self.info) for name in ("east", "west")}
        #: the changes of the fleet, in order
        self.log: list[str] = []
        #: by region: settings of its nodes
        self.settings: dict[str, Settings] = {}
        #: the results of the create calls, in order; later calls succeed
        self.creations: list[Up | HartError] = []
        #: nodes that cannot be destroyed, and the signal that ends it
        self.stuck: set[str] = set()
        self.cut: int | None = None
        #: a node whose settings cannot be found, and why
        self.settings_fault: tuple[str, HartError] | None = None
        #: False: leftovers of dead calls cannot be removed
        self.sweeps = True
        #: called when nodes are created or destroyed; may raise
        self.on_create: Callable[[], None] = lambda: None
        self.on_destroy: Callable[[], None] = lambda: None
        #: the lowest number of instances after nodes were destroyed
        self.fewest = 10**6
        #: locks of living calls
        self.living = contextlib.ExitStack()
        self._added = self._named = 0

    # what exists

    def add(self, *minion_ids: str, **facts: Any) -> None:
        """Add nodes that are ready, the oldest first; ``facts`` change their records."""
        for minion_id in minion_ids:
            self._added += 1
            record = Record(
                minion_id, PROVIDER, "local", REGION, "s", READY, self.info.owner, "b1", NOW - 10_000 + self._added,
                role="app", instance_id=f"i-{minion_id}", sealed=True,
            )  # fmt: skip
            self._put(replace(record, **facts))

    def _put(self, record: Record) -> None:
        self.store.put(record)
        instance = instance_of(record)
        if instance is not None:
            self.clouds[record.provider].there[instance.instance_id] = replace(instance, state="running")
        if record.stage == READY:
            self.master.accepted.add(record.minion_id)

    def add_coming(self, *minion_ids: str, stage: str = "bootstrapping", **facts: Any) -> None:
        """Add nodes that another, living call brings up."""
        for minion_id in minion_ids:
            self.add(minion_id, stage=stage, **{"sealed": False, **facts})
            self.living.enter_context(self.locks.claim(minion_id))

    def add_unrecorded(self, *minion_ids: str, **facts: Any) -> None:
        """Add instances that only their tags describe."""
        self.add(*minion_ids, **facts)
        for minion_id in minion_ids:
            self.store.remove(minion_id)

    def add_dead(self, minion_id: str, **facts: Any) -> None:
        """Add an instance without a record, of a call that died on this machine."""
        with self.locks.batch(f"b-{minion_id}", {"provider": PROVIDER}) as claim:
            claim.keep = True
        self.add_unrecorded(minion_id, stage="launching", batch=f"b-{minion_id}", created=NOW, **facts)

    def lose_instance(self, minion_id: str) -> None:
        del self.clouds[PROVIDER].there[f"i-{minion_id}"]

    @property
    def ids(self) -> list[str]:
        """Return the ids of all instances."""
        return sorted(one.minion_id for cloud in self.clouds.values() for one in cloud.there.values())

    def state(self) -> dict[str, Any]:
        """Return everything that a call could change."""
        return {
            "instances": self.ids, "records": {one.minion_id: one for one in self.store.all()},
            "keys": sorted(self.master.accepted), "scaled": dict(self.cache.banks.get(ROLES, {})),
            "dead": sorted(self.locks.dead_batches()), "drained": list(self.master.drained), "log": list(self.log),
        }  # fmt: skip

    def is_role_free(self, role: str = "app") -> bool:
        with self.locks.role(role, wait=False) as held:
            return held

    # the calls

    def scale(
        self, goal: TargetSize | int, *, remove: str = "newest", cooldown: float = 0.0, wait: bool = False, **order: Any
    ) -> Outcome:
        wanted = TargetSize(count=goal) if isinstance(goal, int) else goal
        return self._scaling(**order).scale(wanted, remove=remove, cooldown=cooldown, wait=wait)

    def replace(self, batch: int = 1, *, wait: bool = False, **order: Any) -> Outcome:
        return self._scaling(**order).replace(batch, wait=wait, check=lambda ready: None)

    def _scaling(self, **order: Any) -> Scaling:
        what = Order("app", **order)
        return Scaling(
            what, self.context, self._look, lambda count, test: self._make(what, count, test), self._end,
            self._settings_of, self._sweep_dead, self._restore, self.clouds.__getitem__, self.clock.sleep,
        )  # fmt: skip

    # the functions that a call gets, as in service.py

    def _look(self, provider: str | None) -> Snapshot:
        asked = [cloud for name, cloud in self.clouds.items() if provider in (None, name)]
        seen = take_snapshot(asked, self.store, self.context.master)
        if seen.problems:
            raise Refused("; ".join(seen.problems))
        return seen

    def _make(self, order: Order, count: int, test: bool) -> Outcomes:
        names = [f"new{self._named + number}" for number in range(1, count + 1)]
        if test:
            return Outcomes({name: {"result": None, "action": "create"} for name in names})
        self._named += count
        self.log.append(f"create {count}")
        self.on_create()
        end = self.creations.pop(0) if self.creations else Up(count)
        if isinstance(end, HartError):
            raise end
        up = names[: end.number]
        self.add(*up, provider=order.provider or PROVIDER, region=order.region or REGION)
        ok = len(up) == count and end.signum is None
        return Outcomes({name: {"result": name in up} for name in names}, ok, end.signum)

    def _end(self, records: Sequence[Record]) -> Outcomes:
        names = [record.minion_id for record in records]
        self.log.append(f"destroy {','.join(names)}")
        self.on_destroy()
        gone = [record for record in records if record.minion_id not in self.stuck]
        for record in gone:
            self._remove(record)
        self.fewest = min(self.fewest, len(self.ids))
        data = {record.minion_id: {"result": record in gone} for record in records}
        return Outcomes(data, len(gone) == len(records) and self.cut is None, self.cut)

    def _remove(self, record: Record) -> None:
        instance = instance_of(record)
        assert instance is not None
        self.clouds[record.provider].terminate(instance)
        self.master.delete([record.minion_id])
        self.store.remove(record.minion_id)

    def _settings_of(self, record: Record) -> Settings:
        if self.settings_fault and self.settings_fault[0] == record.minion_id:
            raise self.settings_fault[1]
        return self.settings.get(record.region, Settings())

    def _sweep_dead(self) -> None:
        for batch in self.locks.dead_batches() if self.sweeps else ():
            for cloud in self.clouds.values():
                cloud.there = {name: one for name, one in cloud.there.items() if one.batch != batch}
            self.locks.forget_batch(batch)

    def _restore(self, lost: Sequence[Found], test: bool) -> Sequence[Record]:
        records = [rebuild.new_record(found, self.context) for found in lost]
        if not test:
            rebuild.write(records, self.context)
        return records


@contextmanager
def open_world(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Yield a world with the clock of the calls; locks of living calls in it end with it."""
    world = World(root)
    monkeypatch.setattr(scale, "time", world.clock)
    with world.living:
        yield world


def numbers(outcome: Outcome) -> tuple[int, int]:
    """Return how many nodes there were, and how many there are."""
    return outcome.data["before"], outcome.data["after"]
