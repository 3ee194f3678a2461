"""
Which spot nodes their provider takes away, and when.

Two sources say it: the node's own metadata, for which the master asks its minion, and the provider's API. The event
``hart/interruption`` counts for nothing: any minion can fire it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from hart_salt.base.errors import HartError
from hart_salt.base.text import one_line
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.identity import Found
from hart_salt.master.minions import Call, Returned

FUNCTION = "hart.interruption"
TIMEOUT = 10.0  #: seconds for the answers of the minions; EC2 leaves 120 from the notice, Compute Engine 30
#: seconds from now within which an interruption can be: a notice comes two minutes before it, and clocks differ
NEAR = 600.0
SOURCES = frozenset({"ec2", "gce"})
ACTIONS = frozenset({"terminate", "stop", "hibernate"})
API = "api"  #: the source of a notice that the provider's API gave
TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ")
MOST_SHOWN = 200  #: characters of an answer in a note
MOST_NOTES = 5  #: notes about answers; the others are counted


@dataclass(frozen=True)
class Notice:
    """The announcement that a provider takes a node away."""

    #: seconds since the epoch
    ends: float
    #: one of ``ACTIONS``
    action: str
    #: ``ec2`` or ``gce`` for the metadata of the node, otherwise ``API``
    source: str


@dataclass(frozen=True)
class Notices:
    """The notices by minion id, and sentences about what could not be asked or is not believed."""

    found: Mapping[str, Notice] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Asked(Protocol):
    """What asks minions: the ``minions`` of ``master.client.Master``."""

    def call_all(self, minion_ids: Sequence[str], calls: Sequence[Call], timeout: float) -> dict[str, list[Returned]]:
        """Call functions on several minions in one job."""


def look(
    minions: Asked, driver: Callable[[str], Driver], found: Sequence[Found], present: Collection[str], now: float
) -> Notices:
    """
    Return the notices of the spot nodes among ``found``, from both sources; of two, that which ends the node first.

    Only minions in ``present`` are asked. Without a spot node nobody is.
    """
    spot = [one for one in found if one.instance.spot and one.instance.minion_id]
    from_api = at_providers(driver, spot, now)
    asked = ask(minions, [one.instance.minion_id for one in spot if one.instance.minion_id in present], now)
    notices = dict(from_api.found)
    for minion_id, notice in asked.found.items():
        if minion_id not in notices or notice.ends < notices[minion_id].ends:
            notices[minion_id] = notice
    return Notices(notices, (*from_api.notes, *asked.notes))


def ask(minions: Asked, minion_ids: Sequence[str], now: float) -> Notices:
    """
    Ask minions for their notices, all in one job. An answer decides for the minion that gave it only.

    No answer is no notice, and neither is one that is not believed; a note says so.
    """
    if not minion_ids:
        return Notices()
    answers = minions.call_all(list(minion_ids), [Call(FUNCTION)], TIMEOUT)
    notices: dict[str, Notice] = {}
    wrong: list[str] = []
    for minion_id in minion_ids:
        notice, problem = _read(answers[minion_id], now) if answers.get(minion_id) else (None, "")
        if notice:
            notices[minion_id] = notice
        wrong += [f"{minion_id} {problem}"] if problem else []
    return Notices(notices, _shortened(wrong))


def _read(returned: Sequence[Returned], now: float) -> tuple[Notice | None, str]:
    """Return the notice of one answer, or None and what is wrong with the answer."""
    answer = returned[0].value
    if not returned[0].ok or not isinstance(answer, Mapping):
        return None, f"did not run {FUNCTION}: {_shown(answer)}; see salt-run saltutil.sync_modules"
    if answer.get("notice") is not True:
        return None, f"answered for {FUNCTION}: {_shown(answer['error'])}" if answer.get("error") else ""
    ends, action, source = _end(answer, now), answer.get("action"), answer.get("source")
    known = isinstance(action, str) and action in ACTIONS and isinstance(source, str) and source in SOURCES
    if ends is None or not known:
        return None, f"answered {FUNCTION} with a notice that is not believed"
    return Notice(ends, str(action), str(source)), ""


def _end(answer: Mapping[Any, Any], now: float) -> float | None:
    """Return when a notice ends its node; None if it does not say so, or names a time that no notice can have."""
    within, time = answer.get("within"), answer.get("time")
    if isinstance(within, int) and not isinstance(within, bool) and 0 <= within <= NEAR:
        return now + within
    if not isinstance(time, str) or not TIME.fullmatch(time):
        return None
    try:
        ends = datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp()
    except ValueError:  # the 31st of February
        return None
    return ends if abs(ends - now) <= NEAR else None


def _shown(value: Any) -> str:
    return one_line(value[: 4 * MOST_SHOWN], MOST_SHOWN) if isinstance(value, str) else "it returned something else"


def _shortened(sentences: Sequence[str]) -> tuple[str, ...]:
    if len(sentences) <= MOST_NOTES:
        return tuple(sentences)
    return (*sentences[:MOST_NOTES], f"{len(sentences) - MOST_NOTES} more nodes gave no usable answer to {FUNCTION}")


def at_providers(driver: Callable[[str], Driver], found: Sequence[Found], now: float) -> Notices:
    """Return the notices of instances at their providers' APIs; an API that cannot be asked is a note."""
    notices: dict[str, Notice] = {}
    notes = []
    for provider in dict.fromkeys(one.provider.name for one in found):
        here = [one.instance for one in found if one.provider.name == provider]
        names = {one.instance_id: one.minion_id for one in here}
        try:
            ends = driver(provider).interruptions(here)
        except HartError as error:
            notes.append(f"{provider}: notices of interruptions cannot be read at the API: {error}")
            continue
        for instance_id, end in ends.items():
            if instance_id in names:
                notices[names[instance_id]] = Notice(now if end is None else end, "terminate", API)
    return Notices(notices, tuple(notes))
