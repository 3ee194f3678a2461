"""
Faults of this machine in words: from an exception to one sentence with the path, the user, and what to do.

This is the only place that decides this. An exception that is no fault of the environment is a defect of hart.
"""

from __future__ import annotations

import errno
import os
import pwd
import resource
import stat
from pathlib import Path

from hart_salt.base.errors import EnvironmentFault, HartError

#: the module of Salt's own exceptions, which are about the master, its sockets and its stores
SALT_EXCEPTIONS = "salt.exceptions"
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})
DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})
NETWORK = frozenset({
    errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ETIMEDOUT,
    errno.EPIPE, errno.ENETDOWN, errno.ENOTCONN,
})  # fmt: skip


def user() -> str:
    """Return the user that this process runs as: its name, or ``uid 1234`` if the system has no name for it."""
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def reason(error: BaseException) -> str:
    """Return the text for an error that ended the work on one node: a fault as a sentence, or a defect by its name."""
    if isinstance(error, HartError):
        return str(error)
    fault = as_fault(error)
    return f"a defect in hart: {error!r}" if fault is None else str(fault)


def as_fault(error: BaseException, path: str | os.PathLike[str] | None = None) -> EnvironmentFault | None:
    """
    Return the environment fault behind an exception; None if there is none.

    ``path`` is what was worked on (default: the path in the exception).
    """
    salts = any(cls.__module__ == SALT_EXCEPTIONS for cls in type(error).__mro__)
    found = os_error_in(error) if salts or isinstance(error, OSError) else None
    if found is not None:
        return EnvironmentFault(sentence(found, path))
    if salts:
        return EnvironmentFault(
            f"Salt reports: {_text(error)}; check that salt-master runs, and that the user {user()} may use its "
            "sockets, its keys and its cachedir"
        )
    return None


def os_error_in(error: BaseException) -> OSError | None:
    """Return the operating system's error that an exception is or was caused by; None if there is none."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        if isinstance(one, OSError) and one.errno is not None:
            return one
        seen.add(id(one))
        one = one.__cause__ or one.__context__
    return None


def sentence(error: OSError, path: str | os.PathLike[str] | None = None) -> str:
    """
    Return the operating system's error with the path, the user that hart runs as, and what to do.

    ``path`` is what was worked on (default: the path in the error).
    """
    named = path if path is not None else error.filename
    where = os.fspath(named) if isinstance(named, str | os.PathLike) else ""
    said = error.strerror or os.strerror(error.errno or 0)
    if error.errno in NETWORK and not where:
        return f"a network connection of this machine failed ({said}); repair the network, and call again"
    begin = f"{where}: {said}" if where else said
    return f"{begin}; hart runs as the user {user()}: {_cure(error.errno, Path(where) if where else None)}"


def _cure(number: int | None, path: Path | None) -> str:
    if number in FULL:
        return f"free space on the file system{f' of {path}' if path else ''}, and call again"
    if number in DESCRIPTORS:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return f"no more than {soft} files can be open: raise the limit (ulimit -n), or use fewer nodes at once"
    if number == errno.EROFS:
        return f"the file system{f' of {path}' if path else ''} is read-only; mount it for writing"
    if number in FORBIDDEN:
        return _permission_cure(path)
    if number in (errno.ENOTDIR, errno.EEXIST):
        return f"move away {_no_directory(path)}, which is not a directory" if path else "move away what is in the way"
    if number == errno.ENOENT:
        return f"create {path}" if path else "create what is missing"
    if number == errno.EISDIR:
        return f"move away the directory at {path}"
    return "check the system's log"


def _permission_cure(path: Path | None) -> str:
    """
    Return the remedy: for the first directory on the path that this user cannot enter, or else for the path itself.
    """
    if path is None:
        return "give this user the permission"
    for parent in reversed(path.absolute().parents):
        if mode_of(parent) and not os.access(parent, os.X_OK, effective_ids=True):
            return f"{parent} cannot be entered by that user; use another path, or give {user()} access to that one"
    while not mode_of(path) and path != path.parent:
        path = path.parent
    return f"give {path} to that user, with chown -R {user()} {path}"


def _no_directory(path: Path | None) -> Path | None:
    """Return the part of a path that exists and is not a directory."""
    for part in reversed([path, *path.parents] if path else []):
        if mode_of(part) and not stat.S_ISDIR(mode_of(part)):
            return part
    return path


def mode_of(path: Path) -> int:
    """Return the mode of what is at a path; 0 if this user sees nothing there."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _text(error: BaseException) -> str:
    """Return the first line of an exception's text, or else its name."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def unreadable(path: str | os.PathLike[str]) -> str | None:
    """Return why this user cannot read a file, in a sentence; None if it can."""
    file = Path(path)
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return f"{file} is not a file"
        with file.open("rb") as opened:
            opened.read(1)
    except OSError as error:
        if error.errno not in FORBIDDEN:
            return sentence(error, file)
        cure = _permission_cure(file)
        return (
            f"{file} cannot be read by the user {user()}, as whom hart runs here ({error.strerror}): {cure}; or move "
            "it to where that user can read it, such as /etc/salt"
        )
    return None
