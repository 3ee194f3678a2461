"""What all drivers for JSON APIs inherit: the user agent, and the number of a request in errors."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

import hart_salt
from hart_salt.base.errors import DriverError, InvalidRequest, TemporaryFailure
from hart_salt.drivers import driver_class, http, schemas
from hart_salt.drivers.rest_driver import RestDriver
from tests.drivers.do.driver import Time
from tests.emulation import faults
from tests.emulation.faults import Fault
from tests.emulation.listener import Listener

MODULES: dict[str, Any] = {
    name: importlib.import_module(f"tests.drivers.{name}.driver")
    for name in schemas() if issubclass(driver_class(name), RestDriver)
}  # fmt: skip
AGENT = f"hart-salt/{hart_salt.__version__}"
HEADER = {"x-correlation-id": "h-2"}
#: by driver: an answer with the request's number in a header or in the body, and the text of the error
NUMBERS: list[tuple[str, dict[str, Any], str]] = [
    ("do", {"answer": {"id": "conflict", "message": "no", "request_id": "b-1"}}, "no (409 conflict, request b-1)"),
    ("do", {"answer": {"message": "no"}, "headers": {"x-request-id": "h-1"}}, "no (409, request h-1)"),
    ("do", {"answer": {"request_id": "b-1"}, "headers": {"x-request-id": "h-1"}}, "Conflict (409, request b-1)"),
    ("do", {"answer": {"message": "no"}}, "no (409)"),
    ("hetzner", {"answer": {"error": {"code": "c", "message": "no"}}, "headers": HEADER}, "no (409 c, request h-2)"),
    ("hetzner", {"answer": {}, "headers": HEADER}, "Conflict (409, request h-2)"),
    ("hetzner", {"answer": {"error": {"code": "c", "message": "no"}}}, "no (409 c)"),
    ("vultr", {"answer": {"error": "no", "status": 409}}, "no (409)"),
]


def test_every_rest_driver_is_covered() -> None:
    assert set(MODULES) == {name for name in schemas() if issubclass(driver_class(name), RestDriver)}
    assert set(MODULES) == {kind for kind, _, _ in NUMBERS}


@pytest.mark.parametrize("kind", MODULES)
def test_every_request_names_hart_and_its_version(kind: str, time: Time) -> None:
    """The user agent is hart's, not that of a library such as python-digitalocean."""
    with MODULES[kind].open_cloud(time) as cloud, Listener(404) as server:
        driver: Any = MODULES[kind].driver_of(cloud, time, endpoint=f"http://127.0.0.1:{server.port}")
        for ask in (driver.check, lambda: driver._api.post("a", {}, "b"), lambda: driver._api.listed("a", "a")):
            with pytest.raises(DriverError):
                ask()
        driver._api.delete("a")
    assert [asked["user-agent"] for asked in server.heard] == [AGENT] * 4


@pytest.mark.parametrize(("kind", "answer", "text"), NUMBERS)
def test_an_error_has_the_number_that_the_vendors_support_asks_for(
    kind: str, answer: dict[str, Any], text: str, time: Time
) -> None:
    with MODULES[kind].open_cloud(time) as cloud:
        cloud.faults.add(Fault("GET", status=409, **answer))
        with pytest.raises(InvalidRequest) as caught:
            MODULES[kind].driver_of(cloud, time).check()
    assert str(caught.value).endswith(text)


@pytest.mark.parametrize("kind", MODULES)
def test_nodes_throttled_together_do_not_retry_together(kind: str, time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "CHANCE", lambda: 0.5)
    with MODULES[kind].open_cloud(time) as cloud:
        cloud.faults.add(faults.throttled("", method="GET", retry_after=7, times=2))
        MODULES[kind].driver_of(cloud, time).check()
        assert time.waits == [7.25, 7.5]
        time.waits.clear()
        cloud.faults.add(Fault("GET", status=503, times=2))
        MODULES[kind].driver_of(cloud, time).check()
        assert time.waits == [0.375, 0.75]


@pytest.mark.parametrize("kind", MODULES)
def test_a_client_is_made_when_it_is_first_needed_and_once(kind: str, time: Time) -> None:
    with MODULES[kind].open_cloud(time) as cloud:
        driver: Any = MODULES[kind].driver_of(cloud, time)
        assert driver._made is None
        driver.check()
        made = driver._made
        driver.instances()
        assert driver._made is made


@pytest.mark.parametrize("kind", MODULES)
def test_a_broken_connection_has_no_number(kind: str, time: Time) -> None:
    with MODULES[kind].open_cloud(time) as cloud:
        cloud.faults.add(Fault("GET", drop=True, times=100))
        driver = MODULES[kind].driver_of(cloud, time)
        with pytest.raises(TemporaryFailure, match="broke$"):
            driver.check()
        cloud.faults.clear()
