"""
What the configuration of a salt-master requires of its minions.

Salt documents these settings one by one, on both sides, and checks none of the pairs: a minion without its half starts,
retries forever, and says why only in its own log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import salt.version
from cryptography.hazmat.primitives import serialization

from hart_salt.model import MinionTerms

#: settings that have the same name and must have the same value on both sides, with the value that Salt has by default
SAME: Mapping[str, Any] = {
    "transport": "zeromq",
    "ipv6": None,
    "zmq_filtering": False,
    "fips_mode": False,
    "disable_aes_with_tls": False,
}
REQUIRES_SIGNATURES = "require_minion_sign_messages"
#: the transports that use the setting ``ssl``; zeromq ignores it
TLS_TRANSPORTS = ("tcp", "ws")
DEFAULT_SIGNING = "PKCS1v15-SHA1"
#: the algorithms without SHA-1, which a FIPS machine refuses
FIPS_SIGNING, FIPS_ENCRYPTION = "PKCS1v15-SHA224", "OAEP-SHA224"
DEFAULT_SIGNING_KEY = "master_sign"
#: a name of a file without directories; Salt appends ``.pub``
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")

TLS = (
    "is required, because this master has ssl with the transport {}: set ssl in minion_config with paths on the node, "
    "such as ca_certs of the authority that signed the master's certificate"
)
NO_MESSAGE_ALGORITHM = (
    f"needs the setting signing_algorithm beside it, which Salt's master lacks by default: add signing_algorithm: "
    f"{FIPS_SIGNING} to the master config and restart salt-master"
)
#: drivers of the key store with which the master of this series accepts no minion's requests: mmap_key, because the
#: master looks for the key in a file, and redis, which cannot list keys; measured with 3008.4
BROKEN_DRIVERS, BROKEN_UNTIL, FILES = ("mmap_key", "redis"), 3008, "localfs_key"
#: with TLS, the process that receives the requests of minions cannot pass them on to the pools; measured with 3008.4
POOLS_WITH_TLS = (
    "must be False on a master with ssl, because Salt's own master does not serve minions otherwise: set it, and "
    "restart salt-master"
)
BROKEN_DRIVER = f"is {{}}, with which Salt's own master serves no minion: set it to {FILES}, and restart salt-master"

NO_CLUSTER_DIRECTORY = (
    "is not set to a directory that all members of cluster_id share, so each member would have keys of its own: set it "
    "on all members, and restart salt-master"
)
OTHER_KEY = (
    "also holds the key pair of another master, {}, which differs from this master's: a minion would accept only one "
    "of them; give each master a pki_dir of its own and list the others in hart:masters, or use a master cluster"
)


def minion_terms(opts: Mapping[str, Any]) -> MinionTerms:
    """Return what a master with the configuration ``opts`` requires of its minions."""
    transport = str(opts.get("transport") or "zeromq")
    signs = bool(opts.get("master_sign_pubkey"))
    name = str(opts.get("master_sign_key_name") or DEFAULT_SIGNING_KEY)
    return MinionTerms(
        settings=dict(_settings(opts, name if signs else DEFAULT_SIGNING_KEY)),
        required={"ssl": TLS.format(transport)} if transport in TLS_TRANSPORTS and _has_tls(opts) else {},
        refusals=dict(_refusals(opts)),
        signs_key=signs,
        signing_key=_public_key(Path(str(opts["pki_dir"])) / f"{name}.pub") if signs else "",
        signing_key_name=name,
        signs_publications=bool(opts.get("sign_pub_messages")),
        message_algorithm=str(opts.get("signing_algorithm") or ""),
        minimum_auth_version=int(opts.get("minimum_auth_version") or 0),
    )


def _has_tls(opts: Mapping[str, Any]) -> bool:
    # ``ssl: True`` has become an empty mapping when Salt read it.
    return opts.get("ssl") not in (None, False)


def _settings(opts: Mapping[str, Any], signing_key_name: str) -> Iterator[tuple[str, Any]]:
    """Yield the settings of a minion that follow from the master's and differ from Salt's defaults."""
    for name, default in SAME.items():
        if opts.get(name) and opts[name] != default:
            yield name, opts[name]
    if opts.get("master_sign_pubkey"):
        yield "verify_master_pubkey_sign", True
    if signing_key_name != DEFAULT_SIGNING_KEY:
        yield "master_sign_key_name", signing_key_name
    if opts.get(REQUIRES_SIGNATURES):
        yield "minion_sign_messages", True
    yield from _algorithms(opts)


def _algorithms(opts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """
    Yield the algorithms of a minion.

    A master verifies a minion's messages with ``signing_algorithm``, and signs its own key in advance with
    ``publish_signing_algorithm``. Otherwise it uses the algorithms that the minion names, which must be allowed on the
    master's machine.
    """
    fips = bool(opts.get("fips_mode"))
    default = FIPS_SIGNING if fips else DEFAULT_SIGNING
    published = opts.get("publish_signing_algorithm") or DEFAULT_SIGNING
    signing = opts.get("signing_algorithm") or (default if published == DEFAULT_SIGNING else published)
    if signing != DEFAULT_SIGNING:
        yield "signing_algorithm", str(signing)
    if opts.get("encryption_algorithm"):
        yield "encryption_algorithm", str(opts["encryption_algorithm"])
    elif fips or signing == FIPS_SIGNING:
        yield "encryption_algorithm", FIPS_ENCRYPTION


def _refusals(opts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the settings of the master with which no minion can connect."""
    if opts.get(REQUIRES_SIGNATURES) and not opts.get("signing_algorithm"):
        yield REQUIRES_SIGNATURES, NO_MESSAGE_ALGORITHM
    if _has_tls(opts) and opts.get("transport") in TLS_TRANSPORTS and _broken_with(opts.get("worker_pools_enabled")):
        yield "worker_pools_enabled", POOLS_WITH_TLS
    driver = str(opts.get("keys.cache_driver") or FILES)
    if _broken_with(driver in BROKEN_DRIVERS):
        yield "keys.cache_driver", BROKEN_DRIVER.format(driver)
    yield from _unshared(opts)
    key_name = str(opts.get("master_sign_key_name") or DEFAULT_SIGNING_KEY)
    if opts.get("master_sign_pubkey") and not PLAIN_NAME.fullmatch(key_name):
        yield "master_sign_key_name", "must be a plain file name: rename the key, and restart salt-master"


def _unshared(opts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield why the keys of several masters are not where they must be: apart, or together."""
    if opts.get("cluster_id"):
        if opts.get("cluster_pki_dir") in (None, "", opts["pki_dir"]) and not opts.get("cluster_isolated_filesystem"):
            yield "cluster_pki_dir", NO_CLUSTER_DIRECTORY
    elif other := _other_masters_key(opts):
        yield "pki_dir", OTHER_KEY.format(other)


def _other_masters_key(opts: Mapping[str, Any]) -> str:
    """
    Return the name of another master's key pair in the directory of this master's keys; empty if there is none.

    Since Salt 3008, each master names its key pair after itself. A pair with another name and the same key is that of a
    master that was renamed.
    """
    directory, master_id = Path(str(opts["pki_dir"])), str(opts.get("id") or "").removesuffix("_master")
    own = {_public_key(directory / f"{name}.pub") for name in (master_id, "master")} - {""}
    signing = {DEFAULT_SIGNING_KEY, str(opts.get("master_sign_key_name"))}
    if not own:
        return ""
    for path in sorted(directory.glob("*.pub")):
        is_pair = path.stem not in signing and path.with_suffix(".pem").exists()
        if is_pair and _public_key(path) not in {*own, ""}:
            return path.stem
    return ""


def _broken_with(setting: Any) -> bool:
    """Return whether a setting is on, and this is a release of Salt that is broken with it."""
    return bool(setting) and salt.version.__saltstack_version__.major <= BROKEN_UNTIL


def _public_key(path: Path) -> str:
    """Return the PEM of a public key; empty if the file is missing, cannot be read or holds no public key."""
    try:
        text = path.read_text(encoding="ascii")
        serialization.load_pem_public_key(text.encode())
    except (OSError, ValueError):
        return ""
    return text.strip()
