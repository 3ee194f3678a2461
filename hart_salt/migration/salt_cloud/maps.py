"""The machines of salt-cloud's maps, as commands of hart."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hart_salt.base.names import check_minion_id
from hart_salt.migration.salt_cloud.files import Machines
from hart_salt.migration.salt_cloud.result import Account, Translation
from hart_salt.migration.salt_cloud.terms import Driver, translate

#: settings whose older names in maps begin with ``map_``
OLDER = ("grains", "master", "minion", "volumes", "requires")


@dataclass(frozen=True)
class Role:
    """hart's role for a profile."""

    name: str
    provider: str
    driver: Driver
    #: whether salt-cloud makes a salt-master of each of its machines
    is_master: bool = False


def commands(
    file: str, profiles: Mapping[str, Machines], roles: Mapping[str, Role], accounts: Mapping[str, Account],
    made: Translation,
) -> None:  # fmt: skip
    """Add the commands for the machines of a map, to create and to import them."""
    for profile, machines in profiles.items():
        if profile not in roles:
            made.notes.append(f"map {file}: the profile {profile} was left out or does not exist; so are its machines")
            continue
        role = roles[profile]
        plain = []
        for name, special in machines:
            if problem := check_minion_id(name):
                made.notes.append(f"map {file}: {name} {problem}; it was left out")
                continue
            given = {_today(key): value for key, value in special.items()}
            theirs = str(given.pop("provider", None) or "")
            if theirs and theirs not in accounts:
                made.notes.append(f"map {file}: {name}: its provider {theirs} does not exist; it was left out")
                continue
            where = _placed(role, accounts.get(theirs))
            made.imports.append(f"salt-run hart.import_minion {name} provider={where.provider} role={role.name}")
            if _is_true(given.get("make_master", role.is_master)):
                said = "DIR in its command is a configuration directory; see hart.create_master"
                made.notes.append(f"map {file}: {name} is a salt-master: {said}")
                made.create.append(f"salt-run -c DIR hart.create_master {name} provider={where.provider}")
                continue
            words = _arguments(f"map {file}: {name}", given, where, made)
            words = [*([f"provider={where.provider}"] if where is not role else []), *words]
            if words:
                made.create.append(f"salt-run hart.create {name} role={role.name} {shlex.join(words)}")
            else:
                plain.append(name)
        if plain:
            made.create.append(f"salt-run hart.create {','.join(plain)} role={role.name}")


def _is_true(value: Any) -> bool:
    return str(value).lower() in ("true", "yes", "1")


def _today(name: Any) -> str:
    text = str(name)
    return text.removeprefix("map_") if text.removeprefix("map_") in OLDER else text


def _placed(role: Role, account: Account | None) -> Role:
    """Return the role at the provider that the machine itself names."""
    if account is None or account.name == role.provider:
        return role
    return Role(role.name, account.name, account.driver, role.is_master)


def _arguments(what: str, special: Mapping[str, Any], role: Role, made: Translation) -> list[str]:
    """Return the machine's own settings as arguments of a command line."""
    found, notes = translate(role.driver.prepare(special), role.driver.rules)
    notes += role.driver.complete(found)
    made.notes += [f"{what}: {note}" for note in notes]
    return [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in found.items()]
