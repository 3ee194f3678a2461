"""The keys of a batch's nodes on this master: one call of the key store for all nodes that wait at the same time."""

from __future__ import annotations

from hart_salt.base.concurrency import Calls, uninterrupted
from hart_salt.base.turns import Turns
from hart_salt.master.keys import Acceptance, Keys, OwnKey


class Enrolment:
    """Accepts and deletes the keys of the nodes of a batch."""

    def __init__(self, keys: Keys, calls: Calls) -> None:
        self._accepting: Turns[str, Acceptance] = Turns(lambda pems: calls.salt(keys.accept_many, pems))
        self._looking: Turns[str, list[str]] = Turns(lambda pems: calls.salt(keys.holders_of, pems))
        self._deleting: Turns[OwnKey, None] = Turns(lambda own: calls.salt(keys.delete_each, own))

    async def accept(self, minion_id: str, pem: str) -> list[str]:
        """
        Accept a node's key, whatever happens in between, and return notes on keys that it replaced.

        Raises what ``Keys.accept_many`` returns as the error.
        """
        outcome = await uninterrupted(self._accepting.of(minion_id, pem))
        if outcome.error is not None:
            raise outcome.error
        return outcome.notes

    async def holders(self, minion_id: str, pem: str) -> list[str]:
        """Return notes on who has a key that the node reports; see ``Keys.holders_of``."""
        return await self._looking.of(minion_id, pem)

    async def delete(self, minion_id: str, pem: str, *, connected: bool) -> None:
        """Delete a node's key; see ``Keys.delete_each``."""
        await self._deleting.of(minion_id, OwnKey(pem, connected))
