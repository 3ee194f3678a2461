"""
Small files of facts that only save time: nothing depends on them, so every failure of such a file is ignored.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class HintFile:
    """A JSON file with one object, of which the newest ``kept`` keys stay."""

    def __init__(self, path: Path, kept: int) -> None:
        self._path = path
        self._kept = kept

    def read(self) -> dict[str, Any]:
        """Return the object; empty if there is no usable file."""
        try:
            known = json.loads(self._path.read_text())
        except (OSError, ValueError, RecursionError):
            return {}
        return dict(known) if isinstance(known, Mapping) else {}

    def put(self, key: str, value: Any) -> None:
        """Store ``value`` under ``key``, which becomes the newest key."""
        known = self.read()
        known.pop(key, None)
        known = {**known, key: value}
        new = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            new.write_text(json.dumps(dict(list(known.items())[-self._kept :])))
            new.rename(self._path)
