"""
Faults of DigitalOcean, and what becomes of a node then: it is up, or it failed with an error of a known class.

Whatever strikes, nothing is left once the node is gone, and there never were two droplets. The outcomes are
printed as a table.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.drivers.bringing import HTML, UP, Bringing, Row, hit, table_of, under
from tests.drivers.do.driver import CREATE, Time, driver_of, left, node, open_cloud
from tests.drivers.do.emulator.client import Client
from tests.emulation import faults
from tests.emulation.faults import Fault, MachineFault

KEYS, DROPLET, TAG, FENCE = "/account/keys", r"/v2/droplets/\d+$", "/v2/tags/", r"/firewalls/.+/droplets$"


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[list[Row]]:
    with table_of("DigitalOcean", request) as rows:
        yield rows


# the table


LOST = faults.lost_answer(CREATE)
#: what the only create call does when it certainly or possibly did nothing
UNDONE = {"500, not done", "connection lost, not done", "a gateway's 502 page"}

CALLS = [
    *((f"key: {name}", [it], "TemporaryFailure" if name in UNDONE else UP) for name, it in hit("POST", KEYS)),
    *((f"create: {name}", [it], "TemporaryFailure" if name in UNDONE else UP) for name, it in hit("POST", CREATE)),
    *((f"list: {name}", [fault], UP) for name, fault in hit("GET", CREATE)),
    *((f"second page: {name}", [fault], UP) for name, fault in hit("GET", CREATE, query="page=2")),
    *((f"firewall: {name}", [fault], UP) for name, fault in hit("POST", FENCE)),
    *((f"remove key: {name}", [fault], UP) for name, fault in hit("DELETE", KEYS)),
    *((f"remove tag: {name}", [fault], UP) for name, fault in hit("DELETE", TAG)),
    *((f"destroy: {name}", [fault], UP) for name, fault in hit("DELETE", DROPLET)),
    *((f"is it gone: {name}", [fault], UP) for name, fault in hit("GET", DROPLET)),
]

MORE = [
    ("key: 429 that lasts", [faults.throttled(KEYS, "POST", retry_after=3600)], "RateLimited"),
    ("key: bad token", [Fault("POST", KEYS, status=401)], "AuthError"),
    ("key: answer lost, list of keys fails once", [faults.lost_answer(KEYS), Fault("GET", KEYS, status=500)], UP),
    ("remove key: 500, ten times", [Fault("DELETE", KEYS, status=500, times=10)], UP),
    ("create: 429 that lasts", [faults.throttled(CREATE, "POST", retry_after=3600)], "RateLimited"),
    ("create: 429, three times", [faults.throttled(CREATE, "POST", retry_after=20, times=3)], UP),
    ("create: 401", [Fault("POST", CREATE, status=401)], "AuthError"),
    ("create: 422", [Fault("POST", CREATE, status=422)], "InvalidRequest"),
    ("create: unreadable success", [Fault("POST", CREATE, status=202, answer=HTML, when="after")], UP),
    ("create: answer lost, list fails once", [LOST, Fault("GET", CREATE, status=500)], UP),
    ("create: answer lost, list throttled", [LOST, faults.throttled(CREATE, "GET", retry_after=30)], UP),
    ("create: answer lost, listed at the second look", [LOST, MachineFault(hidden_lists=1)], UP),
    ("create: answer lost, listed after 7 s", [LOST, MachineFault(hidden_for=7)], "TemporaryFailure"),
    ("create: answer lost, list refused", [LOST, Fault("GET", CREATE, status=403)], "TemporaryFailure"),
    ("create: answer lost, refuses to die", [
        LOST, MachineFault(refuse_delete=2, hidden_lists=3)], "TemporaryFailure"),
    ("list: shows it late", [MachineFault(hidden_for=9)], UP),
    ("list: shows its address late", [MachineFault(address_lists=3)], UP),
    ("list: fails for a minute", [Fault("GET", CREATE, status=503, times=12)], UP),
    ("list: bad token meanwhile", [Fault("GET", CREATE, status=401)], "NodeFailed"),
    ("firewall: 404", [Fault("POST", FENCE, status=404)], "InvalidRequest"),
    ("firewall: 403", [Fault("POST", FENCE, status=403)], "AuthError"),
    ("firewall: 404, refuses to die", [Fault("POST", FENCE, status=404), MachineFault(refuse_delete=2)],
     "InvalidRequest"),
    ("never active", [MachineFault(never_active=True)], "NodeFailed"),
    ("never active, refuses to die", [MachineFault(never_active=True, refuse_delete=3)], "NodeFailed"),
    ("never active, delete without effect", [MachineFault(never_active=True, ignore_delete=3)], "NodeFailed"),
    ("refuses to die", [MachineFault(refuse_delete=3)], UP),
    ("delete without effect", [MachineFault(ignore_delete=3)], UP),
]  # fmt: skip


@pytest.mark.parametrize(("name", "broken", "expected"), [pytest.param(*row, id=row[0]) for row in (*CALLS, *MORE)])
def test_a_fault(cloud, driver, time, table, name: str, broken: list[Any], expected: str):
    options = {}
    if "firewall" in name:
        rules = [{"protocol": "tcp", "ports": "22", "sources": {"addresses": ["192.0.2.1"]}}]
        answer = Client(cloud).call("POST", "firewalls", {"name": "ssh", "inbound_rules": rules})
        options = {"firewall": answer.json()["firewall"]["id"]}
    if "page" in name:
        # One that was there before, so that there is a second page.
        cloud.settings.page_cap = 1
        assert Bringing(driver, time).up(node("before")) == UP
    if "no answer" in name:
        driver = driver_of(cloud, time, api_timeout=0.3)
    before = cloud.made()
    patience = 0.5 if "never active" in name else 5.0
    outcome = under(cloud, driver, time, broken, node("app-1", options=options), lambda: left(cloud), patience)
    outcome.left.pop("firewalls", None)
    table.append((name, outcome.word, str(outcome.left or "nothing")))
    assert (outcome.word, outcome.left, outcome.problems) == (expected, {}, [])
    assert outcome.made <= 1
    assert cloud.count("POST", CREATE) - before <= 1 or "429" in name


def test_one_of_three_fails_and_harms_no_other(cloud, driver, time):
    cloud.faults.add(Fault("POST", CREATE, body='"b"', status=422))
    bringing = Bringing(driver, time)
    bringing.up(node("a"), node("b"), node("c"))
    assert bringing.outcomes == {"a": UP, "b": "InvalidRequest", "c": UP}
    assert left(cloud) == {"droplets": ["a", "c"]}


def test_three_lost_answers_are_three_droplets(cloud, driver, time):
    cloud.faults.add(faults.lost_answer(CREATE, times=3))
    bringing = Bringing(driver, time)
    assert bringing.up(node("a"), node("b"), node("c")) == UP
    assert left(cloud) == {"droplets": ["a", "b", "c"]}
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
            "access": cloud.count("POST", KEYS) + cloud.count("DELETE", KEYS) + cloud.count("DELETE", TAG),
        }
        assert sum(kinds.values()) == len(cloud.calls), "a call that is not counted"
        for instance in bringing.instances:
            driver.terminate(instance)
        assert left(cloud) == {}
        return kinds, len(cloud.calls) - sum(kinds.values())


def test_the_number_of_calls_per_droplet_does_not_grow(table):
    counted = {count: calls_for(count) for count in (1, 3, 10)}
    for count, (kinds, down) in counted.items():
        table.append((f"calls for {count}: {kinds}", f"down again: {down}", ""))
        # 10 s until active and a look every 3 s; the key in and out, and the batch's tag.
        assert kinds == {"create": count, "list": 5, "access": 3}
        assert down == 2 * count
