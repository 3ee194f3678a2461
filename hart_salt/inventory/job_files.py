"""
The files of the jobs that the engine has started on this machine: which of them still run, and how the others ended.

A job keeps its file locked while it works, and writes its outcome at the end. The kernel unlocks the file of a job that
dies. So no event is needed to see the end of a job, and none can pretend it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hart_salt.inventory.flocks import is_held, make_directory, usable

_TOKEN = re.compile("[0-9a-f]{32}")
#: seconds after which the file of an ended job is removed although nobody asked for it
OLD = 86_400.0


@dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    ok: bool
    #: why it failed, in a sentence; empty if it did not
    error: str = ""


def new_token() -> str:
    """Return the name of the file of a new job."""
    return secrets.token_hex(16)


def outcome_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the file of a job says of its end, from the document that the job returns."""
    if "retcode" not in document:
        return {"ok": True}
    said = [document.get("error"), *(document.get("problems") or ())]
    nodes = document.get("nodes")
    said += [
        f"{minion_id}: {entry['error']}"
        for minion_id, entry in (nodes.items() if isinstance(nodes, Mapping) else ())
        if isinstance(entry, Mapping) and entry.get("error")
    ]
    return {"ok": False, "error": next((str(one) for one in said if one), f"exit code {document['retcode']}")}


class JobFiles:
    """The files, below a master's cachedir."""

    def __init__(self, cachedir: str) -> None:
        self._directory = Path(cachedir) / "hart" / "engine" / "jobs"

    @contextmanager
    def held(self, token: object) -> Iterator[dict[str, Any]]:
        """
        Hold the file of a job while it works; what the block puts into the mapping is the outcome.

        Anything but a token of ``new_token`` has no file: any user of the runner can pass any text.
        """
        outcome: dict[str, Any] = {}
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            yield outcome
            return
        make_directory(self._directory)
        path = self._directory / token
        new = path.with_name(f".{token}.new")
        with usable(path), new.open("w") as file:
            # Locked before it gets its name: nobody ever sees it unlocked while this process lives.
            fcntl.flock(file, fcntl.LOCK_EX)
            new.rename(path)
            yield outcome
            json.dump(outcome, file)

    def is_running(self, token: str) -> bool:
        """Return whether the job works now."""
        return is_held(self._directory / token)

    def has_begun(self, token: str) -> bool:
        """Return whether the job has ever begun."""
        return (self._directory / token).exists()

    def outcome(self, token: str) -> Outcome:
        """Return how a job ended that has begun and does not run."""
        try:
            said = json.loads((self._directory / token).read_text())
            return Outcome(said["ok"] is True, str(said.get("error", "")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return Outcome(False, "the job was killed before it ended")

    def forget(self, token: str) -> None:
        """Remove the file of a job that has ended, and those that nobody asked for within a day."""
        self._remove(self._directory / token)
        before = time.time() - OLD
        with contextlib.suppress(OSError):
            for path in self._directory.iterdir():
                if path.stat().st_mtime < before and not is_held(path):
                    self._remove(path)

    def _remove(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            os.unlink(path)  # noqa: PTH108 - of a path that may be gone
