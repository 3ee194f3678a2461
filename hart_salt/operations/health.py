"""
What hart needs of this machine, a line each, for ``hart.check``.

Their names have blanks in them, which names of providers have not.
"""

from __future__ import annotations

from hart_salt.base import descriptors
from hart_salt.base.errors import EnvironmentFault, kind_of
from hart_salt.inventory.context import Context


def lines(context: Context) -> dict[str, str]:
    """Return a line for each thing, which begins with ``ok`` where nothing is wrong with it."""
    return {
        "log directory": _log_directory(context),
        "record store": _record_store(context),
        "broken records": _broken_records(context),
        "open files": _open_files(),
    }


def _log_directory(context: Context) -> str:
    note = f", {context.info.log_note}" if context.info.log_note else ""
    return f"ok: {context.info.log_dir}{note}"


def _record_store(context: Context) -> str:
    try:
        context.store.check()
    except EnvironmentFault as error:
        return f"{kind_of(error)}: {error}"
    return f"ok: {context.store.place}"


def _broken_records(context: Context) -> str:
    try:
        broken = context.store.read().broken
    except EnvironmentFault:
        return f"{EnvironmentFault.__name__}: they cannot be counted; see the record store"
    return f"{len(broken)}: {'; '.join(broken.values())}" if broken else "ok: none"


def _open_files() -> str:
    number = descriptors.places()
    if number > 10**6:
        return f"ok: {descriptors.limit()}"
    return f"ok: {descriptors.limit()}, which is enough for {number} nodes under way at the same time"
