"""Which processes belong to a master of these tests, how they end, and what a killed run of pytest left."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

import psutil

from tests.parts import kill_all

#: set in the environment of everything that a test starts, to the master's root directory
MARK = "HART_TEST_ROOT"


def make_root() -> Path:
    """
    Make a directory for one master, named by the process that made it: a later run finds what a killed one left.

    The name is short, since the paths of sockets below it can have at most 107 characters.
    """
    process = psutil.Process()
    return Path(tempfile.mkdtemp(prefix=f"ht-{process.pid}-{int(process.create_time())}-"))


def processes_of(root: Path) -> list[psutil.Process]:
    """
    Return the living processes that have the mark or name the directory in their command.

    Salt writes its process titles over the memory of the environment, but keeps the command in them.
    """
    found = []
    for process in psutil.process_iter(["status"]):
        if process.info["status"] == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
            continue
        with contextlib.suppress(psutil.Error, OSError):
            if f"{root}/" in " ".join(process.cmdline()) or process.environ().get(MARK) == str(root):
                found.append(process)
    return found


def is_job(process: psutil.Process) -> bool:
    """Return whether a salt-minion started the process for a job; a process that has ended counts as one."""
    try:
        # salt-minion is two processes, of which the second starts one for each job.
        above = process.parents()[:2]
        return len(above) == 2 and all("salt_minion()" in " ".join(one.cmdline()) for one in above)
    except psutil.NoSuchProcess:
        return True


def end_processes(root: Path, keep: Collection[int] = ()) -> None:
    """Kill the processes of a root, each by its id, until only the kept ones are left."""
    kill_all(lambda: [process for process in processes_of(root) if process.pid not in keep])


def sockets_of(root: Path) -> list[Path]:
    """Return the socket directories of a master's local instances: each names its owner."""
    found = []
    for note in Path("/tmp").glob(f"hart-{os.getuid()}-*/instance"):
        with contextlib.suppress(FileNotFoundError):  # another run's, which has just ended
            if note.read_text().startswith(f"{root}/"):
                found.append(note.parent)
    return found


def remove(root: Path) -> None:
    """Kill what belongs to a master, and remove its directory and those of its local instances' sockets."""
    end_processes(root)
    for path in (*sockets_of(root), root):
        shutil.rmtree(path, ignore_errors=True)


def family_of(pid: int | None) -> set[int]:
    """Return a process and all its descendants."""
    if pid is None:
        return set()
    with contextlib.suppress(psutil.NoSuchProcess):
        return {pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))}
    return set()


def end_leftovers() -> None:
    """Kill what killed runs of pytest left, and remove their directories."""
    for root in Path(tempfile.gettempdir()).glob("ht-*-*-*"):
        maker = re.fullmatch(r"ht-(\d+)-(\d+)-\w+", root.name)
        with contextlib.suppress(FileNotFoundError):
            if maker and root.stat().st_uid == os.getuid() and not _lives(int(maker[1]), int(maker[2])):
                remove(root)


def _lives(pid: int, created: int) -> bool:
    """Return whether the process is the one that made the directory, and not a later one with its id."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return abs(psutil.Process(pid).create_time() - created) < 3
    return False
