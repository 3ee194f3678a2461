"""
Faults of a cloud and the outcome for a node: it is up, or it failed with an error of a known class.

After any fault, nothing is left once the node is gone, and there were never two instances. The outcomes are printed as
a table.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from hart_salt.drivers.contract import Driver
from tests.drivers.bringing import HTML, UP, Bringing, Row, hit, table_of, under
from tests.drivers.clouds import module_of
from tests.drivers.tested import Time
from tests.emulation import faults
from tests.emulation.faults import Fault, MachineFault
from tests.emulation.stateful import StatefulEmulator

CLOUDS = ("do", "hetzner", "vultr")
#: the only call that makes an instance, its status, what instances are called, and a status by which it is refused
CREATE = {"do": r"/v2/droplets$", "hetzner": r"/v1/servers$", "vultr": r"/v2/instances$"}
MADE = {"do": 202, "hetzner": 201, "vultr": 202}
THINGS = {"do": "droplets", "hetzner": "servers", "vultr": "instances"}
REFUSED = {"do": 422, "hetzner": 400, "vultr": 400}
DROPLET, SERVER, INSTANCE = r"/v2/droplets/\d+$", r"/v1/servers/[0-9]+$", r"/v2/instances/[0-9a-f-]+$"
ACCOUNT_KEYS, TAG, FENCE = "/account/keys", "/v2/tags/", r"/firewalls/.+/droplets$"
SSH_KEYS, SSH_KEY, NETWORKS = r"/v1/ssh_keys$", r"/v1/ssh_keys/[0-9]+$", "/v1/networks$"
OS = "/v2/os$"
#: what asks for the second page
SECOND = {"do": "page=2", "hetzner": "(^|&)page=", "vultr": "cursor="}
#: outcomes of a create call that certainly or possibly had no effect
UNDONE = {"500, not done", "connection lost, not done", "a gateway's 502 page"}
#: the name of an instance that exists before and is not the driver's
BEFORE = ("firewalls", "networks")
#: faults of a create call without effect, which is retried
REPEATED = ("429", "create: conflict", "create: locked", "create: maintenance")

#: beside the create call and lists: the calls of an instance's life, and whether a node fails with them
CALLS = {
    "do": [
        ("key", "POST", ACCOUNT_KEYS), ("firewall", "POST", FENCE), ("remove key", "DELETE", ACCOUNT_KEYS),
        ("remove tag", "DELETE", TAG), ("destroy", "DELETE", DROPLET), ("is it gone", "GET", DROPLET),
    ],
    "hetzner": [
        ("key", "POST", SSH_KEYS), ("networks", "GET", NETWORKS), ("no more key", "DELETE", SSH_KEY),
        ("destroy", "DELETE", SERVER), ("is it gone", "GET", SERVER),
    ],
    "vultr": [("images", "GET", OS), ("destroy", "DELETE", INSTANCE), ("is it gone", "GET", INSTANCE)],
}  # fmt: skip
MAKING = ("key", "create")


def of_all(cloud: str) -> list[tuple[str, list[Any], str]]:
    """Return the faults of all clouds."""
    create, lost = CREATE[cloud], faults.lost_answer(CREATE[cloud])
    return [
        ("create: 429 that lasts", [faults.throttled(create, "POST", retry_after=3600)], "RateLimited"),
        ("create: 429, three times", [faults.throttled(create, "POST", retry_after=20, times=3)], UP),
        ("create: unreadable success", [Fault("POST", create, status=MADE[cloud], answer=HTML, when="after")], UP),
        ("create: answer lost, list fails once", [lost, Fault("GET", create, status=500)], UP),
        ("create: answer lost, list throttled", [lost, faults.throttled(create, "GET", retry_after=30)], UP),
        ("create: answer lost, listed at the second look", [lost, MachineFault(hidden_lists=1)], UP),
        ("create: answer lost, listed after 7 s", [lost, MachineFault(hidden_for=7)], "TemporaryFailure"),
        ("create: answer lost, list refused", [lost, Fault("GET", create, status=403)], "TemporaryFailure"),
        ("create: answer lost, refuses to die", [
            lost, MachineFault(refuse_delete=2, hidden_lists=3)], "TemporaryFailure"),
        ("list: shows it late", [MachineFault(hidden_for=9)], UP),
        ("list: shows its address late", [MachineFault(address_lists=3)], UP),
        ("list: fails for a minute", [Fault("GET", create, status=503, times=12)], UP),
        ("list: bad token meanwhile", [Fault("GET", create, status=401)], "NodeFailed"),
        ("never active", [MachineFault(never_active=True)], "NodeFailed"),
        ("never active, refuses to die", [MachineFault(never_active=True, refuse_delete=3)], "NodeFailed"),
        ("never active, delete without effect", [MachineFault(never_active=True, ignore_delete=3)], "NodeFailed"),
        ("destroy: delete without effect", [MachineFault(ignore_delete=3)], UP),
    ]  # fmt: skip


def said(code: str, status: int, path: str = CREATE["hetzner"], method: str = "POST", **more: Any) -> Fault:
    """Return an error of Hetzner."""
    return Fault(method, path, status=status, answer={"error": {"code": code, "message": "no"}}, **more)


def added(status: int, message: str) -> Fault:
    """Return a refusal of Vultr's create call."""
    return Fault("POST", CREATE["vultr"], status=status, answer={"error": message, "status": status})


#: the faults of single clouds
OWN = {
    "do": [
        ("key: 429 that lasts", [faults.throttled(ACCOUNT_KEYS, "POST", retry_after=3600)], "RateLimited"),
        ("key: bad token", [Fault("POST", ACCOUNT_KEYS, status=401)], "AuthError"),
        ("key: answer lost, list of keys fails once", [
            faults.lost_answer(ACCOUNT_KEYS), Fault("GET", ACCOUNT_KEYS, status=500)], UP),
        ("remove key: 500, ten times", [Fault("DELETE", ACCOUNT_KEYS, status=500, times=10)], UP),
        ("create: 401", [Fault("POST", CREATE["do"], status=401)], "AuthError"),
        ("create: 422", [Fault("POST", CREATE["do"], status=422)], "InvalidRequest"),
        ("firewall: 404", [Fault("POST", FENCE, status=404)], "InvalidRequest"),
        ("firewall: 403", [Fault("POST", FENCE, status=403)], "AuthError"),
        ("firewall: 404, refuses to die", [Fault("POST", FENCE, status=404), MachineFault(refuse_delete=2)],
         "InvalidRequest"),
        ("refuses to die", [MachineFault(refuse_delete=3)], UP),
    ],
    "hetzner": [
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
        ("create: answer lost, listed after a second", [
            faults.lost_answer(CREATE["hetzner"]), MachineFault(hidden_for=1)], UP),
        ("key: uniqueness_error", [said("uniqueness_error", 409, SSH_KEYS)], "InvalidRequest"),
        ("key: answer lost, list fails once", [faults.lost_answer(SSH_KEYS), Fault("GET", SSH_KEYS, status=500)], UP),
        ("list: a page without meta", [Fault("GET", CREATE["hetzner"], status=200, answer={"servers": []})], UP),
        ("second page: without meta", [
            Fault("GET", CREATE["hetzner"], query=SECOND["hetzner"], status=200, answer={"servers": []})], UP),
        ("destroy: locked, several times", [MachineFault(refuse_delete=5)], UP),
        ("destroy: conflict", [said("conflict", 409, SERVER, "DELETE", times=3)], UP),
        ("destroy: maintenance", [said("maintenance", 503, SERVER, "DELETE", times=3)], UP),
        ("destroy: 500 for a minute", [Fault("DELETE", SERVER, status=500, times=10)], UP),
    ],
    "vultr": [
        ("create: 401", [Fault("POST", CREATE["vultr"], status=401)], "AuthError"),
        ("create: 401 unauthorized IP", [added(401, "Unauthorized IP address: 192.0.2.1")], "AuthError"),
        ("create: quota as 400", [
            added(400, "Server add failed: You have reached the maximum monthly fee limit for this account.")],
         "QuotaExceeded"),
        ("create: out of stock", [
            added(400, "Server add failed: plan is not available in the selected region")], "NoCapacity"),
        ("create: 400", [Fault("POST", CREATE["vultr"], status=400)], "InvalidRequest"),
        ("create: answer lost, listed after a second", [
            faults.lost_answer(CREATE["vultr"]), MachineFault(hidden_for=1)], UP),
        ("list: a page without meta", [Fault("GET", CREATE["vultr"], status=200, answer={"instances": []})], UP),
        ("second page: without meta", [
            Fault("GET", CREATE["vultr"], query=SECOND["vultr"], status=200, answer={"instances": []})], UP),
        ("destroy: locked, several times", [MachineFault(refuse_delete=5)], UP),
        ("destroy: 500 for a minute", [Fault("DELETE", INSTANCE, status=500, times=10)], UP),
    ],
}  # fmt: skip


def broken_calls(cloud: str) -> Iterator[tuple[str, list[Any], str]]:
    """Return the faults of each call of an instance's life, in each temporary way."""
    create = CREATE[cloud]
    lists = [("list", "GET", create), ("create", "POST", create)]
    for call, method, path in (*CALLS[cloud], *lists):
        for way, fault in hit(method, path):
            yield f"{call}: {way}", [fault], "TemporaryFailure" if call in MAKING and way in UNDONE else UP
    for way, fault in hit("GET", create, query=SECOND[cloud]):
        yield f"second page: {way}", [fault], UP


def rows() -> Iterator[Any]:
    """Return all faults of all clouds."""
    for cloud in CLOUDS:
        for row in (*broken_calls(cloud), *of_all(cloud), *OWN[cloud]):
            yield pytest.param(cloud, *row, id=f"{cloud}-{row[0]}")


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[list[Row]]:
    with table_of("DigitalOcean, Hetzner and Vultr", request) as shown:
        yield shown


def options_for(name: str, cloud: Any, cloud_name: str) -> dict[str, Any]:
    """Return the options with which the fault can strike."""
    if cloud_name == "hetzner":
        cloud.add_network("inside", "eu-central")
        return {"network": "inside"}
    if "firewall" not in name:
        return {}
    rules = [{"protocol": "tcp", "ports": "22", "sources": {"addresses": ["192.0.2.1"]}}]
    answer = module_of("do").Client(cloud).call("POST", "firewalls", {"name": "ssh", "inbound_rules": rules})
    return {"firewall": answer.json()["firewall"]["id"]}


@pytest.mark.parametrize(("cloud_name", "name", "broken", "expected"), list(rows()))
def test_a_fault(
    own: ModuleType,
    cloud_name: str,
    cloud: StatefulEmulator[Any, Any],
    driver: Driver,
    time: Time,
    table: list[Row],
    name: str,
    broken: list[Any],
    expected: str,
) -> None:
    options = options_for(name, cloud, cloud_name)
    if "page" in name:
        # An older instance, so that there is a second page.
        cloud.settings.page_cap = 1
        assert Bringing(driver, time).up(own.node("before")) == UP
    if any(word in name for word in ("no answer", "images", "networks")):
        driver = own.driver_of(cloud, time, api_timeout=0.3)  # one that has not asked for images and networks yet
    before = cloud.made()
    timeout = 0.5 if "never active" in name else 5.0
    outcome = under(cloud, driver, time, broken, own.node("app-1", options=options), lambda: own.left(cloud), timeout)
    left = {kind: names for kind, names in outcome.left.items() if kind not in BEFORE}
    table.append((f"{cloud_name}: {name}", outcome.word, str(left or "nothing")))
    assert (outcome.word, left, outcome.problems) == (expected, {}, [])
    assert outcome.made <= 1
    repeated = any(words in name for words in REPEATED)
    assert cloud.count("POST", CREATE[cloud_name]) - before <= 1 or repeated


@pytest.mark.parametrize("cloud_name", CLOUDS)
def test_one_of_three_fails_and_harms_no_other(
    cloud_name: str, own: ModuleType, cloud: StatefulEmulator[Any, Any], driver: Driver, time: Time
) -> None:
    cloud.faults.add(Fault("POST", CREATE[cloud_name], body='"b"', status=REFUSED[cloud_name]))
    bringing = Bringing(driver, time)
    bringing.up(own.node("a"), own.node("b"), own.node("c"))
    assert bringing.outcomes == {"a": UP, "b": "InvalidRequest", "c": UP}
    assert own.left(cloud) == {THINGS[cloud_name]: ["a", "c"]}


@pytest.mark.parametrize("cloud_name", CLOUDS)
def test_three_lost_answers_leave_three_instances(
    cloud_name: str, own: ModuleType, cloud: StatefulEmulator[Any, Any], driver: Driver, time: Time
) -> None:
    cloud.faults.add(faults.lost_answer(CREATE[cloud_name], times=3))
    bringing = Bringing(driver, time)
    assert bringing.up(own.node("a"), own.node("b"), own.node("c")) == UP
    assert own.left(cloud) == {THINGS[cloud_name]: ["a", "b", "c"]}
    assert len({instance.instance_id for instance in bringing.instances}) == cloud.made() == 3


# number of calls

#: the calls beside creates and lists, and how many there are of them for any number of nodes
ONCE = {
    "do": (3, [("POST", ACCOUNT_KEYS), ("DELETE", ACCOUNT_KEYS), ("DELETE", TAG)]),
    "hetzner": (2, [("POST", SSH_KEYS), ("DELETE", SSH_KEY)]),
    "vultr": (1, [("GET", OS)]),
}


def calls_for(cloud_name: str, count: int) -> tuple[dict[str, int], int]:
    """The calls of a batch by kind, and those of taking it down again."""
    own, time, create = module_of(cloud_name), Time(), CREATE[cloud_name]
    with own.open_cloud(time) as cloud:
        driver = own.driver_of(cloud, time)
        bringing = Bringing(driver, time)
        assert bringing.up(*(own.node(f"n{number}") for number in range(count))) == UP
        kinds = {
            "create": cloud.count("POST", create),
            "list": cloud.count("GET", create),
            "once": sum(cloud.count(*call) for call in ONCE[cloud_name][1]),
        }
        assert sum(kinds.values()) == len(cloud.calls), "a call that is not counted"
        for instance in bringing.instances:
            driver.terminate(instance)
        assert own.left(cloud) == {}
        return kinds, len(cloud.calls) - sum(kinds.values())


@pytest.mark.parametrize("cloud_name", CLOUDS)
def test_the_number_of_calls_per_instance_does_not_grow(cloud_name: str, table: list[Row]) -> None:
    counted = {count: calls_for(cloud_name, count) for count in (1, 3, 10)}
    for count, (kinds, down) in counted.items():
        table.append((f"{cloud_name}: calls for {count}: {kinds}", f"down again: {down}", ""))
        # 10 s until active and a look every 3 s.
        assert kinds == {"create": count, "list": 5, "once": ONCE[cloud_name][0]}
        assert down == 2 * count
