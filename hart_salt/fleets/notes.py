"""What declared fleets will undo of a change that a person or a reactor made, in sentences. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hart_salt.config.fleets import Fleet
from hart_salt.fleets.scene import Spec
from hart_salt.inventory.records import READY, Record

#: what was done with a node
CREATED, DESTROYED, STOPPED, CHANGED = "create", "destroy", "stop", "change"
#: by how many nodes a fleet grows
GROWTH: Mapping[str, int] = {CREATED: 1, DESTROYED: -1}


@dataclass(frozen=True)
class Done:
    """What was done with one node, or with ``test=True`` would be."""

    minion_id: str
    what: str
    role: str | None
    provider: str
    region: str | None
    protected: bool = False
    #: what of it differs from the configuration now
    drift: Sequence[str] = ()


def notes(specs: Iterable[Spec], there: Iterable[Record], done: Sequence[Done], *, planned: bool) -> list[str]:
    """
    Return what each fleet that these changes concern will undo, a sentence each.

    ``specs`` are the declared fleets that nobody holds. ``there`` are the records after the changes; with ``planned``
    the changes were not made, and are added to them.
    """
    ready = Counter((one.role, one.provider, one.region) for one in there if (one.stage, one.kind) == (READY, "minion"))
    found = []
    for spec in specs:
        own = [one for one in done if spec.has(one.role, one.provider, one.region)]
        if own:
            number = sum(count for place, count in ready.items() if spec.has(*place))
            growth = sum(GROWTH.get(one.what, 0) for one in own)
            found += _number(spec, number + growth if planned else number, growth)
            found += _stopped(spec, own) + _drifted(spec, own)
    return found


def _number(spec: Spec, number: int, growth: int) -> list[str]:
    """Return a sentence if the number of nodes is not the one that the fleet should have."""
    settings, high = spec.settings, spec.settings.high
    if number < settings.low or (high is not None and number > high):
        return [f"the fleet {spec.name} declares {_declared(settings)}, not {number}: {_again(spec)}"]
    if settings.autoscale is not None and growth:
        why = f"the load decides how many nodes the fleet {spec.name} has"
        return [f"{why}: hart.apply {spec.name} can change the number again; {_hold(spec, 'this number')}"]
    return []


def _declared(settings: Fleet) -> str:
    low, high = settings.low, settings.high
    if high is None:
        return f"at least {_nodes(low)}"
    return _nodes(low) if low == high else f"{low} to {_nodes(high)}"


def _nodes(number: int) -> str:
    return f"{number} node{'' if number == 1 else 's'}"


def _again(spec: Spec) -> str:
    return f"hart.apply {spec.name} goes back to that; {_hold(spec, 'this number')}"


def _hold(spec: Spec, what: str) -> str:
    return f"salt-run hart.hold {spec.name} keeps {what}"


def _stopped(spec: Spec, own: Iterable[Done]) -> list[str]:
    """Return a sentence if the fleet replaces nodes that do not run."""
    names = _names(one for one in own if one.what == STOPPED and not one.protected)
    if not names or spec.settings.repair_after is None:
        return []
    return [
        f"the fleet {spec.name} replaces nodes that do not run (repair_after): hart.apply {spec.name} replaces "
        f"{names}; {_hold(spec, 'them')}"
    ]


def _drifted(spec: Spec, own: Iterable[Done]) -> list[str]:
    """Return a sentence if the fleet replaces nodes that differ from the configuration."""
    differ = [one for one in own if one.what in (CREATED, CHANGED) and one.drift and not one.protected]
    if not differ or spec.settings.drift != "replace":
        return []
    parts = ", ".join(dict.fromkeys(part for one in differ for part in one.drift))
    return [
        f"the fleet {spec.name} replaces nodes that differ from the configuration (drift: replace): hart.apply "
        f"{spec.name} replaces {_names(differ)} because of {parts}; change the configuration to keep them, or "
        f"salt-run hart.hold {spec.name}"
    ]


def _names(nodes: Iterable[Done]) -> str:
    ids = [one.minion_id for one in nodes]
    return ", ".join(ids[:3]) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")
