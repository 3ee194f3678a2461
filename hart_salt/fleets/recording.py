"""
The readings of a fleet, recorded for ``hart.simulate``: one file for each day, one line of JSON for each look.

The files are next to the nodes' logs. Nothing depends on them: a write that fails is a note. They are bounded: a file
that is full becomes the former file of its day, which replaces the one before, and only the last days are kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from hart_salt.base import faults
from hart_salt.fleets.autoscale import usable

LIMIT = 8 << 20  #: bytes of one file: a day of about 900 nodes that are measured each minute
DAYS = 8  #: the days that are kept, so that a whole week is there
MODE = 0o600
FORMER = ".1"  #: the end of the name of the file before the last rotation
_DAY = r"\d{4}-\d{2}-\d{2}"


def record(
    directory: str | Path, fleet: str, now: float, readings: Mapping[str, float | None], limit: int = LIMIT
) -> str:  # fmt: skip
    """
    Append what the nodes of a fleet answered.

    ``directory`` is that of the nodes' logs, ``now`` is in seconds since the epoch, and ``limit`` the most bytes of a
    file. The values are in the order of the nodes' names.

    Returns a sentence if it failed, and an empty text otherwise.
    """
    path = Path(directory)
    try:
        path /= _name(fleet, datetime.fromtimestamp(now, timezone.utc).date().isoformat())
        if _append(path, _line(now, readings), limit):
            _remove_old(path.parent, fleet)
    except Exception as error:  # nothing may fail because of the recording
        why = faults.sentence(error, path) if isinstance(error, OSError) else faults.reason(error)
        return f"the readings of the fleet {fleet} cannot be recorded for hart.simulate: {why}"
    return ""


def last(directory: str | Path, fleet: str) -> list[Path]:
    """Return the files of the last recorded day of a fleet, in the order of their lines; none if there is no day."""
    days = _days(Path(directory), fleet)
    return days[max(days)] if days else []


def _name(fleet: str, day: str) -> str:
    return f"hart-fleet-{fleet}-{day}.jsonl"


def _line(now: float, readings: Mapping[str, float | None]) -> bytes:
    loads = [usable(readings[name]) for name in sorted(readings)]
    values = [None if value is None else float(f"{value:.4g}") for value in loads]
    at = datetime.fromtimestamp(now, timezone.utc).isoformat(timespec="milliseconds")
    return json.dumps({"time": at, "values": values}, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def _append(path: Path, line: bytes, limit: int) -> bool:
    """Append a line, and return whether the file is new."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    with contextlib.suppress(FileNotFoundError):
        if path.lstat().st_size + len(line) > limit:
            path.rename(path.with_name(path.name + FORMER))
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags, MODE)
    try:
        there = os.fstat(descriptor)
        if not stat.S_ISREG(there.st_mode):
            raise ValueError(f"{path} is not a file")
        if there.st_size and os.pread(descriptor, 1, there.st_size - 1) != b"\n":
            line = b"\n" + line  # a full disk has cut off the last line
        if os.write(descriptor, line) != len(line):
            raise OSError(28, os.strerror(28))  # ENOSPC: only a part of the line found room
        return not there.st_size
    finally:
        os.close(descriptor)


def _days(directory: Path, fleet: str) -> dict[str, list[Path]]:
    """Return the files of a fleet by day, the former file of a day first."""
    written = re.compile(rf"{re.escape(_name(fleet, '@')).replace('@', f'({_DAY})')}({re.escape(FORMER)})?")
    found: dict[str, list[Path]] = {}
    with contextlib.suppress(OSError):
        for path in sorted(directory.iterdir(), key=lambda one: not one.name.endswith(FORMER)):
            if named := written.fullmatch(path.name):
                found.setdefault(named[1], []).append(path)
    return found


def _remove_old(directory: Path, fleet: str) -> None:
    days = _days(directory, fleet)
    for day in sorted(days)[:-DAYS]:
        for path in days[day]:
            with contextlib.suppress(OSError):
                path.unlink()
