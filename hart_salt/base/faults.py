"""
Faults of this machine, in words: from an exception to one sentence with the path, the user, and what to do.

This is the one place where that is decided. What is no fault of the environment is a defect of hart.
"""

from __future__ import annotations

import errno
import os
import pwd
import resource
import stat
from pathlib import Path

from hart_salt.base.errors import EnvironmentFault, HartError

#: the module of Salt's own exceptions: what they say is about the master, its sockets and its stores
SALT_EXCEPTIONS = "salt.exceptions"
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})
DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})
NETWORK = frozenset({
    errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ETIMEDOUT,
    errno.EPIPE, errno.ENETDOWN, errno.ENOTCONN,
})  # fmt: skip


def user() -> str:
    """The user that this process runs as: its name, or ``uid 1234`` where the system has none for it."""
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def reason(error: BaseException) -> str:
    """What to tell of an error that ended the work on one node: a fault in a sentence, or a defect by its name."""
    if isinstance(error, HartError):
        return str(error)
    fault = as_fault(error)
    return f"a defect in hart: {error!r}" if fault is None else str(fault)


def as_fault(error: BaseException, path: str | os.PathLike[str] | None = None) -> EnvironmentFault | None:
    """
    Return the fault of the environment that an exception means; None: it means none.

    path
        what was worked on (default: the one that the exception names)
    """
    salts = any(cls.__module__ == SALT_EXCEPTIONS for cls in type(error).__mro__)
    found = os_error_in(error) if salts or isinstance(error, OSError) else None
    if found is not None:
        return EnvironmentFault(sentence(found, path))
    if salts:
        return EnvironmentFault(
            f"Salt says: {_text(error)}; see that salt-master runs, and that the user {user()} may use its "
            "sockets, its keys and its cachedir"
        )
    return None


def os_error_in(error: BaseException) -> OSError | None:
    """The operating system's error that an exception is, or that it was made of; None: there is none."""
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
    What the operating system said, with the path, the user that hart runs as, and what to do.

    path
        what was worked on (default: the one that the error names)
    """
    named = path if path is not None else error.filename
    where = os.fspath(named) if isinstance(named, str | os.PathLike) else ""
    said = error.strerror or os.strerror(error.errno or 0)
    if error.errno in NETWORK and not where:
        return f"a connection of this machine failed ({said}); call again once it works"
    begin = f"{where}: {said}" if where else said
    return f"{begin}; hart runs as the user {user()}: {_cure(error.errno, Path(where) if where else None)}"


def _cure(number: int | None, path: Path | None) -> str:
    if number in FULL:
        return f"make room on the file system{f' of {path}' if path else ''}, and call again"
    if number in DESCRIPTORS:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return f"no more than {soft} files may be open: raise the limit (ulimit -n), or do fewer nodes at once"
    if number == errno.EROFS:
        return f"the file system{f' of {path}' if path else ''} can only be read; mount it for writing"
    if number in FORBIDDEN:
        return _permission_cure(path)
    if number in (errno.ENOTDIR, errno.EEXIST):
        return f"move away what is at {_no_directory(path)} and is no directory" if path else "see what is in the way"
    if number == errno.ENOENT:
        return f"see that {path} is there" if path else "see what is missing"
    if number == errno.EISDIR:
        return f"move away the directory at {path}"
    return "see the system's log"


def _permission_cure(path: Path | None) -> str:
    """The first directory on the way that does not let this user through, or else the path itself."""
    if path is None:
        return "let this user do it"
    for parent in reversed(path.absolute().parents):
        if mode_of(parent) and not os.access(parent, os.X_OK, effective_ids=True):
            return f"{parent} lets that user not through; use another place, or let the user {user()} through there"
    while not mode_of(path) and path != path.parent:
        path = path.parent
    return f"give {path} to that user, with chown -R {user()} {path}"


def _no_directory(path: Path | None) -> Path | None:
    """The part of a path that is there and is no directory."""
    for part in reversed([path, *path.parents] if path else []):
        if mode_of(part) and not stat.S_ISDIR(mode_of(part)):
            return part
    return path


def mode_of(path: Path) -> int:
    """The mode of what is at a path; 0: nothing is, as far as this user can see."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _text(error: BaseException) -> str:
    """The first line of what an exception says, or else its name."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def unreadable(path: str | os.PathLike[str]) -> str | None:
    """Why a file cannot be read by this user, in a sentence; None: it can be."""
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
            f"{file} cannot be read by the user {user()}, as whom hart runs here ({error.strerror}): {cure}; or put it "
            "where that user can read it, such as in /etc/salt"
        )
    return None
