"""Plans of fleets as the plain data of results. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from hart_salt.fleets.actions import BAKE, CREATE, Action, Later, Plan
from hart_salt.fleets.scene import GONE, Scene
from hart_salt.inventory.journal import iso
from hart_salt.model import Price


def of_plan(plan: Plan, scene: Scene) -> dict[str, Any]:
    """
    Return a fleet and its plan.

    ``actions`` is what is done now, in this order, ``following`` what the same call does after it, and ``later`` what
    has to wait.
    """
    spec = scene.spec
    return {
        "state": plan.state,
        "why": plan.why,
        "role": spec.role,
        "provider": spec.provider,
        "regions": list(spec.regions),
        "wanted": plan.wanted,
        **({"load": scene.target.reason} if scene.target else {}),
        "nodes": dict(plan.counts),
        "actions": [_action(one) for one in plan.actions],
        "following": [_action(one) for one in plan.following],
        "later": [_later(one) for one in plan.later],
        "notes": list(plan.notes),
        "price": _price(plan, scene),
    }


def _action(action: Action) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "action": action.kind, "minion_id": action.minion_id, "region": action.region, "cause": action.cause,
        "reason": action.reason,
    }  # fmt: skip
    if action.kind not in (CREATE, BAKE):
        facts["before"] = _amount(action.before)
    if action.after is not None or action.kind == CREATE:
        facts["after"] = _amount(action.after)
    if action.deadline is not None:
        facts["deadline"] = iso(action.deadline, "seconds")
    return facts


def _later(later: Later) -> dict[str, Any]:
    return {
        **_action(later.action),
        "why": later.why,
        "since": None if later.since is None else iso(later.since, "seconds"),
    }


def _amount(price: Price | None) -> dict[str, float] | None:
    return None if price is None else {price.currency: price.amount}


def _price(plan: Plan, scene: Scene) -> dict[str, dict[str, float]]:
    """Return what the nodes of the fleet with known prices cost in a month, now and after all actions."""
    before: dict[str, float] = defaultdict(float)
    after: dict[str, float] = defaultdict(float)
    for member in scene.members:
        if member.state != GONE:
            _add(before, member.price)
            _add(after, member.price)
    waiting = [one.action for one in plan.later]
    for action in (*plan.actions, *plan.following, *waiting):
        _add(after, action.after)
        if action.cause != GONE:
            _add(after, action.before, -1)
    return {"before": _rounded(before), "after": _rounded(after)}


def _add(total: dict[str, float], price: Price | None, sign: int = 1) -> None:
    if price is not None:
        total[price.currency] += sign * price.amount


def _rounded(total: Mapping[str, float]) -> dict[str, float]:
    return {currency: abs(round(amount, 2)) for currency, amount in sorted(total.items()) if amount}
