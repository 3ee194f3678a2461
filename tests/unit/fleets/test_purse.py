"""No plan exceeds max, the price, the changes of an hour, or the limits of the configuration."""

from __future__ import annotations

from typing import Any

import pytest

from hart_salt.fleets.purse import Purse
from hart_salt.fleets.scene import Room
from hart_salt.model import Price
from tests.unit.fleets.scenes import HOUR, MINUTE, NOW, brief, done, member, members, planned, scene, spec

DEAR, CHEAP, EURO = Price(12.0), Price(4.0), Price(5.0, "EUR")


def priced(limit: Any, count: int = 4, **given: Any) -> Any:
    return spec(count=count, limits={"monthly_price": limit}, **given)


# the price


def test_new_nodes_are_created_as_long_as_the_price_allows_it() -> None:
    found = planned(priced(18), members(1))
    assert brief(found.actions) == ["create few nyc3"] * 2
    why = "limits:monthly_price is 18 USD, and the fleet would cost 24"
    assert [one.why for one in found.later] == [why]
    assert (found.state, found.why) == ("changing", f"1 more node is wanted, but {why}")


def test_a_fleet_that_may_cost_no_more_is_blocked() -> None:
    found = planned(priced(6), members(1))
    assert (found.state, found.actions) == ("blocked", ())
    assert found.why == "3 more nodes are wanted, but limits:monthly_price is 6 USD, and the fleet would cost 12"


def test_a_node_whose_price_is_not_known_is_not_created_if_there_is_a_limit() -> None:
    found = planned(priced(100), prices={})
    assert (
        found.why
        == "4 more nodes are wanted, but limits:monthly_price is set, and the price of a new node is not known"
    )
    assert len(done(spec(count=4), prices={})) == 4


def test_each_currency_counts_by_itself() -> None:
    prices = {"nyc3": Price(6.0), "fra1": EURO}
    fleet = spec(["nyc3", "fra1"], count=6, limits={"monthly_price": {"USD": 6, "EUR": 100}})
    found = planned(fleet, prices=prices)
    assert brief(found.actions) == ["create few nyc3"] + ["create few fra1"] * 3
    fleet = spec(["nyc3", "fra1"], count=6, limits={"monthly_price": 12})
    assert brief(planned(fleet, prices=prices).actions) == [
        "create few nyc3", "create few fra1", "create few nyc3", "create few fra1"
    ]  # fmt: skip


def test_a_currency_without_a_limit_has_none() -> None:
    assert len(done(priced({"EUR": 1}))) == 4


def test_the_price_of_a_replacement_counts_beside_the_old_node() -> None:
    found = planned(priced(24, drift="replace"), members(4, drift=("size",)))
    assert brief(found.actions) == ["replace drift web-0 first"]
    found = planned(priced(30, drift="replace"), members(4, drift=("size",)))
    assert brief(found.actions) == ["replace drift web-0"]
    assert (found.actions[0].before, found.actions[0].after) == (Price(6.0), Price(6.0))


def test_dearer_nodes_in_place_of_old_ones_do_not_exceed_the_price_together() -> None:
    fleet = priced(30, drift="replace", disruption={"at_once": 4})
    found = planned(fleet, members(4, drift=("size",)), prices={"nyc3": DEAR})
    assert brief(found.actions) == ["replace drift web-0 first"]
    assert found.why.count("cannot be replaced: limits:monthly_price is 30 USD, and the fleet would cost 36") == 3


@pytest.mark.parametrize("price", [CHEAP, Price(6.0)])
def test_a_fleet_that_costs_too_much_already_can_still_replace_nodes_by_cheaper_ones(price: Price) -> None:
    found = planned(priced(10, drift="replace"), members(4, drift=("size",)), prices={"nyc3": price})
    assert brief(found.actions) == ["replace drift web-0 first"]


def test_a_fleet_that_costs_too_much_gets_no_dearer() -> None:
    found = planned(priced(10, drift="replace"), members(4, drift=("size",)), prices={"nyc3": DEAR})
    assert (found.state, found.actions) == ("blocked", ())


def test_nodes_are_replaced_by_cheaper_ones_although_the_missing_ones_are_too_dear() -> None:
    """Otherwise, the fleet would wait for money that only the replacements bring."""
    there = members(3, drift=("size",), price=DEAR)
    found = planned(priced(40, drift="replace"), there, prices={"nyc3": Price(6.0)})
    assert brief(found.actions) == ["replace drift web-0 first"]
    assert found.why == "1 more node is wanted, but limits:monthly_price is 40 USD, and the fleet would cost 42"


def test_amounts_are_compared_in_cents() -> None:
    cents = Price(0.1)
    assert len(done(priced(0.3, count=3), prices={"nyc3": cents})) == 3


# max


def test_at_max_the_old_node_goes_first() -> None:
    there = members(4, drift=("size",))
    assert done(spec(count=4, max=4, drift="replace"), there) == ["replace drift web-0 first"]
    assert done(spec(count=4, max=5, drift="replace"), there) == ["replace drift web-0"]
    assert done(spec(count=4, drift="replace"), there) == ["replace drift web-0"]


def test_the_surge_of_all_nodes_together_stays_below_max() -> None:
    there = members(4, drift=("size",))
    found = done(spec(count=4, max=6, drift="replace", disruption={"at_once": 3}), there)
    assert found == ["replace drift web-0", "replace drift web-1", "replace drift web-2 first"]


def test_a_node_that_is_taken_away_at_max_goes_before_the_new_one_comes() -> None:
    found = done(spec(count=2, max=2), [member("a"), member("spot", interrupted=NOW + 60)])
    assert found == ["replace interrupted spot first"]


# the limits of the configuration


def test_the_limits_of_the_configuration_count_too() -> None:
    room = Room(2, "hart:max_nodes is 10")
    found = planned(spec(count=4), members(1), room=room)
    assert brief(found.actions) == ["create few nyc3"] * 2
    assert found.why == "1 more node is wanted, but hart:max_nodes is 10"


@pytest.mark.parametrize(("nodes", "first"), [(1, ""), (0, " first"), (-3, " first")])
def test_without_room_the_old_node_goes_first(nodes: int, first: str) -> None:
    found = done(spec(count=2, drift="replace"), members(2, drift=("size",)), room=Room(nodes, "max_nodes is 2"))
    assert found == [f"replace drift web-0{first}"]


# changes within the hour


def limited(number: int, count: int = 6, **given: Any) -> Any:
    return spec(count=count, limits={"changes_per_hour": number}, **given)


def test_so_many_changes_are_made_in_an_hour() -> None:
    found = planned(limited(3), members(1))
    assert brief(found.actions) == ["create few nyc3"] * 3
    assert [(one.why, one.since) for one in found.later] == [("limits:changes_per_hour is 3", NOW + HOUR)] * 2
    why = "limits:changes_per_hour is 3: the next change is possible at 2026-12-02 13:00 UTC"
    assert (found.state, found.why) == ("changing", why)


@pytest.mark.parametrize(
    ("minutes", "allowed", "next_one"),
    [([], 3, 60), ([70, 60], 3, 60), ([59], 2, 1), ([30, 20], 1, 30), ([50, 30, 20], 0, 10), ([50, 40, 30, 20], 0, 20)],
)  # fmt: skip
def test_the_changes_of_the_last_hour_count(minutes: list[int], allowed: int, next_one: int) -> None:
    found = planned(limited(3), members(1), changes=[NOW - it * MINUTE for it in minutes])
    assert len(found.actions) == allowed
    assert {one.since for one in found.later} == {NOW + next_one * MINUTE}
    assert (found.state == "blocked") == (allowed == 0)


def test_changes_in_the_future_do_not_count() -> None:
    """The clock may have been set back."""
    assert len(done(limited(3), members(3), changes=[NOW + HOUR] * 9)) == 3


def test_each_kind_of_change_counts_but_the_record_of_a_node_that_is_gone() -> None:
    there = [*members(2), member("bad", "stopped"), member("lost", "gone"), member("old", ends=NOW - 1)]
    found = planned(limited(2, count=4, repair_after="1m"), there)
    assert brief(found.actions) == ["destroy gone lost", "destroy ttl old", "create few nyc3"]
    assert [one.action.minion_id for one in found.later] == ["bad"]
    assert planned(limited(1, count=4), members(6)).later == ()
    assert len(planned(limited(1, count=4, disruption={"at_once": 2}), members(6)).later) == 1


def test_changes_that_the_limit_leaves_are_not_taken_for_others() -> None:
    found = planned(limited(1, count=4, repair_after="1m", drift="replace"), members(4, drift=("size",)), changes=[NOW])
    assert (found.state, found.actions, found.following) == ("blocked", (), ())


def test_what_a_replacement_in_place_saves_is_not_spent_before_the_old_node_is_gone() -> None:
    """If the old node has to stay, the fleet would cost more than the limit."""
    there = [member("dear", price=DEAR, drift=("size",)), member("cheap", price=CHEAP, region="fra1", drift=("size",))]
    fleet = spec(
        ["nyc3", "fra1"], count=2, drift="replace", disruption={"at_once": 2}, limits={"monthly_price": 16}
    )  # fmt: skip
    found = planned(fleet, there, prices={"nyc3": CHEAP, "fra1": DEAR})
    assert brief(found.actions) == ["replace drift dear first"]


def test_a_purse_counts_what_comes() -> None:
    purse = Purse(scene(spec(count=1, max=3, limits={"monthly_price": 20})), members(2), NOW)
    assert purse.refusal(Price(6.0)) == ""
    purse.exchange(Price(6.0), Price(9.0))
    assert purse.refusal(Price(6.0)) == "limits:monthly_price is 20 USD, and the fleet would cost 21"
    purse.exchange(Price(9.0), Price(1.0))
    purse.exchange(None, Price(1.0, "EUR"))
    assert purse.refusal(Price(6.0)) == "limits:monthly_price is 20 USD, and the fleet would cost 21"
    assert purse.refusal(Price(5.0)) == ""
    purse.create(Price(5.0))
    assert purse.refusal(Price(0.0)) == "max is 3"
