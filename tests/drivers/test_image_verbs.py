"""The image verbs of a driver that cannot make images."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hart_salt.base.errors import InvalidRequest
from hart_salt.drivers.contract import Driver
from hart_salt.model import IMAGE_AVAILABLE, BakedImage, Instance, NewImage
from tests.drivers.tested import master_of
from tests.functional.fakes import EmptyDriver

IMAGE = BakedImage("i1", "web", IMAGE_AVAILABLE)
CALLS: dict[str, Callable[[Driver], object]] = {
    "make_image": lambda driver: driver.make_image(
        Instance("1", "web", "stopped"), NewImage("web", "web", "d", "b1", "3008.3", "local", "amd64")
    ),
    "finish_image": lambda driver: driver.finish_image(IMAGE),
    "copy_image": lambda driver: driver.copy_image(IMAGE, "local"),
    "delete_image": lambda driver: driver.delete_image(IMAGE),
}


class Plain(EmptyDriver):
    """A driver without capabilities."""

    def instances(self, batch: str | None = None) -> list[Instance]:
        return []

    def terminate(self, instance: Instance) -> None:
        pass


@pytest.fixture
def driver() -> Driver:
    return Plain("other", master_of("0123456789abcdef"))


def test_it_has_no_images(driver: Driver) -> None:
    assert (driver.baked_images(), driver.baked_image(IMAGE), driver.image_price("local")) == ([], None, None)


@pytest.mark.parametrize("name", CALLS)
def test_each_call_is_refused_with_a_sentence(driver: Driver, name: str) -> None:
    with pytest.raises(InvalidRequest, match="^other: its driver cannot |^other: it cannot copy images"):
        CALLS[name](driver)
