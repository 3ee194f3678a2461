"""Clients of APIs: sessions, tokens, addresses and retries."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import requests

from hart_salt.base.errors import InvalidRequest, Refused, TemporaryFailure
from hart_salt.drivers.contract import Driver
from hart_salt.drivers.rest import Api
from tests.drivers.tested import Time
from tests.emulation import faults
from tests.emulation.faults import Fault
from tests.emulation.listener import Listener
from tests.emulation.stateful import StatefulEmulator

pytestmark = pytest.mark.usefixtures("no_proxies")
CLOUDS = ("do", "vultr")
#: the create call: path, body, and the field of the answer
MADE: dict[str, tuple[str, dict[str, Any], str]] = {
    "do": ("droplets", {"name": "a", "size": "s-1vcpu-1gb", "image": "debian-12-x64", "region": "nyc3"}, "droplet"),
    "vultr": ("instances", {
        "label": "a", "activation_email": False, "plan": "vc2-1c-1gb", "os_id": 2136, "region": "ams"}, "instance"),
}  # fmt: skip
#: an absent instance
NOWHERE = {"do": "droplets/1", "vultr": "instances/5a4981aa-9653-4bd1-bef5-d6bff52042e4"}
#: environment variables of the vendors' own clients
VARIABLES = {
    "do": {"DIGITALOCEAN_ACCESS_TOKEN": "dop_v1_another", "DIGITALOCEAN_END_POINT": "http://127.0.0.1:1/v2/"},
    "vultr": {"VULTR_API_KEY": "ANOTHER", "VULTR_API_ENDPOINT": "http://127.0.0.1:1/v2/"},
}
ACCOUNT = {"do": ("status", "active"), "vultr": ("email", "owner@example.org")}
NO_ADDRESSES = {
    "do": ["http://127.0.0.1:99999/v2", "http://[::1/v2", "http://*.example/v2"],
    "vultr": ["http://[::1/v2", "https://*.example/v2", "http://127.0.0.1:99999/v2"],
}
#: modules that the import of a driver must not import
LATE = {
    "do": ["digitalocean"],
    "hetzner": ["hart_salt.drivers.hetzner.client", "hart_salt.drivers.rest"],
    "vultr": ["hart_salt.drivers.vultr.client", "hart_salt.drivers.rest"],
}


def make(api: Any, cloud_name: str) -> Any:
    """Create an instance."""
    path, body, field = MADE[cloud_name]
    return api.post(path, body, field)


@pytest.mark.parametrize("cloud_name", CLOUDS)
def test_the_environment_replaces_neither_token_nor_endpoint(
    cloud_name: str, cloud: StatefulEmulator[Any, Any], api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name, value in VARIABLES[cloud_name].items():
        monkeypatch.setenv(name, value)
    assert requests.utils.get_netrc_auth(cloud.endpoint) == ("me", "secret")  # it would have been used
    field, value = ACCOUNT[cloud_name]
    assert api.get("account", "account")[field] == value


@pytest.mark.parametrize("cloud_name", CLOUDS)
def test_each_thread_has_a_session_of_its_own(api: Api) -> None:
    senders = [api._senders.get(), api._senders.get()]
    thread = threading.Thread(target=lambda: senders.append(api._senders.get()))
    thread.start()
    thread.join()
    # DigitalOcean is asked by the vendor's client, which has the session; the others by the session itself.
    first, again, other = (getattr(sender, "_session", sender) for sender in senders)
    assert first is again
    assert first is not other


@pytest.mark.parametrize("cloud_name", CLOUDS)
@pytest.mark.parametrize("ending", ["", "/", "//"])
def test_the_slash_at_the_end_of_the_endpoint_does_not_matter(
    cloud_name: str, own: ModuleType, cloud: StatefulEmulator[Any, Any], time: Time, ending: str
) -> None:
    api = own.TESTED.api(cloud, time, endpoint=cloud.endpoint.rstrip("/") + ending)
    assert api.get("regions", "regions") if cloud_name == "do" else api.listed("regions", "regions")


@pytest.mark.parametrize("cloud_name", CLOUDS)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(
    cloud_name: str, own: ModuleType, cloud: StatefulEmulator[Any, Any], time: Time, status: int
) -> None:
    with Listener() as other, Listener(status, {"Location": f"http://127.0.0.1:{other.port}/"}) as server:
        api = own.TESTED.api(cloud, time, endpoint=f"http://127.0.0.1:{server.port}/v2/")
        with pytest.raises(InvalidRequest, match=str(status)):
            make(api, cloud_name)
        assert (len(server.heard), other.heard) == (1, [])


@pytest.mark.parametrize(("cloud_name", "endpoint"), [(name, it) for name in CLOUDS for it in NO_ADDRESSES[name]])
def test_an_endpoint_that_is_no_address(
    own: ModuleType, cloud: StatefulEmulator[Any, Any], time: Time, endpoint: str
) -> None:
    with pytest.raises((InvalidRequest, TemporaryFailure)):
        own.TESTED.api(cloud, time, endpoint=endpoint).get("account", "account")


@pytest.mark.parametrize("cloud_name", LATE)
def test_what_asks_is_not_imported_before_the_first_verb(cloud_name: str) -> None:
    late = set(LATE[cloud_name])
    code = f"import sys; import hart_salt.drivers.{cloud_name}.driver; sys.exit(bool({late} & sys.modules.keys()))"
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, timeout=300, check=False).returncode == 0


@pytest.mark.parametrize("cloud_name", ["hetzner", "vultr"])
def test_without_requests_the_error_has_the_command_to_install_it(
    cloud_name: str, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, f"hart_salt.drivers.{cloud_name}.client", None)
    with pytest.raises(Refused, match=r"needs requests: salt-pip install requests"):
        driver.check()


@pytest.mark.parametrize("cloud_name", CLOUDS)
@pytest.mark.parametrize(
    "fault",
    [{"status": 500}, {"status": 503}, {"drop": True}, {"drop": True, "when": "after"},
     {"status": 502, "answer": faults.HTML.format(502)}],
)  # fmt: skip
def test_a_create_of_which_nobody_knows_is_not_sent_again(
    cloud_name: str, cloud: StatefulEmulator[Any, Any], api: Api, time: Time, fault: dict[str, Any]
) -> None:
    cloud.faults.add(Fault("POST", **fault))
    with pytest.raises(TemporaryFailure) as caught:
        make(api, cloud_name)
    assert (caught.value.uncertain, cloud.count("POST"), time.waits) == (True, 1, [])


@pytest.mark.parametrize("cloud_name", CLOUDS)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_retry_after_is_waited_for(
    cloud_name: str, cloud: StatefulEmulator[Any, Any], api: Api, time: Time, method: str
) -> None:
    cloud.faults.add(faults.throttled("", method=method, retry_after=7, times=2))
    calls: dict[str, Callable[[], Any]] = {
        "GET": lambda: api.get("account", "account"),
        "DELETE": lambda: api.delete(NOWHERE[cloud_name]),
        "POST": lambda: make(api, cloud_name),
    }
    calls[method]()
    assert (time.waits, cloud.count(method)) == ([7, 7], 3)
