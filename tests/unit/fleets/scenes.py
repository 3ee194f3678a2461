"""Scenes of fleets for the tests of the planner, in few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from hart_salt.config.fleets import Fleet
from hart_salt.fleets.actions import Action, Plan
from hart_salt.fleets.diff import plan
from hart_salt.fleets.scene import GONE, SILENT, STOPPED, Member, Scene, Spec
from hart_salt.model import Price

#: a Wednesday, 12:00 UTC
NOW = datetime(2026, 12, 2, 12, tzinfo=timezone.utc).timestamp()
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
PRICE = Price(6.0)
WHY = {GONE: "its instance is gone", SILENT: "its minion has not answered", STOPPED: "its instance is stopped"}


def settings(**given: Any) -> Fleet:
    """Return the settings of a fleet of the role ``app``, without a number of nodes if none is given."""
    limits, disruption = given.pop("limits", {}), given.pop("disruption", {})
    return Fleet.model_validate({"role": "app", "limits": limits, "disruption": disruption, **given})


def spec(regions: Sequence[str] = ("nyc3",), **given: Any) -> Spec:
    """Return a fleet named ``web``, declared with these settings."""
    return Spec("web", "app", "do", tuple(regions), settings(**given))


def member(name: str, state: str = "ready", **given: Any) -> Member:
    """Return a node, a day old, in the region nyc3 if no other is given."""
    values = {
        "region": "nyc3", "size": "small", "created": NOW - DAY, "price": PRICE, "why": WHY.get(state, ""), **given
    }  # fmt: skip
    return Member(minion_id=name, state=state, **values)


def members(number: int, state: str = "ready", **given: Any) -> list[Member]:
    """Return so many nodes, web-0 and so on, each an hour younger than the one before."""
    created = given.pop("created", NOW - 10 * DAY)
    return [member(f"web-{count}", state, created=created + count * HOUR, **given) for count in range(number)]


def scene(one: Spec, nodes: Sequence[Member] = (), prices: Mapping[str, Price] | None = None, **given: Any) -> Scene:
    """Return a scene in which a new node costs the same in each region, if no prices are given."""
    return Scene(one, nodes, dict.fromkeys(one.regions, PRICE) if prices is None else prices, **given)


def planned(one: Spec, nodes: Sequence[Member] = (), *, now: float = NOW, force: bool = False, **given: Any) -> Plan:
    """Return the plan for a scene."""
    return plan(scene(one, nodes, **given), now, force=force)


def brief(actions: Sequence[Action]) -> list[str]:
    """Return actions in few words: what is done, why, and with which node or in which region."""
    return [f"{one.kind} {one.cause} {one.minion_id or one.region}{'' if one.surge else ' first'}" for one in actions]


def done(one: Spec, nodes: Sequence[Member] = (), **given: Any) -> list[str]:
    """Return in few words what a plan does now."""
    return brief(planned(one, nodes, **given).actions)
