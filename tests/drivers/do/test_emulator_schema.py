"""The emulated DigitalOcean accepts and returns what the vendor's own description specifies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.drivers.do.emulator import routes
from tests.drivers.do.emulator.client import SPEC, Client, Clock, public_key
from tests.drivers.do.emulator.cloud import SPECIFICATION, DigitalOcean
from tests.drivers.do.emulator.state import Settings
from tests.emulation import schema
from tests.emulation.faults import Fault
from tests.emulation.schema import Description, translate

described = pytest.mark.skipif(
    schema.find(SPECIFICATION) is None, reason="the vendor's description is not beside this checkout"
)
RULE = {"protocol": "tcp", "ports": "22", "sources": {"addresses": ["192.0.2.0/24"]}}


@pytest.fixture
def cloud(clock: Clock) -> Iterator[DigitalOcean]:
    settings = Settings(active_after=10, gone_after=2, key_lists_limit=None, check_answers=True)
    with DigitalOcean(settings=settings, clock=clock) as cloud:
        yield cloud
        assert cloud.defects == []


def test_the_emulator_has_every_call_of_the_description() -> None:
    """The emulator has every call of the description."""
    description = schema.find(SPECIFICATION)
    if description is None:
        pytest.skip("the vendor's description is not beside this checkout")
    assert schema.without_route(description, routes.ROUTES) == []


@described
def test_every_answer_conforms(cloud: DigitalOcean, client: Client, clock: Clock) -> None:
    """The test makes one call of each kind, with droplets in each state, and also causes errors."""
    cloud.add_snapshot("mine", image_id=777)
    key = client.call("POST", "account/keys", {"name": "k", "public_key": public_key()}).json()["ssh_key"]
    vpc = client.call("POST", "vpcs", {"name": "own", "region": "nyc3", "ip_range": "10.9.0.0/20"}).json()["vpc"]
    full: dict[str, Any] = {"ssh_keys": [key["id"]], "tags": ["a:b"], "ipv6": True, "monitoring": True, "backups": True}
    one = client.create(vpc_uuid=vpc["id"], image=777, **full)
    client.call("POST", "droplets", {"names": ["x", "y"], **SPEC, "public_networking": False})
    firewall = {"name": "fw", "inbound_rules": [RULE], "tags": ["a:b"], "droplet_ids": [one["id"]]}
    firewall_id = client.call("POST", "firewalls", firewall).json()["firewall"]["id"]
    everything = [
        "account", "account/keys", f"account/keys/{key['id']}", f"account/keys/{key['fingerprint']}", "droplets",
        "droplets?per_page=1&page=2", "droplets?tag_name=a:b", "droplets?type=gpus", f"droplets/{one['id']}",
        f"droplets/{one['id']}/actions", "images", "images?private=true", "images/777", "images/debian-12-x64",
        "regions", "sizes", "tags", "tags/a:b", "firewalls", f"firewalls/{firewall_id}", "vpcs",
    ]  # fmt: skip
    for seconds in (0, 10):
        clock.advance(seconds)
        for path in everything:
            client.get(path)
    action = client.get(f"droplets/{one['id']}/actions")["actions"][0]
    client.get(f"actions/{action['id']}")
    for kind in ("power_off", "power_on", "snapshot"):
        client.call("POST", f"droplets/{one['id']}/actions", {"type": kind, "name": "s"})
        client.get(f"droplets/{one['id']}")
    client.call("PUT", f"account/keys/{key['id']}", {"name": "other"})
    client.call("PUT", "images/777", {"name": "other"})
    client.call("PUT", f"firewalls/{firewall_id}", {**firewall, "name": "gw"})
    client.call("POST", "tags", {"name": "new"})
    for path in (f"firewalls/{firewall_id}", f"droplets/{one['id']}", "images/777", f"account/keys/{key['id']}"):
        assert client.call("DELETE", path).status_code == 204
    for path in ("tags/new", "droplets?tag_name=a:b"):
        client.call("DELETE", path)
    for path in ("droplets/1", "account/keys/1", "images/1", "tags/none", "firewalls/none"):
        assert client.call("GET", path).status_code == 404
    assert cloud.said_against() == []


@described
def test_refusals_conform_too(cloud: DigitalOcean, client: Client) -> None:
    client.refused(size="none")
    client.call("POST", "tags", {"name": "a=b"})
    client.call("POST", "firewalls", {"name": "fw"})
    cloud.settings.minute_limit = 0
    client.call("GET", "account")
    assert [text for text in cloud.said_against() if "answer" in text] == []


@described
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "droplets", {"name": "a", **SPEC, "ssh_keys": [1.5]}),
        ("POST", "droplets", {"name": "a", **SPEC, "backup_policy": {"plan": "hourly"}}),
        ("POST", "droplets", {"name": "a", **SPEC, "vpc_uuid": 7}),
        ("POST", "droplets", {"name": "a", "image": "debian-12-x64"}),
        ("POST", "account/keys", {"name": "k"}),
        ("POST", "firewalls", {"name": "fw", "inbound_rules": [{"protocol": "tcp"}]}),
        ("POST", "vpcs", {"name": "v"}),
        ("DELETE", "droplets", None),
        ("GET", "droplets?per_page=0", None),
        ("GET", "images?type=snapshot", None),
    ],
)
def test_what_the_description_does_not_allow_is_refused(
    cloud: DigitalOcean, client: Client, method: str, path: str, body: Any
) -> None:
    before = cloud.state.left()
    assert client.call(method, path, body).status_code in (400, 422)
    assert cloud.said_against() != []
    assert cloud.state.left() == before


@described
def test_a_null_is_accepted_but_reported_as_a_defect_of_the_client(cloud: DigitalOcean, client: Client) -> None:
    client.create(vpc_uuid=None)
    assert len(cloud.said_against()) == 1
    assert "vpc_uuid" in cloud.said_against()[0]


@described
def test_an_unknown_field_is_found() -> None:
    description = schema.find(SPECIFICATION)
    assert description is not None
    body = {"name": "a", **SPEC, "public_networkin": False}
    assert description.unknown_fields("POST", "/v2/droplets", body) == [
        "public_networkin: not a field of POST /v2/droplets"
    ]


@described
def test_answers_of_faults_are_not_reported_as_defects(cloud: DigitalOcean, client: Client) -> None:
    cloud.faults.add(Fault(status=500, answer={"odd": 1}), Fault(drop=True, when="after"))
    client.call("GET", "account")
    with pytest.raises(OSError):
        client.call("GET", "account")
    assert cloud.said_against() == []


# the check itself, with a description made for the test


def description(**response: Any) -> Description:
    body = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    return Description(
        {
            "/v1/things/{thing_id}": {
                "post": {
                    "parameters": [{"in": "query", "name": "n", "schema": {"type": "integer", "maximum": 5}}],
                    "requestBody": {"content": {"application/json": {"schema": body}}},
                    "responses": {"201": response, "204": {}},
                }
            }
        }
    )


def test_requests_are_checked() -> None:
    check = description().request
    assert check("POST", "/v1/things/7", {"n": ["5"]}, {"a": 1}) == []
    assert check("POST", "/v1/things/7", {"n": ["6"]}, {"a": 1}) == ["n: 6 is greater than the maximum of 5"]
    assert check("POST", "/v1/things/7", {}, {"a": "x"}) == ["body.a: 'x' is not of type 'integer'"]
    assert check("POST", "/v1/things/7", {}, None) == ["body: missing"]
    assert check("GET", "/v1/things/7", {}, None) == check("POST", "/v1/things", {}, None) == []


def test_answers_are_checked() -> None:
    schema_of_b = {"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"]}
    check = description(
        headers={"ratelimit-limit": {"schema": {"type": "integer"}}},
        content={"application/json": {"schema": schema_of_b}},
    ).answer
    assert check("POST", "/v1/things/7", 201, {"RateLimit-Limit": "5"}, {"b": "x"}) == []
    assert check("POST", "/v1/things/7", 201, {}, {}) == [
        "header ratelimit-limit: missing",
        "answer: 'b' is a required property",
    ]
    assert check("POST", "/v1/things/7", 200, {}, {}) == ["status 200 is not an answer of POST /v1/things/{thing_id}"]
    assert check("POST", "/v1/things/7", 204, {}, {}) == ["a body where none is described"]


def test_the_openapi_dialect_is_translated() -> None:
    assert translate({"type": "string", "enum": ["new", False]}) == {"type": "string", "enum": ["new", "off"]}
    assert translate({"type": "string", "nullable": True}) == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    named = {"properties": {"nullable": {"type": "string"}, "enum": {"nullable": True}}}
    assert translate(named)["properties"] == {"nullable": {"type": "string"}, "enum": {"anyOf": [{}, {"type": "null"}]}}


def test_errors_are_those_of_the_closest_alternative() -> None:
    either = {"oneOf": [{"required": ["name"], "properties": {"size": {"type": "string"}}}, {"required": ["names"]}]}
    data = {"/v1": {"put": {"requestBody": {"content": {"application/json": {"schema": either}}}, "responses": {}}}}
    assert Description(data).request("PUT", "/v1", {}, {"name": "a", "size": 1}) == [
        "body.size: 1 is not of type 'string'"
    ]
