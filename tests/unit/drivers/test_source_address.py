"""The source address of the master's connections."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hart_salt.base.errors import InvalidRequest
from hart_salt.drivers.source_address import network, source_address

NOWHERE = "http://127.0.0.1:9/"


def sends_from(address: str | None) -> Callable[[str], str | None]:
    return lambda towards: address


@contextmanager
def service(text: str) -> Iterator[str]:
    """Serve a web page with this text on loopback."""

    class Says(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *arguments: object) -> None:
            """Print nothing into the output of the tests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Says) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_the_setting_has_the_last_word() -> None:
    found = network("198.51.100.0/24", inside="10.0.0.1", service=NOWHERE, source=sends_from("203.0.113.7"))
    assert found == "198.51.100.0/24"


def test_inside_it_is_the_address_that_the_machine_sends_from() -> None:
    assert network(None, inside="10.0.0.1", service=NOWHERE, source=sends_from("10.0.0.9")) == "10.0.0.9/32"


def test_a_public_address_of_its_own_is_the_one() -> None:
    assert network(None, inside=None, service=NOWHERE, source=sends_from("8.8.4.4")) == "8.8.4.4/32"


@pytest.mark.parametrize("own", ["192.168.1.2", None])
def test_behind_a_nat_the_service_knows_the_address(own: str | None) -> None:
    with service("203.0.113.7\n") as page:
        assert network(None, inside=None, service=page, source=sends_from(own)) == "203.0.113.7/32"
    with service("2001:db8::7\n") as page:
        assert network(None, inside=None, service=page, source=sends_from(own)) == "2001:db8::7/128"


def test_an_undetectable_address_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(InvalidRequest, match=r"no route to 10\.0\.0\.1\): set connect_from"):
        network(None, inside="10.0.0.1", service=NOWHERE, source=sends_from(None))
    with pytest.raises(InvalidRequest, match=r"did not answer\): set connect_from"):
        network(None, inside=None, service=NOWHERE, source=sends_from(None))
    odd = pytest.raises(InvalidRequest, match="did not answer with an address.*connect_from")
    with service("<html>please log in</html>") as page, odd:
        network(None, inside=None, service=page, source=sends_from(None))


def test_the_source_of_a_connection_to_this_machine_is_this_machine() -> None:
    assert source_address("127.0.0.1") == "127.0.0.1"
