"""
The HTML file of a report: where it may be written, and its writing.

A file that no report of hart is stays as it is, because a typing error must not destroy it.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from hart_salt.base import faults
from hart_salt.base.errors import EnvironmentFault, Refused

#: what the beginning of every report has
MARK = '<meta name="generator" content="hart-salt">'
BEGINNING = 4096  #: characters of a file in which its mark is looked for
NAME = 40  #: characters of a report's name in that of the file while it is written
#: other users must not read it: it names every node of the fleet
MODE = 0o640


def target(file: str, *, relative: bool, force: bool) -> Path:
    """
    Return the path of a report that can be written there.

    ``relative`` says whether the call has a working directory that its user knows. ``force`` also replaces a file that
    is not a report of hart.

    Raises ``Refused`` for a path where no report can be.
    """
    path = _absolute(file, relative)
    try:
        found = path.lstat()
    except FileNotFoundError:
        _check_directory(path)
        return path
    except (OSError, ValueError) as error:
        raise _fault(error, path) from error
    if not stat.S_ISREG(found.st_mode):
        raise Refused(f"file={path} is not a regular file; choose another name")
    if not force and found.st_size and not _is_report(path):
        raise Refused(
            f"file={path} exists and is not a report of hart; choose another name, or replace it with force=True"
        )
    _check_directory(path)
    return path


def _absolute(file: str, relative: bool) -> Path:
    try:
        path = Path(file).expanduser()
    except RuntimeError:
        raise Refused(f"file={file}: there is no such user") from None
    if not relative and not path.is_absolute():
        raise Refused(f"file={file} must be an absolute path if salt-run does not call hart directly")
    if file.endswith("/") or not path.name:
        raise Refused(f"file={file} is a directory; add the name of the file")
    return Path.cwd() / path


def _check_directory(path: Path) -> None:
    directory = path.parent
    if not directory.is_dir():
        raise Refused(f"file={path}: the directory {directory} does not exist; create it first")
    if not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        raise Refused(f"file={path}: the user {faults.user()} cannot write to the directory {directory}")


def _is_report(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return MARK in file.read(BEGINNING)
    except OSError as error:
        raise _fault(error, path) from error


def write(path: Path, html: str) -> None:
    """
    Write a report; whoever opens the file finds the former one or the whole new one.

    A new file has the mode 0640; one that is replaced keeps its mode and its group.

    Raises ``EnvironmentFault`` if it cannot be written.
    """
    new = None
    try:
        descriptor, new = tempfile.mkstemp(prefix=f".{path.name[:NAME]}.", dir=path.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(html)
            _keep_rights(file.fileno(), path)
        Path(new).replace(path)
    except OSError as error:
        if new is not None:
            with contextlib.suppress(OSError):
                Path(new).unlink()
        raise _fault(error, path) from error


def _keep_rights(descriptor: int, path: Path) -> None:
    try:
        former = path.lstat()
    except FileNotFoundError:
        os.fchmod(descriptor, MODE)
        return
    with contextlib.suppress(PermissionError):
        os.fchown(descriptor, -1, former.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(former.st_mode))


def _fault(error: Exception, path: Path) -> EnvironmentFault:
    if isinstance(error, OSError):
        return EnvironmentFault(faults.sentence(error, path))
    return EnvironmentFault(f"file={path}: {error}")
