"""
What this master does when another master of the same nodes asks: it shows its facts, and accepts or deletes keys.

On the other side is ``peers.py``. The execution module runs ``main`` in a process of its own, as the user of the
salt-master whose configuration it names; the runner calls ``do`` in the master's own process. Of a node only its id and
its public key travel.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import salt.config
import salt.utils.user

import hart_salt
from hart_salt.base import faults
from hart_salt.base.errors import HartError, NodeFailed, Refused
from hart_salt.base.names import check_minion_id
from hart_salt.master.client import SALT_VERSION, Master
from hart_salt.master.keys import ACCEPTED
from hart_salt.master.peer_order import Deletions, uptime
from hart_salt.master.public_keys import check_public_key, has_fingerprint

#: from the master and the request's texts by id to the answer
Work = Callable[[Master, Mapping[str, str]], dict[str, Any]]
Clock = Callable[[], float]

#: changes when a master of an older hart would not understand a request or an answer
PROTOCOL = 1
MOST = 10000  #: ids in one request


def digest(pem: str) -> str:
    """Return the SHA-256 of a public key; unlike Salt's fingerprints, it is the same in all versions of Salt."""
    return hashlib.sha256(pem.replace("\r\n", "\n").strip().encode()).hexdigest()


def do(
    opts: Mapping[str, Any], work: Any, keys: Any, until: Any = None, sent: Any = None, clock: Clock = uptime
) -> dict[str, Any]:
    """
    Do one piece of work for the other master, and return plain data; never raise an exception.

    ``work`` is ``facts``, ``list``, ``print``, ``accept`` or ``delete``. ``keys`` has a text for each minion id: see
    the functions. ``until`` is the time of this machine's ``uptime`` after which nothing is begun, because the other
    master has given up by then and may have rolled the nodes back (default: none). ``sent`` is the uptime at which the
    other master sent the request: no key is accepted whose id was deleted since (default: unknown). The answer has
    ``protocol``, ``uptime``, and either ``error`` or what the function returns.
    """
    answer: dict[str, Any] = {"protocol": PROTOCOL, "hart": hart_salt.__version__}
    try:
        master, wanted, begin = Master(opts), _checked(keys), _work(work)
        _check_time(until, clock)
        if work not in CHANGING:
            return {**answer, **begin(master, wanted), "uptime": clock()}
        deletions = Deletions(str(opts["cachedir"]), clock)
        with deletions.turn():
            _check_time(until, clock)
            late = _late(deletions, wanted, sent) if work == "accept" else {}
            if work == "delete":
                deletions.note(wanted)
            done = begin(master, {i: text for i, text in wanted.items() if i not in late})
        return {**answer, "keys": {**done["keys"], **late}, "uptime": clock()}
    except HartError as error:
        return {**answer, "error": str(error)}
    except Exception as error:
        return {**answer, "error": faults.reason(error)}


def _check_time(until: Any, clock: Clock) -> None:
    if until is not None and (not isinstance(until, int | float) or clock() >= until):
        raise Refused("the request arrived too late: the other master had given up by then")


def _late(deletions: Deletions, minion_ids: Iterable[str], sent: Any) -> dict[str, Any]:
    """Return the answer for ids whose keys were deleted after the request was sent."""
    if not isinstance(sent, int | float):
        return {}
    late = {"error": "the request arrived too late: the keys with that id were deleted here in the meantime"}
    return {minion_id: late for minion_id in minion_ids if deletions.after(minion_id, sent)}


def _work(name: Any) -> Work:
    if not isinstance(name, str) or name not in WORKS:
        raise Refused(f"work must be one of {', '.join(WORKS)}")
    return WORKS[name]


def _checked(keys: Any) -> dict[str, str]:
    """Return the request's ids, each with its text, if they can be what another master sends."""
    if not isinstance(keys, Mapping) or len(keys) > MOST:
        raise Refused(f"keys must be a mapping of at most {MOST} minion ids")
    for minion_id, text in keys.items():
        if not isinstance(minion_id, str) or not isinstance(text, str) or check_minion_id(minion_id):
            raise Refused("keys must have minion ids as its names and texts as its values")
    return dict(keys)


def _facts(master: Master, keys: Mapping[str, str]) -> dict[str, Any]:
    """Return what the other master must know of this one before it creates nodes with these ids for both."""
    info = master.info()
    running = ""
    try:
        master.require_running()
    except HartError as error:
        running = str(error)
    return {
        "salt": SALT_VERSION,
        "master_id": info.master_id,
        "public_key": info.public_key,
        "cluster": info.cluster_id,
        "ports": [info.publish_port, info.return_port],
        "signs_key": info.terms.signs_key,
        "signing_key": info.terms.signing_key,
        "settings": dict(info.terms.settings),
        "refusals": dict(info.terms.refusals),
        "problem": running,
        **_list(master, keys),
    }


def _list(master: Master, keys: Mapping[str, str]) -> dict[str, Any]:
    """Return the stored keys of each id that has any: by state, their digests."""
    found = {minion_id: master.keys.stored(minion_id) for minion_id in keys}
    return {
        "keys": {
            minion_id: {state: [digest(pem) for pem in pems] for state, pems in stored.items()}
            for minion_id, stored in found.items()
            if stored
        }
    }


def _print(master: Master, keys: Mapping[str, str]) -> dict[str, Any]:
    """Return the accepted public key of each id that has one."""
    stored = {minion_id: master.keys.stored(minion_id).get(ACCEPTED, []) for minion_id in keys}
    return {"keys": {minion_id: pems[0] for minion_id, pems in stored.items() if pems}}


def _accept(master: Master, keys: Mapping[str, str]) -> dict[str, Any]:
    """
    Accept the public key of each id, as the creating master does; see ``Keys.accept_many``.

    Returns for each id the digest of the key that is accepted afterwards, and notes; or ``error``.
    """
    good: dict[str, str] = {}
    found: dict[str, Any] = {}
    for minion_id, pem in keys.items():
        try:
            good[minion_id] = check_public_key(pem)
        except NodeFailed as error:
            found[minion_id] = {"error": str(error)}
    for minion_id, outcome in master.keys.accept_many(good).items():
        stored = master.keys.stored(minion_id).get(ACCEPTED, [])
        accepted = {"accepted": digest(stored[0]) if stored else "", "notes": outcome.notes}
        found[minion_id] = {"error": faults.reason(outcome.error)} if outcome.error else accepted
    return {"keys": found}


def _delete(master: Master, keys: Mapping[str, str]) -> dict[str, Any]:
    """
    Delete the keys of ids, in one call of Salt.

    The text of an id is a public key, or a fingerprint as this master's Salt shows it: then only that key is deleted,
    with denied keys beside it. Empty: all keys of the id are.

    Returns for each id the states of those keys that should be gone and are not.
    """
    master.keys.delete_own({minion_id: text for minion_id, text in keys.items() if text})
    master.keys.delete([minion_id for minion_id, text in keys.items() if not text])
    return {"keys": {minion_id: {"left": _left(master, minion_id, text)} for minion_id, text in keys.items()}}


def _left(master: Master, minion_id: str, text: str) -> list[str]:
    stored = master.keys.stored(minion_id)
    return sorted(state for state, pems in stored.items() if not text or any(has_fingerprint(text, it) for it in pems))


WORKS: Mapping[str, Work] = {
    "facts": _facts, "list": _list, "print": _print, "accept": _accept, "delete": _delete,
}  # fmt: skip
#: the works that change the key store, which follow one after another
CHANGING = ("accept", "delete")


def main(path: str) -> None:
    """
    Read a request from standard input, do it for the master with the configuration file ``path``, and print the answer.

    Salt's files stay those of the master's user, because the process becomes that user first.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Salt prints is no answer
    request = json.load(sys.stdin)
    opts = salt.config.master_config(path)
    if os.geteuid() == 0 and opts.get("user") not in (None, "", "root"):
        salt.utils.user.chugid(opts["user"])
    with contextlib.closing(answers):
        answer = do(opts, request.get("work"), request.get("keys"), request.get("until"), request.get("sent"))
        json.dump(answer, answers)


if __name__ == "__main__":
    main(sys.argv[1])
