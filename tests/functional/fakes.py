"""The common part of the in-memory worlds: a provider to start with, and steps that fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hart_salt.base.errors import MasterDown
from hart_salt.config.schema import Provider
from hart_salt.drivers.contract import Driver
from hart_salt.drivers.local.driver import SCHEMA, Account
from hart_salt.inventory.other_masters import OtherMasters
from hart_salt.master.keys import ACCEPTED
from hart_salt.master.peer_work import PROTOCOL, digest
from hart_salt.master.peers import Peers
from hart_salt.model import Access, Image, Instance, MasterInfo, Node, Region, Size
from tests.unit.inventory.test_records import MemoryCache

Fault = Callable[[], object]


class EmptyDriver(Driver):
    """A provider with one region and one size that launches nothing. A subclass defines what is in its account."""

    schema = SCHEMA
    platform = "local"

    def __init__(self, name: str, info: MasterInfo) -> None:
        super().__init__(Provider(name, "local", Account()), info)

    def check(self) -> str:
        return "ok"

    @contextmanager
    def access(self, batch: str, client_public_key: str, nodes: Sequence[Node]) -> Iterator[Access]:
        yield Access(batch, client_public_key)

    def launch(self, node: Node, user_data: str, access: Access) -> Instance:
        raise NotImplementedError

    def regions(self) -> Sequence[Region]:
        return [Region("local")]

    def sizes(self, region: str | None) -> Sequence[Size]:
        return [Size("shared", 1, 1)]

    def images(self, region: str | None) -> Sequence[Image]:
        return []


class FakePeer:
    """Another master of the same nodes, with its key store; it does what ``peer_work`` does, on any texts as keys."""

    def __init__(self, **keys: str) -> None:
        #: accepted keys, by minion id
        self.keys = dict(keys)
        self.down = False
        #: what it was asked, in order: the work, and the ids
        self.requests: list[tuple[str, tuple[str, ...]]] = []
        #: called before the work is done
        self.on_request: Callable[[str], None] = lambda work: None

    timeout = 60.0
    silence = "its minion does not answer"

    def ask(self, work: str, keys: Mapping[str, str], until: float | None = None, sent: float | None = None) -> Any:
        self.requests.append((work, tuple(keys)))
        self.on_request(work)
        if self.down:
            raise MasterDown("its minion does not answer")
        do = {"accept": self._accept, "delete": self._delete, "list": self._list, "print": self._print}[work]
        return {"protocol": PROTOCOL, "keys": do(keys)}

    def _accept(self, keys: Mapping[str, str]) -> Any:
        found: dict[str, Any] = {}
        for minion_id, pem in keys.items():
            there = self.keys.setdefault(minion_id, pem)
            found[minion_id] = {"accepted": digest(pem)} if there == pem else {"error": "another key is accepted"}
        return found

    def _delete(self, keys: Mapping[str, str]) -> Any:
        for minion_id, text in keys.items():
            if text in ("", self.keys.get(minion_id)):
                self.keys.pop(minion_id, None)
        return {minion_id: {"left": []} for minion_id in keys}

    def _list(self, keys: Mapping[str, str]) -> Any:
        return {one: {ACCEPTED: [digest(self.keys[one])]} for one in keys if one in self.keys}

    def _print(self, keys: Mapping[str, str]) -> Any:
        return {one: self.keys[one] for one in keys if one in self.keys}


def other_masters(*, may_be_down: bool = False, **peers: FakePeer) -> OtherMasters:
    """Return these other masters, with a store for keys that are left on them."""
    cache = MemoryCache()
    return OtherMasters(Peers(peers, may_be_down=may_be_down), lambda: cache)


def fails_with(error: BaseException, times: int = 10**6) -> Fault:
    """Return a step that raises this error the first ``times`` times."""
    left = times

    def fault() -> None:
        nonlocal left
        left -= 1
        if left >= 0:
            raise error

    return fault
