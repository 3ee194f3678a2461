"""
A cloud with light machines beside a real salt-master: a whole ``salt-run hart.create_role`` without a boot.

Real are the master, ``salt-run``, hart and its driver, HTTP, SSH, the key store and the jobs. The API is the
emulator's, a machine is an SSH server that answers the bootstrap's protocol, and its minion lives on the
master's event bus. Port 22 of loopback addresses is needed, hence root.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import salt.config
from saltfactories.manager import FactoriesManager

from hart_salt.master import Master
from hart_salt.store import BANK, SUFFIX
from tests.cloud import emulator
from tests.cloud.emulator import Emulator
from tests.cloud.light import LightMachines
from tests.cloud.light_salt import BusMinions
from tests.integration.clouds import Cloud
from tests.integration.conftest import Ran, SaltMaster, running_master

SSH_PORT = 22  #: the drivers know no other


def missing() -> str:
    """Why there can be no light cloud here; empty if there can be one."""
    if os.geteuid():
        return "light machines answer at port 22, which takes root"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", SSH_PORT))
            probe.listen(1)
        except OSError:
            return "something else listens at port 22 of loopback"
    return ""


@dataclass
class LightCloud:
    """One master with one account, shared by the tests of a module; ``forget`` stands between them."""

    kind: Cloud
    master: SaltMaster
    cloud: Emulator
    machines: LightMachines
    #: the master's key store, read in this process
    store: Master

    def settings(self, account: Mapping[str, Any]) -> dict[str, Any]:
        """The ``hart:`` key of the master."""
        return {
            "saltmaster": "127.0.0.1", "image": "bookworm", "boot_timeout": 5, "ready_timeout": 30,
            "providers": {self.kind.name: {**self.cloud.account(), **self.kind.node, **account}},
            "roles": {"app": {}},
        }  # fmt: skip

    def configure(self, account: Mapping[str, Any] | None = None, **changes: Any) -> None:
        """Write the settings; ``salt-run`` reads them at each call."""
        self.master.config["hart"] = {**self.settings(account or {}), **changes}
        self.master.write()

    def create(self, *arguments: str) -> Ran:
        """Create nodes of the role, with the real command."""
        return self.master.run("hart.create_role", "app", f"provider={self.kind.name}", *arguments)

    def minion_ids(self) -> set[str]:
        """Those that the master trusts."""
        return set(self.store.key_states())

    def left(self) -> dict[str, list[str]]:
        """Everything that a node or its batch can leave behind, at the provider and here; empty: nothing."""
        assert self.cloud.settle(10)
        found = {
            **self.kind.left(self.cloud),
            "machines": [machine.request.hostname for machine in self.machines.machines.values()],
            "minion keys": sorted(self.minion_ids()),
            "records": [path.name.removesuffix(f"{SUFFIX}.p") for path in self._records()],
            "locks": [path.name for path in (self.master.cachedir / "hart/locks").glob("*")],
            "temporary files": [path.name for path in self.master.temporary.glob("hart-*")],
        }
        return {kind: sorted(names) for kind, names in found.items() if names}

    def _records(self) -> Iterator[Any]:
        return (self.master.cachedir / BANK).glob("*.p")

    def calls_since(self, began: int) -> list[emulator.Call]:
        """The calls after the first ``began`` of them."""
        return list(self.cloud.calls)[began:]

    def looks(self) -> int:
        """How often instances were listed by now."""
        look = self.kind.look
        return self.cloud.count(look.method, look.path, body=look.body)

    def forget(self) -> None:
        """Take away what a test left, without hart, and let everything be as at the start."""
        self.cloud.forget()
        self.store.delete_keys(self.minion_ids(), connected=False)
        for path in self._records():
            path.unlink()
        self.configure()


@contextlib.contextmanager
def light_cloud(factories: FactoriesManager, kind: Cloud) -> Iterator[LightCloud]:
    """Start it all, and end it."""
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(running_master(factories))
        minions = stack.enter_context(BusMinions(master.root / "etc/master"))
        machines = LightMachines(port=SSH_PORT, on_start=minions.start)
        cloud = stack.enter_context(kind.open(machines))
        store = Master(salt.config.master_config(str(master.root / "etc/master")))
        stack.callback(store.close)
        light = LightCloud(kind, master, cloud, machines, store)
        light.configure()
        yield light


def nodes_of(ran: Ran) -> dict[str, dict[str, Any]]:
    """What the command said of each node; nothing where it failed before there were any."""
    return {name: entry for name, entry in ran.data.items() if isinstance(entry, dict) and "result" in entry}


def told(ran: Ran) -> list[str]:
    """The messages of a failure: that of the whole call, one for each node that failed, those of the batch."""
    whole = [ran.data["error"]] if "error" in ran.data else []
    failed = [entry["error"] for entry in nodes_of(ran).values() if not entry["result"]]
    return [*whole, *failed, *ran.data.get("errors", [])]
