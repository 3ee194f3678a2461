"""
What the engine remembers between its looks, in the record store: one document for each mark of a master.

Masters with the same mark have the same nodes and share the document. It holds no secret. If it is lost, nothing is
lost but the memory of what was reported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

from hart_salt.inventory.records import FLEETS

#: the format of the document; it increases when an older hart must not read it
FORMAT = 1


@dataclass(frozen=True)
class FleetNote:
    """What the engine knows of a fleet. Times are seconds since the epoch."""

    #: ``steady``, ``changing``, ``blocked`` or ``held``, and why
    state: str
    why: str = ""
    #: since when it has this state
    since: float = 0.0
    #: how many actions the last plan had for now, and for later
    actions: int = 0
    later: int = 0
    #: the role of its nodes; jobs for fleets of the same role cannot run at the same time
    role: str = ""
    #: the job that works on it, or the last one: the name of its file, its id, and when it was begun
    token: str = ""
    jid: str = ""
    begun: float = 0.0
    #: whether that job may still run
    runs: bool = False
    #: jobs that failed or changed nothing, in a row; when the next one may begin, and why the last one failed
    failures: int = 0
    not_before: float = 0.0
    error: str = ""
    #: what the last job was begun for, to recognize one that changed nothing
    work: str = ""


@dataclass(frozen=True)
class EngineState:
    """The document. Times are seconds since the epoch."""

    #: id of the master that leads, and its machine
    leader: str = ""
    machine: str = ""
    #: grows with each look that succeeded
    looks: int = 0
    #: seconds between two looks of the leader
    interval: float = 60.0
    #: when the last look that succeeded ended, and how long it took
    looked: float = 0.0
    took: float = 0.0
    #: why the last look failed, and when; empty if it did not
    error: str = ""
    failed: float = 0.0
    fleets: dict[str, FleetNote] = field(default_factory=dict)
    #: the nodes whose end was announced: minion id to the end that was announced
    ending: dict[str, float] = field(default_factory=dict)
    #: events that were not fired yet: tag and data
    unsent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


class Notes(Protocol):
    """Where documents are kept."""

    def recall(self, bank: str, key: str) -> Mapping[str, Any]:
        """Return a document; empty if there is none."""

    def remember(self, bank: str, key: str, data: Mapping[str, Any]) -> None:
        """Write a document."""


class EngineStore:
    """The document of the masters with one mark."""

    def __init__(self, notes: Notes, owner: str) -> None:
        self._notes = notes
        self._key = f"_engine-{owner}"

    def read(self) -> EngineState | None:
        """Return the document; None if there is none, or none that can be used."""
        return state_of(self._notes.recall(FLEETS, self._key))

    def write(self, state: EngineState) -> None:
        """Write the document."""
        self._notes.remember(FLEETS, self._key, {**asdict(state), "format": FORMAT})


_FORM = TypeAdapter(EngineState)


def state_of(data: Any) -> EngineState | None:
    """Return the stored document; None for anything else."""
    if not isinstance(data, Mapping) or data.get("format") != FORMAT:
        return None
    try:
        return _FORM.validate_json(json.dumps(dict(data), allow_nan=False))
    except (ValidationError, TypeError, ValueError):
        return None
