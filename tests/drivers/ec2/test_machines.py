"""Machines that boot as on EC2: Debian's own cloud-init, version 2 of the metadata, and user-data as hart sends it."""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Mapping

import pytest

from hart_salt.drivers.ec2.request import USER_DATA_LIMIT, payload
from tests.drivers.ec2.emulator import metadata as metadata_ec2
from tests.machines import requirements
from tests.machines.machines import Spec
from tests.machines.metadata import Reply
from tests.machines.network import Interface
from tests.machines.test_cloud_machines import RAN, USER_DATA, Boot, boot, host, ok  # noqa: F401 - two are fixtures

_missing = requirements.missing()
machines = pytest.mark.skipif(bool(_missing), reason=f"no machines can be booted here: {'; '.join(_missing)}")

INSTANCE = "i-0123456789abcdef0"
NO_WARNING = "test $(grep -c -E ' (WARNING|ERROR)|(WARNING|ERROR)\\]' /var/log/cloud-init.log) = 0"
#: prints the status without a token, and the value with one
ASK = """python3 -c '
import urllib.error, urllib.request
at = "http://169.254.169.254/latest/"
def ask(path, method="GET", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(at + path, method=method, headers=named)
    try:
        return urllib.request.urlopen(request).read().decode()
    except urllib.error.HTTPError as error:
        return error.code
token = ask("api/token", "PUT", X_aws_ec2_metadata_token_ttl_seconds="60")
print(ask("meta-data/instance-id"), ask("user-data"), ask("meta-data/instance-id", X_aws_ec2_metadata_token=token))
'"""


@machines
@pytest.mark.parametrize("image", ["debian-12", "debian-13"])
def test_cloud_init_reads_the_metadata_with_a_token_and_runs_the_user_data(boot: Boot, image: str) -> None:  # noqa: F811
    machine = boot(datasource="ec2", instance_id=INSTANCE, public_keys=(), image=image)
    name = f"ip-{machine.spec.private_ip.replace('.', '-')}"
    assert machine.wait(RAN).split()[:2] == [name, "0"]
    machine.wait("cloud-init status | grep -q done")
    assert "DataSourceEc2" in ok(machine, "cloud-init status --long")
    assert ok(machine, "cloud-init query instance_id").strip() == INSTANCE
    assert ok(machine, "cloud-init query availability_zone").strip() == "eu-west-1a"
    ok(machine, NO_WARNING)
    assert ok(machine, ASK).split() == ["401", "401", INSTANCE]
    assert machine.run("grep -q . /root/.ssh/authorized_keys")[0] != 0, "no key was given"
    machine.stop()
    machine.start()
    machine.wait("cloud-init status | grep -q done")
    assert len(ok(machine, RAN).splitlines()) == 1


@machines
def test_cloud_init_accepts_compressed_user_data(boot: Boot) -> None:  # noqa: F811
    script = USER_DATA + "# what makes it longer than EC2 takes\n" * 600
    packed = payload(script)
    assert len(packed) < USER_DATA_LIMIT < len(script)
    assert gzip.decompress(packed).decode() == script

    def compressed(method: str, path: str, headers: Mapping[str, str]) -> Reply | None:
        return (200, "application/octet-stream", packed) if path.endswith("/user-data") else None

    machine = boot(datasource="ec2", instance_id=INSTANCE, public_keys=(), metadata=compressed)
    assert machine.wait(RAN).split()[1] == "0"


# the service alone


def ask(method: str, path: str, token: str = "", **headers: str) -> Reply:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return SERVICE(method, path, {**given, **({metadata_ec2.TOKEN: token} if token else {})})


INTERFACES = (
    Interface("eth0", "public", "02:00:00:00:00:01", "198.19.0.4", "255.255.255.0", "198.19.0.1"),
    Interface("eth1", "private", "02:00:00:00:00:02", "10.213.0.4", "255.255.255.0", "10.213.0.1"),
)
FIELDS = {"tags": {"Name": "web-1"}}
SPEC = Spec(INSTANCE, "web-1", "#!/bin/sh\n", (), "ec2", "198.19.0.4", "10.213.0.4", metadata=FIELDS)
SERVICE = metadata_ec2.service(SPEC, INTERFACES, ())
PATH, TTL = metadata_ec2.TOKEN_PATH, "x_aws_ec2_metadata_token_ttl_seconds"


def token() -> str:
    status, _, body, *_ = ask("PUT", PATH, **{TTL: "60"})
    assert status == 200
    return body.decode()


def test_metadata_needs_a_token() -> None:
    for path in ("/latest/meta-data/", "/latest/user-data", "/latest/dynamic/instance-identity/document", "/", "/x"):
        assert ask("GET", path)[0] == 401
        assert ask("GET", path, token="no token of ours")[0] == 401  # noqa: S106 - none
    assert ask("GET", "/latest/user-data", token()) == (200, "text/plain", b"#!/bin/sh\n")


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 400), ({TTL: "0"}, 400), ({TTL: "21601"}, 400), ({TTL: "x"}, 400), ({TTL: "21600"}, 200),
     ({TTL: "60", "x_forwarded_for": "192.0.2.1"}, 403)],
)  # fmt: skip
def test_which_requests_get_a_token(headers: dict[str, str], status: int) -> None:
    assert ask("PUT", PATH, **headers)[0] == status
    assert ask("PUT", "/latest/user-data", **headers)[0] == 404


def test_metadata_has_values_and_lists_of_names() -> None:
    one = token()
    assert ask("GET", "/latest/meta-data/local-ipv4", one)[2] == b"10.213.0.4"
    assert ask("GET", "/2021-03-23/meta-data/public-ipv4", one)[2] == b"198.19.0.4"
    assert ask("GET", "/latest/meta-data/tags/", one)[2] == b"Name"
    assert b"placement/" in ask("GET", "/latest/meta-data/", one)[2].split(b"\n")
    for path in ("/latest/meta-data/public-keys/", "/1.0.0/meta-data", "/latest/nothing", "/latest/meta-data/mac/x"):
        assert ask("GET", path, one)[0] == 404


@pytest.mark.parametrize("action", ["", "terminate"])
def test_every_name_in_a_list_exists_because_cloud_init_reads_all_of_them(action: str) -> None:
    notices = metadata_ec2.notices(action, "2026-11-30T12:00:00Z")
    fields = {"spot": lambda: notices.get("spot"), "events": lambda: notices.get("events")}
    answer = metadata_ec2.service(dataclasses.replace(SPEC, metadata=fields), INTERFACES, ())
    given = {metadata_ec2.TOKEN: answer("PUT", PATH, {TTL.replace("_", "-"): "60"})[2].decode()}

    def walk(path: str) -> list[str]:
        status, _, body, *_ = answer("GET", path, given)
        assert status == 200, path
        return (
            [path, *(it for name in body.decode().split() for it in walk(path + name))] if path[-1] == "/" else [path]
        )

    assert ("/latest/meta-data/spot/instance-action" in walk("/latest/meta-data/")) == bool(action)


def test_a_private_machine_has_no_public_address_and_a_route_through_its_only_interface() -> None:
    tree = metadata_ec2.ec2(SPEC, INTERFACES[1:])
    assert "public-ipv4" not in tree["meta-data"]
    files = metadata_ec2.files(SPEC, INTERFACES[1:])
    assert "Gateway=10.213.0.1" in files["/etc/systemd/network/10-cloud-init-eth1.network"]
    both = metadata_ec2.files(SPEC, INTERFACES)
    assert "Gateway" not in both["/etc/systemd/network/10-cloud-init-eth1.network"]
    assert "Address=198.19.0.4/24\nGateway=198.19.0.1" in both["/etc/systemd/network/10-cloud-init-eth0.network"]
