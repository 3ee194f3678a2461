"""From configuration and a call's arguments to the wanted node. Pure: this reads and changes nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from secrets import token_hex
from typing import Any

from hart_salt.base.errors import ConfigError, Fault, Refused
from hart_salt.base.merge import merge, plain
from hart_salt.base.names import NamingError, build_minion_id, check_minion_id
from hart_salt.base.redaction import Secrets, mask
from hart_salt.base.text import suggestion
from hart_salt.config.catalog import Catalogue
from hart_salt.config.cluster import Peer, others_of
from hart_salt.config.loader import Config
from hart_salt.config.schema import Provider, Schema
from hart_salt.config.settings import BAKED, Section, Settings
from hart_salt.config.validation import check_section
from hart_salt.model import MasterInfo, Node
from hart_salt.planning import minion_config
from hart_salt.planning.digest import digest_of

__all__ = ["UNKNOWN_ID", "build_minion_id", "check_minion_id", "choose_for", "choose_provider", "resolve", "show"]

#: the image if no layer names one
PLAIN_IMAGE = str(Settings.model_fields["image"].default)
SALTMASTER = "hart:saltmaster"
NO_SALTMASTER = "is not set: set the host name or address where minions reach this master"
#: where a setting can stand besides the configuration
AS_ARGUMENT = "as an argument ({}=…)"
#: stands for the unique part of an id in a preview
UNKNOWN_ID = "????????"


def new_unique_id() -> str:
    """Return the ``{unique_id}`` of a minion id: eight random hex digits."""
    return token_hex(4)


@dataclass(frozen=True)
class _Layer:
    path: str
    values: Mapping[str, Any] = field(repr=False)


@dataclass
class _Merged:
    """All layers merged: the values, the path that set each of them, and what is wrong with them."""

    values: dict[str, Any] = field(default_factory=dict, repr=False)
    set_by: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    #: the last image of the layers that is not a baked one
    plain_image: str = PLAIN_IMAGE
    #: the path of the setting that names it
    plain_image_set_by: str = "image"
    #: what prevents a new node, but not a look at the settings of an existing one
    objections: list[Fault] = field(default_factory=list)

    def place(self, fault: Fault) -> Fault:
        """Return a fault of a setting, or of a key of a setting, with the path of the layer that set it."""
        name, colon, key = fault.path.partition(":")
        if fault.path in self.set_by or not colon:
            return Fault(self.set_by.get(fault.path, fault.path), fault.problem)
        return Fault(f"{self.set_by.get(name, name)}:{key}", fault.problem)


def choose_provider(config: Config, role: str | None, provider: str | None) -> Provider:
    """
    Return the provider that a call means.

    ``role`` and ``provider`` are those that the call names, or None.

    Raises ``Refused`` if there is no such role or provider, or if several providers are possible.
    """
    if role is not None and role not in config.roles:
        there = f"; the roles are {', '.join(sorted(config.roles))}" if config.roles else "; none is configured"
        raise Refused(f"there is no role {role}{suggestion(role, config.roles)}{there}")
    names = (provider,) if provider else config.candidates(role)
    if len(names) > 1:
        several = ", ".join(names)
        raise Refused(f"several providers are possible: {several}; name one, as in provider={names[0]}")
    if not names or names[0] not in config.providers:
        there = ", ".join(sorted(config.providers)) or "none"
        what = " ".join(["there is no provider", *(f"{name}{suggestion(name, config.providers)}" for name in names)])
        raise Refused(f"{what}; configured: {there}; configure it under hart:providers")
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
    takes: Sequence[str] = (),
) -> Node:
    """
    Merge all layers for one node. Later layers win, and mappings merge.

    The layers are: hart's defaults, the provider's defaults, the role, the role's section for the provider, that
    section's section for the region, the arguments.

    ``config`` is the configuration; secrets among the arguments are added to its secrets. ``schemas`` holds the
    settings that each driver takes, ``master`` the facts about the master, ``now`` the time for naming schemes.

    ``role`` is None for a node without a role, which needs a ``minion_id``. ``provider`` is needed where the
    configuration allows several. ``region`` and ``zone`` default to those of the layers. ``arguments`` holds the call's
    settings; a value of None counts as not given. ``minion_id`` defaults to the id that the role's naming scheme makes.
    ``batch`` names the call. ``unique_id`` makes the unique part of ids.

    With ``preview``, ids have ``????????`` as their unique part, and what prevents a new node is no fault: see
    ``show``. ``masterless`` is for a new salt-master: its own minion has no master, and its Salt can be of any version.
    ``takes`` names what the function that was called takes besides settings, to suggest for an unknown argument.

    Raises ``Refused`` if the provider or the role cannot be determined, ``ConfigError`` with all faults of the layers
    for this node.
    """
    if role is None and minion_id is None:
        raise Refused("a node needs a role or a minion id")
    given = {str(key): plain(value) for key, value in (arguments or {}).items() if value is not None}
    config.secrets.gather(given)
    catalogue = Catalogue(schemas)
    chosen = choose_for(config, schemas, role, provider, given, takes)
    given |= {name: place for name, place in (("region", region), ("zone", zone)) if place is not None}
    argument_layer, faults = _arguments(catalogue, given, chosen.driver)
    layers = _layers(config, role, chosen.name, argument_layer)
    merged = _merge_layers(catalogue, layers, chosen.driver, takes)
    merged.faults[:0] = faults
    peers = {} if masterless else others_of(config.cluster, master.master_id)
    node = _node(merged, schemas[chosen.driver], chosen, master, peers, role, minion_id, batch, now, masterless)
    if node is not None:
        unique = UNKNOWN_ID if preview else unique_id()
        node = _with_id(node, merged, master, minion_id, now, unique)
    if not preview:  # ``show`` reports the objections in a preview
        merged.faults += merged.objections
    if merged.faults or node is None:
        raise ConfigError([_redacted(fault, config.secrets) for fault in merged.faults])
    ends = None if node.settings.ttl is None else float(math.ceil(now.timestamp() + node.settings.ttl))
    return replace(node, digest="" if masterless else digest_of(node, master, config.secrets), ends=ends)


def show(node: Node, master: MasterInfo | None = None) -> dict[str, Any]:
    """
    Return a node as plain data: every effective setting, with the value hidden where the key looks secret.

    The gate hides what is secret by its value. ``notes`` says what prevents a new node with these settings,
    if ``master`` is given.
    """
    place = {
        "minion_id": node.minion_id,
        "role": node.role,
        **asdict(node.place),
        "driver": node.driver,
    }
    settings = {**node.settings.model_dump(), **node.options.model_dump(mode="json")}
    # The creation time of the node, which is not now.
    grains = {name: value for name, value in node.minion_config["grains"].items() if name != minion_config.CREATED}
    shown = {**settings, **place, "minion_config": mask({**node.minion_config, "grains": grains})}
    names = [*place, *sorted(set(shown) - set(place))]
    result: dict[str, Any] = {name: shown[name] for name in names}
    notes = [] if minion_config.has_master(node) else [f"{SALTMASTER} {NO_SALTMASTER}"]
    notes += [f"{fault.path} {fault.problem}" for fault in (minion_config.objections(node, master) if master else ())]
    return {**result, "notes": notes} if notes else result


def choose_for(
    config: Config, schemas: Mapping[str, Schema], role: str | None, provider: str | None, given: Mapping[str, Any],
    takes: Sequence[str] = (),
) -> Provider:  # fmt: skip
    """
    Return the provider of new nodes; ``given`` holds the arguments of the call. For ``takes`` see ``resolve``.

    Raises ``ConfigError`` for an unknown argument, which may be a misspelt role or provider, if it cannot be chosen.
    """
    try:
        return choose_provider(config, role, provider)
    except Refused:
        config.secrets.gather(given)
        catalogue = Catalogue(schemas)
        unknown = {name: catalogue.refusal(name, None, takes) for name in given if not catalogue.exists(name)}
        if not unknown:
            raise
        faults = [Fault(f"argument:{name}", str(problem)) for name, problem in unknown.items()]
        raise ConfigError([_redacted(fault, config.secrets) for fault in faults]) from None


def _redacted(fault: Fault, secrets: Secrets) -> Fault:
    return Fault(secrets.redact(fault.path), secrets.redact(fault.problem))


def _arguments(catalogue: Catalogue, given: Mapping[str, Any], driver: str) -> tuple[_Layer, list[Fault]]:
    """Replace aliases among the arguments, and refuse a setting that is given under two names."""
    values: dict[str, Any] = {}
    faults = []
    for written, value in given.items():
        name, value = catalogue.canonical(written, value, driver)
        if name in values and values[name] != value:
            faults.append(Fault(f"argument:{written}", f"is another name of {name}, which is also given"))
        values[name] = value
    return _Layer("argument", values), faults


def _layers(config: Config, role: str | None, provider: str, arguments: _Layer) -> list[_Layer]:
    """Return the layers that apply. The other layers decide which region's section does."""
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


def _merge_layers(catalogue: Catalogue, layers: Sequence[_Layer], driver: str, takes: Sequence[str]) -> _Merged:
    """Merge the layers, each value checked for this driver."""
    merged = _Merged()
    for layer in layers:
        for name, value in layer.values.items():
            if name == "provider" and layer.path != "argument":
                continue  # it has been applied already
            refusal = catalogue.refusal(name, driver, takes if layer.path == "argument" else ())
            if refusal and layer.path == "hart" and catalogue.owners(name):
                continue  # the defaults are for all drivers, and each takes the settings that it knows
            kept, problem = (None, refusal) if refusal else catalogue.check(name, value, driver)
            path = f"{layer.path}:{name}"
            if problem:
                merged.faults.append(Fault(path, problem))
                continue
            if name == "image" and kept not in BAKED:
                merged.plain_image, merged.plain_image_set_by = str(kept), path
            merged.values = merge(merged.values, {name: kept})
            merged.set_by[name] = path
            if isinstance(kept, Mapping):
                merged.set_by |= {f"{name}:{key}": f"{path}:{key}" for key in kept}
    return merged


def _node(
    merged: _Merged,
    schema: Schema,
    provider: Provider,
    master: MasterInfo,
    peers: Mapping[str, Peer],
    role: str | None,
    minion_id: str | None,
    batch: str,
    now: datetime,
    masterless: bool,
) -> Node | None:
    """Return the node without the parts that depend on its id; None if its settings have faults."""
    values = merged.values
    notes = _choose_base_image(merged, role)
    section_path = f"hart:roles:{role}" if role else f"hart:providers:{provider.name}"
    defaults = {"region": schema.default_region, "size": schema.default_size}
    for name, default in defaults.items():
        values[name] = values.get(name) or default
        if not values[name]:
            hint = f"is not set; set it here, in hart:providers:{provider.name}, or {AS_ARGUMENT.format(name)}"
            merged.faults.append(Fault(f"{section_path}:{name}", hint))
    if values.get("public_ip") is False:
        values["connect_via"] = "private"  # the only possible way
    settings = _checked(merged, Settings, section_path)
    options = _checked(merged, schema.options, section_path)
    if settings is None or options is None:
        return None
    if not masterless:
        _check_version(merged, settings, master)
    settings = _with_all_masters(merged, settings, provider.driver, master, peers)
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
        notes=tuple(notes),
        image_set_by=merged.set_by.get("image", "image"),
        base_image_set_by=merged.set_by["base_image"],
    )
    if masterless:
        made = minion_config.masterless(node, now)
    else:
        made = minion_config.generated(node, master, now)
        merged.objections = [merged.place(fault) for fault in minion_config.objections(node, master)]
        if not minion_config.has_master(node):
            merged.objections.append(Fault(SALTMASTER, NO_SALTMASTER))
    return replace(node, minion_config=merge(made, minion_config.chosen_by_user(node)))


def _choose_base_image(merged: _Merged, role: str | None) -> list[str]:
    """Set the image under the baked ones. Without a role there are no baked ones, which the returned notes say."""
    values = merged.values
    values.setdefault("base_image", merged.plain_image)
    merged.set_by.setdefault("base_image", merged.plain_image_set_by)
    if values["base_image"] in BAKED:
        problem = f"must name an image, such as {PLAIN_IMAGE}, and not {values['base_image']}"
        merged.faults.append(Fault(merged.set_by["base_image"], problem))
    if role is not None or values.get("image") not in BAKED:
        return []
    wanted, path = values["image"], merged.set_by["image"]
    if path.startswith("argument:"):
        merged.faults.append(Fault(path, "only nodes of a role can boot a baked image; add role=ROLE"))
    values["image"], merged.set_by["image"] = values["base_image"], merged.set_by["base_image"]
    return [f"it boots the image {values['image']}: {path} is {wanted}, but only nodes of a role boot baked images"]


def _with_all_masters(
    merged: _Merged, settings: Settings, driver: str, master: MasterInfo, peers: Mapping[str, Peer]
) -> Settings:
    """
    Return the settings with the addresses of all masters, if ``hart:masters`` has those of the others.

    This master is first: a minion that fails over connects to the first one, and hart waits for it here. A list that
    the user has written stays.
    """
    address = master.local_address if driver == "local" else settings.saltmaster
    addresses = [peer.address for peer in peers.values() if peer.address]
    if not addresses or not isinstance(address, str) or settings.minion_config.get("master"):
        return settings
    for name, peer in peers.items():
        if not peer.address:
            merged.faults.append(Fault(f"hart:masters:{name}:address", "is not set, but another master's is: set both"))
    return settings.model_copy(update={"saltmaster": list(dict.fromkeys([address, *addresses]))})


def _checked(merged: _Merged, section: type[Section], section_path: str) -> Any:
    values = {name: value for name, value in merged.values.items() if name in section.model_fields}
    checked, problems = check_section(section, values)
    for name, problem in problems:
        path = merged.set_by.get(name, f"{section_path}:{name}" if name else section_path)
        merged.faults.append(Fault(path, problem))
    return checked


def _check_version(merged: _Merged, settings: Settings, master: MasterInfo) -> None:
    """Refuse a minion that is newer than its master, which Salt does not support."""
    series = master.salt_version.split(".")[0]
    wanted = settings.salt_version
    if wanted and series.isdigit() and int(wanted.split(".")[0]) > int(series):
        problem = f"is newer than the master, whose version is {master.salt_version}; update the master first"
        merged.faults.append(Fault(merged.set_by["salt_version"], problem))


def _with_id(
    node: Node,
    merged: _Merged,
    master: MasterInfo,
    minion_id: str | None,
    now: datetime,
    unique: str,
) -> Node:
    """Set the node's id, and check it."""
    scheme_path = merged.set_by.get("role_naming_scheme", "hart:role_naming_scheme")
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
    """Return the variables for a naming scheme: the node's place, the date in UTC, and its plain settings."""
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
    Return the node of each id and zone; raise the faults of all of them together, each fault once.

    ``resolve`` is the function of that name, with everything that the nodes have in common.
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
