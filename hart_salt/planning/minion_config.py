"""
The minion configuration of a node: what hart makes of the node and of its master, and which settings contradict it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import hart_salt
from hart_salt.base.errors import Fault
from hart_salt.master.public_keys import master_fingerprint
from hart_salt.master.terms import PLAIN_NAME, REQUIRES_SIGNATURES
from hart_salt.model import MasterInfo, Node

CREATED = "hart.created"
#: the start of a fault's path: a setting of ``minion_config``, or of the master's own configuration
OF_MINION, OF_MASTER = "minion_config", "master config"

#: the ports that minions use unless their configuration says otherwise
DEFAULT_PUBLISH_PORT = 4505
DEFAULT_RETURN_PORT = 4506

#: the job of a spot node that looks for an interruption notice, and how often: Compute Engine gives 30 seconds
INTERRUPTION_JOB, INTERRUPTION_SECONDS = "hart-interruption", 5
#: the directory on spot nodes with a copy of hart's execution module, for minions that did not sync it
MODULES = "/var/lib/hart"

# A minion that cannot reach its master keeps trying, and resolves the master's address again each time. Salt does this
# only with ``failover``, which also needs retry_dns off, because it retries through its list of masters.
_RETRY: Mapping[str, Any] = {"master_tries": -1, "auth_safemode": False}
_RETRY_FAILOVER: Mapping[str, Any] = {
    "master_type": "failover",
    "master_alive_interval": 90,
    "retry_dns": 0,
}


# what hart sets


def generated(node: Node, master: MasterInfo, now: datetime) -> dict[str, Any]:
    """Return the minion configuration without the id; the user's own configuration overrides it."""
    config: dict[str, Any] = {"grains": _grains(node, now), **_RETRY}
    if _fails_over(node):
        config |= _RETRY_FAILOVER
    if master.return_port != DEFAULT_RETURN_PORT:
        config["master_port"] = master.return_port
    if master.publish_port != DEFAULT_PUBLISH_PORT:
        # The master sends its port to the minion, but the minion's check whether the master is alive uses only this
        # setting: without it the minion would reconnect all the time.
        config["publish_port"] = master.publish_port
    config |= master.terms.settings
    if watches_interruptions(node):
        config |= {"schedule": {INTERRUPTION_JOB: interruption_job()}, "module_dirs": [MODULES]}
    # The master of a node on this machine is on the same machine, whatever address other providers' nodes use.
    one = node.driver == "local" and not _has_several(node)
    address = master.local_address if one else node.settings.saltmaster
    if address:
        config["master"] = address
    return config


def watches_interruptions(node: Node) -> bool:
    """Return whether the minion looks for the notice by which its provider takes a spot instance away."""
    user = node.settings.minion_config
    refused = any(
        _lacks(user.get("whitelist_modules"), name) or _may_contain(user.get("disable_modules"), name)
        for name in ("test", "hart")
    )
    return bool(getattr(node.options, "spot", False)) and not refused


def interruption_job() -> dict[str, Any]:
    """
    Return the scheduled job, whose results stay on the minion.

    ``test.try`` runs the function, since Salt logs a traceback each time that a scheduled function does not exist.
    """
    return {
        "function": "test.try",
        "kwargs": {"module": "hart.interruption", "wake": True},
        "seconds": INTERRUPTION_SECONDS,
        "maxrunning": 1,
        "return_job": False,
    }


def masterless(node: Node, now: datetime) -> dict[str, Any]:
    """
    Return the configuration of the minion on a salt-master, which has no service: ``salt-call`` uses local states.
    """
    return {"grains": _grains(node, now), "file_client": "local", "state_verbose": False}


def chosen_by_user(node: Node) -> dict[str, Any]:
    """
    Return the user's part without empty keys, which YAML makes of empty lines.

    They do not mean that the user wants no grains or no master.
    """
    user = node.settings.minion_config
    return {key: value for key, value in user.items() if value or key not in ("grains", "master")}


def has_master(node: Node) -> bool:
    """Return whether the address of the node's master is set."""
    return bool(node.driver == "local" or node.settings.saltmaster or node.settings.minion_config.get("master"))


def _masters(node: Node) -> Any:
    return node.settings.minion_config.get("master") or node.settings.saltmaster


def _has_several(node: Node) -> bool:
    masters = _masters(node)
    return isinstance(masters, Sequence) and not isinstance(masters, str) and len(masters) > 1


def _fails_over(node: Node) -> bool:
    """
    Return whether to configure failover: for one master, as the way to resolve its address again; else if asked for.

    Without ``master_type``, a list of masters means in Salt that the minion is connected to all of them.
    """
    kind = node.settings.minion_config.get("master_type")
    return kind == "failover" if kind else not _has_several(node)


def _grains(node: Node, now: datetime) -> dict[str, Any]:
    grains: dict[str, Any] = {
        # With dots in the names and not nested: states and targets know them as ``hart.region``.
        "roles": [node.role] if node.role else [],
        "hart.provider": node.provider,
        "hart.region": node.region,
        "hart.size": node.size,
        CREATED: now.astimezone(timezone.utc).isoformat(timespec="seconds"),
        "hart.version": hart_salt.__version__,
    }
    if node.zone:
        grains["hart.zone"] = node.zone
    return grains


# what contradicts it


@dataclass(frozen=True)
class _Rule:
    """A setting of ``minion_config`` with which a node cannot keep what hart promises."""

    refuses: Callable[[Any, Node, MasterInfo], bool]
    #: the end of a sentence that starts with the setting
    problem: str


def _always(value: Any, node: Node, master: MasterInfo) -> bool:
    return True


def _on(value: Any, node: Node, master: MasterInfo) -> bool:
    return bool(value)


def _is_local(value: Any, node: Node, master: MasterInfo) -> bool:
    return node.driver == "local"


def _not(*good: Any) -> Callable[[Any, Node, MasterInfo], bool]:
    return lambda value, node, master: value not in good


def _moves_keys(value: Any, node: Node, master: MasterInfo) -> bool:
    return _may_contain(value, "pki_dir")


def _lacks_question(value: Any, node: Node, master: MasterInfo) -> bool:
    return _lacks(value, QUESTION_MODULE)


def _lacks(value: Any, word: str) -> bool:
    """Return whether a list lacks the word; an empty value is no list, and any other value is not known to have it."""
    return bool(value) and not (isinstance(value, list | str) and word in value)


def _has_question(value: Any, node: Node, master: MasterInfo) -> bool:
    return _may_contain(value, QUESTION_MODULE)


def _may_contain(value: Any, word: str) -> bool:
    """Return whether a list contains the word; a value that is no list is not known to lack it."""
    return bool(value) and (not isinstance(value, list | str) or word in value)


def _local_files(value: Any, node: Node, master: MasterInfo) -> bool:
    return value == "local" and not node.settings.minion_config.get("use_master_when_local")


def _is_other_key(value: Any, node: Node, master: MasterInfo) -> bool:
    """Return whether ``master_finger`` is not that of this master's key."""
    if not value or not master.public_key or node.settings.minion_config.get("hash_type", "sha256") != "sha256":
        return False
    return str(value).lower() != master_fingerprint(master.public_key).lower()


def _starts_late(value: Any, node: Node, master: MasterInfo) -> bool:
    return isinstance(value, int | float) and value >= node.settings.ready_timeout


def _shuffles(value: Any, node: Node, master: MasterInfo) -> bool:
    return bool(value) and _has_several(node) and _fails_over(node)


def _unverifiable(value: Any, node: Node, master: MasterInfo) -> bool:
    # If the master requires it, the master's own setting is refused.
    return bool(value) and not master.terms.message_algorithm and REQUIRES_SIGNATURES not in master.terms.refusals


def _unsigned(value: Any, node: Node, master: MasterInfo) -> bool:
    return bool(value) and not master.terms.signs_publications


#: the module with the function that asks a new minion for its code
QUESTION_MODULE = "config"
MASTER_TYPES = ("str", "failover", "distributed", "func")
_PLACES = "hart puts the minion's and the master's keys below /etc/salt/pki/minion, and a minion must find them there"
_LOCAL = "is set by the provider, because all files of a local node are in its own directory: remove it"

RULES: Mapping[str, _Rule] = {
    "pki_dir": _Rule(_always, f"must not be set: {_PLACES}"),
    "root_dir": _Rule(_always, f"must not be set: {_PLACES}"),
    "conf_file": _Rule(_always, "must not be set: hart writes the configuration of the minion below /etc/salt"),
    "append_minionid_config_dirs": _Rule(_moves_keys, f"must not contain pki_dir: {_PLACES}"),
    "append_domain": _Rule(_always, "must not be set, because it changes the minion id: add it to role_naming_scheme"),
    "master_type": _Rule(
        _not(None, *MASTER_TYPES),
        f"must be one of {', '.join(MASTER_TYPES)}: hart waits until the node is a minion of this master",
    ),
    "file_client": _Rule(
        _local_files,
        "must be remote: with local, a minion does not connect to its master; set use_master_when_local: true to use "
        "local files on a minion",
    ),
    "open_mode": _Rule(_on, "must not be true: the minion would trust any master, whatever key it has"),
    "keys.cache_driver": _Rule(
        _not(None, "localfs_key"), "must be localfs_key: hart makes the minion's key as files on the node"
    ),
    "whitelist_modules": _Rule(
        _lacks_question, f"must contain {QUESTION_MODULE}: a new minion shows with it that it is the node of hart"
    ),
    "disable_modules": _Rule(
        _has_question, f"must not contain {QUESTION_MODULE}: a new minion shows with it that it is the node of hart"
    ),
    "random_startup_delay": _Rule(_starts_late, "must be less than ready_timeout: it delays the first start too"),
    "master_finger": _Rule(
        _is_other_key,
        "is not the fingerprint of this master's key: remove it, because hart puts the key itself on the node",
    ),
    **dict.fromkeys(
        ("random_master", "master_shuffle"),
        _Rule(_shuffles, "must not be true with failover: hart waits for a new minion on the master that creates it"),
    ),
    "minion_sign_messages": _Rule(
        _unverifiable,
        "cannot be verified by this master: add signing_algorithm to the master config and restart salt-master, or "
        "remove it",
    ),
    "sign_pub_messages": _Rule(
        _unsigned, "needs sign_pub_messages: True in the master config too: set it there, or remove it"
    ),
    **dict.fromkeys(
        ("user", "cachedir", "sock_dir", "pidfile", "extension_modules", "log_file"), _Rule(_is_local, _LOCAL)
    ),
}  # fmt: skip

#: the first releases whose minions use version 3 of Salt's authentication protocol
AUTH_VERSION_3 = {3006: 12, 3007: 4}


def objections(node: Node, master: MasterInfo) -> Iterator[Fault]:
    """Yield why a new node with these settings cannot become a minion of this master as hart promises it."""
    user, terms = node.settings.minion_config, master.terms
    for name, rule in RULES.items():
        if name in user and rule.refuses(user[name], node, master):
            yield Fault(f"{OF_MINION}:{name}", rule.problem)
    for name, problem in terms.required.items():
        if user.get(name) in (None, False):
            yield Fault(f"{OF_MINION}:{name}", problem)
    for name, problem in terms.refusals.items():
        yield Fault(f"{OF_MASTER}:{name}", problem)
    yield from _signature_faults(node, master)
    yield from _version_faults(node, master)


def _signature_faults(node: Node, master: MasterInfo) -> Iterator[Fault]:
    """Yield what is missing for a minion that must verify the signature of a master's key."""
    user, terms = node.settings.minion_config, master.terms
    name = user.get("master_sign_key_name")
    if name and not PLAIN_NAME.fullmatch(str(name)):
        yield Fault(f"{OF_MINION}:master_sign_key_name", "must be a plain file name")
    verifies = _has_several(node) or user.get("always_verify_signature")
    if terms.signs_key and not terms.signing_key and verifies:
        problem = (
            f"is set, but {terms.signing_key_name}.pub, with which minions verify the keys of several masters, is not "
            "in the pki_dir of this master: copy it there"
        )
        yield Fault(f"{OF_MASTER}:master_sign_pubkey", problem)


def _version_faults(node: Node, master: MasterInfo) -> Iterator[Fault]:
    """Yield why this master turns away minions of the wanted release."""
    parts = str(node.settings.salt_version or "").removesuffix(".*").split(".")
    minimum = master.terms.minimum_auth_version
    if minimum < 3 or not parts[0]:
        return
    series = int(parts[0])
    too_old = series < min(AUTH_VERSION_3) or (len(parts) > 1 and int(parts[1]) < AUTH_VERSION_3.get(series, 0))
    if too_old:
        first = " or ".join(f"{major}.{minor}" for major, minor in AUTH_VERSION_3.items())
        yield Fault(
            "salt_version",
            f"is too old for this master, whose minimum_auth_version is {minimum}: use {first} or newer",
        )
