"""
The clouds that the end-to-end tests use.

A ``Cloud`` describes each: how its emulator starts, what a role must set for it, and which of its API's calls fail in
which ways. ``test_fault_table.py`` and ``test_real_machines.py`` do the same for all of them.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.drivers.clouds import CLOUDS
from tests.emulation import faults
from tests.emulation.backend import Backend
from tests.emulation.emulator import Emulator
from tests.emulation.faults import Fault, MachineFault


@dataclass(frozen=True)
class Case:
    """A fault, and its expected outcome."""

    name: str
    faults: tuple[Fault | MachineFault, ...]
    #: words of the failure's message; empty: the call succeeds
    message: str = ""
    count: int = 1
    #: the call that fails for a moment, if the case is one of several ways for that
    call: str = ""
    #: changes of the cloud's switches, of the master's settings, and of the provider's settings
    switches: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    account: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """One kind of API call, as ``Fault`` matches it."""

    method: str
    path: str
    #: of the body, if method and path do not identify the call
    body: str = ""

    def fault(self, **more: Any) -> Fault:
        """Return a fault of this call."""
        return Fault(**{"method": self.method, "path": self.path, "body": self.body, **more})

    def lost(self, **more: Any) -> Fault:
        """Return a fault after which the call takes effect, and the connection breaks before the answer."""
        return self.fault(when="after", drop=True, **more)


#: ways in which any call can fail for a moment
ALL_WAYS = ("500", "500 but done", "dropped", "answer lost", "stalls", "no answer in time", "429")
#: for calls that are repeated after any failure
THREE_WAYS = ("500", "answer lost", "429")
ANSWER_TIMEOUT = 1.0  #: seconds to wait for an answer, in tests of longer answers


@dataclass(frozen=True)
class Cloud:
    """One cloud."""

    #: the name of the provider and of the driver
    name: str
    open: Callable[[Backend], Emulator]
    #: the name in ``tests/machines/metadata.py`` and in cloud-init
    datasource: str
    #: what a role must set: ``region`` and the like
    node: Mapping[str, Any]
    create: Call
    #: lists instances
    look: Call
    #: terminates one instance
    destroy: Call
    #: an answer with a status of 400 or more that is not retried, and the words of its message
    refusal: Mapping[str, Any]
    #: calls that change something
    changing: Call = Call("POST|PUT|PATCH|DELETE", "")
    #: whether the provider gets the temporary public key and puts it on the instance
    knows_key: bool = False
    #: what a node without a public address must set besides ``public_ip``, in an account that has it
    inside: Callable[[Emulator], Mapping[str, Any]] = lambda emulator: {}
    #: settings of sshd that differ from the image afterwards, and their values
    sshd_changes: Mapping[str, str] = field(default_factory=dict)
    #: names of resources that stay in the account by design, as a regular expression
    lasting: str = ""
    #: succeeds on a machine that has booted and has run its user-data
    booted: str = "cloud-init status | grep -q done"
    #: done to a node before a reboot; ``reran`` must succeed after it
    before_reboot: Callable[[Any, str], None] = lambda emulator, minion_id: None
    reran: str = "true"
    #: succeeds after a reboot if the image's cloud-init did not ask the provider again; it asks at every boot of EC2
    restored: str = "grep -qE 'restored from (checked )?cache' /var/log/cloud-init.log"
    fetches_again: bool = False
    #: the unit of the image that runs the startup script
    script_unit: str = "cloud-final.service"
    #: the host name of the machine of a minion id
    hostname: Callable[[str], str] = str
    #: concurrent providers of this kind in the table of faults
    lanes: int = 3
    #: further cases of create and of destroy
    cases: Sequence[Case] = ()
    destroying: Sequence[Case] = ()

    def refused(self, **more: Any) -> Fault:
        """Return a create call that is refused."""
        return self.create.fault(**{name: value for name, value in self.refusal.items() if name != "message"}, **more)

    def left(self, emulator: Emulator) -> dict[str, list[str]]:
        """Return what is in the account and would not be in a new one, by kind, without what stays by design."""
        found = emulator.left().items()
        kept = {kind: [name for name in names if not re.fullmatch(self.lasting, name)] for kind, names in found}
        return {kind: names for kind, names in kept.items() if names}


def throttled(call: Call, retry_after: int = 1, **more: Any) -> Fault:
    """Return a 429 answer with Retry-After, after which nothing was done."""
    return call.fault(status=429, headers={"retry-after": str(retry_after)}, **more)


def hits(what: str, call: Call, message: str = "", ways: Sequence[str] = THREE_WAYS, **more: Any) -> Iterator[Case]:
    """
    Return cases of a call that fails for a moment, in each of ``ways``.

    ``message`` is the message for a broken connection if the call is not repeated because it may have taken effect.
    """
    slow: dict[str, Any] = {"account": {"api_timeout": ANSWER_TIMEOUT}}
    found = {
        "500": Case(f"{what}: 500, nothing done", (call.fault(status=500, **more),), message and "500"),
        "500 but done": Case(f"{what}: 500, but done", (call.fault(status=500, when="after", **more),)),
        "dropped": Case(f"{what}: connection dropped", (call.fault(drop=True, **more),), message),
        "answer lost": Case(f"{what}: answer lost", (call.lost(**more),)),
        "stalls": Case(f"{what}: stalls", (call.fault(stall=1.0, **more),)),
        "no answer in time": Case(
            f"{what}: no answer in time", (call.fault(stall=ANSWER_TIMEOUT + 1.5, when="after", **more),), **slow
        ),
        "429": Case(f"{what}: 429 with Retry-After", (throttled(call, **more),)),
    }
    return (dataclasses.replace(found[way], call=what) for way in ways)


#: settings for a machine that never comes up
NEVER: Mapping[str, Any] = {"settings": {"boot_timeout": 2}}
#: for one that comes up and does not let hart in: a slow machine needs some seconds for the first attempt
SILENT: Mapping[str, Any] = {"settings": {"boot_timeout": 8}}


def common_cases(cloud: Cloud) -> list[Case]:
    """Return the faults that can happen at every cloud."""
    return [
        *hits("poll", cloud.look),
        Case("create: refused", (cloud.refused(),), str(cloud.refusal["message"])),
        Case("poll: a gateway's page", (cloud.look.fault(status=502, answer=faults.HTML.format(502)),)),
        Case("listed only seconds later", (MachineFault(hidden_for=2),)),
        Case("address comes late", (MachineFault(address_lists=1),)),
        Case("pending for ever", (MachineFault(never_active=True),), "not running within 2 s", **NEVER),
        Case(
            "pending for ever, will not die",
            (MachineFault(never_active=True, refuse_delete=2),),
            "not running",
            **NEVER,
        ),
        Case("machine never boots", (MachineFault(never_boots=True),), "no SSH at", **SILENT),
        Case("another machine answers", (MachineFault(impostor=True),), "another machine answers", **SILENT),
    ]


def all_clouds() -> dict[str, Cloud]:
    """Return every cloud that hart can create instances at, by name."""
    # Imported late, because they import this module.
    return {name: importlib.import_module(f"tests.drivers.{name}.in_tables").CLOUD for name in CLOUDS}
