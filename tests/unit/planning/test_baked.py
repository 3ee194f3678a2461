"""Which baked image a node boots."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import Refused
from hart_salt.config.settings import Settings
from hart_salt.model import IMAGE_PENDING, BakedImage, Node, Size
from hart_salt.planning import baked
from hart_salt.planning.digest import is_made_from, with_plain_image
from tests.parts import master_info, new_node

MASTER = replace(master_info(Path("/nowhere")), salt_version="3008.3")
DIGEST = "1-" + "-".join(["0" * 8] * 6)
SIZE = Size("small", 1024, 1, disk_gb=20, arch="amd64")


def image(image_id: str = "i-1", **more: Any) -> BakedImage:
    facts: dict[str, Any] = {"role": "app", "release": "3008.1", "created": 100.0, "arch": "amd64", "complete": True}
    return BakedImage(image_id, f"hart-{image_id}", **{"state": "available", **facts, **more})


def node(**settings: Any) -> Node:
    made = new_node("web", settings=Settings(**{"image": "baked", "base_image": "bookworm", **settings}))
    return replace(made, role="app", region="fra1", size="small", digest=DIGEST)


def booted(*images: BakedImage, size: Size | None = SIZE, **settings: Any) -> Node:
    (found,) = baked.chosen([node(**settings)], images, MASTER, size)
    return found


def test_the_newest_image_of_the_role_is_booted_and_nothing_is_installed() -> None:
    found = booted(image("old"), image("new", created=200.0), image("other", created=300.0, role="db"))
    assert found.baked == found.settings.image == "new"
    assert (found.settings.salt_source, found.settings.security_upgrades) == ("none", "off")
    assert is_made_from(found.digest, "new")
    assert not is_made_from(found.digest, "old")
    assert found.notes == ()


def test_upgrades_at_boot_are_a_choice() -> None:
    assert booted(image(), baked_upgrades="after", security_upgrades="before").settings.security_upgrades == "after"


def test_a_plain_image_stays() -> None:
    plain = node(image="trixie")
    assert baked.chosen([plain], [image()], MASTER, SIZE) == [plain]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"regions": ("nyc3",)}, "is not in fra1, but in nyc3"),
        ({"arch": "arm64"}, "is for arm64, but small is amd64"),
        ({"disk_gb": 30.0}, "needs a disk of 30 GB, but small has 20 GB"),
        ({"release": "3007.9"}, "has Salt 3007.9, but 3008 is wanted"),
    ],
)
def test_what_does_not_fit_is_not_booted_and_the_note_says_why(wrong: dict[str, Any], why: str) -> None:
    found = booted(image(**wrong))
    assert (found.baked, found.settings.image, found.settings.salt_source) == (None, "bookworm", "repo")
    said = f"the newest image of the role app, hart-i-1, {why}; salt-run hart.bake app makes an image"
    assert found.notes == (f"it boots the image bookworm: {said}",)
    assert found.digest == with_plain_image(DIGEST, "bookworm")
    assert booted(image(**wrong), image("older", created=1.0)).baked == "older"


@pytest.mark.parametrize("half", [{"complete": False}, {"state": IMAGE_PENDING}, {"state": "failed"}])
def test_a_half_made_image_is_never_booted(half: dict[str, Any]) -> None:
    found = booted(image(**half))
    assert found.baked is None
    said = "local has no baked image of the role app; salt-run hart.bake app makes an image"
    assert found.notes == (f"it boots the image bookworm: {said}",)


def test_what_is_not_known_of_image_and_size_does_not_prevent_it() -> None:
    assert booted(image(arch="", release=None), size=None).baked == "i-1"
    assert booted(image(disk_gb=30.0), size=replace(SIZE, disk_gb=None)).baked == "i-1"
    assert booted(image(), size=replace(SIZE, arch="")).baked == "i-1"


@pytest.mark.parametrize(("wanted", "fits"), [("3008", True), ("3008.1", True), ("3008.10", False), ("3008.*", True)])
def test_the_release_in_the_image_is_the_one_that_is_wanted(wanted: str, fits: bool) -> None:
    assert (booted(image(), salt_version=wanted).baked == "i-1") is fits


def test_a_role_whose_image_brings_salt_takes_any_release() -> None:
    assert booted(image(release="3006.1"), salt_source="none").baked == "i-1"


def test_a_required_image_is_refused_if_none_fits() -> None:
    assert booted(image(), image="baked!").baked == "i-1"
    with pytest.raises(Refused, match=r"but local has no baked image of the role app; salt-run hart\.bake app makes"):
        booted(image="baked!")
