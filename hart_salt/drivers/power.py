"""
Turn instances on and off, and change their size: what all vendors have in common.

Each change is asked for once, and then hart looks until the provider reports it, for a limited time. A call that was
certainly not carried out, such as one during another action on the instance, is made again.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Sequence

from hart_salt.base.errors import InvalidRequest, NotFound, TemporaryFailure
from hart_salt.drivers.capabilities import PowerSupport, ResizeSupport
from hart_salt.drivers.retry import ActionFailed, Busy
from hart_salt.model import Instance, Size

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 5.0  #: seconds between two looks: each pause is half as long again as the one before
TIMEOUT = 300.0  #: seconds until an instance runs, or has stopped
GRACE = 60.0  #: seconds for an operating system to shut down before its power is cut
RESIZE_TIMEOUT = 900.0  #: seconds for another size: the provider may move the instance to another host
FAILED_FOR = 120.0  #: seconds that a call takes which fails in spite of its own retries (``http.RETRY_FOR``)
RUNNING, STOPPED = "running", "stopped"

#: looks up an instance by its id, like ``Driver.instance``
Look = Callable[[Instance], "Instance | None"]


class Power(abc.ABC):
    """The vendor's calls; each asks for a change, and may return before it is done. None looks at the owner."""

    def __init__(self, look: Look, sleep: Callable[[float], None]) -> None:
        """Store the arguments; make no call."""
        self._look = look
        self._sleep = sleep

    @abc.abstractmethod
    def start(self, instance: Instance) -> None:
        """Ask for the start of a stopped instance."""

    @abc.abstractmethod
    def stop(self, instance: Instance) -> None:
        """Ask the operating system of a running instance to shut down."""

    def cut(self, instance: Instance) -> None:
        """Cut the power of a running instance (default: as ``stop``, which does it too)."""
        self.stop(instance)

    @abc.abstractmethod
    def restart(self, instance: Instance, *, force: bool) -> None:
        """Restart a running instance, and return when the vendor has done that."""

    @abc.abstractmethod
    def change(self, instance: Instance, size: str) -> None:
        """Ask for another size of a stopped instance."""

    @abc.abstractmethod
    def objections(self, instance: Instance, size: Size) -> Sequence[str]:
        """Implement ``Driver.resize_objections``."""

    def state(self, instance: Instance) -> str:
        """
        Return the state of an instance: ``running``, ``stopped`` once nothing is in progress any more, or another word.

        Raises ``NotFound`` if it is gone.
        """
        return self._found(instance).state

    def wait_for(self, is_done: Callable[[], bool], what: str, timeout: float) -> None:
        """
        Look until ``is_done`` holds.

        Raises ``TemporaryFailure`` with ``uncertain`` set after ``timeout`` seconds.
        """
        waited, pauses = 0.0, _pauses()
        while not is_done():
            if waited >= timeout:
                raise TemporaryFailure(f"{what} was not done after {timeout:g} s", uncertain=True)
            waited += self._pause(pauses)

    def _pause(self, pauses: Iterator[float]) -> float:
        """Wait until the next look, and return for how long."""
        seconds = next(pauses)
        self._sleep(seconds)
        return seconds

    def _found(self, instance: Instance) -> Instance:
        found = self._look(instance)
        if found is None or found.state == "gone":
            raise NotFound(f"the instance {instance.instance_id} is gone")
        return found

    # the verbs of ``Driver``

    def on(self, instance: Instance) -> None:
        """Implement ``Driver.power_on``."""
        self._until(instance, lambda: self.state(instance) == RUNNING, self.start, "is not running")

    def off(self, instance: Instance, *, force: bool) -> None:
        """Implement ``Driver.power_off``."""
        ask, cut = (self.cut, None) if force else (self.stop, self.cut)
        self._until(instance, lambda: self.state(instance) == STOPPED, ask, "has not stopped", cut)

    def reboot(self, instance: Instance, *, force: bool) -> None:
        """Implement ``Driver.reboot``."""
        if self.state(instance) != RUNNING:
            raise InvalidRequest(f"the instance {instance.instance_id} does not run: it can only be started")
        self.restart(instance, force=force)

    def resize(self, instance: Instance, size: str) -> None:
        """Implement ``Driver.resize``."""
        self._until(
            instance, lambda: self._found(instance).size == size, lambda one: self.change(one, size),
            f"does not have the size {size}", timeout=RESIZE_TIMEOUT,
        )  # fmt: skip

    def _until(
        self, instance: Instance, is_so: Callable[[], bool], ask: Callable[[Instance], None], lacks: str,
        cut: Callable[[Instance], None] | None = None, timeout: float = TIMEOUT,
    ) -> None:  # fmt: skip
        """
        Look until ``is_so`` holds, and ask for it before the second look; after ``GRACE`` seconds, ``cut``.

        Raises ``TemporaryFailure`` with ``uncertain`` set after ``timeout`` seconds. A call that is refused because
        something else is in progress is made again.
        """
        waited, pauses, steps = 0.0, _pauses(), [(0.0, ask), *([(GRACE, cut)] if cut else [])]
        why = ""
        while not is_so():
            if waited > timeout:
                raise TemporaryFailure(
                    f"the instance {instance.instance_id} {lacks} after {timeout:g} s{why}", uncertain=True
                )
            if steps and waited >= steps[0][0]:
                failure = _asked(steps[0][1], instance, is_so)
                why = f": {failure}" if failure else ""
                waited += 0.0 if failure is None or isinstance(failure, Busy) else FAILED_FOR
                if failure is None or failure.uncertain:
                    steps = steps[1:]
            waited += self._pause(pauses)


def _pauses() -> Iterator[float]:
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * 1.5, LONGEST_PAUSE)


def _asked(ask: Callable[[Instance], None], instance: Instance, is_so: Callable[[], bool]) -> TemporaryFailure | None:
    """Ask, and return a failure that may pass. A refusal counts only if there is still something to ask for."""
    try:
        ask(instance)
    except ActionFailed:
        raise
    except TemporaryFailure as error:
        return error
    except InvalidRequest:
        if not is_so():
            raise
    return None


class Powered(PowerSupport, ResizeSupport):
    """A driver whose object ``_power`` implements the verbs."""

    _power: Power

    def power_on(self, instance: Instance) -> None:
        """Implement ``Driver.power_on``."""
        self._power.on(instance)

    def power_off(self, instance: Instance, *, force: bool = False) -> None:
        """Implement ``Driver.power_off``."""
        self._power.off(instance, force=force)

    def reboot(self, instance: Instance, *, force: bool = False) -> None:
        """Implement ``Driver.reboot``."""
        self._power.reboot(instance, force=force)

    def resize_objections(self, instance: Instance, size: Size) -> Sequence[str]:
        """Implement ``Driver.resize_objections``."""
        return self._power.objections(instance, size)

    def resize(self, instance: Instance, size: str) -> None:
        """Implement ``Driver.resize``."""
        self._power.resize(instance, size)
