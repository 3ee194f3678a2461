"""Who works on what where leases coordinate several masters, seen with the records of one snapshot."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from hart_salt.inventory.records import Record


class LeaseLook:
    """Who works on what; nothing is looked up twice."""

    def __init__(
        self, records: Mapping[str, Record], claims: Mapping[str, Mapping[str, Any]], living: Collection[str],
        leased: Mapping[str, bool], is_leased: Callable[[str], bool], judges: Callable[[Mapping[str, Any]], bool],
    ) -> None:  # fmt: skip
        """
        Keep what is known: the records, the claims of batches in the store, and the sessions that live.

        ``leased`` says of batches without a claim whether a call has their lease, and ``is_leased`` asks that of
        another one. ``judges`` says whether this master may judge a batch with such facts.
        """
        self._records = records
        self._claims = claims
        self._living = living
        self._leased = dict(leased)
        self._is_leased = is_leased
        self._judges = judges

    def busy(self, minion_id: str) -> bool:
        """Return whether a living call works on the node; a node without a record is nobody's."""
        record = self._records.get(minion_id)
        return record is not None and record.session in self._living

    def batch_lives(self, batch: str) -> bool:
        """Return whether a living call has the batch, even if the store has lost its claim."""
        if batch in self._claims:
            return session_of(self._claims[batch]) in self._living
        if batch and batch not in self._leased:
            self._leased[batch] = self._is_leased(batch)
        return self._leased.get(batch, False)

    def dead_batches(self) -> dict[str, dict[str, Any]]:
        """Return the batches whose sessions are dead, as far as this master can judge them."""
        return {
            batch: dict(facts)
            for batch, facts in self._claims.items()
            if session_of(facts) not in self._living and self._judges(facts)
        }

    def living_batches(self) -> dict[str, dict[str, Any]]:
        """Return the batches whose sessions live."""
        claims = self._claims.items()
        return {batch: dict(facts) for batch, facts in claims if session_of(facts) in self._living}


def session_of(facts: Mapping[str, Any]) -> str:
    """Return the session that a claim names; empty if it names none."""
    return str(facts.get("session") or "")
