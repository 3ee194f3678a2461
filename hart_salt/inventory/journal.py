"""
The journal of this master: what became of each node, one line of JSON for each outcome.

The journal is in the directory of the nodes' logs and not in the record store: it must survive ``rm -r`` of Salt's
cachedir, and it also has the nodes whose records are gone. Where the user of salt-master cannot write next to the
master's log, the logs and the journal are below the cachedir; entries in either directory are read.

Each entry is appended with one write, so entries of concurrent processes do not mix. Nothing depends on the journal: a
write that fails changes no outcome and becomes a note.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hart_salt.base import faults
from hart_salt.base.caller import Caller
from hart_salt.base.gate import Gate
from hart_salt.inventory.records import Record
from hart_salt.model import MasterInfo

FILE = "history.jsonl"
FORMER = "history.jsonl.1"  #: the file before the last rotation
#: bytes of one file; about 20,000 entries
LIMIT = 16 << 20
#: other users must not read it
MODE = 0o640
#: the format of a line; it increases when an older hart must not read a line
FORMAT = 1
TEXT = 200  #: the most characters of a text in an entry
ERROR = 500  #: the most characters of its error
ITEMS = 40  #: the most items of ``details`` and ``stages``

CREATE, IMPORT, DESTROY, SWEEP, BAKE = "create", "import", "destroy", "sweep", "bake"
#: the actions that end a node
ENDS = (DESTROY, SWEEP)


@dataclass(frozen=True)
class Entry:
    """
    One outcome. Times are seconds since the epoch; in the file they are ISO 8601.

    ``action`` is what was done: ``create``, ``destroy``, ``sweep``, ``import``, ``add_ip``, ``remove_ip``, and the name
    of any other verb that changes a node. ``result`` says whether it succeeded.
    """

    action: str
    minion_id: str
    result: bool
    #: None: when the entry is written
    time: float | None = None
    #: ``minion``, ``master``, or for a sweep the kind of any other resource
    kind: str = "minion"
    #: the runner function that was called, such as ``hart.scale``; empty: unknown
    function: str = ""
    #: who called it; empty: unknown
    by: str = ""
    role: str | None = None
    provider: str | None = None
    region: str | None = None
    zone: str | None = None
    size: str | None = None
    instance_id: str | None = None
    batch: str | None = None
    #: when the node was created
    created: float | None = None
    #: how long the action took
    seconds: float | None = None
    #: of a node that was created: the seconds in each stage
    stages: Mapping[str, float] = field(default_factory=dict)
    #: the price of the size, before tax; None if unknown
    monthly_price: float | None = None
    currency: str | None = None
    #: what changed, by name, such as ``ip``
    details: Mapping[str, str] = field(default_factory=dict)
    #: why it failed, in a sentence; empty if it did not
    error: str = ""


def entry(action: str, record: Record, *, result: bool = True, **more: Any) -> Entry:
    """Return an entry about the node of a record; ``more`` holds further fields of the entry."""
    return replace(
        Entry(
            action, record.minion_id, result, kind=record.kind, role=record.role, provider=record.provider,
            region=record.region, zone=record.zone, size=record.size, instance_id=record.instance_id,
            batch=record.batch, created=record.created, monthly_price=record.monthly_price, currency=record.currency,
        ),
        **more,
    )  # fmt: skip


class Journal:
    """The journal of one call: it writes at one place, and reads there and at ``others``."""

    def __init__(
        self, path: Path | None, gate: Gate, *, others: Sequence[Path] = (), by: str = "", function: str = "",
        clock: Callable[[], float] = time.time, limit: int = LIMIT,
    ) -> None:  # fmt: skip
        """
        Store the arguments; no file is opened.

        ``path`` is the file; None: nothing is written. ``others`` are files of the same journal at other places.
        ``by`` and ``function`` complete the entries of this call. ``limit`` is the most bytes of a file.
        """
        self.path = path
        self.by = by
        self.function = function
        self._gate = gate
        self._others = others
        self._clock = clock
        self._limit = limit
        #: sentences about what could not be written or read
        self.notes: list[str] = []
        #: further details of entries: of some nodes by their ids, and of all others under an empty id
        self._details: Mapping[str, Mapping[str, str]] = {}

    @contextlib.contextmanager
    def explaining(self, details: Mapping[str, Mapping[str, str]]) -> Iterator[None]:
        """Add details to the entries that are written in the block, by minion id; those under "" are for all others."""
        before, self._details = self._details, details
        try:
            yield
        finally:
            self._details = before

    def write(self, one: Entry) -> None:
        """Append an entry. A failure becomes one of the ``notes``, and never an exception."""
        if self.path is None:
            return
        more = self._details.get(one.minion_id, self._details.get("", {}))
        made = replace(one, time=self._clock() if one.time is None else one.time, by=one.by or self.by,
                       function=one.function or self.function, details={**one.details, **more})  # fmt: skip
        try:
            self._append(self.path, self._line(made))
        except Exception as error:  # nothing may fail because of the journal, and least of all a rollback
            why = faults.sentence(error, self.path) if isinstance(error, OSError) else faults.reason(error)
            self._note(f"hart.history lacks entries of this call, because the journal cannot be written: {why}")

    def read(
        self, *, since: float | None = None, until: float | None = None, minion_id: str | None = None,
        role: str | None = None, limit: int | None = None,
    ) -> list[Entry]:  # fmt: skip
        """
        Return the entries in the order of their times.

        ``since`` and ``until`` limit their times, in seconds since the epoch (``until`` is excluded); ``minion_id`` and
        ``role`` select entries; ``limit`` keeps only the last ones. A line that is no entry is skipped; the ``notes``
        say how many were.
        """
        found, foreign = [], 0
        for line in self._lines():
            one = parse(line)
            foreign += one is None
            if one is not None and _is_chosen(one, since, until, minion_id, role):
                found.append(one)
        if foreign:
            self._note(f"damaged or foreign lines of the journal that were skipped: {foreign} ({self.path})")
        found.sort(key=lambda one: one.time or 0)
        return found if limit is None else found[max(0, len(found) - limit) :]

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    # writing

    def _line(self, made: Entry) -> bytes:
        data = {name: value for name, value in as_data(made).items() if value not in (None, "", {})}
        shown = {name: self._bounded(name, value) for name, value in data.items()}
        return json.dumps({"v": FORMAT, **shown}, allow_nan=False).encode() + b"\n"

    def _bounded(self, name: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(self._bounded("", key)): self._bounded("", one) for key, one in [*value.items()][:ITEMS]}
        if isinstance(value, str):
            return self._gate.text(value, ERROR if name == "error" else TEXT)
        return value if value is None or isinstance(value, bool | int | float) else self._bounded("", str(value))

    def _append(self, path: Path, line: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        for _ in range(3):  # another process can rotate the file between open and the look at its size
            descriptor = self._open(path)
            try:
                if os.fstat(descriptor).st_size + len(line) > self._limit and _rotated(descriptor, path):
                    continue
                _write(descriptor, line)
                return
            finally:
                os.close(descriptor)
        raise ValueError(f"{path}: other processes replace the file all the time")

    def _open(self, path: Path) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(path, flags, MODE)
        there = os.fstat(descriptor)
        if not stat.S_ISREG(there.st_mode):
            os.close(descriptor)
            raise ValueError(f"{path} is not a file")
        if not there.st_size:
            with contextlib.suppress(OSError):
                os.fchmod(descriptor, MODE)  # whatever the umask is
        return descriptor

    # reading

    def _lines(self) -> Iterator[bytes]:
        places = [path for path in (self.path, *self._others) if path is not None]
        for path in dict.fromkeys(places):
            for file in (path.with_name(FORMER), path):
                yield from self._lines_of(file)

    def _lines_of(self, file: Path) -> Iterator[bytes]:
        try:
            with open(os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as opened:  # noqa: PTH123 - flags
                yield from (line for line in opened if line.strip())
        except FileNotFoundError:
            return
        except OSError as error:
            self._note(f"entries of the journal are missing: {faults.sentence(error, file)}")


def _rotated(descriptor: int, path: Path) -> bool:
    """
    Rename a file that is full, unless another process does so; return whether there may be a new one.

    The lock is only tried: a process that was stopped while it had the lock must not stop the others.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    with contextlib.suppress(OSError):
        if os.path.samestat(os.fstat(descriptor), path.lstat()):
            path.rename(path.with_name(FORMER))
        return True
    return False


def _write(descriptor: int, line: bytes) -> None:
    """Append a line in one write. After a line that a full disk has cut off, it begins on a new line."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        line = b"\n" + line
    if os.write(descriptor, line) != len(line):
        raise OSError(28, os.strerror(28))  # ENOSPC: only a part of the line found room


def as_data(one: Entry) -> dict[str, Any]:
    """Return an entry as plain data, with ISO times in UTC."""
    times = {name: iso(value) for name in TIMES if (value := getattr(one, name)) is not None}
    return {"time": None, **{name.name: getattr(one, name.name) for name in fields(Entry)}, **times}


def iso(seconds: float, timespec: str = "milliseconds") -> str:
    """Return a time in ISO 8601, in UTC; ``timespec`` is its precision."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec=timespec)


#: the fields that are times
TIMES = ("time", "created")
_KINDS: Mapping[str, tuple[type, ...]] = {
    "str": (str,), "str | None": (str,), "bool": (bool,), "float | None": (float, int),
}  # fmt: skip
_NAMED = {one.name: _KINDS[str(one.type)] for one in fields(Entry) if one.type in _KINDS}
_REQUIRED = ("time", "action", "minion_id", "result")


def parse(line: bytes) -> Entry | None:
    """Return the entry in a line; None if it is not one, or has a newer format."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or data.get("v") != FORMAT or not all(name in data for name in _REQUIRED):
        return None
    try:
        return Entry(**{one.name: _value(one.name, data[one.name]) for one in fields(Entry) if one.name in data})
    except (ValueError, OverflowError):
        return None


def _value(name: str, value: Any) -> Any:
    """Return the value of a field. Raises ``ValueError`` for a value that hart does not write."""
    if name in TIMES:
        if not isinstance(value, str):
            raise ValueError(name)
        at = datetime.fromisoformat(value)
        if at.tzinfo is None:
            raise ValueError(name)
        return at.timestamp()
    if name == "stages":
        return _mapping(name, value, (float, int))
    if name == "details":
        return _mapping(name, value, (str,))
    if not _is(value, _NAMED[name]):
        raise ValueError(name)
    return value


def _mapping(name: str, value: Any, kinds: tuple[type, ...]) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(_is(one, kinds) for one in value.values()):
        raise ValueError(name)
    return value


def _is(value: Any, kinds: tuple[type, ...]) -> bool:
    return type(value) in kinds and (not isinstance(value, float) or math.isfinite(value))


def _is_chosen(
    one: Entry, since: float | None, until: float | None, minion_id: str | None, role: str | None
) -> bool:  # fmt: skip
    at = one.time or 0.0
    return (
        (since is None or at >= since)
        and (until is None or at < until)
        and minion_id in (None, one.minion_id)
        and role in (None, one.role)
    )


def journal_of(info: MasterInfo, gate: Gate, caller: Caller) -> Journal:
    """
    Return the journal of a master for one call.

    hart chooses the directory of the logs again for each call: while the disk of ``/var/log`` is full, it is the one
    below the cachedir. So entries of other calls can be there.
    """
    others = [Path(info.other_log_dir) / FILE] if info.other_log_dir else []
    by = gate.text(caller.by, TEXT)
    return Journal(Path(info.log_dir) / FILE, gate, others=others, by=by, function=caller.function)
