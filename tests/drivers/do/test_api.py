"""Calls of DigitalOcean's API: sessions, tokens, addresses and retries."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import digitalocean
import pytest
import requests
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import MaxRetryError, NewConnectionError

from hart_salt.base.errors import InvalidRequest, RateLimited, TemporaryFailure
from hart_salt.drivers import http, rest
from hart_salt.drivers.do import client
from tests.drivers.do.driver import Time
from tests.drivers.do.emulator.client import SPEC
from tests.drivers.do.emulator.cloud import DigitalOcean as Cloud
from tests.emulation import faults
from tests.emulation.listener import Listener

DROPLET = {"name": "a", **SPEC}


pytestmark = pytest.mark.usefixtures("no_proxies")


# sessions, tokens, addresses


def test_a_proxy_of_the_environment_is_used(cloud: Cloud, time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator accepts requests in the form that a proxy receives; nothing listens at the address itself."""
    monkeypatch.setenv("http_proxy", cloud.base_url)
    assert client.Api(cloud.token, "http://127.9.9.9:1/v2/", 60, time.sleep).get("account", "account")


def test_the_environment_is_read_once_for_all_requests_of_a_thread(
    cloud: Cloud, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests reads it several times for each request, which would take longer than the rest."""
    read: list[str] = []
    real = requests.Session.merge_environment_settings

    def merged(self: requests.Session, url: str, *arguments: Any) -> Any:
        read.extend([url] if self.trust_env else [])
        return real(self, url, *arguments)

    monkeypatch.setattr(requests.Session, "merge_environment_settings", merged)
    api = client.Api(cloud.token, cloud.endpoint, 60, time.sleep)
    for _ in range(3):
        api.get("account", "account")
    assert len(read) == 1


def test_an_unreachable_proxy_means_that_nothing_was_sent(time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    with pytest.raises(TemporaryFailure, match=r"api\.invalid could not be reached") as caught:
        client.Api("t", "https://api.invalid/v2/", 60, time.sleep).post("droplets", DROPLET, "droplet")
    assert not caught.value.uncertain


def test_a_certificate_that_is_not_trusted_is_refused_at_once(
    time: Time, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = tmp_path / "own.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
               "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2",
               "-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "crt")]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    pem.write_text((tmp_path / "key").read_text() + (tmp_path / "crt").read_text())
    with Listener(204, tls=pem) as server:
        api = client.Api("t", f"https://127.0.0.1:{server.port}/v2/", 60, time.sleep)
        with pytest.raises(InvalidRequest, match="certificate"):
            api.delete("droplets/1")
        assert (server.heard, time.waits) == ([], [])
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "crt"))
        api = client.Api("t", f"https://127.0.0.1:{server.port}/v2/", 60, time.sleep)
        api.delete("droplets/1")
        assert server.heard[0]["authorization"] == "Bearer t"


def test_requests_are_sent_by_the_vendor_s_own_client(api: client.Api) -> None:
    assert isinstance(api._senders.get(), digitalocean.Manager)


# retries


def test_a_create_that_was_not_sent_is_sent_again(time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def refused(*_: object, **__: object) -> None:
        tries.append(1)
        pool, connection = HTTPConnectionPool("127.0.0.1"), HTTPConnection("127.0.0.1")
        raise requests.ConnectionError(MaxRetryError(pool, "/", NewConnectionError(connection, "refused")))

    monkeypatch.setattr(requests.Session, "request", refused)
    with pytest.raises(TemporaryFailure, match="could not be reached"):
        client.Api("t", "http://127.0.0.1:1/v2/", 60, time.sleep).post("droplets", DROPLET, "droplet")
    assert len(tries) > 10
    assert 100 < sum(time.waits) <= http.RETRY_FOR


@pytest.mark.parametrize("value", ["61", "86400"])
def test_a_retry_after_that_is_too_long_is_an_error_at_once(
    cloud: Cloud, api: client.Api, time: Time, value: str
) -> None:
    cloud.faults.add(faults.throttled("", retry_after=int(value)))
    with pytest.raises(RateLimited, match=f"asks to wait {value} s"):
        api.get("account", "account")
    assert time.waits == []


@pytest.mark.parametrize("value", ["", "0", "soon", "-1", "Wed, 21 Oct 2026 07:28:00 GMT", "²"])
def test_an_unusable_retry_after_is_ignored(value: str) -> None:
    response = requests.Response()
    response.headers["Retry-After"] = value
    assert not rest.retry_after(response)


def test_the_waits_of_retry_after_have_a_limit(cloud: Cloud, api: client.Api, time: Time) -> None:
    cloud.faults.add(faults.throttled("account", retry_after=50, times=None))
    with pytest.raises(RateLimited):
        api.get("account", "account")
    assert time.waits == [50, 50]
    cloud.faults.clear()
