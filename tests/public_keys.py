"""Public keys whose private half nobody needs, such as those of minions that never connect."""

from __future__ import annotations

import secrets

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


def new_public_key(bits: int = 2048) -> str:
    """
    Return the PEM of a new RSA public key.

    Its modulus is a random odd number: a product of two primes looks the same, and takes a thousand times as long.
    """
    modulus = secrets.randbits(bits) | 1 << (bits - 1) | 1
    key = rsa.RSAPublicNumbers(65537, modulus).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.PEM, form).decode()
