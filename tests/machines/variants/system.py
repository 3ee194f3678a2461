"""What else an image can have."""

from __future__ import annotations

from tests.machines.overlay import Overlay
from tests.machines.variants.base import Around, Variant, before_script


def _noexec(root: Overlay, around: Around) -> None:
    # Google's agent runs the startup script from /tmp, unless the image says otherwise: without this it runs none.
    root.write("/etc/default/instance_configs.cfg", "[MetadataScripts]\nrun_dir = /var/tmp\n")
    # /tmp of a machine here is mounted before its own programs start.
    before_script(root, "noexec", "#!/bin/sh\nexec mount -o remount,noexec,nosuid,nodev /tmp\n")


def _long_name(root: Overlay, around: Around) -> None:
    """Let cloud-init set the whole name, which is longer than Linux allows for the minion id of this image."""
    root.write("/etc/cloud/cloud.cfg.d/98-hostname.cfg", "prefer_fqdn_over_hostname: true\n")


VARIANTS = (
    Variant("noexec /tmp", _noexec),
    Variant("hostname of 100 characters", _long_name),
)
