"""Foreign text, made safe to show: nothing in it moves a cursor or stays invisible."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

#: replaces each character that must not be shown
MARK = "\ufffd"

# Regular expressions have no Unicode categories. A test compares this with the categories of the running Python.
_HIDDEN = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 except tab and line end, DEL, C1
    "\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # no width, or right to left
    "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2"  # other format characters
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\uffa0"  # drawn as nothing, though classified as letters
    "\U000e0000-\U000e0fff"  # tags: an invisible text within the text
    "\u2028\u2029"  # Unicode's own line ends
    "\ud800-\udfff"  # halves of characters, which no file accepts
    "]"
)


def visible(text: str) -> str:
    """
    Return ``text`` with U+FFFD for every character that is invisible or that controls the display.

    These are control characters (C0, C1), characters that change the direction of text, that have no width or that are
    drawn as nothing, Unicode's own line ends, and surrogates. Tabs and line ends stay; ``\\r\\n`` counts as one.
    """
    return _HIDDEN.sub(MARK, text.replace("\r\n", "\n"))


def one_line(text: str, most: int = 1000) -> str:
    """
    Return foreign text as one line, for use in a sentence. A text of more than ``most`` characters is not shown.

    It is not cut, because half of a secret could not be recognized and hidden.
    """
    line = " ".join(visible(text).split()) if len(text) <= most else ""
    return line if len(text) <= most else f"(a text of {len(text)} characters)"


def closest(word: str, known: Iterable[Any], alike: float = 0.6) -> str | None:
    """
    Return the known word that ``word`` probably means, or None if none is close. Case does not matter. It is never
    ``word`` itself: whoever asks does not accept that one.

    ``alike`` is how close it must be, from 0 to 1; see ``difflib.SequenceMatcher.ratio``.
    """
    by_case = {str(name).casefold(): str(name) for name in known if str(name) != word}
    found = get_close_matches(word.casefold(), by_case, n=1, cutoff=alike)
    return by_case[found[0]] if found else None


def suggestion(word: str, known: Iterable[Any], alike: float = 0.6) -> str:
    """
    Return the end of a sentence about an unknown word, ``, did you mean size?``; empty if no known word is close.

    For ``alike`` see ``closest``.
    """
    close = closest(word, known, alike)
    return f", did you mean {close}?" if close else ""


def shortened(text: str, width: int, mark: str = "…") -> str:
    """
    Return text of at most ``width`` characters; ``mark`` stands for what was left out of its middle.

    More of the beginning than of the end stays: ids of one fleet tend to have the same end.
    """
    if len(text) <= width:
        return text
    kept = max(0, width - len(mark))
    end = kept // 3
    return (text[: kept - end] + mark + (text[-end:] if end else ""))[: max(0, width)]
