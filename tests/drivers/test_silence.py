"""Servers that accept a connection and send nothing, or stop in the middle: calls have timeouts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.deadline import within
from hart_salt.base.errors import TemporaryFailure
from hart_salt.drivers import rest
from hart_salt.drivers.contract import Driver
from hart_salt.drivers.ec2 import client as ec2_client
from hart_salt.drivers.outage import READING, Outage, Unreachable
from tests.drivers.clouds import CLOUDS, driver_of, module_of
from tests.drivers.tested import Time
from tests.emulation.listener import Silence

API_TIMEOUT = 0.05
#: seconds; all attempts of a call take a second or two, but a call without a timeout never ends
AT_THE_MOST = 120

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n"
SAID = {"nothing": b"", "half a head": HEAD, "half a body": HEAD + b'\r\n{"account": {', "half a word": b"HTT"}
Make = Callable[..., Driver]


@pytest.fixture
def make(time: Time, no_proxies: None, tmp_path: Path) -> Iterator[Make]:
    """Return a function that makes a cloud's driver for another server, whose waits take no time."""
    with ExitStack() as stack:

        def made(kind: str, endpoint: str) -> Driver:
            cloud = stack.enter_context(module_of(kind).open_cloud(time))
            driver = driver_of(kind, cloud, time, tmp_path, endpoint=endpoint, api_timeout=API_TIMEOUT)
            driver.outage = Outage(f"my-{kind}", time, lambda line: None)
            driver.outage.limit = READING
            return driver

        yield made


def gives_up(call: Callable[[], Any]) -> TemporaryFailure:
    """Return the error of a call, which must end in time."""
    with pytest.raises(TemporaryFailure) as caught:
        within(AT_THE_MOST, call)
    return caught.value


@pytest.mark.parametrize("kind", CLOUDS)
@pytest.mark.parametrize(("call", "said"), [("instances", "nothing"), *(("check", said) for said in SAID)])
def test_a_call_to_a_silent_server_ends_in_time(make: Make, kind: str, call: str, said: str) -> None:
    with Silence(SAID[said]) as server:
        driver = make(kind, f"http://127.0.0.1:{server.port}")
        error = gives_up(getattr(driver, call))
        assert len(server.taken) > 1, "it is asked again"
    # The server was reached, so the call may have had an effect.
    assert not isinstance(error, Unreachable)
    assert error.uncertain


@pytest.mark.parametrize("kind", CLOUDS)
def test_a_call_ends_in_time_if_the_server_is_silent_during_the_tls_handshake(
    make: Make, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """For most drivers, this is part of the connection timeout, which is not a setting."""
    for module in (rest, ec2_client):
        monkeypatch.setattr(module, "CONNECT_TIMEOUT", API_TIMEOUT)
    with Silence() as server:
        driver = make(kind, f"https://127.0.0.1:{server.port}")
        gives_up(driver.check)
        assert len(server.taken) > 1
