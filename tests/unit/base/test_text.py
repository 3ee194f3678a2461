"""The characters of foreign text that are made visible."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hart_salt.base.text import MARK, shortened, visible

#: Unicode's categories of invisible characters: controls, formats, surrogates, line and paragraph separators
UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_every_invisible_character_is_marked_except_tab_and_line_end() -> None:
    unseen = {char for code in range(sys.maxunicode + 1) if unicodedata.category(char := chr(code)) in UNSEEN}
    assert {char for char in unseen if visible(char) != MARK} == {"\t", "\n"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07\x1b[2J", f"{MARK}]0;title{MARK}{MARK}[2J"),
        ("\x9b31m red", f"{MARK}31m red"),
        ("50%\r100%\r\n", f"50%{MARK}100%\n"),
        ("user\u202etxt.exe", f"user{MARK}txt.exe"),
        ("pay\u200bpal", f"pay{MARK}pal"),
        ("a\u2028forged: line", f"a{MARK}forged: line"),
        ("\ud800", MARK),
        ("hidden\U000e0041\U000e007f", f"hidden{MARK}{MARK}"),
        ("ㅤ", MARK),
    ],
)
def test_characters_that_control_the_display_are_marked(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize("text", ["", "plain", "\tÜber\n日本 ❤️ עברית no\xa0break", "***"])
def test_visible_text_stays(text: str) -> None:
    assert visible(text) == text


@given(st.text())
def test_marked_text_is_not_marked_again(text: str) -> None:
    once = visible(text)
    assert visible(once) == once
    once.encode()  # surrogates would raise


@given(st.text(), st.text())
def test_a_text_can_be_cut_anywhere_except_within_a_line_end(one: str, other: str) -> None:
    if not (one.endswith("\r") and other.startswith("\n")):
        assert visible(one) + visible(other) == visible(one + other)


@pytest.mark.parametrize(
    ("width", "expected"),
    [(20, "web-012345678…xample"), (22, "web-0123456789.example"), (3, "we…"), (1, "…"), (0, "")],
)
def test_a_shortened_text_keeps_its_beginning_and_its_end(width: int, expected: str) -> None:
    assert shortened("web-0123456789.example", width) == expected


def test_a_shortened_text_can_have_another_mark() -> None:
    assert shortened("web-0123456789.example", 20, "...") == "web-01234567...ample"
