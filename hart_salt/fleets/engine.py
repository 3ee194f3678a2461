"""
One look of the engine: plan all fleets, report what changed, and begin the jobs that have something to do.

A look changes no node itself. All that it knows is in the record store before anything follows from it: the jobs that
it is about to begin, and the events that it is about to fire. So it can be killed at any point; the next look, of this
master or of another one, continues from there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from hart_salt.fleets import pace
from hart_salt.fleets.actions import BAKE, BLOCKED, CHANGING, CREATE, DESTROY, HELD, STEADY, Plan
from hart_salt.fleets.engine_state import EngineState, FleetNote
from hart_salt.fleets.leadership import EngineHost
from hart_salt.inventory.job_files import Outcome

#: stands for the nodes outside of fleets whose ttl has ended; no fleet has this name
OUTSIDE = ""
#: jobs at the same time; each works on one fleet
MAX_JOBS = 4
#: seconds within which a job must have begun: a master under load takes long to start one
START = 180.0
#: seconds before the end of a node at which it is announced
ENDING = 3600.0
UNCHANGED = "the job ended, but the fleet needs the same changes as before"
NOT_STARTED = "the master did not start the job"


class Jobs(Protocol):
    """The jobs of this machine; see ``job_files``."""

    def is_running(self, token: str) -> bool: ...
    def has_begun(self, token: str) -> bool: ...
    def outcome(self, token: str) -> Outcome: ...
    def forget(self, token: str) -> None: ...


@dataclass(frozen=True)
class Ending:
    """A node with an end: its id, when it ends in seconds since the epoch, and what the event has besides."""

    minion_id: str
    ends: float
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Tools:
    """What one look sees and can do. Times are seconds since the epoch."""

    me: EngineHost
    interval: float
    clock: Callable[[], float]
    #: return the plan of every fleet by its name; see ``plain``
    plan: Callable[[], Mapping[str, Mapping[str, Any]]]
    #: return the nodes of this master that have an end
    ends: Callable[[], Sequence[Ending]]
    jobs: Jobs
    new_token: Callable[[], str]
    #: begin a job for a fleet, and return its id
    begin: Callable[[str, str], str]
    #: fire an event
    fire: Callable[[str, Mapping[str, Any]], None]
    #: write the document
    write: Callable[[EngineState], None]
    #: raise an exception if this master has lost the lock of the engine
    check: Callable[[], None]


@dataclass(frozen=True)
class Looked:
    """What came of a look."""

    state: EngineState
    #: sentences for the log of the master
    messages: list[str] = field(default_factory=list)


def look(tools: Tools, before: EngineState) -> Looked:
    """
    Look once, as the leader. ``before`` is the document in the store.

    Raises what the plan raises; nothing has been begun then.
    """
    began = tools.clock()
    messages: list[str] = []
    reaped = {name: _reaped(name, note, tools, messages) for name, note in before.fleets.items()}
    plans = tools.plan()
    now = tools.clock()
    fleets = {name: _noted(reaped.get(name), plan, now) for name, plan in plans.items()}
    # A fleet that is no longer declared is remembered as long as its job runs: it must not get a second one.
    gone = {name: note for name, note in reaped.items() if name not in plans and note.runs}
    messages += [text for name, note in fleets.items() for text in _changes(name, before.fleets.get(name), note)]
    state, events = _announced(replace(before, fleets={**fleets, **gone}), tools.ends(), now)
    events = [*_events(before, fleets, plans), *events]
    chosen = chosen_fleets(fleets, plans, len(gone), now)
    for name in chosen:
        state = replace(state, fleets={**state.fleets, name: _intended(state.fleets[name], plans[name], tools, now)})
    state = replace(
        state, leader=tools.me.master, machine=tools.me.machine, looks=before.looks + 1, interval=tools.interval,
        error="", failed=0.0, unsent=[*before.unsent, *events],
    )  # fmt: skip
    tools.check()
    tools.write(state)
    for tag, data in state.unsent:
        tools.fire(tag, data)
    state = replace(state, unsent=[])
    for name in chosen:
        state = _begun(state, name, tools, messages)
    ended = tools.clock()
    state = replace(state, looked=ended, took=round(max(0.0, ended - began), 3))
    tools.write(state)
    return Looked(state, messages)


# the jobs


def _reaped(name: str, note: FleetNote, tools: Tools, messages: list[str]) -> FleetNote:
    """Return the note with what became of the fleet's job."""
    if not note.runs or tools.jobs.is_running(note.token):
        return note
    if not tools.jobs.has_begun(note.token):
        if tools.clock() - note.begun < START:
            return note
        outcome = Outcome(False, NOT_STARTED)
    else:
        outcome = tools.jobs.outcome(note.token)
        tools.jobs.forget(note.token)
    if outcome.ok:
        return replace(note, runs=False)
    return _failed(name, replace(note, runs=False), outcome.error, tools, messages)


def _failed(name: str, note: FleetNote, error: str, tools: Tools, messages: list[str]) -> FleetNote:
    """Return the note after a job that failed: the next one waits. Each new reason is one line of the log."""
    if error != note.error:
        messages.append(f"the job {note.jid or 'hart.apply'} for {_named(name)} failed: {error}")
    failures = note.failures + 1
    wait = pace.back_off(tools.interval, failures)
    return replace(note, failures=failures, error=error, not_before=tools.clock() + wait, work="")


def _named(name: str) -> str:
    return "nodes outside of fleets" if name == OUTSIDE else f"the fleet {name}"


def _intended(note: FleetNote, plan: Mapping[str, Any], tools: Tools, now: float) -> FleetNote:
    """Return the note of a fleet that is about to get a job."""
    return replace(note, token=tools.new_token(), jid="", begun=now, runs=True, work=shape(plan))


def _begun(state: EngineState, name: str, tools: Tools, messages: list[str]) -> EngineState:
    """Begin the job of a fleet, and return the state with its id."""
    note = state.fleets[name]
    tools.check()
    try:
        note = replace(note, jid=tools.begin(name, note.token))
    except Exception as error:  # the other fleets get theirs
        note = _failed(name, replace(note, runs=False), str(error) or type(error).__name__, tools, messages)
    return replace(state, fleets={**state.fleets, name: note})


def chosen_fleets(
    fleets: Mapping[str, FleetNote], plans: Mapping[str, Mapping[str, Any]], others: int, now: float
) -> list[str]:
    """
    Return the fleets that get a job now: those with something to do, without a job, that are not waiting after one that
    failed. The one whose last job is longest ago comes first, and of the fleets of one role only one gets a job.

    The job of ``OUTSIDE`` works on all fleets, so it waits for the others, and then they wait for it. ``others`` is the
    number of jobs that run for fleets which are no longer declared.
    """
    running = [note for note in fleets.values() if note.runs]
    baked = {note.role for note in running if _only_bakes(note)}
    roles = {note.role for note in running if not _only_bakes(note)}
    wanted = [name for name, note in fleets.items() if _is_due(note, plans[name], baked, now)]
    if OUTSIDE in wanted or fleets.get(OUTSIDE) in running:
        return [OUTSIDE] if not running and not others else []
    found: list[str] = []
    for name in sorted(wanted, key=lambda name: (fleets[name].begun, name)):
        if fleets[name].role not in roles and len(running) + others + len(found) < MAX_JOBS:
            found.append(name)
            roles.add(fleets[name].role)
    return found


def _is_due(note: FleetNote, plan: Mapping[str, Any], baked: Collection[str], now: float) -> bool:
    """
    Return whether a fleet needs a job now; the roles of those with a job are not free, unless that job only bakes.

    Such a job leaves the nodes to others, which can repair them in the meantime. ``baked`` are the roles of such jobs.
    """
    actions = [one for one in plan["actions"] if one["action"] != BAKE or note.role not in baked]
    return bool(actions) and note.state not in (BLOCKED, HELD) and now >= note.not_before


def _only_bakes(note: FleetNote) -> bool:
    """Return whether the job of a fleet was begun for a bake and nothing else."""
    return note.work.startswith(json.dumps([[[BAKE, ""]]])[:-1] + ",")


def shape(plan: Mapping[str, Any]) -> str:
    """
    Return what a plan would do and how many nodes there are.

    The names of new nodes, which differ from plan to plan, are not in it, and neither are reasons.
    """
    found = [[one["action"], "" if one["action"] == CREATE else str(one["minion_id"] or "")] for one in plan["actions"]]
    return json.dumps([sorted(found), plan["later"], sorted(plan["counts"].items())])


def plain(plans: Mapping[str, Plan], roles: Mapping[str, str], *, outside: bool) -> dict[str, dict[str, Any]]:
    """
    Return plans as a look uses them: ``state``, ``why``, ``role``, ``actions``, ``later`` (a number) and ``counts``.

    ``outside`` says whether the ttl of a node outside of fleets has ended.
    """
    found: dict[str, dict[str, Any]] = {
        name: {
            "state": one.state, "why": one.why, "role": roles.get(name, ""), "later": len(one.later),
            "actions": [{"action": it.kind, "minion_id": it.minion_id} for it in one.actions],
            "counts": {"wanted": one.wanted, **one.counts},
        }
        for name, one in plans.items()
    }  # fmt: skip
    if outside:
        found[OUTSIDE] = {
            "state": CHANGING, "why": "the ttl of nodes has ended", "role": OUTSIDE, "later": 0, "counts": {},
            "actions": [{"action": DESTROY, "minion_id": None}],
        }  # fmt: skip
    return found


# what is reported


def _noted(note: FleetNote | None, plan: Mapping[str, Any], now: float) -> FleetNote:
    """Return the note of a fleet with its plan."""
    known = note or FleetNote(plan["state"], since=now)
    state = CHANGING if known.runs and plan["state"] == STEADY else plan["state"]
    found = replace(
        known, state=state, why=plan["why"], role=plan["role"], since=known.since if known.state == state else now,
        actions=len(plan["actions"]), later=plan["later"],
    )  # fmt: skip
    if found.runs:
        return found
    if found.work and found.work == shape(plan):  # its job has succeeded
        wait = pace.back_off(pace.LEAST * 2, found.failures + 1)
        return replace(found, failures=found.failures + 1, error=UNCHANGED, not_before=now + wait, work="")
    if found.work or not found.actions:
        return replace(found, failures=0, error="", not_before=0.0, work="")
    return found


def _changes(name: str, before: FleetNote | None, note: FleetNote) -> list[str]:
    """Return a sentence for the log if a fleet is blocked, or no longer."""
    was = before.state if before else ""
    if note.error == UNCHANGED and (before is None or before.error != UNCHANGED):
        return [f"{_named(name)}: {UNCHANGED} (job {note.jid}); see salt-run hart.plan {name}".rstrip()]
    if note.state == BLOCKED and was != BLOCKED:
        return [f"the fleet {name} is blocked: {note.why}"]
    if was == BLOCKED and note.state != BLOCKED:
        return [f"the fleet {name} is no longer blocked: {note.state}"]
    return []


def _events(
    before: EngineState, fleets: Mapping[str, FleetNote], plans: Mapping[str, Mapping[str, Any]]
) -> list[tuple[str, dict[str, Any]]]:
    """Return the events of the fleets whose state is another one than at the last look."""
    found: list[tuple[str, dict[str, Any]]] = []
    for name, note in fleets.items():
        known = before.fleets.get(name)
        if name == OUTSIDE:
            continue
        if known is None or known.state != note.state:
            counts = {"actions": note.actions, "later": note.later, **plans[name]["counts"]}
            data = {"fleet": name, "state": note.state, "why": note.why, "counts": counts}
            found.append((f"hart/fleet/{name}/{note.state}", data))
    return found


def _announced(
    state: EngineState, ends: Sequence[Ending], now: float
) -> tuple[EngineState, list[tuple[str, dict[str, Any]]]]:
    """
    Return the events of nodes that end within an hour, and the state that remembers them.

    An end that was moved is announced again, an hour before the new one.
    """
    near = {one.minion_id: one for one in ends if one.ends - now <= ENDING}
    events: list[tuple[str, dict[str, Any]]] = [
        (f"hart/{one.minion_id}/ending", {**one.facts, "minion_id": one.minion_id, "ends": one.ends,
                                          "seconds": max(0, round(one.ends - now))})
        for one in near.values()
        if state.ending.get(one.minion_id) != one.ends
    ]  # fmt: skip
    # A node that cannot be seen for a moment is not announced again.
    known = {minion_id: end for minion_id, end in state.ending.items() if end > now}
    return replace(state, ending={**known, **{one.minion_id: one.ends for one in near.values()}}), events
