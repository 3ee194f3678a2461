"""
Two masters with a key store each: a node's key is on both from its first start until it is destroyed.

Each master has a minion on its machine, which is a minion of the other master: through it, hart works there.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import pytest
from saltfactories.manager import FactoriesManager

from tests.end_to_end import tools
from tests.end_to_end.conftest import SaltMaster
from tests.end_to_end.two_masters import ADDRESSES, HOT, Layout, Pair, two_masters

#: only intervals are shorter than hart's and Salt's own
SOON = {"master_alive_interval": 2, "auth_timeout": 2, "acceptance_wait_time": 1, "random_reauth_delay": 1}


def settings(other: str, **more: Any) -> dict[str, Any]:
    return {"roles": {"app": {}}, "masters": {other: {"minion": f"{other}-minion", "address": address(other)}}, **more}


def address(name: str) -> str:
    return ADDRESSES[name == "two"]


def give_minion(master: SaltMaster, name: str, of: SaltMaster) -> None:
    """Create the minion on the machine of the master ``of``, which is called ``name``, as a minion of ``master``."""
    master.config["hart"] = {"minion_config": {"hart_master_config": str(of.root / "etc/master"), **SOON}}
    master.write()
    made = master.run("hart.create", f"{name}-minion")
    assert made.code == 0, made.stdout + made.stderr


@contextlib.contextmanager
def peers(factories: FactoriesManager, layout: Layout, **more: Any) -> Iterator[Pair]:
    """Start two masters that are each other's peers."""
    with two_masters(factories, layout) as pair:
        give_minion(pair.first, "two", pair.second)
        give_minion(pair.second, "one", pair.first)
        kind = {name: value for name, value in layout.minions.items() if name != "master"}
        for master, other in ((pair.first, "two"), (pair.second, "one")):
            master.config["hart"] = settings(other, minion_config={**kind, **SOON}, **more)
            master.write()
        yield pair


def answers(master: SaltMaster, minion_id: str) -> bool:
    return bool(master.salt("-t", "2", minion_id, "test.ping").data == {minion_id: True})


def nodes(pair: Pair) -> list[list[str]]:
    accepted = pair.keys()
    return [[name for name in names if not name.endswith("-minion")] for names in accepted]


@pytest.fixture(scope="module")
def hot(factories: FactoriesManager) -> Iterator[Pair]:
    with peers(factories, HOT) as pair:
        yield pair


def test_a_node_answers_both_masters_and_its_key_goes_from_both(hot: Pair) -> None:
    made = hot.first.run("hart.create", "web", "role=app")
    assert made.code == 0, made.stdout + made.stderr
    assert nodes(hot) == [["web"], ["web"]]
    for master in hot:
        tools.until(functools.partial(answers, master, "web"), "an answer to both masters")
    gone = hot.first.run("hart.destroy", "web")
    assert gone.code == 0, gone.stdout + gone.stderr
    assert nodes(hot) == [[], []]
