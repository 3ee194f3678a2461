"""
Check what hart needs on this machine and the credentials of its providers, a line each, for ``hart.check``.

The names of these checks contain spaces, which names of providers cannot.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import hart_salt
from hart_salt.base import descriptors
from hart_salt.base.errors import EnvironmentFault, HartError, kind_of
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.context import Context
from hart_salt.inventory.side_by_side import ask_each
from hart_salt.master.client import SALT_VERSION


def lines(context: Context) -> dict[str, str]:
    """Return a line for each check, which starts with ``ok`` if nothing is wrong."""
    return {
        "log directory": _log_directory(context),
        "record store": _record_store(context),
        "broken records": _broken_records(context),
        "open files": _open_files(),
    }


def of_file(notes: Sequence[str]) -> dict[str, str]:
    """Return a line with the notes on hart's own file, if there are any."""
    return {"hart's own file": f"ok: {'; '.join(notes)}"} if notes else {}


def of_providers(drivers: Mapping[str, Driver]) -> dict[str, str]:
    """Return a line for each provider: whether its credentials work."""
    answers = ask_each(drivers, lambda driver: driver.check())
    return {name: _of_provider(answer) for name, answer in answers.items()}


def _of_provider(answer: str | HartError) -> str:
    return f"{kind_of(answer)}: {answer}" if isinstance(answer, HartError) else f"ok: {answer}"


def versions(runner_file: str) -> dict[str, str]:
    """Return the relevant versions, and which files are loaded: a synced runner hides an installed one."""
    package = Path(hart_salt.__file__).resolve().parent
    installed = Path(runner_file).resolve() == (package / "runners" / "hart.py").resolve()
    note = "" if installed else " (not the installed one: Salt loads a copy that was synced from the file server)"
    return {
        "hart-salt": hart_salt.__version__,
        "salt": SALT_VERSION,
        "python": sys.version.split()[0],
        "runner": f"{runner_file}{note}",
        "package": str(package),
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
        return f"{EnvironmentFault.__name__}: they cannot be counted; see the line of the record store"
    return f"{len(broken)}: {'; '.join(broken.values())}" if broken else "ok: none"


def _open_files() -> str:
    number = descriptors.places()
    if number > 10**6:
        return f"ok: {descriptors.limit()}"
    return f"ok: {descriptors.limit()}, which is enough for {number} nodes at the same time"
