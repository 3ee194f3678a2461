"""The driver contract over every driver: power, other sizes, and the user's tags of existing instances."""

from __future__ import annotations

import dataclasses

import pytest

from hart_salt.base import errors
from hart_salt.drivers import power
from hart_salt.drivers.contract import Driver
from hart_salt.model import Instance, Size
from tests.drivers.environment import OTHER_OWNER, CloudEnvironment, Environment, launch
from tests.drivers.environments import CLOUDS, ENVIRONMENTS
from tests.emulation.faults import Fault

EACH = pytest.mark.parametrize("environment", CLOUDS, indirect=True)


def is_ignored(name: str) -> bool:
    kind = ENVIRONMENTS[name]
    return issubclass(kind, CloudEnvironment) and kind.can_ignore


@pytest.fixture
def running(environment: CloudEnvironment, driver: Driver) -> Instance:
    """Return a running instance as it is listed."""
    launch(environment, driver)
    environment.time.advance(60)
    (listed,) = driver.instances()
    driver.settle(listed)
    return listed


def now(driver: Driver, instance: Instance) -> Instance:
    found = driver.instance(instance)
    assert found is not None
    return found


@EACH
def test_an_instance_is_stopped_listed_as_stopped_and_started(
    environment: CloudEnvironment, driver: Driver, running: Instance
) -> None:
    """Each waits for its end, and a second call is a success that changes nothing."""
    environment.cloud.settings.power_after = 20.0
    driver.power_off(running)
    assert now(driver, running).state == "stopped"
    assert [(one.instance_id, one.state) for one in driver.instances()] == [(running.instance_id, "stopped")]
    environment.cloud.calls.clear()
    driver.power_off(running)
    assert [call for call in environment.cloud.calls if environment.changes(call)] == []
    driver.power_on(running)
    again = now(driver, running)
    assert again.state == "running"
    assert (again.minion_id, again.size, again.private_ip) == (running.minion_id, running.size, running.private_ip)
    environment.cloud.calls.clear()
    driver.power_on(running)
    assert [call for call in environment.cloud.calls if environment.changes(call)] == []


@EACH
def test_a_reboot_restarts_a_running_instance_once(
    environment: CloudEnvironment, driver: Driver, running: Instance
) -> None:
    environment.cloud.settings.power_after = 20.0
    driver.reboot(running)
    assert (environment.reboots(running), now(driver, running).state) == (1, "running")
    environment.time.advance(60)
    driver.power_off(running)
    with pytest.raises(errors.InvalidRequest, match="can only be started"):
        driver.reboot(running)
    assert (environment.reboots(running), now(driver, running).state) == (1, "stopped")


@pytest.mark.parametrize("environment", [name for name in CLOUDS if is_ignored(name)], indirect=True)
def test_a_system_that_ignores_the_shutdown_is_cut_off(
    environment: CloudEnvironment, driver: Driver, running: Instance
) -> None:
    """After a grace period; with force at once."""
    environment.cloud.settings.ignores_shutdown = True
    began = environment.time.now
    driver.power_off(running)
    assert now(driver, running).state == "stopped"
    assert environment.time.now - began >= power.GRACE
    driver.power_on(running)
    began = environment.time.now
    driver.power_off(running, force=True)
    assert now(driver, running).state == "stopped"
    assert environment.time.now - began < power.GRACE


@EACH
def test_another_action_in_progress_is_waited_for(
    environment: CloudEnvironment, driver: Driver, running: Instance
) -> None:
    """Most APIs refuse a stop until then, so hart asks again."""
    began = environment.time.now
    environment.machine(running).later.append((began + 30.0, lambda: None))
    driver.power_off(running)
    assert now(driver, running).state == "stopped"
    assert environment.time.now - began < power.GRACE, "its system shut down; its power was not cut"
    environment.cloud.settings.power_after = 30.0
    driver.power_on(running)
    environment.stop(running)
    driver.power_off(running)
    assert now(driver, running).state == "stopped"


@pytest.mark.parametrize("environment", [name for name in CLOUDS if name != "ec2"], indirect=True)
def test_an_instance_that_never_stops_is_an_error_after_a_while(
    environment: CloudEnvironment, driver: Driver, running: Instance
) -> None:
    """EC2 itself cuts the power."""
    environment.cloud.settings.power_after = 1e6
    began = environment.time.now
    with pytest.raises(errors.TemporaryFailure) as caught:
        driver.power_off(running)
    assert caught.value.uncertain
    assert environment.time.now - began < 4 * power.TIMEOUT


def test_an_instance_that_is_gone_is_not_found(environment: Environment, driver: Driver) -> None:
    instance = launch(environment, driver)
    driver.terminate(instance)
    for verb in (driver.power_on, driver.power_off, driver.reboot):
        for one in (instance, dataclasses.replace(instance, instance_id="..")):
            with pytest.raises(errors.NotFound):
                verb(one)


@EACH
def test_an_instance_gets_another_size_and_the_old_one_again(
    environment: CloudEnvironment, driver: Driver, running: Instance
) -> None:
    """Its disk stays, so that it can go back; except where the API only upgrades."""
    environment.cloud.settings.power_after = 20.0
    old, larger = running.size or "", environment.larger
    wanted = driver.size(larger, running.region or "")
    assert wanted is not None
    assert list(driver.resize_objections(running, wanted)) == []
    driver.power_off(running)
    driver.resize(running, larger)
    assert now(driver, running).size == larger
    driver.power_on(running)
    assert now(driver, running).state == "running"
    before = driver.size(old, running.region or "")
    assert before is not None
    if not driver.no_way_back:
        driver.power_off(running)
        driver.resize(running, old)
        assert now(driver, running).size == old
    else:
        assert [one for one in driver.resize_objections(running, before) if "upgrade" in one] != []


@EACH
def test_a_resize_that_fails_later_is_an_error_and_changes_nothing(
    environment: CloudEnvironment, driver: Driver, running: Instance
) -> None:
    """It is reported at once, where the API reports how actions end."""
    environment.cloud.settings.fails_resize = True
    driver.power_off(running)
    began = environment.time.now
    with pytest.raises(errors.DriverError):
        driver.resize(running, environment.larger)
    assert environment.time.now - began < (2 * power.RESIZE_TIMEOUT if environment.is_silent else 30)
    assert now(driver, running).size == running.size


def test_what_a_driver_cannot_do_is_refused_with_a_sentence(environment: Environment, driver: Driver) -> None:
    """For ``local``: resize and tags; a driver that can is in the other tests."""
    if driver.provider.driver != "local":
        return
    instance = launch(environment, driver)
    assert driver.resize_objections(instance, Size("x", 1, 1)) == [driver.no_resize]
    assert driver.tag_objections({"a": "b"}) == [driver.no_tags]
    for work in (
        lambda: driver.resize(instance, "x"), lambda: driver.user_tags(instance),
        lambda: driver.set_tags(instance, {"a": "b"}, []),
    ):  # fmt: skip
        with pytest.raises(errors.InvalidRequest, match="a node of the driver local"):
            work()


@EACH
def test_tags_are_set_and_removed_and_all_others_stay(
    environment: CloudEnvironment, driver: Driver, running: Instance
) -> None:
    before = driver.user_tags(running)
    assert [name for name in before if name.startswith("hart")] == []
    driver.set_tags(running, {"team": "blue", "plain": ""}, [])
    assert driver.user_tags(running) == {**before, "team": "blue", "plain": ""}
    driver.set_tags(running, {"team": "red"}, ["plain", "absent"])
    assert driver.user_tags(running) == {**before, "team": "red"}
    environment.cloud.calls.clear()
    driver.set_tags(running, {"team": "red"}, ["plain"])
    assert [call for call in environment.cloud.calls if environment.changes(call)] == []
    (listed,) = environment.driver().instances()
    facts = [(one.minion_id, one.role, one.batch, one.instance_id) for one in (listed, running)]
    assert facts[0] == facts[1]


@EACH
def test_tags_of_hart_cannot_be_set_or_removed(
    environment: CloudEnvironment, driver: Driver, running: Instance
) -> None:
    for name in ("hart", "hart-owner", "hart-minion", "hart-new"):
        assert [one for one in driver.tag_objections({name: "x"}) if "hart's own" in one] != [], name
    assert list(driver.tag_objections({"team": "blue"})) == []
    driver.set_tags(running, {}, ["hart", "hart-owner", "hart-role", "hart-batch"])
    assert [one.minion_id for one in environment.driver().instances()] == [running.minion_id]
    assert environment.driver(OTHER_OWNER).instances() == []


@EACH
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_stop_whose_answer_is_lost_is_seen(
    environment: CloudEnvironment, driver: Driver, running: Instance, when: str
) -> None:
    """Whether or not the call had its effect, the verb succeeds or says that the outcome is not certain."""
    environment.cloud.faults.add(Fault(**environment.turn_off, when=when, drop=True))
    try:
        driver.power_off(running)
    except errors.TemporaryFailure as error:
        assert error.uncertain
        assert when == "before"
    else:
        assert now(driver, running).state == "stopped"


@pytest.mark.parametrize("environment", [name for name in CLOUDS if name != "ec2"], indirect=True)
def test_a_reboot_whose_answer_is_lost_is_not_made_twice(
    environment: CloudEnvironment, driver: Driver, running: Instance
) -> None:
    """EC2's own library makes the call again: it restarts an instance that is restarting."""
    environment.cloud.faults.add(Fault(**environment.restart, when="after", drop=True))
    try:
        driver.reboot(running)
    except errors.TemporaryFailure as error:
        assert error.uncertain
    assert environment.reboots(running) == 1


@EACH
def test_a_missing_right_is_an_error_that_names_it(
    environment: CloudEnvironment, driver: Driver, running: Instance
) -> None:
    environment.cloud.settings.denied = (environment.stop_right,)
    with pytest.raises(errors.AuthError, match=environment.stop_right):
        driver.power_off(running)
    assert now(driver, running).state == "running"
