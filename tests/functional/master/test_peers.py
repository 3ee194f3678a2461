"""The other masters: real key stores on both sides, with a channel in memory that can fail or lie."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import salt.utils.event

from hart_salt.base.errors import MasterDown, MasterRefuses, NodeFailed, PeerError
from hart_salt.inventory.other_masters import LeftKey, OtherMasters
from hart_salt.master import peer_work
from hart_salt.master.keys import ACCEPTED, PENDING, Keys
from hart_salt.master.peer_order import Deletions
from hart_salt.master.peers import GRACE, INTERRUPTED, Peers
from hart_salt.master.public_keys import fingerprint
from tests.parts import master_opts, new_public_key
from tests.unit.inventory.test_records import MemoryCache

A, B = new_public_key() + "\n", new_public_key() + "\n"
#: real masters are processes of their own; Salt's loaders are not thread-safe
ONE_MASTER = threading.Lock()


@pytest.fixture(autouse=True)
def _no_master_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Salt find no event bus at once: it looks for one for a second before each of its events."""
    monkeypatch.setattr(salt.utils.event.SaltEvent, "connect_pull", lambda *_, **__: False)


class Wire:
    """The way to a peer with a real key store; ``spoil`` changes its answers, or raises."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self.opts = master_opts(root)
        for name in ("minions", "minions_pre", "minions_rejected", "minions_denied"):
            (root / "pki" / name).mkdir(parents=True)
        (root / "cache").mkdir()
        self.keys = Keys(self.opts)
        self.spoil: Callable[[Any], Any] = lambda answer: answer
        self.requests: list[tuple[str, list[str]]] = []
        self.until: list[float | None] = []
        self.uptime = 1000.0

    timeout = 60.0
    silence = "its minion does not answer"

    def ask(self, work: str, keys: Mapping[str, str], until: float | None = None, sent: float | None = None) -> Any:
        self.requests.append((work, list(keys)))
        self.until.append(until)
        with ONE_MASTER:
            answer = peer_work.do(self.opts, work, dict(keys), until, sent, lambda: self.uptime)
        return self.spoil(json.loads(json.dumps(answer)))  # through JSON, as everything that travels

    def accepted(self) -> list[str]:
        return sorted(name for name, states in self.keys.states().items() if ACCEPTED in states)


@pytest.fixture
def wires(tmp_path: Path) -> dict[str, Wire]:
    return {name: Wire(tmp_path / name) for name in ("m2", "m3")}


def others(wires: Mapping[str, Wire], **how: Any) -> OtherMasters:
    cache = MemoryCache()
    return OtherMasters(Peers(wires, **how), lambda: cache)


def down(_: Any) -> Any:
    raise MasterDown("its minion does not answer")


# accepting


def test_every_peer_accepts_and_confirms_the_keys_of_all_nodes_in_one_request(wires: dict[str, Wire]) -> None:
    outcomes = others(wires).accept({"a": A, "b": B})
    assert {name: (it.notes, it.error) for name, it in outcomes.items()} == {"a": ([], None), "b": ([], None)}
    for wire in wires.values():
        assert wire.accepted() == ["a", "b"]
        assert wire.requests == [("accept", ["a", "b"])]


def test_many_keys_travel_in_requests_that_salt_can_carry(wires: dict[str, Wire], monkeypatch: Any) -> None:
    monkeypatch.setattr(peer_work, "do", lambda opts, work, keys, *more: {"protocol": peer_work.PROTOCOL, "keys": {}})
    many = {f"n{number}": A for number in range(450)}
    others(wires).accept(many)
    assert [len(ids) for _, ids in wires["m2"].requests] == [200, 200, 50]


@pytest.mark.parametrize(
    ("lie", "error"),
    [
        (lambda answer: "rubbish\x1b[2J", "answers something else than hart.peer_keys: rubbish"),
        (lambda answer: None, "answers something else than hart.peer_keys: None"),
        (lambda answer: {**answer, "protocol": 99, "hart": "9.9"}, "its hart-salt is 9.9, which does not understand"),
        (lambda answer: {**answer, "keys": ["a"]}, "it answers without keys"),
        (lambda answer: {**answer, "keys": {}}, "it does not say whether it accepted the key"),
        (lambda answer: {**answer, "keys": {"a": {"accepted": "0" * 64}}}, "it has accepted another key"),
        (lambda answer: {**answer, "keys": {"a": {"accepted": True}}}, "it has accepted another key"),
        (lambda answer: {**answer, "keys": {"b": answer["keys"]["a"]}}, "it does not say whether it accepted the key"),
        (lambda answer: {**answer, "error": "no\nroom"}, "no room"),
        (lambda answer: {**answer, "error": "x" * 5000}, "(a text of 5000 characters)"),
        (down, "its minion does not answer"),
    ],
)
def test_only_a_confirmation_of_exactly_this_key_counts(
    wires: dict[str, Wire], lie: Callable[[Any], Any], error: str
) -> None:
    wires["m3"].spoil = lie
    outcome = others(wires).accept({"a": A})["a"]
    assert isinstance(outcome.error, NodeFailed)
    assert str(outcome.error).startswith("the master m3 did not accept the node's key: ")
    assert error in str(outcome.error)
    assert len(str(outcome.error)) < 500
    assert str(outcome.error).isprintable()


def test_a_key_that_is_no_key_or_belongs_to_another_machine_is_refused_there(wires: dict[str, Wire]) -> None:
    wires["m2"].keys.accept("a", B)
    said = others(wires).accept({"a": A, "b": "no key"})
    assert "the master m2 did not accept the node's key: another key is already accepted as a" in str(said["a"].error)
    assert "m3" not in str(said["a"].error)
    assert "not a public key" in str(said["b"].error)
    assert wires["m2"].accepted() == ["a"]


def test_a_replaced_foreign_key_is_noted(wires: dict[str, Wire]) -> None:
    (Path(wires["m2"].opts["pki_dir"]) / PENDING / "a").write_text(B)
    (note,) = others(wires).accept({"a": A})["a"].notes
    assert note.startswith("on the master m2: a foreign key that was pending under this id was replaced")


def test_a_peer_that_is_down_is_only_noted_if_the_settings_allow_it(wires: dict[str, Wire]) -> None:
    wires["m3"].spoil = down
    outcome = others(wires, may_be_down=True).accept({"a": A})["a"]
    assert outcome.error is None
    (note,) = outcome.notes
    assert note.startswith(
        "the master m3 has not confirmed the node's key: its minion does not answer; salt-run hart.s"
    )
    wires["m3"].spoil = lambda answer: {**answer, "keys": {"a": {"error": "another key is already accepted as a"}}}
    assert others(wires, may_be_down=True).accept({"a": A})["a"].error is not None


@pytest.mark.parametrize(("late", "accepted"), [(-1.0, ["a"]), (1.0, [])])
def test_a_request_that_waited_until_its_master_gave_up_accepts_nothing(
    wires: dict[str, Wire], late: float, accepted: list[str]
) -> None:
    wire = wires["m2"]
    peers = Peers({"m2": wire})
    peers.states(["a"])
    ask = wire.ask

    def delayed(work: str, keys: Mapping[str, str], until: float | None = None, sent: float | None = None) -> Any:
        wire.uptime += wire.timeout + late
        return ask(work, keys, until, sent)

    wire.ask = delayed  # type: ignore[method-assign]  # the way to the peer is slow from here on
    outcome = peers.accept({"a": A})["a"]["m2"]
    assert (outcome.error is None, wire.accepted()) == (late < 0, accepted)
    assert late < 0 or "the request arrived too late" in str(outcome.error)


def test_only_an_accept_of_a_master_that_has_answered_has_an_end(wires: dict[str, Wire]) -> None:
    wire = wires["m2"]
    peers = Peers({"m2": wire})
    peers.accept({"a": A})
    peers.accept({"a": A})
    peers.delete({"a": A})
    first, second, third = wire.until
    assert (first, third) == (None, None)
    assert second is not None


@pytest.mark.parametrize(("sent", "accepted"), [(999.0, []), (1001.0, ["a"]), (None, ["a"])])
def test_a_key_that_was_deleted_after_the_request_was_sent_is_not_accepted(
    wires: dict[str, Wire], sent: float | None, accepted: list[str]
) -> None:
    wire = wires["m2"]
    Peers({"m2": wire}).delete({"a": ""})
    wire.uptime += 2
    answer = wire.ask("accept", {"a": A, "b": B}, None, sent)
    assert wire.accepted() == [*accepted, "b"]
    assert (
        accepted or "the request arrived too late: the keys with that id were deleted" in answer["keys"]["a"]["error"]
    )


def test_a_new_call_accepts_a_key_under_an_id_that_was_just_deleted(wires: dict[str, Wire]) -> None:
    Peers({"m2": wires["m2"]}).delete({"a": ""})
    wires["m2"].uptime += 0.1  # until the new call asks
    peers = Peers({"m2": wires["m2"]})
    peers.facts(["a"])
    assert peers.accept({"a": A})["a"]["m2"].error is None


def test_old_deletions_and_those_before_a_restart_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, (first, later) = [0.0], (Deletions(str(tmp_path), lambda: now[0]) for _ in range(2))
    with first.turn():
        first.note(["a"])
    assert later.after("a", -1.0)
    monkeypatch.setattr("hart_salt.master.peer_order._boot", lambda: "another")
    assert not later.after("a", -1.0)
    monkeypatch.undo()
    now[0] = 10.0**6
    with first.turn():
        first.note(["b"])
    assert (later.after("a", -1.0), later.after("b", -1.0)) == (False, True)
    assert len(list(tmp_path.rglob("*.deleted"))) == 1


# deleting


def test_a_node_s_own_key_goes_from_every_peer_and_a_foreign_one_stays(wires: dict[str, Wire]) -> None:
    masters = others(wires)
    masters.accept({"a": A, "b": A})
    wires["m3"].keys.accept("c", B)
    found = masters.delete({"a": A, "b": fingerprint(A), "c": A, "d": ""})
    assert [(it.notes, it.error) for it in found.values()] == [([], None)] * 4
    assert (wires["m2"].accepted(), wires["m3"].accepted()) == ([], ["c"])
    masters.delete({"c": A}, every=True)
    assert wires["m3"].accepted() == []


def test_a_key_that_may_be_left_is_an_error(wires: dict[str, Wire]) -> None:
    wires["m3"].spoil = down
    error = others(wires).delete({"a": A})["a"].error
    assert str(error) == "the master m3 may still have the node's key: its minion does not answer"
    wires["m3"].spoil = lambda answer: {**answer, "keys": {"a": {"left": ["minions"]}}}
    assert "it still has the key, accepted" in str(others(wires).delete({"a": A})["a"].error)
    wires["m3"].spoil = lambda answer: {**answer, "keys": {"a": {}}}
    assert "it does not say" in str(others(wires).delete({"a": A})["a"].error)


def test_a_key_on_a_master_that_is_down_is_remembered(wires: dict[str, Wire]) -> None:
    masters = others(wires, may_be_down=True)
    wires["m3"].spoil = down
    outcome = masters.delete({"a": A})["a"]
    assert (outcome.error, len(outcome.notes)) == (None, 1)
    assert masters.left() == [LeftKey("a", A, ("m3",))]
    masters.forget(masters.left()[0], ("m3",))
    assert masters.left() == []


def test_a_key_that_nobody_knows_is_not_remembered(wires: dict[str, Wire]) -> None:
    masters = others(wires, may_be_down=True)
    wires["m3"].spoil = down
    assert "m3" in str(masters.delete({"a": ""}, every=True)["a"].error)
    assert masters.left() == []


def test_a_key_is_found_by_the_fingerprint_of_another_salt(wires: dict[str, Wire]) -> None:
    masters = others({"m2": wires["m2"]})
    masters.accept({"a": A, "b": A})
    body = "".join(A.strip().splitlines(keepends=True)[1:-1])
    finger, other = (hashlib.sha256(text.encode()).digest().hex(":") for text in (body, A.strip()))
    assert [it.error for it in masters.delete({"a": finger, "b": other}).values()] == [None, None]
    assert wires["m2"].accepted() == []


# the peer's side


@pytest.mark.parametrize(
    ("work", "keys", "error"),
    [
        ("sign", {}, "work must be one of facts, list, print, accept, delete"),
        (None, {}, "work must be one of"),
        ("accept", ["a"], "keys must be a mapping"),
        ("accept", {"../a": A}, "keys must have minion ids"),
        ("delete", {"a*": ""}, "keys must have minion ids"),
        ("accept", {"a": None}, "keys must have minion ids"),
        ("list", dict.fromkeys(map(str, range(10001)), ""), "at most 10000"),
    ],
)
def test_a_request_that_no_hart_sends_is_refused(wires: dict[str, Wire], work: Any, keys: Any, error: str) -> None:
    assert error in peer_work.do(wires["m2"].opts, work, keys)["error"]
    assert wires["m2"].accepted() == []


def test_a_peer_says_what_a_minion_of_both_needs(wires: dict[str, Wire]) -> None:
    Keys(wires["m2"].opts).accept("a", A)
    facts = Peers(wires).facts(["a", "b"])["m2"]
    assert not isinstance(facts, PeerError)
    assert (facts.master_id, facts.ports, facts.signs_key) == ("test_master", (4505, 4506), False)
    assert facts.problem == "the master m2 has no key yet: start salt-master once"
    assert facts.keys == {"a": {ACCEPTED: [peer_work.digest(A)]}}


def test_names_in_facts_are_texts_whatever_travelled(wires: dict[str, Wire]) -> None:
    wires["m2"].spoil = lambda answer: {**answer, "hart": "1\n\x1b[2J", "settings": {1: "a", None: "b", "x\ny": "c"}}
    facts = Peers(wires).facts()["m2"]
    assert not isinstance(facts, PeerError)
    assert facts.settings == {"1": "a", "None": "b", "x y": "c"}
    assert facts.hart.isprintable()


@pytest.mark.parametrize(
    ("spoil", "kind", "sentence"),
    [
        ({"ports": "4505"}, MasterRefuses, "its facts are incomplete: both masters need the same version of hart-salt"),
        ({"protocol": 99}, MasterRefuses, "install the same version on both masters"),
        (
            {"error": "this machine has no salt-master: there is no /x"}, MasterRefuses,
            "the machine of m2 has no salt-master: there is no /x",
        ),
        ({"error": "hart did not finish on this master", "late": True}, MasterDown, "not finish on the master m2"),
    ],
)  # fmt: skip
def test_only_a_master_that_does_not_answer_is_down(
    wires: dict[str, Wire], spoil: Any, kind: type[PeerError], sentence: str
) -> None:
    wires["m2"].spoil = lambda answer: {**answer, **spoil}
    facts = Peers(wires).facts()["m2"]
    assert type(facts) is kind
    assert sentence in str(facts)
    assert "this ma" not in str(facts)


def test_what_a_peer_says_of_itself_names_it(wires: dict[str, Wire]) -> None:
    wires["m2"].spoil = lambda answer: {
        **answer, "problem": "this master has no key yet", "refusals": {"ssl": "is not what this machine can do"},
    }  # fmt: skip
    facts = Peers(wires).facts()["m2"]
    assert not isinstance(facts, PeerError)
    assert facts.problem == "the master m2 has no key yet"
    assert facts.refusals == {"ssl": "is not what the machine of m2 can do"}
    wires["m2"].keys.accept("a", B)
    assert str(others(wires).accept({"a": A})["a"].error).endswith("check auto_accept and autosign_file (on m2)")


# the call is interrupted


class Silent:
    """The way to a peer that never answers."""

    timeout = 3600.0
    silence = "silent"

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.end = threading.Event()
        self.requests = 0

    def ask(self, work: str, keys: Mapping[str, str], until: float | None = None, sent: float | None = None) -> Any:
        self.requests += 1
        self.asked.set()
        self.end.wait()


@pytest.fixture
def silent() -> Iterator[Silent]:
    channel = Silent()
    yield channel
    channel.end.set()


@pytest.fixture
def _no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hart_salt.master.peers.GRACE", 0.0)


@pytest.mark.usefixtures("_no_grace")
def test_a_call_that_is_interrupted_does_not_wait_for_a_silent_master(silent: Silent, wires: dict[str, Wire]) -> None:
    peers = Peers({"silent": silent, "m2": wires["m2"]}, interrupted=silent.asked.is_set)
    error = peers.accept({"a": A})["a"]["silent"].error
    assert (type(error), str(error)) == (MasterDown, INTERRUPTED)


@pytest.mark.usefixtures("_no_grace")
def test_a_rollback_asks_only_masters_that_answered(silent: Silent, wires: dict[str, Wire]) -> None:
    peers = Peers({"silent": silent, "m2": wires["m2"]}, interrupted=silent.asked.is_set)
    peers.accept_at("m2", {"a": A})
    peers.accept_at("silent", {"a": A})
    outcomes = peers.delete({"a": A})["a"]
    assert {name: str(it.error) for name, it in outcomes.items()} == {"silent": INTERRUPTED, "m2": "None"}
    assert (wires["m2"].accepted(), silent.requests) == ([], 1)


def test_the_wait_after_an_interruption_is_short() -> None:
    assert GRACE <= 2


def test_an_error_of_one_peer_s_request_is_raised_and_the_others_are_not_waited_for(
    silent: Silent, wires: dict[str, Wire]
) -> None:
    wires["m2"].spoil = lambda answer: 1 / 0
    with pytest.raises(ZeroDivisionError):
        Peers({"m2": wires["m2"], "silent": silent}).facts()
