"""
What a state of Salt does with nodes: compare them with what the state declares, and change only what differs.

A state calls the functions of the runner, so that every change is a job of the master like any other. This module gets
them as functions, and decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hart_salt.operations import listing
from hart_salt.operations.presence import Seen

#: calls a function of the runner: its name, and its arguments
Call = Callable[[str, Mapping[str, Any]], Any]

#: what a state shows of a node
FACTS = (
    "action", "role", "provider", "region", "zone", "size", "instance_id", "public_ip", "private_ip",
    "minion_key_finger", "monthly_price", "currency", "log",
)  # fmt: skip
#: the facts that a node is compared in, if the state gives them
COMPARED = ("role", "provider", "region", "zone", "size")
LEFT = "left at "
#: what to do about a node that is not ready, by its status
ADVICE = {
    "in progress": "another call is working on it; apply the state again when that call has ended",
    "unreachable": "its minion does not answer",
    "unsealed": "salt-run hart.sweep seals it",
    "no record": "salt-run hart.sweep writes its record again",
    "no key": "salt-run hart.sync_keys accepts its key again",
    "failed": "salt-run hart.show {id} says why; salt-run hart.destroy {id} removes it",
    "stopped": "salt-run hart.start {id} starts it",
    "unknown": "its provider did not answer",
    listing.ELSEWHERE: "only another master can change it",
    listing.NOT_OURS: "this minion is not a node of hart; salt-run hart.import_minion {id} makes it one",
}


@dataclass(frozen=True)
class Outcome:
    """What a state returns to Salt; ``result`` is None if something would change with ``test=True``."""

    result: bool | None
    comment: str
    changes: dict[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Answer:
    """What a function of the runner returned."""

    #: by minion id
    nodes: Mapping[str, Mapping[str, Any]]
    #: why something failed that belongs to no node
    problems: Sequence[str]
    notes: Sequence[str]
    failed: bool

    def by_action(self, action: str) -> dict[str, dict[str, Any]]:
        """Return the facts of the nodes that were created or destroyed, or with ``test=True`` would be."""
        good = {one: entry for one, entry in self.nodes.items() if entry.get("result") is not False}
        return {one: facts(entry) for one, entry in good.items() if entry.get("action", action) == action}

    @property
    def errors(self) -> list[str]:
        """Everything that failed, a sentence each."""
        bad = {one: entry for one, entry in self.nodes.items() if entry.get("result") is False}
        return [*self.problems, *(f"{one}: {entry.get('error', 'failed')}" for one, entry in bad.items())]


def read(data: Any) -> Answer:
    """Return what a function of the runner returned that works on nodes."""
    if not isinstance(data, Mapping):
        return Answer({}, [f"the runner returned no result: {data}"], [], True)
    if "version" in data:
        nodes, notes = data.get("nodes", {}), data["notes"]
        return Answer(nodes, data["problems"], [*notes, *_notes(nodes)], "retcode" in data)
    nodes = {name: entry for name, entry in data.items() if isinstance(entry, Mapping) and "result" in entry}
    for action, name in (("create", "created"), ("destroy", "destroyed")):
        nodes |= {one: {"action": action, **entry} for one, entry in data.get(name, {}).items()}
    problems = [data["error"]] if "error" in data else []
    problems += [f"{one} stays: {why}" for one, why in data.get("kept", {}).items()]
    notes = [data["note"]] if "note" in data else []
    return Answer(nodes, problems, [*notes, *data.get("notes", ()), *_notes(nodes)], "retcode" in data)


def _notes(nodes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [f"{one}: {note}" for one, entry in nodes.items() for note in entry.get("notes", ())]


def facts(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a state shows of a node."""
    return {name: entry[name] for name in FACTS if entry.get(name) is not None}


# nodes with given ids


def present(seen: Seen, ids: Sequence[str], given: Mapping[str, Any], call: Call, *, test: bool) -> Outcome:
    """
    Create those of the nodes that do not exist.

    ``given`` holds the arguments of ``hart.create``. A node whose instance is gone, or that a call left behind that
    died, is created again. A node that exists and is not ready, or that is another one than ``given`` says, is a
    failure; then nothing is changed.
    """
    entries = seen.entries
    wrong = [problem for one in ids if one in entries and (problem := _problem(one, entries[one], given, seen))]
    if wrong:
        return Outcome(False, _lines(wrong))
    again = [one for one in ids if one in entries and entries[one]["status"] != "ready"]
    new = [one for one in ids if one not in entries]
    if not again and not new:
        return Outcome(True, f"{_list(ids)} {_are(ids)} ready")
    if test:
        plan = _called(call, "create", {**given, "minion_id": new, "test": True}) if new else Answer({}, [], [], False)
        planned = {**plan.by_action("create"), **{one: {"action": "create", **_stated(given)} for one in again}}
        return _planned(plan, {"created": planned}, f"{_list([*new, *again])} would be created")
    return _created([*new, *again], [one for one in again if one in seen.gone], given, call)


def _created(ids: Sequence[str], gone: Sequence[str], given: Mapping[str, Any], call: Call) -> Outcome:
    """Create nodes; of those in ``gone``, what is left is removed first."""
    if gone:
        removed = _called(call, "destroy", {"minion_id": list(gone), "config": given.get("config")})
        if removed.failed:
            return _done(removed, {})
    made = _called(call, "create", {**given, "minion_id": list(ids)})
    return _done(made, {"created": made.by_action("create")})


def _problem(minion_id: str, entry: Mapping[str, Any], given: Mapping[str, Any], seen: Seen) -> str:
    """Return what is wrong with a node that exists; empty if nothing is, or if it can be created again."""
    status = str(entry["status"])
    if minion_id in seen.gone or status.startswith(LEFT) or status == listing.NO_INSTANCE:
        return ""
    if status != "ready":
        why = entry.get("error") or entry.get("note") or ADVICE.get(status, "").format(id=minion_id)
        return f"{minion_id} exists and is not ready, but {status}" + (f": {why}" if why else "")
    other = [f"{name} {entry[name]}, not {given[name]}" for name in COMPARED if _differs(entry[name], given.get(name))]
    if other:
        resize = f"; salt-run hart.resize {minion_id} changes its size" if other[-1].startswith("size ") else ""
        return f"{minion_id} exists with {', '.join(other)}; hart.present does not change an existing node{resize}"
    return ""


def _differs(there: Any, wanted: Any) -> bool:
    return wanted is not None and wanted != "distributed" and str(there) != str(wanted)


def _stated(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in COMPARED if given.get(name) is not None}


def absent(seen: Seen, ids: Sequence[str], config: str | None, call: Call, *, test: bool) -> Outcome:
    """Destroy those of the nodes that exist."""
    there = [one for one in ids if one in seen.entries and seen.entries[one]["status"] != listing.NOT_OURS]
    missing = [one for one in ids if one not in seen.entries]
    if missing and seen.problems:
        return Outcome(False, _lines([f"whether {_list(missing)} exist is unknown", *seen.problems]))
    foreign = [
        f"{one}: Salt's key store has a key with this id, which is not of a node of hart; salt-key -d {one} deletes it"
        for one in ids if one in seen.entries and one not in there
    ]  # fmt: skip
    if not there:
        return Outcome(True, f"{_list(ids)} {_are(ids)} absent", warnings=foreign)
    given = {"minion_id": there, "config": config}
    if test:
        plan = _called(call, "destroy", {**given, "test": True})
        return _planned(plan, {"destroyed": plan.by_action("destroy")}, f"{_list(there)} would be destroyed", foreign)
    done = _called(call, "destroy", given)
    gone = {one: facts(seen.entries[one]) for one, entry in done.nodes.items() if entry.get("result")}
    return _done(done, {"destroyed": gone}, foreign)


# roles


def scaled(given: Mapping[str, Any], call: Call, *, test: bool) -> Outcome:
    """Scale a role; ``given`` holds the arguments of ``hart.scale``."""
    data = call("scale", {**given, **({"test": True} if test else {})})
    answer = read(data)
    changes: dict[str, Any] = {"created": answer.by_action("create"), "destroyed": answer.by_action("destroy")}
    before, after = (data.get(name) if isinstance(data, Mapping) else None for name in ("before", "after"))
    if before != after:
        changes["nodes"] = {"old": before, "new": after}
    role = given["role"]
    if not any(changes.values()) and not answer.failed:
        return Outcome(True, _lines([*([] if after is None else [f"{role} has {_nodes(after)}"]), *answer.notes]))
    if test:
        return _planned(answer, changes, f"{role} would have {_nodes(after)} instead of {before}")
    return _done(answer, changes)


# declared fleets


def fleets(names: Sequence[str], given: Mapping[str, Any], call: Call, *, test: bool) -> Outcome:
    """
    Make declared fleets what their declarations say; ``given`` holds the other arguments of ``hart.apply``.

    A fleet that is blocked or held is a failure. Changes that wait for a window are none.
    """
    arguments = {"fleet": list(names), **given, **({"test": True} if test else {})}
    returned = call("apply", {name: one for name, one in arguments.items() if one is not None})
    found, answer = _read_fleets(returned)
    missing = [f"{name} was not changed" for name in names if name not in found]
    if missing and not answer.failed:  # a job of a reactor leaves out a fleet that another call changes
        return Outcome(False, _lines([*missing, *answer.notes]))
    if test:
        return _fleets_planned(found, answer)
    changes = {"created": answer.by_action("create"), "destroyed": answer.by_action("destroy")}
    outcome = _done(answer, {**changes, "baked": _baked(returned)})
    states = [] if answer.failed else _states(found)
    return replace(outcome, comment=_lines([*states, *filter(None, [outcome.comment])]))


def _read_fleets(data: Any) -> tuple[dict[str, Any], Answer]:
    """Return what ``hart.apply`` returned: the fleets, and the rest, in both versions of results."""
    if not isinstance(data, Mapping) or "version" in data:
        answer = read(data)
        found = dict(data.get("fleets", {})) if isinstance(data, Mapping) else {}
    else:
        found = {name: one for name, one in data.items() if isinstance(one, Mapping) and "state" in one}
        rest = {name: one for name, one in data.items() if name not in found and name not in ("nodes", "bakes")}
        answer = read({**rest, **data.get("nodes", {})})
        answer = replace(answer, problems=[*answer.problems, *data.get("errors", ())])
    notes = [note for one in found.values() for note in one["notes"]]
    return found, replace(answer, notes=list(dict.fromkeys([*answer.notes, *notes])))


def _baked(data: Any) -> dict[str, Any]:
    """Return the image of each role of which ``hart.apply`` made one."""
    bakes = data.get("bakes", {}) if isinstance(data, Mapping) else {}
    return {role: one.get("image") for role, one in bakes.items() if isinstance(one, Mapping) and one.get("result")}


def _states(found: Mapping[str, Any], states: Sequence[str] = ()) -> list[str]:
    """Return a line about each fleet, or about those in one of ``states``."""
    return [
        f"{name} is {one['state']}, {one['nodes'].get('ready', 0)} of {_nodes(one['wanted'])} ready"
        + (f": {one['why']}" if one["why"] else "")
        for name, one in found.items()
        if not states or one["state"] in states
    ]


def _fleets_planned(found: Mapping[str, Any], answer: Answer) -> Outcome:
    bad = _states(found, ("blocked", "held"))
    if bad or answer.failed:
        return Outcome(False, _lines([*answer.errors, *bad]))
    planned = {name: [*one["actions"], *one["following"]] for name, one in found.items()}
    if not any(planned.values()):
        return Outcome(True, _lines(_states(found)), warnings=answer.notes)
    sentences = [f"{name} would change: {_counted(actions)}" for name, actions in planned.items() if actions]
    return _planned(answer, {"planned": _not_empty(planned)}, _lines(sentences))


def _counted(actions: Sequence[Mapping[str, Any]]) -> str:
    numbers = Counter(action["action"] for action in actions)
    return ", ".join(
        "an image to bake" if word == "bake" else f"{_nodes(number)} to {word}" for word, number in numbers.items()
    )


# results


def _called(call: Call, function: str, given: Mapping[str, Any]) -> Answer:
    return read(call(function, {name: value for name, value in given.items() if value is not None}))


def _planned(plan: Answer, changes: Mapping[str, Any], comment: str, warnings: Sequence[str] = ()) -> Outcome:
    if plan.failed:
        return Outcome(False, _lines(plan.errors))
    return Outcome(None, comment, _not_empty(changes), [*plan.notes, *warnings])


def _done(answer: Answer, changes: Mapping[str, Any], warnings: Sequence[str] = ()) -> Outcome:
    parts = [f"{action}: {_list(list(nodes))}" for action, nodes in changes.items() if nodes and action != "nodes"]
    comment = _lines([*answer.errors, *parts])
    return Outcome(not answer.failed, comment, _not_empty(changes), [*answer.notes, *warnings])


def _not_empty(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in changes.items() if part}


def _lines(sentences: Sequence[str]) -> str:
    return "\n".join(sentences)


def _list(ids: Sequence[str]) -> str:
    return ", ".join(ids)


def _nodes(number: int | None) -> str:
    return f"{number} node" if number == 1 else f"{number} nodes"


def _are(ids: Sequence[str]) -> str:
    return "is" if len(ids) == 1 else "are"
