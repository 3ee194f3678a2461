"""Which notices of interruptions are believed, and which node each of them is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hart_salt.base.errors import AuthError
from hart_salt.fleets.interruptions import MOST_NOTES, NEAR, Notice, ask, at_providers, look
from hart_salt.inventory.identity import Found
from hart_salt.master.minions import Call, Returned
from hart_salt.model import Instance
from tests.unit.fleets.test_measure import Minions

NOW = 1_796_040_000.0  # 2026-11-30T12:00:00Z
TIME = "2026-11-30T12:02:00Z"
EC2 = {"notice": True, "action": "terminate", "time": TIME, "source": "ec2"}
GCE = {"notice": True, "action": "terminate", "within": 30, "source": "gce"}


def test_all_minions_are_asked_in_one_job() -> None:
    minions = Minions({"a": [EC2], "b": [GCE], "c": [{"notice": False}]})
    found = ask(minions, ["a", "b", "c", "silent"], NOW)
    assert found.found == {"a": Notice(NOW + 120, "terminate", "ec2"), "b": Notice(NOW + 30, "terminate", "gce")}
    assert found.notes == ()
    assert minions.asked == [(["a", "b", "c", "silent"], [Call("hart.interruption")], 10.0)]


def test_without_nodes_nobody_is_asked() -> None:
    minions = Minions({})
    assert ask(minions, [], NOW).found == {}
    assert minions.asked == []


def test_an_answer_decides_for_its_own_minion_only() -> None:
    """The master attributes answers; what an answer says about others, or a minion that nobody asked, is nothing."""
    minions = Minions({"liar": [{**EC2, "id": "victim", "minion_id": "victim"}], "other": [EC2]})
    assert list(ask(minions, ["liar", "victim"], NOW).found) == ["liar"]


NOT_BELIEVED: Sequence[Mapping[str, Any]] = [
    {**EC2, "time": "2027-11-30T12:02:00Z"},
    {**EC2, "time": "2026-11-30T10:00:00Z"},
    {**EC2, "time": "2026-02-31T12:00:00Z"},
    {**EC2, "time": "tomorrow"},
    {**EC2, "time": f"{TIME}\n"},
    {**EC2, "time": NOW + 60},
    {**EC2, "time": ["2026"]},
    {**EC2, "time": "2" * 10**6},
    {**EC2, "action": "explode"},
    {**EC2, "action": ["terminate"]},
    {**EC2, "source": "api"},
    {**EC2, "source": {}},
    {"notice": True},
    {**GCE, "within": -1},
    {**GCE, "within": NEAR + 1},
    {**GCE, "within": True},
    {**GCE, "within": float("nan")},
    {**GCE, "within": 10**400},
]


@pytest.mark.parametrize("answer", NOT_BELIEVED, ids=lambda one: str(one)[:60])
def test_a_notice_that_no_provider_gives_is_a_note(answer: Mapping[str, Any]) -> None:
    found = ask(Minions({"a": [answer]}), ["a"], NOW)
    assert found.found == {}
    assert found.notes == ("a answered hart.interruption with a notice that is not believed",)


@pytest.mark.parametrize("notice", [False, None, 1, "True", [True], {}])
def test_only_true_is_a_notice(notice: Any) -> None:
    assert ask(Minions({"a": [{**EC2, "notice": notice}]}), ["a"], NOW) == ask(Minions({}), [], NOW)


def test_a_minion_without_the_module_is_a_note_with_what_to_do() -> None:
    found = ask(Minions({"a": [Returned("'hart.interruption' is not available.", False)]}), ["a"], NOW)
    assert found.notes == (
        "a did not run hart.interruption: 'hart.interruption' is not available.; see salt-run saltutil.sync_modules",
    )


def test_the_notice_of_a_function_that_failed_does_not_count() -> None:
    assert ask(Minions({"a": [Returned(EC2, False)]}), ["a"], NOW).found == {}


def test_metadata_that_cannot_be_read_are_a_note() -> None:
    answer = {"notice": False, "source": "ec2", "error": "the metadata cannot be read: TimeoutError"}
    found = ask(Minions({"a": [answer]}), ["a"], NOW)
    assert found.notes == ("a answered for hart.interruption: the metadata cannot be read: TimeoutError",)


def test_huge_answers_and_many_wrong_ones_make_short_notes() -> None:
    names = [f"n{number}" for number in range(50)]
    found = ask(Minions({name: [Returned("x\n" * 10**6, False)] for name in names}), names, NOW)
    assert len(found.notes) == MOST_NOTES + 1
    assert found.notes[-1] == "45 more nodes gave no usable answer to hart.interruption"
    assert all(len(note) < 400 and "\n" not in note for note in found.notes)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("notice", "action", "time", "within", "source", "error"), ANYTHING)
)


@given(ANYTHING | FIELDS | FIELDS.map(lambda more: {**EC2, **more}), st.booleans())
def test_no_answer_is_an_error_and_every_believed_notice_is_near(answer: Any, ok: bool) -> None:
    for notice in ask(Minions({"a": [Returned(answer, ok)]}), ["a"], NOW).found.values():
        assert abs(notice.ends - NOW) <= NEAR


# the provider's API


class Driver:
    """A driver with these notices."""

    def __init__(self, ends: Mapping[str, float | None] | Exception) -> None:
        self.ends = ends
        self.asked: list[list[str]] = []

    def interruptions(self, instances: Sequence[Instance]) -> Mapping[str, float | None]:
        self.asked.append([one.instance_id for one in instances])
        if isinstance(self.ends, Exception):
            raise self.ends
        return self.ends


class Provider:
    def __init__(self, name: str) -> None:
        self.name = name


def found(minion_id: str, provider: str = "ec2", spot: bool = True) -> Found:
    of: Any = Provider(provider)
    return Found(Instance(f"i-{minion_id}", minion_id, "running", spot=spot), of)


def drivers(**known: Mapping[str, float | None] | Exception) -> tuple[Any, dict[str, Driver]]:
    made = {name: Driver(ends) for name, ends in known.items()}
    return made.__getitem__, made


def test_each_provider_is_asked_once_for_its_own_instances() -> None:
    driver, made = drivers(ec2={"i-a": NOW + 100, "i-elsewhere": NOW}, gce={"i-c": None})
    notices = at_providers(driver, [found("a"), found("b"), found("c", "gce")], NOW)
    assert notices.found == {"a": Notice(NOW + 100, "terminate", "api"), "c": Notice(NOW, "terminate", "api")}
    assert (made["ec2"].asked, made["gce"].asked) == ([["i-a", "i-b"]], [["i-c"]])


def test_an_api_that_refuses_is_a_note_and_the_others_are_asked() -> None:
    driver, _ = drivers(ec2=AuthError("not authorized"), gce={"i-c": None})
    notices = at_providers(driver, [found("a"), found("c", "gce")], NOW)
    assert list(notices.found) == ["c"]
    assert notices.notes == ("ec2: notices of interruptions cannot be read at the API: not authorized",)


# both


def test_of_two_notices_the_one_that_ends_the_node_first_counts() -> None:
    driver, _ = drivers(ec2={"i-a": NOW + 119, "i-b": NOW + 60})
    notices = look(Minions({"a": [GCE], "b": [EC2]}), driver, [found("a"), found("b")], {"a", "b"}, NOW)
    assert {name: one.source for name, one in notices.found.items()} == {"a": "gce", "b": "api"}


def test_only_spot_nodes_are_looked_at_and_only_present_minions_are_asked() -> None:
    driver, made = drivers(ec2={})
    minions = Minions({})
    look(minions, driver, [found("a"), found("plain", spot=False), found("silent")], {"a", "plain"}, NOW)
    assert [asked[0] for asked in minions.asked] == [["a"]]
    assert made["ec2"].asked == [["i-a", "i-silent"]]


def test_without_spot_nodes_nobody_is_asked() -> None:
    driver, made = drivers(ec2={})
    minions = Minions({})
    assert look(minions, driver, [found("plain", spot=False)], {"plain"}, NOW).found == {}
    assert (minions.asked, made["ec2"].asked) == ([], [])
