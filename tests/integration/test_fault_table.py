"""
Faults of the clouds, each under a whole ``salt-run hart.create_role``: what comes of it, and what is left.

Whatever strikes, the call succeeds or fails with one message and an exit code that is not 0; after a failure
nothing is left at the provider or on the master, after a success nothing but the nodes; and no answer that was
lost makes a second instance. The machines are light ones. All outcomes are printed as one table for each cloud.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from saltfactories.manager import FactoriesManager

from tests.cloud.faults import MachineFault
from tests.integration import light_cloud, tools
from tests.integration.clouds import Case, all_clouds, common_cases
from tests.integration.conftest import Ran
from tests.integration.light_cloud import LightCloud, nodes_of, told

_missing = light_cloud.missing()
pytestmark = pytest.mark.skipif(bool(_missing), reason=_missing)

CLOUDS = all_clouds()
#: cloud, fault, outcome and what was left; filled by the tests and printed after the last
TABLE: list[tuple[str, str, str, str]] = []
#: what is said when the bootstrap fails at a step; before the key of ``ssh`` is there, nothing can be asked
STEPS = {
    "ssh": "did not show this node's host key",
    **{step: f"failed in step {step}" for step in ("trust", "key", "install", "hand-over")},
}
#: while the instance boots, and while the create call's answer is on its way
BOOTING, UNDER_WAY = "an instance booting", "the create call under way"
SIGNALS = [
    *((BOOTING, signum) for signum in tools.SIGNALS),
    (UNDER_WAY, signal.SIGTERM),
]


def _of_all(cases: str) -> list[Any]:
    """The cases of every cloud. Those of one cloud follow each other, so that it is started once."""
    found = {name: (*common_cases(it), *it.cases) if cases == "cases" else it.destroying for name, it in CLOUDS.items()}
    return [pytest.param(name, case, id=f"{name}-{case.name}") for name, them in found.items() for case in them]


@pytest.fixture(scope="module")
def _light(factories: FactoriesManager, request: pytest.FixtureRequest) -> Iterator[LightCloud]:
    with light_cloud.light_cloud(factories, CLOUDS[request.param]) as opened:
        yield opened


@pytest.fixture
def light(_light: LightCloud) -> Iterator[LightCloud]:
    yield _light
    _light.forget()
    assert _light.cloud.defects == []


each_cloud = pytest.mark.parametrize("_light", list(CLOUDS), indirect=True)


@pytest.fixture(scope="module", autouse=True)
def _table(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    plugins = request.config.pluginmanager
    with plugins.get_plugin("capturemanager").global_and_fixture_disabled():
        write = plugins.get_plugin("terminalreporter").write_line
        for cloud in CLOUDS:
            write("\n\n" + f"{cloud + ': fault':<48} {'outcome':<24} left")
            for where, name, outcome, leavings in TABLE:
                if where == cloud:
                    write(f"  {name:<46} {outcome:<24} {leavings}")


def _tell(light: LightCloud, name: str, outcome: str, left: dict[str, list[str]]) -> None:
    remains = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in left.items()) or "nothing"
    TABLE.append((light.kind.name, name, outcome, remains))


def _outcome(ran: Ran) -> str:
    return "success" if ran.code == 0 else f"clean failure, exit {ran.code}"


def _beside(left: dict[str, list[str]], nodes: set[str]) -> dict[str, list[str]]:
    """What is left but for nodes that are up; a node of which a part is missing shows as that."""
    if not nodes:
        return left
    whole = dict.fromkeys(("instances", "machines", "minion keys", "records"), sorted(nodes))
    return {kind: left.get(kind, ["missing"]) for kind in {**left, **whole} if left.get(kind) != whole.get(kind)}


def _check_clean(light: LightCloud, ran: Ran) -> None:
    """What holds for every end."""
    assert "Traceback" not in ran.stdout + ran.stderr, ran
    assert light.cloud.faults.pending() == [], "a fault that never struck tested nothing"
    assert light.cloud.said_against() == []


@pytest.mark.parametrize(("_light", "case"), _of_all("cases"), indirect=["_light"])
def test_a_fault_ends_as_success_or_as_a_clean_failure(light: LightCloud, case: Case) -> None:
    light.configure(case.account, **case.settings)
    vars(light.cloud.switches()).update(case.switches)
    before = light.cloud.made()
    light.cloud.faults.add(*case.faults)
    ran = light.create(f"count={case.count}")
    up = {name for name, entry in nodes_of(ran).items() if entry["result"]}
    left = _beside(light.left(), up)
    _tell(light, case.name, _outcome(ran), left)
    assert left == {}, ran
    _check_clean(light, ran)
    messages = told(ran)
    if case.told:
        assert ran.code in (1, 2)
        assert len(messages) == 1
        assert case.told in messages[0]
        assert light.cloud.made() - before <= 1
    else:
        assert (ran.code, messages, len(up)) == (0, [], case.count), ran
        assert light.cloud.made() - before == case.count


@pytest.mark.parametrize(("_light", "case"), _of_all("destroying"), indirect=["_light"])
def test_a_fault_while_a_node_is_destroyed(light: LightCloud, case: Case) -> None:
    (name,) = nodes_of(light.create())
    vars(light.cloud.switches()).update(case.switches)
    light.cloud.faults.add(*case.faults)
    ran = light.master.run("hart.destroy", name)
    left = light.left()
    _tell(light, case.name, _outcome(ran), left)
    assert left == {}, ran
    _check_clean(light, ran)
    assert ran.code == 0


@each_cloud
def test_one_failed_create_of_three_harms_no_other(light: LightCloud) -> None:
    refusal = {name: value for name, value in light.kind.refusal.items() if name != "told"}
    light.cloud.faults.add(light.kind.create.fault(skip=1, **refusal))
    ran = light.create("count=3")
    nodes = nodes_of(ran)
    up = {name for name, entry in nodes.items() if entry["result"]}
    left = _beside(light.left(), up)
    _tell(light, "one failed create of three", f"two up, exit {ran.code}", left)
    assert left == {}, ran
    _check_clean(light, ran)
    assert (ran.code, len(nodes), len(up), len(told(ran))) == (1, 3, 2, 1)


@each_cloud
def test_a_bootstrap_that_fails_at_any_step_leaves_nothing(light: LightCloud) -> None:
    light.configure(boot_timeout=4)
    light.cloud.faults.add(*(MachineFault(fail_at=step, times=1) for step in STEPS))
    ran = light.create(f"count={len(STEPS)}")
    left = light.left()
    for step in STEPS:
        _tell(light, f"bootstrap fails at step {step}", _outcome(ran), left)
    assert left == {}, ran
    _check_clean(light, ran)
    messages = told(ran)
    assert (ran.code, len(messages)) == (1, len(STEPS))
    assert {step: sum(words in message for message in messages) for step, words in STEPS.items()} == dict.fromkeys(
        STEPS, 1
    )


@each_cloud
def test_three_lost_answers_are_three_instances(light: LightCloud) -> None:
    before = light.cloud.made()
    light.cloud.faults.add(light.kind.create.lost(times=3))
    ran = light.create("count=3")
    left = _beside(light.left(), set(nodes_of(ran)))
    _tell(light, "create: all answers of three lost", _outcome(ran), left)
    assert left == {}, ran
    _check_clean(light, ran)
    assert (ran.code, len(nodes_of(ran)), light.cloud.made() - before) == (0, 3, 3)


@each_cloud
@pytest.mark.parametrize(("moment", "signum"), SIGNALS, ids=lambda it: getattr(it, "name", it))
def test_a_signal_takes_everything_back(light: LightCloud, moment: str, signum: signal.Signals) -> None:
    light.configure(boot_timeout=60)
    slow = light.kind.create.fault(when="after", stall=1.5)
    light.cloud.faults.add(MachineFault(never_active=True) if moment == BOOTING else slow)
    before, looks = light.cloud.made(), light.looks()
    with tools.running(light.master, "hart.create_role", "app", f"provider={light.kind.name}") as run:
        tools.until(lambda: light.cloud.made() > before, "an instance")
        if moment == BOOTING:
            looks += light.kind.looks_before
            tools.until(lambda: light.looks() > looks, "a look at it")
        run.send_signal(signum)
        ran = tools.ended(run)
    left = light.left()
    _tell(light, f"{signum.name} with {moment}", f"clean failure, exit {ran.code}", left)
    assert left == {}, ran
    _check_clean(light, ran)
    assert ran.code == 128 + signum, ran
    (message,) = told(ran)
    assert f"interrupted by {signum.name}; it was undone" in message
