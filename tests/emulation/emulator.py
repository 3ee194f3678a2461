"""The base class of all emulated providers: the server, the log of calls, the faults, and the admin endpoint."""

from __future__ import annotations

import abc
import dataclasses
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.emulation import faults
from tests.emulation.backend import Backend, Machines
from tests.emulation.holds import Holds
from tests.emulation.http import Answer, Request, Served, Server

ADMIN = "/_test/"


@dataclass(frozen=True)
class Call:
    """One call. ``status`` is None if the connection was broken instead of an answer."""

    status: int | None
    method: str
    path: str
    query: Mapping[str, list[str]]
    body: Any
    #: the time of the call, by the emulator's clock
    time: float
    #: the problems of the request or the answer, by the vendor's description
    objections: tuple[str, ...] = ()
    #: the body as text
    text: str = field(default="", repr=False)


class Emulator(Served):
    """
    A provider's API. A context manager, or use ``start`` and ``close``.

    ``handle`` runs under one lock, so the state does not change during a call. Stalls happen outside the lock.
    """

    def __init__(
        self, backend: Backend, *, clock: Callable[[], float] = time.time, port: int = 0, host: str = "127.0.0.1"
    ) -> None:
        self.clock = clock
        self.faults = faults.Faults()
        #: calls that wait until the test releases them
        self.holds = Holds()
        self.machines = Machines(backend)
        self.calls: list[Call] = []
        #: exceptions in the emulator itself; if a test leaves any, it has found a bug of ours
        self.defects: list[Exception] = []
        self.lock = threading.RLock()
        self._closing = threading.Event()
        self._server = Server(self._answer, host, port)

    # for the emulated provider

    @abc.abstractmethod
    def handle(self, request: Request) -> Answer:
        """Execute a call and return its answer."""

    @abc.abstractmethod
    def failure(self, request: Request, status: int) -> Answer:
        """Return the vendor's answer with this status."""

    @abc.abstractmethod
    def facts(self) -> Mapping[str, Any]:
        """Return the state as JSON for the admin endpoint."""

    @abc.abstractmethod
    def account(self) -> dict[str, Any]:
        """Return the settings of ``hart:providers:<name>`` for this emulator."""

    @abc.abstractmethod
    def left(self) -> dict[str, list[str]]:
        """Return the existing resources that clients made, by kind and name, for comparisons."""

    @abc.abstractmethod
    def made(self) -> int:
        """Return how many instances were ever made."""

    @abc.abstractmethod
    def user_data(self) -> dict[str, str]:
        """Return the user-data of each instance, by the minion id of its create call."""

    @abc.abstractmethod
    def add_snapshot(self, name: str) -> str | int:
        """Add an image to the account, whose disk the back end finds by ``name``, and return its id."""

    @abc.abstractmethod
    def forget(self) -> None:
        """Reset everything to the state at the start, for use between two tests."""

    def objections(self, request: Request, answer: Answer | None) -> list[str]:
        """Return the problems of a call, by the vendor's description; without ``answer``, of the request only."""
        return []

    def switches(self) -> Any:
        """Return the dataclass whose fields the admin endpoint can set."""
        return None

    def troubles(self) -> dict[str, Any]:
        """Return the errors of the emulator itself, as JSON."""
        return {
            "defects": [repr(error) for error in self.defects],
            "machine_failures": [[name, repr(error)] for name, error in self.machines.failures],
        }

    # for tests

    @property
    def base_url(self) -> str:
        """Scheme, host and port."""
        return self._server.base_url

    def count(self, method: str, path: str = "", query: str = "", body: str = "") -> int:
        """Return the number of matching calls; ``path``, ``query`` and ``body`` are regular expressions."""
        return sum(
            call.method == method
            and re.search(path, call.path) is not None
            and re.search(query, _flat(call.query)) is not None
            and re.search(body, call.text) is not None
            for call in list(self.calls)
        )

    def said_against(self) -> list[str]:
        """Return the problems of all calls so far, by the vendor's description."""
        return [f"{call.method} {call.path}: {text}" for call in list(self.calls) for text in call.objections]

    def settle(self, timeout: float = 60.0) -> bool:
        """Wait until no machine boots or ends; return False after the timeout."""
        return self.machines.settle(timeout)

    def start(self) -> None:
        """Serve from now on."""
        self._server.start()

    def close(self) -> None:
        """Stop serving, then end every machine."""
        self._closing.set()
        self.holds.clear()
        self._server.close()
        self.machines.close()

    # one call

    def _answer(self, request: Request) -> Answer:
        if request.path.startswith(ADMIN):
            return self._administer(request)
        began = self.clock()
        self.holds.keep(request, "before")
        fault = self.faults.strike(request)
        answer = self._with_fault(request, fault)
        self.holds.keep(request, "after")
        status = None if answer.drop else answer.status
        # The answer of a fault is wrong on purpose.
        objections = tuple(self.objections(request, None if fault and _breaks(fault) else answer))
        self.calls.append(
            Call(
                status,
                request.method,
                request.path,
                request.query,
                _body(request),
                began,
                objections,
                request.body.decode(errors="replace"),
            )
        )
        return answer

    def _with_fault(self, request: Request, fault: faults.Fault | None) -> Answer:
        if fault is None:
            return self._handle(request)
        if fault.when == "after":
            answer = self._handle(request)
            self._closing.wait(fault.stall)
            return self._broken(request, fault) if _breaks(fault) else answer
        self._closing.wait(fault.stall)
        return self._broken(request, fault) if _breaks(fault) else self._handle(request)

    def _broken(self, request: Request, fault: faults.Fault) -> Answer:
        if fault.drop or fault.status is None:
            return Answer(drop=True)
        usual = self.failure(request, fault.status)
        body = usual.body if fault.answer is None else fault.answer
        return Answer(fault.status, body, {**usual.headers, **fault.headers})

    def _handle(self, request: Request) -> Answer:
        try:
            with self.lock:
                return self.handle(request)
        except Exception as error:
            self.defects.append(error)
            return self.failure(request, 500)

    # the admin endpoint, for other processes than the test's; loopback only, hence no token

    def _administer(self, request: Request) -> Answer:
        known: dict[tuple[str, str], Callable[[Request], Answer]] = {
            ("GET", "faults"): self._list_faults,
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): self._clear_faults,
            ("GET", "state"): lambda _: Answer(200, dict(self.facts())),
            ("GET", "calls"): lambda _: Answer(200, [dataclasses.asdict(call) for call in list(self.calls)]),
            ("PATCH", "settings"): self._set,
        }
        work = known.get((request.method, request.path.removeprefix(ADMIN)))
        if work is None:
            return Answer(404, {"error": f"there is {', '.join(' '.join(name) for name in known)}"})
        try:
            return work(request)
        except (TypeError, ValueError, AttributeError) as error:
            return Answer(400, {"error": str(error)})

    def _list_faults(self, _: Request) -> Answer:
        return Answer(200, [faults.to_dict(fault) for fault in self.faults.pending()])

    def _add_fault(self, request: Request) -> Answer:
        self.faults.add(faults.from_dict(request.json()))
        return self._list_faults(request)

    def _clear_faults(self, request: Request) -> Answer:
        self.faults.clear()
        return self._list_faults(request)

    def _set(self, request: Request) -> Answer:
        switches = self.switches()
        names = {field.name for field in dataclasses.fields(switches)}
        values = request.json()
        if unknown := sorted(set(values) - names):
            raise ValueError(f"no such setting: {', '.join(unknown)}")
        for name, value in values.items():
            setattr(switches, name, value)
        return Answer(200, values)


def _breaks(fault: faults.Fault) -> bool:
    return fault.drop or fault.status is not None


def _flat(query: Mapping[str, list[str]]) -> str:
    return "&".join(f"{name}={value}" for name, values in query.items() for value in values)


def _body(request: Request) -> Any:
    try:
        return request.json()
    except ValueError:
        return request.body.decode(errors="replace")
