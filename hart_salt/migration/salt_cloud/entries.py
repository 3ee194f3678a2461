"""Providers and profiles of salt-cloud, and what ``extends`` makes of them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hart_salt.base.errors import Refused
from hart_salt.base.merge import merge

#: keys of a file that are not entries
META = ("conf_file", "include", "default_include", "user", "providers_config", "profiles_config", "master_config")
#: the oldest form, ``EC2.id: …``; the drivers that Salt still converts
_OLDEST = re.compile(r"(AWS|DIGITALOCEAN|EC2|GCE|LINODE|OPENSTACK|RACKSPACE|VULTR)\.(.+)")
#: the drivers that the oldest form names differently
_RENAMED = {"aws": "ec2"}


@dataclass(frozen=True)
class Entry:
    """A provider: one driver under an alias."""

    alias: str
    driver: str | None
    values: Mapping[str, Any] = field(repr=False)
    extends: str = ""


def from_main(defaults: Mapping[str, Any], path: Path, notes: list[str]) -> tuple[list[Entry], dict[str, Any]]:
    """Return the providers in the file ``cloud``, which two older forms put there, and its other settings."""
    rest = dict(defaults)
    group = rest.pop("providers", None) or {}
    if not isinstance(group, Mapping):
        notes.append(f"{path}: providers is not a mapping; it was left out")
        group = {}
    old, rest = _oldest(rest)
    return listed({**group, **old}, path, notes), rest


def _oldest(data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the providers in the oldest form, and everything else."""
    found: dict[str, dict[str, Any]] = {}
    rest = {}
    for key, value in data.items():
        if match := _OLDEST.fullmatch(key):
            name = match[1].lower()
            found.setdefault(name, {"driver": _RENAMED.get(name, name)})[match[2]] = value
        else:
            rest[key] = value
    return found, rest


def today(name: str) -> str:
    """Return the name of a profile's setting without the driver, with which the oldest form begins it."""
    match = _OLDEST.fullmatch(name)
    return match[2] if match else name


def listed(data: Mapping[str, Any], path: Path, notes: list[str]) -> list[Entry]:
    """Return the providers in a file."""
    old, rest = _oldest(data)
    return [entry for alias, details in {**rest, **old}.items() for entry in _of(alias, details, path, notes)]


def _of(alias: str, details: Any, path: Path, notes: list[str]) -> Iterator[Entry]:
    """Yield the entries of an alias. In older versions of Salt, ``provider`` was the name of ``driver``."""
    if alias in META:
        return
    for values in details if isinstance(details, list) else [details]:
        if not isinstance(values, Mapping):
            notes.append(f"{path}: the provider {alias} must be a mapping; it was left out")
            continue
        rest = dict(values)
        extends, old = str(rest.pop("extends", None) or ""), rest.pop("provider", None)
        driver = rest.pop("driver", None) or old
        name, _, driven = str(driver or "").rpartition(":")
        yield Entry(name or alias, driven or None, rest, extends)


def mappings(data: Mapping[str, Any], what: str, notes: list[str]) -> dict[str, dict[str, Any]]:
    """Return the entries that are mappings, and note the others."""
    found = {}
    for name, value in data.items():
        if isinstance(value, Mapping):
            found[name] = dict(value)
        elif name not in META:
            notes.append(f"{what} {name}: {name} must be a mapping; it was left out")
    return found


# extends


def extended(entries: list[Entry], notes: list[str]) -> list[Entry]:
    """Return the entries with a driver; the others exist only to be extended."""
    found: list[Entry] = []
    for entry in entries:
        whole = _whole(entry, entries, (), notes)
        if whole.driver:
            if any((it.alias, it.driver) == (whole.alias, whole.driver) for it in found):
                notes.append(f"provider {entry.alias}: it has two entries of {whole.driver}, which Salt refuses")
            found.append(whole)
        elif not any(entry.alias == other.extends.partition(":")[0] for other in entries):
            notes.append(f"provider {entry.alias}: it names no driver, and nothing extends it; it was left out")
    return found


def _whole(entry: Entry, entries: list[Entry], seen: tuple[Entry, ...], notes: list[str]) -> Entry:
    """Return an entry over what it extends; if that is impossible, its own settings alone."""
    if not entry.extends:
        return entry
    try:
        base = _extended_by(entry, entries, (*seen, entry))
    except Refused as error:
        notes.append(f"provider {entry.alias}: {error}; only its own settings were taken")
        return entry
    base = _whole(base, entries, (*seen, entry), notes)
    return Entry(entry.alias, entry.driver or base.driver, merge(base.values, entry.values))


def _extended_by(entry: Entry, entries: list[Entry], seen: tuple[Entry, ...]) -> Entry:
    alias, _, driver = entry.extends.partition(":")
    fitting = [it for it in entries if it.alias == alias and (not driver or it.driver == driver)]
    if not fitting:
        raise Refused(f"it extends {entry.extends}, which does not exist")
    others = [it for it in fitting if not any(it is one for one in seen)]
    if not others:
        raise Refused("its extends are circular")
    return next((it for it in others if it.driver == entry.driver), others[0])


def inherited(profiles: Mapping[str, dict[str, Any]], notes: list[str]) -> dict[str, dict[str, Any]]:
    """Return the profiles over what they extend; if that is impossible, their own settings alone."""
    return {name: _profile(name, profiles, (), notes) for name in profiles}


def _profile(
    name: str, profiles: Mapping[str, dict[str, Any]], seen: tuple[str, ...], notes: list[str]
) -> dict[str, Any]:
    own = {key: value for key, value in profiles[name].items() if key != "extends"}
    base = profiles[name].get("extends")
    if not base:
        return own
    problem = ""
    if str(base) in (*seen, name):
        problem = "its extends are circular"
    elif str(base) not in profiles:
        problem = f"it extends {base}, which does not exist"
    if problem:
        notes.append(f"profile {name}: {problem}; only its own settings were taken")
        return own
    return merge(_profile(str(base), profiles, (*seen, name), notes), own)
