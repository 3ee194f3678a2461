"""What a local instance is on disk and in the process table: made, started, looked at, destroyed."""

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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from hart_salt.base.errors import InvalidRequest, TemporaryFailure

#: set in the machine process and so in all that it starts: how the processes of an instance are known,
#: also those that left the process group or lost their parent
ENVIRONMENT_MARK = "HART_INSTANCE"
#: what runs salt-minion with this Python, whether or not there is a script of that name
SALT_MINION = "import sys; from salt.scripts import salt_minion; sys.argv[0] = 'salt-minion'; salt_minion()"
CLAIM = "instance.json"
#: how the names begin of directories that are being filled, and of those that are being removed
NEW, GONE = ".new-", ".gone-"
KILL_ATTEMPTS = 50
KILL_INTERVAL = 0.1


def create(path: Path, claim: Mapping[str, Any], user_data: str) -> None:
    """
    Make the directory with the claim and the user-data in it.

    It is filled under another name and renamed, so that a directory which can be seen is complete. That name has the
    batch in it: of what a crash leaves there, ``unfinished`` tells whose it is.
    Raises ``InvalidRequest`` when there is an instance of that name already.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = Path(tempfile.mkdtemp(prefix=f"{NEW}{claim.get('batch', '')}.", dir=path.parent))
    try:
        for part in ("run", "tmp", "var/log", "etc/ssh"):
            (new / part).mkdir(parents=True, mode=0o700)
        (new / CLAIM).write_text(json.dumps(dict(claim)))
        with open(new / "user-data", "w", opener=_private) as file:
            file.write(user_data)
        _rename_to_free(new, path)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _rename_to_free(new: Path, path: Path) -> None:
    # A rename onto a directory that is not empty fails by itself; whichever of two calls comes first wins.
    try:
        new.rename(path)
    except OSError as error:
        raise InvalidRequest(f"there is a local instance {path.name} already") from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def start(path: Path) -> None:
    """
    Start the machine process, in a session of its own: it outlives the call that made it.

    Its temporary files are in its directory. A minion that is killed leaves some behind, and they go with the instance.
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


def listing(base: Path) -> list[Path]:
    """The directories of instances below ``base``, complete ones only."""
    return sorted(path for path in _names(base) if not path.name.startswith(".") and os.path.lexists(path / CLAIM))


def unfinished(base: Path) -> Iterator[tuple[Path, str]]:
    """The directories whose making or removal a crash left half done, each with its batch; empty: that is not known."""
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
    What ``create`` wrote; None for a directory that is being removed at this moment.

    Empty where it cannot be used: a crash of the machine may have emptied the file.
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


def machine_state(path: Path) -> tuple[str, int | None]:
    """
    Return ``(state, SSH port)``: pending until the machine process listens.

    Stopped when the machine process is no more, or the minion that it started.
    """
    machine = _machine(path)
    if machine is None:
        # Before it listens there is nothing to go by but the processes that carry the mark.
        return ("pending" if any(_processes(path)) or _newborn(path) else "stopped"), None
    pid, minion, port = machine
    if not all(_runs(one, path) for one in (pid, minion) if one is not None):
        return "stopped", None
    return "running", port


def _machine(path: Path) -> tuple[int, int | None, int] | None:
    """The process ids of machine and minion, and the SSH port; None: not written yet, or nothing that can be used."""
    try:
        facts = json.loads((path / "run/machine.json").read_bytes())
        pid, minion, port = int(facts["pid"]), facts.get("minion"), int(facts["port"])
        return pid, None if minion is None else int(minion), port
    except (FileNotFoundError, IsADirectoryError):
        return None
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError):
        return None


def _runs(pid: int, path: Path) -> bool:
    """Whether the process of this id is one of the instance's, and not a later one with the same id."""
    try:
        return _belongs(psutil.Process(pid), path)
    except (psutil.NoSuchProcess, ValueError, OverflowError):  # the last two: it can be no process's id
        return False


def _newborn(path: Path) -> bool:
    """The process exists a moment before its environment can be read; spare it that moment."""
    with contextlib.suppress(FileNotFoundError):
        return time.time() - path.stat().st_ctime < 5.0
    return False


def destroy(path: Path) -> None:
    """
    End the instance's processes, then remove its directories.

    It is the power switch, not a shutdown: nothing of the instance is kept, so nothing has to be saved.
    Raises ``TemporaryFailure`` if a process does not go away.
    """
    for _ in range(KILL_ATTEMPTS):
        processes = list(_processes(path))
        if not processes:
            break
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=KILL_INTERVAL)
    else:
        raise TemporaryFailure(f"processes of the local instance {path.name} do not end")
    shutil.rmtree(socket_dir(path), ignore_errors=True)
    gone = path.with_name(f"{GONE}{path.name}")
    with contextlib.suppress(FileNotFoundError):  # another call, or an earlier one that was cut short, was first
        shutil.rmtree(gone, ignore_errors=True)
        path.rename(gone)
        shutil.rmtree(gone)


def born(path: Path) -> float | None:
    """When a directory was made or last renamed, in seconds since the epoch; None: it is gone."""
    try:
        return path.stat().st_ctime
    except FileNotFoundError:
        return None


def remove(path: Path) -> None:
    """Remove a directory in which no process works. One that is gone is success."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


def socket_dir(path: Path) -> Path:
    """
    A short directory for the minion's sockets, whose paths may have 107 characters at the most.

    The name is derived from the instance's path, so that it is found again without a record. Not below
    TMPDIR: that may differ between the call that creates and the one that destroys.
    """
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    return Path("/tmp") / f"hart-{os.getuid()}-{digest}"  # noqa: S108 - made private, see below


def make_socket_dir(path: Path) -> None:
    """Make it. Raises ``PermissionError`` for one that somebody else prepared: all may write to its parent."""
    sockets = socket_dir(path)
    sockets.mkdir(mode=0o700, exist_ok=True)
    status = sockets.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise PermissionError(f"{sockets} is not this user's own private directory; remove it")
    # For whoever finds it and wonders whose it is.
    (sockets / "instance").write_text(f"{path}\n")


def _processes(path: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter(["status"]):
        if process.info["status"] != psutil.STATUS_ZOMBIE and _belongs(process, path):
            yield process


def minion_command(path: Path) -> list[str]:
    """The command of the instance's salt-minion."""
    return [sys.executable, "-c", SALT_MINION, "-c", str(path / "etc/salt")]


def _belongs(process: psutil.Process, path: Path) -> bool:
    """
    By the mark in its environment, or by its command.

    Salt writes its process titles over the memory in which the kernel looks for the environment, but keeps
    the command in them.
    """
    try:
        if process.environ().get(ENVIRONMENT_MARK) == str(path):
            return True
        return " ".join(minion_command(path)[1:]) in " ".join(process.cmdline())
    except (psutil.Error, OSError):  # another user's process, or one that ended while we looked
        return False
