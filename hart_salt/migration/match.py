"""Whether an instance is the machine of a minion that hart did not create, and what is known of it then. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hart_salt.base.errors import Refused
from hart_salt.base.names import check_minion_id
from hart_salt.inventory.records import IMPORTING, READY, Record
from hart_salt.master.keys import ACCEPTED, STATE_WORDS
from hart_salt.model import Candidate, Instance

#: grains that are asked for
GRAINS = ("ipv4", "ipv6", "roles")
LOOPBACK = ("127.0.0.1", "::1")  #: what every machine has


@dataclass(frozen=True)
class ImportRequest:
    """A minion that is to be imported, and where its machine is."""

    minion_id: str
    provider: str
    #: the provider's name of the instance (default: it is found by its name)
    instance_id: str | None = None
    region: str | None = None
    #: as the caller says
    role: str | None = None
    #: what other records say of it, such as hart's own: less than anything else counts
    noted: Noted | None = None


@dataclass(frozen=True)
class Noted:
    """What somebody's notes say about a minion; they may be old."""

    instance_id: str | None = None
    roles: tuple[str, ...] = ()
    addresses: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Known:
    """What this master knows of a minion."""

    owner: str
    master_id: str
    #: the roles of the configuration
    roles: Collection[str]
    #: of the keys of that id
    states: Sequence[str]
    #: None: the minion did not answer
    grains: Mapping[str, Any] | None
    record: Record | None
    #: the minion ids of all records, by provider and instance
    machines: Mapping[tuple[str, str], str]


@dataclass(frozen=True)
class Match:
    """The one instance that is the minion's machine."""

    instance: Instance
    role: str | None
    #: it is this master's by its tags already
    owned: bool
    #: and they say what they are to say
    tagged: bool
    #: its record and its tags say what they are to say: nothing is to be done
    done: bool
    notes: list[str] = field(default_factory=list)


def refuse_minion(request: ImportRequest, known: Known) -> None:
    """Raise ``Refused`` for what no import can help, before a provider is asked."""
    if problem := check_minion_id(request.minion_id, known.master_id):
        raise Refused(f"it {problem}")
    if ACCEPTED not in known.states:
        states = " and ".join(STATE_WORDS[state] for state in known.states)
        there = f"its key is {states}" if states else "there is no key of that id"
        raise Refused(f"it is no minion of this master: {there}; accept its key first, with salt-key -a")
    record = known.record
    if record is None:
        return
    if record.stage not in (READY, IMPORTING):
        more = f"salt-run hart.show {request.minion_id} tells more"
        raise Refused(f"it is a node that was left at {record.stage}; {more}")
    if record.provider != request.provider:
        raise Refused(f"it is a node already, at the provider {record.provider}")
    if record.stage == READY and request.role not in (None, record.role):
        raise Refused(f"it is a node already, with {_role_words(record.role)}; an import changes no node's role")


def match(request: ImportRequest, found: Sequence[Candidate], known: Known) -> Match:
    """Decide which instance it is. Raises ``Refused`` for none, for several, and for one that is not the minion's."""
    candidate = _only(request, found)
    instance = candidate.instance
    _refuse_owned(request, candidate, known)
    notes = _compared(instance, known, request)
    ready = known.record is not None and known.record.stage == READY
    role, more = (known.record.role, []) if known.record and ready else _role(request, candidate, known)
    owned = candidate.owner == known.owner
    tagged = owned and (instance.minion_id, instance.role) == (request.minion_id, role)
    return Match(instance, role, owned, tagged, tagged and ready, notes + more)


def _only(request: ImportRequest, found: Sequence[Candidate]) -> Candidate:
    where = request.provider + (f" in {request.region}" if request.region else "")
    if not found and request.instance_id:
        raise Refused(f"{where} has no instance {request.instance_id}")
    if not found:
        raise Refused(f"{where} has no instance of its name; say which it is, with instance_id=")
    if len(found) > 1:
        listed = ", ".join(sorted(describe(one) for one in found))
        raise Refused(f"{where} has {len(found)} instances that it may be: {listed}; say which, with instance_id=")
    return found[0]


def describe(candidate: Candidate) -> str:
    """An instance, for people who have to choose."""
    instance = candidate.instance
    facts = (candidate.name, instance.zone or instance.region, instance.state, instance.public_ip, instance.private_ip)
    return f"{instance.instance_id} ({', '.join(fact for fact in facts if fact)})"


def _refuse_owned(request: ImportRequest, candidate: Candidate, known: Known) -> None:
    """An instance is one minion's, and one master's."""
    instance = candidate.instance
    if candidate.owner not in (None, known.owner):
        raise Refused(
            f"{describe(candidate)} belongs to another master of hart's, {candidate.owner} by its tag hart-owner: "
            "it is that one's to manage"
        )
    if candidate.owner == known.owner and instance.minion_id != request.minion_id:
        raise Refused(f"{describe(candidate)} is this master's node {instance.minion_id} already")
    whose = known.machines.get((request.provider, instance.instance_id), request.minion_id)
    if whose != request.minion_id:
        raise Refused(f"{describe(candidate)} is the machine of the node {whose}")
    record = known.record
    if record is not None and record.stage == READY and record.instance_id != instance.instance_id:
        raise Refused(f"it is a node already, with the instance {record.instance_id}; this is {describe(candidate)}")


def _compared(instance: Instance, known: Known, request: ImportRequest) -> list[str]:
    """
    Hold the minion's own addresses against those of the instance: they must have one in common.

    Where the minion does not answer, the addresses that were noted of it count, if the instance was found by its name
    although its id was noted.
    """
    here = frozenset(filter(None, (instance.public_ip, instance.private_ip)))
    if known.grains is None:
        noted = request.noted or Noted()
        if noted.instance_id not in (None, instance.instance_id) and here.isdisjoint(noted.addresses):
            raise Refused(
                f"it does not answer, and {instance.instance_id}, which has its name, is not the instance "
                f"{noted.instance_id} that is noted of it and has none of its addresses"
            )
        return ["the minion does not answer: that this is its machine could not be checked by its addresses"]
    theirs = _addresses(known.grains)
    if not here or not theirs:
        return ["no addresses are known of it: that this is its machine could not be checked"]
    if here.isdisjoint(theirs):
        raise Refused(
            f"{instance.instance_id} is another machine: the minion has {', '.join(sorted(theirs))}, the instance "
            f"{', '.join(sorted(here))}"
        )
    return []


def _addresses(grains: Mapping[str, Any]) -> frozenset[str]:
    """Those by which others know the minion."""
    found = []
    for name in ("ipv4", "ipv6"):
        listed = grains.get(name)
        for text in listed if isinstance(listed, list | tuple) else ():
            try:
                address = ipaddress.ip_address(str(text))
            except ValueError:
                continue
            if str(address) not in LOOPBACK and not address.is_link_local:
                found.append(str(address))
    return frozenset(found)


def _role(request: ImportRequest, candidate: Candidate, known: Known) -> tuple[str | None, list[str]]:
    """The caller's word, then that of the tags, of the minion's grain, and of what was noted."""
    said = request.role or candidate.instance.role
    if said:
        return said, []
    grain = _names((known.grains or {}).get("roles"))
    for names in (grain, list(request.noted.roles) if request.noted else []):
        fitting = [name for name in names if name in known.roles]
        if len(fitting) == 1:
            return fitting[0], []
        if names:
            why = f"{len(fitting)} of these" if fitting else "none of them"
            return None, [f"it has no role for hart: its roles are {', '.join(names)}, and {why} is a role of hart's "
                          "configuration; say which, with role="]  # fmt: skip
    return None, []


def _names(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value] if value else []
    return [str(name) for name in value] if isinstance(value, list | tuple) else []


def _role_words(role: str | None) -> str:
    return f"the role {role}" if role else "no role"
