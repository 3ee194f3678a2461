"""
What a minion knows about its creation, and whether anything temporary of it is left.

This uses the standard library and Salt only: it runs on every minion, whether or not hart-salt is installed there.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what Salt's loader adds
    __grains__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}

__virtualname__ = "hart"

#: what the bootstrap creates and sealing removes, below the minion's root
TEMPORARY = (
    "run/hart", "etc/ssh/sshd_config.d/00-hart.conf", "var/log/hart-bootstrap.log",
    "etc/systemd/system/salt-minion.service.d/zzz-hart.conf", "etc/systemd/system/salt-master.service.d/zzz-hart.conf",
)  # fmt: skip
#: files that may hold a secret, each with the widest mode that it may have
PRIVATE = (
    ("etc/salt/pki/minion/minion.pem", 0o600), ("etc/salt/minion.d/zzz-hart.conf", 0o640),
    ("etc/salt/minion.d/hart.conf", 0o640),  # of a node that hart-salt 1.0.0 created
    ("root/hart-init", 0o700),
)  # fmt: skip
#: where cloud-init keeps the script that it received, and the text that identifies that script
KEPT_SCRIPTS = ("var/lib/cloud", "run/cloud-init")
SCRIPT_MARK = "<<'HART_END'"
LARGEST = 2**20  #: bytes; user-data is smaller at every provider
AUTHORIZED = ("root/.ssh/authorized_keys*", "home/*/.ssh/authorized_keys*")
#: the comment of the key that a call of hart logs in with
CLIENT_KEY = re.compile(r"\shart-[0-9a-f]{12,14}\s*$", re.MULTILINE)


def __virtual__() -> str:
    return __virtualname__


def info() -> dict[str, Any]:
    """
    Return what hart wrote into this minion's configuration when it created the minion.

    Returns a dictionary with ``roles``, ``provider``, ``region``, ``zone``, ``size``, ``created`` (a time, in UTC) and
    ``version`` (of the hart-salt that created it); a value that hart did not set is None.

    CLI Example:

    .. code-block:: bash

        salt -G roles:app hart.info

    .. versionadded:: 1.0.0
    """
    names = ("provider", "region", "zone", "size", "created", "version")
    found = {name: __grains__.get(f"hart.{name}") for name in names}
    return {"roles": __grains__.get("roles"), **found}


def sealed() -> bool | list[str]:
    """
    Check that this minion has nothing temporary left of its bootstrap.

    The check covers the throw-away host key and its directory, sshd's drop-in, keys that may log in, copies of the
    startup script, sshd's effective settings, and files with secrets that other users may read.

    Returns True if nothing is left, otherwise a list with a sentence for each finding.

    CLI Example:

    .. code-block:: bash

        salt -G roles:app hart.sealed

    .. versionadded:: 1.0.0
    """
    root = _root()
    found = [f"{root / name} still exists" for name in TEMPORARY if (root / name).exists()]
    found += _keys(root) + _scripts(root) + _readable(root)
    if root == Path("/"):
        found += _sshd()
    return found or True


def _root() -> Path:
    """
    Return the root of the minion's files: ``/`` on its own machine, the instance's directory for a local instance.
    """
    config = Path(__opts__["conf_file"]).parent
    return config.parent.parent if config.parts[-2:] == ("etc", "salt") else Path("/")


def _keys(root: Path) -> list[str]:
    files = [path for pattern in AUTHORIZED for path in root.glob(pattern)]
    return [f"{path} accepts the key of a bootstrap" for path in files if CLIENT_KEY.search(_text(path))]


def _scripts(root: Path) -> list[str]:
    """Return findings in cloud-init's files. What it writes after sealing, when a boot fetches user-data, is none."""
    config = root / PRIVATE[1][0]
    sealed_at = config.stat().st_mtime_ns if config.exists() else float("inf")
    paths = [path for top in KEPT_SCRIPTS for path in (root / top).rglob("*") if not path.is_symlink()]
    copies = (path for path in paths if path.is_file() and SCRIPT_MARK in _text(path))
    copies = (path for path in copies if path.stat().st_mtime_ns <= sealed_at)
    return [f"{path} is a copy of the startup script" for path in copies]


def _text(path: Path) -> str:
    """Return what is in a file; nothing if it was removed in between or cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(LARGEST).decode(errors="replace")
    except OSError:
        return ""


def _readable(root: Path) -> list[str]:
    most = {root / name: mode for name, mode in PRIVATE if (root / name).exists()}
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in most}
    return [f"{path} may be read by others: its mode is {mode:o}" for path, mode in modes.items() if mode & ~most[path]]


def _sshd() -> list[str]:
    """Return findings in sshd's effective settings, if there is an sshd; only root may query it."""
    sshd = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/sbin")
    if sshd is None or os.geteuid() != 0:
        return []
    shown = subprocess.run([sshd, "-T"], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    lines = [line for line in shown.stdout.splitlines() if "/run/hart" in line]
    return [f"sshd's settings in effect have: {line}" for line in lines]
