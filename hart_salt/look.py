"""
One look of the engine, in a process of its own: ``python -m hart_salt.look``.

The process reads its request as JSON from standard input, and writes its answer to standard output. It reads the whole
configuration by itself, so that a look always has the present one, and whatever libraries of providers leave behind
ends with it. It ends as soon as the engine has ended.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hart_salt.answer import answer
from hart_salt.base import machine
from hart_salt.base.caller import Caller
from hart_salt.base.errors import ConfigError, HartError
from hart_salt.fleets import leadership
from hart_salt.fleets.engine import OUTSIDE, Ending, Tools, look, plain
from hart_salt.fleets.engine_state import EngineState, EngineStore
from hart_salt.inventory.job_files import JobFiles, new_token
from hart_salt.inventory.records import READY, Record
from hart_salt.inventory.session import now as ticking
from hart_salt.master.configuration import current_options
from hart_salt.result import Result
from hart_salt.service import Service

#: how the runner recognizes a job of the engine; see ``_runners/hart.py``
JOB = {"__hart_background__": True, "__hart_by__": "engine"}
TOKEN = "__hart_engine__"  # noqa: S105 - no secret
#: attempts to get the lock of the engine, which another master holds for a moment while it decides not to lead
ATTEMPTS = 5
#: errors that a look that failed leaves for the log of the master
KEPT = 5
BUSY = "another process holds the lock of the engine"


def main() -> None:
    """Answer the request on standard input."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    request = json.load(sys.stdin)
    threading.Thread(target=_end_after, args=(request["parent"],), daemon=True).start()
    json.dump(answered(request), out)
    out.close()
    # Without waiting for threads of libraries.
    sys.stderr.flush()
    os._exit(0)


def _end_after(parent: int) -> None:
    """End this process as soon as its parent has ended."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def answered(request: Mapping[str, Any]) -> dict[str, Any]:
    """
    Look, and return the answer as plain data.

    ``request`` has the path ``conf_file``, ``config`` (hart's own file or None), ``interval``, and ``seen``, which the
    last answer had. The answer has ``error``, which is empty if the look succeeded; then ``leads``, ``seen``, the
    ``messages`` for the log, and the ``jobs`` that run. A configuration that cannot be used makes ``broken`` true.
    """
    try:
        opts = current_options(request["conf_file"])
    except ConfigError as error:
        return {"error": str(error), "broken": True}
    broken: list[bool] = []

    def work(service: Callable[[str | None], Service]) -> Result:
        try:
            made = service(request["config"])
        except ConfigError:
            broken.append(True)
            raise
        return Result(_looked(made, request))

    with _kept_log() as kept:
        result = answer(opts, work, request["config"], caller=Caller("engine", "hart.engine"))
    if not result.ok:
        return {"error": result.error or "; ".join(result.problems), "broken": bool(broken), "log": kept}
    return {"error": "", "broken": False, **result.data}


@contextlib.contextmanager
def _kept_log() -> Iterator[list[str]]:
    """Keep the last errors that hart logs, such as the place of a defect: this process has no log of its own."""
    kept: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.addFilter(lambda record: record.name.startswith("hart_salt"))

    def keep(record: logging.LogRecord) -> None:
        kept[:] = [*kept, record.getMessage()][-KEPT:]

    handler.emit = keep  # type: ignore[method-assign]
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield kept
    finally:
        root.removeHandler(handler)


def _looked(service: Service, request: Mapping[str, Any]) -> dict[str, Any]:
    store = EngineStore(service.context.store, service.info.owner)
    me = leadership.EngineHost(service.info.master_id, machine.machine(service.info.cachedir))
    seen, attempts = leadership.seen_of(request.get("seen")), 0
    while True:
        leads, seen = leadership.leads(store.read(), me, seen, ticking())
        if not leads:
            return {"leads": False, "seen": leadership.written(seen), "messages": [], "jobs": []}
        with service.context.locks.engine() as held:
            if held:
                state = store.read()
                # Another master may have become the leader in the meantime.
                leads, seen = leadership.leads(state, me, seen, ticking())
                if leads:
                    return _led(service, store, me, request, state or EngineState())
        attempts += 1
        if attempts == ATTEMPTS:
            raise HartError(BUSY)
        time.sleep(1)


def _led(
    service: Service, store: EngineStore, me: leadership.EngineHost, request: Mapping[str, Any], state: EngineState
) -> dict[str, Any]:
    interval = float(request["interval"])
    try:
        done = look(_tools(service, store, me, interval, request["config"]), state)
    except HartError as error:
        # Other masters and hart.engine see why; it does not count as a look, so that another master can take over.
        before = store.read() or state
        store.write(replace(before, leader=me.master, machine=me.machine, interval=interval,
                            error=service.gate.error(error), failed=time.time()))  # fmt: skip
        raise
    finally:
        service.master.close()
    jobs = [note.token for note in done.state.fleets.values() if note.runs]
    return {"leads": True, "seen": None, "messages": done.messages, "jobs": jobs}


def _tools(
    service: Service, store: EngineStore, me: leadership.EngineHost, interval: float, config: str | None
) -> Tools:  # fmt: skip
    context, gate = service.context, service.gate

    def plan() -> Mapping[str, Mapping[str, Any]]:
        plans, outside = service.fleets.observe()
        roles = {name: fleet.role for name, fleet in service.config.fleets.items()}
        found: Mapping[str, Mapping[str, Any]] = gate.data(plain(plans, roles, outside=outside))
        return found

    def begin(fleet: str, token: str) -> str:
        file = {"config": config} if config else {}
        name = {"fleet": fleet} if fleet != OUTSIDE else {}
        return service.master.begin("hart.apply", {**name, "waves": 1, **file, **JOB, TOKEN: token})

    return Tools(
        me=me, interval=interval, clock=time.time, plan=plan, ends=lambda: _ends(service),
        jobs=JobFiles(service.info.cachedir), new_token=new_token, begin=begin, fire=context.master.fire,
        write=store.write, check=context.locks.check_alive,
    )  # fmt: skip


def _ends(service: Service) -> Sequence[Ending]:
    """Return the ready nodes of this master that have an end."""
    elsewhere = service.context.locks.elsewhere
    ready = [one for one in service.context.store.all() if one.stage == READY]
    return [
        Ending(one.minion_id, one.ends, _facts(one)) for one in ready if one.ends is not None and not elsewhere(one)
    ]


def _facts(record: Record) -> dict[str, Any]:
    return {"role": record.role, "provider": record.provider, "region": record.region}


if __name__ == "__main__":
    main()
