"""Sizes are found by what they have, and sorted."""

from __future__ import annotations

import re
from typing import Any

import pytest

from hart_salt import arguments
from hart_salt.base.errors import Refused
from hart_salt.model import Size
from hart_salt.operations.sizes import SizeFilter

SMALL = Size("small", 512, 1, 10, 4.0, arch="amd64")
ARM = Size("arm", 4096, 2, 20, 6.0, arch="arm64")
LARGE = Size("large", 8192, 4, 80, 48.0, arch="amd64")
SOLD_OUT = Size("cheapest", 4096, 2, None, 1.0, available=False, arch="amd64")
UNPRICED = Size("unpriced", 4096, 8, None, None)
ALL = [LARGE, UNPRICED, SOLD_OUT, SMALL, ARM]


def found(**given: Any) -> list[str]:
    wanted: dict[str, Any] = {"memory": None, "cpus": None, "max_price": None, "arch": None, "sort": "price"}
    return [size.name for size in arguments.size_filter(**{**wanted, **given}).applied(ALL)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ["small", "arm", "large", "unpriced", "cheapest"]),
        ({"memory": 4}, ["arm", "large", "unpriced", "cheapest"]),
        ({"memory": "0.5", "cpus": "4"}, ["large", "unpriced"]),
        ({"max_price": 6}, ["small", "arm", "cheapest"]),
        ({"arch": "arm64"}, ["arm"]),
        ({"arch": "X86_64"}, ["small", "large", "cheapest"]),
        ({"sort": "-price"}, ["large", "arm", "small", "unpriced", "cheapest"]),
        ({"sort": "memory"}, ["small", "arm", "unpriced", "large", "cheapest"]),
        ({"sort": "-cpus"}, ["unpriced", "large", "arm", "small", "cheapest"]),
        ({"sort": "disk"}, ["small", "arm", "large", "unpriced", "cheapest"]),
        ({"sort": "-name"}, ["unpriced", "small", "large", "arm", "cheapest"]),
        ({"memory": 4, "max_price": 10, "arch": "arm64", "sort": "name"}, ["arm"]),
        ({"memory": 64}, []),
    ],
)
def test_what_matches_is_sorted_and_what_is_sold_out_stands_last(given: dict[str, Any], expected: list[str]) -> None:
    assert found(**given) == expected


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"memory": "4GB"}, "memory must be a number, such as memory=4"),
        ({"cpus": -1}, "cpus must be a number"),
        ({"max_price": True}, "max_price must be a number"),
        ({"arch": "arm65"}, "there is no arch arm65, did you mean arm64?: write amd64 or arm64"),
        ({"sort": "prise"}, "cannot sort by prise, did you mean price?: write one of price, memory"),
        ({"sort": "--price"}, "cannot sort by --price"),
        ({"sort": 3}, "cannot sort by 3"),
    ],
)
def test_what_nobody_can_mean_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=re.escape(words)):
        found(**given)


def test_without_a_filter_every_size_is_listed() -> None:
    assert len(SizeFilter().applied(ALL)) == len(ALL)
