"""
Faults of Vultr, and what becomes of a node then: it is up, or it failed with an error of a known class.

Whatever strikes, nothing is left once the node is gone, and there never were two instances. The outcomes are
printed as a table.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.drivers.bringing import HTML, UP, Bringing, Row, hit, table_of, under
from tests.drivers.do.driver import Time
from tests.drivers.vultr.driver import CREATE, INSTANCE, driver_of, left, node, open_cloud
from tests.emulation import faults
from tests.emulation.faults import Fault, MachineFault

OS = "/v2/os$"
PAGE = {"method": "GET", "path": CREATE, "query": "cursor="}


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[list[Row]]:
    with table_of("Vultr", request) as rows:
        yield rows


LOST = faults.lost_answer(CREATE)
#: what the only create call does when it certainly or possibly did nothing
UNDONE = {"500, not done", "connection lost, not done", "a gateway's 502 page"}
NOT_LISTED = {"error": "Unauthorized IP address: 192.0.2.1", "status": 401}
QUOTA = {"error": "Server add failed: You have reached the maximum monthly fee limit for this account.", "status": 400}
NO_STOCK = {"error": "Server add failed: plan is not available in the selected region", "status": 400}

CALLS = [
    *((f"images: {name}", [fault], UP) for name, fault in hit("GET", OS)),
    *((f"create: {name}", [it], "TemporaryFailure" if name in UNDONE else UP) for name, it in hit("POST", CREATE)),
    *((f"list: {name}", [fault], UP) for name, fault in hit("GET", CREATE)),
    *((f"second page: {name}", [fault], UP) for name, fault in hit("GET", CREATE, query="cursor=")),
    *((f"destroy: {name}", [fault], UP) for name, fault in hit("DELETE", INSTANCE)),
    *((f"is it gone: {name}", [fault], UP) for name, fault in hit("GET", INSTANCE)),
]

MORE = [
    ("create: 429 that lasts", [faults.throttled(CREATE, "POST", retry_after=3600)], "RateLimited"),
    ("create: 429, three times", [faults.throttled(CREATE, "POST", retry_after=20, times=3)], UP),
    ("create: 401", [Fault("POST", CREATE, status=401)], "AuthError"),
    ("create: 401 unauthorized IP", [Fault("POST", CREATE, status=401, answer=NOT_LISTED)], "AuthError"),
    ("create: quota as 400", [Fault("POST", CREATE, status=400, answer=QUOTA)], "QuotaExceeded"),
    ("create: out of stock", [Fault("POST", CREATE, status=400, answer=NO_STOCK)], "NoCapacity"),
    ("create: 400", [Fault("POST", CREATE, status=400)], "InvalidRequest"),
    ("create: unreadable success", [Fault("POST", CREATE, status=202, answer=HTML, when="after")], UP),
    ("create: answer lost, list fails once", [LOST, Fault("GET", CREATE, status=500)], UP),
    ("create: answer lost, list throttled", [LOST, faults.throttled(CREATE, "GET", retry_after=30)], UP),
    ("create: answer lost, listed at the second look", [LOST, MachineFault(hidden_lists=1)], UP),
    ("create: answer lost, listed after a second", [LOST, MachineFault(hidden_for=1)], UP),
    ("create: answer lost, listed after 7 s", [LOST, MachineFault(hidden_for=7)], "TemporaryFailure"),
    ("create: answer lost, list refused", [LOST, Fault("GET", CREATE, status=403)], "TemporaryFailure"),
    ("create: answer lost, locked", [LOST, MachineFault(refuse_delete=2, hidden_lists=3)], "TemporaryFailure"),
    ("list: shows it late", [MachineFault(hidden_for=9)], UP),
    ("list: 0.0.0.0 for a while", [MachineFault(address_lists=3)], UP),
    ("list: fails for a minute", [Fault("GET", CREATE, status=503, times=12)], UP),
    ("list: bad token meanwhile", [Fault("GET", CREATE, status=401)], "NodeFailed"),
    ("list: a page without meta", [Fault("GET", CREATE, status=200, answer={"instances": []})], UP),
    ("second page: without meta", [Fault(**PAGE, status=200, answer={"instances": []})], UP),
    ("never active", [MachineFault(never_active=True)], "NodeFailed"),
    ("never active, locked", [MachineFault(never_active=True, refuse_delete=3)], "NodeFailed"),
    ("never active, delete without effect", [MachineFault(never_active=True, ignore_delete=3)], "NodeFailed"),
    ("destroy: locked, several times", [MachineFault(refuse_delete=5)], UP),
    ("destroy: delete without effect", [MachineFault(ignore_delete=3)], UP),
    ("destroy: 500 for a minute", [Fault("DELETE", INSTANCE, status=500, times=10)], UP),
]  # fmt: skip


@pytest.mark.parametrize(("name", "broken", "expected"), [pytest.param(*row, id=row[0]) for row in (*CALLS, *MORE)])
def test_a_fault(cloud, driver, time, table, name: str, broken: list[Any], expected: str):
    if "page" in name:
        # One that was there before, so that there is a second page.
        cloud.settings.page_cap = 1
        assert Bringing(driver, time).up(node("before")) == UP
    if "no answer" in name or "images" in name:
        driver = driver_of(cloud, time, api_timeout=0.3)  # one that has not asked for the images yet
    before = cloud.made()
    patience = 0.5 if "never active" in name else 5.0
    outcome = under(cloud, driver, time, broken, node("app-1"), lambda: left(cloud), patience)
    table.append((name, outcome.word, str(outcome.left or "nothing")))
    assert (outcome.word, outcome.left, outcome.problems) == (expected, {}, [])
    assert outcome.made <= 1
    assert cloud.count("POST", CREATE) - before <= 1 or "429" in name


def test_one_of_three_fails_and_harms_no_other(cloud, driver, time):
    cloud.faults.add(Fault("POST", CREATE, body='"b"', status=400))
    bringing = Bringing(driver, time)
    bringing.up(node("a"), node("b"), node("c"))
    assert bringing.outcomes == {"a": UP, "b": "InvalidRequest", "c": UP}
    assert left(cloud) == {"instances": ["a", "c"]}


def test_three_lost_answers_are_three_instances(cloud, driver, time):
    cloud.faults.add(faults.lost_answer(CREATE, times=3))
    bringing = Bringing(driver, time)
    assert bringing.up(node("a"), node("b"), node("c")) == UP
    assert left(cloud) == {"instances": ["a", "b", "c"]}
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
            "images": cloud.count("GET", OS),
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
        # 10 s until active and a look every 3 s; the images once.
        assert kinds == {"create": count, "list": 5, "images": 1}
        assert down == 2 * count
