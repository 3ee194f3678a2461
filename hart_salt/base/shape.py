"""The shape of data that people write: how deep it is, how much, and of what kinds. Anchors can make it endless."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from typing import Any

from hart_salt.base.errors import Fault

#: levels of nested data
DEEPEST = 50
#: values in all; an alias in YAML counts as often as it is used
MOST = 100_000
#: parts of a path that a message shows
SHOWN = 6
#: whole numbers beyond this are not portable: neither JSON nor Salt's own messages carry them
LARGEST = 2**64

ENDLESS = "contains itself, through an anchor and an alias (such as *name); write the value out"
TOO_DEEP = f"is nested more than {DEEPEST} levels deep; write it with fewer levels"
TOO_MUCH = f"holds more than {MOST} values, because aliases (such as *name) repeat them; write fewer"
TOO_LARGE = "is a number with too many digits; put it in quotes"


class Shapeless(Exception):
    """Data that is endless or too much; ``fault`` says where."""

    def __init__(self, path: tuple[str, ...], problem: str) -> None:
        self.fault = Fault(":".join(path[:SHOWN]), problem)
        super().__init__(problem)


class _Copier:
    """Copies one nested value, and collects what is wrong with the values in it."""

    def __init__(self, *, lenient: bool = False) -> None:
        self.lenient = lenient
        self.left = MOST
        self.above: set[int] = set()
        self.faults: list[Fault] = []

    def copy(self, data: Any, path: tuple[str, ...]) -> Any:
        self.left -= 1
        if self.left < 0:
            return self.end(path, TOO_MUCH)
        if not isinstance(data, Mapping | list | tuple):
            return self.leaf(data, path)
        if id(data) in self.above:
            return self.end(path, ENDLESS)
        if len(self.above) >= DEEPEST:
            return self.end(path, TOO_DEEP)
        self.above.add(id(data))
        try:
            if isinstance(data, Mapping):
                return {key: self.copy(value, (*path, _shown(key))) for key, value in data.items()}
            return [self.copy(item, path) for item in data]
        finally:
            self.above.discard(id(data))

    def end(self, path: tuple[str, ...], problem: str) -> None:
        if not self.lenient:
            raise Shapeless(path, problem)

    def leaf(self, data: Any, path: tuple[str, ...]) -> Any:
        if self.lenient:
            return data
        if isinstance(data, int) and not -LARGEST < data < LARGEST:
            problem = TOO_LARGE
        elif data is None or isinstance(data, bool | int | float | str):
            return data
        else:
            problem = f"is {_kind(data)}, which is not plain data; put it in quotes"
        self.faults.append(Fault(":".join(path), problem))
        return None


def _kind(data: Any) -> str:
    if isinstance(data, bytes | bytearray):
        return "binary data"
    if isinstance(data, set | frozenset):
        return "a set"
    return "a date or a time" if isinstance(data, date | time) else "a value of another kind"


def _shown(key: Any) -> str:
    if isinstance(key, int) and not -LARGEST < key < LARGEST:
        return "(a long number)"
    return str(key)


def copied(data: Any, path: str) -> tuple[Any, list[Fault]]:
    """
    Return a copy of nested data with ``dict`` and ``list`` for whatever mappings and sequences Salt uses, and faults.

    ``path`` is where the data is. Data that has no end, or that is too deep or too much, is a fault, and the copy is
    None. So is a number with too many digits, a date, or binary data, in place of which the copy has None.
    """
    return _copied(_Copier(), data, path)


def without_endless(data: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the same copy of settings that are not hart's. It keeps values of all kinds, without what has no end."""
    return {key: _copied(_Copier(lenient=True), value, "")[0] for key, value in data.items()}


def _copied(copier: _Copier, data: Any, path: str) -> tuple[Any, list[Fault]]:
    try:
        return copier.copy(data, (path,)), copier.faults
    except Shapeless as error:
        return None, [error.fault]
