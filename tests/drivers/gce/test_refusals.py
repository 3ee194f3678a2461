"""What the driver ``gce`` itself refuses, credentials that do not work, and the error class of Google's refusals."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hart_salt.base.errors import AuthError, InvalidRequest, NoCapacity, RateLimited, TemporaryFailure
from hart_salt.base.names import check_minion_id
from hart_salt.drivers.gce import driver as gce
from hart_salt.drivers.gce.instances import NAME, name_of
from hart_salt.model import Node
from tests.drivers.do.driver import Time
from tests.drivers.gce.driver import INSERT, KEY, LIST, driver_of, launch, left, node
from tests.drivers.gce.emulator.answers import error
from tests.drivers.gce.emulator.cloud import TOKEN
from tests.drivers.gce.emulator.cloud import ComputeEngine as Cloud
from tests.drivers.tested import BATCH, OWNER
from tests.emulation.faults import Fault

# objections


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (node(zone=None), "needs a zone: set zone to one of us-central1-a, us-central1-b, us-central1-c, or to distri"),
        (node(zone="us-central1-c", size="t2a-standard-1"), "us-central1-c has no size t2a-standard-1; other"),
        (node(tags={"env": "prod"}), "have no values: set tags to a list, or use labels"),
        (node(tags=["Web"]), "the tag Web must start with a letter"),
        (node(tags=["a_b"]), "the tag a_b must start with a letter"),
        (node(tags=[f"hart-{OWNER}-x"]), "is one of hart's own"),
        (node(tags=[f"t{number}" for number in range(64)]), "at most 63 entries"),
        (node(options={"labels": {"hart-owner": "me"}}), "the label hart-owner is one of hart's own"),
        (node(options={"labels": {f"k{number}": "" for number in range(60)}}), "at most 59 entries"),
        (node(public_ip=False, options={"ipv6": True, "subnet": "both"}), "ipv6 is a public address"),
        (node(options={"ipv6": True, "subnet": "default"}), "ipv6 needs a subnet with external IPv6 addresses, but"),
        (node(options={"scopes": ["compute-ro"]}), "set service_account, or remove scopes"),
        (node(image="bullseye"), "there is no image bullseye"),
        (node(image="projects/debian-cloud/global/images/nothing"), "there is no image projects/debian-cloud"),
        (node(image="own"), "the image own needs a volume_size of 20 or more"),
        (node(image="own", size="t2a-standard-1"), "the image own is for X86_64, but t2a-standard-1 is ARM64"),
        (node(options={"subnet": "nothing"}), "no subnet nothing in us-central1; set subnet to one of both (n"),
        (node(options={"subnet": "both", "network": "default"}), "no subnet both in network default in us-central1"),
        (node(options={"network": "nothing"}), "no subnet for instances in network nothing in us-central1"),
        (node(), "several subnets in us-central1: set subnet to one of both (network own), default (network default)"),
    ],
)  # fmt: skip
def test_objections(cloud: Cloud, driver: gce.ComputeEngine, wanted: Node, text: str) -> None:
    cloud.add_image("own", disk_size=20)
    cloud.add_subnet("both", "us-central1", "own", ipv6=True)
    said = driver.objections(wanted)
    assert any(text in objection for objection in said), said
    assert {call.method for call in cloud.calls} <= {"GET"}
    assert cloud.left()["firewall rules"] == []


def test_no_objections(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    cloud.add_subnet("both", "us-central1", "own", ipv6=True)
    options = {"subnet": "both", "ipv6": True, "labels": {"a": "b"}, "service_account": "default", "scopes": ["sql"]}
    assert driver.objections(node(tags=["web"], options=options)) == []


def test_without_a_zone_nothing_is_launched(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    with pytest.raises(InvalidRequest, match="us-central1-a, us-central1-b, us-central1-c, or to distributed"):
        launch(driver, node(zone=None))
    assert left(cloud) == {}


def test_a_script_that_is_too_long_is_refused(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    with driver.access(BATCH, KEY, [node()]) as access:
        with pytest.raises(InvalidRequest, match="longer than 262144 bytes"):
            driver.launch(node(), "ä" * 131_073, access)
        assert cloud.count("POST", INSERT) == 0
        driver.launch(node(), "ä" * 131_072, access)


# names


@pytest.mark.parametrize(
    ("minion_id", "name"),
    [
        ("web1", "hart-web1"),
        ("web-1", "hart-web-1"),
        ("web-1.example.com", "hart-com-example-web-1-8f1a2d1b"),
        ("Web1", "hart-web1-"),
        ("a_b", "hart-a-b-"),
        ("com-example-web-1-8f1a2d1b", "hart-com-example-web-1-8f1a2d1b-"),
        ("x" * 58, "hart-" + "x" * 58),
        ("x" * 59, "hart-" + "x" * 49 + "-"),
    ],
)
def test_the_name_of_an_instance_shows_its_domain_and_host(minion_id: str, name: str) -> None:
    if minion_id == "web-1.example.com":
        name = name[:-8]
    assert name_of(minion_id).startswith(name)
    assert (len(name_of(minion_id)) == len(name)) == (not name.endswith("-"))


IDS = st.text("aAb1-._", min_size=1, max_size=70).filter(lambda text: check_minion_id(text) is None)


@given(IDS, IDS)
def test_two_minion_ids_never_have_the_same_name(one: str, other: str) -> None:
    assert all(NAME.fullmatch(name_of(minion_id)) for minion_id in (one, other))
    assert (name_of(one) == name_of(other)) == (one == other)
    # Not even an id that was made to get the name of another.
    assert name_of(name_of(one).removeprefix("hart-")) != name_of(one) or one == name_of(one).removeprefix("hart-")


# credentials


def test_the_key_can_be_a_text_or_a_path_or_a_whole_json_key(cloud: Cloud, time: Time, tmp_path: Path) -> None:
    account = cloud.service_account
    pem, whole = tmp_path / "key.pem", tmp_path / "key.json"
    pem.write_text(account.key)
    whole.write_text(account.key_file(cloud.base_url + TOKEN))
    keys = [account.key, account.key.replace("\n", "\\n"), str(pem), str(whole), whole.read_text()]
    for key in keys:
        assert account.email in driver_of(cloud, time, key=key).check()


def test_a_key_file_is_used(cloud: Cloud, time: Time, tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_text(cloud.service_account.key_file(cloud.base_url + TOKEN))
    driver = driver_of(cloud, time, key=None, user_id=None, key_file=str(path))
    assert cloud.service_account.email in driver.check()


def test_application_default_credentials_are_used(
    cloud: Cloud, time: Time, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "adc.json"
    path.write_text(cloud.service_account.key_file(cloud.base_url + TOKEN))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    assert "project hart-test-1" in driver_of(cloud, time, key=None, user_id=None).check()
    assert cloud.count("POST", TOKEN) == 1


def _no_credentials(monkeypatch: pytest.MonkeyPatch, user_files: Path) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")  # a machine at Google would have credentials
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(user_files))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)


PLANTED = "planted-secret"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"key": f"-----BEGIN PRIVATE KEY-----\n{PLANTED}\n-----END PRIVATE KEY-----"},
            "key is not a private key in PEM",
        ),
        ({"key": "/nowhere/key.pem"}, "key cannot be read from /nowhere/key.pem: No such file or directory"),
        ({"key": json.dumps({"type": "authorized_user", "secret": PLANTED})}, "key is not a private key in PEM form"),
        ({"key": None, "user_id": None, "key_file": "/nowhere/key.json"}, "key_file cannot be read from /nowhere/key"),
        ({"key": None, "user_id": None, "key_file": "ODD"}, "key_file .* is not a JSON key of a service account"),
        ({"key": None, "user_id": None, "key_file": "TEXT"}, "key_file is not a JSON key of a service account"),
        ({"key": None, "user_id": None}, "set user_id and key, or key_file, in the provider's settings, or set up"),
    ],
)
def test_unusable_credentials_are_reported_in_one_sentence(
    cloud: Cloud, time: Time, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], said: str
) -> None:
    _no_credentials(monkeypatch, tmp_path)
    for name, text in (("ODD", json.dumps({"type": "external", "secret": PLANTED})), ("TEXT", PLANTED)):
        (tmp_path / name).write_text(text)
        if settings.get("key_file") == name:
            settings = {**settings, "key_file": str(tmp_path / name)}
    with pytest.raises(AuthError, match=said) as caught:
        driver_of(cloud, time, **settings).check()
    assert PLANTED not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert cloud.calls == []


def test_a_key_of_another_account_is_an_error(cloud: Cloud, time: Time) -> None:
    driver = driver_of(cloud, time, user_id="other@example.com")
    for call in (driver.check, driver.instances, driver.regions):
        with pytest.raises(AuthError, match=r"invalid authentication credentials. \(401 authError\)"):
            call()
    assert time.waits == []


def test_a_project_of_another_account_is_an_error(cloud: Cloud, time: Time) -> None:
    with pytest.raises(AuthError, match=r"Required 'compute.projects.get' permission .* \(403 forbidden\)"):
        driver_of(cloud, time, project="other").check()


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (Fault("POST", TOKEN, status=400, answer={"error": "invalid_grant", "error_description": PLANTED}), AuthError,
         "do not work (invalid_grant)"),
        (Fault("POST", TOKEN, status=503, answer={"error": "internal_failure"}, times=None), TemporaryFailure,
         "the token server failed"),
        (Fault("POST", TOKEN, drop=True, times=None), TemporaryFailure, "could not be reached"),
    ],
)  # fmt: skip
def test_errors_of_the_token_server_are_reported(
    cloud: Cloud, time: Time, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault, kind: Any, said: str
) -> None:
    path = tmp_path / "adc.json"
    path.write_text(cloud.service_account.key_file(cloud.base_url + TOKEN))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    monkeypatch.setattr("google.auth._exponential_backoff.time.sleep", lambda seconds: None)
    cloud.faults.add(fault)
    with pytest.raises(kind) as caught:
        driver_of(cloud, time, key=None, user_id=None).check()
    assert said in str(caught.value)
    assert PLANTED not in str(caught.value)
    cloud.faults.clear()


# errors


@pytest.mark.parametrize(
    ("status", "reason", "headers"),
    [
        (403, "rateLimitExceeded", {}),
        (403, "userRateLimitExceeded", {}),
        (429, "rateLimitExceeded", {"Retry-After": "20"}),
        (400, "resourceNotReady", {}),
        (500, "internalError", {}),
        (503, "backendError", {}),
    ],
)
def test_temporary_refusals_are_retried(
    cloud: Cloud, driver: gce.ComputeEngine, time: Time, status: int, reason: str, headers: dict[str, str]
) -> None:
    answer = error(status, "", reason)
    cloud.faults.add(Fault("GET", LIST, status=status, answer=answer, headers=headers, times=2))
    assert driver.instances() == []
    assert time.waits == ([20, 20] if headers else [0.5, 1.0])


def test_a_rate_limit_that_lasts_is_an_error(cloud: Cloud, driver: gce.ComputeEngine, time: Time) -> None:
    cloud.settings.minute_limit = 0
    with pytest.raises(RateLimited, match="403 rateLimitExceeded"):
        driver.instances()
    assert 100 < sum(time.waits) <= 120


def test_a_stockout_names_the_zones_with_room() -> None:
    """The details are those of an operation in jenkinsci/google-compute-engine-plugin#555."""
    from google.cloud import compute_v1

    from hart_salt.drivers.gce import errors

    info = {
        "domain": "compute.googleapis.com",
        "reason": "resource_availability",
        "metadatas": {"vmType": "e2-small", "zone": "us-central1-a", "zonesAvailable": "us-central1-f,us-central1-c"},
    }
    refusal = {
        "code": "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS",
        "message": "The zone has not enough resources.",
        "errorDetails": [{"errorInfo": info}, {"help": {"links": [{"url": "https://cloud.google.com"}]}}],
    }
    operation = compute_v1.Operation.from_json(json.dumps({"error": {"errors": [refusal]}, "operationType": "insert"}))
    error = errors.of_operation(operation)
    assert type(error) is NoCapacity
    assert str(error).endswith("; these zones have room now: us-central1-f, us-central1-c")


@pytest.mark.parametrize(
    ("status", "reason", "message", "says"),
    [
        (403, "accessNotConfigured", "It is disabled.", "; enable the Compute Engine API in the project"),
        (403, "insufficientPermissions", "Insufficient Permission", "add the scope https://www.googleapis.com/auth/c"),
        (403, "forbidden", "Required 'compute.instances.list' permission for 'projects/p'",
         "; instances.aggregatedList needs the permission compute.instances.list"),
        (403, "forbidden", "Not in words that name it.",
         "; instances.aggregatedList needs the permission compute.instances.list"),
    ],
)  # fmt: skip
def test_what_a_refusal_asks_for(
    cloud: Cloud, driver: gce.ComputeEngine, status: int, reason: str, message: str, says: str
) -> None:
    cloud.faults.add(Fault("GET", LIST, status=status, answer=error(status, message, reason)))
    with pytest.raises(AuthError, match=re.escape(says)):
        driver.instances()
