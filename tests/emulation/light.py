"""
A back end of light machines: SSH servers on loopback addresses that simulate a machine with the bootstrap script.

They are for counting API calls and for tests of scale, where real machines would only measure the two cores. A light
machine runs nothing. It reads the throw-away host key and the client key from the user-data, shows its own key until
"the script has run" (``script_after``), and answers the commands of ``hart_salt.node.bootstrap.commands("")``:

follow
    prints the steps on standard error, lasts until ``bootstrap_after``, prints the document with an RSA key made for
    this machine, and ends with 0; with ``BootRequest.fail_at`` the document reports a failure in that step
start
    stores the minion configuration and calls ``on_start(machine)``, in which a test fires the start event or
    starts a minion; an error of it ends the command with 1
seal
    shows its own key again from now on and refuses all logins
keep_script, run_script
    stores the script, prints that it ran
carry, equip, master_key, authorize
    of a salt-master: stores what it gets, and prints a public key made for this machine
any other command of the protocol, and those that prepare a machine for an image
    ends with 0 at once

A saved image has no files: ``LightMachine.made_of`` is the machine that it is a copy of.

If ``BootRequest.fail_at`` is in ``FAILING``, the command of that name fails; with ``equip hangs``, for example, the
command does not end.

Tests assert on ``LightMachines.machines``: connections, commands, configuration, sealed or not.
"""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import functools
import itertools
import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import asyncssh
import yaml

from hart_salt.images import generalise
from hart_salt.node import bootstrap
from tests.emulation.backend import Addresses, BootRequest
from tests.public_keys import new_public_key

STEPS = ("ssh", "trust", "key", "install", "hand-over")
PRIVATE_KEY = re.compile(r"-----BEGIN OPENSSH PRIVATE KEY-----.*?-----END OPENSSH PRIVATE KEY-----", re.DOTALL)
PUBLIC_KEY = re.compile(r"ssh-ed25519 [A-Za-z0-9+/=]+")
BOOT_TIMEOUT = 60.0
COMMANDS = bootstrap.commands("")
#: the commands that prepare a machine for an image; both do nothing, since a light machine has no files
GENERALISE = generalise.commands("debian", "", "ssh-ed25519 A", "a")
NOTHING = (*dataclasses.asdict(COMMANDS).values(), GENERALISE.keep, GENERALISE.run)
#: commands that can fail
FAILING = ("equip", "start", "authorize", "run_script", "seal")


@dataclass
class LightMachine:
    """One machine and its history."""

    request: BootRequest
    own_key: asyncssh.SSHKey
    minion_key: str
    #: from the user-data, or None without such a key
    host_key: asyncssh.SSHKey | None
    authorized: list[str]
    connections: int = 0
    commands: list[str] = field(default_factory=list)
    #: from the command start
    configuration: dict[str, Any] | None = None
    script: bytes = b""
    #: of a salt-master: the wheel that it got, and the authorized key
    wheel: bytes = b""
    lets_in: str = ""
    sealed: bool = False
    #: the machine whose disk its image is a copy of
    made_of: LightMachine | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)
    listeners: list[asyncssh.SSHAcceptor] = field(default_factory=list)
    booting: asyncio.Task[None] | None = None


class LightMachines:
    """
    The back end.

    port
        port of the machines (default 22, which needs root)
    script_after, bootstrap_after
        seconds from boot until the throw-away key is shown, and until the bootstrap ends
    make_key
        makes the public minion key of a machine (default: a new one)
    on_start, on_end
        called in a separate thread with a machine that must start salt-minion, and with one that is gone
    """

    def __init__(
        self,
        *,
        port: int = 22,
        script_after: float = 0.0,
        bootstrap_after: float = 0.0,
        salt_version: str = "3008.0",
        on_start: Callable[[LightMachine], None] | None = None,
        on_end: Callable[[LightMachine], None] | None = None,
        make_key: Callable[[], str] | None = None,
    ) -> None:
        self.machines: dict[str, LightMachine] = {}
        #: saved images, and the machines that they were made of
        self.saved: dict[str, LightMachine] = {}
        self.port = port
        self._script_after, self._bootstrap_after = script_after, bootstrap_after
        self._salt_version = salt_version
        self._on_start, self._on_end = on_start, on_end
        self._make_key = make_key or make_minion_key
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="light machines", daemon=True)
        self._thread.start()

    def take(self, public: bool) -> Addresses:
        """Return free loopback addresses. Other processes with light machines have others."""
        with _TAKING:
            return Addresses(self._free() if public else None, self._free())

    def _free(self) -> str:
        for address in itertools.islice(_ADDRESSES, 4096):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((address, self.port))
                except OSError as error:
                    if error.errno != errno.EADDRINUSE:
                        raise
                else:
                    return address
        raise OSError(errno.EADDRNOTAVAIL, f"no loopback address has port {self.port} free")

    def give_back(self, addresses: Addresses) -> None:
        """Do nothing: there are enough addresses."""

    def plug(self, instance_id: str, private_ip: str) -> str:
        """Return a hardware address without an interface: a light machine has none."""
        return "5a:02:04:5e:00:28"

    def unplug(self, instance_id: str) -> None:
        """See ``plug``."""

    def restart(self, instance_id: str) -> None:
        """End what the machine runs, and start it again."""
        self.halt(instance_id)
        self.start(instance_id)

    def halt(self, instance_id: str) -> None:
        """End what the machine runs; its keys and its configuration stay."""
        machine = self.machines.get(instance_id)
        if machine is not None and self._on_end is not None:
            self._on_end(machine)

    def start(self, instance_id: str) -> None:
        """Start what the machine runs at each boot: its minion, if that was started before."""
        machine = self.machines.get(instance_id)
        if machine is not None and machine.configuration is not None and self._on_start is not None:
            self._on_start(machine)

    def boot(self, request: BootRequest) -> None:
        """Make the machine, and return once it answers."""
        machine = _machine(request, self._make_key())
        machine.made_of = self.saved.get(request.image) or self.saved.get(request.image_name)
        self._run(self._listen(machine))
        self.machines[request.instance_id] = machine

    def kill(self, instance_id: str) -> None:
        """Close its connections and stop listening."""
        machine = self.machines.pop(instance_id, None)
        if machine is None:
            return
        self._run(_stop(machine))
        if self._on_end is not None:
            self._on_end(machine)

    def save(self, instance_id: str, image: str) -> None:
        """Note the machine whose disk is kept. Raises ``KeyError`` without that machine."""
        self.saved[image] = self.machines[instance_id]

    def forget(self, image: str) -> None:
        """Drop the image."""
        self.saved.pop(image, None)

    def close(self) -> None:
        """End every machine."""
        for instance_id in list(self.machines):
            self.kill(instance_id)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(BOOT_TIMEOUT)
        self._loop.close()

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(BOOT_TIMEOUT)

    async def _listen(self, machine: LightMachine) -> None:
        for address in (machine.request.public_ip, machine.request.private_ip):
            if address:
                machine.listeners.append(await self._listener(machine, address))
        machine.booting = asyncio.ensure_future(self._boot(machine))

    async def _listener(self, machine: LightMachine, address: str) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            address,
            self.port,
            server_host_keys=[machine.own_key],
            server_factory=lambda: _Login(machine),
            process_factory=lambda process: self._serve(machine, process),
            encoding=None,
            line_editor=False,
            config=None,
        )

    async def _boot(self, machine: LightMachine) -> None:
        """Show the keys and end the bootstrap as the script would, with its times."""
        await asyncio.sleep(self._script_after)
        if machine.host_key and not machine.request.impostor and machine.request.fail_at != "ssh":
            _show(machine, machine.host_key)
        await asyncio.sleep(max(0.0, self._bootstrap_after - self._script_after))
        machine.done.set()

    async def _serve(self, machine: LightMachine, process: asyncssh.SSHServerProcess[bytes]) -> None:
        command = process.command or ""
        machine.commands.append(command)
        known = {
            COMMANDS.follow: self._follow,
            COMMANDS.start: self._start,
            COMMANDS.seal: self._seal,
            COMMANDS.keep_script: self._keep_script,
            COMMANDS.run_script: self._run_script,
            COMMANDS.carry: self._carry,
            COMMANDS.master_key: self._master_key,
            COMMANDS.authorize: self._authorize,
        }
        work = known.get(command, self._nothing if command in NOTHING else None)
        if work is None:
            process.stderr.write(b"a light machine knows the commands of the bootstrap only\n")
            process.exit(127)
            return
        status = await work(machine, process)
        name, _, hangs = machine.request.fail_at.partition(" ")
        if name in FAILING and command == getattr(COMMANDS, name):
            if hangs:
                await asyncio.Event().wait()  # until the connection or the machine is gone
            status = 1
        process.exit(status)

    async def _nothing(self, machine: LightMachine, process: asyncssh.SSHServerProcess[bytes]) -> int:
        return 0

    async def _follow(self, machine: LightMachine, process: asyncssh.SSHServerProcess[bytes]) -> int:
        await machine.done.wait()
        for step in _steps(machine.request):
            process.stderr.write(f"hart: {step}\n".encode())
        process.stdout.write(json.dumps(self._document(machine)).encode())
        return 0

    def _document(self, machine: LightMachine) -> dict[str, Any]:
        failed = machine.request.fail_at if machine.request.fail_at in STEPS else ""
        steps = _steps(machine.request)
        return {
            "version": 1,
            "exit_code": 1 if failed else 0,
            "failed_step": failed,
            "seconds": dict.fromkeys(steps, 0.01),
            "salt_version": self._salt_version,
            "minion_key": machine.minion_key if "key" in steps and failed != "key" else "",
            "host_keys": [machine.own_key.export_public_key().decode().strip()],
            "output": f"step {failed} failed, as the test requested\n" if failed else "",
        }

    async def _start(self, machine: LightMachine, process: asyncssh.SSHServerProcess[bytes]) -> int:
        machine.configuration = yaml.safe_load(await process.stdin.read())
        if self._on_start is None or machine.configuration.get("file_client") == "local":
            return 0
        try:
            await asyncio.get_running_loop().run_in_executor(None, functools.partial(self._on_start, machine))
        except Exception as error:
            process.stderr.write(f"{error!r}\n".encode())
            return 1
        return 0

    async def _seal(self, machine: LightMachine, process: asyncssh.SSHServerProcess[bytes]) -> int:
        machine.sealed = True
        machine.authorized.clear()
        _show(machine, machine.own_key)
        return 0

    async def _keep_script(self, machine: LightMachine, process: asyncssh.SSHServerProcess[bytes]) -> int:
        machine.script = await process.stdin.read()
        return 0

    async def _run_script(self, machine: LightMachine, process: asyncssh.SSHServerProcess[bytes]) -> int:
        process.stdout.write(b"the script ran\n")
        return 0

    async def _carry(self, machine: LightMachine, process: asyncssh.SSHServerProcess[bytes]) -> int:
        machine.wheel = await process.stdin.read()
        return 0

    async def _master_key(self, machine: LightMachine, process: asyncssh.SSHServerProcess[bytes]) -> int:
        process.stdout.write(machine.minion_key.encode())
        return 0

    async def _authorize(self, machine: LightMachine, process: asyncssh.SSHServerProcess[bytes]) -> int:
        machine.lets_in = (await process.stdin.read()).decode()
        return 0


class Tenant:
    """Light machines for one of several emulators that share them; closing it ends only its own."""

    def __init__(self, machines: LightMachines, name: str) -> None:
        self._machines = machines
        self._prefix = f"{name}/"

    @property
    def machines(self) -> list[LightMachine]:
        """The machines of this tenant."""
        return [it for name, it in list(self._machines.machines.items()) if name.startswith(self._prefix)]

    def boot(self, request: BootRequest) -> None:
        """Boot a machine with a prefixed id, because emulators use the same ids, also those of their images."""
        image, image_name = self._image(request.image), self._image(request.image_name)
        instance_id = self._prefix + request.instance_id
        self._machines.boot(dataclasses.replace(request, instance_id=instance_id, image=image, image_name=image_name))

    def _image(self, image: str) -> str:
        return self._prefix + image if self._prefix + image in self._machines.saved else image

    def kill(self, instance_id: str) -> None:
        """End a machine."""
        self._machines.kill(self._prefix + instance_id)

    def take(self, public: bool) -> Addresses:
        """Return addresses that no other tenant has."""
        return self._machines.take(public)

    def give_back(self, addresses: Addresses) -> None:
        """Release addresses for all tenants."""
        self._machines.give_back(addresses)

    def plug(self, instance_id: str, private_ip: str) -> str:
        """Call ``LightMachines.plug``."""
        return self._machines.plug(self._prefix + instance_id, private_ip)

    def unplug(self, instance_id: str) -> None:
        """See ``plug``."""
        self._machines.unplug(self._prefix + instance_id)

    def restart(self, instance_id: str) -> None:
        """See ``plug``."""
        self._machines.restart(self._prefix + instance_id)

    def halt(self, instance_id: str) -> None:
        """Turn a machine off."""
        self._machines.halt(self._prefix + instance_id)

    def start(self, instance_id: str) -> None:
        """Turn a machine on."""
        self._machines.start(self._prefix + instance_id)

    def save(self, instance_id: str, image: str) -> None:
        """Keep a machine's disk with a prefixed name."""
        self._machines.save(self._prefix + instance_id, self._prefix + image)

    def forget(self, image: str) -> None:
        """Drop the image."""
        self._machines.forget(self._prefix + image)

    def close(self) -> None:
        """End this tenant's machines, and drop its images."""
        for machine in self.machines:
            self._machines.kill(machine.request.instance_id)
        for image in [image for image in self._machines.saved if image.startswith(self._prefix)]:
            self._machines.forget(image)


class _Login(asyncssh.SSHServer):
    """Logins of root with the client key of the user-data."""

    def __init__(self, machine: LightMachine) -> None:
        self._machine = machine

    def auth_completed(self) -> None:
        """Count the connection after its login."""
        self._machine.connections += 1

    def begin_auth(self, username: str) -> bool:
        """Require authentication always."""
        return True

    def public_key_auth_supported(self) -> bool:
        """Offer public keys, the only method."""
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Compare the whole key without its comment."""
        return username == "root" and _bare(key) in self._machine.authorized


def _machine(request: BootRequest, minion_key: str) -> LightMachine:
    found = PRIVATE_KEY.search(request.user_data)
    host_key = asyncssh.import_private_key(found.group() + "\n") if found else None
    keys = [*PUBLIC_KEY.findall(request.user_data), *PUBLIC_KEY.findall("\n".join(request.public_keys))]
    return LightMachine(
        request=request,
        own_key=asyncssh.generate_private_key("ssh-ed25519", comment=f"root@{request.hostname}"),
        minion_key=minion_key,
        host_key=host_key,
        authorized=[key for key in keys if host_key is None or key != _bare(host_key)],
    )


def make_minion_key() -> str:
    """Return the public half of a new minion key, as PEM."""
    return new_public_key()


def _bare(key: asyncssh.SSHKey) -> str:
    return " ".join(key.export_public_key().decode().split()[:2])


def _show(machine: LightMachine, key: asyncssh.SSHKey) -> None:
    for listener in machine.listeners:
        listener.update(server_host_keys=[key])


async def _stop(machine: LightMachine) -> None:
    if machine.booting is not None:
        machine.booting.cancel()
    for listener in machine.listeners:
        listener.close()
        await listener.wait_closed()


def _steps(request: BootRequest) -> tuple[str, ...]:
    """Return the steps that begin."""
    return STEPS[: STEPS.index(request.fail_at) + 1] if request.fail_at in STEPS else STEPS


def _addresses() -> Iterator[str]:
    """
    Yield addresses of 127.0.0.0/8, which is all loopback. The first depends on the process id, so two processes rarely
    collide; consecutive ids, as in parallel runs, begin far apart.
    """
    first = os.getpid() * 7919 % 60000
    for number in itertools.count():
        place = (first + number) % 60000
        yield f"127.{100 + place // 250 // 240}.{place // 250 % 240 + 1}.{place % 250 + 2}"


#: shared by all back ends of this process: two of them would both find the same address free
_ADDRESSES = _addresses()
_TAKING = threading.Lock()
