"""The sources of configuration: the TOML file, and ``sdb://`` references to other values."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hart_salt.base import faults
from hart_salt.base.errors import ConfigError, Fault
from hart_salt.base.redaction import Secrets

SDB = "sdb://"

# Imported by name, because a type checker knows only one of the two for the Python version that it checks for.
_toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")


@dataclass(frozen=True)
class Source:
    """
    One place that configuration was read from.

    ``data`` has the form of the master config's ``hart:`` key: ``providers``, ``roles``, and the defaults beside them.
    ``label`` names the place in messages. ``faults`` holds what was already wrong when it was read. ``is_harts`` says
    whether it is hart's own file: hart ignores settings that it does not know, so they are only noted.
    """

    label: str
    data: Mapping[str, Any] = field(repr=False)
    faults: tuple[Fault, ...] = ()
    is_harts: bool = False
    notes: tuple[Fault, ...] = ()


def read_toml(path: str | os.PathLike[str], *, required: bool) -> Source | None:
    """
    Read hart's TOML file, with its sections ``[hart]``, ``[providers.X]`` and ``[roles.R]``.

    In ``path``, ``~`` stands for the caller's home directory. Returns None if the file does not exist and is not
    ``required``.

    Raises ``ConfigError`` if the file cannot be read or is not TOML; the message never quotes the file.
    """
    file = expanded(path)
    try:
        data = _toml.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not required:
            return None
        raise ConfigError([Fault(str(file), "there is no such file")]) from None
    except OSError as error:
        said = faults.sentence(error, file).removeprefix(f"{file}: ")
        raise ConfigError([Fault(str(file), f"cannot be read: {said}")]) from None
    except UnicodeDecodeError:
        raise ConfigError([Fault(str(file), "is not UTF-8 text")]) from None
    except _toml.TOMLDecodeError as error:
        # Only the position is taken from the message, because the message may quote the line.
        place = re.search(r"\(at (line \d+, column \d+|end of document)\)$", str(error))
        where = place[1] if place else "some line"
        raise ConfigError([Fault(str(file), f"TOML syntax error at {where}{_instead_of_toml(file)}")]) from None
    except (ValueError, RecursionError):  # tomllib raises what Python's own parts raise
        problem = "is not usable: a number in it has too many digits, a date does not exist, or it is nested too deeply"
        raise ConfigError([Fault(str(file), problem)]) from None
    return _from_toml(str(file), data)


def _instead_of_toml(file: Path) -> str:
    if file.suffix not in (".yaml", ".yml", ".conf", ".sls"):
        return ""
    return "; this file must be TOML: put YAML under hart: in the master config, such as /etc/salt/master.d/hart.conf"


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with ``~`` replaced by the user's home directory. Raises ``ConfigError`` if that is unknown."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigError([Fault(str(path), "the home directory for ~ is unknown: write the whole path")]) from None


def _from_toml(label: str, data: Mapping[str, Any]) -> Source:
    """Convert the file's sections to the form of the ``hart:`` key."""
    known = ("hart", "providers", "roles", "fleets")
    others = [name for name in data if name not in known]
    # hart ignores other sections; but without its providers or roles it does nothing.
    wrong = [name for name in others if get_close_matches(name, known, n=1)]
    said = "unknown section; the sections are hart, providers, roles and fleets"
    faults = [Fault(f"{label}: {name}", said) for name in wrong]
    notes = tuple(Fault(f"{label}: {name}", f"{said}; it has no effect") for name in others if name not in wrong)
    defaults = data.get("hart", {})
    if not isinstance(defaults, Mapping):
        faults.append(Fault(f"{label}: hart", "must be a section, [hart]"))
        defaults = {}
    for name in ("providers", "roles"):
        if name in defaults:
            problem = f"must be sections of their own, such as [{name}.x]"
            faults.append(Fault(f"{label}: hart.{name}", problem))
    sections = {name: data[name] for name in ("providers", "roles", "fleets") if name in data}
    return Source(label, {**defaults, **sections}, tuple(faults), is_harts=True, notes=notes)


def resolve_references(
    data: Any, path: str, resolve_sdb: Callable[[str], Any], secrets: Secrets
) -> tuple[Any, list[Fault]]:
    """
    Replace every ``sdb://`` reference in nested data by its value.

    ``path`` is where the data is, for faults. ``resolve_sdb`` looks up one reference; an exception of any type means
    failure, and so does the reference itself as the result. ``secrets`` gets every value: whoever puts a value into sdb
    wants it hidden.

    Returns a copy of the data, and the faults. Values that could not be looked up are left out.
    """
    if isinstance(data, Mapping):
        return _resolve_mapping(data, path, resolve_sdb, secrets)
    if isinstance(data, list | tuple):
        answers = [resolve_references(item, path, resolve_sdb, secrets) for item in data]
        return [value for value, _ in answers], [fault for _, faults in answers for fault in faults]
    if not isinstance(data, str) or not data.startswith(SDB):
        return data, []
    try:
        value = resolve_sdb(data)
    except Exception as error:  # sdb modules raise whatever their libraries raise
        return None, [Fault(path, f"the sdb:// lookup failed ({type(error).__name__})")]
    if value is None or value in ("", data) or isinstance(value, bytes):
        return None, [Fault(path, "the sdb:// lookup found nothing; check the name and the sdb profile")]
    secrets.add_looked_up(value)
    return value, []


def _resolve_mapping(
    data: Mapping[Any, Any], path: str, resolve_sdb: Callable[[str], Any], secrets: Secrets
) -> tuple[dict[Any, Any], list[Fault]]:
    result, faults = {}, []
    for key, item in data.items():
        value, found = resolve_references(item, f"{path}:{key}", resolve_sdb, secrets)
        faults += found
        if not found or value is not None:
            result[key] = value
    return result, faults
