"""
Two masters that change the same nodes at the same moment: the scenarios of ``races.py`` with each kind of locks.

Two real masters, the real ``salt-run``, real servers, and an emulated DigitalOcean with light machines. All outcomes
are printed as one table: the instances that are right and those that are there, the accepted keys of each master, the
exit codes. By default each scenario runs once, and each kind of locks with some; with ``./test --all``, all with all.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from saltfactories.manager import FactoriesManager

from tests import scope
from tests.end_to_end import light_cloud, races
from tests.end_to_end.races import HEAD, LOSSES, OUTAGES, RUN_OUT, SCENARIOS, SHORT, Row, Site
from tests.end_to_end.two_masters import CLUSTER, LightPair, light_pair, unsupported
from tests.parts import print_lines

_missing = light_cloud.missing() or unsupported()
pytestmark = pytest.mark.skipif(bool(_missing), reason=_missing)

FILE, REDIS = "file", "redis"
Scenario = Callable[[Site], Row]
#: the scenarios that run by default, each once: those with faults where they take the least time
SOME = {
    FILE: (races.both_scale, races.both_sweep),
    REDIS: (races.scale_and_destroy, races.both_delta, races.master_killed, races.store_returns),
    "etcd": (races.create_and_sweep, races.both_create, races.records_lost),
    "mysql": (races.both_replace, races.create_and_destroy, races.lease_lost, races.store_lost),
}
#: it takes more than a minute, with any server
SLOW = (races.store_lost_for_long,)
#: a call waits this long for the API, whose answers the scenarios delay
API_TIMEOUT = 900


def _cases() -> list[tuple[str, Scenario]]:
    with_server = (*SCENARIOS, *LOSSES, *OUTAGES)
    assert sorted(map(id, (*itertools.chain(*SOME.values()), *SLOW))) == sorted(map(id, with_server))
    every = {FILE: SCENARIOS, **dict.fromkeys((REDIS, "etcd", "mysql"), with_server)}
    return [(locks, scenario) for locks, asked in (every if scope.whole else SOME).items() for scenario in asked]


@pytest.fixture(scope="module")
def _running(factories: FactoriesManager) -> Iterator[LightPair]:
    with light_pair(factories, CLUSTER) as light:
        yield light


@pytest.fixture(scope="module")
def rows(request: pytest.FixtureRequest) -> Iterator[list[Row]]:
    """Collect the rows, and print the table after the last test."""
    found: list[Row] = []
    yield found
    print_lines(request.config, ["", HEAD, *(row.line() for row in found)])


@pytest.fixture
def make_site(
    _running: LightPair, servers: Callable[[str], Any], own_server: Callable[[str], Any]
) -> Iterator[Callable[[str, Scenario], Site]]:
    """Return what makes the masters of one kind of locks for a scenario."""

    def make(locks: str, scenario: Scenario) -> Site:
        light = _running
        if locks == FILE:
            light.pair.share({"cache": "localfs"})
            light.configure(node={"api_timeout": API_TIMEOUT})
            return Site(locks, light, light.first, light.first)
        space = (own_server if scenario in OUTAGES else servers)(locks).space()
        lease = f"?lease={SHORT}" if scenario in RUN_OUT else ""
        light.pair.share(space.settings)
        light.configure(node={"api_timeout": API_TIMEOUT}, coordination=space.url + lease)
        return Site(locks, light, light.first, light.second, space)

    with contextlib.ExitStack() as stack:
        stack.callback(_running.forget)
        yield make


@pytest.mark.parametrize(
    ("locks", "scenario"), [pytest.param(*case, id=f"{case[0]}-{case[1].__name__}") for case in _cases()]
)
def test_two_masters_do_no_harm(
    make_site: Callable[[str, Scenario], Site], rows: list[Row], locks: str, scenario: Scenario
) -> None:
    row = scenario(make_site(locks, scenario))
    rows.append(row)
    assert row.is_right, row
