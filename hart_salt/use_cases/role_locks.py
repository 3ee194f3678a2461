"""The locks of the roles whose fleets a call changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from hart_salt.operations.scale import alone_with
from hart_salt.use_cases.parts import Parts


class RoleLocks:
    """Holds the locks that were taken, until the end of a block."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._held: dict[str, ExitStack] = {}

    def __enter__(self) -> RoleLocks:
        """Return the object."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release all locks."""
        with ExitStack() as every:
            for role in list(self._held):
                every.push(self._held.pop(role))

    def take(self, role: str, *, wait: bool) -> bool:
        """Take the lock of a role, and return whether it is held; ``wait`` says whether to wait for another call."""
        stack = ExitStack()
        held = stack.enter_context(alone_with(role, self._parts.context.locks, wait=wait))
        self._held[role] = stack
        return held

    @contextmanager
    def apart(self, role: str) -> Iterator[None]:
        """Release the lock of a role during a block, and take it again after it, however long that takes."""
        self._held.pop(role).close()
        try:
            yield
        finally:
            self.take(role, wait=True)
