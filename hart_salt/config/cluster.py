"""
The settings of hart on this master as a whole, which no node has: they stand directly under ``hart:`` only.

A new one is a field of ``Cluster``: the loader reads it, and the reference lists it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PlainValidator

from hart_salt.base.concurrency import MAX_CALLS
from hart_salt.base.redaction import Secrets
from hart_salt.base.text import suggestion
from hart_salt.config.coordination import FILE, as_coordination, passwords
from hart_salt.config.settings import NO_VALUE, Count, Endpoint, Flag, Seconds, Secret, Section, Text, as_text, problem
from hart_salt.config.validation import check_field, check_section, is_secret, name_problem, written_name

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
#: what ends a minion id in Salt's targets, or is a pattern there
_PATTERN = re.compile(r"[\s,*?\[\]/\\]")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")


def as_minion_id(value: Any) -> str:
    """Return the id of one minion; it is a target of jobs, so it must not match others."""
    name = as_text(value)
    if _PATTERN.search(name):
        raise problem("must be the id of one minion, without spaces, commas, slashes and patterns")
    return name


def as_host(value: Any) -> str:
    """Return a host name or an IP address without a port."""
    host = as_text(value)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if not _HOST.fullmatch(host):
            raise problem("must be a host name or an IP address, without a port") from None
    return host


class Peer(Section):
    """Another master of the same nodes: how hart reaches it, and where nodes do."""

    minion: Annotated[str, PlainValidator(as_minion_id)] | None = Field(
        None,
        description="The id of the minion on the other master's machine, which is also a minion of this master. "
        "hart-salt must be installed in its Python.",
    )
    api: Endpoint | None = Field(
        None, description="The address of salt-api on the other master, if not `minion`. hart-salt is installed there."
    )
    username: Text | None = Field(
        None, description="The user for `api`, who may call the runner function `hart.peer_keys`."
    )
    password: Secret | None = Field(None, description="The password of that user.")
    eauth: Text = Field("pam", description="The module that checks the password there.")
    ca_file: Text | None = Field(
        None,
        description="Path of a file on this master with the certificate (PEM) that signed that of salt-api, such as a "
        "self-signed one. By default the system's certificate authorities are trusted.",
    )
    address: Annotated[str, PlainValidator(as_host)] | None = Field(
        None,
        description="Where nodes reach the other master: nodes get a list of all masters. Set it for all or "
        "for none, if `saltmaster` names all of them itself.",
    )
    timeout: Seconds = Field(
        60, description="Seconds for each answer of the other master. Without an answer by then, it counts as down."
    )

    def faults(self) -> list[tuple[str, str]]:
        """Return what is missing or contradicts itself: the setting, and the end of a sentence about it."""
        if self.minion is not None and self.api is not None:
            return [("", "has both minion and api; keep one")]
        if self.minion is None and self.api is None:
            return [("", "needs either minion or api: the minion on that master's machine, or its salt-api")]
        if self.api is None:
            alone = [name for name in ("username", "password", "eauth", "ca_file") if name in self.model_fields_set]
            return [(name, "is only used with api") for name in alone]
        missing = [name for name in ("username", "password") if getattr(self, name) is None]
        return [(name, "is missing: salt-api asks for it") for name in missing]


def as_peers(value: Any) -> dict[str, Peer]:
    """Return the peers, which ``Reader`` has made."""
    if not isinstance(value, Mapping):
        raise problem("must be a mapping of names to masters")
    return dict(value)


class Cluster(Section):
    """hart on this master, beside other masters."""

    #: settings whose values are mappings of sections of their own
    SECTIONS: ClassVar[Mapping[str, type[Section]]] = {"masters": Peer}

    masters: Annotated[dict[str, Peer], PlainValidator(as_peers)] = Field(
        default_factory=dict,
        description="The other masters of the same nodes, by names of your choice; see below. Only for masters that "
        "do not share their key store.",
    )
    coordination: Annotated[str, PlainValidator(as_coordination)] = Field(
        FILE,
        description="What keeps the calls of several masters apart: `file`, which are locks of this machine, or the "
        "address of a server that all masters reach: `redis://:PASSWORD@host:6379/0`, `etcd3+http://host:2379` or "
        "`mysql://user:PASSWORD@host/database`. All but `file` need the extra `cluster` and a shared record store.",
    )
    single_master: Flag = Field(
        False,
        description="Whether no other master uses the record store, although it is one that masters can share. Then "
        "`coordination` can be `file`.",
    )
    masters_down: Literal["refuse", "allow"] = Field(
        "refuse",
        description="What a create does if another master does not answer: `refuse`, or `allow`, which creates the "
        "nodes with a note; `hart.sync_keys` adds the missing keys later. A master that answers but cannot do what "
        "hart asks is always refused.",
    )
    max_calls: Count = Field(
        MAX_CALLS,
        description="How many calls that change something run at the same time on this machine; further calls wait for "
        "their turn. Queries and `test=True` do not count.",
    )
    result_version: Literal[1, 2] = Field(
        2,
        description="The shape of what every function returns. `1` is that of hart-salt 1.0, for programs that still "
        "read it; the next major release removes it.",
    )


FIELDS = frozenset(Cluster.model_fields)


class Reader:
    """
    Reads these settings from one source.

    ``fault`` gets each path with what is wrong; ``secrets`` gets secret values.
    """

    def __init__(self, fault: Callable[[str, str], None], secrets: Secrets) -> None:
        self._fault = fault
        self._secrets = secrets

    def read(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values that are right, as text, numbers and mappings that can be merged with another source's."""
        found = {}
        for name in FIELDS & data.keys():
            value, path = data[name], f"hart:{name}"
            if name in Cluster.SECTIONS:
                found[name] = self._sections(path, value, Cluster.SECTIONS[name])
                continue
            kept, wrong = self._checked(Cluster, name, value)
            if wrong:
                self._fault(path, wrong)
            else:
                found[name] = kept
        return found

    def _sections(self, path: str, value: Any, section: type[Section]) -> dict[str, dict[str, Any]]:
        if not isinstance(value, Mapping):
            self._fault(path, NO_VALUE if value is None else "must be a mapping of names to masters")
            return {}
        return {
            str(name): self._section(f"{path}:{written_name(name)}", name, item, section)
            for name, item in value.items()
        }

    def _section(self, path: str, name: Any, value: Any, section: type[Section]) -> dict[str, Any]:
        if not isinstance(name, str):
            self._fault(path, name_problem(name))
        elif not _NAME.fullmatch(name):
            self._fault(path, "a master's name may hold only letters, digits, '.', '-' and '_'")
        if not isinstance(value, Mapping):
            self._fault(path, NO_VALUE if value is None else "must be a mapping")
            return {}
        found = {}
        for key, item in value.items():
            place = f"{path}:{written_name(key)}"
            if not isinstance(key, str):
                self._fault(place, name_problem(key))
            elif key not in section.model_fields:
                self._fault(place, f"unknown setting{suggestion(key, section.model_fields)}")
            else:
                kept, wrong = self._checked(section, key, item)
                if wrong:
                    self._fault(place, wrong)
                else:
                    found[key] = kept
        return found

    def _checked(self, section: type[Section], name: str, value: Any) -> tuple[Any, str | None]:
        if is_secret(section, name):
            self._secrets.add(value)
        if name == "coordination":
            self._secrets.add(passwords(value))
        kept, wrong = check_field(section, name, value)
        return kept, NO_VALUE if value is None else wrong


def made(tree: Mapping[str, Any], fault: Callable[[str, str], None]) -> Cluster:
    """
    Return the settings of all sources, merged in ``tree``; ``fault`` gets what is wrong with them as a whole.

    With a fault, the result has defaults in its place.
    """
    values = dict(tree)
    values["masters"] = {
        name: peer
        for name, given in tree.get("masters", {}).items()
        if (peer := _peer(f"hart:masters:{name}", given, fault)) is not None
    }
    cluster, problems = check_section(Cluster, values)
    for name, wrong in problems:
        fault(f"hart:{name}", wrong)
    _refuse_twice(cluster or Cluster(), fault)
    return cluster or Cluster()


def _peer(path: str, given: Mapping[str, Any], fault: Callable[[str, str], None]) -> Peer | None:
    peer: Peer | None
    peer, problems = check_section(Peer, given)
    problems += peer.faults() if peer is not None else []
    for name, wrong in problems:
        fault(f"{path}:{name}" if name else path, wrong)
    return peer


def _refuse_twice(cluster: Cluster, fault: Callable[[str, str], None]) -> None:
    """Two names for one master would be two votes of one key store."""
    seen: dict[tuple[str, str], str] = {}
    for name, peer in cluster.masters.items():
        for kind in ("minion", "api", "address"):
            value = getattr(peer, kind)
            if value is not None and seen.setdefault((kind, value), name) != name:
                fault(f"hart:masters:{name}:{kind}", f"is also that of {seen[kind, value]}")


def others_of(cluster: Cluster, master_id: str) -> dict[str, Peer]:
    """
    Return the other masters: all entries but this master's own, so all masters can have the same configuration.

    An entry is a master's own if its name or its ``minion`` is the master's id, with or without Salt's ``_master``.
    """
    own = {master_id, master_id.removesuffix("_master")}
    return {name: peer for name, peer in cluster.masters.items() if name not in own and peer.minion not in own}
