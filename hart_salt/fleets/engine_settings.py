"""What ``engines:`` in the master config says about the engine of hart."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from hart_salt.base.text import suggestion
from hart_salt.config.durations import LONGEST, as_duration
from hart_salt.fleets.engine_process import Settings
from hart_salt.fleets.pace import LEAST

NAMES = ("interval", "config")


def settings(opts: Mapping[str, Any], interval: Any, config: Any, unknown: Mapping[str, Any]) -> Settings:
    """Return the checked settings. Raises ``ValueError`` with a sentence that names the wrong setting."""
    for name in unknown:
        raise ValueError(f"engines: hart: {name}: unknown setting{suggestion(str(name), NAMES)}")
    if config is not None and not (isinstance(config, str) and config):
        raise ValueError("engines: hart: config: must be the path of a TOML file")
    return Settings(
        os.path.abspath(str(opts["conf_file"])),  # noqa: PTH100 - a link stays a link
        str(opts["cachedir"]), seconds(interval), config,
    )  # fmt: skip


def seconds(interval: Any) -> float:
    """Return the interval in seconds. Raises ``ValueError`` if it is none, or too short."""
    wrong = f"engines: hart: interval: must be a number of seconds of at least {LEAST:g}, or a length such as 1m"
    try:
        found = as_duration(interval)
    except Exception:
        raise ValueError(wrong) from None
    if not LEAST <= found <= LONGEST:
        raise ValueError(wrong)
    return found


def configured(opts: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the settings of the engine in the options of a master, unchecked; None if it is not configured."""
    for name, given in _engines(opts.get("engines")):
        options = given if isinstance(given, Mapping) else {}
        if options.get("engine_module", name) == "hart":
            return {key: value for key, value in options.items() if key != "engine_module"}
    return None


def _engines(given: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the engines, which Salt takes as a list of names and mappings, or as one mapping."""
    if isinstance(given, Mapping):
        yield from given.items()
        return
    for one in given if isinstance(given, list | tuple) else ():
        if isinstance(one, Mapping):
            yield from list(one.items())[:1]
        else:
            yield one, None
