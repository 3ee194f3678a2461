"""Protected nodes: nothing of hart's destroys them, whoever says that they are protected."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import AuthError
from hart_salt.inventory import journal
from hart_salt.inventory.records import BANK, SUFFIX
from hart_salt.master.client import Master
from tests.functional import test_use_cases
from tests.functional.test_use_cases import CLOUD, Place, call, refusal

#: the fixture of a master with fake providers
place = test_use_cases.place
REMEDY = "web-1 is protected: salt-run hart.unprotect web-1 removes the protection"


def in_record(place: Place) -> None:
    place.start("web-1", protected=True)


def in_cloud(place: Place) -> None:
    place.start("web-1")
    mark(place, "web-1")


def without_record(place: Place) -> None:
    in_cloud(place)
    place.store.remove("web-1")


def with_broken_record(place: Place) -> None:
    in_cloud(place)
    Master(place.opts).cache().store(BANK, f"web-1{SUFFIX}", {"minion_id": 5})


def whole(place: Place) -> None:
    place.start("web-1")
    assert call("protect", "web-1")["web-1"] == {"result": True, "changed": True, "protected": True}


def mark(place: Place, minion_id: str) -> None:
    account = place.clouds[CLOUD].account
    account[f"i-{minion_id}"] = dataclasses.replace(account[f"i-{minion_id}"], protected=True)


#: who says that web-1 is protected
WAYS: Mapping[str, Callable[[Place], None]] = {
    "record": in_record, "cloud": in_cloud, "lost record": without_record, "broken record": with_broken_record,
    "both": whole,
}  # fmt: skip
EACH = pytest.mark.parametrize("begin", WAYS.values(), ids=WAYS)


def there(place: Place) -> list[str]:
    """Return the ids of all instances."""
    return sorted(one.minion_id for cloud in place.clouds.values() for one in cloud.account.values())


# destroy


@EACH
@pytest.mark.parametrize("test", [False, True])
def test_destroy_refuses_all_before_anything_is_done(
    place: Place,
    begin: Callable[[Place], None],
    test: bool,
) -> None:
    begin(place)
    others = [f"web-{number}" for number in range(2, 5)]
    for name in others:
        place.start(name)
    records = place.store.read().good
    for names in (["web-1"], ["web-2", "web-1"], [*others, "web-1"]):
        assert refusal(call("destroy", ",".join(names), test=test)) == REMEDY
    assert there(place) == ["web-1", *others]
    assert place.store.read().good == records
    assert "retcode" not in call("destroy", ",".join(others))


@EACH
def test_an_unprotected_node_can_be_destroyed(place: Place, begin: Callable[[Place], None]) -> None:
    begin(place)
    assert call("unprotect", "web-1")["web-1"] == {"result": True, "changed": True, "protected": False}
    assert call("unprotect", "web-1")["web-1"] == {"result": True, "changed": False, "protected": False}
    assert call("destroy", "web-1")["web-1"]["result"] is True
    assert (there(place), place.store.read().good) == ([], {})


def test_every_protected_node_is_named(place: Place) -> None:
    in_record(place)
    place.start("web-2", protected=True)
    assert refusal(call("destroy", "web-1,web-2")).splitlines() == [REMEDY, REMEDY.replace("web-1", "web-2")]


def test_a_node_is_not_destroyed_while_its_protection_cannot_be_looked_up(place: Place) -> None:
    """A provider that does not answer keeps its own nodes only."""
    in_cloud(place)
    place.start("db-1", role="db", provider="other")
    place.clouds[CLOUD].error = AuthError("the token is not valid")
    data = call("destroy", "web-1,db-1")
    assert data["db-1"]["result"] is True
    assert data["web-1"]["result"] is False
    assert data["web-1"]["error"] == (
        "nothing was done, because it is not known whether the node is protected: the token is not valid"
    )
    assert data["retcode"]
    assert there(place) == ["web-1"]


def test_a_node_that_is_protected_in_the_meantime_stays(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The record is read again once the node is locked."""
    place.start("web-1")

    def protect_late(*_: Any) -> dict[str, str]:
        place.store.put(dataclasses.replace(place.store.read().good["web-1"], protected=True))
        return {}

    monkeypatch.setattr("hart_salt.operations.protection.refuse", protect_late)
    assert call("destroy", "web-1")["web-1"]["error"] == REMEDY
    assert there(place) == ["web-1"]


# scale and replace


def test_scaling_down_takes_other_nodes(place: Place) -> None:
    for number in range(1, 4):
        place.start(f"web-{number}", created=float(number))
    mark(place, "web-3")  # the newest, which would go first
    planned = call("scale", "app", count=1, test=True)
    assert sorted(planned["destroyed"]) == ["web-1", "web-2"]
    assert sorted(call("scale", "app", count=1)["destroyed"]) == ["web-1", "web-2"]
    assert there(place) == ["web-3"]


@pytest.mark.parametrize("test", [False, True])
@pytest.mark.parametrize("remove", ["newest", "oldest", "web-1,web-2"])
def test_scaling_down_is_refused_if_too_few_nodes_can_go(place: Place, remove: str, test: bool) -> None:
    in_record(place)
    place.start("web-2")
    said = refusal(call("scale", "app", count=0, remove=remove, test=test)).splitlines()
    assert said == ["2 nodes must be removed, but only 1 of them can go", REMEDY]
    assert there(place) == ["web-1", "web-2"]


@EACH
def test_a_replacement_leaves_protected_nodes_out(place: Place, begin: Callable[[Place], None]) -> None:
    if begin is with_broken_record:
        pytest.skip("a broken record does not count for a role")
    begin(place)
    place.start("web-2")
    planned = call("replace", "app", test=True)
    assert (list(planned["destroyed"]), planned["kept"]) == (["web-2"], {"web-1": REMEDY})
    assert "retcode" not in planned
    assert len(planned["created"]) == 1


@pytest.mark.parametrize("test", [False, True])
def test_a_replacement_of_protected_nodes_only_is_refused(place: Place, test: bool) -> None:
    in_cloud(place)
    assert refusal(call("replace", "app", test=test)) == REMEDY
    assert there(place) == ["web-1"]


# sweep


def kept(data: Mapping[str, Any]) -> dict[str, str]:
    return {one["name"]: one["why"] for one in data["kept"]}


@pytest.mark.parametrize("stage", ["bootstrapping", "failed"])
def test_sweep_keeps_what_the_cloud_protects(place: Place, stage: str) -> None:
    place.present.clear()
    in_cloud(place)
    place.present.clear()
    place.store.put(dataclasses.replace(place.store.read().good["web-1"], stage=stage, sealed=False))
    data = call("sweep", grace=0)
    assert kept(data) == {"web-1": f"it was left at {stage}, but {REMEDY}"}
    assert there(place) == ["web-1"]
    call("unprotect", "web-1")
    assert [one["name"] for one in call("sweep", grace=0)["removed"]] == ["web-1"]


def test_sweep_keeps_the_record_of_a_protected_node_that_lost_its_instance(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hart_salt.inventory.misses.INTERVAL", 0)
    in_record(place)
    place.present.clear()
    place.clouds[CLOUD].account.clear()
    assert kept(call("sweep", grace=0)) == {"web-1": f"its instance is gone, but {REMEDY}"}
    assert list(place.store.read().good) == ["web-1"]
    assert call("protect", "web-1")["web-1"]["result"] is False
    assert call("unprotect", "web-1")["web-1"]["result"] is True
    assert [one["name"] for one in call("sweep", grace=0)["removed"]] == ["web-1"]


def test_a_lost_record_is_rebuilt_as_protected(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hart_salt.master.minions.Minions.shell_all", lambda self, ids, *_: dict.fromkeys(ids, (0, "")))
    without_record(place)
    data = call("sweep", grace=0)
    assert [one["name"] for one in data["rebuilt"]] == ["web-1"]
    assert place.store.read().good["web-1"].protected is True


def test_sweep_completes_the_protection_of_a_node_that_it_seals(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its call died between ready and sealed."""
    monkeypatch.setattr("hart_salt.master.minions.Minions.shell_all", lambda self, ids, *_: dict.fromkeys(ids, (0, "")))
    place.start("web-1", protected=True, sealed=False)
    assert [one["name"] for one in call("sweep", grace=0)["sealed"]] == ["web-1"]
    assert place.clouds[CLOUD].account["i-web-1"].protected is True


# the functions


def test_several_nodes_are_protected_at_once_and_repeating_changes_nothing(place: Place) -> None:
    for name in ("web-1", "web-2"):
        place.start(name)
    for changed in (True, False):
        data = call("protect", "web-1 web-2")
        assert data == dict.fromkeys(("web-1", "web-2"), {"result": True, "changed": changed, "protected": True})
    assert [one.protected for one in place.store.read().good.values()] == [True, True]
    assert [one.protected for one in place.clouds[CLOUD].account.values()] == [True, True]


def test_the_journal_says_what_was_changed(place: Place) -> None:
    place.start("web-1")
    for function in ("protect", "protect", "unprotect"):
        call(function, "web-1")
    place.clouds[CLOUD].error = AuthError("the token cannot write")
    call("protect", "web-1")
    lines = (Path(place.info.log_dir) / journal.FILE).read_bytes().splitlines()
    entries = [one for one in map(journal.parse, lines) if one is not None]
    assert [(one.action, one.result, one.error) for one in entries] == [
        ("protect", True, ""), ("unprotect", True, ""), ("protect", False, "the token cannot write"),
    ]  # fmt: skip


@pytest.mark.parametrize("function", ["protect", "unprotect"])
def test_a_plan_of_protection_changes_nothing(place: Place, function: str) -> None:
    place.start("web-1")
    place.start("web-2", protected=True)
    mark(place, "web-2")
    records, account = place.store.read().good, dict(place.clouds[CLOUD].account)
    planned = call(function, "web-1,web-2", test=True)
    other = {"web-1": "protect", "web-2": "none"} if function == "protect" else {"web-1": "none", "web-2": "unprotect"}
    assert {name: entry["action"] for name, entry in planned.items()} == other
    assert {name: entry["protected"] for name, entry in planned.items()} == {"web-1": False, "web-2": True}
    assert (place.store.read().good, place.clouds[CLOUD].account) == (records, account)


@pytest.mark.parametrize("stage", ["bootstrapping", "failed"])
def test_only_a_ready_node_can_be_protected(place: Place, stage: str) -> None:
    """A node that failed must stay removable."""
    place.start("web-1")
    place.start("web-2", stage=stage, sealed=False)
    assert "web-2 is not a ready node" in refusal(call("protect", "web-1,web-2"))
    assert [one.protected for one in place.store.read().good.values()] == [False, False]


def test_a_failure_of_one_node_does_not_affect_the_others_and_leaves_it_protected(place: Place) -> None:
    place.start("web-1")
    place.start("db-1", role="db", provider="other")
    place.clouds[CLOUD].error = AuthError("the token cannot write")
    data = call("protect", "web-1,db-1")
    assert (data["db-1"]["result"], data["web-1"]["result"]) == (True, False)
    assert data["web-1"]["error"] == "the token cannot write"
    assert data["retcode"]
    data = call("unprotect", "web-1")
    assert data["web-1"]["result"] is False


def test_a_change_that_fails_half_way_leaves_the_node_protected(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.start("web-1", protected=True)
    mark(place, "web-1")
    place.start("web-2")

    def refuse(*_: Any, **__: Any) -> None:
        raise AuthError("the token cannot write")

    monkeypatch.setattr(place.clouds[CLOUD], "protect", refuse)
    for function, name in (("unprotect", "web-1"), ("protect", "web-2")):
        assert call(function, name)[name] == {"result": False, "error": "the token cannot write"}
        assert place.store.read().good[name].protected is True, function


def test_a_node_on_which_another_call_works_is_refused(place: Place) -> None:
    from hart_salt.inventory.flocks import FileLocks

    place.start("web-1")
    with FileLocks(place.info.cachedir).claim("web-1"):
        assert "is being worked on" in call("protect", "web-1")["web-1"]["error"]
    assert place.clouds[CLOUD].account["i-web-1"].protected is False


@pytest.mark.parametrize("function", ["protect", "unprotect"])
def test_wrong_arguments_are_refused(place: Place, function: str) -> None:
    assert f"hart.{function} needs an id" in refusal(call(function))
    assert "did you mean test?" in refusal(call(function, "web-1", tset=True))
    assert "web-9" in refusal(call(function, "web-9"))


# lists


@pytest.mark.parametrize("begin", [in_record, in_cloud])
def test_lists_show_protection_and_what_differs(place: Place, begin: Callable[[Place], None]) -> None:
    begin(place)
    place.start("web-2")
    for entry in (call("list_minions")["web-1"], call("show", "web-1")):
        assert entry["protected"] is True
        where = "its record" if begin is in_record else f"the provider {CLOUD}"
        assert entry["note"].startswith(
            f"only {where} says that it is protected, which is enough: salt-run hart.protect"
        )
    call("protect", "web-1")
    listed = call("list_minions")
    assert (listed["web-1"]["protected"], listed["web-2"]["protected"]) == (True, False)
    assert "note" not in listed["web-1"]
