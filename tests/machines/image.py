"""
The base image that machines boot from: a Debian like that of a cloud's image, without Salt.

mmdebstrap builds it from its own list of mirrors, and the build is cached by its inputs. cloud-init in it is Debian's.
Two files are changed, because a machine here has no firmware of its own: ``ds-identify`` and ``cloudinit/dmi.py`` read
DMI at ``DMI`` and not below ``/sys``, where the host's DMI is, and they also do so in a container. What is written at
``DMI`` for each machine makes cloud-init choose the provider's datasource by the same rules as on real hardware.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.machines import cache, debs

#: image → codename of the Debian release
RELEASES = {"debian-12": "bookworm", "debian-13": "trixie"}

#: package → its version in the base image, and the suite's suffix and the version of a newer one in ``repository.py``
BEHIND = {"behind-security": ("1.0-1", "-security", "1.0-1+fix1"), "behind-updates": ("1.0-1", "-updates", "1.0-2")}

#: the directory of a machine's own DMI fields, in files named as in /sys/class/dmi/id
DMI = "/usr/lib/test-cloud/dmi"

PACKAGES = Path(__file__).with_name("packages.txt")

#: part of the base image, so a change of this builds a new one
CLOUD_CONFIG = """\
# As on a cloud's own image, but for a machine that shares its host's kernel and has no disk.
disable_root: false
locale: C.UTF-8
growpart: { mode: "off" }
resize_rootfs: false
# The renderer is networkd's on every release, so that one drop-in serves all.
system_info:
  network:
    renderers: [networkd]
datasource:
  DigitalOcean:
    # It would look for a "physical" interface, which a veth is not, to give it a link-local address;
    # here the machine's route to the metadata service is there before it starts.
    use_ip4LL: false
"""

#: no router sends advertisements here: without this, networkd-wait-online waits 12 s for one
NETWORK_DROP_IN = "[Network]\nIPv6AcceptRA=no\nLinkLocalAddressing=no\n"

GOOGLE_UNITS = ("google-guest-agent.service", "google-startup-scripts.service", "google-shutdown-scripts.service")
TIMERS = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer")

BUILD_OPTIONS = (
    'Apt::Install-Recommends "false"',
    # The user _apt may not be able to read the directory of a build. Signatures are checked nevertheless.
    'APT::Sandbox::User "root"',
)
DPKG_OPTIONS = (
    "force-unsafe-io",  # an interrupted build is thrown away
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/locale/*",
)


def base(image: str) -> Path:
    """Return the directory of a base image. Builds it if needed, which takes about a minute."""
    if image not in RELEASES:
        raise ValueError(f"no image {image}: there are {', '.join(RELEASES)}")
    # The whole of this file is an input: that is simpler than a list of its parts, and cannot miss one.
    name = cache.key(image, PACKAGES.read_bytes(), Path(__file__).read_bytes())
    return cache.built(f"{image}-{name}", lambda place: _build(RELEASES[image], place))


def packages() -> list[str]:
    """Return the names of the packages in packages.txt."""
    lines = [line.partition("#")[0].strip() for line in PACKAGES.read_text().splitlines()]
    return [line for line in lines if line]


def _build(codename: str, place: Path) -> None:
    options = [f"--aptopt={option}" for option in BUILD_OPTIONS] + [f"--dpkgopt={option}" for option in DPKG_OPTIONS]
    cache.run(
        "mmdebstrap", "--mode=root", "--variant=apt", "--format=directory", f"--include={','.join(packages())}",
        *options, codename, place,
    )  # fmt: skip
    _install_behind(place)
    _clean(place)
    _patch_cloud_init(place)
    _configure(place)


def _install_behind(place: Path) -> None:
    """Install the packages for which apt must find an upgrade."""
    pool = place / "tmp/pool"
    for name, (version, _, _) in BEHIND.items():
        package = debs.Package(name, version)
        debs.build_small(package, {f"usr/share/{name}/version": f"{version}\n"}, pool)
        cache.run("chroot", place, "dpkg", "--install", f"/tmp/pool/{package.file_name}")
    shutil.rmtree(pool)


def _clean(place: Path) -> None:
    """Remove what only the build needs, and what each machine generates itself."""
    for pattern in ("etc/apt/apt.conf.d/99mmdebstrap", "etc/dpkg/dpkg.cfg.d/99mmdebstrap", "etc/ssh/ssh_host_*",
                    "etc/hostname", "etc/resolv.conf", "etc/apt/sources.list"):  # fmt: skip
        for file in place.glob(pattern):
            file.unlink()
    for file in (place / "etc/apt/sources.list.d").glob("*"):
        file.unlink()
    for directory in ("var/lib/apt/lists", "var/cache/apt"):
        shutil.rmtree(place / directory)
    (place / "etc/machine-id").write_text("")


def _patch_cloud_init(place: Path) -> None:
    module = place / "usr/lib/python3/dist-packages/cloudinit/dmi.py"
    _replace(module, r"^DMI_SYS_PATH = .*$", f'DMI_SYS_PATH = "{DMI}"')
    _replace(module, r"^    if is_container\(\):$", "    if False:")
    identify = place / "usr/lib/cloud-init/ds-identify"
    _replace(identify, r"^PATH_SYS_CLASS_DMI_ID=.*$", f"PATH_SYS_CLASS_DMI_ID={DMI}")
    _replace(identify, r"^    is_container && return .*$", "    :")
    cache.run("chroot", place, "python3", "-m", "compileall", "-q", "/usr/lib/python3/dist-packages/cloudinit/dmi.py")


def _replace(file: Path, pattern: str, new: str) -> None:
    """Replace text. Raises ``RuntimeError`` if it is not there: then somebody must look at the new release's file."""
    text, count = re.subn(pattern, new, file.read_text(), flags=re.MULTILINE)
    if not count:
        raise RuntimeError(f"{file} has no line like {pattern}")
    file.write_text(text)


def _configure(place: Path) -> None:
    (place / "etc/cloud/cloud.cfg.d/90_test_cloud.cfg").write_text(CLOUD_CONFIG)
    for interface in ("eth0", "eth1"):
        drop_in = place / f"etc/systemd/network/10-cloud-init-{interface}.network.d/test-cloud.conf"
        drop_in.parent.mkdir(parents=True)
        drop_in.write_text(NETWORK_DROP_IN)
    cache.run("chroot", place, "systemctl", "enable", "systemd-networkd.service", "ssh.service")
    # Google's agent is only for machines that boot as Google's do: see tests/drivers/gce/emulator/metadata.py.
    cache.run("chroot", place, "systemctl", "disable", *GOOGLE_UNITS)
    # Background work of a Debian that runs for weeks; here it would use the test's two cores at random times.
    cache.run("chroot", place, "systemctl", "mask", *TIMERS)
