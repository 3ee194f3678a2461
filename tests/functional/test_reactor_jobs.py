"""Calls by a reactor: each is started as a job, whose end is an event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

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
    data = call("scale", "app", count=1, size="big", __pub_jid="1")
    assert data["job"] == "20260101"
    assert begun == [("hart.scale", {"role": "app", "count": 1, "size": "big", runner.BACKGROUND: True})]
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
    data = call("scale", "app", count=count, **{runner.BACKGROUND: True})
    tag, said = fired[-1]
    assert (tag, said["fun"], said["return"]) == ("hart/1/result", "hart.scale", data)
    assert said["success"] is (count == 0)
