"""Which machine this is, for what must be known across machines."""

from __future__ import annotations

import hashlib
import os
import socket
from contextlib import suppress
from pathlib import Path

MACHINE_ID = Path("/etc/machine-id")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def machine(directory: str) -> str:
    """
    Return the name of this machine and, after a space, 12 hex digits for it and ``directory``.

    It stays the same when the machine is restarted. ``directory`` is a part of it because several masters can run on
    one machine, each with its own cachedir.
    """
    name = socket.gethostname()
    return f"{name} {_digits(_text(MACHINE_ID) or name, os.path.realpath(directory))}"


def is_same(one: str, other: str) -> bool:
    """Return whether two results of ``machine`` are for the same machine, which may have got another name."""
    return one.rpartition(" ")[2] == other.rpartition(" ")[2]


def name_of(one: str) -> str:
    """Return the name in a result of ``machine``."""
    return one.rpartition(" ")[0] or one


def local_instances(cachedir: str, provider: str) -> Path:
    """Return the directory of the instances that a provider with the driver ``local`` has on this machine."""
    return Path(cachedir) / "hart" / "local" / provider


def running_machine(directory: Path) -> str:
    """
    Return 12 hex digits for this machine since it was started, and an existing directory of it.

    Two machines that are copies of each other never have the same digits: a container with the same names and files has
    another device number, and another host another boot id.
    """
    found = directory.stat()
    parts = (_text(BOOT_ID), _text(MACHINE_ID), socket.gethostname(), str(found.st_dev), str(found.st_ino))
    return _digits(*parts, os.path.realpath(directory))


def _text(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="ascii").strip()
    return ""


def _digits(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode(errors="replace")).hexdigest()[:12]
