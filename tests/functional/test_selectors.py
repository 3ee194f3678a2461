"""Nodes are selected by role, provider, region and status, and are not destroyed that way by mistake."""

from __future__ import annotations

from typing import Any

import pytest

from hart_salt.base.errors import TemporaryFailure
from hart_salt.inventory.flocks import FileLocks
from hart_salt.inventory.records import BANK, SUFFIX
from hart_salt.master.minions import Minions
from hart_salt.runners import hart as runner
from tests.functional import test_use_cases
from tests.functional.test_use_cases import CLOUD, Place, refusal

place = test_use_cases.place  # the fixture


@pytest.fixture
def fleet(place: Place) -> Place:
    """Return a master with four nodes and a minion that is not hart's."""
    place.start("app-1")
    place.start("app-2", region="there", created=2000.0)
    place.start("app-3", stage="failed", kept=True, created=1000.0)
    place.start("db-1", role="db", provider="other", monthly_price=40.0, currency="USD", created=500.0)
    place.accept("laptop")
    return place


def call(function: str, *arguments: Any, **keywords: Any) -> dict[str, Any]:
    data: dict[str, Any] = getattr(runner, function)(*arguments, **keywords)
    return data


def alive(place: Place) -> set[str]:
    return {instance.minion_id for cloud in place.clouds.values() for instance in cloud.account.values()}


ALL = {"app-1", "app-2", "app-3", "db-1"}


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ({"role": "app"}, ["app-1", "app-2", "app-3"]),
        ({"role": "app", "region": "there"}, ["app-2"]),
        ({"role": "app,region=there"}, ["app-2"]),
        ({"region": "here, role=app, status=failed"}, ["app-3"]),
        ({"provider": "other"}, ["db-1"]),
        ({"status": "not ours"}, ["laptop"]),
    ],
)
def test_a_list_has_the_nodes_that_match(fleet: Place, selector: dict[str, str], names: list[str]) -> None:
    assert list(call("list_minions", **selector)["nodes"]) == names


def test_destroying_by_a_selector_shows_the_plan_first_and_changes_nothing(fleet: Place) -> None:
    document = call("destroy", role="app", region="here")
    assert document["retcode"] == 2
    assert {name: entry["result"] for name, entry in document["nodes"].items()} == {"app-1": None, "app-3": None}
    assert document["problems"] == [
        "nothing was destroyed: add yes=True to destroy 2 nodes, or test=True to see only this plan"
    ]
    assert alive(fleet) == ALL


def test_with_test_the_plan_is_a_success(fleet: Place) -> None:
    for yes in (False, True):
        document = call("destroy", role="app,region=there", test=True, yes=yes)
        assert "retcode" not in document
        assert (list(document["nodes"]), document["problems"]) == (["app-2"], [])
    assert alive(fleet) == ALL


def test_with_yes_exactly_the_matching_nodes_are_destroyed(fleet: Place) -> None:
    document = call("destroy", role="app,region=here", yes="true")
    assert {name: entry["result"] for name, entry in document["nodes"].items()} == {"app-1": True, "app-3": True}
    assert "retcode" not in document
    assert alive(fleet) == {"app-2", "db-1"}


def test_ids_need_no_yes(fleet: Place) -> None:
    assert "retcode" not in call("destroy", "app-1")
    assert alive(fleet) == ALL - {"app-1"}


@pytest.mark.parametrize(
    ("arguments", "keywords", "expected"),
    [
        ((), {"role": "ap", "yes": True}, "there is no role ap, did you mean app?"),
        ((), {"role": "app", "status": "unsealed"}, "no node of this master matches role=app status=unsealed"),
        ((), {"status": "not ours", "yes": True}, "no node of this master matches status='not ours'"),
        ((), {"provider": "clout", "yes": True}, "there is no provider clout, did you mean cloud?"),
        ((), {"role": "app,db"}, "role takes one value, not several"),
        ((), {"role": "app,regoin=here"}, "unknown selector: regoin, did you mean region?"),
        ((), {"role": "app,region=here", "region": "there"}, "region is there twice"),
        (("app-1",), {"role": "app"}, "hart.destroy takes ids or a selector (role=app), not both"),
        (("app-*",), {}, "app-* is a pattern; select nodes by role, provider, region or status"),
        (("app-[12]", "db-1"), {}, "app-[12] is a pattern"),
        ((), {}, "hart.destroy needs an id or a selector: salt-run hart.destroy ID, or role=ROLE test=True"),
        ((), {"role": "app", "yes": "perhaps"}, "yes must be True or False"),
    ],
)  # fmt: skip
def test_what_selects_nothing_or_is_not_clear_is_refused(
    fleet: Place, arguments: tuple[str, ...], keywords: dict[str, Any], expected: str
) -> None:
    assert expected in refusal(call("destroy", *arguments, **keywords))
    assert alive(fleet) == ALL


def test_without_a_complete_list_nothing_is_selected(fleet: Place) -> None:
    fleet.clouds["other"].error = TemporaryFailure("no answer")
    said = refusal(call("destroy", role="app", yes=True))
    assert said.startswith(
        "hart.destroy role=app needs a complete list of the nodes, and this one is not: other: no answer;"
    )
    assert alive(fleet) == ALL
    assert call("destroy", role="app", provider=CLOUD, yes=True)["nodes"].keys() == {"app-1", "app-2", "app-3"}


def test_a_broken_record_may_be_one_that_matches(fleet: Place) -> None:
    fleet.store._cache.store(BANK, f"app-2{SUFFIX}", {"minion_id": 7})
    assert "needs a complete list" in refusal(call("destroy", role="app", yes=True))


def test_nodes_of_other_masters_are_left_out_and_named(fleet: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileLocks, "elsewhere", lambda self, record: "it is" if record.minion_id == "app-1" else "")
    document = call("destroy", role="app", yes=True)
    assert set(document["nodes"]) == {"app-2", "app-3"}
    assert document["notes"] == ["app-1 matches and is left out: only another master can change it"]


def test_the_seal_of_the_matching_nodes_is_checked(fleet: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def ask(self: Minions, target: str, target_type: str, function: str) -> dict[str, Any]:
        asked.append((target, target_type))
        return {"app-1": True, "app-2": None}

    monkeypatch.setattr(Minions, "ask", ask)
    document = call("check_seal", role="app,status=ready")
    assert asked == [("app-1,app-2", "list")]
    assert [entry["result"] for entry in document["nodes"].values()] == [True, False]
    assert "unknown argument: app-1" in refusal(call("check_seal", "app-1", role="app"))


def test_a_role_s_nodes_are_replaced_by_a_selector(fleet: Place) -> None:
    planned = call("replace", role="app,region=there", test=True)
    destroyed = [name for name, entry in planned["nodes"].items() if entry["action"] == "destroy"]
    assert destroyed == ["app-2"]
    assert "unknown selector: status; known: role, provider, region" in refusal(
        call("replace", role="app,status=ready")
    )


@pytest.mark.parametrize("test", [False, True])
def test_a_replacement_of_no_node_in_a_region_is_refused(fleet: Place, test: bool) -> None:
    said = refusal(call("replace", "app", region="elsewhere", test=test))
    assert said.startswith("role app has no ready node at ")
    assert said.endswith(" in region elsewhere; see salt-run hart.list_minions role=app")


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        (None, ["app-1", "app-2", "app-3", "db-1", "laptop"]),
        ("-id", ["laptop", "db-1", "app-3", "app-2", "app-1"]),
        ("age", ["app-2", "app-3", "db-1", "app-1", "laptop"]),
        ("-age", ["app-1", "db-1", "app-3", "app-2", "laptop"]),
        ("created", ["app-1", "db-1", "app-3", "app-2", "laptop"]),
        ("-price", ["db-1", "app-1", "app-2", "app-3", "laptop"]),
        ("role", ["app-1", "app-2", "app-3", "db-1", "laptop"]),
    ],
)
def test_a_list_is_sorted_and_what_has_no_such_fact_comes_last(
    fleet: Place, sort: str | None, names: list[str]
) -> None:
    assert list(call("list_minions", sort=sort)["nodes"]) == names


def test_addresses_are_sorted_as_numbers(place: Place) -> None:
    for number, name in ((10, "a"), (9, "b"), (100, "c")):
        place.start(name, public_ip=None, private_ip=f"10.0.0.{number}")
    assert list(call("list_minions", sort="ip")["nodes"]) == ["b", "a", "c"]


def test_an_unknown_order_is_refused_with_a_suggestion(place: Place) -> None:
    said = refusal(call("list_minions", sort="-aeg"))
    assert said.startswith("sort cannot be -aeg, did you mean age?; known: id, status, role")


def test_times_are_in_iso_8601(fleet: Place) -> None:
    nodes = call("list_minions")["nodes"]
    assert nodes["app-2"]["created"] == "1970-01-01T00:33:20.000000+00:00"
    assert nodes["laptop"]["created"] is None
    assert call("show", "app-2")["nodes"]["app-2"]["created"] == "1970-01-01T00:33:20.000000+00:00"


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        ({"columns": "id,aeg"}, "there is no column aeg, did you mean age?; the columns are id, status"),
        ({"columns": ""}, "columns must name at least one of id, status"),
        ({"watch": 0.5}, "watch must be a number of seconds, 1 or more, such as watch=5"),
        ({"watch": True}, "watch must be a number of seconds"),
        ({"watch": 5}, "watch needs a terminal and no --out"),
    ],
)
def test_columns_and_intervals_that_cannot_be_are_refused(
    place: Place, keywords: dict[str, Any], expected: str
) -> None:
    assert refusal(call("list_minions", **keywords)).startswith(expected)


def test_columns_are_for_the_table_and_the_data_has_everything(fleet: Place) -> None:
    document = call("list_minions", columns="minion,age,address,age")
    assert document["columns"] == ["id", "age", "ip"]
    assert document["nodes"] == call("list_minions")["nodes"]
