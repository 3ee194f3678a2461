"""
A package that kills ``salt-run`` with SIGKILL at a point of hart's, which the test chooses.

``HART_KILL`` names the point: ``stage:<stage>`` right after the record of that stage is written; ``<verb>:before`` and
``<verb>:after`` around a verb of the driver, or around a function of ``Keys`` or ``Store``, whose result is lost. hart
loads this as it loads the drivers of other packages.
"""

from __future__ import annotations

import functools
import os
import signal
from contextlib import contextmanager
from typing import Any

from hart_salt.drivers import driver_class
from hart_salt.drivers.local.driver import Local
from hart_salt.inventory.records import Store
from hart_salt.master.keys import Keys
from hart_salt.master.minions import Minions

POINT = os.environ.get("HART_KILL", "")
DRIVER = Local  #: a package must offer a driver; nothing uses this one
VERBS = (
    "launch", "terminate", "settle", "remove", "power_off", "make_image", "baked_image", "finish_image", "copy_image",
)  # fmt: skip


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _around(owner: Any, name: str, point: str) -> None:
    real = getattr(owner, name)

    @functools.wraps(real)
    def call(*args: Any, **kwargs: Any) -> Any:
        if f"{point}:before" == POINT:
            _die()
        answer = real(*args, **kwargs)
        if f"{point}:after" == POINT:
            _die()
        return answer

    setattr(owner, name, call)


def _around_access(owner: Any) -> None:
    real = owner.access

    @contextmanager
    def access(*args: Any) -> Any:
        if POINT == "access:before":
            _die()
        with real(*args) as opened:
            if POINT == "access:after":
                _die()
            yield opened
            if POINT == "close:before":
                _die()
        if POINT == "close:after":
            _die()

    owner.access = access


def _stages(real: Any) -> Any:
    @functools.wraps(real)
    def put(store: Store, record: Any) -> None:
        real(store, record)
        if f"stage:{'sealed' if record.sealed else record.stage}" == POINT:
            _die()

    return put


if POINT:
    _around(Keys, "accept_many", "accept_key")
    _around(Keys, "delete", "delete_keys")
    _around(Keys, "delete_each", "delete_keys")
    _around(Minions, "apply", "apply")
    _around(Store, "remove", "remove")
    setattr(Store, "put", _stages(Store.put))  # noqa: B010 - a plain assignment to a method is none for mypy
    _driver = driver_class(os.environ["HART_KILL_DRIVER"])
    for _name in VERBS:
        _around(_driver, _name, _name)
    _around_access(_driver)
