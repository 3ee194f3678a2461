"""
A provider's list of sizes, kept on disk for a day, because it hardly changes and each call of hart needs it.

It only saves calls: only what is in it counts, so a size that is not in it is looked up at the provider, and every
failure of its file is ignored.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

KEPT_FOR = 86_400.0  #: seconds


class KeptSizes:
    """The sizes of one provider, as its API listed them, below the master's cachedir."""

    def __init__(self, cachedir: str, provider: str, server: str, clock: Callable[[], float] = time.time) -> None:
        """
        Store the arguments.

        server
            the address of the API: the list of another server does not count
        """
        self._file = Path(cachedir) / "hart" / "sizes" / f"{provider}.json"
        self._server = server
        self._clock = clock

    def get(self) -> list[Any]:
        """Return the list; empty if there is none that counts."""
        try:
            kept = json.loads(self._file.read_text())
            age = self._clock() - float(kept["time"])
            sizes = kept["sizes"]
            return sizes if kept["server"] == self._server and 0 <= age < KEPT_FOR and isinstance(sizes, list) else []
        except (OSError, ValueError, RecursionError, LookupError, TypeError):
            return []

    def put(self, sizes: Sequence[Mapping[str, Any]]) -> None:
        """Keep a list that the API has just returned."""
        new = self._file.with_suffix(".new")
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            new.write_text(json.dumps({"server": self._server, "time": self._clock(), "sizes": sizes}))
            new.rename(self._file)

    def forget(self) -> None:
        """Remove the list."""
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)
