"""How the driver uses Amazon's SDK: settings, traps, and prices kept on disk."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hart_salt.base.errors import TemporaryFailure
from hart_salt.drivers.ec2 import client as ec2_api
from hart_salt.drivers.ec2 import driver as ec2
from hart_salt.drivers.ec2.prices import KEEP, SINGLY
from hart_salt.model import Price
from tests.drivers.ec2.driver import CREATE, LOOK, asked, called, driver_of, launch, node
from tests.drivers.ec2.emulator import answers
from tests.drivers.ec2.emulator import catalog as catalogue
from tests.drivers.ec2.emulator.state import REGION
from tests.drivers.tested import BATCH, KEY, SCRIPT, Time
from tests.emulation.faults import HTML, Fault

if TYPE_CHECKING:
    from tests.drivers.ec2.emulator.cloud import Ec2 as Cloud  # imports moto, which is slow

PRICES = "AmazonEC2"
DAY = 86400.0


# clients


def test_the_environment_does_not_change_retries_and_timeouts(
    cloud: Cloud, time: Time, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_RETRY_MODE", "legacy")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    driver = driver_of(cloud, time, tmp_path, api_timeout=7)
    config = driver._api._client("ec2", REGION).meta.config
    assert (config.retries["mode"], config.retries["total_max_attempts"]) == ("standard", 5)
    assert (config.connect_timeout, config.read_timeout) == (10, 7)
    cloud.faults.add(Fault("POST", body=LOOK, status=500, times=4))
    assert driver.instances(REGION) == []


def test_many_threads_share_one_client_per_region(cloud: Cloud, driver: ec2.Ec2) -> None:
    with ThreadPoolExecutor(16) as pool:
        clients = list(pool.map(lambda region: driver._api._client("ec2", region), catalogue.OPEN_REGIONS * 16))
    assert len({id(client) for client in clients}) == 3


def test_creating_a_driver_creates_no_session(driver: ec2.Ec2) -> None:
    assert driver._made is None


# traps of the create call


def test_user_data_is_encoded_once(cloud: Cloud, driver: ec2.Ec2) -> None:
    launch(driver, node())
    assert cloud.user_data() == {"w1.example.com": SCRIPT}


def test_parameters_of_the_interface_are_not_repeated_beside_it(cloud: Cloud, driver: ec2.Ec2) -> None:
    launch(driver, node(zone="eu-west-1a"))
    body = asked(cloud, "RunInstances")
    assert not {"SubnetId", "SecurityGroupIds", "SecurityGroups", "Ipv6AddressCount", "PrivateIpAddress"} & set(body)
    assert body["NetworkInterfaces"][0]["SubnetId"].startswith("subnet-")


def test_every_try_sends_the_same_request(cloud: Cloud, driver: ec2.Ec2) -> None:
    """EC2 would refuse a try with any different parameter, as a mismatch."""
    cloud.faults.add(Fault("POST", body=CREATE, when="after", status=500, times=3))
    launch(driver, node())
    sent = [call.text for call in cloud.calls if CREATE in call.text]
    assert (len(sent), len(set(sent)), cloud.made()) == (4, 1, 1)


@pytest.mark.parametrize("answer", [HTML.format(502), b"<a/>", "not XML at all"])
def test_an_unreadable_success_still_makes_only_one_instance(cloud: Cloud, driver: ec2.Ec2, answer: object) -> None:
    cloud.faults.add(Fault("POST", body=CREATE, when="after", status=200, answer=answer, times=2))
    instance = launch(driver, node())
    assert cloud.made() == 1
    assert [it.instance_id for it in driver.instances(REGION)] == [instance.instance_id]


def test_a_success_that_stays_unreadable_is_an_uncertain_failure(cloud: Cloud, driver: ec2.Ec2) -> None:
    cloud.faults.add(Fault("POST", body=CREATE, when="after", status=200, answer=b"<a/>", times=3))
    with pytest.raises(TemporaryFailure, match="gave an answer that cannot be read") as caught:
        launch(driver, node())
    assert (caught.value.uncertain, cloud.made()) == (True, 1)


def test_a_capacity_error_makes_no_instance_and_the_next_node_has_another_token(cloud: Cloud, driver: ec2.Ec2) -> None:
    full = answers.error("InsufficientInstanceCapacity", "no room")
    cloud.faults.add(Fault("POST", body=CREATE, status=500, answer=full, times=5))
    with driver.access(BATCH, KEY, [node()]) as access:
        with pytest.raises(Exception, match="no room"):
            driver.launch(node("a"), SCRIPT, access)
        driver.launch(node("b"), SCRIPT, access)
    assert cloud.left()["instances"] == ["b"]


# lists


@pytest.mark.parametrize(
    "fault",
    [
        Fault("POST", body=LOOK, skip=1, status=500),
        Fault("POST", body=LOOK, skip=1, status=503, answer=answers.error("RequestLimitExceeded", "slow down")),
        Fault("POST", body=LOOK, skip=1, status=200, answer=HTML.format(502)),
        Fault("POST", body=LOOK, skip=2, status=200, answer=b"<a/>"),
        Fault("POST", body=LOOK, skip=1, drop=True),
    ],
)
def test_a_page_that_fails_once_is_requested_again(cloud: Cloud, driver: ec2.Ec2, fault: Fault) -> None:
    cloud.settings.page_cap = 1
    with driver.access(BATCH, KEY, [node()]) as access:
        for name in "abc":
            driver.launch(node(name), SCRIPT, access)
    cloud.faults.add(fault)
    assert sorted(it.minion_id for it in driver.instances(REGION)) == ["a", "b", "c"]


@pytest.mark.parametrize("more", [{"status": 500}, {"status": 200, "answer": HTML.format(502)}])
def test_a_page_that_keeps_failing_is_an_error_and_not_a_shorter_list(
    cloud: Cloud, driver: ec2.Ec2, more: dict[str, Any]
) -> None:
    cloud.settings.page_cap = 1
    with driver.access(BATCH, KEY, [node()]) as access:
        for name in "ab":
            driver.launch(node(name), SCRIPT, access)
    cloud.faults.add(Fault("POST", body=LOOK, skip=1, times=5, **more))
    with pytest.raises(TemporaryFailure):
        driver.instances(REGION)
    cloud.faults.clear()


# prices


def price_of(driver: ec2.Ec2) -> float | None:
    size = driver.size("t3.micro", REGION)
    assert size is not None
    return size.monthly_price


def test_prices_are_requested_once_and_kept(cloud: Cloud, driver: ec2.Ec2, time: Time, tmp_path: Path) -> None:
    first = {size.name: size.monthly_price for size in driver.sizes(REGION)}
    assert first["t3.micro"] == round(0.0114 * 730, 2)
    assert cloud.count("POST", body=PRICES) == 1
    later = driver_of(cloud, time, tmp_path)
    assert {size.name: size.monthly_price for size in later.sizes(REGION)} == first
    assert price_of(later) == first["t3.micro"]
    assert cloud.count("POST", body=PRICES) == 1


def test_prices_of_nodes_are_requested_by_size_or_for_a_region_with_many(
    cloud: Cloud, driver: ec2.Ec2, time: Time, tmp_path: Path
) -> None:
    few = {"t3.micro", "t3.small"}
    assert driver.prices({REGION: few})[REGION, "t3.micro"] == Price(8.32)
    assert (cloud.count("POST", body=PRICES), cloud.count("POST", body="DescribeInstanceTypes")) == (2, 0)
    many = few | {f"none{number}.micro" for number in range(SINGLY)}
    assert driver_of(cloud, time, tmp_path).prices({REGION: many}).keys() == {(REGION, name) for name in few}
    assert cloud.count("POST", body=PRICES) == 3


def test_prices_are_those_of_the_region(driver: ec2.Ec2) -> None:
    here, there = driver.size("t3.micro", REGION), driver.size("t3.micro", "us-east-1")
    assert here is not None
    assert there is not None
    assert (here.monthly_price, there.monthly_price) == (8.32, round(0.01026 * 730, 2))


def test_one_price_is_requested_alone_and_again_when_it_is_old(
    cloud: Cloud, driver: ec2.Ec2, time: Time, tmp_path: Path
) -> None:
    def asked_after(seconds: float, size: str) -> int:
        time.advance(seconds)
        before = cloud.count("POST", body=PRICES)
        assert driver_of(cloud, time, tmp_path).size(size, REGION) is not None
        return cloud.count("POST", body=PRICES) - before

    assert [asked_after(0, "t3.micro"), asked_after(6 * DAY, "t3.micro"), asked_after(0, "t3.small")] == [1, 0, 1]
    # A newer price does not extend the age of an older one.
    assert [asked_after(1.5 * DAY, "t3.micro"), asked_after(0, "t3.small")] == [1, 0]
    assert KEEP == 7 * DAY


def test_all_pages_of_prices_are_read(cloud: Cloud, driver: ec2.Ec2) -> None:
    cloud.settings.page_cap = 4
    prices = {size.name: size.monthly_price for size in driver.sizes("us-east-1")}
    assert {name for name, price in prices.items() if price is None} == {"mac1.metal"}


@pytest.mark.parametrize("kept", ["", "{", "[]", '{"t3.micro": 1}', '{"t3.micro": [1]}', '{"t3.micro": ["x", 2]}'])
def test_an_invalid_price_file_is_replaced(cloud: Cloud, driver: ec2.Ec2, tmp_path: Path, kept: str) -> None:
    path = tmp_path / "hart/ec2-prices" / f"{REGION}.json"
    path.parent.mkdir(parents=True)
    path.write_text(kept)
    assert price_of(driver) == 8.32
    assert json.loads(path.read_text())["t3.micro"][0] == 8.32
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def unknown(driver: ec2.Ec2) -> bool:
    one = driver.size("t3.micro", REGION)
    return one is not None and {one.monthly_price, *(size.monthly_price for size in driver.sizes(REGION))} == {None}


def test_without_permission_prices_are_unknown_after_one_request(
    cloud: Cloud, driver: ec2.Ec2, time: Time, tmp_path: Path
) -> None:
    cloud.settings.denied = ("pricing:GetProducts",)
    assert unknown(driver)
    assert cloud.count("POST", body=PRICES) == 1
    cloud.settings.denied = ()
    assert not unknown(driver_of(cloud, time, tmp_path))


@pytest.mark.parametrize(
    "fault",
    [
        Fault("POST", body=PRICES, status=500),
        Fault("POST", body=PRICES, status=503),
        Fault("POST", body=PRICES, drop=True),
        Fault("POST", body=PRICES, status=200, answer={"x": 1}, times=ec2_api.READINGS),
    ],
)
def test_a_failed_price_request_is_not_retried_for_an_hour(
    cloud: Cloud, driver: ec2.Ec2, time: Time, tmp_path: Path, fault: Fault
) -> None:
    cloud.faults.add(fault)
    assert unknown(driver)
    assert time.waits == []
    asked_for = cloud.count("POST", body=PRICES)
    time.advance(3599)
    assert unknown(driver_of(cloud, time, tmp_path))
    assert cloud.count("POST", body=PRICES) == asked_for
    time.advance(1)
    assert not unknown(driver_of(cloud, time, tmp_path))


def product(*amounts: str) -> str:
    rates = {str(number): {"unit": "Hrs", "pricePerUnit": {"USD": amount}} for number, amount in enumerate(amounts)}
    terms = {"OnDemand": {"x": {"priceDimensions": rates}}}
    return json.dumps({"product": {"attributes": {"instanceType": "t3.micro"}}, "terms": terms})


@pytest.mark.parametrize(
    ("listed", "price"),
    [
        ([product("0.01")], 7.3),
        ([product("0.01"), product("0.01")], 7.3),
        ([product("0.01"), product("0.0")], 7.3),
        ([product("0.01", "0.02")], None),
        ([product("0.01"), product("0.03")], None),
        ([product("0.0")], None),
        ([product()], None),
        ([], None),
    ],
)
def test_an_ambiguous_price_is_unknown(cloud: Cloud, driver: ec2.Ec2, listed: list[str], price: float | None) -> None:
    cloud.faults.add(Fault("POST", body=PRICES, status=200, answer={"PriceList": listed}))
    assert price_of(driver) == price


def test_prices_are_available_when_they_cannot_be_kept_on_disk(cloud: Cloud, time: Time, tmp_path: Path) -> None:
    (tmp_path / "hart").write_text("a file where a directory should be")
    size = driver_of(cloud, time, tmp_path).size("t3.micro", REGION)
    assert size is not None
    assert size.monthly_price == 8.32
    assert called(cloud, "DescribeInstanceTypes") == 1
