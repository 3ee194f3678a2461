"""The keys of a batch's nodes on the other masters: one request to each for all nodes that wait at the same time."""

from __future__ import annotations

from hart_salt.base.concurrency import Calls, uninterrupted
from hart_salt.base.turns import Turns
from hart_salt.inventory.other_masters import OtherMasters, Outcome


class PeerKeys:
    """Accepts and deletes keys on the other masters. Without any, nothing is done."""

    def __init__(self, others: OtherMasters, calls: Calls) -> None:
        self._there = bool(others)
        self._accepting: Turns[str, Outcome] = Turns(lambda keys: calls.driver(others.accept, keys))
        self._deleting: Turns[str, Outcome] = Turns(lambda keys: calls.driver(others.delete, keys))

    def __bool__(self) -> bool:
        return self._there

    async def accept(self, minion_id: str, pem: str) -> list[str]:
        """
        Have every other master accept a node's key, and return notes; a cancellation is raised afterwards.

        Raises ``NodeFailed`` if a master did not confirm it.
        """
        return await self._turn(self._accepting, minion_id, pem)

    async def delete(self, minion_id: str, pem: str) -> list[str]:
        """Have every other master delete a node's key, and return notes. Raises ``NodeFailed`` if one is left."""
        return await self._turn(self._deleting, minion_id, pem)

    async def _turn(self, turns: Turns[str, Outcome], minion_id: str, pem: str) -> list[str]:
        outcome = await uninterrupted(turns.of(minion_id, pem))
        if outcome.error is not None:
            raise outcome.error
        return outcome.notes
