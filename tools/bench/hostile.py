"""
Measure how much a hostile node costs its neighbour and the master.

    python tools/bench/hostile.py [--runs 5]

Two SSH servers in separate processes play two nodes of one call. The neighbour prints the log of a bootstrap for 0.6 s
and returns a result document. The hostile node does what its case says, as long as hart lets it. One event loop follows
both, with the sessions, pacing, redaction and logs of hart. In turn, --runs times, the script follows the neighbour
alone and beside each hostile node. It prints for each case

* the median of the neighbour's seconds beside the hostile node, and the ratio to the median alone; target: at most 1.2
* the largest growth of resident memory; target: at most 50 MiB
* what ended the hostile node, or "held back" if hart was still reading from it when the neighbour was done

Other work on the machine distorts the figures, so the script also prints the load.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import asyncssh
import psutil

from hart_salt.base.errors import NodeFailed
from hart_salt.base.gate import Gate
from hart_salt.node import ssh
from hart_salt.node.progress import Expected, Progress

WANTED_RATIO, WANTED_MEMORY = 1.2, 50.0
HOST, CLIENT = ssh.make_key("node"), ssh.make_key("batch")
PLANTED = "s3cr3t! "
NEIGHBOUR_LINES, NEIGHBOUR_SECONDS = 60, 0.6

#: what each hostile node prints in a loop; empty: it sends SSH messages that are ignored
CASES: dict[str, bytes] = {
    "an endless result document": b"\0" * 65536,
    "one line of 1.8 MB, full of secrets": (PLANTED * 225_000).encode() + b"\n",
    "lines of 8 KB, full of secrets": (PLANTED * 1000).encode() + b"\n",
    "yes": b"y\n" * 32768,
    "empty lines": b"\n" * 65536,
    "carriage returns": b"\r" * 65536,
    "control characters": b"\x1b[2J\x9b\xff" * 1000 + b"\n",
    "ignored SSH messages": b"",
}


# the nodes, in separate processes


class Server(asyncssh.SSHServer):
    """An SSH server that accepts the client's key; logging in is not measured."""

    def __init__(self, client: str) -> None:
        self._client = asyncssh.import_public_key(client)

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return key == self._client


async def honest(process: asyncssh.SSHServerProcess[bytes]) -> None:
    if process.command == "follow":
        for number in range(NEIGHBOUR_LINES):
            process.stdout.write(b"hart: line %d of an ordinary bootstrap, of an ordinary length\n" % number)
            await asyncio.sleep(NEIGHBOUR_SECONDS / NEIGHBOUR_LINES)
    else:
        process.stdout.write(b"{" + b" " * 3000 + b"}")
    process.exit(0)


async def hostile(data: bytes, process: asyncssh.SSHServerProcess[bytes]) -> None:
    connection = process.get_extra_info("connection")
    while not process.is_closing() and not connection.is_closed():
        if data:
            process.stdout.write(data)
            await process.stdout.drain()
        else:
            # Unread data must not pile up here, because the reader is measured.
            waiting = connection._transport.get_write_buffer_size() if connection._transport else 0
            for _ in range(100 if waiting < 2**18 else 0):
                connection.send_packet(2, b"\0\0\0\x10" + b"x" * 16)
            await asyncio.sleep(0.001)


def serve(data: bytes | None, keys: tuple[str, str], port: Any) -> None:
    """
    Run a node until it is terminated, and send its port number through ``port``.

    ``data`` is what a hostile node prints; None makes an honest node.
    """

    async def main() -> None:
        acceptor = await asyncssh.listen(
            "127.0.0.1", 0, server_host_keys=[asyncssh.import_private_key(keys[0])], config=None, encoding=None,
            server_factory=lambda: Server(keys[1]), line_editor=False,
            process_factory=honest if data is None else partial(hostile, data),
        )  # fmt: skip
        port.send(acceptor.get_port())
        await acceptor.wait_closed()

    asyncio.run(main())


class Node:
    """The process of a node; a context manager that yields its endpoint."""

    def __init__(self, data: bytes | None) -> None:
        spawn = multiprocessing.get_context("spawn")
        here, there = spawn.Pipe()
        self._process = spawn.Process(target=serve, args=(data, (HOST.private, CLIENT.public), there), daemon=True)
        self._process.start()
        self.endpoint = ssh.Endpoint("127.0.0.1", here.recv(), HOST.public, CLIENT)

    def __enter__(self) -> ssh.Endpoint:
        return self.endpoint

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()


# the master's side


class NoView:
    def expect(self, expected: Expected) -> None:
        pass

    def update(self, minion_id: str, stage: str, seconds: float, line: str, reason: str = "") -> None:
        pass

    def close(self) -> None:
        pass


async def live(minion_id: str, endpoint: ssh.Endpoint, progress: Progress, command: str = "follow") -> None:
    """Do what a call does with a node until it has the result document."""
    async with await ssh.connect(endpoint, timeout=30, excerpt=progress.excerpt) as session:
        if command == "follow":
            await session.stream(command, partial(progress.output, minion_id))
        await session.run("result", output="the bootstrap's result document")


@dataclass
class Case:
    """The figures of one case."""

    seconds: list[float] = field(default_factory=list)
    memory: float = 0.0
    end: str = "held back"


async def play(neighbour: ssh.Endpoint, other: ssh.Endpoint | None, command: str, case: Case) -> None:
    gate = Gate()
    gate.secrets.add(PLANTED)
    with tempfile.TemporaryDirectory(prefix="hart-bench-") as log_dir:
        progress = Progress(log_dir, gate, lambda tag, data: None, NoView())
        beside = asyncio.ensure_future(live("bad", other, progress, command)) if other else None
        if beside:
            await asyncio.sleep(0.5)  # the hostile node has started
        began = time.perf_counter()
        await live("good", neighbour, progress)
        case.seconds.append(time.perf_counter() - began)
        if beside and not beside.done():
            beside.cancel()
        if beside:
            try:
                await beside
            except NodeFailed as error:
                case.end = str(error)
            except asyncio.CancelledError:
                pass
        progress.close()


class Memory:
    """A context manager that samples the resident memory of this process."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.before = self.most = self._now()

    def _now(self) -> float:
        return float(self._process.memory_info().rss) / 2**20

    def _look(self) -> None:
        while not self._end.wait(0.02):
            self.most = max(self.most, self._now())

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


def measure(runs: int, names: list[str], say: Callable[[str], None] = print) -> bool:
    """Measure, print, and return whether all targets are met."""
    alone, cases = Case(), {name: Case() for name in names}
    with ExitStack() as stack:
        neighbour = stack.enter_context(Node(None))
        others = {name: stack.enter_context(Node(CASES[name])) for name in names}
        asyncio.run(play(neighbour, None, "", Case()))  # do not measure one-time imports
        for _ in range(runs):
            asyncio.run(play(neighbour, None, "", alone))
            for name, case in cases.items():
                with Memory() as memory:
                    asyncio.run(play(neighbour, others[name], "result" if "document" in name else "follow", case))
                case.memory = max(case.memory, memory.most - memory.before)
    base = statistics.median(alone.seconds)
    say(f"load {os.getloadavg()[0]:.1f}; the neighbour alone: {base:.3f} s\n")
    say(f"{'beside':<38}{'seconds':>8}{'ratio':>7}{'MiB':>7}  what ended it")
    fine = True
    for name, case in cases.items():
        seconds = statistics.median(case.seconds)
        fine = fine and seconds <= WANTED_RATIO * base and case.memory <= WANTED_MEMORY
        say(f"{name:<38}{seconds:>8.3f}{seconds / base:>7.2f}{case.memory:>7.1f}  {case.end}")
    return fine


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--case", action="append", choices=list(CASES), help="only this case; can be repeated")
    options = parser.parse_args()
    return 0 if measure(options.runs, options.case or list(CASES)) else 1


if __name__ == "__main__":
    sys.exit(main())
