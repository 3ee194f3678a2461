"""Use cases as people and reactors call them: the result says what a declared fleet will undo."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ParamSpec

from hart_salt.base.errors import HartError
from hart_salt.fleets import memory, notes
from hart_salt.fleets.notes import CHANGED, CREATED, DESTROYED, STOPPED, Done
from hart_salt.fleets.scene import Spec
from hart_salt.fleets.spec import specs
from hart_salt.inventory.records import Record
from hart_salt.operations.drift import Drift
from hart_salt.result import Result
from hart_salt.use_cases.offers import Offers
from hart_salt.use_cases.parts import Parts

P = ParamSpec("P")
#: what an action in the entry of a node, or a function of the runner, does with it
WHAT: Mapping[str, str] = {
    "create": CREATED, "import": CREATED, "destroy": DESTROYED, "stop": STOPPED, "resize": CHANGED,
}  # fmt: skip


class ByHand:
    """Adds the notes to the results of use cases. Without a declared fleet it reads nothing."""

    def __init__(self, parts: Parts, offers: Offers) -> None:
        self._parts = parts
        self._offers = offers

    def of(self, action: str, call: Callable[P, Result]) -> Callable[P, Result]:
        """Return a use case with notes. ``action`` is what it does with each node of which its result does not say."""

        def noted(*args: P.args, **kwargs: P.kwargs) -> Result:
            before: Mapping[str, Record] = {}
            with suppress(HartError):  # a store that fails stops the call itself
                before = self._records() if self._parts.config.fleets else {}
            result = call(*args, **kwargs)
            if not self._parts.config.fleets:
                return result
            return dataclasses.replace(result, notes=[*result.notes, *self._notes(result, action, before)])

        return noted

    def _notes(self, result: Result, action: str, before: Mapping[str, Record]) -> Sequence[str]:
        with suppress(HartError):  # the outcome is known; a note may not change it
            after = self._records()
            entries = {name: entry for name, entry in result.data.items() if isinstance(entry, Mapping)}
            drift = self._parts.drift()
            found = [_done(name, entry, action, {**before, **after}, drift) for name, entry in entries.items()]
            planned = any(entry.get("result", True) is None for entry in entries.values())
            return notes.notes(self._specs(), after.values(), [one for one in found if one], planned=planned)
        return []

    def _records(self) -> Mapping[str, Record]:
        return self._parts.context.store.read().good

    def _specs(self) -> list[Spec]:
        """Return the declared fleets that nobody holds."""
        every = specs(self._parts.config, (), lambda role, provider: self._offers.example(role, provider, None).region)
        store, owner = self._parts.context.store, self._parts.info.owner
        return [spec for spec in every if not memory.recall(store, memory.key_of(spec.name, owner)).hold]


def _done(
    minion_id: str, entry: Mapping[str, Any], action: str, records: Mapping[str, Record], drift: Drift
) -> Done | None:  # fmt: skip
    """Return what was done with a node; None if nothing was, or if its place is not known."""
    what = WHAT.get(str(entry.get("action", action)))
    if what is None or entry.get("result") is False or entry.get("changed") is False:
        return None
    record = records.get(minion_id)
    if record is not None:
        place = (record.role, record.provider, record.region)
        differs = drift.of(record) if what in (CREATED, CHANGED) else ()
        return Done(minion_id, what, *place, protected=record.protected, drift=differs)
    if entry.get("provider") is None:
        return None
    return Done(minion_id, what, entry.get("role"), str(entry["provider"]), entry.get("region"))
