"""The use cases that need no configuration of hart; ``service.py`` has the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from hart_salt import drivers
from hart_salt.base import machine
from hart_salt.base.errors import EnvironmentFault
from hart_salt.config.catalog import Catalogue
from hart_salt.config.settings import BAKED
from hart_salt.fleets import engine_settings, engine_status
from hart_salt.fleets.engine_files import EngineFiles
from hart_salt.fleets.engine_state import EngineStore
from hart_salt.fleets.leadership import EngineHost
from hart_salt.inventory.records import Store
from hart_salt.master import peer_work
from hart_salt.master.client import Master
from hart_salt.migration.salt_cloud import config as cloud_config
from hart_salt.migration.salt_cloud import files
from hart_salt.operations import completion, explain, health, listing, lookup
from hart_salt.result import Result

USUAL = 60.0  #: seconds between two looks of the engine


def version(runner_file: str) -> Result:
    """Return the relevant versions, and the loaded files: a synced runner takes precedence over an installed one."""
    return Result(health.versions(runner_file))


def explained(name: str | None, functions: Mapping[str, Mapping[str, str]]) -> Result:
    """Return what a setting or a function means; see ``explain.explain``."""
    return Result(explain.explain(name, drivers.schemas(), functions))


def completion_script(opts: Mapping[str, Any], shell: str, functions: Mapping[str, Callable[..., Any]]) -> str:
    """
    Return the script that completes hart's functions in a shell; see ``completion.script``.

    Raises ``Refused`` for an unknown shell.
    """
    schemas = drivers.schemas()
    settings = explain.settings(schemas)
    names = {*settings, *(name.rpartition(".")[2] for name in settings), *functions}
    of_role = Catalogue(schemas).names(None)
    return completion.script(shell, functions, _choices(settings), of_role, sorted(names), str(opts["cachedir"]))


def _choices(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Iterable[str]]:
    """Return the values of arguments and settings that have few."""
    found: dict[str, Iterable[str]] = {
        "status": [status for status in listing.STATUSES if " " not in status],
        "stage": lookup.STAGES,
        "remove": ["newest", "oldest"],
        "image": BAKED,
    }
    for name, entry in settings.items():
        kind, short = str(entry.get("type", "")), name.rpartition(".")[2]
        if kind.startswith("one of "):
            found.setdefault(short, kind.removeprefix("one of ").split(", "))
        elif kind == "true or false":
            found.setdefault(short, completion.FLAGS)
    return found


def node(opts: Mapping[str, Any], minion_id: str, stage: str | None) -> Result:
    """Return the record of a node, see ``lookup.node``; this reads no configuration and queries no cloud."""
    facts = lookup.node(Store(Master(opts).cache()), minion_id, stage)
    return Result({minion_id: facts}, more=facts)


def node_of(opts: Mapping[str, Any], ip: str) -> Result:
    """Return the node that has an address; see ``lookup.node_of``."""
    found = lookup.node_of(Store(Master(opts).cache()), ip)
    return Result({found["minion_id"]: dict(found)} if found["minion_id"] else {}, more=found)


def engine(opts: Mapping[str, Any]) -> Result:
    """
    Return what the engine did last and will do next; this reads no configuration of hart and queries no cloud.

    A record store that cannot be read is one of the problems.
    """
    master = Master(opts)
    info, files, given = master.info(), EngineFiles(str(opts["cachedir"])), engine_settings.configured(opts)
    problems: list[str] = []
    interval = USUAL
    try:
        interval = engine_settings.seconds((given or {}).get("interval", USUAL))
    except ValueError as error:
        problems.append(str(error))
    state = None
    try:
        state = EngineStore(Store(master.cache(), master.record_place()), info.owner).read()
    except EnvironmentFault as error:
        problems.append(str(error))
    data, wrong = engine_status.report(
        configured=given is not None, interval=interval, runs=files.runs(), own=files.read(), state=state,
        me=EngineHost(info.master_id, machine.machine(info.cachedir)), now=time.time(),
    )  # fmt: skip
    problems += wrong
    note = "the engine is not configured: see the page Fleets of the documentation" if given is None else ""
    return Result(data, not problems, problems=problems, notes=[note] if note else [])


def peer_work_for(opts: Mapping[str, Any], work: Any, keys: Any, until: Any, sent: Any) -> Result:
    """Do what another master asks of this one; see ``peer_work.do``."""
    data = peer_work.do(opts, work, {} if keys is None else keys, until, sent)
    return Result(data, "error" not in data, version=1)  # of the protocol between masters, not of results


def from_salt_cloud(opts: Mapping[str, Any], directory: str | None, map_file: str | None) -> cloud_config.Translation:
    """
    Return salt-cloud's configuration in the form of hart's; this reads nothing of this master's hart configuration.

    ``directory`` contains ``cloud``, ``cloud.providers`` and so on (default: the directory of the master's config
    file). ``map_file`` is the path of a map, or its name in ``cloud.maps.d`` (default: all maps there).

    Raises ``Refused`` for a file that cannot be read.
    """
    base = directory or str(Path(str(opts["conf_file"])).parent)
    return cloud_config.translation(files.read(base, map_file, Master(opts).configuration.render), drivers.schemas())
