"""Traps of google-cloud-compute: what the library does by itself, and what hart's own calls do."""

from __future__ import annotations

import inspect
import socket
import threading
from typing import TYPE_CHECKING, Any

import google.auth.transport.requests
import pytest
import requests

from hart_salt.base.errors import InvalidRequest, NoCapacity, TemporaryFailure
from hart_salt.drivers import http
from hart_salt.drivers.gce import credentials as gce_credentials
from hart_salt.drivers.gce.driver import Account
from tests.drivers.do.driver import Time
from tests.drivers.gce.driver import INSERT, LIST, OPERATION, RULES, STOCKOUT, ZONE, driver_of, launch, node
from tests.drivers.gce.emulator.cloud import ComputeEngine as Cloud
from tests.emulation.faults import Fault, MachineFault
from tests.emulation.listener import Listener

if TYPE_CHECKING:
    from hart_salt.drivers.gce.client import Api


@pytest.fixture
def api(cloud: Cloud, time: Time) -> Api:
    return new_api(cloud, time)


def new_api(cloud: Cloud, time: Time, **account: Any) -> Api:
    from hart_salt.drivers.gce.client import Api  # imports google-cloud-compute, which takes a second

    return Api(Account(**{**cloud.account(), **account}), time.sleep)


def rule(api: Api, name: str = "one") -> Any:
    return api.body("Firewall", {"name": name, "allowed": [{"IPProtocol": "tcp", "ports": ["22"]}]})


# the endpoint


def test_the_library_alone_polls_operations_at_the_vendors_address() -> None:
    """``insert`` makes its own client for operations, with the credentials but without the endpoint."""
    from google.cloud import compute_v1
    from google.cloud.compute_v1.services.zone_operations.transports.rest import ZoneOperationsRestTransport

    transport = compute_v1.services.instances.transports.base.InstancesTransport
    source = inspect.getsource(transport._zone_operations_client.fget)
    assert "api_endpoint" not in source
    assert ZoneOperationsRestTransport.DEFAULT_HOST == "compute.googleapis.com"


def test_every_call_goes_to_the_endpoint_also_polls_of_operations(
    cloud: Cloud, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This covers an instance's whole life, with all threads that the library may start during it."""
    hosts = []
    original = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> Any:
        hosts.append(address[0])
        return original(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", _only_loopback(socket.getaddrinfo, hosts))
    driver = driver_of(cloud, time)
    instance = launch(driver, node())
    driver.settle(instance)
    driver.terminate(instance)
    driver.leftovers()
    for thread in threading.enumerate():
        if "egional" in thread.name or "efresh" in thread.name:
            thread.join(120)
    assert set(hosts) == {"127.0.0.1"}
    assert cloud.count("GET", OPERATION) > 3


def _only_loopback(original: Any, hosts: list[str]) -> Any:
    def look_up(host: str, *more: Any, **named: Any) -> Any:
        if host != "127.0.0.1":
            hosts.append(host)
            raise OSError(f"a name was looked up: {host}")
        return original(host, *more, **named)

    return look_up


def test_credentials_alone_send_a_token_elsewhere(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """google-auth asks Google from where an account may work; with an endpoint of the user's own, it asks nobody."""
    account = Account(**cloud.account())
    asked = []

    def start(self: Any, request: Any, url: str) -> None:
        asked.append(url)

    own = gce_credentials.make(Account(**{**cloud.account(), "endpoint": None}))
    monkeypatch.setattr(type(own), "_maybe_start_regional_access_boundary_refresh", start)
    session = google.auth.transport.requests.Request()
    for credentials, expected in ((own, 1), (gce_credentials.make(account), 1)):
        headers: dict[str, str] = {}
        credentials.before_request(session, "GET", cloud.base_url, headers)
        assert cloud.service_account.accepts(headers["authorization"].removeprefix("Bearer "))
        assert len(asked) == expected


def test_an_endpoint_can_end_with_a_slash(cloud: Cloud, time: Time) -> None:
    assert new_api(cloud, time, endpoint=f"{cloud.base_url}/").get("projects").name == "hart-test-1"


# operations


def test_an_operation_error_without_a_status_is_a_failure_although_the_library_sees_a_success(
    cloud: Cloud, api: Api
) -> None:
    from google.cloud import compute_v1

    operation = compute_v1.Operation(
        name="o",
        status=compute_v1.Operation.Status.DONE,
        error={"errors": [{"code": STOCKOUT, "message": "Sold out."}]},
    )
    assert not operation.http_error_status_code  # the library's own ``result`` decides by this field
    with pytest.raises(NoCapacity, match=rf"Sold out. \({STOCKOUT}\)"):
        api.wait(operation)


def test_an_operation_is_polled_until_it_ends(cloud: Cloud, api: Api, time: Time) -> None:
    cloud.settings.operation_after = 20
    api.wait(api.change("firewalls", "insert", firewall_resource=rule(api)))
    assert 20 <= sum(time.waits) < 27
    assert time.waits == sorted(time.waits)
    assert cloud.count("GET", OPERATION) == len(time.waits)


def test_an_operation_that_takes_too_long_is_an_uncertain_failure(cloud: Cloud, api: Api, time: Time) -> None:
    from hart_salt.drivers.gce.client import OPERATION_TIMEOUT

    cloud.settings.operation_after = 3 * OPERATION_TIMEOUT  # not infinite: a wait without a limit would hang the test
    operation = api.change("firewalls", "insert", firewall_resource=rule(api))
    with pytest.raises(TemporaryFailure, match="insert of one was not done within 300 s") as caught:
        api.wait(operation)
    assert caught.value.uncertain
    assert OPERATION_TIMEOUT <= sum(time.waits) <= OPERATION_TIMEOUT + 5


def test_retries_of_a_change_have_one_request_id_and_the_next_change_has_another(cloud: Cloud, api: Api) -> None:
    cloud.faults.add(Fault("POST", RULES, when="after", status=503), Fault("POST", RULES, when="after", drop=True))
    first = api.change("firewalls", "insert", firewall_resource=rule(api))
    api.change("firewalls", "insert", firewall_resource=rule(api, "two"))
    ids = [call.query["requestId"][0] for call in cloud.calls]
    assert (ids[0] == ids[1] == ids[2], ids[0] == ids[3]) == (True, False)
    assert first.client_operation_id == ids[0]


# timeouts and retries


def test_only_hart_retries_a_list_and_the_library_does_not(
    cloud: Cloud, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library's own retries last minutes and are off: each attempt is one request, and hart knows of it."""
    monkeypatch.setattr(http, "RETRY_FOR", 0.0)
    cloud.faults.add(Fault("GET", LIST, status=503))
    with pytest.raises(TemporaryFailure, match="503 backendError"):
        api.aggregated("instances")
    assert cloud.count("GET", LIST) == 1


def test_a_silent_server_is_an_uncertain_failure(cloud: Cloud, time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "RETRY_FOR", 0.2)
    api = new_api(cloud, time, api_timeout=0.2)
    cloud.faults.add(Fault("GET", LIST, stall=0.6))
    with pytest.raises(TemporaryFailure, match="Compute Engine's API at 127.0.0.1 did not answer in time") as caught:
        api.aggregated("instances")
    assert caught.value.uncertain


def test_a_list_is_retried_after_a_broken_connection(cloud: Cloud, api: Api, time: Time) -> None:
    cloud.faults.add(Fault("GET", LIST, drop=True))
    assert api.aggregated("instances") == []
    assert time.waits == [0.5]


def test_an_unreachable_server_is_retried_until_the_limit(time: Time, cloud: Cloud) -> None:
    with pytest.raises(TemporaryFailure, match="at 127.0.0.1 could not be reached") as caught:
        new_api(cloud, time, endpoint="http://127.0.0.1:1").get("projects")
    assert not caught.value.uncertain
    assert 100 < sum(time.waits) <= http.RETRY_FOR


def test_a_later_page_that_fails_does_not_end_a_list(cloud: Cloud, api: Api, time: Time) -> None:
    cloud.settings.page_cap = 2
    cloud.faults.add(Fault("GET", r"/zones$", query="pageToken=page-4", status=500))
    assert len(api.list_of("zones")) == 14
    assert cloud.count("GET", r"/zones$") == 3 + 7


def test_lists_request_pages_of_the_greatest_length(cloud: Cloud, api: Api) -> None:
    api.list_of("zones")
    assert cloud.calls[-1].query["maxResults"] == ["500"]


# answers


@pytest.mark.parametrize("answer", [{"id": "0xab", "name": "o"}, {"name": {}}, {}, {"error": {"code": 500}}])
def test_a_create_with_an_unreadable_answer_is_retried(cloud: Cloud, api: Api, answer: Any) -> None:
    """The library accepts any JSON object as an operation; a hexadecimal id breaks it."""
    cloud.faults.add(Fault("POST", RULES, status=200, answer=answer, when="after"))
    assert api.change("firewalls", "insert", firewall_resource=rule(api)).target_id
    assert len(cloud.state.firewalls) == 2


def test_unknown_fields_are_ignored_in_answers_and_refused_in_bodies(cloud: Cloud, api: Api) -> None:
    cloud.faults.add(Fault("GET", r"/projects/hart-test-1$", status=200, answer={"name": "p", "newField": [1]}))
    assert api.get("projects").name == "p"
    with pytest.raises(InvalidRequest, match="newField"):
        api.body("Firewall", {"name": "a", "newField": 1})


def test_a_redirect_sends_no_token_to_another_server(cloud: Cloud, api: Api) -> None:
    with Listener(200) as elsewhere:
        moved = {"Location": f"http://localhost:{elsewhere.port}/compute"}
        cloud.faults.add(Fault("GET", r"/projects/hart-test-1$", status=302, answer={}, headers=moved, times=None))
        with pytest.raises(TemporaryFailure, match="cannot be read"):
            api.get("projects")
        assert elsewhere.heard != []
        assert all("authorization" not in headers for headers in elsewhere.heard)
    cloud.faults.clear()


def test_each_thread_has_its_own_clients(cloud: Cloud, api: Api) -> None:
    found: list[Any] = [api._client("instances"), api._client("instances")]
    thread = threading.Thread(target=lambda: found.append(api._client("instances")))
    thread.start()
    thread.join()
    assert (found[0] is found[1], found[0] is found[2]) == (True, False)
    assert isinstance(found[0]._transport._session, requests.Session)


def test_the_emulators_faults_reach_the_library(cloud: Cloud, time: Time) -> None:
    """An operation that the library would report as a success makes a node fail; see ``late_status``."""
    cloud.settings.late_error, cloud.settings.late_status = STOCKOUT, None
    driver = driver_of(cloud, time)
    launch(driver, node())
    (shown,) = [op for op in cloud.state.operations.values() if op.type == "insert" and op.errors]
    from hart_salt.drivers.gce.client import DONE

    client = driver._parts.api._client("zone_operations")
    operation = client.get(project=cloud.project, zone=ZONE, operation=shown.name, retry=None, timeout=120)
    assert (operation.status, operation.http_error_status_code) == (DONE, 0)
    assert operation.error.errors[0].code == STOCKOUT


def test_finished_creates_are_not_polled_again_while_another_is_under_way(cloud: Cloud, time: Time) -> None:
    cloud.faults.add(MachineFault(hostname="b", never_active=True))
    driver = driver_of(cloud, time)
    for name in ("a1", "b1", "a2"):
        launch(driver, node(name))
    time.advance(20)
    assert sorted((it.minion_id, it.state) for it in driver.instances()) == [
        ("a1", "running"), ("a2", "running"), ("b1", "pending"),
    ]  # fmt: skip
    driver.instances()
    (first, second) = [call for call in cloud.calls if call.path.endswith("/operations")]
    assert (first.query["filter"][0].count("name ="), second.query["filter"][0].count("name =")) == (3, 1)
    assert cloud.count("POST", INSERT) == 3
