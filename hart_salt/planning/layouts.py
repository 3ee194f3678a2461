"""
Which layouts of several masters work, measured with real masters and minions of Salt 3008.4. Pure.

A minion keeps one public key of its masters. All masters therefore need the same key pair, or they sign their keys with
the same signing key; that is true for hot masters, for failover, and for one address behind which masters change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hart_salt.base.errors import MasterDown, PeerError
from hart_salt.master.peers import PeerFacts
from hart_salt.master.public_keys import same_key
from hart_salt.model import MasterInfo

REMEDY = (
    "copy master.pem and master.pub of the pki_dir from one to the others, or set master_sign_pubkey: True on all of "
    "them and copy master_sign.pem and master_sign.pub; a master cluster needs neither"
)

ALLOW = "set masters_down: allow to create nodes without it"


def faults(info: MasterInfo, facts: Mapping[str, PeerFacts | PeerError], *, may_be_down: bool = False) -> list[str]:
    """
    Return why nodes cannot be minions of this master and of all its peers, a sentence each.

    ``facts`` has what each peer says of itself, or why it says nothing: that is a fault. Only a peer that is down is
    none if ``may_be_down``.
    """
    return [fault for name, one in facts.items() for fault in _of_peer(name, info, one, may_be_down)]


def _of_peer(name: str, info: MasterInfo, facts: PeerFacts | PeerError, may_be_down: bool) -> Iterator[str]:
    where = f"hart:masters:{name}"
    if isinstance(facts, PeerError):
        if not isinstance(facts, MasterDown):
            yield f"{where}: the master {name} cannot be used: {facts}"
        elif not may_be_down:
            yield f"{where}: the master {name} cannot be reached: {facts}; {ALLOW}"
        return
    if not facts.public_key:
        yield f"{where}: the master {name} has no key yet: start salt-master there once"
        return
    if facts.problem and not may_be_down:
        yield f"{where}: the machine of {name} answers, but not its salt-master: {facts.problem}; {ALLOW}"
    for setting, why in facts.refusals.items():
        yield f"{where}: {setting} of the master config of {name} {why}"
    if info.cluster_id and info.cluster_id == facts.cluster:
        yield f"{where}: {name} is in this master's cluster {info.cluster_id}, which shares its keys: remove {name}"
    elif facts.master_id == info.master_id and same_key(facts.public_key, info.public_key):
        yield f"{where}: {name} is this master itself: remove it"
    else:
        yield from _keys(name, info, facts)
        yield from _terms(name, info, facts)


def _keys(name: str, info: MasterInfo, facts: PeerFacts) -> Iterator[str]:
    """Yield why a minion cannot verify both masters."""
    where, terms = f"hart:masters:{name}", info.terms
    if same_key(facts.public_key, info.public_key):
        return
    if not (terms.signs_key and facts.signs_key):
        yield f"{where}: {name} has another key than this master, and a minion would accept only one of them: {REMEDY}"
    elif not same_key(facts.signing_key, terms.signing_key):
        yield (
            f"{where}: {name} has another key than this master and signs it with another key, so a minion would accept "
            f"only one of the masters: copy {terms.signing_key_name}.pem and {terms.signing_key_name}.pub from one to "
            "the others"
        )


def _terms(name: str, info: MasterInfo, facts: PeerFacts) -> Iterator[str]:
    """Yield what a minion would need twice: its ports and terms are the same for all its masters."""
    where = f"hart:masters:{name}"
    if facts.ports != (info.publish_port, info.return_port):
        here, there = f"{info.publish_port} and {info.return_port}", " and ".join(map(str, facts.ports))
        yield (
            f"{where}: publish_port and ret_port of {name} are {there}, and here {here}: a minion uses the same ports "
            "for all its masters"
        )
    for setting in sorted({*facts.settings, *info.terms.settings}):
        if facts.settings.get(setting) != info.terms.settings.get(setting):
            yield f"{where}: what minions need as {setting} differs between {name} and this master: make both the same"
