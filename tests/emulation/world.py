"""What the worlds of the emulators share: instances with their faults, and the state for handlers of calls."""

from __future__ import annotations

import math
import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.emulation.backend import Addresses, BootRequest, Machines, NoMachines
from tests.emulation.faults import NO_FAULT, Faults, MachineFault

NEVER = math.inf


@dataclass
class Settings:
    """Switches that most emulators have. Tests can change them at any time. Times are in seconds."""

    #: from running until the public address is shown
    address_after: float = 0.0
    #: from create on, a delete is refused for so long, because another action is in progress
    locked_for: float = 0.0
    #: from delete until it is gone; each vendor has its own answer to a second delete in between
    gone_after: float = 0.0
    #: the maximum length of pages whatever the request, so that a few instances fill a second page
    page_cap: int | None = None
    #: rights that the credentials lack, by their names in the driver's table ``rights.py``
    denied: tuple[str, ...] = ()
    #: from a call that turns an instance on or off, restarts it or changes its size, until that is done
    power_after: float = 0.0
    #: the operating systems ignore a shutdown
    ignores_shutdown: bool = False
    #: the calls for another size are accepted and fail later
    fails_resize: bool = False
    #: from the call that begins to make an image of an instance until the image is available
    image_after: float = 0.0
    #: images begin, and the provider gives them up later
    fails_image: bool = False
    #: maximum number of images that users made; None: no limit
    image_limit: int | None = None
    #: check every answer against the vendor's description too
    check_answers: bool = False


@dataclass(kw_only=True)
class Machine:
    """An instance, and the remaining counts of its fault."""

    addresses: Addresses
    created: float
    fault: MachineFault = NO_FAULT
    #: remaining counts of the fault
    #: what happens to it later: the times, and the effects
    later: list[tuple[float, Callable[[], object]]] = field(default_factory=list)
    #: number of restarts by the API
    reboots: int = 0
    hidden_lists: int = field(init=False)
    refuse_delete: int = field(init=False)
    ignore_delete: int = field(init=False)
    address_lists: int = field(init=False)

    def __post_init__(self) -> None:
        for name in ("hidden_lists", "refuse_delete", "ignore_delete", "address_lists"):
            setattr(self, name, getattr(self.fault, name))

    def is_busy(self) -> bool:
        """Return whether an action on it is in progress."""
        return bool(self.later)

    def is_listed(self, now: float, *, counts: bool = True) -> bool:
        """Return whether a list shows it. Each list that ``counts`` and omits it reduces the remaining count."""
        if self.hidden_lists:
            self.hidden_lists -= counts
            return False
        return now >= self.created + self.fault.hidden_for

    def reported(self, shown: dict[str, Any], *, running: bool) -> dict[str, Any]:
        """Return its report. Each report as running reduces the remaining count for its address."""
        if running and self.address_lists:
            self.address_lists -= 1
        return shown


def fields_of(it: Any, *names: str) -> dict[str, Any]:
    """Return fields that the API shows with the same names and values as here."""
    return {name: getattr(it, name) for name in names}


@dataclass
class World:
    """The state for handlers of calls; ``state`` is the provider's own."""

    state: Any
    settings: Any
    machines: Machines
    faults: Faults
    clock: Callable[[], float]
    #: for what the vendor does not guarantee; the same seed gives the same run
    chance: random.Random

    def over(self, instances: Mapping[Any, Any]) -> list[Any]:
        """Return the instances that were deleted and are gone by now."""
        now, after = self.clock(), self.settings.gone_after
        return [it for it in instances.values() if it.deleted_at is not None and now >= it.deleted_at + after]

    def happen(self, instances: Mapping[Any, Any]) -> None:
        """Let happen what is due by now."""
        for it in list(instances.values()):
            due = [one for one in it.later if one[0] <= self.clock()]
            it.later = [one for one in it.later if one not in due]
            for _, effect in due:
                effect()

    def act_on(self, it: Any, effect: Callable[[], object]) -> float:
        """Begin an action with an effect at its end, and return when that is."""
        end: float = self.clock() + self.settings.power_after
        it.later.append((end, effect))
        self.tick()
        return end

    def readdress(self, it: Any) -> None:
        """Exchange the public address of an instance, which only an instance without a real machine can have."""
        backend = self.machines.backend
        if it.addresses.public and isinstance(backend, NoMachines):
            old = it.addresses
            it.addresses = Addresses(backend.take(True).public, old.private)

    def tick(self) -> None:
        """Update the state to the current time."""

    def remove(self, it: Any, *more: Addresses) -> None:
        """Begin to delete an instance, and release all its addresses."""
        it.deleted_at = self.clock()
        self.machines.kill(str(it.id), it.addresses, *more)
        self.tick()

    def boot(self, it: Any, **more: Any) -> None:
        """Begin to boot the machine of an instance, unless its fault prevents that."""
        fault, addresses = it.fault, it.addresses
        given = {"user_data": it.user_data, "public_ip": addresses.public, "private_ip": addresses.private, **more}
        struck = {"fail_at": fault.fail_at, "impostor": fault.impostor}
        if not fault.never_boots:
            self.machines.boot(BootRequest(instance_id=str(it.id), **given, **struck))

    def uuid(self) -> str:
        """Return a new UUID; the same seed gives the same UUIDs."""
        return str(uuid.UUID(int=self.chance.getrandbits(128), version=4))

    def secret(self, prefix: str = "") -> str:
        """Return a new secret and store it, so that tests can search for leaks."""
        value = f"{prefix}{self.chance.getrandbits(96):024x}"
        self.state.secrets.append(value)
        return value
