"""
Concurrent runs of pytest, as ``./test`` starts them: each takes the next file that no other has started.

Most tests wait, for a machine that boots or a daemon that starts, and leave a CPU idle. The sessions are separate: each
has its own masters, networks and machines. Slow files come first, because the sessions should end at about the same
time. The output of a test stays in its own run, which is why these are not workers of one pytest.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

#: names the directory in which a lane claims each file that it takes
VARIABLE = "HART_LANES"
#: the files that take many minutes; if they started late, everything would wait for them
LONG = ("test_real_machines.py", "test_fault_table.py", "test_kill_table.py")
#: directories below ``tests`` in order, those with slow files first
ORDER = ("end_to_end", "accounts", "drivers", "machines", "functional", "unit")


class Lane:
    """A plugin of pytest; ``claims`` is the directory that the lanes share."""

    def __init__(self, claims: Path) -> None:
        self._claims = claims

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put the slow files first; called by pytest."""
        items.sort(key=_place)  # within a directory they keep their order

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the files that this lane can claim; called by pytest, which does this itself if there is one lane."""
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
                # The last test of a file must know the next test: fixtures that both need are kept.
                following = [] if after else next(mine, [])
                coming = after or (following[0] if following else None)
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=coming)
                _stop_if_asked(session)
            self._print_time(_name(file[0]), time.monotonic() - begun)
            file = following
        return True

    def _files(self, items: list[pytest.Item]) -> Iterator[list[pytest.Item]]:
        """Yield the tests of one file after another; each file is claimed when it is needed."""
        for name, group in itertools.groupby(items, key=_name):
            file = list(group)
            if self._takes(name):
                yield file

    def _print_time(self, name: str, seconds: float) -> None:
        """Print how long each file took; ``./test`` shows it."""
        with (self._claims / "seconds").open("a") as times:
            times.write(f"{seconds:6.0f} s  {name}\n")

    def _takes(self, name: str) -> bool:
        try:
            (self._claims / name.replace("/", ".")).open("x").close()
        except FileExistsError:
            return False
        return True


def _name(item: pytest.Item) -> str:
    """Return the file of a test, relative to ``tests``."""
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
