"""Fleets with baked images: drift by a newer bake, and fleets that bake by themselves."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import AuthError, QuotaExceeded, Refused
from hart_salt.fleets import memory
from hart_salt.inventory.records import Record
from hart_salt.model import BakedImage
from hart_salt.planning.digest import with_image, with_plain_image
from hart_salt.result import Result
from tests.functional.fleets.fleet_world import BATCH, EAST, NOW, World, actions, once, raising

DAY, HOUR = 86400.0, 3600.0
PLAIN = "trixie"


@pytest.fixture
def app(world: World, tmp_path: Path) -> World:
    """A role that boots baked images, and a fleet that renews its nodes by itself."""
    for name in ("app", "broken"):
        (tmp_path / f"{name}.sls").write_text("ready: {test.nop: []}\n")
    world.opts["file_roots"] = {"base": [str(tmp_path)]}
    world.opts["hart"]["roles"]["app"]["image"] = "baked"
    world.fleet.update(drift="replace", count=2)
    return world


@pytest.fixture
def baking(app: World) -> World:
    """The same fleet, which bakes by itself."""
    app.fleet["bake_after"] = "7d"
    return app


def node_digest(world: World, image: str) -> str:
    """Return the digest of a node of the role app that was made of an image; without one, of the plain image."""
    digest = world.service().offers.example("app", EAST, "here").digest
    return with_image(digest, image) if image else with_plain_image(digest, PLAIN)


def start(world: World, image: str, *names: str) -> None:
    """Let there be nodes that run from a baked image, or from the plain one."""
    world.start(*names, digest=node_digest(world, image))


def current(world: World) -> str:
    """Return the digest of an image that is made of the role app now."""
    service = world.service()
    return service.image_digest(service.offers.example("app", EAST, "here"))


def runs_from(world: World) -> set[str | None]:
    """Return the digests of all nodes."""
    return {record.digest for record in world.store.all()}


# drift


def test_a_newer_bake_renews_the_fleet_one_node_after_the_other(app: World) -> None:
    app.image("old", age=HOUR)
    start(app, "i-old", "a", "b")
    assert actions(app.plan()) == []
    app.image("new")
    assert actions(app.plan()) == [("replace", "a")]
    app.apply()
    assert app.did == ["+ here", "drain a", "- a", "+ here", "drain b", "- b"]
    assert runs_from(app) == {node_digest(app, "i-new")}
    assert "retcode" not in app.call("plan")


def test_a_deleted_image_and_an_unbaked_node_differ_too(app: World) -> None:
    start(app, "i-deleted", "a")
    start(app, "", "b")
    assert actions(app.plan()) == [("replace", "a")], "without an image, new nodes boot the plain one"
    app.image("new")
    found = app.plan()
    assert (actions(found), actions(found, "following")) == ([("replace", "a")], [("replace", "b")])


def test_lists_and_one_node_say_which_image_differs(app: World) -> None:
    app.image("new")
    start(app, "i-new", "a")
    start(app, "i-old", "b")
    app.cloud.image_lists = 0
    listed = app.call("list_minions", role="app")["nodes"]
    assert {name: one["drifted"] for name, one in listed.items()} == {"a": [], "b": ["image"]}
    assert app.cloud.image_lists == 1
    app.image("old", age=HOUR)
    shown = app.call("show", "b")["nodes"]["b"]
    assert (shown["drifted"], shown["image"]) == (["image"], "i-old")


def test_one_node_has_its_image_if_that_is_known(app: World) -> None:
    app.image("new")
    start(app, "i-new", "a")
    start(app, "i-deleted", "b")
    start(app, "", "c")
    app.cloud.image_lists = 0
    assert [app.call("show", name)["nodes"][name]["image"] for name in "abc"] == ["i-new", None, None]
    assert app.cloud.image_lists == 3, "each call asks once"
    app.cloud.image_error = AuthError("the token may not list images")
    assert app.call("show", "a")["nodes"]["a"]["image"] is None


def test_without_the_list_of_images_the_rest_is_compared_and_a_note_says_so(app: World) -> None:
    app.image("new")
    start(app, "i-old", "a", "b")
    app.cloud.image_error = AuthError("the token may not list images")
    why = "east: it is not known which nodes run from the newest baked image: the token may not list images"
    listed = app.call("list_minions", role="app")
    assert (listed["nodes"]["a"]["drifted"], listed["notes"]) == ([], [why])
    assert "retcode" not in listed
    shown = app.call("show", "a")
    assert (shown["nodes"]["a"]["drifted"], shown["notes"]) == ([], [why])


def test_a_fleet_that_would_renew_nodes_does_nothing_while_images_are_not_known(app: World) -> None:
    app.image("new")
    start(app, "i-old", "a")
    app.cloud.image_error = AuthError("the token may not list images")
    found = app.plan()
    assert (found["state"], actions(found)) == ("blocked", []), "not even the missing node is created"
    assert "the token may not list images" in found["why"]
    app.fleet["drift"] = "report"
    found = app.plan()
    assert (found["state"], actions(found)) == ("changing", [("create", None)])
    assert any("the token may not list images" in note for note in found["notes"])


def test_only_roles_that_boot_baked_images_cost_a_list_of_images(app: World) -> None:
    del app.opts["hart"]["roles"]["app"]["image"]
    app.start("a", "b", digest=node_digest(app, ""))
    app.cloud.image_error = AuthError("the token may not list images")
    assert app.plan()["state"] == "steady"
    assert app.call("list_minions")["notes"] == []
    assert app.cloud.image_lists == 0


# fleets that bake


def test_a_fleet_without_an_image_bakes_one_and_renews_its_nodes_onto_it(baking: World) -> None:
    done = baking.apply()
    assert baking.did[:3] == ["+ here", "+ here", "bake app here"]
    assert baking.did[3:5] == ["+ here", baking.did[4]]
    assert runs_from(baking) == {node_digest(baking, "i-made-0")}
    assert done["bakes"] == {"app": {"result": True, "image": "i-made-0", "name": "made-0"}}
    assert done["fleets"]["web"]["state"] == "steady"
    assert "retcode" not in baking.call("plan")
    assert baking.apply().get("bakes") is None


def test_an_image_that_is_too_old_or_of_another_configuration_is_replaced(baking: World) -> None:
    baking.image("old", age=8 * DAY, digest=current(baking))
    start(baking, "i-old", "a", "b")
    found = baking.plan()
    assert actions(found) == [("bake", None)]
    assert found["actions"][0]["reason"] == "the newest image, old, is 8d old, and bake_after is 7d"
    baking.cloud.images_made.clear()
    baking.image("new", digest=current(baking))
    start(baking, "i-new", "a", "b")
    assert actions(baking.plan()) == []
    baking.opts["hart"]["roles"]["app"]["bake"] = ["app"]
    found = baking.plan()
    assert actions(found) == [("bake", None)]
    why = "the newest image, new, differs from the configuration: base image or states"
    assert found["actions"][0]["reason"] == why
    baking.apply()
    assert baking.did.count("bake app here") == 1
    assert runs_from(baking) == {node_digest(baking, "i-made-1")}


def test_a_bake_is_no_change_of_a_node_that_the_hour_counts(baking: World) -> None:
    baking.fleet["limits"] = {"changes_per_hour": 1}
    start(baking, "", "a", "b")
    baking.apply(waves=1)
    assert baking.did == ["bake app here"]
    assert actions(baking.plan()) == [("replace", "a")]


def test_one_wave_bakes_and_the_next_one_renews(baking: World) -> None:
    """The engine calls it so."""
    start(baking, "", "a", "b")
    done = baking.apply(waves=1)
    assert baking.did == ["bake app here"]
    assert actions(done["fleets"]["web"]) == [("replace", "a")]
    baking.apply(waves=1)
    assert baking.did == ["+ here", "drain a", "- a"]


@pytest.mark.parametrize(
    "failure",
    [raising(QuotaExceeded("the account may have no more images")), raising(Refused("hart:max_nodes is 3"))],
)  # fmt: skip
def test_a_bake_that_fails_is_reported_and_the_fleet_goes_on(baking: World, failure: Any) -> None:
    baking.fleet["expire_after"] = "1h"
    baking.start("a", digest=node_digest(baking, ""))
    baking.on["bake"] = failure
    done = baking.apply(code=1)
    assert done["problems"][0].startswith("web: the bake of the role app failed: ")
    assert baking.did == ["+ here"], "the missing node; the old one is not replaced by one of the old image"
    waits, old = done["fleets"]["web"]["later"]
    assert (waits["action"], old["action"], old["minion_id"]) == ("bake", "replace", "a")
    assert "salt-run hart.bake app bakes at once" in waits["why"]
    assert old["why"] == "a new image of the role app is due, and comes first"


def test_a_failed_bake_is_a_problem_and_no_note_repeats_it(baking: World) -> None:
    start(baking, "", "a", "b")
    baking.on["bake"] = raising(QuotaExceeded("no more images"))
    done = baking.apply(code=1)
    assert done["problems"] == ["web: the bake of the role app failed: no more images"]
    assert done["notes"] == []
    (note,) = baking.apply()["notes"]
    assert note.startswith("web: 1 change waits: the last bake failed (no more images): the next attempt is possible")


def test_states_that_do_not_exist_are_a_problem_of_the_plan(baking: World, tmp_path: Path) -> None:
    baking.opts["hart"]["roles"]["app"]["bake"] = ["brokn"]
    start(baking, "", "a")
    wrong = f"bake: there is no state brokn, did you mean broken?; it would be below {tmp_path}"
    found = baking.plan()
    assert (actions(found), found["why"]) == (
        [("create", None)], f"no new image of the role app can be made: {wrong}"
    )  # fmt: skip
    baking.apply(code=1)
    assert baking.did == ["+ here"]
    assert memory.failed_bake(baking.store, "app", EAST, baking.info.owner) is None
    baking.opts["hart"]["roles"]["app"]["bake"] = ["broken"]
    baking.apply()
    assert runs_from(baking) == {node_digest(baking, "i-made-0")}


def test_after_a_failed_bake_no_node_is_replaced_onto_the_image_that_is_out_of_date(baking: World) -> None:
    baking.image("old", digest=current(baking))
    start(baking, "i-older", "a", "b")
    baking.opts["hart"]["roles"]["app"]["bake"] = ["broken"]
    baking.on["bake"] = raising(QuotaExceeded("its states failed"))
    baking.apply(code=1)
    assert baking.nodes() == ["a", "b"]
    baking.apply()
    assert baking.nodes() == ["a", "b"], "also while the next bake waits"
    baking.on.clear()
    baking.clock.now += HOUR
    baking.apply()
    assert runs_from(baking) == {node_digest(baking, "i-made-1")}


# a role that needs a baked image


def test_a_fleet_whose_role_needs_a_baked_image_bakes_the_first_one_and_then_creates_its_nodes(baking: World) -> None:
    baking.opts["hart"]["roles"]["app"]["image"] = "baked!"
    found = baking.plan()
    assert (actions(found), actions(found, "following")) == ([("bake", None)], [("create", None)] * 2)
    done = baking.apply()
    assert baking.did == ["bake app here", "+ here", "+ here"]
    assert (done["fleets"]["web"]["state"], done["problems"]) == ("steady", [])
    assert runs_from(baking) == {node_digest(baking, "i-made-0")}


def test_where_such_a_bake_fails_the_fleet_is_blocked_and_says_when_it_is_tried_again(baking: World) -> None:
    baking.opts["hart"]["roles"]["app"]["image"] = "baked!"
    baking.on["bake"] = raising(QuotaExceeded("no more images"))
    done = baking.apply(code=1)
    assert done["fleets"]["web"]["state"] == "blocked"
    assert done["fleets"]["web"]["why"].startswith(
        "2 more nodes are wanted, but image is baked!, and east has no baked image of the role app; the next bake is "
        "possible at "
    )
    assert baking.nodes() == []
    baking.on.clear()
    baking.clock.now += HOUR
    baking.apply()
    assert len(baking.nodes()) == 2


def test_a_due_bake_comes_although_nodes_cannot_be_created(baking: World) -> None:
    baking.on["create"] = raising(QuotaExceeded("no more nodes"))
    baking.apply(code=1)
    assert baking.did == ["bake app here"]


def test_a_bake_that_failed_is_not_tried_again_for_an_hour_and_then_two(baking: World) -> None:
    baking.on["bake"] = raising(QuotaExceeded("no more images"))
    baking.apply(code=1)
    for wait, tried in ((HOUR - 60, False), (60, True), (HOUR, False), (HOUR, True)):
        baking.clock.now += wait
        baking.did.clear()
        found = actions(baking.plan())
        assert (("bake", None) in found) is tried, wait
        baking.apply(code=1 if tried else 0)
    baking.on.clear()
    baking.opts["hart"]["roles"]["app"]["bake"] = ["app"]
    assert ("bake", None) in actions(baking.plan()), "another configuration is tried at once"
    baking.apply()
    assert memory.failed_bake(baking.store, "app", EAST, baking.info.owner) is None


def test_no_node_of_a_failed_bake_is_kept_because_nobody_counts_it(baking: World) -> None:
    """There would be one more with each attempt."""
    baking.opts["hart"]["roles"]["app"]["keep_failed"] = True
    baking.on["bake"] = raising(QuotaExceeded("no more images"))
    start(baking, "", "a", "b")
    baking.apply(code=1)
    assert baking.did == []


def test_a_failed_outcome_of_a_bake_is_remembered_too(baking: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Result:
        return Result({"app": {"result": False, "error": "its states failed"}}, ok=False)

    monkeypatch.setattr(World, "bake", fails)
    done = baking.apply(code=1)
    assert done["bakes"] == {"app": {"result": False, "error": "its states failed"}}
    assert done["problems"] == ["web: the bake of the role app failed: its states failed"]
    failed = memory.failed_bake(baking.store, "app", EAST, baking.info.owner)
    assert failed is not None
    assert (failed.error, failed.tries) == ("its states failed", 1)


def test_an_image_that_the_fleet_cannot_use_is_not_made_again_at_once(
    baking: World, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """For example because its disk is larger than that of the fleet's size."""
    image = World.image
    monkeypatch.setattr(World, "image", lambda self, *args, **given: image(self, *args, **{**given, "regions": ("x",)}))
    done = baking.apply()
    assert baking.did.count("bake app here") == 1
    (waits,) = done["fleets"]["web"]["later"]
    assert "it made an image, but the newest image of the role app, made-0, is not in here, but in x" in waits["why"]


def test_a_signal_ends_a_bake_and_is_no_failure_of_it(baking: World) -> None:
    start(baking, "", "a", "b")

    def signalled() -> None:
        raise_after.append(1)

    raise_after: list[int] = []
    baking.on["bake"] = signalled
    bake = World.bake

    def interrupted(self: World, *args: Any, **given: Any) -> Result:
        bake(self, *args, **given)
        return Result({"app": {"result": False, "error": "interrupted"}}, ok=False, signal=15)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(World, "bake", interrupted)
        baking.apply(code=143)
    assert raise_after
    assert memory.failed_bake(baking.store, "app", EAST, baking.info.owner) is None


def test_two_fleets_of_one_role_bake_once_for_the_regions_of_both(baking: World) -> None:
    baking.fleet["regions"] = ["here"]
    other = {**baking.fleet, "regions": ["there"], "bake_after": "3d"}
    baking.opts["hart"]["fleets"]["other"] = other
    baking.apply()
    assert [one for one in baking.did if one.startswith("bake")] == ["bake app there here"]
    assert "retcode" not in baking.call("plan")


def test_one_fleet_alone_bakes_for_the_regions_of_both(baking: World) -> None:
    baking.fleet["regions"] = ["here"]
    baking.opts["hart"]["fleets"]["other"] = {**baking.fleet, "regions": ["there"]}
    baking.apply("web")
    assert [one for one in baking.did if one.startswith("bake")] == ["bake app there here"]


def test_a_failed_bake_of_one_fleet_is_not_repeated_for_the_other(baking: World) -> None:
    baking.fleet["regions"] = ["here"]
    baking.opts["hart"]["fleets"]["other"] = {**baking.fleet, "regions": ["there"]}
    tried: list[int] = []

    def fails() -> None:
        tried.append(1)
        raise QuotaExceeded("no more images")

    baking.on["bake"] = fails
    baking.apply(code=1)
    assert len(tried) == 1


# another call bakes


def bake_record(baking: World, minion_id: str = "hart-bake-app-0123abcd", **changes: Any) -> None:
    plain = Record(
        minion_id, EAST, "local", "here", "small", "bootstrapping", baking.info.owner, BATCH, NOW - 60, None,
        instance_id=None, kind="bake",
    )  # fmt: skip
    baking.store.put(dataclasses.replace(plain, **changes))


def test_nodes_can_be_changed_by_others_while_a_call_bakes(baking: World) -> None:
    start(baking, "", "a", "b")
    free: list[bool] = []

    def look() -> None:
        with baking.locks.role("app", wait=False) as held:
            free.append(held)

    baking.on = dict.fromkeys(["bake", "create", "drain a"], look)
    baking.apply()
    assert free == [True, False, False, False]


def test_a_bake_that_another_fleet_is_about_to_begin_is_not_begun_twice(baking: World) -> None:
    """Its node has no record yet."""
    baking.start("a", digest=node_digest(baking, ""))
    baking.stack.enter_context(baking.locks.role(f"app@{EAST}", wait=False))
    baking.apply()
    assert baking.did == ["+ here"], "what is urgent is done"
    assert baking.cloud.image_lists == 3, "two looks and one new node: it is not tried again and again"
    assert memory.failed_bake(baking.store, "app", EAST, baking.info.owner) is None


def test_a_bake_of_another_call_is_waited_for(baking: World) -> None:
    start(baking, "", "a", "b")
    bake_record(baking)
    baking.works_on("hart-bake-app-0123abcd")
    found = baking.plan()
    assert (found["state"], actions(found), actions(found, "following")) == ("changing", [], [])
    assert {one["why"] for one in found["later"]} == {"a call bakes the role app"}
    baking.apply()
    assert baking.did == []


@pytest.mark.parametrize(
    ("minion_id", "changes", "busy"),
    [("hart-bake-db-0123abcd", {}, True), ("hart-bake-app-0123abcd", {"provider": "west"}, True),
     ("hart-bake-app-0123abcd", {}, False)],
)  # fmt: skip
def test_a_bake_of_another_role_or_of_a_call_that_died_is_not_waited_for(
    baking: World, minion_id: str, changes: dict[str, Any], busy: bool
) -> None:
    start(baking, "", "a", "b")
    bake_record(baking, minion_id, **changes)
    if busy:
        baking.works_on(minion_id)
    assert actions(baking.plan()) == [("bake", None)]


def test_an_image_that_another_call_still_copies_is_waited_for(baking: World) -> None:
    start(baking, "", "a", "b")
    new: BakedImage = baking.image("new", digest=current(baking), regions=("elsewhere",))
    assert actions(baking.plan()) == [("bake", None)]
    baking.works_on_batch(new.batch, provider=EAST)
    assert actions(baking.plan()) == []
    assert {one["why"] for one in baking.plan()["later"]} == {"a call bakes the role app"}


def test_a_fleet_that_bakes_does_nothing_while_its_images_are_not_known(baking: World) -> None:
    baking.fleet["drift"] = "report"
    baking.cloud.image_error = AuthError("the token may not list images")
    assert baking.plan()["state"] == "blocked"


def test_the_engines_look_sees_a_due_bake(baking: World) -> None:
    start(baking, "", "a", "b")
    plans, _ = baking.service().fleets.observe()
    assert [(one.kind, one.reason) for one in plans["web"].actions] == [
        ("bake", "east has no baked image of the role app")
    ]


def test_a_fault_of_the_configuration_names_the_setting(baking: World) -> None:
    baking.opts["hart"]["roles"]["app"]["image"] = "trixie"
    found = baking.call("plan")
    assert (
        "hart:fleets:web:bake_after: needs image: baked, but the nodes of the role app at east boot trixie"
        in (found["error"])
    )


def test_a_bake_that_breaks_once_is_made_by_the_next_attempt(baking: World) -> None:
    baking.on["bake"] = once(raising(QuotaExceeded("no more images")))
    baking.apply(code=1)
    baking.clock.now += HOUR
    baking.apply()
    assert runs_from(baking) == {node_digest(baking, "i-made-0")}
