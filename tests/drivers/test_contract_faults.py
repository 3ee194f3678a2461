"""
The contract under faults: record one run through a driver's verbs, then break each of its calls in turn.

The tests run over every driver of a cloud, with each class of failure. After any fault, there is never a second
instance, the error says what to do next, and a later call can find and terminate what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from hart_salt.base.errors import DriverError, RateLimited, kind_of
from hart_salt.drivers.contract import Driver
from hart_salt.model import Instance
from tests.drivers.environment import CLIENT_KEY, USER_DATA, CloudEnvironment
from tests.drivers.environments import CLOUDS
from tests.emulation.emulator import Call
from tests.emulation.faults import HTML, Fault

pytestmark = pytest.mark.parametrize("environment", CLOUDS, indirect=True)

WAIT, HOUR = 7, 3600
#: ways for one call to fail temporarily, and whether it had an effect
ONCE: dict[str, dict[str, Any]] = {
    "500, but done": {"status": 500, "when": "after"},
    "connection lost, not done": {"drop": True},
    "connection lost, but done": {"drop": True, "when": "after"},
    "done, and not to be read": {"status": 200, "answer": HTML.format(200), "when": "after"},
    "429": {"status": 429, "headers": {"retry-after": str(WAIT)}},
}
#: possible outcomes of a create call that was sent once without effect
GIVEN_UP = ("connection lost, not done",)
#: a permanent answer to a call, by the meaning of a refusal or literally, and the class of its error
LASTING: dict[str, tuple[str | dict[str, Any], str]] = {
    "credentials": ("credentials", "AuthError"),
    "invalid": ("invalid", "InvalidRequest"),
    "429": ({"status": 429, "headers": {"retry-after": str(HOUR)}}, "RateLimited"),
    "503": ({"status": 503, "answer": HTML.format(503)}, "TemporaryFailure"),
    "no connection": ({"drop": True}, "TemporaryFailure"),
}
#: the failures that read-only calls also meet; for lists, ``test_contract_refusals.py`` has all
FOR_READS = ("connection lost, not done", "429", "503")


@dataclass
class Run:
    """One run through the verbs; a failed step ends the fault."""

    environment: CloudEnvironment
    driver: Driver
    name: str
    errors: dict[str, DriverError] = field(default_factory=dict)
    launched: Instance | None = None
    listed: list[Instance] | None = None

    def step(self, name: str, work: Callable[[], Any]) -> Any:
        """Run one step and return its result, or None after an error of the driver."""
        try:
            return work()
        except DriverError as error:
            self.errors[name] = error
            self.environment.cloud.faults.clear()
            return None

    def look(self) -> None:
        """List the instances once they are up."""
        self.environment.time.advance(60)
        region = self.environment.node(self.name).region
        self.listed = self.step("list", lambda: self.driver.instances(region))


def life(run: Run) -> None:
    """Run from the create call to the end."""
    # A separate batch, as for every call of hart: a provider recognises a retry by its batch.
    driver, node = run.driver, run.environment.node(run.name, batch=run.name)
    with ExitStack() as stack:
        access = run.step("enter", lambda: stack.enter_context(driver.access(run.name, CLIENT_KEY, [node])))
        if access is not None:
            run.launched = made = run.step("launch", lambda: driver.launch(node, USER_DATA, access))
            run.look()
            if made is not None:
                run.step("settle", lambda: driver.settle(made))
            run.step("leave", stack.close)
    if (launched := run.launched) is not None:
        run.step("end", lambda: driver.terminate(launched))


Way = Callable[[Run], None]


def watched(environment: CloudEnvironment, way: Way, name: str = "watched") -> tuple[Run, list[Call]]:
    """Return a run without faults, and its calls."""
    environment.cloud.calls.clear()
    environment.cloud.faults.struck.clear()
    run = Run(environment, environment.driver(**environment.narrow), name)
    way(run)
    return run, list(environment.cloud.calls)


def broken(
    environment: CloudEnvironment, way: Way, kind: str, fields: dict[str, Any]
) -> Iterator[tuple[str, Call, Run]]:
    """Repeat the run once for each of its calls with that call broken; yield the call and the run."""
    environment.hurry()
    run, calls = watched(environment, way)
    assert run.errors == {}
    chosen = [number for number, call in enumerate(calls) if environment.changes(call) or kind in FOR_READS]
    assert chosen
    for number in chosen:
        call = calls[number]
        environment.cloud.faults.add(Fault(skip=number, **fields))
        made = environment.cloud.made()
        run, _ = watched(environment, way, f"n{number}")
        where = f"call {number}: {call.method} {call.path} {call.text[:60]}: {run.errors}"
        assert environment.cloud.faults.struck, where
        assert environment.cloud.made() - made <= 1, where
        environment.cloud.faults.clear()
        yield where, call, run


def test_an_instance_that_is_left_is_listed_by_left(environment: CloudEnvironment) -> None:
    """Otherwise, the suite would never notice an instance that is left."""
    driver, node = environment.driver(**environment.narrow), environment.node("a")
    with driver.access(node.batch, CLIENT_KEY, [node]) as access:
        driver.launch(node, USER_DATA, access)
    assert len(environment.left()["instances"]) == 1


def tidied_up(environment: CloudEnvironment, later: Driver, run: Run, where: str) -> None:
    """Check that a later call finds and removes what is left, twice. After a run without error, nothing is left."""
    if not run.errors:
        assert environment.left() == {}, where
        return
    error = run.errors.get("launch")
    if error is not None and not getattr(error, "uncertain", False):
        assert "instances" not in environment.left(), where
    if not {"enter", "leave"} & set(run.errors):
        assert later.leftovers() == [], where
    for instance in later.instances() * 2:
        later.terminate(instance)
    for leftover in later.leftovers() * 2:
        later.remove(leftover)
    assert environment.left() == {}, where


@pytest.mark.parametrize("kind", ONCE, ids=[name.replace(" ", "-").replace(",", "") for name in ONCE])
def test_a_call_that_fails_once_is_retried_or_reported_and_never_makes_a_second_instance(
    environment: CloudEnvironment, kind: str
) -> None:
    later = environment.driver(**environment.narrow)
    for where, call, run in broken(environment, life, kind, ONCE[kind]):
        may_fail = {"enter", "launch"} if kind in GIVEN_UP and environment.changes(call) else set()
        assert set(run.errors) <= may_fail, where
        assert {kind_of(error) for error in run.errors.values()} <= {"TemporaryFailure"}, where
        if not run.errors:
            assert run.launched is not None, where
            seen = [(it.instance_id, it.minion_id, it.state) for it in run.listed or []]
            assert seen == [(run.launched.instance_id, run.name, "running")], where
        if kind == "429" and environment.heeds_retry_after:
            assert WAIT in environment.time.waits, where
        environment.time.waits.clear()
        tidied_up(environment, later, run, where)


@pytest.mark.parametrize("kind", LASTING)
def test_a_call_that_keeps_failing_is_an_error_of_the_class_that_says_what_to_do(
    environment: CloudEnvironment, kind: str
) -> None:
    said, expected = LASTING[kind]
    if isinstance(said, str):
        status, answer = environment.words[said]
        said = {"status": status, "answer": answer}
    later = environment.driver(**environment.narrow)
    for where, _, run in broken(environment, life, kind, {**said, "times": None}):
        (step, error), *more = run.errors.items()
        assert more == [], where
        # A failed removal may leave a resource, and an instance that refuses a delete can be deleted later.
        allowed = {"leave": {"TemporaryFailure"}, "end": {expected, "TemporaryFailure"}}.get(step, {expected})
        assert kind_of(error) in allowed, where
        if isinstance(error, RateLimited) and environment.heeds_retry_after:
            assert error.retry_after == HOUR, where
        environment.time.waits.clear()
        tidied_up(environment, later, run, where)
