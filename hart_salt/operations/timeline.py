"""Collect where the seconds of nodes went, from their records and their logs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from hart_salt.base.errors import Refused
from hart_salt.base.names import batch_time, check_minion_id
from hart_salt.base.text import suggestion
from hart_salt.inventory.journal import BAKE, CREATE, Entry
from hart_salt.inventory.records import Record
from hart_salt.reports.lives import DONE, FAILED, Life, read_life, spans_of
from hart_salt.reports.timeline import Timeline

FORMER = 200  #: the most nodes of the journal that are compared: the last ones
MANY = 5  #: ids that a title or a sentence names


def timeline(
    names: Sequence[str], records: Mapping[str, Record], log_dir: Path, journal: Sequence[Entry] = ()
) -> Timeline:
    """
    Return the timeline of nodes, each name a minion id or a batch.

    A node that failed or was destroyed has no record; its log still has its stages, or else the ``journal``, whose
    entries come in the order of their times.

    Raises ``Refused`` for a name of which nothing is known.
    """
    lives: dict[str, Life] = {}
    without: list[str] = []
    made = [one for one in journal if one.action in (CREATE, BAKE) and one.stages]
    for name in dict.fromkeys(names):
        if name not in records and batch_time(name) is not None:
            found, missing = _of_batch(name, records, log_dir, made)
        else:
            one = _of_id(name, records, log_dir, made)
            found, missing = ({name: one}, []) if one else ({}, [name])
        lives |= found
        without += missing
    if not lives:
        raise Refused(
            f"{_few(without)}: there is no timeline, because hart did not create it or its log is not on this machine"
        )
    slowest = sorted(lives.values(), key=lambda life: (-life.seconds, life.minion_id))
    others, others_are = _others(lives, records, made)
    notes = [f"{_few(without)}: neither the record nor a log on this machine has the stages"] if without else []
    return Timeline(_title(names, {*lives, *without}), slowest, others, others_are, notes)


def _of_id(
    minion_id: str, records: Mapping[str, Record], log_dir: Path, made: Sequence[Entry]
) -> Life | None:  # fmt: skip
    if problem := check_minion_id(minion_id):
        raise Refused(f"{minion_id}: {problem}")
    record = records.get(minion_id)
    log = Path(record.log) if record and record.log else log_dir / f"{minion_id}.log"
    life = read_life(log)
    if record is None and life is None:
        life = next((_noted(one) for one in reversed(made) if one.minion_id == minion_id), None)
    if record is None and life is None:
        close = suggestion(minion_id, records)
        raise Refused(
            f"{minion_id}: there is neither a record nor a log of a node with this id{close or ', and it is no batch'}"
        )
    return life if record is None else _joined(record, life)


def _joined(record: Record, life: Life | None) -> Life | None:
    """Return the life that a record has, with what only the log has: the exact start, and the steps."""
    if life is not None and life.batch not in ("", record.batch):
        life = None  # the log of another node with this id
    spans = spans_of(record.seconds)
    if not spans:
        return life
    if life is None:
        return Life(record.minion_id, record.created, spans, batch=record.batch)
    return Life(record.minion_id, life.began, spans, batch=record.batch, steps=life.steps)


def _noted(one: Entry) -> Life:
    """Return the life that the journal has of a node."""
    created = one.created or one.time or 0.0
    return Life(one.minion_id, created, spans_of(one.stages), DONE if one.result else FAILED, one.batch or "")


def _of_batch(
    batch: str, records: Mapping[str, Record], log_dir: Path, made: Sequence[Entry]
) -> tuple[dict[str, Life], list[str]]:
    """Return the lives of a batch, and the ids of its nodes of which nothing more is known."""
    wanted = [one for one in records.values() if one.batch == batch]
    found = {one.minion_id: _joined(one, read_life(Path(one.log)) if one.log else None) for one in wanted}
    for log in _logs_since(log_dir, batch_time(batch) or 0.0):
        if log.name.removesuffix(".log") in found:
            continue
        life = read_life(log)
        if life is not None and life.batch == batch:
            found[life.minion_id] = life
    for one in made:
        if one.batch == batch and found.get(one.minion_id) is None:
            found[one.minion_id] = _noted(one)
    if not found:
        raise Refused(
            f"{batch}: no record and no log on this machine is of this batch; hart.show ID shows a node's batch"
        )
    return {name: life for name, life in found.items() if life}, [name for name, life in found.items() if not life]


def _logs_since(log_dir: Path, moment: float) -> list[Path]:
    """Return the logs that were written after a moment, in seconds since the epoch."""
    try:
        return [path for path in sorted(log_dir.glob("*.log")) if path.stat().st_mtime >= moment]
    except OSError:
        return []


def _others(
    lives: Mapping[str, Life], records: Mapping[str, Record], made: Sequence[Entry]
) -> tuple[dict[str, Mapping[str, float]], str]:
    """Return the seconds of other and former nodes of the same role and provider, and the words for these nodes."""
    kinds = {(one.role, one.provider) for one in map(records.get, lives) if one is not None}
    if len(kinds) != 1:
        return {}, ""
    ((role, provider),) = kinds
    same = [one for one in records.values() if (one.role, one.provider) == (role, provider) and one.seconds]
    words = f"role {role} at {provider}" if role else f"no role at {provider}"
    made = [one for one in made if one.action == CREATE and one.result]
    former = [one for one in made if (one.role, one.provider) == (role, provider)][-FORMER:]
    found: dict[str, Mapping[str, float]] = {one.minion_id: one.stages for one in former}
    found |= {one.minion_id: one.seconds for one in same}
    return {minion_id: seconds for minion_id, seconds in found.items() if minion_id not in lives}, words


def _title(names: Sequence[str], ids: Collection[str]) -> str:
    return _few([name if name in ids else f"batch {name}" for name in dict.fromkeys(names)])


def _few(names: Sequence[str]) -> str:
    """Return the names, or the first of them and the number of all others."""
    more = len(names) - MANY
    return ", ".join(names[:MANY]) + (f" and {more} more" if more > 0 else "")
