"""
Answers of the real APIs, as others recorded, measured or reported them.

Each file of a cloud's folder has answers by name: ``_source`` (repository, path, year, and what was changed beside
names, ids and addresses), the request, the status and the body; for EC2, the body as botocore parses it or the XML
itself. ``means`` is what hart makes of the answer. ``beside`` names other answers that the same verb needs.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CLOUDS = ("do", "ec2", "gce", "hetzner", "vultr")
#: of all addresses in the answers; 0.0.0.0 and those of private networks stay as they were
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Recorded:
    """One answer, or the pages of a list."""

    cloud: str
    name: str
    source: Mapping[str, Any]
    request: str
    status: int
    body: Any
    headers: Mapping[str, str]
    beside: tuple[str, ...]
    means: Any

    def __str__(self) -> str:
        return f"{self.cloud}-{self.name}"

    @property
    def method(self) -> str:
        """The method of the request; for EC2, empty."""
        return self.request.rpartition(" ")[0]

    @property
    def path(self) -> str:
        """The path of the request below the endpoint, without a query; for EC2, the operation."""
        return self.request.rpartition(" ")[2].partition("?")[0]

    @property
    def pages(self) -> list[Any]:
        """The bodies: one, or one for each page."""
        return self.body if isinstance(self.body, list) else [self.body]


@functools.cache
def recorded(cloud: str) -> Mapping[str, Recorded]:
    """Return all answers of a cloud, by name."""
    found = {}
    for path in sorted(FOLDER.glob(f"{cloud}/*.json")):
        for name, it in json.loads(path.read_text()).items():
            assert name not in found, f"{cloud} has two answers with the name {name}"
            found[name] = Recorded(
                cloud, name, it["_source"], it["request"], it["status"], it["body"], it.get("headers", {}),
                tuple(it.get("beside", ())), it.get("means"),
            )  # fmt: skip
    return found


def everything() -> list[Recorded]:
    """Return the answers of all clouds."""
    return [answer for cloud in CLOUDS for answer in recorded(cloud).values()]
