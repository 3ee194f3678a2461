"""What an emulated provider asks of the machines behind it, and the threads in which it asks."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Protocol

#: machines that boot or are ended at the same time; the others wait their turn
WORKERS = 16


@dataclass(frozen=True)
class Addresses:
    """The addresses of one machine. ``public`` is None for a machine that has none."""

    public: str | None
    private: str


@dataclass(frozen=True)
class BootRequest:
    """A machine as the provider's create call wants it."""

    instance_id: str
    hostname: str
    user_data: str = field(repr=False)
    #: OpenSSH public keys for root, as the account keeps them
    public_keys: tuple[str, ...]
    public_ip: str | None
    #: empty for a machine that is in no private network
    private_ip: str
    #: the image's slug, or its id as text
    image: str
    #: the image's name, which is how a back end knows a snapshot
    image_name: str
    tags: tuple[str, ...]
    region: str
    size: str
    #: the step of the bootstrap that is to fail
    fail_at: str = ""
    #: another machine answers at the address: it never shows the host key of the user-data
    impostor: bool = False
    #: what the provider's metadata service tells beside the usual; see the provider's ``metadata_*.py``
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Backend(Protocol):
    """
    Machines. Ids are the provider's; a back end serves one emulator.

    ``boot`` and ``kill`` are called from threads of their own and may block; for one machine never at the
    same time, and ``kill`` always after ``boot``. ``take`` is called while the create call waits.
    """

    def boot(self, request: BootRequest) -> None:
        """Make the machine. What it raises is kept in ``Machines.failures``; the machine is then absent."""

    def kill(self, instance_id: str) -> None:
        """End the machine and all that belongs to it. Repeatable; an unknown id is no error."""

    def take(self, public: bool) -> Addresses:
        """Return addresses that no other machine has."""

    def give_back(self, addresses: Addresses) -> None:
        """The machine that had them is gone."""

    def plug(self, instance_id: str, private_ip: str) -> str:
        """Give a machine an interface in the private network, and return its hardware address."""

    def unplug(self, instance_id: str) -> None:
        """Take that away."""

    def restart(self, instance_id: str) -> None:
        """Turn a machine off and on; an unknown id is no error."""

    def close(self) -> None:
        """End every machine."""


class NoMachines:
    """A back end without machines, for tests of an API: addresses of which nothing answers."""

    def __init__(self) -> None:
        # 203.0.113.0/24 and 198.51.100.0/24 are for documentation and lead nowhere.
        self._numbers = itertools.count()
        self.booted: dict[str, BootRequest] = {}
        self.killed: list[str] = []

    def boot(self, request: BootRequest) -> None:
        """Remember it."""
        self.booted[request.instance_id] = request

    def kill(self, instance_id: str) -> None:
        """Forget it."""
        if self.booted.pop(instance_id, None):
            self.killed.append(instance_id)

    def take(self, public: bool) -> Addresses:
        """The next of 500, then the first again."""
        number = next(self._numbers) % 500
        net = ("203.0.113", "198.51.100")[number // 250]
        return Addresses(f"{net}.{number % 250 + 4}" if public else None, f"10.120.{number // 250}.{number % 250 + 4}")

    def give_back(self, addresses: Addresses) -> None:
        """There are enough."""

    def plug(self, instance_id: str, private_ip: str) -> str:
        """As if."""
        return "5a:02:04:5e:00:28"

    def unplug(self, instance_id: str) -> None:
        """As if."""

    def restart(self, instance_id: str) -> None:
        """As if."""

    def close(self) -> None:
        """Nothing runs."""
        self.booted.clear()


class Machines:
    """Asks a back end for machines without keeping an API call waiting."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        #: instance id and what its boot or kill raised
        self.failures: list[tuple[str, Exception]] = []
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="machines")
        self._lock = threading.Lock()
        self._last: dict[str, Future[None]] = {}

    def boot(self, request: BootRequest) -> None:
        """Begin to boot."""
        self._submit(request.instance_id, lambda: self.backend.boot(request))

    def kill(self, instance_id: str, *addresses: Addresses) -> None:
        """Begin to end a machine, once its boot is through."""

        def work() -> None:
            self.backend.kill(instance_id)
            for one in addresses:
                self.backend.give_back(one)

        self._submit(instance_id, work)

    def plug(self, instance_id: str, private_ip: str) -> str:
        """Give a machine an interface, return its hardware address, and begin to restart the machine."""
        mac = self.backend.plug(instance_id, private_ip)
        self._submit(instance_id, lambda: self.backend.restart(instance_id))
        return mac

    def unplug(self, instance_id: str) -> None:
        """Take the interface away, and begin to restart the machine."""
        self.backend.unplug(instance_id)
        self._submit(instance_id, lambda: self.backend.restart(instance_id))

    def _submit(self, instance_id: str, work: object) -> None:
        # Work is started in the order in which it came, so what is waited for here already runs.
        with self._lock:
            before = self._last.get(instance_id)
            self._last[instance_id] = self._pool.submit(self._run, instance_id, before, work)

    def _run(self, instance_id: str, before: Future[None] | None, work: object) -> None:
        if before is not None:
            wait([before])
        try:
            work()  # type: ignore[operator]
        except Exception as error:
            self.failures.append((instance_id, error))

    def settle(self, timeout: float = 60.0) -> bool:
        """Wait until nothing is under way; False when the time is over."""
        with self._lock:
            pending = list(self._last.values())
        return not wait(pending, timeout).not_done

    def close(self) -> None:
        """End everything; what has not begun is not begun any more."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.backend.close()


def recorded(machines: Machines) -> NoMachines:
    """The back end of an emulator that has no machines, which knows what it was asked for."""
    assert isinstance(machines.backend, NoMachines)
    return machines.backend
