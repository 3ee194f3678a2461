"""
Faults of Hetzner, and what becomes of a node then: it is up, or it failed with an error of a known class.

Whatever strikes, nothing is left once the node is gone, and there never were two servers. The outcomes are printed as
a table.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.drivers.bringing import HTML, UP, Bringing, Row, hit, table_of, under
from tests.drivers.do.driver import Time
from tests.drivers.hetzner.driver import (
    CREATE,
    KEY_PATH,
    KEYS,
    SERVER,
    Cloud,
    driver_of,
    left,
    node,
    open_cloud,
)
from tests.emulation import faults
from tests.emulation.faults import Fault, MachineFault

NETWORKS = "/v1/networks$"
PAGE = {"method": "GET", "path": CREATE, "query": "(^|&)page="}


@pytest.fixture
def cloud(time: Time) -> Iterator[Cloud]:
    with open_cloud(time) as cloud:
        cloud.add_network("inside", "eu-central")
        yield cloud


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[list[Row]]:
    with table_of("Hetzner", request) as rows:
        yield rows


LOST = faults.lost_answer(CREATE)
#: what a create call does when it certainly or possibly did nothing
UNDONE = {"500, not done", "connection lost, not done", "a gateway's 502 page"}


def made_in(cloud: Cloud) -> dict[str, list[str]]:
    """What is left, but for the network that was there before."""
    return {kind: names for kind, names in left(cloud).items() if kind != "networks"}


def said(code: str, status: int, path: str = CREATE, method: str = "POST", **more: Any) -> Fault:
    """An error of Hetzner's."""
    return Fault(method, path, status=status, answer={"error": {"code": code, "message": "no"}}, **more)


CALLS = [
    *((f"key: {name}", [it], "TemporaryFailure" if name in UNDONE else UP) for name, it in hit("POST", KEYS)),
    *((f"networks: {name}", [fault], UP) for name, fault in hit("GET", NETWORKS)),
    *((f"create: {name}", [it], "TemporaryFailure" if name in UNDONE else UP) for name, it in hit("POST", CREATE)),
    *((f"list: {name}", [fault], UP) for name, fault in hit("GET", CREATE)),
    *((f"second page: {name}", [fault], UP) for name, fault in hit(**PAGE)),
    *((f"no more key: {name}", [fault], UP) for name, fault in hit("DELETE", KEY_PATH)),
    *((f"destroy: {name}", [fault], UP) for name, fault in hit("DELETE", SERVER)),
    *((f"is it gone: {name}", [fault], UP) for name, fault in hit("GET", SERVER)),
]

MORE = [
    ("create: 429 that lasts", [faults.throttled(CREATE, "POST", retry_after=3600)], "RateLimited"),
    ("create: 429, three times", [faults.throttled(CREATE, "POST", retry_after=20, times=3)], UP),
    ("create: 429 without Retry-After", [said("rate_limit_exceeded", 429, times=5)], UP),
    ("create: unauthorized", [said("unauthorized", 401)], "AuthError"),
    ("create: forbidden", [said("forbidden", 403)], "AuthError"),
    ("create: resource_limit_exceeded", [said("resource_limit_exceeded", 403)], "QuotaExceeded"),
    ("create: resource_unavailable", [said("resource_unavailable", 412)], "NoCapacity"),
    ("create: placement_error", [said("placement_error", 422)], "NoCapacity"),
    ("create: invalid_input", [said("invalid_input", 422)], "InvalidRequest"),
    ("create: uniqueness_error", [said("uniqueness_error", 409)], "InvalidRequest"),
    ("create: conflict", [said("conflict", 409, times=3)], UP),
    ("create: locked", [said("locked", 423, times=3)], UP),
    ("create: maintenance", [said("maintenance", 503, times=3)], UP),
    ("create: unavailable", [said("unavailable", 503)], "TemporaryFailure"),
    ("create: unreadable success", [Fault("POST", CREATE, status=201, answer=HTML, when="after")], UP),
    ("create: answer lost, list fails once", [LOST, Fault("GET", CREATE, status=500)], UP),
    ("create: answer lost, list throttled", [LOST, faults.throttled(CREATE, "GET", retry_after=30)], UP),
    ("create: answer lost, listed at the second look", [LOST, MachineFault(hidden_lists=1)], UP),
    ("create: answer lost, listed after a second", [LOST, MachineFault(hidden_for=1)], UP),
    ("create: answer lost, listed after 7 s", [LOST, MachineFault(hidden_for=7)], "TemporaryFailure"),
    ("create: answer lost, list refused", [LOST, Fault("GET", CREATE, status=403)], "TemporaryFailure"),
    ("create: answer lost, locked", [LOST, MachineFault(refuse_delete=2, hidden_lists=3)], "TemporaryFailure"),
    ("key: uniqueness_error", [said("uniqueness_error", 409, KEYS)], "InvalidRequest"),
    ("key: answer lost, list fails once", [faults.lost_answer(KEYS), Fault("GET", KEYS, status=500)], UP),
    ("list: shows it late", [MachineFault(hidden_for=9)], UP),
    ("list: no address for a while", [MachineFault(address_lists=3)], UP),
    ("list: fails for a minute", [Fault("GET", CREATE, status=503, times=12)], UP),
    ("list: bad token meanwhile", [Fault("GET", CREATE, status=401)], "NodeFailed"),
    ("list: a page without meta", [Fault("GET", CREATE, status=200, answer={"servers": []})], UP),
    ("second page: without meta", [Fault(**PAGE, status=200, answer={"servers": []})], UP),
    ("never running", [MachineFault(never_active=True)], "NodeFailed"),
    ("never running, locked", [MachineFault(never_active=True, refuse_delete=3)], "NodeFailed"),
    ("never running, delete without effect", [MachineFault(never_active=True, ignore_delete=3)], "NodeFailed"),
    ("destroy: locked, several times", [MachineFault(refuse_delete=5)], UP),
    ("destroy: conflict", [said("conflict", 409, SERVER, "DELETE", times=3)], UP),
    ("destroy: maintenance", [said("maintenance", 503, SERVER, "DELETE", times=3)], UP),
    ("destroy: delete without effect", [MachineFault(ignore_delete=3)], UP),
    ("destroy: 500 for a minute", [Fault("DELETE", SERVER, status=500, times=10)], UP),
]


@pytest.mark.parametrize(("name", "broken", "expected"), [pytest.param(*row, id=row[0]) for row in (*CALLS, *MORE)])
def test_a_fault(cloud, driver, time, table, name: str, broken: list[Any], expected: str):
    wanted = node("app-1", options={"network": "inside"})
    if "page" in name:
        # One that was there before, so that there is a second page.
        cloud.settings.page_cap = 1
        assert Bringing(driver, time).up(node("before")) == UP
    if "no answer" in name or "networks" in name:
        driver = driver_of(cloud, time, api_timeout=0.3)  # one that has not asked for the networks yet
    before = cloud.made()
    patience = 0.5 if "never running" in name else 5.0
    outcome = under(cloud, driver, time, broken, wanted, lambda: made_in(cloud), patience)
    table.append((name, outcome.word, str(outcome.left or "nothing")))
    assert (outcome.word, outcome.left, outcome.problems) == (expected, {}, [])
    assert outcome.made <= 1
    again = ("429" in name, "create: conflict" in name, "create: locked" in name, "create: maintenance" in name)
    assert cloud.count("POST", CREATE) - before <= 1 or any(again)


def test_one_of_three_fails_and_harms_no_other(cloud, driver, time):
    cloud.faults.add(Fault("POST", CREATE, body='"b"', status=400))
    bringing = Bringing(driver, time)
    bringing.up(node("a"), node("b"), node("c"))
    assert bringing.outcomes == {"a": UP, "b": "InvalidRequest", "c": UP}
    assert left(cloud)["servers"] == ["a", "c"]


def test_three_lost_answers_are_three_servers(cloud, driver, time):
    cloud.faults.add(faults.lost_answer(CREATE, times=3))
    bringing = Bringing(driver, time)
    assert bringing.up(node("a"), node("b"), node("c")) == UP
    assert left(cloud)["servers"] == ["a", "b", "c"]
    assert len({instance.instance_id for instance in bringing.instances}) == cloud.made() == 3


# how many calls


def calls_for(count: int) -> tuple[dict[str, int], int]:
    """The calls of a batch by kind, and those of taking it down again."""
    time = Time()
    with open_cloud(time) as cloud:
        driver = driver_of(cloud, time)
        bringing = Bringing(driver, time)
        assert bringing.up(*(node(f"n{number}") for number in range(count))) == UP
        kinds = {
            "create": cloud.count("POST", CREATE),
            "list": cloud.count("GET", CREATE),
            "key": cloud.count("POST", KEYS) + cloud.count("DELETE", KEY_PATH),
        }
        assert sum(kinds.values()) == len(cloud.calls), "a call that is not counted"
        for instance in bringing.instances:
            driver.terminate(instance)
        assert left(cloud) == {}
        return kinds, len(cloud.calls) - sum(kinds.values())


def test_the_number_of_calls_per_instance_does_not_grow(table):
    counted = {count: calls_for(count) for count in (1, 3, 10)}
    for count, (kinds, down) in counted.items():
        table.append((f"calls for {count}: {kinds}", f"down again: {down}", ""))
        # 10 s until running and a look every 3 s; one key.
        assert kinds == {"create": count, "list": 5, "key": 2}
        assert down == 2 * count
