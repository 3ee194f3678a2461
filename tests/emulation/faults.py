"""
Faults on demand, shared by all emulators.

``Fault`` breaks calls, ``MachineFault`` breaks the lives of the next instances. Both expire after ``times`` uses.
"""

from __future__ import annotations

import dataclasses
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.emulation.http import Request

HTML = "<html>\r\n<head><title>{0} Error</title></head>\r\n<body><h1>{0} Error</h1></body>\r\n</html>\r\n"


@dataclass(frozen=True)
class Fault:
    """
    One way for a call to go wrong. ``path``, ``query`` and ``body`` are regular expressions to search for.

    ``when`` says whether it strikes before or after the call has its effect. ``stall`` alone makes a call slow.
    """

    method: str = ".*"
    path: str = ""
    query: str = ""
    body: str = ""
    #: None: always
    times: int | None = 1
    #: matching calls that succeed first
    skip: int = 0
    when: str = "before"
    #: None: the answer does not change
    status: int | None = None
    #: None: the vendor's own body for the status; text is sent as HTML
    answer: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    stall: float = 0.0
    drop: bool = False

    def __post_init__(self) -> None:
        if self.when not in ("before", "after"):
            raise ValueError(f"when is {self.when!r}: it must be before or after")

    def matches(self, request: Request) -> bool:
        """Return whether the fault applies to this call."""
        return (
            re.fullmatch(self.method, request.method) is not None
            and re.search(self.path, request.path) is not None
            and re.search(self.query, request.raw_query) is not None
            and re.search(self.body, request.body.decode(errors="replace")) is not None
        )


def lost_answer(path: str, method: str = "POST", **more: Any) -> Fault:
    """Return a fault after the call's effect: the connection breaks before the answer."""
    return Fault(method=method, path=path, when="after", drop=True, **more)


def throttled(path: str, method: str = ".*", retry_after: int = 1, **more: Any) -> Fault:
    """Return a fault without effect of the call: 429 with Retry-After."""
    return Fault(method=method, path=path, status=429, headers={"retry-after": str(retry_after)}, **more)


def bad_page(path: str, page: int = 2, status: int = 429, **more: Any) -> Fault:
    """Return a fault of one page of a list; the pages before it succeed."""
    return Fault(method="GET", path=path, query=rf"(^|&)page={page}(&|$)", status=status, **more)


def gateway_html(path: str, method: str = ".*", status: int = 502, **more: Any) -> Fault:
    """Return a fault that answers with a load balancer's page instead of the API's JSON."""
    return Fault(method=method, path=path, status=status, answer=HTML.format(status), **more)


@dataclass(frozen=True)
class MachineFault:
    """One way for an instance to go wrong. A create call binds it to an instance whose name matches ``hostname``."""

    hostname: str = ""
    times: int | None = 1
    #: eventual consistency: the number of lists, or the seconds, until lists show it
    hidden_lists: int = 0
    hidden_for: float = 0.0
    #: the number of delete calls that are refused, as during another action, or accepted without effect
    refuse_delete: int = 0
    ignore_delete: int = 0
    #: the number of reports as running without an address
    address_lists: int = 0
    never_active: bool = False
    #: it never becomes active: the provider gives up, for this reason in its own words
    given_up: str = ""
    #: it is reported as running, but there is no machine
    never_boots: bool = False
    fail_at: str = ""
    impostor: bool = False

    def matches(self, name: str) -> bool:
        """Return whether the fault applies to this instance."""
        return re.search(self.hostname, name) is not None


NO_FAULT = MachineFault()
AnyFault = TypeVar("AnyFault", Fault, MachineFault)


@dataclass
class _Armed:
    fault: Fault | MachineFault
    skip: int
    left: int | None

    def spend(self) -> bool:
        """Use it once; return False while calls must succeed, and after it has expired."""
        if self.left == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.left is not None:
            self.left -= 1
        return True


class Faults:
    """The faults of one emulator, used in the order of their addition. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[_Armed] = []
        #: the faults that struck, with repetitions
        self.struck: list[Fault | MachineFault] = []

    def add(self, *faults: Fault | MachineFault) -> None:
        """Arm faults."""
        with self._lock:
            self._armed += [_Armed(fault, getattr(fault, "skip", 0), fault.times) for fault in faults]

    def clear(self) -> None:
        """Disarm all faults."""
        with self._lock:
            self._armed.clear()

    def pending(self) -> list[Fault | MachineFault]:
        """Return the faults that have not expired; ``times=None`` never expires."""
        with self._lock:
            return [armed.fault for armed in self._armed if armed.left != 0]

    def strike(self, request: Request) -> Fault | None:
        """Return the fault of this call and count it."""
        return self._spent(Fault, request)

    def of_machine(self, name: str) -> MachineFault:
        """Return the fault of a new instance and count it."""
        return self._spent(MachineFault, name) or NO_FAULT

    def _spent(self, kind: type[AnyFault], what: Any) -> AnyFault | None:
        """Use and return the first fault of a kind that applies and has not expired, or None."""
        with self._lock:
            for armed in self._armed:
                if isinstance(armed.fault, kind) and armed.fault.matches(what) and armed.spend():
                    self.struck.append(armed.fault)
                    return armed.fault
        return None


def from_dict(data: Mapping[str, Any]) -> Fault | MachineFault:
    """
    Return a fault from JSON of the admin endpoint.

    Raises ``ValueError`` or ``TypeError`` if it is invalid.
    """
    kinds: dict[str, type[Fault] | type[MachineFault]] = {"call": Fault, "machine": MachineFault}
    kind = data.get("kind", "call")
    if kind not in kinds:
        raise ValueError(f"kind is {kind!r}: it must be {' or '.join(kinds)}")
    return kinds[kind](**{name: value for name, value in data.items() if name != "kind"})


def to_dict(fault: Fault | MachineFault) -> dict[str, Any]:
    """Return a fault as JSON."""
    return {"kind": "call" if isinstance(fault, Fault) else "machine", **dataclasses.asdict(fault)}
