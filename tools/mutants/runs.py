"""Runs of pytest in a copy of the checkout, each with a timeout and an end of all processes that it started."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from subjects import Mutant, Tests, changed

#: the parts of the checkout that the tests need
PARTS = ("hart_salt", "_runners", "_modules", "tests", "docs", "pyproject.toml")
#: environment variable of every process that a run starts, also outside its process group; names the copy
MARK = "HART_MUTANTS"
GRACE = 20.0  #: seconds for pytest to end its fixtures after SIGTERM
SHOWN = 4000  #: last characters of pytest's output that are kept
#: prefixes of the caller's variables that would change what the tests see, as in ./test
UNSET = ("PYTHON", "PYTEST_", "SALT_", "AWS_", "HART_", "SSH_AUTH_SOCK")
SET = {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true"}


@dataclass(frozen=True)
class Run:
    """How a run of pytest ended. ``code`` is None if the run timed out."""

    code: int | None
    seconds: float
    output: str

    @property
    def noticed(self) -> bool:
        """Return whether a test failed, could not be imported, crashed pytest, or did not end."""
        return self.code is None or self.code in (1, 2) or self.code < 0

    @property
    def is_broken(self) -> bool:
        """Return whether the run proves nothing: pytest found no test, or pytest itself failed."""
        return self.code is not None and self.code > 2


class Stopped(Exception):
    """The copy is stopped and starts no more runs."""


class Copy:
    """A copy of the checkout with one mutant at a time. Use it from one thread only, except ``stop``."""

    def __init__(self, root: Path, place: Path) -> None:
        """
        Copy what the tests need.

        ``root`` is the checkout, which is only read. ``place`` is an existing empty directory.
        """
        self._place = place
        self._stopped = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        for part in PARTS:
            source, target = root / part, place / part
            if source.is_dir():
                shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy2(source, target)

    def check(self) -> None:
        """
        Check that Python imports the package from the copy; otherwise no mutant would break anything.

        Raises ``RuntimeError`` if it imports the package from elsewhere.
        """
        command = [sys.executable, "-c", "import hart_salt; print(hart_salt.__file__)"]
        done = subprocess.run(command, cwd=self._place, env=self._environment(), capture_output=True, text=True)
        if Path(done.stdout.strip()) != self._place / "hart_salt/__init__.py":
            raise RuntimeError(f"Python does not import hart_salt from the copy: {done.stdout}{done.stderr}")

    @contextlib.contextmanager
    def broken(self, mutant: Mutant) -> Iterator[None]:
        """Put the mutant into its file, and restore the file at the end."""
        path = self._place / mutant.file
        text = path.read_text(encoding="utf-8")
        try:
            _write(path, changed(text, mutant))
            yield
        finally:
            _write(path, text)

    def run(self, tests: Tests, limit: float) -> Run:
        """
        Run tests until one fails, and end everything that they started.

        ``limit`` is the timeout in seconds.

        Raises ``Stopped`` if ``stop`` was called.
        """
        temporary, output = self._place / f"t{next(self._numbers)}", self._place / "output"
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=short", f"--basetemp={temporary}", *tests.files]
        command += ["-k", tests.select] if tests.select else []
        begun = time.monotonic()
        code: int | None = None
        try:
            # A file instead of a pipe, because a process that stays behind can keep a pipe open.
            with output.open("wb") as file, contextlib.suppress(subprocess.TimeoutExpired):
                code = self._begin(command, file.fileno()).wait(limit)
        finally:
            self._end()
            shutil.rmtree(temporary, ignore_errors=True)
        if self._stopped.is_set():
            raise Stopped
        return Run(code, time.monotonic() - begun, output.read_text(errors="replace")[-SHOWN:])

    def stop(self) -> None:
        """End the current run and start no more. Can be called from any thread."""
        self._stopped.set()
        self._end()

    def _begin(self, command: list[str], output: int) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._stopped.is_set():
                raise Stopped
            self._process = subprocess.Popen(
                command, cwd=self._place, env=self._environment(), stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            return self._process

    def _end(self) -> None:
        """End the process group of the run, first with SIGTERM, and then all other processes that it left."""
        with self._lock:
            process = self._process
            if process is not None and process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(GRACE)
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            self._process = None
            for left in _marked(str(self._place)):
                with contextlib.suppress(psutil.Error):
                    left.kill()

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(UNSET)}
        return {**kept, **SET, "PYTHONPATH": str(self._place), MARK: str(self._place)}


def _write(path: Path, text: str) -> None:
    """Write a file and remove its bytecode, because time and size may not show Python that the file has changed."""
    path.write_text(text, encoding="utf-8")
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()


def _marked(mark: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark:
                yield process
