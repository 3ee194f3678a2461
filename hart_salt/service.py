"""
The use cases. The only file that knows all the others.

Every function returns plain data, keyed by minion id where it is about nodes. ``Report.ok`` says whether all
went well; what it did not do at all is a ``Refused``.
"""

from __future__ import annotations

import os
import secrets as randomness
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import hart_salt
from hart_salt import config, create, destroy, drivers, listing, plan, roles
from hart_salt.drivers.base import Driver
from hart_salt.errors import ConfigError, DriverError, Fault, HartError, Refused
from hart_salt.master import SALT_VERSION, STATE_WORDS, Master
from hart_salt.model import Instance, MasterInfo, Node, Provider
from hart_salt.naming import check_minion_id
from hart_salt.progress import remove_old_logs
from hart_salt.store import Record, Store

DEFAULT_CONFIG_FILE = "/etc/hart.toml"


@dataclass(frozen=True)
class Report:
    """What a use case returns. ``ok`` False: something failed, and ``data`` says what, node by node."""

    data: dict[str, Any]
    ok: bool = True
    exit_code: int = 1


class Service:
    """hart on one master, with the configuration as it is at this moment."""

    def __init__(self, opts: Mapping[str, Any], config_file: str | None = None) -> None:
        """
        Read and check the configuration.

        config_file
            hart's TOML file; by default ``/etc/hart.toml``, which need not exist

        Raises ``ConfigError`` with every fault, ``Refused`` for a master without a key or with a pillar
        that does not compile.
        """
        self.master = Master(opts)
        self.info: MasterInfo = self.master.info()
        self.schemas = drivers.schemas()
        self.config = config.load(self._sources(config_file), self.schemas, self.master.resolve_sdb)
        self.store = Store(self.master.cache(), self.info.cachedir)
        self._drivers: dict[str, Driver] = {}

    def _sources(self, config_file: str | None) -> list[config.Source]:
        toml = config.read_toml(config_file or DEFAULT_CONFIG_FILE, required=config_file is not None)
        return [
            *([toml] if toml else []),
            config.Source("master config", self.master.configuration()),
            config.Source("pillar", self.master.pillar()),
        ]

    def driver(self, name: str) -> Driver:
        """Return the driver of a configured provider. Raises ``Refused`` for one that there is not."""
        if name not in self._drivers:
            provider = self._provider(name)
            self._drivers[name] = drivers.driver_class(provider.driver)(provider, self.info)
        return self._drivers[name]

    def _provider(self, name: str) -> Provider:
        return roles.choose_provider(self.config, None, name)

    # creating

    def create(
        self,
        minion_ids: Sequence[str] | None,
        *,
        role: str | None,
        count: int = 1,
        provider: str | None = None,
        region: str | None = None,
        settings: Mapping[str, Any],
        test: bool = False,
    ) -> Report:
        """
        Create nodes: one for each of ``minion_ids``, or ``count`` of a role with names by its scheme.

        Returns, for each node, ``result`` and what it is or why it failed. Raises ``Refused`` before
        anything is touched.
        """
        batch = randomness.token_hex(6)
        now = datetime.now(timezone.utc)

        def resolve(minion_id: str | None, zone: str | None) -> Node:
            return roles.resolve(
                self.config, self.schemas, self.info, role=role, provider=provider, region=region,
                arguments={**settings, "zone": zone} if zone else settings, minion_id=minion_id, batch=batch, now=now,
            )  # fmt: skip

        ids = list(minion_ids or (None,) * count)
        nodes = _each(resolve, [(minion_id, None) for minion_id in ids])
        driver = self.driver(nodes[0].provider)
        self.master.require_running()
        there = driver.instances()
        if nodes[0].zone == plan.DISTRIBUTED:
            nodes = _each(resolve, list(zip(ids, _zones(nodes, driver, there), strict=True)))
        self._refuse_unfit(nodes, driver, there)
        if test:
            return Report(plan.creation(nodes, driver.size(nodes[0].size, nodes[0].region)))
        remove_old_logs(self.info.log_dir, nodes[0].settings.log_days, time.time())
        data, interrupted = create.create_all(nodes, driver, self.master, self.info, self.store, self.config.secrets)
        return self._report(data, interrupted)

    def _refuse_unfit(self, nodes: Sequence[Node], driver: Driver, there: Sequence[Instance]) -> None:
        """Everything that can be known to be wrong before anything is touched, all of it at once."""
        problems = [*_unknown_places(nodes, driver), *_unreadable(nodes[0]), *self._taken(nodes, driver, there)]
        problems += [f"{node.minion_id}: {objection}" for node in nodes for objection in driver.objections(node)]
        if problems:
            raise Refused("\n".join(problems))

    def _taken(self, nodes: Sequence[Node], driver: Driver, there: Sequence[Instance]) -> list[str]:
        """A minion id names one thing; it must not name anything yet."""
        ids = [node.minion_id for node in nodes]
        problems = [
            f"{double}: two nodes of this call would have this id; name it once, or have role_naming_scheme use "
            "{unique_id}"
            for double in sorted({minion_id for minion_id in ids if ids.count(minion_id) > 1})
        ]
        keys = self.master.key_states()
        named = {instance.minion_id for instance in there}
        for minion_id in dict.fromkeys(ids):
            if minion_id in keys:
                states = " and ".join(STATE_WORDS[state] for state in keys[minion_id])
                problems.append(f"{minion_id}: there is a key of that id, {states}; see salt-key -f {minion_id}")
            if self.store.get(minion_id) is not None:
                problems.append(f"{minion_id}: there is a node of that id; salt-run hart.list_minions shows it")
            elif minion_id in named:
                problems.append(f"{minion_id}: {driver.provider.name} has an instance of that id")
        return problems

    def _report(self, data: dict[str, Any], interrupted: int | None) -> Report:
        ok = "errors" not in data and all(entry["result"] for entry in data.values())
        return Report(self.config.secrets.clean(data), ok, 128 + interrupted if interrupted else 1)

    # destroying

    def destroy(self, minion_ids: Sequence[str], *, test: bool = False) -> Report:
        """
        Destroy nodes: the instance, then the key, then the record.

        Raises ``Refused``, with nothing done, if any of the ids is not a node of hart's.
        """
        records = self._nodes_of(minion_ids)
        if test:
            return Report(plan.destruction(records))
        by_provider = {record.provider: self.driver(record.provider) for record in records.values()}
        data, interrupted = destroy.destroy_all(
            records, by_provider, self.master, self.info, self.store, self.config.secrets
        )
        return self._report(data, interrupted)

    def _nodes_of(self, minion_ids: Sequence[str]) -> dict[str, Record]:
        """The records of these ids; for an instance without one, the record that it would have."""
        found: dict[str, Record] = {}
        problems: list[str] = []
        unrecorded: dict[str, Record] | None = None
        for minion_id in dict.fromkeys(minion_ids):
            problem = check_minion_id(minion_id)
            record = None if problem else self.store.get(minion_id)
            if problem is None and record is None:
                unrecorded = self._unrecorded() if unrecorded is None else unrecorded
                record = unrecorded.get(minion_id)
            if record is not None:
                found[minion_id] = record
            else:
                problems.append(f"{minion_id}: {problem or self._stranger(minion_id)}")
        if problems:
            raise Refused("\n".join(problems))
        return found

    def _stranger(self, minion_id: str) -> str:
        if minion_id in self.master.key_states():
            return f"is no node of hart's, only a key in Salt's store; salt-key -d {minion_id} deletes that"
        return "is not known: there is no record, no instance and no key of that id"

    def _unrecorded(self) -> dict[str, Record]:
        """Instances that are ours by their tags, of all providers that can be asked."""
        return {
            instance.minion_id: listing.record_of(instance, driver.provider, self.info)
            for driver in self._usable_drivers()
            for instance in driver.instances()
        }

    def _usable_drivers(self) -> list[Driver]:
        return [
            self.driver(name)
            for name, provider in self.config.providers.items()
            if self.schemas[provider.driver].available
        ]

    # looking

    def list_minions(self, *, role: str | None, provider: str | None, region: str | None) -> Report:
        """Every node, with what the cloud, the records and the key store say of it."""
        wanted = {"role": role, "provider": provider, "region": region}
        data, problems = listing.nodes(self._usable_drivers(), self.store, self.master, self.info)
        chosen = {
            minion_id: entry
            for minion_id, entry in data.items()
            if all(value in (None, entry[key]) for key, value in wanted.items())
        }
        if problems:
            chosen["errors"] = problems
        return Report(self.config.secrets.clean(chosen), not problems)

    def list_roles(self) -> Report:
        """Every role, with the providers that may be meant for it."""
        return Report({role: list(providers) for role, providers in self.config.role_names().items()})

    def show_role(
        self, role: str, *, provider: str | None, region: str | None, settings: Mapping[str, Any]
    ) -> Report:
        """What a node of this role would be, every layer taken together."""
        node = roles.resolve(
            self.config, self.schemas, self.info, role=role, provider=provider, region=region,
            arguments=settings, now=datetime.now(timezone.utc), preview=True,
        )  # fmt: skip
        return Report(roles.show(node, self.config.secrets))

    def list_regions(self, provider: str | None) -> Report:
        """The regions of a provider."""
        driver = self._asked_driver(provider)
        return Report({region.name: _facts(region, "name") for region in driver.regions()})

    def list_sizes(self, provider: str | None, region: str | None) -> Report:
        """The sizes of a provider, cheapest first, those without a known price last."""
        driver = self._asked_driver(provider)
        sizes = driver.sizes(region or self._home_region(driver))
        ordered = sorted(sizes, key=lambda size: (size.monthly_price is None, size.monthly_price or 0, size.name))
        return Report({size.name: _facts(size, "name") for size in ordered})

    def list_images(self, provider: str | None, region: str | None) -> Report:
        """The images of a provider, by what to write as ``image``."""
        driver = self._asked_driver(provider)
        images = driver.images(region or self._home_region(driver))
        return Report({image.setting: _facts(image, "setting") for image in images})

    def _asked_driver(self, provider: str | None) -> Driver:
        return self.driver(roles.choose_provider(self.config, None, provider).name)

    def _home_region(self, driver: Driver) -> str | None:
        """The region that a provider's nodes go to where nothing else is said; None: there is no such."""
        defaults = self.config.provider_defaults.get(driver.provider.name, {})
        region = defaults.get("region") or self.config.defaults.get("region") or driver.schema.default_region
        return str(region) if region else None

    def check(self) -> Report:
        """One line for each provider: whether its configuration is right and its credentials work."""
        lines = {name: self._check_provider(name) for name in self.config.providers}
        ok = all(line.startswith("ok") for line in lines.values())
        return Report(self.config.secrets.clean(lines), ok)

    def _check_provider(self, name: str) -> str:
        try:
            return f"ok: {self.driver(name).check()}"
        except (DriverError, HartError) as error:
            return f"{type(error).__name__}: {error}"


def version(runner_file: str) -> Report:
    """The versions that matter, and which files are loaded: a synced runner shadows an installed one."""
    package = Path(hart_salt.__file__).resolve().parent
    installed = Path(runner_file).resolve() == (package / "runners" / "hart.py").resolve()
    note = "" if installed else " (not the installed one: a copy synced from the file server is loaded instead)"
    return Report(
        {
            "hart-salt": hart_salt.__version__,
            "salt": SALT_VERSION,
            "python": sys.version.split()[0],
            "runner": f"{runner_file}{note}",
            "package": str(package),
        }
    )


def _each(
    resolve: Callable[[str | None, str | None], Node], wanted: Sequence[tuple[str | None, str | None]]
) -> list[Node]:
    """The node of each id and zone; the faults of all of them together, each of them once."""
    nodes = []
    faults: dict[Fault, None] = {}
    for minion_id, zone in wanted:
        try:
            nodes.append(resolve(minion_id, zone))
        except ConfigError as error:
            faults.update(dict.fromkeys(error.faults))
    if faults:
        raise ConfigError(list(faults))
    return nodes


def _zones(nodes: Sequence[Node], driver: Driver, there: Sequence[Instance]) -> list[str]:
    """The zone of each new node, where the zone is to be the one with the fewest minions of the role."""
    node = nodes[0]
    zones = [zone for region in driver.regions() if region.name == node.region for zone in region.zones]
    if not zones:
        raise Refused(f"zone is {plan.DISTRIBUTED}, but {node.provider} has no zones in {node.region}: leave zone out")
    of_role = [one.zone for one in there if (one.role, one.region) == (node.role, node.region)]
    return plan.spread(zones, of_role, len(nodes))


def _unknown_places(nodes: Sequence[Node], driver: Driver) -> list[str]:
    """Names that the provider does not know. All nodes of a call are of one region and one size."""
    node = nodes[0]
    regions = {region.name: region for region in driver.regions()}
    problems = _unknown("region", node.region, list(regions))
    if problems:
        return [f"{node.provider}: {problem}" for problem in problems]
    zones = list(regions[node.region].zones)
    wanted = dict.fromkeys(one.zone for one in nodes if one.zone)
    if zones:
        problems += [problem for zone in wanted for problem in _unknown("zone", zone, zones, "regions")]
    if driver.size(node.size, node.region) is None:
        problems += _unknown("size", node.size, [size.name for size in driver.sizes(node.region)])
    return [f"{node.provider}: {problem}" for problem in problems]


def _unreadable(node: Node) -> list[str]:
    """Settings that name a file on the master. All nodes of a call have the same."""
    files = {"script": node.settings.script, "salt_repo_key": node.settings.salt_repo_key}
    return [
        f"{name}: {path} is not a file that can be read on this master"
        for name, path in files.items()
        if path and not (Path(path).is_file() and os.access(path, os.R_OK))
    ]


def _unknown(kind: str, name: str, known: Sequence[str], listed_by: str = "") -> list[str]:
    if name in known:
        return []
    return [f"no {kind} {name}; salt-run hart.list_{listed_by or f'{kind}s'} shows them: {', '.join(known[:12])}"]


def _facts(thing: Any, key: str) -> dict[str, Any]:
    facts = {name: value for name, value in vars(thing).items() if name != key}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in facts.items()}


