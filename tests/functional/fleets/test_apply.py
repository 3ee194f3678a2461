"""Apply: the order of the work, and what becomes of a fleet when a part of it fails or is interrupted."""

from __future__ import annotations

from tests.functional.fleets.fleet_world import World, actions, counts


def test_a_new_fleet_comes_up_and_stays_as_it_is(world: World) -> None:
    assert world.call("plan")["retcode"] == 3
    done = world.apply()
    assert len(world.nodes()) == 3
    assert (done["fleets"]["web"]["state"], len(done["nodes"])) == ("steady", 3)
    assert world.apply()["nodes"] == {}
    assert "retcode" not in world.call("plan")
    assert counts(world.plan()) == {"ready": 3}


def test_the_number_is_lowered_after_a_drain(world: World) -> None:
    world.start("a", "b", "c", "d")
    assert actions(world.plan()) == [("destroy", "d")]
    world.apply()
    assert world.did == ["drain d", "- d"]
    assert world.nodes() == ["a", "b", "c"]
