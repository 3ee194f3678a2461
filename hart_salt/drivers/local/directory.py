"""Local instances on disk and in the process table: create, start, inspect, destroy."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from hart_salt.base.errors import InvalidRequest, TemporaryFailure
from hart_salt.drivers.tags import ends_in

#: set in the environment of the machine process and of all its children: it identifies the processes of an instance,
#: even if they leave the process group or lose their parent
ENVIRONMENT_MARK = "HART_INSTANCE"
#: runs salt-minion with this Python, even without an installed script
SALT_MINION = "import sys; from salt.scripts import salt_minion; sys.argv[0] = 'salt-minion'; salt_minion()"
CLAIM = "instance.json"
#: the mark of a protected instance
PROTECTED = "etc/hart-protected"
#: the file that says when a node is due to be destroyed; it can change, unlike the claim
ENDS = "etc/hart-ends"
#: prefixes of the names of directories that are being filled or removed
NEW, GONE = ".new-", ".gone-"
ENDS_LENGTH = 32  #: characters that are read of the file; a time has fewer
KILL_ATTEMPTS = 50
KILL_INTERVAL = 0.1
SHUTDOWN = 5.0  #: seconds for the processes of an instance to end by themselves
#: what the machine process writes: its id, that of its minion, and its port
STATE = "run/machine.json"
#: exists once the minion was started for the first time: from then on, the machine starts it at each boot
ENABLED = "var/minion-enabled"


def create(
    path: Path,
    claim: Mapping[str, Any],
    user_data: str,
    ends: float | None = None,
    fill: Callable[[Path], object] = str,
) -> None:
    """
    Make the directory with the claim, the user-data, and when the node ends (default: never).

    ``fill`` is called with the directory first, and writes the files of an image (default: there is no image).

    It is filled under a temporary name and then renamed, so a visible directory is complete. The temporary name
    contains the batch: after a crash, ``unfinished`` reports the batch of what is left.

    Raises ``InvalidRequest`` if an instance of that name exists.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = Path(tempfile.mkdtemp(prefix=f"{NEW}{claim.get('batch', '')}.", dir=path.parent))
    try:
        fill(new)
        for part in ("run", "tmp", "var/log", "etc/ssh"):
            (new / part).mkdir(parents=True, mode=0o700, exist_ok=True)
        (new / CLAIM).write_text(json.dumps(dict(claim)))
        with open(new / "user-data", "w", opener=_private) as file:
            file.write(user_data)
        set_end(new, ends)
        _rename_to_free(new, path)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _rename_to_free(new: Path, path: Path) -> None:
    # A rename onto a directory that is not empty fails; the first of two calls wins.
    try:
        new.rename(path)
    except OSError as error:
        raise InvalidRequest(f"there is already a local instance {path.name}") from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def start(path: Path) -> None:
    """
    Start the machine process in its own session, so that it outlives this call.

    Its temporary files are in its directory: a killed minion leaves some behind, which go with the instance.
    """
    with open(path / "var/log/machine.log", "ab", opener=_private) as log:
        subprocess.Popen(
            [sys.executable, "-m", "hart_salt.drivers.local.machine", str(path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=path,
            env={**os.environ, ENVIRONMENT_MARK: str(path), "TMPDIR": str(path / "tmp")},
            start_new_session=True,
        )


def power_on(path: Path) -> None:
    """Start the machine process of a stopped instance. It starts its minion, and does not run the user-data again."""
    (path / STATE).unlink(missing_ok=True)
    start(path)


def power_off(path: Path, *, force: bool) -> None:
    """
    End the instance's processes, and keep its directory. They get ``SHUTDOWN`` seconds to end by themselves.

    force
        kill them at once

    Raises ``TemporaryFailure`` if a process does not end.
    """
    processes = [] if force else list(_processes(path))
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    psutil.wait_procs(processes, timeout=SHUTDOWN)
    _kill(path)
    _remove_sockets(path)


def listing(base: Path) -> list[Path]:
    """Return the directories of complete instances in ``base``."""
    return sorted(path for path in _names(base) if not path.name.startswith(".") and os.path.lexists(path / CLAIM))


def unfinished(base: Path) -> Iterator[tuple[Path, str]]:
    """Return the directories that a crash left half made or half removed, each with its batch, or empty if unknown."""
    for path in _names(base):
        if path.name.startswith(NEW):
            yield path, path.name.removeprefix(NEW).rpartition(".")[0]
        elif path.name.startswith(GONE):
            yield path, (read_claim(path) or {}).get("batch") or ""


def _names(base: Path) -> list[Path]:
    try:
        return list(base.iterdir())
    except FileNotFoundError:
        return []


def read_claim(path: Path) -> dict[str, str | None] | None:
    """
    Return the claim that ``create`` wrote, or None if the directory is being removed.

    The result is empty if the claim is invalid: a crash of the machine may have emptied the file.
    """
    try:
        claim = json.loads((path / CLAIM).read_bytes())
    except (ValueError, RecursionError):
        return {}
    except OSError as error:
        if error.errno in (errno.EISDIR, errno.ELOOP) or (path / CLAIM).is_symlink():
            return {}
        if isinstance(error, FileNotFoundError):
            return None
        raise
    texts = isinstance(claim, dict) and all(value is None or isinstance(value, str) for value in claim.values())
    return claim if texts else {}


def protect(path: Path, *, on: bool) -> None:
    """
    Mark an instance as protected, or remove the mark.

    It is a file of its own: the claim never changes, so no crash can damage it, nor does the directory's own date.
    """
    mark = path / PROTECTED
    if on:
        mark.touch(mode=0o600)
    else:
        mark.unlink(missing_ok=True)


def is_protected(path: Path) -> bool:
    """Return whether an instance has the mark, also one that is no file."""
    return os.path.lexists(path / PROTECTED)


def set_end(path: Path, ends: float | None) -> None:
    """Write when a node ends, in one step; None: never."""
    if ends is None:
        (path / ENDS).unlink(missing_ok=True)
        return
    new = path / f"{ENDS}.new"
    new.write_text(str(int(ends)))
    new.rename(path / ENDS)


def end_of(path: Path) -> float | None:
    """Return when a node ends; None if it does not, or if the file contains something else."""
    try:
        with (path / ENDS).open(encoding="utf-8") as file:
            return ends_in(file.read(ENDS_LENGTH))
    except (OSError, UnicodeDecodeError):
        return None


def machine_state(path: Path) -> tuple[str, int | None]:
    """
    Return ``(state, SSH port)``.

    The state is pending until the machine process listens, and stopped once that process or its minion has ended.
    """
    machine = _machine(path)
    if machine is None:
        # Before it listens, only the processes with the mark show that it exists.
        return ("pending" if any(_processes(path)) or _newborn(path) else "stopped"), None
    pid, minion, port = machine
    if not all(_runs(one, path) for one in (pid, minion) if one is not None):
        return "stopped", None
    return "running", port


def _machine(path: Path) -> tuple[int, int | None, int] | None:
    """Return the process ids of machine and minion and the SSH port, or None if not yet written or invalid."""
    try:
        facts = json.loads((path / STATE).read_bytes())
        pid, minion, port = int(facts["pid"]), facts.get("minion"), int(facts["port"])
        return pid, None if minion is None else int(minion), port
    except (FileNotFoundError, IsADirectoryError):
        return None
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError):
        return None


def _runs(pid: int, path: Path) -> bool:
    """Return whether the process belongs to the instance, and is not a later one with the same id."""
    try:
        return _belongs(psutil.Process(pid), path)
    except (psutil.NoSuchProcess, ValueError, OverflowError):  # the last two: the number cannot be a process id
        return False


def _newborn(path: Path) -> bool:
    """Return whether the directory is new: a process exists for a moment before its environment can be read."""
    with contextlib.suppress(FileNotFoundError):
        return time.time() - path.stat().st_ctime < 5.0
    return False


def destroy(path: Path) -> None:
    """
    Kill the instance's processes, then remove its directories.

    This is a power-off, not a shutdown: nothing of the instance is kept.

    Raises ``TemporaryFailure`` if a process does not end.
    """
    _kill(path)
    _remove_sockets(path)
    gone = path.with_name(f"{GONE}{path.name}")
    with contextlib.suppress(FileNotFoundError):  # another call, or an earlier one that was interrupted, was first
        shutil.rmtree(gone, ignore_errors=True)
        path.rename(gone)
        shutil.rmtree(gone)


def _kill(path: Path) -> None:
    for _ in range(KILL_ATTEMPTS):
        processes = list(_processes(path))
        if not processes:
            return
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=KILL_INTERVAL)
    raise TemporaryFailure(f"processes of the local instance {path.name} do not end")


def born(path: Path) -> float | None:
    """Return when a directory was made or last renamed, in seconds since the epoch, or None if it is gone."""
    try:
        return path.stat().st_ctime
    except FileNotFoundError:
        return None


def remove(path: Path) -> None:
    """Remove a directory that no process uses. An absent directory is a success."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


def socket_dir(path: Path) -> Path:
    """
    Return a short directory for the minion's sockets, whose paths can have 107 characters at most.

    The name is derived from the instance's path, so no record is needed to find it. It is not below TMPDIR, which may
    differ between the call that creates and the call that destroys.
    """
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    return Path("/tmp") / f"hart-{os.getuid()}-{digest}"  # noqa: S108 - made private, see below


def _remove_sockets(path: Path) -> None:
    """Remove the directory of ``socket_dir``."""
    shutil.rmtree(socket_dir(path), ignore_errors=True)


def make_socket_dir(path: Path) -> None:
    """
    Make the directory of ``socket_dir``.

    Raises ``PermissionError`` if another user prepared it: everyone can write to its parent.
    """
    sockets = socket_dir(path)
    sockets.mkdir(mode=0o700, exist_ok=True)
    status = sockets.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise PermissionError(f"{sockets} is not this user's own private directory; remove it")
    # For people who find the directory.
    (sockets / "instance").write_text(f"{path}\n")


def _processes(path: Path) -> Iterator[psutil.Process]:
    mark = os.fsencode(f"{ENVIRONMENT_MARK}={path}")
    command = os.fsencode(" ".join(minion_command(path)[1:]))
    for pid in psutil.pids():
        # There are hundreds of others, and psutil takes many times as long for each as these two files take.
        if mark in _about(pid, "environ") or command in _about(pid, "cmdline").replace(b"\0", b" "):
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                if _belongs(process, path):
                    yield process


def _about(pid: int, what: str) -> bytes:
    """Return what the kernel has of a process; nothing of another user's, or of one that has just ended."""
    try:
        with open(f"/proc/{pid}/{what}", "rb", buffering=0) as file:  # noqa: PTH123 - a Path takes twice as long
            return file.read()
    except OSError:
        return b""


def minion_command(path: Path) -> list[str]:
    """Return the command of the instance's salt-minion."""
    return [sys.executable, "-c", SALT_MINION, "-c", str(path / "etc/salt")]


def _belongs(process: psutil.Process, path: Path) -> bool:
    """
    Return whether a process belongs to the instance, by the mark in its environment or by its command.

    Salt's process titles overwrite the memory of the environment, but contain the command.
    """
    try:
        if process.environ().get(ENVIRONMENT_MARK) == str(path):
            return True
        return " ".join(minion_command(path)[1:]) in " ".join(process.cmdline())
    except (psutil.Error, OSError):  # another user's process, or one that has just ended
        return False
