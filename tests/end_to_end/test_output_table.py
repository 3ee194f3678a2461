"""
Whenever and however output is lost, and however the work ends, the same is done.

The columns are each function that changes something, each way to lose the output, and each end: by default enough cases
for each pair of values, and all of them with ``./test --all``. The nodes are real ones of the driver ``local``; pipes,
terminals and the full disk are real. ``tests/functional/operations/test_addresses.py`` has signals while addresses are
added, which needs a cloud. The table is printed at the end.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from hart_salt.inventory.records import BANK, READY, SUFFIX, Store
from hart_salt.master.record_cache import RecordCache
from tests import scope
from tests.end_to_end import tools
from tests.end_to_end.conftest import SaltMaster, running_master
from tests.end_to_end.outputs import OUTPUTS, UNSEEN, Output, killed_at_the_end
from tests.end_to_end.pairwise import Case, pairwise
from tests.parts import print_lines

ENDS = ("success", "one fails", "SIGINT", "SIGTERM", "SIGHUP")
ANY = "any"
PAIR = ("a", "b")


@dataclass(frozen=True)
class Function:
    """A call of hart on two nodes, and where it stops."""

    call: tuple[str, ...]
    #: what exists before
    before: Callable[[SaltMaster, tools.Trial], None]
    #: stops a node, or makes one of two fail
    hold: Callable[[tools.Trial], None]
    fail: Callable[[tools.Trial], None]
    point: str
    #: how many nodes there are before and after it, and after a failure or a signal
    nodes: tuple[int, int, int, int]
    #: whether the exit code is that of the signal; not if everything was done despite it
    interrupted: bool = True


def _nothing(master: SaltMaster, trial: tools.Trial) -> None:
    """Prepare nothing."""


def _left_by_a_dead_call(*ids: str) -> Callable[[SaltMaster, tools.Trial], None]:
    def make(master: SaltMaster, trial: tools.Trial) -> None:
        for minion_id in ids:
            trial.hold_script(minion_id, "dead", tools.BEFORE_KEY)
        with master.to_be_killed("hart.create", ",".join(ids), "role=app") as run:
            for minion_id in ids:
                trial.wait("dead", minion_id)
            run.kill()
            run.wait(tools.TIMEOUT)
        for path in [*trial.path.glob("temporary-access-*"), *(master.cachedir / "hart/locks").glob("*")]:
            path.unlink()

    return make


def _made(*ids: str) -> Callable[[SaltMaster, tools.Trial], None]:
    """Make nodes that are ready by their records. Their minions, which take seconds to start, are not used here."""

    def make(master: SaltMaster, trial: tools.Trial) -> None:
        _left_by_a_dead_call(*ids)(master, trial)
        assert master.daemon is not None
        store = Store(RecordCache(master.daemon.config))
        for record in store.all():
            store.put(dataclasses.replace(record, stage=READY, sealed=True))

    return make


def _hold_script(trial: tools.Trial) -> None:
    """Stop after the key is accepted and before the minion is started."""
    trial.hold_script(ANY, "script", tools.AT_START)


def _hold_end(trial: tools.Trial) -> None:
    trial.hold("terminate", ANY)


def _fail_late(trial: tools.Trial) -> None:
    trial.fail("settle", ANY, times=1)


def _fail_end(trial: tools.Trial) -> None:
    trial.fail("terminate", ANY, times=1)


def _raising(call: tuple[str, ...]) -> Function:
    return Function(call, _nothing, _hold_script, _fail_late, "script", (0, 2, 1, 0))


def _ending(call: tuple[str, ...], before: Any, *, interrupted: bool = False) -> Function:
    """Finish what has started to end, whatever happens."""
    return Function(call, before, _hold_end, _fail_end, "terminate", (2, 0, 1, 0), interrupted)


FUNCTIONS = {
    "create": _raising(("hart.create", "a,b", "role=app")),
    "create_role": _raising(("hart.create_role", "app", "count=2")),
    "scale up": _raising(("hart.scale", "app", "count=2")),
    "replace": Function(("hart.replace", "app"), _made("old"), _hold_script, _fail_late, "script", (1, 1, 1, 1)),
    "scale down": _ending(("hart.scale", "app", "count=0"), _made(*PAIR)),
    "destroy": _ending(("hart.destroy", "a,b"), _made(*PAIR)),
    "sweep": _ending(("hart.sweep", "grace=0"), _left_by_a_dead_call(*PAIR), interrupted=True),
}
WHOLE = [*itertools.product(FUNCTIONS, OUTPUTS, ENDS)]
CASES = WHOLE if scope.whole else pairwise(tuple(FUNCTIONS), OUTPUTS, ENDS)
#: case → its outcome
TABLE: dict[Case, str] = {}


@pytest.fixture(scope="module", autouse=True)
def _table(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    print_lines(request.config, _lines())


def _lines() -> Iterator[str]:
    yield "\n" + "function, output".ljust(38) + "".join(end.ljust(22) for end in ENDS)
    for function, output in itertools.product(FUNCTIONS, OUTPUTS):
        words = [TABLE.get((function, output, end), "-") for end in ENDS]
        yield f"  {function + ', ' + output:<36}" + "".join(word.ljust(22) for word in words)


@pytest.fixture(scope="module")
def shared(factories: Any) -> Iterator[SaltMaster]:
    with running_master(factories) as master:
        yield master


@pytest.mark.parametrize("case", CASES, ids=lambda case: ", ".join(case))
def test_the_same_is_done_and_the_exit_code_matches_what_was_done(shared: SaltMaster, case: Case) -> None:
    name, output, end = case
    function = FUNCTIONS[name]
    code = {"success": 0, "one fails": 1}.get(end)
    if code is None:
        code = 128 + signal.Signals[end] if function.interrupted else 0
    nodes = function.nodes[1 if end == "success" else 2 if end == "one fails" else 3]
    try:
        with tools.tried(shared) as trial:
            function.before(shared, trial)
            assert len(_ids(shared)) == function.nodes[0]
            found = _run(function, output, end, shared, trial)
            left = _ids(shared)
            problems = _traces(shared, left, trial)
        TABLE[case] = f"{found.returncode}, {len(left)} nodes" + (", left" if problems else "")
        assert (found.returncode, len(left), problems) == (code, nodes, [])
        assert output in UNSEEN or _retcode(found.stdout) == code
        if name == "replace" and end == "success":
            assert left != {"old"}
    finally:
        if any((shared.cachedir / BANK).glob("*")) or any(shared.instances.glob("*")):
            shared.clear()


def _run(
    function: Function, kind: str, end: str, master: SaltMaster, trial: tools.Trial
) -> subprocess.CompletedProcess[str]:
    function.hold(trial)
    if end == "one fails":
        function.fail(trial)
    with Output(kind, master.log_dir, controls=end == "SIGHUP") as output:
        process = output.start(master, function.call)
        with killed_at_the_end(process):
            trial.wait(function.point, ANY)
            output.lose()
            if end.startswith("SIG"):
                _signal(process, kind, signal.Signals[end], trial)
            trial.go_everywhere()
            out, _ = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, out)


def _signal(process: subprocess.Popen[str], kind: str, signum: signal.Signals, trial: tools.Trial) -> None:
    """Return the signals that count: a terminal that hangs up sends its own SIGHUP."""
    if kind != "terminal hung up" or signum != signal.SIGHUP:
        os.kill(process.pid, signum)
    trial.wait("cancelled", "call")


def _ids(master: SaltMaster) -> set[str]:
    return {path.name for path in master.instances.glob("[!.]*")}


def _traces(master: SaltMaster, nodes: set[str], trial: tools.Trial) -> list[str]:
    """Return what does not belong to existing nodes, from files, since ``salt-key`` takes a second."""
    pki = master.root / "etc/salt/pki/master"
    keys = [path for path in pki.glob("minions*/*") if path.name not in nodes]
    records = [path for path in (master.cachedir / BANK).glob("*.p") if path.name.split(SUFFIX)[0] not in nodes]
    half = list(master.instances.glob(".*"))
    locks = list((master.cachedir / "hart/locks").glob("*"))
    access = list(trial.path.glob("temporary-access-*"))
    sockets = [] if nodes else master.sockets()
    processes = [] if nodes else [process.pid for process in master.instance_processes()]
    return [*(path.name for path in (*keys, *records, *half, *locks, *access, *sockets)), *map(str, processes)]


def _retcode(out: str) -> int:
    return int(json.loads(out).get("retcode", 0))
