"""
Two runs of pytest side by side, as ``./test`` starts them: each takes the next file that the other has not begun.

Most tests wait, for a machine that boots or a daemon that starts, and leave a CPU idle. Their sessions do not meet:
each has its own masters, networks and machines. The files that take long come first, so that both end at about the
same time. What a test prints stays in its run, which is why these are no workers of one pytest.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

#: names the directory in which each file that a lane takes is claimed
VARIABLE = "HART_LANES"
#: the files that take many minutes; begun late, they would be waited for
LONG = ("test_real_machines.py", "test_fault_table.py", "test_kill_table.py")
#: below ``tests``, those first whose files take minutes
ORDER = ("end_to_end", "accounts", "drivers", "machines", "functional", "unit")


class Lane:
    """A plugin of pytest; ``claims`` is the directory that the lanes share."""

    def __init__(self, claims: Path) -> None:
        self._claims = claims

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Called by pytest."""
        items.sort(key=_place)  # within a directory they stay in their order

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Called by pytest, for what it does itself where there is one lane."""
        if session.testsfailed and not session.config.option.continue_on_collection_errors:
            raise session.Interrupted(f"{session.testsfailed} errors while the tests were collected")
        if session.config.option.collectonly:
            return True
        mine = self._files(session.items)
        file = next(mine, [])
        while file:
            begun = time.monotonic()
            following: list[pytest.Item] = []
            for item, after in itertools.zip_longest(file, file[1:]):
                # The last of a file has to know who comes next: what both need is kept.
                following = [] if after else next(mine, [])
                coming = after or (following[0] if following else None)
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=coming)
                _stop_if_asked(session)
            self._tell(_name(file[0]), time.monotonic() - begun)
            file = following
        return True

    def _files(self, items: list[pytest.Item]) -> Iterator[list[pytest.Item]]:
        """The tests of one file after another; each is claimed when it is asked for."""
        for name, group in itertools.groupby(items, key=_name):
            file = list(group)
            if self._takes(name):
                yield file

    def _tell(self, name: str, seconds: float) -> None:
        """Where the minutes go, for who makes a file shorter: ``./test`` shows it."""
        with (self._claims / "seconds").open("a") as times:
            times.write(f"{seconds:6.0f} s  {name}\n")

    def _takes(self, name: str) -> bool:
        try:
            (self._claims / name.replace("/", ".")).open("x").close()
        except FileExistsError:
            return False
        return True


def _name(item: pytest.Item) -> str:
    """The file of a test, seen from ``tests``."""
    return item.path.relative_to(item.config.rootpath).as_posix().removeprefix("tests/")


def _place(item: pytest.Item) -> tuple[int, int]:
    file, directory = item.path.name, _name(item).partition("/")[0]
    return (
        LONG.index(file) if file in LONG else len(LONG),
        ORDER.index(directory) if directory in ORDER else len(ORDER),
    )


def _stop_if_asked(session: pytest.Session) -> None:
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)
