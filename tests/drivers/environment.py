"""
The environment in which the contract suite tests a driver.

A driver joins with a subclass of ``CloudEnvironment`` in ``tests/drivers/<cloud>/environment.py``, which ends with
``ENVIRONMENT = <the class>``. It makes the driver and nodes that it can launch, returns the provider's own state of an
instance whatever its API shows, and has the provider's refusals.
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
#: an answer of the provider: its status and its body; None: the usual body of the status
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
    """The provider's own state of an instance."""

    region: str
    zone: str | None
    size: str
    #: the image, by a name that contains the release
    image: str
    addresses: Addresses
    #: all tags; a value follows a colon
    tags: frozenset[str]
    user_data: str


class Environment(ABC):
    """A provider for a driver. It costs no money, and nothing of it outlives the test."""

    #: the memory of a node of ``node`` in MB
    memory_mb: ClassVar[int]
    #: whether names of instances are unique at the provider
    unique_names: ClassVar[bool] = False
    #: bytes of user-data that the provider accepts unchanged; None: no known limit
    user_data_limit: ClassVar[int | None] = None

    def __init__(self, root: Path) -> None:
        self.root = root
        self.closing = ExitStack()

    @abstractmethod
    def driver(self, owner: str = OWNER) -> Driver:
        """Return the driver object of one call of hart by the master ``owner``."""

    @abstractmethod
    def node(self, minion_id: str, **changes: Any) -> Node:
        """Return a node that this driver can launch."""

    @abstractmethod
    def create_call(self, instance: Instance) -> dict[str, Any]:
        """Return ``owner``, ``minion_id``, ``role`` and ``batch`` from the create call."""

    @abstractmethod
    def who_can_read_user_data(self, instance: Instance) -> str:
        """Return ``owner`` if nobody else can read it, otherwise another text."""

    @abstractmethod
    def unlaunchable(self) -> Node:
        """Return a node that the provider refuses for a reason that the configuration cannot know."""

    @abstractmethod
    def user_data(self, instance: Instance) -> str:
        """Return the user-data as the instance runs it."""

    def switch_off(self, driver: Driver, instance: Instance) -> None:
        """Turn an instance off, as before an image of it is made."""
        driver.power_off(instance, force=True)

    def reserve(self) -> str:
        """Reserve an address in the account and return it; return an empty text if the driver cannot add addresses."""
        return ""

    def by_hand(self, name: str) -> str:
        """Create an instance of that name without hart, and return its id; see ``test_adoption.py``."""
        raise NotImplementedError

    def labels(self, instance_id: str) -> Any:
        """Return the provider's own state of everything that an owner can set on an instance."""
        raise NotImplementedError


class CloudEnvironment(Environment):
    """A provider behind an emulated API, whose clock the driver's waits advance."""

    #: the module ``tests/drivers/<cloud>/driver.py``
    module: ClassVar[Any]
    #: two regions, each with a zone
    places: ClassVar[Mapping[str, str | None]]
    #: another size than that of ``node``, and its memory in MB
    other_size: ClassVar[tuple[str, int]]
    #: the fields of a fault for the calls that turn an instance off and that restart it
    turn_off: ClassVar[Mapping[str, Any]]
    restart: ClassVar[Mapping[str, Any]]
    #: the right that a stop needs
    stop_right: ClassVar[str]
    #: whether an operating system can ignore the shutdown, so that hart cuts its power
    can_ignore: ClassVar[bool] = False
    #: whether the API does not report how an action ends
    is_silent: ClassVar[bool] = False
    #: a size to which an instance of ``node`` can be changed
    larger: ClassVar[str]
    #: hart's states by the vendor's states; instances that are gone are not listed
    states: ClassVar[Mapping[str, str]]
    #: the fields of a fault for the create call, and for the call that terminates an instance
    create: ClassVar[Mapping[str, Any]]
    destroy: ClassVar[Mapping[str, Any]]
    #: the same for the call that makes an image of an instance, and for the one that deletes an image
    image_create: ClassVar[Mapping[str, Any]]
    image_destroy: ClassVar[Mapping[str, Any]]
    #: the right that only the call that makes an image needs
    image_right: ClassVar[str]
    #: the switch for the seconds of a delete
    slow_delete: ClassVar[str] = "gone_after"
    #: the switches for ``hurry``
    at_once: ClassVar[Mapping[str, Any]] = {}
    #: the vendor's refusals, by their meaning
    words: ClassVar[Mapping[str, Said]]
    #: settings of the account that limit calls to the region of ``node``
    narrow: ClassVar[Mapping[str, Any]] = {}
    #: whether the driver obeys Retry-After
    heeds_retry_after: ClassVar[bool] = True

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.time = Time()
        self.cloud = self.closing.enter_context(self.module.open_cloud(self.time))

    def hurry(self) -> None:
        """Make everything instant except the creation of an instance."""
        vars(self.cloud.settings).update(self.at_once)

    def driver(self, owner: str = OWNER, **account: Any) -> Driver:
        made: Driver = self.module.driver_of(self.cloud, self.time, owner=owner, **account)
        return made

    def node(self, minion_id: str, **changes: Any) -> Node:
        made: Node = self.module.node(minion_id)
        return dataclasses.replace(made, **{"role": "app", "batch": "b1", **changes})

    def with_settings(self, minion_id: str, **settings: Any) -> Node:
        """Return a node with other common settings."""
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
        """Return a node without a public address."""
        return self.with_settings(minion_id, public_ip=False)

    def unlaunchable(self) -> Node:
        return self.node("web-1.example.com", size="no-such-size")

    def user_data(self, instance: Instance) -> str:
        return self.given(instance).user_data

    def created(self, path: str) -> Any:
        """Return the body of the only create call."""
        (call,) = (one for one in self.cloud.calls if (one.method, one.path) == ("POST", path))
        return call.body

    def who_can_read_user_data(self, instance: Instance) -> str:
        """Search the API's report of the instance."""
        return "others" if "planted-user-data" in json.dumps(self.shown(instance), default=str) else "owner"

    def left(self) -> dict[str, list[str]]:
        """Return the existing resources, by kind; what clients made of instances is ``images``."""
        return {kind: names for kind, names in self.cloud.left().items() if names}

    def changes(self, call: Call) -> bool:
        """Return whether a call changes something."""
        return call.method != "GET"

    @abstractmethod
    def shown(self, instance: Instance) -> Any:
        """Return the API's report of an instance."""

    @abstractmethod
    def given(self, instance: Instance) -> Given:
        """Return the instance as the provider has it."""

    @abstractmethod
    def machine(self, instance: Instance) -> Any:
        """Return the emulator's own record of an instance; see ``tests/emulation/world.py``."""

    def interrupt(self, instance: Instance) -> float:
        """Make the provider take a spot instance away, and return when it is gone."""
        raise NotImplementedError

    def reboots(self, instance: Instance) -> int:
        """Return how often the provider has restarted the instance."""
        return int(self.machine(instance).reboots)

    @abstractmethod
    def stop(self, instance: Instance) -> None:
        """Switch the instance off without hart."""

    @abstractmethod
    def listing(self, state: str) -> Fault:
        """Return a fault by which the list shows one instance of this master in that state of the vendor."""


class RestEnvironment(CloudEnvironment):
    """The environment of a ``RestDriver``, with instances that the emulator's ``Client`` makes."""

    #: fields of the create call for an instance made without hart
    theirs: ClassVar[Mapping[str, Any]] = {"tags": ["theirs"]}

    def shown(self, instance: Instance) -> Any:
        driver: Any = self.driver()
        return driver._api.get(f"{driver.path}/{instance.instance_id}", driver.field)

    def by_hand(self, name: str) -> str:
        return str(self.module.Client(self.cloud).create(name, **self.theirs)["id"])


def launch(environment: Environment, driver: Driver, minion_id: str = "web-1.example.com", **changes: Any) -> Instance:
    """Launch a node and leave the access; the instance stays."""
    return launch_node(driver, environment.node(minion_id, **changes))


def launch_node(driver: Driver, node: Node, user_data: str = USER_DATA) -> Instance:
    """Launch an existing node and leave the access."""
    with driver.access("b1", CLIENT_KEY, [node]) as access:
        return driver.launch(node, user_data, access)
