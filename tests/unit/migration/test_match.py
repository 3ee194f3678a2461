"""The match of an instance with a minion that hart did not create, and instances that belong to others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hart_salt.base.errors import Refused
from hart_salt.inventory.records import IMPORTING, Record
from hart_salt.master.keys import ACCEPTED, PENDING
from hart_salt.migration.match import ImportRequest, Known, Match, Noted, match, refuse_minion
from hart_salt.model import Candidate, Instance

OURS, THEIRS = "ab12" * 4, "cd34" * 4
ID = "db1.example.com"
REQUEST = ImportRequest(ID, "do")
THERE = Instance("7", ID, "running", region="nyc3", size="s", public_ip="203.0.113.7", private_ip="10.0.0.7")
PLAIN = Candidate(THERE, ID)
GRAINS: dict[str, Any] = {"ipv4": ["127.0.0.1", "10.0.0.7"], "ipv6": ["::1", "fe80::1"], "roles": []}
KNOWN = Known(OURS, "m", ("app", "db"), (ACCEPTED,), GRAINS, None, {})
RECORD = Record(ID, "do", "do", "nyc3", "s", "ready", OURS, "", 1.0, instance_id="7", sealed=True)
TAGGED = Candidate(THERE, ID, OURS)


def said(request: ImportRequest = REQUEST, *found: Candidate, known: Known = KNOWN) -> str:
    with pytest.raises(Refused) as caught:
        refuse_minion(request, known)
        match(request, found or [PLAIN], known)
    return str(caught.value)


def matched(request: ImportRequest = REQUEST, *found: Candidate, **known: Any) -> Match:
    refuse_minion(request, replace(KNOWN, **known))
    return match(request, found or [PLAIN], replace(KNOWN, **known))


def test_the_only_instance_with_its_name_is_the_match() -> None:
    assert matched() == Match(THERE, None, owned=False, tagged=False, done=False)


@pytest.mark.parametrize(
    ("states", "words"),
    [((), "there is no key with that id; accept its key first"), ((PENDING,), "its key is pending; accept its key")],
)
def test_a_minion_without_an_accepted_key_is_refused(states: tuple[str, ...], words: str) -> None:
    assert words in said(known=replace(KNOWN, states=states))


@pytest.mark.parametrize("minion_id", ["a*", "../x", "", "m"])
def test_an_invalid_minion_id_is_refused(minion_id: str) -> None:
    assert said(replace(REQUEST, minion_id=minion_id)).startswith(("it may", "it must", "it is the id"))


def test_a_minion_with_an_id_of_a_bake_is_refused() -> None:
    """A sweep would remove its machine if its record were lost."""
    assert said(replace(REQUEST, minion_id="hart-bake-app-0a1b2c3d")).startswith("only hart.bake makes such ids")


def test_no_match_and_several_matches_are_refused_with_a_list() -> None:
    with pytest.raises(Refused, match="do has no instance with its name; name the instance, with instance_id="):
        match(REQUEST, [], KNOWN)
    with pytest.raises(Refused, match="do in nyc3 has no instance 9"):
        match(replace(REQUEST, instance_id="9", region="nyc3"), [], KNOWN)
    second = Candidate(replace(THERE, instance_id="8", public_ip=None, state="stopped"), ID)
    assert said(REQUEST, PLAIN, second) == (
        "do has 2 possible instances: 7 (db1.example.com, nyc3, running, 203.0.113.7, 10.0.0.7), 8 "
        "(db1.example.com, nyc3, stopped, 10.0.0.7); name one of them, with instance_id="
    )


def test_an_instance_of_another_master_is_refused_and_the_master_named() -> None:
    assert f"belongs to another master of hart's, {THEIRS}" in said(REQUEST, replace(PLAIN, owner=THEIRS))


def test_the_machine_of_another_node_is_refused() -> None:
    other = Candidate(replace(THERE, minion_id="web1"), "web1", OURS)
    assert "is already this master's node web1" in said(REQUEST, other)
    assert "is the machine of the node web2" in said(known=replace(KNOWN, machines={("do", "7"): "web2"}))


@pytest.mark.parametrize("answer", [["192.0.2.1"], ["192.0.2.1", "2001:db8::1", "no address"]])
def test_a_minion_with_none_of_the_instance_s_addresses_is_on_another_machine(answer: list[str]) -> None:
    words = said(known=replace(KNOWN, grains={"ipv4": answer}))
    assert words.startswith("7 is a different machine: the minion has 192.0.2.1")
    assert words.endswith("the instance 10.0.0.7, 203.0.113.7")


@pytest.mark.parametrize("grains", [{"ipv4": ["203.0.113.7"]}, {"ipv6": ["2001:db8:0::7"]}])
def test_one_address_in_common_is_enough(grains: dict[str, Any]) -> None:
    there = replace(THERE, private_ip="2001:db8::7")
    assert matched(REQUEST, Candidate(there, ID), grains=grains).notes == []


def test_a_check_that_was_not_possible_is_reported() -> None:
    assert "does not answer" in matched(grains=None).notes[0]
    assert "no addresses are known" in matched(grains={"ipv4": ["127.0.0.1", "169.254.0.1"]}).notes[0]
    nowhere = replace(THERE, public_ip=None, private_ip=None)
    assert "no addresses are known" in matched(REQUEST, Candidate(nowhere, ID)).notes[0]


@pytest.mark.parametrize(
    ("noted", "fits"),
    [
        (Noted("9", addresses=frozenset(["10.0.0.7"])), True),
        (Noted("7", addresses=frozenset(["10.9.9.9"])), True),
        (Noted(None, addresses=frozenset(["10.9.9.9"])), True),
        (Noted("9", addresses=frozenset(["10.9.9.9"])), False),
    ],
)
def test_without_an_answer_the_notes_must_not_name_another_instance(noted: Noted, fits: bool) -> None:
    request = replace(REQUEST, noted=noted)
    if fits:
        assert matched(request, grains=None).instance == THERE
    else:
        assert "not the instance 9 of its notes" in said(request, known=replace(KNOWN, grains=None))


@pytest.mark.parametrize(
    ("wanted", "tag", "grain", "noted", "role"),
    [
        ("app", "db", ["db"], ("db",), "app"),
        (None, "db", ["app"], ("app",), "db"),
        (None, "no-longer-configured", [], (), "no-longer-configured"),
        (None, None, ["app", "something.else"], ("db",), "app"),
        (None, None, "app", (), "app"),
        (None, None, [], ("db",), "db"),
        (None, None, None, (), None),
    ],
)
def test_the_role(wanted: str | None, tag: str | None, grain: Any, noted: tuple[str, ...], role: str | None) -> None:
    found = matched(
        replace(REQUEST, role=wanted, noted=Noted(roles=noted)), Candidate(replace(THERE, role=tag), ID),
        grains={**GRAINS, "roles": grain},
    )  # fmt: skip
    assert (found.role, found.notes) == (role, [])


@pytest.mark.parametrize(("grain", "why"), [(["web"], "none of them"), (["app", "db"], "2 of these")])
def test_an_ambiguous_role_is_none_and_reported(grain: list[str], why: str) -> None:
    found = matched(grains={**GRAINS, "roles": grain})
    assert found.role is None
    assert why in found.notes[0]


def test_an_unchanged_node_is_already_imported() -> None:
    known = {"record": replace(RECORD, role="app"), "machines": {("do", "7"): ID}}
    tagged = replace(TAGGED, instance=replace(THERE, role="app"))
    for request in (REQUEST, replace(REQUEST, role="app"), replace(REQUEST, instance_id="7")):
        assert matched(request, tagged, **known).done
    # Its tags were removed or changed: they are added again, with the role that it has.
    assert matched(REQUEST, PLAIN, **known) == Match(THERE, "app", owned=False, tagged=False, done=False)
    assert matched(REQUEST, TAGGED, **known) == Match(THERE, "app", owned=True, tagged=False, done=False)


def test_a_node_with_other_facts_is_refused() -> None:
    known = replace(KNOWN, record=RECORD)
    assert "at the provider do" in said(replace(REQUEST, provider="ec2"), known=known)
    assert "with no role; an import does not change a node's role" in said(replace(REQUEST, role="app"), known=known)
    other = Candidate(replace(THERE, instance_id="8"), ID)
    assert "with the instance 7; this is 8" in said(REQUEST, other, known=known)
    assert "stopped at the stage failed" in said(known=replace(KNOWN, record=replace(RECORD, stage="failed")))


def test_an_interrupted_import_is_continued() -> None:
    cut = replace(RECORD, stage=IMPORTING)
    assert matched(REQUEST, TAGGED, record=cut) == Match(THERE, None, owned=True, tagged=True, done=False)
    again = matched(replace(REQUEST, role="app"), TAGGED, record=cut)
    assert (again.role, again.tagged, again.done) == ("app", False, False)


def test_an_instance_of_this_master_without_a_record_can_be_imported() -> None:
    found = matched(REQUEST, replace(TAGGED, instance=replace(THERE, role="app")))
    assert (found.role, found.tagged, found.done) == ("app", True, False)


def test_an_id_that_no_longer_exists_is_noted() -> None:
    assert "hart's store has the id 12345678" in matched(replace(REQUEST, noted=Noted("12345678"))).notes[0]
    assert matched(replace(REQUEST, noted=Noted("7"))).notes == []


def test_an_entry_of_hart_s_store_without_key_and_role_may_be_a_salt_master() -> None:
    unknown = replace(KNOWN, states=())
    for noted, hint in ((Noted("7"), True), (Noted("7", ("web",)), False), (None, False)):
        with pytest.raises(Refused) as refused:
            refuse_minion(replace(REQUEST, noted=noted), unknown)
        assert ("a salt-master that hart created" in str(refused.value)) == hint
