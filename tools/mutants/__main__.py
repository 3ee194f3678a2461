"""
Break the code in the ways that the lists name, one at a time, and print how many of them the tests catch.

The tool only reads the checkout: it changes a copy and runs the tests there. A mutant with which the tests do not end
counts as caught, by the timeout.
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
UNBROKEN_LIMIT = 3600.0  #: seconds for the unbroken tests of a subject, whose duration is not yet known
LEAST_LIMIT, LIMIT_FACTOR = 120.0, 6.0  #: least seconds for a mutant, and factor on the seconds of the unbroken tests
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
BAD_USE, INTERRUPTED = 2, 130  #: exit codes


class Refusal(Exception):
    """The mutants cannot be judged; the message says why."""


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit code."""
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
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help="the lists to use (default: all)")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="only this mutant; can be repeated")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="copies to use in parallel (default: 1)")
    parser.add_argument(
        "--limit", type=float, default=None, metavar="SECONDS",
        help="timeout for each mutant (default: six times the duration of its tests without it, at least 120)",
    )  # fmt: skip
    parser.add_argument("--list", action="store_true", help="print the names and run nothing")
    return parser.parse_args(arguments)


def _chosen(options: argparse.Namespace) -> list[Mutant]:
    """Return the chosen mutants, in the order of the lists."""
    if options.jobs < 1:
        raise Refusal("--jobs must be 1 or more")
    known = subjects.load()
    everything = [mutant for some in known.values() for mutant in some]
    if found := subjects.faults(everything, ROOT):
        raise Refusal("\n".join(["the lists have faults:", *found]))
    names = {mutant.name for mutant in everything}
    unknown = [*(set(options.subjects) - known.keys()), *(set(options.only) - names)]
    if unknown:
        raise Refusal(f"unknown subject or mutant: {', '.join(sorted(unknown))}; subjects are {', '.join(known)}")
    chosen = [mutant for name in options.subjects or known for mutant in known[name]]
    return [mutant for mutant in chosen if not options.only or mutant.name in options.only]


def _measured(mutants: Sequence[Mutant], jobs: int, limit: float | None) -> list[Judged]:
    """
    Judge the mutants with ``jobs`` copies in parallel.

    ``limit`` is the timeout of a mutant in seconds; None derives it from the unbroken tests.

    Raises ``Refusal`` if tests fail without a mutant.
    """
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
                signal.signal(signum, signal.SIG_IGN)  # finish the cleanup
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
        """Run the unbroken tests, then judge each mutant. Return the judgements in the order of the mutants."""
        limits = self._limits(list(dict.fromkeys(mutant.tests for mutant in mutants)))
        futures = [self._pool.submit(self._judge, mutant, limits[mutant.tests]) for mutant in mutants]
        for future in as_completed(futures):
            one = future.result()
            print(f"{one.run.seconds:5.0f} s  {one.mutant.subject}: {one.mutant.name}: {one.word}", flush=True)
        return [future.result() for future in futures]

    def _limits(self, all_tests: Sequence[Tests]) -> Mapping[Tests, float]:
        """Return the timeout in seconds for the mutants of each set of tests."""
        runs: dict[Future[Run], Tests] = {self._pool.submit(self._unbroken, tests): tests for tests in all_tests}
        limits = {}
        for future in as_completed(runs):
            run, tests = future.result(), runs[future]
            what = f"{' '.join(tests.files)}{f' -k {tests.select!r}' if tests.select else ''}"
            if run.code != 0:
                why = "time out" if run.code is None else f"fail with exit code {run.code}"
                raise Refusal(f"without a mutant the tests {why}: {what}\n{run.output}")
            print(f"{run.seconds:5.0f} s  without a mutant: {what}", flush=True)
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
