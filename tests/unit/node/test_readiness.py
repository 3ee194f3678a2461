"""hart asks all waiting minions at once, counts each answer when it arrives, and ignores what others claim."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from hart_salt.node.readiness import Readiness

NEVER = 3600.0  #: an interval longer than any test
AT_ONCE = 0.0


@dataclass
class Salt:
    """
    Minions of which those in ``there`` answer each question with their codes; the first ``failures`` questions fail.
    """

    there: set[str] = field(default_factory=set)
    failures: int = 0
    #: the minions that were asked, for each question
    asked: list[list[str]] = field(default_factory=list)
    codes: dict[str, str] = field(default_factory=dict)
    #: answers are held back until this is set
    open: asyncio.Event = field(default_factory=asyncio.Event)
    presence: Readiness = field(init=False)

    async def ask(self, minion_ids: Sequence[str]) -> None:
        self.asked.append(list(minion_ids))
        if self.failures:
            self.failures -= 1
            raise OSError("no master")
        for minion_id in self.there & set(minion_ids):
            self.presence.answered(minion_id, self.codes[minion_id])
        await self.open.wait()

    def silent(self, *minion_ids: str) -> list[asyncio.Task[None]]:
        """They wait, and no start event of them arrived."""
        self.codes |= {minion_id: self.presence.expect(minion_id) for minion_id in minion_ids}
        return [asyncio.create_task(self.presence.answer_of(minion_id)) for minion_id in minion_ids]

    def waiting(self, *minion_ids: str) -> list[asyncio.Task[None]]:
        """They wait, and their start events arrived."""
        tasks = self.silent(*minion_ids)
        for minion_id in minion_ids:
            self.presence.started(minion_id)
        return tasks


def play(
    use: Callable[[Salt, Readiness], Coroutine[Any, Any, Any]], interval: float = NEVER, gap: float = 0.0,
    pauses: list[float] | None = None, **salt: Any,
) -> Any:  # fmt: skip
    """The result of ``use``; ``pauses`` gets the seconds between questions, which take no time here."""

    async def sleep(seconds: float) -> None:
        if pauses is not None:
            pauses.append(seconds)
        await asyncio.sleep(0)

    async def main() -> Any:
        world = Salt(**salt)
        world.open.set()
        presence = world.presence = Readiness(world.ask, interval, gap, sleep=sleep)
        try:
            return await use(world, presence)
        finally:
            await presence.close()

    return asyncio.run(main())


async def a_while() -> None:
    """Let everything run that can run."""
    for _ in range(40):
        await asyncio.sleep(0)


async def asked_again(salt: Salt) -> None:
    """Return when the waiting minion was asked three times."""
    for _ in range(1000):  # turns of the loop: with ``AT_ONCE`` a question takes a few
        if len(salt.asked) >= 3:
            return
        await asyncio.sleep(0)
    pytest.fail(f"asked were only {salt.asked}")


def test_all_waiting_minions_are_asked_with_one_question() -> None:
    many = [f"web-{number:02}" for number in range(20)]

    async def use(salt: Salt, presence: Readiness) -> list[list[str]]:
        await asyncio.gather(*salt.waiting(*many))
        return salt.asked

    assert play(use, there=set(many)) == [many]


def test_a_minion_that_starts_to_wait_during_a_question_is_in_the_next_one() -> None:
    async def use(salt: Salt, presence: Readiness) -> list[list[str]]:
        salt.open.clear()
        first = salt.waiting("a")
        await a_while()
        others = salt.waiting("c", "b")
        await a_while()
        assert salt.asked == [["a"]]
        salt.open.set()
        await asyncio.gather(*first, *others)
        return salt.asked

    assert play(use, there={"a", "b", "c"}) == [["a"], ["b", "c"]]


def test_an_answer_counts_before_the_question_has_returned() -> None:
    async def use(salt: Salt, presence: Readiness) -> None:
        salt.open.clear()
        await asyncio.gather(*salt.waiting("a"))

    play(use, there={"a"})


def test_the_pause_between_questions_is_longer_for_many_minions_than_for_one() -> None:
    async def use(salt: Salt, presence: Readiness) -> None:
        salt.silent(*(f"silent-{number}" for number in range(99)))
        salt.waiting("a")
        await a_while()

    async def one(salt: Salt, presence: Readiness) -> None:
        await asyncio.gather(*salt.waiting("a"))

    few: list[float] = []
    many: list[float] = []
    play(one, pauses=few, there={"a"})
    play(use, pauses=many)
    assert max(few) <= 0.003
    assert many[0] == pytest.approx(0.3)


def test_a_silent_minion_does_not_delay_others() -> None:
    async def use(salt: Salt, presence: Readiness) -> tuple[bool, bool]:
        (deaf,) = salt.waiting("deaf")
        await a_while()
        await asyncio.gather(*salt.waiting("a", "b"))
        done = deaf.done()
        deaf.cancel()
        await a_while()
        return done, deaf.cancelled()

    assert play(use, there={"a", "b"}) == (False, True)


def test_a_silent_minion_is_asked_again() -> None:
    async def use(salt: Salt, presence: Readiness) -> list[list[str]]:
        (late,) = salt.waiting("late")
        await asked_again(salt)
        salt.there.add("late")
        await late
        return salt.asked

    asked = play(use, interval=AT_ONCE)
    assert len(asked) > 3
    assert {tuple(ids) for ids in asked} == {("late",)}


def test_a_minion_without_a_start_event_is_asked_too() -> None:
    async def use(salt: Salt, presence: Readiness) -> bool:
        await asyncio.gather(*salt.silent("a"))
        return presence.heard("a")

    assert play(use, interval=AT_ONCE, there={"a"}) is False


def test_an_answer_counts_even_after_the_next_question() -> None:
    async def use(salt: Salt, presence: Readiness) -> None:
        (late,) = salt.waiting("late")
        await asked_again(salt)
        presence.answered("late", salt.codes["late"])
        await late

    play(use, interval=AT_ONCE)


@pytest.mark.parametrize("said", ["", "True", "a code", "0" * 32, "\udcff", "x" * 10**6])
def test_an_answer_without_the_code_does_not_count(said: str) -> None:
    async def use(salt: Salt, presence: Readiness) -> list[bool]:
        waits, _ = salt.waiting("a", "b")
        await a_while()
        presence.answered("a", said)
        presence.answered("a", salt.codes["b"])
        presence.answered("nobody", said)
        await a_while()
        done = [waits.done()]
        presence.answered("a", salt.codes["a"])
        await a_while()
        return [*done, waits.done()]

    assert play(use) == [False, True]


def test_each_wait_for_a_minion_has_a_new_code() -> None:
    async def use(salt: Salt, presence: Readiness) -> set[str]:
        return {presence.expect("a") for _ in range(5)} | {presence.expect("b")}

    assert len(play(use)) == 6


def test_many_start_events_cause_few_questions() -> None:
    async def use(salt: Salt, presence: Readiness) -> int:
        (waits,) = salt.waiting("a")
        for _ in range(50):
            presence.started("a")
            await a_while()
        waits.cancel()
        return len(salt.asked)

    assert play(use, gap=NEVER) == 1


def test_a_question_that_fails_is_reported_and_repeated() -> None:
    async def use(salt: Salt, presence: Readiness) -> list[str]:
        (waits,) = salt.waiting("a")
        await asked_again(salt)
        problems = [presence.problem]
        salt.failures = 0
        await waits
        await a_while()
        return [*problems, presence.problem]

    assert play(use, interval=AT_ONCE, there={"a"}, failures=10**6) == ["no master", ""]


def test_a_minion_that_no_longer_waits_is_not_asked() -> None:
    async def use(salt: Salt, presence: Readiness) -> list[list[str]]:
        salt.open.clear()
        first, second = salt.waiting("a", "b")
        await a_while()
        gone, stays = salt.waiting("gone", "stays")
        await a_while()
        gone.cancel()
        await a_while()
        salt.open.set()
        await asyncio.gather(first, second, stays)
        return salt.asked

    assert play(use, there={"a", "b", "stays"}) == [["a", "b"], ["stays"]]


def test_a_start_event_before_the_wait_counts() -> None:
    async def use(salt: Salt, presence: Readiness) -> list[bool]:
        salt.codes["a"] = presence.expect("a")
        presence.started("b")
        await a_while()
        before = presence.heard("a")
        presence.started("a")
        await a_while()
        await presence.answer_of("a")
        return [before, presence.heard("a")]

    assert play(use, there={"a"}) == [False, True]


def test_events_after_the_end_do_no_harm() -> None:
    async def make() -> Readiness:
        return Readiness(lambda ids: asyncio.sleep(0))

    presence = asyncio.run(make())
    presence.started("a")
    presence.answered("a", "b")
