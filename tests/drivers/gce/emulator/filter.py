"""
Compute Engine's filters: ``labels.k = v``, ``(a = b) (c != d)``, ``(a = b) OR (a = c)``, and ``a eq regular.*``.

The vendor describes them for every list: a filter follows AIP-160, in which OR binds before AND, or has regular
expressions that match the whole field. One filter cannot mix the two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.drivers.gce.emulator.answers import Refusal

Match = Callable[[Mapping[str, Any]], bool]

WORDS = re.compile(r"""\s*(\(|\)|!=|=|:|"[^"]*"|'[^']*'|[^\s()=!:"']+)""")
COMPARISONS = ("=", "!=", ":", "eq", "ne")


def parse(text: str | None) -> Match:
    """Return a function that matches what a filter selects; without a filter, everything. Raises ``Refusal``."""
    if not text:
        return lambda thing: True
    words = _words(text)
    if {"eq", "ne"} & set(words) and {"=", "!=", ":"} & set(words):
        raise _invalid(text)
    matches, rest = _sequence(words, text)
    if rest:
        raise _invalid(text)
    return matches


def _words(text: str) -> list[str]:
    words, at = [], 0
    while text[at:].strip():
        found = WORDS.match(text, at)
        if not found:
            raise _invalid(text)
        words.append(found[1])
        at = found.end()
    return words


def _sequence(words: list[str], text: str) -> tuple[Match, list[str]]:
    """Parse successive terms, all of which must match; terms joined by OR count as one."""
    groups: list[list[Match]] = []
    while words and words[0] != ")":
        joined = bool(groups) and words[0] == "OR"
        if groups and words[0] in ("AND", "OR"):
            words = words[1:]
        term, words = _term(words, text)
        if joined:
            groups[-1].append(term)
        else:
            groups.append([term])
    return (lambda thing: all(any(term(thing) for term in group) for group in groups)), words


def _term(words: list[str], text: str) -> tuple[Match, list[str]]:
    if words[:1] == ["("]:
        inner, rest = _sequence(words[1:], text)
        if rest[:1] != [")"]:
            raise _invalid(text)
        return inner, rest[1:]
    if len(words) < 3 or words[1] not in COMPARISONS:
        raise _invalid(text)
    return _comparison(words[0], words[1], words[2].strip("\"'")), words[3:]


def _comparison(field: str, operator: str, wanted: str) -> Match:
    def value(thing: Any) -> str | None:
        for part in field.split("."):
            thing = thing.get(part) if isinstance(thing, Mapping) else None
        return None if thing is None else str(thing)

    known: dict[str, Match] = {
        "=": lambda thing: value(thing) == wanted,
        "!=": lambda thing: value(thing) != wanted,
        ":": lambda thing: value(thing) is not None and wanted in ("*", value(thing)),
        "eq": lambda thing: re.fullmatch(wanted, value(thing) or "") is not None,
        "ne": lambda thing: re.fullmatch(wanted, value(thing) or "") is None,
    }
    return known[operator]


def _invalid(text: str) -> Refusal:
    return Refusal(400, f"Invalid value for field 'filter': '{text}'. Invalid list filter expression.", "invalid")
