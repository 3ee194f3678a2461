"""The limits of nodes and prices in the configuration."""

from __future__ import annotations

from typing import Any

import pytest

from hart_salt import drivers
from hart_salt.config.limits import Limits
from hart_salt.config.loader import Config, Source, load

SCHEMAS = drivers.schemas()
TOKEN = {"token": "an-example"}


def loaded(*sources: dict[str, Any]) -> Config:
    found = [Source(f"source {number}", data) for number, data in enumerate(sources)]
    return load(found, SCHEMAS, lambda reference: reference)


def test_each_place_has_its_own_limits_which_are_no_settings_of_nodes() -> None:
    config = loaded(
        {
            "max_nodes": "20", "providers": {"do": {**TOKEN, "max_nodes": 10, "max_monthly_price": "99.50"}},
            "roles": {"app": {"max_monthly_price": {"USD": 5, "EUR": "4.5"}}, "db": {}},
        }
    )  # fmt: skip
    assert config.limits == {
        "hart": Limits(max_nodes=20),
        "hart:providers:do": Limits(max_nodes=10, max_monthly_price=99.5),
        "hart:roles:app": Limits(max_monthly_price={"USD": 5.0, "EUR": 4.5}),
    }
    assert (config.defaults, config.provider_defaults, config.roles["app"].settings) == ({}, {"do": {}}, {})


def test_a_later_source_overrides_a_limit_of_an_earlier_one() -> None:
    config = loaded({"max_nodes": 5, "max_monthly_price": {"USD": 1}}, {"max_nodes": 6, "max_monthly_price": 7})
    assert config.limits == {"hart": Limits(max_nodes=6, max_monthly_price=7.0)}


@pytest.mark.parametrize(("limit", "amounts"), [(7, (7.0, 7.0)), ({"EUR": 3}, (None, 3.0)), (None, (None, None))])
def test_a_number_is_for_each_currency(limit: Any, amounts: tuple[float | None, float | None]) -> None:
    one = Limits(max_monthly_price=limit) if limit is not None else Limits()
    assert (one.amount("USD"), one.amount("EUR")) == amounts


def test_a_misspelled_limit_is_suggested() -> None:
    with pytest.raises(Exception, match="hart:roles:app:max_node: unknown setting, did you mean max_nodes"):
        loaded({"roles": {"app": {"max_node": 5}}})
