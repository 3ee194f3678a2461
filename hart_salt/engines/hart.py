"""
Keep hart's fleets as the configuration declares them.

In the master config:

.. code-block:: yaml

    engines:
      - hart:
          interval: 60

``interval`` is the number of seconds between two looks, at least 5 (default 60), or a length of time such as ``1m``.
``config`` is the path of hart's TOML file (default ``/etc/hart.toml``). See the documentation of hart-salt.

.. versionadded:: 2.0.0
"""

from __future__ import annotations

import importlib.util
import logging
from typing import Any

log = logging.getLogger(__name__)

__virtualname__ = "hart"

# What Salt's loader adds.
__opts__: dict[str, Any] = {}


def __virtual__() -> str | tuple[bool, str]:
    if importlib.util.find_spec("hart_salt") is None:
        return False, "the Python package hart-salt is not installed: salt-pip install its wheel or checkout"
    if globals()["__opts__"].get("__role", "master") != "master":
        return False, "the engine hart runs on a salt-master only"
    return __virtualname__


def start(interval: Any = 60, config: Any = None, **unknown: Any) -> None:
    """
    Look at the fleets again and again, until the master ends; Salt calls this in a process of its own.

    With a wrong setting, it logs one sentence and does nothing.
    """
    from hart_salt.fleets import engine_process, engine_settings

    try:
        settings = engine_settings.settings(__opts__, interval, config, unknown)
    except ValueError as error:
        log.error("hart engine: %s; the engine does nothing until salt-master is restarted", error)  # noqa: TRY400
        engine_process.idle()
        return
    engine_process.run(__opts__, settings)
