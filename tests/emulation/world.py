"""What the worlds of the emulators share: instances with a fault of their own, and what handlers of calls work on."""

from __future__ import annotations

import math
import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.emulation.backend import Addresses, BootRequest, Machines
from tests.emulation.faults import NO_FAULT, Faults, MachineFault

NEVER = math.inf


@dataclass
class Settings:
    """Switches that most emulators have; they may be changed at any time. Times are seconds."""

    #: from running until the public address shows
    address_after: float = 0.0
    #: from create for so long, a delete is refused: something else is done to it
    locked_for: float = 0.0
    #: from delete until it is gone; what a second delete in between is told is the vendor's own
    gone_after: float = 0.0
    #: pages are not longer than this, whatever is asked for, so that a few instances have a second page
    page_cap: int | None = None
    #: hold every answer against the vendor's description too
    check_answers: bool = False


@dataclass(kw_only=True)
class Machine:
    """An instance, and what is left of the numbers of its fault."""

    addresses: Addresses
    created: float
    fault: MachineFault = NO_FAULT
    #: what is left of the fault's numbers
    hidden_lists: int = field(init=False)
    refuse_delete: int = field(init=False)
    ignore_delete: int = field(init=False)
    address_lists: int = field(init=False)

    def __post_init__(self) -> None:
        for name in ("hidden_lists", "refuse_delete", "ignore_delete", "address_lists"):
            setattr(self, name, getattr(self.fault, name))

    def is_listed(self, now: float, *, counts: bool = True) -> bool:
        """Whether a list shows it; each one that does not brings that nearer, if it ``counts``."""
        if self.hidden_lists:
            self.hidden_lists -= counts
            return False
        return now >= self.created + self.fault.hidden_for

    def reported(self, shown: dict[str, Any], *, running: bool) -> dict[str, Any]:
        """What is shown of it; each report of it as running brings its address nearer."""
        if running and self.address_lists:
            self.address_lists -= 1
        return shown


def fields_of(it: Any, *names: str) -> dict[str, Any]:
    """Those fields of a thing which an API shows by the names and values that they have here."""
    return {name: getattr(it, name) for name in names}


@dataclass
class World:
    """What the handlers of calls work on; ``state`` is the provider's own."""

    state: Any
    settings: Any
    machines: Machines
    faults: Faults
    clock: Callable[[], float]
    #: for what the vendor does not promise, the same in every run with the same seed
    chance: random.Random

    def over(self, instances: Mapping[Any, Any]) -> list[Any]:
        """Those that were deleted, and are gone by now."""
        now, after = self.clock(), self.settings.gone_after
        return [it for it in instances.values() if it.deleted_at is not None and now >= it.deleted_at + after]

    def tick(self) -> None:
        """Bring the state up to now."""

    def remove(self, it: Any, *more: Addresses) -> None:
        """Begin to delete an instance, and give back its addresses, also those that it has beside the first."""
        it.deleted_at = self.clock()
        self.machines.kill(str(it.id), it.addresses, *more)
        self.tick()

    def boot(self, it: Any, **more: Any) -> None:
        """Begin to boot the machine of an instance, unless its fault says that there is none."""
        fault, addresses = it.fault, it.addresses
        given = {"user_data": it.user_data, "public_ip": addresses.public, "private_ip": addresses.private, **more}
        struck = {"fail_at": fault.fail_at, "impostor": fault.impostor}
        if not fault.never_boots:
            self.machines.boot(BootRequest(instance_id=str(it.id), **given, **struck))

    def uuid(self) -> str:
        """A new UUID; the same ones in every run with the same seed."""
        return str(uuid.UUID(int=self.chance.getrandbits(128), version=4))

    def secret(self, prefix: str = "") -> str:
        """Something that must not come out; remembered, for tests to look for."""
        value = f"{prefix}{self.chance.getrandbits(96):024x}"
        self.state.secrets.append(value)
        return value
