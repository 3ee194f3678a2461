"""What ``hart.sealed`` finds on a minion, through Salt's own loader."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import salt.loader

from hart_salt.modules import hart as module

Plant = Callable[[Path], None]


def write(name: str, text: str, mode: int = 0o644) -> Plant:
    def plant(root: Path) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    return plant


def older(plant: Plant) -> Plant:
    """Return a plant whose file is older than the configuration, which sealing writes last."""

    def before(root: Path) -> None:
        plant(root)
        os.utime(root / "etc/salt/minion.d/zzz-hart.conf")

    return before


#: when the node was created, in seconds and as hart writes it
CREATED, GRAIN = 1796040000.0, "2026-11-30T12:00:00+00:00"
CLEAN = (
    write("etc/salt/pki/minion/minion.pem", "private", 0o400),
    write("etc/salt/minion.d/zzz-hart.conf", "# hart 0123\nid: web\n", 0o600),
    write("root/hart-init", "#!/bin/sh\n", 0o700),
    write("root/.ssh/authorized_keys", "ssh-ed25519 AAAA an admin of hart-salt\nssh-ed25519 BBBB hart-team\n"),
    write("var/lib/cloud/instance/user-data.txt", "#cloud-config\nhostname: web\n"),
    write("var/lib/cloud/instance/datasource", "DataSourceDigitalOcean\n"),
)
LEFT = {
    "run/hart still exists": write("run/hart/host_key", "-----BEGIN OPENSSH PRIVATE KEY-----"),
    "00-hart.conf still exists": write("etc/ssh/sshd_config.d/00-hart.conf", "HostKey /run/hart/host_key\n"),
    "hart-bootstrap.log still exists": write("var/log/hart-bootstrap.log", "hart: ssh\n"),
    "root/.ssh/authorized_keys accepts": write("root/.ssh/authorized_keys", "ssh-ed25519 AAAA hart-6b05369674ed31\n"),
    "home/admin/.ssh/authorized_keys accepts": write(
        "home/admin/.ssh/authorized_keys", "ssh-rsa CCCC me\nssh-ed25519 AAAA hart-6b05369674ed31\n"
    ),
    "user-data.txt is a copy": older(
        write("var/lib/cloud/instance/user-data.txt", "#!/bin/sh\ncat > x <<'HART_END'\n")
    ),
    "minion.pem may be read by others: its mode is 644": write("etc/salt/pki/minion/minion.pem", "private", 0o644),
    "hart.conf may be read by others: its mode is 644": write("etc/salt/minion.d/zzz-hart.conf", "id: web\n", 0o644),
    "hart-init may be read by others": write("root/hart-init", "#!/bin/sh\n", 0o755),
}


def host_key(age: float) -> Plant:
    """Return a plant for a host key that was made some seconds before the node was created."""

    def plant(root: Path) -> None:
        write("etc/ssh/ssh_host_ed25519_key", "private", 0o600)(root)
        os.utime(root / "etc/ssh/ssh_host_ed25519_key", (CREATED - age, CREATED - age))

    return plant


@pytest.fixture
def sealed(minion_opts: dict[str, Any], tmp_path: Path) -> Callable[[], Any]:
    for plant in CLEAN:
        plant(tmp_path)
    minion_opts["conf_file"] = str(tmp_path / "etc/salt/minion")
    minion_opts["grains"] = {**minion_opts.get("grains", {}), "hart.created": GRAIN}
    return lambda: salt.loader.minion_mods(minion_opts)["hart.sealed"]()


def test_a_node_as_hart_leaves_it_is_sealed(sealed: Callable[[], Any]) -> None:
    assert sealed() is True


@pytest.mark.parametrize("words", LEFT)
def test_each_leftover_is_found(sealed: Callable[[], Any], tmp_path: Path, words: str) -> None:
    LEFT[words](tmp_path)
    (found,) = sealed()
    assert words in found


def test_a_copy_that_cloud_init_fetched_after_sealing_is_none(sealed: Callable[[], Any], tmp_path: Path) -> None:
    """On EC2, cloud-init does so at each boot; the keys in it are worthless by then."""
    LEFT["user-data.txt is a copy"](tmp_path)
    os.utime(tmp_path / "etc/salt/minion.d/zzz-hart.conf", (1, 1))
    assert sealed() is True


@pytest.mark.parametrize(("age", "is_found"), [(3600.0, True), (600.0, False), (-30.0, False)])
def test_a_host_key_that_was_in_the_image_is_found(
    sealed: Callable[[], Any], tmp_path: Path, age: float, is_found: bool
) -> None:
    """A clock can be ten minutes behind when the machine makes its keys."""
    host_key(age)(tmp_path)
    found = sealed()
    assert (found is not True) is is_found
    if is_found:
        assert "ssh_host_ed25519_key is older than this node" in found[0]


@pytest.mark.parametrize("grain", [None, "yesterday", ""])
def test_without_the_time_of_its_creation_host_keys_of_any_age_are_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, grain: str | None
) -> None:
    monkeypatch.setattr(module, "__grains__", {"hart.created": grain}, raising=False)
    host_key(10 * 86400.0)(tmp_path)
    assert module._host_keys(tmp_path) == []


def test_all_leftovers_are_found_at_once(sealed: Callable[[], Any], tmp_path: Path) -> None:
    for plant in LEFT.values():
        plant(tmp_path)
    assert len(sealed()) == len(LEFT)


@pytest.mark.parametrize(("shown", "findings"), [("port 22\n", 0), ("port 22\nhostkey /run/hart/host_key\n", 1)])
def test_settings_of_sshd_that_are_in_effect(monkeypatch: pytest.MonkeyPatch, shown: str, findings: int) -> None:
    monkeypatch.setattr("shutil.which", lambda name, **_: "/usr/sbin/sshd")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("subprocess.run", lambda command, **_: SimpleNamespace(stdout=shown))
    assert len(module._sshd()) == findings


@pytest.mark.parametrize(("program", "user"), [(None, 0), ("/usr/sbin/sshd", 1000)])
def test_without_sshd_or_root_its_settings_are_not_asked_for(
    monkeypatch: pytest.MonkeyPatch, program: str | None, user: int
) -> None:
    monkeypatch.setattr("shutil.which", lambda name, **_: program)
    monkeypatch.setattr("os.geteuid", lambda: user)
    assert module._sshd() == []


def test_a_file_that_went_meanwhile_holds_nothing(tmp_path: Path) -> None:
    assert module._text(tmp_path / "gone") == ""
