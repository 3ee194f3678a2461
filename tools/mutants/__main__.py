"""
Breaks the code in the ways that the lists name, one at a time, and prints how many of them tests notice.

The checkout is only read: mutants stand in a copy of it, and the tests run there. A mutant with which they do not end
is caught as well, by the time limit.
"""

from __future__ import annotations

import argparse
import queue
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from types import FrameType

import score
import subjects
from runs import Copy, Run, Stopped
from score import Judged
from subjects import Mutant, Tests

ROOT = Path(__file__).resolve().parents[2]
UNBROKEN_LIMIT = 3600.0  #: seconds for the tests of a subject, of which nobody knows yet how long they take
LEAST_LIMIT, LIMIT_FACTOR = 120.0, 6.0  #: seconds for a mutant, and times those of the same tests without it
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
BAD_USE, INTERRUPTED = 2, 130  #: exit codes


class Refusal(Exception):
    """There is nothing to judge, in a sentence."""


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says, and return the exit code."""
    options = _parsed(arguments)
    try:
        mutants = _chosen(options)
        if options.list:
            print("\n".join(f"{mutant.subject:<12} {mutant.name}" for mutant in mutants))
            return 0
        judged = _measured(mutants, options.jobs, options.limit)
    except (Refusal, ValueError, RuntimeError) as error:
        print(f"mutants: {error}", file=sys.stderr)
        return BAD_USE
    except (KeyboardInterrupt, Stopped):
        print("mutants: interrupted", file=sys.stderr)
        return INTERRUPTED
    print("\n".join(["", *score.table(judged), *score.remarks(judged)]))
    return 0 if score.is_good(judged) else 1


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/mutants.sh", description=str(__doc__).strip().splitlines()[0])
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help="the lists to take (default: all)")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this mutant; may be repeated")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="copies that are used side by side (1)")
    parser.add_argument(
        "--limit", type=float, default=None, metavar="SECONDS",
        help="for each mutant (default: six times what its tests take without it, 120 at least)",
    )  # fmt: skip
    parser.add_argument("--list", action="store_true", help="print the names, and run nothing")
    return parser.parse_args(arguments)


def _chosen(options: argparse.Namespace) -> list[Mutant]:
    """The mutants that are meant, in the order of the lists."""
    if options.jobs < 1:
        raise Refusal("--jobs is 1 or more")
    known = subjects.load()
    everything = [mutant for some in known.values() for mutant in some]
    if found := subjects.faults(everything, ROOT):
        raise Refusal("\n".join(["the lists are not right", *found]))
    names = {mutant.name for mutant in everything}
    strangers = [*(set(options.subjects) - known.keys()), *(set(options.only) - names)]
    if strangers:
        raise Refusal(f"there is no {', '.join(sorted(strangers))}; subjects are {', '.join(known)}")
    meant = [mutant for name in options.subjects or known for mutant in known[name]]
    return [mutant for mutant in meant if not options.only or mutant.name in options.only]


def _measured(mutants: Sequence[Mutant], jobs: int, limit: float | None) -> list[Judged]:
    """Judge them, with ``jobs`` copies side by side. Raises ``Refusal`` where tests fail with nothing broken."""
    with tempfile.TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True) as place:
        copies: list[Copy] = []
        for number in range(jobs):
            where = Path(place).resolve() / str(number)
            where.mkdir()
            copies.append(Copy(ROOT, where))
        copies[0].check()
        for signum in SIGNALS:
            signal.signal(signum, _interrupt)
        pool = ThreadPoolExecutor(jobs)
        try:
            return _Measurement(copies, pool, limit).of(mutants)
        finally:
            for signum in SIGNALS:
                signal.signal(signum, signal.SIG_IGN)  # what has begun is ended, and not left
            for copy in copies:
                copy.stop()
            pool.shutdown(cancel_futures=True)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class _Measurement:
    def __init__(self, copies: Sequence[Copy], pool: ThreadPoolExecutor, limit: float | None) -> None:
        self._free: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for copy in copies:
            self._free.put(copy)
        self._pool = pool
        self._limit = limit

    def of(self, mutants: Sequence[Mutant]) -> list[Judged]:
        """First the tests with nothing broken, then each mutant."""
        limits = self._limits(list(dict.fromkeys(mutant.tests for mutant in mutants)))
        futures = [self._pool.submit(self._judge, mutant, limits[mutant.tests]) for mutant in mutants]
        for future in as_completed(futures):
            one = future.result()
            print(f"{one.run.seconds:5.0f} s  {one.mutant.subject}: {one.mutant.name}: {one.word}", flush=True)
        return [future.result() for future in futures]

    def _limits(self, all_tests: Sequence[Tests]) -> Mapping[Tests, float]:
        """Seconds for each of them."""
        runs: dict[Future[Run], Tests] = {self._pool.submit(self._unbroken, tests): tests for tests in all_tests}
        limits = {}
        for future in as_completed(runs):
            run, tests = future.result(), runs[future]
            what = f"{' '.join(tests.files)}{f' -k {tests.select!r}' if tests.select else ''}"
            if run.code != 0:
                why = "do not end" if run.code is None else f"fail, with exit code {run.code}"
                raise Refusal(f"with nothing broken the tests {why}: {what}\n{run.said}")
            print(f"{run.seconds:5.0f} s  with nothing broken: {what}", flush=True)
            limits[tests] = self._limit or max(LEAST_LIMIT, LIMIT_FACTOR * run.seconds)
        return limits

    def _unbroken(self, tests: Tests) -> Run:
        copy = self._free.get()
        try:
            return copy.run(tests, UNBROKEN_LIMIT)
        finally:
            self._free.put(copy)

    def _judge(self, mutant: Mutant, limit: float) -> Judged:
        copy = self._free.get()
        try:
            with copy.broken(mutant):
                return Judged(mutant, copy.run(mutant.tests, limit))
        finally:
            self._free.put(copy)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
