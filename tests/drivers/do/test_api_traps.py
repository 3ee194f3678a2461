"""Known problems of python-digitalocean, and that the driver avoids each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Barrier
from typing import Any

import pytest
import requests

from hart_salt.base.errors import AuthError, InvalidRequest, NotFound, RateLimited, TemporaryFailure
from hart_salt.drivers import http, rest
from hart_salt.drivers.do import client
from hart_salt.drivers.do import driver as do
from tests.drivers.do.driver import BATCH, CREATE, KEY, SCRIPT, Time, node
from tests.drivers.do.emulator.answers import REQUEST_ID
from tests.drivers.do.emulator.client import SPEC, Client
from tests.drivers.do.emulator.cloud import DigitalOcean as Cloud
from tests.drivers.tested import OWNER
from tests.emulation import faults
from tests.emulation.faults import Fault
from tests.emulation.listener import Listener

DROPLET = {"name": "a", **SPEC}


def names(droplets: list[dict[str, Any]]) -> list[str]:
    return [droplet["name"] for droplet in droplets]


# 1: no timeouts


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_1_every_request_has_a_timeout(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """The timeout does not depend on the library's own environment variable."""
    monkeypatch.setenv("PYTHON_DIGITALOCEAN_REQUEST_TIMEOUT_SEC", "3600")
    api = client.Api(cloud.token, cloud.endpoint, 0.1, lambda seconds: None)
    monkeypatch.setattr(http, "RETRY_FOR", 0.2)
    cloud.faults.add(Fault(method, stall=0.5))
    calls: dict[str, Callable[[], Any]] = {
        "GET": lambda: api.get("account", "account"),
        "DELETE": lambda: api.delete("droplets/1"),
        "POST": lambda: api.post("droplets", DROPLET, "droplet"),
    }
    with pytest.raises(TemporaryFailure, match="did not answer in time") as caught:
        calls[method]()
    assert caught.value.uncertain


def test_1_the_timeouts_are_sane() -> None:
    assert 0 < rest.CONNECT_TIMEOUT <= 30
    assert 0 < do.Account.model_fields["api_timeout"].default <= 120


# 2: truncated lists


@pytest.mark.parametrize(
    "fault",
    [
        faults.bad_page(CREATE),
        faults.bad_page(CREATE, status=500),
        faults.bad_page(CREATE, page=3, status=500),
        faults.bad_page(CREATE, status=200, answer="<html>"),
        faults.bad_page(CREATE, status=200, answer={}),
        faults.bad_page(CREATE, status=502, answer="<html>"),
        Fault("GET", CREATE, query="page=2", drop=True),
    ],
)
def test_2_a_list_restarts_when_a_page_fails_once(cloud: Cloud, api: client.Api, fault: Fault) -> None:
    cloud.settings.page_cap = 1
    for name in "abc":
        Client(cloud).create(name)
    for listed in (api.get, api.listed):
        cloud.faults.add(fault)
        assert names(listed("droplets", "droplets")) == ["a", "b", "c"]


@pytest.mark.parametrize(("status", "kind"), [(429, RateLimited), (500, TemporaryFailure), (404, NotFound)])
def test_2_a_page_that_keeps_failing_is_an_error(
    cloud: Cloud, api: client.Api, status: int, kind: type[Exception]
) -> None:
    cloud.settings.page_cap = 1
    for name in "ab":
        Client(cloud).create(name)
    cloud.faults.add(faults.bad_page(CREATE, status=status, times=None))
    for listed in (api.get, api.listed):
        with pytest.raises(kind):
            listed("droplets", "droplets")
    cloud.faults.clear()


def test_2_pages_after_the_first_are_requested_side_by_side_and_keep_their_order(cloud: Cloud, api: client.Api) -> None:
    cloud.settings.page_cap = 1
    for name in "abcde":
        Client(cloud).create(name)
    begun = Barrier(4)
    for page in range(2, 6):
        cloud.faults.add(Fault("GET", CREATE, query=f"page={page}", when="after", stall=0.01 * (5 - page)))
    listed = api._ask

    def ask(method: str, path: str, parameters: Mapping[str, Any]) -> Any:
        if parameters["page"] > 1:
            begun.wait(120)
        return listed(method, path, parameters)

    api._ask = ask  # type: ignore[method-assign]
    assert names(api.listed("droplets", "droplets")) == list("abcde")
    assert cloud.count("GET", CREATE) == 5


def test_2_a_list_that_grows_while_it_is_read_is_read_to_its_end(cloud: Cloud, api: client.Api) -> None:
    cloud.settings.page_cap = 1
    for name in "abc":
        Client(cloud).create(name)
    listed = api._ask

    def ask(method: str, path: str, parameters: Mapping[str, Any]) -> Any:
        if parameters["page"] == 3:
            Client(cloud).create("d")
        return listed(method, path, parameters)

    api._ask = ask  # type: ignore[method-assign]
    assert names(api.listed("droplets", "droplets")) == list("abcd")


@pytest.mark.parametrize("last", ["", "page", "http://127.0.0.1/?page=x", "http://127.0.0.1/?page=999999999999"])
def test_2_a_list_that_does_not_say_how_many_pages_it_has_is_an_error(
    cloud: Cloud, api: client.Api, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    monkeypatch.setattr(http, "RETRY_FOR", 0.2)
    page = {"droplets": [], "links": {"pages": {"next": last or "http://127.0.0.1/", "last": last}}}
    cloud.faults.add(Fault("GET", CREATE, status=200, answer=page, times=None))
    with pytest.raises(TemporaryFailure, match="cannot be read"):
        api.listed("droplets", "droplets")
    cloud.faults.clear()


# 3: absolute links


def test_3_a_next_page_on_another_server_is_refused_and_does_not_get_the_token(cloud: Cloud, api: client.Api) -> None:
    with Listener() as other:
        page = {"droplets": [], "links": {"pages": {"next": f"http://127.0.0.1:{other.port}/v2/droplets?page=2"}}}
        cloud.faults.add(Fault("GET", CREATE, status=200, answer=page))
        with pytest.raises(InvalidRequest, match="another server"):
            api.get("droplets", "droplets")
        assert other.heard == []


def test_3_another_scheme_is_another_server(cloud: Cloud, api: client.Api) -> None:
    link = cloud.endpoint.replace("http:", "https:") + "droplets?page=2"
    cloud.faults.add(Fault("GET", CREATE, status=200, answer={"droplets": [], "links": {"pages": {"next": link}}}))
    with pytest.raises(InvalidRequest, match="another server"):
        api.get("droplets", "droplets")


# 4 and 5: lost status codes, bodies in other forms


def test_4_status_id_and_retry_after_are_kept(cloud: Cloud, api: client.Api) -> None:
    cloud.faults.add(faults.throttled("account", retry_after=3600))
    with pytest.raises(RateLimited) as caught:
        api.get("account", "account")
    assert caught.value.retry_after == 3600
    assert str(caught.value) == (
        f"DigitalOcean: API Rate limit exceeded. (429 too_many_requests, request {REQUEST_ID}); it asks to wait 3600 s"
    )


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [(401, AuthError, "401 unauthorized"), (403, AuthError, "403 forbidden"),
     (404, NotFound, "404 not_found"), (422, InvalidRequest, "422 unprocessable_entity"),
     (503, TemporaryFailure, "503 service_unavailable")],
)  # fmt: skip
def test_4_each_status_has_its_own_error_class(
    cloud: Cloud, api: client.Api, status: int, kind: type[Exception], text: str
) -> None:
    cloud.faults.add(Fault("POST", status=status))
    with pytest.raises(kind) as caught:
        api.post("droplets", DROPLET, "droplet")
    assert f"({text}, request {REQUEST_ID})" in str(caught.value)


def test_4_an_error_page_of_a_gateway_is_a_temporary_failure(cloud: Cloud, api: client.Api, time: Time) -> None:
    cloud.faults.add(faults.gateway_html("account", times=2))
    assert api.get("account", "account")["status"] == "active"
    cloud.faults.add(faults.gateway_html(CREATE, method="POST", status=504))
    with pytest.raises(TemporaryFailure, match=r"^DigitalOcean: Gateway Time-?out \(504\)$") as caught:
        api.post("droplets", DROPLET, "droplet")
    assert (caught.value.uncertain, time.waits) == (True, [0.5, 1])


@pytest.mark.parametrize(
    ("body", "text"),
    [({"error": "bad", "messages": ["one", "two"], "root_causes": []}, "one; two (400)"),
     ({"error": "bad", "messages": []}, "bad (400)"), ({"messages": "text"}, "Bad Request (400)"),
     ({"id": "x"}, "Bad Request (400 x)"), ([], "Bad Request (400)"), ("<html>", "Bad Request (400)")],
)  # fmt: skip
def test_5_errors_in_any_form_have_a_message(cloud: Cloud, api: client.Api, body: Any, text: str) -> None:
    cloud.faults.add(Fault("POST", status=400, answer=body))
    with pytest.raises(InvalidRequest) as caught:
        api.post("droplets", DROPLET, "droplet")
    assert str(caught.value) == f"DigitalOcean: {text}"


def test_5_the_refusal_of_a_tag(cloud: Cloud, api: client.Api) -> None:
    with pytest.raises(InvalidRequest, match="name only allows alphanumeric"):
        api.post("tags", {"name": "a=b"}, "tag")
    # The vendor's description does not allow such a tag either, as this test intends.
    cloud.calls.clear()


# 6 and 7: addresses


def test_6_a_droplet_without_networks_is_listed(cloud: Cloud, driver: do.DigitalOcean, time: Time) -> None:
    cloud.settings.bare_networks = True
    with driver.access(BATCH, KEY, []) as access:
        driver.launch(node(), SCRIPT, access)
    assert [(it.public_ip, it.private_ip) for it in driver.instances()] == [(None, None)]


@pytest.mark.parametrize("turned", [False, True])
def test_7_addresses_are_recognised_by_type_and_not_by_order(
    cloud: Cloud, driver: do.DigitalOcean, turned: bool
) -> None:
    v4 = [{"type": "public", "ip_address": "203.0.113.9"}, {"type": "private", "ip_address": "10.0.0.9"}]
    networks = {"v4": v4[::-1] if turned else v4, "v6": [{"type": "public", "ip_address": "2001:db8::1"}]}
    tags = [f"hart-owner:{OWNER}"]
    droplet = {"id": 1, "name": "a", "status": "active", "tags": tags, "networks": networks}
    cloud.faults.add(Fault("GET", CREATE, status=200, answer={"droplets": [droplet]}))
    (instance,) = driver.instances()
    assert (instance.public_ip, instance.private_ip) == ("203.0.113.9", "10.0.0.9")


# 8 to 11: how the library handles a create


def test_8_all_fields_are_sent_and_no_nulls(cloud: Cloud, driver: do.DigitalOcean) -> None:
    with driver.access(BATCH, KEY, []) as access:
        driver.launch(node(public_ip=False), SCRIPT, access)
    (droplet,) = cloud.state.droplets.values()
    assert (droplet.with_droplet_agent, droplet.public_networking) == (False, False)
    (body,) = [call.body for call in cloud.calls if (call.method, call.path) == ("POST", "/v2/droplets")]
    assert None not in body.values()
    assert not {"private_networking", "vpc_uuid", "volumes"} & set(body)


def test_9_links_to_actions_are_not_needed(cloud: Cloud, driver: do.DigitalOcean) -> None:
    cloud.settings.no_action_links = True
    with driver.access(BATCH, KEY, []) as access:
        instance = driver.launch(node(), SCRIPT, access)
    assert [int(instance.instance_id)] == list(cloud.state.droplets)


@pytest.mark.parametrize("answer", ["<html>", {}, {"droplet": None}, []])
def test_9_a_success_with_an_unreadable_body_creates_one_droplet(
    cloud: Cloud, driver: do.DigitalOcean, answer: Any
) -> None:
    cloud.faults.add(Fault("POST", CREATE, when="after", status=202, answer=answer))
    with driver.access(BATCH, KEY, []) as access:
        instance = driver.launch(node(), SCRIPT, access)
    assert [int(instance.instance_id)] == list(cloud.state.droplets)


def test_10_volumes_are_sent(cloud: Cloud, driver: do.DigitalOcean) -> None:
    volume = Client(cloud).call("POST", "volumes", {"name": "data", "region": "nyc3", "size_gigabytes": 1}).json()
    with driver.access(BATCH, KEY, []) as access:
        driver.launch(node(options={"volumes": [volume["volume"]["id"]]}), SCRIPT, access)
    assert cloud.state.left()["attached"] == ["data"]


def test_11_keys_are_referred_to_by_id_and_never_listed_or_sent_again(cloud: Cloud, driver: do.DigitalOcean) -> None:
    with driver.access(BATCH, KEY, []) as access:
        for name in "abc":
            driver.launch(node(name), SCRIPT, access)
    assert (cloud.count("POST", "account/keys"), cloud.count("GET", "account/keys")) == (1, 0)
    assert all(it.key_ids == [access.handle["ssh_key"]] for it in cloud.state.droplets.values())


def test_11_the_driver_waits_at_the_limit_of_key_lists(cloud: Cloud, driver: do.DigitalOcean, time: Time) -> None:
    for _ in range(12):
        assert driver.leftovers() == []
    assert sum(time.waits) >= 60


# 12 to 15


def test_12_the_query_of_a_delete_reaches_the_api(cloud: Cloud, api: client.Api) -> None:
    Client(cloud).create("a", tags=["t"])
    Client(cloud).create("b")
    api.delete("droplets?tag_name=t")
    assert cloud.state.left()["droplets"] == ["b"]
    (call,) = [call for call in cloud.calls if call.method == "DELETE"]
    assert (call.query, call.body) == ({"tag_name": ["t"]}, None)


def test_13_actions_are_never_polled(cloud: Cloud, driver: do.DigitalOcean) -> None:
    with driver.access(BATCH, KEY, []) as access:
        driver.terminate(driver.launch(node(), SCRIPT, access))
    assert cloud.count(".*", "actions") == 0


@pytest.mark.parametrize("method", ["get", "post", "patch", "put", "delete"])
def test_14_every_request_uses_the_session(
    cloud: Cloud, driver: do.DigitalOcean, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def around(*_: object, **__: object) -> None:
        pytest.fail("a request beside the session")

    monkeypatch.setattr(requests, method, around)
    monkeypatch.setattr(requests.Session, method, around)
    with driver.access(BATCH, KEY, []) as access:
        driver.terminate(driver.launch(node(), SCRIPT, access))


def test_15_not_found_at_a_create_is_about_the_settings(cloud: Cloud, driver: do.DigitalOcean) -> None:
    vpc = "5a4981aa-9653-4bd1-bef5-d6bff52042e4"
    with (
        driver.access(BATCH, KEY, []) as access,
        pytest.raises(InvalidRequest, match=r"not_found, .*\); .* if vpc does not exist"),
    ):
        driver.launch(node(options={"vpc": vpc}), SCRIPT, access)
