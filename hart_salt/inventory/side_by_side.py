"""Parallel queries to several providers: a provider that cannot be queried does not hide the results of the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from hart_salt.base.errors import HartError
from hart_salt.base.faults import as_fault
from hart_salt.drivers.contract import Driver

T = TypeVar("T")

AT_ONCE = 32  #: providers that are queried at the same time


def ask_each(drivers: Mapping[str, Driver], ask: Callable[[Driver], T]) -> dict[str, T | HartError]:
    """
    Query each provider; return its result, or why it could not be queried, by the same names.

    Such a reason can be a missing SDK, a fault of this machine, or a defect of a driver.
    """

    def one(driver: Driver) -> T | HartError:
        try:
            return ask(driver)
        except HartError as error:
            return error
        except Exception as error:
            return as_fault(error) or HartError(f"a defect in the driver {driver.provider.driver}: {error!r}")

    if not drivers:
        return {}
    with ThreadPoolExecutor(min(AT_ONCE, len(drivers)), thread_name_prefix="hart-ask") as pool:
        return dict(zip(drivers, pool.map(one, drivers.values()), strict=True))
