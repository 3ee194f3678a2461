"""Calls of Vultr's API: sessions, keys, addresses, pages, secrets and retries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from hart_salt.base.errors import AuthError, InvalidRequest, NotFound, RateLimited, TemporaryFailure
from hart_salt.drivers import http
from hart_salt.drivers.retry import StillThere
from hart_salt.drivers.vultr import client
from hart_salt.drivers.vultr import driver as vultr
from tests.drivers.do.driver import NOWHERE
from tests.drivers.vultr.driver import CREATE, Time, driver_of, launch, node
from tests.drivers.vultr.emulator.client import SPEC, Client
from tests.drivers.vultr.emulator.cloud import Vultr as Cloud
from tests.emulation import faults
from tests.emulation.faults import Fault
from tests.emulation.listener import Listener

INSTANCE = {"label": "a", "activation_email": False, **SPEC}
SECOND: Mapping[str, Any] = {"method": "GET", "path": CREATE, "query": "cursor="}


pytestmark = pytest.mark.usefixtures("no_proxies")


def labels(instances: list[dict[str, Any]]) -> list[str]:
    return [instance["label"] for instance in instances]


def instances(api: client.Api) -> list[str]:
    return labels(api.listed("instances", "instances"))


# sessions, keys, addresses


@pytest.mark.parametrize("endpoint", ["http://api.example/v2", "http://192.0.2.1/v2", "http://[2001:db8::1]/v2"])
def test_the_key_is_never_sent_unencrypted(time: Time, endpoint: str) -> None:
    with pytest.raises(InvalidRequest, match="endpoint must be an address that starts with https://"):
        client.Api("T", endpoint, 60, time.sleep)


@pytest.mark.parametrize("endpoint", [None, "https://api.example/v2", "http://127.0.0.2:1", "http://[::1]:1",
                                      "http://localhost:1"])  # fmt: skip
def test_endpoints_that_may_receive_the_key(time: Time, endpoint: str | None) -> None:
    assert client.Api("T", endpoint, 60, time.sleep)


@pytest.mark.parametrize("token", ["VULTR\u00e4", "VULTR\nX: y"])
def test_an_invalid_key(cloud: Cloud, time: Time, token: str) -> None:
    with pytest.raises(AuthError, match="characters that no token has"):
        driver_of(cloud, time, token=token).check()


def test_a_line_end_after_the_key_is_ignored(cloud: Cloud, time: Time) -> None:
    assert "owner@" in driver_of(cloud, time, token=f"{cloud.token}\n").check()


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_every_request_has_a_timeout(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    api = client.Api(cloud.token, cloud.endpoint, 0.1, lambda seconds: None)
    monkeypatch.setattr(http, "RETRY_FOR", 0.2)
    cloud.faults.add(Fault(method, stall=0.5))
    calls: dict[str, Callable[[], Any]] = {
        "GET": lambda: api.get("account", "account"),
        "DELETE": lambda: api.delete(f"instances/{NOWHERE}"),
        "POST": lambda: api.post("instances", INSTANCE, "instance"),
    }
    with pytest.raises(TemporaryFailure, match="did not answer in time") as caught:
        calls[method]()
    assert caught.value.uncertain


def test_the_timeouts_are_sane() -> None:
    assert 0 < vultr.Account.model_fields["api_timeout"].default <= 120


# pages


@pytest.mark.parametrize(
    "fault",
    [
        Fault(**SECOND, status=429),
        Fault(**SECOND, status=500),
        Fault(**SECOND, skip=1, status=500),
        Fault(**SECOND, status=200, answer="<html>"),
        Fault(**SECOND, status=200, answer={}),
        Fault(**SECOND, status=200, answer={"instances": []}),
        Fault(**SECOND, status=502, answer="<html>"),
        Fault(**SECOND, drop=True),
    ],
)
def test_a_list_restarts_when_a_page_fails_once(cloud: Cloud, api: client.Api, fault: Fault) -> None:
    cloud.settings.page_cap = 1
    for name in "abc":
        Client(cloud).create(name)
    cloud.faults.add(fault)
    assert instances(api) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(**SECOND, status=429, times=None), RateLimited),
        (Fault(**SECOND, status=500, times=None), TemporaryFailure),
        (Fault(**SECOND, status=404, times=None), NotFound),
        # Without information about the next page, the end of a list looks like its middle.
        (Fault(**SECOND, status=200, answer={"instances": []}, times=None), TemporaryFailure),
        (Fault("GET", CREATE, status=200, answer={"instances": [], "meta": {"total": 9}}, times=None),
         TemporaryFailure),
    ],
)  # fmt: skip
def test_a_page_that_keeps_failing_is_an_error_and_not_a_shorter_list(
    cloud: Cloud, api: client.Api, fault: Fault, kind: type[Exception]
) -> None:
    cloud.settings.page_cap = 1
    for name in "ab":
        Client(cloud).create(name)
    cloud.faults.add(fault)
    with pytest.raises(kind):
        instances(api)
    cloud.faults.clear()


def test_a_cursor_that_repeats_is_an_error_and_not_an_endless_list(cloud: Cloud, api: client.Api) -> None:
    page = {"instances": [], "meta": {"links": {"next": "bmV4dF9fMQ=="}}}
    # More often than the driver retries, but not for ever: a test that does not end shows nothing.
    cloud.faults.add(Fault("GET", CREATE, status=200, answer=page, times=200))
    with pytest.raises(TemporaryFailure, match="cannot be read"):
        instances(api)
    cloud.faults.clear()


def test_the_filter_is_sent_for_every_page(cloud: Cloud, api: client.Api) -> None:
    cloud.settings.page_cap = 1
    for name in "abc":
        Client(cloud).create(name, tags=["t"])
    Client(cloud).create("other")
    assert labels(api.listed("instances", "instances", tag="t")) == ["a", "b", "c"]
    assert cloud.count("GET", CREATE, "tag=t") == 3


# secrets


def test_the_password_and_the_console_are_removed_from_every_answer(cloud: Cloud, api: client.Api) -> None:
    made = api.post("instances", INSTANCE, "instance")
    seen = [made, api.get(f"instances/{made['id']}", "instance"), *api.listed("instances", "instances")]
    assert "default_password" in Client(cloud).create("b")
    assert "kvm" in Client(cloud).get("instances")["instances"][0]
    password, console = cloud.secrets()[:2]
    for answer in seen:
        assert not {"default_password", "kvm"} & set(answer)
        assert password not in str(answer)
        assert console not in str(answer)


@pytest.mark.parametrize("status", [202, 400, 404, 500, 503])
def test_no_error_contains_secrets(cloud: Cloud, api: client.Api, status: int) -> None:
    body = {"instances": [{"default_password": "s3cret"}], "instance": [{"kvm": "s3cret", "x": "s3cret"}],
            "error": [{"default_password": "s3cret"}], "message": "s3cret"}  # fmt: skip
    cloud.faults.add(Fault("POST", CREATE, status=status, answer=body))
    try:
        text = str(api.post("instances", INSTANCE, "other"))
    except (InvalidRequest, NotFound, TemporaryFailure) as error:
        text = f"{error!r} {error.args} {error.__cause__} {error.__context__}"
    assert "s3cret" not in text


def test_no_secret_is_logged(cloud: Cloud, time: Time, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    driver = driver_of(cloud, time)
    with caplog.at_level("DEBUG", logger="urllib3"):
        driver.terminate(launch(driver, node()))
    assert "/v2/instances" in caplog.text
    assert [secret for secret in [*cloud.secrets(), cloud.token] if secret in caplog.text] == []


# retries


def test_a_create_that_was_not_sent_is_sent_again(time: Time) -> None:
    with Listener() as server:
        port = server.port
    with pytest.raises(TemporaryFailure, match="could not be reached"):
        client.Api("T", f"http://127.0.0.1:{port}/v2", 60, time.sleep).post("instances", INSTANCE, "instance")
    assert len(time.waits) > 10
    assert 100 < sum(time.waits) <= http.RETRY_FOR


def test_the_driver_waits_at_the_limit_of_thirty_calls_a_second(cloud: Cloud, api: client.Api, time: Time) -> None:
    cloud.settings.second_limit = 30
    for _ in range(65):
        api.get("account", "account")
    assert time.waits == [1, 1]


def test_a_retry_after_that_is_too_long_is_an_error_at_once(cloud: Cloud, api: client.Api, time: Time) -> None:
    cloud.faults.add(faults.throttled("account", retry_after=3600))
    with pytest.raises(RateLimited, match=r"^Vultr: Rate limit exceeded\. \(429\); it asks to wait 3600 s$") as caught:
        api.get("account", "account")
    assert (caught.value.retry_after, time.waits) == (3600, [])


def test_an_error_page_of_a_gateway_is_a_temporary_failure(cloud: Cloud, api: client.Api, time: Time) -> None:
    cloud.faults.add(faults.gateway_html("account", times=2))
    assert api.get("account", "account")
    cloud.faults.add(faults.gateway_html(CREATE, method="POST", status=504))
    with pytest.raises(TemporaryFailure, match=r"^Vultr: Gateway Time-?out \(504\)$") as caught:
        api.post("instances", INSTANCE, "instance")
    assert (caught.value.uncertain, time.waits) == (True, [0.5, 1])


def test_a_locked_server_is_reported_at_once(cloud: Cloud, api: client.Api, time: Time) -> None:
    cloud.settings.locked_for = 60
    made = api.post("instances", INSTANCE, "instance")
    with pytest.raises(StillThere, match=r"^Vultr: Unable to destroy server: .* currently locked \(500\)$"):
        api.delete(f"instances/{made['id']}")
    assert time.waits == []


@pytest.mark.parametrize("answer", ["<html>", {}, {"instance": None}, []])
def test_a_success_with_an_unreadable_body_creates_one_instance(cloud: Cloud, time: Time, answer: Any) -> None:
    cloud.faults.add(Fault("POST", CREATE, when="after", status=202, answer=answer))
    instance = launch(driver_of(cloud, time), node())
    assert ([instance.instance_id], cloud.made()) == (list(cloud.state.instances), 1)
