"""
Images of local instances on disk: a directory each, with a copy of the instance's files.

An image is filled under a temporary name with the batch, and then renamed: a visible one has all its files. It is
removed under another temporary name. After a crash, ``unfinished`` reports what is left under such names.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hart_salt.base.errors import InvalidRequest
from hart_salt.drivers.local.directory import CLAIM, ENABLED, ENDS, GONE, NEW, PROTECTED, read_claim, remove

#: the directory of images in that of the instances; its name is none of an instance
IMAGES = ".images"
#: the files of the instance, in the directory of an image
FILES = "files"
#: in the claim of an image that is being filled: its name
NAME = "name"
#: the file that marks a complete image
COMPLETE = "complete"
#: what is not of an image: what the driver and the machine process write, and the startup script
LEFT_OUT = (CLAIM, PROTECTED, ENDS, f"{ENDS}.new", ENABLED, "user-data", "run")


@dataclass(frozen=True)
class Saved:
    """An image on disk."""

    path: Path
    #: as ``save`` got it; empty if a crash of the machine damaged it
    claim: Mapping[str, str | None]
    marked: bool

    @property
    def is_finished(self) -> bool:
        """Whether instances can be made of it: it has the mark, and its claim can be read."""
        return self.marked and bool(self.claim)


def save(base: Path, name: str, claim: Mapping[str, str | None], instance: Path) -> None:
    """
    Copy the files of an instance that does not run, as the image ``name`` with a claim.

    ``base`` is the directory of the instances; ``created`` and ``size`` (in bytes) are added to the claim.

    Raises ``InvalidRequest`` if there is an image of that name.
    """
    (base / IMAGES).mkdir(mode=0o700, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f"{NEW}{claim.get('batch') or ''}.", dir=base / IMAGES))
    try:
        # So that its owner and its name are known, whatever happens.
        (new / CLAIM).write_text(json.dumps({**claim, NAME: name}))
        copy_files(instance, new / FILES)
        facts = {"created": repr(time.time()), "size": str(_size(new / FILES))}
        (new / CLAIM).write_text(json.dumps({**claim, **facts}))
        _rename_to_free(new, base, name)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _rename_to_free(new: Path, base: Path, name: str) -> None:
    path = _place(base, name)
    if path is None:
        raise InvalidRequest(f"{name} cannot be the name of a local image")
    try:
        new.rename(path)  # fails onto a directory that is not empty
    except OSError as error:
        raise InvalidRequest(f"there is already a local image {name}") from error


def copy_files(source: Path, target: Path) -> None:
    """Copy a tree into a directory, which need not exist, without what ``LEFT_OUT`` names and without sockets."""

    def left_out(directory: str, names: list[str]) -> set[str]:
        place = Path(directory)
        return {name for name in names if _is_left_out((place / name).relative_to(source), place / name)}

    shutil.copytree(source, target, symlinks=True, ignore=left_out, dirs_exist_ok=True)


def _is_left_out(name: Path, path: Path) -> bool:
    return name.as_posix() in LEFT_OUT or not (path.is_symlink() or path.is_file() or path.is_dir())


def _size(directory: Path) -> int:
    return sum(path.lstat().st_size for path in directory.rglob("*"))


def listing(base: Path) -> Iterator[Saved]:
    """Return the images in ``base``, in the order of their names."""
    for path in sorted(_names(base)):
        claim = None if path.name.startswith(".") else read_claim(path)
        if claim is not None:
            yield Saved(path, claim, os.path.lexists(path / COMPLETE))


def being_filled(base: Path) -> Iterator[Saved]:
    """Return the images whose files are not all there, in the order of their names: a crash leaves them."""
    for path, _ in sorted(unfinished(base)):
        claim = read_claim(path) if path.name.startswith(NEW) else None
        if claim and claim.get(NAME):
            yield Saved(path, claim, False)


def find(base: Path, name: Any) -> Saved | None:
    """Return an image by its name; None if there is none, or if it is being removed."""
    path = _place(base, name)
    claim = read_claim(path) if path else None
    return None if path is None or claim is None else Saved(path, claim, os.path.lexists(path / COMPLETE))


def finish(image: Saved) -> None:
    """Mark an image as complete."""
    (image.path / COMPLETE).touch(mode=0o600)


def delete(base: Path, name: str) -> None:
    """Delete an image, whatever state it is in, also one that is being filled. An absent image is a success."""
    for half in being_filled(base):
        if half.claim.get(NAME) == name:
            remove(half.path)
    path = _place(base, name)
    if path is None:
        return
    gone = path.with_name(f"{GONE}{path.name}")
    with contextlib.suppress(FileNotFoundError):  # another call, or an earlier one that was interrupted, was first
        shutil.rmtree(gone, ignore_errors=True)
        path.rename(gone)
        shutil.rmtree(gone)


def remove_unfinished(base: Path, name: str) -> None:
    """Remove what ``unfinished`` reported, or an image without the mark of a complete one. Idempotent."""
    if name.startswith((NEW, GONE)) and "/" not in name:
        remove(base / IMAGES / name)
        return
    image = find(base, name)
    if image is not None and not image.is_finished:
        delete(base, name)


def number(text: str | None) -> float | None:
    """Return a number of a claim; None for any other text."""
    try:
        return float(text or "")
    except ValueError:
        return None


def unfinished(base: Path) -> Iterator[tuple[Path, str]]:
    """Return the directories that a crash left half made or half removed, each with its batch, or empty if unknown."""
    for path in _names(base):
        if path.name.startswith(NEW):
            yield path, path.name.removeprefix(NEW).rpartition(".")[0]
        elif path.name.startswith(GONE):
            yield path, (read_claim(path) or {}).get("batch") or ""


def _names(base: Path) -> list[Path]:
    try:
        return list((base / IMAGES).iterdir())
    except FileNotFoundError:
        return []


def _place(base: Path, name: Any) -> Path | None:
    """Return the directory of an image, which need not exist; None for a value that no image has as its name."""
    if not isinstance(name, str) or not name or name.startswith(".") or "/" in name or "\0" in name:
        return None
    return base / IMAGES / name
