"""
The driver contract over every driver that can create instances: each verb without faults.

Reports are in ``test_contract_reports.py``, faults in ``test_contract_faults.py`` and ``test_contract_refusals.py``,
instances that hart did not create in ``test_adoption.py``. A driver joins with its ``environment.py``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from hart_salt.base import errors
from hart_salt.drivers import schemas
from hart_salt.drivers.contract import Driver
from hart_salt.model import RESERVED, Access, AddressRequest, Image, Instance, IpAddress, Price, Region, Size
from hart_salt.node import ssh
from tests.drivers.environment import CLIENT_KEY, OTHER_OWNER, OWNER, USER_DATA, CloudEnvironment, Environment, launch
from tests.drivers.environments import CLOUDS, ENVIRONMENTS, WITH_ADDRESSES


def test_every_driver_is_in_this_suite() -> None:
    assert set(ENVIRONMENTS) == set(schemas())


def test_making_a_driver_makes_no_call_and_check_names_the_account(driver: Driver) -> None:
    assert isinstance(driver.check(), str)
    assert driver.check()
    assert driver.instances() == []


def test_the_create_call_names_owner_minion_id_role_and_batch(environment: Environment, driver: Driver) -> None:
    call = environment.create_call(launch(environment, driver, role="app"))
    expected = {"owner": OWNER, "minion_id": "web-1.example.com", "role": "app", "batch": "b1"}
    assert {name: call[name] for name in expected} == expected


def test_a_node_without_a_role_can_be_launched(environment: Environment, driver: Driver) -> None:
    launched = launch(environment, driver, role=None)
    assert launched.role is None
    assert driver.instances()[0].role is None


def test_a_launched_instance_is_listed_by_later_calls_with_the_facts_of_its_tags(
    environment: Environment, driver: Driver
) -> None:
    # During the batch: afterwards, the batch of an instance does not matter.
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


def test_the_instances_of_one_batch_are_listed_and_those_with_a_minion_id(
    environment: Environment, driver: Driver
) -> None:
    """Of this master only: others can use the same names."""
    names = ("web-1.example.com", "web-2.example.com", "db-1.example.com")
    theirs = environment.driver(OTHER_OWNER)
    launch(environment, theirs, "theirs.example.com")
    with driver.access("b1", CLIENT_KEY, [environment.node(names[0])]) as first:
        launched = [driver.launch(environment.node(name), USER_DATA, first) for name in names[:2]]
        db = environment.node(names[2], batch="b2")
        with driver.access("b2", ssh.make_key("another").public, [db]) as second:
            other = driver.launch(db, USER_DATA, second)
            fresh = environment.driver()
            regions = {None, launched[0].region}
            for region in regions:
                assert names_in(fresh.instances_of("b1", region)) == sorted(names[:2])
                assert names_in(fresh.instances_of("b2", region)) == [names[2]]
                assert names_in(fresh.instances_of("b3", region)) == []
            for instance in (*launched, other):
                called = fresh.instances_called(instance.minion_id)
                assert [one.instance_id for one in called] == [instance.instance_id]
            assert fresh.instances_called("theirs.example.com") == fresh.instances_called("web.example.com") == []


def names_in(instances: Sequence[Instance]) -> list[str]:
    return sorted(instance.minion_id for instance in instances)


def test_an_instance_is_found_by_its_id_whatever_its_tags_and_a_terminated_one_is_not(
    environment: Environment, driver: Driver
) -> None:
    launched = launch(environment, driver)
    if driver.provider.driver != "local":  # its instances have only their owner's claim and no tags
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


@pytest.mark.parametrize("environment", CLOUDS, indirect=True)
def test_what_belongs_to_another_master_is_not_listed_when_the_provider_ignores_filters(
    environment: CloudEnvironment, driver: Driver
) -> None:
    """Sweep removes what ``instances`` and ``leftovers`` list: each driver checks the owner itself."""
    other, node = environment.driver(OTHER_OWNER), environment.node("theirs")
    with other.access("b1", CLIENT_KEY, [node]) as access:
        other.launch(node, USER_DATA, access)
        environment.ignore_filters()
        assert (driver.instances(), driver.leftovers()) == ([], [])
        assert [instance.minion_id for instance in other.instances()] == ["theirs"]
        assert bool(other.leftovers()) == (driver.provider.driver != "vultr")  # needs no temporary resources


def test_a_refused_launch_is_an_invalid_request_and_creates_nothing(environment: Environment, driver: Driver) -> None:
    node = environment.unlaunchable()
    before = driver.instances()
    with driver.access("b1", CLIENT_KEY, [node]) as access, pytest.raises(errors.InvalidRequest):
        driver.launch(node, USER_DATA, access)
    assert [instance.instance_id for instance in driver.instances()] == [one.instance_id for one in before]
    assert [instance.batch for instance in driver.instances()] == [one.batch for one in before]


def test_nobody_else_can_read_user_data(environment: Environment, driver: Driver) -> None:
    assert environment.who_can_read_user_data(launch(environment, driver)) == "owner"


def test_terminating_can_be_repeated_and_leaves_the_others(environment: Environment, driver: Driver) -> None:
    first, second = launch(environment, driver, "a"), launch(environment, driver, "a.b")
    for _ in range(3):
        driver.terminate(first)
    assert [instance.instance_id for instance in driver.instances()] == [second.instance_id]


def test_terminating_an_absent_instance_succeeds_and_changes_nothing(environment: Environment, driver: Driver) -> None:
    kept = launch(environment, driver)
    for instance_id in ("no-such-instance", "i-0123456789abcdef0", "12345678", "..", ".", ""):
        driver.terminate(dataclasses.replace(kept, instance_id=instance_id))
        assert [instance.instance_id for instance in driver.instances()] == [kept.instance_id], instance_id


@pytest.mark.parametrize("environment", CLOUDS, indirect=True)
def test_an_invalid_id_is_never_sent(environment: CloudEnvironment, driver: Driver) -> None:
    """Such an id could become another call, or match all instances."""
    made = launch(environment, driver)
    environment.cloud.calls.clear()
    for name in ("", ".", "..", "a/b", "1/../2", "1?tag_name=a", "1;2", "*"):
        wrong = dataclasses.replace(made, instance_id=name)
        assert driver.instance(wrong) is None
        driver.release(wrong)
        driver.terminate(wrong)
    assert environment.cloud.calls == []


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


def test_the_access_of_a_batch_names_it_and_is_removed_also_after_a_failure(
    environment: Environment, driver: Driver
) -> None:
    nodes = [environment.node("web-1.example.com")]
    with pytest.raises(ZeroDivisionError), driver.access("b7", CLIENT_KEY, nodes) as access:
        assert isinstance(access, Access)
        assert (access.batch, access.client_public_key) == ("b7", CLIENT_KEY)
        raise ZeroDivisionError
    assert driver.leftovers() == []


def test_resources_of_a_batchs_access_can_be_found_and_removed_by_any_later_call_of_the_same_master(
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
    """Return an instance after its creation has ended."""
    launched = launch(environment, driver, minion_id)
    if isinstance(environment, CloudEnvironment):
        environment.time.advance(60)
    return next(one for one in driver.instances() if one.instance_id == launched.instance_id)


def test_an_impossible_address_is_an_invalid_request_with_a_reason(environment: Environment, driver: Driver) -> None:
    instance = up(environment, driver)
    with pytest.raises(errors.InvalidRequest, match="address"):
        driver.find_address(instance, AddressRequest(RESERVED, "192.0.2.77"))
    assert list(driver.addresses(instance)) == []
    assert environment.reserve() or type(driver).no_addresses != Driver.no_addresses


@pytest.mark.parametrize("environment", WITH_ADDRESSES, indirect=True)
def test_a_reserved_address_is_added_and_removed_and_stays_in_the_account(
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
    known = IpAddress(RESERVED, ip, given.handle)  # as the record has it
    driver.remove_address(other, known)
    assert driver.addresses(instance) != [], "it was another's"
    for _ in range(2):
        driver.remove_address(instance, known)
    assert list(driver.addresses(instance)) == []
    driver.add_address(other, driver.find_address(other, AddressRequest(RESERVED, ip)))
    driver.remove_address(instance, known)
    assert [one.ip for one in driver.addresses(other)] == [ip]


@pytest.mark.parametrize("environment", WITH_ADDRESSES, indirect=True)
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


def test_lists_for_users_have_the_types_of_the_model(driver: Driver) -> None:
    regions, images = driver.regions(), driver.images(None)
    assert regions
    assert all(isinstance(region, Region) for region in regions)
    assert all(isinstance(image, Image) for image in images)
    for region in (None, regions[0].name):
        sizes = driver.sizes(region)
        assert sizes
        assert all(isinstance(size, Size) and size.memory_mb > 0 and size.cpus > 0 for size in sizes)


def test_prices_are_those_of_the_list_of_sizes_and_an_unknown_one_is_absent(driver: Driver) -> None:
    region = driver.regions()[0].name
    listed = {size.name: Price(size.monthly_price, size.currency) for size in driver.sizes(region)
              if size.monthly_price is not None}  # fmt: skip
    some = dict(list(listed.items())[:2])
    assert driver.prices({region: {*some, "no-such-size"}}) == {(region, name): price for name, price in some.items()}
    assert driver.prices({region: {*listed}}) == {(region, name): price for name, price in listed.items()}
    assert driver.prices({}) == {}


def test_the_defaults_of_the_schema_exist_at_the_provider(driver: Driver) -> None:
    schema = driver.schema
    names = [region.name for region in driver.regions()]
    assert schema.default_region in (None, *names)
    region = schema.default_region or names[0]
    assert schema.default_size is None or driver.size(schema.default_size, region) is not None
    assert driver.size("no-such-size", region) is None


def test_root_and_minion_defaults_are_plain_data(environment: Environment, driver: Driver) -> None:
    launched = launch(environment, driver)
    assert isinstance(driver.root(launched), str)
    assert json.dumps(dict(driver.minion_defaults(environment.node("web-1.example.com"))))
    driver.settle(launched)
