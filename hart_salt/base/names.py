"""Minion ids: which ids are valid, and how a naming scheme makes one."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping
from secrets import token_hex

MAXIMUM_LENGTH = 200

#: the keys that Salt's outputters and orchestration look for where results have minion ids
RESERVED_IDS = frozenset(["data", "error", "errors", "outputter", "retcode", "return", "success"])

_ALLOWED = re.compile(r"[A-Za-z0-9._-]*")
_ENDS = re.compile(r"[A-Za-z0-9](.*[A-Za-z0-9])?", re.DOTALL)


def new_batch(now: float) -> str:
    """
    Return a new name for a batch: 14 hex digits, of which the first eight are the time.

    ``now`` is in seconds since the epoch.
    """
    return f"{int(now):08x}{token_hex(3)}"


#: the beginning of the id of a node that exists only until there is an image of it
_BAKE = "hart-bake"


def bake_id(role: str) -> str:
    """Return an id for a node of which an image of the role is made: ``hart-bake-<role>-<8 hex digits>``."""
    return "-".join(filter(None, [_BAKE, slug(role), token_hex(4)]))


def is_bake_id(minion_id: str) -> bool:
    """Return whether ``bake_id`` made an id."""
    return re.fullmatch(rf"{_BAKE}-([a-z0-9-]*-)?[0-9a-f]{{8}}", minion_id) is not None


def is_bake_of(minion_id: str, role: str) -> bool:
    """Return whether ``bake_id`` made an id for an image of this role; roles with the same slug look alike."""
    return is_bake_id(minion_id) and minion_id[:-9] == f"{_BAKE}-{slug(role)}"


def reserved(minion_ids: Iterable[str]) -> str:
    """Return why nodes cannot have these ids, because one of them is of a bake, in a sentence; empty if none is."""
    of_bakes = [minion_id for minion_id in minion_ids if is_bake_id(minion_id)]
    if not of_bakes:
        return ""
    return f"{of_bakes[0]}: only hart.bake makes such ids, and hart.sweep removes its nodes; choose another"


def slug(text: str, length: int = 24) -> str:
    """Return a text as lower-case letters, digits and hyphens, as the names of resources at every provider allow."""
    return re.sub("[^a-z0-9]+", "-", text.lower())[:length].strip("-")


def batch_time(batch: str) -> float | None:
    """
    Return when a batch began, in seconds since the epoch; None for a name that ``new_batch`` did not make.

    At some providers this is the only date of temporary resources.
    """
    return float(int(batch[:8], 16)) if re.fullmatch(r"[0-9a-f]{14}", batch) else None


class NamingError(ValueError):
    """A naming scheme that cannot be used; the message is the end of a sentence about it."""


def check_minion_id(minion_id: str, master_id: str = "") -> str | None:
    """
    Return what is wrong with a minion id, as the end of a sentence that starts with the id; None if it is valid.

    The rules are stricter than Salt's: an id becomes a file name, a host name and a part of event tags and targets. No
    node may have ``master_id``, the id of the master itself.
    """
    if not minion_id:
        return "must not be empty"
    if not _ALLOWED.fullmatch(minion_id):
        return "may hold only letters, digits, '.', '-' and '_'"
    if not _ENDS.fullmatch(minion_id):
        return "must start and end with a letter or a digit"
    if ".." in minion_id:
        return "must not contain '..'"
    if len(minion_id) > MAXIMUM_LENGTH:
        return f"must not be longer than {MAXIMUM_LENGTH} characters"
    if minion_id.lower() in RESERVED_IDS:
        return "is a word with another meaning in Salt's results; choose another"
    if minion_id == master_id:
        return "is the id of the master itself"
    return None


def scheme_fields(scheme: str) -> list[str]:
    """
    Return the variables of a naming scheme, such as ``{unique_id}.{region}.example.com``.

    Raises ``NamingError`` if it is malformed, or uses more than plain variables: Python's format language can access
    attributes and items of objects, which a configuration must not do.
    """
    try:
        parts = list(string.Formatter().parse(scheme))
    except ValueError:
        raise NamingError("has a '{' or '}' without its counterpart") from None
    fields = []
    for _, name, spec, conversion in parts:
        if name is None:
            continue
        if spec or conversion or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise NamingError("may hold only plain variables, such as {region}")
        fields.append(name)
    return fields


def build_minion_id(scheme: str, values: Mapping[str, object]) -> str:
    """
    Return the minion id that a naming scheme makes. The id is not validated.

    ``scheme`` is such as ``{unique_id}.{region}.example.com``. In ``values``, the variables, None and ``""`` mean that
    there is no value.

    Raises ``NamingError`` if the scheme is malformed, or if a variable is unknown or has no value.
    """
    fields = scheme_fields(scheme)
    for name in fields:
        if name not in values:
            known = ", ".join(f"{{{known}}}" for known in sorted(values))
            raise NamingError(f"has the unknown variable {{{name}}}; the variables are {known}")
        if values[name] in (None, ""):
            raise NamingError(f"needs {{{name}}}, which has no value here")
    return scheme.format_map({name: str(values[name]) for name in fields})
