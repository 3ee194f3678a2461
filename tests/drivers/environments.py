"""
The providers in which every driver is held against the contract.

A driver joins with a subclass of ``Environment`` in ``ENVIRONMENTS``. It says how the driver is made and which nodes it
can launch, what the provider has of an instance then, whatever its API shows, and in which words it refuses.
"""

from __future__ import annotations

import dataclasses
import json
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import psutil

from hart_salt.config.schema import Provider
from hart_salt.drivers import driver_class
from hart_salt.drivers.contract import Driver
from hart_salt.drivers.local.driver import Account
from hart_salt.model import Access, Instance, Node
from tests.drivers.do import driver as do_driver
from tests.drivers.ec2 import driver as ec2_driver
from tests.drivers.ec2.emulator import answers as ec2_answers
from tests.drivers.ec2.emulator.launch import plain
from tests.drivers.gce import driver as gce_driver
from tests.drivers.gce.emulator import answers as gce_answers
from tests.drivers.gce.emulator import catalog as gce_catalog
from tests.drivers.hetzner import driver as hetzner_driver
from tests.drivers.vultr import driver as vultr_driver
from tests.drivers.vultr.emulator import catalog as vultr_catalog
from tests.emulation.backend import Addresses
from tests.emulation.emulator import Call
from tests.emulation.faults import Fault
from tests.parts import master_info, new_node

OWNER, OTHER_OWNER = "0123456789abcdef", "fedcba9876543210"
CLIENT_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFHYVyQHSDqW0Bj6Ei7XWfBc8yNnBHQJbyLPCxP2G0u0 hart-b1"
USER_DATA = "#!/bin/sh\necho planted-user-data\n"
#: an answer of the provider: its status, and its body; None: the usual one of that status
Said = tuple[int, Any]


@dataclass(frozen=True)
class Given:
    """An instance as the provider has it."""

    region: str
    zone: str | None
    size: str
    #: what it was made of, by a name that has the release in it
    image: str
    addresses: Addresses
    #: all tags; those with a value with a colon before it
    tags: frozenset[str]
    user_data: str


class Environment(ABC):
    """A provider in which a driver works. Nothing in it costs money, and nothing of it outlives the test."""

    #: what a node of ``node`` has in MB
    memory_mb: ClassVar[int]
    #: whether the provider has one instance of a name at the most
    unique_names: ClassVar[bool] = False
    #: bytes of user-data that the provider takes, and that arrive as they are; None: no limit is known
    user_data_limit: ClassVar[int | None] = None

    def __init__(self, root: Path) -> None:
        self.root = root
        self.closing = ExitStack()

    @abstractmethod
    def driver(self, owner: str = OWNER) -> Driver:
        """A driver object, as one call of hart by the master ``owner`` uses it."""

    @abstractmethod
    def node(self, minion_id: str, **changes: Any) -> Node:
        """A node that this driver can launch."""

    @abstractmethod
    def create_call(self, instance: Instance) -> dict[str, Any]:
        """``owner``, ``minion_id``, ``role`` and ``batch`` as the provider got them with the create call."""

    @abstractmethod
    def who_can_read_user_data(self, instance: Instance) -> str:
        """``owner`` if nobody else can, otherwise something else."""

    @abstractmethod
    def unlaunchable(self) -> Node:
        """A node that the provider refuses, for what the configuration alone cannot know."""

    @abstractmethod
    def user_data(self, instance: Instance) -> str:
        """What the instance was given to run, as it runs it."""

    def reserve(self) -> str:
        """Reserve an address in the account and return it; empty: the driver gives none to nodes."""
        return ""

    def by_hand(self, name: str) -> str:
        """The id of an instance of that name which somebody made without hart; see ``test_adoption.py``."""
        raise NotImplementedError

    def labels(self, instance_id: str) -> Any:
        """Everything that its owner may have put on an instance, as the provider has it."""
        raise NotImplementedError


class LocalEnvironment(Environment):
    memory_mb = psutil.virtual_memory().total // 2**20

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.closing.callback(self._end)

    def _end(self) -> None:
        """Instances are processes here."""
        for driver in (self.driver(), self.driver(OTHER_OWNER)):
            for instance in driver.instances():
                driver.terminate(instance)

    def driver(self, owner: str = OWNER) -> Driver:
        return driver_class("local")(Provider("here", "local", Account()), master_info(self.root, owner))

    def node(self, minion_id: str, **changes: Any) -> Node:
        return new_node(minion_id, **{"provider": "here", "batch": "b1", **changes})

    def _path(self, instance: Instance) -> Path:
        return self.root / "hart/local/here" / instance.instance_id

    def create_call(self, instance: Instance) -> dict[str, Any]:
        claim: dict[str, Any] = json.loads((self._path(instance) / "instance.json").read_text())
        return claim

    def who_can_read_user_data(self, instance: Instance) -> str:
        file = self._path(instance) / "user-data"
        modes = (stat.S_IMODE(path.stat().st_mode) for path in (file, file.parent))
        return "owner" if list(modes) == [0o600, 0o700] else "others"

    def unlaunchable(self) -> Node:
        self.driver().launch(self.node("taken"), USER_DATA, Access("b0", CLIENT_KEY))
        return self.node("taken")

    def user_data(self, instance: Instance) -> str:
        return (self._path(instance) / "user-data").read_bytes().decode()


class CloudEnvironment(Environment):
    """A provider behind an emulated API, whose time the driver's waits move on."""

    #: what the tests of the driver share, ``tests/drivers/<cloud>/driver.py``
    module: ClassVar[Any]
    #: two regions with a zone of each
    places: ClassVar[Mapping[str, str | None]]
    #: another size than that of ``node``, in MB
    other_size: ClassVar[tuple[str, int]]
    #: what a report can say of an instance's state, and what that means
    states: ClassVar[Mapping[str, str]]
    #: the fields of a fault that let it strike the create call, and those of the call that ends an instance
    create: ClassVar[Mapping[str, Any]]
    destroy: ClassVar[Mapping[str, Any]]
    #: the switch that lets a delete take seconds
    slow_delete: ClassVar[str] = "gone_after"
    #: the switches for ``hurry``
    at_once: ClassVar[Mapping[str, Any]] = {}
    #: refusals in the vendor's words, by what they mean
    words: ClassVar[Mapping[str, Said]]
    #: settings of the account with which only the region of ``node`` is asked
    narrow: ClassVar[Mapping[str, Any]] = {}
    #: whether the driver waits for as long as a Retry-After says
    heeds_retry_after: ClassVar[bool] = True

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.time = do_driver.Time()
        self.cloud = self.closing.enter_context(self.module.open_cloud(self.time))

    def hurry(self) -> None:
        """Let nothing take time, or work that matters to no driver, but the making of an instance."""
        vars(self.cloud.settings).update(self.at_once)

    def driver(self, owner: str = OWNER, **account: Any) -> Driver:
        made: Driver = self.module.driver_of(self.cloud, self.time, owner=owner, **account)
        return made

    def node(self, minion_id: str, **changes: Any) -> Node:
        return dataclasses.replace(self.module.node(minion_id), **{"role": "app", "batch": "b1", **changes})

    def with_settings(self, minion_id: str, **settings: Any) -> Node:
        """A node with common settings of its own."""
        return dataclasses.replace(self.module.node(minion_id, **settings), role="app", batch="b1")

    def private(self, minion_id: str) -> Node:
        """A node without a public address."""
        return self.with_settings(minion_id, public_ip=False)

    def unlaunchable(self) -> Node:
        return self.node("web-1.example.com", size="no-such-size")

    def user_data(self, instance: Instance) -> str:
        return self.given(instance).user_data

    def left(self) -> dict[str, list[str]]:
        """What somebody made and is still there, by kind."""
        return {kind: names for kind, names in self.cloud.left().items() if names}

    def changes(self, call: Call) -> bool:
        """Whether a call changed something."""
        return call.method != "GET"

    @abstractmethod
    def given(self, instance: Instance) -> Given:
        """The instance as the provider has it."""

    @abstractmethod
    def stop(self, instance: Instance) -> None:
        """Let somebody switch it off."""

    @abstractmethod
    def listing(self, state: str) -> Fault:
        """A fault that lets the list of instances show one of ours, which is in that state in the vendor's words."""


class DigitalOceanEnvironment(CloudEnvironment):
    module, memory_mb, user_data_limit = do_driver, 1024, 64 * 1024
    places = {"nyc3": None, "ams3": None}
    other_size = ("s-2vcpu-4gb", 4096)
    states = {"new": "pending", "active": "running", "off": "stopped", "archive": "stopped", "odd": "pending"}
    create = {"method": "POST", "path": do_driver.CREATE}
    destroy = {"method": "DELETE", "path": r"/v2/droplets/\d+$"}
    words = {
        "credentials": (401, None),
        "permission": (403, None),
        "not there": (404, None),
        "conflict": (409, None),
        "invalid": (422, None),
        "quota": (422, {"id": "a", "message": "creating this/these droplet(s) will exceed your droplet limit"}),
        "capacity": (422, {"id": "a", "message": "Region is not available"}),
    }

    def create_call(self, instance: Instance) -> dict[str, Any]:
        (call,) = (one for one in self.cloud.calls if (one.method, one.path) == ("POST", "/v2/droplets"))
        tags = dict(tag.removeprefix("hart-").split(":", 1) for tag in call.body["tags"] if ":" in tag)
        return {**tags, "batch": tags["batch"].removeprefix(f"{OWNER}:"), "minion_id": call.body["name"]}

    def who_can_read_user_data(self, instance: Instance) -> str:
        shown = self.driver()._api.get(f"droplets/{instance.instance_id}", "droplet")
        return "others" if "planted-user-data" in json.dumps(shown) else "owner"

    def reserve(self) -> str:
        return self.cloud.add_reserved("nyc3")

    def by_hand(self, name: str) -> str:
        return str(do_driver.Client(self.cloud).create(name, tags=["theirs"])["id"])

    def labels(self, instance_id: str) -> Any:
        droplet = self.cloud.state.droplets[int(instance_id)]
        return droplet.name, sorted(droplet.tags)

    def left(self) -> dict[str, list[str]]:
        """Without the tags that stay: they say what is hart's, whose it is, and its role."""
        found = super().left()
        tags = [tag for tag in found.pop("tags", []) if tag.startswith("hart-batch:")]
        return {**found, **({"tags": tags} if tags else {})}

    def given(self, instance: Instance) -> Given:
        it = self.cloud.state.droplets[int(instance.instance_id)]
        return Given(it.region, None, it.size, it.image.slug, it.addresses, frozenset(it.tags), it.user_data)

    def stop(self, instance: Instance) -> None:
        do_driver.Client(self.cloud).call("POST", f"droplets/{instance.instance_id}/actions", {"type": "power_off"})

    def listing(self, state: str) -> Fault:
        shown = {"id": 7, "name": "a", "tags": [f"hart-owner:{OWNER}"], "status": state}
        return Fault("GET", do_driver.CREATE, status=200, answer={"droplets": [shown], "links": {}})


class VultrEnvironment(CloudEnvironment):
    module, memory_mb = vultr_driver, 1024
    places = {"ams": None, "ewr": None}
    other_size = ("vc2-2c-4gb", 4096)
    states = {
        "active": "running", "pending": "pending", "suspended": "stopped", "resizing": "pending", "odd": "pending",
    }  # fmt: skip
    create = {"method": "POST", "path": vultr_driver.CREATE}
    destroy = {"method": "DELETE", "path": vultr_driver.INSTANCE}
    words = {
        "credentials": (401, None),
        "permission": (403, None),
        "not there": (404, None),
        "conflict": (409, None),
        "invalid": (422, None),
        "quota": (400, {"error": "Server add failed: You have reached the maximum number of active instances."}),
        "capacity": (400, {"error": "Server add failed: plan is not available in the selected region"}),
    }

    def private(self, minion_id: str) -> Node:
        vpc = self.cloud.add_vpc("own", "ams", gateway=True)
        return self.with_settings(minion_id, public_ip=False, options={"vpc": vpc})

    def create_call(self, instance: Instance) -> dict[str, Any]:
        (call,) = (one for one in self.cloud.calls if (one.method, one.path) == ("POST", "/v2/instances"))
        tags = dict(tag.removeprefix("hart-").split(":", 1) for tag in call.body["tags"] if ":" in tag)
        return {**tags, "minion_id": call.body["label"]}

    def who_can_read_user_data(self, instance: Instance) -> str:
        shown = self.driver()._api.get(f"instances/{instance.instance_id}", "instance")
        return "others" if "planted-user-data" in json.dumps(shown) else "owner"

    def reserve(self) -> str:
        return self.cloud.add_reserved("ams")

    def by_hand(self, name: str) -> str:
        return str(vultr_driver.Client(self.cloud).create(name, tags=["theirs"])["id"])

    def labels(self, instance_id: str) -> Any:
        instance = self.cloud.state.instances[instance_id]
        return instance.label, sorted(instance.tags)

    def left(self) -> dict[str, list[str]]:
        """Without the private networks, which are the account's own."""
        return {kind: names for kind, names in super().left().items() if kind != "VPCs"}

    def given(self, instance: Instance) -> Given:
        it = self.cloud.state.instances[instance.instance_id]
        # An instance has a private address only in a private network.
        addresses = Addresses(it.addresses.public, it.addresses.private if it.vpc_ids else "")
        system = vultr_catalog.system(it.os_id)
        return Given(it.region, None, it.plan, system, addresses, frozenset(it.tags), it.user_data)

    def stop(self, instance: Instance) -> None:
        vultr_driver.Client(self.cloud).call("POST", f"instances/{instance.instance_id}/halt")

    def listing(self, state: str) -> Fault:
        shown = {"id": "a", "label": "a", "tags": [f"hart-owner:{OWNER}"], "status": state, "power_status": "running"}
        answer = {"instances": [shown], "meta": {"links": {"next": ""}}}
        return Fault("GET", vultr_driver.CREATE, status=200, answer=answer)


class HetznerEnvironment(CloudEnvironment):
    module, memory_mb, user_data_limit = hetzner_driver, 4096, 32 * 1024
    unique_names = True
    places = {"fsn1": None, "nbg1": None}
    other_size = ("ccx13", 8192)
    #: (Server.status of the vendor's own client, hcloud)
    states = {
        "initializing": "pending", "starting": "pending", "running": "running", "stopping": "stopped",
        "off": "stopped", "migrating": "running", "rebuilding": "pending", "unknown": "pending", "odd": "pending",
    }  # fmt: skip
    create = {"method": "POST", "path": hetzner_driver.CREATE}
    destroy = {"method": "DELETE", "path": hetzner_driver.SERVER}
    words = {
        "credentials": (401, None),
        "permission": (403, None),
        "not there": (404, None),
        "conflict": (409, {"error": {"code": "uniqueness_error", "message": "server name is already used"}}),
        "invalid": (422, {"error": {"code": "invalid_input", "message": "invalid input in field 'image'"}}),
        "quota": (403, {"error": {"code": "resource_limit_exceeded", "message": "server limit exceeded"}}),
        "capacity": (412, {"error": {"code": "resource_unavailable", "message": "error during placement"}}),
    }

    def private(self, minion_id: str) -> Node:
        self.cloud.add_network("inside", "eu-central")
        return self.with_settings(minion_id, public_ip=False, options={"network": "inside"})

    def create_call(self, instance: Instance) -> dict[str, Any]:
        (call,) = (one for one in self.cloud.calls if (one.method, one.path) == ("POST", "/v1/servers"))
        labels = {name.removeprefix("hart-"): value for name, value in call.body["labels"].items()}
        return {**labels, "minion_id": call.body["name"]}

    def who_can_read_user_data(self, instance: Instance) -> str:
        shown = self.driver()._api.get(f"servers/{instance.instance_id}", "server")
        return "others" if "planted-user-data" in json.dumps(shown) else "owner"

    def by_hand(self, name: str) -> str:
        return str(hetzner_driver.Client(self.cloud).create(name, labels={"theirs": ""})["id"])

    def labels(self, instance_id: str) -> Any:
        server = self.cloud.state.servers[int(instance_id)]
        return server.name, dict(server.labels)

    def left(self) -> dict[str, list[str]]:
        """Without the private networks, which are the project's own."""
        return {kind: names for kind, names in super().left().items() if kind != "networks"}

    def given(self, instance: Instance) -> Given:
        it = self.cloud.state.servers[int(instance.instance_id)]
        tags = frozenset(":".join(filter(None, label)) for label in it.labels.items())
        # A server has a private address only in a private network.
        addresses = Addresses(it.addresses.public, it.addresses.private if it.network_ids else "")
        return Given(it.location, None, it.server_type, it.image["name"], addresses, tags, it.user_data)

    def stop(self, instance: Instance) -> None:
        hetzner_driver.Client(self.cloud).call("POST", f"servers/{instance.instance_id}/actions/poweroff")

    def listing(self, state: str) -> Fault:
        shown = {"id": 7, "name": "a", "labels": {"hart-owner": OWNER}, "status": state}
        answer = {"servers": [shown], "meta": {"pagination": {"page": 1, "next_page": None}}}
        return Fault("GET", hetzner_driver.CREATE, status=200, answer=answer)


class ComputeEngineEnvironment(CloudEnvironment):
    module, memory_mb, user_data_limit = gce_driver, 2048, 256 * 1024
    places = {"us-central1": gce_driver.ZONE, "europe-west1": "europe-west1-d"}
    other_size = ("n1-standard-1", 3840)
    #: (Instance.Status of google-cloud-compute)
    states = {
        "PENDING": "pending", "PROVISIONING": "pending", "STAGING": "pending", "REPAIRING": "pending",
        "RUNNING": "running", "PENDING_STOP": "stopped", "STOPPING": "stopped", "STOPPED": "stopped",
        "SUSPENDING": "stopped", "SUSPENDED": "stopped", "TERMINATED": "stopped", "DEPROVISIONING": "stopped",
    }  # fmt: skip
    create = {"method": "POST", "path": gce_driver.INSERT}
    destroy = {"method": "DELETE", "path": gce_driver.INSTANCE}
    slow_delete = "delete_after"
    at_once = {"operation_after": 0, "delete_after": 0}
    words = {
        "credentials": (401, None),
        "permission": (403, None),
        "not there": (404, None),
        "conflict": (409, None),
        "invalid": (400, None),
        "quota": (403, gce_answers.error(403, "", "quotaExceeded")),
        "capacity": (503, gce_answers.error(503, "", "resourcePoolExhausted")),
    }

    def private(self, minion_id: str) -> Node:
        return self.with_settings(minion_id, public_ip=False, connect_via="private")

    def create_call(self, instance: Instance) -> dict[str, Any]:
        (call,) = (one for one in self.cloud.calls if one.method == "POST" and one.path.endswith("/instances"))
        labels = {name.removeprefix("hart-"): value for name, value in call.body["labels"].items()}
        return {**labels, "minion_id": call.body["description"]}

    def who_can_read_user_data(self, instance: Instance) -> str:
        """In a project everybody who may look at an instance sees its script: until it is settled."""
        self.driver().settle(instance)
        shown = self.driver()._parts.api.get("instances", zone=instance.zone, instance=instance.instance_id)
        return "others" if "planted-user-data" in str(shown) else "owner"

    def by_hand(self, name: str) -> str:
        return str(gce_driver.by_hand(self.driver(), gce_driver.names_of(name)[-1], {"theirs": "1"}))

    def labels(self, instance_id: str) -> Any:
        instance = self.cloud.state.instances[int(instance_id)]
        return instance.name, dict(instance.body.get("labels", {})), list(instance.metadata)

    def given(self, instance: Instance) -> Given:
        it = self.cloud.state.instances[int(instance.instance_id)]
        region, size = gce_catalog.region_of(it.zone) or "", gce_answers.last(it.body["machineType"])
        return Given(region, it.zone, size, it.image, it.addresses, frozenset(it.tags), it.user_data)

    def stop(self, instance: Instance) -> None:
        self.cloud.state.instances[int(instance.instance_id)].stopped = True

    def listing(self, state: str) -> Fault:
        zone = f"projects/p/zones/{gce_driver.ZONE}"
        shown = {"id": "7", "name": "a", "labels": {"hart-owner": OWNER}, "status": state, "zone": zone}
        return Fault("GET", gce_driver.LIST, status=200, answer=gce_driver.listing(shown))


class Ec2Environment(CloudEnvironment):
    module, memory_mb, user_data_limit = ec2_driver, 1024, 16 * 1024
    places = {"eu-west-1": "eu-west-1b", "us-east-1": "us-east-1c"}
    other_size = ("t3.medium", 4096)
    #: what has ended is shown only to who launched it
    states = {"pending": "pending", "running": "running", "stopping": "stopped", "stopped": "stopped", "odd": "pending"}
    create = {"method": "POST", "body": ec2_driver.CREATE}
    destroy = {"method": "POST", "body": ec2_driver.DESTROY}
    words = {
        "credentials": (401, None),
        "permission": (403, None),
        "not there": (400, ec2_answers.error("InvalidGroup.NotFound", "The security group does not exist")),
        "conflict": (400, ec2_answers.error("IdempotentParameterMismatch", "The client token is of another request.")),
        "invalid": (400, None),
        "quota": (400, ec2_answers.error("VcpuLimitExceeded", "You have requested more vCPUs than your limit.")),
        "capacity": (500, ec2_answers.error("InsufficientInstanceCapacity", "There is not sufficient capacity.")),
    }
    narrow = {"regions": ["eu-west-1"]}
    at_once = {"check_answers": False}
    #: botocore has waits of its own
    heeds_retry_after = False

    def driver(self, owner: str = OWNER, **account: Any) -> Driver:
        return ec2_driver.driver_of(self.cloud, self.time, self.root, owner=owner, **account)

    def create_call(self, instance: Instance) -> dict[str, Any]:
        (call,) = (one for one in self.cloud.calls if ec2_driver.CREATE in one.text)
        form = dict(parse_qsl(call.text))
        kind = next(name for name, value in form.items() if (name[-12:], value) == ("ResourceType", "instance"))
        prefix = kind.removesuffix("ResourceType") + "Tag."
        keys = [name for name in form if name.startswith(prefix) and name.endswith("Key")]
        tags = {form[name]: form[name.removesuffix("Key") + "Value"] for name in keys}
        return {"minion_id": tags["hart-minion"], **{it: tags[f"hart-{it}"] for it in ("owner", "role", "batch")}}

    def who_can_read_user_data(self, instance: Instance) -> str:
        shown = self.driver()._api.listed(instance.region, "describe_instances", "Reservations")
        return "others" if "planted-user-data" in json.dumps(shown, default=str) else "owner"

    def by_hand(self, name: str) -> str:
        return ec2_driver.by_hand(self.cloud, {"Name": name, "theirs": "1"})

    def labels(self, instance_id: str) -> Any:
        return ec2_driver.tags_of(self.cloud, instance_id)

    def changes(self, call: Call) -> bool:
        return not call.text.startswith("Action=Describe")

    def given(self, instance: Instance) -> Given:
        region, life = self.cloud.region(instance.region), self.cloud.world.lives[instance.instance_id]
        it = region.get_instance(instance.instance_id)
        tags = frozenset(":".join(filter(None, (tag["key"], tag["value"]))) for tag in it.get_tags())
        image, script = region.amis[it.image_id].name, life.user_data
        return Given(
            life.region, it.placement.zone, it.instance_type, image, life.addresses, tags, plain(script).decode()
        )

    def stop(self, instance: Instance) -> None:
        ec2_driver.boto(self.cloud, instance.region).stop_instances(InstanceIds=[instance.instance_id])

    def listing(self, state: str) -> Fault:
        tag = f"<item><key>hart-owner</key><value>{OWNER}</value></item>"
        facts = f"<instanceState><name>{state}</name></instanceState><tagSet>{tag}</tagSet>"
        shown = f"<item><instanceId>i-0123456789abcdef0</instanceId>{facts}</item>"
        listed = f"<reservationSet><item><instancesSet>{shown}</instancesSet></item></reservationSet>"
        answer = f'<DescribeInstancesResponse xmlns="http://x/">{listed}</DescribeInstancesResponse>'.encode()
        return Fault("POST", body=ec2_driver.LOOK, status=200, answer=answer)


ENVIRONMENTS: dict[str, type[Environment]] = {
    "local": LocalEnvironment,
    "do": DigitalOceanEnvironment,
    "ec2": Ec2Environment,
    "gce": ComputeEngineEnvironment,
    "hetzner": HetznerEnvironment,
    "vultr": VultrEnvironment,
}
CLOUDS = [name for name, kind in ENVIRONMENTS.items() if issubclass(kind, CloudEnvironment)]
#: those that give further addresses
GIVING = [name for name, kind in ENVIRONMENTS.items() if kind.reserve is not Environment.reserve]


@contextmanager
def opened(name: str, root: Path) -> Iterator[Any]:
    """The environment of a driver."""
    made = ENVIRONMENTS[name](root)
    with made.closing:
        yield made


def launch(environment: Environment, driver: Driver, minion_id: str = "web-1.example.com", **changes: Any) -> Instance:
    """Launch a node and leave; the instance stays."""
    return launch_node(driver, environment.node(minion_id, **changes))


def launch_node(driver: Driver, node: Node, user_data: str = USER_DATA) -> Instance:
    """The same for a node that is made already."""
    with driver.access("b1", CLIENT_KEY, [node]) as access:
        return driver.launch(node, user_data, access)
