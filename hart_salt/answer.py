"""
The result of a call of hart: data, or one sentence that says why there is none. All of it passes the gate.

The use cases return and raise their data and errors as they are; nothing reaches the caller except through this module.
"""

from __future__ import annotations

import dataclasses
import logging
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from hart_salt import drivers
from hart_salt.base.caller import Caller
from hart_salt.base.descriptors import raise_limit
from hart_salt.base.errors import ConfigError, HartError, Interrupted, Refused
from hart_salt.base.faults import as_fault
from hart_salt.base.gate import Gate
from hart_salt.base.shape import copied
from hart_salt.config import loader
from hart_salt.master.client import Master
from hart_salt.operations import completion
from hart_salt.result import Result, refusal
from hart_salt.service import DEFAULT_CONFIG_FILE, Service

log = logging.getLogger(__name__)

INTERRUPTED = 130  #: the exit code of a shell after Ctrl-C
REFUSED = 2  #: the exit code of a request of which nothing was carried out
DEFECT = 70  #: the exit code of a defect in hart: EX_SOFTWARE of sysexits.h


def answer(
    opts: Mapping[str, Any],
    work: Callable[[Callable[[str | None], Service]], Result],
    config_file: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    caller: Caller | None = None,
) -> Result:
    """
    Do the work, and return its result or that of the error that ended it; never raise an exception.

    ``work`` gets a function that makes a ``Service`` from the path of hart's TOML file. ``config_file`` is that path,
    if the call has one; if the work ends before it reads its configuration, the secrets are read from there.
    ``arguments`` holds the arguments that may contain a secret; Salt has published them, so the notes name those that
    do. ``caller`` is who called hart.
    """
    if endless := copied(arguments or {}, "argument")[1]:
        return refusal(str(ConfigError(endless)), REFUSED)
    gate = Gate()
    gate.secrets.gather(arguments or {})
    made: list[Service] = []

    def service(path: Any) -> Service:
        if path is not None and not isinstance(path, str):
            raise Refused("config must be the path of a TOML file")
        raise_limit()
        made.append(Service(opts, path, gate, caller))
        return made[0]

    with gate.logs():
        report = _done(work, service, gate)
        if made and report.ok:
            _remember(made[0])
        if not made and not report.ok:
            _learn(opts, config_file, gate)
        journal = made[0].context.journal.notes if made else []
        report = dataclasses.replace(report, notes=[*report.notes, *journal])
        if named := gate.secrets.named_in(arguments or {}):
            report = dataclasses.replace(report, notes=[*report.notes, _note(named)])
        version = made[0].config.cluster.result_version if made else report.version
        return dataclasses.replace(
            report, version=version, data=gate.data(report.data), more=gate.data(report.more),
            problems=[gate.text(text) for text in report.problems], notes=[gate.text(text) for text in report.notes],
            error=gate.text(report.error),
        )  # fmt: skip


def _remember(service: Service) -> None:
    """Write the names that the completion of shells offers; a failure changes nothing."""
    with suppress(Exception):  # the outcome is known; no name may change it
        config = service.config
        names = {"role": config.roles, "provider": config.providers, "fleet": config.fleets}
        completion.remember(service.info.cachedir, {"id": service.context.store.ids(), **names})


def _done(work: Callable[[Callable[[str | None], Service]], Result], service: Any, gate: Gate) -> Result:
    try:
        return work(service)
    except Interrupted as error:
        return refusal(str(error), INTERRUPTED, error.signum)
    except HartError as error:
        return refusal(str(error), REFUSED)
    except SystemExit as error:  # a signal came while nothing was running that hart would roll back
        return refusal("interrupted; nothing was started", int(error.code or INTERRUPTED))
    except Exception as error:  # no exception may count as a success
        # Only its type and place are reported, because the text of an unforeseen error may quote anything.
        frames = reversed(traceback.extract_tb(error.__traceback__))
        place = ", ".join(f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames)
        log.error("hart failed with %s at %s", type(error).__name__, place)  # noqa: TRY400 - see above
        fault = as_fault(error)
        if fault is not None:
            return refusal(str(fault), REFUSED)
        return refusal(f"a defect in hart: {type(error).__name__}; the log shows where", DEFECT)


def _learn(opts: Mapping[str, Any], config_file: str | None, gate: Gate) -> None:
    """
    Learn the secrets in every part of the configuration that can be read; the other parts cannot have shown any.

    An error may quote a secret before the configuration has been read, or because it could not be read.
    """
    sources: list[loader.Source] = []
    with suppress(Exception):
        if toml := loader.read_toml(config_file or DEFAULT_CONFIG_FILE, required=False):
            sources.append(toml)
    master = Master(opts)
    with suppress(Exception):
        gate.secrets.gather(master.configuration.own_settings())
        gate.secrets.add(master.configuration.from_sdb())
    for label, read in (("master config", master.configuration.section), ("pillar", master.configuration.pillar)):
        with suppress(Exception):
            sources.append(loader.Source(label, read()))
    with suppress(Exception):
        loader.load(sources, drivers.schemas(), master.configuration.resolve_sdb, gate.secrets)


# secrets in arguments


def _note(named: list[str]) -> str:
    names, verb = " and ".join(named), "hold secrets" if len(named) > 1 else "holds a secret"
    return (
        f"{names} {verb}: an argument appears in the process list of this machine, on Salt's event bus and in its job "
        "cache, where hart cannot hide it; put the secret into the pillar, or reference it in the configuration with "
        "sdb://, and replace this one"
    )
