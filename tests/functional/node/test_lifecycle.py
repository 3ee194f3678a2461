"""
One node's life and its undo, in a world that is in memory: a provider, a key store and machines that keep
state as the real ones do, so that each test can look at what is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import json
import threading
import types
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from hart_salt.base.concurrency import Calls
from hart_salt.base.errors import DriverError, InvalidRequest, NodeFailed, Refused, TemporaryFailure
from hart_salt.base.gate import Gate
from hart_salt.config.schema import Provider
from hart_salt.config.settings import Settings
from hart_salt.drivers.contract import Driver
from hart_salt.drivers.local.driver import SCHEMA, Account
from hart_salt.inventory.context import Context
from hart_salt.inventory.locks import Locks
from hart_salt.inventory.records import Store
from hart_salt.master.keys import fingerprint
from hart_salt.model import Access, Image, Instance, MasterInfo, Node, Region, Size
from hart_salt.node import bootstrap, ssh, undo
from hart_salt.node.batch import Batch, NodeState
from hart_salt.node.lifecycle import MINION, Lifecycle
from hart_salt.node.progress import Progress
from hart_salt.node.readiness import Readiness
from hart_salt.node.watcher import Watcher
from hart_salt.operations import create
from tests.parts import master_info, new_node
from tests.unit.inventory.test_records import MemoryCache

PEM = (
    rsa.generate_private_key(public_exponent=65537, key_size=2048)
    .public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
DOCUMENT = {
    "version": 1, "exit_code": 0, "failed_step": "", "seconds": {}, "salt_version": "3008.3", "minion_key": PEM,
    "host_keys": [ssh.make_key("node").public], "output": "",
}  # fmt: skip
COMMANDS = bootstrap.commands("")

Fault = Callable[[], None]


@dataclass
class World:
    """All that there is, and what is to go wrong in it."""

    instances: dict[str, Instance] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    #: what was taken away, in its order
    undone: list[str] = field(default_factory=list)
    access_open: int = 0
    #: by the name of a step: called when the step is reached, and may raise
    faults: dict[str, Fault] = field(default_factory=dict)
    sealed: set[str] = field(default_factory=set)
    #: told when a minion starts, and when one answers a question
    on_start: Callable[[str], None] = lambda minion_id: None
    on_answer: Callable[[str, str], None] = lambda minion_id, code: None
    codes: dict[str, str] = field(default_factory=dict)
    document: dict[str, Any] = field(default_factory=lambda: dict(DOCUMENT))
    #: of commands whose output is followed, by the command; otherwise 0
    exit_codes: dict[str, int] = field(default_factory=dict)
    lists: int = 0

    def step(self, name: str) -> None:
        """A place where something may go wrong."""
        self.faults.get(name, lambda: None)()


class FakeDriver(Driver):
    """A provider of which the lists lag behind: an instance shows in the second list after its creation."""

    schema = SCHEMA
    platform = "local"
    poll_interval = 0.01

    def __init__(self, world: World, info: MasterInfo) -> None:
        super().__init__(Provider("cloud", "local", Account()), info)
        self.world = world

    def check(self) -> str:
        return "ok"

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
            self.world.instances[one.instance_id] = dataclasses.replace(one, state="running", public_ip="192.0.2.1")
        return listed

    def terminate(self, instance: Instance) -> None:
        self.world.step("terminate")
        if self.world.instances.pop(instance.instance_id, None):
            self.world.undone.append("instance")

    def settle(self, instance: Instance) -> None:
        self.world.step("settle")

    def regions(self) -> Sequence[Region]:
        return [Region("local")]

    def sizes(self, region: str | None) -> Sequence[Size]:
        return [Size("shared", 1, 1)]

    def images(self, region: str | None) -> Sequence[Image]:
        return []


class FakeMaster:
    """The key store and the event bus."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.keys = self.minions = self

    def accept(self, minion_id: str, pem: str) -> list[str]:
        self.world.step("before accept")
        if self.world.keys.setdefault(minion_id, pem) != pem:
            raise NodeFailed(f"another key is accepted as {minion_id} already")
        self.world.step("after accept")
        return []

    def holders(self, pem: str) -> list[str]:
        return [f"a minion of the image's own with {pem}"]

    def delete_one(self, minion_id: str, pem: str, *, connected: bool) -> None:
        self.world.step("delete key")
        if self.world.keys.get(minion_id) == pem:
            del self.world.keys[minion_id]
            self.world.undone.append("key")

    def ask_for_answers(self, minion_ids: Sequence[str]) -> None:
        self.world.step("ping")
        for minion_id in minion_ids:
            self.world.on_answer(minion_id, self.world.codes[minion_id])

    def apply(self, minion_id: str, states: Any) -> list[str]:
        self.world.step("apply")
        return []

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
    """A machine at the other end, on which the commands of the bootstrap do what they do."""

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

    async def run(
        self, command: str, *, stdin: str | bytes = b"", timeout: float = 60.0, output: str = "its output"
    ) -> str:
        await asyncio.sleep(0)
        if command == COMMANDS.result:
            return json.dumps(self.world.document)
        if command == COMMANDS.start:
            self.world.step("start")
            configuration = yaml.safe_load(stdin)
            minion_id = configuration["id"]
            self.world.codes[minion_id] = configuration["hart_answer"]
            self.world.on_start(minion_id)
            self.minion_id = minion_id
        if command == COMMANDS.seal:
            self.world.step("seal")
            self.world.sealed.add(self.minion_id)
        return ""


class RecordingStore(Store):
    """The real one, which says when a record goes."""

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
    def update(self, minion_id: str, stage: str, seconds: float, line: str) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass
class Stage:
    """Everything that a life is played in."""

    world: World
    info: MasterInfo
    driver: FakeDriver
    store: RecordingStore

    def node(self, minion_id: str = "web", **settings: Any) -> Node:
        config = {"id": minion_id, "master": "192.0.2.9"}
        return new_node(minion_id, settings=Settings(**settings), minion_config=config, batch="b1")

    def play(self, node: Node, around: Callable[[Coroutine[Any, Any, None]], Coroutine[Any, Any, None]]) -> NodeState:
        """Bring the node up, with ``around`` around its coroutine; return what it has then."""
        lives: list[NodeState] = []
        with Calls(no_time) as calls, contextlib.closing(self._progress()) as progress:
            asyncio.run(self._main(node, calls, progress, lives, around))
        return lives[0]

    def _progress(self) -> Progress:
        return Progress(self.info.log_dir, Gate(), lambda tag, data: self.world.events.append(tag), Quiet())

    async def _main(
        self, node: Node, calls: Calls, progress: Progress, lives: list[NodeState], around: Callable[..., Any]
    ) -> None:
        watcher = Watcher(lambda: calls.driver(self.driver.instances), 1.0, no_time)
        master: Any = FakeMaster(self.world)
        readiness = Readiness(functools.partial(calls.aside, master.minions.ask_for_answers), interval=0.01, gap=0.0)
        self.world.on_start, self.world.on_answer = readiness.started, readiness.answered
        batch = Batch(
            master, self.info, self.store, self.driver, watcher, Access("b1", "ssh-ed25519 A"), ssh.make_key("c"),
            progress, readiness, calls, MINION,
        )  # fmt: skip
        life = Lifecycle(node, batch)
        lives.append(life.state)
        try:
            await around(life.run())
        finally:
            await watcher.close()
            await readiness.close()

    def left(self) -> dict[str, list[str]]:
        """What there is of any node."""
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


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return new_stage(tmp_path, monkeypatch)


def new_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    world = World()

    async def connect(endpoint: ssh.Endpoint, **_: Any) -> FakeSession:
        assert endpoint.address == "192.0.2.1"
        await asyncio.sleep(0)
        world.step("connect")
        return FakeSession(world)

    monkeypatch.setattr(ssh, "connect", connect)
    info = master_info(tmp_path)
    return Stage(world, info, FakeDriver(world, info), RecordingStore(world, tmp_path))


def fails_with(error: Exception, times: int = 10**6) -> Fault:
    """Raise the error, the first ``times`` times."""
    raised = 0

    def fault() -> None:
        nonlocal raised
        raised += 1
        if raised <= times:
            raise error

    return fault


def failure(stage: Stage, node: Node | None = None) -> str:
    """Bring the node up, which must fail, and return the reason."""
    with pytest.raises(NodeFailed) as caught:
        stage.play(node or stage.node(), plainly)
    return str(caught.value)


# a life that goes well


def test_a_node_comes_up_sealed_with_its_stages_in_order(stage: Stage) -> None:
    life = stage.play(stage.node(apply="highstate"), plainly)
    assert (life.sealed, life.problems) == (True, [])
    assert stage.left() == ALL
    assert stage.world.sealed == {"web"}
    assert stage.world.events == [
        f"hart/web/{name}" for name in ("launching", "running", "bootstrapping", "enrolled", "ready")
    ]
    (record,) = stage.store.all()
    assert (record.stage, record.sealed, record.instance_id, record.zone) == ("ready", True, "i-web-b1", "z9")
    assert record.ssh_host_keys == DOCUMENT["host_keys"]


def test_a_minion_that_the_image_started_by_itself_is_told_of(stage: Stage) -> None:
    stage.world.document["former_key"] = "an old key"
    life = stage.play(stage.node(), plainly)
    assert life.notes == ["a minion of the image's own with an old key"]
    del stage.world.document["former_key"]
    assert stage.play(stage.node(minion_id="web-2"), plainly).notes == []


def test_what_the_script_changed_for_good_is_told_of(stage: Stage) -> None:
    stage.world.document["notes"] = ["the image took passwords"]
    stage.world.document["former_key"] = "an old key"
    life = stage.play(stage.node(), plainly)
    assert life.notes == ["the image took passwords", "a minion of the image's own with an old key"]


def test_only_where_a_driver_says_so_the_script_turns_password_logins_off(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    render = bootstrap.render
    monkeypatch.setattr(bootstrap, "render", lambda script: asked.append(script.forbid_passwords) or render(script))
    stage.play(stage.node(), plainly)
    monkeypatch.setattr(FakeDriver, "password_logins", True)
    stage.play(stage.node(minion_id="web-2"), plainly)
    assert asked == [False, True]


def test_the_record_is_there_before_the_instance_is_asked_for(stage: Stage) -> None:
    def look() -> None:
        (record,) = stage.store.all()
        assert (record.stage, record.batch, record.instance_id) == ("launching", "b1", None)

    stage.world.faults["before launch"] = look
    assert stage.play(stage.node(), plainly).sealed


def test_the_record_names_the_key_before_it_is_accepted(stage: Stage) -> None:
    """Sweep deletes a key only where a record says that it was the node's."""

    def look() -> None:
        (record,) = stage.store.all()
        assert (record.stage, record.minion_key_finger) == ("enrolling", fingerprint(PEM))

    stage.world.faults["before accept"] = look
    assert stage.play(stage.node(), plainly).sealed


def test_whoever_hears_of_a_stage_finds_it_in_the_record(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[str, str]] = []
    tell = Progress.stage

    def told(progress: Progress, minion_id: str, name: str, facts: Any) -> None:
        (record,) = stage.store.all()
        heard.append((name, record.stage))
        tell(progress, minion_id, name, facts)

    monkeypatch.setattr(Progress, "stage", told)
    stage.play(stage.node(), plainly)
    stages = ["launching", "running", "bootstrapping", "enrolling", "enrolled", "ready"]
    assert heard == [*((name, name) for name in stages), ("done", "ready")]


# a life that goes wrong

EVERYWHERE = [
    "put", "before launch", "after launch", "connect", "stream", "before accept", "after accept", "start", "seal",
    "settle",
]  # fmt: skip


@pytest.mark.parametrize("error", [NodeFailed("no luck"), TemporaryFailure("no luck"), ZeroDivisionError("no luck")])
@pytest.mark.parametrize("place", EVERYWHERE)
def test_whatever_fails_is_undone_and_told(stage: Stage, place: str, error: Exception) -> None:
    stage.world.faults[place] = fails_with(error)
    assert "no luck" in failure(stage)
    assert stage.left() == NOTHING
    assert stage.world.events[-1] == "hart/web/failed"


def test_a_question_that_could_not_be_asked_is_asked_again(stage: Stage) -> None:
    stage.world.faults["ping"] = fails_with(OSError("the master is being restarted"), times=3)
    assert stage.play(stage.node(), plainly).sealed


def test_a_minion_that_cannot_be_asked_until_its_time_is_over_is_undone_and_the_reason_told(stage: Stage) -> None:
    stage.world.faults["ping"] = fails_with(OSError("the bus is broken"))
    told = failure(stage, stage.node(ready_timeout=0.1))
    assert "did not answer this master within 0.1 s (asking failed last with: the bus is broken)" in told
    assert stage.left() == NOTHING


def test_the_instance_goes_before_its_key_and_the_key_before_the_record(stage: Stage) -> None:
    stage.world.faults["seal"] = fails_with(NodeFailed("no luck"))
    failure(stage)
    assert stage.world.undone == ["instance", "key", "record"]


def test_a_step_that_failed_on_the_node_is_named(stage: Stage) -> None:
    stage.world.document.update(exit_code=7, failed_step="install", minion_key="")
    assert failure(stage) == "the bootstrap failed in step install with exit code 7"
    assert stage.left() == NOTHING


def test_a_script_of_the_operator_s_that_fails_is_told_and_the_node_undone(stage: Stage, tmp_path: Path) -> None:
    script = tmp_path / "init"
    script.touch()
    stage.world.exit_codes[COMMANDS.run_script] = 3
    assert failure(stage, stage.node(script=str(script))) == f"the script {script} ended with exit code 3 on the node"
    assert stage.left() == NOTHING


def test_a_security_upgrade_that_fails_is_told_and_the_node_undone(stage: Stage) -> None:
    stage.world.exit_codes[COMMANDS.after] = 100
    assert failure(stage) == "the security upgrades failed on the node"
    assert stage.left() == NOTHING


def test_a_key_that_is_none_is_never_accepted(stage: Stage) -> None:
    stage.world.document["minion_key"] = "-----BEGIN PUBLIC KEY-----\ngarbage\n-----END PUBLIC KEY-----\n"
    assert "not a public key" in failure(stage)
    assert (stage.left(), stage.world.undone) == (NOTHING, ["instance", "record"])


def test_a_foreign_key_that_is_accepted_stays_when_the_node_is_undone(stage: Stage) -> None:
    stage.world.keys["web"] = "the admin's"
    assert "another key is accepted" in failure(stage)
    assert stage.left() == {**NOTHING, "keys": ["web"]}


def test_a_launch_whose_answer_was_lost_leaves_no_instance(stage: Stage) -> None:
    stage.world.faults["after launch"] = fails_with(TemporaryFailure("the connection broke", uncertain=True))
    assert "the connection broke" in failure(stage)
    assert stage.left() == NOTHING


def test_a_launch_whose_answer_was_lost_and_that_shows_late_leaves_no_instance(stage: Stage) -> None:
    late = Instance("i-web-b1", "web", "pending", batch="b1")

    def lose() -> None:
        stage.world.instances.clear()
        raise TemporaryFailure("the connection broke", uncertain=True)

    def show() -> None:
        if stage.world.lists == 2:
            stage.world.instances["i-web-b1"] = late

    stage.world.faults.update({"after launch": lose, "list": show})
    failure(stage)
    assert stage.left() == NOTHING
    assert stage.world.undone == ["instance", "record"]


def test_the_instance_of_another_call_is_never_touched_though_it_has_the_same_id(stage: Stage) -> None:
    stage.world.instances["i-theirs"] = Instance("i-theirs", "web", "running", batch="b0")
    stage.world.faults["before launch"] = fails_with(InvalidRequest("the name is taken"))
    assert "the name is taken" in failure(stage)
    assert stage.left() == {**NOTHING, "instances": ["i-theirs"]}


def test_an_undo_that_fails_at_first_is_tried_again(stage: Stage) -> None:
    stage.world.faults["seal"] = fails_with(NodeFailed("no luck"))
    stage.world.faults["terminate"] = fails_with(TemporaryFailure("the API is down"), times=2)
    assert failure(stage) == "no luck"
    assert stage.left() == NOTHING


@pytest.mark.parametrize(
    ("place", "said", "stays"),
    [
        ("terminate", "the instance could not be removed", {"instances": ["i-web-b1"], "records": ["web"]}),
        ("delete key", "the key could not be deleted", {"keys": ["web"], "records": ["web"]}),
        ("remove record", "its record could not be removed", {"records": ["web"]}),
    ],
)
@pytest.mark.parametrize("error", [TemporaryFailure("the API is down"), OSError("the API is down")])
def test_a_part_of_the_undo_that_fails_is_told_and_the_others_are_done(
    stage: Stage, place: str, said: str, stays: dict[str, list[str]], error: Exception
) -> None:
    stage.world.faults["seal"] = fails_with(NodeFailed("no luck"))
    stage.world.faults[place] = fails_with(error)
    reason = failure(stage)
    assert reason.startswith("no luck; ")
    assert f"{said}: the API is down" in reason
    assert stage.left() == {**NOTHING, **stays}


def test_what_is_left_has_a_record_that_says_why(stage: Stage) -> None:
    stage.world.faults["seal"] = fails_with(NodeFailed("no luck"))
    stage.world.faults["terminate"] = fails_with(DriverError("forbidden"))
    assert "salt-run hart.destroy web" in failure(stage)
    (record,) = stage.store.all()
    assert (record.stage, record.error, record.instance_id) == ("failed", "no luck", "i-web-b1")


def test_a_failed_node_is_kept_for_who_asks_for_it_but_not_its_key(stage: Stage) -> None:
    stage.world.faults["seal"] = fails_with(NodeFailed("no luck"))
    assert "kept as asked" in failure(stage, stage.node(keep_failed=True))
    assert stage.left() == {**ALL, "keys": []}


@pytest.mark.parametrize("error", [ZeroDivisionError("no luck"), OSError("no luck"), NodeFailed("no luck")])
def test_what_apply_reports_undoes_nothing(stage: Stage, error: Exception) -> None:
    stage.world.faults["apply"] = fails_with(error)
    life = stage.play(stage.node(apply="web"), plainly)
    assert "no luck" in life.problems[0]
    assert stage.left() == ALL


# a life that is cancelled


class Cancelling:
    """Cancels the task that runs a coroutine while that waits for the n-th time, and then, at will, again."""

    def __init__(self, at: int, again: bool) -> None:
        self.waits = 0
        self._at = at
        self._again = again

    @types.coroutine
    def __call__(self, life: Coroutine[Any, Any, None]) -> Iterator[Any]:
        step, value = life.send, None
        while True:
            try:
                waited_for = step(value)
            except StopIteration:
                return
            self.waits += 1
            if self.waits == self._at or (self._again and self.waits > self._at):
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            try:
                value = yield waited_for
                step = life.send
            except BaseException as error:
                step, value = life.throw, error  # type: ignore[assignment]


@pytest.mark.parametrize("again", [False, True], ids=["once", "again and again"])
@pytest.mark.parametrize("lost_answer", [False, True], ids=["", "the answer to the launch is lost"])
def test_a_cancellation_at_any_wait_leaves_nothing_or_a_sealed_minion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool, lost_answer: bool
) -> None:
    undone = kept = 0
    for at in range(1, 200):
        stage = new_stage(tmp_path / str(at), monkeypatch)
        if lost_answer:
            stage.world.faults["after launch"] = fails_with(TemporaryFailure("lost", uncertain=True))
        cancelling = Cancelling(at, again)
        life = None
        with contextlib.suppress(asyncio.CancelledError, NodeFailed):
            life = stage.play(stage.node(apply="highstate"), cancelling)
        if stage.left() == ALL:
            assert stage.world.sealed == {"web"}, f"kept unsealed after a cancellation at wait {at}"
            kept += 1
        else:
            assert stage.left() == NOTHING, f"left after a cancellation at wait {at}"
            undone += 1
            assert life is None or not life.sealed
        if cancelling.waits < at:
            break
    else:
        pytest.fail("there was no end to it")
    assert undone > (3 if lost_answer else 15)
    assert bool(kept) is not lost_answer


def test_a_node_that_is_called_sealed_is_there_whenever_the_cancellation_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lives: list[NodeState] = []
    begin = Lifecycle.__init__

    def remembered(life: Lifecycle, node: Node, batch: Batch) -> None:
        begin(life, node, batch)
        lives.append(life.state)

    monkeypatch.setattr(Lifecycle, "__init__", remembered)
    for at in range(1, 200):
        stage = new_stage(tmp_path / str(at), monkeypatch)
        applied: list[int] = []
        stage.world.faults["apply"] = functools.partial(applied.append, at)
        cancelling = Cancelling(at, False)
        with contextlib.suppress(asyncio.CancelledError):
            stage.play(stage.node(apply="web"), cancelling)
        assert stage.left() == (ALL if lives[-1].sealed else NOTHING), f"after a cancellation at wait {at}"
        assert not lives[-1].sealed or applied or lives[-1].problems, f"states that nobody misses, at wait {at}"
        if cancelling.waits < at:
            break


def test_a_sealed_node_s_record_says_so_though_the_cancellation_came_before_it_was_written(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = threading.Event()
    note = Lifecycle.note

    def noted(life: Lifecycle, **facts: Any) -> None:
        note(life, **facts)
        if "sealed" not in facts:
            return
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        life.batch.calls.salt(written.wait, 60)  # the thread that writes records is busy with another one
        task.cancel()
        loop.call_soon(loop.call_soon, written.set)  # once the cancellation has taken back what it can

    monkeypatch.setattr(Lifecycle, "note", noted)
    with pytest.raises(asyncio.CancelledError):
        stage.play(stage.node(), plainly)
    assert stage.left() == ALL
    assert [record.sealed for record in stage.store.all()] == [True]


def test_a_launch_that_is_under_way_is_waited_for_before_it_is_undone(stage: Stage) -> None:
    looked = threading.Event()
    playing: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = []

    def interrupted() -> None:
        ((loop, task),) = playing
        loop.call_soon_threadsafe(task.cancel)
        # Only an undo that does not wait looks for the instance before this is over.
        looked.wait(0.3)

    async def noting(life: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(life)
        playing.append((asyncio.get_running_loop(), task))
        await task

    def give_up() -> None:
        if stage.world.lists == undo.UNDO_ATTEMPTS - 1:
            looked.set()

    stage.world.faults.update({"before launch": interrupted, "list": give_up})
    with pytest.raises(asyncio.CancelledError):
        stage.play(stage.node(), noting)
    assert stage.left() == NOTHING
    assert stage.world.undone == ["instance", "record"]


# many lives


def create_all(stage: Stage, *nodes: Node) -> dict[str, Any]:
    master: Any = FakeMaster(stage.world)
    context = Context(master, stage.info, stage.store, Locks(stage.info.cachedir), Gate())
    data, interrupted = create.create_all(nodes, stage.driver, context)
    assert interrupted is None
    return data


def test_one_node_s_failure_leaves_the_others_alone(stage: Stage) -> None:
    def only_b() -> None:
        if len(stage.world.instances) == 2:
            raise InvalidRequest("no luck")

    stage.world.faults["after launch"] = only_b
    data = create_all(stage, *(stage.node(minion_id) for minion_id in ("a", "b", "c")))
    good = [minion_id for minion_id, entry in data.items() if entry["result"]]
    assert len(good) == 2
    (bad,) = set(data) - set(good)
    assert "no luck" in data[bad]["error"]
    assert Path(data[bad]["log"]).exists()
    assert stage.left()["keys"] == stage.left()["records"] == good


def test_the_access_of_a_batch_is_closed_whether_its_nodes_fail_or_not(stage: Stage) -> None:
    create_all(stage, stage.node("a"))
    assert stage.world.access_open == 0
    stage.world.faults["connect"] = fails_with(NodeFailed("no luck"))
    create_all(stage, stage.node("b"))
    assert stage.world.access_open == 0


def test_no_lock_is_held_and_no_lock_file_is_left_afterwards(stage: Stage, tmp_path: Path) -> None:
    stage.world.faults["connect"] = fails_with(NodeFailed("no luck"), times=1)
    create_all(stage, stage.node("a"), stage.node("b"))
    assert list((tmp_path / "hart/locks").iterdir()) == []
    assert not Locks(stage.info.cachedir).busy("a")


def test_a_node_that_another_call_works_on_is_refused_and_that_call_s_log_is_left_alone(stage: Stage) -> None:
    with Locks(stage.info.cachedir).claim("b"), pytest.raises(Refused, match="b is being worked on"):
        create_all(stage, stage.node("a"), stage.node("b"))
    assert list(Path(stage.info.log_dir).glob("*.log")) == []
    assert (stage.left()["records"], Locks(stage.info.cachedir).dead_batches()) == ([], {})


def test_the_claim_of_a_batch_stays_if_something_could_not_be_taken_back(stage: Stage, tmp_path: Path) -> None:
    stage.world.faults["connect"] = fails_with(NodeFailed("no luck"))
    stage.world.faults["terminate"] = fails_with(InvalidRequest("locked"))
    create_all(stage, stage.node("a"))
    assert list(Locks(stage.info.cachedir).dead_batches()) == ["b1"]


def test_the_claim_of_a_batch_does_not_stay_for_what_was_kept_as_asked(stage: Stage) -> None:
    stage.world.faults["connect"] = fails_with(NodeFailed("no luck"))
    create_all(stage, stage.node("a", keep_failed=True))
    record = stage.store.get("a")
    assert record is not None
    assert record.kept
    assert Locks(stage.info.cachedir).dead_batches() == {}
