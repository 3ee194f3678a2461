"""Which public keys a node may report, and fingerprints as Salt shows them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import salt.utils.crypt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa

from hart_salt.base.errors import NodeFailed
from hart_salt.master.public_keys import check_public_key, fingerprint, has_fingerprint, master_fingerprint, same_key
from tests.public_keys import new_public_key

OURS, FOREIGN = new_public_key(), new_public_key()


def pem(key: Any) -> str:
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return str(public.decode())


def test_the_fingerprint_of_a_master_s_key_is_the_one_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "master.pub").write_text(OURS)
    expected = salt.utils.crypt.pem_finger(path=str(tmp_path / "master.pub"), sum_type="sha256")
    assert {master_fingerprint(text) for text in (OURS, OURS.strip(), f"{OURS}\n")} == {expected}


def whole(text: str) -> str:
    """Return the fingerprint of Salt 3008, which hashes all of the text."""
    return hashlib.sha256(text.encode()).digest().hex(":")


def body(text: str) -> str:
    """Return the fingerprint of Salt 3007, which hashes the lines between the first and the last."""
    lines = text.strip().splitlines(keepends=True)[1:-1]
    return hashlib.sha256("".join(lines).encode()).digest().hex(":")


@pytest.mark.parametrize("stored", [OURS, OURS.strip(), OURS.strip().replace("\n", "\r\n")])
def test_a_fingerprint_of_any_version_of_salt_is_that_of_the_key(stored: str) -> None:
    plain = OURS.strip()
    for finger in (whole(f"{plain}\n"), whole(plain), body(plain), fingerprint(OURS), fingerprint(stored)):
        assert has_fingerprint(finger, stored)
        assert not has_fingerprint(finger, FOREIGN)
    assert has_fingerprint(plain, stored)


@pytest.mark.parametrize("wanted", [None, "", "00:11", FOREIGN])
def test_another_text_is_no_fingerprint_of_the_key(wanted: str | None) -> None:
    assert not has_fingerprint(wanted, OURS)


REFUSED_KEYS = {
    "nothing": "",
    "garbage": "not a key at all",
    "not ASCII": "ключ",
    "an empty block": "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
    "a private key": rsa.generate_private_key(public_exponent=65537, key_size=2048)
    .private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    .decode(),
    "an elliptic curve": pem(ec.generate_private_key(ec.SECP256R1())),
    "an Edwards curve": pem(ed25519.Ed25519PrivateKey.generate()),
    "2048 bits of another kind": dsa.DSAPublicNumbers(3, dsa.DSAParameterNumbers(2**2047 + 1, 2**255 + 1, 2))
    .public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode(),
    "1024 bits": new_public_key(1024),
    "an OpenSSH key": "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ",
    "a cut": OURS[:200],
    "text before it": "look here\n" + OURS,
    "text behind it": OURS + "and here\n",
    "two of them": OURS + FOREIGN,
    "an escape sequence around it": f"\x1b[2J{OURS}",
    "its own words on the first line": OURS.replace("-----\n", "-----\nProc-Type: 4\n\n", 1),
    "one long line": OURS[:27] + OURS[27:-26].replace("\n", "") + OURS[-26:],
}


@pytest.mark.parametrize("text", REFUSED_KEYS.values(), ids=REFUSED_KEYS)
def test_anything_but_an_rsa_public_key_of_2048_bits_is_refused(text: str) -> None:
    with pytest.raises(NodeFailed, match="key"):
        check_public_key(text)


def test_a_public_key_is_accepted_and_normalised() -> None:
    assert check_public_key(OURS) == OURS
    assert check_public_key("\n" + OURS.replace("\n", "\r\n") + "\n") == OURS


@pytest.mark.parametrize("text", [OURS, OURS.strip(), OURS + "\n\n", OURS.replace("\n", "\r\n")])
def test_line_ends_do_not_change_a_key(text: str) -> None:
    assert same_key(OURS, text)
    assert not same_key(FOREIGN, text)
