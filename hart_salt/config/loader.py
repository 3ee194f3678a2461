"""From the sources of configuration to one validated ``Config``, or to all of their faults at once."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hart_salt.base.errors import ConfigError, Fault
from hart_salt.base.merge import merge
from hart_salt.base.redaction import Secrets
from hart_salt.base.shape import copied
from hart_salt.base.text import suggestion
from hart_salt.config import cluster, fleets, limits
from hart_salt.config.catalog import PLACES, RESERVED, Catalogue
from hart_salt.config.schema import Provider, Schema
from hart_salt.config.settings import NO_VALUE, Settings, as_text
from hart_salt.config.sources import Source, read_toml, resolve_references
from hart_salt.config.validation import (
    check_field,
    check_section,
    has_secrets,
    is_secret,
    name_problem,
    written_name,
)

__all__ = ["Config", "ProviderLayer", "Role", "Source", "load", "read_toml"]

#: the provider that exists if none is configured
IMPLICIT_PROVIDER = "local"

#: settings that a layer can switch off with null, if a layer before it sets them
CAN_BE_EMPTY = frozenset(["apply", "drain", "script", "ttl"])

#: keys directly below ``hart`` that are no settings of nodes
_NAMED = frozenset(["providers", "roles", fleets.SETTING, *cluster.FIELDS])
#: the parts of what one source sets
_SECTIONS = ("defaults", "cluster", "providers", "roles", "fleets")

_PROVIDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_ROLE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")


@dataclass(frozen=True)
class ProviderLayer:
    """The settings of a role for one provider, and for regions of it."""

    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    regions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Role:
    """The settings of a role. ``settings`` can hold ``provider``, and settings of any driver."""

    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    providers: Mapping[str, ProviderLayer] = field(default_factory=dict)


@dataclass(frozen=True)
class Config:
    """The whole configuration: validated, with aliases replaced, in layers that are not merged yet."""

    defaults: Mapping[str, Any] = field(repr=False)
    providers: Mapping[str, Provider]
    provider_defaults: Mapping[str, Mapping[str, Any]] = field(repr=False)
    roles: Mapping[str, Role]
    secrets: Secrets
    #: settings that have no effect, with their places
    notes: tuple[str, ...] = ()
    #: the settings of hart as a whole, which no node has
    cluster: cluster.Cluster = field(default_factory=cluster.Cluster)
    #: the limits of nodes and of their price, by the place that sets them, such as ``hart:roles:app``
    limits: Mapping[str, limits.Limits] = field(default_factory=dict)
    #: the declared fleets, by name
    fleets: Mapping[str, fleets.Fleet] = field(default_factory=dict)

    def candidates(self, role: str | None) -> tuple[str, ...]:
        """
        Return the providers that are possible for a role when a call names none.

        ``role`` is an existing role, or None for a node without one. Returns the provider that the role or the defaults
        name, otherwise all configured providers.
        """
        layers = [self.defaults, self.roles[role].settings] if role else [self.defaults]
        named = [layer["provider"] for layer in layers if layer.get("provider")]
        return (named[-1],) if named else tuple(self.providers)

    def role_names(self) -> dict[str, tuple[str, ...]]:
        """Return the roles, each with the providers that are possible for it."""
        return {role: self.candidates(role) for role in sorted(self.roles)}


def load(
    sources: Sequence[Source], schemas: Mapping[str, Schema], resolve_sdb: Callable[[str], Any],
    secrets: Secrets | None = None,
) -> Config:  # fmt: skip
    """
    Merge and validate all sources; later sources win.

    ``schemas`` holds the settings that each driver takes. ``resolve_sdb`` looks up an ``sdb://`` reference; see
    ``sources.resolve_references``. ``secrets`` gets all secrets that are found, even if there are faults (default: a
    new set).

    Raises ``ConfigError`` with every fault.
    """
    secrets = Secrets() if secrets is None else secrets
    faults: list[Fault] = []
    notes: list[Fault] = []
    resolved = []
    for source in sources:
        data, odd = copied(source.data or {}, "hart")
        data, found = resolve_references(data, "hart", resolve_sdb, secrets)
        _gather(data, secrets)
        if not isinstance(data, Mapping):
            data, odd = {}, odd or [Fault("hart", "must be a mapping")]
        resolved.append(replace(source, data=data, faults=(*source.faults, *odd, *found)))
    drivers = _drivers(resolved)
    trees = []
    for source in resolved:
        label = source.label if len(resolved) > 1 else ""
        reader = _Reader(Catalogue(schemas), drivers, secrets, label, lenient=source.is_harts)
        trees.append(reader.read(source.data))
        notes += [*source.notes, *reader.notes]
        known = {fault.path for fault in source.faults}
        faults += reader.mark(source.faults) + [fault for fault in reader.faults if fault.path not in known]
    empty: dict[str, Any] = {name: {} for name in (*_SECTIONS, "limits")}
    tree: dict[str, Any] = functools.reduce(merge, trees, empty)
    providers, found = _providers(tree["providers"], drivers, schemas, {fault.path for fault in faults})
    faults += found + _unknown_choices(tree, providers)
    whole = _cluster(tree["cluster"], faults)
    declared = _fleets(tree, providers, faults)
    if not tree["providers"] and any(source.data.get("providers", {}) is None for source in resolved):
        faults.append(Fault("hart:providers", "is empty: indent the providers below it, or remove it"))
    if faults:
        # The path can contain anything that the user put on the wrong side of a colon.
        raise ConfigError([Fault(secrets.redact(one.path), secrets.redact(one.problem)) for one in faults])
    settings = {name: provider["settings"] for name, provider in tree["providers"].items()}
    roles = {name: _role(role) for name, role in tree["roles"].items()}
    bounds = {path: limits.Limits(**values) for path, values in tree["limits"].items() if values}
    return Config(
        tree["defaults"], providers, settings, roles, secrets, tuple(map(str, notes)), whole, bounds, declared
    )


def _cluster(tree: Mapping[str, Any], faults: list[Fault]) -> cluster.Cluster:
    """Return the settings of hart as a whole, and add to ``faults`` what is wrong with them and not known yet."""
    return cluster.made(tree, _further(faults))


def _fleets(
    tree: Mapping[str, Any], providers: Mapping[str, Provider], faults: list[Fault]
) -> dict[str, fleets.Fleet]:  # fmt: skip
    """Return the fleets, and add to ``faults`` what is wrong with them as a whole and not known yet."""
    own = tree["defaults"].get("provider")
    every = tuple(tree["providers"] or providers)
    roles = {
        name: (named,) if (named := role["settings"].get("provider") or own) else every
        for name, role in tree["roles"].items()
    }
    images = functools.partial(_images, tree)
    return fleets.made(tree["fleets"], roles, tree["providers"] or providers, _further(faults), images)


def _images(tree: Mapping[str, Any], role: str, provider: str, regions: Sequence[str]) -> set[str]:
    """Return the values of the setting ``image`` of a role at a provider in these regions, or in the usual one."""
    own = tree["providers"].get(provider, {}).get("settings", {})
    section = tree["roles"][role]["providers"].get(provider, {"settings": {}, "regions": {}})
    layers = [tree["defaults"], own, tree["roles"][role]["settings"], section["settings"]]
    usual = [layer["region"] for layer in layers if layer.get("region")][-1:]
    default = Settings.model_fields["image"].default
    found = set()
    for region in regions or usual or [""]:
        every = [*layers, section["regions"].get(region, {})]
        found.add(str(([layer["image"] for layer in every if layer.get("image")] or [default])[-1]))
    return found


def _further(faults: list[Fault]) -> Callable[[str, str], None]:
    """Return what adds a fault of a path, unless something below that path has one already."""
    known = {fault.path for fault in faults}

    def fault(path: str, problem: str) -> None:
        if not any(one == path or one.startswith(f"{path}:") for one in known):
            faults.append(Fault(path, problem))

    return fault


def _role(tree: Mapping[str, Any]) -> Role:
    sections = tree["providers"].items()
    layers = {name: ProviderLayer(section["settings"], section["regions"]) for name, section in sections}
    return Role(tree["settings"], layers)


def _gather(data: Any, secrets: Secrets) -> None:
    """Collect values whose keys look secret, except names of roles, providers and fleets: a role can be token."""
    for key, value in data.items() if isinstance(data, Mapping) else ():
        named = key in ("providers", "roles", fleets.SETTING) and isinstance(value, Mapping)
        for part in value.values() if named else ({key: value},):
            secrets.gather(part)


def _drivers(sources: Sequence[Source]) -> dict[str, str]:
    """Return each configured provider's driver; one source may name it, and another hold the other settings."""
    drivers: dict[str, str] = {}
    for source in sources:
        providers = source.data.get("providers")
        for name, values in providers.items() if isinstance(providers, Mapping) else ():
            drivers.setdefault(str(name), str(name))
            if isinstance(values, Mapping) and isinstance(values.get("driver"), str):
                drivers[str(name)] = values["driver"]
    return drivers


def _providers(
    tree: Mapping[str, Any], drivers: Mapping[str, str], schemas: Mapping[str, Schema], known: set[str]
) -> tuple[dict[str, Provider], list[Fault]]:
    """
    Check the accounts as a whole, which is only possible once their settings are merged.

    ``known`` holds the paths that already have a fault: a wrong value is not a missing one.
    """
    providers, faults = {}, []
    for name, part in tree.items():
        driver = drivers[name]
        if driver not in schemas:
            continue  # the reader has reported it
        path = f"hart:providers:{name}"
        account, problems = check_section(schemas[driver].account, part["account"])
        if account is not None:
            providers[name] = Provider(name, driver, account)
        for setting, problem in problems:
            place = f"{path}:{setting}" if setting else path
            if place not in known and (setting or not any(one.startswith(f"{path}:") for one in known)):
                faults.append(Fault(place, problem))
    if not tree and IMPLICIT_PROVIDER in schemas:
        account = schemas[IMPLICIT_PROVIDER].account()
        providers[IMPLICIT_PROVIDER] = Provider(IMPLICIT_PROVIDER, IMPLICIT_PROVIDER, account)
    return providers, faults


def _unknown_choices(tree: Mapping[str, Any], providers: Mapping[str, Provider]) -> list[Fault]:
    """Return a fault for each layer that names a provider which does not exist."""
    configured = tree["providers"] or providers
    places = {"hart": tree["defaults"]}
    places |= {f"hart:roles:{name}": role["settings"] for name, role in tree["roles"].items()}
    return [
        Fault(f"{path}:provider", f"there is no such provider; configured: {', '.join(sorted(configured))}")
        for path, settings in places.items()
        if settings.get("provider") is not None and settings["provider"] not in configured
    ]


class _Reader:
    """Converts one source to the normal form, and collects what is wrong with it."""

    def __init__(
        self, catalogue: Catalogue, drivers: Mapping[str, str], secrets: Secrets, label: str, *, lenient: bool = False
    ) -> None:
        """Keep the arguments. With ``lenient``, a setting that is not known here is noted, and has no effect."""
        self.catalogue = catalogue
        self.lenient = lenient
        self.notes: list[Fault] = []
        self.drivers = drivers
        self.secrets = secrets
        self.label = label
        self.faults: list[Fault] = []
        #: the limits of this source, by the place that sets them
        self.limits: dict[str, dict[str, Any]] = {}

    def fault(self, path: str, problem: str) -> None:
        self.faults += self.mark([Fault(path, problem)])

    def mark(self, faults: Sequence[Fault]) -> list[Fault]:
        """Add the source to each fault, unless there is only one source or the fault names it already."""
        return [
            Fault(fault.path, f"{fault.problem} (in {self.label})")
            if self.label and not fault.path.startswith(self.label)
            else fault
            for fault in faults
        ]

    def read(self, data: Mapping[str, Any]) -> dict[str, Any]:
        data = self.group(data, "hart")
        data = self.without_limits(data, "hart")
        rest = {key: value for key, value in data.items() if key not in _NAMED}
        providers = self.group(data.get("providers"), "hart:providers")
        roles = self.group(data.get("roles"), "hart:roles")
        return {
            "defaults": self.layer(rest, "hart", None, PLACES, sorted(_NAMED | limits.FIELDS)),
            "cluster": cluster.Reader(self.fault, self.secrets).read(data),
            "providers": {name: self.provider(name, values) for name, values in providers.items()},
            "roles": {name: self.role(name, values) for name, values in roles.items()},
            "fleets": fleets.Reader(self.fault).read(data[fleets.SETTING]) if fleets.SETTING in data else {},
            "limits": self.limits,
        }

    def without_limits(self, values: dict[str, Any], path: str) -> dict[str, Any]:
        """Read the limits of a place, and return its other values."""
        found = {}
        for name in sorted(limits.FIELDS & values.keys()):
            kept, problem = check_field(limits.Limits, name, values[name])
            if problem or values[name] is None:
                self.fault(f"{path}:{name}", NO_VALUE if values[name] is None else problem or "")
            else:
                found[name] = kept
        self.limits[path] = found
        return {name: value for name, value in values.items() if name not in limits.FIELDS}

    def group(self, value: Any, path: str) -> dict[str, Any]:
        """Return a mapping without the keys that are no text; None becomes an empty one."""
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.fault(path, "must be a mapping")
            return {}
        for key in value:
            if not isinstance(key, str):
                self.fault(f"{path}:{written_name(key)}", name_problem(key))
        return {key: item for key, item in value.items() if isinstance(key, str)}

    def provider(self, name: str, value: Any) -> dict[str, Any]:
        path = f"hart:providers:{name}"
        values = self.group(value, path)
        driver = self.drivers[name]
        if not _PROVIDER_NAME.fullmatch(name):
            self.fault(path, "a provider's name may hold only letters, digits, '-' and '_'")
        if name in RESERVED or self.catalogue.exists(name) or self.catalogue.is_account(name):
            self.fault(path, "a provider cannot have the name of a setting or a section; rename it")
        schema = self.catalogue.schemas.get(driver)
        if schema is None:
            at = f"{path}:driver" if "driver" in values else path
            known = ", ".join(sorted(self.catalogue.schemas))
            self.fault(at, f"unknown driver{suggestion(driver, self.catalogue.schemas)}; the drivers are {known}")
            return {"account": {}, "settings": {}}
        if not isinstance(values.pop("driver", None), str | None):
            self.fault(f"{path}:driver", "must be text")
        values = self.without_limits(values, path)
        names = {*schema.account.model_fields, *schema.account.ALIASES}
        account = {key: values.pop(key) for key in list(values) if key in names}
        if value is None and has_secrets(schema.account):
            self.fault(path, "is empty: indent its settings below it, or write {} if it has none")
        return {
            "account": self.account(account, path, schema),
            "settings": self.layer(values, path, driver, extra=sorted(names | limits.FIELDS | {"driver"})),
        }

    def account(self, values: Mapping[str, Any], path: str, schema: Schema) -> dict[str, Any]:
        result = {}
        for written, value in values.items():
            alias = schema.account.ALIASES.get(written)
            name = alias.name if alias else written
            if is_secret(schema.account, name):
                self.secrets.add(value)
            kept, problem = check_field(schema.account, name, alias.convert(value) if alias else value)
            if value is None:
                problem = NO_VALUE
            if problem:
                self.fault(f"{path}:{written}", problem)
            else:
                result[name] = kept
        return result

    def role(self, name: str, value: Any) -> dict[str, Any]:
        path = f"hart:roles:{name}"
        if not _ROLE_NAME.fullmatch(name):
            self.fault(path, "a role's name may hold only letters, digits, '.', '-' and '_'")
        values = self.without_limits(self.group(value, path), path)
        sections = [key for key in values if self.is_provider(key) and not self.catalogue.exists(key)]
        providers = {key: self.role_provider(f"{path}:{key}", key, values.pop(key)) for key in sections}
        extra = sorted({*self.drivers, *self.catalogue.schemas, *limits.FIELDS})
        return {"settings": self.layer(values, path, None, PLACES, extra), "providers": providers}

    def is_provider(self, name: str) -> bool:
        """
        Return whether a section of a role is for a provider.

        An unconfigured account can have a section under its driver's name.
        """
        return name in self.drivers or name in self.catalogue.schemas

    def role_provider(self, path: str, name: str, value: Any) -> dict[str, Any]:
        driver = self.drivers.get(name, name)
        values = self.group(value, path)
        regions = [key for key, item in values.items() if self.is_region(key, item, driver)]
        return {
            "regions": {key: self.region(f"{path}:{key}", key, values.pop(key), driver) for key in regions},
            "settings": self.layer(values, path, driver),
        }

    def is_region(self, key: str, value: Any, driver: str) -> bool:
        """Return whether a mapping is a region's section: it is, unless its key is a setting's name or close to one."""
        if not isinstance(value, Mapping) or self.catalogue.exists(key) or key in PLACES:
            return False
        if key in RESERVED or self.catalogue.is_account(key):
            return False
        names = self.catalogue.names(driver)
        mappings = [name for name in names if self.catalogue.takes_mapping(name, driver)]
        return not suggestion(key, mappings)

    def region(self, path: str, name: str, value: Any, driver: str) -> dict[str, Any]:
        settings = self.layer(self.group(value, path), path, driver)
        if settings.get("region") not in (None, name):
            self.fault(f"{path}:region", "names a region other than that of its section")
        return settings

    def layer(
        self,
        values: Mapping[str, Any],
        path: str,
        driver: str | None,
        places: frozenset[str] = frozenset(),
        extra: Sequence[str] = (),
    ) -> dict[str, Any]:
        """
        Check the settings of one section and replace aliases.

        ``driver`` is the driver that the section belongs to, or None. ``places`` holds those of ``PLACES`` that are
        allowed here, and ``extra`` more words to suggest for an unknown name.
        """
        result: dict[str, Any] = {}
        if driver is not None and driver not in self.catalogue.schemas:
            return result  # the provider's own section has reported the driver
        for written, value in values.items():
            if written in places:
                name, (kept, problem) = written, _check_place(value)
            else:
                name, value = self.catalogue.canonical(written, value, driver)
                kept, problem = None, self.catalogue.refusal(name, driver, extra)
                if problem is not None and self.lenient:
                    self.notes += self.mark([Fault(f"{path}:{written}", f"{problem}; it has no effect")])
                    continue
                if problem is None:
                    kept, problem = self.catalogue.check(name, value, driver)
                if problem is None and value is None and name not in CAN_BE_EMPTY:
                    problem = NO_VALUE
            if problem is None and name in result and result[name] != kept:
                problem = f"is another name of {name}, which this section sets to a different value"
            if problem is None:
                result[name] = kept
            else:
                self.fault(f"{path}:{written}", problem)
        return result


def _check_place(value: Any) -> tuple[Any, str | None]:
    if value is None:
        return None, NO_VALUE
    try:
        return as_text(value), None
    except ValueError as error:
        return None, str(error)
