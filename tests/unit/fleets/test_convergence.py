"""From any scene, with any faults, a fleet becomes what its declaration says, and no limit is exceeded on the way."""

from __future__ import annotations

import dataclasses
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from hart_salt.fleets import actions as do
from hart_salt.fleets.actions import Plan
from hart_salt.fleets.baking import Attempt
from hart_salt.fleets.diff import is_broken, network_fault, plan
from hart_salt.fleets.scene import COMING, GONE, READY, SILENT, STOPPED, Member, Spec, Target
from hart_salt.model import Price
from tests.unit.fleets.scenes import DAY, HOUR, MINUTE, NOW, WHY, brief, member, members, spec
from tests.unit.fleets.world import BREAKS, FAILS, KILLED, KILLED_HALF_WAY, OK, Images, World, digest_of

REGIONS = ("nyc3", "fra1", "ams3")
ROUNDS = 150
AT_ONCE = st.sampled_from([1, 1, 2, 3, "30%", "100%"])
FAULTS = st.lists(st.sampled_from([OK, OK, OK, FAILS, BREAKS, KILLED, KILLED_HALF_WAY]), max_size=12)
PRICES = st.builds(Price, st.sampled_from([5.0, 6.0, 9.0]), st.sampled_from(["USD", "USD", "EUR"]))


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    """Draw a declared fleet."""
    count = draw(st.integers(0, 6))
    more = draw(st.none() | st.integers(0, 3))
    given: dict[str, Any] = {draw(st.sampled_from(["count", "min"])): count}
    if more is not None:
        given["max"] = count + more
    limits: dict[str, Any] = {}
    if draw(st.integers(0, 3)) == 0:
        limits["monthly_price"] = draw(st.sampled_from([30, 45, {"EUR": 30, "USD": 60}]))
    if draw(st.integers(0, 3)) == 0:
        limits["changes_per_hour"] = draw(st.integers(1, 5))
    windows = draw(st.sampled_from([None, None, ["Wed 11:00-13:00"], ["Thu 02:00-03:00", "Sat 02:00-05:00"]]))
    disruption = {"at_once": draw(AT_ONCE), **({"windows": windows} if windows else {})}
    optional = {
        "drift": draw(st.sampled_from(["replace", "replace", "report", "ignore"])),
        "remove": draw(st.sampled_from(["newest", "oldest"])),
        "repair_after": draw(st.sampled_from([None, "10m", "10m"])),
        "expire_after": draw(st.sampled_from([None, "30d"])),
        "bake_after": draw(st.sampled_from([None, "7d"])),
    }
    given.update({name: value for name, value in optional.items() if value is not None})
    return spec(REGIONS[: draw(st.integers(1, 3))], limits=limits, disruption=disruption, **given)


@st.composite
def nodes(draw: st.DrawFn, name: str) -> Member:
    """Draw a node."""
    state = draw(st.sampled_from([READY] * 8 + [SILENT, STOPPED, GONE, COMING]))
    rare = st.sampled_from([False] * 9 + [True])
    return Member(
        name, draw(st.sampled_from(REGIONS)), "small", NOW - draw(st.integers(0, 40)) * DAY, state,
        WHY.get(state, ""), NOW - draw(st.sampled_from([0, 5, 20])) * MINUTE if state == SILENT else None,
        ends=NOW + draw(st.sampled_from([-1, 1, 100])) * HOUR if draw(rare) else None,
        interrupted=NOW + 2 * MINUTE if draw(rare) else None, drift=("size",) if draw(rare) else (),
        protected=draw(rare), busy=state == COMING or draw(rare), price=draw(st.none() | PRICES),
    )  # fmt: skip


@st.composite
def baked(draw: st.DrawFn, names: list[str]) -> Images:
    """Draw the images of a role, and what the nodes with these names run from."""
    newest = draw(st.integers(0, 2))
    of_node = {name: draw(st.integers(0, newest)) for name in names}
    digest = digest_of(1)
    return Images(
        newest, NOW - draw(st.integers(0, 8)) * DAY, configured=draw(st.sampled_from([1, 1, 2])), of_node=of_node,
        last=draw(st.sampled_from([None, None, Attempt(NOW - MINUTE, 1, digest, "it fails")])),
        other=NOW + draw(st.sampled_from([-1, -1, 1])) * MINUTE,
    )  # fmt: skip


@st.composite
def worlds(draw: st.DrawFn, *, calm: bool = False) -> World:
    """Draw a world; ``calm``: one in which no limit of nodes or money keeps a fleet from its declaration."""
    one = draw(specs())
    there = [draw(nodes(f"web-{number}")) for number in range(draw(st.integers(0, 9)))]
    if calm:
        changes: dict[str, Any] = {"limits": one.settings.limits.model_copy(update={"monthly_price": None})}
        if one.settings.bake_after and one.settings.disruption.windows:
            # Where a bake is due in each window, the changes of an hour may never be enough for the nodes as well.
            changes["bake_after"] = 365 * DAY
        one = dataclasses.replace(one, settings=one.settings.model_copy(update=changes))
        there = [dataclasses.replace(node, protected=False) for node in there]
    prices = {region: draw(PRICES) for region in one.regions if draw(st.integers(0, 9))}
    target = Target(draw(st.integers(0, 9)), "the load") if draw(st.booleans()) else None
    most = draw(st.sampled_from([None, None, 4, 8])) if not calm else None
    images = draw(baked([node.minion_id for node in there]))
    images.required = one.settings.bake_after is not None and draw(st.booleans())  # else nobody makes an image
    others = {name: Member(name, "nyc3", "small", NOW - DAY) for name in ("other-owner", "other-fleet")}
    return World(one, NOW, {node.minion_id: node for node in there}, others, prices, target, most, images)


def heal(world: World, found: Plan) -> None:
    """Let time pass until something can be done: networks come back, calls end, providers take away what they said."""
    times = [one.since for one in found.later if one.since is not None and one.since > world.now]
    world.now += MINUTE if found.actions else max(HOUR, min(times, default=0) - world.now)
    for name, one in list(world.nodes.items()):
        state = READY if one.state == COMING else one.state
        if network_fault(list(world.nodes.values())) and one.state == SILENT:
            state = READY
        if one.interrupted is not None and one.interrupted < world.now:
            state = GONE
        silent = one.silent_since if state == SILENT else None
        world.nodes[name] = dataclasses.replace(
            one, state=state, busy=False, silent_since=silent, why=WHY.get(state, "")
        )
    world.protect()


def lived(world: World) -> Plan:
    """Apply until the plan is empty, and return it; force what is held."""
    found = Plan("web", "")
    for _ in range(ROUNDS):
        found = world.apply(force=found.state == do.HELD)
        assert world.problems == []
        there = world.nodes.values()
        moves = network_fault(list(there)) or any(one.busy or one.ends or one.interrupted for one in there)
        if not (found.actions or found.later or moves):
            return found
        heal(world, found)
    return found


@given(worlds(), FAULTS)
@settings(max_examples=200)
def test_no_limit_is_ever_exceeded_whatever_fails_and_wherever_a_call_is_killed(
    world: World, faults: list[str]
) -> None:
    world.faults = iter(faults)
    found = Plan("web", "")
    for _ in range(8 + len(faults)):
        found = world.apply(force=found.state == do.HELD)
        heal(world, found)
    assert world.problems == []
    assert set(world.others) == {"other-owner", "other-fleet"}


@given(worlds(calm=True), FAULTS)
@settings(max_examples=200)
def test_a_fleet_becomes_what_its_declaration_says(world: World, faults: list[str]) -> None:
    world.faults = iter(faults)
    found = lived(world)
    rules, there = world.spec.settings, list(world.nodes.values())
    assert not found.actions
    alive = [one for one in there if one.state != GONE]
    assert len(alive) == found.wanted >= rules.low
    assert rules.high is None or len(alive) <= rules.high
    assert not [one for one in there if one.state == GONE or is_broken(one, rules, world.now)]
    stuck = any(one.state != READY for one in alive)  # without repair_after, such a node stays, and all others with it
    assert stuck or rules.drift != "replace" or not [one for one in alive if one.drift]
    if rules.bake_after is not None and rules.high != 0:
        images = world.images
        assert images.newest
        assert images.made_from == images.configured
        assert stuck or rules.drift != "replace" or all(map(world.is_newest, alive))
    if world.target is not None:
        assert found.wanted == max(rules.low, min(world.target.wanted, 99 if rules.high is None else rules.high))


@given(worlds())
def test_the_same_scene_gives_the_same_plan_in_whichever_order_its_nodes_are(world: World) -> None:
    seen = world.scene()
    again = dataclasses.replace(seen, members=seen.members[::-1])
    assert plan(seen, NOW) == plan(seen, NOW) == plan(again, NOW)
    assert world.scene() == seen


@given(worlds())
def test_a_plan_holds_what_would_remove_more_than_half_and_force_lets_it_go(world: World) -> None:
    found, forced = plan(world.scene(), NOW), plan(world.scene(), NOW, force=True)
    if found.state == do.HELD:
        assert not found.actions
        assert forced.actions
    else:
        assert found == forced


@given(worlds())
def test_nothing_is_done_with_a_fleet_that_is_held_or_was_not_seen_whole(world: World) -> None:
    seen = world.scene()
    for scene in (
        dataclasses.replace(seen, problems=["the cloud does not answer"]), dataclasses.replace(seen, held="held"),
        dataclasses.replace(seen, network="too many minions are silent"),
    ):  # fmt: skip
        found = plan(scene, NOW, force=True)
        assert not (found.actions or found.following)
        assert found.why


@given(worlds())
def test_each_action_has_a_reason_and_each_wait_a_cause(world: World) -> None:
    found = plan(world.scene(), NOW)
    assert all(one.reason for one in [*found.actions, *found.following])
    assert all(one.why and one.action.reason for one in found.later)
    assert not [one for one in found.actions if one.kind == do.BAKE and one.region != "nyc3"]
    assert not (found.following and not found.actions)
    assert bool(found.why) or found.state in (do.STEADY, do.CHANGING)


def test_no_node_goes_before_its_new_one_comes_after_another_one_could_not_be_created() -> None:
    drifted = {one.minion_id: one for one in members(3, drift=("size",))}
    world = World(spec(count=4, max=4, drift="replace", disruption={"at_once": 2}), NOW, drifted, faults=iter([FAILS]))
    found = world.apply()
    assert brief(found.actions) == ["create few nyc3", "replace drift web-0 first"]
    assert set(world.nodes) == {"web-0", "web-1", "web-2"}


def test_a_node_that_does_not_answer_and_so_cannot_be_drained_goes_all_the_same() -> None:
    silent = member("silent", "silent", silent_since=NOW)
    there = {one.minion_id: one for one in [*members(3), silent]}
    world = World(spec(count=3), NOW, there)
    assert brief(world.apply().actions) == ["destroy many silent"]
    assert set(world.nodes) == {"web-0", "web-1", "web-2"}


def test_a_node_whose_drain_fails_stays_unless_its_provider_takes_it_away() -> None:
    world = World(spec(count=2), NOW, {one.minion_id: one for one in members(3)}, faults=iter([FAILS]))
    world.apply()
    assert set(world.nodes) == {"web-0", "web-1", "web-2"}
    world = World(spec(count=1), NOW, {"spot": member("spot", interrupted=NOW + 90)}, faults=iter([OK, FAILS]))
    world.apply()
    assert set(world.nodes) == {"new-0"}
