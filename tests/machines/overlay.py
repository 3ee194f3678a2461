"""Change the files of a machine before it boots: its own directory above the layers of its image."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

#: how an overlay marks a file of a lower layer as removed: a character device with the numbers 0 and 0
WHITEOUT = stat.S_IFCHR


class Overlay:
    """
    The root directory of a machine that does not run yet.

    Nothing is mounted: reading finds the top layer that has a file, and writing goes to the machine's own layer. Paths
    are absolute, and must not go through a symbolic link: ``/usr/lib`` and not ``/lib``.
    """

    def __init__(self, upper: Path, lower: Sequence[Path]) -> None:
        self._upper = upper
        self._layers = (upper, *lower)

    def read(self, path: str) -> str:
        """Return a file's text. Raises ``FileNotFoundError`` if no layer has it."""
        return self._found(path).read_text()

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file."""
        file = self._place(path)
        file.write_text(text)
        file.chmod(mode)

    def replace(self, path: str, old: str, new: str) -> None:
        """Replace a text in a file. Raises ``ValueError`` if the file does not have it."""
        found, text = self._found(path), self.read(path)
        if old not in text:
            raise ValueError(f"{path} has no {old!r}")
        self.write(path, text.replace(old, new), found.stat().st_mode & 0o7777)

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link."""
        self._place(path).symlink_to(target)

    def remove(self, path: str) -> None:
        """Remove a file."""
        os.mknod(self._place(path), WHITEOUT, os.makedev(0, 0))

    def _found(self, path: str) -> Path:
        for layer in self._layers:
            file = layer / path.lstrip("/")
            if os.path.lexists(file):
                return file
        raise FileNotFoundError(path)

    def _place(self, path: str) -> Path:
        """Return where to put a file, without a file there; its directories are as in the layers below."""
        file = self._upper / path.lstrip("/")
        for directory in reversed(file.relative_to(self._upper).parents[:-1]):
            self._make_directory(directory)
        file.unlink(missing_ok=True)
        return file

    def _make_directory(self, directory: Path) -> None:
        if (self._upper / directory).exists():
            return
        (self._upper / directory).mkdir(mode=0o755)
        below = next((layer / directory for layer in self._layers[1:] if (layer / directory).is_dir()), None)
        if below is None:
            (self._upper / directory).chmod(0o755)
        else:  # the overlay shows the mode and the owner of the upper directory
            shutil.copystat(below, self._upper / directory)
            os.chown(self._upper / directory, below.stat().st_uid, below.stat().st_gid)
