"""The base class of drivers on a vendor's library."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import tenacity

from hart_salt.base.errors import AuthError, DriverError, InvalidRequest, NotFound, RateLimited, TemporaryFailure
from hart_salt.drivers import retry
from hart_salt.drivers.sdk_driver import Answers, kind_of, removing


def test_of_several_threads_that_want_the_same_one_asks() -> None:
    answers, together, asked = Answers(), threading.Barrier(4), []

    def ask() -> str:
        asked.append("x")
        return f"answer {len(asked)}"

    def want(_: int) -> str:
        together.wait()
        return answers.once("key", ask)

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(want, range(4))) == {"answer 1"}
    assert answers.once("another key", ask) == "answer 2"


def test_an_answer_may_need_another_one() -> None:
    answers = Answers()
    assert answers.once("outer", lambda: answers.once("inner", lambda: "x") + "y") == "xy"


def test_nothing_is_an_answer_and_a_failure_is_none() -> None:
    answers, found = Answers(), [TemporaryFailure("down"), None]
    asked: list[object] = []

    def ask() -> None:
        asked.append(found[len(asked)])
        if isinstance(asked[-1], Exception):
            raise asked[-1]

    with pytest.raises(TemporaryFailure):
        answers.once("key", ask)
    assert answers.once("key", ask) is None
    assert answers.once("key", ask) is None
    assert len(asked) == 2


#: code, status
KINDS = {
    AuthError: [("Denied", 503)],
    RateLimited: [("", 429)],
    TemporaryFailure: [("Unheard", 500), ("Unheard", 599)],
    InvalidRequest: [("Unheard", 499), ("Unheard", 0)],
}


@pytest.mark.parametrize(
    ("code", "status", "kind"), [(*said, kind) for kind, answers in KINDS.items() for said in answers]
)
def test_the_code_says_more_than_the_status(code: str, status: int, kind: type[DriverError]) -> None:
    assert kind_of(code, status, {"Denied": AuthError}, {429: RateLimited}) is kind


def test_what_was_not_removed_is_named_whatever_failed() -> None:
    words = r"^the temporary key hart-1 could not be removed: no right$"
    with pytest.raises(TemporaryFailure, match=words), removing("key hart-1"):
        raise AuthError("no right")


@pytest.mark.parametrize(("failures", "waited"), [(0, []), (2, [3, 3]), (3, [3, 3])])
def test_what_fails_in_that_way_is_repeated_so_many_times(failures: int, waited: list[float]) -> None:
    slept: list[float] = []
    left = [NotFound("not yet")] * failures

    def call() -> str:
        if left:
            raise left.pop()
        return "done"

    def run() -> str:
        return retry.again(call, NotFound, slept.append, 3, tenacity.wait_fixed(3))

    if failures == 3:
        with pytest.raises(NotFound):
            run()
    else:
        assert run() == "done"
    assert slept == waited


def test_another_failure_is_not_repeated() -> None:
    def call() -> None:
        raise AuthError("no right")

    slept: list[float] = []
    with pytest.raises(AuthError):
        retry.again(call, NotFound, slept.append, 3)
    assert slept == []
