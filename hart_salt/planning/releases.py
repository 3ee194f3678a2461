"""Which systems the bootstrap cannot boot, by the names that people and providers have for their images."""

from __future__ import annotations

import re

#: releases that hart boots, with their code names; a driver maps each code name to the provider's own image
BOOTABLE = "Debian 12 (bookworm) and 13 (trixie), and Ubuntu 22.04 (jammy), 24.04 (noble) and 26.04 (resolute)"

_CODE_NAMES = (
    "wheezy|jessie|stretch|buster|bullseye|precise|trusty|xenial|bionic|focal|"
    "groovy|hirsute|impish|kinetic|lunar|mantic|oracular|plucky|questing"
)
#: Debian before 12, Ubuntu before 22.04, and Ubuntu's releases that are no LTS
_OLD = (
    rf"(?:debian )?(?:gnu linux )?(?:{_CODE_NAMES})",
    r"debian ?(?:gnu linux )?(?:[789]|1[01])",
    rf"ubuntu ?(?:(?:minimal|pro|server) )*(?:{_CODE_NAMES})",
    r"ubuntu ?(?:(?:minimal|pro|server) )*(?:(?:1[02468]|20)|(?:1\d|2[01357]) ?(?:04|10)|2[246] ?10)",
)
_OTHERS = (
    r"(?:centos|rocky|alma)(?: ?linux)?\d*", r"(?:oracle|amazon) ?linux\d*", r"rhel\d*", r"red ?hat", r"fedora\d*",
    r"amzn\d*", r"al20\d\d", "opensuse", "suse", r"sles\d*", r"arch(?: ?linux)?", "gentoo", "alpine", "coreos",
    "flatcar", "cos", "freebsd", "openbsd", "netbsd", r"windows\d*", r"win20\d\d", "talos", "nixos",
)  # fmt: skip
#: what providers add to the name of a distribution: version, architecture and build
_PARTS = (
    r"v?\d+", r"(?:sp|gp|r)\d", _CODE_NAMES, "x64", "amd64", "arm64", "aarch64", "x86", "i386", "32bit", "64bit", "lts",
    "server", "minimal", "pro", "cloud", "latest", "stable", "stream", "std", "standard", "enterprise", "datacenter",
    "dc", "core", "coreos", "container", "linux", "gnu", "leap", "tumbleweed", "byol", "byos", "gvnic", "generic",
    "genericcloud", "optimized", "gcp", "ami", "hvm", "ebs", "ssd", "kernel", "uefi", "zfs", "ufs", "release",
)  # fmt: skip
_REFUSED = re.compile(rf"(?:{'|'.join([*_OLD, *_OTHERS])})(?: (?:{'|'.join(_PARTS)}))*")
#: a version of Ubuntu alone, and no date such as 20.04.2026
_VERSION = re.compile(r"(?:1[2-9]|2\d)\.(?:04|10)(?!\d|\.20\d\d)")


def cannot_boot(image: str) -> bool:
    """
    Return whether an image's name says that hart cannot boot it.

    The name, without a path before it, must consist of a distribution or a code name, and of versions, architectures
    and the like. A name with any other word is somebody's own, such as ``cos-web``, and is not refused.
    """
    name = image.lower().replace("gnu/linux", "gnu linux").rpartition("/")[2].strip()
    words = re.findall("[a-z0-9]+", f"ubuntu {name}" if _VERSION.match(name) else name)
    return _REFUSED.fullmatch(" ".join(words)) is not None


def refusal(image: str, setting: str = "image") -> str:
    """Return why ``image`` cannot be used; empty if its name does not say so. ``setting`` is what names the image."""
    if not cannot_boot(image):
        return ""
    return f"{setting}: hart cannot boot {image}, only {BOOTABLE}"


def version_pattern(version: str) -> str:
    """
    Return the extended regular expression for the Debian package versions that ``version`` means.

    ``3008`` and ``3008.*`` are a series; ``3008.3`` is that release in any packaging, and not 3008.30.
    """
    release = version.removesuffix(".*")
    if "." not in release:
        return rf"^{release}\."
    return "^" + release.replace(".", r"\.") + "([^0-9].*)?$"
