"""The process of the engine as Salt starts it: it ends with its master, and leaves nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil

from hart_salt.fleets.engine_files import EngineFiles
from tests.parts import begun, master_opts

#: a salt-master in short: it starts the engine as a fork, and its looks hang
MASTER = """
import os, sys, time
import salt.config
from hart_salt.fleets import child, engine_process
engine_process.FIRST = 0.0
if not os.fork():
    child.ask.__defaults__ = ((sys.executable, "-c", "import time; time.sleep(600)"), 600.0)
    opts = salt.config.master_config(sys.argv[1])
    settings = engine_process.Settings(sys.argv[1], opts["cachedir"], 60.0)
    engine_process.run(opts, settings)
    os._exit(0)
print("runs", flush=True)
time.sleep(600)
"""


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_it_and_its_look_end_with_a_master_that_is_killed(root: Path) -> None:
    opts = master_opts(root)
    with begun(MASTER, opts["conf_file"], says="runs") as master:
        inside = psutil.Process(master.pid)
        until(lambda: len(inside.children(recursive=True)) >= 2 and EngineFiles(opts["cachedir"]).runs())
        family = inside.children(recursive=True)
        master.kill()
        until(lambda: not any(map(is_alive, family)))
    assert not EngineFiles(opts["cachedir"]).runs()
