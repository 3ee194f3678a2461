"""The keys of many nodes share the calls of the key store, and a cancellation leaves no key that is accepted later."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest

from hart_salt.base.concurrency import Calls
from hart_salt.base.errors import NodeFailed
from hart_salt.master.keys import Acceptance, OwnKey
from hart_salt.node.enrolment import Enrolment

DEADLINE = 300.0


class Store:
    """A key store whose first call lasts until ``open`` is set; ``calls`` are the ids of each call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []
        self.accepted: set[str] = set()
        self.open = threading.Event()
        self.busy = threading.Event()

    def accept_many(self, wanted: Mapping[str, str]) -> dict[str, Acceptance]:
        self._called("accept", wanted)
        self.accepted |= wanted.keys() - {"taken"}
        failed = Acceptance(error=NodeFailed("another key is already accepted"))
        return {
            minion_id: failed if minion_id == "taken" else Acceptance([f"note on {pem}"])
            for minion_id, pem in wanted.items()
        }

    def holders_of(self, named: Mapping[str, str]) -> dict[str, list[str]]:
        self._called("holders", named)
        return {minion_id: [f"holder of {pem}"] for minion_id, pem in named.items()}

    def delete_each(self, own: Mapping[str, OwnKey]) -> dict[str, None]:
        self._called("delete", own)
        self.accepted -= own.keys()
        return dict.fromkeys(own)

    def _called(self, name: str, ids: Mapping[str, Any]) -> None:
        self.calls.append((name, sorted(ids)))
        self.busy.set()
        assert self.open.wait(DEADLINE)


def play(use: Callable[[Store, Enrolment], Coroutine[Any, Any, Any]]) -> Any:
    async def main() -> Any:
        store: Any = Store()
        with Calls() as calls:
            try:
                return await use(store, Enrolment(store, calls))
            finally:
                store.open.set()

    return asyncio.run(main())


async def begun(store: Store) -> None:
    """Return when the first call is under way."""
    await asyncio.get_running_loop().run_in_executor(None, store.busy.wait, DEADLINE)


async def a_while() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_all_keys_that_wait_are_accepted_in_one_call_and_each_node_has_its_own_outcome() -> None:
    async def use(store: Store, enrolment: Enrolment) -> Any:
        first = asyncio.ensure_future(enrolment.accept("first", "K0"))
        await begun(store)
        others = [asyncio.ensure_future(enrolment.accept(name, f"K-{name}")) for name in ("a", "taken", "b")]
        await a_while()
        store.open.set()
        return await first, await asyncio.gather(*others, return_exceptions=True), store.calls

    first, (a, taken, b), calls = play(use)
    assert (first, a, b) == (["note on K0"], ["note on K-a"], ["note on K-b"])
    assert isinstance(taken, NodeFailed)
    assert calls == [("accept", ["first"]), ("accept", ["a", "b", "taken"])]


def test_a_node_that_is_cancelled_before_its_turn_waits_for_it_and_then_its_key_is_deleted() -> None:
    """Otherwise its key would be accepted after the undo had found none."""

    async def use(store: Store, enrolment: Enrolment) -> Any:
        first = asyncio.ensure_future(enrolment.accept("first", "K"))
        await begun(store)
        cancelled = asyncio.ensure_future(enrolment.accept("cancelled", "K"))
        await a_while()
        cancelled.cancel()
        await a_while()
        early = cancelled.done()
        store.open.set()
        await first
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        await enrolment.delete("cancelled", "K", connected=False)
        return early, store.accepted

    assert play(use) == (False, {"first"})


def test_keys_are_deleted_and_holders_found_in_one_call_for_all() -> None:
    async def use(store: Store, enrolment: Enrolment) -> Any:
        store.open.set()
        found = await asyncio.gather(*(enrolment.holders(name, f"K-{name}") for name in "abc"))
        await asyncio.gather(*(enrolment.delete(name, "K", connected=True) for name in "abc"))
        return found, store.calls

    found, calls = play(use)
    assert found == [["holder of K-a"], ["holder of K-b"], ["holder of K-c"]]
    assert calls == [("holders", ["a", "b", "c"]), ("delete", ["a", "b", "c"])]
