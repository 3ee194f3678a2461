"""Listing and deleting baked images, on a master with a fake provider, without daemons."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hart_salt.base.errors import AuthError
from hart_salt.base.merge import merge
from hart_salt.model import BakedImage
from hart_salt.planning.digest import with_image
from hart_salt.runners import hart as runner
from tests.functional.images.test_image_use_cases import DIGEST, baking_well, configured, running_from
from tests.functional.test_use_cases import CLOUD, Place, call, place, refusal

__all__ = ["place"]


# listing


def test_baked_images_are_listed_with_what_is_known_of_them(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = configured(monkeypatch, place)
    cloud.add("new")
    cloud.add("half", complete=False)
    running_from(place, "web", "new")
    images = call("list_images", CLOUD, region="here")
    assert list(images) == ["debian-13", "new", "half"]
    entry = images["new"]
    assert (entry["baked"], entry["role"], entry["available"], entry["nodes"]) == (True, "app", True, ["web"])
    assert (entry["size_gb"], entry["monthly_price"], entry["currency"]) == (2.0, 0.1, "USD")
    assert (images["half"]["available"], images["half"]["state"]) == (False, "half made")


# deleting


def test_an_image_is_deleted_by_its_id_or_its_name(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = configured(monkeypatch, place)
    cloud.add("one")
    cloud.add("two")
    assert call("remove_image", "one", test=True)["one"]["result"] is None
    assert list(cloud.stored) == ["one", "two"]
    assert call("remove_image", "hart-app-one")["one"]["result"] is True
    assert list(cloud.stored) == ["two"]


def test_an_image_without_an_id_is_shown_and_deleted_by_its_name(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = configured(monkeypatch, place)
    cloud.stored[""] = BakedImage("", "hart-app-half", "pending", False, "app", regions=("here",))
    assert call("list_images", CLOUD, region="here")["hart-app-half"]["state"] == "pending"
    assert "the images are hart-app-half" in refusal(call("remove_image", "hart-ap"))
    assert call("remove_image", "hart-app-half", test=True)["hart-app-half"]["result"] is None
    assert call("remove_image", "hart-app-half")["hart-app-half"]["result"] is True
    assert cloud.stored == {}


#: every place of the configuration that can name an image, with the words for it
NAMING: list[tuple[dict[str, Any], str]] = [
    ({"roles": {"x": {"image": "baked", "base_image": "old"}}}, "the role x"),
    ({"roles": {"x": {"image": "hart-app-old"}}}, "the role x"),
    ({"roles": {"x": {CLOUD: {"base_image": "old"}}}}, "the role x"),
    ({"roles": {"x": {CLOUD: {"image": "baked", "there": {"image": "old"}}}}}, "the role x"),
    ({"roles": {"x": {CLOUD: {"image": "old", "size": "no-such-size", "region": "here", "ttl": None}}}}, "the role x"),
    ({"providers": {CLOUD: {"base_image": "old"}}}, f"the provider {CLOUD}"),
    ({"image": "old"}, "the configuration of all nodes"),
    ({"base_image": "old"}, "the configuration of all nodes"),
]


@pytest.mark.parametrize(("more", "words"), NAMING)
def test_an_image_that_the_configuration_names_anywhere_is_kept(
    place: Place, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], words: str
) -> None:
    cloud = configured(monkeypatch, place)
    monkeypatch.setitem(place.opts, "hart", merge(place.opts["hart"], more))
    monkeypatch.setattr("hart_salt.use_cases.images.bake", baking_well)
    cloud.add("old")
    cloud.add("new", created=2.0)
    assert refusal(call("remove_image", "old", test=True)) == (
        f"the image old is needed: {words} names it; force=True deletes it"
    )
    entry = call("bake", "app", keep=1)["app"]
    assert entry["deleted"] == []
    assert f"the image old (hart-app-old) stays although it is old: {words} names it" in entry["notes"]
    assert list(cloud.stored) == ["old", "new"]


def test_an_image_from_which_a_node_runs_stays(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = configured(monkeypatch, place)
    cloud.add("one")
    running_from(place, "web", "one")
    said = refusal(call("remove_image", "one", force=True))
    assert said == "web runs from the image one: replace or destroy web first"
    assert list(cloud.stored) == ["one"]


def test_one_node_names_its_image_also_without_a_record(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    configured(monkeypatch, place).add("i-1")
    running_from(place, "web1", "i-1")
    assert call("show", "web1")["image"] == "i-1"
    place.store.remove("web1")
    assert call("show", "web1")["image"] == "i-1"


def test_an_image_of_a_node_that_is_coming_up_stays(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its record names the image before there is an instance."""
    cloud = configured(monkeypatch, place)
    cloud.add("one")
    place.store.put(replace(place.start("web"), stage="launching", digest=with_image(DIGEST, "one")))
    place.clouds[CLOUD].account.clear()
    assert "web runs from the image one" in refusal(call("remove_image", "one"))


def test_the_newest_image_of_a_role_that_boots_it_needs_force(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = configured(monkeypatch, place, image="baked")
    cloud.add("one")
    assert "force=True deletes it" in refusal(call("remove_image", "one"))
    assert call("remove_image", "one", force=True)["one"]["result"] is True


def test_an_image_that_a_role_names_needs_force(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = configured(monkeypatch, place, image="one")
    cloud.add("one")
    assert "the role app names it" in refusal(call("remove_image", "one"))


def test_an_image_that_nobody_has_is_refused_with_a_suggestion(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "hart-app-202611301200-1a2b3c4d5e6f70"
    configured(monkeypatch, place).add(name)
    said = refusal(call("remove_image", name.replace("4d", "d4")))
    assert said == f"there is no baked image {name.replace('4d', 'd4')} (did you mean {name}?); the images are {name}"


def test_no_other_image_is_suggested_for_one_that_is_gone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = configured(monkeypatch, place)
    gone = "hart-app-202611301200-1a2b3c4d5e6f70"
    for name in (gone, "hart-app-202611301201-6a0b1c9d5e2f71", "hart-db-202611301200-9f8e7d6c5b4a33"):
        cloud.add(name, role=name.split("-")[1])
    call("remove_image", gone)
    said = refusal(call("remove_image", gone))
    others = ", ".join(sorted(cloud.stored))
    assert said == f"there is no baked image {gone}; the images are {others}"


def test_a_failed_deletion_is_reported(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = configured(monkeypatch, place)
    cloud.add("one")
    cloud.undeletable = AuthError("no")
    document = runner.remove_image("one")
    assert document["images"]["one"]["error"] == "no"
    assert document["retcode"] == 1
    entry = runner.history()["history"][0]
    assert (entry["action"], entry["result"], entry["error"]) == ("remove_image", False, "no")
