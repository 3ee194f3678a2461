"""
The other masters of the same nodes: what they say of themselves, and the keys of nodes in their stores.

Each is asked through its own minion, or through its salt-api; ``peer_work.py`` answers there. An answer decides for the
master that gave it, and for no other; a key counts as accepted only if the answer has its digest.
"""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from hart_salt.base.deadline import within
from hart_salt.base.errors import MasterDown, NodeFailed
from hart_salt.base.text import one_line
from hart_salt.config.cluster import Cluster, Peer, others_of
from hart_salt.master.keys import STATE_WORDS
from hart_salt.master.minions import Minions
from hart_salt.master.peer_work import PROTOCOL, digest

FUNCTION = "hart.peer_keys"
#: ids in one request: Salt refuses an event of more than 1 MiB, and a public key of 4096 bits has 800 bytes
CHUNK = 200
#: the same if only ids travel
CHUNK_OF_IDS = 2000
LARGEST = 4 * 2**20  #: bytes of an answer of salt-api
SIDE_BY_SIDE = 8  #: masters that are asked at the same time

T = TypeVar("T")


class Channel(Protocol):
    """A way to a master."""

    #: seconds for an answer
    timeout: float

    def ask(self, work: str, keys: Mapping[str, str], until: float | None = None) -> Any:
        """
        Return what the master answered. Raises ``MasterDown`` if it does not answer.

        ``until`` is the uptime of its machine after which it must not begin the work (default: none).
        """
        ...


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


class ViaMinion:
    """The way through the minion on the peer's machine, which is a minion of this master, too."""

    def __init__(self, minions: Minions, minion_id: str, timeout: float) -> None:
        self._minions = minions
        self._minion_id = minion_id
        self.timeout = timeout

    def ask(self, work: str, keys: Mapping[str, str], until: float | None = None) -> Any:
        try:
            request = [work, dict(keys), self.timeout, until]
            answer = self._minions.request(self._minion_id, FUNCTION, request, self.timeout)
        except Exception as error:
            raise MasterDown(f"this master cannot send jobs: {one_line(str(error)) or type(error).__name__}") from error
        if answer is None:
            raise MasterDown(
                f"its minion {self._minion_id} does not answer within {self.timeout:g} seconds: check salt "
                f"{self._minion_id} test.ping"
            )
        if isinstance(answer, str) and "is not available" in answer:
            raise MasterDown(
                f"its minion {self._minion_id} has no function {FUNCTION}: install hart-salt there, or run salt "
                f"{self._minion_id} saltutil.sync_modules"
            )
        return answer


class ViaApi:
    """The way through the peer's salt-api, with the runner there."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.timeout = peer.timeout

    def ask(self, work: str, keys: Mapping[str, str], until: float | None = None) -> Any:
        peer = self._peer
        order = {
            "client": "runner", "fun": FUNCTION, "kwarg": {"work": work, "keys": dict(keys), "until": until},
            "username": peer.username, "eauth": peer.eauth,
            "password": peer.password.get_secret_value() if peer.password else "",
        }  # fmt: skip
        request = urllib.request.Request(  # noqa: S310 - the setting allows only http and https
            f"{str(peer.api).rstrip('/')}/run",
            json.dumps([order]).encode(),
            {"Content-Type": "application/json", "Accept": "application/json"},
        )
        try:
            body = within(peer.timeout, lambda: _body(request, peer.timeout))
        except urllib.error.HTTPError as error:
            raise MasterDown(f"its salt-api answers {error.code}: {_hint(error.code)}") from None
        except TimeoutError:
            raise MasterDown(f"its salt-api does not answer within {peer.timeout:g} seconds") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise MasterDown(f"its salt-api cannot be reached: {one_line(str(reason))}") from None
        except http.client.HTTPException as error:
            raise MasterDown(f"its salt-api answers something that is not HTTP: {type(error).__name__}") from None
        try:
            (said,) = json.loads(body)["return"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise MasterDown("its salt-api answers something that is not an answer of Salt") from None
        return said


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Another address must not get the password."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def _body(request: urllib.request.Request, seconds: float) -> bytes:
    """Return the body of an answer. A timeout of urllib begins again with each byte, so it bounds no answer."""
    deadline, body = time.monotonic() + seconds, b""
    with _OPENER.open(request, timeout=seconds) as answer:
        while len(body) <= LARGEST and (part := answer.read1()):
            body += part
            if time.monotonic() > deadline:  # nobody waits for the rest
                raise TimeoutError
    return body


def _hint(code: int) -> str:
    if code in (401, 403):
        return f"username, password and eauth must be right, and external_auth there must allow @runner {FUNCTION}"
    return "netapi_enable_clients there must have runner, and its log says more"


class Peers:
    """The other masters of the same nodes. An object without masters does nothing."""

    def __init__(self, channels: Mapping[str, Channel] | None = None, *, may_be_down: bool = False) -> None:
        """``may_be_down``: a peer that cannot be reached is noted, and does not fail a node."""
        self._channels = dict(channels or {})
        #: the uptime of each peer's machine at the zero of this machine's clock, since its last answer; not too late
        self._uptimes: dict[str, float] = {}
        self.may_be_down = may_be_down

    def __bool__(self) -> bool:
        return bool(self._channels)

    def __iter__(self) -> Iterator[str]:
        return iter(self._channels)

    def facts(self, minion_ids: Sequence[str] = ()) -> dict[str, PeerFacts | MasterDown]:
        """Return the facts of each peer, with the keys that it has under these ids, or why there are none."""
        return self._each(lambda name: _facts(self._ask(name, "facts", dict.fromkeys(minion_ids, ""))))

    def states_at(self, name: str, minion_ids: Sequence[str]) -> dict[str, dict[str, list[str]]] | MasterDown:
        """Return the digests of the keys that a peer has under these ids, by id and state."""
        return self._tried(lambda: self._states(name, minion_ids))

    def accepted(self, name: str, minion_ids: Sequence[str]) -> dict[str, str]:
        """Return the accepted public keys that a peer has under these ids. Raises ``MasterDown``."""
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
        return _of_each(keys, self._tried(lambda: self._accept(name, keys)))

    def delete(self, keys: Mapping[str, str]) -> dict[str, dict[str, PeerOutcome]]:
        """
        Have each peer delete the keys of ids.

        The text of an id is its public key or its fingerprint: another key under the id stays. Empty: all of it go.

        Returns, by id and peer, the outcome: without an error, the peer has confirmed that no such key is left.
        """
        return _by_id(keys, self._each(lambda name: self._delete(name, keys)))

    def delete_at(self, name: str, keys: Mapping[str, str]) -> dict[str, PeerOutcome]:
        """Do the same at one peer."""
        return _of_each(keys, self._tried(lambda: self._delete(name, keys)))

    # one peer

    def _states(self, name: str, minion_ids: Sequence[str]) -> dict[str, dict[str, list[str]]]:
        return _digests(self._in_chunks(name, "list", dict.fromkeys(minion_ids, "")))

    def _accept(self, name: str, keys: Mapping[str, str]) -> dict[str, PeerOutcome]:
        said = self._in_chunks(name, "accept", keys)
        return {minion_id: _accepted(said.get(minion_id), pem) for minion_id, pem in keys.items()}

    def _delete(self, name: str, keys: Mapping[str, str]) -> dict[str, PeerOutcome]:
        said = self._in_chunks(name, "delete", keys)
        return {minion_id: _deleted(said.get(minion_id)) for minion_id in keys}

    def _in_chunks(self, name: str, work: str, keys: Mapping[str, str]) -> dict[str, Any]:
        """Return what the peer says of each id; of other ids it can say nothing."""
        found: dict[str, Any] = {}
        ids, length = list(keys), CHUNK_OF_IDS if work == "list" else CHUNK
        for start in range(0, len(ids), length):
            some = {minion_id: keys[minion_id] for minion_id in ids[start : start + length]}
            said = self._ask(name, work, some).get("keys")
            if not isinstance(said, Mapping):
                raise MasterDown("it answers without keys: both masters need the same version of hart-salt")
            found |= {minion_id: said[minion_id] for minion_id in some if minion_id in said}
        return found

    def _ask(self, name: str, work: str, keys: Mapping[str, str]) -> Mapping[str, Any]:
        channel = self._channels[name]
        # Only a late accept does harm: after the deletion of the key.
        until = self._until(name, channel.timeout) if work == "accept" else None
        answer = channel.ask(work, keys, until)
        if not isinstance(answer, Mapping):
            raise MasterDown(f"it answers something else than {FUNCTION}: {one_line(str(answer))}")
        if answer.get("error"):
            raise MasterDown(one_line(str(answer["error"])))
        if answer.get("protocol") != PROTOCOL:
            raise MasterDown(
                f"its hart-salt is {one_line(str(answer.get('hart', 'unknown')))}, which does not understand this one: "
                "install the same version on both masters"
            )
        uptime = answer.get("uptime")
        if isinstance(uptime, int | float):
            self._uptimes[name] = uptime - time.monotonic()
        return answer

    def _until(self, name: str, timeout: float) -> float | None:
        """Return the uptime of a peer's machine when this master gives up; None if the peer has not answered so far."""
        return self._uptimes[name] + time.monotonic() + timeout if name in self._uptimes else None

    def _each(self, work: Callable[[str], T]) -> dict[str, T | MasterDown]:
        """Do something for all peers at the same time."""
        with concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="hart-peer") as pool:
            begun = {name: pool.submit(self._tried, lambda name=name: work(name)) for name in self._channels}
            return {name: future.result() for name, future in begun.items()}

    @staticmethod
    def _tried(work: Callable[[], T]) -> T | MasterDown:
        try:
            return work()
        except MasterDown as error:
            return error


Outcomes = Mapping[str, PeerOutcome]


def _of_each(keys: Mapping[str, str], outcomes: Outcomes | MasterDown) -> dict[str, PeerOutcome]:
    """Return the outcome of each id at a peer; if the peer did not answer, that is its error."""
    if isinstance(outcomes, MasterDown):
        return {minion_id: PeerOutcome(error=outcomes) for minion_id in keys}
    return dict(outcomes)


def _by_id(keys: Mapping[str, str], answers: Mapping[str, Outcomes | MasterDown]) -> dict[str, dict[str, PeerOutcome]]:
    by_peer = {name: _of_each(keys, answer) for name, answer in answers.items()}
    return {minion_id: {name: outcomes[minion_id] for name, outcomes in by_peer.items()} for minion_id in keys}


def _accepted(said: Any, pem: str) -> PeerOutcome:
    if not isinstance(said, Mapping):
        return PeerOutcome(error=NodeFailed("it does not say whether it accepted the key"))
    if said.get("error"):
        return PeerOutcome(error=NodeFailed(one_line(str(said["error"]))))
    if said.get("accepted") != digest(pem):
        return PeerOutcome(error=NodeFailed("it has accepted another key than the node's"))
    notes = said.get("notes")
    return PeerOutcome([one_line(str(note)) for note in notes] if isinstance(notes, list) else [])


def _deleted(said: Any) -> PeerOutcome:
    left = said.get("left") if isinstance(said, Mapping) else None
    if not isinstance(left, list):
        return PeerOutcome(error=NodeFailed("it does not say whether it deleted the key"))
    if left:
        states = ", ".join(STATE_WORDS.get(str(state), str(state)) for state in left)
        return PeerOutcome(error=NodeFailed(f"it still has the key, {one_line(states)}"))
    return PeerOutcome()


def _facts(answer: Mapping[str, Any]) -> PeerFacts:
    """Return the facts in an answer. Raises ``MasterDown`` if they are not such facts."""
    texts = {name: answer.get(name) for name in ("hart", "salt", "master_id", "public_key", "cluster", "signing_key")}
    ports, problem = answer.get("ports"), answer.get("problem", "")
    maps = {name: answer.get(name) for name in ("settings", "refusals")}
    good = all(isinstance(text, str) for text in (*texts.values(), problem))
    good = good and isinstance(ports, list) and all(isinstance(port, int) for port in ports)
    if not good or not all(isinstance(value, Mapping) for value in maps.values()):
        raise MasterDown("its facts are incomplete: both masters need the same version of hart-salt")
    return PeerFacts(
        **{name: str(text) if name.endswith("_key") else one_line(str(text)) for name, text in texts.items()},
        ports=tuple(ports or ()),
        signs_key=answer.get("signs_key") is True,
        settings={one_line(str(name)): value for name, value in (maps["settings"] or {}).items()},
        refusals={one_line(str(name)): one_line(str(why)) for name, why in (maps["refusals"] or {}).items()},
        problem=one_line(str(problem)),
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


def peers_of(cluster: Cluster, minions: Minions, master_id: str) -> Peers:
    """Return the peers that the settings name, without this master itself."""
    channels: dict[str, Channel] = {
        name: ViaApi(peer) if peer.minion is None else ViaMinion(minions, peer.minion, peer.timeout)
        for name, peer in others_of(cluster, master_id).items()
    }
    return Peers(channels, may_be_down=cluster.masters_down == "allow")


__all__ = ["Channel", "PeerFacts", "PeerOutcome", "Peers", "ViaApi", "ViaMinion", "peers_of"]
