"""
hart's own store of minions, ``/var/lib/hart/minions.json``, read for an import of all of them.

The format is that of ``minion_store.py`` of hart 0.22.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from hart_salt.base import faults
from hart_salt.base.errors import Refused
from hart_salt.config.schema import Provider
from hart_salt.config.sources import expanded
from hart_salt.migration.match import ImportRequest, Noted
from hart_salt.migration.vultr_v1 import REGIONS

DEFAULT_FILE = "/var/lib/hart/minions.json"
#: the variable with which hart's users name another file
VARIABLE = "HART_MINION_STORE"
VERSION = 1


def default_file() -> str:
    """Return the path of the store, as hart finds it."""
    return os.environ.get(VARIABLE) or DEFAULT_FILE


def read(path: str) -> dict[str, Mapping[str, Any]]:
    """
    Return the file's entry of each minion, by minion id.

    Raises ``Refused`` if the file does not exist or is not a store of hart's.
    """
    file = expanded(path)
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        said = faults.sentence(error, file).removeprefix(f"{file}: ")
        raise Refused(f"{file} cannot be read: {said}; give the path of hart's store of minions") from None
    except ValueError:
        raise Refused(f"{file} is not a JSON document; give the path of hart's store of minions") from None
    minions = data.get("minions") if isinstance(data, Mapping) else None
    if not isinstance(minions, Mapping):
        raise Refused(f"{file} is not a store of hart's: it has no mapping of minions")
    if data.get("version") != VERSION:
        raise Refused(f"{file} has version {data.get('version')}, but only {VERSION} is supported")
    return {str(minion_id): entry for minion_id, entry in minions.items()}


def requests(
    path: str, providers: Mapping[str, Provider], provider: str | None
) -> tuple[list[ImportRequest], dict[str, Any]]:
    """Return a request for each entry of a file, and by minion id the failures of others; see ``request``."""
    found, failed = [], {}
    for minion_id, entry in read(path).items():
        try:
            found.append(request(minion_id, entry, providers, provider))
        except Refused as error:
            failed[minion_id] = {"result": False, "error": str(error)}
    return found, failed


def request(minion_id: str, entry: Any, providers: Mapping[str, Provider], provider: str | None) -> ImportRequest:
    """
    Return the request for the import of an entry.

    ``providers`` are the configured ones; hart names its providers like their drivers. ``provider`` is the only one to
    query (default: that of the entry).

    Raises ``Refused`` if the entry is malformed, or if its provider is not certain.
    """
    if not isinstance(entry, Mapping) or not isinstance(entry.get("provider"), str):
        raise Refused("its entry in the file names no provider")
    chosen = provider or _provider(entry["provider"], providers)
    region = _text(entry.get("region"))
    if chosen in providers and providers[chosen].driver == "vultr":
        region = REGIONS.get(region or "", region)  # hart used the API v1
    return ImportRequest(
        minion_id,
        chosen,
        region=region,
        noted=Noted(
            instance_id=_text(entry.get("node_id")),
            roles=tuple(map(str, _list(entry, "roles"))),
            addresses=frozenset(map(str, [*_list(entry, "public_ips"), *_list(entry, "private_ips")])),
        ),
    )


def _provider(alias: str, providers: Mapping[str, Provider]) -> str:
    if alias in providers:
        return alias
    of_driver = [name for name, it in providers.items() if it.driver == alias]
    if len(of_driver) == 1:
        return of_driver[0]
    there = ", ".join(of_driver or sorted(providers)) or "none"
    raise Refused(f"hart created it at {alias}, which fits no provider for certain; name one with provider=: {there}")


def _text(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None


def _list(entry: Mapping[str, Any], name: str) -> list[Any]:
    value = entry.get(name)
    return value if isinstance(value, list) else []
