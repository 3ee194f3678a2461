"""
The use cases. This is the only file that knows all the others.

Every function returns plain data, by minion id if it is about nodes. ``Result.ok`` says whether everything succeeded. A
request of which nothing was done raises ``Refused``.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime, timezone
from typing import Any

from hart_salt import drivers
from hart_salt.base.caller import Caller
from hart_salt.base.errors import BrokenRecord, Refused
from hart_salt.base.gate import Gate
from hart_salt.base.logs import remove_old_logs
from hart_salt.base.names import check_minion_id, new_batch, reserved
from hart_salt.config import loader
from hart_salt.config.schema import Provider
from hart_salt.config.settings import Settings
from hart_salt.drivers.contract import BEGINNING, READING, Driver
from hart_salt.fleets.spec import ttl_of
from hart_salt.inventory.choose_locks import check_layout
from hart_salt.inventory.context import Context, context_of
from hart_salt.inventory.records import Record, instance_of
from hart_salt.inventory.snapshot import look_at, take_snapshot
from hart_salt.master.client import Master
from hart_salt.migration import adopt, hart_config, hart_store, match
from hart_salt.model import AddressRequest, Instance, MasterInfo, Node
from hart_salt.operations import (
    account,
    addresses,
    chosen,
    create,
    create_master,
    destroy,
    health,
    limits,
    listing,
    protection,
    sealing,
    selection,
    sweep,
    sync_keys,
)
from hart_salt.operations.baked_images import BakedImages
from hart_salt.operations.drift import Drift
from hart_salt.operations.leaks import is_ready
from hart_salt.operations.selection import Selection, Selector
from hart_salt.planning import digest, plan, preflight
from hart_salt.planning import resolve as roles
from hart_salt.result import Result
from hart_salt.use_cases.by_hand import ByHand
from hart_salt.use_cases.everyday import Everyday
from hart_salt.use_cases.fleets import Fleets
from hart_salt.use_cases.images import Images
from hart_salt.use_cases.money import Money
from hart_salt.use_cases.offers import Offers
from hart_salt.use_cases.parts import Calls
from hart_salt.use_cases.past import Past
from hart_salt.use_cases.pictures import Pictures
from hart_salt.use_cases.roles import Roles

log = logging.getLogger(__name__)
DEFAULT_CONFIG_FILE = "/etc/hart.toml"


class Service:
    """hart on one master, with its current configuration."""

    def __init__(
        self, opts: Mapping[str, Any], config_file: str | None = None, gate: Gate | None = None,
        caller: Caller | None = None,
    ) -> None:  # fmt: skip
        """
        Read and validate the configuration.

        ``config_file`` is hart's TOML file (default: ``/etc/hart.toml``, which need not exist). ``gate`` learns the
        secrets of the configuration; pass everything that is returned or raised through it (default: a new gate).
        ``caller`` is who called hart (default: unknown).

        Raises ``ConfigError`` with every fault, ``Refused`` if the master's pillar does not compile.
        """
        self.gate = gate or Gate()
        self.master = Master(opts)
        self.gate.secrets.gather(self.master.configuration.own_settings())
        self.gate.secrets.add(self.master.configuration.from_sdb())
        self.info: MasterInfo = self.master.info()
        self.schemas = drivers.schemas()
        self._toml = loader.read_toml(config_file or DEFAULT_CONFIG_FILE, required=config_file is not None)
        configuration = self.master.configuration
        sources = configuration.sources(self._toml)
        self.config = loader.load(sources, self.schemas, configuration.resolve_sdb, self.gate.secrets)
        for note in self.notes:
            log.warning("hart: %s", note)
        self.context: Context = context_of(self.master, self.info, self.config.cluster, self.gate, caller)
        self._drivers: dict[str, Driver] = {}
        #: seconds to wait for an API that cannot be reached; see ``drivers/outage.py``
        self._limit = READING
        self.offers = Offers(self)
        self.money = Money(self, self.offers)
        self.past = Past(self)
        self.pictures = Pictures(self)
        self.everyday = Everyday(self, self.offers, self.money)
        self.images = Images(self, self.offers, self.money, self._sweep_dead)
        calls = Calls(self.create, self.destroy, self._sweep_dead, self.images.bake)
        self.roles = Roles(self, self.offers, self.money, calls)
        self.fleets = Fleets(self, self.offers, calls)
        self.by_hand = _ByHand(self)

    @property
    def notes(self) -> list[str]:
        """What has no effect in hart's own file, or another one than in hart; secrets are already hidden."""
        return [self.gate.error(it) for it in (*self.config.notes, *hart_config.notes(self._toml, self.schemas))]

    def driver(self, name: str) -> Driver:
        """Return the driver of a configured provider. Raises ``Refused`` if there is no such provider."""
        if name not in self._drivers:
            provider = self._provider(name)
            self._drivers[name] = drivers.driver_class(provider.driver)(provider, self.info)
            self._drivers[name].outage.limit = self._limit
        return self._drivers[name]

    def changes(self, *, test: bool = False) -> bool:
        """
        Note that the call changes something, unless it is a test: it waits longer for an API, and for its slot.

        Returns whether it had to wait for the slot.
        """
        check_layout(self.config.cluster, self.context.store)
        self._limit = READING if test else BEGINNING
        for driver in self._drivers.values():
            driver.outage.limit = self._limit
        return not test and self.context.slot.take(self.config.cluster.max_calls)

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
        limited: bool = True,
        takes: Sequence[str] = (),
    ) -> Result:
        """
        Create nodes: one for each of ``minion_ids``, or ``count`` nodes of a role with names from its scheme.

        ``limited`` says whether to check limits and quota; ``replace`` has done so for a test (default True). For
        ``takes`` see ``resolve.resolve``.

        Returns, for each node, ``result`` and its facts or the error.

        Raises ``Refused`` before anything is changed.
        """
        ids = list(minion_ids or (None,) * count)
        if limited:
            asked = roles.choose_for(self.config, self.schemas, role, provider, settings, takes)
            self.money.refuse_at_once(role, asked.name, len(ids))

        def resolved(zones: Sequence[str] | None = None) -> list[Node]:
            now = datetime.now(timezone.utc)
            resolve = functools.partial(
                roles.resolve, self.config, self.schemas, self.info, role=role, provider=provider, region=region,
                arguments=settings, batch=new_batch(now.timestamp()), now=now, takes=takes,
            )  # fmt: skip
            return roles.each(resolve, list(zip(ids, zones or (None,) * len(ids), strict=True)))

        nodes = resolved()  # wrong settings are refused before the call waits
        if problem := reserved(node.minion_id for node in nodes):
            raise Refused(problem)
        ttl = ttl_of(self.config, role, nodes[0].provider, nodes[0].region)
        settings = settings if ttl is None else {"ttl": ttl, **settings}
        nodes = resolved() if self.changes(test=test) or ttl is not None else nodes
        chosen_ids = bool(minion_ids) or not preflight.has_random_id(nodes[0])
        driver = self.driver(nodes[0].provider)
        self.master.require_running()
        if not test:
            self._sweep_dead(nodes[0].provider)
        else:
            driver.ask_again()
        nodes = preflight.fit(
            nodes, driver, self.context, resolved, images=lambda nodes: self.images.fitted(nodes, driver),
            chosen=chosen_ids,
        )  # fmt: skip
        growth = limits.creation(nodes[0], len(nodes))
        with self.money.within_limits(growth, test=test) if limited else nullcontext(lambda: None) as claimed:
            if test:
                return self.money.priced(Result(plan.creation(nodes)))
            remove_old_logs(self.info.log_dir, nodes[0].settings.log_days, time.time())
            return self.by_node(*create.create_all(nodes, driver, self.context, claimed=claimed))

    def create_master(
        self,
        minion_id: str,
        *,
        provider: str | None = None,
        region: str | None = None,
        options: Mapping[str, Any],
        settings: Mapping[str, Any],
        test: bool = False,
        takes: Sequence[str] = (),
    ) -> Result:
        """
        Create a salt-master; this machine needs neither a running master nor a key.

        ``options`` holds ``authorize_key``, ``grains``, ``hart_salt`` and ``pip_index``; None if not given. For
        ``takes`` see ``resolve.resolve``.

        Returns its facts or the error, by its id.

        Raises ``Refused`` before anything is changed.
        """
        if problem := reserved([minion_id]):
            raise Refused(problem)
        self.changes(test=test)
        wanted = create_master.options(options)
        now = datetime.now(timezone.utc)
        node = roles.resolve(
            self.config, self.schemas, self.info, provider=provider, region=region, minion_id=minion_id,
            arguments=create_master.settings_with(wanted, settings), batch=new_batch(now.timestamp()), now=now,
            masterless=True, takes=takes,
        )  # fmt: skip
        driver = self.driver(node.provider)
        node = create_master.fit(node, driver)
        if not test:
            self._sweep_dead(node.provider)
        else:
            driver.ask_again()
        (node,) = preflight.fit([node], driver, self.context, lambda zones: [dataclasses.replace(node, zone=zones[0])])
        with self.money.within_limits(limits.creation(node, 1), test=test) as claimed:
            if test:
                return self.money.priced(Result(plan.creation([node])))
            remove_old_logs(self.info.log_dir, node.settings.log_days, time.time())
            return self.by_node(*create_master.create_master(node, driver, self.context, wanted, claimed))

    def by_node(self, data: dict[str, Any], interrupted: int | None, *, test: bool = False) -> Result:
        """Return the result of entries by node. With ``test``, an entry without a result is a plan: a success."""
        good = (True, None) if test else (True,)
        problems = data.pop("errors", [])
        ok = not problems and all(entry["result"] in good for entry in data.values())
        return Result(data, ok, interrupted, problems=problems)

    # destroying

    def destroy(self, minion_ids: Sequence[str], *, test: bool = False) -> Result:
        """
        Destroy nodes: the instance, then the key, then the record.

        Raises ``Refused``, with nothing done, if any of the ids is not a node of hart's.
        """
        self.changes(test=test)
        records = self.nodes_of(minion_ids)
        chosen.refuse_elsewhere(records, self.context)
        drivers = self.drivers_of(records.values())
        unsure = protection.refuse(records, drivers)
        if test:
            return self.money.priced(Result(plan.destruction(records)))
        return self.by_node(*destroy.destroy_all(records, drivers, self.context, unsure=unsure))

    def protect(self, minion_ids: Sequence[str], *, on: bool, test: bool = False) -> Result:
        """Protect nodes against ``destroy`` and all that uses it, or remove the protection; see ``protection``."""
        self.changes(test=test)
        records = self.nodes_of(minion_ids)
        chosen.refuse_elsewhere(records, self.context, "hart.protect" if on else "hart.unprotect")
        drivers = self.drivers_of(records.values())
        return self.by_node(*protection.change(records, drivers, self.context, on=on, test=test), test=test)

    def destroy_selected(self, selector: Selector, *, test: bool, yes: bool) -> Result:
        """Destroy the nodes that match; without ``yes``, return the plan, which is a failure without ``test``."""
        minion_ids, notes = self.selection.ids(selector, "hart.destroy")
        result = self.destroy(minion_ids, test=test or not yes)
        result = dataclasses.replace(result, notes=[*result.notes, *notes])
        return result if test or yes else selection.unconfirmed(result)

    def sync_keys(self, *, test: bool = False) -> Result:
        """Compare the nodes' keys with every master's key store, and repair them; see ``sync_keys.sync``."""
        self.changes(test=test)
        data = sync_keys.sync(self.context, test=test)
        return Result(data, all(report["result"] is not False for report in data.values()))

    def drivers_of(self, records: Iterable[Record]) -> dict[str, Driver]:
        return {record.provider: self.driver(record.provider) for record in records}

    def nodes_of(self, minion_ids: Sequence[str]) -> dict[str, Record]:
        """Return the records of these ids; for an instance without one, the record that it would have."""
        return chosen.records_of(
            minion_ids, self.context, next(iter(self.config.providers.values())),
            lambda: take_snapshot(self.drivers_for(None), self.context.store, self.master),
        )  # fmt: skip

    # additional addresses

    def add_ip(self, minion_id: str, request: AddressRequest, *, reboot: bool, test: bool) -> Result:
        """
        Add an additional address to a node; see ``addresses``.

        ``reboot`` says whether the provider may restart the node, if such an address needs it.

        Raises ``Refused`` or ``InvalidRequest`` before anything is changed.
        """
        self.changes(test=test)
        with self._ready_node(minion_id, "hart.add_ip") as (record, instance):
            driver = self.driver(record.provider)
            address = addresses.find(record, instance, request, driver)
            if test:
                return Result({minion_id: addresses.plan(record, address, self.context)})
            addresses.refuse_unready(record, address, self.context, reboot=reboot, adding=True)
            entry, interrupted = addresses.add(record, instance, address, driver, self.context)
        return self.by_node({minion_id: entry}, interrupted)

    def remove_ip(self, minion_id: str, ip: str, *, reboot: bool, test: bool) -> Result:
        """Remove an additional address from a node; an address that it does not have is a success."""
        self.changes(test=test)
        with self._ready_node(minion_id, "hart.remove_ip") as (record, instance):
            driver = self.driver(record.provider)
            address = addresses.find_there(record, instance, ip, driver)
            if address is None:
                facts = {"result": True, "changed": False, "ip": ip}
                return Result({minion_id: {**facts, "notes": ["it has no such address"]}})
            if test:
                return Result({minion_id: plan.removal(address)})
            addresses.refuse_unready(record, address, self.context, reboot=reboot, adding=False)
            entry, interrupted = addresses.remove(record, instance, address, driver, self.context)
        return self.by_node({minion_id: entry}, interrupted)

    @contextmanager
    def _ready_node(self, minion_id: str, function: str) -> Iterator[tuple[Record, Instance]]:
        """Yield a ready node of this master, locked during the block. Raises ``Refused`` for any other id."""
        chosen.refuse_elsewhere(self.nodes_of([minion_id]), self.context, function)
        self.master.require_running()
        with self.context.locks.claim(minion_id):
            record = self.context.store.get(minion_id)
            instance = instance_of(record) if record is not None and is_ready(record) else None
            if record is None or instance is None:
                raise Refused(f"{minion_id} is not a ready node; salt-run hart.show {minion_id} shows its state")
            yield record, instance

    # imports

    def import_minion(self, request: match.ImportRequest, *, test: bool = False) -> Result:
        """
        Bring an existing minion under management; see ``migration/adopt.py``.

        ``request.provider`` can be empty if the configuration allows only one.

        Raises ``Refused``, with nothing done, if it is not an accepted minion, or if its instance is not certain.
        """
        provider = roles.choose_provider(self.config, request.role, request.provider or None).name
        request = dataclasses.replace(request, provider=provider)
        outcomes, interrupted = self._import([request], test)
        outcome = outcomes[request.minion_id]
        if outcome.refused:
            raise Refused(f"{request.minion_id}: {outcome.error}")
        return self.by_node({request.minion_id: outcome.data(test)}, interrupted, test=test)

    def import_minions(self, path: str, *, provider: str | None, test: bool = False) -> Result:
        """Import everything in hart's own store of minions; report each minion that cannot be imported, by its id."""
        if provider is not None:
            self._provider(provider)
        requests, data = hart_store.requests(path, self.config.providers, provider)
        outcomes, interrupted = self._import(requests, test) if requests else ({}, None)
        data |= {minion_id: outcome.data(test) for minion_id, outcome in outcomes.items()}
        return self.by_node(dict(sorted(data.items())), interrupted, test=test)

    def _import(
        self, requests: Sequence[match.ImportRequest], test: bool
    ) -> tuple[dict[str, adopt.Outcome], int | None]:
        self.changes(test=test)
        self.master.require_running()
        chosen = {name: self.driver(name) for name in dict.fromkeys(request.provider for request in requests)}
        work = adopt.Importing(requests, chosen, self.context, self.config.roles, test=test)
        interrupted = work.run()
        return work.outcomes, interrupted

    # roles

    def settings_of(self, record: Record) -> Settings:
        """Return the current settings for a node of this role and place."""
        return self.offers.example(record.role, record.provider, record.region).settings

    def check_seal(self, target: str, target_type: str) -> Result:
        """Ask minions whether anything temporary of their bootstrap is left."""
        answers = self.master.minions.ask(target, target_type, "hart.sealed")
        data = {minion_id: sealing.seen_by_minion(answer) for minion_id, answer in answers.items()}
        return Result(data, all(entry["result"] for entry in data.values()))

    def check_seal_selected(self, selector: Selector) -> Result:
        """Ask the minions of the nodes that match."""
        minion_ids, notes = self.selection.ids(selector, "hart.check_seal")
        return dataclasses.replace(self.check_seal(",".join(minion_ids), "list"), notes=notes)

    # after a crash

    def sweep(self, *, provider: str | None, grace: float, test: bool, force: bool) -> Result:
        """Find and remove what crashes left behind, at one provider or all of them; see ``leaks`` and ``sweep``."""
        self.changes(test=test)
        if provider is not None:
            self._provider(provider)
        chosen = {driver.provider.name: driver for driver in self.drivers_for(provider)}
        work, locks = sweep.Sweep(chosen, self.context), self.context.locks
        data, interrupted = sweep.alone(work, locks, grace=grace, test=test, force=force)
        problems, notes = data.pop("errors", []), data.pop("note", None)
        ok = not (problems or data.get("failed")) and interrupted is None
        return Result(data, ok, interrupted, problems=problems, notes=[notes] if notes else [])

    def _sweep_dead(self, provider: str | None) -> None:
        """Remove what dead operations left at ``provider``, the only one that is queried; None: at all of them."""
        sweep.remove_dead({provider} if provider else set(self.config.providers), self.driver, self.context, log)

    # queries

    def list_minions(
        self, selector: Selector, *, ping: bool, sort: str = listing.BY_ID, columns: Sequence[str] = ()
    ) -> Result:
        """Return every node as all four sources report it. Raises ``Refused`` for a filter that no node can match."""
        seen = self.selection.look(selector, ping=ping)
        more = {"columns": list(columns)} if columns else {}
        nodes = listing.ordered(seen.nodes, sort)
        return Result(nodes, not seen.problems, problems=seen.problems, notes=seen.notes, more=more)

    def show(self, minion_id: str) -> Result:
        """Return everything about one node except secrets. Raises ``Refused`` for an id that no source knows."""
        if problem := check_minion_id(minion_id):
            raise Refused(f"{minion_id}: {problem}")
        try:
            record = self.context.store.get(minion_id)
        except BrokenRecord:
            record = None  # its entry reports the broken record
        present = self.master.minions.present
        if record is not None:
            seen = look_at(record, self.driver(record.provider), self.master, present)
        else:
            seen = take_snapshot(self.drivers_for(None), self.context.store, self.master,
                                 lambda ids: present([one for one in ids if one == minion_id]))  # fmt: skip
        looking = self.selection
        nodes, unknown = looking.nodes(seen)
        entry = nodes.get(minion_id)
        if entry is None:
            raise Refused(f"{minion_id}: {chosen.why_no_node(minion_id, self.master)}")
        more = {**(listing.more(record) if record else {}), "image": looking.image(minion_id, seen)}
        problems = [*seen.problems, *unknown]
        return Result({minion_id: {**entry, **more}}, not problems, problems=problems, notes=looking.notes)

    @property
    def selection(self) -> Selection:
        return Selection(self.config, self.context, self.drivers_for, self.drift())

    def drift(self) -> Drift:
        return Drift(self.offers.example, BakedImages(self.driver, self.info))

    def image_digest(self, node: Node) -> str:
        return digest.digest_of_image(node, self.info, self.config.secrets, node.settings.bake)

    def drivers_for(self, provider: str | None) -> list[Driver]:
        return [self.driver(name) for name in ([provider] if provider else self.config.providers)]

    def check(self, *, role: str | None = None, provider: str | None = None, count: int = 1) -> Result:
        """Return a line for each need of hart on this machine, and for each check of the accounts; see ``account``."""
        examples = account.Examples(self.config, self.schemas, self.info, role)
        missing = functools.partial(preflight.missing, context=self.context)
        found = account.checks(self.drivers_for(provider), examples, count, self.images.fitted, missing)
        return health.report(self.context, self.notes, found)


class _ByHand:
    """The use cases that a declared fleet can undo, with a note if it will; see ``use_cases/by_hand.py``."""

    def __init__(self, service: Service) -> None:
        noted = ByHand(service, service.offers).of
        self.create = noted("create", service.create)
        self.destroy = noted("destroy", service.destroy)
        self.destroy_selected = noted("destroy", service.destroy_selected)
        self.import_minion = noted("import", service.import_minion)
        self.import_minions = noted("import", service.import_minions)
        self.scale = noted("", service.roles.scale)
        self.replace = noted("", service.roles.replace)
        self.stop = noted("stop", service.everyday.stop)
        self.resize = noted("resize", service.everyday.resize)
