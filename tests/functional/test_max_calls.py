"""``max_calls``: which calls wait for others, when, and what they do in the meantime."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from hart_salt.inventory import slots
from hart_salt.inventory.slots import Slots, Ticket
from hart_salt.master.client import Master
from hart_salt.model import MasterInfo
from hart_salt.operations import scale
from hart_salt.runners import hart as runner
from tests.functional import test_use_cases
from tests.functional.test_use_cases import Place, call, refusal

place = test_use_cases.place


class Queue:
    """Other calls on this machine, each with a slot. ``meanwhile`` happens when a call waits."""

    def __init__(self, place: Place, number: int) -> None:
        self._slots = Slots(place.opts["cachedir"])
        self.others = [self._slots.ticket() for _ in range(number)]
        for ticket in self.others:
            ticket.take(number)
        self.meanwhile: Callable[[], object] = self.end
        self.waited = 0

    def pause(self, seconds: float) -> None:
        self.waited += 1
        self.meanwhile()

    def end(self) -> None:
        for ticket in self.others:
            ticket.release()

    def seen(self) -> tuple[int, int]:
        """Return how many calls run and how many wait."""
        return self._slots.seen()


@pytest.fixture
def queue(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    """One other call runs, and no more may: ``max_calls`` is 1."""
    place.opts["hart"] = {**place.opts["hart"], "max_calls": 1}
    with ExitStack() as stack:
        made = Queue(place, 1)
        stack.callback(made.end)
        monkeypatch.setattr(Ticket, "pause", lambda self, seconds: made.pause(seconds))
        yield made


CHANGES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "create": (("web-2",), {"role": "app"}),
    "create_role": (("app",), {}),
    "create_master": (("salt-1",), {"provider": "cloud", "size": "small", "region": "here"}),
    "destroy": (("web-1",), {}),
    "add_ip": (("web-1",), {"kind": "additional"}),
    "remove_ip": (("web-1",), {"ip": "203.0.113.9"}),
    "import_minion": (("web-3",), {"provider": "cloud"}),
    "scale": (("app",), {"count": 0}),
    "replace": (("app",), {}),
    "sweep": ((), {}),
    "sync_keys": ((), {}),
}


@pytest.mark.parametrize("function", CHANGES)
def test_a_call_that_changes_something_waits_for_its_turn(
    place: Place, queue: Queue, capfd: pytest.CaptureFixture[str], function: str
) -> None:
    place.start("web-1")
    arguments, keywords = CHANGES[function]

    def meanwhile() -> None:  # the work itself is not of interest, and takes a while to fail
        if queue.waited == 3:
            signal.raise_signal(signal.SIGTERM)

    queue.meanwhile = meanwhile
    assert call(function, *arguments, **keywords)["error"] == "interrupted; nothing was started"
    assert capfd.readouterr().err.count("hart: waiting: 1 call is running (max_calls)") == 1
    assert queue.seen() == (1, 0)


@pytest.mark.parametrize("function", ["create", "create_role", "destroy", "scale", "replace", "sweep", "sync_keys"])
def test_a_plan_does_not_wait(place: Place, queue: Queue, function: str) -> None:
    place.start("web-1")
    arguments, keywords = CHANGES[function]
    call(function, *arguments, **keywords, test=True)
    assert queue.waited == 0


@pytest.mark.parametrize(
    ("function", "arguments"), [("list_minions", ()), ("show", ("web-1",)), ("check", ()), ("node", ("web-1",))]
)
def test_a_query_does_not_wait(place: Place, queue: Queue, function: str, arguments: tuple[str, ...]) -> None:
    place.start("web-1")
    call(function, *arguments)
    assert queue.waited == 0


def test_wrong_settings_are_refused_before_the_call_waits(place: Place, queue: Queue) -> None:
    assert "szie" in refusal(call("create", "web-2", role="app", szie="big"))
    assert queue.waited == 0


def test_what_the_call_finds_is_from_after_the_wait(place: Place, queue: Queue) -> None:
    def other_call() -> None:
        place.start("web-2")
        queue.end()

    queue.meanwhile = other_call
    assert "a node with that id exists" in refusal(call("create", "web-2", role="app"))


def test_a_signal_ends_the_wait_with_nothing_done(place: Place, queue: Queue) -> None:
    place.start("web-1")
    queue.meanwhile = lambda: signal.raise_signal(signal.SIGTERM)
    data = call("destroy", "web-1")
    assert (data["error"], data["retcode"]) == ("interrupted; nothing was started", 128 + signal.SIGTERM)
    assert len(place.clouds["cloud"].account) == 1
    assert queue.seen() == (1, 0)


def test_a_scale_takes_one_slot_for_all_that_it_does(place: Place) -> None:
    place.opts["hart"] = {**place.opts["hart"], "max_calls": 1}
    place.start("web-1")
    place.start("web-2")
    assert "retcode" not in call("scale", "app", count=1)
    assert Slots(place.opts["cachedir"]).seen() == (0, 0)


def test_a_second_scale_by_a_reactor_does_not_queue_up(
    place: Place, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Master, "fire", lambda self, tag, data: None)

    def second() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(slots, "_own", type("Other", (), {})())  # as in another process
            said = call("scale", "app", count=1, **{runner.BACKGROUND: True})
        assert said["note"] == "another call is changing this fleet"
        queue.end()

    queue.meanwhile = second
    place.start("web-1")
    call("scale", "app", count=0)
    assert queue.waited == 1


def test_nodes_are_drained_without_a_slot_and_destroyed_with_one(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.opts["hart"] = {**place.opts["hart"], "max_calls": 1, "drain": ["stop"]}
    place.start("web-1")
    seen: dict[str, tuple[int, int]] = {}
    counts = Slots(place.opts["cachedir"]).seen

    def drain(wanted: Any, master: Any) -> dict[str, str]:
        seen["drain"] = counts()
        return {}

    def terminate(instance: Any) -> None:
        seen["destroy"] = counts()

    monkeypatch.setattr(scale, "drain_all", drain)
    monkeypatch.setattr(place.clouds["cloud"], "terminate", terminate)
    call("scale", "app", count=0)
    assert seen == {"drain": (0, 0), "destroy": (1, 0)}


def test_a_call_by_a_reactor_waits_before_it_reads_the_configuration(
    place: Place, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Master, "fire", lambda self, tag, data: None)
    read: list[int] = []
    settings = Master.info

    def info(self: Master) -> MasterInfo:
        read.append(queue.waited)
        return settings(self)

    monkeypatch.setattr(Master, "info", info)
    place.start("web-1")
    call("destroy", "web-1", **{runner.BACKGROUND: True})
    assert read[0] == 1
    assert queue.waited == 1
    assert place.clouds["cloud"].account == {}


def test_check_shows_how_many_calls_run_and_wait(place: Place, queue: Queue) -> None:
    assert call("check")["calls that change something"] == "ok: 1 running, 0 waiting (max_calls)"
    waiting = Slots(place.opts["cachedir"]).ticket()
    waiting._queue()
    assert call("check")["calls that change something"] == "ok: 1 running, 1 waiting (max_calls)"
    waiting.release()


@pytest.mark.parametrize("value", [0, -1, 1.5, "many", True, None])
def test_what_is_no_number_of_calls_is_refused(place: Place, value: Any) -> None:
    place.opts["hart"] = {**place.opts["hart"], "max_calls": value}
    assert "hart:max_calls" in refusal(call("list_roles"))


def test_it_cannot_be_set_for_a_role_or_a_provider(place: Place) -> None:
    place.opts["hart"] = {**place.opts["hart"], "roles": {"app": {"max_calls": 3}}}
    assert "hart:roles:app:max_calls: cannot be set here" in refusal(call("list_roles"))
