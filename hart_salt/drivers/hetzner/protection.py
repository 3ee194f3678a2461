"""
Hetzner's own protection of a server against deletion and rebuild.

``client.py`` explains the names of sources.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tenacity

from hart_salt.base.errors import TemporaryFailure
from hart_salt.drivers import retry

#: reads of a server until it shows a change of its protection, and the wait between two of them
ATTEMPTS, WAIT = 10, tenacity.wait_fixed(1.0)


class _Unchanged(TemporaryFailure):
    """The server does not show the change of its protection yet."""


def is_on(report: Mapping[str, Any]) -> bool:
    """Return whether Hetzner refuses to delete the server of a report."""
    return bool((report.get("protection") or {}).get("delete"))


def turn(api: Any, report: Mapping[str, Any], sleep: Callable[[float], None], *, on: bool) -> None:
    """
    Turn the protection on or off, and wait until the server shows it: the change is an action, which takes a moment.

    Hetzner accepts both kinds of protection only together (docs).
    """
    if is_on(report) == on:
        return
    path = f"servers/{report['id']}"
    try:
        api.act(f"{path}/actions/change_protection", {"delete": on, "rebuild": on})
    except TemporaryFailure as error:
        if not error.uncertain:
            raise  # otherwise the server shows whether the call had its effect

    def look() -> None:
        if is_on(api.get(path, "server")) != on:
            raise _Unchanged(f"Hetzner: the protection of the server {report['id']} did not change")

    retry.again(look, _Unchanged, sleep, ATTEMPTS, WAIT)
