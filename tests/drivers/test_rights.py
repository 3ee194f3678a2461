"""The rights that the documentation names for each cloud are those of the calls that a whole run makes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import DriverError
from tests.drivers import whole_run
from tests.drivers.environment import CLIENT_KEY, CloudEnvironment, launch
from tests.drivers.environments import CLOUDS

DOCS = Path(__file__).resolve().parents[2] / "docs" / "clouds"
PAGES = {"do": "digitalocean"}
EACH = pytest.mark.parametrize(
    ("environment", "cloud_name"), [(name, name) for name in CLOUDS], indirect=["environment"]
)


def page(cloud_name: str) -> str:
    """Return the section about rights of a cloud's page."""
    text = (DOCS / f"{PAGES.get(cloud_name, cloud_name)}.md").read_text(encoding="utf-8")
    return text.split("## Credentials and rights")[1].split("\n## ")[0]


@EACH
def test_the_table_of_rights_has_the_calls_of_a_whole_run_and_no_others(
    environment: CloudEnvironment, cloud_name: str
) -> None:
    rights = whole_run.rights_of(cloud_name)
    made = {name: rights.call_of(name) for name in whole_run.run(environment, cloud_name)}
    assert [name for name, call in made.items() if call is None] == [], "calls that the table lacks"
    known = {call for use in rights.uses for call in use.calls}
    assert sorted(known - {str(call) for call in made.values()}) == [], "calls that no run makes"


@pytest.mark.parametrize("cloud_name", CLOUDS)
def test_the_documentation_names_exactly_the_rights_of_the_table(cloud_name: str) -> None:
    assert whole_run.of_page(page(cloud_name)) == whole_run.rights_of(cloud_name).by_purpose()


def test_the_policy_in_the_documentation_has_the_basic_permissions() -> None:
    """The JSON can be copied as it is."""
    policy: Any = json.loads(re.findall(r"```json\n(.*?)```", page("ec2"), re.DOTALL)[0])
    basic, *_ = whole_run.rights_of("ec2").by_purpose().values()
    assert sorted(policy["Statement"][0]["Action"]) == basic


# a right that is missing

#: the rights for the create call, for the list, and for the delete
PATHS = {
    "do": ("droplet:create", "droplet:read", "droplet:delete"),
    "ec2": ("ec2:RunInstances", "ec2:DescribeInstances", "ec2:TerminateInstances"),
    "gce": ("compute.instances.create", "compute.instances.list", "compute.instances.delete"),
    "hetzner": ("Read & Write", "Read", "Read & Write"),
    "vultr": ("compute.instance.Create", "compute.instance.List", "compute.instance.Delete"),
}


@contextmanager
def lacks(environment: CloudEnvironment, right: str) -> Iterator[None]:
    """Deny a right inside the block, in which one call must be refused, with an error that names the right."""
    environment.cloud.settings.denied = (right,)
    with pytest.raises(DriverError) as caught:
        yield
    environment.cloud.settings.denied = ()
    said = str(caught.value)
    assert re.search(rf"needs the [^;]+ {re.escape(right)}(?![\w:.])", said), said
    assert "\n" not in said
    assert "xxx" not in said, "the encoded part of Amazon's message"


@EACH
def test_a_missing_right_is_named_and_nothing_is_half_done(environment: CloudEnvironment, cloud_name: str) -> None:
    create, look, end = PATHS[cloud_name]
    driver = environment.driver(**environment.narrow)
    with lacks(environment, create):
        launch(environment, driver)
    assert (environment.left(), environment.cloud.made()) == ({}, 0)
    made = launch(environment, driver)
    with lacks(environment, look):
        driver.instances(made.region)
    with lacks(environment, end):
        driver.terminate(made)
    environment.time.advance(60)
    assert [one.instance_id for one in driver.instances(made.region)] == [made.instance_id]
    driver.terminate(made)
    assert environment.left() == {}


@pytest.mark.parametrize(
    ("environment", "right"),
    [("do", "ssh_key:delete"), ("ec2", "ec2:DeleteSecurityGroup"), ("gce", "compute.firewalls.delete")],
    indirect=["environment"],
)
def test_a_temporary_resource_that_cannot_be_removed_is_named_and_found_later(
    environment: CloudEnvironment, right: str
) -> None:
    driver, node = environment.driver(**environment.narrow), environment.node("web-1.example.com")
    with lacks(environment, right), driver.access("b1", CLIENT_KEY, [node]):
        pass
    assert list(environment.left()) != []
    for leftover in environment.driver(**environment.narrow).leftovers():
        driver.remove(leftover)
    assert environment.left() == {}


#: by cloud, the rights that a run asks for in ways that the test above does not; all others are the same code
SOME = {
    "ec2": ("ec2:CreateTags", "iam:PassRole"),
    "gce": ("iam.serviceAccounts.actAs", "compute.networks.updatePolicy"),
}
#: refused calls that hart does without, and rights that the vendor demands without a call
OPTIONAL = ("pricing:GetProducts", "actions:read", "block_storage:read")


def rights() -> list[tuple[str, str]]:
    """Return each right of the clouds with quick emulators, and some of the others."""
    found = []
    for name in CLOUDS:
        table = [right for named in whole_run.rights_of(name).by_purpose().values() for right in named]
        found += [(name, right) for right in SOME.get(name, table) if right not in OPTIONAL]
    return found


@pytest.mark.parametrize(("environment", "cloud_name", "right"), [(one[0], *one) for one in rights()],
                         indirect=["environment"])  # fmt: skip
def test_a_run_without_a_right_ends_with_an_error_that_names_it(
    environment: CloudEnvironment, cloud_name: str, right: str
) -> None:
    with lacks(environment, right):
        whole_run.run(environment, cloud_name)
