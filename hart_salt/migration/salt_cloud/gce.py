"""hart's names for the settings of salt-cloud's driver ``gce``. Pure, but for a look at the beginning of key files."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from hart_salt.migration.salt_cloud.hiding import Hidden
from hart_salt.migration.salt_cloud.terms import (
    COMMON,
    Driver,
    NoCounterpartError,
    Rule,
    code_name,
    kept_volumes,
    names_of,
    nothing,
    same,
)

_FAMILIES = (
    (r"debian-12\b.*", "bookworm"), (r"debian-13\b.*", "trixie"), (r"ubuntu-(minimal-)?2204\b.*", "jammy"),
    (r"ubuntu-(minimal-)?2404\b.*", "noble"), (r"ubuntu-(minimal-)?2604\b.*", "resolute"),
)  # fmt: skip


def _literal(value: Any) -> Any:
    """Return a list or mapping, which gce accepts as text in Python's notation."""
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise NoCounterpartError("it is not a Python literal") from None


def _last(value: Any) -> str:
    """Return the name at the end of a link."""
    return str(value).rpartition("/")[2]


def _zone(value: Any) -> dict[str, Any]:
    zone = _last(value)
    if not re.fullmatch(r"[a-z]+-[a-z]+[0-9]+-[a-z]", zone):
        raise NoCounterpartError("it is not a zone, such as europe-west1-b")
    return {"region": zone.rpartition("-")[0], "zone": zone}


def _image(value: Any) -> dict[str, Any]:
    name = str(value)
    known = next((ours for pattern, ours in _FAMILIES if re.fullmatch(pattern, name)), None)
    return {"image": known or (code_name(name) if " " in name else None) or name}


def _key(value: Any) -> dict[str, Any]:
    """Return the setting for a key: the text of it, or the path of a PEM file or of Google's JSON file."""
    if isinstance(value, Hidden):
        if value.kind == "json":
            raise NoCounterpartError("it is the text of a JSON key: write it into a file, and set key_file to its path")
        return {"key": value}
    path = str(value)
    if path.endswith(".p12"):
        raise NoCounterpartError("Google's libraries no longer read P12 files: create a JSON key, and set key_file")
    return {"key_file": path} if path.endswith(".json") or _is_json(path) else {"key": path}


def _is_json(path: str) -> bool:
    """Return whether a key file exists and is not PEM: only its first characters are read."""
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - the path is text of any form
            return file.read(64).lstrip().startswith("{")
    except (OSError, ValueError):
        return False


def _complete(found: dict[str, Any]) -> list[str]:
    """Drop the email address if a JSON file has it: hart takes one or the other."""
    if "key_file" in found and found.pop("user_id", None):
        return ["not needed in hart: service_account_email_address, which the JSON file has too"]
    return []


def _accounts(value: Any) -> dict[str, Any]:
    accounts = _literal(value)
    if not isinstance(accounts, list) or len(accounts) != 1 or not isinstance(accounts[0], Mapping):
        raise NoCounterpartError("hart supports one service account, service_account")
    email = accounts[0].get("email")
    if not email or email == "default":
        raise NoCounterpartError("service_account takes an email address; without one a node has no account")
    return {"service_account": str(email), "scopes": names_of(accounts[0].get("scopes") or [])}


def _address(value: Any) -> dict[str, Any]:
    if str(value).lower() == "none":
        return {"public_ip": False}
    if str(value).lower() == "ephemeral":
        return {"public_ip": True}
    raise NoCounterpartError("a node gets a new address in hart")


def _labels(value: Any) -> dict[str, Any]:
    labels = _literal(value)
    if not isinstance(labels, Mapping):
        raise NoCounterpartError("it must be a mapping")
    return {"labels": {str(key): str(item) for key, item in labels.items()}}


RULES: Mapping[str, Rule] = {
    **COMMON,
    "project": same("project"),
    "service_account_email_address": same("user_id"),
    "service_account_private_key": _key,
    "location": _zone,
    "size": lambda value: {"size": _last(value)},
    "image": _image,
    "network": lambda value: {"network": _last(value)},
    "subnetwork": lambda value: {"subnet": _last(value)},
    "tags": lambda value: {"tags": names_of(_literal(value))},
    "ex_labels": _labels,
    "labels": _labels,
    "ex_disk_type": lambda value: {"volume_type": _last(value)},
    "ex_disk_size": same("volume_size"),
    "delete_boot_pd": kept_volumes,
    "ex_disk_auto_delete": kept_volumes,
    "ex_service_accounts": _accounts,
    "external_ip": _address,
    "preemptible": same("spot"),
    "ex_preemptible": same("spot"),
    "metadata": nothing("hart uses the metadata itself; use labels, or grains in minion_config"),
}
DRIVER = Driver("gce", RULES, complete=_complete)
