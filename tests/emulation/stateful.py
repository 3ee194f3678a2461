"""What the emulators share whose state is of their own making: switches, tokens, and a world that is up to now."""

from __future__ import annotations

import abc
import random
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from tests.emulation.backend import Backend, NoMachines
from tests.emulation.emulator import Emulator
from tests.emulation.http import Request

BEARER = "bearer "


class Held(Protocol):
    """The state of an account, whatever its provider has."""

    def left(self) -> dict[str, list[str]]: ...


State = TypeVar("State", bound=Held)
Switches = TypeVar("Switches")


class StatefulEmulator(Emulator, Generic[State, Switches]):
    """An emulator that keeps what it has in ``_world``, which its ``__init__`` makes of ``parts``."""

    #: the path below which the API is
    root = ""
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
        #: all tokens that are valid
        self.tokens = {token}
        self.chance = random.Random(seed)  # noqa: S311 - the same run twice, not a secret

    def parts(self) -> dict[str, Any]:
        """What every world works with."""
        return {
            "settings": self.settings, "machines": self.machines, "faults": self.faults, "clock": self.clock,
            "chance": self.chance,
        }  # fmt: skip

    @property
    def endpoint(self) -> str:
        """The API's address."""
        return f"{self.origin}{self.root}"

    @property
    def state(self) -> State:
        """The account as it stands at this moment."""
        with self.lock:
            self._world.tick()
            state: State = self._world.state
            return state

    def account(self) -> dict[str, Any]:
        """Token and endpoint."""
        return {"token": self.token, "endpoint": self.endpoint}

    def left(self) -> dict[str, list[str]]:
        """Also that of which somebody was sent a mail."""
        return self.state.left()

    def made(self) -> int:
        """Also those that are gone."""
        state: Any = self.state
        return int(state.made)

    def forget(self) -> None:
        """Also what refuses to go."""
        self.faults.clear()
        with self.lock:
            vars(self.settings).update(self._first_settings)
            for instance in list(self.instances()):
                self._world.remove(instance)
            self.clear()

    @abc.abstractmethod
    def instances(self) -> Iterable[Any]:
        """All that there are."""

    @abc.abstractmethod
    def clear(self) -> None:
        """Remove everything else that somebody made."""

    def switches(self) -> Any:
        """What the admin endpoint may set."""
        return self.settings

    def facts(self) -> Mapping[str, Any]:
        """The account as JSON."""
        with self.lock:
            return {**self.shown(), "left": self.state.left(), **self.troubles()}

    @abc.abstractmethod
    def shown(self) -> dict[str, Any]:
        """What the account has, as its API shows it."""


def bearer(request: Request) -> str:
    """The token of a request; empty if it has none."""
    value = request.headers.get("authorization", "")
    return value[len(BEARER) :].strip() if value.lower().startswith(BEARER) else ""
