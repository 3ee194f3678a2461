"""Run ``drain`` on nodes before they are removed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from hart_salt.base import concurrency
from hart_salt.base.concurrency import Calls
from hart_salt.config.settings import Settings
from hart_salt.master.client import Master


def drain_all(wanted: Mapping[str, Settings], master: Master) -> dict[str, str]:
    """
    Run each node's ``drain`` on it, concurrently, each with its ``drain_timeout``.

    A job that does not finish in time continues on the minion. Returns the reason for each node on which it failed.

    Raises ``Interrupted`` if a signal ends the wait.
    """
    problems: dict[str, str] = {}

    async def one(minion_id: str, settings: Settings, calls: Calls) -> None:
        try:
            work = _work(minion_id, settings, master, calls)
            found = await concurrency.within(work, settings.drain_timeout)
        except asyncio.TimeoutError:
            found = [f"it did not finish within {settings.drain_timeout:g} s"]
        except Exception as error:  # after any error, the node must not be removed as if it were drained
            found = [f"{type(error).__name__}: {error}"]
        if found:
            problems[minion_id] = f"drain failed, so the node stays: {'; '.join(found)}"

    async def main(calls: Calls) -> None:
        await asyncio.gather(*(one(minion_id, settings, calls) for minion_id, settings in wanted.items()))

    with Calls() as calls:
        concurrency.run(lambda: main(calls))
    return problems


async def _work(minion_id: str, settings: Settings, master: Master, calls: Calls) -> list[str]:
    """Run ``drain``, and return the problems."""
    drain, timeout = settings.drain, settings.drain_timeout
    if isinstance(drain, Mapping):
        given = drain["function"], drain["args"], drain["kwargs"]
        return await calls.aside(master.minions.call, minion_id, *given, timeout)
    return (await calls.aside(master.minions.apply, minion_id, drain, timeout)).problems
