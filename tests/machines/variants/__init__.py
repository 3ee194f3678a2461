"""
Variants of an image: what the images that people have bring along, each a small change of the usual image.

Several that do not influence each other can be in one machine. ``VARIANTS`` has them by name.

    base.py      what a variant is, and what it knows of the test cloud
    ssh.py       how the image's sshd is started and configured, and what it has for root
    apt.py       sources, locks and proxy
    clock.py     a clock that is behind
    salt.py      what an earlier Salt left, and an image with Salt
    system.py    the rest
    record.py    records a machine's files before its startup script runs, to compare with later
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.machines.variants import apt, clock, salt, ssh, system
from tests.machines.variants.base import Around, Variant

__all__ = ["VARIANTS", "Around", "Variant"]

_MODULES = (ssh, apt, clock, salt, system)
VARIANTS: Mapping[str, Variant] = {variant.name: variant for module in _MODULES for variant in module.VARIANTS}
