"""
The lease of one call, and what it holds beside it: renewed in a thread of its own.

A call has one such lease, however many nodes it works on. The records of these nodes name the session. If the lease is
lost, the call ends as after a signal.

A second thread watches the time: a renewal can wait for the server, and the call must know that its lease is lost
before another call can have it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from hart_salt.base.errors import EnvironmentFault
from hart_salt.base.stopping import Stop
from hart_salt.coordination.contract import Lease, Unusable


@dataclass(frozen=True)
class Times:
    """The times of leases, in seconds."""

    #: after so long without a renewal a lease is free for others
    lease: float = 60.0
    #: between two renewals
    interval: float = 20.0
    #: between two attempts while the server does not answer
    retry: float = 2.0
    #: so long before a lease may be free for others, its holder gives up
    margin: float = 10.0
    #: the lease under which a node is taken, and how long to wait for another call that is taking it
    taking: float = 30.0
    patient: float = 5.0
    #: between two attempts to get a lease that another call has
    attempt: float = 0.05
    waiting: float = 1.0


def times_of(lease: float) -> Times:
    """Return the times for a lease of so many seconds, in the proportions of the usual ones."""
    usual = Times()
    part = min(1.0, lease / usual.lease)
    return Times(
        lease, lease * usual.interval / usual.lease, usual.retry * part, lease * usual.margin / usual.lease,
        usual.taking * part,
    )  # fmt: skip


def now() -> float:
    """Return seconds of a clock that also counts while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def in_thread(work: Callable[[], None]) -> None:
    """Run the work in a thread that does not keep the process alive."""
    threading.Thread(target=work, name="hart-lease", daemon=True).start()


class Session:
    """The leases that a call holds, from its first claim to its last."""

    def __init__(
        self, first: Lease, words: str, stop: Stop, times: Times, clock: Callable[[], float], begun: float,
        start: Callable[[Callable[[], None]], None] = in_thread,
    ) -> None:  # fmt: skip
        """
        Keep and renew ``first``, which was taken after ``begun``.

        ``words`` names the server. ``stop`` ends the work of the call if a lease is lost. ``start`` runs the renewal
        and the watch, each in a thread.
        """
        self._words = words
        self._stop = stop
        self._times = times
        self._clock = clock
        self._leases = [first]
        self._mutex = threading.Lock()
        self._ended = threading.Event()
        #: when the last renewal began that succeeded
        self._renewed = begun
        #: why the last attempt to renew failed, and whether there was one since the last success
        self._problem = ""
        self._tried = False
        start(self._renew)
        start(self._watch)

    def add(self, lease: Lease) -> None:
        """Renew this lease, too."""
        with self._mutex:
            self._leases.append(lease)

    def drop(self, lease: Lease) -> None:
        """Give a lease back. One that cannot be given back ends with its time."""
        with self._mutex:
            if lease in self._leases:
                self._leases.remove(lease)
        with suppress(EnvironmentFault):
            lease.release()

    def end(self) -> None:
        """Give all leases back."""
        self._ended.set()
        with self._mutex:
            leases = list(self._leases)
        for lease in leases:
            self.drop(lease)

    @property
    def lost(self) -> str:
        """Why the leases count as lost, in a sentence; empty as long as they do not."""
        if not self._stop.reason and self._rest() <= 0:
            self._lose(self._why_late())
        return self._stop.reason

    def _rest(self) -> float:
        """Return after how many seconds without a renewal the leases count as lost."""
        return self._times.lease - self._times.margin - (self._clock() - self._renewed)

    def _why_late(self) -> str:
        if not self._tried:  # the process, or the whole machine, was stopped for a while
            return "because this process did not run and could not renew it in time"
        without = self._clock() - self._renewed
        return f"because {self._words} did not renew it for {without:.0f} s ({self._problem or 'no answer'})"

    def _lose(self, why: str) -> None:
        self._stop.stop(f"this call has lost its lease, {why}")

    def _renew(self) -> None:
        pause: float | None = self._times.interval
        while pause is not None and not self._ended.wait(pause):
            pause = self.beat()

    def _watch(self) -> None:
        """Note the loss in time, even if a renewal waits for the server at that moment."""
        while not self._ended.wait(min(self._times.retry, max(0.0, self._rest()))):
            if self.lost or self._is_cut():
                return

    def _is_cut(self) -> bool:
        """Return whether a connection that had a lease has ended: then another call may have that lease at once."""
        with self._mutex:
            leases = list(self._leases)
        for lease in leases:
            if lease.has_ended() and self._is_mine(lease):
                self._lose(f"because {self._words} closed the connection that had it ({lease.name})")
        return bool(self._stop.reason)

    def beat(self) -> float | None:
        """Renew all leases once; return after how many seconds to do it again, or None if they are lost."""
        begun = self._clock()
        if self.lost:
            return None
        self._tried = True
        with self._mutex:
            leases = list(self._leases)
        for lease in leases:
            try:
                held = lease.renew()
            except EnvironmentFault as error:
                self._problem = error.why if isinstance(error, Unusable) else str(error)
                return None if self.lost else self._times.retry
            if not held and self._is_mine(lease):
                self._lose(f"because {self._words} no longer has it, or another call has it ({lease.name})")
                return None
        if self.lost:  # it took too long, and the call may be ending already
            return None
        self._renewed, self._tried, self._problem = begun, False, ""
        # Not one interval after the answer, for which the renewal may have waited.
        return max(0.0, self._times.interval - (self._clock() - begun))

    def _is_mine(self, lease: Lease) -> bool:
        """Return whether the lease is still wanted: another thread may just have given it back."""
        with self._mutex:
            return lease in self._leases and not self._ended.is_set()
