"""How much a run tests: ``./test --all``, ``--fast`` and ``--slow``; set before the tests are collected."""

from __future__ import annotations

from collections.abc import Collection

#: every combination of the big tables, and every test with every cloud
whole = False
#: only what ``is_fast``
fast = False
#: below ``tests``; the other folders need a salt-master
FAST = ("unit", "functional", "drivers")
#: the fixture of tests that boot machines
HOST = "host"


def is_fast(folder: str, fixtures: Collection[str]) -> bool:
    """Return whether a test in ``folder`` that has these fixtures needs neither a salt-master nor a booted machine."""
    return folder in FAST and HOST not in fixtures
