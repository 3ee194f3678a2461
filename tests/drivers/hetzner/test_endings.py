"""The driver ``hetzner``: the key of a batch, deletion of servers, limits of the API, and adoption."""

from __future__ import annotations

import pytest

from hart_salt.base.errors import InvalidRequest, RateLimited, TemporaryFailure
from hart_salt.drivers.hetzner import driver as hetzner
from hart_salt.model import Instance
from tests.drivers.do.driver import BATCH, KEY, Time
from tests.drivers.do.emulator.client import public_key
from tests.drivers.hetzner.driver import CREATE, KEY_PATH, KEYS, NOWHERE, SERVER, Client, launch, left, node
from tests.drivers.hetzner.emulator.cloud import Hetzner as Cloud
from tests.drivers.tested import OWNER
from tests.emulation.faults import Fault, lost_answer

OWN = {"hart": "", "hart-owner": OWNER, "hart-batch": BATCH, "hart-role": "db.main"}
ANY = Instance(NOWHERE, "a", "running")
EMPTY = {"servers": [], "meta": {"pagination": {"next_page": None}}}


# access


def test_the_temporary_key_names_its_owner_and_batch(cloud: Cloud, driver: hetzner.Hetzner, time: Time) -> None:
    with pytest.raises(ZeroDivisionError), driver.access(BATCH, KEY, []) as access:
        (key,) = cloud.state.keys.values()
        assert (key.id, key.name, key.public_key) == (access.handle["ssh_key"], f"hart-{OWNER}-{BATCH}", KEY)
        assert key.labels == {"hart": "", "hart-owner": OWNER, "hart-batch": BATCH}
        (leftover,) = driver.leftovers()
        assert (leftover.kind, leftover.batch, leftover.created) == ("SSH key", BATCH, time())
        raise ZeroDivisionError
    assert (left(cloud), driver.leftovers()) == ({}, [])


@pytest.mark.parametrize("skip", [0, 1])
def test_a_key_is_found_by_its_name_when_the_answer_is_lost(cloud: Cloud, driver: hetzner.Hetzner, skip: int) -> None:
    cloud.faults.add(lost_answer(KEYS), *[Fault("GET", KEYS, status=200, answer={**EMPTY, "ssh_keys": []})] * skip)
    launch(driver, node())
    assert (left(cloud), cloud.count("POST", KEYS)) == ({"servers": ["w1.example.com"]}, 1)


def test_nothing_is_created_when_the_key_cannot_be_created(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    cloud.faults.add(Fault("POST", KEYS, status=500))
    with pytest.raises(TemporaryFailure):
        launch(driver, node())
    assert (left(cloud), cloud.count("POST", CREATE)) == ({}, 0)


def test_a_key_that_cannot_be_removed_is_reported_and_found_later(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    cloud.faults.add(Fault("DELETE", KEY_PATH, status=403))
    with pytest.raises(TemporaryFailure, match=f"the temporary SSH key hart-{OWNER}-{BATCH} could not be removed"):
        launch(driver, node())
    (leftover,) = driver.leftovers()
    driver.remove(leftover)
    driver.remove(leftover)
    assert driver.leftovers() == []


def test_keys_of_other_owners_are_not_leftovers(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    Client(cloud).make("ssh_keys", "ssh_key", name=f"hart-{'cd34' * 4}-{BATCH}", public_key=public_key())
    assert driver.leftovers() == []


# terminate


def test_a_server_that_is_being_deleted_is_no_longer_an_instance(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    cloud.settings.gone_after = 1000
    instance = launch(driver, node())
    Client(cloud).call("DELETE", f"servers/{instance.instance_id}")
    assert Client(cloud).get(f"servers/{instance.instance_id}")["server"]["status"] == "deleting"
    assert (driver.instances(), driver.candidates("w1.example.com")) == ([], [])
    assert driver.instance(instance) is None


def test_a_delete_is_retried_after_a_conflict(cloud: Cloud, driver: hetzner.Hetzner, time: Time) -> None:
    cloud.faults.add(Fault("DELETE", SERVER, status=409))
    driver.terminate(launch(driver, node()))
    assert (left(cloud), time.waits) == ({}, [1])


def test_a_protected_server_is_not_deleted(cloud: Cloud, driver: hetzner.Hetzner, time: Time) -> None:
    instance = launch(driver, node())
    path = f"servers/{instance.instance_id}/actions/change_protection"
    Client(cloud).call("POST", path, {"delete": True, "rebuild": True})
    with pytest.raises(InvalidRequest, match=r"is protected \(403 protected, .*\); salt-run hart\.unprotect"):
        driver.terminate(instance)
    assert (left(cloud), time.waits) == ({"servers": ["w1.example.com"]}, [])
    Client(cloud).call("POST", path, {"delete": False, "rebuild": False})
    driver.terminate(instance)
    assert left(cloud) == {}


# limits and the rest


def test_a_rate_limit_without_retry_after_is_retried_before_its_reset(
    cloud: Cloud, driver: hetzner.Hetzner, time: Time
) -> None:
    cloud.settings.burst = 3
    for _ in range(6):
        driver.instances()
    assert cloud.count("GET", CREATE) > 6, "some were refused"
    assert max(time.waits) <= 4
    assert sum(time.waits) < 20


def test_the_driver_waits_as_long_as_retry_after_asks(cloud: Cloud, driver: hetzner.Hetzner, time: Time) -> None:
    vars(cloud.settings).update(burst=1, sends_retry_after=True)
    for _ in range(3):
        driver.instances()
    assert time.waits == [1, 1]


def test_a_retry_after_that_is_too_long_is_reported(cloud: Cloud, driver: hetzner.Hetzner, time: Time) -> None:
    cloud.faults.add(Fault("GET", CREATE, status=429, headers={"retry-after": "3600"}))
    with pytest.raises(RateLimited, match=r"\(429 rate_limit_exceeded\); it asks to wait 3600 s") as caught:
        driver.instances()
    assert (caught.value.retry_after, time.waits) == (3600, [])


def test_the_password_of_a_server_without_a_key_is_never_seen(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    made = driver._api._ask("POST", "servers", {"name": "a", "server_type": "cx23", "image": "debian-12"})
    assert cloud.state.mails == ["a"], "which is why a key is made for each batch"
    assert "root_password" not in made
    assert cloud.state.secrets
    assert not any(secret in str(made) for secret in cloud.state.secrets)


# adoption


def test_adopt_and_release_keep_the_labels_of_others(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    made = Client(cloud).create("old", labels={"env": "prod", "web": ""})
    (found,) = driver.candidates("old")
    driver.adopt(found.instance, "new.example.com", None)
    (server,) = cloud.state.servers.values()
    assert server.labels == {
        "env": "prod", "web": "", "hart": "", "hart-minion": "new.example.com", "hart-owner": OWNER,
    }  # fmt: skip
    driver.release(found.instance)
    assert server.labels == {"env": "prod", "web": ""}
    assert cloud.count("PUT") == 2
    assert str(made["id"]) == found.instance.instance_id
