"""Whether the disk of a node has room for a baked image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hart_salt.config.settings import Settings
from hart_salt.drivers import schemas
from hart_salt.model import IMAGE_AVAILABLE, BakedImage, Node, Size
from hart_salt.planning.baked import objection
from tests.parts import master_info

IMAGE = BakedImage("7", "hart-app-1", IMAGE_AVAILABLE, True, "app", disk_gb=20.0)


@pytest.mark.parametrize(
    ("driver", "options", "disk", "said"),
    [
        ("do", {}, 25.0, ""),
        ("do", {}, 20.0, ""),
        ("do", {}, 10.0, "needs a disk of 20 GB, but s-1 has 10 GB"),
        ("do", {}, None, ""),
        ("gce", {"volume_size": 20}, None, ""),
        ("gce", {}, None, "needs a disk of 20 GB, but volume_size is 10 GB"),
        ("ec2", {}, None, ""),
        # The disk of the size is one more at EC2, not the root volume.
        ("ec2", {}, 10.0, ""),
        ("ec2", {"volume_size": 8}, 100.0, "needs a disk of 20 GB, but volume_size is 8 GB"),
    ],
)
def test_the_disk_of_a_node(driver: str, options: dict[str, Any], disk: float | None, said: str) -> None:
    chosen = schemas()[driver].options(**options)
    node = Node("a", "app", driver, driver, "r", None, "s-1", Settings(salt_source="none"), chosen, {})
    size = Size("s-1", 1024, 1, disk_gb=disk)
    assert objection(IMAGE, node, master_info(Path("/nowhere")), size) == said
    assert objection(IMAGE, node, master_info(Path("/nowhere")), None) == (said if options or driver == "gce" else "")
