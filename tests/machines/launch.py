"""
The command that starts one machine, and files that it finds when it boots.

The order matters. Into the network namespace first, then a mount namespace of its own with a ``/sys`` of that
network: with nspawn's own option for a namespace, cloud-init would see the host's interfaces. The overlay is
mounted there too, so it goes away with the machine's last process and is never a mount of the host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: nspawn's exit code when the machine asked for a reboot and there is no manager to ask
REBOOT = 133

NSPAWN = (
    "systemd-nspawn", "--quiet", "--directory=root", "--boot", "--keep-unit", "--register=no",
    "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe",
    "--capability=CAP_NET_ADMIN,CAP_NET_RAW",
)  # fmt: skip

# Positional: cgroup, name of the namespace, the overlay's layers, more options of nspawn; working directory: the
# machine's own. The cgroup tree is kept, since a new /sys hides it.
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
        """What differs from the base: all that the machine writes."""
        return self.root / "upper"

    @property
    def console(self) -> Path:
        """What it prints while it boots."""
        return self.root / "console"

    def make(self) -> None:
        """Make them."""
        for name in ("upper", "work", "root", "cgroup"):
            (self.root / name).mkdir(parents=True)
        # The machine sees this as its / and a session's directory may be closed to others.
        self.upper.chmod(0o755)


def command(lower: Sequence[Path], cgroup: Path, namespace: str, binds: Mapping[Path, str]) -> list[str]:
    """Return the command that is the machine, run in its ``Place``; the first of ``lower`` is the topmost."""
    options = [f"--bind-ro={here}:{inside}" for here, inside in binds.items()]
    return ["sh", "-euc", SCRIPT, "machine", str(cgroup), namespace, ":".join(map(str, lower)), *options]


def write(upper: Path, files: Mapping[str, str]) -> None:
    """Put files into a machine before it boots, with the owner and the modes that a package would give them."""
    for name, text in files.items():
        file = upper / name.lstrip("/")
        for directory in reversed(file.relative_to(upper).parents[:-1]):
            if not (upper / directory).exists():
                (upper / directory).mkdir()
                (upper / directory).chmod(0o755)
        file.write_text(text)
        file.chmod(0o755 if "bin" in file.parts else 0o644)
