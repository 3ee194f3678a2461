"""Open what reports the stages of a call's nodes: logs, the master's event bus and the terminal."""

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
EVENTS = 20_000  #: the most events that can wait to be sent


@contextmanager
def open_progress(context: Context, *, events: bool = True) -> Iterator[Progress]:
    """
    Open the progress of a call's nodes, and close it when the block ends.

    With ``events=False`` no events are sent, because the nodes are not minions of this master (default True).
    """
    with open_events(context) as send:
        progress = Progress(
            context.info.log_dir, context.gate, send if events else _nobody, view_for(),
            by=context.journal.by, function=context.journal.function,
        )  # fmt: skip
        try:
            yield progress
        finally:
            progress.close()


@contextmanager
def open_events(context: Context) -> Iterator[Fire]:
    """
    Open the master's event bus, and yield the function that sends an event.

    Events are sent in the order of the stages; nothing waits for them, and nothing fails if one cannot be sent. They
    have their own thread, since a bus that hangs must not delay keys and records.
    """
    outbox: Outbox[tuple[str, dict[str, Any]]] = Outbox(
        lambda event: context.master.fire(*event), context.master.close, limit=EVENTS
    )
    try:
        yield lambda tag, data: outbox.put((tag, data))
    finally:
        outbox.close()


def _nobody(tag: str, data: dict[str, Any]) -> None:
    """Drop an event."""
