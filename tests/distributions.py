"""The packages that are installed in this environment: distributions and their dependencies."""

from __future__ import annotations

import importlib.metadata
import re

from packaging.requirements import Requirement


def closure(*wanted: str) -> dict[str, importlib.metadata.Distribution]:
    """Return the distributions that requirements name, with all dependencies, by normalised name."""
    found: dict[str, importlib.metadata.Distribution] = {}
    requirements = [Requirement(line) for line in wanted]
    while requirements:
        requirement = requirements.pop()
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name in found:
            continue
        found[name] = importlib.metadata.distribution(name)
        extras = ("", *requirement.extras)
        needed = [Requirement(line) for line in found[name].requires or []]
        requirements += [
            it for it in needed if it.marker is None or any(it.marker.evaluate({"extra": extra}) for extra in extras)
        ]
    return found
