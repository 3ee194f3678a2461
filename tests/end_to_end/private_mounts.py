"""
A private mount namespace: users, small disks and closed directories that exist only for one test.

Its mounts are gone when its last process ends. It takes root, like the machines of the test cloud.
"""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.conftest import BIN

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAMS = ("salt-run", "salt", "salt-key", "salt-master", "python")
SALT = "salt"  #: the user that Salt's packages make
SALT_ID = 64321


@dataclass(frozen=True)
class Mounts:
    """The namespace, with the process that holds it; ``directory`` is for the test."""

    pid: int
    directory: Path

    def command(self, *command: str | Path, user: str | None = None) -> list[str]:
        """Return the prefix that runs a command in the namespace, as a user of it."""
        drop = ["setpriv", "--reuid", user, "--regid", user, "--init-groups"] if user else []
        return ["nsenter", "--target", str(self.pid), "--mount", "--", *drop, *map(str, command)]

    def run(self, *command: str | Path, user: str | None = None) -> str:
        done = subprocess.run(
            self.command(*command, user=user), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout

    def programs(self, name: str, user: str | None = None, before: str = "") -> Path:
        """
        Return a directory with Salt's programs, each of which runs in the namespace.

        ``before`` is a line of shell that runs first, such as ``ulimit -n 64``.
        """
        directory = self.directory / name
        directory.mkdir()
        for program in PROGRAMS:
            script = directory / program
            command = shlex.join(self.command(BIN / program, user=user))
            script.write_text(f'#!/bin/bash\n{before}\nexec {command} "$@"\n')
            script.chmod(0o755)
        return directory

    def add_user(self, name: str = SALT, number: int = SALT_ID) -> None:
        """Add a user, with a group of the same name and a home directory that does not exist."""
        for file, line in (
            ("passwd", f"{name}:x:{number}:{number}:Salt:/opt/saltstack/none:/usr/sbin/nologin"),
            ("group", f"{name}:x:{number}:"),
        ):
            there = Path("/etc", file).read_text().splitlines()
            own = self.directory / file
            own.write_text("\n".join([*(one for one in there if not one.startswith(f"{name}:")), line, ""]))
            own.chmod(0o644)
            self.run("mount", "--bind", own, f"/etc/{file}")

    def disk(self, path: Path, options: str = "size=1m") -> None:
        """Mount a small disk at a directory."""
        self.run("mount", "-t", "tmpfs", "-o", options, "tmpfs", path)

    def let_through(self) -> None:
        """Make Python, the environment and the checkout of the tests accessible to every user."""
        needed = {Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), CHECKOUT}
        closed = sorted({parent for path in needed for parent in path.parents if not parent.stat().st_mode & 0o001})
        for top in closed:
            self._open(top, [path for path in needed if top in path.parents])

    def _open(self, top: Path, needed: list[Path]) -> None:
        """Mount an empty directory over one that is closed, with what is needed of it."""
        stage = self.directory / "stage"
        stage.mkdir(exist_ok=True)
        self.disk(stage, "mode=0755")
        for number, path in enumerate(needed):
            self.run("mkdir", stage / str(number))
            self.run("mount", "--bind", path, stage / str(number))
        self.disk(top, "mode=0755")
        for number, path in enumerate(needed):
            self.run("mkdir", "-p", path)
            self.run("mount", "--move", stage / str(number), path)
        self.run("umount", stage)


@contextlib.contextmanager
def private_mounts(directory: Path) -> Iterator[Mounts]:
    """Make the namespace. It ends with the block, and with this process, once nothing runs in it any more."""
    directory.mkdir(parents=True)
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo ready; exec cat >/dev/null"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        try:
            assert holder.stdout.readline() == "ready\n"
            yield Mounts(holder.pid, directory)
        finally:
            holder.stdin.close()
            holder.wait(120)
