"""The limits ``max_nodes`` and ``max_monthly_price``: no call creates a node beyond them, and each says why."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from hart_salt.base.errors import AuthError, QuotaExceeded, Refused
from hart_salt.drivers.contract import BEGINNING, READING
from hart_salt.inventory.flocks import FileLocks
from hart_salt.inventory.locks import BatchClaim
from hart_salt.inventory.records import Store
from hart_salt.model import PROBLEM, UNKNOWN, Access, Check, Instance, Node, Price
from hart_salt.operations import limits, prices
from hart_salt.runners import hart as runner
from hart_salt.service import Service
from hart_salt.use_cases.money import LIMITS
from tests.functional import test_use_cases
from tests.functional.test_use_cases import CLOUD, Cloud, Place, call, refusal

place = test_use_cases.place  # the fixture

PLACES = {"hart": [], "hart:providers:cloud": ["providers", CLOUD], "hart:roles:app": ["roles", "app"]}


def limit(place: Place, where: str, **limits: Any) -> None:
    section = place.opts["hart"]
    for name in PLACES[where]:
        section = section[name]
    section.update(limits)


@pytest.fixture(autouse=True)
def own_settings(place: Place) -> None:
    """Give the test a copy of the settings, which it can change."""
    hart = place.opts["hart"]
    sections = {name: {key: dict(value) for key, value in hart[name].items()} for name in ("providers", "roles")}
    place.opts["hart"] = {**hart, **sections}


def create(**more: Any) -> dict[str, Any]:
    return call("create_role", "app", test=True, **more)


@pytest.mark.parametrize("where", PLACES)
def test_a_call_beyond_the_number_of_nodes_is_refused_with_the_setting_and_the_numbers(
    place: Place, where: str
) -> None:
    place.start("web-1")
    place.start("web-2")
    limit(place, where, max_nodes=4)
    assert "retcode" not in create(count=2)
    text = refusal(create(count=3))
    assert text == (
        f"{where}:max_nodes is 4, and 2 nodes exist, so 3 more cannot be created; destroy nodes, or raise the limit"
    )
    assert refusal(call("create", "web-3,web-4,web-5", role="app")) == text
    assert refusal(call("scale", "app", count=5, test=True)) == text
    assert refusal(call("scale", "app", count=5)) == text


@pytest.mark.parametrize("where", PLACES)
def test_a_call_beyond_the_price_is_refused_with_the_setting_and_the_prices(place: Place, where: str) -> None:
    place.start("web-1")
    limit(place, where, max_monthly_price=15)
    assert "retcode" not in create(count=2)
    text = refusal(create(count=3))
    assert text == (
        f"{where}:max_monthly_price is 15.00 USD, and the existing nodes cost 5.00 USD a month: with 3 more of small "
        "for 5.00 USD each it would be 20.00 USD; destroy nodes, choose a smaller size, or raise the limit"
    )
    assert refusal(call("scale", "app", count=4)) == text
    assert refusal(create(size="big")).startswith(f"{where}:max_monthly_price is 15.00 USD, and")


@pytest.mark.parametrize("where", PLACES)
def test_a_resize_beyond_the_price_is_refused_and_one_to_a_cheaper_size_is_not(place: Place, where: str) -> None:
    place.start("web-1")
    limit(place, where, max_monthly_price=7)
    text = refusal(call("resize", "web-1", size="big", test=True))
    assert text.startswith(
        f"{where}:max_monthly_price is 7.00 USD, and the existing nodes cost 5.00 USD a month: with 1 resized to big "
    )
    assert refusal(call("resize", "web-1", size="big")) == text
    limit(place, where, max_monthly_price=1)
    assert "max_monthly_price" not in refusal(call("resize", "web-1", size="small"))


def test_every_limit_that_a_call_exceeds_is_named(place: Place) -> None:
    limit(place, "hart:roles:app", max_nodes=2, max_monthly_price=12)
    limit(place, "hart", max_monthly_price="10")
    place.start("web-1")
    lines = refusal(create(count=2)).splitlines()
    assert [line.partition(" is ")[0] for line in lines] == [
        "hart:max_monthly_price", "hart:roles:app:max_nodes", "hart:roles:app:max_monthly_price",
    ]  # fmt: skip


def test_only_nodes_under_the_limit_count(place: Place) -> None:
    place.start("web-1")
    place.start("db-1", role="db", provider="other")
    place.start("db-2", role="db")
    limit(place, "hart:roles:app", max_nodes=2)
    limit(place, "hart:providers:cloud", max_nodes=3)
    limit(place, "hart", max_nodes=4)
    assert "retcode" not in create()
    for where, most in {"hart:roles:app": 1, "hart:providers:cloud": 2, "hart": 3}.items():
        limit(place, where, max_nodes=most)
        assert f"{where}:max_nodes is {most}, and {most} node" in refusal(create())


def test_instances_without_a_record_and_records_without_an_instance_count(place: Place) -> None:
    for minion_id in ("web-1", "web-2", "web-3"):
        place.start(minion_id)
    place.store.remove("web-1")
    del place.clouds[CLOUD].account["i-web-2"]
    place.clouds[CLOUD].account["i-odd"] = Instance("i-odd", "not/an id", "running", "app", "b1", "here")
    limit(place, "hart:providers:cloud", max_nodes=4)
    assert "and 4 nodes exist" in refusal(create())


def test_a_million_nodes_are_refused_within_a_second_without_a_look(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cloud, "instances", lambda self, region=None: pytest.fail("the instances were listed"))
    monkeypatch.setattr(Store, "read", lambda self: pytest.fail("the records were read"))
    assert "count must be at most 10000" in refusal(create(count=1_000_000))
    limit(place, "hart:roles:app", max_nodes=50)
    monkeypatch.setattr("hart_salt.planning.resolve.each", lambda *_: pytest.fail("each node was resolved"))
    assert refusal(create(count=10_000)) == (
        "hart:roles:app:max_nodes is 50, so 10000 nodes cannot be created; destroy nodes, or raise the limit"
    )


def test_with_the_limit_0_nothing_is_created(place: Place) -> None:
    limit(place, "hart:providers:cloud", max_nodes=0)
    assert refusal(create()) == (
        "hart:providers:cloud:max_nodes is 0, so 1 node cannot be created; raise the limit first"
    )
    limit(place, "hart:providers:cloud", max_nodes=1, max_monthly_price=0)
    assert "max_monthly_price is 0.00 USD" in refusal(create())


def test_a_fleet_can_shrink_and_stay_above_a_lowered_limit(place: Place) -> None:
    for minion_id in ("web-1", "web-2", "web-3"):
        place.start(minion_id)
    limit(place, "hart:roles:app", max_nodes=1, max_monthly_price=1)
    assert call("scale", "app", count=3)["changed"] is False
    assert call("scale", "app", count=2)["changed"] is True


@pytest.mark.parametrize("test", [True, False])
def test_a_replacement_is_refused_for_its_surge(place: Place, test: bool) -> None:
    for minion_id in ("web-1", "web-2", "web-3"):
        place.start(minion_id)
    limit(place, "hart:roles:app", max_nodes=4)
    planned = call("replace", "app", batch=1, test=True)
    assert "retcode" not in planned, planned
    limit(place, "hart:roles:app", max_nodes=3)
    assert refusal(call("replace", "app", batch=1, test=test)).endswith("adds 1 before it removes any; raise the limit")
    limit(place, "hart:roles:app", max_nodes=4)
    assert refusal(call("replace", "app", batch=2, test=test)) == (
        "hart:roles:app:max_nodes is 4, and 3 nodes exist: hart.replace adds 2 before it removes any; use a smaller "
        "batch, or raise the limit"
    )
    assert len(place.clouds[CLOUD].account) == 3


def test_a_replacement_is_refused_for_what_it_would_cost_before_its_last_batch(place: Place) -> None:
    """The first batch is within the limit, with 15 + 40. Before the last old node is removed, it is 3 * 40 + 5."""
    for minion_id in ("web-1", "web-2", "web-3"):
        place.start(minion_id)
    limit(place, "hart:roles:app", max_monthly_price=60)
    assert (
        "with 3 more of big for 40.00 USD each it would be 125.00 USD, before it removes the last old ones"
        in refusal(call("replace", "app", size="big", test=True))
    )
    limit(place, "hart:roles:app", max_monthly_price=20)
    assert "retcode" not in call("replace", "app", test=True)
    assert "it would be 25.00 USD" in refusal(call("replace", "app", batch=2))


def test_a_size_without_a_known_price_is_refused_where_the_price_is_limited(place: Place) -> None:
    limit(place, "hart:providers:cloud", max_monthly_price=100)
    assert refusal(create(size="free")) == (
        "hart:providers:cloud:max_monthly_price is set, but the price of free in here at cloud is not known; use "
        "max_nodes instead, or a size with a known price"
    )
    place.start("web-1", size="free")
    account = place.clouds[CLOUD].account
    account["i-web-1"] = Instance("i-web-1", "web-1", "running", "app", "b1", "here", size="free")
    assert refusal(create()) == (
        "hart:providers:cloud:max_monthly_price is 100.00 USD, but the price of 1 node is not known, such as of free "
        "in here at cloud: use max_nodes instead, or replace these nodes"
    )


def test_each_currency_has_its_own_limit(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def euros(self: Cloud, wanted: Mapping[str, Collection[str]]) -> dict[tuple[str, str], Price]:
        return {(region, size): Price(9.0, "EUR") for region, sizes in wanted.items() for size in sizes}

    place.start("db-1", role="db", provider="other")
    monkeypatch.setattr(place.clouds["other"], "prices", euros.__get__(place.clouds["other"]), raising=False)
    limit(place, "hart", max_monthly_price={"USD": 5, "EUR": 9})
    assert "retcode" not in create()
    assert "is 9.00 EUR, and the existing nodes cost 9.00 EUR" in refusal(call("create_role", "db", test=True))
    limit(place, "hart", max_monthly_price={"EUR": 9})
    assert refusal(create()) == "hart:max_monthly_price has no number for USD, the currency of cloud: add it"


def test_a_provider_that_does_not_answer_counts_by_its_records(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.start("db-1", role="db", provider="other")
    limit(place, "hart", max_nodes=1)
    place.clouds["other"].error = AuthError("the token is not valid")
    assert "hart:max_nodes is 1, and 1 node exists" in refusal(create())
    assert "because it does not answer: other: the token is not valid" in caplog.text
    limit(place, "hart", max_nodes=2)
    assert "retcode" not in create()
    place.clouds[CLOUD].error = AuthError("the token is not valid")
    assert "cloud: the token is not valid" in refusal(create())


def test_without_limits_and_for_free_sizes_nothing_is_looked_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cloud, "instances", lambda self, region=None: pytest.fail("the instances were listed"))
    assert "retcode" not in create(count=2)


def test_a_new_master_counts(place: Place) -> None:
    place.start("web-1")
    limit(place, "hart:providers:cloud", max_nodes=1)
    made = call("create_master", "salt-2", provider=CLOUD, region="here", size="small", test=True)
    assert "hart:providers:cloud:max_nodes is 1, and 1 node exists" in refusal(made)


def test_a_limit_is_refused_where_it_has_no_meaning(place: Place) -> None:
    assert "argument:max_nodes: is a limit" in refusal(create(max_nodes=5))
    place.opts["hart"]["roles"]["app"]["cloud"] = {"max_monthly_price": 5}
    assert refusal(create()) == (
        "hart:roles:app:cloud:max_monthly_price: is a limit, which can be set only directly under hart, in a provider "
        "and in a role (in master config)"
    )


@pytest.mark.parametrize("value", [-1, 1.5, "many", None, [3]])
def test_a_number_of_nodes_that_is_none_is_refused(place: Place, value: Any) -> None:
    limit(place, "hart:roles:app", max_nodes=value)
    assert "hart:roles:app:max_nodes: " in refusal(create())


@pytest.mark.parametrize("value", [-1, "much", None, True, float("nan"), {}, {"usd": 1}, {"USD": -1}, [3]])
def test_a_price_that_is_none_is_refused(place: Place, value: Any) -> None:
    limit(place, "hart", max_monthly_price=value)
    assert "hart:max_monthly_price: " in refusal(create())


def test_the_price_of_each_offer_is_looked_up_once() -> None:
    """Thousands of nodes have few offers."""
    asked: list[Mapping[str, Collection[str]]] = []

    class Offering:
        provider, no_prices = type("P", (), {"name": "do"})(), ""

        def prices(self, wanted: Mapping[str, Collection[str]]) -> dict[tuple[str, str], Price]:
            asked.append(wanted)
            return {("a", "s"): Price(1.1), ("b", "s"): Price(2.2)}

    nodes = [prices.Existing(f"n{number}", None, prices.Offer("do", "ab"[number % 2], "s")) for number in range(10_000)]
    found = prices.look_up({node.offer for node in nodes}, lambda _: Offering())  # type: ignore[arg-type,return-value]
    assert found.total(nodes).amounts == {"USD": 16_500.0}
    assert len(asked) == 1


# several calls at the same time


def test_nodes_that_another_call_is_about_to_create_count(place: Place) -> None:
    limit(place, "hart:roles:app", max_nodes=4, max_monthly_price=20)
    facts = {"provider": CLOUD, "region": "here", "size": "small", "role": "app", "nodes": 3}
    with FileLocks(place.info.cachedir).batch("b9", facts):
        lines = refusal(create(count=2)).splitlines()
        assert "max_nodes is 4, and 3 nodes exist, so 2 more" in lines[0]
        assert "the existing nodes cost 15.00 USD" in lines[1]
        place.start("web-1", batch="b9")  # it has created one of them
        assert "and 3 nodes exist" in refusal(create(count=2))
        assert "retcode" not in create(count=1)
    place.start("web-1", batch="b9")
    assert "retcode" not in create(count=3)


def test_another_call_counts_once_the_claim_says_how_many_nodes_there_will_be(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the claim, two calls would both see room for their nodes."""
    locks, looking = FileLocks(place.info.cachedir), threading.Lock()
    steps: list[Any] = []
    batch = FileLocks.batch

    def is_free() -> bool:
        # Two launches at the same time would find the lock taken by each other.
        with looking, locks.role(LIMITS, wait=False) as held:
            return held

    @contextmanager
    def claimed(self: FileLocks, name: str, facts: Mapping[str, Any]) -> Iterator[BatchClaim]:
        steps.append(is_free())
        with batch(self, name, facts) as claim:
            steps.append({key: facts[key] for key in ("role", "provider", "region", "size", "nodes")})
            yield claim

    def launch(self: Cloud, node: Node, user_data: str, access: Access) -> Instance:
        steps.append(is_free())
        raise QuotaExceeded("the account may have 0 instances")

    monkeypatch.setattr(FileLocks, "batch", claimed)
    monkeypatch.setattr(Cloud, "launch", launch)
    facts = {"role": "app", "provider": CLOUD, "region": "here", "size": "small", "nodes": 2}
    call("create_role", "app", count=2)
    assert steps == [True, facts, True, True], "without a limit, no call waits for another"
    limit(place, "hart", max_nodes=5)
    steps.clear()
    call("create_role", "app", count=2)
    assert steps == [False, facts, True, True]


def test_of_calls_at_the_same_time_only_those_within_the_limit_create_nodes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of ten threads asks for two nodes, the limit is seven: three of them may, whichever come first."""
    limit(place, "hart", max_nodes=7)
    service = Service(place.opts)
    both = threading.Barrier(10)

    def one(number: int) -> bool:
        growth = limits.creation(service.offers.example("app", None, None), 2)
        both.wait(60)
        try:
            with service.money.within_limits(growth, test=False):
                place.start(f"web-{number}-a")
                place.start(f"web-{number}-b")
        except Refused:
            return False
        return True

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(one, range(10))) == 3
    assert len(place.clouds[CLOUD].account) == 6


# the quota of the account


@pytest.fixture
def quota(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the account have room for two more nodes, and return the numbers that were asked for."""
    asked: list[int] = []

    def check_quota(self: Cloud, node: Node, count: int) -> Check:
        asked.append(count)
        said = f"the account has 8 of 10 instances, so {count} more are too many: ask for a higher limit"
        return Check("quota", PROBLEM, said) if count > 2 else Check("quota", UNKNOWN, "it is not reported")

    monkeypatch.setattr(Cloud, "check_quota", check_quota, raising=False)
    return asked


def test_nodes_beyond_the_quota_are_refused_before_anything_is_created(place: Place, quota: list[int]) -> None:
    text = "cloud: the account has 8 of 10 instances, so 3 more are too many: ask for a higher limit"
    assert refusal(create(count=3)) == refusal(call("create_role", "app", count=3)) == text
    assert refusal(call("scale", "app", count=3)) == text
    assert "retcode" not in create(count=2)
    assert place.store.read().good == {}


def test_one_node_that_is_not_only_planned_needs_no_look_at_the_quota(place: Place, quota: list[int]) -> None:
    """The create call of one node is refused by itself, and nothing is left: a look would be one call more."""
    call("create_role", "app")
    assert quota == []
    create()
    assert quota == [1]


def test_a_replacement_needs_quota_for_its_surge_only(place: Place, quota: list[int]) -> None:
    for number in range(4):
        place.start(f"web-{number}")
    assert "retcode" not in call("replace", "app", batch=2, test=True)
    assert "so 3 more are too many" in refusal(call("replace", "app", batch=3, test=True))
    assert "so 3 more are too many" in refusal(call("replace", "app", batch=3))
    assert "so 4 more are too many" in refusal(call("replace", "app", batch=9))


def test_a_quota_that_cannot_be_found_out_refuses_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []

    def fails(self: Cloud, node: Node, count: int) -> Check:
        waits.append(self.outage.limit)
        raise AuthError("the token may not read the account")

    monkeypatch.setattr(Cloud, "check_quota", fails, raising=False)
    assert "error" not in call("create_role", "app", count=2)
    assert waits == [READING], "an API that cannot be reached is not waited for"
    assert place.clouds[CLOUD].outage.limit == BEGINNING


# prices in plans, and the cost of the fleet


def document(function: str, *arguments: Any, **keywords: Any) -> dict[str, Any]:
    data: dict[str, Any] = getattr(runner, function)(*arguments, **keywords)
    return data


def test_a_plan_has_the_price_of_each_node_and_the_total_before_and_after_it(place: Place) -> None:
    place.start("web-1")
    place.start("web-2")
    place.start("db-1", role="db", provider="other")
    made = document("create_role", "app", count=2, size="big", test=True)
    assert [entry["monthly_price"] for entry in made["nodes"].values()] == [40.0, 40.0]
    assert made["price"] == {"before": {"USD": 10.0}, "after": {"USD": 90.0}}
    gone = document("destroy", "web-1,db-1", test=True)
    assert gone["price"] == {"before": {"USD": 15.0}, "after": {"USD": 5.0}}
    assert {entry["monthly_price"] for entry in gone["nodes"].values()} == {5.0}
    assert document("scale", "app", count=3, test=True)["price"] == {"before": {"USD": 10.0}, "after": {"USD": 15.0}}
    assert document("scale", "app", count=1, test=True)["price"] == {"before": {"USD": 10.0}, "after": {"USD": 5.0}}
    renewed = document("replace", "app", size="big", test=True)
    assert renewed["price"] == {"before": {"USD": 10.0}, "after": {"USD": 80.0}}
    assert sorted(entry["monthly_price"] for entry in renewed["nodes"].values()) == [5.0, 5.0, 40.0, 40.0]
    assert "price" not in document("scale", "app", count=2, test=True)


def test_a_plan_does_not_fail_for_an_unknown_price(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Cloud, wanted: Mapping[str, Collection[str]]) -> dict[tuple[str, str], Price]:
        raise AuthError("the token is not valid")

    place.start("web-1")
    monkeypatch.setattr(Cloud, "prices", fails, raising=False)
    made = document("destroy", "web-1", test=True)
    assert "retcode" not in made
    assert made["price"] == {"before": {}, "after": {}, "unknown": {"before": 1, "after": 0}}


def test_what_the_fleet_costs(place: Place) -> None:
    place.start("web-1")
    place.start("db-1", role="db", provider="other")
    assert document("cost")["cost"]["total"] == {"USD": 10.0}
    one = document("cost", role="db", provider="other")
    assert (list(one["cost"]["nodes"]), one["cost"]["roles"]) == (["db-1"], {"db": {"USD": 5.0}})
    assert document("cost", month="2026-01")["cost"]["month"] == "2026-01"
    assert "there is no role dbb, did you mean db?" in refusal(document("cost", role="dbb"))
    assert "there is no provider" in refusal(document("cost", provider="nowhere"))
    assert "month must be" in refusal(document("cost", month=202611))
    place.clouds["other"].error = AuthError("the token is not valid")
    half = document("cost")
    assert (half["retcode"], half["problems"]) == (1, ["other: the token is not valid"])
    assert half["cost"]["total"] == {"USD": 10.0}, "its records count"
