"""
The search for secrets in a text: whole, in part, or cut off. Fast, and linear in the length of the text.

Showing a part of a secret shows the secret: an API's error quotes the first half of a token, a node's output is cut at
some length, a log folds a line. Three rules find such parts:

whole
    Any form of a secret, anywhere.
random
    Any 8 consecutive characters of a random-looking stretch of a secret; they do not occur in another text by
    chance. Such a stretch has 8 or more characters of base64's alphabet that change between letters and digits, or
    from lower to upper case, at least three times and at least every seventh character; or 16 or more hexadecimal
    digits; or 12 or more decimal digits. A word before or after it, as in ``dop_v1_…``, is not a part of it, so
    the word alone is not hidden everywhere. No part of a password that consists of words is random-looking.
cut off
    8 or more characters from the beginning of any form, if the text, a line or a quotation ends there, or if a mark
    of truncation (``…`` or ``...``) follows; likewise the end of a form after such a place. Ordinary words are not
    hidden.

The search uses samples: in each run of 8 characters, one of every 5 positions is 4 or more characters before the end.
So it looks up only every fifth piece of 4 characters of a text, and examines the surroundings of each hit.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator

PART = 8  #: so many consecutive characters of a secret must not be shown
_SAMPLE = 4

_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_STRETCH = re.compile(rf"{_UUID.pattern}|[A-Za-z0-9+/=_-]+")
_PIECE = re.compile("[A-Za-z0-9]+")
#: letters of one case, or with a leading capital; and the version in a token's format
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[vV][0-9]")
#: a word that does not occur in random text by chance
_LONG_WORD = re.compile(r"[A-Z]?[a-z]{4,}|[A-Z]{5,}")
_HEXADECIMAL = re.compile(r"(?=.*[0-9])(?:[0-9a-f]{16,}|[0-9A-F]{16,})")
_CHANGE = re.compile(r"(?<=[a-z])[A-Z0-9]|(?<=[A-Z])[0-9]|(?<=[0-9])[A-Za-z]")
#: the first and the last line of a key, which all keys share
_FRAME = re.compile(r"[-A-Z\s\\nr]+")

#: the last ones are YAML's folds of a quoted line: a backslash at its end, and one where the text continues
_MARKS = ("…", "...", "[…", "[...", "(…", "(...", "\ufffd", "\\\n")
_MARKS_BACKWARDS = ("…", "...", "]…", "]...", ")…", ")...", "\ufffd", "\\ ", "\\\n")
_ENDS = frozenset("\n\r\"'`)]}>,;")
_BEGINNINGS = frozenset("\n\r\"'`([{<,;:=")


class Finder:
    """A search for the forms of secrets. It never changes, so several threads can use one."""

    def __init__(self, forms: Iterable[str], words: frozenset[str] = frozenset()) -> None:
        """
        Prepare the search.

        ``forms`` holds the texts to find, each of 4 characters or more. ``words`` holds ordinary words in lower case,
        which are not hidden if only a part of a form matches.
        """
        self._words = words
        self._parts: set[str] = set()
        texts = set(forms)
        self._shortest = min([PART, *map(len, texts)])
        self._step = self._shortest - _SAMPLE + 1
        ordinary = [form for form in texts if not self._add_parts(form)]
        self._heads = _Beginnings(ordinary, self._step)
        # The ends of texts are the beginnings of the reversed texts.
        self._tails = _Beginnings([form[::-1] for form in ordinary], self._step)
        near = {part[at : at + _SAMPLE] for part in self._parts for at in range(PART - _SAMPLE + 1)}
        self._samples = frozenset(map(tuple, {*near, *self._heads.samples, *(it[::-1] for it in self._tails.samples)}))

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return where secrets are in ``text``: in order and without overlaps."""
        if not self._samples or len(text) < self._shortest:
            return []
        # The first characters of all pieces, then their second ones and so on, so that C code combines and looks them
        # up.
        pieces = [text[at :: self._step] for at in range(_SAMPLE)]
        if self._samples.isdisjoint(zip(*pieces, strict=False)):
            return []
        found = enumerate(zip(*pieces, strict=False))
        hits = [number * self._step for number, piece in found if piece in self._samples]
        return _merged([*self._whole_or_cut(text, hits), *self._runs(text, hits)])

    def _add_parts(self, form: str) -> bool:
        """
        Add the random-looking parts of a form; return whether they cover it, so that nothing else needs to be searched.
        """
        parts = set(_random_parts(form)) - self._words
        self._parts |= parts
        return len(form) >= PART and len(parts) >= len(form) - PART + 1

    def _whole_or_cut(self, text: str, hits: Iterable[int]) -> Iterator[tuple[int, int]]:
        pieces = [(at, text[at : at + _SAMPLE]) for at in hits] if self._heads.samples else []
        for at, piece in pieces:
            yield from self._heads.found(text, at, piece, self._is_cut_behind)
        backwards, size = text[::-1] if pieces else "", len(text)
        for at, piece in pieces:
            for start, end in self._tails.found(backwards, size - at - _SAMPLE, piece[::-1], self._is_cut_before):
                yield size - end, size - start

    def _is_cut_behind(self, text: str, start: int, end: int) -> bool:
        """
        Return whether the text from ``start`` to ``end`` may have been cut off there, and is not an ordinary word.
        """
        is_end = end == len(text) or text[end] in _ENDS or text[end : end + 8].lstrip(" ").startswith(_MARKS)
        return is_end and not self._is_ordinary(text[start:end])

    def _is_cut_before(self, text: str, start: int, end: int) -> bool:
        """Return the same for its beginning; the text is reversed."""
        before = text[end : end + 8].lstrip(" ")
        is_end = before == "" or text[end] in _BEGINNINGS or before[0] in ":\n" or before.startswith(_MARKS_BACKWARDS)
        return is_end and not self._is_ordinary(text[start:end][::-1])

    def _is_ordinary(self, part: str) -> bool:
        return part.strip().lower() in self._words or _FRAME.fullmatch(part) is not None

    def _runs(self, text: str, hits: Iterable[int]) -> Iterator[tuple[int, int]]:
        """Yield the runs of characters in which every 8 consecutive ones are part of a secret."""
        done, parts = 0, self._parts
        for hit in hits if parts else ():
            for start in range(max(done, hit - PART + _SAMPLE), hit + 1):
                if text[start : start + PART] in parts:
                    done = self._end_of_run(text, start)
                    yield start, done
                    done += 1
                    break

    def _end_of_run(self, text: str, start: int) -> int:
        """Return the end of a run: jump to the farthest part that touches it, so that a long run needs few steps."""
        end, parts = start + PART, self._parts
        while True:
            for far in range(PART, 0, -1):
                if text[end + far - PART : end + far] in parts:
                    end += far
                    break
            else:
                return end


class _Beginnings:
    """A search for texts by a sample of their beginning."""

    def __init__(self, forms: Iterable[str], step: int) -> None:
        self._size = step + _SAMPLE - 1
        #: in order of their first characters: the form that shares the most characters with a text is next to it
        self._forms: dict[str, list[str]] = {}
        #: how far from the beginning a sample can be
        self.samples: dict[str, set[int]] = {}
        for form in sorted(forms):
            self._forms.setdefault(form[: self._size], []).append(form)
            for at in range(step):
                self.samples.setdefault(form[at : at + _SAMPLE], set()).add(at)

    def found(
        self, text: str, at: int, piece: str, is_cut: Callable[[str, int, int], bool]
    ) -> Iterator[tuple[int, int]]:
        """Yield where a form is that has ``piece``, found at ``at``, near its beginning; whole, or cut off."""
        for offset in self.samples.get(piece, ()):
            start = at - offset
            if start >= 0 and (length := self._length(text, start, is_cut)):
                yield start, start + length

    def _length(self, text: str, start: int, is_cut: Callable[[str, int, int], bool]) -> int:
        forms = self._forms.get(text[start : start + self._size])
        if forms is None:
            return 0
        rest = text[start : start + max(map(len, forms))]
        place = bisect(forms, rest)
        common = max(_common(form, rest) for form in forms[max(0, place - 1) : place + 1])
        whole = max((len(form) for form in forms if len(form) <= common and rest.startswith(form)), default=0)
        return common if whole < common and common >= PART and is_cut(text, start, start + common) else whole


def _common(one: str, other: str) -> int:
    """Return the number of leading characters that both share."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def _random_parts(form: str) -> Iterator[str]:
    """Return the parts of a form that touch a random-looking stretch."""
    last = len(form) - PART
    for start, end in _random_stretches(form):
        for at in range(max(0, start - PART + 1), min(end, last + 1)):
            part = form[at : at + PART]
            # A row of spaces or dashes with one more character occurs in many texts.
            if len(set(part)) >= (3 if start <= at <= end - PART else 5):
                yield part


def _random_stretches(form: str) -> Iterator[tuple[int, int]]:
    for found in _STRETCH.finditer(form):
        if _UUID.fullmatch(found[0]):
            yield found.span()
            continue
        pieces: list[re.Match[str]] = []
        for piece in _PIECE.finditer(form, *found.span()):
            if _LONG_WORD.fullmatch(piece[0]):
                yield from _if_random(form, pieces)
                pieces = []
            elif pieces or not _WORD.fullmatch(piece[0]):
                pieces.append(piece)
        yield from _if_random(form, pieces)


def _if_random(form: str, pieces: list[re.Match[str]]) -> Iterator[tuple[int, int]]:
    """Return the span of the pieces, without words at its ends, if it looks random."""
    while pieces and _WORD.fullmatch(pieces[-1][0]):
        pieces.pop()
    plain = "".join(piece[0] for piece in pieces)
    mixed = len(plain) >= PART - 1 and len(_CHANGE.findall(plain)) >= max(3, len(plain) / 7)
    if mixed or _HEXADECIMAL.fullmatch(plain) or (plain.isdecimal() and len(plain) >= 12):
        yield pieces[0].start(), pieces[-1].end()


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
