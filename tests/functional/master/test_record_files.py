"""The records in files: written without Salt's module for files, but as it writes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import salt.cache
import salt.config

from hart_salt.base.errors import EnvironmentFault
from hart_salt.inventory.records import BANK, SUFFIX, Record, Store
from hart_salt.master.client import Master

RECORD = Record(
    minion_id="a.p", provider="local", driver="local", region="r", size="s", stage="ready", owner="o", batch="b",
    created=1.5, error="für", ssh_host_keys=["ssh-ed25519 AAAA"], seconds={"launching": 0.25},
)  # fmt: skip


@pytest.fixture
def opts(tmp_path: Path) -> dict[str, Any]:
    return {**salt.config.DEFAULT_MASTER_OPTS, "cachedir": str(tmp_path)}


@pytest.fixture
def store(opts: dict[str, Any]) -> Store:
    master = Master(opts)
    return Store(master.cache(), master.record_place())


def files(tmp_path: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (tmp_path / BANK).iterdir()}


def test_a_record_is_the_same_file_as_salt_writes(store: Store, opts: dict[str, Any], tmp_path: Path) -> None:
    store.put(RECORD)
    name = RECORD.minion_id + SUFFIX
    cache = salt.cache.Cache(opts)
    written = files(tmp_path)
    mode = (tmp_path / BANK / f"{name}.p").stat().st_mode
    data = cache.fetch(BANK, name)
    cache.flush(BANK, name)
    cache.store(BANK, name, data)
    assert (files(tmp_path), (tmp_path / BANK / f"{name}.p").stat().st_mode) == (written, mode)
    assert store.get(RECORD.minion_id) == RECORD
    assert list(written) == [f"{name}.p"]


def test_a_record_gets_its_name_when_it_is_complete(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed in the middle leaves the old record, whole."""
    store.put(RECORD)
    before = files(tmp_path)
    seen: list[dict[str, bytes]] = []
    rename = os.rename

    def noted(old: str, new: str) -> None:
        seen.append(files(tmp_path))
        rename(old, new)

    monkeypatch.setattr(os, "rename", noted)
    store.put(Record(**{**vars(RECORD), "stage": "launching"}))
    after = files(tmp_path)
    (name,) = before
    assert (seen[0][name], set(after)) == (before[name], {name})
    assert after[name] in [data for other, data in seen[0].items() if other != name]


def test_a_record_that_cannot_be_written_stays_as_it_was(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(RECORD)
    before = files(tmp_path)

    def full(*_: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(EnvironmentFault, match="the record store cannot be written: .*No space left on device"):
        store.put(Record(**{**vars(RECORD), "stage": "launching"}))
    assert files(tmp_path) == before
