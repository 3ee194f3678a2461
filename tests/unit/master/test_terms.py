"""What the configuration of a master requires of its minions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import salt.config

from hart_salt.master.terms import minion_terms
from hart_salt.model import MinionTerms
from tests.parts import new_public_key

SHA224 = {"signing_algorithm": "PKCS1v15-SHA224", "encryption_algorithm": "OAEP-SHA224"}


def terms(**settings: Any) -> MinionTerms:
    return minion_terms({**salt.config.DEFAULT_MASTER_OPTS, **settings})


@pytest.mark.parametrize(
    ("master", "minion"),
    [
        ({}, {}),
        ({"transport": "zeromq", "ssl": {}, "ipv6": False}, {}),
        ({"transport": "tcp"}, {"transport": "tcp"}),
        ({"transport": "ws"}, {"transport": "ws"}),
        ({"ipv6": True}, {"ipv6": True}),
        ({"zmq_filtering": True}, {"zmq_filtering": True}),
        ({"disable_aes_with_tls": True}, {"disable_aes_with_tls": True}),
        ({"master_sign_pubkey": True}, {"verify_master_pubkey_sign": True}),
        (
            {"master_sign_pubkey": True, "master_sign_key_name": "ours"},
            {"verify_master_pubkey_sign": True, "master_sign_key_name": "ours"},
        ),
        ({"master_sign_key_name": "ours"}, {}),
        (
            {"require_minion_sign_messages": True, "signing_algorithm": "PKCS1v15-SHA1"},
            {"minion_sign_messages": True},
        ),
        (
            {"require_minion_sign_messages": True, "signing_algorithm": "PKCS1v15-SHA224"},
            {"minion_sign_messages": True, **SHA224},
        ),
        ({"publish_signing_algorithm": "PKCS1v15-SHA224"}, SHA224),
        ({"publish_signing_algorithm": "PKCS1v15-SHA1"}, {}),
        ({"encryption_algorithm": "OAEP-SHA224"}, {"encryption_algorithm": "OAEP-SHA224"}),
        ({"fips_mode": True}, {"fips_mode": True, **SHA224}),
        (
            {"signing_algorithm": "PKCS1v15-SHA1", "publish_signing_algorithm": "PKCS1v15-SHA224"},
            {},
        ),
    ],
)
def test_the_settings_of_a_minion_follow_from_those_of_its_master(
    master: dict[str, Any], minion: dict[str, Any]
) -> None:
    found = terms(**master)
    assert found.settings == minion
    assert (found.refusals, found.required) == ({}, {})


@pytest.mark.parametrize("transport", ["tcp", "ws"])
@pytest.mark.parametrize("ssl", [{}, {"certfile": "/etc/salt/tls/master.crt"}])
def test_a_master_with_tls_requires_the_users_settings_for_it(transport: str, ssl: dict[str, str]) -> None:
    found = terms(transport=transport, ssl=ssl, worker_pools_enabled=False).required
    assert list(found) == ["ssl"]
    assert transport in found["ssl"]
    assert terms(transport=transport, ssl=None).required == {}


@pytest.mark.parametrize(
    ("master", "setting"),
    [
        ({"require_minion_sign_messages": True}, "require_minion_sign_messages"),
        ({"keys.cache_driver": "mmap_key"}, "keys.cache_driver"),
        ({"transport": "tcp", "ssl": {}, "worker_pools_enabled": True}, "worker_pools_enabled"),
        ({"master_sign_pubkey": True, "master_sign_key_name": "../x"}, "master_sign_key_name"),
    ],
)
def test_settings_with_which_no_minion_can_connect_are_refused(master: dict[str, Any], setting: str) -> None:
    assert list(terms(**master).refusals) == [setting]


def test_the_key_that_verifies_a_signature_is_read_if_the_master_signs(tmp_path: Path) -> None:
    key = new_public_key()
    (tmp_path / "master_sign.pub").write_text(f"{key}\n")
    (tmp_path / "ours.pub").write_text("no key")
    assert terms(pki_dir=str(tmp_path)).signing_key == ""
    found = terms(pki_dir=str(tmp_path), master_sign_pubkey=True)
    assert (found.signs_key, found.signing_key, found.signing_key_name) == (True, key, "master_sign")
    assert terms(pki_dir=str(tmp_path), master_sign_pubkey=True, master_sign_key_name="ours").signing_key == ""
    assert terms(pki_dir=str(tmp_path / "x"), master_sign_pubkey=True).signing_key == ""


def with_keys(tmp_path: Path, **keys: str) -> dict[str, str]:
    """Return the refusals of the master ``one`` with these key pairs in its directory."""
    for name, pem in keys.items():
        (tmp_path / f"{name}.pub").write_text(pem)
        (tmp_path / f"{name}.pem").write_text("private")
    return dict(terms(id="one", pki_dir=str(tmp_path)).refusals)


OWN, OTHER = new_public_key(), new_public_key()


def test_another_master_s_key_pair_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    found = with_keys(tmp_path, one=OWN, master=OWN, two=OTHER)
    assert list(found) == ["pki_dir"]
    assert "another master, two," in found["pki_dir"]


@pytest.mark.parametrize(
    "keys", [{"master": OWN}, {"one": OWN, "old-name": OWN + "\n"}, {"one": OWN, "master_sign": OTHER}]
)
def test_a_master_alone_in_its_directory_is_not(tmp_path: Path, keys: dict[str, str]) -> None:
    (tmp_path / "someone.pub").write_text(OTHER)
    assert with_keys(tmp_path, **keys) == {}


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ({"cluster_id": "c"}, ["cluster_pki_dir"]),
        ({"cluster_id": "c", "cluster_pki_dir": "/etc/salt/pki/master"}, ["cluster_pki_dir"]),
        ({"cluster_id": "c", "cluster_pki_dir": "/srv/shared"}, []),
        ({"cluster_id": None}, []),
    ],
)
def test_a_cluster_needs_a_directory_that_its_members_share(settings: dict[str, Any], refused: list[str]) -> None:
    assert list(terms(pki_dir="/etc/salt/pki/master", **settings).refusals) == refused
