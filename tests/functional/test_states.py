"""The states of orchestrations, with the functions of the runner, on a master with a fake provider."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import salt.loader

from hart_salt.master.minions import Minions
from hart_salt.runners import hart as runner
from hart_salt.states import hart as states
from tests.functional import test_use_cases
from tests.functional.test_use_cases import CLOUD, Place

place = test_use_cases.place


@pytest.fixture(autouse=True)
def calls(place: Place, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What Salt adds to the states; their calls of the runner are listed."""
    made: list[tuple[str, dict[str, Any]]] = []

    def run(name: str, kwarg: dict[str, Any], full_return: bool, **own: Any) -> dict[str, Any]:
        assert own == {"__pub_user": "admin", "__orchestration_jid__": "20260101"}
        made.append((name, kwarg))
        function: Callable[..., Any] = getattr(runner, name.removeprefix("hart."))
        return {"return": function(**kwarg, __pub_user="admin"), "success": True, "jid": "1"}

    values = {
        "__opts__": {**place.opts, "__role": "master", "test": False}, "__salt__": {"saltutil.runner": run},
        "__user__": "admin", "__orchestration_jid__": "20260101",
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setattr(states, name, value, raising=False)
    monkeypatch.setattr("hart_salt.inventory.misses.INTERVAL", 0)
    return made


def test_nodes_that_are_ready_stay_and_the_others_are_created(
    place: Place, calls: list[tuple[str, dict[str, Any]]]
) -> None:
    place.start("one")
    place.start("two")
    assert states.present("one", role="app") == {
        "name": "one",
        "result": True,
        "changes": {},
        "comment": "one is ready",
    }
    outcome = states.present("nodes", ids="one, two", provider=CLOUD)
    assert (outcome["result"], outcome["comment"], calls) == (True, "one, two are ready", [])
    outcome = states.present("nodes", ids=["one", "three"], role="app", size="small")
    assert (outcome["result"], outcome["changes"]) == (False, {})
    assert "three: the account may have 0 instances" in outcome["comment"]
    assert calls == [("hart.create", {"role": "app", "size": "small", "minion_id": ["three"]})]


@pytest.mark.parametrize("as_argument", [False, True])
def test_in_test_mode_the_runner_plans(
    place: Place, calls: list[tuple[str, dict[str, Any]]], as_argument: bool
) -> None:
    states.__opts__["test"] = not as_argument
    outcome = states.present("three", role="app", test=as_argument)
    assert (outcome["result"], outcome["comment"]) == (None, "three would be created")
    plan = outcome["changes"]["created"]["three"]
    assert (plan["provider"], plan["size"], plan["monthly_price"]) == (CLOUD, "small", 5.0)
    assert calls == [("hart.create", {"role": "app", "minion_id": ["three"], "test": True})]
    place.start("one")
    outcome = states.absent("one", test=as_argument)
    assert (outcome["result"], list(outcome["changes"]["destroyed"])) == (None, ["one"])
    outcome = states.scaled("app", count=3, test=as_argument)
    assert (outcome["result"], outcome["changes"]["nodes"]) == (None, {"old": 1, "new": 3})
    assert list(place.clouds[CLOUD].account) == ["i-one"]


def test_a_node_whose_instance_is_gone_is_created_again(place: Place, calls: list[tuple[str, dict[str, Any]]]) -> None:
    place.start("one")
    place.clouds[CLOUD].account.clear()
    outcome = states.present("one", role="app")
    assert "the account may have 0 instances" in outcome["comment"]
    assert [name for name, _ in calls] == ["hart.destroy", "hart.create"]
    assert place.store.get("one") is None


def test_a_node_that_one_list_misses_is_not_destroyed(
    place: Place, calls: list[tuple[str, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    place.start("one")
    place.start("two")
    cloud = place.clouds[CLOUD]
    lists = [[cloud.account["i-one"]]]
    monkeypatch.setattr(cloud, "instances", lambda region=None: lists.pop() if lists else list(cloud.account.values()))
    outcome = states.present("nodes", ids=["one", "two"])
    assert (outcome["result"], outcome["changes"], calls) == (True, {}, [])


def test_only_the_minions_of_the_state_are_pinged(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def nobody(self: Minions, ids: Sequence[str]) -> frozenset[str]:
        asked.extend(ids)
        return frozenset()

    monkeypatch.setattr(Minions, "present", nobody)
    for minion_id in ("one", "two", "three"):
        place.start(minion_id)
    outcome = states.present("nodes", ids=["one", "two"])
    assert outcome["comment"].count("exists and is not ready, but unreachable") == 2
    assert sorted(asked) == ["one", "two"]


def test_nodes_are_destroyed_once(place: Place) -> None:
    place.start("one")
    outcome = states.absent("one")
    assert (outcome["result"], outcome["comment"]) == (True, "destroyed: one")
    assert outcome["changes"]["destroyed"]["one"]["instance_id"] == "i-one"
    assert states.absent("one") == {"name": "one", "result": True, "changes": {}, "comment": "one is absent"}


def test_a_role_keeps_to_its_bounds(place: Place) -> None:
    for minion_id in ("one", "two", "three"):
        place.start(minion_id)
    assert states.scaled("app", min=1, max=3)["changes"] == {}
    outcome = states.scaled("the fleet", role="app", min=1, max=2)
    assert (outcome["result"], outcome["changes"]["nodes"]) == (True, {"old": 3, "new": 2})
    assert len(outcome["changes"]["destroyed"]) == 1


@pytest.fixture
def web(place: Place) -> Place:
    place.opts["hart"]["fleets"] = {"web": {"role": "app", "provider": CLOUD, "count": 2}}
    for minion_id in ("one", "two", "three"):
        place.start(minion_id)
    return place


def test_a_fleet_gets_what_it_declares(web: Place, calls: list[tuple[str, dict[str, Any]]]) -> None:
    outcome = states.fleet("web", test=True)
    assert (outcome["result"], outcome["comment"]) == (None, "web would change: 1 node to destroy")
    assert [one["action"] for one in outcome["changes"]["planned"]["web"]] == ["destroy"]
    outcome = states.fleet("the web", fleets=["web"])
    assert (outcome["result"], len(outcome["changes"]["destroyed"])) == (True, 1)
    assert calls == [
        ("hart.apply", {"fleet": ["web"], "test": True}),
        ("hart.apply", {"fleet": ["web"]}),
    ]
    outcome = states.fleet("web")
    assert (outcome["result"], outcome["changes"]) == (True, {})
    assert outcome["comment"] == "web is steady, 2 of 2 nodes ready"


@pytest.mark.parametrize("test", [False, True])
def test_a_fleet_that_would_lose_too_much_is_held_unless_it_is_forced(web: Place, test: bool) -> None:
    web.opts["hart"]["fleets"]["web"]["count"] = 0
    outcome = states.fleet("web", test=test)
    assert (outcome["result"], outcome["changes"]) == (False, {})
    assert "3 of 3 nodes would be removed, more than half: salt-run hart.apply web force=True" in outcome["comment"]
    outcome = states.fleet("web", force=True, test=test)
    assert outcome["result"] is (None if test else True)
    assert len(web.clouds[CLOUD].account) == (3 if test else 0)


def test_a_fleet_that_somebody_holds_is_not_changed(web: Place) -> None:
    assert runner.hold("web")["fleets"]["web"]["result"]
    outcome = states.fleet("web")
    assert (outcome["result"], outcome["changes"]) == (False, {})
    assert "web: held" in outcome["comment"]
    assert len(web.clouds[CLOUD].account) == 3


@pytest.mark.parametrize(
    ("state", "given", "comment"),
    [
        ("fleet", {"name": "wbe"}, "there is no fleet wbe, did you mean web?"),
        ("fleet", {"name": "web", "fleets": []}, "hart.fleet needs a fleet"),
        ("fleet", {"name": "web", "force": "perhaps"}, "force must be True or False"),
        ("fleet", {"name": "web", "forec": True}, "unknown argument: forec; did you mean force?"),
        ("present", {"name": "a/b"}, "a/b: may hold only"),
        ("present", {"name": "a", "ids": []}, "needs an id"),
        ("present", {"name": "a", "szie": "big", "role": "app"}, "argument:szie: unknown setting, did you mean size?"),
        ("present", {"name": "a", "size": "bgi", "provider": CLOUD, "region": "here"}, "did you mean big?"),
        ("present", {"name": "a", "role": ["app"]}, "role must be a name"),
        ("present", {"name": "a", "config": "/nowhere.toml"}, "/nowhere.toml"),
        ("present", {"name": "a", "test": "perhaps"}, "test must be True or False"),
        ("absent", {"name": "a", "roel": "app"}, "unknown argument: roel"),
        ("absent", {"name": "a/b"}, "a/b: may hold only"),
        ("scaled", {"name": "nope", "count": 1}, "there is no role nope"),
        ("scaled", {"name": "app"}, "set count"),
        ("scaled", {"name": "app", "count": "many"}, "count must be a whole number"),
    ],
)
def test_a_mistake_is_one_sentence_in_the_comment(
    place: Place, state: str, given: dict[str, Any], comment: str
) -> None:  # fmt: skip
    place.opts["hart"]["fleets"] = {"web": {"role": "app", "provider": CLOUD, "count": 2}}
    outcome = getattr(states, state)(**given)
    assert (outcome["result"], outcome["changes"]) == (False, {})
    assert comment in outcome["comment"]
    assert "Traceback" not in outcome["comment"]


@pytest.mark.parametrize("error", [KeyError("a token"), OSError("a token")])
def test_an_unforeseen_error_is_reported_without_its_text(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def run(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(states, "__salt__", {"saltutil.runner": run})
    outcome = states.scaled("app", count=1)
    assert outcome["result"] is False
    assert outcome["comment"].startswith(f"a defect in hart: {type(error).__name__}")


def test_salt_loads_the_states_on_a_master_only(place: Place, minion_opts: dict[str, Any]) -> None:
    on_master = salt.loader.states({**minion_opts, "__role": "master"}, {}, {}, {})
    assert {name for name in on_master if name.startswith("hart.")} == {
        "hart.present", "hart.absent", "hart.scaled", "hart.fleet",
    }  # fmt: skip
    on_minion = salt.loader.states(minion_opts, {}, {}, {})
    assert not [name for name in on_minion if name.startswith("hart.")]
    assert "run on the master, in an orchestration" in on_minion.missing_fun_string("hart.present")
