"""
A provider in which a driver is held against the contract.

A driver joins with a subclass of ``CloudEnvironment`` in ``tests/drivers/<cloud>/environment.py``, which ends with
``ENVIRONMENT = <the class>``. It says how the driver is made and which nodes it can launch, what the provider has of
an instance then, whatever its API shows, and in which words it refuses.
"""

from __future__ import annotations

import dataclasses
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from hart_salt.drivers.contract import Driver
from hart_salt.model import Instance, Node
from tests.drivers.do.driver import Time
from tests.emulation.backend import Addresses
from tests.emulation.emulator import Call
from tests.emulation.faults import Fault
from tests.emulation.http import Request

OWNER, OTHER_OWNER = "0123456789abcdef", "fedcba9876543210"
CLIENT_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFHYVyQHSDqW0Bj6Ei7XWfBc8yNnBHQJbyLPCxP2G0u0 hart-b1"
USER_DATA = "#!/bin/sh\necho planted-user-data\n"
#: the query parameters by which the vendors filter a list
FILTERS = ("filter", "label_selector", "tag", "tag_name")
#: an answer of the provider: its status, and its body; None: the usual one of that status
Said = tuple[int, Any]
#: what most APIs answer
USUAL: Mapping[str, Said] = {
    "credentials": (401, None),
    "permission": (403, None),
    "not there": (404, None),
    "conflict": (409, None),
    "invalid": (422, None),
}


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


class CloudEnvironment(Environment):
    """A provider behind an emulated API, whose time the driver's waits move on."""

    #: what the tests of the driver share, ``tests/drivers/<cloud>/driver.py``
    module: ClassVar[Any]
    #: two regions with a zone of each
    places: ClassVar[Mapping[str, str | None]]
    #: another size than that of ``node``, in MB
    other_size: ClassVar[tuple[str, int]]
    #: what a report can say of an instance's state, and what that means; what is gone is not listed
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
        self.time = Time()
        self.cloud = self.closing.enter_context(self.module.open_cloud(self.time))

    def hurry(self) -> None:
        """Let nothing take time, or work that matters to no driver, but the making of an instance."""
        vars(self.cloud.settings).update(self.at_once)

    def driver(self, owner: str = OWNER, **account: Any) -> Driver:
        made: Driver = self.module.driver_of(self.cloud, self.time, owner=owner, **account)
        return made

    def node(self, minion_id: str, **changes: Any) -> Node:
        made: Node = self.module.node(minion_id)
        return dataclasses.replace(made, **{"role": "app", "batch": "b1", **changes})

    def with_settings(self, minion_id: str, **settings: Any) -> Node:
        """A node with common settings of its own."""
        made: Node = self.module.node(minion_id, **settings)
        return dataclasses.replace(made, role="app", batch="b1")

    def ignore_filters(self) -> None:
        """Make the provider's lists show everything from now on, whatever the driver filters by."""
        handle = self.cloud.handle
        self.cloud.handle = lambda request: handle(self.unfiltered(request))

    def unfiltered(self, request: Request) -> Request:
        """Return a request without its filters."""
        kept = {name: values for name, values in request.query.items() if name not in FILTERS}
        return dataclasses.replace(request, query=kept)

    def private(self, minion_id: str) -> Node:
        """A node without a public address."""
        return self.with_settings(minion_id, public_ip=False)

    def unlaunchable(self) -> Node:
        return self.node("web-1.example.com", size="no-such-size")

    def user_data(self, instance: Instance) -> str:
        return self.given(instance).user_data

    def created(self, path: str) -> Any:
        """The body of the only create call."""
        (call,) = (one for one in self.cloud.calls if (one.method, one.path) == ("POST", path))
        return call.body

    def who_can_read_user_data(self, instance: Instance) -> str:
        """By what the API shows of the instance to whoever may look at it."""
        return "others" if "planted-user-data" in json.dumps(self.shown(instance), default=str) else "owner"

    def left(self) -> dict[str, list[str]]:
        """What somebody made and is still there, by kind."""
        return {kind: names for kind, names in self.cloud.left().items() if names}

    def changes(self, call: Call) -> bool:
        """Whether a call changed something."""
        return call.method != "GET"

    @abstractmethod
    def shown(self, instance: Instance) -> Any:
        """What the API shows of an instance."""

    @abstractmethod
    def given(self, instance: Instance) -> Given:
        """The instance as the provider has it."""

    @abstractmethod
    def stop(self, instance: Instance) -> None:
        """Let somebody switch it off."""

    @abstractmethod
    def listing(self, state: str) -> Fault:
        """A fault that lets the list of instances show one of ours, which is in that state in the vendor's words."""


class RestEnvironment(CloudEnvironment):
    """One whose driver is a ``RestDriver``, and whose instances somebody can make with the emulator's ``Client``."""

    #: what marks an instance that somebody made without hart, in the create call
    theirs: ClassVar[Mapping[str, Any]] = {"tags": ["theirs"]}

    def shown(self, instance: Instance) -> Any:
        driver: Any = self.driver()
        return driver._api.get(f"{driver.path}/{instance.instance_id}", driver.field)

    def by_hand(self, name: str) -> str:
        return str(self.module.Client(self.cloud).create(name, **self.theirs)["id"])


def launch(environment: Environment, driver: Driver, minion_id: str = "web-1.example.com", **changes: Any) -> Instance:
    """Launch a node and leave; the instance stays."""
    return launch_node(driver, environment.node(minion_id, **changes))


def launch_node(driver: Driver, node: Node, user_data: str = USER_DATA) -> Instance:
    """The same for a node that is made already."""
    with driver.access("b1", CLIENT_KEY, [node]) as access:
        return driver.launch(node, user_data, access)
