"""
Report the stages of nodes to their log files, the master's event bus and the operator's terminal.

Nothing is written to standard output, which is for the result. Everything is redacted by the gate.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

from hart_salt.base import faults
from hart_salt.base.errors import EnvironmentFault, NodeFailed
from hart_salt.base.gate import Gate
from hart_salt.model import Instance, Node
from hart_salt.node.remaining import FormerTimes

#: stages that are sent to the event bus as ``hart/<minion_id>/<stage>``; the others are only in logs and ``seconds``
EVENT_STAGES = frozenset(
    {
        "launching", "running", "bootstrapping", "enrolled", "ready", "baked", "failed", "destroying", "destroyed",
        "started", "stopped", "rebooted", "resized",
    }
)  # fmt: skip
#: stages that are the last of a node
FINAL_STAGES = frozenset({"done", "failed", "destroyed", "started", "stopped", "rebooted", "resized", "tagged"})
TAIL_LINES = 20
#: other users must not read a log
LOG_MODE = 0o640
#: the most bytes in a node's log
LOG_LIMIT = 10 * 1024 * 1024
#: the most characters of a command's output in an error
EXCERPT = 500


@dataclass(frozen=True)
class Expected:
    """The nodes that a call works on, which may begin one after the other."""

    minion_ids: Collection[str] = ()
    #: the word for nodes that have ended well
    goal: str = "done"
    #: how long such work took before; None if nothing is remembered of it
    former: FormerTimes | None = None


class View(Protocol):
    """Shows the progress to a person."""

    def expect(self, expected: Expected) -> None:
        """Learn which nodes will come."""

    def update(self, minion_id: str, stage: str, seconds: float, line: str, reason: str = "") -> None:
        """
        Show that a node entered a stage or printed a line, ``seconds`` after its start.

        ``reason`` says what failed, at the last stage.
        """

    def close(self) -> None:
        """End the view."""


@dataclass
class Track:
    """The progress of one node."""

    started: float
    #: None if it could not be opened, and after the last stage
    log: Path | None
    stage: str = ""
    stage_began: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    #: the last lines of the output, for the error on the terminal
    tail: list[str] = field(default_factory=list)
    #: bytes in the log
    written: int = 0


class Progress:
    """Reports the stages of all nodes of one call; used from one thread."""

    def __init__(
        self,
        log_dir: str,
        gate: Gate,
        fire: Callable[[str, dict[str, Any]], None],
        view: View,
        clock: Callable[[], float] = time.monotonic,
        *,
        by: str = "",
        function: str = "",
    ) -> None:
        """
        Report to these; nothing is opened.

        ``by`` is who called hart, and ``function`` the function of hart: each log names both, and each event ``by``.
        """
        self._log_dir = Path(log_dir)
        self.gate = gate
        self._fire = fire
        self._view = view
        self._clock = clock
        self._by = by
        self._called = f"hart: {function or 'hart'} was called by {by}" if by else ""
        self._tracks: dict[str, Track] = {}

    def expect(self, expected: Expected) -> None:
        """Show which nodes will come."""
        self._view.expect(expected)

    def begin(self, minion_id: str) -> None:
        """
        Create the node's log, before anything happens that must be logged.

        Raises ``EnvironmentFault`` if the log cannot be written.
        """
        try:
            self._add(minion_id, self._create(minion_id))
        except OSError as error:
            raise EnvironmentFault(faults.sentence(error, self.log_path(minion_id))) from error

    def log_path(self, minion_id: str) -> str:
        """Return the path of a node's log, whether or not it exists."""
        return str(self._log_dir / f"{minion_id}.log")

    def stage(self, minion_id: str, stage: str, facts: Mapping[str, Any]) -> None:
        """Report that the node enters ``stage``; ``facts`` are part of the event."""
        track = self._track(minion_id)
        now = self._clock()
        if track.stage:
            spent = track.seconds.get(track.stage, 0.0) + now - track.stage_began
            track.seconds[track.stage] = round(spent, 3)
        track.stage, track.stage_began = stage, now
        self._write(track, [f"== {stage} at {now - track.started:.2f} s"])
        reason = self.gate.text(str(facts["error"])) if facts.get("error") else ""
        self._view.update(minion_id, stage, now - track.started, "", reason)
        if stage in EVENT_STAGES:
            self.event(minion_id, stage, facts)
        if stage in FINAL_STAGES:
            track.log = None

    def event(self, minion_id: str, stage: str, facts: Mapping[str, Any]) -> None:
        """Fire the event of a stage, without entering it: what the node was made for may go on without the node."""
        data = {**facts, "minion_id": minion_id, "seconds": self.seconds(minion_id), "by": self._by or None}
        self._fire(f"hart/{minion_id}/{stage}", self.gate.data(data))

    def line(self, minion_id: str, text: str) -> None:
        """
        Write one or more lines about the node to its log and to the terminal.

        Control characters are made visible: the output of a node must not control the operator's terminal.
        """
        self._lines(self._track(minion_id), minion_id, text)

    def note(self, minion_id: str, text: str) -> None:
        """Write a line about the node to its log only."""
        self._write(self._track(minion_id), [self.gate.text(text)])

    def output(self, minion_id: str, lines: Sequence[str]) -> None:
        """
        Write lines that the node printed to its log and to the terminal.

        The lines of one call are redacted and written together, because the cost of each call would add up.

        Raises ``NodeFailed`` if the log is larger than 10 MiB by then, timestamps included.
        """
        track = self._track(minion_id)
        if lines:
            self._lines(track, minion_id, "\n".join(lines))
        if track.written > LOG_LIMIT:
            raise NodeFailed(f"the node printed too much: its log is larger than {LOG_LIMIT >> 20} MiB")

    def excerpt(self, text: str) -> str:
        """Return the beginning and the end of a command's output, redacted, for an error."""
        return self.gate.text(text, EXCERPT)

    def _lines(self, track: Track, minion_id: str, text: str) -> None:
        # Only a line of a stage begins with "== ": what a node prints cannot look like one.
        lines = [f" {line}" if line.startswith("== ") else line for line in self.gate.text(text).split("\n")]
        track.tail = [*track.tail, *lines][-TAIL_LINES:]
        self._write(track, lines)
        seconds = self._clock() - track.started
        for line in lines:
            if line:
                self._view.update(minion_id, track.stage, seconds, line)

    def seconds(self, minion_id: str) -> dict[str, float]:
        """Return the seconds that the node spent in each stage that it has left."""
        return dict(self._track(minion_id).seconds)

    def tail(self, minion_id: str) -> list[str]:
        """Return the last lines of the node's output."""
        return list(self._track(minion_id).tail)

    def close(self) -> None:
        """End the view."""
        self._view.close()

    def _track(self, minion_id: str) -> Track:
        """Return the node's track; without ``begin``, it is made here, and has no log if that cannot be opened."""
        if minion_id not in self._tracks:
            log = None
            with contextlib.suppress(OSError):
                log = self._create(minion_id)
            self._add(minion_id, log)
        return self._tracks[minion_id]

    def _add(self, minion_id: str, log: Path | None) -> None:
        self._tracks[minion_id] = Track(self._clock(), log)
        if self._called:
            self._write(self._tracks[minion_id], [self.gate.text(self._called)])

    def _create(self, minion_id: str) -> Path:
        path = Path(self.log_path(minion_id))
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        _append(path, b"")
        path.chmod(LOG_MODE)
        return path

    def _write(self, track: Track, lines: Sequence[str]) -> None:
        stamp = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        text = "".join(f"{stamp} {line}\n" for line in lines).encode()
        track.written += len(text)
        # A full disk must not fail a node or stop its undo.
        with contextlib.suppress(OSError):
            if track.log is not None:
                _append(track.log, text)


def _append(path: Path, text: bytes) -> None:
    """Add text to a log. It is opened for each text, because a thousand nodes would keep a thousand files open."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, LOG_MODE)
    try:
        if text:  # a full disk refuses even an empty one
            os.write(descriptor, text)
    finally:
        os.close(descriptor)


def facts_of(node: Node, instance: Instance | None) -> dict[str, Any]:
    """Return the facts about a node that an event holds, besides the id and the seconds."""
    return {
        "role": node.role,
        **vars(node.place),
        "public_ip": instance.public_ip if instance else None,
        "private_ip": instance.private_ip if instance else None,
    }
