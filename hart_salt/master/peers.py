"""
The other masters of the same nodes: what they say of themselves, and the keys of nodes in their stores.

Each is asked in its own way, see ``peer_ways.py``; ``peer_work.py`` answers there. An answer decides for the master
that gave it, and for no other; a key counts as accepted only if the answer has its digest.

Only a master that does not answer is ``MasterDown``. One that answers and cannot do what hart asks is
``MasterRefuses``: something must be done there.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hart_salt.base.deadline import at_once, within
from hart_salt.base.errors import MasterDown, MasterRefuses, NodeFailed, PeerError
from hart_salt.base.text import one_line
from hart_salt.config.cluster import Cluster, others_of
from hart_salt.master.keys import STATE_WORDS
from hart_salt.master.minions import Minions
from hart_salt.master.peer_ways import FUNCTION, Channel, ViaApi, ViaMinion
from hart_salt.master.peer_work import PROTOCOL, digest

#: ids in one request: Salt refuses an event of more than 1 MiB, and a public key of 4096 bits has 800 bytes
CHUNK = 200
#: the same if only ids travel
CHUNK_OF_IDS = 2000
SIDE_BY_SIDE = 8  #: masters that are asked at the same time
LAST_LOOK = 0.5  #: seconds after the timeout in which an answer without an event is still found
GRACE = 2.0  #: seconds that a request goes on when a signal or a lost lease ends the call
ROLLBACK = 10.0  #: seconds for a request that begins after that, to a master that has answered so far
INTERRUPTED = "it had not answered when the call was interrupted"
#: what a master says of itself, and how this master says it
WHOSE = (("this master", "the master {}"), ("this machine", "the machine of {}"))

T = TypeVar("T")


@dataclass(frozen=True)
class PeerFacts:
    """What a peer says of itself."""

    hart: str
    salt: str
    master_id: str
    public_key: str
    cluster: str
    ports: tuple[int, ...]
    signs_key: bool
    signing_key: str
    settings: Mapping[str, Any]
    #: settings of its configuration with which no minion can connect to it
    refusals: Mapping[str, str]
    #: why it does not run, in a sentence; empty if it runs
    problem: str
    #: the keys that it has under the ids of the question: by id and state, their digests
    keys: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)


@dataclass
class PeerOutcome:
    """What became of one id's key on one peer."""

    notes: list[str] = field(default_factory=list)
    #: why the key is not as wanted, in a sentence; None if it is
    error: Exception | None = None


class Peers:
    """The other masters of the same nodes. An object without masters does nothing."""

    def __init__(
        self, channels: Mapping[str, Channel] | None = None, *, may_be_down: bool = False,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        """
        ``may_be_down``: a peer that does not answer is noted, and does not fail a node.

        ``interrupted`` says whether the call is to end: then no request is waited for as long as its timeout, and a
        peer that has not answered is not asked again.
        """
        self._channels = dict(channels or {})
        self._interrupted = interrupted
        #: the peers that had not answered when the call was interrupted
        self._given_up: set[str] = set()
        #: the uptime of each peer's machine at the zero of this machine's clock, since its last answer; not too late
        self._uptimes: dict[str, float] = {}
        self.may_be_down = may_be_down

    def __bool__(self) -> bool:
        return bool(self._channels)

    def __iter__(self) -> Iterator[str]:
        return iter(self._channels)

    def facts(self, minion_ids: Sequence[str] = ()) -> dict[str, PeerFacts | PeerError]:
        """Return the facts of each peer, with the keys that it has under these ids, or why there are none."""
        return self._each(lambda name: _facts(name, self._ask(name, "facts", dict.fromkeys(minion_ids, ""))))

    def states(self, minion_ids: Sequence[str]) -> dict[str, dict[str, dict[str, list[str]]] | PeerError]:
        """Return the digests of the keys that each peer has under these ids, by peer, id and state."""
        return self._each(lambda name: _digests(self._in_chunks(name, "list", dict.fromkeys(minion_ids, ""))))

    def accepted(self, name: str, minion_ids: Sequence[str]) -> dict[str, str]:
        """Return the accepted public keys that a peer has under these ids. Raises ``PeerError``."""
        found = self._in_chunks(name, "print", dict.fromkeys(minion_ids, ""))
        return {minion_id: pem for minion_id, pem in found.items() if isinstance(pem, str)}

    def accept(self, keys: Mapping[str, str]) -> dict[str, dict[str, PeerOutcome]]:
        """
        Have each peer accept the public key of each id, in one job for all of them.

        Returns, by id and peer, the outcome: without an error, the peer has confirmed that it has accepted exactly this
        key.
        """
        return _by_id(keys, self._each(lambda name: self._accept(name, keys)))

    def accept_at(self, name: str, keys: Mapping[str, str]) -> dict[str, PeerOutcome]:
        """Do the same at one peer."""
        return _of_each(keys, _tried(lambda it: self._accept(it, keys), name))

    def delete(self, keys: Mapping[str, str]) -> dict[str, dict[str, PeerOutcome]]:
        """
        Have each peer delete the keys of ids.

        The text of an id is its public key or its fingerprint: another key under the id stays. Empty: all of it go.

        Returns, by id and peer, the outcome: without an error, the peer has confirmed that no such key is left.
        """
        return _by_id(keys, self._each(lambda name: self._delete(name, keys)))

    def delete_at(self, name: str, keys: Mapping[str, str]) -> dict[str, PeerOutcome]:
        """Do the same at one peer."""
        return _of_each(keys, _tried(lambda it: self._delete(it, keys), name))

    # one peer

    def _accept(self, name: str, keys: Mapping[str, str]) -> dict[str, PeerOutcome]:
        said = self._in_chunks(name, "accept", keys)
        return {minion_id: _accepted(name, said.get(minion_id), pem) for minion_id, pem in keys.items()}

    def _delete(self, name: str, keys: Mapping[str, str]) -> dict[str, PeerOutcome]:
        said = self._in_chunks(name, "delete", keys)
        return {minion_id: _deleted(said.get(minion_id)) for minion_id in keys}

    def _in_chunks(self, name: str, work: str, keys: Mapping[str, str]) -> dict[str, Any]:
        """Return what the peer says of each id; of other ids it can say nothing."""
        found: dict[str, Any] = {}
        ids, length = list(keys), CHUNK_OF_IDS if work == "list" else CHUNK
        for start in range(0, len(ids) or 1, length):  # without ids, it still says whether it answers
            some = {minion_id: keys[minion_id] for minion_id in ids[start : start + length]}
            said = self._ask(name, work, some).get("keys")
            if not isinstance(said, Mapping):
                raise MasterRefuses("it answers without keys: both masters need the same version of hart-salt")
            found |= {minion_id: said[minion_id] for minion_id in some if minion_id in said}
        return found

    def _ask(self, name: str, work: str, keys: Mapping[str, str]) -> Mapping[str, Any]:
        channel = self._channels[name]
        # Only a late accept does harm: after the deletion of the key.
        sent = self._uptime(name) if work == "accept" else None
        until = None if sent is None else sent + channel.timeout
        answer = self._answer(name, lambda: channel.ask(work, keys, until, sent))
        if not isinstance(answer, Mapping):
            raise MasterRefuses(
                f"it answers something else than {FUNCTION}: {one_line(str(answer))}: install the version of hart-salt "
                "that this master has"
            )
        if answer.get("error"):
            raise (MasterDown if answer.get("late") is True else MasterRefuses)(_of(name, answer["error"]))
        if answer.get("protocol") != PROTOCOL:
            raise MasterRefuses(
                f"its hart-salt is {one_line(str(answer.get('hart', 'unknown')))}, which does not understand this one: "
                "install the same version on both masters"
            )
        uptime = answer.get("uptime")
        if isinstance(uptime, int | float):
            self._uptimes[name] = uptime - time.monotonic()
        return answer

    def _answer(self, name: str, ask: Callable[[], Any]) -> Any:
        """Return the answer of a channel. Raises ``PeerError``, at the latest when its timeout has passed."""
        if name in self._given_up:
            raise MasterDown(INTERRUPTED)
        channel, grace = self._channels[name], ROLLBACK if self._interrupted() else GRACE
        try:
            return within(channel.timeout + LAST_LOOK, ask, self._interrupted, grace)
        except TimeoutError:
            if not self._interrupted():
                raise MasterDown(channel.silence) from None
            self._given_up.add(name)
            raise MasterDown(INTERRUPTED) from None

    def _uptime(self, name: str) -> float | None:
        """Return the uptime of a peer's machine now, or slightly less; None if the peer has not answered so far."""
        return self._uptimes[name] + time.monotonic() if name in self._uptimes else None

    def _each(self, work: Callable[[str], T]) -> dict[str, T | PeerError]:
        """Do something for all peers at the same time."""
        return at_once({name: functools.partial(_tried, work, name) for name in self._channels}, SIDE_BY_SIDE)


Outcomes = Mapping[str, PeerOutcome]


def _tried(work: Callable[[str], T], name: str) -> T | PeerError:
    try:
        return work(name)
    except PeerError as error:
        return error


def _of(name: str, said: Any) -> str:
    """Return a sentence of a peer as a sentence about it: the peer calls itself "this master"."""
    text = one_line(str(said))
    for here, there in WHOSE:
        text = text.replace(here, there.format(name))
    return text


def _of_each(keys: Mapping[str, str], outcomes: Outcomes | PeerError) -> dict[str, PeerOutcome]:
    """Return the outcome of each id at a peer; if the peer did not answer, that is its error."""
    if isinstance(outcomes, PeerError):
        return {minion_id: PeerOutcome(error=outcomes) for minion_id in keys}
    return dict(outcomes)


def _by_id(keys: Mapping[str, str], answers: Mapping[str, Outcomes | PeerError]) -> dict[str, dict[str, PeerOutcome]]:
    by_peer = {name: _of_each(keys, answer) for name, answer in answers.items()}
    return {minion_id: {name: outcomes[minion_id] for name, outcomes in by_peer.items()} for minion_id in keys}


def _accepted(name: str, said: Any, pem: str) -> PeerOutcome:
    if not isinstance(said, Mapping):
        return PeerOutcome(error=NodeFailed("it does not say whether it accepted the key"))
    if said.get("error"):
        return PeerOutcome(error=NodeFailed(f"{_of(name, said['error'])} (on {name})"))
    if said.get("accepted") != digest(pem):
        return PeerOutcome(error=NodeFailed("it has accepted another key than the node's"))
    notes = said.get("notes")
    return PeerOutcome([_of(name, note) for note in notes] if isinstance(notes, list) else [])


def _deleted(said: Any) -> PeerOutcome:
    left = said.get("left") if isinstance(said, Mapping) else None
    if not isinstance(left, list):
        return PeerOutcome(error=NodeFailed("it does not say whether it deleted the key"))
    if left:
        states = ", ".join(STATE_WORDS.get(str(state), str(state)) for state in left)
        return PeerOutcome(error=NodeFailed(f"it still has the key, {one_line(states)}"))
    return PeerOutcome()


def _facts(name: str, answer: Mapping[str, Any]) -> PeerFacts:
    """Return the facts in an answer. Raises ``MasterRefuses`` if they are not such facts."""
    texts = {key: answer.get(key) for key in ("hart", "salt", "master_id", "public_key", "cluster", "signing_key")}
    ports, problem = answer.get("ports"), answer.get("problem", "")
    maps = {key: answer.get(key) for key in ("settings", "refusals")}
    good = all(isinstance(text, str) for text in (*texts.values(), problem))
    good = good and isinstance(ports, list) and all(isinstance(port, int) for port in ports)
    if not good or not all(isinstance(value, Mapping) for value in maps.values()):
        raise MasterRefuses("its facts are incomplete: both masters need the same version of hart-salt")
    return PeerFacts(
        **{key: str(text) if key.endswith("_key") else one_line(str(text)) for key, text in texts.items()},
        ports=tuple(ports or ()),
        signs_key=answer.get("signs_key") is True,
        settings={one_line(str(key)): value for key, value in (maps["settings"] or {}).items()},
        refusals={one_line(str(key)): _of(name, why) for key, why in (maps["refusals"] or {}).items()},
        problem=_of(name, problem),
        keys=_digests(answer.get("keys")),
    )


def _digests(keys: Any) -> dict[str, dict[str, list[str]]]:
    """Return the digests in an answer, by id and state; anything else in it is left out."""
    return {
        minion_id: {
            state: [str(one) for one in digests]
            for state, digests in states.items()
            if state in STATE_WORDS and isinstance(digests, list)
        }
        for minion_id, states in (keys.items() if isinstance(keys, Mapping) else ())
        if isinstance(states, Mapping)
    }


def peers_of(
    cluster: Cluster, minions: Minions, master_id: str, interrupted: Callable[[], bool] = lambda: False
) -> Peers:
    """Return the peers that the settings name, without this master itself; see ``Peers`` for ``interrupted``."""
    channels: dict[str, Channel] = {
        name: ViaApi(peer) if peer.minion is None else ViaMinion(minions, peer.minion, peer.timeout)
        for name, peer in others_of(cluster, master_id).items()
    }
    return Peers(channels, may_be_down=cluster.masters_down == "allow", interrupted=interrupted)
