"""
A cloud with light machines beside a real salt-master: a complete ``salt-run hart.create_role`` without a boot.

The master, ``salt-run``, hart and its driver, HTTP, SSH, the key store and the jobs are real. The API is the
emulator's, a machine is an SSH server that implements the bootstrap's protocol, and its minion lives on the master's
event bus. It needs port 22 of loopback addresses, and therefore root.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from saltfactories.manager import FactoriesManager

from hart_salt.inventory.records import BANK, SUFFIX
from tests.emulation import emulator
from tests.emulation.emulator import Emulator
from tests.emulation.light import LightMachines, Tenant
from tests.emulation.light_salt import BusMinions
from tests.end_to_end.clouds import Cloud
from tests.end_to_end.conftest import Ran, SaltMaster, running_master
from tests.end_to_end.runs import write_sls

PKI = "etc/salt/pki/master"  #: the master's key store, below its root
SSH_PORT = 22  #: the only port that drivers know
LOOKS = 100  #: at the port, with 0.1 s between them


@functools.cache
def missing() -> str:
    """Return why there can be no light cloud here, or an empty string."""
    if os.geteuid():
        return "light machines answer at port 22, which takes root"
    # Another run of these tests may look at the same moment, and each of them listens while it does.
    for _ in range(LOOKS):
        if _is_free():
            return ""
        time.sleep(0.1)
    return "something else listens at port 22 of loopback"


def _is_free() -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", SSH_PORT))
            probe.listen(1)
        except OSError:
            return False
    return True


@dataclass
class LightCloud:
    """One provider of a master, with its own account and machines; ``forget`` cleans up between two tests."""

    kind: Cloud
    #: the provider's name, which is part of each minion id
    provider: str
    master: SaltMaster
    cloud: Emulator
    machines: Tenant
    minions: BusMinions
    #: held while the master's configuration is written, since several providers may share it
    lock: threading.Lock

    def configure(self, account: Mapping[str, Any] | None = None, **changes: Any) -> None:
        """Write the provider's section; ``salt-run`` reads it at each call."""
        section = {**COMMON, **self.kind.node, **changes, **self.cloud.account(), **(account or {})}
        with self.lock:
            self.master.hart["providers"][self.provider] = {"driver": self.kind.name, **section}
            self.master.write()

    def baking(self, *arguments: str) -> list[str]:
        """
        Return the function and the arguments for a bake.

        The role has the name of the provider, so that the id of the bake's node contains it.
        """
        with self.lock:
            write_sls(self.master, "base", "/a: file.managed\n")
            self.master.hart["roles"][self.provider] = {"provider": self.provider, "bake": "base"}
            self.master.write()
        return ["hart.bake", self.provider, *arguments]

    def create(self, *arguments: str) -> Ran:
        """Create nodes of the role with the real command."""
        return self.master.run(*self.creation(*arguments))

    def creation(self, *arguments: str) -> list[str]:
        """Return the function and the arguments for that."""
        return ["hart.create_role", "app", f"provider={self.provider}", *arguments]

    def minion_ids(self) -> set[str]:
        """Return the minions of this provider that the master accepted."""
        return {path.name for path in self._keys()}

    def _claims(self, path: Path) -> bool:
        try:
            claim = json.loads(path.read_text())
        except FileNotFoundError:  # another provider's call has just ended
            return False
        return bool(claim["provider"] == self.provider)

    def _is_ours(self, minion_id: str) -> bool:
        return f".{self.provider}." in minion_id or f"hart-bake-{self.provider}-" in minion_id

    def left(self) -> dict[str, list[str]]:
        """Return everything that a node or its batch can leave behind, at the provider and here; empty: nothing."""
        assert self.cloud.settle(10)
        found = {
            **self.kind.left(self.cloud),
            "machines": [machine.request.hostname for machine in self.machines.machines],
            "minion keys": sorted(self.minion_ids()),
            "records": [path.name.removesuffix(f"{SUFFIX}.p") for path in self._records()],
            "locks": [path.name for path in self.master.cachedir.glob("hart/locks/*") if self._is_ours(path.name)],
            "claims": [path.name for path in self.master.cachedir.glob("hart/locks/*.batch") if self._claims(path)],
        }
        return {kind: sorted(names) for kind, names in found.items() if names}

    def _keys(self) -> list[Path]:
        """
        Return the keys in any state. From the files, because Salt's loaders share their options in a process: with
        several masters in one process, every key store would be the one that was opened last.
        """
        return [path for path in (self.master.root / PKI).glob("minions*/*") if self._is_ours(path.name)]

    def _records(self) -> list[Path]:
        return [path for path in (self.master.cachedir / BANK).glob("*.p") if self._is_ours(path.name)]

    def calls_since(self, began: int) -> list[emulator.Call]:
        """Return the calls after the first ``began``."""
        return list(self.cloud.calls)[began:]

    def looks(self) -> int:
        """Return how often instances were listed so far."""
        look = self.kind.look
        return self.cloud.count(look.method, look.path, body=look.body)

    def forget(self) -> None:
        """Remove what a test left, without hart, and reset everything."""
        self.cloud.forget()
        for path in (*self._keys(), *self._records()):
            path.unlink()
        self.configure()


#: settings of all nodes
COMMON: Mapping[str, Any] = {
    "saltmaster": "127.0.0.1", "image": "bookworm", "boot_timeout": 300, "ready_timeout": 300,
}  # fmt: skip


@contextlib.contextmanager
def light_clouds(factories: FactoriesManager, kinds: Sequence[Cloud], **overrides: Any) -> Iterator[list[LightCloud]]:
    """Start a provider for each of ``kinds``, all of one master, and end it all."""
    with contextlib.ExitStack() as stack:
        hart: dict[str, Any] = {"roles": {"app": {}}, "providers": {}}
        master = stack.enter_context(running_master(factories, hart=hart, **overrides))
        minions = stack.enter_context(BusMinions(master.root / "etc/master"))
        machines = LightMachines(port=SSH_PORT, on_start=minions.start, on_end=minions.leave)
        stack.callback(machines.close)
        lock = threading.Lock()
        opened = []
        for number, kind in enumerate(kinds):
            tenant = Tenant(machines, str(number))
            cloud = stack.enter_context(kind.open(tenant))
            opened.append(LightCloud(kind, f"{kind.name}{number}", master, cloud, tenant, minions, lock))
            opened[-1].configure()
        yield opened
        assert [path.name for path in master.temporary.glob("hart-*")] == []


@contextlib.contextmanager
def light_cloud(factories: FactoriesManager, kind: Cloud, **overrides: Any) -> Iterator[LightCloud]:
    """Start one provider; ``overrides`` are settings of the master."""
    with light_clouds(factories, [kind], **overrides) as (opened,):
        yield opened


def nodes_of(ran: Ran) -> dict[str, dict[str, Any]]:
    """Return the result of each node; empty if the command failed before there were any."""
    return {name: entry for name, entry in ran.data.items() if isinstance(entry, dict) and "result" in entry}


def messages_of(ran: Ran) -> list[str]:
    """Return the messages of a failure: of the whole call, of each node that failed, and of the batch."""
    whole = [ran.data["error"]] if "error" in ran.data else []
    failed = [entry["error"] for entry in nodes_of(ran).values() if not entry["result"]]
    return [*whole, *failed, *ran.data.get("errors", [])]


def assert_alike(fixed: Sequence[Counter[str]], lines: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    """
    Print the lines, and check that the calls besides those for each instance do not depend on the number of instances.
    """
    with capsys.disabled():
        print("\n\n" + "\n".join(lines), f"  beside them, whatever the number: {dict(fixed[0])}", sep="\n")
    assert all(one == fixed[0] for one in fixed), fixed
