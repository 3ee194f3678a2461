"""
Standard output and standard error that do not depend on a reader.

A terminal can be hung up or stopped, the reader of a pipe can go away or stop reading, a disk can be full. None of this
may fail a node, delay its undo or change an exit code. During a call nothing waits for standard error to be written,
not even Salt's own log lines; after the first failed write a stream stays silent.
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


def print_stderr(text: str) -> None:
    """Print a line to standard error, if there is one. Raises nothing."""
    stream = sys.stderr
    if stream is not None:  # print would use standard output for None
        with contextlib.suppress(OSError, ValueError):
            print(text, file=stream, flush=True)


@contextmanager
def guarded(stall: float = STALL_SECONDS) -> Iterator[None]:
    """
    Keep all failures of standard output and standard error away from the code that writes to them.

    During the block nothing waits for standard error to be written. At the end the remaining text is written, as long
    as the reader takes it. Both streams stay guarded afterwards: Salt prints the result, and at the end of the process
    Python flushes what is left; a failure there would change the exit code. In a thread of a master, whose streams
    belong to it, this does nothing.

    ``stall`` is the number of seconds at the end after which a reader that takes nothing gets nothing more (default:
    1).
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
    """A writer to a file descriptor. A write never raises; after the first failure the device stays silent."""

    def __init__(self, descriptor: int, name: str) -> None:
        super().__init__()
        self.name = name
        self.silent = False
        self._descriptor = descriptor
        self._outbox: Outbox[bytes] | None = None

    def begin(self) -> None:
        """Stop waiting for the reader."""
        self._outbox = Outbox(self._send)

    def end(self, stall: float) -> None:
        """Write the queued text, and wait for the reader from now on; one that takes nothing gets nothing more."""
        outbox, self._outbox = self._outbox, None
        if outbox is not None and not outbox.close(stall):
            self.silent = True

    def writable(self) -> bool:
        """Return True: the stream is for writing."""
        return True

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether it is a terminal; one that was hung up is not."""
        return os.isatty(self._descriptor)

    def write(self, data: object) -> int:
        """Take all of the data, whether or not it can be written."""
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
        except BlockingIOError:  # another process that shares the descriptor made it non-blocking
            waiting = select.poll()
            waiting.register(self._descriptor, select.POLLOUT)
            waiting.poll()
            return 0


def _guard(stream: TextIO | None, original: TextIO | None) -> TextIO | None:
    """Return a stream of the same kind over a ``Device``; a foreign or already guarded stream is returned unchanged."""
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
