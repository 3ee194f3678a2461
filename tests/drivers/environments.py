"""
The providers in which drivers are judged by the contract.

A driver joins with a subclass of ``Environment`` in ``ENVIRONMENTS``: it says how to make the driver, a node
that the driver can launch, and what the create call of an instance carried, as the provider has it.
"""

from __future__ import annotations

import dataclasses
import json
import stat
from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from hart_salt.config.schema import Provider
from hart_salt.drivers import driver_class
from hart_salt.drivers.contract import Driver
from hart_salt.drivers.local.driver import Account
from hart_salt.model import Access, Instance, Node
from tests.drivers.do import driver as do_driver
from tests.drivers.ec2 import driver as ec2_driver
from tests.drivers.gce import driver as gce_driver
from tests.drivers.hetzner import driver as hetzner_driver
from tests.drivers.vultr import driver as vultr_driver
from tests.parts import master_info, new_node

OWNER, OTHER_OWNER = "0123456789abcdef", "fedcba9876543210"
CLIENT_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFHYVyQHSDqW0Bj6Ei7XWfBc8yNnBHQJbyLPCxP2G0u0 hart-b1"
USER_DATA = "#!/bin/sh\necho planted-user-data\n"


class Environment(ABC):
    """A provider in which a driver works. Nothing in it costs money, and nothing of it outlives the test."""

    #: whether the provider refuses a second instance of a name
    unique_names = False

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

    def reserve(self) -> str:
        """Reserve an address in the account and return it; empty: the driver gives none to nodes."""
        return ""

    def by_hand(self, name: str) -> str:
        """The id of an instance of that name which somebody made without hart; see ``test_driver_adoption.py``."""
        raise NotImplementedError

    def labels(self, instance_id: str) -> Any:
        """Everything that its owner may have put on an instance, as the provider has it."""
        raise NotImplementedError


class LocalEnvironment(Environment):
    def driver(self, owner: str = OWNER) -> Driver:
        return driver_class("local")(Provider("here", "local", Account()), master_info(self.root, owner))

    def node(self, minion_id: str, **changes: Any) -> Node:
        return new_node(minion_id, provider="here", batch="b1", **changes)

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


class DigitalOceanEnvironment(Environment):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._time = do_driver.Time()
        self.cloud = self.closing.enter_context(do_driver.open_cloud(self._time))

    def driver(self, owner: str = OWNER) -> Driver:
        return do_driver.driver_of(self.cloud, self._time, owner=owner)

    def node(self, minion_id: str, **changes: Any) -> Node:
        return dataclasses.replace(do_driver.node(minion_id), **{"role": "app", "batch": "b1", **changes})

    def create_call(self, instance: Instance) -> dict[str, Any]:
        (call,) = (one for one in self.cloud.calls if (one.method, one.path) == ("POST", "/v2/droplets"))
        tags = dict(tag.removeprefix("hart-").split(":", 1) for tag in call.body["tags"] if ":" in tag)
        return {**tags, "batch": tags["batch"].removeprefix(f"{OWNER}:"), "minion_id": call.body["name"]}

    def who_can_read_user_data(self, instance: Instance) -> str:
        shown = self.driver()._api.get(f"droplets/{instance.instance_id}", "droplet")
        return "others" if "planted-user-data" in json.dumps(shown) else "owner"

    def unlaunchable(self) -> Node:
        return self.node("web-1.example.com", size="no-such-size")

    def reserve(self) -> str:
        return self.cloud.add_reserved("nyc3")

    def by_hand(self, name: str) -> str:
        return str(do_driver.Client(self.cloud).create(name, tags=["theirs"])["id"])

    def labels(self, instance_id: str) -> Any:
        droplet = self.cloud.state.droplets[int(instance_id)]
        return droplet.name, sorted(droplet.tags)


class VultrEnvironment(Environment):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._time = do_driver.Time()
        self.cloud = self.closing.enter_context(vultr_driver.open_cloud(self._time))

    def driver(self, owner: str = OWNER) -> Driver:
        return vultr_driver.driver_of(self.cloud, self._time, owner=owner)

    def node(self, minion_id: str, **changes: Any) -> Node:
        return dataclasses.replace(vultr_driver.node(minion_id), **{"role": "app", "batch": "b1", **changes})

    def create_call(self, instance: Instance) -> dict[str, Any]:
        (call,) = (one for one in self.cloud.calls if (one.method, one.path) == ("POST", "/v2/instances"))
        tags = dict(tag.removeprefix("hart-").split(":", 1) for tag in call.body["tags"] if ":" in tag)
        return {**tags, "minion_id": call.body["label"]}

    def who_can_read_user_data(self, instance: Instance) -> str:
        shown = self.driver()._api.get(f"instances/{instance.instance_id}", "instance")
        return "others" if "planted-user-data" in json.dumps(shown) else "owner"

    def unlaunchable(self) -> Node:
        return self.node("web-1.example.com", size="no-such-size")

    def reserve(self) -> str:
        return self.cloud.add_reserved("ams")

    def by_hand(self, name: str) -> str:
        return str(vultr_driver.Client(self.cloud).create(name, tags=["theirs"])["id"])

    def labels(self, instance_id: str) -> Any:
        instance = self.cloud.state.instances[instance_id]
        return instance.label, sorted(instance.tags)


class HetznerEnvironment(Environment):
    unique_names = True

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._time = do_driver.Time()
        self.cloud = self.closing.enter_context(hetzner_driver.open_cloud(self._time))

    def driver(self, owner: str = OWNER) -> Driver:
        return hetzner_driver.driver_of(self.cloud, self._time, owner=owner)

    def node(self, minion_id: str, **changes: Any) -> Node:
        return dataclasses.replace(hetzner_driver.node(minion_id), **{"role": "app", "batch": "b1", **changes})

    def create_call(self, instance: Instance) -> dict[str, Any]:
        (call,) = (one for one in self.cloud.calls if (one.method, one.path) == ("POST", "/v1/servers"))
        labels = {name.removeprefix("hart-"): value for name, value in call.body["labels"].items()}
        return {**labels, "minion_id": call.body["name"]}

    def who_can_read_user_data(self, instance: Instance) -> str:
        shown = self.driver()._api.get(f"servers/{instance.instance_id}", "server")
        return "others" if "planted-user-data" in json.dumps(shown) else "owner"

    def unlaunchable(self) -> Node:
        return self.node("web-1.example.com", size="no-such-size")

    def by_hand(self, name: str) -> str:
        return str(hetzner_driver.Client(self.cloud).create(name, labels={"theirs": ""})["id"])

    def labels(self, instance_id: str) -> Any:
        server = self.cloud.state.servers[int(instance_id)]
        return server.name, dict(server.labels)


class ComputeEngineEnvironment(Environment):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._time = do_driver.Time()
        self.cloud = self.closing.enter_context(gce_driver.open_cloud(self._time))

    def driver(self, owner: str = OWNER) -> Driver:
        return gce_driver.driver_of(self.cloud, self._time, owner=owner)

    def node(self, minion_id: str, **changes: Any) -> Node:
        return dataclasses.replace(gce_driver.node(minion_id), **{"role": "app", "batch": "b1", **changes})

    def create_call(self, instance: Instance) -> dict[str, Any]:
        (call,) = (one for one in self.cloud.calls if one.method == "POST" and one.path.endswith("/instances"))
        labels = {name.removeprefix("hart-"): value for name, value in call.body["labels"].items()}
        return {**labels, "minion_id": call.body["description"]}

    def who_can_read_user_data(self, instance: Instance) -> str:
        """In a project everybody who may look at an instance sees its script: until it is settled."""
        self.driver().settle(instance)
        shown = self.driver()._parts.api.get("instances", zone=instance.zone, instance=instance.instance_id)
        return "others" if "planted-user-data" in str(shown) else "owner"

    def unlaunchable(self) -> Node:
        return self.node("web-1.example.com", size="no-such-size")

    def by_hand(self, name: str) -> str:
        return str(gce_driver.by_hand(self.driver(), gce_driver.names_of(name)[-1], {"theirs": "1"}))

    def labels(self, instance_id: str) -> Any:
        instance = self.cloud.state.instances[int(instance_id)]
        return instance.name, dict(instance.body.get("labels", {})), list(instance.metadata)


class Ec2Environment(Environment):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._time = ec2_driver.Time()
        self.cloud = self.closing.enter_context(ec2_driver.open_cloud(self._time))

    def driver(self, owner: str = OWNER) -> Driver:
        return ec2_driver.driver_of(self.cloud, self._time, self.root, owner=owner)

    def node(self, minion_id: str, **changes: Any) -> Node:
        return dataclasses.replace(ec2_driver.node(minion_id), **{"role": "app", "batch": "b1", **changes})

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

    def unlaunchable(self) -> Node:
        return self.node("web-1.example.com", size="no-such-size")

    def by_hand(self, name: str) -> str:
        return ec2_driver.by_hand(self.cloud, {"Name": name, "theirs": "1"})

    def labels(self, instance_id: str) -> Any:
        return ec2_driver.tags_of(self.cloud, instance_id)


ENVIRONMENTS: dict[str, type[Environment]] = {
    "local": LocalEnvironment,
    "do": DigitalOceanEnvironment,
    "ec2": Ec2Environment,
    "gce": ComputeEngineEnvironment,
    "hetzner": HetznerEnvironment,
    "vultr": VultrEnvironment,
}
#: those that give further addresses
GIVING = [name for name, kind in ENVIRONMENTS.items() if kind.reserve is not Environment.reserve]


def launch(environment: Environment, driver: Driver, minion_id: str = "web-1.example.com", **changes: Any) -> Instance:
    node = environment.node(minion_id, **changes)
    with driver.access("b1", CLIENT_KEY, [node]) as access:
        return driver.launch(node, USER_DATA, access)
