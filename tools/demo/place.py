"""The directory of a demo, the processes that belong to it, and their end."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from hart_salt.drivers.local import directory

PREFIX = "/tmp/hart-demo."  # noqa: S108 - short, because paths of sockets must be short; mkdtemp makes it private
STOP_TIMEOUT = 10.0  #: seconds for the master to end by itself


class Place:
    """The directory of a demo and what belongs to it, also if another process made it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.etc = root / "etc"
        self.hello = root / "hello"
        self.instances = root / "var/cache/salt/master/hart/local/local"

    @classmethod
    def make(cls) -> Place:
        """Make a new directory."""
        place = cls(Path(tempfile.mkdtemp(prefix=Path(PREFIX).name, dir=Path(PREFIX).parent)))
        (place.root / "demo.json").write_text(json.dumps({"pid": os.getpid(), "created": _created(os.getpid())}))
        return place

    @classmethod
    def all(cls) -> list[Place]:
        """Return this user's directories whose demo has ended."""
        paths = sorted(Path(PREFIX).parent.glob(f"{Path(PREFIX).name}*"))
        places = [cls(path) for path in paths if path.lstat().st_uid == os.getuid()]
        return [place for place in places if place.is_abandoned()]

    def is_abandoned(self) -> bool:
        """Return whether this is the directory of a demo that no longer runs."""
        try:
            demo = json.loads((self.root / "demo.json").read_text())
        except (OSError, ValueError):
            return False
        return bool(demo["created"] != _created(demo["pid"]))

    def masters(self) -> list[psutil.Process]:
        """Return the processes of the private master: their titles contain the command that started them."""
        return [one for one in _processes() if f"salt-master -c {self.etc}" in command_of(one)]

    def note_command(self, pid: int) -> None:
        """Record the command that the demo waits for, in case the demo is killed."""
        (self.root / "command.json").write_text(json.dumps({"pid": pid, "created": _created(pid)}))

    def end_command(self) -> None:
        """
        End that command.

        Salt overwrites the environment of its processes, so process id and start time identify it.
        """
        with contextlib.suppress(OSError, ValueError, psutil.Error):
            command = json.loads((self.root / "command.json").read_text())
            if command["created"] and command["created"] == _created(command["pid"]):
                process = psutil.Process(command["pid"])
                process.kill()
                process.wait(STOP_TIMEOUT)

    def orphans(self) -> list[str]:
        """Return every process that uses the directory and is not the master's."""
        found = []
        for one in _processes():
            with contextlib.suppress(psutil.Error, OSError):
                mark = one.environ().get(directory.ENVIRONMENT_MARK, "")
                if f"-c {self.instances}" in command_of(one) or Path(mark).is_relative_to(self.instances):
                    found.append(f"{one.pid} {command_of(one)}")
        return found

    def evidence(self) -> str:
        """Return the last lines of the logs, because their directory is about to be removed."""
        logs = [self.root / "master.out", self.root / "log/master"]
        parts = []
        for path in logs:
            with contextlib.suppress(OSError):
                lines = path.read_text(errors="replace").splitlines()[-15:]
                if lines:
                    parts += [f"the end of {path.relative_to(self.root)}:", *(f"    {line}" for line in lines)]
        return "\n".join(parts)

    def end(self) -> None:
        """End the processes and remove the directory. Idempotent."""
        self.end_command()
        self.end_master()
        for path in directory.listing(self.instances):
            directory.destroy(path)
        shutil.rmtree(self.root, ignore_errors=True)

    def end_master(self) -> None:
        """
        End all processes of the master's session.

        A master that is asked to end while it starts leaves its workers behind, so after a timeout this kills
        what is left. It identifies each process by its command or session, never by a process id from a file.
        """
        processes = self.masters()
        # The main process leads the session. Do not end processes of other sessions.
        sessions = {one.pid for one in processes} & {_session_of(one) for one in processes}
        for one in processes:
            if one.pid in sessions:
                with contextlib.suppress(psutil.Error):
                    one.terminate()
        psutil.wait_procs(processes, timeout=STOP_TIMEOUT)
        while alive := {*self.masters(), *(one for one in _processes() if _session_of(one) in sessions)}:
            for one in alive:
                with contextlib.suppress(psutil.Error):
                    one.kill()
            psutil.wait_procs(alive, timeout=1)


def _processes() -> Iterator[psutil.Process]:
    """Yield this user's running processes except this one."""
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if one.pid != os.getpid() and one.uids().real == os.getuid() and one.status() != psutil.STATUS_ZOMBIE:
                yield one


def _session_of(process: psutil.Process) -> int | None:
    with contextlib.suppress(OSError):
        return os.getsid(process.pid)
    return None


def command_of(process: psutil.Process) -> str:
    """Return the command that started a process; empty if the process is gone."""
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def _created(pid: int) -> float | None:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).create_time()
    return None
