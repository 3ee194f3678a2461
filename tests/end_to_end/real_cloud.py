"""A real salt-master whose provider is an emulated cloud with machines that really boot."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import shlex
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
from saltfactories.manager import FactoriesManager

from tests.emulation.emulator import Emulator
from tests.end_to_end import tools
from tests.end_to_end.clouds import Cloud
from tests.end_to_end.conftest import Ran, SaltMaster, running_master
from tests.machines.machines import Machine, MachineHost, Spec
from tests.machines.real import RealMachines

TIMEOUT = 600
MODULES = Path(__file__).parents[2] / "_modules"
#: where a secret of the bootstrap could have stayed; the rest of the disk comes from packages
WRITTEN = "/etc /var /root /home /run /tmp /srv /usr/local"
#: what the bootstrap has on a node until it is sealed
BOOTSTRAP_PATHS = (
    "/run/hart", "/etc/ssh/sshd_config.d/00-hart.conf", "/var/log/hart-bootstrap.log", "/root/hart-init",
)  # fmt: skip
#: prints the files of cloud-init that contain the bootstrap script
CLOUD_INITS_COPIES = "grep -srlaF HART_END /var/lib/cloud /run/cloud-init || true"


@dataclass
class RealCloud:
    """Everything of one session: the machines' host, the account, and the master."""

    kind: Cloud
    host: MachineHost
    backend: RealMachines
    cloud: Emulator
    master: SaltMaster

    def create(self, minion_ids: str, **settings: Any) -> Ran:
        """Run ``hart.create`` for nodes of the role ``app``."""
        return self.master.run(*self.creation(minion_ids, **settings), timeout=TIMEOUT)

    def creation(self, minion_ids: str, **settings: Any) -> list[str]:
        """Return the function and the arguments for that."""
        given = [f"{name}={value}" for name, value in settings.items()]
        return ["hart.create", minion_ids, "role=app", f"provider={self.kind.name}", *given]

    def machine(self, minion_id: str) -> Machine:
        """Return the machine of an instance."""
        return self.backend.by_name(self.kind.hostname(minion_id))

    def user_data(self, minion_id: str) -> str:
        """Return the user-data of its create call."""
        return self.cloud.user_data()[minion_id]

    def pings(self, *minion_ids: str) -> bool:
        """Return whether these minions answer."""
        return bool(self.master.salt("-L", ",".join(minion_ids), "test.ping").data == dict.fromkeys(minion_ids, True))

    def destroy(self, *minion_ids: str) -> None:
        """Destroy nodes with hart, and check that they are gone from cloud, key store and host."""
        ran = self.master.run("hart.destroy", ",".join(minion_ids))
        assert ran.code == 0, ran
        assert all(entry["result"] is True for entry in ran.data.values()), ran
        assert self.cloud.settle(60)

    def left(self) -> dict[str, Any]:
        """Return what exists beyond what a new master with a new account has, without what stays by design."""
        here = {**self.master.left_over(), "machines": self.backend.hostnames()}
        left = {**here, **self.kind.left(self.cloud)}  # both say "instances"; no node here is local
        return {what: found for what, found in left.items() if found}

    def bare(self) -> Machine:
        """Boot the image of an instance without hart, for comparison."""
        network = self.host.network
        spec = Spec(
            instance_id="7", hostname="bare.example", user_data="", public_keys=(), datasource=self.kind.datasource,
            public_ip=network.take("public"), private_ip=network.take("private"),
        )  # fmt: skip
        return self.host.boot(spec)


@contextlib.contextmanager
def opened(factories: FactoriesManager, kind: Cloud) -> Iterator[RealCloud]:
    """Start and end everything. Only the settings that a user must set are set, and where the test cloud is."""
    with opened_all(factories, [kind]) as clouds:
        yield clouds[kind.name]


@contextlib.contextmanager
def opened_all(factories: FactoriesManager, kinds: Iterable[Cloud]) -> Iterator[dict[str, RealCloud]]:
    """Do the same for several clouds, which share the host and the master; return them by name."""
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(MachineHost())
        backends = [(kind, RealMachines(host, kind.datasource)) for kind in kinds]
        clouds = [(kind, backend, stack.enter_context(kind.open(backend))) for kind, backend in backends]
        master = stack.enter_context(running_master(factories, interface=host.address))
        # Before anything requests a file: the file server caches its list for a while.
        shutil.copytree(MODULES, master.root / "srv/salt/_modules")
        for name, key in (("right", host.repository_key), ("wrong", host.wrong_key)):
            (master.root / f"{name}.asc").write_text(key)
        master.config["hart"] = {
            "saltmaster": host.address,
            "image": "bookworm",
            "salt_repo": host.repository_url,
            "salt_repo_key": str(master.root / "right.asc"),
            "providers": {kind.name: {**cloud.account(), **kind.node} for kind, _, cloud in clouds},
            "roles": {"app": {}},
        }
        master.write()
        yield {kind.name: RealCloud(kind, host, backend, cloud, master) for kind, backend, cloud in clouds}


def ok(machine: Machine, command: str) -> str:
    """Run a command on a machine, check that it succeeds, and return its output."""
    code, output = machine.run(command, 120)
    assert code == 0, f"{command}: {output[-2000:]}"
    return output.strip()


def files_with(machine: Machine, texts: list[str]) -> list[str]:
    """Return the files of a machine that contain any of the texts, plain or in base64."""
    wanted = "\n".join(form for text in texts for form in (text, *_in_base64(text)))
    # The patterns come from a shell variable: a file with them would be found too.
    code, output = machine.run(
        f"printf %s {shlex.quote(wanted)} | grep -rlaF --devices=skip -f - {WRITTEN} 2> /dev/null", 120
    )
    assert code in (0, 1, 2), output
    return output.split()


def _in_base64(text: str) -> list[str]:
    """Return what surely appears of a text wherever it is in a longer base64 text."""
    shifted = (base64.b64encode(b"\0" * shift + text.encode()) for shift in range(3))
    return [form[4 : len(form) // 4 * 4 - 4].decode() for form in shifted]


def secrets_of(user_data: str) -> list[str]:
    """Return the lines of a bootstrap script that only this one has: the throw-away host key and the client key."""
    begin, end = "-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----"
    private = begin + user_data.split(begin)[1].split(end)[0] + end
    client = next(line for line in user_data.splitlines() if "ssh-ed25519" in line and "authorized_keys" in line)
    return [*tools.body_lines(private), client.split("ssh-ed25519 ")[1].split()[0]]


def host_key_at(address: str) -> str:
    """Return the ed25519 host key that a machine shows, without a comment."""
    key = asyncio.run(asyncssh.get_server_host_key(address, 22, server_host_key_algs=["ssh-ed25519"], config=None))
    assert key is not None
    return key.export_public_key().decode().strip()


def asks_for_password(address: str) -> bool:
    """Return whether sshd would let root log in by password."""
    asked: list[str] = []

    class Client(asyncssh.SSHClient):
        def password_auth_requested(self) -> None:
            asked.append("password")

    async def log_in() -> None:
        with contextlib.suppress(asyncssh.PermissionDenied):
            await asyncssh.connect(
                address, username="root", known_hosts=None, client_factory=Client, client_keys=None, config=None,
                agent_path=None,
            )  # fmt: skip
            raise AssertionError("root was let in with nothing")

    asyncio.run(log_in())
    return bool(asked)


def behind(machine: Machine) -> dict[str, str]:
    """Return the versions of the two packages that are outdated in the image: 1.0-1."""
    lines = ok(machine, "dpkg-query --show behind-security behind-updates").splitlines()
    return dict(line.split() for line in lines)


def apt_steps(machine: Machine) -> list[str]:
    """Return what apt did, in order: ``install`` for Salt, ``upgrade`` for outdated packages."""
    history = ok(machine, "cat /var/log/apt/history.log")
    names = {"Install: ": "install", "Upgrade: ": "upgrade"}
    return [names[word] for line in history.splitlines() for word in names if line.startswith(word)]
