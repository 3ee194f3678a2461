"""
Where the stages of a call's nodes go, opened for the length of the call: logs, the master's event bus, a terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hart_salt.base.outbox import Outbox
from hart_salt.inventory.context import Context
from hart_salt.node.progress import Progress
from hart_salt.node.terminal import view_for

#: sends an event: its tag and its data
Fire = Callable[[str, dict[str, Any]], None]
EVENTS = 20_000  #: that may wait to be sent at the same time


@contextmanager
def open_progress(context: Context, *, events: bool = True) -> Iterator[Progress]:
    """
    Where the stages of a call's nodes go.

    events
        False: there are none, since nobody is to hear of these nodes (default True)
    """
    with open_events(context) as send:
        progress = Progress(context.info.log_dir, context.gate, send if events else _nobody, view_for())
        try:
            yield progress
        finally:
            progress.close()


@contextmanager
def open_events(context: Context) -> Iterator[Fire]:
    """
    Events go out in the order of the stages; nobody waits for them, and nothing fails where one cannot be sent.

    A thread of their own: a bus that hangs must not hold up keys and records.
    """
    outbox: Outbox[tuple[str, dict[str, Any]]] = Outbox(
        lambda event: context.master.fire(*event), context.master.close, limit=EVENTS
    )
    try:
        yield lambda tag, data: outbox.put((tag, data))
    finally:
        outbox.close()


def _nobody(tag: str, data: dict[str, Any]) -> None:
    """Hears it."""
