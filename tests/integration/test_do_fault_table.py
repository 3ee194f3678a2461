"""
Faults of DigitalOcean, each under a whole ``salt-run hart.create_role``: what comes of it, and what is left.

Whatever strikes, the call succeeds or fails with one message and an exit code that is not 0; after a failure
nothing is left at the provider or on the master, after a success nothing but the nodes; and no answer that was
lost makes a second droplet. The machines are light ones. All outcomes are printed as one table at the end.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from saltfactories.manager import FactoriesManager

from tests.cloud import faults
from tests.cloud.faults import Fault, MachineFault
from tests.integration import light_cloud, tools
from tests.integration.conftest import Ran
from tests.integration.light_cloud import CREATE, DROPLET, KEYS, TAG, LightCloud, nodes_of, told

_missing = light_cloud.missing()
pytestmark = pytest.mark.skipif(bool(_missing), reason=_missing)

#: fault, outcome and what was left; filled by the tests and printed after the last
TABLE: list[tuple[str, str, str]] = []
#: the first list is the one of the plan, before anything is made
POLL = {"method": "GET", "path": CREATE, "skip": 1}
LOST = faults.lost_answer(CREATE)


@dataclass(frozen=True)
class Case:
    """A fault, and what has to come of it."""

    name: str
    faults: tuple[Fault | MachineFault, ...]
    #: words of the message of a failure; empty: it succeeds
    told: str = ""
    count: int = 1
    #: changes of the cloud's switches, and of the settings of the master
    switches: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


ALL_WAYS = ("500", "500 but done", "dropped", "answer lost", "stalls", "429")
#: for calls that are repeated whatever became of them
THREE_WAYS = ("500", "answer lost", "429")


def _hits(
    what: str, method: str, path: str, told: str = "", ways: Sequence[str] = THREE_WAYS, **more: Any
) -> Iterator[Case]:
    """A call that fails for a moment; ``told`` is for one that is not repeated if it may have been done."""
    found = {
        "500": Case(f"{what}: 500, nothing done", (Fault(method, path, status=500, **more),), told and "500"),
        "500 but done": Case(f"{what}: 500, but done", (Fault(method, path, status=500, when="after", **more),)),
        "dropped": Case(f"{what}: connection dropped", (Fault(method, path, drop=True, **more),), told),
        "answer lost": Case(f"{what}: answer lost", (faults.lost_answer(path, method, **more),)),
        "stalls": Case(f"{what}: stalls", (Fault(method, path, stall=1.0, **more),)),
        "429": Case(f"{what}: 429 with Retry-After", (faults.throttled(path, method, **more),)),
    }
    return (found[way] for way in ways)


BROKE = "the connection to DigitalOcean's API"
NEVER = {"settings": {"boot_timeout": 2}}

CALLS = (
    *_hits("make key", "POST", KEYS, BROKE, ALL_WAYS),
    *_hits("create", "POST", CREATE, BROKE, ALL_WAYS),
    *_hits("poll", **POLL),
    *_hits("remove key", "DELETE", KEYS),
    *_hits("remove tag", "DELETE", TAG),
)

MORE = (
    Case("plan: list of droplets 503, three times", (Fault("GET", CREATE, status=503, times=3),)),
    Case("plan: bad token", (Fault("GET", r"/v2/", status=401),), "401"),
    Case("make key: bad token", (Fault("POST", KEYS, status=401),), "401"),
    Case("create: 422", (Fault("POST", CREATE, status=422),), "422"),
    Case("create: 429 for an hour", (faults.throttled(CREATE, "POST", retry_after=3600),), "asks to wait 3600 s"),
    Case("create: 202 with a gateway's page", (
        Fault("POST", CREATE, status=202, answer=faults.HTML.format(502), when="after"),)),
    Case("create: answer lost, and listed late", (LOST, MachineFault(hidden_lists=1))),
    Case("create: answer lost, and listed too late", (LOST, MachineFault(hidden_for=4)), BROKE),
    Case("create: answer lost, and refuses to die", (LOST, MachineFault(hidden_lists=2, refuse_delete=1)), BROKE),
    Case("poll: a gateway's page", (faults.gateway_html(CREATE, "GET", skip=1),)),
    Case("poll: bad second page", (faults.bad_page(CREATE, status=500),), count=2, switches={"page_cap": 1}),
    Case("poll: second page 429", (faults.bad_page(CREATE),), count=2, switches={"page_cap": 1}),
    Case("poll: bad token meanwhile", (Fault(status=401, **POLL),), "401"),
    Case("listed only seconds later", (MachineFault(hidden_for=2),)),
    Case("address comes late", (MachineFault(address_lists=1),)),
    Case("new for ever", (MachineFault(never_active=True),), "not up within 2 s", **NEVER),
    Case("new for ever, refuses to die", (MachineFault(never_active=True, refuse_delete=2),), "not up", **NEVER),
    Case("new for ever, delete without effect", (MachineFault(never_active=True, ignore_delete=2),), "not up", **NEVER),
    Case("machine never boots", (MachineFault(never_boots=True),), "no SSH at", **NEVER),
    Case("another machine answers", (MachineFault(impostor=True),), "another machine answers", **NEVER),
)  # fmt: skip
#: what is said when the bootstrap fails at a step; before the key of ``ssh`` is there, nothing can be asked
STEPS = {
    "ssh": "did not show this node's host key",
    **{step: f"failed in step {step}" for step in ("trust", "key", "install", "hand-over")},
}

DESTROY = (
    *_hits("destroy", "DELETE", DROPLET),
    Case("destroy: is it gone: 500", (Fault("GET", DROPLET, status=500),)),
)


@pytest.fixture(scope="module")
def _light(factories: FactoriesManager) -> Iterator[LightCloud]:
    with light_cloud.light_cloud(factories) as opened:
        yield opened


@pytest.fixture
def light(_light: LightCloud) -> Iterator[LightCloud]:
    yield _light
    _light.forget()
    assert _light.cloud.defects == []


@pytest.fixture(scope="module", autouse=True)
def _table(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    plugins = request.config.pluginmanager
    with plugins.get_plugin("capturemanager").global_and_fixture_disabled():
        write = plugins.get_plugin("terminalreporter").write_line
        write("\n\n" + f"{'fault':<46} {'outcome':<24} left")
        for name, outcome, leavings in TABLE:
            write(f"  {name:<44} {outcome:<24} {leavings}")


def _tell(name: str, outcome: str, left: dict[str, list[str]]) -> None:
    TABLE.append((name, outcome, "; ".join(f"{kind}: {', '.join(names)}" for kind, names in left.items()) or "nothing"))


def _outcome(ran: Ran) -> str:
    return "success" if ran.code == 0 else f"clean failure, exit {ran.code}"


def _beside(left: dict[str, list[str]], nodes: set[str]) -> dict[str, list[str]]:
    """What is left but for nodes that are up; a node of which a part is missing shows as that."""
    if not nodes:
        return left
    whole = dict.fromkeys(("droplets", "machines", "minion keys", "records"), sorted(nodes))
    return {kind: left.get(kind, ["missing"]) for kind in {**left, **whole} if left.get(kind) != whole.get(kind)}


def _check_clean(light: LightCloud, ran: Ran) -> None:
    """What holds for every end."""
    assert "Traceback" not in ran.stdout + ran.stderr, ran
    assert light.cloud.faults.pending() == [], "a fault that never struck tested nothing"
    assert light.cloud.state.passwords_mailed == []
    assert light.cloud.said_against() == []


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in (*CALLS, *MORE)])
def test_a_fault_ends_as_success_or_as_a_clean_failure(light: LightCloud, case: Case) -> None:
    light.configure(**case.settings)
    vars(light.cloud.settings).update(case.switches)
    before = light.made()
    light.cloud.faults.add(*case.faults)
    ran = light.create(f"count={case.count}")
    up = {name for name, entry in nodes_of(ran).items() if entry["result"]}
    left = _beside(light.left(), up)
    _tell(case.name, _outcome(ran), left)
    assert left == {}, ran
    _check_clean(light, ran)
    messages = told(ran)
    if case.told:
        assert ran.code in (1, 2)
        assert len(messages) == 1
        assert case.told in messages[0]
        assert light.made() - before <= 1
    else:
        assert (ran.code, messages, len(up)) == (0, [], case.count), ran
        assert light.made() - before == case.count


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in DESTROY])
def test_a_fault_while_a_node_is_destroyed(light: LightCloud, case: Case) -> None:
    (name,) = nodes_of(light.create())
    light.cloud.faults.add(*case.faults)
    ran = light.master.run("hart.destroy", name)
    left = light.left()
    _tell(case.name, _outcome(ran), left)
    assert left == {}, ran
    _check_clean(light, ran)
    assert ran.code == 0


def test_one_failed_create_of_three_harms_no_other(light: LightCloud) -> None:
    light.cloud.faults.add(Fault("POST", CREATE, status=422, skip=1))
    ran = light.create("count=3")
    nodes = nodes_of(ran)
    up = {name for name, entry in nodes.items() if entry["result"]}
    left = _beside(light.left(), up)
    _tell("one failed create of three", f"two up, exit {ran.code}", left)
    assert left == {}, ran
    _check_clean(light, ran)
    assert (ran.code, len(nodes), len(up), len(told(ran))) == (1, 3, 2, 1)


def test_a_bootstrap_that_fails_at_any_step_leaves_nothing(light: LightCloud) -> None:
    light.configure(boot_timeout=4)
    light.cloud.faults.add(*(MachineFault(fail_at=step, times=1) for step in STEPS))
    ran = light.create(f"count={len(STEPS)}")
    left = light.left()
    for step in STEPS:
        _tell(f"bootstrap fails at step {step}", _outcome(ran), left)
    assert left == {}, ran
    _check_clean(light, ran)
    messages = told(ran)
    assert (ran.code, len(messages)) == (1, len(STEPS))
    assert {step: sum(words in message for message in messages) for step, words in STEPS.items()} == dict.fromkeys(
        STEPS, 1
    )


def test_three_lost_answers_are_three_droplets(light: LightCloud) -> None:
    before = light.made()
    light.cloud.faults.add(faults.lost_answer(CREATE, times=3))
    ran = light.create("count=3")
    left = _beside(light.left(), set(nodes_of(ran)))
    _tell("create: all answers of three lost", _outcome(ran), left)
    assert left == {}, ran
    _check_clean(light, ran)
    assert (ran.code, len(nodes_of(ran)), light.made() - before) == (0, 3, 3)


#: while the droplet boots, and while the create call's answer is on its way
MOMENTS = {
    "a droplet booting": MachineFault(never_active=True),
    "the create call under way": Fault("POST", CREATE, when="after", stall=1.5),
}
SIGNALS = [
    *(("a droplet booting", signum) for signum in tools.SIGNALS),
    ("the create call under way", signal.SIGTERM),
]


@pytest.mark.parametrize(("moment", "signum"), SIGNALS, ids=lambda it: getattr(it, "name", it))
def test_a_signal_takes_everything_back(light: LightCloud, moment: str, signum: signal.Signals) -> None:
    light.configure(boot_timeout=60)
    light.cloud.faults.add(MOMENTS[moment])
    with tools.running(light.master, "hart.create_role", "app", "provider=do") as run:
        tools.until(lambda: light.cloud.state.droplets, "a droplet")
        if "booting" in moment:
            tools.until(lambda: light.cloud.calls[-1].method == "GET", "a look at it")
        run.send_signal(signum)
        ran = tools.ended(run)
    left = light.left()
    _tell(f"{signum.name} with {moment}", f"clean failure, exit {ran.code}", left)
    assert left == {}, ran
    _check_clean(light, ran)
    assert ran.code == 128 + signum, ran
    (message,) = told(ran)
    assert f"interrupted by {signum.name}; it was undone" in message
