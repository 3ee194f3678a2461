"""The ways to another master: its own minion, or its salt-api; what is wrong there is one sentence."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import MasterDown, MasterRefuses, PeerError, Refused
from hart_salt.config.cluster import Cluster, Peer, others_of
from hart_salt.master.minions import Minions
from hart_salt.master.peer_ways import ViaApi, ViaMinion
from hart_salt.master.peers import Peers, peers_of
from tests.parts import new_public_key

A, B = new_public_key() + "\n", new_public_key() + "\n"
#: real masters are processes of their own; Salt's loaders are not thread-safe
ONE_MASTER = threading.Lock()


class Job:
    """Minions of which one answers."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def request(self, minion_id: str, function: str, arguments: Any, timeout: float) -> Any:
        assert (minion_id, function, timeout) == ("m2-minion", "hart.peer_keys", 9.0)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "kind", "error"),
    [
        (None, MasterDown, "its minion m2-minion does not answer within 9 seconds"),
        ("'hart.peer_keys' is not available.", MasterRefuses, "has no function hart.peer_keys: install hart-salt"),
        (RuntimeError("no master"), MasterRefuses, "this master cannot send jobs: no master"),
        (Refused("this master has no minion m2-minion"), MasterRefuses, "this master has no minion m2-minion"),
    ],
)
def test_what_is_wrong_with_a_peer_s_minion_is_a_sentence(answer: Any, kind: type[PeerError], error: str) -> None:
    minions: Any = Job(answer)
    with pytest.raises(kind, match=error):
        ViaMinion(minions, "m2-minion", 9.0).ask("facts", {})


def test_the_minion_is_named_exactly_and_no_other_minion_s_return_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    minions = Minions({})
    monkeypatch.setattr(minions, "_ask", lambda ids, *_, **__: {"evil": {"return": {"keys": {}}}})
    monkeypatch.setattr(minions, "_expected", lambda *_: ["m2"])
    assert minions.request("m2", "hart.peer_keys", [], 1) is None


@contextmanager
def salt_api(status: int, body: bytes, seen: list[Any]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(status)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def via_api(address: str) -> ViaApi:
    return ViaApi(Peer.model_validate({"api": address, "username": "hart", "password": "a-pass-word"}))


def test_salt_api_gets_one_call_of_the_runner_and_its_answer_is_the_runner_s() -> None:
    seen: list[Any] = []
    with salt_api(200, json.dumps({"return": [{"protocol": 1}]}).encode(), seen) as address:
        assert via_api(address).ask("list", {"a": ""}) == {"protocol": 1}
    ((path, [order]),) = seen
    assert path == "/run"
    assert order == {
        "client": "runner", "fun": "hart.peer_keys",
        "kwarg": {"work": "list", "keys": {"a": ""}, "until": None, "sent": None},
        "username": "hart", "password": "a-pass-word", "eauth": "pam",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, b"", "its salt-api answers 400: netapi_enable_clients there must have runner"),
        (401, b"", "its salt-api answers 401: username, password and eauth must be right"),
        (404, b"", "its salt-api answers 404: api must be the address of salt-api"),
        (500, b"a-pass-word", "its salt-api answers 500: hart-salt must be installed"),
        (418, b"a-pass-word", "its salt-api answers 418: its log says more"),
        (302, b"", "its salt-api answers 302: api must be the address of salt-api itself"),
        (200, b"<html>", "not an answer of Salt"),
        (200, b"{}", "not an answer of Salt"),
        (200, b'{"return": []}', "not an answer of Salt"),
    ],
)
def test_what_is_wrong_with_salt_api_is_a_sentence_without_the_password(status: int, body: bytes, error: str) -> None:
    with salt_api(status, body, []) as address, pytest.raises(MasterRefuses, match=error) as caught:
        via_api(address).ask("facts", {})
    assert "a-pass-word" not in str(caught.value)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_salt_api_without_a_master_behind_it_is_down(status: int) -> None:
    with salt_api(status, b"", []) as address, pytest.raises(MasterDown, match=f"answers {status}: .* must run there"):
        via_api(address).ask("facts", {})


def test_a_salt_api_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(MasterDown, match="its salt-api cannot be reached: .*refused"):
        via_api("http://127.0.0.1:1").ask("facts", {})


@contextmanager
def raw_server(parts: Iterator[bytes]) -> Iterator[str]:
    """Answer one connection with these bytes, one after the other."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            for part in parts:
                connection.sendall(part)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):  # a request that was not read would reset the connection
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "answers something that is not HTTP: BadStatusLine"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "answers something that is not HTTP: HTTPException"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "answers something that is not HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 200000, "not an answer of Salt"),
    ],
)
def test_what_does_not_speak_http_is_a_master_to_correct(answer: bytes, error: str) -> None:
    with raw_server(iter([answer])) as address, pytest.raises(MasterRefuses, match=error):
        via_api(address).ask("facts", {})


def test_a_salt_api_that_hangs_up_is_down() -> None:
    with raw_server(iter([b""])) as address, pytest.raises(MasterDown, match="cannot be reached: Remote end closed"):
        via_api(address).ask("facts", {})


def test_a_port_without_tls_is_a_master_to_correct() -> None:
    with raw_server(iter([b"HTTP/1.1 400 Bad Request\r\n\r\n"])) as address:
        error = via_api(address.replace("http:", "https:"))
        with pytest.raises(MasterRefuses, match=r"does not speak TLS as expected \(.*\): check the port in api"):
            error.ask("facts", {})


def test_a_ca_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    peer = Peer.model_validate({"api": "https://127.0.0.1:1", "username": "u", "password": "p", "ca_file": "/nowhere"})
    with pytest.raises(MasterRefuses, match=r"the certificates in /nowhere cannot be used: .*: check ca_file"):
        ViaApi(peer).ask("facts", {})


@pytest.mark.parametrize("where", ["headers", "body"])
def test_an_answer_that_never_ends_has_a_deadline(where: str) -> None:
    given_up, all_sent = threading.Event(), threading.Event()
    body = json.dumps({"return": [{"protocol": 1}]}).encode()
    start = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX: " % (3000 + len(body))

    def drip() -> Iterator[bytes]:
        yield start if where == "headers" else start + b"\r\n\r\n"
        for _ in range(3000):
            if given_up.wait(0.01):
                return
            yield b" "
        all_sent.set()
        yield body if where == "body" else b"\r\n\r\n" + b" " * 3000 + body

    with raw_server(drip()) as address:
        peer = Peer.model_validate({"api": address, "username": "hart", "password": "a-pass-word", "timeout": 0.2})
        try:
            facts = Peers({"m2": ViaApi(peer)}).facts()["m2"]
            assert isinstance(facts, MasterDown)
            assert "its salt-api does not answer within 0.2 seconds" in str(facts)
            assert not all_sent.is_set()
        finally:
            given_up.set()


@pytest.mark.parametrize("master_id", ["m2", "m2_master", "two", "two_master"])
def test_all_masters_can_have_the_same_configuration(master_id: str) -> None:
    cluster = Cluster(masters={"m2": Peer(minion="two"), "m3": Peer(minion="three")})
    assert list(others_of(cluster, master_id)) == ["m3"]
    assert list(peers_of(cluster, Minions({}), master_id)) == ["m3"]
    assert not Peers()
