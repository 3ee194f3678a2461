"""One question for all minions that are waited for, and each answer when it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from hart_salt.presence import Presence

NEVER = 3600.0  #: an interval after which no test looks any more
AT_ONCE = 0.0


@dataclass
class Salt:
    """The minions in ``there`` answer each question, and asking fails as often as ``failures`` says."""

    there: set[str] = field(default_factory=set)
    failures: int = 0
    #: who was asked, by question
    asked: dict[str, list[str]] = field(default_factory=dict)
    #: held back as long as it is not set
    open: asyncio.Event = field(default_factory=asyncio.Event)
    presence: Presence = field(init=False)

    def question(self) -> str:
        return f"q{len(self.asked) + 1}"

    async def ask(self, question: str, minion_ids: Sequence[str]) -> None:
        self.asked[question] = list(minion_ids)
        if self.failures:
            self.failures -= 1
            raise OSError("no master")
        for minion_id in self.there & set(minion_ids):
            self.presence.answered(question, minion_id)
        await self.open.wait()


def play(use: Callable[[Salt, Presence], Coroutine[Any, Any, Any]], interval: float = NEVER, **salt: Any) -> Any:
    """What ``use`` returns."""

    async def main() -> Any:
        world = Salt(**salt)
        world.open.set()
        presence = world.presence = Presence(world.question, world.ask, interval)
        try:
            return await use(world, presence)
        finally:
            await presence.close()

    return asyncio.run(main())


async def a_while() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def asked_again(salt: Salt) -> None:
    """Come back when who waits was asked three times."""
    while len(salt.asked) < 3:  # noqa: ASYNC110 - the time that passes is the loop's
        await asyncio.sleep(0)


def waiting(presence: Presence, *minion_ids: str) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(presence.answer_of(minion_id)) for minion_id in minion_ids]


def test_many_who_wait_are_asked_by_one_question() -> None:
    many = [f"web-{number:02}" for number in range(20)]

    async def use(salt: Salt, presence: Presence) -> dict[str, list[str]]:
        await asyncio.gather(*waiting(presence, *many))
        return salt.asked

    assert play(use, there=set(many)) == {"q1": many}


def test_who_comes_while_a_question_is_asked_is_in_the_next_one() -> None:
    async def use(salt: Salt, presence: Presence) -> dict[str, list[str]]:
        salt.open.clear()
        first = waiting(presence, "a")
        await a_while()
        others = waiting(presence, "c", "b")
        await a_while()
        assert list(salt.asked) == ["q1"]
        salt.open.set()
        await asyncio.gather(*first, *others)
        return salt.asked

    assert play(use, there={"a", "b", "c"}) == {"q1": ["a"], "q2": ["b", "c"]}


def test_an_answer_counts_before_the_asking_has_come_back() -> None:
    async def use(salt: Salt, presence: Presence) -> None:
        salt.open.clear()
        await presence.answer_of("a")

    play(use, there={"a"})


def test_one_who_does_not_answer_holds_up_nobody() -> None:
    async def use(salt: Salt, presence: Presence) -> tuple[bool, bool]:
        (deaf,) = waiting(presence, "deaf")
        await a_while()
        await asyncio.gather(*waiting(presence, "a", "b"))
        done = deaf.done()
        deaf.cancel()
        await a_while()
        return done, deaf.cancelled()

    assert play(use, there={"a", "b"}) == (False, True)


def test_one_who_does_not_answer_is_asked_again() -> None:
    async def use(salt: Salt, presence: Presence) -> list[list[str]]:
        (late,) = waiting(presence, "late")
        await asked_again(salt)
        salt.there.add("late")
        await late
        return list(salt.asked.values())

    asked = play(use, interval=AT_ONCE)
    assert len(asked) > 3
    assert {tuple(ids) for ids in asked} == {("late",)}


def test_an_answer_to_an_earlier_question_is_an_answer() -> None:
    async def use(salt: Salt, presence: Presence) -> None:
        (late,) = waiting(presence, "late")
        await asked_again(salt)
        presence.answered("q1", "late")
        await late

    play(use, interval=AT_ONCE)


def test_an_answer_to_nobody_s_question_is_none() -> None:
    async def use(salt: Salt, presence: Presence) -> list[bool]:
        (waits,) = waiting(presence, "a")
        await a_while()
        presence.answered("q9", "a")
        presence.answered("q1", "b")
        await a_while()
        done = [waits.done()]
        presence.answered("q1", "a")
        await a_while()
        return [*done, waits.done()]

    assert play(use) == [False, True]


def test_asking_that_fails_is_told_and_tried_again() -> None:
    async def use(salt: Salt, presence: Presence) -> list[str]:
        (waits,) = waiting(presence, "a")
        await asked_again(salt)
        told = [presence.problem]
        salt.failures = 0
        await waits
        return [*told, presence.problem]

    assert play(use, interval=AT_ONCE, there={"a"}, failures=10**6) == ["no master", ""]


def test_nobody_is_asked_who_no_longer_waits() -> None:
    async def use(salt: Salt, presence: Presence) -> list[list[str]]:
        salt.open.clear()
        first, second = waiting(presence, "a", "b")
        await a_while()
        gone, stays = waiting(presence, "gone", "stays")
        await a_while()
        gone.cancel()
        await a_while()
        salt.open.set()
        await asyncio.gather(first, second, stays)
        return list(salt.asked.values())

    assert play(use, there={"a", "b", "stays"}) == [["a", "b"], ["stays"]]


def test_a_start_is_heard_also_before_it_is_waited_for() -> None:
    async def use(salt: Salt, presence: Presence) -> list[bool]:
        event = presence.start_of("a")
        presence.started("b")
        await a_while()
        before = event.is_set()
        presence.started("a")
        await presence.start_of("a").wait()
        return [before, event.is_set(), presence.start_of("b").is_set()]

    assert play(use) == [False, True, False]


def test_whoever_hears_something_after_the_end_does_no_harm() -> None:
    async def make() -> Presence:
        return Presence(lambda: "q", lambda question, ids: asyncio.sleep(0))

    presence = asyncio.run(make())
    presence.started("a")
    presence.answered("q", "a")
