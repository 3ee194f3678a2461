"""The engine on two masters that share a record store: the real processes of looks, and a real server with leases."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hart_salt.fleets import child
from hart_salt.look import answered
from tests.parts import master_opts

INTERVAL = 60


class OneMaster:
    """A master that is not running; its looks have nothing to do."""

    def __init__(self, root: Path, name: str, mark: str, space: Any) -> None:
        root.mkdir(exist_ok=True)
        hart = {"roles": {"app": {}}, "coordination": space.url}
        self.opts = master_opts(root, hart=hart, **{**space.settings, "id": name})
        owner = Path(self.opts["cachedir"]) / "hart/owner"
        owner.parent.mkdir(parents=True)
        owner.write_text(mark)
        self.seen: Any = None

    def look(self, later: float = 0.0, *, here: bool = True) -> bool:
        """
        Look, and return whether this master leads.

        ``later`` is how many seconds have passed since the last look. With ``here``, no process is started for it.
        """
        seen = self.seen and {**self.seen, "since": self.seen["since"] - later}
        request = {"conf_file": self.opts["conf_file"], "config": None, "interval": INTERVAL, "seen": seen}
        answer = answered(request) if here else child.ask(request, lambda: True)
        assert answer["error"] == ""
        self.seen = answer["seen"]
        return bool(answer["leads"])


def together(*masters: OneMaster) -> list[bool]:
    with ThreadPoolExecutor(len(masters)) as pool:
        return list(pool.map(functools.partial(OneMaster.look, here=False), masters))


def test_one_of_two_masters_leads_until_it_has_not_looked_for_three_intervals(
    servers: Callable[[str], Any], root: Path
) -> None:
    space = servers("redis").space()
    mark = "0123456789abcdef"
    first, second = (OneMaster(root / name, name, mark, space) for name in ("m1", "m2"))
    leading = together(first, second)
    assert sorted(leading) == [False, True]
    leader, follower = (first, second) if leading[0] else (second, first)
    assert not follower.look(INTERVAL)
    assert leader.look()
    assert not follower.look(3 * INTERVAL)  # the leader has looked in the meantime
    assert follower.look(3 * INTERVAL)
    assert not leader.look()


def test_masters_with_different_marks_have_different_nodes_and_each_leads(
    servers: Callable[[str], Any], root: Path
) -> None:
    space = servers("redis").space()
    first, second = (OneMaster(root / name, name, name * 8, space) for name in ("aa", "bb"))
    assert [first.look(), second.look(), first.look()] == [True] * 3
