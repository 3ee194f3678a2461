"""Tags of the user, and the role's, where tags are a list."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.drivers.tested import BATCH, OWNER

TWICE = (["web", "web", "a:b", "hart"], ["web", "a:b"])
NAMED = {
    "do": ({"env": "prod", "team": "x"}, ["env:prod", "team:x"]),
    "vultr": ({"Env": "Prod A/B", "team": ""}, ["Env:Prod A/B", "team:"]),
}
BATCHES = {"do": f"hart-batch:{OWNER}:{BATCH}", "vultr": f"hart-batch:{BATCH}"}


@pytest.mark.parametrize(
    ("cloud_name", "tags", "sent"), [(name, *row) for name, named in NAMED.items() for row in (TWICE, named)]
)
def test_tags_of_the_user(own, cloud, driver, tags: Any, sent: list[str]):
    own.launch(driver, own.node(tags=tags))
    assert own.create_body(cloud)["tags"][4:] == sent


@pytest.mark.parametrize("cloud_name", BATCHES)
def test_no_role_no_tag_of_one(cloud_name: str, own, cloud, driver):
    instance = own.launch(driver, dataclasses.replace(own.node(), role=None))
    assert instance.role is None
    assert own.create_body(cloud)["tags"] == ["hart", f"hart-owner:{OWNER}", BATCHES[cloud_name]]
