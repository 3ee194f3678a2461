"""
A create whose answer is lost: no second server of the name can exist, and an older one is never taken for the new.
"""

from __future__ import annotations

import pytest

from hart_salt.base.errors import InvalidRequest, TemporaryFailure
from hart_salt.drivers.hetzner import driver as hetzner
from tests.drivers.hetzner.driver import BATCH, CREATE, KEY, OWNER, SCRIPT, Client, launch, node
from tests.drivers.hetzner.emulator.cloud import Hetzner as Cloud
from tests.emulation import faults
from tests.emulation.faults import Fault, MachineFault

OLDER = "ba9876543210"
NAME = "w1.example.com"


@pytest.mark.parametrize("late", [0, 1])
def test_the_server_of_this_batch_is_found(cloud: Cloud, driver: hetzner.Hetzner, late: int) -> None:
    cloud.faults.add(faults.lost_answer(CREATE), MachineFault(hidden_lists=late))
    made = launch(driver, node())
    assert (made.batch, made.minion_id) == (BATCH, NAME)
    assert (cloud.made(), cloud.count("POST", CREATE)) == (1, 1)


@pytest.fixture
def older(driver: hetzner.Hetzner) -> str:
    """Create a server of the same name and owner in an earlier batch, and return its id."""
    with driver.access(OLDER, KEY, []) as access:
        return driver.launch(node(), SCRIPT, access).instance_id


def test_the_create_is_refused_when_an_older_server_has_the_name(
    cloud: Cloud, driver: hetzner.Hetzner, older: str
) -> None:
    with pytest.raises(InvalidRequest, match=r"server name is already used: name \(409 uniqueness_error"):
        launch(driver, node())
    assert [(it.instance_id, it.batch) for it in driver.instances()] == [(older, OLDER)]


def test_a_server_of_the_batch_with_another_name_is_not_taken(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    Client(cloud).create("w2.example.com", labels={"hart-owner": OWNER, "hart-batch": BATCH})
    cloud.faults.add(Fault("POST", CREATE, drop=True))
    with pytest.raises(TemporaryFailure):
        launch(driver, node())


@pytest.mark.parametrize("code", ["conflict", "locked", "maintenance"])
def test_a_create_that_certainly_did_nothing_is_repeated(cloud: Cloud, driver: hetzner.Hetzner, code: str) -> None:
    cloud.faults.add(Fault("POST", CREATE, status=409, answer={"error": {"code": code, "message": "no"}}, times=2))
    launch(driver, node())
    assert (cloud.made(), cloud.count("POST", CREATE)) == (1, 3)


@pytest.mark.parametrize("code", ["unavailable", "server_error", "service_error", "timeout", "bad_gateway", "new"])
def test_a_create_that_may_have_taken_effect_is_never_repeated(
    cloud: Cloud, driver: hetzner.Hetzner, code: str
) -> None:
    body = {"error": {"code": code, "message": "no"}}
    cloud.faults.add(Fault("POST", CREATE, status=503, answer=body, when="after"))
    launch(driver, node())
    assert (cloud.made(), cloud.count("POST", CREATE)) == (1, 1)
