"""
A create whose answer is lost while an older instance has the same name and owner: hart never takes that instance.

Names are unique in a zone. Either the older instance is in another zone, or the create cannot succeed.
"""

from __future__ import annotations

import dataclasses

import pytest

from hart_salt.base.errors import InvalidRequest
from hart_salt.drivers.gce import driver as gce
from hart_salt.model import Instance
from tests.drivers.do.driver import Time
from tests.drivers.gce.driver import INSERT, KEY, ZONE, driver_of, launch, left, node
from tests.drivers.gce.emulator.cloud import ComputeEngine as Cloud
from tests.drivers.tested import BATCH, SCRIPT
from tests.emulation import faults
from tests.emulation.faults import Fault

OLDER, ELSEWHERE = "ba9876543210", "us-central1-a"


def older(cloud: Cloud, time: Time, zone: str) -> Instance:
    """Launch an instance of the same name and owner in an earlier call, as by another process."""
    driver, wanted = driver_of(cloud, time), dataclasses.replace(node(zone=zone), batch=OLDER)
    with driver.access(OLDER, KEY, [wanted]) as access:
        return driver.launch(wanted, SCRIPT, access)


@pytest.mark.parametrize("remembers", [True, False])
def test_the_instance_of_this_batch_is_found_and_not_the_older_one(
    cloud: Cloud, driver: gce.ComputeEngine, time: Time, remembers: bool
) -> None:
    other = older(cloud, time, ELSEWHERE)
    cloud.settings.remembers_requests = remembers
    cloud.faults.add(faults.lost_answer(INSERT))
    made = launch(driver, node())
    assert (made.batch, made.minion_id, made.zone) == (BATCH, other.minion_id, ZONE)
    assert made.instance_id != other.instance_id
    assert cloud.made() == 2


@pytest.mark.parametrize("remembers", [True, False])
@pytest.mark.parametrize("broken", [Fault("POST", INSERT, drop=True), Fault("POST", INSERT, status=503)])
def test_where_nothing_was_made_the_older_instance_is_not_taken(
    cloud: Cloud, driver: gce.ComputeEngine, time: Time, broken: Fault, remembers: bool
) -> None:
    other = older(cloud, time, ZONE)
    cloud.settings.remembers_requests = remembers
    cloud.faults.add(broken)
    with pytest.raises(InvalidRequest, match="already has an instance .*, which this call did not make"):
        launch(driver, node())
    assert len(left(cloud)["instances"]) == cloud.made() == 1
    assert [(it.instance_id, it.batch) for it in driver.instances()] == [(other.instance_id, OLDER)]
