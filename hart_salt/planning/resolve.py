"""From configuration and a call's arguments to the node that is wanted. Pure: nothing is read or touched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from secrets import token_hex
from typing import Any

import hart_salt
from hart_salt.base.errors import ConfigError, Fault, Refused
from hart_salt.base.merge import merge, plain
from hart_salt.base.names import NamingError, build_minion_id, check_minion_id
from hart_salt.base.redaction import Secrets, mask
from hart_salt.config.catalog import Catalogue
from hart_salt.config.loader import Config
from hart_salt.config.schema import Provider, Schema
from hart_salt.config.settings import Section, Settings
from hart_salt.config.validation import check_section, suggestion
from hart_salt.model import MasterInfo, Node

__all__ = ["UNKNOWN_ID", "build_minion_id", "check_minion_id", "choose_provider", "resolve", "show"]

SALTMASTER = "hart:saltmaster"
#: what the runner's functions take beside settings; an argument that is neither may have been meant as one
PARAMETERS = ("role", "provider", "region", "count", "config", "test")
NO_SALTMASTER = "is not set: say where minions reach this master, by a host name or an address"
CREATED = "hart.created"
#: stands for the unique part of an id in a preview
UNKNOWN_ID = "????????"

#: the port that minions use unless their configuration says otherwise
DEFAULT_PUBLISH_PORT = 4505
DEFAULT_RETURN_PORT = 4506

# A minion that cannot reach its master keeps trying, and looks its address up again each time. Salt does so
# only with ``failover``, which also wants retry_dns off: the list of masters is its way to retry.
_RETRY: Mapping[str, Any] = {"master_tries": -1, "auth_safemode": False}
_RETRY_FAILOVER: Mapping[str, Any] = {
    "master_type": "failover",
    "master_alive_interval": 90,
    "retry_dns": 0,
}


def new_unique_id() -> str:
    """Make the ``{unique_id}`` of a minion id: eight random hex digits."""
    return token_hex(4)


@dataclass(frozen=True)
class _Layer:
    path: str
    values: Mapping[str, Any] = field(repr=False)


@dataclass
class _Merged:
    """All layers put together: the values, where each comes from, and what is wrong with them."""

    values: dict[str, Any] = field(default_factory=dict, repr=False)
    origin: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def choose_provider(config: Config, role: str | None, provider: str | None) -> Provider:
    """
    Decide which provider a call means.

    :param config: the configuration
    :param role: the role that the call names, or None
    :param provider: the provider that the call names, or None
    :raises Refused: there is no such role or provider, or several providers could be meant
    """
    if role is not None and role not in config.roles:
        there = f"; there are {', '.join(sorted(config.roles))}" if config.roles else "; none is configured"
        raise Refused(f"there is no role {role}{suggestion(role, config.roles)}{there}")
    names = (provider,) if provider else config.candidates(role)
    if len(names) > 1:
        several = ", ".join(names)
        raise Refused(f"several providers could be meant: {several}; name one, as in provider={names[0]}")
    if not names or names[0] not in config.providers:
        there = ", ".join(sorted(config.providers)) or "none"
        what = " ".join(["there is no provider", *names])
        raise Refused(f"{what}; configured: {there}; set it up under hart:providers")
    return config.providers[names[0]]


def resolve(
    config: Config,
    schemas: Mapping[str, Schema],
    master: MasterInfo,
    *,
    now: datetime,
    role: str | None = None,
    provider: str | None = None,
    region: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    minion_id: str | None = None,
    zone: str | None = None,
    batch: str = "",
    unique_id: Callable[[], str] = new_unique_id,
    preview: bool = False,
    masterless: bool = False,
) -> Node:
    """
    Put all layers together for one node. Later wins, and mappings merge:

    hart defaults, the provider's defaults, the role, the role's section for the provider, that section's
    section for the region, the arguments.

    :param config: the configuration; secrets among the arguments are added to its own
    :param schemas: the settings that each driver takes
    :param master: the master's facts
    :param now: the time, for naming schemes
    :param role: the role, or None for a node without one, which needs a ``minion_id``
    :param provider: the provider, where the configuration leaves a choice
    :param region: the region; None: the one that the layers say
    :param arguments: settings from the call; None as a value means that it is not given
    :param minion_id: the id; None: made by the role's naming scheme
    :param zone: the zone; None: the one that the layers say
    :param batch: names the call
    :param unique_id: makes the unique part of ids
    :param preview: whether ids have ``????????`` as their unique part, and ``saltmaster`` may be unset
    :param masterless: whether it becomes a salt-master: its own minion has no master, and its Salt is any version
    :raises Refused: provider or role cannot be found out
    :raises ConfigError: with all faults that the layers have for this node
    """
    if role is None and minion_id is None:
        raise Refused("a node needs a role or a minion id")
    given = {str(key): plain(value) for key, value in (arguments or {}).items() if value is not None}
    config.secrets.gather(given)
    chosen = choose_provider(config, role, provider)
    catalogue = Catalogue(schemas)
    given |= {name: place for name, place in (("region", region), ("zone", zone)) if place is not None}
    argument_layer, faults = _arguments(catalogue, given, chosen.driver)
    layers = _layers(config, role, chosen.name, argument_layer)
    merged = _merge_layers(catalogue, layers, chosen.driver)
    merged.faults[:0] = faults
    node = _node(merged, schemas[chosen.driver], chosen, master, role, minion_id, batch, now, masterless)
    if node is not None:
        unique = UNKNOWN_ID if preview else unique_id()
        node = _with_id(node, merged, master, minion_id, now, unique)
    if preview:
        # A look at a role needs no address; ``show`` says that it is missing.
        merged.faults = [fault for fault in merged.faults if fault.path != SALTMASTER]
    if merged.faults or node is None:
        raise ConfigError([_redacted(fault, config.secrets) for fault in merged.faults])
    return node


def show(node: Node) -> dict[str, Any]:
    """
    Describe a node in plain data: every setting in effect, and nothing under a key that looks secret.

    What is secret by its value is for the gate to hide.

    :param node: the node
    """
    place = {
        "minion_id": node.minion_id,
        "role": node.role,
        **asdict(node.place),
        "driver": node.driver,
    }
    settings = {**node.settings.model_dump(), **node.options.model_dump(mode="json")}
    # Of the moment that it is created, which is not this one.
    grains = {name: value for name, value in node.minion_config["grains"].items() if name != CREATED}
    shown = {**settings, **place, "minion_config": mask({**node.minion_config, "grains": grains})}
    names = [*place, *sorted(set(shown) - set(place))]
    result: dict[str, Any] = {name: shown[name] for name in names}
    if not node.minion_config.get("master") and node.minion_config.get("master_type") != "disable":
        result["notes"] = [f"{SALTMASTER} {NO_SALTMASTER}"]
    return result


def _redacted(fault: Fault, secrets: Secrets) -> Fault:
    return Fault(secrets.redact(fault.path), secrets.redact(fault.problem))


def _arguments(catalogue: Catalogue, given: Mapping[str, Any], driver: str) -> tuple[_Layer, list[Fault]]:
    """Replace aliases among the arguments, and refuse one setting under two names."""
    values: dict[str, Any] = {}
    faults = []
    for written, value in given.items():
        name, value = catalogue.canonical(written, value, driver)
        if name in values and values[name] != value:
            faults.append(Fault(f"argument:{written}", f"is another name of {name}, which is given as well"))
        values[name] = value
    return _Layer("argument", values), faults


def _layers(config: Config, role: str | None, provider: str, arguments: _Layer) -> list[_Layer]:
    """Pick the layers that count. Which region's section does, the other layers decide."""
    layers = [
        _Layer("hart", config.defaults),
        _Layer(f"hart:providers:{provider}", config.provider_defaults.get(provider, {})),
    ]
    if role is None:
        return [*layers, arguments]
    path = f"hart:roles:{role}"
    layers.append(_Layer(path, config.roles[role].settings))
    section = config.roles[role].providers.get(provider)
    if section is None:
        return [*layers, arguments]
    layers.append(_Layer(f"{path}:{provider}", section.settings))
    regions = [layer.values["region"] for layer in [*layers, arguments] if layer.values.get("region")]
    region = str(regions[-1]) if regions else ""
    if region in section.regions:
        layers.append(_Layer(f"{path}:{provider}:{region}", section.regions[region]))
    return [*layers, arguments]


def _merge_layers(catalogue: Catalogue, layers: Sequence[_Layer], driver: str) -> _Merged:
    """Lay the layers over each other, each value checked for this driver."""
    merged = _Merged()
    for layer in layers:
        for name, value in layer.values.items():
            if name == "provider" and layer.path != "argument":
                continue  # it has been heard
            refusal = catalogue.refusal(name, driver, PARAMETERS if layer.path == "argument" else ())
            if refusal and layer.path == "hart" and catalogue.owners(name):
                continue  # the defaults are for all drivers, and each takes what it knows
            kept, problem = (None, refusal) if refusal else catalogue.check(name, value, driver)
            path = f"{layer.path}:{name}"
            if problem:
                merged.faults.append(Fault(path, problem))
                continue
            merged.values = merge(merged.values, {name: kept})
            merged.origin[name] = path
    return merged


def _node(
    merged: _Merged,
    schema: Schema,
    provider: Provider,
    master: MasterInfo,
    role: str | None,
    minion_id: str | None,
    batch: str,
    now: datetime,
    masterless: bool,
) -> Node | None:
    """Make the node, but for what depends on its id; None when its settings have faults."""
    values = merged.values
    home = f"hart:roles:{role}" if role else f"hart:providers:{provider.name}"
    defaults = {"region": schema.default_region, "size": schema.default_size}
    for name, default in defaults.items():
        values[name] = values.get(name) or default
        if not values[name]:
            hint = f"is not set; set it here, in hart:providers:{provider.name}, or as an argument ({name}=…)"
            merged.faults.append(Fault(f"{home}:{name}", hint))
    if values.get("public_ip") is False:
        values["connect_via"] = "private"  # there is no other way
    settings = _checked(merged, Settings, home)
    options = _checked(merged, schema.options, home)
    if settings is None or options is None:
        return None
    if not masterless:
        _check_version(merged, settings, master)
    node = Node(
        minion_id=minion_id or "",
        role=role,
        provider=provider.name,
        driver=provider.driver,
        region=str(settings.region),
        zone=settings.zone,
        size=str(settings.size),
        settings=settings,
        options=options,
        minion_config={},
        batch=batch,
    )
    made = _masterless_config(node, now) if masterless else _minion_config(merged, node, master, now)
    # Nothing under a key, as YAML makes it of an empty line, is no wish to lose the grains.
    user = {key: value for key, value in settings.minion_config.items() if key != "grains" or value}
    return replace(node, minion_config=merge(made, user))


def _checked(merged: _Merged, section: type[Section], home: str) -> Any:
    values = {name: value for name, value in merged.values.items() if name in section.model_fields}
    checked, problems = check_section(section, values)
    for name, problem in problems:
        path = merged.origin.get(name, f"{home}:{name}" if name else home)
        merged.faults.append(Fault(path, problem))
    return checked


def _check_version(merged: _Merged, settings: Settings, master: MasterInfo) -> None:
    """A minion that is newer than its master is not supported by Salt."""
    series = master.salt_version.split(".")[0]
    wanted = settings.salt_version
    if wanted and series.isdigit() and int(wanted.split(".")[0]) > int(series):
        problem = f"is newer than the master, which is {master.salt_version}; update the master first"
        merged.faults.append(Fault(merged.origin["salt_version"], problem))


def _minion_config(merged: _Merged, node: Node, master: MasterInfo, now: datetime) -> dict[str, Any]:
    """Make the minion configuration, without the id; the user's own goes over it."""
    user = node.settings.minion_config
    config: dict[str, Any] = {"grains": _grains(node, now), **_RETRY}
    if user.get("master_type", "failover") == "failover":
        config |= _RETRY_FAILOVER
    if master.return_port != DEFAULT_RETURN_PORT:
        config["master_port"] = master.return_port
    if master.publish_port != DEFAULT_PUBLISH_PORT:
        # A minion hears of the port, but its look whether the master is alive goes by this setting alone: without
        # it the minion would connect anew all the time.
        config["publish_port"] = master.publish_port
    # A node on this machine has its master on it, wherever the nodes of other providers find that.
    address = master.local_address if node.driver == "local" else node.settings.saltmaster
    if address:
        config["master"] = address
    elif not user.get("master") and user.get("master_type") != "disable":
        merged.faults.append(Fault(SALTMASTER, NO_SALTMASTER))
    return config


def _masterless_config(node: Node, now: datetime) -> dict[str, Any]:
    """Of the minion on a salt-master, which runs no service: ``salt-call`` takes its states from its own disk."""
    return {"grains": _grains(node, now), "file_client": "local", "state_verbose": False}


def _grains(node: Node, now: datetime) -> dict[str, Any]:
    grains: dict[str, Any] = {
        # With dots in their names and not nested: ``hart.region`` is how states and targets know them.
        "roles": [node.role] if node.role else [],
        "hart.provider": node.provider,
        "hart.region": node.region,
        "hart.size": node.size,
        CREATED: now.astimezone(timezone.utc).isoformat(timespec="seconds"),
        "hart.version": hart_salt.__version__,
    }
    if node.zone:
        grains["hart.zone"] = node.zone
    return grains


def _with_id(
    node: Node,
    merged: _Merged,
    master: MasterInfo,
    minion_id: str | None,
    now: datetime,
    unique: str,
) -> Node:
    """Give the node its id, and check it."""
    scheme_path = merged.origin.get("role_naming_scheme", "hart:role_naming_scheme")
    if minion_id is None:
        try:
            minion_id = build_minion_id(node.settings.role_naming_scheme, _variables(node, now, unique))
        except NamingError as error:
            merged.faults.append(Fault(scheme_path, str(error)))
            return node
        likely = minion_id.replace(unique, "0") if unique == UNKNOWN_ID else minion_id
        if problem := check_minion_id(likely, master.master_id):
            merged.faults.append(Fault(scheme_path, f"makes the id {minion_id!r}, which {problem}"))
    elif problem := check_minion_id(minion_id, master.master_id):
        merged.faults.append(Fault("argument:minion_id", f"{minion_id!r} {problem}"))
    return replace(node, minion_id=minion_id, minion_config={"id": minion_id, **node.minion_config})


def _variables(node: Node, now: datetime, unique: str) -> dict[str, object]:
    """What a naming scheme may name: the node's place, the date in UTC, and its plain settings."""
    settings = {**dict(node.settings), **dict(node.options)}
    date = now.astimezone(timezone.utc)
    return {
        **{name: value for name, value in settings.items() if _is_plain(value)},
        "role": node.role,
        **asdict(node.place),
        "year": f"{date:%Y}",
        "month": f"{date:%m}",
        "day": f"{date:%d}",
        "unique_id": unique,
    }


def _is_plain(value: Any) -> bool:
    return value is None or (isinstance(value, str | int | float) and not isinstance(value, bool))


def each(resolve: Callable[..., Node], wanted: Sequence[tuple[str | None, str | None]]) -> list[Node]:
    """
    The node of each id and zone; the faults of all of them together, each of them once.

    resolve
        the function of that name, with all that the nodes have in common
    """
    nodes = []
    faults: dict[Fault, None] = {}
    for minion_id, zone in wanted:
        try:
            nodes.append(resolve(minion_id=minion_id, zone=zone))
        except ConfigError as error:
            faults.update(dict.fromkeys(error.faults))
    if faults:
        raise ConfigError(list(faults))
    return nodes
