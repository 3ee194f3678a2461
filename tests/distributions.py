"""What is installed in this environment: distributions and all that they need."""

from __future__ import annotations

import importlib.metadata
import re

from packaging.requirements import Requirement


def closure(*wanted: str) -> dict[str, importlib.metadata.Distribution]:
    """Return these distributions and all that they need, by normalised name."""
    found: dict[str, importlib.metadata.Distribution] = {}
    names = list(wanted)
    while names:
        name = re.sub(r"[-_.]+", "-", names.pop()).lower()
        if name in found:
            continue
        found[name] = importlib.metadata.distribution(name)
        for line in found[name].requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                names.append(requirement.name)
    return found
