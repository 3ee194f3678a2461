"""
Removing what a crash left behind, without any memory of the crash: two looks at everything, a decision, the removal.

What is decided, ``strays.py`` says; here is how it is looked for, and how it goes.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hart_salt.destroy import destroy_all
from hart_salt.drivers.base import Driver
from hart_salt.errors import HartError
from hart_salt.home import Home
from hart_salt.master import ACCEPTED
from hart_salt.model import Leftover
from hart_salt.strays import Decision, Scene, Stray, decide
from hart_salt.survey import Survey, survey

#: seconds between two looks, both of which have to miss an instance before its minion's key goes: lists have gaps
SECOND_LOOK = 5.0
SIDE_BY_SIDE = 16  #: removals under way at the same time


class Sweep:
    """One sweep over some providers."""

    def __init__(
        self, drivers: Mapping[str, Driver], home: Home, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._drivers = drivers
        self._home = home
        self._sleep = sleep

    def run(self, *, grace: float, only_dead: bool = False, test: bool = False) -> tuple[dict[str, Any], int | None]:
        """
        Find the strays and remove them.

        grace
            seconds for which what is young is spared, where it is not known that its operation died
        only_dead
            only what belongs to operations that died on this machine
        test
            only say what would be removed

        Returns what was removed, what was spared and why, and what went wrong; and the number of the signal that
        ended it early, if one did.
        """
        problems: list[str] = []
        decision = self._decide(grace, only_dead, problems)
        if test:
            return _report("would_remove", [(stray, None) for stray in decision.strays], decision, problems), None
        removed, interrupted = self._remove(decision)
        if not problems and interrupted is None and not any(error for _, error in removed):
            for batch, facts in self._home.locks.dead_batches().items():
                if facts.get("provider") in self._drivers:
                    self._home.locks.forget_batch(batch)
        self._home.locks.clear()
        return _report("removed", removed, decision, problems), interrupted

    # looking

    def _decide(self, grace: float, only_dead: bool, problems: list[str]) -> Decision:
        """The cloud first, then the records; then the minions that a first decision would remove are asked."""
        leftovers = self._leftovers(problems)
        seen = self._look()
        problems += seen.problems
        locks = self._home.locks
        scene = Scene(
            seen, leftovers, locks.busy, locks.batch_lives, locks.dead_batches(), time.time(), grace, only_dead,
            self._home.info.owner,
        )  # fmt: skip
        names = {stray.name for stray in decide(scene).strays if stray.leftover is None}
        asked = sorted(name for name in names if ACCEPTED in seen.keys.get(name, ()))
        present = dataclasses.replace(seen, present=self._home.master.present(asked))
        decision = decide(dataclasses.replace(scene, survey=present))
        if any(stray.is_missing for stray in decision.strays):
            self._sleep(SECOND_LOOK)
            again = self._look()
            decision.strays = [stray for stray in decision.strays if _still(stray, again)]
        return decision

    def _look(self) -> Survey:
        return survey(list(self._drivers.values()), self._home.store, self._home.master)

    def _leftovers(self, problems: list[str]) -> list[tuple[str, Leftover]]:
        found = []
        for name, driver in self._drivers.items():
            try:
                found += [(name, leftover) for leftover in driver.leftovers()]
            except HartError as error:
                problems.append(f"{name}: what is temporary there could not be listed: {error}")
        return found

    # removing

    def _remove(self, decision: Decision) -> tuple[list[tuple[Stray, str | None]], int | None]:
        """Nodes first, as ``hart.destroy`` does it; then the rest: a firewall may be in use until they are gone."""
        strays = decision.strays
        nodes = {stray.name: stray.record for stray in strays if stray.record is not None}
        data, interrupted = destroy_all(nodes, self._drivers, self._home, own_keys=True) if nodes else ({}, None)
        done: list[tuple[Stray, str | None]] = []
        for stray in [stray for stray in strays if stray.record is not None]:
            entry = data[stray.name]
            if entry["result"] is None:
                decision.spared.append(dataclasses.replace(stray, why=entry["note"]))
            else:
                done.append((stray, entry.get("error")))
        if interrupted is None:
            for kind in ("instance", "leftover"):
                done += self._remove_each([stray for stray in strays if getattr(stray, kind) is not None])
        return done, interrupted

    def _remove_each(self, strays: Sequence[Stray]) -> list[tuple[Stray, str | None]]:
        with ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="hart-sweep") as pool:
            return list(zip(strays, pool.map(self._remove_one, strays), strict=True))

    def _remove_one(self, stray: Stray) -> str | None:
        driver = self._drivers[stray.provider]
        try:
            if stray.instance is not None:
                driver.terminate(stray.instance)
            if stray.leftover is not None:
                driver.remove(stray.leftover)
        except HartError as error:
            return str(error)
        return None


def _still(stray: Stray, again: Survey) -> bool:
    if stray.record is None or not stray.is_missing:
        return True
    return stray.provider in again.asked and again.instance_of(stray.record) is None


def _report(
    word: str, done: Sequence[tuple[Stray, str | None]], decision: Decision, problems: Sequence[str]
) -> dict[str, Any]:
    """Lists, since one name may stand for several things."""
    gone = [stray.facts() for stray, error in done if error is None]
    failed = [{**stray.facts(), "error": error} for stray, error in done if error is not None]
    report: dict[str, Any] = {word: gone, "spared": [stray.facts() for stray in decision.spared]}
    if failed:
        report["failed"] = failed
    if problems:
        report["errors"] = list(problems)
    return report
