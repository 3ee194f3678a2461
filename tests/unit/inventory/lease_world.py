"""A coordination server with a clock that tests set, and the calls of several masters that use it."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from hart_salt.base.errors import EnvironmentFault
from hart_salt.coordination.contract import unusable
from hart_salt.inventory.leases import LeaseLocks
from hart_salt.inventory.records import Record, Store
from hart_salt.inventory.session import Times
from tests.unit.inventory.test_records import MemoryCache

RECORD = Record(
    minion_id="a", provider="do", driver="do", region="r", size="s", stage="launching", owner="o", batch="b1",
    created=1.5,
)  # fmt: skip


@dataclass
class Server:
    """The server: each lease by its name, with its holder and its end."""

    now: float = 1000.0
    leases: dict[str, tuple[int, float]] = field(default_factory=dict)
    #: the call that took each lease, by the lease's number
    calls: dict[int, str] = field(default_factory=dict)
    #: the leases whose connections the server has closed
    cut: set[str] = field(default_factory=set)
    #: the server does not answer
    down: bool = False
    #: how often a lease was taken, and how often one was renewed
    taken: int = 0
    renewed: int = 0
    #: called with each name that is about to be taken, and with each that is about to be renewed
    before: Callable[[str], object] = lambda _: None
    before_renewal: Callable[[str], object] = lambda _: None
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def holder(self, name: str) -> int | None:
        """Return who has a lease now."""
        if self.down:
            raise unusable("fake", EnvironmentFault("it does not answer"))
        number, end = self.leases.get(name, (0, 0.0))
        return number if end > self.now else None

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class FakeLease:
    def __init__(self, server: Server, name: str, seconds: float, holder: str) -> None:
        self.name = name
        self._server = server
        self._seconds = seconds
        self._number = next(server.numbers)
        server.leases[name] = (self._number, server.now + seconds)
        server.calls[self._number] = holder

    def renew(self) -> bool:
        self._server.before_renewal(self.name)
        self._server.renewed += 1
        if self._server.holder(self.name) != self._number:
            return False
        self._server.leases[self.name] = (self._number, self._server.now + self._seconds)
        return True

    def has_ended(self) -> bool:
        return self.name in self._server.cut

    def release(self) -> bool:
        if self._server.holder(self.name) != self._number:
            return False
        del self._server.leases[self.name]
        return True


class FakeEngine:
    words = "fake"

    def __init__(self, server: Server) -> None:
        self.server = server

    def take(self, name: str, seconds: float, *, brief: bool = False, holder: str = "") -> FakeLease | None:
        self.server.before(name)
        if self.server.holder(name) is not None:
            return None
        self.server.taken += 1
        return FakeLease(self.server, name, seconds, holder)

    def free(self, names: Collection[str], holder: str) -> None:
        for name in names:
            number = self.server.holder(name)
            if number is not None and self.server.calls[number] == holder:
                del self.server.leases[name]

    def living(self, names: Collection[str]) -> frozenset[str]:
        return frozenset(name for name in names if self.server.holder(name) is not None)

    def close(self) -> None:
        pass


class Cluster:
    """Masters with one record store and one server, each with its own directory."""

    def __init__(self, root: Path, times: Times | None = None) -> None:
        self.root = root
        self.server = Server()
        self.cache = MemoryCache()
        self.store = Store(self.cache)
        self.times = times or Times()
        #: what calls have begun in threads, in order: for each session its renewals and its watch
        self.renewals: list[Callable[[], None]] = []

    def call(self, master: str = "m1", owner: str = "") -> LeaseLocks:
        """Return the locks of a new call on a master with the mark ``owner``."""
        engine, server = FakeEngine(self.server), self.server
        cachedir = str(self.root / master)
        clock, sleep, start = server.clock, server.sleep, self.renewals.append
        return LeaseLocks(engine, self.store, cachedir, self.times, clock, sleep, start, owner)

    def beat(self, locks: LeaseLocks) -> float | None:
        """Renew the leases of a call once, as its thread does."""
        opened = locks._open
        assert opened is not None
        return opened.beat()


#: what dead calls held: kept, because an unused generator would be ended like one of a living call
DEAD: list[contextlib.ExitStack] = []


def die(locks: LeaseLocks, stack: contextlib.ExitStack) -> None:
    """End the process of a call: its file is unlocked but stays, and nothing is renewed, released or rolled back."""
    assert locks._file is not None
    path = locks._files._path(locks.session)
    noted = path.read_text()
    locks._file.close()
    path.write_text(noted)
    DEAD.append(stack.pop_all())
