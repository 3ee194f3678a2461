"""
Instances that the provider protects against deletion.

``hart.destroy``, scaling, which uses it, and ``hart.sweep`` keep the instance, its key and its record, and report the
protection and how to remove it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import Protected
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.records import READY, Record
from hart_salt.model import Instance
from hart_salt.operations.destroy import destroy_all
from hart_salt.operations.sweep import Sweep
from tests.drivers.clouds import module_of
from tests.drivers.environment import CloudEnvironment, launch
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
    "ec2": "termination or stop protection: turn it off in Amazon's console",
    "gce": "deletion protection: turn it off with gcloud compute instances update",
    "hetzner": "remove the protection in Hetzner's console",
}
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


@EACH
@pytest.mark.parametrize("stage", [READY, "bootstrapping"])
def test_a_protected_instance_stays_with_its_key_and_its_record(
    environment: CloudEnvironment, cloud_name: str, stage: str, tmp_path: Path
) -> None:
    """A node at ``bootstrapping`` is an orphan, which sweep wants to remove."""
    world = World(tmp_path)
    driver: Any = environment.driver(world.info.owner, **environment.narrow)
    made = launch(environment, driver)
    environment.time.advance(600)
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

    assert ADVICE[cloud_name] in end()
    assert left(world, driver) == ([NAME], [NAME], [NAME])
    assert environment.time.waits[-20:].count(2.0) < 20, "the refusal is not retried"
    PROTECT[cloud_name](environment, made, False)
    assert end() == ""
    assert left(world, driver) == ([], [], [])
