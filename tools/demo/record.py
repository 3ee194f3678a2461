"""
Record what a terminal gets while ``salt-run`` creates nodes. ``tools/picture.sh`` starts this file.

The private master of the demo runs the command; nothing of it remains. The bytes that the terminal gets go to a file.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from demo import COMMAND_TIMEOUT, Demo, Failed
from place import Place

LINES = 24


def record(command: Sequence[str | Path], columns: int, environment: dict[str, str], file: BinaryIO) -> None:
    """
    Run a command whose standard error is a terminal, and write what that gets to a file.

    Raises ``Failed`` if the command fails or takes too long.
    """
    terminal, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))

    def read() -> None:
        with contextlib.suppress(OSError):  # the command has ended
            while data := os.read(terminal, 65536):
                file.write(data)

    kept = {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    with os.fdopen(terminal, closefd=True):
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=theirs,
            env={**kept, "TERM": "xterm-256color"},
        )
        os.close(theirs)
        reader = threading.Thread(target=read)
        reader.start()
        try:
            code = process.wait(COMMAND_TIMEOUT)
        except BaseException as error:
            process.send_signal(signal.SIGTERM)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise Failed(f"the command did not end within {COMMAND_TIMEOUT:g} s") from None
            raise
        finally:
            reader.join()
    if code:
        raise Failed(f"the command ended with exit code {code}")


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description="Records what a terminal gets from salt-run.")
    parser.add_argument("file", type=Path)
    parser.add_argument("columns", type=int)
    parser.add_argument("arguments", nargs="+", help="for salt-run")
    given = parser.parse_args()
    place = Place.make()
    try:
        demo = Demo(place)
        demo.start_master()
        hart_toml = f"config={place.etc / 'hart.toml'}"  # not this machine's own
        command = [demo.bin / "salt-run", *given.arguments, hart_toml]
        with given.file.open("wb") as file:
            record(command, given.columns, demo.environment, file)
    except Failed as error:
        print(f"picture: {error}\n{place.evidence()}".rstrip(), file=sys.stderr)
        return 1
    finally:
        place.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
