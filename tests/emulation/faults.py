"""
Faults on demand, shared by all emulators.

``Fault`` breaks calls, ``MachineFault`` breaks the life of the instances that are created next. Both wear
off after ``times``.
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
    One way for a call to go wrong. ``path``, ``query`` and ``body`` are regular expressions to be found.

    ``when`` says whether the call has taken effect by then. ``stall`` alone is a slow call that works.
    """

    method: str = ".*"
    path: str = ""
    query: str = ""
    body: str = ""
    #: None: always
    times: int | None = 1
    #: matching calls that are let through first
    skip: int = 0
    when: str = "before"
    #: None: the answer stays what it is
    status: int | None = None
    #: None: the vendor's own body for the status; text goes out as HTML
    answer: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    stall: float = 0.0
    drop: bool = False

    def __post_init__(self) -> None:
        if self.when not in ("before", "after"):
            raise ValueError(f"when is {self.when!r}: it may be before or after")

    def matches(self, request: Request) -> bool:
        """Whether this call is meant."""
        return (
            re.fullmatch(self.method, request.method) is not None
            and re.search(self.path, request.path) is not None
            and re.search(self.query, request.raw_query) is not None
            and re.search(self.body, request.body.decode(errors="replace")) is not None
        )


def lost_answer(path: str, method: str = "POST", **more: Any) -> Fault:
    """The call takes effect, and the connection breaks before the answer."""
    return Fault(method=method, path=path, when="after", drop=True, **more)


def throttled(path: str, method: str = ".*", retry_after: int = 1, **more: Any) -> Fault:
    """429 with Retry-After, and nothing done."""
    return Fault(method=method, path=path, status=429, headers={"retry-after": str(retry_after)}, **more)


def bad_page(path: str, page: int = 2, status: int = 429, **more: Any) -> Fault:
    """One page of a list fails; those before it are good."""
    return Fault(method="GET", path=path, query=rf"(^|&)page={page}(&|$)", status=status, **more)


def gateway_html(path: str, method: str = ".*", status: int = 502, **more: Any) -> Fault:
    """The load balancer's own page instead of the API's JSON."""
    return Fault(method=method, path=path, status=status, answer=HTML.format(status), **more)


@dataclass(frozen=True)
class MachineFault:
    """One way for an instance to go wrong. It is bound at create to instances whose name is like ``hostname``."""

    hostname: str = ""
    times: int | None = 1
    #: eventual consistency: lists, or seconds, until lists show it
    hidden_lists: int = 0
    hidden_for: float = 0.0
    #: delete calls that are refused as long as others change it, and that are taken without effect
    refuse_delete: int = 0
    ignore_delete: int = 0
    #: reports of it as running that have no address yet
    address_lists: int = 0
    never_active: bool = False
    #: it never becomes active: the provider gives it up, for this reason in its own words
    given_up: str = ""
    #: it is reported as running, but there is no machine
    never_boots: bool = False
    fail_at: str = ""
    impostor: bool = False

    def matches(self, name: str) -> bool:
        """Whether this instance is meant."""
        return re.search(self.hostname, name) is not None


NO_FAULT = MachineFault()
AnyFault = TypeVar("AnyFault", Fault, MachineFault)


@dataclass
class _Armed:
    fault: Fault | MachineFault
    skip: int
    left: int | None

    def spend(self) -> bool:
        """Use it once; False while calls are let through, and when it has worn off."""
        if self.left == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.left is not None:
            self.left -= 1
        return True


class Faults:
    """The faults of one emulator, used up in the order in which they were added. Safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[_Armed] = []
        #: those that struck, once for each time
        self.struck: list[Fault | MachineFault] = []

    def add(self, *faults: Fault | MachineFault) -> None:
        """Arm them."""
        with self._lock:
            self._armed += [_Armed(fault, getattr(fault, "skip", 0), fault.times) for fault in faults]

    def clear(self) -> None:
        """Disarm all."""
        with self._lock:
            self._armed.clear()

    def pending(self) -> list[Fault | MachineFault]:
        """Those that have not worn off; ``times=None`` never does. What struck is in ``struck``."""
        with self._lock:
            return [armed.fault for armed in self._armed if armed.left != 0]

    def strike(self, request: Request) -> Fault | None:
        """Return the fault of this call and count it."""
        return self._spent(Fault, request)

    def of_machine(self, name: str) -> MachineFault:
        """Return the fault of a new instance and count it."""
        return self._spent(MachineFault, name) or NO_FAULT

    def _spent(self, kind: type[AnyFault], what: Any) -> AnyFault | None:
        """The first fault of a kind that is about this and has not worn off."""
        with self._lock:
            for armed in self._armed:
                if isinstance(armed.fault, kind) and armed.fault.matches(what) and armed.spend():
                    self.struck.append(armed.fault)
                    return armed.fault
        return None


def from_dict(data: Mapping[str, Any]) -> Fault | MachineFault:
    """Read a fault from the admin endpoint. Raises ``ValueError`` or ``TypeError`` for one that is wrong."""
    kinds: dict[str, type[Fault] | type[MachineFault]] = {"call": Fault, "machine": MachineFault}
    kind = data.get("kind", "call")
    if kind not in kinds:
        raise ValueError(f"kind is {kind!r}: it may be {' or '.join(kinds)}")
    return kinds[kind](**{name: value for name, value in data.items() if name != "kind"})


def to_dict(fault: Fault | MachineFault) -> dict[str, Any]:
    """The same the other way."""
    return {"kind": "call" if isinstance(fault, Fault) else "machine", **dataclasses.asdict(fault)}
