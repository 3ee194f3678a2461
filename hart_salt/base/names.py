"""Minion ids: what is one, and how a naming scheme makes one."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from secrets import token_hex

MAXIMUM_LENGTH = 200

#: what Salt's outputters and orchestration look for at the place where results have minion ids
RESERVED_IDS = frozenset(["data", "error", "errors", "outputter", "retcode", "return", "success"])

_ALLOWED = re.compile(r"[A-Za-z0-9._-]*")
_ENDS = re.compile(r"[A-Za-z0-9](.*[A-Za-z0-9])?", re.DOTALL)


def new_batch(now: float) -> str:
    """
    Make the name of a batch: 14 hex digits, of which the first eight are the time.

    :param now: seconds since the epoch
    """
    return f"{int(now):08x}{token_hex(3)}"


def batch_time(batch: str) -> float | None:
    """
    Find out when a batch began: temporary things at some providers have no date but this one.

    :param batch: its name
    :return: seconds since the epoch; None for a name that ``new_batch`` did not make
    """
    return float(int(batch[:8], 16)) if re.fullmatch(r"[0-9a-f]{14}", batch) else None


class NamingError(ValueError):
    """A naming scheme cannot be used; the message is the end of a sentence about it."""


def check_minion_id(minion_id: str, master_id: str = "") -> str | None:
    """
    Find out what is wrong with a minion id.

    Stricter than Salt: an id becomes a file name, a host name and a part of event tags and targets.

    :param minion_id: the id
    :param master_id: the id of the master itself, which no node may have
    :return: the end of a sentence that starts with the id, or None when the id is fine
    """
    if not minion_id:
        return "must not be empty"
    if not _ALLOWED.fullmatch(minion_id):
        return "may hold only letters, digits, '.', '-' and '_'"
    if not _ENDS.fullmatch(minion_id):
        return "must start and end with a letter or a digit"
    if ".." in minion_id:
        return "must not hold '..'"
    if len(minion_id) > MAXIMUM_LENGTH:
        return f"must not be longer than {MAXIMUM_LENGTH} characters"
    if minion_id.lower() in RESERVED_IDS:
        return "is a word that Salt reads as something else in results; choose another"
    if minion_id == master_id:
        return "is the id of the master itself"
    return None


def scheme_fields(scheme: str) -> list[str]:
    """
    Take the variables from a naming scheme.

    :param scheme: such as ``{unique_id}.{region}.example.com``
    :raises NamingError: it is malformed, or asks for more than plain variables. Python's format language
        reaches attributes and items of objects, which a configuration has no business with.
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
    Make a minion id from a naming scheme. The result is not checked.

    :param scheme: such as ``{unique_id}.{region}.example.com``
    :param values: the variables; None and ``""`` mean that there is no value
    :raises NamingError: the scheme is malformed, or a variable is unknown or has no value
    """
    fields = scheme_fields(scheme)
    for name in fields:
        if name not in values:
            known = ", ".join(f"{{{known}}}" for known in sorted(values))
            raise NamingError(f"has the unknown variable {{{name}}}; there are {known}")
        if values[name] in (None, ""):
            raise NamingError(f"needs {{{name}}}, which has no value here")
    return scheme.format_map({name: str(values[name]) for name in fields})
