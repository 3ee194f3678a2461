"""One call for all that wait: what arrives during a call goes into the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

V = TypeVar("V")
R = TypeVar("R")


class Turns(Generic[V, R]):
    """
    Calls ``work`` with the values of all names that wait, and returns to each its own result.

    At most one call is under way. So many callers cost few calls, and a single caller does not wait for others.

    ``work`` gets the values by name and returns the results by name. If it raises an exception, all callers of that
    turn get it.
    """

    def __init__(self, work: Callable[[dict[str, V]], Awaitable[Mapping[str, R]]]) -> None:
        self._work = work
        self._waiting: dict[str, tuple[V, asyncio.Future[R]]] = {}
        self._running: asyncio.Task[None] | None = None

    async def of(self, name: str, value: V) -> R:
        """Return the result for one name, which must not wait twice at the same time."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting[name] = (value, future)
        if self._running is None or self._running.done():
            self._running = asyncio.ensure_future(self._run())
        return await future

    async def _run(self) -> None:
        await asyncio.sleep(0)  # all that are ready at this moment go together
        while self._waiting:
            turn, self._waiting = self._waiting, {}
            try:
                results = await self._work({name: value for name, (value, _) in turn.items()})
            except Exception as error:
                for _, future in turn.values():
                    _settle(future, None, error)
            else:
                for name, (_, future) in turn.items():
                    _settle(future, results[name], None)


def _settle(future: asyncio.Future[R], result: R | None, error: Exception | None) -> None:
    """Hand the result over, unless the caller was cancelled."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)  # type: ignore[arg-type]  # the result is set if there is no error
