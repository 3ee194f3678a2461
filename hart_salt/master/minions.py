"""Questions and orders to minions, and what the master has stored of their answers."""

from __future__ import annotations

import contextlib
import pwd
import shlex
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import salt.client
import salt.utils.args
import salt.utils.jid
import salt.utils.minions

from hart_salt.base import faults
from hart_salt.base.errors import HartError, Refused
from hart_salt.base.text import suggestion
from hart_salt.master import jobs
from hart_salt.master.applied import Applied, applied
from hart_salt.master.keys import drop_stale_list
from hart_salt.master.listener import ANSWER_SETTING, QUESTION

PING_TIMEOUT = 5  #: seconds for the answer to a test.ping
PING_GATHER_TIMEOUT = 2  #: seconds for Salt's own question, after a ping, whether a job still runs
ASK_TIMEOUT = 30  #: seconds for the answer to a question that takes a moment
APPLY_TIMEOUT = 60  #: seconds until Salt asks whether the states are still being applied
APPLY_GATHER_TIMEOUT = 30  #: seconds for the answer: a node that is applying states is busy
#: the types of targets, as ``salt.utils.minions.CkMinions`` knows them in Salt 3006 to 3008
TARGET_TYPES = (
    "compound", "glob", "grain", "grain_pcre", "ipcidr", "list", "nodegroup", "pcre", "pillar", "pillar_exact",
    "pillar_pcre", "range",
)  # fmt: skip
BUSY_PAUSE = 1.0  #: seconds until hart asks again a minion that refused because of another state run
#: what Salt returns then: a list of such sentences, from ``state.running``; there is nothing else to recognize it by
BUSY = " is running as PID "


@dataclass(frozen=True)
class Call:
    """An execution function with its arguments."""

    function: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def arguments(self) -> list[Any]:
        """Return the arguments as Salt publishes them."""
        given: list[Any] = salt.utils.args.condition_input(list(self.args), dict(self.kwargs))
        return given


@dataclass(frozen=True)
class Returned:
    """What a minion returned for a ``Call``; ``ok`` is whether the function succeeded."""

    value: Any
    ok: bool


def user_of(opts: Mapping[str, Any]) -> str:
    """
    Return the user whose key to use with the master.

    In a runner that a reactor's orchestration calls, Salt's user is the word Reactor.
    """
    user = str(opts.get("user") or "")
    try:
        pwd.getpwnam(user)
    except KeyError:
        return faults.user()
    return user


class Minions:
    """The minions of the salt-master with the configuration ``opts``."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self._opts = opts
        #: a client that ``ask_for_answers`` uses again, since to make one takes much longer than a question
        self._kept: list[Any] = []
        self._keeps = False

    @contextlib.contextmanager
    def questions(self) -> Iterator[None]:
        """Let ``ask_for_answers`` use one client for all questions until the block ends."""
        self._keeps = True
        try:
            yield
        finally:
            self._keeps = False
            self._close()

    def _close(self) -> None:
        while self._kept:
            self._kept.pop().destroy()

    def _ask(
        self, minion_ids: Sequence[str], function: str, arguments: Sequence[Any] = (),
        keywords: Mapping[str, Any] = MappingProxyType({}), *, timeout: float = PING_TIMEOUT,
        gather_timeout: float | None = PING_GATHER_TIMEOUT,
    ) -> dict[str, Mapping[str, Any]]:  # fmt: skip
        """Return what the master has stored of the minions that answered; see ``jobs.ask``."""
        given = Call(function, arguments, keywords).arguments()
        return self._run(minion_ids, function, given, timeout, gather_timeout)

    def _run(
        self, minion_ids: Sequence[str], function: str | list[str], given: list[Any], timeout: float,
        gather_timeout: float | None,
    ) -> dict[str, Mapping[str, Any]]:  # fmt: skip
        if not minion_ids:
            return {}
        drop_stale_list(self._opts)
        with salt.client.get_local_client(mopts=dict(self._opts, user=user_of(self._opts))) as client:
            return jobs.ask(
                client, lambda: str(salt.utils.jid.gen_jid(self._opts)), minion_ids, function, given, timeout=timeout,
                gather_timeout=gather_timeout,
            )  # fmt: skip

    def ping(self, minion_id: str, timeout: float) -> bool:
        """Return whether the minion answers one test.ping within ``timeout`` seconds."""
        answers = self._ask([minion_id], "test.ping", timeout=min(timeout, PING_TIMEOUT))
        return minion_id in answers and answers[minion_id].get("return") is True

    def ask_for_answers(self, minion_ids: Sequence[str]) -> None:
        """
        Ask new minions for their codes, without waiting: ``events`` receives the answers.

        Raises ``HartError`` if the master did not publish the question, and Salt's own errors if it cannot be reached.
        """
        drop_stale_list(self._opts)
        if self._kept:
            client = self._kept.pop()
        else:
            client = salt.client.get_local_client(mopts=dict(self._opts, user=user_of(self._opts)))
        try:
            # Not run_job: it prints errors to standard output, where salt-run prints its result.
            answer = client.pub(
                list(minion_ids), QUESTION, [ANSWER_SETTING], tgt_type="list", timeout=jobs.PUBLISH_TIMEOUT
            )
            _require_published(answer)
        except BaseException:
            client.destroy()  # a master that was restarted has a new key, which only a new client reads
            raise
        self._kept.append(client)
        if not self._keeps:  # also if the block ended during the question
            self._close()

    def present(self, minion_ids: Sequence[str]) -> frozenset[str]:
        """Return those of the minions that answer test.ping within a few seconds; all are asked at once."""
        answers = self._ask(minion_ids, "test.ping")
        return frozenset(minion_id for minion_id, answer in answers.items() if answer.get("return") is True)

    def grains(self, minion_ids: Sequence[str], names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Return some grains of the minions that answer within a few seconds; all are asked at once."""
        said = {name: answer.get("return") for name, answer in self._ask(minion_ids, "grains.item", names).items()}
        return {minion_id: grains for minion_id, grains in said.items() if isinstance(grains, Mapping)}

    def call_all(
        self, minion_ids: Sequence[str], calls: Sequence[Call], timeout: float
    ) -> dict[str, list[Returned]]:  # fmt: skip
        """
        Call functions on several minions, all in one job; return what each minion returned for each call.

        The functions must differ. ``timeout`` is all that it waits, in seconds. A minion that does not answer by then
        is absent; a call for which a minion returned nothing has failed.
        """
        names, given = [call.function for call in calls], [call.arguments() for call in calls]
        if len(calls) == 1:
            answers = self._run(minion_ids, names[0], given[0], timeout, None)
            return {
                name: [Returned(answer.get("return"), not answer.get("retcode"))] for name, answer in answers.items()
            }
        answers = self._run(minion_ids, names, given, timeout, None)
        return {name: _each(names, answer) for name, answer in answers.items()}

    def ask(self, target: str, target_type: str, function: str) -> dict[str, Any]:
        """
        Call a function without arguments on all minions of a target; None for a minion that did not answer.

        ``target_type`` is as for ``salt``: ``glob``, ``list``, ``grain``, ``compound`` and so on.

        Raises ``Refused`` if no minion matches the target.
        """
        expected = self._expected(target, target_type)
        if not expected:
            raise Refused(f"no minion with an accepted key matches {target}")
        answers = self._ask(sorted(expected), function, timeout=ASK_TIMEOUT)
        return {name: answers[name].get("return") if name in answers else None for name in sorted(expected)}

    def request(self, minion_id: str, function: str, arguments: Sequence[Any], timeout: float) -> Any:
        """
        Call a function on one minion and return what it returned; None if there was no answer in time.

        ``timeout`` is all that it waits, in seconds: a job that still runs then may finish later.

        The minion is named exactly, and Salt's master attributes the return to it: no other minion can answer for it.

        Raises ``Refused`` if this master has accepted no key of that minion.
        """
        answer = self._ask([minion_id], function, arguments, timeout=timeout, gather_timeout=None)
        if minion_id not in answer and not self._expected(minion_id, "list"):
            raise Refused(f"this master has no minion {minion_id} with an accepted key: see salt-key -l all")
        return answer.get(minion_id, {}).get("return")

    def _expected(self, target: str, target_type: str) -> Collection[str]:
        """Return the minions with accepted keys that match a target."""
        if target_type not in TARGET_TYPES:  # Salt would find no minion, and only log why
            known = ", ".join(TARGET_TYPES)
            raise Refused(f"there is no tgt_type {target_type}{suggestion(target_type, TARGET_TYPES)}; known: {known}")
        drop_stale_list(self._opts)
        found: Collection[str] = salt.utils.minions.CkMinions(dict(self._opts)).check_minions(target, target_type)[
            "minions"
        ]
        return found

    def _work(
        self, minion_id: str, function: str, args: Sequence[Any], kwargs: Mapping[str, Any], timeout: float
    ) -> Mapping[str, Any] | None:
        """
        Run a function on a minion as long as it takes; return its answer, or None if there is none.

        Salt refuses states at once during another state run, for example the minion's ``startup_states``. hart asks
        again, for at most ``timeout`` seconds. Salt's own ``queue`` does not help: minions of Salt 3008.4 do not always
        return the result of a job that waited in their queue.
        """
        deadline = time.monotonic() + timeout
        while True:
            answer = self._ask(
                [minion_id], function, args, kwargs, timeout=APPLY_TIMEOUT, gather_timeout=APPLY_GATHER_TIMEOUT
            ).get(minion_id)
            if answer is None or not _is_busy(answer.get("return")) or time.monotonic() > deadline:
                return answer
            time.sleep(BUSY_PAUSE)

    def apply(self, minion_id: str, states: str | Sequence[str], timeout: float) -> Applied:
        """
        Apply the highstate (``"highstate"``) or a list of SLS, and wait as long as the job runs.

        While another state run is under way on the minion, hart tries again, for at most ``timeout`` seconds.

        Returns the problems, one sentence each, and what the states that failed returned.
        """
        arguments = () if states == "highstate" else (list(states),)
        return applied(self._work(minion_id, "state.apply", arguments, {}, timeout))

    def call(
        self, minion_id: str, function: str, args: Sequence[Any], kwargs: Mapping[str, Any], timeout: float
    ) -> list[str]:
        """
        Call an execution function, and wait as long as the job runs; another state run is waited for as in ``apply``.

        Returns the problems, one sentence each; none means success: the return is not False and the return code is 0.
        """
        answer = self._work(minion_id, function, args, kwargs, timeout)
        if answer is None:
            return ["the minion did not answer"]
        if answer.get("retcode") or answer.get("return") is False:
            return [f"{function} failed: {answer.get('return')}"]
        return []

    def shell(self, minion_id: str, script: str, arguments: Sequence[str]) -> tuple[int, str] | None:
        """
        Run a POSIX shell script on a minion with what every minion has; return its exit code and its output.

        None means that there was no answer in time: the script may have run, or may run later.
        """
        return self.shell_all([minion_id], script, arguments)[minion_id]

    def shell_all(
        self, minion_ids: Sequence[str], script: str, arguments: Sequence[str]
    ) -> dict[str, tuple[int, str] | None]:
        """Run the script on several minions, in one job."""
        command = shlex.join(["sh", "-s", "--", *arguments])
        how = {"stdin": script, "python_shell": False, "ignore_retcode": True}
        answers = self._ask(minion_ids, "cmd.run_all", [command], how, timeout=ASK_TIMEOUT)
        return {minion_id: _shell_answer(answers.get(minion_id)) for minion_id in minion_ids}


def _each(names: Sequence[str], answer: Mapping[str, Any]) -> list[Returned]:
    """Return what a minion returned for each of several functions."""
    return [
        Returned(_part(answer.get("return"), number, name), _part(answer.get("retcode"), number, name) == 0)
        for number, name in enumerate(names)
    ]


def _part(values: Any, number: int, name: str) -> Any:
    """Return the part of one function: the values are by name or, with the minion's ``multifunc_ordered``, in order."""
    if isinstance(values, Mapping):
        return values.get(name)
    return values[number] if isinstance(values, list) and number < len(values) else None


def _require_published(answer: Any) -> None:
    if not isinstance(answer, Mapping) or not answer.get("minions"):
        raise HartError("the master did not publish the question to the minions; see its log")


def _is_busy(returned: Any) -> bool:
    return bool(returned) and isinstance(returned, list) and all(BUSY in str(sentence) for sentence in returned)


def _shell_answer(answer: Mapping[str, Any] | None) -> tuple[int, str] | None:
    if answer is None:
        return None
    said = answer.get("return")
    if not isinstance(said, Mapping):
        return 1, str(said)
    code = int(said["retcode"])
    return code, str(said["stderr" if code else "stdout"]).strip()
