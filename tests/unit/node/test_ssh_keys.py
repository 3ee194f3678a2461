"""Key pairs that are made for one purpose and thrown away."""

from __future__ import annotations

import asyncssh

from hart_salt.node import ssh


def test_a_key_pair_is_ed25519_in_openssh_format_and_its_halves_match() -> None:
    key = ssh.make_key("hart-1")
    private = asyncssh.import_private_key(key.private)
    assert key.private.startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    assert private.export_public_key().decode().strip() == key.public
    assert key.public.split()[0] == "ssh-ed25519"
    assert key.public.split()[2:] == ["hart-1"]


def test_every_key_is_different() -> None:
    assert len({ssh.make_key("same").private for _ in range(5)}) == 5


def test_a_repr_does_not_show_the_private_key() -> None:
    key = ssh.make_key("hart-1")
    endpoint = ssh.Endpoint("192.0.2.1", 22, key.public, key)
    secret = key.private.splitlines()[2]
    assert secret not in repr(key) + str(key) + repr(endpoint)
