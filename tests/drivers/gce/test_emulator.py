"""The emulated Compute Engine refuses what the vendor refuses, in the vendor's words."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.drivers.do.driver import Time
from tests.drivers.gce.emulator.answers import Refusal
from tests.drivers.gce.emulator.cloud import ADDRESS, CALLER, TOKEN, ComputeEngine
from tests.drivers.gce.emulator.filter import parse
from tests.drivers.gce.emulator.state import Settings
from tests.drivers.gce.emulator.tokens import GRANT
from tests.emulation.backend import recorded
from tests.emulation.faults import MachineFault

PLACE = "zones/us-central1-b"
UUID = "5a4981aa-9653-4bd1-bef5-d6bff52042e4"
BODY: dict[str, Any] = {
    "name": "one",
    "machineType": f"{PLACE}/machineTypes/e2-small",
    "disks": [{"boot": True, "autoDelete": True, "initializeParams": {
        "sourceImage": "projects/debian-cloud/global/images/family/debian-12"}}],
    "networkInterfaces": [{"network": "global/networks/default", "accessConfigs": [{"type": "ONE_TO_ONE_NAT"}]}],
    "metadata": {"items": [{"key": "startup-script", "value": "#!/bin/sh"}]},
    "tags": {"items": ["web"]},
}  # fmt: skip


@pytest.fixture
def cloud(time: Time) -> Iterator[ComputeEngine]:
    settings = Settings(staging_after=2, running_after=5, operation_after=3, delete_after=4)
    with ComputeEngine(settings=settings, clock=time) as cloud:
        yield cloud
        assert cloud.defects == []


class Client:
    """A client with a token of the token server; it returns every answer unchanged."""

    def __init__(self, cloud: ComputeEngine) -> None:
        from google.auth import jwt
        from google.oauth2 import service_account

        self.cloud = cloud
        facts = {"client_email": cloud.service_account.email, "private_key": cloud.service_account.key,
                 "token_uri": cloud.base_url + TOKEN}  # fmt: skip
        signer = service_account.Credentials.from_service_account_info(facts).signer
        claims = {"iss": cloud.service_account.email, "iat": _now(), "exp": _now() + 3000, "aud": TOKEN}
        form = {"grant_type": GRANT, "assertion": jwt.encode(signer, claims).decode()}
        answer = requests.post(cloud.base_url + TOKEN, data=form, timeout=120)
        self.token = answer.json()["access_token"]

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> requests.Response:
        return requests.request(
            method, f"{self.cloud.base_url}/compute/v1/projects/{self.cloud.project}/{path}", json=body, params=query,
            headers={"Authorization": f"Bearer {self.token}"}, timeout=120,
        )  # fmt: skip

    def insert(self, **changes: Any) -> requests.Response:
        return self.call("POST", f"{PLACE}/instances", {**copy.deepcopy(BODY), **changes})

    def made(self, **changes: Any) -> Any:
        answer = self.insert(**changes)
        assert answer.status_code == 200, answer.text
        return answer.json()


def _now() -> int:
    import time

    return int(time.time())


@pytest.fixture
def client(cloud: ComputeEngine) -> Client:
    return Client(cloud)


def reason(answer: requests.Response) -> tuple[int, str]:
    """Return status and reason of a refusal, after a check that its form is the vendor's."""
    error = answer.json()["error"]
    assert error["code"] == answer.status_code
    assert error["message"] == error["errors"][0]["message"] != ""
    return answer.status_code, error["errors"][0]["reason"]


# the life of an instance


def test_the_life_of_an_instance(cloud: ComputeEngine, client: Client, time: Time) -> None:
    operation = client.made()
    assert (operation["status"], operation["operationType"], operation["kind"]) == (
        "RUNNING", "insert", "compute#operation",
    )  # fmt: skip
    assert operation["targetId"].isdecimal()
    states = []
    for _ in range(4):
        it = client.call("GET", f"{PLACE}/instances/one").json()
        access = it["networkInterfaces"][0]["accessConfigs"][0]
        done = client.call("GET", f"{PLACE}/operations/{operation['name']}").json()["status"]
        states.append((it["status"], "natIP" in access, done))
        time.advance(2)
    assert states == [
        ("PROVISIONING", False, "RUNNING"), ("STAGING", False, "RUNNING"), ("STAGING", False, "RUNNING"),
        ("RUNNING", True, "DONE"),
    ]  # fmt: skip
    client.call("DELETE", f"{PLACE}/instances/{operation['targetId']}")
    assert client.call("GET", f"{PLACE}/instances/one").json()["status"] == "STOPPING"
    assert reason(client.call("DELETE", f"{PLACE}/instances/one")) == (400, "resourceNotReady")
    time.advance(4)
    assert reason(client.call("GET", f"{PLACE}/instances/one")) == (404, "notFound")
    assert (cloud.left()["instances"], cloud.left()["disks"], cloud.said_against()) == ([], [], [])


def test_a_change_takes_effect_when_its_operation_ends(client: Client, time: Time) -> None:
    client.made()
    there = client.call("GET", f"{PLACE}/instances/one").json()
    body = {"items": ["db"], "fingerprint": there["tags"]["fingerprint"]}
    client.call("POST", f"{PLACE}/instances/one/setTags", body)
    assert client.call("GET", f"{PLACE}/instances/one").json()["tags"]["items"] == ["web"]
    time.advance(3)
    assert client.call("GET", f"{PLACE}/instances/one").json()["tags"]["items"] == ["db"]
    assert reason(client.call("POST", f"{PLACE}/instances/one/setTags", body)) == (412, "conditionNotMet")
    stale = {"items": [], "fingerprint": "abc"}
    assert reason(client.call("POST", f"{PLACE}/instances/one/setMetadata", stale)) == (412, "conditionNotMet")


def test_a_request_id_is_remembered_and_a_name_is_unique(cloud: ComputeEngine, client: Client) -> None:
    path = f"{PLACE}/instances"
    first, again = (client.call("POST", path, BODY, requestId=UUID).json() for _ in range(2))
    assert (first["name"], first["clientOperationId"]) == (again["name"], UUID)
    assert cloud.made() == 1
    assert reason(client.call("POST", path, BODY)) == (409, "alreadyExists")
    for wrong in ("x", "0" * 8 + UUID[8:].replace("9653", "0000")):
        assert reason(client.call("POST", path, {**BODY, "name": "two"}, requestId=wrong)) == (400, "invalid")


@pytest.mark.parametrize(("status", "after"), [(503, 0), (None, 0), (503, 6)])
def test_a_create_can_fail_after_it_was_accepted(
    cloud: ComputeEngine, client: Client, time: Time, status: int | None, after: float
) -> None:
    cloud.settings.late_error, cloud.settings.late_status = "ZONE_RESOURCE_POOL_EXHAUSTED", status
    cloud.settings.late_after = after
    operation = client.made()
    assert client.call("GET", f"{PLACE}/instances/one").status_code == (200 if after else 404)
    time.advance(after)
    shown = client.call("GET", f"{PLACE}/operations/{operation['name']}").json()
    assert (shown["status"], shown.get("httpErrorStatusCode")) == ("DONE", status)
    assert [it["code"] for it in shown["error"]["errors"]] == ["ZONE_RESOURCE_POOL_EXHAUSTED"]
    assert client.call("GET", f"{PLACE}/instances/one").status_code == 404
    assert cloud.state.disks == {}


@pytest.mark.parametrize(
    ("fault", "shown"),
    [(MachineFault(hidden_lists=1), [0, 1, 1]), (MachineFault(hidden_for=3), [0, 0, 1])],
)
def test_lists_can_lag_behind(
    cloud: ComputeEngine, client: Client, time: Time, fault: MachineFault, shown: list[int]
) -> None:
    cloud.faults.add(fault)
    client.made()
    seen = []
    for _ in range(3):
        listed = client.call("GET", "aggregated/instances").json()["items"][PLACE].get("instances", [])
        seen.append(len(listed))
        time.advance(1.6)
    assert seen == shown
    assert client.call("GET", f"{PLACE}/instances/one").status_code == 200


def test_a_delete_can_be_refused_or_fail_later(cloud: ComputeEngine, client: Client, time: Time) -> None:
    cloud.faults.add(MachineFault(refuse_delete=1, ignore_delete=1))
    client.made()
    assert reason(client.call("DELETE", f"{PLACE}/instances/one")) == (400, "resourceNotReady")
    operation = client.call("DELETE", f"{PLACE}/instances/one").json()
    time.advance(4)
    shown = client.call("GET", f"{PLACE}/operations/{operation['name']}").json()
    assert (shown["status"], shown["error"]["errors"][0]["code"]) == ("DONE", "INTERNAL_ERROR")
    assert client.call("GET", f"{PLACE}/instances/one").status_code == 200


# refusals


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "One"}, "resource.name"),
        ({"name": "a" * 64}, "resource.name"),
        ({"nmae": "x"}, "no field named"),
        ({"labels": {"A": "b"}}, "resource.labels"),
        ({"labels": {"a": "b.c"}}, "resource.labels"),
        ({"labels": {f"k{number}": "" for number in range(65)}}, "64 labels"),
        ({"tags": {"items": ["a_b"]}}, "tags.items"),
        ({"tags": {"items": ["a", "a"]}}, "one of them twice"),
        ({"metadata": {"items": [{"key": "a b", "value": ""}]}}, "metadata.items.key"),
        ({"metadata": {"items": [{"key": "a", "value": "x" * 262_145}]}}, "262144"),
        ({"metadata": {"items": [{"key": "a", "value": ""}, {"key": "a", "value": ""}]}}, "Duplicate"),
        ({"machineType": "zones/us-east1-b/machineTypes/e2-small"}, "resource.machineType"),
        ({"machineType": f"{PLACE}/machineTypes/x1"}, "does not exist in zone"),
        ({"machineType": f"{PLACE}/machineTypes/t2a-standard-1"}, "The machine type is ARM64"),
        ({"disks": []}, "boot disk"),
        ({"networkInterfaces": []}, "network interface"),
        ({"networkInterfaces": [{"network": "global/networks/other"}]}, "no subnet in this region"),
        ({"networkInterfaces": [{"subnetwork": "regions/us-east1/subnetworks/default"}]}, "cannot be found here"),
        ({"networkInterfaces": [{"stackType": "IPV4_IPV6"}]}, "not dual-stack"),
        ({"networkInterfaces": [{"accessConfigs": [{"type": "NAT"}]}]}, "ONE_TO_ONE_NAT"),
        ({"serviceAccounts": [{"email": "default"}]}, "scopes"),
        ({"serviceAccounts": [{"email": "default", "scopes": ["compute"]}]}, "scope is invalid"),
        ({"scheduling": {"instanceTerminationAction": "DELETE"}}, "Only for SPOT"),
        ({"scheduling": {"provisioningModel": "CHEAP"}}, "STANDARD or SPOT"),
    ],
)
def test_an_invalid_instance_is_refused(cloud: ComputeEngine, client: Client, changes: Any, words: str) -> None:
    answer = client.insert(**changes)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert (cloud.made(), cloud.left()["instances"]) == (0, [])


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"sourceImage": "projects/debian-cloud/global/images/nothing"}, "image resource cannot be found"),
        ({"diskSizeGb": "9"}, "smaller than the image"),
        ({"diskType": f"{PLACE}/diskTypes/pd-odd"}, "no such disk type"),
        ({"diskType": f"{PLACE}/diskTypes/pd-ssd", "provisionedIops": "3000"}, "Not supported for this disk type"),
        ({"diskType": f"{PLACE}/diskTypes/local-ssd"}, "Local SSDs are SCRATCH"),
        ({"labels": {"a": "B"}}, "labels"),
        ({"diskSizeGb": "many"}, "diskSizeGb"),
    ],
)
def test_an_invalid_disk_is_refused(client: Client, params: Any, words: str) -> None:
    (disk,) = copy.deepcopy(BODY["disks"])
    disk["initializeParams"] |= params
    answer = client.insert(disks=[disk])
    assert (answer.status_code, words in answer.json()["error"]["message"]) == (400, True), answer.text


def test_a_shielded_instance_needs_a_compatible_image(cloud: ComputeEngine, client: Client) -> None:
    cloud.add_image("old", features=())
    (disk,) = copy.deepcopy(BODY["disks"])
    disk["initializeParams"]["sourceImage"] = "global/images/old"
    assert client.insert(disks=[disk]).status_code == 200
    answer = client.insert(name="two", disks=[disk], shieldedInstanceConfig={"enableVtpm": True})
    assert "UEFI" in answer.json()["error"]["message"]


def test_quota_and_throttling_are_both_403(cloud: ComputeEngine, client: Client, time: Time) -> None:
    cloud.settings.instance_limit = 0
    assert reason(client.insert()) == (403, "quotaExceeded")
    cloud.settings.minute_limit = 2
    codes = [client.call("GET", "regions").status_code for _ in range(3)]
    assert codes == [200, 403, 403]
    assert reason(client.call("GET", "regions")) == (403, "rateLimitExceeded")
    time.advance(60)
    assert client.call("GET", "regions").status_code == 200


def test_only_tokens_of_the_account_are_accepted(cloud: ComputeEngine, client: Client) -> None:
    for token in ("", "ya29.made-up", client.token + "x", "a.b.c"):
        client.token, kept = token, client.token
        assert reason(client.call("GET", "regions")) == (401, "authError")
        client.token = kept
    assert client.call("GET", "regions").status_code == 200
    form = {"grant_type": GRANT, "assertion": "a.b.c"}
    assert requests.post(cloud.base_url + TOKEN, data=form, timeout=120).json()["error"] == "invalid_grant"


def test_a_missing_resource_is_not_found_and_an_invalid_name_is_refused(client: Client) -> None:
    for path in ("zones/nowhere", "regions/nowhere", f"{PLACE}/machineTypes/x1", "global/images/x",
                 "global/firewalls/x", f"{PLACE}/operations/x", "global/nothing", f"{PLACE}/disks/x"):  # fmt: skip
        assert reason(client.call("GET", path)) == (404, "notFound"), path
    assert reason(client.call("DELETE", f"{PLACE}/instances/A")) == (400, "invalid")


def test_the_address_service_returns_the_callers_address(cloud: ComputeEngine) -> None:
    assert requests.get(cloud.base_url + ADDRESS, timeout=120).text == f"{CALLER}\n"


# firewall rules and disks


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "A"}, "resource.name"),
        ({"sourceRanges": ["203.0.113.7/24"]}, "CIDR"),
        ({"targetTags": ["A"]}, "targetTags"),
        ({"network": "global/networks/other"}, "network resource cannot be found"),
        ({"allowed": []}, "allows or denies"),
        ({"allowed": [{"IPProtocol": "tpc"}]}, "no such protocol"),
        ({"allowed": [{"protocol": "tcp"}]}, "no field named"),
    ],
)
def test_an_invalid_firewall_rule_is_refused(cloud: ComputeEngine, client: Client, changes: Any, words: str) -> None:
    body = {"name": "one", "allowed": [{"IPProtocol": "tcp", "ports": ["22"]}], **changes}
    answer = client.call("POST", "global/firewalls", body)
    assert (answer.status_code, words in answer.json()["error"]["message"]) == (400, True), answer.text
    assert cloud.left()["firewall rules"] == []


def test_a_disk_in_use_cannot_be_deleted(cloud: ComputeEngine, client: Client) -> None:
    client.made()
    assert reason(client.call("DELETE", f"{PLACE}/disks/one")) == (400, "resourceInUseByAnotherResource")


# lists


def test_each_page_of_a_list_over_all_zones_names_every_zone(cloud: ComputeEngine, client: Client) -> None:
    cloud.settings.page_cap = 2
    for name in ("a", "b", "c"):
        client.made(name=name)
    names, token, pages = [], "", 0
    while token is not None:
        page = client.call("GET", "aggregated/instances", pageToken=token).json()
        assert len(page["items"]) == 14
        empty = [scope["warning"]["code"] for scope in page["items"].values() if "warning" in scope]
        assert empty == ["NO_RESULTS_ON_PAGE"] * 13
        names += [it["name"] for it in page["items"][PLACE]["instances"]]
        token, pages = page.get("nextPageToken"), pages + 1
    assert (names, pages) == (["a", "b", "c"], 2)
    assert cloud.said_against() == []


def test_invalid_pages_are_refused(client: Client) -> None:
    assert reason(client.call("GET", "zones", maxResults=501)) == (400, "invalid")
    assert reason(client.call("GET", "zones", pageToken="odd")) == (400, "invalid")


THING = {"name": "one", "status": "UP", "labels": {"hart-owner": "ab", "x": "1"}, "id": "12"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        (None, True), ("name = one", True), ('name = "one"', True), ("name != one", False), ("id = 12", True),
        ("labels.hart-owner = ab", True), ('labels.hart-owner = "cd"', False), ("labels.x:*", True),
        ("labels.y:*", False), ("(name = one) (status = UP)", True), ("(name = one) (status = DOWN)", False),
        ("(name = two) OR (name = one)", True), ("name = one AND id = 13", False),
        ("(name = one) OR (name = two) AND (id = 13)", False), ("name eq o.*", True), ("name eq 'n.*'", False),
        ("name ne .*two", True), ("labels.nothing.at = all", False),
    ],
)  # fmt: skip
def test_a_filter_matches_as_the_vendor_describes_it(text: str | None, matches: bool) -> None:
    assert parse(text)(THING) is matches


@pytest.mark.parametrize("text", ["name", "name =", "(name = one", "name = one)", "name ~ one", "name = a b eq c"])
def test_an_invalid_filter_is_refused(text: str) -> None:
    with pytest.raises(Refusal):
        parse(text)


# functions for other tests


def test_an_invalid_answer_of_the_emulator_is_reported(cloud: ComputeEngine, client: Client) -> None:
    client.made()
    (instance,) = cloud.state.instances.values()
    instance.body["description"] = ["no text"]
    client.call("GET", f"{PLACE}/instances/one")
    assert any("answer: Instance" in text for text in cloud.said_against())


def test_forget_removes_everything_that_was_made(cloud: ComputeEngine, client: Client) -> None:
    client.made(description="minion.one")
    client.call("POST", "global/firewalls", {"name": "r", "allowed": [{"IPProtocol": "tcp"}]})
    client.call("POST", f"{PLACE}/instances/one/stop")
    assert client.call("POST", "global/images", {"name": "i", "sourceDisk": f"{PLACE}/disks/one"}).status_code == 200
    assert cloud.settle(10)
    assert len(recorded(cloud.machines).saved) == 1
    cloud.settings.late_error = "X"
    assert cloud.user_data() == {"minion.one": "#!/bin/sh"}
    assert cloud.left() == {
        "instances": ["minion.one"], "disks": [], "firewall rules": ["r"], "startup scripts": ["minion.one"],
        "temporary tags": [], "images": ["i"],
    }  # fmt: skip
    cloud.forget()
    assert set(map(str, cloud.left().values())) == {"[]"}
    assert cloud.settings.late_error == ""
    assert cloud.settle(10)
    assert recorded(cloud.machines).saved == {}


def test_the_admin_endpoint_sets_switches_and_shows_the_state(cloud: ComputeEngine, client: Client) -> None:
    client.made()
    admin = f"{cloud.base_url}/_test/"
    assert requests.patch(admin + "settings", json={"late_error": "X"}, timeout=120).status_code == 200
    assert cloud.settings.late_error == "X"
    assert requests.get(admin + "state", timeout=120).json()["instances"][0]["status"] == "PROVISIONING"
