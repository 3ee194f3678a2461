"""
Protected instances: the verb ``protect`` over every driver, and the providers' own deletion protection.

``hart.destroy``, scaling, which uses it, and ``hart.sweep`` keep such an instance, its key and its record.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import DriverError, NotFound, Protected
from hart_salt.drivers.contract import Driver
from hart_salt.drivers.tags import PROTECTED
from hart_salt.inventory.records import READY, Record
from hart_salt.model import Instance
from hart_salt.operations.destroy import destroy_all
from hart_salt.operations.sweep import Sweep
from tests.drivers.clouds import module_of
from tests.drivers.environment import CLIENT_KEY, USER_DATA, CloudEnvironment, Environment, launch
from tests.drivers.environments import CLOUDS
from tests.emulation.faults import Fault
from tests.functional.operations.world import World, finger

NAME = "web-1.example.com"


def _ec2(environment: CloudEnvironment, instance: Instance, on: bool) -> None:
    client = module_of("ec2").boto(environment.cloud, instance.region)
    client.modify_instance_attribute(InstanceId=instance.instance_id, DisableApiTermination={"Value": on})


def _gce(environment: CloudEnvironment, instance: Instance, on: bool) -> None:
    environment.cloud.state.instances[int(instance.instance_id)].body["deletionProtection"] = on


def _hetzner(environment: CloudEnvironment, instance: Instance, on: bool) -> None:
    path = f"servers/{instance.instance_id}/actions/change_protection"
    module_of("hetzner").Client(environment.cloud).make(path, "action", delete=on, rebuild=on)


PROTECT: Mapping[str, Callable[[CloudEnvironment, Instance, bool], None]] = {
    "ec2": _ec2, "gce": _gce, "hetzner": _hetzner,
}  # fmt: skip
#: what to do, in the message
ADVICE = {
    "ec2": "termination or stop protection: salt-run hart.unprotect",
    "gce": "deletion protection: salt-run hart.unprotect",
    "hetzner": "salt-run hart.unprotect removes the protection",
}
#: the providers whose lists show their own protection
SHOWN = ("gce", "hetzner")
EACH = pytest.mark.parametrize(("environment", "cloud_name"), [(name, name) for name in PROTECT],
                               indirect=["environment"])  # fmt: skip


def node_of(world: World, driver: Driver, made: Instance, stage: str) -> Record:
    """Write the record and the key of a launched node."""
    record = Record(
        NAME, driver.provider.name, driver.provider.driver, str(made.region), str(made.size), stage, world.info.owner,
        made.batch, 1.0, "app", zone=made.zone, instance_id=made.instance_id, sealed=True,
        minion_key_finger=finger(NAME),
    )  # fmt: skip
    world.store.put(record)
    world.keys[NAME] = finger(NAME)
    return record


def left(world: World, driver: Driver) -> tuple[list[str], list[str], list[str]]:
    """Return the instances, the keys and the records."""
    return [it.minion_id for it in driver.instances()], [*world.keys], [it.minion_id for it in world.store.all()]


# the verb


def made_by(environment: Environment, driver: Driver) -> Instance:
    """Return an instance that is complete."""
    made = launch(environment, driver)
    if isinstance(environment, CloudEnvironment):
        environment.time.advance(600)
    return made


def state(environment: Environment, instance: Instance) -> Any:
    """Return everything that an owner can set on an instance."""
    if isinstance(environment, CloudEnvironment):
        return environment.labels(instance.instance_id)
    path = Path(environment.driver().root(instance))
    return environment.create_call(instance), sorted(one.name for one in (path / "etc").iterdir())


def reported(environment: Environment, instance: Instance) -> set[bool]:
    """Return what the ways to look at an instance say about its protection."""
    fresh = environment.driver()
    one = fresh.instance(instance)
    assert one is not None
    both = [*fresh.instances(), *fresh.instances_of("b1", instance.region), *fresh.instances_called(NAME)]
    assert len(both) > 1
    return {one.protected, *(it.protected for it in both)}


def test_protection_is_seen_by_later_calls_and_nothing_else_changes(environment: Environment, driver: Driver) -> None:
    instance = made_by(environment, driver)
    before = state(environment, instance)
    assert reported(environment, instance) == {False}
    for on in (True, True, False, False):
        environment.driver().protect(instance, on=on)
        assert reported(environment, instance) == {on}
        same = state(environment, instance) == before
        assert same is not on
    driver.terminate(instance)
    assert driver.instances() == []


def test_a_protected_instance_keeps_its_identity(environment: Environment, driver: Driver) -> None:
    instance = made_by(environment, driver)
    (before,) = driver.instances()
    driver.protect(instance, on=True)
    (after,) = driver.instances()
    assert dataclasses.replace(after, protected=False) == before


@pytest.mark.parametrize("environment", ["local", *PROTECT], indirect=True)
def test_the_provider_refuses_to_terminate_until_the_protection_is_off(
    environment: Environment, driver: Driver
) -> None:
    instance = made_by(environment, driver)
    driver.protect(instance, on=True)
    with pytest.raises(Protected, match=r"salt-run hart\.unprotect"):
        environment.driver().terminate(instance)
    assert [one.instance_id for one in driver.instances()] == [instance.instance_id]
    environment.driver().protect(instance, on=False)
    driver.terminate(instance)
    assert driver.instances() == []


def test_an_absent_instance_cannot_be_protected_and_is_not_protected(environment: Environment, driver: Driver) -> None:
    instance = made_by(environment, driver)
    driver.terminate(instance)
    for name in (instance.instance_id, "i-0123456789abcdef0", "123456789", "..", ""):
        gone = dataclasses.replace(instance, instance_id=name)
        with pytest.raises(NotFound):
            driver.protect(gone, on=True)
        driver.protect(gone, on=False)


def test_a_new_instance_is_not_protected_so_that_it_can_be_rolled_back(environment: Environment) -> None:
    """Whatever its settings say: hart protects a node once it is sealed."""
    node = environment.node(NAME)
    node = dataclasses.replace(node, settings=node.settings.model_copy(update={"protect": True}))
    driver = environment.driver()
    with driver.access("b1", CLIENT_KEY, [node]) as access:
        instance = driver.launch(node, USER_DATA, access)
    assert PROTECTED not in str(state(environment, instance))
    driver.terminate(instance)
    assert driver.instances() == []


#: what lets the second step of a change fail: the right for it that is denied, or the call of a provider
SECOND: Mapping[str, str | Fault] = {
    "ec2": "ec2:ModifyInstanceAttribute",
    "gce": "compute.instances.setDeletionProtection",
    "hetzner": Fault("POST", "change_protection", status=403, times=1),
}


@EACH
def test_what_was_interrupted_counts_as_protected(
    environment: CloudEnvironment, cloud_name: str, driver: Driver
) -> None:
    instance = made_by(environment, driver)
    for on in (True, False):
        second = SECOND[cloud_name]
        if isinstance(second, Fault):
            environment.cloud.faults.add(second)
        else:
            environment.cloud.settings.denied = (second,)
        with pytest.raises(DriverError):
            driver.protect(instance, on=on)
        environment.cloud.settings.denied = ()
        assert reported(environment, instance) == {True}, f"on={on}"
        driver.protect(instance, on=on)
        assert reported(environment, instance) == {on}
    driver.terminate(instance)


@EACH
def test_a_protection_that_someone_else_turned_on_is_removed(
    environment: CloudEnvironment, cloud_name: str, driver: Driver
) -> None:
    instance = made_by(environment, driver)
    PROTECT[cloud_name](environment, instance, True)
    assert reported(environment, instance) == {cloud_name in SHOWN}
    driver.protect(instance, on=False)
    driver.terminate(instance)
    assert driver.instances() == []


@EACH
def test_a_mark_without_the_providers_own_protection_is_completed(
    environment: CloudEnvironment, cloud_name: str, driver: Driver
) -> None:
    instance = made_by(environment, driver)
    driver.protect(instance, on=True)
    PROTECT[cloud_name](environment, instance, False)
    assert reported(environment, instance) == {True}, "the mark is enough"
    driver.protect(instance, on=True)
    with pytest.raises(Protected):
        driver.terminate(instance)


@pytest.mark.parametrize("environment", CLOUDS, indirect=True)
def test_the_mark_is_harts_own_and_no_tag_of_a_user(environment: CloudEnvironment, driver: Driver) -> None:
    if driver.provider.driver == "gce":
        node = environment.with_settings(NAME, options={"labels": {PROTECTED: ""}})
    else:
        node = environment.with_settings(NAME, tags=[PROTECTED])
    assert [said for said in driver.objections(node) if PROTECTED in said and "hart's own" in said]


@pytest.mark.parametrize(
    ("environment", "right"),
    [("vultr", "compute.instance.Update"), ("gce", "compute.instances.setDeletionProtection")],
    indirect=["environment"],
)
def test_the_check_of_a_protected_role_names_the_rights_for_it(environment: CloudEnvironment, right: str) -> None:
    if environment.module is module_of("vultr"):
        environment.cloud.settings.acls = ()  # the key has policies, which the API does not report
    else:
        environment.cloud.settings.denied = (right,)
    driver = environment.driver()
    for protect in (True, False):
        found = driver.check_rights(environment.with_settings(NAME, protect=protect))
        assert found is not None
        assert (right in found.sentence) is protect


def test_a_spot_instance_gets_the_mark_only(tmp_path: Path) -> None:
    """EC2 refuses to protect it."""
    from tests.drivers.environments import opened

    with opened("ec2", tmp_path) as environment:
        driver = environment.driver()
        with driver.access("b1", CLIENT_KEY, []) as access:
            spot = environment.with_settings(NAME, options={"spot": True})
            instance = driver.launch(spot, USER_DATA, access)
        environment.time.advance(600)
        for on in (True, False):
            driver.protect(instance, on=on)
            assert reported(environment, instance) == {on}
        driver.terminate(instance)


def test_stop_protection_of_ec2_goes_with_the_protection(tmp_path: Path) -> None:
    from tests.drivers.environments import opened

    with opened("ec2", tmp_path) as environment:
        driver = environment.driver()
        instance = made_by(environment, driver)
        client = module_of("ec2").boto(environment.cloud, instance.region)
        client.modify_instance_attribute(InstanceId=instance.instance_id, DisableApiStop={"Value": True})
        with pytest.raises(Protected):
            driver.terminate(instance)
        driver.protect(instance, on=False)
        driver.terminate(instance)


def test_a_change_at_hetzner_is_over_when_the_server_shows_it(tmp_path: Path) -> None:
    from tests.drivers.environments import opened

    with opened("hetzner", tmp_path) as environment:
        driver = environment.driver()
        instance = made_by(environment, driver)
        environment.cloud.settings.protected_after = 3
        for on in (True, False):
            driver.protect(instance, on=on)
            assert environment.cloud.state.servers[int(instance.instance_id)].is_protected(environment.time()) is on
        driver.terminate(instance)


# operations


@EACH
@pytest.mark.parametrize("stage", [READY, "bootstrapping"])
def test_a_protected_instance_stays_with_its_key_and_its_record(
    environment: CloudEnvironment, cloud_name: str, stage: str, tmp_path: Path
) -> None:
    """A node at ``bootstrapping`` is an orphan, which sweep wants to remove."""
    world = World(tmp_path)
    driver: Any = environment.driver(world.info.owner, **environment.narrow)
    made = made_by(environment, driver)
    record = node_of(world, driver, made, stage)
    PROTECT[cloud_name](environment, made, True)
    with pytest.raises(Protected):
        driver.terminate(made)

    def end() -> str:
        if stage == READY:
            data, _ = destroy_all({NAME: record}, {driver.provider.name: driver}, world.context)
            return str(data[NAME].get("error", ""))
        report, _ = Sweep({driver.provider.name: driver}, world.context, environment.time.sleep).run(grace=0)
        return "; ".join(one["error"] for one in report.get("failed", []))

    if stage == READY or cloud_name not in SHOWN:  # otherwise sweep sees it and keeps it
        assert ADVICE[cloud_name] in end()
    else:
        assert end() == ""
    assert left(world, driver) == ([NAME], [NAME], [NAME])
    assert environment.time.waits[-20:].count(2.0) < 20, "the refusal is not retried"
    PROTECT[cloud_name](environment, made, False)
    assert end() == ""
    assert left(world, driver) == ([], [], [])
