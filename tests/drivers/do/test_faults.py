"""Every fault of the emulated DigitalOcean occurs as specified, once, and leaves the specified state."""

from __future__ import annotations

import time
from collections.abc import Iterator

import digitalocean
import pytest
import requests

from tests.drivers.do.emulator.client import SPEC, Client, Clock, public_key
from tests.drivers.do.emulator.cloud import DigitalOcean
from tests.drivers.do.emulator.state import Settings
from tests.emulation import faults
from tests.emulation.backend import NoMachines
from tests.emulation.faults import Fault, MachineFault

CREATE = r"/v2/droplets$"


@pytest.fixture
def cloud(clock: Clock) -> Iterator[DigitalOcean]:
    with DigitalOcean(NoMachines(), settings=Settings(active_after=10), clock=clock) as cloud:
        yield cloud
        assert cloud.defects == []
        assert cloud.faults.pending() == [], "a fault that never struck tested nothing"


@pytest.fixture
def manager(cloud: DigitalOcean, monkeypatch: pytest.MonkeyPatch) -> digitalocean.Manager:
    monkeypatch.setenv("DIGITALOCEAN_END_POINT", cloud.endpoint)
    return digitalocean.Manager(token=cloud.token)


def create(client: Client) -> requests.Response:
    return client.call("POST", "droplets", {"name": "app-1", **SPEC})


# calls


@pytest.mark.parametrize(("when", "made"), [("before", []), ("after", ["app-1"])])
def test_a_call_fails_before_or_after_its_effect(
    cloud: DigitalOcean, client: Client, when: str, made: list[str]
) -> None:
    cloud.faults.add(Fault(method="POST", path=CREATE, when=when, status=500))
    answer = create(client)
    assert (answer.status_code, answer.json()["id"]) == (500, "server_error")
    assert cloud.state.left()["droplets"] == made
    assert create(client).status_code == 202


@pytest.mark.parametrize(("when", "made"), [("before", []), ("after", ["app-1"])])
def test_the_connection_breaks_before_or_after_the_effect(
    cloud: DigitalOcean, client: Client, when: str, made: list[str]
) -> None:
    cloud.faults.add(Fault(method="POST", path=CREATE, when=when, drop=True))
    with pytest.raises(requests.ConnectionError):
        create(client)
    assert cloud.state.left()["droplets"] == made
    assert [call.status for call in cloud.calls] == [None]


def test_a_lost_answer(cloud: DigitalOcean, client: Client) -> None:
    cloud.faults.add(faults.lost_answer(CREATE))
    with pytest.raises(requests.ConnectionError):
        create(client)
    assert cloud.state.left()["droplets"] == ["app-1"]


@pytest.mark.parametrize(("when", "made"), [("before", []), ("after", ["app-1"])])
def test_a_stall_delays_the_answer(cloud: DigitalOcean, client: Client, when: str, made: list[str]) -> None:
    cloud.faults.add(Fault(method="POST", path=CREATE, when=when, stall=0.4))
    with pytest.raises(requests.ReadTimeout):
        requests.post(
            cloud.endpoint + "droplets", json={"name": "app-1", **SPEC}, timeout=0.15,
            headers={"Authorization": f"Bearer {cloud.token}"},
        )  # fmt: skip
    assert cloud.state.left()["droplets"] == made
    deadline = time.monotonic() + 120
    while not cloud.calls and time.monotonic() < deadline:
        time.sleep(0.02)
    assert cloud.state.left()["droplets"] == ["app-1"]  # a client that disconnects stops nothing


def test_closing_does_not_wait_for_a_stall() -> None:
    began = time.monotonic()
    with DigitalOcean() as cloud:
        cloud.faults.add(Fault(stall=60.0))
        with pytest.raises(requests.ReadTimeout):
            requests.get(cloud.endpoint + "account", timeout=0.1)
    assert time.monotonic() - began < 5


def test_a_throttled_call(cloud: DigitalOcean, client: Client) -> None:
    cloud.faults.add(faults.throttled(CREATE, method="GET", retry_after=7, times=2))
    for _ in range(2):
        answer = client.call("GET", "droplets")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
        assert answer.json()["id"] == "too_many_requests"
        assert "ratelimit-reset" in answer.headers
    client.get("droplets")
    assert len(cloud.faults.struck) == 2


def test_any_status_with_any_body(cloud: DigitalOcean, client: Client) -> None:
    cloud.faults.add(Fault(status=418, answer={"odd": 1}), faults.gateway_html("account"))
    assert client.call("GET", "account").json() == {"odd": 1}
    page = client.call("GET", "account")
    assert (page.status_code, page.headers["content-type"].split(";")[0]) == (502, "text/html")


def test_a_fault_applies_only_to_its_call(cloud: DigitalOcean, client: Client) -> None:
    cloud.faults.add(Fault(method="POST", path=CREATE, body='"app-2"', skip=1, status=503))
    for name, status in (("app-1", 202), ("app-2", 202), ("app-2", 503), ("app-2", 202)):
        assert client.call("POST", "droplets", {"name": name, **SPEC}).status_code == status


def test_a_bad_second_page(cloud: DigitalOcean, client: Client) -> None:
    cloud.settings.page_cap = 1
    client.create("a")
    client.create("b")
    cloud.faults.add(faults.bad_page(CREATE))
    assert len(client.get("droplets", per_page=200)["droplets"]) == 1
    assert client.call("GET", "droplets?page=2&per_page=200").status_code == 429


# machines


def test_a_droplet_that_refuses_to_be_deleted(cloud: DigitalOcean, client: Client) -> None:
    cloud.faults.add(MachineFault(refuse_delete=2))
    droplet = client.create()
    answers = [client.call("DELETE", f"droplets/{droplet['id']}") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [422, 422, 204, 404]
    assert answers[0].json()["message"] == "Droplet already has a pending event."


def test_a_delete_that_has_no_effect(cloud: DigitalOcean, client: Client) -> None:
    cloud.faults.add(MachineFault(ignore_delete=1))
    droplet = client.create()
    assert client.call("DELETE", f"droplets/{droplet['id']}").status_code == 204
    assert client.get(f"droplets/{droplet['id']}")
    assert client.call("DELETE", f"droplets/{droplet['id']}").status_code == 204
    assert cloud.state.left()["droplets"] == []


def test_an_address_that_appears_late(cloud: DigitalOcean, client: Client, clock: Clock) -> None:
    cloud.faults.add(MachineFault(address_lists=2))
    client.create()
    clock.advance(10)
    lists = [client.get("droplets")["droplets"][0] for _ in range(3)]
    assert [it["status"] for it in lists] == ["active"] * 3
    assert [len(it["networks"]["v4"]) for it in lists] == [0, 0, 2]


def test_a_droplet_that_stays_new(cloud: DigitalOcean, client: Client, clock: Clock) -> None:
    cloud.faults.add(MachineFault(never_active=True))
    droplet = client.create()
    clock.advance(10**6)
    assert client.get(f"droplets/{droplet['id']}")["droplet"]["status"] == "new"
    assert client.get(f"droplets/{droplet['id']}/actions")["actions"][0]["status"] == "in-progress"


def test_a_failure_of_the_back_end_is_recorded(clock: Clock) -> None:
    class Broken(NoMachines):
        def boot(self, request: object) -> None:
            raise OSError("no room")

    with DigitalOcean(Broken(), clock=clock) as cloud:
        droplet = Client(cloud).create()
        assert cloud.settle(10)
        assert [(name, str(error)) for name, error in cloud.machines.failures] == [(str(droplet["id"]), "no room")]


# known problems of python-digitalocean


def test_trap_no_timeout_by_default(
    cloud: DigitalOcean, manager: digitalocean.Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHON_DIGITALOCEAN_REQUEST_TIMEOUT_SEC", "0.2")
    cloud.faults.add(Fault(path="account", stall=0.6))
    with pytest.raises(requests.exceptions.ReadTimeout):
        manager.get_account()


def test_trap_a_list_is_truncated_without_an_error(
    cloud: DigitalOcean, client: Client, manager: digitalocean.Manager
) -> None:
    cloud.settings.page_cap = 1
    for name in ("a", "b"):
        client.create(name)
    assert [it.name for it in manager.get_all_droplets()] == ["a", "b"]
    cloud.faults.add(faults.bad_page(CREATE))
    assert [it.name for it in manager.get_all_droplets()] == ["a"]


def test_trap_status_codes_are_lost(cloud: DigitalOcean, manager: digitalocean.Manager) -> None:
    cloud.faults.add(faults.throttled("account"), Fault(path="account", status=503), faults.gateway_html("account"))
    for expected in (digitalocean.DataReadError, digitalocean.DataReadError, digitalocean.baseapi.JSONReadError):
        with pytest.raises(expected) as caught:
            manager.get_account()
        assert not hasattr(caught.value, "status")


def test_trap_an_error_without_id_raises_an_index_error(cloud: DigitalOcean, manager: digitalocean.Manager) -> None:
    with pytest.raises(IndexError):
        digitalocean.Tag(token=cloud.token, name="a=b").create()


def test_trap_networks_without_lists(cloud: DigitalOcean, client: Client, manager: digitalocean.Manager) -> None:
    cloud.settings.bare_networks = True
    client.create()
    with pytest.raises(KeyError):
        manager.get_all_droplets()


def test_trap_a_create_without_action_links_fails_and_creates_a_droplet(
    cloud: DigitalOcean, manager: digitalocean.Manager
) -> None:
    cloud.settings.no_action_links = True
    with pytest.raises(KeyError):
        digitalocean.Droplet(
            token=cloud.token, name="a", size_slug="c-2", image="debian-12-x64", region="nyc3"
        ).create()
    assert cloud.state.left()["droplets"] == ["a"]


def test_trap_a_delete_by_tag_loses_its_query(
    cloud: DigitalOcean, client: Client, manager: digitalocean.Manager
) -> None:
    client.create(tags=["t"])
    with pytest.raises(digitalocean.DataReadError):
        manager.get_data("droplets", type="DELETE", params={"tag_name": "t"})
    assert manager.get_data("droplets?tag_name=t", type="DELETE")
    assert cloud.state.left()["droplets"] == []


def test_trap_the_library_drops_fields_and_uploads_keys(cloud: DigitalOcean, manager: digitalocean.Manager) -> None:
    digitalocean.Droplet(
        token=cloud.token, name="a", size_slug="c-2", image="debian-12-x64", region="nyc3",
        ssh_keys=[public_key()], with_droplet_agent=False, public_networking=False,
    ).create()  # fmt: skip
    (droplet,) = cloud.state.droplets.values()
    assert (droplet.with_droplet_agent, droplet.public_networking) == (None, True)
    assert cloud.state.left()["keys"] == ["SSH Key a"]


# through the admin endpoint


def test_faults_state_and_settings_over_http(cloud: DigitalOcean, client: Client) -> None:
    admin = cloud.base_url + "/_test/"
    fault = {"kind": "call", "method": "GET", "path": "account", "status": 503}
    assert len(requests.post(admin + "faults", json=fault, timeout=120).json()) == 1
    assert client.call("GET", "account").status_code == 503
    assert requests.post(admin + "faults", json={"kind": "machine", "hidden_lists": 1}, timeout=120).ok
    assert requests.delete(admin + "faults", timeout=120).json() == []
    assert requests.post(admin + "faults", json={"statsu": 1}, timeout=120).status_code == 400
    assert requests.patch(admin + "settings", json={"droplet_limit": 0}, timeout=120).ok
    assert requests.patch(admin + "settings", json={"nothing": 0}, timeout=120).status_code == 400
    assert "limit" in client.refused()[1]
    assert requests.get(admin + "state", timeout=120).json()["left"]["droplets"] == []
    calls = requests.get(admin + "calls", timeout=120).json()
    assert [(call["method"], call["status"]) for call in calls] == [("GET", 503), ("POST", 422)]
