"""How long drivers wait for an unreachable server, over every driver with an API on the network."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time as real_time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from hart_salt.base.deadline import within
from hart_salt.base.errors import AuthError, DriverError, InvalidRequest, TemporaryFailure
from hart_salt.drivers import http, outage, source_address
from hart_salt.drivers.contract import Driver
from hart_salt.drivers.gce import credentials
from hart_salt.drivers.outage import BEGINNING, READING, UNDER_WAY, Outage, Unreachable
from tests.drivers.clouds import CLOUDS, driver_of, module_of
from tests.drivers.tested import Time
from tests.emulation.listener import Listener

pytestmark = pytest.mark.usefixtures("no_proxies")


class Make(Protocol):
    """The type of the fixture ``make``."""

    def __call__(self, kind: str, endpoint: str, limit: float | None, **account: Any) -> Driver: ...


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make names of the domain ``invalid`` fail at once: a real resolver may take its time."""
    real = socket.getaddrinfo

    def look_up(host: Any, *more: Any, **named: Any) -> Any:
        if str(host).endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.fixture(autouse=True)
def _no_threads_left(_names: None) -> Iterator[None]:
    """Wait for the threads that ``within`` leaves behind: they would look up names in the next test."""
    yield
    for thread in threading.enumerate():
        if thread.name == "hart-within":
            thread.join(60)
            assert not thread.is_alive(), "work that within gave up does not end"


@pytest.fixture
def reports() -> list[str]:
    return []


@pytest.fixture
def make(time: Time, reports: list[str], tmp_path: Path) -> Iterator[Make]:
    """Return a function that makes a cloud's driver with another endpoint and a limit for unreachable servers."""
    with ExitStack() as stack:

        def made(kind: str, endpoint: str, limit: float | None, **account: Any) -> Driver:
            cloud = stack.enter_context(module_of(kind).open_cloud(time))
            driver = driver_of(kind, cloud, time, tmp_path, endpoint=endpoint, **account)
            driver.outage = Outage(f"my-{kind}", time, reports.append)
            driver.outage.limit = limit
            return driver

        yield made


def refused() -> str:
    """Return an address of this machine that refuses connections."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@contextmanager
def silent() -> Iterator[str]:
    """Yield an address of this machine that drops connections, because its queue is full."""
    with closing(socket.socket()) as server, ExitStack() as queue:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(2):
            client = queue.enter_context(closing(socket.socket()))
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


# how long


@pytest.mark.parametrize("kind", CLOUDS)
@pytest.mark.parametrize("limit", [READING, BEGINNING])
def test_the_wait_for_a_refused_connection_ends_at_the_limit(
    make: Make, time: Time, reports: list[str], kind: str, limit: float
) -> None:
    driver = make(kind, refused(), limit)
    with pytest.raises(Unreachable, match="could not be reached: connection refused") as caught:
        driver.instances()
    assert (sum(time.waits), caught.value.uncertain) == (limit, False)
    assert reports[0].startswith(f"hart: waiting for my-{kind}: ")
    assert "at 127.0.0.1" in reports[0]
    assert reports[0].endswith(f"could not be reached; retrying for {limit:.0f} s more")
    assert len(reports) == 1 + limit // outage.REPORT_EVERY


@pytest.mark.parametrize("kind", CLOUDS)
@pytest.mark.parametrize("limit", [READING, BEGINNING])
def test_the_wait_for_a_name_that_does_not_resolve_ends_at_the_limit(
    make: Make, time: Time, kind: str, limit: float
) -> None:
    driver = make(kind, "https://api.hart.invalid", limit)
    with pytest.raises(Unreachable, match=r"at api\.hart\.invalid,? could not be reached: its name does not resolve"):
        driver.check()
    assert sum(time.waits) == limit


@pytest.mark.parametrize("kind", CLOUDS)
def test_an_address_that_drops_connections_is_unreachable(make: Make, kind: str) -> None:
    with silent() as address, pytest.raises(Unreachable, match="could not be reached: there was no answer"):
        make(kind, address, 0.4).instances()


@pytest.mark.parametrize("kind", CLOUDS)
def test_an_unreachable_server_is_waited_for_only_once(make: Make, time: Time, kind: str) -> None:
    """Otherwise a call that continues, such as sweep, would wait again for each request."""
    driver = make(kind, refused(), BEGINNING)
    for ask in (driver.instances, driver.check, lambda: driver.images(None)):
        with pytest.raises(Unreachable):
            ask()
    assert sum(time.waits) == BEGINNING


@pytest.mark.parametrize("kind", CLOUDS)
def test_during_an_operation_an_unreachable_server_is_waited_for_like_a_failing_one(
    make: Make, time: Time, reports: list[str], kind: str
) -> None:
    driver = make(kind, refused(), UNDER_WAY)
    with pytest.raises(Unreachable, match="could not be reached"):
        driver.instances()
    assert 100 < sum(time.waits) <= http.RETRY_FOR
    assert 20 <= len(reports) <= 25  # one every 5 s


def _port_that_stays_free() -> int:
    """Return a port outside the system's range for connections: one inside could be taken before the server returns."""
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(low // 2, low)  # noqa: S311 - no secret
        with contextlib.suppress(OSError), Listener(404, port=port):
            return port


class Away:
    """A server that answers, is unreachable for a while, and answers again."""

    def __init__(self, time: Time, seconds: float) -> None:
        self.time, self.seconds, self.closing = time, seconds, ExitStack()
        self.port = _port_that_stays_free()
        self.address = f"http://127.0.0.1:{self.port}"

    def answers(self, ask: Any) -> None:
        with Listener(404, port=self.port) as server:
            with pytest.raises(DriverError) as caught:
                ask()
            assert not isinstance(caught.value, Unreachable)
            assert server.heard

    def sleep(self, seconds: float) -> None:
        self.time.sleep(seconds)
        if sum(self.time.waits) >= self.seconds and not self.closing.__dict__.get("open"):
            self.closing.__dict__["open"] = self.closing.enter_context(Listener(404, port=self.port))


@pytest.mark.parametrize("kind", CLOUDS)
def test_an_outage_of_a_minute_in_the_middle_of_an_operation(
    make: Make, time: Time, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The limit ``BEGINNING`` ends with the first answer."""
    away = Away(time, 60)
    driver = make(kind, away.address, BEGINNING)
    away.answers(driver.check)
    time.waits.clear()
    monkeypatch.setattr(driver, "_sleep", away.sleep)
    monkeypatch.setattr(driver, "_made", None, raising=False)
    with away.closing, pytest.raises(DriverError) as caught:
        driver.check()
    assert not isinstance(caught.value, Unreachable)
    assert sum(time.waits) >= 60


@pytest.mark.parametrize("kind", CLOUDS)
def test_a_read_only_call_keeps_its_limit_after_an_answer(make: Make, time: Time, kind: str) -> None:
    away = Away(time, 60)
    driver = make(kind, away.address, READING)
    away.answers(driver.check)
    time.waits.clear()
    with pytest.raises(Unreachable):
        driver.check()
    assert sum(time.waits) <= READING


@pytest.mark.parametrize("kind", [kind for kind in CLOUDS if kind != "ec2"])
def test_a_server_that_answers_with_errors_is_retried_for_two_minutes(
    make: Make, time: Time, reports: list[str], kind: str
) -> None:
    with Listener(503) as server, pytest.raises(TemporaryFailure) as caught:
        make(kind, f"http://127.0.0.1:{server.port}", READING).check()
    assert not isinstance(caught.value, Unreachable)
    assert 100 < sum(time.waits) <= http.RETRY_FOR
    assert reports[-1].endswith("s more")
    assert " fails; " in reports[-1]


def test_errors_of_amazons_api_are_retried_as_often_as_botocore_does(make: Make, time: Time) -> None:
    with Listener(503) as server:
        with pytest.raises(TemporaryFailure) as caught:
            make("ec2", f"http://127.0.0.1:{server.port}", READING).check()
        assert len(server.heard) == 5
    assert not isinstance(caught.value, Unreachable)


def test_an_uncertain_attempt_stays_uncertain_when_the_next_one_is_unreachable(time: Time) -> None:
    failures = [TemporaryFailure("broke", uncertain=True), *[Unreachable("refused")] * 1000]

    def call() -> None:
        raise failures.pop(0)

    with pytest.raises(Unreachable) as caught:
        http.repeated(call, time.sleep)
    assert caught.value.uncertain


# proxies, names, credentials


@pytest.mark.parametrize("kind", CLOUDS)
def test_behind_a_proxy_the_proxy_must_be_reachable(
    make: Make, time: Time, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    with Listener(502) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        peer = Outage("a", time).peer("api", "https://api.hart.invalid")
        assert (peer._host, peer._port) == ("127.0.0.1", proxy.port)
    driver = make(kind, "https://api.hart.invalid", READING)  # the proxy has ended
    with pytest.raises(Unreachable, match="could not be reached: connection refused"):
        driver.check()
    assert sum(time.waits) == READING


def test_a_lookup_that_does_not_end_is_abandoned(time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: real_time.sleep(2))
    away = Outage("a", time)
    away.limit = 0.3
    with pytest.raises(Unreachable, match="the API could not be reached: there was no answer"):
        away.peer("the API", "https://api.hart.invalid").reach(time.sleep)


def test_each_address_of_a_server_gets_a_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)) for port in ports]

    with silent() as dropping, Listener() as server:
        ports = [int(dropping.rpartition(":")[2]), server.port]
        monkeypatch.setattr(socket, "getaddrinfo", found)
        outage._connect("api.hart.invalid", 443, 0.8)


def test_an_unreachable_server_for_tokens_is_waited_for_until_the_limit(
    make: Make, time: Time, reports: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default, google-auth waits three times two minutes for a server that drops connections."""
    account = '{"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c"}'
    (tmp_path / "adc.json").write_text(account)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "adc.json"))
    with Listener(503) as api:
        driver: Any = make("gce", f"http://127.0.0.1:{api.port}", READING, user_id=None, key=None)
        driver._parts.api.credentials.own._token_uri = refused()
        with pytest.raises(Unreachable, match="Google's server for tokens at 127.0.0.1 could not be reached"):
            driver.check()
        assert api.heard == []
    assert sum(time.waits) == READING
    assert "Google's server for tokens" in reports[0]


def test_the_search_for_application_default_credentials_has_a_timeout(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "FIND_WITHIN", 0.2)
    monkeypatch.setattr("google.auth.default", lambda **_: real_time.sleep(2))
    with Listener(503) as api, pytest.raises(AuthError, match="no usable credentials"):
        make("gce", f"http://127.0.0.1:{api.port}", READING, user_id=None, key=None).check()


def test_an_unreachable_server_for_amazons_credentials_is_abandoned_within_seconds(
    make: Make, time: Time, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such credentials are used in Kubernetes. By default, boto3 retries for minutes."""
    (tmp_path / "token").write_text("a-token")
    for name, value in {
        "AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
        "AWS_ENDPOINT_URL_STS": refused(),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    with Listener(503) as api:
        driver = make(
            "ec2", f"http://127.0.0.1:{api.port}", READING, aws_access_key_id=None, aws_secret_access_key=None
        )
        with pytest.raises(Unreachable, match="could not be reached"):
            driver.instances("eu-west-1")
        assert api.heard == []
    assert sum(time.waits) <= 5


def test_the_address_service_has_a_timeout_of_a_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_address, "TIMEOUT", 0.3)
    with silent() as page:
        for service in (page, refused(), "https://page.hart.invalid"):
            with pytest.raises(InvalidRequest, match="did not answer"):
                source_address.network(None, inside=None, service=service, source=lambda towards: None)


def test_redirects_of_the_address_service_are_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    with Listener(200) as elsewhere, Listener(302, {"Location": f"http://127.0.0.1:{elsewhere.port}/"}) as page:
        with pytest.raises(InvalidRequest, match="did not answer"):
            service = f"http://127.0.0.1:{page.port}"
            source_address.network(None, inside=None, service=service, source=lambda towards: None)
        assert (len(page.heard), elsewhere.heard) == (1, [])


def test_within_returns_and_raises_what_the_work_does() -> None:
    assert within(5, lambda: 1) == 1
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 // 0)
