"""
Minions of light machines, which exist on the master's event bus only.

``BusMinions.start`` is meant for ``on_start`` of ``LightMachines``. It fires the start event of a minion and answers
``test.ping``, ``cmd.run_all``, ``state.apply``, ``grains.item`` and, from the minion's configuration,
``config.get``. The master's own code stores an answer in the job cache and fires it on the bus. The rest is real: the
master, its key store, the job. The minions' keys must be accepted, or the master sends them no job. It runs on the
master's host as the master's user.
"""

from __future__ import annotations

import contextlib
import importlib.util
import threading
import time
import types
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import salt.config
import salt.exceptions
import salt.returners.local_cache
import salt.utils.event
import salt.utils.job

from tests.emulation.light import LightMachine

CONNECT_TIMEOUT = 120.0
#: the default answers of all minions by function, beside ``grains.item``; for example, a script that seals them over
#: Salt succeeds
ANSWERS: Mapping[str, Any] = {
    "test.ping": True, "cmd.run_all": {"retcode": 0, "stdout": "", "stderr": "", "pid": 1},
    "state.apply": {"file_|-a_|-/a_|-managed": {"result": True, "comment": "", "changes": {}}},
}  # fmt: skip


class BusMinions:
    """A context manager. ``config`` is the master's configuration file, ``answers`` the answers by function."""

    def __init__(self, config: Path, answers: Mapping[str, Any] = ANSWERS) -> None:
        self.answers = answers
        self._opts = salt.config.master_config(str(config))
        self._lock = threading.Lock()
        self._ids: set[str] = set()
        #: minions that start but answer nothing
        self.deaf: set[str] = set()
        #: the content of the configuration file, by minion id
        self.configured: dict[str, Mapping[str, Any]] = {}
        #: grains by minion id; a test can change them
        self.grains: dict[str, dict[str, Any]] = {}
        self._stop = threading.Event()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="bus minions", daemon=True)

    def start(self, machine: LightMachine) -> None:
        """Start the machine's salt-minion with its configured id."""
        configuration = machine.configuration or {}
        addresses = [machine.request.public_ip, machine.request.private_ip]
        ipv4 = ["127.0.0.1", *(address for address in addresses if address)]
        minion_id = str(configuration["id"])
        self.grains[minion_id] = {"ipv4": ipv4, "ipv6": ["::1"], **(configuration.get("grains") or {})}
        self.configured[minion_id] = configuration
        self.join(minion_id)

    def join(self, minion_id: str) -> None:
        """Start a minion with that id. A second start is a restart."""
        with self._lock:
            self._ids.add(minion_id)
        with self._bus(listen=False) as bus:
            data = {"id": minion_id, "cmd": "_minion_event", "data": f"Minion {minion_id} started"}
            bus.fire_event(data, f"salt/minion/{minion_id}/start")

    def leave(self, machine: LightMachine) -> None:
        """Stop the minion of a machine that is gone."""
        self.stop(str((machine.configuration or {}).get("id")))

    def stop(self, minion_id: str) -> None:
        """Stop the answers of the minion with that id."""
        with self._lock:
            self._ids.discard(minion_id)

    def __enter__(self) -> BusMinions:
        self._thread.start()
        if not self._listening.wait(CONNECT_TIMEOUT):
            raise TimeoutError("no master answers on its event bus")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(CONNECT_TIMEOUT)

    def _bus(self, *, listen: bool) -> Any:
        return salt.utils.event.get_event("master", self._opts["sock_dir"], opts=self._opts, listen=listen)

    def _listen(self) -> None:
        with contextlib.ExitStack() as stack:
            heard = stack.enter_context(self._bus(listen=True))
            said = stack.enter_context(self._bus(listen=False))
            store = types.SimpleNamespace(returners=_job_cache(self._opts))
            if heard.connect_pub(timeout=CONNECT_TIMEOUT):
                self._listening.set()
            while not self._stop.is_set():
                event = heard.get_event(wait=0.2, tag="salt/job/", full=True)
                if event and event["tag"].endswith("/new"):
                    self._answer(said, store, event["data"])

    def _answer(self, bus: Any, store: Any, job: Mapping[str, Any]) -> None:
        with self._lock:
            addressed = (self._ids - self.deaf) & set(job.get("minions") or ())
        for minion_id in addressed:
            answer = self._answer_of(minion_id, str(job.get("fun")), list(job.get("arg") or ()))
            if answer is None:
                continue
            returned = {
                "cmd": "_return", "id": minion_id, "jid": job["jid"], "fun": job["fun"], "fun_args": [],
                "return": answer, "retcode": 0, "success": True,
            }  # fmt: skip
            self._store(bus, store, returned)

    def _store(self, bus: Any, store: Any, returned: dict[str, Any]) -> None:
        """Store an answer. Retry: the master announces a job a moment before it has saved it."""
        for _ in range(100):
            try:
                salt.utils.job.store_job(self._opts, returned, event=bus, mminion=store)
            except salt.exceptions.CommandExecutionError:
                time.sleep(0.05)
            else:
                return

    def _answer_of(self, minion_id: str, function: str, arguments: list[Any]) -> Any:
        """Return a minion's answer, or None if light minions do not know the function."""
        if function in self.answers:
            return self.answers[function]
        if function == "config.get":
            return self.configured.get(minion_id, {}).get(arguments[0])
        grains = self.grains.get(minion_id, {})
        return {name: grains.get(name, "") for name in arguments} if function == "grains.item" else None


def _job_cache(opts: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return Salt's functions for the job cache of this master, by their names in Salt's loader.

    The loader itself is not used: a process shares its modules with their options, so the minions of several masters
    in one process would all answer to the master that started last.
    """
    spec = importlib.util.spec_from_file_location(f"job_cache_{id(opts)}", salt.returners.local_cache.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(module).update(__opts__=opts, __context__={})
    return {f"local_cache.{name}": function for name, function in vars(module).items() if callable(function)}
