"""A create whose answer is lost, beside an older droplet of the same name and owner: that one is never taken for it."""

from __future__ import annotations

import pytest

from hart_salt.base.errors import TemporaryFailure
from hart_salt.drivers.do import driver as do
from hart_salt.model import Instance
from tests.drivers.do.driver import BATCH, CREATE, KEY, SCRIPT, launch, left, node
from tests.drivers.do.emulator.cloud import DigitalOcean as Cloud
from tests.emulation import faults
from tests.emulation.faults import Fault, MachineFault

OLDER = "ba9876543210"


@pytest.fixture
def older(driver: do.DigitalOcean) -> Instance:
    """Of the same name and owner, of an earlier call; the tag of its batch went with that."""
    with driver.access(OLDER, KEY, []) as access:
        return driver.launch(node(), SCRIPT, access)


@pytest.mark.parametrize("late", [0, 1])
def test_the_droplet_of_this_batch_is_found_and_not_the_older_one(
    cloud: Cloud, driver: do.DigitalOcean, older: Instance, late: int
):
    cloud.faults.add(faults.lost_answer(CREATE), MachineFault(hidden_lists=late))
    made = launch(driver, node())
    assert (made.batch, made.minion_id) == (BATCH, older.minion_id)
    assert made.instance_id != older.instance_id
    assert cloud.made() == 2


@pytest.mark.parametrize("broken", [Fault("POST", CREATE, drop=True), Fault("POST", CREATE, status=500)])
def test_where_nothing_was_made_the_older_droplet_is_not_taken(
    cloud: Cloud, driver: do.DigitalOcean, older: Instance, broken: Fault
):
    cloud.faults.add(broken)
    with pytest.raises(TemporaryFailure) as caught:
        launch(driver, node())
    assert caught.value.uncertain
    assert left(cloud) == {"droplets": [older.minion_id]}
    assert [it.instance_id for it in driver.instances()] == [older.instance_id]
