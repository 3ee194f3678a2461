"""What reactors learn of a node or an address: the records, and nothing that an event says."""

from __future__ import annotations

from typing import Any

import pytest

from hart_salt.base.errors import Refused
from hart_salt.inventory.records import Record, Store
from hart_salt.operations import lookup
from tests.unit.inventory.test_records import MemoryCache


def store(**facts: Any) -> Store:
    made = Store(MemoryCache())
    common = {"provider": "do", "driver": "do", "region": "r", "size": "s", "owner": "o", "batch": "b", "created": 1.0}
    made.put(Record(**{"minion_id": "web", "stage": "running", "public_ip": "203.0.113.7", **common, **facts}))
    return made


def test_the_facts_are_those_of_the_record() -> None:
    found = lookup.node(store(private_ip="10.0.0.1", role="app"), "web", "running")
    assert (found["minion_id"], found["role"], found["stage"]) == ("web", "app", "running")
    assert found["addresses"] == ["203.0.113.7", "10.0.0.1"]


@pytest.mark.parametrize("at", ["running", "bootstrapping", "enrolling", "enrolled", "ready"])
def test_a_node_that_is_further_has_reached_the_stage(at: str) -> None:
    assert lookup.node(store(stage=at), "web", "running")["stage"] == at


@pytest.mark.parametrize(("at", "stage"), [("launching", "running"), ("enrolled", "ready"), ("failed", "launching")])
def test_a_node_that_has_not_reached_the_stage_is_refused(at: str, stage: str) -> None:
    with pytest.raises(Refused, match=f"at stage {at} and has not reached {stage}"):
        lookup.node(store(stage=at), "web", stage)


@pytest.mark.parametrize(
    "minion_id", ["*", "we?", "web\nx", "web,other", "../web", "'web'", "{{ web }}", "a" * 256, "", "None", "other"]
)
def test_an_invalid_or_unknown_id_is_refused(minion_id: str) -> None:
    with pytest.raises(Refused):
        lookup.node(store(), minion_id, None)


def test_a_stage_that_does_not_exist_is_refused() -> None:
    with pytest.raises(Refused, match="stage must be one of launching, running"):
        lookup.node(store(), "web", "raedy")


def test_an_address_belongs_to_a_node_even_if_it_is_a_further_one() -> None:
    further = [{"kind": "reserved", "ip": "198.51.100.4", "handle": "h"}]
    for ip in ("203.0.113.7", "198.51.100.4"):
        assert lookup.node_of(store(addresses=further), ip) == {"ip": ip, "minion_id": "web"}
    assert lookup.node_of(store(), "203.0.113.8") == {"ip": "203.0.113.8", "minion_id": None}


@pytest.mark.parametrize(
    ("ip", "recorded"),
    [
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::FFFF:CB00:7107", "203.0.113.7"),
        ("2001:db8::7", "2001:0DB8:0:0::7"),
    ],
)
def test_an_address_is_found_in_each_of_its_forms(ip: str, recorded: str) -> None:
    assert lookup.node_of(store(public_ip=recorded), ip)["minion_id"] == "web"


@pytest.mark.parametrize(
    "ip",
    ["", "0.0.0.0/0", "203.0.113.7\nx", "203.0.113.07", "web", "*", "None"]
    # Python accepts any text after a percent sign as a zone.
    + ["fe80::1%eth0", "fe80::1%\nx", "fe80::1%a -exist b", "::ffff:203.0.113.7%$(id)"],
)
def test_text_that_is_not_an_address_is_refused(ip: str) -> None:
    with pytest.raises(Refused, match="must be an IP address"):
        lookup.node_of(store(), ip)
