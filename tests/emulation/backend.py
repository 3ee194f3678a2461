"""The interface of an emulated provider to its machines, and the threads that call it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Protocol

#: machines that boot or end at the same time; the others wait
WORKERS = 16


@dataclass(frozen=True)
class Addresses:
    """The addresses of one machine. ``public`` is None if it has no public address."""

    public: str | None
    private: str


@dataclass(frozen=True)
class BootRequest:
    """A machine as the provider's create call describes it."""

    instance_id: str
    hostname: str
    user_data: str = field(repr=False)
    #: OpenSSH public keys for root, as the account stores them
    public_keys: tuple[str, ...]
    public_ip: str | None
    #: empty for a machine without a private network
    private_ip: str
    #: the image's slug, or its id as text
    image: str
    #: the image's name; a back end finds a saved image by this or by ``image``
    image_name: str
    tags: tuple[str, ...]
    region: str
    size: str
    #: the bootstrap step that fails
    fail_at: str = ""
    #: another machine answers at the address: it never shows the host key of the user-data
    impostor: bool = False
    #: additional fields of the provider's metadata service; see the provider's ``metadata.py``
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Backend(Protocol):
    """
    Machines for one emulator, with the provider's ids.

    ``boot`` and ``kill`` are called from separate threads and can block. For one machine they never run at the same
    time, and ``kill`` always comes after ``boot``. ``take`` is called while the create call waits.
    """

    def boot(self, request: BootRequest) -> None:
        """Make the machine. After an error, which ``Machines.failures`` stores, there is no machine."""

    def kill(self, instance_id: str) -> None:
        """End the machine and everything that belongs to it. Idempotent; an unknown id is not an error."""

    def take(self, public: bool) -> Addresses:
        """Return addresses that no other machine has."""

    def give_back(self, addresses: Addresses) -> None:
        """Release the addresses of a machine that is gone."""

    def plug(self, instance_id: str, private_ip: str) -> str:
        """Add an interface in the private network to a machine, and return its hardware address."""

    def unplug(self, instance_id: str) -> None:
        """Remove that interface."""

    def restart(self, instance_id: str) -> None:
        """Turn a machine off and on; an unknown id is not an error."""

    def halt(self, instance_id: str) -> None:
        """Turn a machine off; its disk stays. An unknown id is not an error."""

    def start(self, instance_id: str) -> None:
        """Turn on a machine that is off; an unknown id is not an error."""

    def save(self, instance_id: str, image: str) -> None:
        """
        Keep the disk of a machine that is off as an image, for requests with this ``image`` or ``image_name``.

        The name is the provider's id of the image, or another text that no second image has. The machine can be killed
        afterwards.
        """

    def forget(self, image: str) -> None:
        """Remove a saved image. Machines that were made of it remain. An unknown image is not an error."""

    def close(self) -> None:
        """End every machine, and remove every saved image."""


class NoMachines:
    """A back end without machines, for tests of an API: nothing answers at its addresses."""

    def __init__(self) -> None:
        # 203.0.113.0/24 and 198.51.100.0/24 are for documentation and have no route.
        self._numbers = itertools.count()
        self.booted: dict[str, BootRequest] = {}
        self.killed: list[str] = []
        #: what was turned off and on, in order: ``halt 7``
        self.power: list[str] = []
        #: saved images, and the requests of the machines that they were made of
        self.saved: dict[str, BootRequest] = {}

    def boot(self, request: BootRequest) -> None:
        """Store the request."""
        self.booted[request.instance_id] = request

    def kill(self, instance_id: str) -> None:
        """Drop the request."""
        if self.booted.pop(instance_id, None):
            self.killed.append(instance_id)

    def take(self, public: bool) -> Addresses:
        """Return the next of 500 addresses, then the first again."""
        number = next(self._numbers) % 500
        net = ("203.0.113", "198.51.100")[number // 250]
        return Addresses(f"{net}.{number % 250 + 4}" if public else None, f"10.120.{number // 250}.{number % 250 + 4}")

    def give_back(self, addresses: Addresses) -> None:
        """Do nothing: there are enough addresses."""

    def plug(self, instance_id: str, private_ip: str) -> str:
        """Return a hardware address without an interface."""
        return "5a:02:04:5e:00:28"

    def unplug(self, instance_id: str) -> None:
        """Do nothing."""

    def restart(self, instance_id: str) -> None:
        """Note it."""
        self.power.append(f"restart {instance_id}")

    def halt(self, instance_id: str) -> None:
        """Note it."""
        self.power.append(f"halt {instance_id}")

    def start(self, instance_id: str) -> None:
        """Note it."""
        self.power.append(f"start {instance_id}")

    def save(self, instance_id: str, image: str) -> None:
        """Store the machine's request. Raises ``KeyError`` without that machine."""
        self.saved[image] = self.booted[instance_id]

    def forget(self, image: str) -> None:
        """Drop the image."""
        self.saved.pop(image, None)

    def close(self) -> None:
        """Drop all requests and images."""
        self.booted.clear()
        self.saved.clear()


class Machines:
    """Calls of a back end in threads, so that no API call waits."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        #: instance ids and the errors of boot or kill
        self.failures: list[tuple[str, Exception]] = []
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="machines")
        self._lock = threading.Lock()
        self._last: dict[str, Future[None]] = {}
        #: image → what began to save it and to boot from it
        self._uses: dict[str, list[Future[None]]] = {}

    def boot(self, request: BootRequest) -> None:
        """Begin to boot a machine, after its image is saved."""
        images = [image for image in {request.image, request.image_name} if image in self._uses]
        after = [self._uses[image][0] for image in images]
        booting = self._submit(request.instance_id, lambda: self.backend.boot(request), *after)
        for image in images:
            self._uses[image].append(booting)

    def kill(self, instance_id: str, *addresses: Addresses) -> None:
        """Begin to end a machine, after its boot."""

        def work() -> None:
            self.backend.kill(instance_id)
            for one in addresses:
                self.backend.give_back(one)

        self._submit(instance_id, work)

    def plug(self, instance_id: str, private_ip: str) -> str:
        """Add an interface to a machine, begin to restart it, and return the hardware address."""
        mac = self.backend.plug(instance_id, private_ip)
        self._submit(instance_id, lambda: self.backend.restart(instance_id))
        return mac

    def unplug(self, instance_id: str) -> None:
        """Remove the interface, and begin to restart the machine."""
        self.backend.unplug(instance_id)
        self._submit(instance_id, lambda: self.backend.restart(instance_id))

    def restart(self, instance_id: str) -> None:
        """Begin to turn a machine off and on."""
        self._submit(instance_id, lambda: self.backend.restart(instance_id))

    def halt(self, instance_id: str) -> None:
        """Begin to turn a machine off."""
        self._submit(instance_id, lambda: self.backend.halt(instance_id))

    def start(self, instance_id: str) -> None:
        """Begin to turn a machine on."""
        self._submit(instance_id, lambda: self.backend.start(instance_id))

    def save(self, instance_id: str, image: str) -> None:
        """Begin to save an image of a machine."""
        self._uses[image] = [self._submit(instance_id, lambda: self.backend.save(instance_id, image))]

    def forget(self, image: str) -> None:
        """Begin to remove a saved image, after it is saved and the machines that are to boot from it have booted."""
        uses = self._uses.pop(image, [])
        self._submit(f"image {image}", lambda: self.backend.forget(image), *uses)

    def _submit(self, subject: str, work: Callable[[], object], *after: Future[None]) -> Future[None]:
        # Work starts in the order of its submission, so the work that this waits for is already running.
        with self._lock:
            before = [self._last[subject]] if subject in self._last else []
            submitted = self._pool.submit(self._run, subject, [*before, *after], work)
            self._last[subject] = submitted
        return submitted

    def _run(self, instance_id: str, before: Sequence[Future[None]], work: Callable[[], object]) -> None:
        wait(before)
        try:
            work()
        except Exception as error:
            self.failures.append((instance_id, error))

    def settle(self, timeout: float = 60.0) -> bool:
        """Wait until no work is in progress; return False after the timeout."""
        with self._lock:
            pending = list(self._last.values())
        return not wait(pending, timeout).not_done

    def close(self) -> None:
        """End everything; cancel work that has not begun."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.backend.close()


def recorded(machines: Machines) -> NoMachines:
    """Return the back end of an emulator without machines, which stores its requests."""
    assert isinstance(machines.backend, NoMachines)
    return machines.backend
