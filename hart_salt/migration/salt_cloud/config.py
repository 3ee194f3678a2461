"""From salt-cloud's configuration to an equivalent ``hart:`` section, and what has no equivalent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hart_salt.config.catalog import RESERVED, Catalogue
from hart_salt.config.schema import Schema
from hart_salt.migration.salt_cloud import checking, entries, maps
from hart_salt.migration.salt_cloud.entries import Entry
from hart_salt.migration.salt_cloud.files import TO_BE_SET, Setup, sdb_profile
from hart_salt.migration.salt_cloud.hiding import SDB
from hart_salt.migration.salt_cloud.result import Account
from hart_salt.migration.salt_cloud.result import Translation as Translation
from hart_salt.migration.salt_cloud.table import DRIVERS
from hart_salt.migration.salt_cloud.terms import COMMON, EMPTY, IMPORTANT, OWN_AFFAIRS, join, old_image, translate

#: settings whose default a lower layer can change, so that a higher layer turns it back; with hart's default
RESETS: Mapping[str, Any] = {
    "connect_via": "public", "public_ip": True, "keep_volumes": False, "apply": None, "spot": False,
}  # fmt: skip


def translation(setup: Setup, schemas: Mapping[str, Schema]) -> Translation:
    """
    Translate everything that was read. What hart would refuse is removed, and reported in ``notes``.

    ``schemas`` holds the settings that each driver takes.
    """
    return _Translating(setup, schemas).run()


class _Translating:
    """One translation."""

    def __init__(self, setup: Setup, schemas: Mapping[str, Schema]) -> None:
        self._setup, self._schemas = setup, schemas
        self._catalogue = Catalogue(schemas)
        self._made = Translation(notes=list(setup.notes))
        self._notes = self._made.notes
        #: names in use, by what they name
        self._taken: dict[str, set[str]] = {"provider": set(), "profile": set()}
        #: by salt-cloud's alias and driver, and by the alias alone
        self._accounts: dict[str, Account] = {}

    def run(self) -> Translation:
        made = self._made
        self._providers()
        self._defaults()
        roles = self._roles()
        made.hart = {
            name: made.hart[name] for name in (*_plain(made.hart), "providers", "roles") if made.hart.get(name)
        }
        self._turn_back()
        checking.check(made.hart, self._notes, self._schemas)
        for file, profiles in self._setup.maps.items():
            maps.commands(file, profiles, roles, self._accounts, made)
        made.hart = _texts(made.hart)
        self._secrets()
        notes = list(dict.fromkeys(made.notes))
        made.notes = sorted(notes, key=lambda note: IMPORTANT not in note)
        return made

    def _say(self, what: str, notes: Iterable[str]) -> None:
        """Add notes on a provider or a profile."""
        for note in notes:
            mark = IMPORTANT if note.startswith(IMPORTANT) else ""
            self._notes.append(f"{mark}{what}: {note.removeprefix(IMPORTANT)}")

    # providers

    def _providers(self) -> None:
        """Translate the providers. Those whose names need no change are named first."""
        accounts: dict[int, Account] = {}
        known = [entry for entry in self._setup.providers if str(entry.driver) in DRIVERS]
        aliases = [entry.alias for entry in known]
        for entry in self._setup.providers:
            if str(entry.driver) not in DRIVERS:
                self._say(f"provider {entry.alias}", [f"hart has no driver {entry.driver}; it was left out"])
        for keeps in (True, False):
            for entry in known:
                driver = DRIVERS[str(entry.driver)]
                wanted = entry.alias if aliases.count(entry.alias) == 1 else f"{entry.alias}-{driver.name}"
                if (wanted == entry.alias and self._is_free(wanted)) == keeps:
                    accounts[id(entry)] = Account(self._name(wanted, entry), entry, driver)
        for entry in known:
            account = accounts[id(entry)]
            self._provider(account)
            for theirs in (entry.alias, f"{entry.alias}:{entry.driver}", f"{entry.alias}:{account.driver.name}"):
                self._accounts.setdefault(theirs, account)

    def _is_free(self, name: str) -> bool:
        """Return whether a provider can have this name."""
        return bool(re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]*", name)) and not self._is_a_setting(name)

    def _is_a_setting(self, name: str) -> bool:
        return name in RESERVED or self._catalogue.exists(name) or self._catalogue.is_account(name)

    def _name(self, wanted: str, entry: Entry) -> str:
        fitting = re.sub("[^A-Za-z0-9_-]+", "-", wanted).strip("-_") or "provider"
        why = ""
        if self._is_a_setting(fitting):
            fitting, why = f"{fitting}-account", ", because the old name is a setting's name"
        alone = sum(it.alias == entry.alias for it in self._setup.providers) == 1
        old = entry.alias if alone else f"{entry.alias}:{entry.driver}"
        return self._unique("provider", old, fitting, why)

    def _unique(self, what: str, old: str, fitting: str, why: str = "") -> str:
        """Return a name that nothing else has, and note it if it differs from the old one."""
        taken, name, number = self._taken[what], fitting, 1
        while name in taken:
            number += 1
            name, why = f"{fitting}-{number}", f", because another {what} is called {fitting} too"
        taken.add(name)
        if name != old:
            self._notes.append(f"{what} {old}: renamed to {name}{why}")
        return name

    def _provider(self, account: Account) -> None:
        entry, driver = account.entry, account.driver
        found, notes = translate(driver.prepare(entry.values), driver.rules)
        notes += [*driver.complete(found), *old_image(found.get("image"))]
        named = {} if account.name == driver.name else {"driver": driver.name}
        self._made.hart.setdefault("providers", {})[account.name] = {**named, **found}
        self._say(f"provider {entry.alias}", notes)

    def _defaults(self) -> None:
        defaults = self._setup.defaults
        affairs = [name for name in defaults if OWN_AFFAIRS.fullmatch(name) and name not in COMMON]
        found, notes = translate({k: v for k, v in defaults.items() if k not in affairs}, COMMON)
        self._made.hart.update(found)
        self._say("cloud", notes)
        if affairs:
            self._notes.append(f"cloud: salt-cloud's internal settings: {join(affairs)}")

    # profiles

    def _roles(self) -> dict[str, maps.Role]:
        """Return hart's role and its account, by profile."""
        roles: dict[str, maps.Role] = {}
        profiles = self._setup.profiles
        known = {name: values for name, values in profiles.items() if str(values.get("provider")) in self._accounts}
        for profile in [name for name in profiles if name not in known]:
            self._left_out(profile, profiles[profile].get("provider"))
        for keeps in (True, False):
            for profile in known:
                if bool(re.fullmatch("[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?", profile)) == keeps:
                    fitting = re.sub("[^A-Za-z0-9_.-]+", "-", profile).strip("-._") or "profile"
                    account = self._accounts[str(known[profile]["provider"])]
                    name = self._unique("profile", profile, fitting)
                    is_master = known[profile].get("make_master") is True
                    roles[profile] = maps.Role(name, account.name, account.driver, is_master)
        for profile, values in known.items():
            self._role(profile, values, roles[profile])
        return roles

    def _left_out(self, profile: str, named: Any) -> None:
        provider = named if isinstance(named, str) else ""
        why = f"its provider {provider} was left out or does not exist" if provider else "it names no provider"
        self._notes.append(f"profile {profile}: {why}; it was left out")

    def _role(self, profile: str, values: Mapping[str, Any], role: maps.Role) -> None:
        account, driver = self._accounts[str(values["provider"])], role.driver
        own = {entries.today(name): value for name, value in values.items() if name != "provider"}
        found, notes = translate(driver.prepare(own), driver.rules)
        notes += [*driver.complete(found), *old_image(found.get("image"))]
        notes += _turned_off(own, account, found)
        if "location" not in own and found.get("region") == self._region({}, account):
            found.pop("region", None)  # it was taken from the zone
        schema = self._schemas[driver.name]
        for name in [name for name in found if name in schema.account.model_fields]:
            del found[name]
            notes.append(f"{name} was left out: it is a setting of the provider, and salt-cloud reads it only there")
        self._made.hart.setdefault("roles", {})[role.name] = {"provider": role.provider, **found}
        self._say(f"profile {profile}", notes)
        if not self._region(found, account) and driver.default_region:
            self._made.hart["providers"][account.name]["region"] = driver.default_region
            self._say(
                f"provider {account.entry.alias}",
                [f"no location is set, so its region is {driver.default_region}, as in salt-cloud"],
            )

    def _region(self, found: Mapping[str, Any], account: Account) -> Any:
        return found.get("region") or self._made.hart["providers"][account.name].get("region")

    # afterwards

    def _turn_back(self) -> None:
        """Remove what only repeats hart's default; a setting that turns back one of a lower layer stays."""
        hart = self._made.hart
        for role in hart.get("roles", {}).values():
            below = (hart, hart["providers"][role["provider"]])
            _without_repetition(role, below)
        for provider in hart.get("providers", {}).values():
            _without_repetition(provider, (hart,))
        _without_repetition(hart, ())

    def _secrets(self) -> None:
        """Note which old files the references still need."""
        made = self._made
        texts = list(_leaves(made.hart))
        used = {reference: file for reference, file in self._setup.references.items() if reference in texts}
        for reference, file in used.items():
            profile = reference.removeprefix(SDB).partition("/")[0]
            files = made.sdb.setdefault(profile, {"driver": "yaml", "files": []})["files"]
            if file not in files:
                files.append(file)
        if used:
            files = list(dict.fromkeys(used.values()))
            made.notes.append(
                f"no secret is shown: {SDB}{sdb_profile(1)}/… reads each from the old file. The master's user must be "
                f"able to read {' and '.join(files)} until you move the secrets elsewhere"
            )
        elif any(text.startswith(TO_BE_SET) for text in texts):
            made.notes.append("no secret is shown: set each by hand")


def _turned_off(own: Mapping[str, Any], account: Account, found: dict[str, Any]) -> list[str]:
    """Turn off what a profile's empty value takes from its provider; return notes on what hart cannot turn off."""
    notes = []
    for name in (name for name, value in own.items() if value in EMPTY and name in account.driver.rules):
        below, _ = translate({name: account.entry.values.get(name)}, account.driver.rules)
        for setting in below:
            if setting in RESETS:
                found.setdefault(setting, RESETS[setting])
            elif setting not in ("minion_config", "spot_max_price"):
                notes.append(f"{name} is empty, but its provider sets {setting}: move that to the roles that need it")
    return notes


def _without_repetition(layer: dict[str, Any], below: Iterable[Mapping[str, Any]]) -> None:
    for name, default in RESETS.items():
        if name in layer and layer[name] == default and not any(name in one for one in below):
            del layer[name]


def _plain(hart: Mapping[str, Any]) -> list[str]:
    return [name for name in hart if name not in ("providers", "roles")]


def _texts(data: Any) -> Any:
    """Return a copy in which references are plain text."""
    if isinstance(data, Mapping):
        return {key: _texts(item) for key, item in data.items()}
    if isinstance(data, list):
        return [_texts(item) for item in data]
    return str(data) if isinstance(data, str) else data


def _leaves(data: Any) -> Iterator[str]:
    if isinstance(data, Mapping):
        data = list(data.values())
    if isinstance(data, list):
        for item in data:
            yield from _leaves(item)
    elif isinstance(data, str):
        yield data
