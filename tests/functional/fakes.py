"""The common part of the in-memory worlds: a provider to start with, and steps that fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from hart_salt.config.schema import Provider
from hart_salt.drivers.contract import Driver
from hart_salt.drivers.local.driver import SCHEMA, Account
from hart_salt.model import Access, Image, Instance, MasterInfo, Node, Region, Size

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


def fails_with(error: BaseException, times: int = 10**6) -> Fault:
    """Return a step that raises this error the first ``times`` times."""
    left = times

    def fault() -> None:
        nonlocal left
        left -= 1
        if left >= 0:
            raise error

    return fault
