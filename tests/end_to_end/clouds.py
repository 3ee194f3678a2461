"""
The clouds that the end-to-end tests run over.

Each is described by a ``Cloud``: how its emulator is opened, what a role has to say for it, and which of its API's
calls go wrong in which ways. ``test_fault_table.py`` and ``test_real_machines.py`` do the same for all of them.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests import scope
from tests.drivers.clouds import CLOUDS
from tests.emulation import faults
from tests.emulation.backend import Backend
from tests.emulation.emulator import Emulator
from tests.emulation.faults import Fault, MachineFault

#: Every test with every cloud, which takes half as long again. Without it, what is the same code and the same machine
#: with all of them is run with one or two.
WHOLE = scope.whole


@dataclass(frozen=True)
class Case:
    """A fault, and what has to come of it."""

    name: str
    faults: tuple[Fault | MachineFault, ...]
    #: words of the message of a failure; empty: it succeeds
    told: str = ""
    count: int = 1
    #: changes of the cloud's switches, of the master's settings, and of those of the provider
    switches: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    account: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """One kind of call of an API, by what ``Fault`` knows it by."""

    method: str
    path: str
    #: of the body, where neither method nor path tells
    body: str = ""

    def fault(self, **more: Any) -> Fault:
        """A fault of this call."""
        return Fault(**{"method": self.method, "path": self.path, "body": self.body, **more})

    def lost(self, **more: Any) -> Fault:
        """It takes effect, and the connection breaks before the answer."""
        return self.fault(when="after", drop=True, **more)


#: ways in which any call can go wrong for a moment
ALL_WAYS = ("500", "500 but done", "dropped", "answer lost", "stalls", "no answer in time", "429")
#: for calls that are repeated whatever became of them
THREE_WAYS = ("500", "answer lost", "429")
PATIENCE = 1.0  #: seconds for an answer, where the test is about one that takes longer


@dataclass(frozen=True)
class Cloud:
    """One cloud."""

    #: of the provider and the driver
    name: str
    open: Callable[[Backend], Emulator]
    #: by which ``tests/machines/metadata.py`` and cloud-init know it
    datasource: str
    #: what a role has to say: ``region`` and the like
    node: Mapping[str, Any]
    create: Call
    #: lists of instances
    look: Call
    #: ends one instance
    destroy: Call
    #: an answer of 400 and more that means: do not try again, and the words that are told of it
    refusal: Mapping[str, Any]
    #: calls that change something
    changing: Call = Call("POST|PUT|PATCH|DELETE", "")
    #: how often instances are listed before anything is made
    looks_before: int = 1
    #: whether the provider is told the temporary public key, and puts it on the instance
    knows_key: bool = False
    #: what a node without a public address has to say beyond ``public_ip``, in an account that has it
    inside: Callable[[Emulator], Mapping[str, Any]] = lambda emulator: {}
    #: settings of sshd that are afterwards not as the image has them, and what they are
    sshd_changes: Mapping[str, str] = field(default_factory=dict)
    #: names of what stays in the account by design, as a regular expression
    lasting: str = ""
    #: succeeds on a machine that has booted, and run what it was given to run
    booted: str = "cloud-init status | grep -q done"
    #: done to a node before it is rebooted; then ``reran`` has to succeed on it
    before_reboot: Callable[[Any, str], None] = lambda emulator, minion_id: None
    reran: str = "true"
    #: the unit of the image that runs the startup script
    script_unit: str = "cloud-final.service"
    #: what the machine of a minion id calls itself
    hostname: Callable[[str], str] = str
    #: providers of this kind that work side by side in the table of faults
    lanes: int = 3
    #: further cases of creating, and those of destroying
    cases: Sequence[Case] = ()
    destroying: Sequence[Case] = ()

    def refused(self, **more: Any) -> Fault:
        """A create call that is refused."""
        return self.create.fault(**{name: value for name, value in self.refusal.items() if name != "told"}, **more)

    def left(self, emulator: Emulator) -> dict[str, list[str]]:
        """What is in the account and would not be there in a new one, by kind; nothing of what stays by design."""
        found = emulator.left().items()
        kept = {kind: [name for name in names if not re.fullmatch(self.lasting, name)] for kind, names in found}
        return {kind: names for kind, names in kept.items() if names}


def throttled(call: Call, retry_after: int = 1, **more: Any) -> Fault:
    """429 with Retry-After, and nothing done."""
    return call.fault(status=429, headers={"retry-after": str(retry_after)}, **more)


def hits(what: str, call: Call, told: str = "", ways: Sequence[str] = THREE_WAYS, **more: Any) -> Iterator[Case]:
    """
    A call that fails for a moment, in each of ``ways``.

    told
        what is said of a connection that broke, where the call is not repeated if it may have been done
    """
    slow: dict[str, Any] = {"account": {"api_timeout": PATIENCE}}
    found = {
        "500": Case(f"{what}: 500, nothing done", (call.fault(status=500, **more),), told and "500"),
        "500 but done": Case(f"{what}: 500, but done", (call.fault(status=500, when="after", **more),)),
        "dropped": Case(f"{what}: connection dropped", (call.fault(drop=True, **more),), told),
        "answer lost": Case(f"{what}: answer lost", (call.lost(**more),)),
        "stalls": Case(f"{what}: stalls", (call.fault(stall=1.0, **more),)),
        "no answer in time": Case(
            f"{what}: no answer in time", (call.fault(stall=PATIENCE + 1.5, when="after", **more),), **slow
        ),
        "429": Case(f"{what}: 429 with Retry-After", (throttled(call, **more),)),
    }
    return (found[way] for way in ways)


#: settings for a machine that never comes up
NEVER: Mapping[str, Any] = {"settings": {"boot_timeout": 2}}
#: for one that comes up and does not let hart in: a slow machine needs some seconds for the first attempt
SILENT: Mapping[str, Any] = {"settings": {"boot_timeout": 8}}


def common_cases(cloud: Cloud) -> list[Case]:
    """What can go wrong at every cloud, whatever its API is like."""
    poll: dict[str, Any] = {"skip": cloud.looks_before}
    return [
        *hits("poll", cloud.look, **poll),
        Case("create: refused", (cloud.refused(),), str(cloud.refusal["told"])),
        Case("poll: a gateway's page", (cloud.look.fault(status=502, answer=faults.HTML.format(502), **poll),)),
        Case("listed only seconds later", (MachineFault(hidden_for=2),)),
        Case("address comes late", (MachineFault(address_lists=1),)),
        Case("pending for ever", (MachineFault(never_active=True),), "not running within 2 s", **NEVER),
        Case("pending for ever, will not die", (MachineFault(never_active=True, refuse_delete=2),), "not up", **NEVER),
        Case("machine never boots", (MachineFault(never_boots=True),), "no SSH at", **SILENT),
        Case("another machine answers", (MachineFault(impostor=True),), "another machine answers", **SILENT),
    ]


def all_clouds() -> dict[str, Cloud]:
    """Every cloud that hart can create instances at, by its name."""
    # Imported when it is asked for: they import this module.
    return {name: importlib.import_module(f"tests.drivers.{name}.in_tables").CLOUD for name in CLOUDS}
