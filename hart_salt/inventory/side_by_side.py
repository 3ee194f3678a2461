"""Several providers asked at the same time: one that cannot be asked takes nothing away from what the others say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from hart_salt.base.errors import HartError
from hart_salt.base.faults import as_fault
from hart_salt.drivers.contract import Driver

T = TypeVar("T")

AT_ONCE = 32  #: providers that are asked at the same time


def ask_each(drivers: Mapping[str, Driver], ask: Callable[[Driver], T]) -> dict[str, T | HartError]:
    """
    Ask each provider; returns what it said, or why it could not be asked, by the same names.

    A missing SDK is such a reason, and so are a fault of this machine and a defect of a driver.
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
