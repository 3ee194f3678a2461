"""
Faults of DigitalOcean, and what becomes of a node then: it is up, or it failed with an error of a known class.

Whatever strikes, nothing is left once the node is gone, and there never were two droplets. The steps are those
of ``hart_salt.create`` and ``hart_salt.lifecycle``, by their own functions as far as the provider is concerned;
a machine behind the API is not needed for it. The outcomes are printed as a table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from hart_salt import create, lifecycle, ssh
from hart_salt.drivers import do
from hart_salt.errors import HartError
from hart_salt.model import Instance, Node
from hart_salt.threads import Calls
from hart_salt.watch import Watcher
from tests.cloud import faults
from tests.cloud.digitalocean import DigitalOcean as Cloud
from tests.cloud.do_client import Client
from tests.cloud.faults import Fault, MachineFault
from tests.functional.do_driver import CREATE, KEY, SCRIPT, Time, driver_of, left, node, open_cloud

KEYS, DROPLET, TAG, FENCE = "/account/keys", r"/v2/droplets/\d+$", "/v2/tags/", r"/firewalls/.+/droplets$"
UP = "up"
HTML = "<html>502</html>"


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def cloud(time: Time) -> Iterator[Cloud]:
    with open_cloud(time) as cloud:
        yield cloud


@pytest.fixture
def driver(cloud: Cloud, time: Time) -> do.DigitalOcean:
    return driver_of(cloud, time)


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[list[tuple[str, str, str]]]:
    """Rows of fault, outcome and what was left, printed at the end."""
    rows: list[tuple[str, str, str]] = []
    yield rows
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("\n\nDigitalOcean: fault, outcome of the node, what was left")
        for name, outcome, leavings in rows:
            print(f"  {name:<58} {outcome:<18} {leavings}")


# one batch


@dataclass
class Batch:
    """What ``lifecycle`` asks of a batch where it speaks with the provider."""

    driver: do.DigitalOcean
    calls: Calls
    watcher: Watcher
    access: Any


class Bringing:
    """Nodes brought up side by side as far as the provider goes; the outcome of each is in ``outcomes``."""

    def __init__(self, driver: do.DigitalOcean, time: Time, boot_timeout: float = 5.0) -> None:
        self._driver = driver
        self._time = time
        self._boot_timeout = boot_timeout
        self.outcomes: dict[str, str] = {}
        #: what of the batch could not be tidied up
        self.problems: list[str] = []
        self.instances: list[Instance] = []

    def up(self, *nodes: Node) -> str:
        """Bring them up; the outcomes as one text."""
        with Calls(sleep=self._sleep) as calls:
            try:
                asyncio.run(self._all(nodes, calls))
            except HartError as error:
                self.outcomes = {it.minion_id: type(error).__name__ for it in nodes}
        return ", ".join(sorted(set(self.outcomes.values())))

    async def _sleep(self, seconds: float) -> None:
        self._time.sleep(seconds)
        await asyncio.sleep(0.001)  # whoever has been waiting goes first

    async def _all(self, nodes: Sequence[Node], calls: Calls) -> None:
        watcher = Watcher(lambda: calls.driver(self._driver.instances), self._driver.poll_interval, calls.sleep)
        # A key line that the tests share, since making one takes a while.
        async with create._access(self._driver, calls, nodes, ssh.Key("", KEY), self.problems) as access:
            batch: Any = Batch(self._driver, calls, watcher, access)
            launched = Barrier(len(nodes))
            try:
                await asyncio.gather(*(self._one(it, batch, launched) for it in nodes))
            finally:
                await watcher.close()

    async def _one(self, wanted: Node, batch: Any, launched: Any) -> None:
        record: Any = None
        life = lifecycle.Life(record, launched=True)
        try:
            try:
                life.instance = await batch.calls.driver(batch.driver.launch, wanted, SCRIPT, batch.access)
            finally:
                # Time passes with the first look: nobody looks before all are launched.
                await launched.wait()
            self.instances.append(
                await batch.watcher.wait(life.instance.instance_id, _is_up, self._boot_timeout)
            )  # fmt: skip
            self.outcomes[wanted.minion_id] = UP
        except HartError as error:
            self.outcomes[wanted.minion_id] = type(error).__name__
            await lifecycle._remove_instance(wanted, batch, life)


class Barrier:
    """asyncio has one from Python 3.11 on."""

    def __init__(self, parties: int) -> None:
        self._missing = parties
        self._all = asyncio.Event()

    async def wait(self) -> None:
        self._missing -= 1
        if not self._missing:
            self._all.set()
        await self._all.wait()


def _is_up(seen: Instance) -> bool:
    return seen.state == "running" and seen.public_ip is not None


def made(cloud: Cloud) -> int:
    """How many droplets there ever were."""
    assert cloud.settle(10)
    return sum(action.type == "create" for action in cloud.state.actions.values())


# the table


def hit(method: str, path: str, **more: Any) -> tuple[tuple[str, Fault], ...]:
    """The ways in which one call can go wrong for a moment."""
    return (
        ("500, not done", Fault(method, path, status=500, **more)),
        ("500, but done", Fault(method, path, status=500, when="after", **more)),
        ("connection lost, not done", Fault(method, path, drop=True, **more)),
        ("connection lost, but done", Fault(method, path, drop=True, when="after", **more)),
        ("no answer in time, but done", Fault(method, path, stall=0.6, when="after", **more)),
        ("a gateway's 502 page", Fault(method, path, status=502, answer=HTML, **more)),
        ("429 with Retry-After", faults.throttled(path, method, retry_after=5, **more)),
    )


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
    before = made(cloud)
    cloud.faults.add(*broken)
    bringing = Bringing(driver, time, 0.5 if "never active" in name else 5.0)
    outcome = bringing.up(node("app-1", options=options))
    droplets = made(cloud) - before
    for instance in [*bringing.instances, *driver.instances()]:
        assert outcome == UP or instance.minion_id == "before"
        driver.terminate(instance)
    remains = left(cloud)
    remains.pop("firewalls", None)
    table.append((name, outcome, str(remains or "nothing")))
    assert (outcome, remains, bringing.problems) == (expected, {}, [])
    assert droplets <= 1
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
    assert len({instance.instance_id for instance in bringing.instances}) == made(cloud) == 3


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
