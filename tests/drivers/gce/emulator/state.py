"""The state of the project in the emulated Compute Engine, and the switches of its behaviour."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.drivers.gce.emulator import catalog as catalogue
from tests.emulation import world
from tests.emulation.backend import Addresses
from tests.emulation.world import NEVER as NEVER

PROJECT = "hart-test-1"


@dataclass
class Settings(world.Settings):
    """The switches of Compute Engine, in addition to those of all clouds."""

    #: seconds from the create call until STAGING, and until RUNNING
    staging_after: float = 0.1
    running_after: float = 0.2
    #: seconds of every other operation
    operation_after: float = 0.0
    delete_after: float = 0.0
    instance_limit: int = 100
    firewall_limit: int = 100
    #: calls a minute; None: no limit
    minute_limit: int | None = None
    #: zones that lists over all zones report as unreachable
    unreachable_zones: tuple[str, ...] = ()
    #: how accepted creates fail: the code of the error, its status (None: without one), and the seconds until then
    late_error: str = ""
    late_status: int | None = None
    late_after: float = 0.0
    #: whether the operation of a create never ends, although the instance runs
    stuck_creates: bool = False
    #: whether images that failed do not exist any more
    drops_failed_images: bool = False
    #: whether a repeated request id is recognised; if not, the name causes a refusal
    remembers_requests: bool = True


@dataclass
class Instance(world.Machine):
    """A VM. Its status follows from the times."""

    id: int
    zone: str
    #: the body of the create call, with the API's own names
    body: dict[str, Any]
    #: the name in a back end of the image of the boot disk
    image: str
    staging_at: float
    running_at: float
    metadata: list[dict[str, str]]
    tags: list[str]
    deleting: bool = False
    stopped: bool = False
    #: when the vendor preempted it
    preempted_at: float | None = None

    @property
    def name(self) -> str:
        """The name, which is unique in the zone."""
        return str(self.body["name"])

    @property
    def minion(self) -> str:
        """The minion id; for instances that hart did not create, the name."""
        return str(self.body.get("description") or self.name)

    @property
    def user_data(self) -> str:
        """The script that the create call sets to run at boot."""
        return next((it["value"] for it in self.body.get("metadata", {}).get("items", []) if it["key"] == SCRIPT), "")

    def notices(self) -> dict[str, str]:
        """Return the metadata that announce the preemption."""
        return {} if self.preempted_at is None else {"preempted": "TRUE"}

    def status(self, now: float) -> str:
        """Return the status in the vendor's words."""
        if self.deleting or self.preempted_at is not None:
            return "STOPPING"
        if self.stopped:
            return "TERMINATED"
        if now < self.staging_at:
            return "PROVISIONING"
        return "STAGING" if now < self.running_at else "RUNNING"


SCRIPT = "startup-script"


@dataclass
class Disk:
    """A disk; ``user`` is the instance that it belongs to."""

    id: int
    name: str
    zone: str
    size: int
    type: str
    labels: dict[str, str]
    source_image: str
    created: float
    user: int | None
    auto_delete: bool
    architecture: str = "X86_64"


@dataclass
class Firewall:
    """A firewall rule. It filters nothing: only its text matters here."""

    id: int
    body: dict[str, Any]
    created: float


@dataclass
class Image:
    """An image; ``made_of`` is its name in a back end."""

    id: int
    project: str
    name: str
    family: str
    made_of: str
    architecture: str
    created: float
    deprecated: bool = False
    disk_size: int = 10
    features: tuple[str, ...] = ("UEFI_COMPATIBLE", "VIRTIO_SCSI_MULTIQUEUE", "GVNIC")
    status: str = "READY"
    description: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    #: the path below the project of the disk that a user made it of
    source: str = ""


@dataclass
class Subnet:
    """A subnet of a region."""

    id: int
    name: str
    region: str
    network: str
    range: str
    purpose: str = "PRIVATE"
    #: whether it has external IPv6 addresses
    ipv6: bool = False


@dataclass
class Operation:
    """An operation that takes time. ``done_at`` is its end; infinity means never."""

    id: int
    name: str
    type: str
    #: ``zones/z`` or ``global``
    scope: str
    #: the path below the project
    target: str
    target_id: int
    started: float
    done_at: float
    request_id: str = ""
    errors: list[tuple[str, str]] = field(default_factory=list)
    http_status: int | None = None
    #: its effect when it ends
    effect: Callable[[], object] | None = None


@dataclass
class State:
    """Everything in the project."""

    instances: dict[int, Instance] = field(default_factory=dict)
    disks: dict[int, Disk] = field(default_factory=dict)
    firewalls: dict[str, Firewall] = field(default_factory=dict)
    images: list[Image] = field(default_factory=list)
    networks: dict[str, int] = field(default_factory=dict)
    subnets: list[Subnet] = field(default_factory=list)
    operations: dict[str, Operation] = field(default_factory=dict)
    #: method, path and request id → the operation's name
    requests: dict[tuple[str, str, str], str] = field(default_factory=dict)
    #: the minion id of every instance ever made
    made: list[str] = field(default_factory=list)

    def left(self) -> dict[str, list[str]]:
        """
        Return what was made, by kind, for a comparison before and after.

        What instances have for the time of booting only is listed separately.
        """
        instances = self.instances.values()
        return {
            "instances": sorted(it.minion for it in instances),
            "disks": sorted(it.name for it in self.disks.values() if it.user is None),
            "images": sorted(it.name for it in self.images if it.source),
            "firewall rules": sorted(name for name in self.firewalls if not name.startswith("default-")),
            "startup scripts": sorted(it.minion for it in instances if any(e["key"] == SCRIPT for e in it.metadata)),
            "temporary tags": sorted(tag for it in instances for tag in it.tags if tag.startswith("hart-")),
        }


@dataclass
class World(world.World):
    """The context of the handlers."""

    state: State
    settings: Settings
    project: str = PROJECT
    user: str = ""
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(4_112_000_000_000_000_001, 7919))

    def tick(self) -> None:
        """Apply the effects of operations that have ended."""
        now = self.clock()
        self.happen(self.state.instances)
        for operation in list(self.state.operations.values()):
            if operation.effect is not None and operation.done_at <= now:
                effect, operation.effect = operation.effect, None
                effect()

    def begin(
        self,
        kind: str,
        scope: str,
        target: str,
        target_id: int,
        after: float,
        effect: Callable[[], object] | None = None,
    ) -> Operation:
        """Begin an operation that ends by itself."""
        now, number = self.clock(), next(self.ids)
        name = f"operation-{int(now * 1000)}-{number:x}-{target_id & 0xFFFFFFFF:08x}"
        operation = Operation(number, name, kind, scope, target, target_id, now, now + after, effect=effect)
        self.state.operations[name] = operation
        return operation

    def remove(self, it: Instance, *more: Addresses) -> None:
        """Remove an instance and the disks that are deleted with it."""
        if self.state.instances.pop(it.id, None) is None:
            return
        for disk in [disk for disk in self.state.disks.values() if disk.user == it.id]:
            if disk.auto_delete:
                del self.state.disks[disk.id]
            else:
                disk.user = None
        self.machines.kill(str(it.id), it.addresses, *more)


def fingerprint(value: Any) -> str:
    """Return a fingerprint, which shows whether a value has changed since it was read."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def new_state(now: float, ids: Iterator[int]) -> State:
    """Return a new project: it has the default network and Google's own images."""
    images = [
        Image(next(ids), project, name, family, made_of, architecture, now - 86400 * (len(name) % 7 + 1),
              deprecated=name in catalogue.OLD_IMAGES)
        for project, name, family, made_of, architecture in catalogue.PUBLIC_IMAGES
    ]  # fmt: skip
    subnets = [
        Subnet(next(ids), "default", region, "default", f"10.{128 + 4 * number}.0.0/20")
        for number, region in enumerate(sorted(catalogue.ZONES))
    ]
    body = {"name": "default-allow-ssh", "network": "global/networks/default", "sourceRanges": ["0.0.0.0/0"],
            "allowed": [{"IPProtocol": "tcp", "ports": ["22"]}], "direction": "INGRESS", "priority": 65534}  # fmt: skip
    rules = {"default-allow-ssh": Firewall(next(ids), body, now)}
    return State(images=images, subnets=subnets, networks={"default": next(ids)}, firewalls=rules)
