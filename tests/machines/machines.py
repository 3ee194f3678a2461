"""Boot machines, run commands in them, end them and make images of them; and the host of a session's machines."""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests import scope
from tests.drivers.do.emulator import metadata as metadata_do
from tests.drivers.ec2.emulator import metadata as metadata_ec2
from tests.drivers.gce.emulator import metadata as metadata_gce
from tests.drivers.hetzner.emulator import metadata as metadata_hetzner
from tests.drivers.vultr.emulator import metadata as metadata_vultr
from tests.machines import cache, cgroups, image, launch, metadata, repository, slots
from tests.machines.network import Attachment, Interface, Network
from tests.machines.overlay import Overlay
from tests.machines.snapshots import Snapshots

#: the environment of a command in a machine
INSIDE = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
ATTEMPT_TIMEOUT = 15.0  #: seconds for one attempt of a command that is retried until it succeeds


#: datasource → the function that returns what its metadata service answers
METADATA = {
    "digitalocean": metadata_do.service,
    "ec2": metadata_ec2.service,
    "gce-startup": metadata_gce.service,
    "hetzner": metadata_hetzner.service,
    "vultr": metadata_vultr.service,
}
#: datasource → the files of a machine beyond Debian's image: those of the provider's own image, and those that replace
#: what its metadata lack
FILES: Mapping[str, Callable[[Spec, tuple[Interface, ...]], Mapping[str, str]]] = {
    "ec2": metadata_ec2.files,
    "gce-startup": metadata_gce.files,
    "hetzner": metadata_hetzner.files,
    "vultr": metadata_vultr.files,
}


@dataclass(frozen=True)
class Spec:
    """A machine as a provider would create it."""

    instance_id: str
    hostname: str
    user_data: str = field(repr=False)
    #: OpenSSH public keys of root
    public_keys: tuple[str, ...]
    #: the provider that the machine detects, see ``metadata.dmi``
    datasource: str
    #: None for a machine with a private address only
    public_ip: str | None
    #: empty for a machine with a public address only
    private_ip: str
    #: ``debian-12``, ``debian-13`` or a name that ``snapshot`` returned
    image: str = "debian-12"
    #: fields that are added to the provider's document, or a function that answers instead (``metadata.Answer``)
    metadata: Mapping[str, Any] | metadata.Answer = field(default_factory=dict)
    #: the format of apt's sources: ``one-line`` or ``deb822``
    apt_sources: str = "deb822"
    #: files that exist at the first boot; those in a ``bin`` are executable
    files: Mapping[str, str] = field(default_factory=dict)
    #: directories that are layered over the image
    layers: tuple[Path, ...] = ()
    #: changes the machine's files before its first boot
    prepare: Callable[[Overlay], None] | None = None
    #: host directory → where it is mounted in the machine, read-only
    binds: Mapping[Path, str] = field(default_factory=dict)


class Machine:
    """
    One machine. ``MachineHost.boot`` returns it before it runs.

    ``state`` is ``starting`` (no process yet), ``running``, ``stopped`` (turned off, by itself or from outside; its
    disk remains), ``failed`` (it could not be started: see ``failure``), or ``gone`` after ``kill``.
    """

    def __init__(self, host: MachineHost, spec: Spec, directory: Path) -> None:
        self.spec = spec
        #: the error that prevented the start
        self.failure: Exception | None = None
        self._host = host
        #: the layers of its image if that is a snapshot, also after the host has forgotten it
        self.snapshot = [] if spec.image in image.RELEASES else host.layers(spec.image)
        self.place = launch.Place(directory)
        self.cgroup = host.slot.cgroup / directory.name
        self.attachment: Attachment | None = None
        self.service: metadata.MetadataService | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._gone = False
        self._lock = threading.Lock()
        self._starter = threading.Thread(target=self._begin, name=f"boot-{spec.instance_id}")
        self._starter.start()

    def _begin(self) -> None:
        try:
            self.place.make()
            spec, network = self.spec, self._host.network
            self.attachment = network.attach(spec.public_ip, spec.private_ip)
            own = FILES[spec.datasource](spec, self.attachment.interfaces) if spec.datasource in FILES else {}
            launch.write(self.place.upper, {**self._host.files(spec, self.layers), **own})
            if spec.prepare is not None:
                spec.prepare(Overlay(self.place.upper, self.layers))
            provider = METADATA[spec.datasource](spec, self.attachment.interfaces, (network.private_host,))
            self.service = metadata.MetadataService(self.attachment.namespace, spec, provider)
            self._launch()
        except Exception as error:
            self.failure = error

    def _launch(self) -> None:
        assert self.attachment is not None
        self.cgroup.mkdir(exist_ok=True)
        command = launch.command(self.layers, self.cgroup, self.attachment.namespace, self.spec.binds)
        with self.place.console.open("ab") as console:
            self._process = subprocess.Popen(
                command, cwd=self.place.root, stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                env=ENVIRONMENT, start_new_session=True,
            )  # fmt: skip

    @property
    def layers(self) -> list[Path]:
        """The directories below its own one, top layer first. This builds the image of a release if necessary."""
        return [*self.spec.layers, *(self.snapshot or self._host.layers(self.spec.image))]

    def wait_started(self) -> None:
        """Wait until the machine's process runs. Raises the error that prevented the start."""
        self._starter.join()
        if self.failure:
            raise self.failure

    def state(self) -> str:
        """Return the state; the class describes the states."""
        if self._gone:
            return "gone"
        if self.failure:
            return "failed"
        if self._process is None:
            return "starting"
        return "running" if self._process.poll() is None else "stopped"

    def run(self, command: str, timeout: float = 60) -> tuple[int, str]:
        """
        Run a shell command as root in the machine and return exit code and output.

        This is for assertions; clients have no such access. Returns 127 and no output while the machine has no init
        process.
        """
        entry = self._entry()
        if entry is None:
            return 127, ""
        done = subprocess.run(
            [*entry, "sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=timeout, env=INSIDE, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout.decode(errors="replace")

    def enter(self, *command: str) -> int:
        """Run a command as root in the machine, with this process's input and output, and return its exit code."""
        entry = self._entry()
        if entry is None:
            raise RuntimeError(f"the machine is {self.state()}")
        return subprocess.run([*entry, *command], env=INSIDE, check=False).returncode

    def _entry(self) -> list[str] | None:
        """Return the command that enters the machine, to put before another one; None while the machine has no init."""
        self._starter.join()
        init = self._init()
        if init is None:
            return None
        return ["nsenter", f"--target={init}", "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"]

    def _init(self) -> int | None:
        """Return the process with id 1 in the machine: a child of nspawn, which is a child of the shell."""
        if self._process is None or self._process.poll() is not None:
            return None
        try:
            for process in psutil.Process(self._process.pid).children(recursive=True):
                numbers = _namespace_pids(process.pid)
                if len(numbers) == 2 and numbers[-1] == 1:
                    return process.pid
        except psutil.NoSuchProcess:
            pass
        return None

    def wait(self, command: str, timeout: float = 60) -> str:
        """Run a command in the machine until it succeeds and return its output."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                code, output = self.run(command, timeout=ATTEMPT_TIMEOUT)
            except subprocess.TimeoutExpired:  # the machine went down during the command, which will not return
                code, output = 1, "no answer"
            if code == 0:
                return output
            if time.monotonic() > deadline or self.state() in ("failed", "gone"):
                said = f"{command}: {output[-500:]}\n{self.console()[-3000:]}"
                raise AssertionError(f"the machine is {self.state()} {self.failure or ''}, {said}")
            time.sleep(0.1)

    def console(self) -> str:
        """Return the machine's output while it booted."""
        try:
            return self.place.console.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def stop(self) -> None:
        """Turn the machine off as if by its power switch; its disk remains. Idempotent."""
        self._starter.join()
        with self._lock:
            cgroups.end(self.cgroup)
            if self._process is not None:
                self._process.wait(120)

    def start(self, *, cold: bool = False) -> None:
        """
        Stop the machine and turn it on again.

        With ``cold``, everything that the machine had configured on its interfaces is removed before.
        """
        self.stop()
        with self._lock:
            if cold and self.attachment is not None:
                self._host.network.darken(self.attachment)
            self._launch()

    def kill(self) -> None:
        """Stop the machine and remove everything that belongs to it. Idempotent."""
        self.stop()
        with self._lock:
            if self._gone:
                return
            if self.service is not None:
                self.service.close()
            if self.attachment is not None:
                self._host.network.detach(self.attachment)
            self._gone = True
        self._host.discard(self.place.root)


def _namespace_pids(pid: int) -> list[int]:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return [int(word) for word in line.split()[1:]]
    except OSError:
        pass
    return []


class MachineHost:
    """
    Everything that the machines of one session need: network, names, repositories. A context manager.

    Opening it removes what killed sessions left on this host; closing it leaves nothing. Several can be open on one
    host, in one process or in several.
    """

    def __init__(self) -> None:
        assert not scope.fast, f"a test that boots machines must have the fixture {scope.HOST}, see tests/scope.py"
        self.slot = slots.take()
        self.directory = Path()
        self.machines: list[Machine] = []
        self._snapshots = Snapshots()
        self._numbers = 0
        self._lock = threading.Lock()
        self._removing = ThreadPoolExecutor(1, thread_name_prefix="remove")
        try:
            self._open()
        except BaseException:
            self.slot.clear()
            self.slot.release()
            raise

    def _open(self) -> None:
        top = cache.directory() / "sessions"
        top.mkdir(parents=True, exist_ok=True)
        self.directory = Path(tempfile.mkdtemp(prefix=f"{self.slot.number}-", dir=top))
        self.slot.use(self.directory)
        self.network = Network(self.slot)
        self.network.open()
        self.repository = repository.Repositories()
        self.repository.open(self.network.private_host)

    def __enter__(self) -> MachineHost:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        """The address of this host that every machine can reach: their salt-master listens here."""
        return self.network.private_host

    @property
    def dns(self) -> dict[str, str]:
        """The names that machines can resolve; can be changed at any time."""
        return self.network.dns.names

    @property
    def repository_url(self) -> str:
        """The URL of Salt's apt repository, in the form that the product's setting expects."""
        return self.repository.salt_url

    @property
    def repository_key(self) -> str:
        """The key that signs Salt's repository, armoured."""
        return self.repository.salt_key

    @property
    def wrong_key(self) -> str:
        """A key that does not sign Salt's repository."""
        return self.repository.wrong_key

    def boot(self, spec: Spec) -> Machine:
        """Return a machine at once, while it boots in the background."""
        if spec.image not in image.RELEASES and spec.image not in self._snapshots:
            raise ValueError(f"no image {spec.image}")
        metadata.dmi(spec)  # so that an unknown datasource raises its error here and not in a thread
        with self._lock:
            self._numbers += 1
            machine = Machine(self, spec, self.directory / f"machine-{self._numbers}")
            self.machines.append(machine)
        return machine

    def snapshot(self, machine: Machine) -> str:
        """Turn a machine off, and return an image of its disk for the ``image`` of a Spec. The machine stays off."""
        machine.stop()
        with self._lock:
            self._numbers += 1
            name = f"snapshot-{self._numbers}"
        self._snapshots.add(name, machine.place.upper, self.directory / name, machine.layers)
        return name

    def forget(self, name: str) -> None:
        """Remove an image that ``snapshot`` returned, its files once no machine has them as a layer. Idempotent."""
        self._snapshots.forget(name)
        self._remove_unused()

    def _remove_unused(self) -> None:
        with self._lock:
            used = [layer for machine in self.machines if machine.state() != "gone" for layer in machine.snapshot]
        for directory in self._snapshots.unused(used):
            self._remove(directory)

    def discard(self, directory: Path) -> None:
        """Remove the files of a machine that is gone, in the background; ``close`` waits for it."""
        if directory.exists():
            self._remove(directory)
        self._remove_unused()

    def _remove(self, directory: Path) -> None:
        removed = directory.rename(directory.with_name(f"{directory.name}.removed"))
        self._removing.submit(cache.remove, removed)

    def layers(self, name: str) -> list[Path]:
        """Return the directories that make up an image, top layer first."""
        return [image.base(name)] if name in image.RELEASES else self._snapshots.layers(name)

    def files(self, spec: Spec, layers: Sequence[Path]) -> dict[str, str]:
        """Return the files of a machine before it boots: firmware, name server, configuration of apt and pip."""
        fields = {f"{image.DMI}/{name}": f"{value}\n" for name, value in metadata.dmi(spec).items()}
        return {
            **fields,
            "/etc/resolv.conf": f"nameserver {self.network.private_host}\n",
            "/etc/pip.conf": self.repository.pip_configuration(),
            **self.repository.sources(_release(layers), spec.apt_sources),
            **spec.files,
        }

    def close(self) -> None:
        """End all machines and leave nothing on the host. Idempotent."""
        with self._lock:
            machines, self.machines = self.machines, []
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(Machine.kill, machines))
        self._removing.shutdown()
        if self.directory == Path():
            return
        self.repository.close()
        self.network.close()
        self.slot.clear()
        self.slot.release()
        self.directory = Path()


def _release(layers: Sequence[Path]) -> str:
    """Return the codename of the Debian release that an image is or was made from."""
    return next(code for name, code in image.RELEASES.items() if f"/{name}-" in str(layers[-1]))
