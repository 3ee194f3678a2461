"""How the image's sshd is started and configured, and what it has for root."""

from __future__ import annotations

from tests.machines.overlay import Overlay
from tests.machines.variants.base import Around, Variant

UNITS = "/etc/systemd/system"
AUTHORIZED_KEYS = "/root/.ssh/authorized_keys"
#: as cloud-init writes it with ``disable_root: true``; without a line end, as an editor may leave it
FORCED = (
    "no-port-forwarding,no-agent-forwarding,no-X11-forwarding,command=\"echo 'Please login as the user "
    '\\"debian\\" rather than the user \\"root\\".\';echo;sleep 10;exit 142" '
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK0wmN/Cr3JXqmLW7u+g9pTh+wyqDHpSQEIQczXkVx9q admin@example"
)


def _socket(root: Overlay, around: Around) -> None:
    """Start sshd at the first connection, with Debian's own socket."""
    root.remove(f"{UNITS}/multi-user.target.wants/ssh.service")
    root.remove(f"{UNITS}/sshd.service")
    root.link(f"{UNITS}/sockets.target.wants/ssh.socket", "/lib/systemd/system/ssh.socket")


def _ubuntu_socket(root: Overlay, around: Around) -> None:
    """Start sshd at the first connection, as Ubuntu 24.04 does: its service requires the socket."""
    _socket(root, around)
    root.link(f"{UNITS}/ssh.service.requires/ssh.socket", "/lib/systemd/system/ssh.socket")


def _no_include(root: Overlay, around: Around) -> None:
    """Ignore ``sshd_config.d``, as configurations from before Debian 11 do."""
    root.replace("/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\n", "")


def _passwords(root: Overlay, around: Around) -> None:
    root.write("/etc/ssh/sshd_config.d/50-cloud-init.conf", "PasswordAuthentication yes\n", 0o600)


def _locked_root(root: Overlay, around: Around) -> None:
    root.replace("/etc/shadow", "root:*:", "root:!*:")


def _forced_command(root: Overlay, around: Around) -> None:
    root.write("/etc/cloud/cloud.cfg.d/99-root.cfg", "disable_root: true\n")
    root.write(AUTHORIZED_KEYS, FORCED, 0o600)


VARIANTS = (
    Variant("socket", _socket),
    Variant("socket of Ubuntu", _ubuntu_socket),
    Variant("no Include", _no_include),
    Variant("50-cloud-init.conf", _passwords),
    Variant("locked root", _locked_root),
    Variant("forced command", _forced_command),
)
