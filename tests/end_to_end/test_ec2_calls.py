"""EC2 with the real commands: its calls, zones, groups, plans and lists; the machines are light ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from saltfactories.manager import FactoriesManager

from hart_salt.drivers.ec2.driver import Ec2
from tests.drivers.ec2.in_tables import CLOUD
from tests.emulation.emulator import Call
from tests.end_to_end import light_cloud
from tests.end_to_end.light_cloud import LightCloud, nodes_of
from tests.end_to_end.runs import side_by_side

_missing = light_cloud.missing()
pytestmark = pytest.mark.skipif(bool(_missing), reason=_missing)

NUMBERS = (1, 3, 10)
#: seconds until an instance runs: enough for a few lists
ACTIVE_AFTER = 5.0


@pytest.fixture(scope="module")
def opened(factories: FactoriesManager) -> Iterator[LightCloud]:
    with light_cloud.light_cloud(factories, CLOUD) as opened:
        yield opened


@pytest.fixture
def light(opened: LightCloud) -> Iterator[LightCloud]:
    yield opened
    opened.forget()


def region(light: LightCloud) -> Any:
    cloud: Any = light.cloud
    return cloud.region()


def destroyed(light: LightCloud, *minion_ids: str) -> None:
    assert light.master.run("hart.destroy", ",".join(minion_ids)).code == 0


def _kinds(calls: Sequence[Call]) -> Counter[str]:
    return Counter(call.text.partition("&")[0].removeprefix("Action=") for call in calls)


def test_the_calls_per_instance_do_not_grow_with_their_number(
    light: LightCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    fixed, lines = [], []
    light.create("test=True")  # which asks for the price, once a week
    for number in NUMBERS:
        light.configure(boot_timeout=60)
        light.cloud.switches().active_after = ACTIVE_AFTER
        before = len(light.cloud.calls)
        ran = light.create(f"count={number}")
        assert (ran.code, len(nodes_of(ran))) == (0, number), ran
        calls = light.calls_since(before)
        up = _kinds(calls)
        first = next(place for place, call in enumerate(calls) if "Action=RunInstances&" in call.text)
        looks = [call.time for call in calls[first:] if "Action=DescribeInstances&" in call.text]
        gaps = [later - earlier for earlier, later in zip(looks, looks[1:], strict=False)]
        assert looks
        assert [gap for gap in gaps if gap < Ec2.poll_interval - 0.5] == []
        assert {machine.connections for machine in light.machines.machines} == {1}
        before = len(light.cloud.calls)
        destroyed(light, *nodes_of(ran))
        # One look at each instance, for the volumes that stay when it goes, and one at all, for their protection.
        assert _kinds(light.calls_since(before)) == {"TerminateInstances": number, "DescribeInstances": number + 1}
        assert light.left() == {}
        assert (up.pop("RunInstances"), up.pop("ModifyInstanceAttribute")) == (number, number)
        # A call for several looks up the account's quota and its instances first.
        quota = number > 1
        up["DescribeInstances"] -= len(looks) + quota
        assert up.pop('{"ServiceCode": "ec2", "QuotaCode": "L-1216C47A"}', 0) == quota
        fixed.append(up)
        lines.append(f"{number:>3} instances: {len(calls)} calls up, of them 2 for each, and {len(looks)} looks")
    light_cloud.assert_alike(fixed, lines, capsys)


def test_nodes_are_spread_over_the_zones(light: LightCloud) -> None:
    first = light.create("count=1", "zone=eu-west-1b")
    ran = light.create("count=5", "zone=distributed")
    assert (first.code, ran.code) == (0, 0), ran
    zones = Counter(entry["zone"] for entry in [*nodes_of(first).values(), *nodes_of(ran).values()])
    assert zones == {"eu-west-1a": 2, "eu-west-1b": 2, "eu-west-1c": 2}
    refused = light.create("zone=eu-west-1x")
    assert refused.code == 2
    error = refused.data["error"]
    assert "no zone eu-west-1x, did you mean eu-west-1" in error
    assert "; salt-run hart.list_regions shows them: eu-west-1a, eu-west-1b" in error


def test_afterwards_a_node_has_only_the_groups_of_its_role(light: LightCloud) -> None:
    vpc = region(light).default_vpc.id
    groups = [region(light).create_security_group(name, "a test's", vpc).id for name in ("web", "db")]
    light.configure(security_groups=groups)
    ran = light.create()
    assert ran.code == 0, ran
    (instance,) = (it for one in region(light).reservations.values() for it in one.instances)
    assert sorted(group.id for group in instance.nics[0].group_set) == sorted(groups)
    assert light.left()["security groups"] == ["db", "web"]


def test_a_plan_has_the_price_and_changes_nothing(light: LightCloud) -> None:
    before = len(light.cloud.calls)
    ran = light.create("test=True", "count=2")
    assert ran.code == 0, ran
    prices = {entry.get("monthly_price") for entry in ran.data.values() if isinstance(entry, dict)}
    assert 8.32 in prices, ran.data
    changes = ("Run", "Create", "Authorize", "Modify", "Delete", "Terminate")
    assert [name for name in _kinds(light.calls_since(before)) if name.startswith(changes)] == []


def test_all_mistakes_are_refused_before_anything_is_created(light: LightCloud) -> None:
    light.configure(tags={"aws:x": "1"}, security_groups=["sg-00000000"])
    ran = light.create("image=nothing")
    assert ran.code == 2
    lines = ran.data["error"].splitlines()
    assert [sum(words in line for line in lines) for words in ("aws:x", "sg-00000000", "image nothing")] == [1, 1, 1]
    assert light.left() == {}


def test_functions_for_people(light: LightCloud) -> None:
    where = f"provider={light.provider}"
    regions, sizes, images, check = side_by_side(
        light.master,
        [("hart.list_regions", where), ("hart.list_sizes", where), ("hart.list_images", where), ("hart.check",)],
    )
    assert regions.data["eu-west-1"]["zones"] == ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
    assert regions.data["me-central-1"]["available"] is False
    assert list(sizes.data)[0] == "t4g.micro", "the cheapest first"
    assert list(sizes.data)[-1] == "mac1.metal", "those without a known price last"
    assert sizes.data["m1.small"]["description"].endswith("not of the current generation")
    assert {"bookworm", "trixie", "jammy", "noble", "resolute"} <= set(images.data)
    assert check.data[light.provider].startswith("ok: account ")
