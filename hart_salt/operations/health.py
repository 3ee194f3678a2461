"""
What hart needs of this machine, a line each, for ``hart.check``.

Their names have blanks in them, which names of providers have not.
"""

from __future__ import annotations

from hart_salt.base import descriptors
from hart_salt.base.errors import EnvironmentFault, kind_of
from hart_salt.inventory.context import Home


def lines(home: Home) -> dict[str, str]:
    """Return a line for each thing, which begins with ``ok`` where nothing is wrong with it."""
    return {
        "log directory": _log_directory(home),
        "record store": _record_store(home),
        "broken records": _broken_records(home),
        "open files": _open_files(),
    }


def _log_directory(home: Home) -> str:
    note = f", {home.info.log_note}" if home.info.log_note else ""
    return f"ok: {home.info.log_dir}{note}"


def _record_store(home: Home) -> str:
    try:
        home.store.check()
    except EnvironmentFault as error:
        return f"{kind_of(error)}: {error}"
    return f"ok: {home.store.place}"


def _broken_records(home: Home) -> str:
    try:
        broken = home.store.read().broken
    except EnvironmentFault:
        return f"{EnvironmentFault.__name__}: they cannot be counted; see the record store"
    return f"{len(broken)}: {'; '.join(broken.values())}" if broken else "ok: none"


def _open_files() -> str:
    number = descriptors.places()
    if number > 10**6:
        return f"ok: {descriptors.limit()}"
    return f"ok: {descriptors.limit()}, which is enough for {number} nodes under way at the same time"
