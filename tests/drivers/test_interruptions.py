"""The driver contract over every driver: spot instances, and the notices that they are taken away."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import pytest

from hart_salt.base.errors import AuthError
from hart_salt.drivers.contract import Driver
from hart_salt.drivers.ec2 import spot as ec2_spot
from hart_salt.model import Instance
from tests.drivers.environment import CloudEnvironment, Environment, launch, launch_node
from tests.drivers.environments import CLOUDS

SPOT = ("ec2", "gce")
EACH_SPOT = pytest.mark.parametrize("environment", SPOT, indirect=True)
OTHERS = [name for name in CLOUDS if name not in SPOT]
ON_EC2 = pytest.mark.parametrize("environment", ["ec2"], indirect=True)
ON_GCE = pytest.mark.parametrize("environment", ["gce"], indirect=True)


def listed(environment: CloudEnvironment, driver: Driver, *names: str) -> dict[str, Instance]:
    """Launch spot nodes, and return them as they are listed, by minion id."""
    for name in names:
        launch_node(driver, environment.with_settings(f"{name}.example.com", options={"spot": True}))
    environment.time.advance(60)
    return {one.minion_id.partition(".")[0]: one for one in driver.instances()}


def test_without_a_spot_instance_there_are_no_notices_and_no_calls(environment: Environment) -> None:
    driver = environment.driver()
    made = launch(environment, driver)
    assert made.spot is False
    calls = environment.cloud.calls if isinstance(environment, CloudEnvironment) else []
    before = len(calls)
    assert driver.interruptions([made]) == driver.interruptions([]) == {}
    assert len(calls) == before
    driver.terminate(made)


@EACH_SPOT
def test_lists_show_which_instances_are_spot_and_which_of_them_are_taken_away(
    environment: CloudEnvironment, driver: Driver
) -> None:
    launch(environment, driver, "plain.example.com")
    found = listed(environment, driver, "taken", "other")
    assert {name: one.spot for name, one in found.items()} == {"plain": False, "taken": True, "other": True}
    assert driver.interruptions(list(found.values())) == {}
    ends = environment.interrupt(found["taken"])
    environment.time.advance(2)
    notices = driver.interruptions(driver.instances())
    assert list(notices) == [found["taken"].instance_id]
    assert notices[found["taken"].instance_id] == pytest.approx(ends, abs=1)


@EACH_SPOT
def test_an_instance_that_was_taken_away_is_not_listed_and_its_old_report_is_no_error(
    environment: CloudEnvironment, driver: Driver
) -> None:
    found = listed(environment, driver, "taken")
    environment.interrupt(found["taken"])
    environment.time.advance(300)
    driver = environment.driver()
    assert driver.instances() == []
    notices = driver.interruptions(list(found.values()))
    assert set(notices) <= {found["taken"].instance_id}
    assert environment.left().get("instances", []) == []


@EACH_SPOT
def test_what_a_user_stops_is_not_taken_away(environment: CloudEnvironment, driver: Driver) -> None:
    found = listed(environment, driver, "mine")
    environment.stop(found["mine"])
    environment.time.advance(60)
    stopped = driver.instances()
    assert [(one.state, one.spot) for one in stopped] == [("stopped", True)]
    assert driver.interruptions(stopped) == {}


@ON_EC2
def test_ec2_is_asked_once_for_each_region_and_for_spot_instances_only(
    environment: CloudEnvironment, driver: Driver
) -> None:
    found = listed(environment, driver, "a", "b")
    launch(environment, driver, "plain.example.com")
    environment.time.advance(60)
    environment.cloud.calls.clear()
    driver.interruptions(driver.instances("eu-west-1"))
    asked = [call.text for call in environment.cloud.calls if "DescribeSpotInstanceRequests" in call.text]
    assert len(asked) == 1
    assert all(one.instance_id in asked[0] for one in found.values())
    assert "Value.3" not in asked[0]


@ON_EC2
def test_a_stop_is_a_notice_and_the_end_by_a_user_is_none(environment: CloudEnvironment, driver: Driver) -> None:
    found = listed(environment, driver, "stops", "mine")
    environment.cloud.interrupt(found["stops"].instance_id, "stop")
    driver.terminate(found["mine"])
    notices = driver.interruptions(list(found.values()))
    assert list(notices) == [found["stops"].instance_id]


@ON_EC2
def test_without_the_permission_the_error_names_it(environment: CloudEnvironment, driver: Driver) -> None:
    found = listed(environment, driver, "a")
    environment.cloud.settings.denied = ("ec2:DescribeSpotInstanceRequests",)
    with pytest.raises(AuthError, match="needs the permission ec2:DescribeSpotInstanceRequests"):
        driver.interruptions(list(found.values()))


@ON_GCE
def test_compute_engine_is_not_asked_while_all_instances_run(environment: CloudEnvironment, driver: Driver) -> None:
    found = listed(environment, driver, "a", "b")
    environment.cloud.calls.clear()
    assert driver.interruptions(list(found.values())) == {}
    assert environment.cloud.calls == []
    stopped = [dataclasses.replace(one, state="stopped") for one in found.values()]
    driver.interruptions(stopped)
    assert [call.path.rpartition("/")[2] for call in environment.cloud.calls] == ["operations"]


# answers that are not what the API describes


MARKED = datetime(2026, 11, 30, 12, tzinfo=timezone.utc)


class Api:
    """EC2's API with these spot requests."""

    def __init__(self, *requests: Mapping[str, Any]) -> None:
        self.requests = requests
        self.asked: list[int] = []

    def listed(self, region: str, operation: str, field: str, **parameters: Any) -> list[Mapping[str, Any]]:
        (chosen,) = parameters["Filters"]
        self.asked.append(len(chosen["Values"]))
        return list(self.requests)


def notices(*requests: Mapping[str, Any], ids: int = 1) -> tuple[dict[str, float | None], list[int]]:
    api: Any = Api(*requests)
    return ec2_spot.notices(api, {"eu-west-1": [f"i-{number}" for number in range(ids)]}), api.asked


def test_more_instances_than_a_filter_has_room_for_are_asked_for_in_parts() -> None:
    assert notices(ids=2 * ec2_spot.FILTER_VALUES + 1)[1] == [ec2_spot.FILTER_VALUES, ec2_spot.FILTER_VALUES, 1]


def test_odd_requests_are_no_notices_and_a_mark_without_a_time_is_one() -> None:
    mark = {"Code": "marked-for-termination", "UpdateTime": MARKED}
    assert notices({}, {"InstanceId": "i-1"}, {"InstanceId": "i-1", "Status": None}, {"Status": mark})[0] == {}
    assert notices({"InstanceId": "i-1", "Status": {"Code": "marked-for-stop"}})[0] == {"i-1": None}
    assert notices({"InstanceId": "i-1", "Status": mark})[0] == {"i-1": MARKED.timestamp() + 120}


@pytest.mark.parametrize(
    ("code", "is_notice"),
    [
        ("fulfilled", False), ("request-canceled-and-instance-running", False), ("instance-terminated-by-user", False),
        ("instance-stopped-by-user", False), ("instance-terminated-no-capacity", True),
        ("instance-terminated-by-price", True), ("instance-stopped-no-capacity", True),
    ],
)  # fmt: skip
def test_codes_of_spot_requests(code: str, is_notice: bool) -> None:
    found = notices({"InstanceId": "i-1", "Status": {"Code": code, "UpdateTime": MARKED}})[0]
    assert found == ({"i-1": None} if is_notice else {})
