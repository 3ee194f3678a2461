"""A small threaded HTTP server: requests in, answers out, and connections that can be reset."""

from __future__ import annotations

import abc
import contextlib
import json
import re
import socket
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from typing_extensions import Self

BODY_LIMIT = 4 * 2**20  #: no client of these APIs sends more
CLOSE_TIMEOUT = 5.0


@dataclass(frozen=True)
class Request:
    """One request. ``path`` has no query and no trailing slash, because vendors accept both forms."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    raw_query: str
    headers: Mapping[str, str]
    body: bytes
    #: scheme and host as the client wrote them, for absolute links in an answer
    base_url: str
    #: the client's address
    client: str = ""

    def first(self, name: str) -> str | None:
        """Return the first value of a query parameter, or None."""
        values = self.query.get(name)
        return values[0] if values else None

    def json(self) -> Any:
        """
        Return the body, or None if it is empty.

        Raises ``ValueError`` if it is not JSON.
        """
        return json.loads(self.body) if self.body.strip() else None


@dataclass(frozen=True)
class Answer:
    """One answer. ``body`` is a JSON value, text (sent as HTML), bytes (sent as XML), or None for an empty body."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    #: reset the connection instead of answering
    drop: bool = False

    def encoded(self) -> tuple[str, bytes]:
        """Return the content type and the bytes."""
        if self.body is None:
            return "", b""
        if isinstance(self.body, bytes):
            return "text/xml; charset=utf-8", self.body
        if isinstance(self.body, str):
            return "text/html; charset=utf-8", self.body.encode()
        return "application/json; charset=utf-8", json.dumps(self.body).encode()


class Served(abc.ABC):
    """A context manager that serves inside its block."""

    @abc.abstractmethod
    def start(self) -> None:
        """Serve from now on."""

    @abc.abstractmethod
    def close(self) -> None:
        """Stop serving."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Server(Served):
    """A server that calls ``answer`` for each request until it is closed; a context manager."""

    def __init__(self, answer: Callable[[Request], Answer], host: str = "127.0.0.1", port: int = 0) -> None:
        handler = type("Handler", (_Handler,), {"answer": staticmethod(answer)})
        self._http = _Http((host, port), handler)
        self._thread = threading.Thread(target=self._http.serve, daemon=True)

    @property
    def base_url(self) -> str:
        """Scheme, host and port, such as ``http://127.0.0.1:8080``."""
        host, port = self._http.server_address[:2]
        return f"http://{host!s}:{port}"

    def start(self) -> None:
        """Serve from now on."""
        self._thread.start()

    def close(self) -> None:
        """Stop serving and break open connections."""
        if self._thread.is_alive():
            self._http.end()
            self._thread.join(CLOSE_TIMEOUT)
        self._http.server_close()
        self._http.break_off()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    # A burst of clients, such as a test of scale, must not be refused by the kernel.
    request_queue_size = 128

    def __init__(self, *args: Any) -> None:
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._ended = False
        super().__init__(*args)

    def serve(self) -> None:
        """Serve until ``end``. Unlike ``serve_forever``, it ends at once, and looks for nothing in between."""
        while not self._ended:
            self._handle_request_noblock()  # type: ignore[attr-defined]  # it waits in accept

    def end(self) -> None:
        self._ended = True
        self.socket.shutdown(socket.SHUT_RDWR)  # which ends accept

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def break_off(self) -> None:
        """Break open connections, which could keep their threads for as long as the client wants."""
        with self._lock:
            sockets = list(self._open)
        for connection in sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect during an answer, as in some tests, and show other errors."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    answer: Callable[[Request], Answer]

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 <= length <= BODY_LIMIT:
            self.send_error(413)
            return
        body = self.rfile.read(length)
        self._send(self.answer(self._request(body)))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - names of the library

    def _request(self, body: bytes) -> Request:
        parts = urlsplit(self.path)
        return Request(
            method=self.command,
            path=re.sub(r"(?<=.)/+$", "", unquote(parts.path)),
            query=parse_qs(parts.query, keep_blank_values=True),
            raw_query=parts.query,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
            base_url=f"http://{self.headers.get('Host') or self._address()}",
            client=str(self.client_address[0]),
        )

    def _address(self) -> str:
        host, port = self.connection.getsockname()[:2]
        return f"{host}:{port}"

    def _send(self, answer: Answer) -> None:
        if answer.drop:
            self._reset()
            return
        content_type, body = answer.encoded()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if content_type:
            self.send_header("Content-Type", content_type)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        # Without lingering, closing sends a reset: the client sees a broken connection and not its end.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.rfile.close()
        self.connection.close()

    def log_message(self, *_: Any) -> None:
        """Do nothing: the emulators have their own log of calls."""
