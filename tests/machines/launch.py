"""
The command that starts one machine, and the files that a machine has when it boots.

The order matters. The process first enters the network namespace, then a mount namespace of its own with a ``/sys`` of
that network: with nspawn's own option for a namespace, cloud-init would see the host's interfaces. The overlay is also
mounted there, so it disappears with the machine's last process and is never mounted on the host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: nspawn's exit code when the machine requests a reboot and no manager runs that could do it
REBOOT = 133

NSPAWN = (
    "systemd-nspawn", "--quiet", "--directory=root", "--boot", "--keep-unit", "--register=no",
    "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe",
    "--capability=CAP_NET_ADMIN,CAP_NET_RAW",
)  # fmt: skip

# Positional parameters: cgroup, name of the namespace, layers of the overlay, further options of nspawn. The working
# directory is the machine's. The cgroup tree is mounted again, since the new /sys hides it.
SCRIPT = f"""
echo $$ > "$1/cgroup.procs"
namespace=$2 layers=$3
shift 3
exec nsenter --net="/run/netns/$namespace" unshare --mount sh -euc '
mount --make-rprivate /
mount --rbind /sys/fs/cgroup cgroup
mount -t sysfs sysfs /sys
mount --rbind cgroup /sys/fs/cgroup
umount --lazy cgroup
mount -t overlay overlay -o "$1" root
shift
code={REBOOT}
while [ $code = {REBOOT} ]; do
    code=0
    "$@" || code=$?
done
exit $code' machine "lowerdir=$layers,upperdir=upper,workdir=work" {" ".join(NSPAWN)} "$@"
"""


@dataclass(frozen=True)
class Place:
    """The directories of one machine."""

    root: Path

    @property
    def upper(self) -> Path:
        """The difference to the base image: everything that the machine writes."""
        return self.root / "upper"

    @property
    def console(self) -> Path:
        """The machine's output while it boots."""
        return self.root / "console"

    def make(self) -> None:
        """Create the directories."""
        for name in ("upper", "work", "root", "cgroup"):
            (self.root / name).mkdir(parents=True)
        # This directory is the machine's /, and others may have no access to the session's directory.
        self.upper.chmod(0o755)


def command(lower: Sequence[Path], cgroup: Path, namespace: str, binds: Mapping[Path, str]) -> list[str]:
    """
    Return the command that starts a machine; it must run in the root of the machine's ``Place``.

    The first of ``lower`` is the top layer.
    """
    options = [f"--bind-ro={here}:{inside}" for here, inside in binds.items()]
    return ["sh", "-euc", SCRIPT, "machine", str(cgroup), namespace, ":".join(map(str, lower)), *options]


def write(upper: Path, files: Mapping[str, str]) -> None:
    """Write files into a machine before it boots, with the owner and the modes that a package would use."""
    for name, text in files.items():
        file = upper / name.lstrip("/")
        for directory in reversed(file.relative_to(upper).parents[:-1]):
            if not (upper / directory).exists():
                (upper / directory).mkdir()
                (upper / directory).chmod(0o755)
        file.write_text(text)
        file.chmod(0o755 if "bin" in file.parts else 0o644)
