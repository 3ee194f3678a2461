"""Which images are needed, and which are too many."""

from __future__ import annotations

from typing import Any

from hart_salt.base.redaction import Secrets
from hart_salt.config.loader import Config, ProviderLayer, Role
from hart_salt.images.retention import Needs, named, refusal, surplus, users
from hart_salt.model import BakedImage
from hart_salt.planning.digest import with_image, with_plain_image

DIGEST = "1-" + "-".join(["0" * 8] * 6)


def image(number: int, *regions: str, **more: Any) -> BakedImage:
    facts: dict[str, Any] = {"state": "available", "complete": True, "role": "app", "created": float(number), **more}
    return BakedImage(f"i-{number}", f"hart-app-{number}", regions=regions, **facts)


def ids(images: list[BakedImage]) -> list[str]:
    return [one.image_id for one in images]


def test_the_newest_of_each_region_stay() -> None:
    images = [image(1, "fra1"), image(2, "fra1"), image(3, "nyc3"), image(4, "fra1"), image(5, "fra1", role="db")]
    assert (*map(ids, surplus(images, "app", 2, Needs())[:1]),) == (["i-1"],)
    assert ids(surplus(images, "app", 1, Needs())[0]) == ["i-2", "i-1"]


def test_an_image_that_is_usable_everywhere_counts_once() -> None:
    assert ids(surplus([image(1), image(2), image(3)], "app", 2, Needs())[0]) == ["i-1"]


def test_an_image_in_two_regions_stays_if_one_of_them_needs_it() -> None:
    images = [image(1, "fra1", "nyc3"), image(2, "fra1")]
    assert surplus(images, "app", 1, Needs()) == ([], [])


def test_half_made_images_are_not_the_matter_of_retention() -> None:
    images = [image(1), image(2, complete=False), image(3, state="pending"), image(4)]
    assert ids(surplus(images, "app", 1, Needs())[0]) == ["i-1"]


def test_an_image_from_which_a_node_runs_stays_with_a_note() -> None:
    needs = Needs({"web": with_image(DIGEST, "i-1"), "db": None})
    assert users(image(1), needs.digests) == ["web"]
    going, notes = surplus([image(1), image(2), image(3)], "app", 1, needs)
    assert ids(going) == ["i-2"]
    assert notes == ["the image i-1 (hart-app-1) stays although it is old: web runs from it"]


def test_an_image_that_a_role_names_stays() -> None:
    going, notes = surplus([image(1), image(2)], "app", 1, Needs(named={"i-1": "the role old-app"}))
    assert going == []
    assert notes == ["the image i-1 (hart-app-1) stays although it is old: the role old-app names it"]


def test_a_note_has_the_name_of_an_image_once() -> None:
    same = BakedImage("i-1", "i-1", "available", True, "app", created=0.0)
    _, notes = surplus([same, image(2)], "app", 1, Needs(named={"i-1": "the role old-app"}))
    assert notes == ["the image i-1 stays although it is old: the role old-app names it"]


def test_every_layer_names_images() -> None:
    roles = {
        "app": Role(
            {"image": "baked", "base_image": "a"}, {"do": ProviderLayer({"image": "b"}, {"fra1": {"image": "c"}})}
        ),
        "db": Role({"image": "a"}, {"ec2": ProviderLayer({"image": "d"})}),
    }
    config = Config({"image": 5}, {}, {"do": {"base_image": "e"}, "ec2": {"image": "f"}}, roles, Secrets())
    assert named(config, "do") == {
        "baked": "the role app", "a": "the role app", "b": "the role app", "c": "the role app",
        "e": "the provider do", "5": "the configuration of all nodes",
    }  # fmt: skip


def test_an_image_that_is_named_by_its_name_stays() -> None:
    assert surplus([image(1), image(2)], "app", 1, Needs(named={"hart-app-1": "the role x"}))[0] == []


def test_a_node_that_names_the_image_of_its_disk_runs_from_it() -> None:
    assert users(image(1), {"web": with_plain_image(DIGEST, "i-1"), "db": with_plain_image(DIGEST, "i-2")}) == ["web"]


def test_an_image_with_nodes_cannot_be_deleted_by_force() -> None:
    needs = Needs({name: with_image(DIGEST, "i-1") for name in ("b", "a")})
    assert refusal(image(1), [image(1)], needs, force=True) == (
        "2 nodes run from the image i-1: replace or destroy a, b first"
    )


def test_the_newest_image_of_a_role_whose_image_is_baked_needs_force() -> None:
    needs = Needs(roles=["app"])
    images = [image(1, "fra1"), image(2, "fra1"), image(3, "nyc3", arch="arm64")]
    assert refusal(images[0], images, needs, force=False) == ""
    for one in images[1:]:
        assert refusal(one, images, needs, force=False) == (
            f"the image {one.image_id} is needed: it is the newest image of the role app, whose image is baked; "
            "force=True deletes it"
        )
        assert refusal(one, images, needs, force=True) == ""
    assert refusal(image(9, complete=False), images, needs, force=False) == ""
