"""Calls by a reactor: each is started as a job, whose end is an event."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base import caller
from hart_salt.base.gate import Gate
from hart_salt.inventory.journal import FILE, Journal
from hart_salt.master.client import Master
from hart_salt.runners import hart as runner
from tests.functional import test_use_cases
from tests.functional.test_use_cases import CLOUD, Place, call, refusal

place = test_use_cases.place


@pytest.fixture
def begun(place: Place, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Mapping[str, Any]]]:
    """A reactor calls; what the master is asked to start is listed."""
    jobs: list[tuple[str, Mapping[str, Any]]] = []

    def begin(self: Master, function: str, arguments: Mapping[str, Any]) -> str:
        jobs.append((function, arguments))
        return "20260101"

    monkeypatch.setattr(Master, "begin", begin)
    monkeypatch.setattr(runner, "__user__", "Reactor")
    return jobs


def test_a_reactor_s_call_is_started_as_a_job(place: Place, begun: list[tuple[str, Mapping[str, Any]]]) -> None:
    data = call("scale", "app", count=1, size="big", __pub_jid="1", __event__="a/tag", __hart_by__="me")
    assert data["job"] == "20260101"
    marks = {runner.BACKGROUND: True, runner.BY: "reactor, event a/tag"}
    assert begun == [("hart.scale", {"role": "app", "count": 1, "size": "big", **marks})]
    assert place.clouds[CLOUD].account == {}


@pytest.mark.parametrize(("arguments", "keywords"), [(("app", "db"), {"count": 1}), (("app",), {"count": 1, "arg": 1})])
def test_a_reactor_s_call_with_wrong_arguments_is_refused_at_once(
    begun: list[tuple[str, Mapping[str, Any]]], arguments: tuple[str, ...], keywords: dict[str, Any]
) -> None:
    assert refusal(call("scale", *arguments, **keywords))
    assert begun == []


@pytest.mark.parametrize("count", [0, 1])
def test_the_end_of_such_a_job_is_an_event(place: Place, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    fired: list[tuple[str, Mapping[str, Any]]] = []
    monkeypatch.setattr(Master, "fire", lambda self, tag, data: fired.append((tag, data)))
    data = runner.scale("app", count=count, **{runner.BACKGROUND: True})
    tag, said = fired[-1]
    assert (tag, said["fun"], said["return"]) == ("hart/1/result", "hart.scale", data)
    assert said["success"] is (count == 0)


def callers(place: Place) -> list[tuple[str, str]]:
    """Return who called which function, according to the journal; the account takes no instances."""
    return [(one.by, one.function) for one in Journal(Path(place.info.log_dir) / FILE, Gate()).read()]


def test_such_a_job_says_which_reactor_called(place: Place) -> None:
    """The master starts the job, and Salt shows its user."""
    call("create_role", "app", **{runner.BACKGROUND: True, runner.BY: "reactor add, event a/tag"})
    assert callers(place) == [("reactor add, event a/tag", "hart.create_role")]


def test_a_caller_that_is_no_reactor_cannot_say_that_it_is_one(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody who may call runners could pass the keywords."""
    monkeypatch.setattr(runner, "__user__", "bob")
    call("create_role", "app", **{runner.BY: "reactor"})
    call("create_role", "app", **{runner.BY: "reactor", runner.BACKGROUND: True})
    assert [by for by, _ in callers(place)] == ["bob", "reactor, called by bob"]


def test_an_orchestration_that_a_reactor_started_waits_for_the_outcome(
    place: Place, begun: list[tuple[str, Mapping[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Salt gives both the same user; the next states of the orchestration need the nodes."""
    state = {"__sls__": "orch.deploy", "__orchestration_jid__": "1"}
    monkeypatch.setattr("hart_salt.base.caller.path_of", lambda frame: caller.Path({}, state))
    assert "job" not in call("create_role", "app")
    assert begun == []
    assert [by for by, _ in callers(place)] == ["reactor, orchestration orch.deploy (job 1)"]
