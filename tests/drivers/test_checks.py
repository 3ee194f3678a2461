"""``hart.check`` at each provider: rights, region, size, image, network, settings and quota, without a change."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from hart_salt.base.errors import ConfigError, Fault, HartError
from hart_salt.config.loader import Source, load
from hart_salt.drivers import schemas
from hart_salt.drivers.contract import Driver
from hart_salt.drivers.ec2 import preview
from hart_salt.model import OK, PROBLEM, UNKNOWN, Check, Node
from hart_salt.operations import account, health
from tests.drivers.clouds import module_of
from tests.drivers.environment import CloudEnvironment, launch
from tests.drivers.environments import CLOUDS
from tests.drivers.tested import master_of

EACH = pytest.mark.parametrize(
    ("environment", "cloud_name"), [(name, name) for name in CLOUDS], indirect=["environment"]
)
#: the providers whose API has no network for the usual node, and those that report no quota or no rights
WITHOUT_NETWORK = ("do", "hetzner", "vultr")
WITHOUT_QUOTA = ("hetzner", "vultr")
SILENT_ABOUT_RIGHTS = ("do", "hetzner")


class Examples(account.Examples):
    """The examples of a configuration that needs no file."""

    def __init__(self, roles: Mapping[str, Node | HartError]) -> None:
        object.__setattr__(self, "roles", roles)

    def of(self, provider: str) -> dict[str, Node | HartError]:
        return dict(vars(self)["roles"])


def as_they_are(nodes: Sequence[Node], driver: Driver) -> Sequence[Node]:
    """Return nodes that boot plain images."""
    return nodes


def checked(driver: Driver, roles: Mapping[str, Node | HartError], count: int = 1) -> dict[str, Check]:
    """Return the checks of a provider by name, without the provider's name."""
    found = account.checks([driver], Examples(roles), count, as_they_are)
    return {check.name.removeprefix(driver.provider.name).strip(): check for check in found}


@EACH
def test_an_account_in_which_all_is_well(environment: CloudEnvironment, cloud_name: str) -> None:
    driver = environment.driver(**environment.narrow)
    launch(environment, driver, "there")
    environment.time.advance(60)
    before, made = environment.left(), environment.cloud.made()
    found = checked(environment.driver(**environment.narrow), {"app": environment.node("web-1.example.com")})
    results = {name: check.result for name, check in found.items()}
    network = {} if cloud_name in WITHOUT_NETWORK else {"app network": OK}
    assert results == {
        "": OK, "rights": UNKNOWN if cloud_name in SILENT_ABOUT_RIGHTS else OK, "app size": OK, "app image": OK,
        **network, "app settings": OK, "app quota": UNKNOWN if cloud_name in WITHOUT_QUOTA else OK,
    }, found  # fmt: skip
    assert not any(map(health.is_problem, found.values()))
    assert (environment.left(), environment.cloud.made()) == (before, made)


@EACH
def test_the_nodes_of_a_configuration_are_examples_to_which_no_provider_objects(
    environment: CloudEnvironment, cloud_name: str
) -> None:
    node = environment.node("web-1.example.com")
    place = {"region": node.region, "size": node.size, **({"zone": node.zone} if node.zone else {})}
    roles = {"app": place, "old": {**place, "image": "bullseye"}}
    driver = environment.driver(**environment.narrow)
    name = driver.provider.name
    providers = {name: {"driver": cloud_name, **environment.cloud.account(), **environment.narrow}}
    data = {"saltmaster": "salt.example.com", "connect_from": "203.0.113.7/32", "roles": roles, "providers": providers}
    config = load([Source("test", data)], schemas(), lambda uri: uri)
    examples = account.Examples(config, schemas(), master_of("ab12" * 4), None)
    found = {check.name.removeprefix(f"{name} "): check for check in account.checks([driver], examples, 1, as_they_are)}
    assert [check for label, check in found.items() if not label.startswith("old") and health.is_problem(check)] == []
    assert found["app settings"].result == OK
    assert "hart cannot boot bullseye" in found["old image"].sentence


@pytest.mark.parametrize("environment", ["ec2"], indirect=True)
def test_a_server_that_is_not_amazon_s_gets_no_call_that_it_could_carry_out(
    environment: CloudEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a server can ignore ``DryRun``."""
    from moto.ec2.responses import EC2Response

    module, cloud = module_of("ec2"), environment.cloud
    monkeypatch.setattr(EC2Response, "error_on_dryrun", lambda self: None)
    monkeypatch.setattr(preview, "AMAZON", (".amazonaws.com",))
    launch(environment, environment.driver(**environment.narrow), "there")
    environment.time.advance(60)
    group = module.make_group(cloud, module.default_vpc(cloud))
    node = environment.with_settings("web-1.example.com", options={"security_groups": [group]})
    before, made, calls = environment.left(), cloud.made(), len(cloud.calls)
    found = checked(environment.driver(**environment.narrow), {"app": node})
    assert (environment.left(), cloud.made()) == (before, made)
    assert [call.text for call in cloud.calls[calls:] if "DryRun" in call.text] == []
    assert found["rights"].result == UNKNOWN
    assert "127.0.0.1" in found["rights"].sentence


@EACH
def test_what_a_role_names_and_the_provider_does_not_have(environment: CloudEnvironment, cloud_name: str) -> None:
    node = environment.node("web-1.example.com")
    bad = environment.with_settings("web-2.example.com", image="no-such-image")
    unreadable = ConfigError([Fault("hart:roles:odd:region", "is not set")])
    roles: dict[str, Node | HartError] = {
        "size": dataclasses.replace(node, size="t3.mikro"), "region": dataclasses.replace(node, region="mars"),
        "image": bad, "odd": unreadable,
    }  # fmt: skip
    found = checked(environment.driver(**environment.narrow), roles)
    problems = {name for name, check in found.items() if health.is_problem(check)}
    # The objections of a driver to a node name the image as well, if it can know.
    assert problems - {"image settings"} == {"size size", "region region", "image image", "odd settings"}
    assert "no-such-image" in found["image image"].sentence
    assert "t3.mikro" in found["size size"].sentence
    assert health.line(found["odd settings"]) == "problem: hart:roles:odd:region: is not set"


@EACH
def test_a_credential_that_does_not_work_is_the_only_line(environment: CloudEnvironment, cloud_name: str) -> None:
    environment.cloud.tokens = environment.cloud.keys = {}
    wrong = {"user_id": "another@example.org"} if cloud_name == "gce" else {}
    driver = environment.driver(**wrong, **environment.narrow)
    found = checked(driver, {"app": environment.node("web-1.example.com")})
    assert {name: check.result for name, check in found.items()} == {"": "AuthError"}


#: by cloud, a right that can be asked for without a change
ASKED = {
    "do": "tag:read", "ec2": "ec2:CreateSecurityGroup", "gce": "compute.firewalls.create",
}  # fmt: skip


@pytest.mark.parametrize(("environment", "cloud_name"), [(name, name) for name in ASKED], indirect=["environment"])
def test_a_right_that_is_missing(environment: CloudEnvironment, cloud_name: str) -> None:
    environment.cloud.settings.denied = (ASKED[cloud_name],)
    found = checked(environment.driver(**environment.narrow), {"app": environment.node("web-1.example.com")})
    assert found["rights"].result == "AuthError"
    assert ASKED[cloud_name] in found["rights"].sentence
    assert "xxx" not in found["rights"].sentence


@pytest.mark.parametrize("environment", ["do"], indirect=True)
def test_the_rights_of_a_role_that_is_baked_are_those_for_its_images_too(environment: CloudEnvironment) -> None:
    driver = environment.driver()
    plain = checked(driver, {"app": environment.node("web-1.example.com")})["rights"].sentence
    baked = checked(driver, {"app": environment.with_settings("web-1.example.com", bake="highstate")})[
        "rights"
    ].sentence
    more = ["image:create", "image:delete", "image:update"]
    assert [right for right in more if right in plain] == []
    assert [right for right in more if right in baked] == more


@pytest.mark.parametrize("environment", ["vultr"], indirect=True)
def test_the_older_access_control_list_of_vultr(environment: CloudEnvironment) -> None:
    environment.cloud.settings.acls = ("billing", "subscriptions")
    found = checked(environment.driver(), {"app": environment.node("web-1.example.com")})
    assert found["rights"].result == "AuthError"
    assert found["rights"].sentence.endswith("lacks provisioning: add it in Vultr's console under Users")


#: by cloud, the switch for a limit that one more node does not exceed, and its value
SHORT: Mapping[str, tuple[str, Any]] = {
    "do": ("droplet_limit", 2),
    "ec2": ("vcpu_limit", 5),
    "gce": ("instance_limit", 2),
}


@pytest.mark.parametrize(("environment", "cloud_name"), [(name, name) for name in SHORT], indirect=["environment"])
def test_a_quota_that_is_enough_for_one_node_and_not_for_two(environment: CloudEnvironment, cloud_name: str) -> None:
    driver = environment.driver(**environment.narrow)
    launch(environment, driver, "there")
    environment.time.advance(60)
    name, limit = SHORT[cloud_name]
    setattr(environment.cloud.settings, name, limit)
    node = environment.node("web-1.example.com")

    def quota(count: int) -> Check:
        return checked(environment.driver(**environment.narrow), {"app": node}, count)["app quota"]

    assert (quota(1).result, quota(2).result) == (OK, PROBLEM)
    assert "2 more" in quota(2).sentence


@pytest.mark.parametrize("environment", ["do"], indirect=True)
def test_a_quota_takes_two_calls_however_many_instances_there_are(environment: CloudEnvironment) -> None:
    environment.cloud.settings.page_cap = 1
    driver = environment.driver(**environment.narrow)
    for name in ("a", "b", "c"):
        launch(environment, driver, name)
    before = len(environment.cloud.calls)
    found = driver.check_quota(environment.node("web-1.example.com"), 1)
    assert found is not None
    assert found.sentence.startswith("the account has 3 of ")
    assert len(environment.cloud.calls) == before + 2


@pytest.mark.parametrize("environment", ["do"], indirect=True)
def test_a_vpc_of_another_region_and_none(environment: CloudEnvironment) -> None:
    vpc = module_of("do").Client(environment.cloud).make("vpcs", "vpc", name="own", region="ams3")["id"]
    nodes = {
        name: environment.with_settings(f"{name}.example.com", options={"vpc": one})
        for name, one in {"other": vpc, "none": "5a4981aa-9653-4bd1-bef5-d6bff52042e4"}.items()
    }
    found = checked(environment.driver(), nodes)
    assert found["other network"].sentence == f"the VPC {vpc} is in ams3, not in nyc3"
    assert found["none network"].sentence == "the account has no VPC 5a4981aa-9653-4bd1-bef5-d6bff52042e4"


def test_a_check_of_the_machine_that_fails_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(context: Any) -> tuple[str, str]:
        raise HartError("it is broken")

    checks: dict[str, Callable[[Any], tuple[str, str]]] = {"one": broken, "two": lambda context: (OK, "fine")}
    monkeypatch.setattr(health, "CHECKS", checks)
    context: Any = None
    assert [health.line(check) for check in health.of_machine(context)] == ["problem: it is broken", "ok: fine"]
