"""Set and remove the user's tags or labels of nodes. hart's own are refused, and stay."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hart_salt.base.errors import NodeFailed, Refused
from hart_salt.operations.verbs import Nodes, Target, Verb


@dataclass(frozen=True)
class TagChange:
    """The tags to set, by name, and the names of those to remove. A tag without a value has an empty one."""

    tags: Mapping[str, str]
    remove: Sequence[str] = ()

    @property
    def details(self) -> dict[str, str]:
        """What changes, for the journal."""
        return {**self.tags, **dict.fromkeys(self.remove, "removed")}


def set_tags(change: TagChange, *, test: bool) -> Verb:
    """Return the verb that changes the tags of a node."""
    work = functools.partial(_plan if test else _set, change=change)
    return Verb("set_tags", "tagged", work, test, details=change.details)


async def _plan(nodes: Nodes, target: Target, *, change: TagChange) -> dict[str, Any]:
    before = await _before(nodes, target, change)
    after = _after(before, change)
    return {"action": "none" if after == before else "set_tags", "tags": after, "before": before}


async def _set(nodes: Nodes, target: Target, *, change: TagChange) -> dict[str, Any]:
    before = await _before(nodes, target, change)
    if _after(before, change) == before:
        return {"changed": False, "tags": before}
    target.done = "its tags may have changed in part: call hart.set_tags again"
    await nodes.change(target, target.driver.set_tags, change.tags, change.remove)
    found = dict(await nodes.calls.driver(target.driver.user_tags, target.instance))
    if any(found.get(name) != value for name, value in change.tags.items()) or set(change.remove) & found.keys():
        raise NodeFailed(f"{target.driver.provider.name} accepted the tags, but does not show them")
    return {"changed": True, "tags": found, "before": before}


async def _before(nodes: Nodes, target: Target, change: TagChange) -> dict[str, str]:
    """Return the tags now. Raises ``Refused`` with everything that the provider would refuse."""
    names = {**change.tags, **dict.fromkeys(change.remove, "")}
    own = [one for one in target.driver.tag_objections(names) if "hart's own" in one]
    problems = list(dict.fromkeys([*own, *target.driver.tag_objections(change.tags)]))
    if problems:
        raise Refused("; ".join(problems))
    return dict(await nodes.calls.driver(target.driver.user_tags, target.instance))


def _after(before: Mapping[str, str], change: TagChange) -> dict[str, str]:
    kept = {name: value for name, value in before.items() if name not in change.remove}
    return {**kept, **change.tags}
