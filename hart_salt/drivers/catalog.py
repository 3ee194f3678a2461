"""Lists of what a provider offers: one odd entry never hides the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)

#: what code that reads plain data raises if a field is missing, null or of another type
ODD = (AttributeError, KeyError, TypeError, ValueError)


def readable(entries: Iterable[Any], read: Callable[[Any], T]) -> list[T]:
    """
    Convert the entries of a list, and leave out each one that cannot be read.

    ``read`` shows what it does not know as unknown, and raises one of ``ODD`` if an entry lacks its name or its size.
    """
    found = []
    for entry in entries:
        try:
            found.append(read(entry))
        except ODD as error:
            log.info("an entry of the provider's list cannot be read and is left out (%r)", error)
    return found


def required(entry: Any, name: str) -> Any:
    """
    Return a field that an entry must have.

    Raises ``ValueError`` if it is missing, null or empty.
    """
    value = entry.get(name)
    if value in (None, "", [], {}):
        raise ValueError(f"without {name}")
    return value


def objects(value: Any) -> list[Mapping[str, Any]]:
    """Return the objects of a list; nothing for anything else."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def number(value: Any) -> float | None:
    """Return a number, or None if the value is not one."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
