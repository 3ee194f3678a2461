"""The capabilities of a driver are the classes that it mixes in; the reference shows them."""

from __future__ import annotations

import pytest

from hart_salt import drivers
from hart_salt.drivers.capabilities import (
    CAPABILITIES,
    AddressSupport,
    AdoptionSupport,
    PowerSupport,
    ResizeSupport,
    SnapshotSupport,
    SpotSupport,
    TagSupport,
)
from hart_salt.drivers.contract import Driver

#: the verbs of ``Driver`` that only some drivers have, by capability
VERBS = {
    AddressSupport: ("addresses", "find_address", "add_address", "remove_address"),
    AdoptionSupport: ("candidates", "adopt", "release"),
    PowerSupport: ("power_on", "power_off", "reboot"),
    ResizeSupport: ("resize_objections", "resize"),
    SnapshotSupport: ("make_image", "baked_images", "finish_image", "delete_image"),
    SpotSupport: ("interruptions",),
    TagSupport: ("tag_objections", "user_tags", "set_tags"),
}


def overrides(cls: type[Driver], verb: str) -> bool:
    return getattr(cls, verb) is not getattr(Driver, verb)


def test_every_capability_is_in_the_table() -> None:
    assert set(CAPABILITIES) == set(VERBS)


@pytest.mark.parametrize("name", drivers.OWN)
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_a_driver_has_all_verbs_of_what_it_mixes_in_and_none_of_the_rest(name: str, capability: type[Driver]) -> None:
    cls = drivers.driver_class(name)
    assert {overrides(cls, verb) for verb in VERBS[capability]} == {issubclass(cls, capability)}


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_who_mixes_one_in_has_to_do_all_of_it(capability: type[Driver]) -> None:
    """A missing verb is an error when the driver is made, not at its first call."""
    left_open = set(capability.__abstractmethods__) - set(Driver.__abstractmethods__)
    assert left_open == (set(VERBS[capability]) if capability is not AddressSupport else set())


def test_which_of_our_drivers_can_what() -> None:
    addresses, adoption, power, resize, snapshots, spot, tags = map(set, drivers.supported().values())
    assert addresses >= {"do", "vultr"}
    assert not addresses & {"ec2", "gce", "local"}
    assert adoption == resize == tags == set(drivers.OWN) - {"local"}
    assert power == set(drivers.OWN)
    assert snapshots <= set(drivers.OWN)
    assert spot == {"ec2", "gce"}


def test_each_says_in_a_sentence_what_it_is_for() -> None:
    sentences = list(drivers.supported())
    assert len(sentences) == len(CAPABILITIES)
    assert [one for one in sentences if "``hart." not in one or not one.endswith(".") or "\n" in one] == []
