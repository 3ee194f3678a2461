"""Declared fleets with the provider and the regions of their nodes."""

from __future__ import annotations

from typing import Any

import pytest

from hart_salt import drivers
from hart_salt.base.errors import Refused
from hart_salt.config.loader import Config, Source, load
from hart_salt.fleets.spec import specs, ttl_of

FLEETS: dict[str, Any] = {
    "web": {"role": "app", "count": 2},
    "east": {"role": "db", "count": 1, "regions": ["nyc3"], "ttl": "1h"},
    "west": {"role": "db", "count": 1, "regions": ["sfo3", "sfo2"]},
    "ci": {"role": "ci", "count": 0, "max": 5, "ttl": "8h"},
}


def config(fleets: Any = None) -> Config:
    data = {
        "providers": {"do": {"token": "an-example"}}, "roles": {"app": {}, "db": {}, "ci": {}},
        **({"fleets": FLEETS} if fleets is None else fleets),
    }  # fmt: skip
    return load([Source("", data)], drivers.schemas(), lambda reference: reference)


def test_a_fleet_without_regions_has_that_of_its_role() -> None:
    found = {one.name: one for one in specs(config(), (), lambda role, provider: f"{role} at {provider}")}
    assert list(found) == ["ci", "east", "web", "west"]
    assert found["web"].regions == ("app at do",)
    assert found["west"].regions == ("sfo3", "sfo2")
    assert [one.name for one in found.values() if one.alone] == ["ci", "web"]


def test_only_named_fleets_are_returned_and_each_once() -> None:
    assert [one.name for one in specs(config(), ["west", "ci", "west"], lambda *_: "nyc3")] == ["ci", "west"]


def test_an_unknown_fleet_is_refused_with_a_suggestion() -> None:
    with pytest.raises(Refused, match=r"there is no fleet wep, did you mean web\?; the fleets are ci, east, web, west"):
        specs(config(), ["wep"], lambda *_: "nyc3")


def test_without_declared_fleets_the_setting_is_named() -> None:
    with pytest.raises(Refused, match="no fleet is declared: declare one under hart:fleets"):
        specs(config({}), ["web"], lambda *_: "nyc3")


@pytest.mark.parametrize(
    ("role", "provider", "region", "ttl"),
    [
        ("ci", "do", "nyc3", 8 * 3600), ("ci", "local", "nyc3", None), ("db", "do", "nyc3", 3600),
        ("db", "do", "sfo3", None), ("db", "do", "fra1", None), ("app", "do", "nyc3", None), (None, "do", "nyc3", None),
    ],
)  # fmt: skip
def test_whoever_creates_a_node_of_a_fleet_gets_its_ttl(
    role: str | None, provider: str, region: str, ttl: float | None
) -> None:
    assert ttl_of(config(), role, provider, region) == ttl
