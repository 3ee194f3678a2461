"""Who called hart, from what Salt shows; the frames are like those of Salt, see the table in ``caller.py``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any

import pytest

from hart_salt.base import caller
from hart_salt.base.caller import Path, in_job, path_of, words

STATE = {"__sls__": "orch.deploy", "__id__": "first", "__orchestration_jid__": "20261130075001228978"}
REACTION = {"__sls__": "/srv/reactor/add.sls", "__id__": "add_one", "__state__": "runner"}
NOBODY = Path({}, {})


def frame_in(*calls: tuple[str, str, Mapping[str, Any]]) -> FrameType:
    """Return a frame below calls of these modules and functions, outermost first, each with its variables."""
    work: Any = sys._getframe
    for module, function, names in reversed(calls):
        scope: dict[str, Any] = {"__name__": module, "inner": work, "given": names}
        lines = [f"{name} = given[{name!r}]" for name in names]
        exec(f"def {function}():\n  " + "\n  ".join([*lines, "return inner()"]), scope)  # noqa: S102 - our own text
        work = scope[function]
    frame: FrameType = work()
    return frame


def test_without_salt_nothing_is_known() -> None:
    """A call from Python."""
    assert path_of(sys._getframe()) == NOBODY


def test_the_reaction_is_in_the_frame_of_the_client() -> None:
    """Salt passes neither its id nor its SLS to the runner."""
    frame = frame_in(("salt.client.mixins", "low", {"low": REACTION}))
    assert path_of(frame) == Path(REACTION, {})


def test_of_nested_orchestrations_the_innermost_counts() -> None:
    """The reaction that began all of them is known, too."""
    outer = {**STATE, "__sls__": "orch.outer"}
    frame = frame_in(
        ("salt.client.mixins", "low", {"low": REACTION}), ("salt.state", "call", {"low": outer}),
        ("salt.state", "call", {"low": STATE}), ("salt.client.mixins", "low", {"low": {"fun": "hart.create"}}),
    )  # fmt: skip
    assert path_of(frame) == Path(REACTION, STATE)


def test_a_minion_that_called_through_its_master_is_known() -> None:
    """Otherwise the call would look like one by the user of the master."""
    frame = frame_in(("salt.daemons.masterapi", "minion_runner", {"load": {"id": "web1"}}))
    assert path_of(frame) == Path({}, {}, "web1")


@pytest.mark.parametrize(
    "call",
    [
        ("tests", "call", {"low": STATE}), ("salt.state", "other", {"low": STATE}), ("salt.state", "call", {"low": 1}),
        ("salt.state", "call", {"low": {}}), ("salt.state", "call", {"high": STATE}),
        ("salt.client.mixins", "low", {"low": {"kwarg": REACTION}}), ("salt.x", "minion_runner", {"load": "web1"}),
        ("tests", "minion_runner", {"load": {"id": "web1"}}),
    ],
)  # fmt: skip
def test_other_frames_say_nothing(call: tuple[str, str, Mapping[str, Any]]) -> None:
    """Arguments of the call, which can come from an event, are in frames as well."""
    assert path_of(frame_in(call)) == NOBODY


@pytest.mark.parametrize(
    ("user", "path", "event", "expected"),
    [
        ("root", NOBODY, None, "root"),
        ("sudo_alice", NOBODY, None, "alice (sudo)"),
        ("UNKNOWN", NOBODY, None, "unknown"),
        (None, NOBODY, None, "unknown"),
        ("salt", Path({}, {}, "web1"), None, "minion web1"),
        ("Reactor", NOBODY, None, "reactor"),
        ("Reactor", Path(REACTION, {}), "my/tag", "reactor add_one (/srv/reactor/add.sls), event my/tag"),
        ("bob", Path({}, STATE), None, "bob, orchestration orch.deploy (job 20261130075001228978)"),
        ("root", Path({}, {"__sls__": "top"}), None, "root, state top"),
        (
            "Reactor", Path(REACTION, STATE), None,
            "reactor add_one (/srv/reactor/add.sls), orchestration orch.deploy (job 20261130075001228978)",
        ),
    ],
)  # fmt: skip
def test_the_words(user: object, path: Path, event: object, expected: str) -> None:
    """They begin with the person or the part of Salt."""
    assert words(user, path, event) == expected


def test_what_comes_from_an_event_is_bounded_and_visible() -> None:
    """Any minion can fire any tag; a long text is not cut, because half of a secret could not be hidden."""
    assert words("Reactor", NOBODY, "a\x1b[2Jb\nc\u202ed") == "reactor, event a\ufffd[2Jb c\ufffdd"
    assert words("Reactor", NOBODY, "x" * 5000) == "reactor, event (a text of 5000 characters)"
    assert words("Reactor", NOBODY, ["x"]) == "reactor, event ['x']"


def test_salt_run_by_sudo_is_known_although_it_became_the_user_of_the_master(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon's environment says only who started the daemon."""
    monkeypatch.setenv("SUDO_USER", "alice")
    opts = {"__cli": "salt-run", "user": "salt"}
    assert words("salt", NOBODY, None, opts) == "alice (sudo)"
    assert words("bob", NOBODY, None, opts) == "bob"
    assert words("salt", NOBODY, None, {**opts, "__cli": "salt-master"}) == "salt"


def test_only_hart_itself_can_say_who_called_a_job() -> None:
    """Whoever may call runners could pass the same keyword: then both names are shown."""
    opts = {"user": "salt"}
    assert in_job("reactor add_one", "salt", opts) == in_job("reactor add_one", "root", opts) == "reactor add_one"
    assert in_job("reactor add_one", "bob", opts) == "reactor add_one, called by bob"


def test_what_the_keywords_say_ends_with_the_call() -> None:
    """A thread makes one call after another."""
    with caller.keywords("by", "event"):
        assert (caller.given.get().by, caller.given.get().event) == ("by", "event")
    assert caller.given.get() == caller.Given()
