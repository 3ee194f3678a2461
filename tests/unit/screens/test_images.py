"""The screens of images: the list, a bake, a deletion, and nodes that boot a baked image."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Any

from hart_salt.screens.draw import draw
from hart_salt.screens.paper import Paper
from tests.unit.screens.documents import (
    BAKE_DONE,
    BAKE_FAILED,
    BAKE_PLAN,
    BAKED_IMAGE,
    DELETED,
    HALF_MADE,
    doc,
)

PLAIN = {"trixie": {"description": "Debian 13", "available": True}}
NODE = {
    "result": None, "action": "create", "role": "app", "provider": "do", "region": "nyc3", "zone": None, "size": "s-1",
    "monthly_price": 6.0, "currency": "USD",
}  # fmt: skip
NOTE = "it boots the image trixie: do has no baked image of the role app"


def shown(function: str, width: int = 80, **parts: Any) -> list[str]:
    return draw(doc(function, **parts), Paper(width)).splitlines()


def ago(**past: float) -> str:
    return (datetime.fromtimestamp(time.time(), timezone.utc) - timedelta(**past)).isoformat()


def test_baked_images_stand_before_the_others_the_newest_first() -> None:
    old = {**HALF_MADE, "created": ago(days=3)}
    new = {**BAKED_IMAGE, "created": ago(hours=3, seconds=5)}
    assert shown("list_images", images={**PLAIN, "112": old, "112233445": new}) == [
        "BAKED IMAGE  STATE      ROLE  AGE     SIZE  PER MONTH  NODES  SALT    REGIONS",
        "112233445    available  app   3 h  2.36 GB      $0.14      2  3008.3  nyc3, fra1",
        "  hart-app-202611301200-1a2b3c4d5e6f70",
        "  arch: amd64",
        "  nodes: app-1.example.com, app-2.example.com",
        "  changed since the bake: settings, base image or states",
        "112          half made  app   3 d                          0          nyc3, fra1",
        "  hart-app-202611291200-2a2b3c4d5e6f70",
        "  arch: amd64",
        "",
        "IMAGE   DESCRIPTION",
        "trixie  Debian 13",
        "",
        "3 images, 2 of them baked.",
        "Price per month of the baked images, before tax: $0.14.",
    ]


LONG_ID = "hart-payment-gateway-workers-europe-202611301200-1a2b3c4d5e"


def test_long_ids_stand_in_a_line_of_their_own_and_no_fact_is_lost() -> None:
    name = str(BAKED_IMAGE["description"])
    new = {**BAKED_IMAGE, "role": "worker", "created": ago(hours=3, seconds=5)}
    other = {**new, "description": LONG_ID, "role": "payment-gateway-workers-europe", "created": ago(days=4)}
    assert shown("list_images", images={name: new, LONG_ID: {**other, "regions": None}, "112": other})[:11] == [
        "BAKED IMAGE",
        "  STATE      ROLE                            AGE     SIZE  PER MONTH  NODES",
        name,
        "  available  worker                          3 h  2.36 GB      $0.14      2",
        "  salt: 3008.3; arch: amd64; regions: nyc3, fra1",
        "  nodes: app-1.example.com, app-2.example.com",
        "  changed since the bake: settings, base image or states",
        LONG_ID,
        "  available  payment-gateway-workers-europe  4 d  2.36 GB      $0.14      2",
        "  salt: 3008.3; arch: amd64",
        "  nodes: app-1.example.com, app-2.example.com",
    ]
    lines = shown("list_images", images={LONG_ID: new, name: new})
    assert lines[1].split() == ["STATE", "ROLE", "AGE", "SIZE", "PER", "MONTH", "NODES", "SALT", "ARCH", "REGIONS"]


def test_a_column_that_does_not_fit_stands_below_its_image() -> None:
    far = {**BAKED_IMAGE, "regions": ["nyc3", "fra1", "ams3", "sgp1"]}
    lines = shown("list_images", images={"112233445": far})
    assert "REGIONS" not in lines[0]
    assert [line for line in lines if "regions: nyc3, fra1, ams3, sgp1" in line]


def test_a_narrow_terminal_has_all_facts_of_an_image_as_text() -> None:
    lines = shown("list_images", 40, images={LONG_ID: {**BAKED_IMAGE, "description": LONG_ID, "created": ago(days=4)}})
    assert lines[:8] == [
        "BAKED IMAGE",
        LONG_ID,
        "  state: available; role: app; age: 4 d;",
        "  size: 2.36 GB; per month: $0.14;",
        "  nodes: 2; salt: 3008.3; arch: amd64;",
        "  regions: nyc3, fra1",
        "  nodes: app-1.example.com,",
        "  app-2.example.com",
    ]
    text = " ".join(shown("list_images", images={"112": {**BAKED_IMAGE, "role": "r" * 60}, "113": BAKED_IMAGE}))
    assert f"role: {'r' * 60}; age:" in " ".join(text.split())
    assert "role: app; age:" in " ".join(text.split())


def test_a_list_without_baked_images_has_one_table() -> None:
    assert shown("list_images", images=PLAIN) == ["IMAGE   DESCRIPTION", "trixie  Debian 13", "", "1 image."]


def test_an_image_with_many_nodes_names_the_first_ones() -> None:
    many = {**BAKED_IMAGE, "nodes": [f"n{number}" for number in range(20)]}
    assert "  nodes: n0, n1, n2, n3, n4, n5, n6, n7, 12 more" in shown("list_images", images={"1": many})


def test_the_plan_of_a_bake_has_the_price_of_the_node_and_of_the_image() -> None:
    assert shown("bake", bakes={"app": BAKE_PLAN}) == [
        "To bake: an image of the role app. Nothing was changed.",
        "",
        "base image  trixie",
        "states      base, app",
        "node        s-1vcpu-1gb at do in nyc3; $0.0082 per hour, $6.00 per month, before",
        "            tax; destroyed at the end",
        "image       $0.06 per GB and month, before tax, for each of 2 regions",
        "copies in   fra1",
        "keeps       the newest 3 images of the role in each region",
        "deletes     101, 102",
    ]
    free = {**BAKE_PLAN, "deleted": [], "monthly_price": 0.0, "image_price_gb": 0.0, "copies": [], "apply": None}
    assert shown("bake", bakes={"app": free})[3:] == [
        "states      none",
        "node        s-1vcpu-1gb at do in nyc3; free of charge; destroyed at the end",
        "image       free of charge",
        "keeps       the newest 3 images of the role in each region",
    ]
    unknown = {**BAKE_PLAN, "keep": 1, "deleted": ["101"], "monthly_price": None, "image_price_gb": None, "copies": []}
    assert shown("bake", bakes={"app": unknown})[4:] == [
        "node        s-1vcpu-1gb at do in nyc3; destroyed at the end",
        "image       its price is not known",
        "keeps       the newest 1 image of the role in each region",
        "deletes     101",
    ]


def test_a_bake_shows_the_image_its_copies_and_the_images_that_it_deleted() -> None:
    assert shown("bake", bakes={"app": BAKE_DONE}) == [
        "image         112233445",
        "name          hart-app-202611301200-1a2b3c4d5e6f70",
        "role          app",
        "place         do nyc3",
        "size          2.36 GB",
        "architecture  amd64",
        "Salt          3008.3",
        "took          1 min 41 s",
        "copies        112233446 (fra1)",
        "deleted       101, 102",
        "note: the image 103 (old) stays: app-9 runs",
    ]


def test_a_bake_that_failed_shows_the_reason_the_last_output_and_the_log() -> None:
    assert shown("bake", bakes={"app": BAKE_FAILED}) == [
        "No image of the role app was made:",
        "  the states could not be applied: ID: nginx, package.installed failed",
        "  | E: no nginx",
        "  log: /var/log/salt/hart/hart-bake-app-1a2b3c4d.log",
    ]


def test_a_bake_that_failed_after_its_image_was_complete_shows_both() -> None:
    lines = shown("bake", bakes={"app": {**BAKE_DONE, "result": False, "error": "no copy in fra1"}})
    assert lines[0] == "image         112233445"
    assert lines[-3:-1] == ["The image is complete, but the bake failed:", "  no copy in fra1"]


def test_the_deletion_of_an_image_is_one_sentence() -> None:
    def said(result: bool | None) -> str:
        return " ".join(shown("remove_image", images={"112": {"result": result, **DELETED, "error": "503"}}))

    what = "The image 112 (hart-app-202611301200-1a2b3c4d5e6f70) of the role app at do"
    assert said(True) == f"{what} was deleted."
    assert said(None) == f"{what} would be deleted. Nothing was changed."
    assert said(False) == f"{what} could not be deleted: 503"


def test_nodes_name_the_image_that_they_boot_once() -> None:
    same = {**NODE, "image": "112"}
    assert "Image: 112." in shown("create_role", nodes={"a": same, "b": same})
    done = {**same, "result": True, "seconds": {"launching": 4.0}}
    failed = {"result": False, "error": "no capacity"}
    assert "Images: 112 (1 node)." in shown("create_role", nodes={"a": done, "b": failed})
    assert not [line for line in shown("create_role", nodes={"a": NODE}) if "Image" in line]


def test_a_note_of_every_node_stands_once() -> None:
    both = {"a": {**NODE, "notes": [NOTE, "x"]}, "b": {**NODE, "notes": [NOTE]}}
    lines = shown("create_role", nodes=both)
    assert [line for line in lines if NOTE in line] == [f"Each node: {NOTE}."]
    assert lines[1].endswith("x")
    assert f"  {NOTE}" in shown("create_role", nodes={"a": both["b"]}), "a note of the only node stands below it"


def test_images_of_the_provider_local_are_small_and_free_of_charge() -> None:
    small = {
        **BAKED_IMAGE, "description": "hart-app", "size_gb": 0.0, "monthly_price": 0.0, "created": None, "arch": None,
    }  # fmt: skip
    lines = shown("list_images", images={"hart-app": small})
    assert lines[1].split() == ["hart-app", "available", "app", "1", "MB", "$0.00", "2", "3008.3", "nyc3,", "fra1"]
    assert lines[-1] == "1 baked image."
    made = {**BAKE_DONE, "image": "hart-app", "name": "hart-app", "size_gb": 0.6}
    assert shown("bake", bakes={"app": made})[:4] == [
        "image         hart-app",
        "role          app",
        "place         do nyc3",
        "size          600 MB",
    ]
