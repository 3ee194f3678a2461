"""Which systems the bootstrap cannot boot, by the names that people and providers have for their images."""

from __future__ import annotations

import re

#: releases that hart boots; a driver maps each code name to the provider's own image
BOOTABLE = "Debian 12 and 13, and Ubuntu 22.04, 24.04 and 26.04"

#: the project or the path before the name of an image or of an image family
_BEFORE = r"(?:(?:.*/)?(?:projects|images|family|global)/(?:.*/)?|[a-z-]+-cloud/|ubuntu/images/(?:.*/)?)?"
_SEPARATOR = r"[ /_.-]*"
_CODE_NAMES = (
    "wheezy|jessie|stretch|buster|bullseye|precise|trusty|xenial|bionic|focal|"
    "groovy|hirsute|impish|kinetic|lunar|mantic|oracular|plucky|questing"
)
#: Debian before 12, Ubuntu before 22.04, and Ubuntu's releases that are no LTS
_OLD = (
    rf"(?:debian{_SEPARATOR})?(?:gnu/linux )?(?:{_CODE_NAMES})",
    rf"debian{_SEPARATOR}(?:gnu/linux )?(?:[1-9]|1[01])",
    rf"ubuntu{_SEPARATOR}(?:(?:minimal|pro|server){_SEPARATOR})*(?:{_CODE_NAMES})",
    rf"ubuntu{_SEPARATOR}(?:(?:minimal|pro|server){_SEPARATOR})*(?:(?:1\d|2[01357])(?:[.-]?(?:04|10))?|2[246][.-]?10)",
    r"(?:1\d|2[0135])[.-](?:04|10)|2[24][.-]10",
)
_OTHERS = (
    r"(?:centos|rocky|alma|oracle)(?:[ -]?linux)?(?:[ -]?stream)?\d*", r"rhel\d*", r"red[ -]?hat", r"fedora\d*",
    r"amzn\d*", r"amazon(?:[ -]?linux)?\d*", r"al20\d\d", r"opensuse", r"suse", r"sles\d*", r"arch(?:[ -]?linux)?",
    "gentoo", "alpine", "coreos", "flatcar", "cos", "freebsd", "openbsd", "netbsd", r"windows\d*", r"win20\d\d",
    "talos", "nixos",
)  # fmt: skip
_REFUSED = re.compile(rf"{_BEFORE}(?:{'|'.join([*_OLD, *_OTHERS])})(?![a-z])(?!\d).*", re.DOTALL)


def cannot_boot(image: str) -> bool:
    """
    Return whether an image's name says that hart cannot boot it.

    A name that says nothing, such as that of a snapshot or an id, is not refused.
    """
    return _REFUSED.fullmatch(image.strip().lower()) is not None


def refusal(image: str) -> str:
    """Return why ``image`` cannot be used; empty if its name does not say so."""
    if not cannot_boot(image):
        return ""
    return f"image: hart cannot boot {image}, only {BOOTABLE}; salt-run hart.list_images shows their code names"
