"""Tables fit the terminal: columns go, then cells are shortened; remarks stand beside or below their row."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from hart_salt.screens.paper import Paper
from hart_salt.screens.table import ALWAYS, Column, Row, pairs, table

COLUMNS = (
    Column("node", ALWAYS),
    Column("result", ALWAYS, styled=True),
    Column("price", 7, right=True),
    Column("size", 2),
)
LONG = "web-0123456789.storefront.emea.production.example.com"


def lines(rows: list[Row], width: int = 80, *, unicode: bool = False) -> list[str]:
    paper = Paper(width, unicode=unicode)
    return paper.show(table(COLUMNS, rows, paper)).splitlines()


def test_a_table_has_its_headings_and_numbers_at_the_right() -> None:
    assert lines([Row(("a", "ready", "$6.00", "small")), Row(("bc", "failed", "$12.00", "small"))]) == [
        "NODE  RESULT   PRICE  SIZE",
        "a     ready    $6.00  small",
        "bc    failed  $12.00  small",
    ]


def test_an_empty_column_is_left_out() -> None:
    assert lines([Row(("a", "ready", "", "small"))])[0] == "NODE  RESULT  SIZE"


@pytest.mark.parametrize(
    ("width", "heading"), [(26, "NODE  RESULT  PRICE  SIZE"), (24, "NODE  RESULT  PRICE"), (16, "NODE  RESULT")]
)
def test_the_lightest_column_goes_first(width: int, heading: str) -> None:
    assert lines([Row(("abcd", "ready", "$6.00", "small"))], width)[0] == heading


@pytest.mark.parametrize("width", [20, 40, 60])
@pytest.mark.parametrize("unicode", [True, False])
def test_a_long_cell_loses_its_middle(width: int, unicode: bool) -> None:
    _, row = lines([Row((LONG, "failed", "$6.00", "small"))], width, unicode=unicode)
    assert cell_len(row) <= width
    assert row.startswith("web-0")
    assert row.endswith("failed")
    assert ("…" if unicode else "..") in row


def test_wide_characters_keep_the_columns_straight() -> None:
    heading, first, second = lines([Row(("日本", "ready", "", "small")), Row(("abcd", "ready", "", "big"))])
    assert (
        cell_len(first[: first.index("ready")]) == cell_len(second[: second.index("ready")]) == heading.index("RESULT")
    )


def test_a_remark_stands_beside_its_row_if_it_fits() -> None:
    assert lines([Row(("a", "failed", "", ""), ["no size"])])[1] == "a     failed  no size"


def test_a_long_remark_and_several_remarks_stand_below() -> None:
    assert lines([Row(("a", "failed", "", ""), ["the disk is full", "log: /x"])], 20)[1:] == [
        "a     failed", "  the disk is full", "  log: /x",
    ]  # fmt: skip
    assert lines([Row(("a", "failed", "", ""), ["the disk is full and more"])], 20)[1:] == [
        "a     failed", "  the disk is full", "  and more",
    ]  # fmt: skip


def test_names_and_values_stand_in_two_columns() -> None:
    paper = Paper(30)
    found = paper.show(pairs([("role", "app"), ("zone", ""), ("address", "a b c d e f g h i j k l")], paper))
    assert found.splitlines() == ["role     app", "address  a b c d e f g h i j k", "         l"]


def test_colours_are_only_on_coloured_paper() -> None:
    rows = [Row(("a", "failed", "", ""))]
    assert "\x1b" not in Paper().show(table(COLUMNS, rows, Paper()))
    colored = Paper(colored=True)
    assert "\x1b[31mfailed" in colored.show(table(COLUMNS, rows, colored))
