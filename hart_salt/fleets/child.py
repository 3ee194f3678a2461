"""The process of one look: start it, wait for its answer, and end it if it takes too long."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

#: seconds after which a look that has not ended is killed
LIMIT = 600
#: seconds between two checks whether the master still lives
CHECK = 1.0
COMMAND = (sys.executable, "-m", "hart_salt.look")
_KIND = re.compile(r"([A-Za-z_][\w.]*)(:|$)")


def ask(
    request: Mapping[str, Any], lives: Callable[[], bool], command: tuple[str, ...] = COMMAND, limit: float = LIMIT
) -> dict[str, Any]:
    """
    Return the answer of a look, or ``{"error": sentence}`` if there is none.

    ``lives`` says whether the master lives; if it does not, the look ends. ``limit`` is in seconds. The process is in a
    session of its own, and nothing of it is left afterwards.
    """
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, errors="replace", cwd="/", start_new_session=True
    )
    try:
        return _answer(process, json.dumps({**request, "parent": os.getpid()}), lives, limit)
    finally:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.communicate()


def _answer(process: subprocess.Popen[str], text: str, lives: Callable[[], bool], limit: float) -> dict[str, Any]:
    waited, first = 0.0, True
    while True:
        try:
            said, errors = process.communicate(text if first else None, CHECK)
            break
        except subprocess.TimeoutExpired:
            first, waited = False, waited + CHECK
        if not lives():
            return {"error": "the master has ended"}
        if waited >= limit:
            return {"error": f"the look took longer than {limit:g} s and was ended"}
    try:
        answer = json.loads(said)
    except ValueError:
        answer = None
    if isinstance(answer, dict):
        return answer
    return {"error": f"the process of the look ended without an answer ({_reason(process.returncode, errors)})"}


def _reason(code: int, errors: str) -> str:
    """Return how the process ended: the type of an exception, because its text may quote anything."""
    if code < 0:
        return f"signal {-code}"
    lines = errors.strip().splitlines()
    kind = _KIND.match(lines[-1]) if lines else None
    return kind[1] if kind else f"exit code {code}"
