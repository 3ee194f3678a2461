"""Drivers of other packages, which join by an entry point."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from hart_salt import drivers
from hart_salt.base.errors import Refused
from tests.functional.fakes import EmptyDriver


def install(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Pretend that a package brings the driver ``theirs``."""
    points = [EntryPoint("theirs", value, drivers.ENTRY_POINT_GROUP)]
    monkeypatch.setattr(drivers, "entry_points", lambda group: points if group == drivers.ENTRY_POINT_GROUP else [])


def test_a_driver_of_another_package_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "tests.functional.fakes:EmptyDriver")
    assert drivers.driver_class("theirs") is EmptyDriver
    assert drivers.schemas()["theirs"] is EmptyDriver.schema


@pytest.mark.parametrize("value", ["no.such.package:Driver", "tests.functional.fakes:Nothing"])
def test_one_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    install(monkeypatch, value)
    for ask in (drivers.schemas, lambda: drivers.driver_class("theirs")):
        with pytest.raises(Refused, match=f"the driver theirs .{value}. cannot be loaded: .*Error; fix or remove"):
            ask()
