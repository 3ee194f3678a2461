"""What is made visible in text that somebody else wrote."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hart_salt.base.text import MARK, visible

#: Unicode's categories of characters that nobody sees: controls, formats, surrogates, line and paragraph separators
UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_every_character_that_nobody_sees_is_marked_but_tab_and_line_end() -> None:
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
def test_what_would_act_is_marked(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize("text", ["", "plain", "\tÜber\n日本 ❤️ עברית no\xa0break", "***"])
def test_what_everyone_reads_stays(text: str) -> None:
    assert visible(text) == text


@given(st.text())
def test_what_was_made_visible_is_visible(text: str) -> None:
    once = visible(text)
    assert visible(once) == once
    once.encode()  # surrogates would raise


@given(st.text(), st.text())
def test_it_matters_not_where_a_text_is_cut_but_within_a_line_end(one: str, other: str) -> None:
    if not (one.endswith("\r") and other.startswith("\n")):
        assert visible(one) + visible(other) == visible(one + other)
