"""
salt-cloud's configuration files, read as Salt 3006 and 3007 read them; but inconsistencies are reported.

A fault takes only what it is in: Salt ignores the whole file in most cases. Nothing that is read here holds a secret:
each secret is replaced by the reference with which Salt's own sdb driver ``yaml`` reads it from the same file. The
facts are from ``salt/config/__init__.py`` and ``salt/cloud/__init__.py`` of Salt 3006.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hart_salt.base.errors import Refused
from hart_salt.base.merge import plain
from hart_salt.base.redaction import HIDDEN
from hart_salt.migration.salt_cloud import documents, entries
from hart_salt.migration.salt_cloud.entries import META, Entry
from hart_salt.migration.salt_cloud.hiding import SDB, Hidden, is_secret, kind_of

#: the sdb profile in the master config that gives references access to the old files
SDB_PROFILE = "salt_cloud"
#: a reference that leads nowhere, so that hart refuses it until a person has replaced it
TO_BE_SET = f"{SDB}to-be-set/"
#: ends of names of files that no one means to be read
ASIDE = ("~", ".bak", ".orig", ".swp", ".md", ".example", ".disabled", ".dpkg-old", ".dpkg-dist", ".rpmsave", ".rpmnew")

Machines = list[tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Setup:
    """Everything that was read, with ``extends`` resolved."""

    #: from the file ``cloud``: for all providers and profiles
    defaults: Mapping[str, Any] = field(repr=False)
    providers: list[Entry]
    profiles: Mapping[str, Mapping[str, Any]] = field(repr=False)
    #: by file, then by profile: pairs of a name and the machine's own settings
    maps: Mapping[str, Mapping[str, Machines]]
    notes: list[str]
    #: by reference, the file that it reads
    references: Mapping[str, str]


def read(directory: str, map_file: str | None, render: Callable[[str], Any]) -> Setup:
    """
    Read ``cloud``, ``cloud.providers``, ``cloud.profiles``, their directories, and maps.

    ``directory`` contains them, or is the path of ``cloud`` itself. ``map_file`` is a map (default: all of
    ``cloud.maps.d``). ``render`` reads a map, which Salt renders like states.

    Raises ``Refused`` if the directory contains none of them, or if none can be read.
    """
    try:
        return _read(directory, map_file, render)
    except OSError as error:
        # For the user of the master, /root for example is closed: not even the names of its files can be read.
        raise Refused(f"{error.filename or directory} cannot be read: {error.strerror}") from None


def _read(directory: str, map_file: str | None, render: Callable[[str], Any]) -> Setup:
    main = Path(os.path.expanduser(directory)).absolute()  # noqa: PTH111 - no error if the home directory is unknown
    main = main if main.is_file() else main / "cloud"
    base, reading = main.parent, _Reading()
    notes = reading.notes
    defaults = reading.group(main, "cloud.conf.d")
    listed, defaults = entries.from_main(defaults, main, notes)
    places = [base / _named(defaults, name) for name in ("providers_config", "profiles_config")]
    listed += entries.listed(reading.group(places[0], "cloud.providers.d", depth=1), places[0], notes)
    profiles = entries.mappings(reading.group(places[1], "cloud.profiles.d", depth=1), "profile", notes)
    if not listed and not profiles:
        missing = f"{base} has no configuration of salt-cloud: neither cloud.providers nor cloud.profiles"
        raise Refused("; ".join(notes) or missing)
    found = _maps(base, map_file, render, notes)
    own = {key: value for key, value in defaults.items() if key not in META}
    providers, inherited = entries.extended(listed, notes), entries.inherited(profiles, notes)
    return Setup(own, providers, inherited, found, notes, reading.references)


def _named(defaults: Mapping[str, Any], name: str) -> str:
    return os.path.expanduser(str(defaults.get(name) or f"cloud.{name.removesuffix('_config')}"))  # noqa: PTH111 - see read


class _Reading:
    """A reader of files that replaces secrets by references."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.references: dict[str, str] = {}
        #: names of the first level, by sdb profile: the sdb driver merges files, so two with one name are kept apart
        self._names: dict[str, set[str]] = {}

    def group(self, path: Path, directory: str, depth: int = 0) -> dict[str, Any]:
        """
        Return a file with its includes: the files of ``directory`` by default, and whatever it names.

        ``depth``: how many names of the file lead to a provider or a profile.
        """
        data = self._read(path, depth) if path.is_file() else {}
        usual = data.get("default_include") or f"{directory}/*.conf"
        self._note_others(path.parent / directory, usual)
        for include in (usual, data.get("include")):
            found = self._included(path, include, depth, (path,))
            for name in sorted(set(data) & set(found) - set(META)):
                if data[name] != found[name]:
                    self.notes.append(f"{path}: {name} is also in a file that is included: that one counts, as in Salt")
            data = {**data, **found}
        return data

    def _included(self, path: Path, include: Any, depth: int, above: tuple[Path, ...]) -> dict[str, Any]:
        """Return the merged data of files that a file includes; within them, one more file adds to the others."""
        merged: dict[str, Any] = {}
        patterns = include if isinstance(include, list) else [include]
        for pattern in [str(it) for it in patterns if it]:
            whole = str(path.parent / os.path.expanduser(pattern))  # noqa: PTH111 - see read
            for name in sorted(glob.glob(whole)):  # noqa: PTH207 - the pattern may be absolute
                other = Path(name)
                if not other.is_file() or other in above:
                    continue
                data = self._read(other, depth)
                data = {**data, **self._included(other, data.get("include"), depth, (*above, other))}
                for twice in sorted(set(merged) & set(data) - set(META)):
                    self.notes.append(f"{other}: {twice} is in another file too: both were merged, as in Salt")
                merged = _added(merged, data)
        return merged

    def _note_others(self, directory: Path, usual: Any) -> None:
        """Note files that look like configuration, but that Salt does not read."""
        if usual != f"{directory.name}/*.conf" or not directory.is_dir():
            return
        others = sorted(it.name for it in directory.iterdir() if it.is_file() and it.suffix != ".conf")
        others = [name for name in others if not name.startswith(".") and not name.endswith(ASIDE)]
        if others:
            self.notes.append(
                f"{directory}: {', '.join(others)} was not read: salt-cloud reads only files whose names end in .conf"
            )

    def _read(self, path: Path, depth: int) -> dict[str, Any]:
        try:
            data, notes = documents.read(path)
        except Refused as error:
            self.notes.append(f"{error}; everything in it was left out")
            return {}
        self.notes += notes
        profile = self._profile(set(data) - set(META))
        return {
            name: self._without_secrets(value, path, (name,), depth + 2 * (name == "providers"), profile)
            for name, value in data.items()
        }

    def _profile(self, names: set[str]) -> str:
        """Return the sdb profile for a file with these names."""
        number = 1
        while names & self._names.setdefault(profile := sdb_profile(number), set()):
            number += 1
        self._names[profile] |= names
        return profile

    def _without_secrets(self, data: Any, path: Path, keys: tuple[str, ...], depth: int, profile: str) -> Any:
        if isinstance(data, Mapping):
            items = {key: (*keys, str(key)) for key in data}
            return {key: self._without_secrets(data[key], path, place, depth, profile) for key, place in items.items()}
        if isinstance(data, list):
            places = [(*keys, str(number)) for number in range(len(data))]
            pairs = zip(data, places, strict=True)
            return [self._without_secrets(item, path, place, depth, profile) for item, place in pairs]
        return self._reference(data, path, keys, profile) if is_secret(data, keys, depth) else data

    def _reference(self, value: Any, path: Path, keys: tuple[str, ...], profile: str) -> Hidden:
        if any(":" in key for key in keys) or isinstance(value, bytes):
            name = " of ".join(reversed(keys))
            self.notes.append(f"{path}: set the secret {name} by hand, in place of {TO_BE_SET}…")
            return Hidden(f"{TO_BE_SET}{keys[-1]}", kind_of(value))
        reference = f"{SDB}{profile}/{':'.join(keys)}"
        self.references[reference] = str(path)
        return Hidden(reference, kind_of(value))


def sdb_profile(number: int) -> str:
    """Return the name of an sdb profile; the first one has no number."""
    return SDB_PROFILE if number == 1 else f"{SDB_PROFILE}_{number}"


def _added(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Return two files of a directory as Salt merges them: mappings at every depth, and lists one after the other."""
    result = dict(lower)
    for key, value in upper.items():
        below = result.get(key)
        if isinstance(below, dict) and isinstance(value, Mapping):
            result[key] = _added(below, value)
        elif isinstance(below, list) and isinstance(value, list):
            result[key] = [*below, *(item for item in value if item not in below)]
        else:
            result[key] = value
    return result


# maps


def _maps(base: Path, map_file: str | None, render: Callable[[str], Any], notes: list[str]) -> dict[str, Any]:
    if map_file is None:
        paths = [path for path in sorted((base / "cloud.maps.d").glob("*")) if path.is_file()]
        paths = [path for path in paths if not path.name.endswith(ASIDE) and not path.name.startswith(".")]
    else:
        given = Path(os.path.expanduser(map_file))  # noqa: PTH111 - see read
        there = [path for path in (given, base / "cloud.maps.d" / map_file, base / map_file) if path.is_file()]
        if not there:
            raise Refused(f"there is no map {map_file}")
        paths = there[:1]
    found = {}
    for path in paths:
        try:
            found[str(path)] = _map(path, render(str(path)), notes)
        except Refused as error:
            if map_file is not None:
                raise
            notes.append(f"{error}; its machines were left out")
    return found


def _map(path: Path, data: Any, notes: list[str]) -> dict[str, Machines]:
    found: dict[str, Machines] = {}
    if not isinstance(data or {}, Mapping):
        raise Refused(f"{path}: must be a mapping")
    for profile, machines in (data or {}).items():
        if profile == "include":
            notes.append(f"map {path}: its include was not followed; name the other map with map=")
            continue
        named = found[str(profile)] = []
        for entry in machines if isinstance(machines, list) else [machines]:
            pairs = entry.items() if isinstance(entry, Mapping) else [(entry, None)]
            for name, special in pairs:
                if not isinstance(name, str | int) or not isinstance(special, Mapping | None | bool):
                    notes.append(f"map {path}: an entry of {profile} is not understood; it was left out")
                    continue
                own = plain(special) if isinstance(special, Mapping) else {}
                named.append((str(name), _masked(own, path, (str(name),), notes)))
    return found


def _masked(data: Any, path: Path, keys: tuple[str, ...], notes: list[str]) -> Any:
    """Return a machine's own settings without secrets; a map is a template, so no reference can read from it."""
    if isinstance(data, Mapping):
        return {key: _masked(item, path, (*keys, str(key)), notes) for key, item in data.items()}
    if isinstance(data, list):
        return [_masked(item, path, (*keys, str(place)), notes) for place, item in enumerate(data)]
    if not is_secret(data, keys, 1):
        return data
    notes.append(
        f"map {path}: {keys[0]}: a secret is shown as {HIDDEN} in its command: the value of {':'.join(keys[1:])}. Put "
        "it into a role or into pillar, because Salt publishes arguments"
    )
    return Hidden(HIDDEN)
