"""A server that takes the connection and says nothing, or stops in the middle: a call does not wait for it for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import TemporaryFailure
from hart_salt.drivers import rest
from hart_salt.drivers.contract import Driver
from hart_salt.drivers.ec2 import client as ec2_client
from hart_salt.drivers.outage import READING, Outage, Unreachable, within
from tests.drivers.clouds import CLOUDS, driver_of, module_of
from tests.drivers.tested import Time
from tests.emulation.listener import Silence

API_TIMEOUT = 0.05
#: seconds; all tries of a call together take a second or two, one that has no timeout never ends
AT_THE_MOST = 120

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n"
SAID = {"nothing": b"", "half a head": HEAD, "half a body": HEAD + b'\r\n{"account": {', "half a word": b"HTT"}
Make = Callable[..., Driver]


@pytest.fixture
def make(time: Time, no_proxies: None, tmp_path: Path) -> Iterator[Make]:
    """Makes a cloud's driver for another server, in no time but for what its calls take."""
    with ExitStack() as stack:

        def made(kind: str, endpoint: str) -> Driver:
            cloud = stack.enter_context(module_of(kind).open_cloud(time))
            driver = driver_of(kind, cloud, time, tmp_path, endpoint=endpoint, api_timeout=API_TIMEOUT)
            driver.outage = Outage(f"my-{kind}", time, lambda line: None)
            driver.outage.limit = READING
            return driver

        yield made


def gives_up(call: Callable[[], Any]) -> TemporaryFailure:
    """What a call ends with, in time."""
    with pytest.raises(TemporaryFailure) as caught:
        within(AT_THE_MOST, call)
    return caught.value


@pytest.mark.parametrize("kind", CLOUDS)
@pytest.mark.parametrize(("call", "said"), [("instances", "nothing"), *(("check", said) for said in SAID)])
def test_a_call_ends_when_its_time_is_over(make: Make, kind: str, call: str, said: str) -> None:
    with Silence(SAID[said]) as server:
        driver = make(kind, f"http://127.0.0.1:{server.port}")
        error = gives_up(getattr(driver, call))
        assert len(server.taken) > 1, "it is asked again"
    # It was reached: what was asked may have been done.
    assert not isinstance(error, Unreachable)
    assert error.uncertain


@pytest.mark.parametrize("kind", CLOUDS)
def test_a_server_that_is_silent_while_the_connection_is_made_safe(
    make: Make, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """For most of them this belongs to the time for a connection, which is no setting."""
    for module in (rest, ec2_client):
        monkeypatch.setattr(module, "CONNECT_TIMEOUT", API_TIMEOUT)
    with Silence() as server:
        driver = make(kind, f"https://127.0.0.1:{server.port}")
        gives_up(driver.check)
        assert len(server.taken) > 1
