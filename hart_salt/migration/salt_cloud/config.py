"""From salt-cloud's configuration to an equivalent ``hart:`` section, and what has no equivalent. Pure."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from hart_salt.base.errors import ConfigError
from hart_salt.base.merge import merge
from hart_salt.base.names import check_minion_id
from hart_salt.base.redaction import HIDDEN, mask
from hart_salt.config import loader
from hart_salt.config.catalog import RESERVED, Catalogue
from hart_salt.config.schema import Schema
from hart_salt.migration.salt_cloud.files import SDB_PROFILE, Entry, Setup
from hart_salt.migration.salt_cloud.terms import COMMON, DRIVERS, OWN_AFFAIRS, translate

#: a placeholder for the value of a reference while the result is checked
SOMETHING = "what-a-reference-leads-to"
#: rounds in which settings that hart would refuse are removed
ROUNDS = 20


@dataclass
class Translation:
    """The result of the translation."""

    hart: dict[str, Any] = field(default_factory=dict)
    #: besides ``hart:`` in the master config
    sdb: dict[str, Any] = field(default_factory=dict)
    #: commands for the machines of maps: to create them, or to import those that exist
    create: list[str] = field(default_factory=list)
    imports: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def data(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "config": {"hart": self.hart, **self.sdb}, "notes": self.notes, "create": self.create,
            "import": self.imports,
        }  # fmt: skip

    def text(self) -> str:
        """Return it as a file for ``master.d``, with everything else in comments."""
        head = "Translated from salt-cloud's configuration by hart.from_salt_cloud. To note or to do:"
        parts = [_comment(head, self.notes or ["nothing: the translation is complete"])]
        parts.append(yaml.safe_dump({**self.sdb, "hart": self.hart}, sort_keys=False, width=100, allow_unicode=True))
        if self.create:
            parts.append(_comment("To create the machines of maps:", self.create, marks=False))
            parts.append(_comment("To import them if they exist already:", self.imports, marks=False))
        return "\n".join(parts)


def _comment(head: str, lines: Iterable[str], *, marks: bool = True) -> str:
    return "\n".join([f"# {head}", *(f"#   {'- ' if marks else ''}{' '.join(line.split())}" for line in lines)]) + "\n"


def translation(setup: Setup, schemas: Mapping[str, Schema]) -> Translation:
    """
    Translate everything that was read. What hart would refuse is removed, and reported in ``notes``.

    ``schemas`` holds the settings that each driver takes.
    """
    made = Translation(notes=list(setup.notes))
    names = _providers(setup, made, Catalogue(schemas))
    _defaults(setup, made)
    roles = _roles(setup, made, names)
    made.hart = {name: made.hart[name] for name in (*_plain(made.hart), "providers", "roles") if made.hart.get(name)}
    _check(made, schemas)
    for file, profiles in setup.maps.items():
        _commands(file, profiles, roles, made)
    _secrets(setup, made)
    made.notes = list(dict.fromkeys(made.notes))
    return made


def _secrets(setup: Setup, made: Translation) -> None:
    """Note which old files the references still need."""
    used = set(_texts(made.hart))
    files = list(dict.fromkeys(file for reference, file in setup.references.items() if reference in used))
    if files:
        made.sdb = {SDB_PROFILE: {"driver": "yaml", "files": files}}
        made.notes.append(
            f"no secret is shown: sdb://{SDB_PROFILE}/… reads each from the old file. The master's user must be able "
            f"to read {' and '.join(files)} until you move the secrets elsewhere"
        )


def _texts(data: Any) -> Iterator[str]:
    if isinstance(data, Mapping):
        data = list(data.values())
    if isinstance(data, list):
        for item in data:
            yield from _texts(item)
    elif isinstance(data, str):
        yield data


def _plain(hart: Mapping[str, Any]) -> list[str]:
    return [name for name in hart if name not in ("providers", "roles")]


def _defaults(setup: Setup, made: Translation) -> None:
    affairs = sorted(name for name in setup.defaults if OWN_AFFAIRS.fullmatch(name) and name not in COMMON)
    found, notes = translate({k: v for k, v in setup.defaults.items() if k not in affairs}, COMMON)
    made.hart.update(found)
    made.notes += [f"cloud: {note}" for note in notes]
    if affairs:
        made.notes.append(f"cloud: salt-cloud's internal settings: {', '.join(affairs)}")


def _providers(setup: Setup, made: Translation, catalogue: Catalogue) -> dict[str, tuple[str, Entry]]:
    """Return hart's providers by salt-cloud's: by alias and driver, and by the alias alone if that is unique."""
    names: dict[str, tuple[str, Entry]] = {}
    of_alias = [entry.alias for entry in setup.providers]
    for entry in setup.providers:
        driver = str(entry.driver)
        if driver not in DRIVERS:
            made.notes.append(f"provider {entry.alias}: hart has no driver {driver}; it was left out")
            continue
        ours, rules = DRIVERS[driver]
        wanted = entry.alias if of_alias.count(entry.alias) == 1 else f"{entry.alias}-{ours}"
        name = _fitting(wanted, r"[^A-Za-z0-9_-]+", "provider", made)
        if name in RESERVED or catalogue.exists(name) or catalogue.is_account(name):
            name = f"{name}-account"
            made.notes.append(f"provider {entry.alias}: renamed to {name}, because the old name is a setting's name")
        found, notes = translate(entry.values, rules)
        made.hart.setdefault("providers", {})[name] = {**({} if name == ours else {"driver": ours}), **found}
        made.notes += [f"provider {entry.alias}: {note}" for note in notes]
        for theirs in (entry.alias, f"{entry.alias}:{driver}"):
            names.setdefault(theirs, (name, entry))
    return names


def _fitting(wanted: str, wrong: str, what: str, made: Translation) -> str:
    """Return a name with only the characters that hart's names may have."""
    name = re.sub(wrong, "-", wanted).strip("-._") or what
    if name != wanted:
        made.notes.append(f"{what} {wanted}: renamed to {name}")
    return name


def _roles(setup: Setup, made: Translation, names: Mapping[str, tuple[str, Entry]]) -> dict[str, tuple[str, str, str]]:
    """Return hart's role, provider and driver, by profile."""
    roles: dict[str, tuple[str, str, str]] = {}
    extended = {str(values.get("extends")) for values in setup.profiles.values()}
    for profile, values in setup.profiles.items():
        provider = str(values.get("provider", ""))
        if provider not in names:
            if provider or profile not in extended:
                why = f"its provider {provider} was left out or does not exist" if provider else "it names no provider"
                made.notes.append(f"profile {profile}: {why}; it was left out")
            continue
        name, entry = names[provider]
        ours, rules = DRIVERS[str(entry.driver)]
        found, notes = translate({k: v for k, v in values.items() if k != "provider"}, rules)
        role = _fitting(profile, r"[^A-Za-z0-9_.-]+", "profile", made)
        made.hart.setdefault("roles", {})[role] = {"provider": name, **found}
        made.notes += [f"profile {profile}: {note}" for note in notes]
        roles[profile] = (role, name, ours)
    return roles


# what hart would refuse


def _check(made: Translation, schemas: Mapping[str, Schema]) -> None:
    """Remove what hart refuses, until it accepts the rest; a missing setting can only be reported."""
    for _ in range(ROUNDS):
        try:
            checked = loader.load([loader.Source("salt-cloud", made.hart)], schemas, lambda uri: SOMETHING)
        except ConfigError as error:
            taken = [_take_out(made, fault.path) for fault in error.faults]
            words = ["; it was left out" if gone else "" for gone in taken]
            made.notes += [f"{fault}{word}" for fault, word in zip(error.faults, words, strict=True)]
            if not any(taken):
                return
            continue
        made.notes += _missing(checked, schemas)
        return


def _take_out(made: Translation, path: str) -> bool:
    tree: Any = made.hart
    *places, last = path.split(":")[1:]
    for place in places:
        tree = tree.get(place) if isinstance(tree, Mapping) else None
    if not isinstance(tree, MutableMapping) or last not in tree or last in ("providers", "roles"):
        return False
    del tree[last]
    return True


def _missing(checked: loader.Config, schemas: Mapping[str, Schema]) -> list[str]:
    notes = []
    for role, provider in ((name, str(it.settings.get("provider"))) for name, it in checked.roles.items()):
        layers = (checked.defaults, checked.provider_defaults[provider], checked.roles[role].settings)
        together: dict[str, Any] = {}
        for layer in layers:
            together = merge(together, layer)
        if not together.get("region") and not schemas[checked.providers[provider].driver].default_region:
            notes.append(f"hart:roles:{role}:region: is not set; set it there, or in hart:providers:{provider}")
        if not together.get("image"):
            notes.append(f"hart:roles:{role}:image: is not set, so its nodes get Debian 13, trixie")
        if not together.get("saltmaster"):
            notes.append(f"hart:roles:{role}:saltmaster: is not set; set it in hart: where minions reach this master")
    return notes


# maps


def _commands(
    file: str, profiles: Mapping[str, list[tuple[str, Mapping[str, Any]]]], roles: Mapping[str, tuple[str, str, str]],
    made: Translation,
) -> None:  # fmt: skip
    for profile, machines in profiles.items():
        if profile not in roles:
            made.notes.append(f"map {file}: the profile {profile} was left out or does not exist; so are its machines")
            continue
        role, provider, _ = roles[profile]
        plain = []
        for name, special in machines:
            if problem := check_minion_id(name):
                made.notes.append(f"map {file}: {name} {problem}; it was left out")
                continue
            made.imports.append(f"salt-run hart.import_minion {name} provider={provider} role={role}")
            arguments = _arguments(file, name, special, roles[profile], made)
            if arguments:
                made.create.append(f"salt-run hart.create {name} role={role} {arguments}")
            else:
                plain.append(name)
        if plain:
            made.create.append(f"salt-run hart.create {','.join(plain)} role={role}")


def _arguments(file: str, name: str, special: Mapping[str, Any], role: tuple[str, str, str], made: Translation) -> str:
    """Return the machine's own settings as arguments of a command line."""
    rules = next(rules for ours, rules in DRIVERS.values() if ours == role[2])
    found, notes = translate(special, rules)
    if mask(found) != found:
        notes.append(f"a secret is shown as {HIDDEN} in its command")
    made.notes += [f"map {file}: {name}: {note}" for note in notes]
    words = [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in mask(found).items()]
    return shlex.join(words)
