"""The emulated Vultr behaves as the vendor is known to."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.drivers.do.emulator.client import Clock, public_key
from tests.drivers.vultr.emulator.client import SPEC, Client
from tests.drivers.vultr.emulator.cloud import Vultr
from tests.drivers.vultr.emulator.state import Settings
from tests.emulation import faults
from tests.emulation.backend import NoMachines, recorded
from tests.emulation.faults import Fault, MachineFault

NOWHERE = "5a4981aa-9653-4bd1-bef5-d6bff52042e4"
LOCKED = {"error": "Unable to destroy server: Unable to remove VM: Server is currently locked", "status": 500}
NOTHING = "0.0.0.0"  # noqa: S104 - nobody listens there


@pytest.fixture
def cloud(clock: Clock) -> Iterator[Vultr]:
    settings = Settings(active_after=10, second_limit=None, check_answers=True)
    with Vultr(NoMachines(), settings=settings, clock=clock) as cloud:
        yield cloud
        assert cloud.defects == []
        assert cloud.faults.pending() == [], "a fault that never struck tested nothing"
        assert [text for text in cloud.said_against() if "answer" in text] == []


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# the life cycle of an instance


def test_an_instance_is_pending_then_active_then_ok_then_gone(cloud: Vultr, client: Client, clock: Clock) -> None:
    cloud.settings.ok_after, cloud.settings.gone_after = 5, 2
    made = client.create(tags=["hart"], enable_ipv6=True)
    seen = []
    for seconds in (0, 10, 5):
        clock.advance(seconds)
        it = client.get(f"instances/{made['id']}")["instance"]
        seen.append((it["status"], it["power_status"], it["server_status"], it["main_ip"]))
    assert seen == [
        ("pending", "stopped", "none", NOTHING),
        ("active", "running", "installingbooting", "203.0.113.4"),
        ("active", "running", "ok", "203.0.113.4"),
    ]
    assert (made["v6_main_ip"], it["v6_main_ip"][:9], it["internal_ip"]) == ("", "2001:db8:", "")
    path = f"instances/{made['id']}"
    assert client.call("DELETE", path).status_code == 204
    assert client.get(path)["instance"]["server_status"] == "locked"
    assert "already pending destruction" in client.call("DELETE", path).json()["error"]
    clock.advance(2)
    for method in ("GET", "DELETE"):
        gone = client.call(method, path)
        assert (gone.status_code, gone.json()) == (404, {"error": "Invalid instance ID.", "status": 404})
    assert cloud.state.left() == {kind: [] for kind in cloud.state.left()}
    assert cloud.made() == 1


def test_the_machine_boots_at_create_and_ends_at_delete(cloud: Vultr, client: Client) -> None:
    key = client.make("ssh-keys", "ssh_key", name="k", ssh_key=public_key())
    made = client.create(user_data=encoded("#!/bin/sh\n"), sshkey_id=[key["id"]], tags=["a:b"], hostname="h.example")
    assert cloud.settle(10)
    request = recorded(cloud.machines).booted[made["id"]]
    assert (request.hostname, request.user_data, request.image) == ("h.example", "#!/bin/sh\n", "2136")
    assert (request.public_keys, request.tags, request.private_ip) == ((key["ssh_key"],), ("a:b",), "")
    client.call("DELETE", f"instances/{made['id']}")
    assert cloud.settle(10)
    assert recorded(cloud.machines).killed == [made["id"]]


def test_the_password_is_shown_once_and_the_console_always(cloud: Vultr, client: Client) -> None:
    made = client.create()
    assert made["default_password"] in cloud.secrets()
    for it in (client.get(f"instances/{made['id']}")["instance"], *client.get("instances")["instances"]):
        assert "default_password" not in it
        assert it["kvm"].split("data=")[1] in cloud.secrets()


def test_a_locked_server_is_not_deleted(cloud: Vultr, client: Client, clock: Clock) -> None:
    cloud.settings.locked_for = 60
    path = f"instances/{client.create()['id']}"
    assert client.get(path)["instance"]["server_status"] == "locked"
    for _ in range(2):
        answer = client.call("DELETE", path)
        assert (answer.status_code, answer.json()) == (500, LOCKED)
    clock.advance(60)
    assert client.call("DELETE", path).status_code == 204


def test_an_activation_mail_is_sent_unless_it_is_disabled(cloud: Vultr, client: Client) -> None:
    client.create("quiet")
    client.make("instances", "instance", label="loud", **SPEC)
    assert cloud.left()["mails"] == ["loud"]


def test_changes(cloud: Vultr, client: Client) -> None:
    group = client.make("firewalls", "firewall_group", description="ssh")["id"]
    path = f"instances/{client.create(tags=['a', 'b'], user_data=encoded('x'))['id']}"
    change = {"tags": ["c"], "label": "new", "firewall_group_id": group, "user_data": encoded("scrubbed")}
    answer = client.call("PATCH", path, change)
    assert (answer.status_code, answer.json()["instance"]["tags"]) == (202, ["c"])
    it = client.get(path)["instance"]
    assert (it["label"], it["firewall_group_id"]) == ("new", group)
    assert client.get(f"{path}/user-data") == {"user_data": {"data": encoded("scrubbed")}}
    client.call("PATCH", path, {"firewall_group_id": ""})
    it = client.get(path)["instance"]
    assert (it["tags"], it["firewall_group_id"]) == (["c"], "")
    assert client.call("PATCH", path, {"firewall_group_id": NOWHERE}).status_code == 400


def test_power(cloud: Vultr, client: Client, clock: Clock) -> None:
    path = f"instances/{client.create()['id']}"
    clock.advance(10)
    for action, shown in (("halt", "stopped"), ("halt", "stopped"), ("start", "running"), ("reboot", "running")):
        assert client.call("POST", f"{path}/{action}").status_code == 204
        assert client.get(path)["instance"]["power_status"] == shown
    assert client.call("POST", "instances/halt", {"instance_ids": [path[10:]]}).status_code == 204
    assert client.get(path)["instance"]["power_status"] == "stopped"


# lists


def test_a_cursor_names_the_next_page(client: Client) -> None:
    for number in range(5):
        client.create(f"app-{number}")
    first = client.get("instances", per_page=2)
    assert [it["label"] for it in first["instances"]] == ["app-0", "app-1"]
    assert (first["meta"]["total"], first["meta"]["links"]["prev"]) == (5, "")
    second = client.get("instances", per_page=2, cursor=first["meta"]["links"]["next"])
    last = client.get("instances", per_page=2, cursor=second["meta"]["links"]["next"])
    assert [it["label"] for it in last["instances"]] == ["app-4"]
    assert last["meta"]["links"]["next"] == ""
    assert client.call("GET", "instances?cursor=%C3%A4").status_code == 400
    assert client.call("GET", "instances?per_page=501").status_code == 400


def test_filters_of_the_list(client: Client, clock: Clock) -> None:
    client.create("a", tags=["Prod"])
    client.create("b", tags=["prod", "other"], region="fra")

    def found(**query: str) -> list[str]:
        return [it["label"] for it in client.get("instances", **query)["instances"]]

    assert found(tag="PROD") == ["a", "b"]  # not case-sensitive
    assert (found(tag="pro"), found(tag="prod", region="fra"), found(label="b")) == ([], ["b"], ["b"])
    assert (found(label="B"), found(hostname="vultr.guest"), found(firewall_group_id=NOWHERE)) == ([], ["a", "b"], [])
    assert found(tag="") == ["a", "b"]  # so nobody should send an empty tag
    clock.advance(10)
    assert found(main_ip="203.0.113.5") == ["b"]


def test_the_catalogue_needs_no_key(cloud: Vultr) -> None:
    def get(path: str) -> Any:
        return requests.get(f"{cloud.endpoint}/{path}", timeout=120).json()

    plans = {it["id"]: it for it in get("plans")["plans"]}
    assert (plans["vc2-1c-1gb"]["monthly_cost"], plans["vc2-1c-0.5gb-v6"]["monthly_cost"]) == (5, 2.5)
    assert {it["type"] for it in get("plans?type=vhf")["plans"]} == {"vhf"}
    names = {it["id"]: it["name"] for it in get("os")["os"]}
    assert (names[2136], names[2625]) == ("Debian 12 x64 (bookworm)", "Debian 13 x64 (trixie)")
    assert "ams" in {it["id"] for it in get("regions")["regions"]}
    cloud.settings.sold_out = ("vc2-1c-1gb",)
    available = get("regions/ams/availability")["available_plans"]
    assert "vc2-1c-2gb" in available
    assert not {"vc2-1c-1gb", "vc2-1c-0.5gb-v6", "vdc-4c-32gb"} & set(available)
    assert get("regions/mars/availability") == {"error": "Invalid region.", "status": 400}
    assert "valid type" in get("regions/ams/availability?type=odd")["error"]


# refusals


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"region": "mars"}, "Invalid region."),
        ({"plan": "none"}, "Invalid plan chosen."),
        ({"plan": "vdc-4c-32gb"}, "plan is not available in the selected region"),
        ({"os_id": 1}, "Invalid os_id."),
        ({"os_id": None, "snapshot_id": NOWHERE}, ""),
        ({"snapshot_id": NOWHERE}, "exactly one of"),
        ({"os_id": 164}, "Invalid os_id."),
        ({"sshkey_id": [NOWHERE]}, "Invalid SSH key ID."),
        ({"attach_vpc": [NOWHERE]}, "Invalid VPC ID."),
        ({"firewall_group_id": NOWHERE}, "Invalid firewall group ID."),
        ({"user_data": "#!/bin/sh"}, "Invalid user_data."),
        ({"backups": "yes"}, "Invalid backups."),
        ({"tags": "a"}, ""),
        ({"enable_ipv6": "yes"}, ""),
        ({"vpc_only": True}, "NAT gateway"),
        ({"tags": [str(number) for number in range(100)]}, "Too many tags."),
    ],
)
def test_a_create_is_refused_with_the_vendor_s_message(client: Client, body: dict[str, Any], words: str) -> None:
    status, message = client.refused(**body)
    assert status == 400
    assert words in message


def test_capacity_and_quota(cloud: Vultr, client: Client) -> None:
    cloud.settings.sold_out = ("vc2-1c-1gb",)
    assert client.refused() == (400, "Server add failed: plan is not available in the selected region")
    cloud.settings.sold_out = ()
    cloud.settings.instance_limit = 1
    client.create()
    assert "You have reached the maximum number of active instances" in client.refused()[1]


def test_a_wrong_key_and_an_address_that_is_not_allowed(cloud: Vultr, client: Client) -> None:
    for head in ({"Authorization": "Bearer no"}, {}):
        answer = requests.get(f"{cloud.endpoint}/instances", headers=head, timeout=120)
        assert (answer.status_code, answer.json()) == (401, {"error": "Invalid API token.", "status": 401})
    cloud.settings.allowed = ("192.0.2.1",)
    answer = client.call("GET", "account")
    assert (answer.status_code, answer.json()["error"]) == (401, "Unauthorized IP address: 127.0.0.1")
    assert client.call("GET", "regions").status_code == 200
    cloud.settings.allowed = ("127.0.0.1",)
    assert client.get("account")["account"]["email"] == "owner@example.org"


@pytest.mark.parametrize("path", ["nothing", f"instances/{NOWHERE}", "ssh-keys/1", "vpcs/none", "firewalls/none"])
def test_a_resource_that_does_not_exist(client: Client, path: str) -> None:
    answer = client.call("GET", path)
    assert (answer.status_code, answer.json()["status"]) == (404, 404)


def test_a_body_that_is_not_json(cloud: Vultr) -> None:
    head = {"Authorization": f"Bearer {cloud.token}"}
    assert requests.post(f"{cloud.endpoint}/instances", data="{", headers=head, timeout=120).status_code == 400


def test_thirty_calls_a_second_for_each_address(cloud: Vultr, client: Client, clock: Clock) -> None:
    cloud.settings.second_limit = 30
    for _ in range(30):
        client.get("account")
    answer = client.call("GET", "account")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    clock.advance(1)
    client.get("account")


# keys, VPCs, firewall groups, snapshots


def test_keys(client: Client) -> None:
    line = public_key()
    one = client.make("ssh-keys", "ssh_key", name="x" * 200, ssh_key=line)
    assert len(one["name"]) == 128  # truncated without an error
    two = client.make("ssh-keys", "ssh_key", name="again", ssh_key=line)  # the same key is accepted twice
    assert client.call("POST", "ssh-keys", {"name": "bad", "ssh_key": "none"}).status_code == 400
    assert client.call("DELETE", f"ssh-keys/{one['id']}").status_code == 204
    assert client.call("DELETE", f"ssh-keys/{one['id']}").status_code == 404
    assert [it["id"] for it in client.get("ssh-keys")["ssh_keys"]] == [two["id"]]


def test_an_instance_shows_its_private_address_only_if_it_is_in_one_vpc(client: Client, clock: Clock) -> None:
    vpcs = [client.make("vpcs", "vpc", region="ams", description=name)["id"] for name in "ab"]
    other = client.make("vpcs", "vpc", region="fra")["id"]
    one, two = client.create("one", attach_vpc=vpcs[:1]), client.create("two", attach_vpc=vpcs)
    assert one["internal_ip"] == ""
    clock.advance(10)
    addresses = [client.get(f"instances/{it['id']}")["instance"]["internal_ip"] for it in (one, two)]
    assert (bool(addresses[0]), addresses[1]) == (True, "")
    assert [it["id"] for it in client.get(f"instances/{two['id']}/vpcs")["vpcs"]] == vpcs
    assert client.refused(attach_vpc=[other])[1] == "The VPC network is not in the instance's region."
    assert "several VPCs" in client.refused(enable_vpc=True)[1]


def test_a_vpc_cannot_be_deleted_until_some_time_after_its_servers(cloud: Vultr, client: Client, clock: Clock) -> None:
    cloud.settings.vpc_busy_for = 14
    vpc = client.make("vpcs", "vpc", region="ams", description="own")["id"]
    made = client.create(attach_vpc=[vpc])
    for step in (lambda: None, lambda: client.call("DELETE", f"instances/{made['id']}")):
        step()
        answer = client.call("DELETE", f"vpcs/{vpc}")
        assert (answer.status_code, "attached to this VPC network: 10.120" in answer.json()["error"]) == (400, True)
    clock.advance(14)
    assert client.call("DELETE", f"vpcs/{vpc}").status_code == 204


def test_without_a_public_interface(cloud: Vultr, client: Client, clock: Clock) -> None:
    vpc = client.make("vpcs", "vpc", region="ams")["id"]
    assert "NAT gateway" in client.refused(attach_vpc=[vpc], vpc_only=True)[1]
    client.make(f"vpcs/{vpc}/nat-gateway", "nat_gateway")
    assert len(client.get(f"vpcs/{vpc}/nat-gateway")["nat_gateways"]) == 1
    made = client.create(attach_vpc=[vpc], vpc_only=True)
    clock.advance(10)
    it = client.get(f"instances/{made['id']}")["instance"]
    assert (it["vpc_only"], it["internal_ip"]) == (True, "10.120.0.4")
    assert cloud.settle(10)
    request = recorded(cloud.machines).booted[made["id"]]
    assert (request.public_ip, request.private_ip) == (None, "10.120.0.4")


@pytest.mark.parametrize(("ipv6", "ipv4"), [(True, False), (False, True)])
def test_the_public_ipv4_address_can_be_left_out_only_with_ipv6(
    cloud: Vultr, client: Client, clock: Clock, ipv6: bool, ipv4: bool
) -> None:
    client.create(enable_ipv6=ipv6, disable_public_ipv4=True)
    clock.advance(10)
    (it,) = client.get("instances")["instances"]
    assert (it["main_ip"] != NOTHING, it["v6_main_ip"] != "") == (ipv4, ipv6)


def test_firewall_groups(cloud: Vultr, client: Client) -> None:
    group = client.make("firewalls", "firewall_group", description="ssh")["id"]
    rule = {"ip_type": "v4", "protocol": "tcp", "subnet": "203.0.113.7", "subnet_size": 32, "port": "22"}
    made = client.make(f"firewalls/{group}/rules", "firewall_rule", **rule)
    assert (made["id"], made["action"], made["source"]) == (1, "accept", "203.0.113.7/32")
    again = client.call("POST", f"firewalls/{group}/rules", rule)
    assert (again.status_code, again.json()["error"]) == (400, "This rule is already defined ")
    assert client.call("POST", f"firewalls/{group}/rules", {**rule, "subnet": "x"}).status_code == 400
    instance = client.create(firewall_group_id=group)
    assert "instance_count" not in client.get(f"firewalls/{group}")["firewall_group"]
    assert client.call("DELETE", f"firewalls/{group}").status_code == 204  # deleted although it is in use
    assert client.get(f"instances/{instance['id']}")["instance"]["firewall_group_id"] == ""


def test_an_instance_from_a_snapshot(cloud: Vultr, client: Client) -> None:
    snapshot = cloud.add_snapshot("with-salt")
    client.create(os_id=0, snapshot_id=snapshot)
    assert cloud.settle(10)
    (request,) = recorded(cloud.machines).booted.values()
    assert (request.image, request.image_name) == (snapshot, "with-salt")
    assert [it["id"] for it in client.get("snapshots")["snapshots"]] == [snapshot]


# faults


def test_an_instance_that_is_locked_or_ignores_a_delete(cloud: Vultr, client: Client) -> None:
    cloud.faults.add(MachineFault(refuse_delete=2), MachineFault(ignore_delete=1))
    for expected in ([500, 500, 204, 404], [204, 204, 404]):
        path = f"instances/{client.create()['id']}"
        assert [client.call("DELETE", path).status_code for _ in expected] == expected
    assert cloud.left()["instances"] == []


def test_an_address_that_appears_late(cloud: Vultr, client: Client, clock: Clock) -> None:
    cloud.faults.add(MachineFault(address_lists=2))
    client.create()
    clock.advance(10)
    lists = [client.get("instances")["instances"][0] for _ in range(3)]
    assert [(it["status"], it["main_ip"] == NOTHING) for it in lists] == [
        ("active", True), ("active", True), ("active", False),
    ]  # fmt: skip


def test_an_instance_that_stays_pending(cloud: Vultr, client: Client, clock: Clock) -> None:
    cloud.faults.add(MachineFault(never_active=True))
    made = client.create()
    clock.advance(10**6)
    assert client.get(f"instances/{made['id']}")["instance"]["status"] == "pending"


@pytest.mark.parametrize(("when", "made"), [("before", []), ("after", ["app-1"])])
def test_a_call_fails_before_or_after_its_effect(cloud: Vultr, client: Client, when: str, made: list[str]) -> None:
    cloud.faults.add(Fault("POST", "/v2/instances$", when=when, status=503))
    answer = client.call("POST", "instances", {"label": "app-1", **SPEC})
    assert (answer.status_code, answer.json()) == (503, {"error": "Server error.", "status": 503})
    assert cloud.left()["instances"] == made
    cloud.faults.add(faults.throttled("account", retry_after=7), faults.gateway_html("account"))
    answer = client.call("GET", "account")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert "<html>" in client.call("GET", "account").text


def test_forgetting_leaves_a_new_account(cloud: Vultr, client: Client) -> None:
    cloud.faults.add(MachineFault(refuse_delete=9))
    cloud.add_vpc("own", "ams", gateway=True)
    cloud.add_snapshot("with-salt")
    client.make("ssh-keys", "ssh_key", name="k", ssh_key=public_key())
    client.make("firewalls", "firewall_group", description="ssh")
    client.make("startup-scripts", "startup_script", name="s", script=encoded("#!/bin/sh"))
    client.make("instances", "instance", label="app-1", **SPEC)
    assert sum(map(len, cloud.left().values())) == 6
    cloud.settings.instance_limit = 3
    cloud.forget()
    assert (sum(map(len, cloud.left().values())), cloud.settings.instance_limit) == (0, 25)
    assert client.get("snapshots")["snapshots"] == []
    assert cloud.settle(10)
    assert recorded(cloud.machines).booted == {}


# through the admin endpoint


def test_faults_state_and_settings_over_http(cloud: Vultr, client: Client) -> None:
    admin = cloud.base_url + "/_test/"
    assert requests.post(admin + "faults", json={"path": "account", "status": 503}, timeout=120).ok
    assert client.call("GET", "account").status_code == 503
    assert requests.patch(admin + "settings", json={"instance_limit": 0}, timeout=120).ok
    assert "maximum number" in client.refused()[1]
    state = requests.get(admin + "state", timeout=120).text
    assert json.loads(state)["left"]["instances"] == []
    assert not re.search("default_password", state)
