"""When a role was last scaled: how long the cooldown lasts, and what is reported if the time cannot be stored."""

from __future__ import annotations

import inspect
import time
from types import SimpleNamespace
from typing import Any

import pytest

from hart_salt.base.errors import EnvironmentFault
from hart_salt.operations.fleet import Changes
from hart_salt.operations.scale import Order, Scaling


def scaling(**store: Any) -> Scaling:
    context: Any = SimpleNamespace(store=SimpleNamespace(**store))
    parameters = inspect.signature(Scaling).parameters.values()
    others: list[Any] = [None for one in parameters if one.default is inspect.Parameter.empty][2:]
    return Scaling(Order("app"), context, *others)


@pytest.mark.parametrize(("ago", "rest"), [(None, 0.0), (1000.0, 0.0), (100.0, 200.0), (-86400.0, 300.0)])
def test_the_wait_is_never_longer_than_the_cooldown_even_if_the_clock_was_set_back(
    ago: float | None, rest: float
) -> None:
    last = None if ago is None else time.time() - ago
    assert scaling(last_scaled=lambda role: last)._rest(300.0) == pytest.approx(rest, abs=60.0)
    assert scaling(last_scaled=lambda role: last)._rest(300.0) <= 300.0


def test_a_time_that_cannot_be_stored_is_reported_with_what_was_done() -> None:
    def full(role: str, now: float) -> None:
        raise EnvironmentFault("the record store cannot be written: it is full")

    changes = Changes(created={"a": {"result": True}})
    outcome = scaling(scaled=full)._changed(0, changes)
    assert outcome.ok is False
    assert outcome.data["created"] == {"a": {"result": True}}
    assert outcome.data["error"] == (
        "the fleet was changed, but the time could not be stored, so cooldown ignores this change: "
        "the record store cannot be written: it is full"
    )
