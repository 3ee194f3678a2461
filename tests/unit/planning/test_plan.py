"""The plan of a call: plain data, by minion id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hart_salt.config.settings import Settings
from hart_salt.drivers.local.driver import Options
from hart_salt.inventory.records import Record
from hart_salt.model import Node
from hart_salt.planning import plan

NODE = Node("a", "app", "cloud", "do", "nyc3", "z1", "s-2", Settings(), Options(), {"password": "planted-s3cret"})
RECORD = Record("a", "cloud", "do", "nyc3", "s-2", "ready", "owner", "batch", 1.0, "app", "z1", "i-1")


def test_a_creation_lists_the_nodes_and_their_price() -> None:
    assert plan.creation([replace(NODE, monthly_price=6.0, currency="EUR")]) == {
        "a": {
            "result": None, "action": "create", "role": "app", "provider": "cloud", "region": "nyc3", "zone": "z1",
            "size": "s-2", "monthly_price": 6.0, "currency": "EUR",
        }
    }  # fmt: skip


def test_an_unknown_price_is_none() -> None:
    assert plan.creation([NODE])["a"]["monthly_price"] is None


def test_a_destruction_names_the_instance_and_its_price() -> None:
    assert plan.destruction({"a": replace(RECORD, monthly_price=6.0, currency="EUR")}) == {
        "a": {
            "result": None, "action": "destroy", "role": "app", "provider": "cloud", "region": "nyc3", "zone": "z1",
            "size": "s-2", "instance_id": "i-1", "monthly_price": 6.0, "currency": "EUR",
        }
    }  # fmt: skip


def test_no_setting_that_may_be_secret_is_in_a_plan() -> None:
    assert "planted-s3cret" not in repr(plan.creation([NODE]))


def first(zones: Sequence[str]) -> str:
    return zones[0]


def test_a_node_goes_to_the_zone_with_the_fewest() -> None:
    assert plan.spread(["a", "b", "c"], ["a", "a", "b", "c", "c"], 1, first) == ["b"]


def test_a_batch_spreads_evenly_with_the_existing_nodes() -> None:
    assert plan.spread(["a", "b", "c"], ["a", "a"], 4, first) == ["b", "c", "b", "c"]
    assert plan.spread(["a", "b", "c"], [], 7, first) == ["a", "b", "c"] * 2 + ["a"]


def test_nodes_in_unavailable_zones_or_without_a_zone_do_not_count() -> None:
    assert plan.spread(["a", "b"], ["z", None, "a"], 1, first) == ["b"]


def test_a_tie_between_zones_is_broken_by_choice() -> None:
    asked: list[list[str]] = []

    def last(zones: Sequence[str]) -> str:
        asked.append(list(zones))
        return zones[-1]

    assert plan.spread(["a", "b", "c"], ["b"], 2, last) == ["c", "a"]
    assert asked == [["a", "c"], ["a"]]
