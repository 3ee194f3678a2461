"""What ``hart.engine`` shows, from the file of this master's engine and the document in the record store."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from hart_salt.base import machine
from hart_salt.fleets.engine_state import EngineState, FleetNote
from hart_salt.fleets.leadership import MISSED, EngineHost

WORKING, FAILING, STARTING, LATE, NOT_RUNNING, NOT_CONFIGURED = (
    "working", "failing", "starting", "late", "not running", "not configured",
)  # fmt: skip
#: the name of what is not in a fleet; no fleet can have it
OTHERS = "(outside of fleets)"
#: seconds by which a look may be late, beside its own length
SLACK = 30.0


def report(
    *, configured: bool, interval: float, runs: bool, own: Mapping[str, Any], state: EngineState | None, me: EngineHost,
    now: float,
) -> tuple[dict[str, Any], list[str]]:  # fmt: skip
    """
    Return the data of ``hart.engine``, and what is wrong, in sentences.

    ``configured`` and ``interval`` (in seconds) are what the master config says now, ``runs`` whether the engine of
    this master runs, ``own`` what it said last, and ``state`` the document in the store; None: there is none.
    """
    status = _status(configured, interval, runs, own, now)
    leads = state is not None and (state.leader, state.machine) == (me.master, me.machine)
    data: dict[str, Any] = {"status": status}
    if configured or runs:
        data["interval"] = own.get("interval", interval) if runs else interval
    if state is not None and state.leader:
        data |= {"leader": f"{state.leader} ({machine.name_of(state.machine)})", "leads": leads}
    looked = _newest(own.get("looked"), state.looked if state else None)
    data |= _given(
        last_look=_time(looked), seconds=own.get("took"), next_look=_time(own.get("next")) if runs else None,
        failures=own.get("failures"), error=own.get("error") or (state.error if state else ""),
        early_looks=own.get("early"),
    )  # fmt: skip
    data["fleets"] = {name or OTHERS: fleet(note) for name, note in sorted(state.fleets.items())} if state else {}
    return data, _problems(status, configured, interval, looked, now, data.get("error", ""))


def _status(configured: bool, interval: float, runs: bool, own: Mapping[str, Any], now: float) -> str:
    if not runs:
        return NOT_RUNNING if configured else NOT_CONFIGURED
    if is_late(own, interval, now):
        return LATE
    if own.get("failures"):
        return FAILING
    return WORKING if own.get("looked") else STARTING


def is_late(own: Mapping[str, Any], interval: float, now: float) -> bool:
    """Return whether an engine has not looked for three intervals; a new one has as long for its first look."""
    since = _newest(own.get("looked"), own.get("started"))
    return since is not None and now - since > MISSED * float(own.get("interval") or interval) + SLACK


def _problems(
    status: str, configured: bool, interval: float, looked: float | None, now: float, error: str
) -> list[str]:  # fmt: skip
    if status == NOT_RUNNING:
        return [
            "the engine is configured (engines: in the master config), but it does not run: start or restart "
            "salt-master, and see its log"
        ]
    if status == LATE:
        ago = "never" if looked is None else f"{round(now - looked)} s ago"
        why = f" ({error})" if error else "; see the log of salt-master"
        return [f"the last look that succeeded was {ago}, and the interval is {interval:g} s{why}"]
    return []


def fleet(note: FleetNote) -> dict[str, Any]:
    """Return what is shown of a fleet."""
    return {
        "state": note.state,
        **_given(why=note.why, since=_time(note.since)),
        "actions": note.actions,
        "later": note.later,
        **_given(job=note.jid, job_began=_time(note.begun)),
        **({"job_runs": note.runs} if note.begun else {}),
        **_given(job_failures=note.failures, job_error=note.error, next_job=_time(note.not_before)),
    }


def _given(**facts: Any) -> dict[str, Any]:
    """Return the facts that are known."""
    return {name: value for name, value in facts.items() if value}


def _newest(*times: Any) -> float | None:
    found = [float(one) for one in times if isinstance(one, int | float) and one]
    return max(found, default=None)


def _time(seconds: Any) -> str | None:
    """Return a time in ISO 8601; None if there is none."""
    if not isinstance(seconds, int | float) or not seconds:
        return None
    return datetime.fromtimestamp(round(seconds), timezone.utc).isoformat().replace("+00:00", "Z")
