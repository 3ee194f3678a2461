"""A size is looked up once a day, not once for each call; what could be out of date is looked up again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hart_salt.base.errors import DriverError
from hart_salt.config.schema import Provider
from hart_salt.drivers.do import driver as do
from hart_salt.model import Price
from tests.drivers.do.driver import Time, launch, node
from tests.drivers.do.emulator.cloud import DigitalOcean as Cloud
from tests.drivers.tested import OWNER, master_of

SIZE, REGION = "s-1vcpu-1gb", "lon1"


@pytest.fixture
def new(cloud: Cloud, time: Time, tmp_path: Path) -> Callable[[], do.DigitalOcean]:
    """Return a function that returns the driver of another call of hart on the same master."""
    provider = Provider("do", "do", do.Account(token=cloud.token, endpoint=cloud.endpoint))
    return lambda: do.DigitalOcean(provider, master_of(OWNER, str(tmp_path)), time.sleep)


def lists(cloud: Cloud) -> int:
    return sum(call.path == "/v2/sizes" for call in cloud.calls)


def test_a_later_call_does_not_ask_for_a_size_that_is_there(cloud: Cloud, new: Callable[[], do.DigitalOcean]) -> None:
    first = new().size(SIZE, REGION)
    assert first is not None
    assert new().size(SIZE, REGION) == first
    assert lists(cloud) == 1


def test_a_size_that_was_not_there_or_not_available_is_looked_up_again(
    cloud: Cloud, new: Callable[[], do.DigitalOcean]
) -> None:
    cloud.settings.sold_out_sizes = (SIZE,)
    for number, size in enumerate([SIZE, "s-none", SIZE], start=1):
        found = new().size(size, REGION)
        assert found is None or not found.available
        assert lists(cloud) == number
    cloud.settings.sold_out_sizes = ()
    found = new().size(SIZE, REGION)
    assert found is not None
    assert found.available


def test_people_get_a_new_list_and_so_does_whoever_asks_again(cloud: Cloud, new: Callable[[], do.DigitalOcean]) -> None:
    new().size(SIZE, REGION)
    new().sizes(REGION)
    assert lists(cloud) == 2
    driver = new()
    driver.ask_again()
    driver.size(SIZE, REGION)
    assert lists(cloud) == 3


def test_after_a_refused_create_call_the_next_call_looks_the_size_up(
    cloud: Cloud, new: Callable[[], do.DigitalOcean]
) -> None:
    driver = new()
    driver.size(SIZE, REGION)
    cloud.settings.sold_out_sizes = (SIZE,)
    with pytest.raises(DriverError):
        launch(driver, node())
    found = new().size(SIZE, REGION)
    assert found is not None
    assert not found.available


def test_prices_of_many_sizes_take_one_call_and_none_later(cloud: Cloud, new: Callable[[], do.DigitalOcean]) -> None:
    """A size has the same price in every region, also where it is sold out or no longer offered."""
    cloud.settings.sold_out_sizes = ("c-2",)
    wanted = {"nyc3": {SIZE, "c-2"}, REGION: {SIZE, "m-2vcpu-16gb"}}
    prices = new().prices(wanted)
    assert prices["nyc3", SIZE] == prices[REGION, SIZE] == Price(6.0, "USD")
    assert set(prices) == {(region, name) for region, names in wanted.items() for name in names}
    assert lists(cloud) == 1
    assert set(new().prices({"ams3": {"c-2"}})) == {("ams3", "c-2")}
    assert lists(cloud) == 1
    assert new().prices({"ams3": {"gone"}}) == {}
    assert lists(cloud) == 2, "a size that is not in the list of an earlier call may be new"
