"""
Where a node's stages go: its log file, the master's event bus, and the terminal of whoever waits.

Nothing is ever written to standard output: that is the result's. Everything passes the redaction.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol, TextIO

from hart_salt.errors import Refused
from hart_salt.model import Instance, Node
from hart_salt.secrets import Secrets

#: stages that are told on the event bus as ``hart/<minion_id>/<stage>``; the others show in logs and times
EVENT_STAGES = frozenset(
    {"launching", "running", "bootstrapping", "enrolled", "ready", "failed", "destroying", "destroyed"}
)
#: stages after which nothing more happens to a node
FINAL_STAGES = frozenset({"done", "failed", "destroyed"})
#: the end of the last line of a log that may be removed when it is old enough
SUCCESS = "done"
TAIL_LINES = 20


class View(Protocol):
    """What shows the progress to a person."""

    def update(self, minion_id: str, stage: str, seconds: float, line: str) -> None:
        """A node entered a stage or printed a line; ``seconds`` since its start."""

    def close(self) -> None:
        """Nothing more will come."""


@dataclass
class Track:
    """One node's progress."""

    started: float
    log: TextIO
    stage: str = ""
    stage_began: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    #: the end of the bootstrap's output, for the error on the terminal
    tail: list[str] = field(default_factory=list)


class Progress:
    """Takes the stages of all nodes of one call and hands them on. Used from one thread."""

    def __init__(
        self,
        log_dir: str,
        secrets: Secrets,
        fire: Callable[[str, dict[str, Any]], None],
        view: View,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log_dir = Path(log_dir)
        self._secrets = secrets
        self._fire = fire
        self._view = view
        self._clock = clock
        self._tracks: dict[str, Track] = {}

    def begin(self, minion_id: str) -> None:
        """
        Open the node's log, before anything is done that it would have to tell of.

        Raises ``Refused`` if it cannot be written.
        """
        try:
            self._track(minion_id)
        except OSError as error:
            raise Refused(f"{self.log_path(minion_id)} cannot be written: {error.strerror}") from error

    def log_path(self, minion_id: str) -> str:
        """The path of a node's log, whether or not it exists."""
        return str(self._log_dir / f"{minion_id}.log")

    def stage(self, minion_id: str, stage: str, facts: Mapping[str, Any]) -> None:
        """The node enters ``stage``; ``facts`` go with the event."""
        track = self._track(minion_id)
        now = self._clock()
        if track.stage:
            spent = track.seconds.get(track.stage, 0.0) + now - track.stage_began
            track.seconds[track.stage] = round(spent, 3)
        track.stage, track.stage_began = stage, now
        self._write(track, f"== {stage} at {now - track.started:.2f} s")
        self._view.update(minion_id, stage, now - track.started, "")
        if stage in EVENT_STAGES:
            data = {**facts, "minion_id": minion_id, "seconds": dict(track.seconds)}
            self._fire(f"hart/{minion_id}/{stage}", self._secrets.clean(data))
        if stage in FINAL_STAGES:
            track.log.close()

    def line(self, minion_id: str, text: str) -> None:
        """
        A line of what happens on the node, for its log and for the terminal, or several.

        Control characters are made visible: what a node prints must not steer the terminal of who looks on.
        """
        track = self._track(minion_id)
        for line in self._secrets.redact(text).split("\n"):
            plain = "".join(char if char.isprintable() or char == "\t" else "\ufffd" for char in line)
            track.tail = [*track.tail, plain][-TAIL_LINES:]
            self._write(track, plain)
            if plain:
                self._view.update(minion_id, track.stage, self._clock() - track.started, plain)

    def seconds(self, minion_id: str) -> dict[str, float]:
        """The seconds that the node spent in each stage it has left."""
        return dict(self._track(minion_id).seconds)

    def tail(self, minion_id: str) -> list[str]:
        """The last lines of the node's output."""
        return list(self._track(minion_id).tail)

    def close(self) -> None:
        """End the view and close what logs are open."""
        self._view.close()
        for track in self._tracks.values():
            track.log.close()

    def _track(self, minion_id: str) -> Track:
        if minion_id not in self._tracks:
            self._log_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
            log = Path(self.log_path(minion_id)).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115 - close() does
            Path(self.log_path(minion_id)).chmod(0o640)
            self._tracks[minion_id] = Track(self._clock(), log)
        return self._tracks[minion_id]

    def _write(self, track: Track, text: str) -> None:
        stamp = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        # A disk that is full, or a log that is closed, is no reason to fail a node or to break its undo.
        with contextlib.suppress(OSError, ValueError):
            track.log.write(f"{stamp} {self._secrets.redact(text)}\n")


def facts_of(node: Node, instance: Instance | None) -> dict[str, Any]:
    """What an event says about a node, beside its id and the seconds."""
    return {
        "role": node.role,
        "provider": node.provider,
        "region": node.region,
        "zone": node.zone,
        "size": node.size,
        "public_ip": instance.public_ip if instance else None,
        "private_ip": instance.private_ip if instance else None,
    }


def remove_old_logs(log_dir: str, keep_days: float, now: float) -> None:
    """Remove logs of nodes that succeeded, once they are older than ``keep_days``; failures' logs stay."""
    for path in Path(log_dir).glob("*.log"):
        if now - path.stat().st_mtime > keep_days * 86400 and _ended_well(path):
            path.unlink(missing_ok=True)


def _ended_well(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 200))
        lines = file.read().decode(errors="replace").splitlines()
    return bool(lines) and f"== {SUCCESS} at " in lines[-1]
