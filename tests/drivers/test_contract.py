"""
The driver contract, over every driver that can create instances.

A driver joins with a subclass of ``Environment`` in ``ENVIRONMENTS``: it says how to make the driver, a node
that the driver can launch, and what the create call of an instance carried, as the provider has it.
"""

from __future__ import annotations

import dataclasses
import json
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from hart_salt.base import errors
from hart_salt.config.schema import Provider
from hart_salt.drivers import driver_class, schemas
from hart_salt.drivers.contract import Driver
from hart_salt.drivers.local.driver import Account
from hart_salt.model import RESERVED, Access, AddressRequest, Image, Instance, IpAddress, Node, Region, Size
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


@pytest.fixture(params=ENVIRONMENTS)
def environment(request: pytest.FixtureRequest, root: Path) -> Iterator[Environment]:
    made = ENVIRONMENTS[request.param](root)
    with made.closing:
        yield made
        for owner in (OWNER, OTHER_OWNER):
            driver = made.driver(owner)
            for instance in driver.instances():
                driver.terminate(instance)


@pytest.fixture
def driver(environment: Environment) -> Driver:
    return environment.driver()


def launch(environment: Environment, driver: Driver, minion_id: str = "web-1.example.com", **changes: Any) -> Instance:
    node = environment.node(minion_id, **changes)
    with driver.access("b1", CLIENT_KEY, [node]) as access:
        return driver.launch(node, USER_DATA, access)


def test_every_driver_is_in_this_suite() -> None:
    assert set(ENVIRONMENTS) == set(schemas())


def test_making_a_driver_asks_nothing_and_check_says_who_the_credentials_belong_to(driver: Driver) -> None:
    assert isinstance(driver.check(), str)
    assert driver.check()
    assert driver.instances() == []


def test_the_create_call_says_whose_instance_it_is_and_what_for(environment: Environment, driver: Driver) -> None:
    call = environment.create_call(launch(environment, driver, role="app"))
    expected = {"owner": OWNER, "minion_id": "web-1.example.com", "role": "app", "batch": "b1"}
    assert {name: call[name] for name in expected} == expected


def test_a_node_without_a_role_can_be_launched(environment: Environment, driver: Driver) -> None:
    launched = launch(environment, driver, role=None)
    assert launched.role is None
    assert driver.instances()[0].role is None


def test_what_was_launched_is_listed_by_any_later_call_with_what_its_tags_say(
    environment: Environment, driver: Driver
) -> None:
    # While its batch lasts: nobody asks which batch it was afterwards.
    node = environment.node("web-1.example.com")
    with driver.access("b1", CLIENT_KEY, [node]) as access:
        launched = driver.launch(node, USER_DATA, access)
        (listed,) = environment.driver().instances()
    assert isinstance(launched, Instance)
    for name in ("instance_id", "minion_id", "role", "batch", "region", "zone", "size"):
        assert getattr(listed, name) == getattr(launched, name), name
    assert (listed.minion_id, listed.role, listed.batch) == ("web-1.example.com", "app", "b1")
    assert listed.state in ("pending", "running")
    assert listed.created is None or listed.created > 1.5e9


def test_one_is_found_by_its_id_whatever_its_tags_say_and_what_has_ended_is_not(
    environment: Environment, driver: Driver
) -> None:
    launched = launch(environment, driver)
    if driver.provider.driver != "local":  # whose instances have no tags beside their owner's claim
        driver.release(launched)
        assert driver.instances() == []
    found = environment.driver().instance(launched)
    assert found is not None
    assert (found.instance_id, found.region, found.zone) == (launched.instance_id, launched.region, launched.zone)
    driver.terminate(launched)
    assert environment.driver().instance(launched) is None
    for name in ("i-0123456789abcdef0", "123456789", "..", ""):
        assert driver.instance(dataclasses.replace(launched, instance_id=name)) is None, name


def test_instances_of_another_master_are_invisible(environment: Environment, driver: Driver) -> None:
    other = environment.driver(OTHER_OWNER)
    launch(environment, other, "theirs")
    launch(environment, driver, "ours")
    assert [instance.minion_id for instance in driver.instances()] == ["ours"]
    assert [instance.minion_id for instance in other.instances()] == ["theirs"]


def test_what_the_provider_refuses_is_an_invalid_request_and_creates_nothing(
    environment: Environment, driver: Driver
) -> None:
    node = environment.unlaunchable()
    before = driver.instances()
    with driver.access("b1", CLIENT_KEY, [node]) as access, pytest.raises(errors.InvalidRequest):
        driver.launch(node, USER_DATA, access)
    assert [instance.instance_id for instance in driver.instances()] == [one.instance_id for one in before]
    assert [instance.batch for instance in driver.instances()] == [one.batch for one in before]


def test_what_user_data_contains_is_for_nobody_else(environment: Environment, driver: Driver) -> None:
    assert environment.who_can_read_user_data(launch(environment, driver)) == "owner"


def test_terminating_can_be_repeated_and_leaves_the_others(environment: Environment, driver: Driver) -> None:
    first, second = launch(environment, driver, "a"), launch(environment, driver, "a.b")
    for _ in range(3):
        driver.terminate(first)
    assert [instance.instance_id for instance in driver.instances()] == [second.instance_id]


@pytest.mark.parametrize("instance_id", ["no-such-instance", "i-0123456789abcdef0", "12345678", "..", ".", ""])
def test_terminating_what_is_not_there_is_success_and_touches_nothing(
    environment: Environment, driver: Driver, instance_id: str
) -> None:
    kept = launch(environment, driver)
    driver.terminate(dataclasses.replace(kept, instance_id=instance_id))
    assert [instance.instance_id for instance in driver.instances()] == [kept.instance_id]


def test_an_id_is_free_again_once_its_instance_is_terminated(environment: Environment, driver: Driver) -> None:
    driver.terminate(launch(environment, driver))
    again = launch(environment, driver)
    assert [instance.instance_id for instance in driver.instances()] == [again.instance_id]


def test_one_driver_object_serves_several_threads_at_once(environment: Environment, driver: Driver) -> None:
    ids = [f"web-{number}" for number in range(6)]
    nodes = [environment.node(minion_id) for minion_id in ids]
    with ThreadPoolExecutor(len(ids)) as pool, driver.access("b1", CLIENT_KEY, nodes) as access:
        launched = list(pool.map(lambda node: driver.launch(node, USER_DATA, access), nodes))
        assert sorted(instance.minion_id for instance in driver.instances()) == ids
        list(pool.map(driver.terminate, launched * 2))
    assert driver.instances() == []


def test_the_access_of_a_batch_names_it_and_is_left_also_after_a_failure(
    environment: Environment, driver: Driver
) -> None:
    nodes = [environment.node("web-1.example.com")]
    with pytest.raises(ZeroDivisionError), driver.access("b7", CLIENT_KEY, nodes) as access:
        assert isinstance(access, Access)
        assert (access.batch, access.client_public_key) == ("b7", CLIENT_KEY)
        raise ZeroDivisionError
    assert driver.leftovers() == []


def test_what_the_access_of_a_batch_made_can_be_found_and_removed_by_any_later_call_of_the_same_master(
    environment: Environment, driver: Driver
) -> None:
    with driver.access("b7", CLIENT_KEY, [environment.node("web-1.example.com")]):
        assert environment.driver(OTHER_OWNER).leftovers() == []
        later = environment.driver()
        for leftover in later.leftovers():
            assert leftover.batch == "b7"
            assert leftover.kind
            assert leftover.name
            for _ in range(2):
                later.remove(leftover)
        assert later.leftovers() == []


def up(environment: Environment, driver: Driver, minion_id: str = "web-1.example.com") -> Instance:
    """An instance that is no longer being made."""
    launched = launch(environment, driver, minion_id)
    if hasattr(environment, "_time"):
        environment._time.advance(60)
    return next(one for one in driver.instances() if one.instance_id == launched.instance_id)


def test_an_address_that_cannot_be_given_is_an_invalid_request_with_a_sentence(
    environment: Environment, driver: Driver
) -> None:
    instance = up(environment, driver)
    with pytest.raises(errors.InvalidRequest, match="address"):
        driver.find_address(instance, AddressRequest(RESERVED, "192.0.2.77"))
    assert list(driver.addresses(instance)) == []
    assert environment.reserve() or type(driver).no_addresses != Driver.no_addresses


@pytest.mark.parametrize("environment", GIVING, indirect=True)
def test_a_reserved_address_is_given_and_taken_and_stays_the_account_s(
    environment: Environment, driver: Driver
) -> None:
    ip = environment.reserve()
    instance, other = up(environment, driver), up(environment, driver, "other")
    found = driver.find_address(instance, AddressRequest(RESERVED, ip))
    assert (found.kind, found.ip, found.there) == (RESERVED, ip, False)
    assert list(driver.addresses(instance)) == []
    given = driver.add_address(instance, found)
    assert given == driver.find_address(instance, AddressRequest(RESERVED, ip))
    assert given == dataclasses.replace(found, there=True)
    assert [(one.kind, one.ip, one.there) for one in driver.addresses(instance)] == [(RESERVED, ip, True)]
    assert list(driver.addresses(other)) == []
    with pytest.raises(errors.InvalidRequest, match=instance.instance_id):
        driver.find_address(other, AddressRequest(RESERVED, ip))
    known = IpAddress(RESERVED, ip, given.handle)  # as a record has it
    driver.remove_address(other, known)
    assert driver.addresses(instance) != [], "it was another's"
    for _ in range(2):
        driver.remove_address(instance, known)
    assert list(driver.addresses(instance)) == []
    driver.add_address(other, driver.find_address(other, AddressRequest(RESERVED, ip)))
    driver.remove_address(instance, known)
    assert [one.ip for one in driver.addresses(other)] == [ip]


@pytest.mark.parametrize("environment", GIVING, indirect=True)
def test_a_reserved_address_is_free_again_when_its_instance_is_terminated(
    environment: Environment, driver: Driver
) -> None:
    ip = environment.reserve()
    instance = up(environment, driver)
    driver.add_address(instance, driver.find_address(instance, AddressRequest(RESERVED, ip)))
    driver.terminate(instance)
    again = up(environment, driver)
    assert driver.find_address(again, AddressRequest(RESERVED, ip)).there is False
    handle = driver.find_address(again, AddressRequest(RESERVED, ip)).handle
    driver.remove_address(instance, IpAddress(RESERVED, ip, handle))


def test_what_people_ask_for_is_of_the_types_that_they_are_shown(driver: Driver) -> None:
    regions, images = driver.regions(), driver.images(None)
    assert regions
    assert all(isinstance(region, Region) for region in regions)
    assert all(isinstance(image, Image) for image in images)
    for region in (None, regions[0].name):
        sizes = driver.sizes(region)
        assert sizes
        assert all(isinstance(size, Size) and size.memory_mb > 0 and size.cpus > 0 for size in sizes)


def test_the_schema_s_defaults_are_what_the_provider_has(driver: Driver) -> None:
    schema = driver.schema
    names = [region.name for region in driver.regions()]
    assert schema.default_region in (None, *names)
    region = schema.default_region or names[0]
    assert schema.default_size is None or driver.size(schema.default_size, region) is not None
    assert driver.size("no-such-size", region) is None


def test_what_a_machine_of_this_kind_needs_is_plain_data(environment: Environment, driver: Driver) -> None:
    launched = launch(environment, driver)
    assert isinstance(driver.root(launched), str)
    assert json.dumps(dict(driver.minion_defaults(environment.node("web-1.example.com"))))
    driver.settle(launched)
