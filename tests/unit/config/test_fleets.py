"""Declared fleets in the configuration."""

from __future__ import annotations

from typing import Any

import pytest

from hart_salt import drivers
from hart_salt.base.errors import ConfigError
from hart_salt.config.fleets import share_of
from hart_salt.config.loader import Config, Source, load
from hart_salt.config.week import as_window

SCHEMAS = drivers.schemas()
BASE: dict[str, Any] = {
    "providers": {"do": {"token": "an-example"}, "local": {}},
    "roles": {"app": {"provider": "do"}, "db": {}},
}
WEB: dict[str, Any] = {"role": "app", "count": 4}


def loaded(fleets: Any, *more: Any) -> Config:
    found = [Source(f"source {number}", {"fleets": one}) for number, one in enumerate((fleets, *more))]
    return load([Source("base", BASE), *found], SCHEMAS, lambda reference: reference)


def baked(bake_after: str) -> Config:
    """Return the configuration with a fleet that bakes its images."""
    fleet = {**WEB, "bake_after": bake_after}
    return load([Source("base", {**BASE, "image": "baked", "fleets": {"web": fleet}})], SCHEMAS, lambda it: it)


def test_an_image_must_not_be_too_old_when_its_bake_ends() -> None:
    assert baked("1h").fleets["web"].bake_after == 3600
    with pytest.raises(ConfigError, match="hart:fleets:web:bake_after: must be at least 1h"):
        baked("59m")


def faults(fleets: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(fleets)
    return str(caught.value).replace(" (in source 0)", "")


def test_a_fleet_has_its_settings_and_is_no_setting_of_nodes() -> None:
    config = loaded(
        {
            "web": {
                "role": "app", "provider": "do", "regions": ["nyc3", "fra1"], "count": "4", "expire_after": "30d",
                "repair_after": "10m", "drift": "replace", "ttl": "8h",
                "disruption": {"at_once": "20%", "windows": ["Sat 02:00-05:00 UTC"]},
                "limits": {"monthly_price": 300, "changes_per_hour": 20},
            }
        }
    )  # fmt: skip
    web = config.fleets["web"]
    assert (web.role, web.regions, web.low, web.high) == ("app", ["nyc3", "fra1"], 4, 4)
    assert (web.expire_after, web.repair_after, web.ttl) == (30 * 86400, 600, 8 * 3600)
    assert web.disruption.windows == [as_window("Sat 02:00-05:00 UTC")]
    assert (web.disruption.at_once, web.limits.amount("USD"), web.limits.changes_per_hour) == ("20%", 300, 20)
    assert config.defaults == {}


#: where the setting image of the role app at do can stand, and whether its nodes in nyc3 boot a baked image then
IMAGES: list[tuple[dict[str, Any], bool]] = [
    ({}, False),
    ({"image": "baked"}, True),
    ({"image": "trixie", "roles": {"app": {"provider": "do", "image": "baked!"}}}, True),
    ({"image": "baked", "roles": {"app": {"provider": "do", "image": "bookworm"}}}, False),
    ({"providers": {"do": {"token": "x", "image": "baked"}}}, True),
    ({"roles": {"app": {"provider": "do", "do": {"image": "baked"}}}}, True),
    ({"roles": {"app": {"provider": "do", "image": "baked", "local": {"image": "bookworm"}}}}, True),
    ({"roles": {"app": {"provider": "do", "do": {"nyc3": {"image": "baked"}}}}}, True),
    ({"roles": {"app": {"provider": "do", "image": "baked", "do": {"nyc3": {"image": "bookworm"}}}}}, False),
    ({"roles": {"app": {"provider": "do", "image": "baked", "do": {"fra1": {"image": "bookworm"}}}}}, True),
]


@pytest.mark.parametrize(("settings", "boots"), IMAGES)
@pytest.mark.parametrize("named", [True, False])
def test_a_fleet_bakes_only_what_its_nodes_boot(settings: dict[str, Any], boots: bool, named: bool) -> None:
    role = {"region": "nyc3", **settings.get("roles", BASE["roles"])["app"]}
    base = {**BASE, **settings, "roles": {**BASE["roles"], "app": role}}
    fleet = {**WEB, "bake_after": "7d", **({"regions": ["nyc3"]} if named else {})}
    try:
        load([Source("base", {**base, "fleets": {"web": fleet}})], SCHEMAS, lambda reference: reference)
    except ConfigError as error:
        assert not boots
        assert "hart:fleets:web:bake_after: needs image: baked, but the nodes of the role app at do boot" in str(error)
        assert "set hart:roles:app:image to baked" in str(error)
    else:
        assert boots


def test_without_more_a_fleet_is_careful() -> None:
    web = loaded({"web": WEB}).fleets["web"]
    assert (web.drift, web.disruption.at_once, web.disruption.windows) == ("report", 1, None)
    assert (web.expire_after, web.repair_after, web.ttl, web.remove) == (None, None, None, "newest")


@pytest.mark.parametrize(
    ("given", "bounds"),
    [({"count": 3}, (3, 3)), ({"count": 0, "max": 20}, (0, 20)), ({"min": 2, "max": 10}, (2, 10)),
     ({"min": 2}, (2, None))],
)  # fmt: skip
def test_the_bounds_of_the_number_of_nodes(given: dict[str, Any], bounds: tuple[int, int | None]) -> None:
    web = loaded({"web": {"role": "app", **given}}).fleets["web"]
    assert (web.low, web.high) == bounds


def test_a_later_source_overrides_single_settings() -> None:
    web = loaded(
        {"web": {**WEB, "disruption": {"at_once": 2}}},
        {"web": {"count": 6, "disruption": {"windows": "Sat 1:00-2:00"}}},
    )
    assert (web.fleets["web"].count, web.fleets["web"].disruption.at_once) == (6, 2)
    assert web.fleets["web"].disruption.windows is not None


def test_one_region_can_be_written_as_region() -> None:
    assert loaded({"web": {**WEB, "region": "nyc3"}}).fleets["web"].regions == ["nyc3"]


@pytest.mark.parametrize(
    ("fleet", "fault"),
    [
        ({"count": 1}, "hart:fleets:web:role: is missing"),
        ({"role": "ap", "count": 1}, "hart:fleets:web:role: there is no such role, did you mean app?"),
        ({**WEB, "provider": "ec2"}, "hart:fleets:web:provider: there is no such provider; configured: do, local"),
        ({"role": "db", "count": 1}, "hart:fleets:web:provider: is not set, and several are possible: do, local"),
        ({"role": "app"}, "hart:fleets:web: needs count, the number of nodes, or min and max"),
        ({**WEB, "min": 1}, "hart:fleets:web:min: cannot be used with count: keep one of them"),
        ({**WEB, "max": 3}, "hart:fleets:web:max: must not be below count"),
        ({"role": "app", "min": 3, "max": 2}, "hart:fleets:web:max: must not be below min"),
        ({**WEB, "count": -1}, "hart:fleets:web:count: must be a whole number of at least 0"),
        ({**WEB, "count": None}, "hart:fleets:web:count: has no value"),
        ({**WEB, "bake": ["base"]}, "hart:fleets:web:bake: is a setting of nodes, and belongs in the role"),
        ({**WEB, "cuont": 1}, "hart:fleets:web:cuont: unknown setting, did you mean count?"),
        ({**WEB, "bake_after": "weekly"}, "hart:fleets:web:bake_after: must be a length of time such as 30d"),
        ({**WEB, "role": "ap", "bake_after": "7d"}, "hart:fleets:web:role: there is no such role, did you mean app?"),
        ({**WEB, "expire_after": "30 days"}, "hart:fleets:web:expire_after: must be a length of time such as 30d"),
        ({**WEB, "drift": "fix"}, "hart:fleets:web:drift: must be one of replace, report, ignore"),
        ({**WEB, "disruption": 1}, "hart:fleets:web:disruption: must be a mapping"),
        ({**WEB, "disruption": {"atonce": 1}}, "hart:fleets:web:disruption:atonce: unknown setting"),
        ({**WEB, "disruption": {"at_once": 0}}, "hart:fleets:web:disruption:at_once: must be a whole number"),
        ({**WEB, "disruption": {"windows": ["Sat"]}}, "hart:fleets:web:disruption:windows: must be a time of the week"),
        ({**WEB, "disruption": {"windows": []}}, "hart:fleets:web:disruption:windows: must not be empty"),
        ({**WEB, "limits": {"changes_per_hour": 0}}, "hart:fleets:web:limits:changes_per_hour: must be a whole number"),
        ({**WEB, "regions": []}, "hart:fleets:web:regions: must be"),
        ({**WEB, "region": "nyc3", "regions": "fra1"}, "hart:fleets:web:region: is another name of regions"),
        (None, "hart:fleets:web: has no value"),
        ("app", "hart:fleets:web: must be a mapping"),
    ],
)  # fmt: skip
def test_a_fault_is_one_sentence_with_its_path(fleet: Any, fault: str) -> None:
    said = faults({"web": fleet})
    assert said.startswith(fault), said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("fleets", "fault"),
    [
        (None, "hart:fleets: has no value"),
        ([], "hart:fleets: must be a mapping of names to fleets"),
        ({"a b": WEB}, "hart:fleets:a b: a fleet's name may hold only"),
        ({"_web": WEB}, "hart:fleets:_web: a fleet's name may hold only"),
        ({True: WEB}, "hart:fleets:true: YAML reads this name as true"),
        (
            {"a": WEB, "b": {"role": "app", "provider": "do", "count": 1}},
            "hart:fleets:b: has the same role and provider",
        ),
        (
            {"a": {**WEB, "regions": ["nyc3", "fra1"]}, "b": {**WEB, "regions": ["fra1"]}},
            "hart:fleets:b:regions: fra1 belongs to the fleet a too",
        ),
    ],
)
def test_faults_of_fleets_together(fleets: Any, fault: str) -> None:
    assert faults(fleets).startswith(fault)


def test_fleets_of_one_role_in_different_regions_or_at_different_providers_are_apart() -> None:
    config = loaded({"a": {**WEB, "region": "nyc3"}, "b": {**WEB, "region": "fra1"}, "c": {**WEB, "provider": "local"}})
    assert sorted(config.fleets) == ["a", "b", "c"]


def test_fleets_can_stand_only_directly_under_hart() -> None:
    with pytest.raises(ConfigError, match="hart:roles:app:fleets: cannot be set here, only directly under hart"):
        load([Source("", {"roles": {"app": {"fleets": {}}}})], SCHEMAS, lambda reference: reference)


@pytest.mark.parametrize(
    ("share", "number", "nodes"), [(3, 10, 3), ("20%", 10, 2), ("20%", 4, 1), ("100%", 7, 7), ("33%", 0, 1)]
)
def test_a_share_is_rounded_down_and_at_least_one_node(share: int | str, number: int, nodes: int) -> None:
    assert share_of(share, number) == nodes
