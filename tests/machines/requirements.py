"""What this host needs to boot machines."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.machines import cache, cgroups

#: command → the Debian package that contains it
COMMANDS = {
    "dpkg-deb": "dpkg",
    "gpg": "gnupg",
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "nsenter": "util-linux",
    "patchelf": "patchelf",
    "systemd-nspawn": "systemd-container",
    "xz": "xz-utils",
}

#: mounts an overlay in a network namespace, as a machine does; both disappear with the process
TRIAL = """
set -e
mount --make-rprivate /
mkdir lower upper work root
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work root
mount -t sysfs sysfs /sys
"""


def missing() -> list[str]:
    """Return one sentence for each thing that this host lacks; empty if it can boot machines."""
    if sys.platform != "linux":
        return ["machines need Linux"]
    if os.geteuid() != 0:
        return ["machines need root"]
    packages = sorted({package for command, package in COMMANDS.items() if not shutil.which(command)})
    if packages:
        return [f"the Debian package {package} is not installed" for package in packages]
    if cgroups.root() is None:
        return ["no cgroup v2 hierarchy is mounted"]
    return _trial()


def _trial() -> list[str]:
    """Try what only the kernel can answer: in a container, root may not have all of root's rights."""
    top = cache.directory()
    top.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="trial-", dir=top) as place:
        done = subprocess.run(
            ["unshare", "--mount", "--net", "sh", "-c", TRIAL], cwd=Path(place), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
    if done.returncode == 0:
        return []
    return [f"no overlay, mount namespace or network namespace can be made here: {done.stderr.strip()[-200:]}"]
