"""What a node is made from and when it ends: tags of the create call, and the verb ``set_end``, over every driver."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import DriverError, NotFound
from hart_salt.drivers.contract import Driver
from hart_salt.drivers.tags import DIGEST, ENDS
from hart_salt.model import Instance
from tests.drivers.clouds import module_of
from tests.drivers.environment import OTHER_OWNER, CloudEnvironment, Environment, launch
from tests.drivers.environments import CLOUDS
from tests.drivers.test_protection import state
from tests.emulation.faults import Fault

NAME = "web-1.example.com"
TEXT = "1-65107e62-986ec20d-fe2fd151-8b02980e-644b00b0-2ef8519c"
END, LATER = 1_796_065_796.0, 1_796_080_000.0


def made_by(environment: Environment, driver: Driver, **changes: Any) -> Instance:
    """Return an instance that is complete."""
    made = launch(environment, driver, NAME, **changes)
    if isinstance(environment, CloudEnvironment):
        environment.time.advance(600)
    return made


def reported(environment: Environment, instance: Instance) -> set[tuple[str | None, float | None]]:
    """Return what the ways to look at an instance say about its digest and its end."""
    fresh = environment.driver()
    one = fresh.instance(instance)
    assert one is not None
    listed = [*fresh.instances(), *fresh.instances_of("b1", instance.region), *fresh.instances_called(NAME)]
    assert len(listed) > 1
    return {(it.digest, it.ends) for it in [one, *listed]}


def disks_and_interfaces(environment: Environment) -> str:
    """Return what a provider has besides instances."""
    if not isinstance(environment, CloudEnvironment) or environment.module is not module_of("gce"):
        return ""
    return str([vars(disk) for disk in environment.cloud.state.disks.values()])


@pytest.mark.parametrize(("digest", "ends"), [(TEXT, END), (TEXT, None), ("", END), ("", None)])
def test_the_create_call_itself_says_both(
    environment: Environment, driver: Driver, digest: str, ends: float | None
) -> None:
    instance = made_by(environment, driver, digest=digest, ends=ends)
    assert reported(environment, instance) == {(digest or None, ends)}
    shown = str(state(environment, instance))
    assert (DIGEST in shown or bool(TEXT in shown), ENDS in shown) == (bool(digest), ends is not None)
    assert ENDS not in disks_and_interfaces(environment)


def test_the_end_can_be_set_moved_and_removed_and_nothing_else_changes(
    environment: Environment, driver: Driver
) -> None:
    instance = made_by(environment, driver, digest=TEXT)
    before = state(environment, instance)
    for ends in (END, END, LATER, END):
        environment.driver().set_end(instance, ends)
        assert reported(environment, instance) == {(TEXT, ends)}
        assert str(state(environment, instance)).count(ENDS) == 1
    for _ in range(2):
        environment.driver().set_end(instance, None)
        assert state(environment, instance) == before
    driver.terminate(instance)
    assert driver.instances() == []


def test_an_instance_keeps_its_identity(environment: Environment, driver: Driver) -> None:
    instance = made_by(environment, driver, digest=TEXT)
    (before,) = driver.instances()
    driver.set_end(instance, END)
    (after,) = driver.instances()
    assert dataclasses.replace(after, ends=None) == before


def test_protection_keeps_both(environment: Environment, driver: Driver) -> None:
    instance = made_by(environment, driver, digest=TEXT, ends=END)
    for on in (True, False):
        driver.protect(instance, on=on)
        assert reported(environment, instance) == {(TEXT, END)}
    driver.protect(instance, on=True)
    driver.set_end(instance, LATER)
    (found,) = driver.instances()
    assert (found.protected, found.ends) == (True, LATER)


@pytest.mark.parametrize("environment", CLOUDS, indirect=True)
def test_the_users_tags_do_not_show_them_and_keep_them(environment: CloudEnvironment, driver: Driver) -> None:
    instance = made_by(environment, driver, digest=TEXT, ends=END)
    assert not {DIGEST, ENDS} & driver.user_tags(instance).keys()
    driver.set_tags(instance, {"team": "blue"}, ["stage", DIGEST, ENDS])
    driver.set_end(instance, LATER)
    assert reported(environment, instance) == {(TEXT, LATER)}
    assert driver.user_tags(instance)["team"] == "blue"
    assert [one for one in driver.tag_objections({DIGEST: "x", ENDS: "1"}) if "hart's own" in one]


@pytest.mark.parametrize("environment", CLOUDS, indirect=True)
def test_an_import_by_another_master_keeps_them(environment: CloudEnvironment, driver: Driver) -> None:
    """They say what the machine was made from, and when it ends, whoever has it."""
    instance = made_by(environment, driver, digest=TEXT, ends=END)
    other = environment.driver(OTHER_OWNER)
    for minion_id, role in ((NAME, "app"), ("other-1.example.com", None)):
        other.adopt(instance, minion_id, role)
        (found,) = other.instances()
        assert (found.digest, found.ends) == (TEXT, END)


@pytest.mark.parametrize("environment", CLOUDS, indirect=True)
def test_users_cannot_set_them(environment: CloudEnvironment, driver: Driver) -> None:
    for name in (DIGEST, ENDS):
        if driver.provider.driver == "gce":
            node = environment.with_settings(NAME, options={"labels": {name: "1"}})
        else:
            node = environment.with_settings(NAME, tags={name: "1"})
        assert [said for said in driver.objections(node) if name in said and "hart's own" in said]


def test_an_absent_instance_has_no_end(environment: Environment, driver: Driver) -> None:
    instance = made_by(environment, driver)
    driver.terminate(instance)
    for name in (instance.instance_id, "i-0123456789abcdef0", "123456789", "..", ""):
        gone = dataclasses.replace(instance, instance_id=name)
        for ends in (END, None):
            with pytest.raises(NotFound):
                driver.set_end(gone, ends)


#: the call that sets a tag
TAGGING: Mapping[str, Fault] = {
    "do": Fault("POST", "/tags/hart-ends.*/resources$", status=403),
    "ec2": Fault("POST", body="Action=CreateTags", status=403),
    "gce": Fault("POST", "/setLabels$", status=403),
    "hetzner": Fault("PUT", "/servers/", status=403),
    "vultr": Fault("PATCH", "/instances/", status=403),
}


@pytest.mark.parametrize(("environment", "cloud_name"), [(one, one) for one in CLOUDS], indirect=["environment"])
def test_an_interrupted_change_leaves_the_old_end_or_none(
    environment: CloudEnvironment, driver: Driver, cloud_name: str
) -> None:
    """A node never ends earlier than one of its ends."""
    instance = made_by(environment, driver, digest=TEXT, ends=END)
    environment.cloud.faults.add(TAGGING[cloud_name])
    with pytest.raises(DriverError):
        driver.set_end(instance, LATER)
    assert reported(environment, instance) <= {(TEXT, END), (TEXT, None)}
    driver.set_end(instance, LATER)
    assert reported(environment, instance) == {(TEXT, LATER)}


def test_nonsense_in_the_file_of_a_local_node_is_no_end(tmp_path: Path) -> None:
    from tests.drivers.environments import opened

    with opened("local", tmp_path) as environment:
        driver = environment.driver()
        instance = made_by(environment, driver, ends=END)
        file = Path(driver.root(instance)) / "etc/hart-ends"
        for text in (b"soon", b"", b"-1", b"\xff\xfe", b"1" * 10**6, b"1e9"):
            file.write_bytes(text)
            assert reported(environment, instance) == {(None, None)}
        file.unlink()
        file.mkdir()
        assert reported(environment, instance) == {(None, None)}


@pytest.mark.parametrize("environment", ["gce", "ec2"], indirect=True)
def test_the_marks_count_in_the_limit_of_labels(environment: CloudEnvironment, driver: Driver) -> None:
    most = {"gce": 64 - 5, "ec2": 50 - 5}[driver.provider.driver]
    for number in range(most - 3, most + 1):
        names = {f"k{one}": "v" for one in range(number)}
        are_labels = driver.provider.driver == "gce"
        plain = environment.with_settings(NAME, **({"options": {"labels": names}} if are_labels else {"tags": names}))
        for digest, ends in (("", None), (TEXT, None), (TEXT, END)):
            node = dataclasses.replace(plain, digest=digest, ends=ends)
            marks = bool(digest) + (ends is not None)
            refused = [one for one in driver.objections(node) if "hart's own" in one]
            assert bool(refused) is (number + marks > most), (number, marks)


def test_ends_of_digitalocean_are_swept_once_no_droplet_has_them(tmp_path: Path) -> None:
    """There a tag outlives its droplets, and each end is another tag."""
    from tests.drivers.environments import opened

    with opened("do", tmp_path) as environment:
        driver = environment.driver()
        instance = made_by(environment, driver, ends=END)
        assert driver.leftovers() == []
        driver.set_end(instance, LATER)
        assert [one.handle for one in driver.leftovers()] == [f"tags/{ENDS}:{driver.master.owner}:b1:{END:.0f}"]
        assert environment.driver(OTHER_OWNER).leftovers() == []
        driver.terminate(instance)
        environment.time.advance(600)
        left = driver.leftovers()
        assert [(one.kind, one.batch) for one in left] == [("tag", "b1"), ("tag", "b1")]
        for one in left:
            driver.remove(one)
        assert driver.leftovers() == []
