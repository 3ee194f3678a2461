"""
A world in memory for the lifecycle of a node: a provider, a key store and machines.

They keep state like the real ones, and each test checks what is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from hart_salt.base.concurrency import Calls
from hart_salt.base.errors import NodeFailed
from hart_salt.base.gate import Gate
from hart_salt.config.settings import Settings
from hart_salt.inventory.context import Context
from hart_salt.inventory.flocks import FileLocks
from hart_salt.inventory.other_masters import OtherMasters
from hart_salt.inventory.records import Store
from hart_salt.master.applied import Applied
from hart_salt.master.keys import Acceptance, OwnKey
from hart_salt.model import Access, Instance, MasterInfo, Node
from hart_salt.node import bootstrap, minion_log, ssh, undo
from hart_salt.node.batch import Batch, NodeState
from hart_salt.node.enrolment import Enrolment
from hart_salt.node.lifecycle import MINION, Lifecycle
from hart_salt.node.peer_keys import PeerKeys
from hart_salt.node.progress import Expected, Progress
from hart_salt.node.readiness import Readiness
from hart_salt.node.watcher import Watcher
from hart_salt.operations import create
from tests.functional.fakes import EmptyDriver, Fault
from tests.parts import master_info, new_node
from tests.public_keys import new_public_key
from tests.unit.inventory.test_records import MemoryCache

PEM = new_public_key()
DOCUMENT = {
    "version": 1, "exit_code": 0, "failed_step": "", "seconds": {}, "salt_version": "3008.3", "minion_key": PEM,
    "host_keys": [ssh.make_key("node").public], "output": "",
}  # fmt: skip
COMMANDS = bootstrap.commands("")
ADDRESSES: dict[str, Any] = {"public_ip": "192.0.2.1", "private_ip": "10.0.0.1"}


@dataclass
class World:
    """The state of the world, and the failures to inject."""

    instances: dict[str, Instance] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    #: what was removed, in order
    undone: list[str] = field(default_factory=list)
    access_open: int = 0
    #: by the name of a step: called when the step is reached, and may raise
    faults: dict[str, Fault] = field(default_factory=dict)
    sealed: set[str] = field(default_factory=set)
    #: why nodes failed, as the view gets it
    reasons: list[str] = field(default_factory=list)
    #: nodes for which only states remained to be applied
    applying: list[str] = field(default_factory=list)
    #: called when a minion starts, and when one answers a question
    on_start: Callable[[str], None] = lambda minion_id: None
    on_answer: Callable[[str, str], None] = lambda minion_id, code: None
    codes: dict[str, str] = field(default_factory=dict)
    document: dict[str, Any] = field(default_factory=lambda: dict(DOCUMENT))
    #: exit codes of commands whose output is followed, by command; 0 otherwise
    exit_codes: dict[str, int] = field(default_factory=dict)
    #: the minion neither starts nor answers
    silent: bool = False
    #: the minion's own log; None: it cannot be read
    minion_log: str | None = ""
    #: the addresses that hart connected to
    connected: list[str] = field(default_factory=list)
    #: the commands that ran on nodes, in order, and what they read
    ran: list[tuple[str, str | bytes]] = field(default_factory=list)
    lists: int = 0

    def step(self, name: str) -> None:
        """Reach a step, at which a failure may be injected."""
        self.faults.get(name, lambda: None)()


class FakeDriver(EmptyDriver):
    """A provider with lists that lag behind: an instance appears in the second list after its creation."""

    poll_interval = 0.01

    def __init__(self, world: World, info: MasterInfo) -> None:
        super().__init__("cloud", info)
        self.world = world

    @contextmanager
    def access(self, batch: str, client_public_key: str, nodes: Sequence[Node]) -> Iterator[Access]:
        self.world.access_open += 1
        try:
            yield Access(batch, client_public_key)
        finally:
            self.world.access_open -= 1

    def launch(self, node: Node, user_data: str, access: Access) -> Instance:
        self.world.step("before launch")
        instance = Instance(
            f"i-{node.minion_id}-{node.batch}", node.minion_id, "pending", node.role, node.batch, "local", "z9"
        )
        self.world.instances[instance.instance_id] = instance
        self.world.step("after launch")
        return instance

    def instances(self, region: str | None = None) -> list[Instance]:
        self.world.step("list")
        self.world.lists += 1
        listed = list(self.world.instances.values())
        for one in listed:
            self.world.instances[one.instance_id] = dataclasses.replace(one, state="running", **ADDRESSES)
        return listed

    def terminate(self, instance: Instance) -> None:
        self.world.step("terminate")
        if self.world.instances.pop(instance.instance_id, None):
            self.world.undone.append("instance")

    def settle(self, instance: Instance) -> None:
        self.world.step("settle")

    def protect(self, instance: Instance, *, on: bool) -> None:
        self.world.step("protect")
        there = self.world.instances[instance.instance_id]
        self.world.instances[instance.instance_id] = dataclasses.replace(there, protected=on)


class FakeMaster:
    """The key store and the event bus."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.keys = self.minions = self

    def accept(self, minion_id: str, pem: str) -> None:
        self.world.step("before accept")
        if self.world.keys.setdefault(minion_id, pem) != pem:
            raise NodeFailed(f"another key is accepted as {minion_id} already")
        self.world.step("after accept")

    def accept_many(self, wanted: Mapping[str, str]) -> dict[str, Acceptance]:
        outcomes = {minion_id: Acceptance() for minion_id in wanted}
        for minion_id, pem in wanted.items():
            try:
                self.accept(minion_id, pem)
            except NodeFailed as error:
                outcomes[minion_id].error = error
        return outcomes

    def holders_of(self, named: Mapping[str, str]) -> dict[str, list[str]]:
        return {minion_id: [f"a minion of the image's own with {pem}"] for minion_id, pem in named.items()}

    def delete_each(self, own: Mapping[str, OwnKey]) -> dict[str, None]:
        self.world.step("delete key")
        for minion_id, key in own.items():
            if self.world.keys.get(minion_id) == key.pem:
                del self.world.keys[minion_id]
                self.world.undone.append("key")
        return dict.fromkeys(own)

    @contextmanager
    def questions(self) -> Iterator[None]:
        yield

    connected = questions

    def ask_for_answers(self, minion_ids: Sequence[str]) -> None:
        self.world.step("ping")
        for minion_id in minion_ids:
            if not self.world.silent:
                self.world.on_answer(minion_id, self.world.codes[minion_id])

    def apply(self, minion_id: str, states: Any, timeout: float) -> Applied:
        self.world.step("apply")
        return Applied([])

    def require_running(self) -> None:
        self.world.step("look for the master")

    def fire(self, tag: str, data: dict[str, Any]) -> None:
        self.world.events.append(tag)

    @contextmanager
    def events(self, on_start: Callable[[str], None], on_answer: Callable[[str, str], None]) -> Iterator[None]:
        self.world.on_start, self.world.on_answer = on_start, on_answer
        yield

    def close(self) -> None:
        pass


class FakeSession:
    """The machine at the other end, on which the commands of the bootstrap have their effects."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.minion_id = ""

    async def __aenter__(self) -> FakeSession:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0)

    async def stream(self, command: str, on_lines: Callable[[list[str]], None]) -> int:
        await asyncio.sleep(0)
        on_lines(["hello from the node"])
        self.world.step("stream")
        return self.world.exit_codes.get(command, 0)

    async def follow(self, command: str, on_lines: Callable[[list[str]], None], *, output: str) -> str:
        assert command == COMMANDS.follow
        await self.stream(command, on_lines)
        return json.dumps(self.world.document)

    async def run(
        self, command: str, *, stdin: str | bytes = b"", timeout: float = 60.0, output: str = "its output"
    ) -> str:
        await asyncio.sleep(0)
        self.world.ran.append((command, stdin))
        if command == COMMANDS.start:
            self.world.step("start")
            configuration = yaml.safe_load(stdin)
            minion_id = configuration["id"]
            self.world.codes[minion_id] = configuration["hart_answer"]
            if not self.world.silent:
                self.world.on_start(minion_id)
            self.minion_id = minion_id
        if command == minion_log.command("", {}):
            if self.world.minion_log is None:
                raise NodeFailed("the SSH session broke off")
            return self.world.minion_log
        if command == COMMANDS.seal:
            self.world.step("seal")
            self.world.sealed.add(self.minion_id)
        return ""


class RecordingStore(Store):
    """The real store, which records when a record is removed."""

    def __init__(self, world: World, tmp_path: Path) -> None:
        super().__init__(MemoryCache())
        self.world = world

    def put(self, record: Any) -> None:
        self.world.step("put")
        super().put(record)

    def remove(self, minion_id: str) -> None:
        self.world.step("remove record")
        if self.get(minion_id):
            self.world.undone.append("record")
        super().remove(minion_id)


class Quiet:
    """A view that shows nothing and keeps what failed."""

    def __init__(self, reasons: list[str]) -> None:
        self._reasons = reasons

    def expect(self, expected: Expected) -> None:
        pass

    def update(self, minion_id: str, stage: str, seconds: float, line: str, reason: str = "") -> None:
        self._reasons += [reason] if reason else []

    def close(self) -> None:
        pass


@dataclass
class Stage:
    """Everything that the lifecycle needs."""

    world: World
    info: MasterInfo
    driver: FakeDriver
    store: RecordingStore
    others: OtherMasters = field(default_factory=OtherMasters)

    def node(self, minion_id: str = "web", **settings: Any) -> Node:
        config = {"id": minion_id, "master": "192.0.2.9"}
        return new_node(minion_id, settings=Settings(**settings), minion_config=config, batch="b1")

    def play(self, node: Node, around: Callable[[Coroutine[Any, Any, None]], Coroutine[Any, Any, None]]) -> NodeState:
        """Bring the node up, with ``around`` around its coroutine, and return its state."""
        lives: list[NodeState] = []
        with Calls(no_time) as calls, contextlib.closing(self._progress()) as progress:
            asyncio.run(self._main(node, calls, progress, lives, around))
        return lives[0]

    def _progress(self) -> Progress:
        return Progress(
            self.info.log_dir, Gate(), lambda tag, data: self.world.events.append(tag), Quiet(self.world.reasons)
        )

    async def _main(
        self, node: Node, calls: Calls, progress: Progress, lives: list[NodeState], around: Callable[..., Any]
    ) -> None:
        watcher = Watcher(lambda: calls.driver(self.driver.instances), 1.0, no_time)
        master: Any = FakeMaster(self.world)
        readiness = Readiness(functools.partial(calls.aside, master.minions.ask_for_answers), interval=0.01, gap=0.0)
        self.world.on_start, self.world.on_answer = readiness.started, readiness.answered
        batch = Batch(
            master, self.info, self.store, FileLocks(self.info.cachedir), self.driver, watcher,
            Access("b1", "ssh-ed25519 A"), ssh.make_key("c"), progress, readiness, calls, MINION,
            Enrolment(master.keys, calls),
            PeerKeys(self.others, calls),
            self.world.applying.append,
        )  # fmt: skip
        life = Lifecycle(node, batch)
        lives.append(life.state)
        try:
            await around(life.run())
        finally:
            await watcher.close()
            await readiness.close()

    def left(self) -> dict[str, list[str]]:
        """Return everything that exists of any node."""
        return {
            "instances": sorted(self.world.instances), "keys": sorted(self.world.keys),
            "records": [record.minion_id for record in self.store.all()],
        }  # fmt: skip


NOTHING: dict[str, list[str]] = {"instances": [], "keys": [], "records": []}
ALL = {"instances": ["i-web-b1"], "keys": ["web"], "records": ["web"]}


async def no_time(_: float) -> None:
    await asyncio.sleep(0)


async def plainly(life: Coroutine[Any, Any, None]) -> None:
    await life


def new_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    world = World()

    async def connect(endpoint: ssh.Endpoint, **_: Any) -> FakeSession:
        world.connected.append(endpoint.address)
        await asyncio.sleep(0)
        world.step("connect")
        return FakeSession(world)

    monkeypatch.setattr(ssh, "connect", connect)
    monkeypatch.setattr(undo, "UNDO_INTERVAL", 0)
    info = master_info(tmp_path)
    return Stage(world, info, FakeDriver(world, info), RecordingStore(world, tmp_path))


def failure(stage: Stage, node: Node | None = None) -> str:
    """Bring the node up, which must fail, and return the error."""
    with pytest.raises(NodeFailed) as caught:
        stage.play(node or stage.node(), plainly)
    return str(caught.value)


def create_all(stage: Stage, *nodes: Node) -> dict[str, Any]:
    master: Any = FakeMaster(stage.world)
    context = Context(master, stage.info, stage.store, FileLocks(stage.info.cachedir), Gate(), stage.others)
    data, interrupted = create.create_all(nodes, stage.driver, context)
    assert interrupted is None
    return data
