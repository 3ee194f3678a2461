"""
Faults of the clouds, each with a complete ``salt-run hart.create_role``: its outcome, and what is left.

After any fault, the call succeeds, or fails with one message and an exit code that is not 0. After a failure nothing is
left at the provider or on the master, after a success only the nodes; and a lost answer never makes a second instance.
The machines are light ones. All outcomes are printed as one table for each cloud.

The cases run concurrently, each with a provider that has its own account, because they mostly wait. Each case is judged
by its test. By default, cases that differ by no cloud or by no library have one cloud each, see ``FEWER``, and of the
ways in which a call fails for a moment only the create call meets all; see ``_by_default``.
"""

from __future__ import annotations

import itertools
import queue
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from saltfactories.manager import FactoriesManager

from tests.drivers.environments import ENVIRONMENTS
from tests.emulation.faults import Fault, MachineFault
from tests.end_to_end import light_cloud, tools
from tests.end_to_end.clouds import Call, Case, Cloud, all_clouds, common_cases
from tests.end_to_end.conftest import Ran
from tests.end_to_end.light_cloud import LightCloud, messages_of, nodes_of
from tests.parts import print_lines

_missing = light_cloud.missing()
pytestmark = pytest.mark.skipif(bool(_missing), reason=_missing)

CLOUDS = all_clouds()
#: one cloud, and one for each way to call an API: our own client, which the others share, and two libraries
ONE, EACH_LIBRARY = ("do",), ("do", "ec2", "gce")
#: concurrent cases
AT_ONCE = 8
#: messages when the bootstrap fails at a step; before ``ssh`` sets the host key, hart cannot connect
STEPS = {
    "ssh": "did not show this node's host key",
    **{step: f"failed in step {step}" for step in ("trust", "key", "install", "hand-over")},
}


@dataclass(frozen=True)
class Outcome:
    """The outcome of a case."""

    ran: Ran
    #: additional instances
    made: int
    #: besides nodes that are up
    left: dict[str, list[str]]
    #: faults that never happened, errors of the emulator, and calls that violate the vendor's description
    amiss: list[str]

    def word(self) -> str:
        """Return the outcome in short."""
        if self.ran.code == 0:
            return "success"
        up = len(_up(self.ran))
        return f"{up} up, exit {self.ran.code}" if up else f"clean failure, exit {self.ran.code}"


def _up(ran: Ran) -> set[str]:
    return {name for name, entry in nodes_of(ran).items() if entry["result"]}


def _beside(left: dict[str, list[str]], nodes: set[str], cloud: Cloud) -> dict[str, list[str]]:
    """Return what is left besides complete nodes; a node with a missing part is included."""
    if not nodes:
        return left
    whole = dict.fromkeys(("instances", "minion keys", "records"), sorted(nodes))
    whole["machines"] = sorted(map(cloud.hostname, nodes))
    return {kind: left.get(kind, ["missing"]) for kind in {**left, **whole} if left.get(kind) != whole.get(kind)}


def _amiss(light: LightCloud) -> list[str]:
    cloud = light.cloud
    found = [f"never struck: {fault}" for fault in cloud.faults.pending()]
    return [*found, *map(repr, cloud.defects), *map(repr, cloud.machines.failures), *cloud.said_against()]


def _judged(light: LightCloud, before: int, ran: Ran, up: set[str]) -> Outcome:
    return Outcome(ran, light.cloud.made() - before, _beside(light.left(), up, light.kind), _amiss(light))


# the work of a case


def _create(case: Case) -> Callable[[LightCloud], Outcome]:
    def work(light: LightCloud) -> Outcome:
        light.configure(case.account, **case.settings)
        vars(light.cloud.switches()).update(case.switches)
        before = light.cloud.made()
        light.cloud.faults.add(*case.faults)
        ran = light.create(f"count={case.count}")
        return _judged(light, before, ran, _up(ran))

    return work


def _destroy(case: Case) -> Callable[[LightCloud], Outcome]:
    def work(light: LightCloud) -> Outcome:
        created = light.create()
        before = light.cloud.made()
        vars(light.cloud.switches()).update(case.switches)
        light.cloud.faults.add(*case.faults)
        return _judged(light, before, light.master.run("hart.destroy", *nodes_of(created)), set())

    return work


def _one_of_three_refused(light: LightCloud) -> Outcome:
    before = light.cloud.made()
    light.cloud.faults.add(light.kind.refused(skip=1))
    ran = light.create("count=3")
    return _judged(light, before, ran, _up(ran))


def _each_step_fails(light: LightCloud) -> Outcome:
    light.configure(boot_timeout=6)
    before = light.cloud.made()
    light.cloud.faults.add(*(MachineFault(fail_at=step, times=1) for step in STEPS))
    ran = light.create(f"count={len(STEPS)}")
    return _judged(light, before, ran, _up(ran))


def _three_lost(light: LightCloud) -> Outcome:
    before = light.cloud.made()
    light.cloud.faults.add(light.kind.create.lost(times=3))
    ran = light.create("count=3")
    return _judged(light, before, ran, _up(ran))


def _interrupted(booting: bool, signum: signal.Signals) -> Callable[[LightCloud], Outcome]:
    """Send the signal while the instance boots, or while the answer of the create call is pending."""

    def work(light: LightCloud) -> Outcome:
        light.configure(boot_timeout=60)
        slow = light.kind.create.fault(when="after", stall=1.5)
        light.cloud.faults.add(MachineFault(never_active=True) if booting else slow)
        before, looks = light.cloud.made(), light.looks()
        with tools.running(light.master, *light.creation()) as run:
            tools.until(lambda: light.cloud.made() > before, "an instance")
            if booting:
                tools.until(lambda: light.looks() > looks, "a look at it")
            run.send_signal(signum)
            return _judged(light, before, tools.ended(run), set())

    return work


def _image_call(kind: Cloud) -> Call:
    """Return the call that makes an image of an instance."""
    matches = ENVIRONMENTS[kind.name].image_create  # type: ignore[attr-defined]
    return Call(matches["method"], matches.get("path", ""), matches.get("body", ""))


def _baked(light: LightCloud, before: int, ran: Ran) -> Outcome:
    """Judge a bake: if it succeeded, its complete image stays, and nothing else ever does."""
    left = light.left()
    if ran.code == 0:
        image = {} if IMAGES & left.keys() else {"image": ["missing"]}
        left = {**image, **{kind: names for kind, names in left.items() if kind not in IMAGES}}
    return Outcome(ran, light.cloud.made() - before, left, _amiss(light))


def _bake(faults: Callable[[Cloud], Sequence[Fault]], switches: Mapping[str, Any]) -> Callable[[LightCloud], Outcome]:
    def work(light: LightCloud) -> Outcome:
        vars(light.cloud.switches()).update(switches)
        before = light.cloud.made()
        light.cloud.faults.add(*faults(light.kind))
        return _baked(light, before, light.master.run(*light.baking()))

    return work


#: seconds for which an image is pending; some APIs delete it only after that
PENDING = 4.0


def _bake_interrupted(light: LightCloud) -> Outcome:
    """Send SIGTERM while the image is pending."""
    light.cloud.switches().image_after = PENDING
    begun, before = _image_call(light.kind).fault(when="after", stall=0.5), light.cloud.made()
    light.cloud.faults.add(begun)
    with tools.running(light.master, *light.baking()) as run:
        tools.until(lambda: begun in light.cloud.faults.struck, "the image is being made")
        run.send_signal(signal.SIGTERM)
        return _baked(light, before, tools.ended(run))


#: stands for the message of a fault after which some drivers find the image, and others report a clean failure
MAY_SUCCEED = ""
#: stands for the message of the cloud's refusal
REFUSAL = "refused"
#: faults of a bake, and words of the message
BAKES: dict[str, tuple[Callable[[LightCloud], Outcome], str]] = {
    "bake: image refused": (
        _bake(lambda kind: [_image_call(kind).fault(
            **{name: value for name, value in kind.refusal.items() if name != "message"})], {}), REFUSAL),
    "bake: answer of the image's call lost": (_bake(lambda kind: [_image_call(kind).lost()], {}), MAY_SUCCEED),
    "bake: the provider gives the image up": (
        _bake(lambda kind: [], {"fails_image": True}), "could not make the image"),
    "bake: SIGTERM with the image pending": (_bake_interrupted, "interrupted by SIGTERM"),
}  # fmt: skip
#: what a complete image consists of at a provider, as the emulators name it
IMAGES = {"images", "snapshots"}

SIGNALS = {
    **{f"{signum.name} with an instance booting": (True, signum) for signum in tools.SIGNALS},
    "SIGTERM with the create call under way": (False, signal.SIGTERM),
}
CREATE = "create"  #: the call that meets every way to fail at every cloud
REFUSED, BOOTSTRAP, LOST = "one failed create of three", "bootstrap fails at each step", "create: three answers lost"
#: the clouds with which these cases are run by default; ``./test --all`` runs each with every cloud
FEWER: dict[str, tuple[str, ...]] = {
    "machine never boots": ONE,
    "another machine answers": ONE,
    BOOTSTRAP: ONE,
    **{what: ONE for what, (booting, signum) in SIGNALS.items() if booting and signum != signal.SIGTERM},
    **dict.fromkeys((
        "poll: 500, nothing done", "poll: answer lost", "poll: 429 with Retry-After", "poll: a gateway's page",
        "listed only seconds later", "pending for ever", "pending for ever, will not die",
    ), EACH_LIBRARY),
}  # fmt: skip


def _by_default(cloud: str, case: Any) -> tuple[str, ...]:
    """
    Return the clouds with which a case is run by default.

    Every call fails for a moment in one way, another one at each cloud and for each call, and the create call in all.
    ``tests/drivers/test_contract_faults.py`` breaks each call of each driver in every way.
    """
    name = getattr(case, "name", case)
    if name in BAKES:  # the cases take turns: each has one cloud
        return (tuple(CLOUDS)[[*BAKES].index(name)],)
    clouds = FEWER.get(name, tuple(CLOUDS))
    call = getattr(case, "call", "")
    if call in ("", CREATE):
        return clouds
    kind = CLOUDS[cloud]
    ways: dict[str, list[str]] = {}
    for one in (*common_cases(kind), *kind.cases, *kind.destroying):
        ways.setdefault(one.call, []).append(one.name)
    turn = [*CLOUDS].index(cloud) + [*ways].index(call)
    return clouds if case.name == ways[call][turn % len(ways[call])] else ()


def _works() -> dict[tuple[str, str], Callable[[LightCloud], Outcome]]:
    """Return all work, by cloud and name."""
    found: dict[tuple[str, str], Callable[[LightCloud], Outcome]] = {}
    for name, cloud in CLOUDS.items():
        found |= {(name, case.name): _create(case) for case in (*common_cases(cloud), *cloud.cases)}
        found |= {(name, case.name): _destroy(case) for case in cloud.destroying}
        found |= {(name, REFUSED): _one_of_three_refused, (name, BOOTSTRAP): _each_step_fails}
        found[name, LOST] = _three_lost
        found |= {(name, what): _interrupted(*how) for what, how in SIGNALS.items()}
        found |= {(name, what): work for what, (work, _) in BAKES.items()}
    return found


WORKS = _works()


class Table:
    """Run the selected cases concurrently, and print a line for each."""

    def __init__(self, lanes: list[LightCloud], asked: list[tuple[str, str]]) -> None:
        self._free = {name: queue.SimpleQueue[LightCloud]() for name in CLOUDS}
        for lane in lanes:
            self._free[lane.kind.name].put(lane)
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="case")
        # The clouds take turns: each has only a few lanes, and a case that waits for one blocks its thread.
        rounds = [[key for key in asked if key[0] == cloud] for cloud in CLOUDS]
        self._outcomes: dict[tuple[str, str], Future[Outcome]] = {
            key: self._pool.submit(self._run, key)
            for turn in itertools.zip_longest(*rounds)
            for key in turn
            if key is not None
        }

    def _run(self, key: tuple[str, str]) -> Outcome:
        lane = self._free[key[0]].get()
        try:
            return WORKS[key](lane)
        finally:
            lane.forget()
            self._free[key[0]].put(lane)

    def outcome(self, cloud: str, name: str) -> Outcome:
        """Return the outcome of a case; wait for it."""
        return self._outcomes[cloud, name].result()

    def close(self) -> None:
        """Start no more cases, and wait for those that run."""
        self._pool.shutdown(cancel_futures=True)

    def lines(self) -> Iterator[str]:
        """Print the table, a part for each cloud."""
        for cloud in CLOUDS:
            yield f"\n\n{cloud + ': fault':<50} {'outcome':<24} left"
            for (where, name), future in self._outcomes.items():
                if where == cloud and future.done() and not future.cancelled() and not future.exception():
                    outcome = future.result()
                    left = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in outcome.left.items())
                    yield f"  {name:<48} {outcome.word():<24} {left or 'nothing'}"


@pytest.fixture(scope="module")
def table(factories: FactoriesManager, request: pytest.FixtureRequest) -> Iterator[Table]:
    marks = (item.get_closest_marker("fault_case") for item in request.session.items)
    asked = [mark.args for mark in marks if mark is not None]
    kinds = [CLOUDS[name] for name in dict.fromkeys(cloud for cloud, _ in asked)]
    lanes = [kind for kind in kinds for _ in range(kind.lanes)]
    with light_cloud.light_clouds(factories, lanes) as opened:
        table = Table(opened, asked)
        try:
            yield table
        finally:
            table.close()
    print_lines(request.config, table.lines())


def _params(of: Callable[[str], list[Any]]) -> list[Any]:
    """Parametrize a test with each cloud and what ``of`` names for it; the mark says which cases must run."""
    return [
        pytest.param(
            cloud,
            what,
            id=f"{cloud}-{name}",
            marks=[pytest.mark.fault_case(cloud, name), pytest.mark.on_clouds(*_by_default(cloud, what))],
        )
        for cloud in CLOUDS
        for what in of(cloud)
        for name in [getattr(what, "name", what)]
    ]


def _check_clean(outcome: Outcome) -> None:
    """Check what holds for every outcome."""
    assert "Traceback" not in outcome.ran.stdout + outcome.ran.stderr, outcome.ran
    assert outcome.left == {}, outcome.ran
    assert outcome.amiss == []


@pytest.mark.parametrize(("cloud", "case"), _params(lambda name: [*common_cases(CLOUDS[name]), *CLOUDS[name].cases]))
def test_a_fault_ends_in_success_or_in_a_clean_failure(table: Table, cloud: str, case: Case) -> None:
    outcome = table.outcome(cloud, case.name)
    _check_clean(outcome)
    ran, messages = outcome.ran, messages_of(outcome.ran)
    if case.message:
        assert ran.code in (1, 2)
        assert len(messages) == 1
        assert case.message in messages[0]
        assert outcome.made <= 1
    else:
        assert (ran.code, messages, len(_up(ran)), outcome.made) == (0, [], case.count, case.count), ran


@pytest.mark.parametrize(("cloud", "case"), _params(lambda name: list(CLOUDS[name].destroying)))
def test_a_fault_while_a_node_is_destroyed(table: Table, cloud: str, case: Case) -> None:
    outcome = table.outcome(cloud, case.name)
    _check_clean(outcome)
    assert (outcome.ran.code, outcome.made) == (0, 0)


@pytest.mark.parametrize(("cloud", "name"), _params(lambda _: [REFUSED]))
def test_one_failed_create_of_three_does_not_affect_the_others(table: Table, cloud: str, name: str) -> None:
    outcome = table.outcome(cloud, name)
    _check_clean(outcome)
    assert (outcome.ran.code, len(nodes_of(outcome.ran)), len(_up(outcome.ran)), len(messages_of(outcome.ran))) == (
        1,
        3,
        2,
        1,
    )


@pytest.mark.parametrize(("cloud", "name"), _params(lambda _: [BOOTSTRAP]))
def test_a_bootstrap_that_fails_at_any_step_leaves_nothing(table: Table, cloud: str, name: str) -> None:
    outcome = table.outcome(cloud, name)
    _check_clean(outcome)
    messages = messages_of(outcome.ran)
    assert (outcome.ran.code, len(messages)) == (1, len(STEPS))
    assert {step: sum(words in message for message in messages) for step, words in STEPS.items()} == dict.fromkeys(
        STEPS, 1
    )


@pytest.mark.parametrize(("cloud", "name"), _params(lambda _: [LOST]))
def test_three_lost_answers_leave_three_instances(table: Table, cloud: str, name: str) -> None:
    outcome = table.outcome(cloud, name)
    _check_clean(outcome)
    assert (outcome.ran.code, len(nodes_of(outcome.ran)), outcome.made) == (0, 3, 3)


@pytest.mark.parametrize(("cloud", "name"), _params(lambda _: list(SIGNALS)))
def test_a_signal_rolls_everything_back(table: Table, cloud: str, name: str) -> None:
    outcome = table.outcome(cloud, name)
    _, signum = SIGNALS[name]
    _check_clean(outcome)
    assert outcome.ran.code == 128 + signum, outcome.ran
    (message,) = messages_of(outcome.ran)
    assert f"interrupted by {signum.name}; the node was rolled back" in message


@pytest.mark.parametrize(("cloud", "name"), _params(lambda _: list(BAKES)))
def test_a_fault_of_a_bake_leaves_nothing_or_a_complete_image(table: Table, cloud: str, name: str) -> None:
    outcome = table.outcome(cloud, name)
    _check_clean(outcome)
    _, words = BAKES[name]
    messages = messages_of(outcome.ran)
    assert outcome.made == 1
    if outcome.ran.code == 0:
        assert (messages, words) == ([], MAY_SUCCEED)
        return
    assert len(messages) == 1
    expected = str(CLOUDS[cloud].refusal["message"]) if words == REFUSAL else words
    assert expected in messages[0]
    assert outcome.ran.code == (128 + signal.SIGTERM if "SIGTERM" in name else 1)
