"""The base class of emulators that keep their own state: switches, tokens, and a current world."""

from __future__ import annotations

import abc
import random
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from hart_salt.drivers.rights import Rights
from tests.emulation.backend import Backend, NoMachines
from tests.emulation.emulator import Emulator
from tests.emulation.http import Request

BEARER = "bearer "


class Held(Protocol):
    """The state of an account at any provider."""

    def left(self) -> dict[str, list[str]]: ...


State = TypeVar("State", bound=Held)
Switches = TypeVar("Switches")


class StatefulEmulator(Emulator, Generic[State, Switches]):
    """An emulator that keeps its state in ``_world``, which its ``__init__`` makes from ``parts``."""

    #: the path of the API
    root = ""
    #: the rights of its calls
    rights: ClassVar[Rights]
    _world: Any

    def __init__(
        self,
        backend: Backend | None,
        settings: Switches,
        token: str = "",
        *,
        clock: Callable[[], float] = time.time,
        port: int = 0,
        host: str = "127.0.0.1",
        seed: int = 0,
    ) -> None:
        super().__init__(backend or NoMachines(), clock=clock, port=port, host=host)
        self.settings = settings
        self._first_settings = dict(vars(settings))
        self.token = token
        #: all valid tokens
        self.tokens = {token}
        self.chance = random.Random(seed)  # noqa: S311 - for repeatable runs, not for secrets

    def parts(self) -> dict[str, Any]:
        """Return the arguments of every world."""
        return {
            "settings": self.settings, "machines": self.machines, "faults": self.faults, "clock": self.clock,
            "chance": self.chance,
        }  # fmt: skip

    @property
    def endpoint(self) -> str:
        """The API's address."""
        return f"{self.base_url}{self.root}"

    @property
    def state(self) -> State:
        """The current state of the account."""
        with self.lock:
            self._world.tick()
            state: State = self._world.state
            return state

    def called(self, method: str, path: str) -> str:
        """Return a call as the table of rights names it."""
        return f"{method} {path.removeprefix(self.root.rstrip('/'))}"

    def purposes(self, body: Mapping[str, Any]) -> list[str]:
        """Return the settings for which a call with this body needs more rights."""
        return []

    def lacking(self, request: Request) -> list[str]:
        """Return the rights of a call that the switch ``denied`` denies."""
        settings: Any = self.settings
        if not settings.denied:
            return []
        try:
            body = request.json()
        except ValueError:
            body = None
        asked = self.called(request.method, request.path)
        purposes = self.purposes(body if isinstance(body, dict) else {})
        needed = [*self.rights.needed(asked), *self.rights.needed(asked, purposes)]
        return [right for right in dict.fromkeys(needed) if right in settings.denied]

    def account(self) -> dict[str, Any]:
        """Return token and endpoint."""
        return {"token": self.token, "endpoint": self.endpoint}

    def left(self) -> dict[str, list[str]]:
        """Return what is left, including the mails that were sent."""
        return self.state.left()

    def made(self) -> int:
        """Return the number of instances, including those that are gone."""
        state: Any = self.state
        return int(state.made)

    def forget(self) -> None:
        """Remove everything, even what refuses to be deleted."""
        self.faults.clear()
        with self.lock:
            vars(self.settings).update(self._first_settings)
            for instance in list(self.instances()):
                self._world.remove(instance)
            self.clear()

    @abc.abstractmethod
    def instances(self) -> Iterable[Any]:
        """Return all instances."""

    @abc.abstractmethod
    def clear(self) -> None:
        """Remove all other resources that clients made."""

    def switches(self) -> Any:
        """Return the switches that the admin endpoint can set."""
        return self.settings

    def facts(self) -> Mapping[str, Any]:
        """Return the account as JSON."""
        with self.lock:
            return {**self.shown(), "left": self.state.left(), **self.troubles()}

    @abc.abstractmethod
    def shown(self) -> dict[str, Any]:
        """Return the account's resources, as its API shows them."""


def bearer(request: Request) -> str:
    """Return the token of a request, or an empty string."""
    value = request.headers.get("authorization", "")
    return value[len(BEARER) :].strip() if value.lower().startswith(BEARER) else ""
