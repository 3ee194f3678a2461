"""
Jobs on minions, and their answers.

An event is not an answer, because any accepted minion can fire any event. It only says when to look at what Salt's
master has stored in its job cache, under the minion that the return came from. A master without a job cache
(``job_cache: False``, or an ``ext_job_cache``) stores nothing: there the return on the bus has to suffice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hart_salt.base.errors import HartError

#: seconds after an event at which to look: the master fires it some milliseconds before it stores the return
LOOKS = (0.0, 0.005, 0.02, 0.1, 0.4)
SHARE = 4  #: a slow look is followed by a pause of so many times its length, so that many answers need few looks
PUBLISH_TIMEOUT = 30  #: seconds for the master to publish a job: a busy master is not a minion that does not answer
LEAST_WAIT = 0.001  #: seconds; Salt waits forever for 0


@dataclass
class Job:
    """A published job, and the way its answers arrive."""

    client: Any
    jid: str
    #: whether the master stores the minions' returns
    cached: bool
    _heard: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def hear(self, seconds: float) -> str | None:
        """Return the id of the minion whose answer an event announces; None if there was none in this time."""
        until = time.monotonic() + seconds
        tag = f"salt/job/{self.jid}/ret/"
        event = self.client.event.get_event(
            wait=max(seconds, LEAST_WAIT), tag=tag, full=True, match_type="startswith", auto_reconnect=True
        )
        if event is None or not isinstance(event["data"], Mapping):
            time.sleep(min(max(0.0, until - time.monotonic()), 0.2))  # if the master is down, the call returns at once
            return None
        minion_id = str(event["tag"]).removeprefix(tag)
        self._heard.setdefault(minion_id, event["data"])
        return minion_id

    def stored(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what each minion has returned so far. Raises ``HartError`` if the job cache cannot be read."""
        if not self.cached:
            return self._heard
        name = self.client.opts["master_job_cache"]
        try:
            returns = self.client.returners[f"{name}.get_jid"](self.jid)
        except Exception as error:
            raise HartError(
                f"the job cache of this master ({name}) cannot be read ({type(error).__name__}): see "
                f"salt-run jobs.lookup_jid {self.jid}"
            ) from error
        return returns if isinstance(returns, Mapping) else {}


def ask(
    client: Any, new_jid: Callable[[], str], minion_ids: Sequence[str], function: str | list[str],
    arguments: Sequence[Any], *, timeout: float, gather_timeout: float | None,
) -> dict[str, Mapping[str, Any]]:  # fmt: skip
    """
    Run a function on minions; return what the master stored of each that answered, such as ``return``, and ``jid``.

    With a list of functions, ``arguments`` has the arguments of each, and ``return`` and ``retcode`` are those of each.
    ``client`` is Salt's LocalClient. After ``timeout`` seconds the minions that have not answered are asked whether the
    job still runs; if it runs on one of them, the wait is repeated. ``gather_timeout`` is the number of seconds for
    their answer to that; None: they are not asked.

    Raises Salt's own errors if the master cannot be reached, and ``HartError`` if the job cache cannot be read.
    """
    jid = new_jid()
    published = client.pub(
        list(minion_ids), function, list(arguments), tgt_type="list", jid=jid, timeout=PUBLISH_TIMEOUT, listen=True
    )
    if not isinstance(published, Mapping) or not published.get("minions"):
        return {}
    opts = client.opts
    job = Job(client, jid, bool(opts.get("job_cache")) and not opts.get("ext_job_cache"))

    def runs(missing: Collection[str]) -> bool:
        if gather_timeout is None:
            return False
        reported = ask(
            client, new_jid, sorted(missing), "saltutil.find_job", [jid], timeout=gather_timeout, gather_timeout=None
        )
        return any(isinstance(one.get("return"), Mapping) and one["return"] for one in reported.values())

    found = collect(job, set(published["minions"]), runs, timeout)
    return {minion_id: {**answer, "jid": jid} for minion_id, answer in found.items()}


def collect(
    job: Any, expected: Collection[str], runs: Callable[[Collection[str]], bool], timeout: float,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Mapping[str, Any]]:  # fmt: skip
    """Return the stored answers of ``expected``, once all have answered or the job runs on none of the others."""
    looks = _Looks(clock)
    deadline = clock() + timeout
    found: dict[str, Mapping[str, Any]] = {}
    last = False
    while len(found) < len(expected):
        if job.hear(min(looks.at, deadline) - clock()) in expected and not last:
            looks.wake()
        if clock() >= min(looks.at, deadline):
            found = looks.look(job, expected, len(found))
        if last and looks.at == float("inf"):
            break
        if clock() >= deadline and not last and len(found) < len(expected):
            last = not runs(set(expected) - found.keys())
            deadline = float("inf") if last else clock() + timeout
            looks.wake()  # an answer may have arrived in the meantime without an event
    return found


class _Looks:
    """
    The times of the next looks. A minion whose events repeat without a stored answer is looked up only a few times.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left: list[float] = []
        self._not_before = 0.0
        self.at = float("inf")

    def wake(self) -> None:
        now = self._clock()
        self._left = [now + pause for pause in LOOKS]
        self._next()

    def _next(self) -> None:
        self.at = max(self._left[0], self._not_before) if self._left else float("inf")

    def look(self, job: Any, expected: Collection[str], known: int) -> dict[str, Mapping[str, Any]]:
        began = self._clock()
        stored = job.stored()
        found = {name: stored[name] for name in expected if name in stored}
        now = self._clock()
        self._not_before = now + SHARE * (now - began)
        self._left = [at for at in self._left if at > now]
        self._next()
        return found
