"""
Check what hart needs on this machine, for ``hart.check``.

A new check is an entry of ``CHECKS``. Names contain spaces, which names of providers cannot.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import hart_salt
from hart_salt.base import descriptors
from hart_salt.base.errors import DriverError, EnvironmentFault, HartError, PeerError, Refused, kind_of
from hart_salt.inventory.choose_locks import check_layout
from hart_salt.inventory.context import Context
from hart_salt.inventory.slots import Slots
from hart_salt.master.client import SALT_VERSION
from hart_salt.master.peers import PeerFacts
from hart_salt.master.public_keys import same_key
from hart_salt.model import OK, PROBLEM, UNKNOWN, Check, MasterInfo
from hart_salt.planning import layouts
from hart_salt.result import Result


def report(context: Context, notes: Sequence[str], accounts: Sequence[Check]) -> Result:
    """
    Return a line for each check: of this machine, of hart's own file, and of the accounts.

    ``notes`` are the notes on hart's own file.
    """
    found = [*of_machine(context), *of_reactors(context), *of_others(context), *of_file(notes), *accounts]
    return Result({check.name: line(check) for check in found}, not any(map(is_problem, found)))


def of_machine(context: Context) -> list[Check]:
    """Return the result of each of ``CHECKS``. A failure of one does not stop the others."""
    return [_result(name, check, context) for name, check in CHECKS.items()]


def of_reactors(context: Context) -> list[Check]:
    """Return a check of how the master runs the calls of its reactors, if it has any; see ``docs/reactors.md``."""
    threads = context.master.reactor_threads()
    several = f"they run in {threads} threads; but Salt loses some that begin at the same time: set"
    advice = f"{several} reactor_worker_threads: 1 in the master config"
    return [Check("calls of reactors", OK, advice if threads > 1 else "they run in one thread")] if threads else []


def of_others(context: Context) -> list[Check]:
    """Return a check of each other master: whether it can be reached, and whether nodes can be minions of both."""
    peers = context.others.peers
    return [_of_other(name, one, context.info) for name, one in (peers.facts() if peers else {}).items()]


def _of_other(name: str, facts: PeerFacts | PeerError, info: MasterInfo) -> Check:
    problems = layouts.faults(info, {name: facts})
    if problems or isinstance(facts, PeerError):
        return Check(f"master {name}", PROBLEM, "; ".join(problems))
    shared = same_key(facts.public_key, info.public_key)
    key = "the same key as this master" if shared else "another key, signed with the same signing key as this master's"
    return Check(f"master {name}", OK, f"hart-salt {facts.hart}, Salt {facts.salt}, with {key}")


def of_file(notes: Sequence[str]) -> list[Check]:
    """Return a check with the notes on hart's own file, if there are any."""
    return [Check("hart's own file", OK, "; ".join(notes))] if notes else []


def _result(name: str, check: Callable[[Context], tuple[str, str]], context: Context) -> Check:
    try:
        return Check(name, *check(context))
    except HartError as error:
        return problem(name, error)


def problem(name: str, error: HartError) -> Check:
    """Return the check that failed with an error; one of a provider has a name of its own, such as ``AuthError``."""
    return Check(name, kind_of(error) if isinstance(error, DriverError) else PROBLEM, str(error))


def is_problem(check: Check) -> bool:
    """Return whether something must be done."""
    return check.result not in (OK, UNKNOWN)


def line(check: Check) -> str:
    """Return a check as a line of ``hart.check``."""
    return f"{check.result}: {check.sentence}"


def versions(runner_file: str) -> dict[str, str]:
    """Return the relevant versions, and which files are loaded: a synced runner hides an installed one."""
    package = Path(hart_salt.__file__).resolve().parent
    installed = Path(runner_file).resolve() == (package / "runners" / "hart.py").resolve()
    note = "" if installed else " (not the installed one: Salt loads a copy that was synced from the file server)"
    return {
        "hart-salt": hart_salt.__version__,
        "salt": SALT_VERSION,
        "python": sys.version.split()[0],
        "runner": f"{runner_file}{note}",
        "package": str(package),
    }


def _salt_master(context: Context) -> tuple[str, str]:
    context.master.require_running()
    return OK, "it runs"


def _log_directory(context: Context) -> tuple[str, str]:
    note = f", {context.info.log_note}" if context.info.log_note else ""
    return OK, f"{context.info.log_dir}{note}"


def _record_store(context: Context) -> tuple[str, str]:
    return OK, "; but ".join([context.store.place, *context.store.check()])


def _broken_records(context: Context) -> tuple[str, str]:
    try:
        broken = context.store.read().broken
    except EnvironmentFault:
        return PROBLEM, "they cannot be counted; see the line of the record store"
    return (str(len(broken)), "; ".join(broken.values())) if broken else (OK, "none")


def _open_files(context: Context) -> tuple[str, str]:
    number = descriptors.places()
    if number > 10**6:
        return OK, descriptors.limit()
    return OK, f"{descriptors.limit()}, which is enough for {number} nodes at the same time"


def _calls(context: Context) -> tuple[str, str]:
    running, waiting = Slots(context.info.cachedir).seen()
    return OK, f"{running} running, {waiting} waiting (max_calls)"


def _minion_settings(context: Context) -> tuple[str, str]:
    """Return what minions get that follows from this master's own configuration."""
    info, terms = context.info, context.info.terms
    if terms.refusals:
        raise Refused("; ".join(f"{name} of the master config {problem}" for name, problem in terms.refusals.items()))
    ports = {"master_port": info.return_port, "publish_port": info.publish_port}
    settings = ", ".join(f"{name}: {value}" for name, value in {**ports, **terms.settings}.items())
    asked = "".join(f"; {name} {problem}" for name, problem in terms.required.items())
    return OK, f"minions get {settings}{asked}"


def _coordination(context: Context) -> tuple[str, str]:
    check_layout(context.cluster, context.store)  # otherwise every call that changes something is refused
    return OK, context.locks.check()


#: what hart needs on this machine; each check returns its result and a sentence, or raises ``HartError``
CHECKS: Mapping[str, Callable[[Context], tuple[str, str]]] = {
    "salt-master process": _salt_master,
    "log directory": _log_directory,
    "record store": _record_store,
    "broken records": _broken_records,
    "coordination": _coordination,
    "open files": _open_files,
    "calls that change something": _calls,
    "minion settings": _minion_settings,
}
