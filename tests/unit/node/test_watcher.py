"""One poll of a provider for all instances that hart waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from hart_salt.base.errors import AuthError, DriverError, NodeFailed, RateLimited, TemporaryFailure
from hart_salt.model import Instance
from hart_salt.node.watcher import Watcher

FAR_DEADLINE = 60.0  #: a deadline that no test reaches
BRIEF = 0.05  #: a deadline that passes because nothing else happens

PENDING = Instance("i-1", "a", "pending")
RUNNING = replace(PENDING, state="running", public_ip="192.0.2.1")
OTHER = replace(RUNNING, instance_id="i-2", minion_id="b")


@dataclass
class Provider:
    """A provider that answers each list call with the next of ``answers``, and repeats the last one."""

    answers: list[list[Instance] | Exception]
    calls: int = 0
    slept: list[float] = field(default_factory=list)
    #: what the lookup by id finds, call after call; the last one is repeated
    by_id: list[Instance | None | Exception] = field(default_factory=list)
    looks: int = 0

    def clock(self) -> float:
        return sum(self.slept)

    async def look(self) -> Instance | None:
        answer = self.by_id[min(self.looks, len(self.by_id) - 1)]
        self.looks += 1
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def list(self) -> list[Instance]:
        answer = self.answers[min(self.calls, len(self.answers) - 1)]
        self.calls += 1
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await a_while()  # long enough for the served waiters to go


async def a_while() -> None:
    """Let everything run that can run."""
    for _ in range(20):
        await asyncio.sleep(0)


def is_running(instance: Instance) -> bool:
    return instance.state == "running"


def watching(provider: Provider, use: Callable[[Watcher], Coroutine[Any, Any, Any]]) -> Any:
    """Return the result of ``use`` with a watcher of ``provider``, which is closed afterwards."""

    async def main() -> Any:
        watcher = Watcher(provider.list, 3.0, provider.sleep, provider.clock)
        try:
            return await use(watcher)
        finally:
            await watcher.close()

    return asyncio.run(main())


def wait_for(*answers: list[Instance] | Exception, timeout: float = FAR_DEADLINE) -> Instance:
    found: Instance = watching(Provider(list(answers)), lambda watcher: watcher.wait("i-1", is_running, timeout))
    return found


async def end_of_polling(watcher: Watcher) -> None:
    assert watcher._poller is not None
    await asyncio.wait([watcher._poller])


def test_the_instance_is_returned_as_it_was_listed() -> None:
    assert wait_for([PENDING, OTHER], [PENDING, OTHER], [RUNNING, OTHER]) == RUNNING


def test_an_instance_that_is_not_listed_yet_may_still_appear() -> None:
    assert wait_for([], [OTHER], [], [RUNNING]) == RUNNING


@pytest.mark.parametrize("misses", [1, 2, 5])
def test_a_few_lists_without_a_known_instance_prove_nothing(misses: int) -> None:
    """With 3 seconds between lists, 5 of them miss it over 12 seconds."""
    assert wait_for([PENDING], *[[]] * misses, [RUNNING]) == RUNNING


def test_a_known_instance_that_lists_miss_for_long_has_failed() -> None:
    provider = Provider([[PENDING], []])
    with pytest.raises(NodeFailed, match="the instance disappeared"):
        watching(provider, lambda watcher: watcher.wait("i-1", is_running, FAR_DEADLINE))
    assert 15.0 <= sum(provider.slept[1:]) < 20.0


def by_id(provider: Provider) -> Instance:
    found: Instance = watching(provider, lambda it: it.wait("i-1", is_running, FAR_DEADLINE, provider.look))
    return found


@pytest.mark.parametrize("first", [[PENDING], []], ids=["seen", "never listed"])
def test_an_instance_that_lists_miss_for_long_is_looked_up_by_its_id(first: list[Instance]) -> None:
    """Its tags may appear late or be gone: it is still the instance."""
    provider = Provider([first, []], by_id=[PENDING, TemporaryFailure("the API is down"), RUNNING])
    assert by_id(provider) == RUNNING
    assert provider.looks == 3
    assert provider.calls >= 3 * 6, "never one question for each list"


def test_an_instance_that_the_lookup_misses_too_has_failed_only_if_it_was_seen() -> None:
    with pytest.raises(NodeFailed, match="the instance disappeared"):
        by_id(Provider([[PENDING], []], by_id=[None]))
    assert by_id(Provider([*[[]] * 20, [RUNNING]], by_id=[None])) == RUNNING


def test_a_defect_in_a_lookup_by_id_fails_at_once() -> None:
    with pytest.raises(NodeFailed, match="ZeroDivisionError"):
        by_id(Provider([[PENDING], []], by_id=[ZeroDivisionError()]))


def test_a_lookup_by_id_shows_that_an_instance_stopped() -> None:
    with pytest.raises(NodeFailed, match="the instance is gone: spot"):
        by_id(Provider([[PENDING], []], by_id=[replace(PENDING, state="gone", problem="spot")]))


@pytest.mark.parametrize("state", ["stopped", "gone"])
def test_an_instance_that_cannot_start_by_itself_again_has_failed(state: str) -> None:
    with pytest.raises(NodeFailed, match=f"the instance is {state}"):
        wait_for([PENDING], [replace(PENDING, state=state)])


def test_the_error_says_why_the_provider_gave_up_an_instance() -> None:
    with pytest.raises(NodeFailed, match="the instance is pending: no capacity in z1"):
        wait_for([replace(PENDING, problem="no capacity in z1")])


def test_many_waiters_are_served_by_one_call_per_interval() -> None:
    many = [replace(PENDING, instance_id=f"i-{number}") for number in range(20)]
    up = [replace(instance, state="running") for instance in many]
    provider = Provider([many, many, up])

    async def use(watcher: Watcher) -> list[Instance]:
        return await asyncio.gather(*(watcher.wait(one.instance_id, is_running, FAR_DEADLINE) for one in many))

    assert watching(provider, use) == up
    assert provider.calls == 3
    assert provider.slept[:2] == [3.0, 3.0]


def test_one_failed_instance_does_not_affect_the_others() -> None:
    coming = replace(OTHER, state="pending")
    provider = Provider([[PENDING, coming], [replace(PENDING, state="stopped"), coming], [OTHER]])

    async def use(watcher: Watcher) -> list[Any]:
        waits = (watcher.wait(one, is_running, FAR_DEADLINE) for one in ("i-1", "i-2"))
        return await asyncio.gather(*waits, return_exceptions=True)

    failed, found = watching(provider, use)
    assert isinstance(failed, NodeFailed)
    assert found == OTHER


@pytest.mark.parametrize("error", [TemporaryFailure("the API is down"), RateLimited("too many calls", 9.0)])
def test_a_temporary_error_is_tolerated(error: DriverError) -> None:
    assert wait_for([PENDING], error, error, [RUNNING]) == RUNNING


def test_the_timeout_error_quotes_the_provider_s_last_error() -> None:
    with pytest.raises(NodeFailed, match=r"not running within 0\.05 s .*the API is down"):
        wait_for(TemporaryFailure("the API is down"), timeout=BRIEF)


def test_the_timeout_error_quotes_no_provider_that_answered() -> None:
    with pytest.raises(NodeFailed) as caught:
        wait_for([PENDING], timeout=BRIEF)
    assert str(caught.value) == "the instance was not running within 0.05 s"


def test_bad_credentials_fail_all_waiters_at_once() -> None:
    provider = Provider([AuthError("the token is not valid")])

    async def use(watcher: Watcher) -> list[Any]:
        waits = (watcher.wait(one, is_running, FAR_DEADLINE) for one in ("i-1", "i-2"))
        return await asyncio.gather(*waits, return_exceptions=True)

    assert [str(error) for error in watching(provider, use)] == ["the token is not valid"] * 2
    assert provider.calls == 1


def test_a_defect_in_a_driver_fails_at_once_and_not_at_the_deadline() -> None:
    with pytest.raises(NodeFailed, match="ZeroDivisionError"):
        wait_for(ZeroDivisionError())


def test_without_waiters_nothing_is_polled() -> None:
    provider = Provider([[RUNNING]])

    async def use(watcher: Watcher) -> int:
        await asyncio.sleep(0)
        before = provider.calls
        await watcher.wait("i-1", is_running, FAR_DEADLINE)
        await end_of_polling(watcher)
        return before

    assert watching(provider, use) == 0
    assert provider.calls == 1


def test_polling_starts_again_for_a_later_waiter() -> None:
    provider = Provider([[RUNNING], AuthError("expired"), [RUNNING]])

    async def use(watcher: Watcher) -> None:
        for expected in (None, NodeFailed, None):
            try:
                await watcher.wait("i-1", is_running, FAR_DEADLINE)
            except NodeFailed:
                assert expected is NodeFailed
            await end_of_polling(watcher)

    watching(provider, use)
    assert provider.calls == 3


def test_after_a_timeout_the_instance_is_not_polled_any_more() -> None:
    provider = Provider([[PENDING]])

    async def use(watcher: Watcher) -> None:
        waiting = asyncio.create_task(watcher.wait("i-1", is_running, FAR_DEADLINE))
        await a_while()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await end_of_polling(watcher)

    watching(provider, use)


def test_closing_ends_the_polling_even_with_waiters() -> None:
    provider = Provider([[PENDING]])

    async def use(watcher: Watcher) -> None:
        waiting = asyncio.create_task(watcher.wait("i-1", is_running, FAR_DEADLINE))
        await a_while()
        await watcher.close()
        before = provider.calls
        await a_while()
        assert provider.calls == before > 0
        waiting.cancel()

    watching(provider, use)


def started_later(provider: Provider, timeout: float = FAR_DEADLINE) -> tuple[float | None, bool]:
    """Expect no instance to run for 20 s, and return when one ran, and whether the first list had it."""

    async def main() -> tuple[float | None, bool]:
        watcher = Watcher(provider.list, 3.0, provider.sleep, provider.clock, looks=(20.0,))
        await watcher.wait("i-1", is_running, timeout)
        await watcher.close()
        return watcher.ran_after, watcher.ran_at_once

    return asyncio.run(main())


def test_the_first_list_waits_until_an_instance_can_run() -> None:
    provider = Provider([[PENDING], [PENDING], [RUNNING]])
    assert started_later(provider) == (26.0, False)
    assert provider.slept[:3] == [20, 3, 3]


def test_a_first_list_that_comes_late_is_known() -> None:
    assert started_later(Provider([[RUNNING]])) == (20.0, True)


def test_the_first_list_comes_well_before_the_deadline() -> None:
    provider = Provider([[RUNNING]])
    started_later(provider, timeout=FAR_DEADLINE / 4)
    assert provider.slept[0] == FAR_DEADLINE / 8


def looked(looks: Sequence[float], lists: int, timeout: float = FAR_DEADLINE) -> list[float]:
    """Return the waits before the lists of which the last one has the instance running."""
    provider = Provider([*[[PENDING]] * (lists - 1), [RUNNING]])

    async def main() -> None:
        watcher = Watcher(provider.list, 3.0, provider.sleep, provider.clock, looks=looks)
        await watcher.wait("i-1", is_running, timeout)
        await watcher.close()

    asyncio.run(main())
    return provider.slept[: lists - 1 + bool(looks[0])]


def test_the_first_lists_have_their_times_and_the_others_the_interval() -> None:
    assert looked((0.0, 7.0, 21.0), 5) == [7, 14, 3, 3]
    assert looked((2.0, 3.5), 3) == [2, 1.5, 3], "also in less than the interval"
    assert looked((0.0, 7.0, 21.0), 4, timeout=20.0) == [7, 3, 3], "half of the time must be left for further lists"


def test_without_experience_the_first_list_comes_at_once_and_a_failure_is_none() -> None:
    provider = Provider([[replace(PENDING, state="gone")], [RUNNING]])

    async def use(watcher: Watcher) -> float | None:
        with pytest.raises(NodeFailed):
            await watcher.wait("i-1", is_running, FAR_DEADLINE)
        return watcher.ran_after

    assert watching(provider, use) is None
    assert provider.slept == []
