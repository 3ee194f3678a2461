"""The decision whether an instance is the machine of a minion that hart did not create. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hart_salt.base.errors import Refused
from hart_salt.base.names import check_minion_id, is_bake_id
from hart_salt.inventory.records import IMPORTING, READY, Record
from hart_salt.master.keys import ACCEPTED, STATE_WORDS
from hart_salt.model import Candidate, Instance

#: the grains that the minion is asked for
GRAINS = ("ipv4", "ipv6", "roles")
LOOPBACK = ("127.0.0.1", "::1")  #: the addresses that every machine has


@dataclass(frozen=True)
class ImportRequest:
    """A minion to import, and where its machine is."""

    minion_id: str
    provider: str
    #: the provider's id of the instance (default: it is found by its name)
    instance_id: str | None = None
    region: str | None = None
    #: the role that the caller names
    role: str | None = None
    #: facts from other records, such as hart's own store; anything else takes precedence
    noted: Noted | None = None


@dataclass(frozen=True)
class Noted:
    """Facts from other records about a minion; they may be outdated."""

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
    #: the states of the keys with that id
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
    #: its tags already name this master
    owned: bool
    #: and they name this minion and role
    tagged: bool
    #: its record and its tags are already complete: nothing needs to be done
    done: bool
    notes: list[str] = field(default_factory=list)


def refuse_minion(request: ImportRequest, known: Known) -> None:
    """Raise ``Refused`` for anything that rules out an import, before a provider is queried."""
    if problem := check_minion_id(request.minion_id, known.master_id):
        raise Refused(f"it {problem}")
    if is_bake_id(request.minion_id):
        raise Refused("only hart.bake makes such ids, and hart.sweep removes its nodes; give it another id")
    if ACCEPTED not in known.states:
        states = " and ".join(STATE_WORDS[state] for state in known.states)
        there = f"its key is {states}" if states else "there is no key with that id"
        # hart's store has the salt-masters too that it created, which have no role.
        maybe = request.noted is not None and not states and not request.noted.roles
        master = "; a salt-master that hart created is in its store too, and cannot be imported" if maybe else ""
        raise Refused(f"it is not a minion of this master: {there}; accept its key first, with salt-key -a{master}")
    record = known.record
    if record is None:
        return
    if record.stage not in (READY, IMPORTING):
        more = f"salt-run hart.show {request.minion_id} shows more"
        raise Refused(f"it is a node that stopped at the stage {record.stage}; {more}")
    if record.provider != request.provider:
        raise Refused(f"it is already a node, at the provider {record.provider}")
    if record.stage == READY and request.role not in (None, record.role):
        raise Refused(f"it is already a node, with {_role_words(record.role)}; an import does not change a node's role")


def match(request: ImportRequest, found: Sequence[Candidate], known: Known) -> Match:
    """
    Return the instance of the minion. Raises ``Refused`` if there is none, several, or one that is not the minion's.
    """
    candidate = _only(request, found)
    instance = candidate.instance
    _refuse_owned(request, candidate, known)
    notes = _compared(instance, known, request)
    noted = request.noted.instance_id if request.noted else None
    if noted not in (None, instance.instance_id):
        notes.append(f"hart's store has the id {noted}, with which there is no instance; it was found by its name")
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
        raise Refused(f"{where} has no instance with its name; name the instance, with instance_id=")
    if len(found) > 1:
        listed = ", ".join(sorted(describe(one) for one in found))
        raise Refused(f"{where} has {len(found)} possible instances: {listed}; name one of them, with instance_id=")
    return found[0]


def describe(candidate: Candidate) -> str:
    """Return a description of an instance for people who have to choose."""
    instance = candidate.instance
    facts = (candidate.name, instance.zone or instance.region, instance.state, instance.public_ip, instance.private_ip)
    return f"{instance.instance_id} ({', '.join(fact for fact in facts if fact)})"


def _refuse_owned(request: ImportRequest, candidate: Candidate, known: Known) -> None:
    """Refuse an instance that belongs to another minion or to another master."""
    instance = candidate.instance
    if candidate.owner not in (None, known.owner):
        raise Refused(
            f"{describe(candidate)} belongs to another master of hart's, {candidate.owner} by its tag hart-owner: "
            "only that master can manage it"
        )
    if candidate.owner == known.owner and instance.minion_id != request.minion_id:
        raise Refused(f"{describe(candidate)} is already this master's node {instance.minion_id}")
    whose = known.machines.get((request.provider, instance.instance_id), request.minion_id)
    if whose != request.minion_id:
        raise Refused(f"{describe(candidate)} is the machine of the node {whose}")
    record = known.record
    if record is not None and record.stage == READY and record.instance_id != instance.instance_id:
        raise Refused(f"it is already a node, with the instance {record.instance_id}; this is {describe(candidate)}")


def _compared(instance: Instance, known: Known, request: ImportRequest) -> list[str]:
    """
    Compare the minion's own addresses with those of the instance: they must have one in common.

    If the minion does not answer, the noted addresses count, provided that the instance was found by its name although
    another id was noted.
    """
    here = frozenset(filter(None, (instance.public_ip, instance.private_ip)))
    if known.grains is None:
        noted = request.noted or Noted()
        if noted.instance_id not in (None, instance.instance_id) and here.isdisjoint(noted.addresses):
            raise Refused(
                f"it does not answer, and {instance.instance_id}, which has its name, is not the instance "
                f"{noted.instance_id} of its notes and has none of the addresses there"
            )
        return ["the minion does not answer, so its addresses could not confirm that this is its machine"]
    theirs = _addresses(known.grains)
    if not here or not theirs:
        return ["no addresses are known, so they could not confirm that this is its machine"]
    if here.isdisjoint(theirs):
        raise Refused(
            f"{instance.instance_id} is a different machine: the minion has {', '.join(sorted(theirs))}, the instance "
            f"{', '.join(sorted(here))}"
        )
    return []


def _addresses(grains: Mapping[str, Any]) -> frozenset[str]:
    """Return the addresses by which other machines know the minion."""
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
    """Return the role: from the caller, else from the tags, from the minion's grain, or from the notes."""
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
            return None, [f"it gets no role: its roles are {', '.join(names)}, and {why} is a configured role of hart; "
                          "name one, with role="]  # fmt: skip
    return None, []


def _names(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value] if value else []
    return [str(name) for name in value] if isinstance(value, list | tuple) else []


def _role_words(role: str | None) -> str:
    return f"the role {role}" if role else "no role"
