"""
One instance of the smallest size, created, verified and destroyed with the commands that a user types.

``look`` checks the account, removes what an earlier run left, and returns the settings of a node. ``plan`` returns
what would be created and its price. ``carry_out`` does it and leaves nothing, whatever happens. All of them raise
``Failed``.
"""

from __future__ import annotations

import contextlib
import math
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from secrets import token_hex
from types import FrameType
from typing import Any

from tests.accounts.place import ROLE, Account
from tests.end_to_end.conftest import Ran, SaltMaster
from tests.end_to_end.tools import until

#: enough for Debian, its security upgrades and salt-minion; with half as much, apt can run out of memory
MEMORY_MB = 1000
#: hours of a month at Hetzner, by its prices of both; others divide by more, so an hour costs at most this
HOURS = 624
#: seconds for one command, and for the roll-back of an interrupted one
TIMEOUT, UNDO_TIMEOUT = 2400, 300
#: seconds before each attempt to clean up after a failure
PAUSES = (0.0, 5.0, 20.0)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Say = Callable[[str], None]


class Failed(Exception):
    """A check failed; the message has the whole output."""


@dataclass(frozen=True)
class Plan:
    """The node to create."""

    minion_id: str
    #: of ``hart.create``
    arguments: tuple[str, ...]
    #: for people, before anything is created
    cost: str


@dataclass(frozen=True)
class Hart:
    """hart's commands for one provider."""

    master: SaltMaster
    account: Account
    say: Say

    def ask(self, function: str, *arguments: str) -> Ran:
        """Run a command. Ctrl-C interrupts it, so that it rolls back what it began, and does not kill it."""
        process = self.master.begin(f"hart.{function}", *arguments, f"config={self.account.config}")
        try:
            out, err = process.communicate(timeout=TIMEOUT)
        except BaseException:
            with undisturbed(self.say):
                _interrupt(process)
            raise
        return Ran(process.returncode, out, err)

    def do(self, function: str, *arguments: str) -> Any:
        """Run a command that must succeed, and return its result."""
        ran = self.ask(function, *arguments)
        if ran.code:
            said = f"{ran.stdout}\n{ran.stderr}".strip()
            raise Failed(f"salt-run hart.{function} {' '.join(arguments)}: exit code {ran.code}\n{said}")
        return ran.data

    def at_provider(self, function: str, *arguments: str) -> Any:
        """Run a command that must succeed for the provider, and return the provider's result."""
        return self.do(function, *arguments, f"provider={self.account.provider}")

    def sweep(self, *arguments: str) -> Any:
        """Sweep the provider, after any other sweep of this master; the call of a second one changes nothing."""
        return until(lambda: self._swept(*arguments), "no other sweep is running", TIMEOUT)

    def _swept(self, *arguments: str) -> Any:
        swept = self.at_provider("sweep", "grace=0", *arguments)
        return None if swept.keys() == {"note"} else swept

    def left(self) -> list[str]:
        """Return everything of this master at the provider: instances, temporary resources and records."""
        listed = self.at_provider("list_minions", "ping=False")
        swept = self.sweep("test=True")
        orphans = [orphan for word in ("would_remove", "kept") for orphan in swept[word]]
        return [*listed, *(f"{orphan['kind']} {orphan['name']}" for orphan in orphans)]


def look(hart: Hart) -> dict[str, Any]:
    """Check the account, remove what an earlier run left, and return the settings of a node."""
    _check(hart)
    tidy(hart)
    facts: dict[str, Any] = hart.at_provider("show_role", ROLE)
    return facts


def plan(hart: Hart, facts: Mapping[str, Any]) -> Plan:
    """Return the node to create; ``facts`` is the result of ``look``."""
    minion_id = f"{ROLE}-{token_hex(4)}"
    # The file's settings for failures are for its own nodes: here nothing is kept.
    arguments = [minion_id, f"role={ROLE}", f"provider={hart.account.provider}", "keep_failed=False"]
    if not hart.account.has_role:
        arguments.append(f"size={smallest(hart.at_provider('list_sizes', 'region=' + facts['region']))}")
    planned = hart.do("create", *arguments, "test=True")[minion_id]
    return Plan(minion_id, tuple(arguments), cost(planned))


def tidy(hart: Hart) -> None:
    """Remove what an earlier run left."""
    for orphan in hart.sweep()["removed"]:
        hart.say(f"an earlier run had left the {orphan['kind']} {orphan['name']}; it is removed")


def _check(hart: Hart) -> None:
    """Check this provider only: the file can have other accounts."""
    data = hart.ask("check").data
    line = data.get(hart.account.provider, data)
    if not str(line).startswith("ok"):
        raise Failed(f"hart.check: {line}")
    hart.say(str(line))


def smallest(sizes: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the cheapest size with enough memory or, without prices, the smallest one."""
    fit = [
        (size["monthly_price"] is None, size["monthly_price"], size["memory_mb"], size["cpus"] or 0, name)
        for name, size in sizes.items()
        if size["available"] and (size["memory_mb"] or 0) >= MEMORY_MB
    ]
    if not fit:
        raise Failed(f"no size with {MEMORY_MB} MB: {', '.join(sizes)}; give hart.toml a role {ROLE} with one")
    return min(fit, key=lambda one: (one[0], one[1] or 0, *one[2:]))[-1]


def cost(planned: Mapping[str, Any]) -> str:
    """Return a sentence with the price of a plan."""
    place = planned["zone"] or planned["region"]
    monthly = planned["monthly_price"]
    if monthly is None:
        return f"one {planned['size']} in {place}, at a price that the provider does not report; see its price list"
    hour = monthly / HOURS
    sign = "$" if planned["currency"] == "USD" else f"{planned['currency']} "
    return (
        f"one {planned['size']} in {place}: {sign}{monthly:.2f} a month, so at most {sign}{hour:.4f} an hour. "
        f"A started hour may be billed as a whole: {sign}{math.ceil(hour * 100) / 100:.2f}. "
        "Disk, address and traffic may come on top of that"
    )


def carry_out(hart: Hart, plan: Plan) -> None:
    """Create, verify and destroy the node. Nothing is left, even after a failure or Ctrl-C."""
    began = time.monotonic()
    try:
        hart.say(f"creating {plan.minion_id}")
        entry = hart.do("create", *plan.arguments)[plan.minion_id]
        hart.say(f"it is a minion, at {entry['public_ip'] or entry['private_ip']}, after {_since(began)}")
        verify(hart, plan.minion_id)
        hart.do("destroy", plan.minion_id)
        _nothing_left(hart)
    except BaseException as error:
        with undisturbed(hart.say):
            hart.say(f"{type(error).__name__}: removing {plan.minion_id}, or whatever there is of it")
            remove(hart, plan.minion_id)
        raise
    hart.say(f"verified and destroyed; nothing is left. {_since(began)} in all")


def _nothing_left(hart: Hart) -> None:
    if left := hart.left():
        raise Failed(f"hart.destroy said that all is gone, and there is: {', '.join(left)}")


def _since(began: float) -> str:
    return f"{time.monotonic() - began:.0f} s"


def verify(hart: Hart, minion_id: str) -> None:
    """Check that the minion answers and is sealed."""
    for function in ("test.ping", "saltutil.sync_modules"):
        ran = hart.master.salt(minion_id, function)
        if ran.code or not ran.data.get(minion_id):
            raise Failed(f"salt {minion_id} {function}: exit code {ran.code}\n{ran.stdout}\n{ran.stderr}")
    # The minion loads new modules a moment later.
    sealed = until(lambda: _sealed(hart, minion_id), f"{minion_id} has the execution module")
    if sealed.code:
        raise Failed(f"salt-run hart.check_seal {minion_id}: exit code {sealed.code}\n{sealed.stdout}\n{sealed.stderr}")


def _sealed(hart: Hart, minion_id: str) -> Ran | None:
    """Return the result of ``hart.check_seal``, or None while the minion does not know the function."""
    ran = hart.ask("check_seal", minion_id)
    return None if "'hart.sealed' is not available" in ran.stdout else ran


def remove(hart: Hart, minion_id: str) -> None:
    """Remove a node in any state, and everything else of this master at the provider."""
    left: list[str] = []
    for pause in PAUSES:
        time.sleep(pause)
        hart.ask("destroy", minion_id)  # refused if there is no such node
        with contextlib.suppress(Failed):  # the lists show what it left
            hart.sweep()
        try:
            left = hart.left()
        except Failed as error:
            left = [f"perhaps {minion_id}, for {error}"]
        if not left:
            hart.say("all of it is gone")
            return
    raise Failed(
        f"NOT REMOVED at {hart.account.provider}, and billed until it is: {'; '.join(left)}. The next run begins with "
        "trying it again; or remove it in the provider's console"
    )


@contextlib.contextmanager
def undisturbed(say: Say) -> Iterator[None]:
    """Finish the clean-up in the block whatever signals arrive."""
    if threading.current_thread() is not threading.main_thread():  # signals go to the main thread only
        yield
        return

    def report(signum: int, frame: FrameType | None) -> None:
        say(f"{signal.Signals(signum).name}: in a moment, when nothing is left that costs money")

    before = {signum: signal.signal(signum, report) for signum in SIGNALS}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _interrupt(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=UNDO_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
