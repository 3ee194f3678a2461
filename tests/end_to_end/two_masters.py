"""
Two real salt-masters on 127.0.0.1 and 127.0.0.2, each with its own directory, in a layout of ``LAYOUTS``.

``two_masters`` starts them, and ``light_pair`` adds an account of an emulated cloud that both use, whose light machines
have their minions on the event bus of each master that the minion's configuration names. ``Pair.share`` sets the store
of the records, which is a server of ``tests/servers.py``. Everything ends with the block. A master that a killed run of
pytest left is ended by the next run, like every master of these tests.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytestshellutils.utils.ports import get_unused_localhost_port
from saltfactories.manager import FactoriesManager

from hart_salt.master.client import SALT_VERSION
from tests.emulation.emulator import Emulator
from tests.emulation.light import LightMachine, LightMachines, Tenant
from tests.emulation.light_salt import BusMinions
from tests.end_to_end import tools
from tests.end_to_end.clouds import Cloud, all_clouds
from tests.end_to_end.conftest import SaltMaster, running_master
from tests.end_to_end.light_cloud import COMMON, SSH_PORT
from tests.end_to_end.processes import make_root, remove

ADDRESSES = ("127.0.0.1", "127.0.0.2")
SIGNING = {"master_sign_pubkey": True, "master_sign_key_name": "ours"}
CLUSTERS_SINCE = 3008  #: the series of Salt
JOIN = 4  #: seconds until the first member of a cluster founds it; Salt's default is 5
ATTEMPTS = (15, 60, 120)  #: seconds to wait for both members, for one attempt after the other


@dataclass(frozen=True)
class Layout:
    """What the masters have in common, beside the ports."""

    name: str
    #: settings of both masters
    settings: Mapping[str, Any]
    #: files of the key directory that the second master gets from the first before it starts
    copied: Sequence[str] = ()
    #: what ``minion_config`` of the nodes must say
    minions: Mapping[str, Any] = field(default_factory=dict)
    #: whether one master's key store is the other's
    shares_keys: bool = False


#: Salt's master cluster; see ``unsupported``
CLUSTER = Layout("cluster", {"cluster_id": "ours", "cluster_join_timeout": JOIN}, shares_keys=True)
#: hot multi-master: one key pair, and a key store on each master
HOT = Layout("hot", {}, copied=("master.pem", "master.pub"), minions={"master": list(ADDRESSES)})
#: failover: a key pair on each master, and one signing key
FAILOVER = Layout(
    "failover",
    SIGNING,
    copied=("ours.pem", "ours.pub"),
    minions={"master": list(ADDRESSES), "master_type": "failover", "verify_master_pubkey_sign": True},
)
LAYOUTS = (CLUSTER, HOT, FAILOVER)


def unsupported() -> str:
    """Return why this Salt has no master cluster, or an empty string."""
    series = int(SALT_VERSION.partition(".")[0])
    return "" if series >= CLUSTERS_SINCE else f"Salt {series} has no master cluster"


@dataclass
class Pair:
    """Two masters that run; ``hart:`` of both is the same unless a test writes another to one of them."""

    layout: Layout
    first: SaltMaster
    second: SaltMaster

    def __iter__(self) -> Iterator[SaltMaster]:
        return iter((self.first, self.second))

    def configure(self, **settings: Any) -> None:
        """Replace ``hart:`` of both masters; ``salt-run`` reads it at each call."""
        for master in self:
            master.config["hart"] = {**settings}
            master.write()

    def share(self, settings: Mapping[str, Any]) -> None:
        """Set a common store of the records, such as ``{"cache": "redis", "cache.redis.port": 1}``."""
        for master in self:
            master.config.update(settings)
            master.write()

    def other(self, master: SaltMaster) -> SaltMaster:
        """Return the other master."""
        return self.second if master is self.first else self.first

    def keys(self) -> list[list[str]]:
        """Return the accepted keys of each master."""
        return [master.keys()["minions"] for master in self]

    def clear(self) -> None:
        """Forget the nodes on both masters, without hart, and end what runs for them beside the daemons."""
        for master in self:
            master.clear()


def _settings(layout: Layout, address: str, ports: Mapping[str, int], shared: Path) -> dict[str, Any]:
    """Return the settings of the master at an address."""
    found = {**layout.settings, "interface": address, "publish_port": ports["publish"], "ret_port": ports["return"]}
    if layout is CLUSTER:
        peers = [other for other in ADDRESSES if other != address]
        # Members name their peers by address, and the id of a member must be the name that its peers use.
        found.update(id=address, cluster_peers=peers, cluster_pki_dir=str(shared), cluster_pool_port=ports["pool"])
    return found


@contextlib.contextmanager
def two_masters(factories: FactoriesManager, layout: Layout, **overrides: Any) -> Iterator[Pair]:
    """Start two masters in a layout; ``overrides`` are settings of both."""
    # A minion uses the same ports for all masters.
    ports = {name: get_unused_localhost_port() for name in ("publish", "return", "pool")}
    with contextlib.ExitStack() as stack:
        shared = make_root()
        stack.callback(remove, shared)
        masters: list[SaltMaster] = []

        def prepare(master: SaltMaster) -> None:
            if masters:
                _copy(layout, masters[0], master)

        for address in ADDRESSES:
            settings = {**_settings(layout, address, ports, shared), **overrides}
            # The members of a cluster wait for each other, so none may be started before the other exists.
            one = running_master(factories, prepare, start=layout is not CLUSTER, **settings)
            masters.append(stack.enter_context(one))
        pair = Pair(layout, *masters)
        if layout is CLUSTER:
            _found(pair)
        yield pair


def _copy(layout: Layout, first: SaltMaster, second: SaltMaster) -> None:
    second.key_store.mkdir(parents=True, exist_ok=True)
    for name in layout.copied:
        shutil.copy(first.key_store / name, second.key_store / name)


def _found(pair: Pair) -> None:
    """
    Start both members of a cluster, and wait until both serve.

    Salt's first member asks the other for its vote once. If that one is not up yet, as on a machine under load, or if
    its first message is lost, the cluster is never founded, and both must begin again.
    """
    for seconds in ATTEMPTS:
        with ThreadPoolExecutor(2) as pool:
            for started in [pool.submit(master.start) for master in pair]:
                started.result()
        with contextlib.suppress(AssertionError):
            tools.until(lambda: all((master.cachedir / "health/ready").exists() for master in pair), "both", seconds)
            return
        for master in pair:
            master.stop()
            shutil.rmtree(master.cachedir)
    raise AssertionError("the members of the cluster did not found it")


@dataclass
class LightPair:
    """Two masters with one account of an emulated cloud, whose machines are light."""

    pair: Pair
    kind: Cloud
    cloud: Emulator
    machines: Tenant
    #: the minions on each master's event bus, by the master's address
    minions: Mapping[str, BusMinions]
    provider: str = "do"

    @property
    def first(self) -> SaltMaster:
        return self.pair.first

    @property
    def second(self) -> SaltMaster:
        return self.pair.second

    def configure(self, node: Mapping[str, Any] | None = None, **settings: Any) -> None:
        """
        Write ``hart:`` of both masters: the role ``app`` and the provider, with ``settings`` at the top and ``node`` in
        the provider's section. A node's minions belong to the layout's masters.
        """
        minions = {"minion_config": dict(self.pair.layout.minions)} if self.pair.layout.minions else {}
        section = {**COMMON, **minions, **self.kind.node, **(node or {}), **self.cloud.account()}
        hart = {"roles": {"app": {}}, "providers": {self.provider: {"driver": self.kind.name, **section}}, **settings}
        self.pair.configure(**hart)

    def instances(self) -> list[str]:
        """Return the minion ids of the instances that exist."""
        assert self.cloud.settle(10)
        return sorted(machine.request.hostname for machine in self.machines.machines)

    def shown(self) -> list[dict[str, Any]]:
        """Return the instances as the API shows them."""
        shown: list[dict[str, Any]] = self.cloud.facts()["droplets"]
        return shown

    def forget(self) -> None:
        """Remove what a test left, without hart: the account, the keys, and the records in files."""
        self.cloud.holds.clear()
        self.cloud.forget()
        self.pair.clear()

    def start(self, machine: LightMachine) -> None:
        """Start a machine's minion at its masters: at all of a list, or at the first one with failover."""
        named = (machine.configuration or {}).get("master")
        addresses = [named] if isinstance(named, str) else list(named or ())
        if (machine.configuration or {}).get("master_type") == "failover":
            addresses = addresses[:1]
        for address in addresses:
            self.minions[address].start(machine)

    def leave(self, machine: LightMachine) -> None:
        """Stop the minion of a machine that is gone."""
        for minions in self.minions.values():
            minions.leave(machine)


@contextlib.contextmanager
def light_pair(factories: FactoriesManager, layout: Layout, cloud: str = "do", **overrides: Any) -> Iterator[LightPair]:
    """Start two masters and one account with light machines, which takes root (``light_cloud.missing``)."""
    kind = all_clouds()[cloud]
    with contextlib.ExitStack() as stack:
        pair = stack.enter_context(two_masters(factories, layout, **overrides))
        minions = {
            master.config["interface"]: stack.enter_context(BusMinions(master.root / "etc/master")) for master in pair
        }
        opened: list[LightPair] = []
        machines = LightMachines(
            port=SSH_PORT,
            on_start=lambda machine: opened[0].start(machine),
            on_end=lambda machine: opened[0].leave(machine),
        )
        stack.callback(machines.close)
        tenant = Tenant(machines, "0")
        emulator = stack.enter_context(kind.open(tenant))
        opened.append(LightPair(pair, kind, emulator, tenant, minions, kind.name))
        opened[0].configure()
        yield opened[0]
