"""The accepted arguments of the runner's functions, and the sentences about the refused ones."""

from __future__ import annotations

import re
from datetime import date, datetime, timezone
from typing import Any

import pytest

from hart_salt import arguments
from hart_salt.base.errors import Refused
from hart_salt.model import ADDITIONAL, PRIVATE, RESERVED, AddressRequest


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"ip": "203.0.113.7"}, AddressRequest(RESERVED, "203.0.113.7")),
        ({"kind": "reserved", "ip": "203.0.113.7"}, AddressRequest(RESERVED, "203.0.113.7")),
        ({"kind": "additional"}, AddressRequest(ADDITIONAL)),
        ({"kind": "private"}, AddressRequest(PRIVATE)),
        ({"kind": "private", "vpc": "v"}, AddressRequest(PRIVATE, vpc="v")),
    ],
)
def test_arguments_that_can_be_combined_are_a_request(given: dict[str, Any], asked: AddressRequest) -> None:
    assert arguments.address_request(**{"kind": None, "ip": None, "vpc": None, **given}) == asked


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "kind must be one of reserved, additional, private; with ip=ADDRESS it is reserved"),
        ({"kind": "floating"}, "kind must be one of reserved, additional, private"),
        ({"kind": "reserved"}, "ip must be an IPv4 address, such as ip=203.0.113.7"),
        ({"ip": "203.0.113"}, "ip must be an IPv4 address"),
        ({"ip": "2001:db8::1"}, "ip must be an IPv4 address"),
        ({"ip": "203.0.113.7/32"}, "ip must be an IPv4 address"),
        ({"ip": "203.0.113.7; reboot"}, "ip must be an IPv4 address"),
        ({"kind": "private", "ip": "203.0.113.7"}, "ip selects a reserved address: omit it"),
        ({"kind": "additional", "ip": "203.0.113.7"}, "ip selects a reserved address: omit it"),
        ({"ip": "203.0.113.7", "vpc": "v"}, "vpc selects a private network: omit it with kind=reserved"),
    ],
)
def test_other_arguments_are_refused_with_what_to_do(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(Refused) as caught:
        arguments.address_request(**{"kind": None, "ip": None, "vpc": None, **given})
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("value", "extra", "found"),
    [
        ("a", (), ["a"]), ("a, b,", (), ["a", "b"]), (["a", 7], (), ["a", "7"]), (12, (), ["12"]),
        ("a", ("b", 7), ["a", "b", "7"]), ("a,", ("b,c",), ["a", "b", "c"]), ("a b\nc", (), ["a", "b", "c"]),
    ],
)  # fmt: skip
def test_ids_are_a_text_with_commas_or_blanks_or_a_list(value: Any, extra: tuple[str, ...], found: list[str]) -> None:
    assert arguments.ids("hart.create", value, extra) == found


@pytest.mark.parametrize(
    ("value", "extra", "expected"),
    [
        (None, (), "hart.create needs an id: salt-run hart.create ID"),
        ("", (), "hart.create needs an id"),
        ([], (), "hart.create needs an id"),
        ({"a": 1}, (), "hart.create needs an id"),
        (" , ", (), "hart.create needs an id: salt-run hart.create ID"),
        (["a"], ("b",), "hart.create needs an id"),
        ("a", (True,), "hart.create: YAML does not read the id as text"),
        ("a", (["b"],), "hart.create needs an id"),
    ],
)
def test_anything_but_ids_is_refused(value: Any, extra: tuple[str, ...], expected: str) -> None:
    with pytest.raises(Refused, match=re.escape(expected)):
        arguments.ids("hart.create", value, extra)


@pytest.mark.parametrize("value", [False, True, 1.5])
def test_what_yaml_made_of_a_word_is_not_a_name(value: Any) -> None:
    """A command line turns ``no`` into False and ``1.10`` into 1.1."""
    with pytest.raises(Refused, match="hart.scale: YAML does not read the role as text"):
        arguments.word("hart.scale", "role", value, ())
    with pytest.raises(Refused, match="hart.destroy: YAML does not read the id as text"):
        arguments.ids("hart.destroy", ["a", value], ())


def test_unknown_arguments_are_refused_except_salts_own_keywords() -> None:
    arguments.refuse({"__pub_user": "root"})
    with pytest.raises(Refused, match="unknown argument: colour, red"):
        arguments.refuse({"colour": 1, "__pub_user": "root"}, ["red"])


def called(role: str, *extra: str, provider: str = "", **unknown: str) -> None:
    """A function of the runner."""


def test_a_parameter_of_the_function_is_suggested_for_an_unknown_argument() -> None:
    for given, expected in (
        ({"rol": 1}, "unknown argument: rol; did you mean role?"),
        ({"privider": 1, "rol": 1}, "unknown argument: privider, rol; did you mean provider and role?"),
        ({"colour": 1}, "unknown argument: colour"),
        ({"extr": 1, "unknow": 1}, "unknown argument: extr, unknow"),
    ):
        with pytest.raises(Refused, match=f"^{re.escape(expected)}$"):
            arguments.refuse(given, (), called)


@pytest.mark.parametrize("name", ["count", "delta", "min", "max"])
def test_a_number_of_nodes_that_can_only_be_a_typing_error_is_refused(name: str) -> None:
    most = arguments.MOST_NODES
    assert arguments.count(most) == most
    with pytest.raises(Refused, match=f"^{name} must be at most 10000; 10001 is more than one call creates$"):
        arguments.target_size(**{"count": None, "delta": None, "min": None, "max": None, name: most + 1})
    with pytest.raises(Refused, match="at most 10000"):
        arguments.count("1000000")


def test_names_are_text_even_if_they_look_like_numbers() -> None:
    assert arguments.names(role=12, provider=None, region="ams") == {"role": "12", "provider": None, "region": "ams"}
    with pytest.raises(Refused, match="role and region must be a name, as text"):
        arguments.names(role=True, provider="do", region=["ams"])


@pytest.mark.parametrize(("value", "least"), [(3, 1), (1, 1), (0, 0), (None, 1), (-2, None)])
def test_whole_numbers(value: Any, least: int | None) -> None:
    assert arguments.whole("count", value, least) == value


@pytest.mark.parametrize(("value", "number"), [("3", 3), (" 12 ", 12), ("-2", -2), ("+1", 1)])
def test_whole_numbers_can_be_in_quotes(value: str, number: int) -> None:
    assert arguments.whole("delta", value, None) == number
    assert arguments.seconds("grace", "60") == 60
    assert arguments.seconds("grace", "1.5") == 1.5


@pytest.mark.parametrize(("value", "least"), [(0, 1), (-1, 0), (True, 0), ("3x", 0), ("0", 1), ("1.0", 0), (1.0, 0)])
def test_anything_but_a_whole_number_is_refused(value: Any, least: int) -> None:
    with pytest.raises(Refused, match="count must be a whole number of at least"):
        arguments.whole("count", value, least)


@pytest.mark.parametrize("value", [-1, float("inf"), float("nan"), True, "5s", "-5", "", None])
def test_anything_but_a_number_of_seconds_is_refused(value: Any) -> None:
    assert arguments.seconds("grace", 0) == 0
    with pytest.raises(Refused, match="grace must be a number of seconds"):
        arguments.seconds("grace", value)


@pytest.mark.parametrize("value", [1, 0, "yes please", "", None])
def test_a_flag_is_true_or_false(value: Any) -> None:
    assert arguments.flag(False) is False
    assert arguments.flag("True") is True
    assert arguments.flag("no") is False
    with pytest.raises(Refused, match="force must be True or False"):
        arguments.flag(value, "force")


def test_a_target_size_has_whole_numbers_and_only_delta_can_be_negative() -> None:
    size = arguments.target_size(count=None, delta=-2, min=0, max=9)
    assert (size.count, size.delta) == (None, -2)
    with pytest.raises(Refused, match="min must be a whole number of at least 0"):
        arguments.target_size(count=None, delta=1, min=-1, max=None)


def test_an_order_has_the_users_settings_and_none_of_salts() -> None:
    order = arguments.order("app", "do", None, False, True, {"size": "s", "__pub_user": "root"})
    assert (order.role, order.provider, order.test, order.settings) == ("app", "do", True, {"size": "s"})


NOON = 1_764_504_000.0  #: 2025-11-30T12:00:00Z


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None), ("30m", NOON - 1800), ("12h", NOON - 12 * 3600), ("1d", NOON - 86_400),
        (" 2W ", NOON - 1_209_600), ("2025-11-30", NOON - 12 * 3600), ("2025-11-30T08:00", NOON - 4 * 3600),
        ("2025-11-30T12:00Z", NOON), ("2025-11-30T08:00+01:00", NOON - 5 * 3600),
        (date(2025, 11, 30), NOON - 12 * 3600), (datetime(2025, 11, 30, 8, tzinfo=timezone.utc), NOON - 4 * 3600),
    ],
)  # fmt: skip
def test_a_time_is_a_duration_before_now_or_a_date_in_utc(value: Any, expected: float | None) -> None:
    assert arguments.moment("since", value, NOON) == expected


@pytest.mark.parametrize(
    "value", ["", "1y", "yesterday", "-1d", "1.5h", 5, True, [], {}, "2025-13-01", "9999999d", "d", "1d2h", "٣d"]
)
def test_another_time_is_refused_in_one_sentence(value: Any) -> None:
    with pytest.raises(Refused, match="^since must be a duration such as 30m, 12h, 1d or 2w, or a date in UTC such as"):
        arguments.moment("since", value, NOON)


@pytest.mark.parametrize("value", ["2025-11-30T12:01Z", "2999-01-01"])
def test_a_time_in_the_future_is_refused(value: str) -> None:
    with pytest.raises(Refused, match=f"^since is in the future: {value}$"):
        arguments.moment("since", value, NOON)
