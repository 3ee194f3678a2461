"""
``salt-run`` killed with SIGKILL at every point of a node's life, for each driver; then a sweep, and all is as before.

The points are: every stage, right after its record is written; before and after each verb of the driver and each change
of the key store; and, at the clouds, each call that changes something: before it takes effect, and after, with its
answer still pending. The machines are light ones, and real ones for the driver ``local``. By default, one cloud has the
points that are not calls: they are in code that all clouds share, and between its calls. With ``./test --all`` each
cloud has all points. After the sweep there is nothing, or a complete and sealed node: one that was ready, or of which
nothing had been removed. Of a bake, there is nothing or a complete image. All outcomes are printed as one table.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from saltfactories.manager import FactoriesManager

from hart_salt.base.names import is_bake_id
from hart_salt.drivers import driver_class
from hart_salt.drivers.capabilities import SnapshotSupport
from tests import scope
from tests.emulation.faults import Fault
from tests.end_to_end import light_cloud, tools
from tests.end_to_end.clouds import all_clouds
from tests.end_to_end.conftest import Ran, SaltMaster, running_master
from tests.end_to_end.light_cloud import LightCloud
from tests.end_to_end.runs import write_sls
from tests.parts import print_lines

_missing = light_cloud.missing()
pytestmark = pytest.mark.skipif(bool(_missing), reason=_missing)

CLOUDS = all_clouds()
DRIVERS = (*CLOUDS, "local")
STAGES = ("launching", "running", "bootstrapping", "enrolling", "enrolled", "ready", "sealed")
BEFORE_AFTER = ("before", "after")
CREATING = (
    *(f"stage:{stage}" for stage in STAGES),
    *(f"{verb}:{when}" for verb in ("access", "launch", "accept_key", "settle", "close") for when in BEFORE_AFTER),
)
DESTROYING = tuple(f"{verb}:{when}" for verb in ("terminate", "delete_keys", "remove") for when in BEFORE_AFTER)
#: verbs of the driver itself
OF_DRIVERS = tuple(f"{verb}:{when}" for verb in ("access", "launch", "settle", "terminate") for when in BEFORE_AFTER)
BAKING = (
    *(f"stage:{stage}" for stage in ("enrolled", "generalising", "imaging", "destroying")),
    *(
        f"{verb}:{when}"
        for verb in ("apply", "power_off", "make_image", "baked_image", "finish_image", "terminate", "delete_keys",
                     "remove", "copy_image")
        for when in BEFORE_AFTER
    ),
)  # fmt: skip
#: those that every run has: the image is half made, and complete while there still is a node
BAKING_BY_DEFAULT = ("make_image:after", "finish_image:after")
#: points of a bake from which on its image is complete
HAS_IMAGE = (
    "finish_image:after", "stage:destroying",
    *(f"{verb}:{when}" for verb in ("terminate", "delete_keys", "remove", "copy_image") for when in BEFORE_AFTER),
)  # fmt: skip
#: a second region for the images of a driver that has them in some regions only
ELSEWHERE = {"do": "ams3", "ec2": "us-west-2"}
#: what a complete image consists of at a provider, as the emulators name it
IMAGES = {"images", "snapshots"}
#: the drivers that are killed at every point; the others only in their own code: in each call, or around the verbs
EVERY_POINT = DRIVERS if scope.whole else ("do",)
#: concurrent masters of a driver, if there is more than one
LANES = dict.fromkeys(DRIVERS, 3) if scope.whole else {"do": 3, "gce": 2}
#: more calls that change something than any driver makes for one node
MOST_CALLS = 20
STALL = 30.0  #: seconds for which the answer of a call is pending; by then its run has been killed
TIMEOUT = 200


@dataclass(frozen=True)
class Outcome:
    """The outcome of a case."""

    name: str
    #: how the killed run ended, and what it printed
    code: int
    said: str
    left_before: dict[str, list[str]]
    swept: Ran
    #: after the sweep; a complete node is ``{"whole": [its id]}``
    left: dict[str, list[str]]
    #: after a last destroy, if the node was complete
    at_last: dict[str, list[str]]

    def line(self) -> str:
        """Return the row of the table."""
        before = "; ".join(f"{kind} {len(names)}" for kind, names in self.left_before.items()) or "nothing"
        whole = {"whole": "the whole node", "image": "the image"}
        after = next((words for what, words in whole.items() if what in self.left), str(self.left or "none"))
        return f"{self.name:<36} {before:<72} {after}"


@dataclass
class Lane:
    """One provider, with one node at a time."""

    driver: str
    provider: str
    master: SaltMaster
    site: Path
    read: Callable[[], dict[str, list[str]]]
    clear: Callable[[], None]
    light: LightCloud | None = None
    node: str = field(init=False)
    #: the names of the parts of the node
    names: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.node = f"node.{self.provider}.app"
        self.names = {self.node, self.light.kind.hostname(self.node) if self.light else self.node}

    @property
    def creation(self) -> list[str]:
        return ["hart.create", self.node, "role=app", f"provider={self.provider}"]

    def killed_at(self, point: str, command: list[str]) -> tuple[int, str]:
        """Run with the package that kills at a point."""
        more = {"PYTHONPATH": str(self.site), "HART_KILL": point, "HART_KILL_DRIVER": self.driver}
        ran = self.master.run_with(more, *command, timeout=TIMEOUT)
        return ran.code, ran.stdout + ran.stderr

    def killed_in_call(self, number: int, when: str, command: list[str]) -> int:
        """Kill it while the answer of its n-th call that changes something is pending."""
        assert self.light is not None
        cloud, changing = self.light.cloud, self.light.kind.changing
        # A call that did not take effect fails in the end, whatever the client does.
        how: dict[str, Any] = {"when": when, "stall": STALL, "status": 503 if when == "before" else None}
        fault: Fault = changing.fault(skip=number, **how)
        cloud.faults.add(fault)
        with self.master.to_be_killed(*command) as run:
            tools.until(lambda: fault in cloud.faults.struck or run.has_ended(), "the call, or the end")
            run.kill()
            code = run.wait(TIMEOUT).returncode
        cloud.faults.clear()
        cloud.faults.struck.clear()
        return code

    def swept(self, name: str, code: int, said: str = "") -> Outcome:
        """Take the state, sweep, and take the state again."""
        before = self.read()
        swept = self.master.run("hart.sweep", f"provider={self.provider}", "grace=0")
        left = self._whole(self.read())
        if "whole" in left:
            assert self.master.run("hart.destroy", self.node).code == 0
        outcome = Outcome(name, code, said, before, swept, left, self.read())
        self.clear()
        return outcome

    def baking(self) -> list[str]:
        """Return the function and the arguments for a bake, with a copy where the driver has one."""
        if self.light is None:
            write_sls(self.master, "base", "/a: test.nop\n")
            return ["hart.bake", "app", "apply=base"]
        places = [str(self.light.kind.node.get("region") or ""), ELSEWHERE.get(self.driver, "")]
        return self.light.baking(*([f"region={','.join(places)}"] if all(places) else []))

    def swept_of_bake(self, name: str, code: int, said: str = "") -> Outcome:
        """Take the state, sweep, take the state again, and delete the image if it is complete."""
        before = self.read()
        swept = self.master.run("hart.sweep", f"provider={self.provider}", "grace=0")
        left = self.read()
        if left and left.keys() <= IMAGES:
            listed = self.master.run("hart.list_images", f"provider={self.provider}").data
            baked = {image: entry for image, entry in listed.items() if entry.get("baked")}
            if baked and all(entry["available"] and not entry["nodes"] for entry in baked.values()):
                left = {"image": sorted(baked)}
            for image in baked:
                ran = self.master.run("hart.remove_image", image, f"provider={self.provider}")
                assert ran.code == 0, ran
        outcome = Outcome(name, code, said, before, swept, left, self.read())
        self.clear()
        return outcome

    def _whole(self, left: dict[str, list[str]]) -> dict[str, list[str]]:
        """Return what is left besides a node that is complete and ready."""
        if not left:
            return {}
        listed = self.master.run("hart.list_minions", f"provider={self.provider}").data
        ready = {name for name, entry in listed.items() if entry["status"] == "ready"}
        parts = {name for names in left.values() for name in names}
        return {"whole": [self.node]} if ready == {self.node} and parts == self.names else left


def by_point(lane: Lane, phase: str, point: str) -> Outcome:
    if phase == "bake":
        return lane.swept_of_bake(f"{phase}: {point}", *lane.killed_at(point, lane.baking()))
    if phase == "destroy":
        assert lane.master.run(*lane.creation).code == 0
    command = lane.creation if phase == "create" else ["hart.destroy", lane.node]
    return lane.swept(f"{phase}: {point}", *lane.killed_at(point, command))


def by_call(lane: Lane, phase: str) -> list[Outcome]:
    """Kill a run before and after each call that changes something, until a run has no more of them."""
    found: list[Outcome] = []
    for number, when in itertools.product(range(MOST_CALLS), BEFORE_AFTER):
        if phase == "destroy":
            assert lane.master.run(*lane.creation).code == 0
        command = {"create": lane.creation, "bake": lane.baking()}.get(phase, ["hart.destroy", lane.node])
        code = lane.killed_in_call(number, when, command)
        sweep = lane.swept_of_bake if phase == "bake" else lane.swept
        outcome = sweep(f"{phase}: {when} call {number + 1} was done", code)
        if code != -signal.SIGKILL and when == "before":
            return found
        found.append(outcome)
    raise AssertionError(f"more than {MOST_CALLS} calls")


Case = tuple[str, str, str]


def cases(driver: str) -> list[Case]:
    """Return a driver's cases, in the order of its lane."""
    calls = [(phase, "calls") for phase in ("create", "destroy")] if driver in CLOUDS else []
    return [(driver, phase, what) for phase, what in (*_points(driver), *_points_of_bake(driver), *calls)]


def _points_of_bake(driver: str) -> list[tuple[str, str]]:
    if not issubclass(driver_class(driver), SnapshotSupport) or driver not in EVERY_POINT:
        return []
    points = [("bake", point) for point in (BAKING if scope.whole else BAKING_BY_DEFAULT)]
    if driver not in ELSEWHERE:
        points = [one for one in points if not one[1].startswith("copy_image")]
    return [*points, ("bake", "calls")] if scope.whole and driver in CLOUDS else points


def _points(driver: str) -> list[tuple[str, str]]:
    if driver in EVERY_POINT:
        creating, destroying = CREATING, DESTROYING
    elif driver in CLOUDS:
        return []
    else:
        creating, destroying = OF_DRIVERS[:-2], OF_DRIVERS[-2:]
    return [*(("create", point) for point in creating), *(("destroy", point) for point in destroying)]


def outcomes_of(lane: Lane, case: Case) -> list[Outcome]:
    _, phase, what = case
    if what == "calls":
        return by_call(lane, phase)
    return [by_point(lane, phase, what)]


class Table:
    """Run the selected cases concurrently, since most of a case is waiting, mainly for sweep's second lists."""

    def __init__(self, lanes: list[Lane], asked: list[Case]) -> None:
        self._outcomes: dict[Case, Future[list[Outcome]]] = {case: Future() for case in asked}
        self._waiting = list(asked)
        self._stop = False
        self._taking = threading.Lock()
        self._threads = [threading.Thread(target=self._work, args=(lane,), name=lane.driver) for lane in lanes]
        for thread in self._threads:
            thread.start()

    def _next(self, driver: str) -> Case | None:
        with self._taking:
            case = next((case for case in self._waiting if case[0] == driver and not self._stop), None)
            if case is not None:
                self._waiting.remove(case)
            return case

    def _work(self, lane: Lane) -> None:
        while case := self._next(lane.driver):
            future = self._outcomes[case]
            try:
                future.set_result(outcomes_of(lane, case))
            except BaseException as error:
                future.set_exception(error)
                with contextlib.suppress(Exception):
                    lane.clear()

    def outcomes(self, case: Case) -> list[Outcome]:
        """Return the outcome of a case; wait for it."""
        return self._outcomes[case].result()

    def close(self) -> None:
        """Start no more cases, and wait for those that run."""
        self._stop = True
        for thread in self._threads:
            thread.join()

    def lines(self) -> Iterator[str]:
        """Print the table, a part for each driver."""
        for driver in DRIVERS:
            done = [one for case, one in self._outcomes.items() if case[0] == driver and one.done()]
            rows = [outcome.line() for one in done if not one.exception() for outcome in one.result()]
            if rows:
                yield f"\n\n{driver + ': killed at':<36} {'left':<72} after the sweep"
                yield from (f"  {row}" for row in rows)


@pytest.fixture(scope="module")
def table(factories: FactoriesManager, request: pytest.FixtureRequest) -> Iterator[Table]:
    marks = (item.get_closest_marker("kill_case") for item in request.session.items)
    asked = [mark.args for mark in marks if mark is not None]
    with contextlib.ExitStack() as stack:
        drivers = [driver for driver in dict.fromkeys(case[0] for case in asked) for _ in range(LANES.get(driver, 1))]
        lanes = [stack.enter_context(lane(factories, driver)) for driver in drivers]
        table = Table(lanes, asked)
        stack.callback(table.close)
        yield table
    print_lines(request.config, table.lines())


@contextlib.contextmanager
def lane(factories: FactoriesManager, driver: str) -> Iterator[Lane]:
    """Start a master with the driver's cloud, or with local instances."""
    if driver == "local":
        with running_master(factories, hart={"roles": {"app": {}}, "providers": {"local": {}}}) as master:
            yield Lane(driver, "local", master, _site(master), lambda: _left_locally(master), master.clear)
        return
    with light_cloud.light_cloud(factories, CLOUDS[driver]) as light:
        yield Lane(driver, light.provider, light.master, _site(light.master), light.left, light.forget, light)


def _left_locally(master: SaltMaster) -> dict[str, list[str]]:
    """Return what is left by node, to recognise a complete one; processes and sockets are found by its directory."""
    nodes = ["node.local.app", *sorted(_bakes(master))]
    claims = [path.name for path in (master.cachedir / "hart/locks").glob("*.batch")]
    images = [path.name for path in (master.instances / ".images").glob("*")]
    found: dict[str, list[str]] = {}
    for node, parts in tools.left_of_each(master, nodes).items():
        for part in parts:
            found.setdefault(part, []).append(node)
    return {**({"claims": claims} if claims else {}), **({"images": images} if images else {}), **found}


def _bakes(master: SaltMaster) -> set[str]:
    """Return the ids of nodes of bakes of which there is anything."""
    places = [master.instances.glob("*"), (master.cachedir / "hart/nodes").glob("*.p")]
    found = {path.name.removesuffix(".node.p") for place in places for path in place}
    return {name for name in (*found, *(one for ids in master.keys().values() for one in ids)) if is_bake_id(name)}


def _site(master: SaltMaster) -> Path:
    """Return where the package with the killer is installed."""
    site = master.root / "site"
    info = site / "hart_killer-1.dist-info"
    info.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("killer_driver.py"), site / "hart_killer.py")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hart-killer\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[hart_salt.drivers]\nkiller = hart_killer:DRIVER\n")
    return site


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id="-".join(case), marks=pytest.mark.kill_case(*case))
        for driver in DRIVERS
        for case in cases(driver)
    ],
)
def test_a_sweep_removes_what_a_killed_run_left(table: Table, case: Case) -> None:
    outcomes = table.outcomes(case)
    assert outcomes, "there are no such calls"
    for outcome in outcomes:
        assert outcome.code == -signal.SIGKILL, outcome.said
        assert outcome.swept.code == 0, outcome
        whole = "image" if case[1] == "bake" else "whole"
        assert outcome.left in ({}, {whole: outcome.left.get(whole)}), outcome
        assert outcome.at_last == {}, outcome
        if case[1] == "bake":
            assert case[2] == "calls" or ("image" in outcome.left) is (case[2] in HAS_IMAGE), outcome
        elif case[1] == "create" and case[2] in MAY_BE_READY:
            assert "whole" in outcome.left, "it was ready: nothing takes it away"
        elif case[1] == "create":
            assert outcome.left == {} or "call" in outcome.name, outcome


#: points from which on the node is a minion that stays: it was reported as ready, and sweep seals it
MAY_BE_READY = ("stage:ready", "stage:sealed", "settle:before", "settle:after", "close:before", "close:after")
