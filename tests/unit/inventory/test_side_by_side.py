"""The handling of a provider that cannot be queried."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hart_salt.base.errors import EnvironmentFault, HartError
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.side_by_side import ask_each

PROVIDER = SimpleNamespace(driver="d")
DRIVERS = cast("dict[str, Driver]", {name: SimpleNamespace(provider=PROVIDER) for name in ("a", "b")})


def asked(error: Exception) -> dict[str, Any]:
    def ask(driver: Driver) -> str:
        if driver is DRIVERS["a"]:
            raise error
        return "fine"

    return ask_each(DRIVERS, ask)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.ENOSPC, errno.EIO])
def test_a_fault_of_this_machine_is_not_a_defect_of_a_driver(number: int) -> None:
    said = asked(OSError(number, os.strerror(number), "/some/where"))
    assert isinstance(said["a"], EnvironmentFault)
    assert str(said["a"]).startswith(f"/some/where: {os.strerror(number)}; hart runs as the user ")
    assert said["b"] == "fine"


def test_a_defect_of_a_driver_does_not_hide_the_others() -> None:
    said = asked(ZeroDivisionError("x"))
    assert isinstance(said["a"], HartError)
    assert str(said["a"]) == "a defect in the driver d: ZeroDivisionError('x')"
    assert said["b"] == "fine"
