"""
Recorded loads of a fleet, from a file of ``hart.simulate``.

The file has JSON lines, such as ``{"time": "2026-11-30T08:00:00Z", "load": 4.2}`` with the load of the whole fleet, or
``{"time": 1796025600, "values": [0.5, null]}`` with the answer of each node, null for silence; ``values`` can also be a
mapping of names. Or it is CSV: a heading with ``time``, and ``load`` or a column for each node; an empty cell is
silence.

No fault shows what is in the file: a user of ``salt-api`` could read files with the rights of the master otherwise.
"""

from __future__ import annotations

import csv
import json
import math
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any

from hart_salt.base import faults
from hart_salt.base.errors import EnvironmentFault, Refused
from hart_salt.fleets.autoscale import usable

MOST_BYTES = 256 << 20  #: of a file
MOST_LINES = 1_000_000
MOST_VALUES = 100_000  #: of one line
MOST_FAULTS = 10  #: that are reported of one file
LATEST = 253402300799.0  #: the end of the year 9999


@dataclass(frozen=True)
class Sample:
    """What was measured at one moment: the load of the whole fleet, or the answer of each node. Nothing is silence."""

    at: float
    load: float | None = None
    values: tuple[float | None, ...] = ()


def read(path: Path) -> list[Sample]:
    """
    Return the samples in a file, in the order of their lines.

    Raises ``Refused`` with a sentence for each fault, and ``EnvironmentFault`` if the file cannot be read.
    """
    found, wrong = _read(_lines(path), str(path))
    if wrong:
        raise Refused("\n".join(wrong))
    if not found:
        raise Refused(f"{path} has no samples")
    return found


def recorded(paths: Sequence[Path]) -> tuple[list[Sample], list[str]]:
    """
    Return the samples in files that hart recorded, and a note for each file of which lines were left out.

    Such lines were cut off by a full disk, or come from a time that a clock that was set back repeated.

    Raises ``Refused`` if there is no sample, and ``EnvironmentFault`` if a file cannot be read.
    """
    found: list[Sample] = []
    notes = []
    for path in paths:
        samples, wrong = _read(_lines(path), str(path))
        later = [sample for sample in samples if not found or sample.at > found[-1].at]
        found += later
        if wrong:
            notes.append(f"{path} has lines that were left out, such as: {wrong[0].partition(': ')[2]}")
    if not found:
        raise Refused(f"{paths[-1]} has no samples")
    return found, notes


def _lines(path: Path) -> Iterator[str]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, encoding="utf-8", errors="replace", newline="") as file:  # noqa: PTH123 - flags
            there = os.fstat(descriptor)
            if not stat.S_ISREG(there.st_mode):
                raise Refused(f"{path} is not a file")
            if there.st_size > MOST_BYTES:
                raise Refused(f"{path} is larger than {MOST_BYTES >> 20} MB")
            yield from file
    except (OSError, ValueError) as error:
        why = faults.sentence(error, path) if isinstance(error, OSError) else faults.reason(error)
        raise EnvironmentFault(f"the recorded load cannot be read: {why}") from error


def _read(lines: Iterable[str], name: str) -> tuple[list[Sample], list[str]]:
    """
    Return the samples in lines of JSON or CSV, and sentences about lines that are wrong; ``name`` is the file's.

    Of two samples with the same time, the second one counts.
    """
    wrong: list[str] = []
    found: list[Sample] = []
    for number, (problem, sample) in enumerate(_parsed(lines), 1):
        if number > MOST_LINES:
            raise Refused(f"{name} has more than {MOST_LINES} lines")
        if not problem and sample and found and sample.at < found[-1].at:
            problem = "its time is before that of the line above"
        if problem:
            wrong.append(f"{name}: line {number}: {problem}")
        elif sample:
            found[-1:] = [sample] if found and found[-1].at == sample.at else [*found[-1:], sample]
    if len(wrong) > MOST_FAULTS:
        wrong = [*wrong[:MOST_FAULTS], f"{name}: {len(wrong) - MOST_FAULTS} more lines are wrong"]
    return found, wrong


#: what is wrong with a line, or nothing, and the sample in it, if there is one
_Parsed = tuple[str, Sample | None]


def _parsed(lines: Iterable[str]) -> Iterator[_Parsed]:
    """Yield what is in each line; the first line with text decides whether the file is CSV."""
    reader: Callable[[str], _Parsed] | None = None
    for line in lines:
        if not line.strip():
            yield "", None
        elif reader is None and not line.lstrip("\ufeff \t").startswith("{"):
            problem, columns = _heading(line)
            reader = _CsvReader(columns)
            yield problem, None
        else:
            reader = reader or _of_json
            yield reader(line)


def _of_json(line: str) -> _Parsed:
    try:
        data = json.loads(line.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return "is no JSON", None
    if not isinstance(data, Mapping):
        return "must be a JSON object with time, and load or values", None
    at = _time(data.get("time"))
    if at is None:
        return "time must be ISO 8601, or seconds since the epoch", None
    if ("load" in data) == ("values" in data):
        return "must have either load or values", None
    return _with_load(at, data["load"]) if "load" in data else _with_values(at, data["values"])


def _with_load(at: float, load: Any) -> _Parsed:
    if load is not None and usable(load) is None:
        return "load must be a number of at least 0, or null for silence", None
    return "", Sample(at, usable(load))


def _with_values(at: float, values: Any) -> _Parsed:
    if isinstance(values, Mapping):
        values = [values[name] for name in sorted(values)]
    if not isinstance(values, list) or len(values) > MOST_VALUES:
        return "values must be a list or a mapping of numbers", None
    if not all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values):
        return "values must be numbers, or null for silence", None
    return "", Sample(at, values=tuple(usable(value) for value in values))


def _time(value: Any) -> float | None:
    """Return a time in seconds since the epoch; None if it is none. A time without a zone is in UTC."""
    if isinstance(value, str):
        try:
            at = datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
            value = (at if at.tzinfo else at.replace(tzinfo=timezone.utc)).timestamp()
        except (ValueError, OverflowError):
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LATEST:
        return None
    return float(value)


# CSV


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line.strip().lstrip("\ufeff")]), [])]


def _heading(line: str) -> tuple[str, list[str]]:
    try:
        columns = [cell.lower() if cell.lower() in ("time", "load") else cell for cell in _cells(line)]
    except csv.Error:
        columns = []
    if columns.count("time") == 1 and len(columns) > 1:
        return "", columns
    return "is neither JSON nor a heading of CSV with time, and load or the names of nodes", []


class _CsvReader:
    """Reads the lines below a heading; below a wrong one, nothing."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns

    def __call__(self, line: str) -> _Parsed:
        if not self._columns:
            return "", None
        try:
            cells = _cells(line)
        except csv.Error:
            return "is no line of CSV", None
        if len(cells) != len(self._columns):
            return f"has {len(cells)} cells, and the heading has {len(self._columns)}", None
        row = dict(zip(self._columns, cells, strict=True))
        at = _time(_number(row["time"]) if _number(row["time"]) is not None else row["time"])
        if at is None:
            return "time must be ISO 8601, or seconds since the epoch", None
        if "load" in row:
            load = _number(row["load"])
            return _with_load(at, load if load is not None or not row["load"] else -1)
        values = [cell for name, cell in zip(self._columns, cells, strict=True) if name != "time"]
        if any(cell and _number(cell) is None for cell in values):
            return "its cells must be numbers, or empty for silence", None
        return _with_values(at, [_number(cell) for cell in values])


def _number(cell: str) -> float | None:
    try:
        number = float(cell) if len(cell) < 40 and cell.isascii() else math.nan
    except ValueError:
        return None
    return None if math.isnan(number) else number


def gaps(samples: Sequence[Sample], longer: float) -> Iterator[tuple[float, float]]:
    """Yield the beginning and the length of each time without samples that is longer than ``longer`` seconds."""
    for one, other in zip(samples, islice(samples, 1, None), strict=False):
        if other.at - one.at > longer:
            yield one.at, other.at - one.at
