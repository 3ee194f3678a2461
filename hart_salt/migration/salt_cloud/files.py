"""
salt-cloud's configuration files, read as Salt 3006 reads them; but inconsistencies are reported.

Nothing that is read here holds a secret: each secret is replaced by the reference with which Salt's own sdb driver
``yaml`` reads it from the same file. The facts are from ``salt/config/__init__.py`` and ``salt/cloud/__init__.py`` of
Salt 3006.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hart_salt.base.errors import Refused
from hart_salt.base.merge import merge, plain
from hart_salt.base.redaction import looks_secret
from hart_salt.migration.salt_cloud.terms import INSTANCE_ROLE

SDB = "sdb://"
_PATH_KEY, _PATH = re.compile(r"private_key$|keyfile$"), re.compile(r"[/~][^\n]*")
#: the sdb profile in the master config that gives references access to the old files
SDB_PROFILE = "salt_cloud"
#: keys of a file that are not entries
META = ("conf_file", "include", "default_include", "user", "providers_config", "profiles_config", "master_config")


@dataclass(frozen=True)
class Entry:
    """A provider: one driver under an alias."""

    alias: str
    driver: str | None
    values: Mapping[str, Any] = field(repr=False)
    extends: str = ""


@dataclass(frozen=True)
class Setup:
    """Everything that was read, with ``extends`` resolved."""

    #: from the file ``cloud``: for all providers and profiles
    defaults: Mapping[str, Any] = field(repr=False)
    providers: list[Entry]
    profiles: Mapping[str, Mapping[str, Any]] = field(repr=False)
    #: by file, then by profile: pairs of a name and the machine's own settings
    maps: Mapping[str, Mapping[str, list[tuple[str, Mapping[str, Any]]]]]
    notes: list[str]
    #: by reference, the file that it reads
    references: Mapping[str, str]


def read(directory: str, map_file: str | None, render: Callable[[str], Any]) -> Setup:
    """
    Read ``cloud``, ``cloud.providers``, ``cloud.profiles``, their directories, and maps.

    ``directory`` contains them. ``map_file`` is a map (default: all of ``cloud.maps.d``). ``render`` reads a map, which
    Salt renders like states.

    Raises ``Refused`` if the directory contains none of them, or if a file cannot be read.
    """
    base, reading = Path(directory).expanduser(), _Reading()
    defaults = {key: value for _, data in reading.files(base / "cloud", "cloud.conf.d") for key, value in data.items()}
    entries = list(_entries(base / "cloud", _group(defaults.pop("providers", {}), base / "cloud")))
    for path, data in reading.files(base / _named(defaults, "providers_config"), "cloud.providers.d"):
        entries += _entries(path, data)
    profiles: dict[str, Any] = {}
    for path, data in reading.files(base / _named(defaults, "profiles_config"), "cloud.profiles.d"):
        profiles |= {name: _group(value, path, name) for name, value in data.items() if name not in META}
    if not entries and not profiles:
        raise Refused(f"{base} has no configuration of salt-cloud: neither cloud.providers nor cloud.profiles")
    found = _maps(base, map_file, render, reading.notes)
    own = {key: value for key, value in defaults.items() if key not in META}
    providers, inherited = _extended(entries, reading.notes), _inherited(profiles, reading.notes)
    return Setup(own, providers, inherited, found, reading.notes, reading.references)


def _named(defaults: Mapping[str, Any], name: str) -> str:
    return str(defaults.get(name) or f"cloud.{name.removesuffix('_config')}")


class _Reading:
    """A reader of files that notes which of them hold secrets."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.references: dict[str, str] = {}

    def files(self, path: Path, include: str) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Yield a file, if it exists, and its includes: its directory by default, and whatever else it names."""
        data = self._read(path) if path.is_file() else {}
        if data:
            yield path, data
        more = data.get("include") or []
        patterns = [f"{include}/*.conf", *([more] if isinstance(more, str) else more)]
        for pattern in patterns:
            for other in sorted(glob.glob(str(path.parent / str(pattern)))):  # noqa: PTH207 - the pattern may be absolute
                if Path(other).is_file():
                    yield Path(other), self._read(Path(other))

    def _read(self, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = self._without_secrets(_load(path), path, ())
        return found

    def _without_secrets(self, data: Any, path: Path, keys: tuple[str, ...]) -> Any:
        if isinstance(data, Mapping):
            return {key: self._without_secrets(item, path, (*keys, str(key))) for key, item in data.items()}
        if isinstance(data, list):
            return [self._without_secrets(item, path, (*keys, str(place))) for place, item in enumerate(data)]
        return self._reference(path, keys) if _is_secret(data, keys) else data

    def _reference(self, path: Path, keys: tuple[str, ...]) -> str:
        if any(":" in key for key in keys):
            self.notes.append(f"{path}: set the secret {keys[-1]} of {keys[0]} by hand")
            return f"to be set: {keys[-1]} of {keys[0]} in {path}"
        reference = f"{SDB}{SDB_PROFILE}/{':'.join(keys)}"
        self.references[reference] = str(path)
        return reference


def _is_secret(value: Any, keys: tuple[str, ...]) -> bool:
    """
    Return whether a key holds a secret, by its name; ``id`` and ``key`` of a provider are those of EC2.

    The path of a key file is not a secret. A key of Amazon's can also begin with a slash.
    """
    if isinstance(value, bool) or not isinstance(value, str | int) or value in ("", INSTANCE_ROLE) or not keys:
        return False
    text = str(value)
    if text.startswith(SDB) or (_PATH_KEY.search(keys[-1]) and _PATH.fullmatch(text)):
        return False
    depth = sum(not key.isdigit() for key in keys) - (keys[0] == "providers")
    return looks_secret(keys[-1]) or (keys[-1] in ("id", "key") and depth == 2)


def _load(path: Path) -> dict[str, Any]:
    """Load a file. No error quotes the file, because it may contain a secret."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Refused(f"{path} is not UTF-8 text") from None
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        place = "" if line is None else f", line {line + 1}"
        raise Refused(f"{path} is not YAML{place}: fix it, or move it out of the directory") from None
    return _group(data or {}, path)


def _group(value: Any, path: Path, name: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise Refused(f"{path}: {f'{name} ' if name else ''}must be a mapping")
    return {str(key): plain(item) for key, item in value.items()}


# providers


def _entries(path: Path, group: Mapping[str, Any]) -> Iterator[Entry]:
    for alias, details in group.items():
        for values in (details if isinstance(details, list) else [details]) if alias not in META else []:
            checked = _group(values, path, alias)
            driver, extends = checked.pop("driver", None), str(checked.pop("extends", ""))
            yield Entry(alias, str(driver) if driver else None, checked, extends)


def _extended(entries: list[Entry], notes: list[str]) -> list[Entry]:
    """Return the entries with a driver; the others exist only to be extended."""
    # Of several entries with the same alias and driver the last one counts, as in Salt's files.
    by_name = {(entry.alias, entry.driver): entry for entry in entries}
    found = []
    for entry in by_name.values():
        try:
            whole = _whole(entry, list(by_name.values()), ())
        except Refused as error:
            notes.append(f"provider {entry.alias}: {error}; it was left out")
            continue
        if whole.driver:
            found.append(whole)
        elif not any(entry.alias == other.extends.partition(":")[0] for other in by_name.values()):
            notes.append(f"provider {entry.alias}: it names no driver, and nothing extends it; it was left out")
    return found


def _whole(entry: Entry, entries: list[Entry], seen: tuple[str, ...]) -> Entry:
    if not entry.extends:
        return entry
    if entry.extends in seen:
        raise Refused("its extends are circular")
    alias, _, driver = entry.extends.partition(":")
    fitting = [it for it in entries if it.alias == alias and (not driver or it.driver == driver) and it is not entry]
    if not fitting:
        raise Refused(f"it extends {entry.extends}, which does not exist")
    base = _whole(fitting[0], entries, (*seen, entry.extends))
    return Entry(entry.alias, entry.driver or base.driver, merge(base.values, entry.values))


# profiles


def _inherited(profiles: Mapping[str, dict[str, Any]], notes: list[str]) -> dict[str, dict[str, Any]]:
    found = {}
    for name, values in profiles.items():
        try:
            found[name] = _profile(name, values, profiles, ())
        except Refused as error:
            notes.append(f"profile {name}: {error}; it was left out")
    return found


def _profile(
    name: str, values: Mapping[str, Any], profiles: Mapping[str, dict[str, Any]], seen: tuple[str, ...]
) -> dict[str, Any]:
    own = {key: value for key, value in values.items() if key != "extends"}
    base = values.get("extends")
    if not base:
        return own
    if name in seen:
        raise Refused("its extends are circular")
    if str(base) not in profiles:
        raise Refused(f"it extends {base}, which does not exist")
    return merge(_profile(str(base), profiles[str(base)], profiles, (*seen, name)), own)


# maps


def _maps(base: Path, map_file: str | None, render: Callable[[str], Any], notes: list[str]) -> dict[str, Any]:
    if map_file is None:
        paths = [path for path in sorted((base / "cloud.maps.d").glob("*")) if path.is_file()]
    else:
        given = Path(map_file).expanduser()
        there = [path for path in (given, base / "cloud.maps.d" / map_file, base / map_file) if path.is_file()]
        if not there:
            raise Refused(f"there is no map {map_file}")
        paths = there[:1]
    return {str(path): _map(path, render(str(path)), notes) for path in paths if not path.name.endswith("~")}


def _map(path: Path, data: Any, notes: list[str]) -> dict[str, list[tuple[str, Mapping[str, Any]]]]:
    found: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for profile, machines in _group(data or {}, path).items():
        found[profile] = []
        for entry in machines if isinstance(machines, list) else [machines]:
            pairs = entry if isinstance(entry, Mapping) else {entry: None}
            for name, special in pairs.items():
                if not isinstance(name, str | int) or not isinstance(special, Mapping | None | bool):
                    notes.append(f"map {path}: an entry of {profile} is not understood; it was left out")
                else:
                    found[profile].append((str(name), plain(special) if isinstance(special, Mapping) else {}))
    return found
