"""
Standard output and standard error, such that nothing depends on whether somebody reads them.

A terminal can be hung up or stopped, the reader of a pipe can go away or stop reading, a disk can be full. None of it
may fail a node, hold up its undo or change an exit code. While a call is under way nothing that is written to standard
error is waited for, Salt's own log lines included; after the first write that fails a stream is silent.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from hart_salt.base.outbox import STALL_SECONDS, Outbox


def tell(text: str) -> None:
    """Print a line to standard error, if there is one. Raises nothing."""
    stream = sys.stderr
    if stream is not None:  # None, print would take for standard output
        with contextlib.suppress(OSError, ValueError):
            print(text, file=stream, flush=True)


@contextmanager
def guarded(stall: float = STALL_SECONDS) -> Iterator[None]:
    """
    Let nothing that happens to standard output or standard error reach who writes there.

    What is written to standard error meanwhile is not waited for. At the end the rest is, as long as it is taken. Both
    streams stay guarded afterwards: Salt prints the result, and Python flushes what is left when the process ends,
    whose failure would be the exit code. In a thread of a master, whose streams are not ours, this does nothing.

    stall
        seconds after which, at the end, who takes nothing of what waits gets nothing more (default: 1)
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    sys.stdout = _guard(sys.stdout, sys.__stdout__)
    sys.stderr = _guard(sys.stderr, sys.__stderr__)
    errors = _device_of(sys.stderr)
    if errors is None:
        yield
        return
    errors.begin()
    try:
        yield
    finally:
        errors.end(stall)


class Device(io.RawIOBase):
    """What writes to a file descriptor; a write never raises, and fails once at the most."""

    def __init__(self, descriptor: int, name: str) -> None:
        super().__init__()
        self.name = name
        self.silent = False
        self._descriptor = descriptor
        self._outbox: Outbox[bytes] | None = None

    def begin(self) -> None:
        """From now on do not wait for who reads."""
        self._outbox = Outbox(self._send)

    def end(self, stall: float) -> None:
        """Write what waits, and from now on wait again; who does not read by then gets nothing more."""
        outbox, self._outbox = self._outbox, None
        if outbox is not None and not outbox.close(stall):
            self.silent = True

    def writable(self) -> bool:
        """It is for writing."""
        return True

    def fileno(self) -> int:
        """The file descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal; one that was hung up is none."""
        return os.isatty(self._descriptor)

    def write(self, data: object) -> int:
        """Take all of it, whatever becomes of it."""
        text = bytes(data)  # type: ignore[call-overload]  # a buffer of some kind
        if self._outbox is not None:
            self._outbox.put(text)
        else:
            self._send(text)
        return len(text)

    def _send(self, data: bytes) -> None:
        try:
            while data and not self.silent:
                data = data[self._some(data) :]
        except OSError:
            self.silent = True

    def _some(self, data: bytes) -> int:
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:  # somebody who shares it made it so
            waiting = select.poll()
            waiting.register(self._descriptor, select.POLLOUT)
            waiting.poll()
            return 0


def _guard(stream: TextIO | None, original: TextIO | None) -> TextIO | None:
    """A stream of the same kind over a ``Device``; one that is not the process's own, or is guarded, stays."""
    if stream is None or stream is not original or not isinstance(stream, io.TextIOWrapper):
        return stream
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
    new = io.TextIOWrapper(
        io.BufferedWriter(Device(stream.fileno(), stream.name)), encoding=stream.encoding, errors=stream.errors,
        line_buffering=stream.line_buffering, write_through=stream.write_through,
    )  # fmt: skip
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is stream:
            handler.stream = new
    return new


def _device_of(stream: TextIO | None) -> Device | None:
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw if isinstance(raw, Device) else None
