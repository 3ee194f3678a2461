"""Images made of machines: the directory of each machine's own files, above the layers of its image."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

from tests.machines import cache


class Snapshots:
    """The images of one host's session. A directory remains while a machine or a younger image has it as a layer."""

    def __init__(self) -> None:
        #: layers by name, top layer first
        self._layers: dict[str, tuple[Path, ...]] = {}
        #: directories of forgotten images that are still in use
        self._forgotten: list[Path] = []
        self._lock = threading.Lock()

    def __contains__(self, name: object) -> bool:
        return name in self._layers

    def layers(self, name: str) -> list[Path]:
        """Return the directories that make up an image, top layer first. Raises ``ValueError`` without that image."""
        try:
            return list(self._layers[name])
        except KeyError:
            raise ValueError(f"no image {name}") from None

    def add(self, name: str, upper: Path, kept: Path, below: Iterable[Path]) -> None:
        """Copy the files of a machine that is off to the directory ``kept``, above the layers of its image."""
        # cp copies the whiteouts with which an overlay marks removed files; a copy in Python does not.
        cache.run("cp", "--archive", upper, kept)
        with self._lock:
            self._layers[name] = (kept, *below)

    def forget(self, name: str) -> None:
        """Remove an image's name. Idempotent."""
        with self._lock:
            layers = self._layers.pop(name, None)
            if layers:
                self._forgotten.append(layers[0])

    def unused(self, used: Iterable[Path]) -> list[Path]:
        """Return the directories of forgotten images that no machine, whose layers are ``used``, and no image has."""
        with self._lock:
            needed = {*used, *(layer for layers in self._layers.values() for layer in layers)}
            found = [one for one in self._forgotten if one not in needed]
            self._forgotten = [one for one in self._forgotten if one in needed]
        return found
