"""The plan of a call: plain data, by minion id."""

from __future__ import annotations

from dataclasses import replace

from hart_salt import plan
from hart_salt.drivers.local import Options
from hart_salt.model import Node, Size
from hart_salt.settings import Settings
from hart_salt.store import Record

NODE = Node("a", "app", "cloud", "do", "nyc3", "z1", "s-2", Settings(), Options(), {"password": "planted-s3cret"})
RECORD = Record("a", "cloud", "do", "nyc3", "s-2", "ready", "owner", "batch", 1.0, "app", "z1", "i-1")


def test_a_creation_says_what_would_be_there_and_what_it_costs() -> None:
    sizes = [Size("s-1", 512, 1, monthly_price=4.0), Size("s-2", 1024, 1, monthly_price=6.0)]
    assert plan.creation([NODE], sizes) == {
        "a": {
            "result": None, "action": "create", "role": "app", "provider": "cloud", "region": "nyc3", "zone": "z1",
            "size": "s-2", "monthly_price": 6.0,
        }
    }  # fmt: skip


def test_a_price_that_is_not_known_is_none() -> None:
    nodes = [NODE, replace(NODE, minion_id="b", size="huge")]
    prices = {i: entry["monthly_price"] for i, entry in plan.creation(nodes, [Size("s-2", 1024, 1)]).items()}
    assert prices == {"a": None, "b": None}


def test_a_destruction_names_the_instance_that_would_go() -> None:
    assert plan.destruction({"a": RECORD}) == {
        "a": {
            "result": None, "action": "destroy", "role": "app", "provider": "cloud", "region": "nyc3", "zone": "z1",
            "size": "s-2", "instance_id": "i-1",
        }
    }  # fmt: skip


def test_no_setting_that_may_be_secret_is_in_a_plan() -> None:
    assert "planted-s3cret" not in repr(plan.creation([NODE], []))
