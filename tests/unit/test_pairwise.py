"""Pairwise selection: few cases cover a large table."""

from __future__ import annotations

import itertools

from tests.end_to_end.pairwise import pairwise


def test_few_cases_combine_each_value_with_each_of_every_other_column() -> None:
    columns = ["abcdefg", "1234567", "vwxyz"]
    cases = pairwise(*columns)
    for one, other in itertools.combinations(range(3), 2):
        assert {(case[one], case[other]) for case in cases} == set(itertools.product(columns[one], columns[other]))
    assert 49 <= len(cases) < 60
    assert cases == pairwise(*columns)
