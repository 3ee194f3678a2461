"""
The place of a run: the root of a checkout with ``hart.toml``, and beside it the key of the run's master.

The key is kept because its hash is the owner in an instance's tags. So the next run from the same place finds and
removes what a killed run left. Nothing else has that owner, and nothing else is ever removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from saltfactories.manager import FactoriesManager

from hart_salt.config.sources import read_toml
from tests.end_to_end.conftest import SaltMaster, running_master

ROOT = Path(__file__).resolve().parents[2]
FILE = "hart.toml"
#: the file of the key, which only its owner can read
KEPT = ".integration"
#: the driver by which the file is searched for a provider, by id of the test
DRIVERS: Mapping[str, str] = {
    "digitalocean": "do", "ec2": "ec2", "gce": "gce", "hetzner": "hetzner", "vultr": "vultr",
}  # fmt: skip
#: the role of every node here; if the file has it, it describes the node
ROLE = "integration"
#: the default ports of a master, which are published or forwarded
PORTS = {"publish_port": 4505, "ret_port": 4506}
PKI = "etc/salt/pki/master"  #: directories in the root of a master
MODULES = ROOT / "_modules"


class Missing(Exception):
    """No account is configured; the message says what to write where."""


@dataclass(frozen=True)
class Account:
    """One provider in a place's file."""

    provider: str
    config: Path
    #: whether the file describes the node
    has_role: bool


def account(place: Path, driver: str) -> Account:
    """
    Return the first provider of a driver.

    Raises ``Missing`` if there is none, ``ConfigError`` if the file is not TOML.
    """
    config = place / FILE
    source = read_toml(config, required=False)
    if source is None:
        raise Missing(f"no {FILE} is in the root of the checkout; with [providers.{driver}] in it, this would run")
    providers = source.data.get("providers", {})
    names = [name for name, values in providers.items() if values.get("driver", name) == driver]
    if not names:
        raise Missing(f"{FILE} has no provider of the driver {driver}; with [providers.{driver}] in it, this would run")
    return Account(names[0], config, ROLE in source.data.get("roles", {}))


@contextlib.contextmanager
def running(factories: FactoriesManager, place: Path, **overrides: object) -> Iterator[SaltMaster]:
    """Run the master of a place, one at a time: two with one key would treat each other's nodes as orphans."""
    kept = place / KEPT
    kept.mkdir(mode=0o700, exist_ok=True)
    with (kept / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(f"another run from {place} is under way") from None
        settings: dict[str, Any] = {"hart": {"roles": {ROLE: {}}}, "osenv": {"driver": "env"}, **overrides}
        with running_master(factories, prepare=lambda master: _prepare(master, kept), **settings) as master:
            assert (master.root / PKI / "master.pub").read_text().strip() == (kept / "master.pub").read_text().strip()
            yield master


def _prepare(master: SaltMaster, kept: Path) -> None:
    """Give the master its key before it makes one, and the execution module to serve."""
    if not (kept / "master.pub").exists():
        _make_key(kept)
    pki = master.root / PKI
    pki.mkdir(parents=True, mode=0o700)
    for name in ("master.pem", "master.pub"):
        shutil.copy(kept / name, pki)
    shutil.copytree(MODULES, master.root / "srv/salt/_modules")


def _make_key(kept: Path) -> None:
    """Make the key. The public half comes last: without it, there is no key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for name, text in (("master.pem", private), ("master.pub", public)):
        (kept / f"{name}.new").unlink(missing_ok=True)
        with os.fdopen(os.open(kept / f"{name}.new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text)
        (kept / f"{name}.new").rename(kept / name)


def taken() -> str:
    """Return why a master for remote nodes cannot listen here, or an empty string."""
    for port in PORTS.values():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))  # noqa: S104 - as the master will
            except OSError as error:
                return f"port {port} of this machine: {error.strerror}; if a salt-master runs here, stop it meanwhile"
    return ""
