"""The connection to the master's event bus over which Salt's key store reports each change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import salt.utils.event


class KeyEvents:
    """
    A substitute for the event bus of ``salt.key.Key``, which makes a new connection for each store that is opened.

    To connect takes longer than to accept a key. In ``kept`` one connection serves all stores; elsewhere, it is closed
    with each store, as Salt does. It is used from one thread at a time.
    """

    def __init__(self, opts: Mapping[str, Any]) -> None:
        """``opts`` is the configuration of the master."""
        self._opts = opts
        self._bus: Any = None
        self._keeps = False

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep the connection open until the block ends."""
        self._keeps = True
        try:
            yield
        finally:
            self._keeps = False
            self.destroy()

    def fire_event(self, data: dict[str, Any], tag: str) -> bool:
        """Send an event; called by Salt. A connection to a master that was restarted in the meantime is made again."""
        if self._bus is not None:
            try:
                return bool(self._bus.fire_event(dict(data), tag))
            except Exception:  # each version of Salt raises its own errors
                self._close()
        self._bus = salt.utils.event.get_event("master", self._opts["sock_dir"], opts=self._opts, listen=False)
        return bool(self._bus.fire_event(data, tag))

    def destroy(self) -> None:
        """Close the connection, unless it is kept; called by Salt at the end of each store."""
        if not self._keeps:
            self._close()

    def _close(self) -> None:
        if self._bus is not None:
            self._bus.destroy()
            self._bus = None
