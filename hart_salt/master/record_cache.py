"""Salt's cache with the master's configured driver, which stores the records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import salt.cache

from hart_salt.master import banks


class RecordCache:
    """The cache with the options of a master; it loads its driver when it is first used."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self._cache = salt.cache.Cache(dict(opts))

    def store(self, bank: str, key: str, data: Any) -> None:
        """Write a key."""
        self._cache.store(bank, key, data)

    def fetch(self, bank: str, key: str) -> Any:
        """Return the data of a key; an empty dict if there is none."""
        return self._cache.fetch(bank, key)

    def flush(self, bank: str, key: str) -> None:
        """Remove a key; one that is gone is a success."""
        self._cache.flush(bank, key)

    def list(self, bank: str) -> list[str]:
        """Return the keys of a bank."""
        return list(self._cache.list(bank))

    def fetch_all(self, bank: str) -> dict[str, Any]:
        """Return the data of every key of a bank; None means that the key must be fetched by itself."""
        return banks.read(self._cache, bank)
