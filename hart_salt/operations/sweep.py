"""
Remove what a crash left behind, without any memory of the crash.

A sweep takes a snapshot, decides, and removes. ``leaks.py`` decides; this module takes the snapshot, removes the
orphans, rebuilds records and completes the sealing of nodes.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from hart_salt.base import concurrency, faults
from hart_salt.base.concurrency import Calls
from hart_salt.base.errors import HartError, Interrupted
from hart_salt.drivers.contract import Driver
from hart_salt.inventory import misses, rebuild
from hart_salt.inventory.context import Context
from hart_salt.inventory.identity import Found
from hart_salt.inventory.journal import SWEEP, Entry
from hart_salt.inventory.locks import Locks
from hart_salt.inventory.side_by_side import ask_each
from hart_salt.inventory.snapshot import Snapshot, is_of, take_snapshot
from hart_salt.master.keys import ACCEPTED
from hart_salt.model import Leftover
from hart_salt.operations import sealing
from hart_salt.operations.destroy import destroy_all
from hart_salt.operations.leaks import Decision, Orphan, Scene, batches, decide

SIDE_BY_SIDE = 16  #: concurrent removals
#: questions, of some seconds each, that a minion must leave unanswered before it counts as dead
QUESTIONS = 3
#: seconds for which a new operation waits for a running sweep before it goes on
WAIT = 60.0
NAMED = 10  #: so many names are in one line of the log
BUSY = "another sweep is running"


class Sweep:
    """One sweep over some providers."""

    def __init__(
        self, drivers: Mapping[str, Driver], context: Context, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._drivers = drivers
        self._context = context
        self._sleep = sleep

    def run(
        self, *, grace: float, only_dead: bool = False, test: bool = False, force: bool = False
    ) -> tuple[dict[str, Any], int | None]:
        """
        Find the orphans and remove them; rebuild lost records; complete the sealing of nodes that are ready.

        ``grace`` is the number of seconds during which young resources are kept, unless their operation is known to be
        dead. With ``only_dead``, only the resources of operations that died on this machine are considered. With
        ``test``, nothing is changed and the report says what would be done. With ``force``, orphans are removed even if
        the records seem to be lost.

        Returns what was removed, what was kept and why, what was repaired, and what went wrong; and the number of the
        signal that interrupted the sweep, or None.
        """
        problems: list[str] = []
        # Before the snapshot, which may miss what an operation leaves that dies after it.
        dead = self._context.locks.dead_batches()
        decision, seen = self._decide(grace, only_dead, force, problems)
        if test:
            planned = {"would_rebuild": decision.rebuild, "would_seal": decision.unsealed}
            return _report("would_remove", _undone(decision.orphans), decision, problems, planned), None
        rebuilt = self._rebuild(decision)
        self._record_bakes(decision, seen)
        sealed = self._seal(decision, seen, rebuilt, grace)
        removed, interrupted = self._remove(decision)
        if not problems and interrupted is None and not any(error for _, error in removed):
            self._forget_dead(dead, decision)
        self._context.locks.clear()
        put_right = {"rebuilt": rebuilt, "sealed": sealed}
        return _report("removed", removed, decision, problems, put_right), interrupted

    def _forget_dead(self, dead: Mapping[str, Mapping[str, Any]], decision: Decision) -> None:
        """Remove the claims of dead batches that have nothing left to do."""
        waiting = {orphan.record.batch for orphan in decision.unsealed if orphan.record is not None}
        for batch, facts in dead.items():
            if facts.get("provider") in self._drivers and batch not in waiting and not decision.lost:
                self._context.locks.forget_batch(batch)

    # the snapshot and the decision

    def _decide(self, grace: float, only_dead: bool, force: bool, problems: list[str]) -> tuple[Decision, Snapshot]:
        """List the cloud, then the records, then ask the minions of a first decision, and decide."""
        leftovers = self._leftovers(problems)
        seen = self._look(frozenset(self._drivers))
        problems += seen.problems
        locks, info = self._context.locks, self._context.info
        look = locks.look(seen.records, batches(seen, leftovers))
        scene = Scene(
            seen, leftovers, look.busy, look.batch_lives, look.dead_batches(), time.time(), grace, only_dead,
            info.owner, masterless=not info.public_key, force=force, elsewhere=locks.elsewhere,
        )  # fmt: skip
        first = decide(dataclasses.replace(scene, force=True))
        candidates = (*first.orphans, *first.rebuild, *first.unsealed)
        names = {orphan.name for orphan in candidates if orphan.leftover is None and not orphan.is_of_bake}
        asked = sorted(name for name in names if ACCEPTED in seen.keys.get(name, ()))
        going = {orphan.name for orphan in first.orphans if not orphan.is_missing}
        seen = dataclasses.replace(seen, present=answering(self._context.master.minions.present, asked, going))
        decision = decide(dataclasses.replace(scene, snapshot=seen))
        self._confirm(decision)
        return decision, seen

    def _confirm(self, decision: Decision) -> None:
        """Keep nodes whose instances are missing only from one list, or whose minions answer."""
        missing = [orphan.record for orphan in decision.orphans if orphan.is_missing and orphan.record is not None]
        if not missing:
            return
        gone = misses.gone(missing, self._look, self._drivers.__getitem__, self._sleep)
        confirmed = {record.minion_id for record in gone}
        confirmed -= self._context.master.minions.present(sorted(confirmed))
        going: list[Orphan] = []
        kept: list[Orphan] = []
        for one in decision.orphans:
            (kept if one.is_missing and one.name not in confirmed else going).append(one)
        why = "a list missed its instance, but it exists or its minion answers: check its tags at the provider"
        decision.kept += [dataclasses.replace(one, why=why) for one in kept]
        decision.orphans = going

    def _look(self, providers: frozenset[str]) -> Snapshot:
        drivers = [driver for name, driver in self._drivers.items() if name in providers]
        return take_snapshot(drivers, self._context.store, self._context.master)

    def _leftovers(self, problems: list[str]) -> list[tuple[str, Leftover]]:
        found = []
        for name, answer in ask_each(self._drivers, lambda driver: driver.leftovers()).items():
            if isinstance(answer, HartError):
                problems.append(f"{name}: its temporary resources could not be listed: {answer}")
            else:
                found += [(name, leftover) for leftover in answer]
        return found

    # repairs

    def _rebuild(self, decision: Decision) -> list[Orphan]:
        """Rebuild lost records; their nodes are then treated like nodes that were never sealed."""
        by_name = {orphan.name: orphan for orphan in decision.rebuild}
        records = [
            rebuild.new_record(Found(orphan.instance, self._drivers[orphan.provider].provider), self._context)
            for orphan in decision.rebuild
            if orphan.instance is not None
        ]
        written, failed = rebuild.write(records, self._context)
        decision.kept += [dataclasses.replace(by_name[name], why=why) for name, why in failed.items()]
        return [dataclasses.replace(by_name[record.minion_id], record=record) for record in written]

    def _record_bakes(self, decision: Decision, seen: Snapshot) -> None:
        """
        Write records of nodes of bakes that have none but an accepted key, so that they go like other nodes.

        The record keeps the key's fingerprint until the key is deleted, also if this sweep is killed in between.
        """
        bakes = {
            orphan.name: orphan for orphan in decision.orphans
            if orphan.instance is not None and orphan.record is None and orphan.is_of_bake
            and ACCEPTED in seen.keys.get(orphan.name, ())
        }  # fmt: skip
        lost = [Found(it.instance, self._drivers[it.provider].provider) for it in bakes.values() if it.instance]
        records = [dataclasses.replace(rebuild.new_record(it, self._context), stage="failed") for it in lost]
        written, failed = rebuild.write(records, self._context)
        by_name = {record.minion_id: record for record in written}
        decision.orphans = [
            dataclasses.replace(it, kind="node", instance=None, record=by_name[it.name]) if it.name in by_name else it
            for it in decision.orphans if bakes.get(it.name) is not it or it.name in by_name
        ]  # fmt: skip
        for name, orphan in bakes.items():
            if name not in by_name:
                why = failed.get(name, "another operation has written its record since sweep decided")
                decision.kept.append(dataclasses.replace(orphan, why=why))

    def _seal(self, decision: Decision, seen: Snapshot, rebuilt: Sequence[Orphan], grace: float) -> list[Orphan]:
        """
        Complete the sealing of nodes whose minions answer; report the others with what to do.

        A rebuilt record only needs to know whether its node is sealed.
        """
        decision.unsealed += rebuilt
        answering = [orphan for orphan in decision.unsealed if orphan.name in (seen.present or ())]
        were_lost = {orphan.name for orphan in rebuilt}
        dead = self._context.locks.dead_batches()
        young = {orphan.name for orphan in rebuilt if _is_young(orphan, grace, dead)}
        nodes = [(it.record, it.instance) for it in answering if it.record is not None and it.instance is not None]
        failed = sealing.finish(nodes, self._drivers, self._context, young=young) if nodes else {}
        sealed = [orphan for orphan in answering if orphan.name not in failed]
        done = {orphan.name for orphan in sealed}
        left = [orphan for orphan in decision.unsealed if orphan.name not in done]
        for orphan in left:
            why = failed.get(orphan.name, "its minion does not answer")
            decision.kept.append(dataclasses.replace(orphan, why=_unsealed(orphan, why)))
        decision.unsealed = left
        return [orphan for orphan in sealed if orphan.name not in were_lost]

    # removal

    def _remove(self, decision: Decision) -> tuple[list[tuple[Orphan, str | None]], int | None]:
        """Remove nodes first, as ``hart.destroy`` does, then the rest: nodes may use a firewall until they are gone."""
        orphans = decision.orphans
        nodes = {orphan.name: orphan.record for orphan in orphans if orphan.record is not None}
        data, interrupted = destroy_all(nodes, self._drivers, self._context, own_keys=True) if nodes else ({}, None)
        done: list[tuple[Orphan, str | None]] = []
        for orphan in [orphan for orphan in orphans if orphan.record is not None]:
            entry = data[orphan.name]
            if entry["result"] is None:
                decision.kept.append(dataclasses.replace(orphan, why=entry["note"]))
            else:
                done.append((orphan, entry.get("error")))
        for kind in ("instance", "leftover"):
            rest = [orphan for orphan in orphans if getattr(orphan, kind) is not None]
            if rest and interrupted is None:
                errors, interrupted = self._remove_each(rest)
                done += list(zip(rest, errors, strict=True))
        return done, interrupted

    def _remove_each(self, orphans: Sequence[Orphan]) -> tuple[list[str | None], int | None]:
        """Remove each orphan; after a signal, finish what was started and start nothing more."""
        errors: list[str | None] = ["interrupted; call hart.sweep again"] * len(orphans)
        some = asyncio.Semaphore(SIDE_BY_SIDE)

        async def removed(number: int, calls: Calls) -> None:
            changed = await calls.salt(self._changed, orphans[number])
            errors[number] = changed or await calls.driver(self._remove_one, orphans[number])

        async def one(number: int, calls: Calls) -> None:
            async with some:
                await concurrency.uninterrupted(removed(number, calls))

        async def every(calls: Calls) -> None:
            for error in await asyncio.gather(*(one(n, calls) for n in range(len(orphans))), return_exceptions=True):
                if error is not None:
                    raise error

        with Calls() as calls:
            try:
                concurrency.run(lambda: every(calls), self._context.locks.stop)
            except Interrupted as signal:
                return errors, signal.signum
        return errors, None

    def _changed(self, orphan: Orphan) -> str | None:
        """Return why an instance without a record is no orphan any more: its call may have ended since the decision."""
        if orphan.instance is None:
            return None
        try:
            record = self._context.store.get(orphan.name)
        except HartError as error:
            return str(error)
        written = record is not None and is_of(orphan.instance, record)
        return "another operation has written its record since sweep decided" if written else None

    def _remove_one(self, orphan: Orphan) -> str | None:
        driver, problem = self._drivers[orphan.provider], None
        try:
            self._context.locks.check_alive()
            if orphan.instance is not None:
                driver.terminate(orphan.instance)
            if orphan.leftover is not None:
                driver.remove(orphan.leftover)
        except Exception as error:  # even a defect of a driver is only the failure of this orphan
            problem = faults.reason(error)
        self._context.journal.write(_entry(orphan, problem))
        return problem


def _entry(orphan: Orphan, problem: str | None) -> Entry:
    """Return the entry of the journal for what is no node: an instance without a record, or a temporary resource."""
    facts = {name: getattr(orphan.instance, name) for name in ("role", "zone", "size", "instance_id", "created")
             if orphan.instance is not None}  # fmt: skip
    either = orphan.instance or orphan.leftover
    return Entry(
        SWEEP, orphan.name, problem is None, kind=orphan.kind, provider=orphan.provider,
        region=either.region if either else None, batch=either.batch if either else None,
        details={"why": orphan.why}, error=problem or "", **facts,
    )  # fmt: skip


def _is_young(orphan: Orphan, grace: float, dead: Collection[str]) -> bool:
    """Return whether an operation on another machine may still be sealing the node; ``dead`` holds batches."""
    record = orphan.record
    return record is not None and record.batch not in dead and time.time() - record.created < grace


def alone(work: Sweep, locks: Locks, *, grace: float, test: bool, force: bool) -> tuple[dict[str, Any], int | None]:
    """
    Run the sweep, unless another one is running: then change nothing and report that, which is not an error.

    Sweeps of several masters often begin at the same minute, and a test changes nothing.
    """
    if test:
        return work.run(grace=grace, test=True, force=force)
    with locks.sweep(wait=0) as held:
        if not held:
            return {"note": f"{BUSY}; nothing was changed"}, None
        return work.run(grace=grace, force=force)


def _unsealed(orphan: Orphan, why: str) -> str:
    if orphan.record is not None and orphan.record.kind == "master":
        return (
            f"it was never sealed, and is not a minion of this master: salt-run hart.destroy {orphan.name} removes it"
        )
    return f"it is a minion that may not be sealed: {why}; {sealing.remedy(orphan.name)}"


def _undone(orphans: Sequence[Orphan]) -> list[tuple[Orphan, str | None]]:
    return [(orphan, None) for orphan in orphans]


def answering(
    ask: Callable[[Sequence[str]], frozenset[str]], minion_ids: Sequence[str], going: Collection[str]
) -> frozenset[str]:
    """
    Return the minions that answer.

    ``going`` has the ids of minions that are removed if they do not answer. They are asked up to ``QUESTIONS`` times,
    since one unanswered question proves nothing about a busy minion.
    """
    found = ask(minion_ids)
    for _ in range(QUESTIONS - 1):
        silent = [minion_id for minion_id in minion_ids if minion_id in going and minion_id not in found]
        if not silent:
            break
        found |= ask(silent)
    return found


def _report(
    word: str, done: Sequence[tuple[Orphan, str | None]], decision: Decision, problems: Sequence[str],
    put_right: Mapping[str, Sequence[Orphan]],
) -> dict[str, Any]:  # fmt: skip
    """Return the report, with lists, since several resources can have the same name."""
    gone = [orphan.facts() for orphan, error in done if error is None]
    failed = [{**orphan.facts(), "error": error} for orphan, error in done if error is not None]
    report: dict[str, Any] = {word: gone, "kept": [orphan.facts() for orphan in decision.kept]}
    report.update({name: [orphan.facts() for orphan in orphans] for name, orphans in put_right.items() if orphans})
    if decision.lost:
        report["lost"] = decision.lost
    if failed:
        report["failed"] = failed
    if problems:
        report["errors"] = list(problems)
    return report


def remove_dead(
    providers: Collection[str], driver: Callable[[str], Driver], context: Context, log: logging.Logger
) -> None:
    """
    Remove what operations that died on this machine left at these providers, before a new operation starts.

    If none died, no provider is asked. A failure to remove something is logged and does not stop the caller.

    Raises ``Interrupted`` if a signal arrives.
    """

    def names() -> set[str]:
        return {str(facts.get("provider")) for facts in context.locks.dead_batches().values()} & set(providers)

    if not names():
        return
    with context.locks.sweep(wait=WAIT) as held:
        found = names()  # another sweep may just have removed everything
        if not held:
            log.warning("hart sweep: %s, so nothing of dead calls was removed", BUSY)
        if not held or not found:
            return
        data, interrupted = Sweep({name: driver(name) for name in found}, context).run(grace=0, only_dead=True)
    _log_dead(context.gate.data(data), log)
    for problem in [*data.get("errors", []), *filter(None, [data.get("lost")])]:
        log.warning("hart sweep: %s", context.gate.error(problem))
    if interrupted is not None:
        raise Interrupted(interrupted, "interrupted while sweeping what a dead call left; nothing was started")


#: how a log begins for what a call that died left behind, by the word of a sweep's report
DONE = {"removed": "removed", "rebuilt": "rebuilt the records of", "sealed": "sealed"}


def _log_dead(data: Mapping[str, Any], log: logging.Logger) -> None:
    """Log what was done, in a line for each word of the report; the details are logged as information."""
    for word, said in DONE.items():
        names = list(dict.fromkeys(map(_named, data.get(word, []))))
        if names:
            log.warning("hart: %s %s, which a call that died left behind", said, _listed(names))
    for orphan in data.get("failed", []):
        failed = "hart: %s, which a call that died left behind, could not be removed: %s"
        log.warning(failed, _named(orphan), orphan["error"])
    for word in (*DONE, "failed"):
        for orphan in data.get(word, []):
            log.info("hart sweep: %s: %s", word, orphan)


def _named(orphan: Mapping[str, Any]) -> str:
    """Return the name of an orphan, with its kind if it is no node."""
    return str(orphan["name"]) if orphan["kind"] == "node" else f"{orphan['kind']} {orphan['name']}"


def _listed(names: Sequence[str]) -> str:
    """Return names as a part of a sentence; only the first of many."""
    if len(names) > NAMED:
        return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
