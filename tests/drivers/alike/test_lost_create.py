"""A lost answer to a create call: an older instance of the same name and owner never counts as the new one."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from hart_salt.base.errors import TemporaryFailure
from hart_salt.drivers.contract import Driver
from hart_salt.model import Instance
from tests.drivers.tested import BATCH, KEY, SCRIPT
from tests.emulation import faults
from tests.emulation.faults import Fault, MachineFault
from tests.emulation.stateful import StatefulEmulator

OLDER = "ba9876543210"
#: what an account calls its instances
THINGS = {"do": "droplets", "hetzner": "servers", "vultr": "instances"}


@pytest.fixture
def older(own: Any, driver: Any) -> Instance:
    """Of the same name and owner, of an earlier call; where the tag of its batch can go, it went with that."""
    with driver.access(OLDER, KEY, []) as access:
        made: Instance = driver.launch(own.node(), SCRIPT, access)
        return made


# Hetzner takes no second server of the same name: see its own tests.
@pytest.mark.parametrize("cloud_name", ["do", "vultr"])
@pytest.mark.parametrize("late", [0, 1])
def test_the_instance_of_this_batch_is_found_and_not_the_older_one(
    own: ModuleType, cloud: StatefulEmulator[Any, Any], driver: Driver, older: Instance, late: int
) -> None:
    cloud.faults.add(faults.lost_answer(own.CREATE), MachineFault(hidden_lists=late))
    made = own.launch(driver, own.node())
    assert (made.batch, made.minion_id) == (BATCH, older.minion_id)
    assert made.instance_id != older.instance_id
    assert cloud.made() == 2


@pytest.mark.parametrize("cloud_name", THINGS)
@pytest.mark.parametrize("broken", [{"drop": True}, {"status": 500}])
def test_where_nothing_was_made_the_older_instance_is_not_taken(
    cloud_name: str,
    own: ModuleType,
    cloud: StatefulEmulator[Any, Any],
    driver: Driver,
    older: Instance,
    broken: dict[str, Any],
) -> None:
    cloud.faults.add(Fault("POST", own.CREATE, **broken))
    with pytest.raises(TemporaryFailure) as caught:
        own.launch(driver, own.node())
    assert caught.value.uncertain
    assert own.left(cloud) == {THINGS[cloud_name]: [older.minion_id]}
    (left,) = driver.instances()
    assert left.instance_id == older.instance_id
    # The tag of an earlier batch goes at DigitalOcean with that batch.
    assert left.batch == OLDER or cloud_name == "do"
