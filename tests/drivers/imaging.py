"""What the tests of the contract for images of nodes share: make one, wait for it, look at what there is."""

from __future__ import annotations

import dataclasses
from time import monotonic, sleep
from typing import Any

from hart_salt import drivers
from hart_salt.drivers.capabilities import SnapshotSupport
from hart_salt.drivers.contract import Driver
from hart_salt.model import IMAGE_PENDING, BakedImage, Instance, Leftover, NewImage, Node
from tests.drivers.environment import CloudEnvironment, Environment, launch
from tests.drivers.environments import CLOUDS, ENVIRONMENTS
from tests.emulation.backend import NoMachines, recorded

#: the drivers that can make images; a driver joins the suite when it mixes in ``SnapshotSupport``
WITH_IMAGES = [name for name in ENVIRONMENTS if issubclass(drivers.driver_class(name), SnapshotSupport)]
CLOUDS_WITH_IMAGES = [name for name in WITH_IMAGES if name in CLOUDS]
#: those whose images are in some regions only
IN_REGIONS = [name for name in CLOUDS_WITH_IMAGES if not drivers.driver_class(name).images_everywhere]
DIGEST = "1-0a1b2c3d-00000000-11111111-22222222-33333333-44444444"
#: seconds until an image of this machine is made
DEADLINE = 120.0
#: looks at an image of an emulated cloud, 5 s apart by its clock
LOOKS, PAUSE = 400, 5.0


def stopped(environment: Environment, driver: Driver, minion_id: str = "web-1.example.com") -> Instance:
    """Return an instance after its creation that is off."""
    launched = launch(environment, driver, minion_id)
    advance(environment, 60)
    listed = next(one for one in driver.instances() if one.instance_id == launched.instance_id)
    driver.settle(listed)
    environment.switch_off(driver, listed)
    return listed


def advance(environment: Environment, seconds: float) -> None:
    """Let time pass at an emulated cloud."""
    if isinstance(environment, CloudEnvironment):
        environment.time.advance(seconds)


def new_image(environment: Environment, batch: str = "b1", **changes: Any) -> NewImage:
    """Return what an image of a node is to be called."""
    region = environment.node("a").region
    made = NewImage(f"hart-app-202611301200-{batch}", "app", batch, DIGEST, "3008.3", region, "amd64")
    return dataclasses.replace(made, **changes)


def settled(environment: Environment, driver: Driver, image: BakedImage) -> BakedImage | None:
    """Return an image once it is not pending any more; None if it is gone."""
    began = monotonic()
    for _ in range(LOOKS):
        found = driver.baked_image(image)
        if found is None or found.state != IMAGE_PENDING:
            return found
        if isinstance(environment, CloudEnvironment):
            environment.time.sleep(PAUSE)
        else:
            assert monotonic() - began < DEADLINE
            sleep(0.05)
    raise AssertionError(f"it is still pending: {found}")


def marked(image: BakedImage, new: NewImage) -> BakedImage:
    """Return the report of an image with what its tags are to say."""
    return dataclasses.replace(
        image, role=new.role, batch=new.batch, digest=new.digest, release=new.release, arch=new.arch
    )


def made(environment: Environment, driver: Driver, instance: Instance, new: NewImage | None = None) -> BakedImage:
    """Make a complete image of an instance that is off, and return its report."""
    new = new or new_image(environment)
    found = settled(environment, driver, driver.make_image(instance, new))
    assert found is not None
    driver.finish_image(marked(found, new))
    complete = driver.baked_image(found)
    assert complete is not None
    return complete


def booting(environment: Environment, minion_id: str, image: BakedImage, **changes: Any) -> Node:
    """Return a node that boots an image."""
    node = environment.node(minion_id, **changes)
    settings = node.settings.model_copy(update={"image": image.image_id, "salt_source": "none"})
    return dataclasses.replace(node, settings=settings, baked=image.image_id)


def half_made(driver: Driver) -> list[Leftover]:
    """Return the images that are reported as leftovers."""
    return [one for one in driver.leftovers() if one.kind == "image"]


def swept(environment: Environment, *drivers: Driver) -> None:
    """Remove all instances and leftovers, as sweeps do that come again later."""
    for _ in range(3):
        for driver in drivers:
            for instance in driver.instances():
                driver.settle(instance)
                driver.terminate(instance)
            for leftover in driver.leftovers() * 2:
                driver.remove(leftover)
        advance(environment, 600)


def machines(environment: CloudEnvironment) -> NoMachines:
    """Return the back end of a cloud, once it has nothing more to do."""
    assert environment.cloud.settle(10)
    return recorded(environment.cloud.machines)
