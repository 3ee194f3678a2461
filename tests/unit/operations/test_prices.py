"""What nodes cost in a month, from records, instances and the prices of sizes."""

from __future__ import annotations

from typing import Any

from hart_salt.base.errors import AuthError
from hart_salt.config.schema import Provider
from hart_salt.drivers.contract import Driver
from hart_salt.drivers.local import driver as local
from hart_salt.inventory.identity import Found, Unknown
from hart_salt.inventory.records import Record
from hart_salt.inventory.snapshot import Snapshot
from hart_salt.model import Instance, Price
from hart_salt.operations import prices
from hart_salt.operations.prices import Existing, Offer, Prices

PROVIDER = Provider("do", "do", local.SCHEMA.account())


def record(minion_id: str, **more: Any) -> Record:
    given: dict[str, Any] = {
        "minion_id": minion_id, "provider": "do", "driver": "do", "region": "nyc3", "size": "s", "stage": "ready",
        "owner": "o", "batch": "b", "created": 1.0, "role": "app", "instance_id": f"i-{minion_id}",
    }  # fmt: skip
    return Record(**{**given, **more})


def instance(minion_id: str, **more: Any) -> Instance:
    given: dict[str, Any] = {"role": "app", "batch": "b", "region": "nyc3", "size": "s"}
    return Instance(f"i-{minion_id}", minion_id, "running", **{**given, **more})


def nodes(number: int, size: str, provider: str = "do") -> list[Existing]:
    return [Existing(f"{size}-{one}", "app", Offer(provider, "nyc3", size)) for one in range(number)]


KNOWN = Prices({
    Offer("do", "nyc3", "s"): Price(6.1), Offer("do", "nyc3", "l"): Price(48.0),
    Offer("other", "nyc3", "cx"): Price(4.35, "EUR"), Offer("local", "nyc3", "none"): Price(0.0),
})  # fmt: skip


def test_each_node_counts_once_with_the_size_that_the_provider_reports() -> None:
    listed = [instance("a"), instance("b", size="l"), instance("c", role=None)]
    odd = Unknown(instance("x y"), PROVIDER, "it is odd")
    seen = Snapshot(
        [Found(one, PROVIDER) for one in listed], frozenset(["do"]), [],
        {"a": record("a"), "b": record("b"), "d": record("d"), "new": record("new", instance_id=None)}, {},
        unknown=[odd],
    )  # fmt: skip
    found = {one.minion_id: (one.role, one.offer.size, one.state) for one in prices.of_snapshot(seen)}
    assert found == {
        "a": ("app", "s", "running"), "b": ("app", "l", "running"), "d": ("app", "s", None), "new": ("app", "s", None),
        "c": (None, "s", "running"), "i-x y": ("app", "s", "running"),
    }  # fmt: skip


def test_currencies_stay_apart_and_unknown_prices_are_counted() -> None:
    every = [*nodes(3, "s"), *nodes(2, "cx", "other"), *nodes(2, "odd")]
    total = KNOWN.total(every)
    assert total.amounts == {"EUR": 8.7, "USD": 18.3}
    assert total.unknown == {Offer("do", "nyc3", "odd"): 2}


def entry(action: str, size: str = "s", amount: float | None = None, **more: Any) -> dict[str, Any]:
    given = {"result": None, "action": action, "role": "app", "provider": "do", "region": "nyc3", "size": size}
    return {**given, "monthly_price": amount, "currency": "USD", **more}


def offering(known: dict[str, Price]) -> Driver:
    class Offering:
        provider, no_prices = PROVIDER, ""

        def prices(self, wanted: dict[str, set[str]]) -> dict[tuple[str, str], Price]:
            return {(at, name): known[name] for at, names in wanted.items() for name in names if name in known}

    return Offering()  # type: ignore[return-value]


def test_a_plan_has_the_price_of_each_node_and_of_all_before_and_after_it() -> None:
    records = [record("a"), record("b"), record("c"), record("other", provider="other")]
    entries = {"a": entry("destroy"), "new": entry("create", "l", 48.0)}
    asked: list[str] = []

    def driver(name: str) -> Driver:
        asked.append(name)
        return offering({"s": Price(6.1)})

    priced, change = prices.of_plan(entries, records, driver)
    assert {name: one["monthly_price"] for name, one in priced.items()} == {"a": 6.1, "new": 48.0}
    assert change == {"before": {"USD": 18.3}, "after": {"USD": 60.2}}
    assert asked == ["do"], "only the providers of the plan are asked"


def test_a_node_that_is_destroyed_counts_without_a_record() -> None:
    priced, change = prices.of_plan({"a": entry("destroy")}, [], lambda _: offering({"s": Price(6.1, "EUR")}))
    assert (priced["a"]["monthly_price"], priced["a"]["currency"]) == (6.1, "EUR")
    assert change == {"before": {"EUR": 6.1}, "after": {"EUR": 0.0}}


def test_a_plan_says_how_many_prices_are_unknown_and_leaves_out_what_is_free() -> None:
    records = [record("a", size="odd"), record("b", size="free")]
    entries = {"c": entry("create", "odd"), "d": entry("create", "free", 0.0), "e": entry("create", "odd")}
    assert prices.of_plan(entries, records, lambda _: offering({"free": Price(0.0)}))[1] == {
        "before": {}, "after": {}, "unknown": {"before": 1, "after": 3},
    }  # fmt: skip


def test_the_price_in_a_record_counts_where_the_provider_does_not_say_what_it_is_now() -> None:
    records = [record("a", monthly_price=5.0, currency="USD"), record("b", monthly_price=5.0, currency="USD", size="l")]
    _, change = prices.of_plan({"c": entry("create", "l", 48.0)}, records, lambda _: offering({"l": Price(40.0)}))
    assert change == {"before": {"USD": 53.0}, "after": {"USD": 101.0}}
    resized = prices.of_record(records[0], instance("a", size="l"))
    assert resized.price is None, "the record has the price of another size"


def test_a_provider_that_does_not_answer_hides_no_other() -> None:
    class Asked:
        def __init__(self, name: str) -> None:
            self.provider = Provider(name, "do", PROVIDER.account)
            self.no_prices = "it has none" if name == "without" else ""

        def prices(self, wanted: Any) -> dict[tuple[str, str], Price]:
            if self.provider.name == "down":
                raise AuthError("the token is not valid")
            if self.no_prices:
                return {}
            assert wanted == {"r": {"s"}}
            return {("r", "s"): Price(1.0)}

    def driver(name: str) -> Driver:
        return Asked(name)  # type: ignore[return-value]

    offers = {Offer("up", "r", "s"), Offer("down", "r", "s"), Offer("up", "", "s"), Offer("up", "r", ""),
              Offer("without", "r", "s"),
              Offer("given", "r", "s")}  # fmt: skip
    given = {Offer("given", "r", "s"): Price(2.0)}
    found = prices.look_up(offers, driver, given)
    assert found.known == {Offer("up", "r", "s"): Price(1.0), **given}
    assert found.problems == {"down": "the token is not valid", "without": "it has none"}
