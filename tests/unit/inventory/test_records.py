"""Records in Salt's cache, and the time of a role's last scale."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import MISSING, asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest
import salt.config

from hart_salt.base.errors import BrokenRecord, EnvironmentFault
from hart_salt.inventory.records import BANK, SUFFIX, Cache, Record, Records, Store, as_written, instance_of
from hart_salt.master import banks
from hart_salt.master.record_cache import RecordCache
from hart_salt.model import PLACE, Instance, NodePlace, Place

RECORD = Record(
    minion_id="a", provider="local", driver="local", region="r", size="s", stage="ready", owner="o", batch="b",
    created=1.5, ssh_host_keys=["ssh-ed25519 AAAA"], seconds={"launching": 0.25},
)  # fmt: skip


class MemoryCache:
    """A ``salt.cache.Cache`` without a disk: missing entries are ``{}`` or ``[]``, and nothing is shared."""

    def __init__(self) -> None:
        self.banks: dict[str, dict[str, Any]] = {}

    def store(self, bank: str, key: str, data: Any) -> None:
        self.banks.setdefault(bank, {})[key] = copy.deepcopy(data)

    def fetch(self, bank: str, key: str) -> Any:
        return copy.deepcopy(self.banks.get(bank, {}).get(key, {}))

    def flush(self, bank: str, key: str) -> None:
        self.banks.get(bank, {}).pop(key, None)

    def list(self, bank: str) -> list[str]:
        return list(self.banks.get(bank, {}))

    def contains(self, bank: str, key: str) -> bool:
        return key in self.banks.get(bank, {})

    def fetch_all(self, bank: str) -> dict[str, Any]:
        return {key: self.fetch(bank, key) for key in self.list(bank)}

    def risks(self) -> Sequence[str]:
        return ()


@pytest.fixture(params=["memory", "localfs"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Cache:
    """Return the stand-in, and the real cache, which shows whether the stand-in is right."""
    if request.param == "memory":
        return MemoryCache()
    return RecordCache({**salt.config.DEFAULT_MASTER_OPTS, "cachedir": str(tmp_path / "cache")})


@pytest.fixture
def store(cache: Cache) -> Store:
    return Store(cache)


def test_a_record_is_read_as_it_was_written(store: Store) -> None:
    store.put(RECORD)
    assert store.get("a") == RECORD


def test_the_place_is_stored_as_four_fields_only() -> None:
    cache = MemoryCache()
    Store(cache).put(replace(RECORD, zone="z"))
    stored = cache.fetch(BANK, f"a{SUFFIX}")
    assert NodePlace(**{name: stored[name] for name in PLACE}) == NodePlace("local", "r", "z", "s")
    assert "place" not in stored
    restored = Store(cache).get("a")
    assert restored is not None
    assert restored.place == NodePlace("local", "r", "z", "s")


def test_a_later_record_replaces_the_earlier_one(store: Store) -> None:
    store.put(RECORD)
    store.put(replace(RECORD, stage="failed"))
    assert [record.stage for record in store.all()] == ["failed"]


def test_all_records_are_ordered_by_id(store: Store) -> None:
    for minion_id in ("b.x", "a", "c_1"):
        store.put(replace(RECORD, minion_id=minion_id))
    assert [record.minion_id for record in store.all()] == ["a", "b.x", "c_1"]


def test_an_empty_store_has_no_records(store: Store) -> None:
    assert (store.get("a"), store.all()) == (None, [])


def test_removing_can_be_repeated(store: Store) -> None:
    store.put(RECORD)
    store.remove("a")
    store.remove("a")
    assert store.all() == []


def test_a_record_without_a_session_and_a_machine_is_read(cache: Cache, store: Store) -> None:
    """hart 1.0 wrote no such fields, and reads records that have them, because the format is the same."""
    old = {name: value for name, value in asdict(RECORD).items() if name not in ("session", "machine")}
    cache.store(BANK, f"a{SUFFIX}", {**old, "format": 1})
    assert store.get("a") == RECORD


def test_fields_of_a_newer_hart_are_ignored(cache: Cache, store: Store) -> None:
    cache.store(BANK, f"a{SUFFIX}", {**asdict(RECORD), "invented_later": {"x": [1]}})
    assert store.get("a") == RECORD


def test_the_time_of_the_last_scale_is_stored_for_each_role(store: Store) -> None:
    assert store.last_scaled("app") is None
    store.scaled("app", 5.5)
    store.scaled("app.p", 7.0)
    assert (store.last_scaled("app"), store.last_scaled("app.p"), store.last_scaled("web")) == (5.5, 7.0, None)
    assert store.all() == []


def test_the_instance_of_a_record_has_the_record_s_facts() -> None:
    assert instance_of(RECORD) is None
    known = instance_of(replace(RECORD, instance_id="i-1", zone="z", role="app", public_ip="192.0.2.1"))
    assert known == Instance("i-1", "a", "unknown", "app", "b", "r", "z", "s", public_ip="192.0.2.1", created=1.5)


BROKEN: dict[str, tuple[Any, str]] = {
    "no mapping": (["x"], "it is not a mapping"),
    "nothing in it": ([], "it is not a mapping"),
    "a newer form": ({**asdict(RECORD), "format": 2}, "it has format 2, but this hart supports only 1"),
    "a field missing": ({k: v for k, v in asdict(RECORD).items() if k != "owner"}, "owner: Field required"),
    "a wrong kind": ({**asdict(RECORD), "created": "1.5"}, "created: Input should be a valid number"),
    "a wrong kind below": ({**asdict(RECORD), "ssh_host_keys": [1]}, "ssh_host_keys.0: Input should be a valid str"),
    "no time": ({**asdict(RECORD), "created": float("nan")}, "Out of range float values"),
    "no end": ({**asdict(RECORD), "seconds": {"launching": float("inf")}}, "Out of range float values"),
    "bytes": ({**asdict(RECORD), "region": b"r"}, "it holds data that no record holds"),
    "another's": ({**asdict(RECORD), "minion_id": "b"}, "it belongs to another minion id"),
    "half an address": ({**asdict(RECORD), "addresses": [{"ip": "192.0.2.1"}]}, "addresses: each needs kind"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_record_is_neither_a_record_nor_none_and_harms_no_other(cache: Cache, store: Store, name: str) -> None:
    data, why = BROKEN[name]
    cache.store(BANK, f"a{SUFFIX}", data)
    store.put(replace(RECORD, minion_id="b"))
    with pytest.raises(BrokenRecord, match=f"the record hart/nodes/a.node is broken: {why}"):
        store.get("a")
    found = store.read()
    assert list(found.good) == ["b"]
    assert list(found.broken) == ["a"]
    assert "salt-run hart.destroy a destroys the node with it" in found.broken["a"]
    store.remove("a")
    assert store.get("a") is None


@pytest.mark.parametrize("kind", ["truncated", "directory"])
def test_a_file_that_is_not_a_record_is_broken_and_can_be_removed(tmp_path: Path, kind: str) -> None:
    cache = RecordCache({**salt.config.DEFAULT_MASTER_OPTS, "cachedir": str(tmp_path)})
    store = Store(cache, Place("localfs", tmp_path))
    store.put(RECORD)
    file = tmp_path / BANK / f"a{SUFFIX}.p"
    if kind == "truncated":
        file.write_bytes(file.read_bytes()[:-3])
    else:
        file.unlink()
        (file / "below").mkdir(parents=True)
    with pytest.raises(BrokenRecord, match=f"rm -r {file} removes only the record"):
        store.get("a")
    assert list(store.read().broken) == ["a"]
    store.remove("a")
    assert (store.get("a"), store.all()) == (None, [])


class Gone:
    """A cache that cannot be reached."""

    def _fail(self, *_: Any) -> Any:
        raise ConnectionError("Error 111 connecting to db:6379. Connection refused.\nmore")

    store = fetch = flush = list = contains = fetch_all = risks = _fail


def test_each_call_reports_a_store_that_cannot_be_reached() -> None:
    store = Store(Gone(), Place("redis at db"))
    for call in (
        lambda: store.put(RECORD), lambda: store.get("a"), store.all, lambda: store.remove("a"),
        lambda: store.scaled("app", 1.0), lambda: store.last_scaled("app"), store.check,
    ):  # fmt: skip
        with pytest.raises(EnvironmentFault) as caught:
            call()
        assert not isinstance(caught.value, BrokenRecord)
        expected = ": redis at db: Error 111 connecting to db:6379. Connection refused; check that it runs"
        assert expected in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_broken_time_of_the_last_scale_is_unknown(cache: Cache, store: Store) -> None:
    for data in (["x"], {"scaled": "yesterday"}, {"scaled": None}, {"scaled": float("nan")}):
        cache.store("hart/roles", f"app{SUFFIX}", data)
        assert store.last_scaled("app") is None


def test_a_check_leaves_nothing(store: Store, cache: Cache) -> None:
    store.check()
    assert list(cache.list("hart/roles")) == []


FULL = replace(
    RECORD, role="app", zone="z", instance_id="i-1", public_ip="192.0.2.1", sealed=True, session="s", machine="m",
)  # fmt: skip


def stored(record: Record) -> dict[str, Any]:
    """Return what the cache holds of a record."""
    cache = MemoryCache()
    Store(cache).put(record)
    found: dict[str, Any] = cache.fetch(BANK, record.minion_id + SUFFIX)
    return found


@pytest.mark.parametrize("record", [RECORD, FULL, replace(FULL, seconds={}, ssh_host_keys=[])])
def test_records_as_hart_writes_them_are_read_without_the_slow_validation(record: Record) -> None:
    assert as_written("a", stored(record)) == record
    without_defaults = {name: value for name, value in stored(record).items() if name not in ("session", "log")}
    assert as_written("a", without_defaults) == replace(record, session=None)


#: by field, values that only the strict validation decides about
ODD: list[dict[str, Any]] = [
    {"created": 1}, {"created": float("inf")}, {"created": None}, {"sealed": 1}, {"sealed": None}, {"region": None},
    {"region": "\udcff"}, {"error": "kein Platz für die Instanz"}, {"role": 5}, {"seconds": {"a": 1}},
    {"seconds": {"a": float("nan")}}, {"seconds": {1: 1.0}}, {"seconds": []}, {"ssh_host_keys": "text"},
    {"ssh_host_keys": [None]}, {"ssh_host_keys": ["\udcff"]}, {"addresses": [{"ip": "192.0.2.1"}]}, {"addresses": {}},
    {"addresses": [{"kind": "a", "ip": "192.0.2.1", "handle": "h"}]}, {"new": 1}, {"format": 2}, {"format": None},
    {"minion_id": "b"}, {"minion_id": ["a"]},
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_all_other_records_are_validated_strictly(odd: dict[str, Any]) -> None:
    assert as_written("a", {**stored(FULL), **odd}) is None
    cache = MemoryCache()
    cache.store(BANK, f"a{SUFFIX}", {**stored(FULL), **odd})
    found = Store(cache).read()
    try:
        expected = Store(cache).get("a")
    except BrokenRecord as error:
        assert found.broken == {"a": str(error)}
    else:
        assert found.good == {"a": expected}


@pytest.mark.parametrize("name", [one.name for one in fields(Record)])
def test_a_field_of_another_kind_or_missing_is_never_taken_for_granted(name: str) -> None:
    """Also a field that a later version adds is checked."""
    for wrong in (b"", object(), 5, ("a",), [[]], {"a": []}):
        assert as_written("a", {**stored(FULL), name: wrong}) is None
    less = {key: value for key, value in stored(FULL).items() if key != name}
    needed = fields(Record)[[one.name for one in fields(Record)].index(name)]
    optional = not (needed.default is needed.default_factory is MISSING)
    assert (as_written("a", less) is not None) is optional


def test_all_records_are_read_in_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = MemoryCache()
    for minion_id in ("a", "b"):
        Store(cache).put(replace(FULL, minion_id=minion_id))
    everything = cache.fetch_all(BANK)
    monkeypatch.setattr(cache, "fetch_all", lambda bank: everything)
    monkeypatch.setattr(cache, "fetch", None)
    monkeypatch.setattr(cache, "list", None)
    assert list(Store(cache).read().good) == ["a", "b"]


def test_what_is_no_record_beside_the_records_is_ignored(tmp_path: Path) -> None:
    cache = RecordCache({**salt.config.DEFAULT_MASTER_OPTS, "cachedir": str(tmp_path)})
    store = Store(cache, Place("localfs", tmp_path))
    assert (store.read(), cache.fetch_all(BANK)) == (Records({}, {}), {})
    store.put(RECORD)
    cache.store(BANK, "other", {"a": 1})
    cache.store(f"{BANK}/below", f"b{SUFFIX}", asdict(RECORD))
    (tmp_path / BANK / "tmpabcd").write_text("half a record")
    assert store.read() == Records({"a": RECORD}, {})


def test_files_that_cannot_be_read_at_once_are_broken_records(tmp_path: Path) -> None:
    store = Store(RecordCache({**salt.config.DEFAULT_MASTER_OPTS, "cachedir": str(tmp_path)}), Place("x", tmp_path))
    store.put(RECORD)
    for name in ("empty", "fifo", "loop", "big"):
        file = tmp_path / BANK / f"{name}{SUFFIX}.p"
        if name == "fifo":
            os.mkfifo(file)
        elif name == "loop":
            file.symlink_to(file)
        else:
            file.write_bytes(b"" if name == "empty" else b"\xc1" * banks.LARGEST)
    found = store.read()
    assert (list(found.good), list(found.broken)) == (["a"], ["big", "empty", "fifo", "loop"])


def test_a_directory_that_cannot_be_read_is_a_fault_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "hart").mkdir()
    (tmp_path / BANK).write_text("")
    store = Store(RecordCache({**salt.config.DEFAULT_MASTER_OPTS, "cachedir": str(tmp_path)}), Place("x", tmp_path))
    with pytest.raises(EnvironmentFault, match="the record store cannot be read: .*hart/nodes: Not a directory"):
        store.read()
