"""
What the engine of this machine says of itself, in a file below the cachedir.

The file also has what the record store cannot have: that the store, or the configuration, cannot be read. A second file
is locked for as long as the engine runs, so that nobody needs to believe a process id.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from hart_salt.base.errors import EnvironmentFault
from hart_salt.inventory.flocks import held, is_held, make_directory


class EngineFiles:
    """The files of one master's engine."""

    def __init__(self, cachedir: str) -> None:
        self._directory = Path(cachedir) / "hart" / "engine"

    def alone(self) -> AbstractContextManager[bool]:
        """Hold the lock of the engine's process; yield whether it is held."""
        make_directory(self._directory)
        return held(self._directory / "process", wait=False)

    def runs(self) -> bool:
        """Return whether an engine of this master runs."""
        return is_held(self._directory / "process")

    def write(self, status: Mapping[str, Any]) -> None:
        """Write what the engine says of itself. A disk that is full changes nothing about its work."""
        path = self._directory / "status.json"
        new = path.with_name(f".{path.name}.new")
        with contextlib.suppress(OSError, EnvironmentFault):
            make_directory(self._directory)
            new.write_text(json.dumps(status))
            os.replace(new, path)  # noqa: PTH105

    def read(self) -> dict[str, Any]:
        """Return what the engine said last; empty if it never ran."""
        try:
            status = json.loads((self._directory / "status.json").read_text())
        except (OSError, ValueError, RecursionError):
            return {}
        return status if isinstance(status, dict) else {}
