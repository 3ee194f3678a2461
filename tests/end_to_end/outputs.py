"""Ways to lose the output of a command: real pipes, terminals and disks."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from tests.end_to_end.conftest import SaltMaster

CLOSED = {"stderr closed": "2>&-", "stdout closed": ">&-"}
OUTPUTS = (
    *CLOSED, "reader gone at once", "reader goes", "reader stalls", "terminal hung up", "log directory full",
)  # fmt: skip
#: with these, nobody can see the result
UNSEEN = ("stdout closed", "reader gone at once", "reader goes", "terminal hung up")


class Output:
    """Where a command writes its output, until ``lose``."""

    def __init__(self, kind: str, log_dir: Path, *, controls: bool) -> None:
        """
        Prepare it.

        ``log_dir`` is where the logs of nodes are written. With ``controls`` a terminal is the command's controlling
        terminal, and its end is a SIGHUP.
        """
        self._kind = kind
        self._log_dir = log_dir
        self._controls = controls
        self._ours: int | None = None
        self._theirs: int = subprocess.PIPE
        self._mounted = False

    def __enter__(self) -> Output:
        if self._kind == "terminal hung up":
            self._ours, self._theirs = pty.openpty()
        elif self._kind.startswith("reader"):
            self._ours, self._theirs = os.pipe()
        if self._kind == "reader stalls":
            _fill(self._theirs)
        if self._kind == "reader gone at once":
            self.lose()
        if self._kind == "log directory full":
            self._fill_log_directory()
        return self

    def __exit__(self, *_: object) -> None:
        self._close_ours()
        if self._mounted:
            subprocess.run(["umount", "-l", self._log_dir], check=True)
            shutil.rmtree(self._log_dir)

    def start(self, master: SaltMaster, call: Sequence[str]) -> subprocess.Popen[str]:
        """Start ``salt-run``; readable output is in its pipes. With a closed stream, it is the program itself."""
        if closed := CLOSED.get(self._kind):
            command = ["sh", "-c", f'exec "$@" {closed}', "sh", *master.command(*call)]
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                env=master.environment, start_new_session=True,
            )  # fmt: skip
        stalls = self._kind == "reader stalls"
        process = master.begin(
            *call, stdout=subprocess.PIPE if stalls else self._theirs, stderr=self._theirs,
            terminal=self._controls and self._kind == "terminal hung up",
        )  # fmt: skip
        if self._theirs >= 0:
            os.close(self._theirs)
        return process

    def lose(self) -> None:
        """Lose the output. A reader that stalls stays there; a full disk is full."""
        if self._kind != "reader stalls":
            self._close_ours()
        if self._kind == "log directory full" and not self._mounted:
            shutil.rmtree(self._log_dir)

    def _close_ours(self) -> None:
        if self._ours is not None:
            os.close(self._ours)
        self._ours = None

    def _fill_log_directory(self) -> None:
        """
        Mount a disk of two pages with one page free; without root, remove the directory during the run.

        One page is needed, since nothing starts if a log cannot be opened.
        """
        self._log_dir.mkdir(parents=True, exist_ok=True)
        if os.geteuid():
            return
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "hart-test", self._log_dir], check=True)
        self._mounted = True
        (self._log_dir / "filler").write_bytes(b"x" * 4096)


def _fill(descriptor: int) -> None:
    os.set_blocking(descriptor, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(descriptor, b"x" * 4096)
    os.set_blocking(descriptor, True)


@contextlib.contextmanager
def killed_at_the_end(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Kill the process and its children at the end, whatever happens."""
    try:
        yield process
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
        process.wait(120)
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()
