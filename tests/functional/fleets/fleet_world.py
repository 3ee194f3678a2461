"""
A master with declared fleets, a fake cloud and fake minions that keep state.

Configuration, records, locks, keys, survey, planner, waves, drain and destroy are real. Only the bootstrap of new nodes
is simulated, on the same state, and each test checks what is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base import concurrency, signals
from hart_salt.base.errors import HartError, Interrupted
from hart_salt.base.stopping import Stop
from hart_salt.inventory.context import Context
from hart_salt.inventory.flocks import FileLocks
from hart_salt.inventory.records import READY, Record, Store
from hart_salt.master.client import Master
from hart_salt.master.minions import Minions
from hart_salt.model import IMAGE_AVAILABLE, BakedImage, Instance, MasterInfo, Node, Price, Size
from hart_salt.result import Result
from hart_salt.runners import hart as runner
from hart_salt.service import Service
from hart_salt.use_cases import fleets as use_case
from hart_salt.use_cases.images import Images
from tests.functional.fakes import Fault
from tests.functional.test_use_cases import Cloud, public_key
from tests.parts import master_opts

EAST, WEST = "east", "west"  #: the providers
NOW = 1_900_000_000.0
BATCH = "70000000aaaaaa"  #: of existing nodes; it began long ago
HART: dict[str, Any] = {
    "saltmaster": "salt.example.com",
    "providers": {EAST: {"driver": "local"}, WEST: {"driver": "local"}},
    "roles": {
        "app": {"provider": EAST, "size": "small", "region": "here", "drain": {"function": "app.leave"}},
        "db": {"provider": WEST, "size": "small", "region": "here"},
    },
    "fleets": {"web": {"role": "app", "count": 3, "repair_after": "10m"}},
}


class Clock:
    """Time that passes only if somebody waits."""

    def __init__(self) -> None:
        self.now = NOW
        #: called when somebody waits
        self.on_sleep: Fault = lambda: None

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.on_sleep()
        signals.check()
        self.now += seconds


class FleetCloud(Cloud):
    """A provider whose lists can have gaps, and whose calls can fail."""

    def __init__(self, name: str, info: MasterInfo, world: World) -> None:
        super().__init__(name, info)
        self.world = world
        #: by instance id, how many more lists miss it
        self.gaps: dict[str, float] = {}
        #: by instance id, when the provider takes a spot instance away
        self.taken: dict[str, float | None] = {}
        self.images_made: list[BakedImage] = []
        #: why its images cannot be listed
        self.image_error: HartError | None = None
        #: how often they were listed
        self.image_lists = 0

    def baked_images(self, region: str | None = None) -> list[BakedImage]:
        self.image_lists += 1
        if self.image_error:
            raise self.image_error
        return [one for one in self.images_made if not (region and one.regions) or region in one.regions]

    def instances(self, region: str | None = None) -> list[Instance]:
        self.world.step(f"list {self.provider.name}")
        missed = {name for name, left in self.gaps.items() if left > 0}
        self.gaps = {name: left - 1 for name, left in self.gaps.items()}
        return [one for one in super().instances(region) if one.instance_id not in missed]

    def instance(self, instance: Instance) -> Instance | None:
        if self.error:
            raise self.error
        return self.account.get(instance.instance_id)

    def terminate(self, instance: Instance) -> None:
        self.world.step(f"terminate {instance.instance_id}")
        there = self.account.get(instance.instance_id)
        super().terminate(instance)
        if there is not None:
            self.world.present.discard(there.minion_id)
            self.world.did.append(f"- {there.minion_id}")

    def interruptions(self, instances: Sequence[Instance]) -> dict[str, float | None]:
        return {one.instance_id: self.taken[one.instance_id] for one in instances if one.instance_id in self.taken}

    def sizes(self, region: str | None) -> Sequence[Size]:
        return [Size("small", 1024, 1.0, None, 5.0), Size("big", 4096, 4.0, None, 40.0)]

    def price(self, node: Node) -> Price | None:
        return Price(5.0, "USD")


class World:
    """
    The master and its accounts, and what happens at which step.

    Steps: ``list <provider>``, ``create``, ``terminate <instance id>``, ``drain <minion id>``.
    """

    def __init__(self, root: Path, stack: contextlib.ExitStack) -> None:
        self.opts = master_opts(root, hart=_copy(HART), pillar_roots={"base": [str(root)]})
        self.info = Master(self.opts).info()
        self.clouds = {name: FleetCloud(name, self.info, self) for name in HART["providers"]}
        self.stack = stack
        self.clock = Clock()
        #: minions that answer
        self.present: set[str] = set()
        #: called when a step is reached; it may raise
        self.on: dict[str, Fault] = {}
        #: what was done with nodes, in order: ``+ id``, ``drain id``, ``- id``
        self.did: list[str] = []
        #: the seconds that each drained minion had
        self.given: dict[str, float] = {}
        #: by minion id, why its drain fails
        self.drain_problems: dict[str, list[str]] = {}
        self.heard = threading.Event()
        #: what ends the call that creates nodes when its lease is lost
        self.stop = Stop()
        self._number = 0

    @property
    def cloud(self) -> FleetCloud:
        return self.clouds[EAST]

    @property
    def fleet(self) -> dict[str, Any]:
        """The declaration of the fleet ``web``, which the test can change."""
        found: dict[str, Any] = self.opts["hart"]["fleets"]["web"]
        return found

    @property
    def store(self) -> Store:
        return Store(Master(self.opts).cache())

    @property
    def locks(self) -> FileLocks:
        return FileLocks(self.info.cachedir)

    def step(self, name: str) -> None:
        self.on.get(name, lambda: None)()

    # what exists

    def start(self, *minion_ids: str, role: str = "app", provider: str = EAST, **changes: Any) -> Record:
        """Make ready nodes; return the record of the last one. ``changes`` are of records and instances."""
        for minion_id in minion_ids:
            region = str(changes.get("region", "here"))
            instance = Instance(
                f"i-{minion_id}", minion_id, str(changes.get("state", "running")), role, BATCH, region, None, "small",
                public_ip="203.0.113.7", created=NOW - 86400,
            )  # fmt: skip
            self.clouds[provider].account[instance.instance_id] = instance
            record = Record(
                minion_id, provider, "local", region, "small", READY, self.info.owner, BATCH, NOW - 86400.0, role,
                instance_id=instance.instance_id, sealed=True,
            )  # fmt: skip
            known = {one.name for one in dataclasses.fields(Record)}
            record = dataclasses.replace(record, **{key: it for key, it in changes.items() if key in known})
            self.store.put(record)
            self.accept(minion_id)
            self.present.add(minion_id)
        return record

    @property
    def keys(self) -> Path:
        """The directory of accepted keys."""
        return Path(self.opts["pki_dir"]) / "minions"

    def accept(self, minion_id: str) -> None:
        self.keys.mkdir(parents=True, exist_ok=True)
        (self.keys / minion_id).write_text(public_key())

    def works_on(self, minion_id: str) -> None:
        """Let another call work on a node."""
        self.stack.enter_context(self.locks.claim(minion_id))

    def works_on_batch(self, batch: str, **facts: Any) -> None:
        """Let another call bring up a batch."""
        self.stack.enter_context(self.locks.batch(batch, facts))

    def dies(self, batch: str) -> None:
        """Leave the claim of a call that died."""
        with self.locks.batch(batch, {"provider": WEST}) as claim:
            claim.keep = True

    def break_down(self, minion_id: str, state: str = "running", provider: str = EAST) -> None:
        """Let a minion stop answering; ``state`` is that of its instance."""
        self.present.discard(minion_id)
        account = self.clouds[provider].account
        account[f"i-{minion_id}"] = dataclasses.replace(account[f"i-{minion_id}"], state=state)

    def interrupt(self) -> None:
        """Send SIGTERM to this process, and return when it was received."""
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        assert self.heard.wait(300), "nobody heard the signal"

    def create_all(
        self, nodes: Sequence[Node], driver: FleetCloud, context: Context, claimed: Callable[[], object]
    ) -> tuple[dict[str, Any], int | None]:  # fmt: skip
        """Bring up nodes as ``create.create_all`` does, as far as others see it."""
        self.stop = context.locks.stop
        data = {node.minion_id: {"result": False, "error": "interrupted"} for node in nodes}
        facts = {"provider": driver.provider.name, "owner": self.info.owner, "nodes": len(nodes)}

        async def main() -> None:
            for node in nodes:
                try:
                    self.step("create")
                    await asyncio.sleep(0)  # where a signal ends the work
                except HartError as error:
                    data[node.minion_id] = {"result": False, "error": str(error)}
                else:
                    data[node.minion_id] = {"result": True, **self._made(node)}

        with context.locks.batch(nodes[0].batch, {**facts, "role": nodes[0].role, "region": nodes[0].region}):
            claimed()
            try:
                concurrency.run(main, context.locks.stop)
            except Interrupted as interrupted:
                return data, interrupted.signum
        return data, None

    def _made(self, node: Node) -> dict[str, Any]:
        self._number += 1
        self.start(
            node.minion_id, role=str(node.role), provider=node.provider, region=node.region,
            created=self.clock.now + self._number, batch=node.batch, ends=node.ends, digest=node.digest,
        )  # fmt: skip
        self.did.append(f"+ {node.region}")
        return {"provider": node.provider, "region": node.region}

    def drain(self, minion_id: str, timeout: float) -> list[str]:
        self.step(f"drain {minion_id}")
        self.did.append(f"drain {minion_id}")
        self.given[minion_id] = timeout
        return self.drain_problems.get(minion_id, [])

    # the calls

    def call(self, function: str, *arguments: Any, **keywords: Any) -> dict[str, Any]:
        """Call a function of the runner, as a process of its own does."""
        data: dict[str, Any] = getattr(runner, function)(*arguments, **keywords)
        return data

    def plan(self, name: str = "web") -> dict[str, Any]:
        """Return the plan of one fleet."""
        found: dict[str, Any] = self.call("plan", name)["fleets"][name]
        return found

    def apply(self, *names: str, code: int = 0, **keywords: Any) -> dict[str, Any]:
        """Apply fleets, which must end with this exit code."""
        self.did.clear()
        done = self.call("apply", *names, **keywords)
        assert done.get("retcode", 0) == code, done
        return done

    # images

    def image(self, name: str, age: float = 0.0, digest: str | None = None, **changes: Any) -> BakedImage:
        """Let the provider have a complete image of the role app; ``age`` is in seconds."""
        made = BakedImage(
            f"i-{name}", name, IMAGE_AVAILABLE, True, "app", f"b-{name}", digest, created=self.clock.now - age
        )  # fmt: skip
        self.cloud.images_made.append(dataclasses.replace(made, **changes))
        return self.cloud.images_made[-1]

    def service(self) -> Service:
        return Service(self.opts)

    def bake(
        self, role: str, *, provider: str, regions: Sequence[str], settings: Mapping[str, Any] | None = None
    ) -> Result:  # fmt: skip
        """Make an image, as ``hart.bake`` does, as far as others see it."""
        service = self.service()
        node = service.offers.example(role, provider, regions[0])
        keeps = (settings or {}).get("keep_failed", node.settings.keep_failed)
        try:
            self.step("bake")
        except HartError:
            self.did += ["a failed node is kept"] if keeps else []
            raise
        self.did.append(f"bake {role} {' '.join(regions)}")
        self.clock.now += 600
        digest = service.image_digest(node)
        new = self.image(f"made-{len(self.cloud.images_made)}", digest=digest, role=role, regions=tuple(regions))
        return Result({role: {"result": True, "image": new.image_id, "name": new.name}})

    # what is left

    def nodes(self, provider: str = EAST) -> list[str]:
        """Return the ids of all nodes, each of which must have an instance, a record and a key."""
        instances = sorted(one.minion_id for one in self.clouds[provider].account.values())
        records = sorted(one.minion_id for one in self.store.all() if one.provider == provider)
        assert instances == records
        assert {*instances} <= {path.name for path in self.keys.glob("*")}
        return instances


def actions(plan: Mapping[str, Any], part: str = "actions") -> list[tuple[str, str | None]]:
    """Return what a plan does, and with which nodes."""
    return [(one["action"], one["minion_id"]) for one in plan[part]]


def counts(plan: Mapping[str, Any]) -> dict[str, int]:
    """Return how many nodes are in which state, without zeros."""
    return {state: number for state, number in plan["nodes"].items() if number}


def raising(error: HartError) -> Fault:
    def fail() -> None:
        raise error

    return fail


def once(fault: Fault, after: int = 0) -> Fault:
    """Return a fault that happens once, after so many other times."""
    reached: list[int] = []

    def step() -> None:
        reached.append(1)
        if len(reached) == after + 1:
            fault()

    return step


def _copy(value: Any) -> Any:
    return {key: _copy(item) for key, item in value.items()} if isinstance(value, dict) else value


@contextmanager
def open_world(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Yield a world; locks of other calls in it end with it."""
    with contextlib.ExitStack() as stack:
        world = World(root, stack)
        for name, value in {"__opts__": world.opts, "__context__": {}, "__jid__": "1", "__user__": "root"}.items():
            monkeypatch.setattr(runner, name, value, raising=False)
        monkeypatch.setattr("hart_salt.base.signals.exit_with", lambda code: None)
        monkeypatch.setattr(
            "hart_salt.drivers.driver_class", lambda kind: lambda provider, info: world.clouds[provider.name]
        )
        monkeypatch.setattr(Master, "require_running", lambda self: None)
        monkeypatch.setattr(Minions, "present", lambda self, ids: frozenset(world.present & set(ids)))
        monkeypatch.setattr(
            Minions, "call", lambda self, minion_id, function, args, kwargs, timeout: world.drain(minion_id, timeout)
        )
        monkeypatch.setattr(Minions, "call_all", lambda self, ids, calls, timeout: {})
        monkeypatch.setattr("hart_salt.service.DEFAULT_CONFIG_FILE", str(root / "no.toml"))
        monkeypatch.setattr("hart_salt.node.undo.UNDO_INTERVAL", 0)
        monkeypatch.setattr("hart_salt.operations.create.create_all", world.create_all)
        monkeypatch.setattr(Images, "bake", lambda images, role, **given: world.bake(role, **given))
        monkeypatch.setattr(use_case, "time", world.clock)
        sight = use_case.Fleets._sight
        monkeypatch.setattr(
            use_case.Fleets, "_sight",
            lambda self: dataclasses.replace(sight(self), sleep=world.clock.sleep, now=world.clock.time),
        )  # fmt: skip
        hear = signals.Hearing.hear

        def heard(hearing: signals.Hearing, *arguments: Any) -> None:
            try:
                hear(hearing, *arguments)
            finally:
                world.heard.set()

        monkeypatch.setattr(signals.Hearing, "hear", heard)
        yield world
