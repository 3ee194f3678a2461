"""Public keys as Salt stores and compares them, and their fingerprints."""

from __future__ import annotations

import hashlib
import os

import salt.utils.crypt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from hart_salt.base.errors import NodeFailed

MINIMUM_KEY_BITS = 2048
MAXIMUM_KEY_BITS = 16384  #: OpenSSL's own limit


def check_public_key(pem: str) -> str:
    """
    Return ``pem`` in normal form if it is an RSA public key of 2048 to 16384 bits and nothing else.

    Salt itself would store garbage.

    Raises ``NodeFailed`` otherwise.
    """
    try:
        key = serialization.load_pem_public_key(pem.encode("ascii"))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise NodeFailed("the node reported a minion key that is not a public key") from error
    if not isinstance(key, rsa.RSAPublicKey) or not MINIMUM_KEY_BITS <= key.key_size <= MAXIMUM_KEY_BITS:
        raise NodeFailed(f"the node's minion key is not an RSA key of {MINIMUM_KEY_BITS} to {MAXIMUM_KEY_BITS} bits")
    plain = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    # Text around a key is ignored by everything that reads the key, but shown by everything that prints it.
    if not same_key(pem, plain):
        raise NodeFailed("the node reported a minion key with other text beside it, or in an unusual form")
    return plain


def same_key(one: str, other: str) -> bool:
    """Return whether two keys are equal as Salt compares them: line ends and surrounding spaces do not count."""
    return normal(one) == normal(other)


def normal(key: str) -> str:
    """Return a key in the form in which Salt compares keys."""
    return key.replace("\r\n", "\n").strip()


def fingerprint(pem: str) -> str:
    """Return the fingerprint of a stored key as this Salt's own ``salt-key -f`` shows it; Salt versions differ."""
    return str(salt.utils.crypt.pem_finger(key=pem.encode(), sum_type="sha256"))


def master_fingerprint(pem: str) -> str:
    """
    Return the fingerprint of a master's key, as the setting ``master_finger`` of its minions needs it.

    ``salt-key -F master`` of Salt 3006 and 3007 shows the same; 3008 shows one that no minion accepts.
    """
    # A file in memory, so no directory for temporary files needs free space.
    with os.fdopen(os.memfd_create("hart-master-key"), "w") as file:
        file.write(pem.strip() + "\n")
        file.flush()
        return str(salt.utils.crypt.pem_finger(path=f"/proc/self/fd/{file.fileno()}", sum_type="sha256"))


def has_fingerprint(wanted: str | None, key: str) -> bool:
    """
    Return whether ``wanted`` is a fingerprint of a stored key, or the key itself.

    The fingerprint can be that of another master, with another version of Salt. Some versions hash all of the text,
    others only the lines between the first and the last.
    """
    if not wanted:
        return False
    if wanted.startswith("-----BEGIN"):
        return same_key(key, wanted)
    plain = normal(key)
    body = "".join(f"{line}\n" for line in plain.split("\n")[1:-1] if line.strip())
    return wanted == fingerprint(key) or wanted in map(_sha256, (key, plain, f"{plain}\n", body))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).digest().hex(":")
