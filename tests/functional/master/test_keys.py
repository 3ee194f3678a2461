"""Salt's key store through ``Keys``, with every kind of store of the installed Salt."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import salt.cache
import salt.key
import salt.utils.crypt
import salt.utils.event

from hart_salt.base.errors import EnvironmentFault, NodeFailed, Refused
from hart_salt.master.client import SALT_VERSION, Master
from hart_salt.master.keys import (
    ACCEPTED,
    DENIED,
    PENDING,
    REJECTED,
    Keys,
)
from hart_salt.master.public_keys import fingerprint
from tests.parts import master_opts
from tests.public_keys import new_public_key

FILES_ONLY = int(SALT_VERSION.split(".")[0]) < 3008
STORES = ["files"] if FILES_ONLY else ["localfs_key", "mmap_key"]


OURS, FOREIGN, THIRD = (new_public_key() for _ in range(3))


class KeyStore:
    """A master that does not run, and its keys as Salt itself stores them."""

    def __init__(self, root: Path, store: str) -> None:
        # The index of mmap_key has a million places by default, and a new one is written whole.
        settings = {} if store == "files" else {"keys.cache_driver": store, "mmap_key_size": 1000}
        self.opts = master_opts(root, **settings)
        # What the daemon creates when it starts.
        for state in (ACCEPTED, PENDING, REJECTED, DENIED, "minions_autosign"):
            Path(self.opts["pki_dir"], state).mkdir(parents=True)
        Path(self.opts["cachedir"]).mkdir()
        self.master = Master(self.opts)

    def plant(self, state: str, minion_id: str, key: str) -> None:
        """Store a key as the master's daemon does when a minion connects, or an admin with salt-key."""
        if FILES_ONLY:
            Path(self.opts["pki_dir"], state, minion_id).write_text(key)
            return
        cache = salt.cache.Cache(self.opts, driver=self.opts["keys.cache_driver"])
        if state == DENIED:
            cache.store("denied_keys", minion_id, [key])
        else:
            word = {ACCEPTED: "accepted", PENDING: "pending", REJECTED: "rejected"}[state]
            cache.store("keys", minion_id, {"pub": key, "state": word})

    def there(self, minion_id: str) -> dict[str, str]:
        """Return what a new query finds under one id: the keys by their state."""
        found = Master(self.opts).keys._keys(minion_id)
        return {state: key.strip() for state, keys in found.items() for key in keys}

    @property
    def rotates(self) -> bool:
        """Return whether the running master would make a new AES key."""
        return any(Path(self.opts["cachedir"]).glob(".dfn*"))


@pytest.fixture(params=STORES)
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> KeyStore:
    if request.param == "mmap_key" and importlib.util.find_spec("salt.cache.mmap_key") is None:
        pytest.skip("this Salt has no mmap_key")
    return KeyStore(tmp_path, request.param)


def test_a_key_is_accepted_if_there_is_none(keys: KeyStore) -> None:
    assert keys.master.keys.accept("web", OURS) == []
    assert keys.there("web") == {ACCEPTED: OURS.strip()}
    assert keys.master.keys.states() == {"web": (ACCEPTED,)}


def test_a_key_that_a_foreign_key_displaces_in_between_is_still_accepted(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    deposit, deposited = keys.master.keys._deposit, []

    def disturbed(minion_id: str, key: str) -> None:
        deposit(minion_id, key)
        deposited.append(key)
        if len(deposited) == 1:
            keys.master.keys._delete({PENDING: [minion_id]}, rotate=False)
            keys.plant(DENIED, minion_id, FOREIGN)

    monkeypatch.setattr(keys.master.keys, "_deposit", disturbed)
    notes = keys.master.keys.accept("web", OURS)
    assert keys.there("web") == {ACCEPTED: OURS.strip()}
    assert ["was denied under this id" in note for note in notes] == [True]


@pytest.mark.parametrize(("state", "word"), [(PENDING, "pending"), (REJECTED, "rejected"), (DENIED, "denied")])
def test_an_earlier_foreign_key_is_replaced_and_reported(keys: KeyStore, state: str, word: str) -> None:
    keys.plant(state, "web", FOREIGN)
    notes = keys.master.keys.accept("web", OURS)
    assert notes == [f"a foreign key that was {word} under this id was replaced: {fingerprint(FOREIGN)}"]
    assert keys.there("web") == {ACCEPTED: OURS.strip()}


def test_several_earlier_foreign_keys_are_all_replaced(keys: KeyStore) -> None:
    keys.plant(PENDING, "web", FOREIGN)
    keys.plant(DENIED, "web", THIRD)
    assert len(keys.master.keys.accept("web", OURS)) == 2
    assert keys.there("web") == {ACCEPTED: OURS.strip()}


@pytest.mark.parametrize("state", [PENDING, REJECTED, DENIED])
def test_the_node_s_own_key_in_another_state_is_accepted_without_a_note(keys: KeyStore, state: str) -> None:
    keys.plant(state, "web", OURS)
    assert keys.master.keys.accept("web", OURS) == []
    assert keys.there("web") == {ACCEPTED: OURS.strip()}


def test_the_same_key_can_be_accepted_already(keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    keys.plant(ACCEPTED, "web", OURS)
    work = Work(monkeypatch)
    assert keys.master.keys.accept("web", OURS) == []
    assert (keys.there("web"), work.events) == ({ACCEPTED: OURS.strip()}, [])


def test_a_foreign_key_that_is_accepted_fails_the_node_and_is_left_for_the_admin(keys: KeyStore) -> None:
    keys.plant(ACCEPTED, "web", FOREIGN)
    with pytest.raises(NodeFailed) as caught:
        keys.master.keys.accept("web", OURS)
    assert fingerprint(FOREIGN) in str(caught.value)
    assert "salt-key -d web" in str(caught.value)
    assert keys.there("web") == {ACCEPTED: FOREIGN.strip()}


def test_a_foreign_key_that_arrives_between_two_steps_is_detected(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    deposit = keys.master.keys._deposit

    def raced(minion_id: str, key: str) -> None:
        deposit(minion_id, key)
        keys.plant(PENDING, minion_id, FOREIGN)

    monkeypatch.setattr(keys.master.keys, "_deposit", raced)
    with pytest.raises(NodeFailed, match=fingerprint(FOREIGN)):
        keys.master.keys.accept("web", OURS)


def test_holders_of_a_key_that_a_node_names_are_reported_and_not_touched(keys: KeyStore) -> None:
    """The key can belong to another machine that waits to be accepted: a node can name any key that it saw."""
    keys.plant(PENDING, "image", FOREIGN)
    keys.plant(PENDING, "other", THIRD)
    keys.plant(ACCEPTED, "original", FOREIGN)
    before = keys.master.keys.states()
    pending, accepted = keys.master.keys.holders(FOREIGN)
    assert f"{fingerprint(FOREIGN)} is pending as image" in pending
    assert "salt-key -d image" in pending
    assert "is accepted as original" in accepted
    assert keys.master.keys.states() == before
    assert keys.master.keys.holders(OURS) == []
    assert keys.master.keys.holders("no key") == []


def test_only_a_few_holders_of_a_key_are_reported_with_quoted_ids(keys: KeyStore) -> None:
    for number in range(20):
        keys.plant(PENDING, f"a; b{number}", FOREIGN)
    notes = keys.master.keys.holders(FOREIGN)
    assert len(notes) == 5
    assert all("salt-key -d 'a; b" in note for note in notes)


def test_accepting_one_id_touches_no_other(keys: KeyStore) -> None:
    keys.plant(PENDING, "web2", FOREIGN)
    keys.master.keys.accept("web", OURS)
    assert keys.there("web2") == {PENDING: FOREIGN.strip()}


def test_keys_are_deleted_by_their_exact_ids_in_every_state(keys: KeyStore) -> None:
    for state, minion_id in ((ACCEPTED, "a"), (PENDING, "b"), (REJECTED, "c"), (DENIED, "d"), (ACCEPTED, "ab")):
        keys.plant(state, minion_id, FOREIGN)
    keys.plant(DENIED, "a", OURS)
    keys.master.keys.delete(["a", "b", "c", "d", "none-of-that-id"])
    assert keys.master.keys.states() == {"ab": (ACCEPTED,)}
    assert [keys.there(minion_id) for minion_id in ("a", "b", "c", "d")] == [{}, {}, {}, {}]


@pytest.mark.parametrize("glob", ["*", "web*", "web?", "web[12]", "[!x]eb1"])
def test_an_id_that_looks_like_a_glob_is_never_expanded(keys: KeyStore, glob: str) -> None:
    keys.plant(ACCEPTED, "web1", FOREIGN)
    keys.plant(PENDING, "web2", FOREIGN)
    keys.master.keys.delete([glob])
    assert keys.master.keys.states() == {"web1": (ACCEPTED,), "web2": (PENDING,)}


def test_deleting_can_be_repeated(keys: KeyStore) -> None:
    keys.plant(ACCEPTED, "web", OURS)
    for _ in range(2):
        keys.master.keys.delete(["web"])
        keys.master.keys.delete_one("web", OURS, connected=False)
    assert keys.master.keys.states() == {}


@pytest.mark.parametrize("state", [ACCEPTED, PENDING])
def test_the_undo_deletes_the_node_s_key_and_leaves_a_foreign_one(keys: KeyStore, state: str) -> None:
    keys.plant(state, "web", FOREIGN)
    keys.master.keys.delete_one("web", OURS, connected=False)
    assert keys.there("web") == {state: FOREIGN.strip()}
    keys.master.keys.delete_one("web", FOREIGN, connected=False)
    assert keys.there("web") == {}


@pytest.mark.parametrize("state", [PENDING, DENIED])
def test_later_keys_under_the_id_of_a_started_node_are_deleted_with_it(keys: KeyStore, state: str) -> None:
    """Its image made a new key after the first was reported: the id must become free again."""
    keys.plant(ACCEPTED if state == DENIED else state, "a", OURS if state == DENIED else THIRD)
    if state == DENIED:
        keys.plant(DENIED, "a", THIRD)
    keys.master.keys.delete_one("a", OURS, connected=True)
    assert keys.there("a") == {}


def test_denied_keys_beside_a_foreign_accepted_key_stay(keys: KeyStore) -> None:
    keys.plant(ACCEPTED, "a", FOREIGN)
    keys.plant(DENIED, "a", THIRD)
    for connected in (True, False):
        keys.master.keys.delete_one("a", OURS, connected=connected)
    keys.master.keys.delete_own({"a": fingerprint(OURS), "b": None})
    assert keys.there("a") == {ACCEPTED: FOREIGN.strip(), DENIED: THIRD.strip()}


@pytest.mark.parametrize("there", [{ACCEPTED: OURS, DENIED: THIRD}, {DENIED: THIRD}])
def test_sweep_deletes_denied_keys_with_the_node_s_own_key(keys: KeyStore, there: dict[str, str]) -> None:
    for state, key in there.items():
        keys.plant(state, "a", key)
    keys.plant(PENDING, "b", THIRD)
    keys.master.keys.delete_own({"a": fingerprint(OURS), "b": fingerprint(OURS)})
    assert (keys.there("a"), keys.there("b")) == ({}, {PENDING: THIRD.strip()})


def test_the_master_makes_a_new_aes_key_only_for_keys_that_were_used(keys: KeyStore) -> None:
    for minion_id in ("a", "b", "c"):
        keys.master.keys.accept(minion_id, OURS)
    keys.master.keys.delete_one("a", OURS, connected=False)
    keys.master.keys.delete(["b"], connected=False)
    assert not keys.rotates
    keys.master.keys.delete(["c"])
    assert keys.rotates


def test_replacing_a_key_that_never_authenticated_makes_no_new_aes_key(keys: KeyStore) -> None:
    keys.plant(PENDING, "web", FOREIGN)
    keys.master.keys.accept("web", OURS)
    assert not keys.rotates


def test_storing_a_key_leaves_no_other_file(keys: KeyStore) -> None:
    keys.master.keys.accept("web", OURS)
    keys.master.keys.delete(["web"])
    names = [path.name for path in Path(keys.opts["pki_dir"]).rglob("*") if path.is_file()]
    assert [name for name in names if "web" in name or "hart" in name] == []


def test_a_master_that_never_ran_has_no_key_and_is_refused_if_it_must_run(tmp_path: Path) -> None:
    master = Master(master_opts(tmp_path))
    with pytest.raises(Refused, match="start salt-master once"):
        master.require_running()
    assert master.info().public_key == ""
    assert (master.keys.states(), list(tmp_path.rglob("*.pem"))) == ({}, [])


def test_the_owner_of_a_machine_without_a_key_stays_the_same_until_there_is_one(tmp_path: Path) -> None:
    owner = Master(master_opts(tmp_path)).info().owner
    assert len(owner) == 16
    assert Master(master_opts(tmp_path)).info().owner == owner
    assert [path.name for path in (tmp_path / "cache/hart").iterdir()] == ["owner"]
    master = Master(master_opts(tmp_path))
    vars(master)["_public_key"] = OURS  # as if it had been read
    assert (master.info().public_key, master.info().owner == owner) == (OURS, False)


def test_a_corrupted_owner_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "cache/hart").mkdir(parents=True)
    (tmp_path / "cache/hart/owner").write_text("me")
    with pytest.raises(Refused, match="does not hold 16 hex digits: remove it"):
        Master(master_opts(tmp_path)).info()


def test_nothing_is_fired_without_a_listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    master = Master(master_opts(tmp_path))
    monkeypatch.setattr(master, "_event_bus", lambda **_: pytest.fail("the bus was looked for"))
    master.fire("hart/web/ready", {})


@pytest.mark.parametrize("state", [ACCEPTED, PENDING, REJECTED])
def test_the_fingerprint_is_the_one_that_salt_key_shows(keys: KeyStore, state: str) -> None:
    keys.plant(state, "web", FOREIGN)
    shown = keys.master.keys._wheel()["key.finger"]("web")[state]["web"]
    assert fingerprint(keys.master.keys._keys("web")[state][0]) == shown
    assert shown == salt.utils.crypt.pem_finger(key=FOREIGN.encode(), sum_type="sha256")


def test_the_fingerprint_of_an_accepted_node_is_the_one_that_salt_key_shows(keys: KeyStore) -> None:
    keys.master.keys.accept("web", OURS)
    assert keys.master.keys._wheel()["key.finger"]("web")[ACCEPTED]["web"] == fingerprint(OURS)


def test_a_key_that_cannot_be_stored_is_reported_with_the_directory_and_leaves_nothing(keys: KeyStore) -> None:
    directory = Path(keys.opts["pki_dir"], PENDING)
    (directory / "web").mkdir()
    master = Master({name: value for name, value in keys.opts.items() if name != "keys.cache_driver"})
    with pytest.raises(EnvironmentFault, match=f"the key cannot be stored: {directory}: Is a directory"):
        master.keys._deposit("web", OURS)
    assert [path.name for path in directory.iterdir()] == ["web"]


def test_a_key_file_gets_its_name_when_it_is_complete(keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A master that reads the directory at that moment never finds half a key."""
    directory = Path(keys.opts["pki_dir"], PENDING)
    written: list[str] = []
    write = Path.write_text

    def noted(path: Path, text: str) -> int:
        written.append(path.name)
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", noted)
    Master({name: value for name, value in keys.opts.items() if name != "keys.cache_driver"}).keys._deposit("web", OURS)
    assert ("web" in written, [path.name for path in directory.iterdir()]) == (False, ["web"])
    assert (directory / "web").read_text() == OURS


# many keys at once


class Work:
    """What Salt does: how often the key store is opened and listed, the ids that are read, and the events."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = self.listed = 0
        self.read: set[str] = set()
        self.events: list[tuple[str, str]] = []
        count, note = self._count, self._note
        count(monkeypatch, salt.key, "get_key", "opened")
        count(monkeypatch, salt.key.Key, "list_keys", "listed")
        note(monkeypatch, salt.cache.Cache, "fetch", lambda _, bank, key: self.read.add(key))
        note(monkeypatch, Keys, "_key_files", lambda _, minion_id, *__: self.read.add(minion_id))
        note(monkeypatch, salt.utils.event.SaltEvent, "fire_event", lambda _, data, tag, **__: self._fired(data, tag))

    def _count(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, counter: str) -> None:
        self._note(monkeypatch, owner, name, lambda *_: setattr(self, counter, getattr(self, counter) + 1))

    def _note(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, note: Any) -> None:
        real = getattr(owner, name)

        def noting(*arguments: Any, **more: Any) -> Any:
            note(*arguments, **more)
            return real(*arguments, **more)

        monkeypatch.setattr(owner, name, noting)

    def _fired(self, data: dict[str, Any], tag: str) -> None:
        assert data["result"] is True
        self.events.append((f"{tag} {data['act'].removesuffix('ed')}", data["id"]))


def test_many_keys_are_accepted_at_once_and_each_has_its_own_outcome(keys: KeyStore) -> None:
    keys.plant(ACCEPTED, "taken", FOREIGN)
    keys.plant(PENDING, "early", FOREIGN)
    keys.plant(ACCEPTED, "known", OURS)
    outcomes = keys.master.keys.accept_many(dict.fromkeys(["taken", "early", "known", "new"], OURS))
    assert {minion_id: len(outcome.notes) for minion_id, outcome in outcomes.items()} == {
        "taken": 0, "early": 1, "known": 0, "new": 0,
    }  # fmt: skip
    assert [minion_id for minion_id, outcome in outcomes.items() if outcome.error] == ["taken"]
    assert fingerprint(FOREIGN) in str(outcomes["taken"].error)
    assert keys.there("taken") == {ACCEPTED: FOREIGN.strip()}
    assert [keys.there(it) for it in ("early", "known", "new")] == [{ACCEPTED: OURS.strip()}] * 3


def test_accepting_many_keys_opens_the_store_once_reads_no_other_key_and_fires_salt_s_event_for_each(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        keys.plant(ACCEPTED, f"other-{number}", FOREIGN)
    ids = [f"new-{number}" for number in range(10)]
    work = Work(monkeypatch)
    assert all(outcome.error is None for outcome in keys.master.keys.accept_many(dict.fromkeys(ids, OURS)).values())
    assert (work.opened, work.listed, work.read) == (1, 0, set(ids))
    assert work.events == [("salt/key accept", minion_id) for minion_id in ids]


@pytest.mark.parametrize("kept", [True, False])
def test_a_call_can_report_all_its_keys_over_one_connection(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    """It takes longer to connect than to accept a key."""
    work, made, real = Work(monkeypatch), [], salt.utils.event.get_event

    def get_event(*arguments: Any, **how: Any) -> Any:
        made.append(real(*arguments, **how))
        return made[-1]

    monkeypatch.setattr(salt.utils.event, "get_event", get_event)
    store = Keys(keys.master.keys._opts)
    with store.connected() if kept else contextlib.nullcontext():
        for minion_id in "abc":
            store.accept(minion_id, OURS)
    assert work.events == [("salt/key accept", minion_id) for minion_id in "abc"]
    ours = [bus for bus in made if bus.opts.get("master_async_mworker")]
    assert len(ours) == (1 if kept else 3)
    assert [bus.pusher for bus in ours] == [None] * len(ours), "every connection is closed"


def test_a_key_that_is_gone_before_salt_accepts_it_does_not_stop_the_others(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    deposit = keys.master.keys._deposit

    def disturbed(minion_id: str, key: str) -> None:
        deposit(minion_id, key)
        if minion_id == "b":
            keys.master.keys._delete({PENDING: [minion_id]}, rotate=False)

    monkeypatch.setattr(keys.master.keys, "_deposit", disturbed)
    outcomes = keys.master.keys.accept_many(dict.fromkeys("abc", OURS))
    assert [minion_id for minion_id, outcome in outcomes.items() if outcome.error] == ["b"]
    assert "Salt did not accept the key of b" in str(outcomes["b"].error)
    assert [keys.there(minion_id) for minion_id in "abc"] == [{ACCEPTED: OURS.strip()}, {}, {ACCEPTED: OURS.strip()}]


def test_undoing_a_key_that_was_never_used_reads_no_other_key(keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for minion_id in ("a", "b", "c"):
        keys.plant(ACCEPTED, minion_id, OURS)
    work = Work(monkeypatch)
    keys.master.keys.delete_one("a", OURS, connected=False)
    keys.master.keys.delete(["b"], connected=False)
    assert (work.listed, work.read) == (0, {"a", "b"})
    assert work.events == [("salt/key delete", "a"), ("salt/key delete", "b")]


def test_many_keys_are_deleted_with_one_listing_for_salt_s_own_cache(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"m{number}" for number in range(10)]
    for minion_id in [*ids, "other"]:
        keys.plant(ACCEPTED, minion_id, OURS)
    work = Work(monkeypatch)
    keys.master.keys.delete(ids)
    assert (work.opened, work.listed, work.read) == (1, 1, set(ids))
    assert keys.master.keys.states() == {"other": (ACCEPTED,)}


def test_holders_of_many_keys_are_looked_for_in_one_reading(keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    keys.plant(PENDING, "image", FOREIGN)
    keys.plant(ACCEPTED, "original", THIRD)
    reads: list[int] = []
    every = keys.master.keys._all_keys

    def counted() -> Iterator[tuple[str, str, str]]:
        reads.append(1)
        return every()

    monkeypatch.setattr(keys.master.keys, "_all_keys", counted)
    found = keys.master.keys.holders_of({"a": FOREIGN, "b": THIRD, "c": OURS, "d": "no key", "e": FOREIGN})
    assert {minion_id: len(notes) for minion_id, notes in found.items()} == {"a": 1, "b": 1, "c": 0, "d": 0, "e": 1}
    assert ("as image" in found["a"][0], "as original" in found["b"][0], len(reads)) == (True, True, 1)


def test_the_key_files_of_a_cluster_are_in_its_directory(keys: KeyStore, tmp_path: Path) -> None:
    """Salt 3007 has clusters and no key cache."""
    shared = tmp_path / "shared"
    (shared / PENDING).mkdir(parents=True)
    opts = {name: value for name, value in keys.opts.items() if name != "keys.cache_driver"}
    store = Master({**opts, "cluster_id": "c", "cluster_pki_dir": str(shared)}).keys
    store._deposit("web", OURS)
    assert (shared / PENDING / "web").read_text() == OURS
    assert store._keys("web") == {PENDING: [OURS]}


def test_a_link_is_no_key_as_for_salt_itself(keys: KeyStore, tmp_path: Path) -> None:
    if keys.opts.get("keys.cache_driver") != "localfs_key":
        pytest.skip("keys are no files here, or this Salt follows links")
    (tmp_path / "key").write_text(FOREIGN)
    Path(keys.opts["pki_dir"], ACCEPTED, "web").symlink_to(tmp_path / "key")
    assert keys.there("web") == {}
    assert keys.master.keys.accepted_finger("web") is None
