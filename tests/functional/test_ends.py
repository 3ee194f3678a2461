"""Nodes that end by themselves, and nodes that have drifted, from the runner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from hart_salt.base.errors import AuthError, NotFound
from hart_salt.model import Instance
from hart_salt.service import Service
from tests.functional import test_reactor_jobs, test_use_cases
from tests.functional.test_use_cases import CLOUD, Cloud, Place, call, refusal

place = test_use_cases.place  # the fixtures
begun = test_reactor_jobs.begun
END = 4_000_000_000.0
WRITTEN, LATER = "2096-10-02T07:06:40+00:00", "2096-10-02T11:06:40+00:00"


@pytest.fixture(autouse=True)
def tags(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the fake provider keep ends."""

    def set_end(self: Cloud, instance: Instance, ends: float | None) -> None:
        if self.error:
            raise self.error
        if instance.instance_id not in self.account:
            raise NotFound("it is gone")
        self.account[instance.instance_id] = replace(self.account[instance.instance_id], ends=ends)

    monkeypatch.setattr(Cloud, "set_end", set_end)


def ends(place: Place, minion_id: str) -> tuple[float | None, float | None]:
    record = place.store.get(minion_id)
    assert record is not None
    return record.ends, place.clouds[record.provider].account[f"i-{minion_id}"].ends


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        (("web-1,web-2", "4h"), {}),
        (("web-1", "web-2", "4h"), {}),
        (("web-1 web-2", 14400), {}),
        (("web-1", "web-2"), {"duration": "4h"}),
        ((["web-1", "web-2"],), {"duration": "4h"}),
        ((["web-1", "web-2"], "240m"), {}),
    ],
)
def test_several_nodes_are_extended(place: Place, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
    for name in ("web-1", "web-2", "web-3"):
        place.start(name, ends=END)
    planned = call("extend", *arguments, **keywords, test=True)
    assert {name: (it["action"], it["ends"]) for name, it in planned.items()} == {
        "web-1": ("extend", LATER), "web-2": ("extend", LATER),
    }  # fmt: skip
    assert ends(place, "web-1") == (END, None)
    data = call("extend", *arguments, **keywords)
    assert {name: (it["changed"], it["before"], it["ends"]) for name, it in data.items()} == {
        "web-1": (True, WRITTEN, LATER), "web-2": (True, WRITTEN, LATER),
    }  # fmt: skip
    assert ends(place, "web-1") == ends(place, "web-2") == (END + 14400,) * 2
    assert ends(place, "web-3") == (END, None)


def test_never_removes_the_end(place: Place) -> None:
    place.start("web-1", ends=END)
    assert call("extend", "web-1", "Never")["web-1"]["ends"] is None
    assert ends(place, "web-1") == (None, None)
    assert call("extend", "web-1", "never")["web-1"]["changed"] is False


def test_a_node_without_an_end_refuses_the_whole_call(place: Place) -> None:
    place.start("web-1", ends=END)
    place.start("web-2")
    said = refusal(call("extend", "web-1,web-2", "4h"))
    assert said == (
        "web-2: it has no end that could be extended: only a node that was created with the setting ttl has one"
    )
    assert ends(place, "web-1") == (END, None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "hart.extend needs an id"),
        (("web-1",), "hart.extend ID DURATION: the duration must be a length of time such as 30d, 8h"),
        (("web-1", "web-2"), "hart.extend ID DURATION: the duration must be a length of time"),
        (("web-1", "0h"), "the duration must be longer than 0"),
        (("web-1", "-4h"), "must be a length of time"),
        (("web-1", True), "must be a length of time"),
        (("web-9", "4h"), "web-9: is not known"),
    ],
)
def test_a_wrong_argument_is_refused_with_a_sentence(place: Place, arguments: tuple[Any, ...], said: str) -> None:
    place.start("web-1", ends=END)
    assert said in refusal(call("extend", *arguments))
    assert ends(place, "web-1") == (END, None)


def test_a_reactor_s_call_names_the_duration(place: Place, begun: list[tuple[str, Mapping[str, Any]]]) -> None:
    call("extend", "web-1", "web-2", "4h")
    call("extend", "web-1", duration="never")
    assert [{name: it[name] for name in ("minion_id", "duration")} for _, it in begun] == [
        {"minion_id": ["web-1", "web-2"], "duration": "4h"}, {"minion_id": "web-1", "duration": "never"},
    ]  # fmt: skip


def test_a_provider_that_fails_changes_no_record(place: Place) -> None:
    place.start("web-1", ends=END)
    place.clouds[CLOUD].error = AuthError("the token is not valid")
    assert "the token is not valid" in refusal(call("extend", "web-1", "4h"))
    place.clouds[CLOUD].error = None
    assert ends(place, "web-1") == (END, None)


# lists


def test_lists_show_ends_and_sort_by_them(place: Place) -> None:
    place.start("web-1", ends=END)
    place.start("web-2")
    place.start("web-3", ends=END - 14400)
    account = place.clouds[CLOUD].account
    account["i-web-3"] = replace(account["i-web-3"], ends=END - 7200)
    listed = call("list_minions", sort="ends")
    assert [(name, it["ends"]) for name, it in listed.items()] == [
        ("web-3", "2096-10-02T05:06:40+00:00"), ("web-1", WRITTEN), ("web-2", None),
    ]  # fmt: skip
    assert list(call("list_minions", sort="-ends")) == ["web-1", "web-3", "web-2"]
    assert call("show", "web-1")["ends"] == WRITTEN


def test_a_lost_record_has_its_end_and_its_digest_again(place: Place) -> None:
    place.start("web-1")
    account = place.clouds[CLOUD].account
    account["i-web-1"] = replace(account["i-web-1"], ends=END, digest=digest_of(place, "app"))
    place.store.remove("web-1")
    entry = call("list_minions")["web-1"]
    assert (entry["status"], entry["ends"], entry["drifted"]) == ("no record", WRITTEN, [])
    call("scale", "app", count=1)
    record = place.store.get("web-1")
    assert record is not None
    assert (record.ends, record.digest) == (END, digest_of(place, "app"))


def test_a_plan_says_when_new_nodes_end(place: Place) -> None:
    before = datetime.now(timezone.utc).timestamp()
    planned = call("create_role", "app", ttl="8h", test=True)
    (entry,) = (it for it in planned.values() if isinstance(it, dict))
    assert 0 <= datetime.fromisoformat(entry["ends"]).timestamp() - before - 8 * 3600 < 600
    (entry,) = (it for it in call("create_role", "app", test=True).values() if isinstance(it, dict))
    assert "ends" not in entry
    said = "argument:ttl: must be a length of time such as 30d, 8h, 10m, 45s or 1h30m"
    assert refusal(call("create_role", "app", ttl="soon")) == said


# drift


def digest_of(place: Place, role: str, **settings: Any) -> str:
    service = Service(place.opts)
    return service.offers.example(role, None, "here", settings).digest


def test_lists_show_which_parts_of_a_node_differ(place: Place) -> None:
    place.start("web-1", digest=digest_of(place, "app"))
    place.start("web-2", digest=digest_of(place, "app", image="bookworm", script="/srv/setup.sh"))
    place.start("web-3", digest=digest_of(place, "app", size="big"), size="big")
    account = place.clouds[CLOUD].account
    account["i-web-3"] = replace(account["i-web-3"], size="big")
    place.start("web-4")
    place.start("db-1", role="gone", provider="other", digest=digest_of(place, "db"))
    place.accept("other-1")
    listed = call("list_minions")
    assert {name: it["drifted"] for name, it in listed.items()} == {
        "web-1": [], "web-2": ["image", "settings"], "web-3": ["size"], "web-4": None, "db-1": None, "other-1": None,
    }  # fmt: skip
    assert call("show", "web-2")["drifted"] == ["image", "settings"]
    assert call("show", "web-4")["drifted"] is None
    hart = place.opts["hart"]
    hart["roles"]["app"] = {**hart["roles"]["app"], "size": "big"}
    assert {name: it["drifted"] for name, it in call("list_minions", role="app").items()} == {
        "web-1": ["size"], "web-2": ["size", "image", "settings"], "web-3": [], "web-4": None,
    }  # fmt: skip


def test_a_role_with_a_fault_has_no_drift_and_the_list_no_error(place: Place) -> None:
    place.start("web-1", digest=digest_of(place, "app"))
    del place.opts["hart"]["roles"]["app"]
    data = call("list_minions")
    assert data["web-1"]["drifted"] is None
    assert "retcode" not in data
