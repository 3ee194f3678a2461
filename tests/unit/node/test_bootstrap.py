"""The rendered bootstrap script."""

from __future__ import annotations

import gzip
import re
import secrets
import shutil
import subprocess
from dataclasses import replace
from typing import Any, Literal

import jinja2
import pytest

from hart_salt.config.settings import Settings
from hart_salt.node import bootstrap
from hart_salt.node.bootstrap import InstallSpec, Script

SCRIPT = Script(
    platform="local",
    host_private_key="-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
    client_public_key="ssh-ed25519 AAAA hart-1\n",
    master_public_key="-----BEGIN PUBLIC KEY-----\nBBBB\n-----END PUBLIC KEY-----\n",
    salt_version="3008",
)


def test_the_same_input_makes_the_same_script() -> None:
    assert bootstrap.render(SCRIPT) == bootstrap.render(replace(SCRIPT))


def test_line_ends_around_a_key_do_not_change_the_script() -> None:
    padded = replace(SCRIPT, host_private_key=f"\n{SCRIPT.host_private_key}\n\n")
    assert bootstrap.render(padded) == bootstrap.render(SCRIPT)


def test_the_script_contains_the_keys_unchanged() -> None:
    text = bootstrap.render(SCRIPT)
    for key in (SCRIPT.host_private_key, SCRIPT.master_public_key):
        assert f"\n{key}HART_END\n" in text
    assert SCRIPT.client_public_key.strip() in text


def test_a_missing_value_is_an_error_and_not_an_empty_text() -> None:
    with pytest.raises(jinja2.TemplateError):
        bootstrap.render(replace(SCRIPT, platform="no-such-platform"))


@pytest.mark.parametrize("platform", ["local", "debian"])
def test_the_script_has_comments_at_its_top_only(platform: str) -> None:
    text = bootstrap.render(replace(SCRIPT, platform=platform, settings=Settings()))
    top, rest = text.split("\nset -eu\n", 1)
    assert "Rendered by hart-salt." in top
    assert re.findall(r"^\s*#.*", rest, re.MULTILINE) == []


@pytest.mark.parametrize("spec", [None, InstallSpec("hart-salt[ec2]==1.0.0", "x.whl", "https://index.example/simple")])
@pytest.mark.parametrize("upgrades", ["before", "after", "off"])
def test_the_largest_scripts_leave_a_quarter_of_what_ec2_accepts(
    upgrades: Literal["before", "after", "off"], spec: InstallSpec | None
) -> None:
    """Longer keys and addresses must fit too. EC2 accepts 16384 bytes, compressed."""
    private = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{secrets.token_urlsafe(300)}\n-----END OPENSSH PRIVATE KEY-----\n"
    public = f"-----BEGIN PUBLIC KEY-----\n{secrets.token_urlsafe(300)}\n-----END PUBLIC KEY-----\n"
    script = replace(
        SCRIPT, platform="debian", settings=Settings(security_upgrades=upgrades), forbid_passwords=True, spec=spec,
        client_public_key=f"ssh-ed25519 {secrets.token_urlsafe(50)} hart-0123456789abcd",
        host_private_key=private, master_public_key=public,
    )  # fmt: skip
    assert len(gzip.compress(bootstrap.render(script).encode())) <= 16384 * 3 / 4


@pytest.mark.parametrize("comment", ["hart-1", 'it\'s "x"', "$(touch x) `touch x` ; # \\n %s"])
def test_a_shell_can_parse_the_script_with_any_comment_of_the_client_key(comment: str) -> None:
    text = bootstrap.render(replace(SCRIPT, client_public_key=f"ssh-ed25519 AAAA {comment}"))
    done = subprocess.run(["sh", "-n"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


MASTER = replace(
    SCRIPT, platform="debian", settings=Settings(),
    spec=InstallSpec("/run/hart/x.whl[do] it's $(x)", "x.whl", "https://index.example/simple"),
)  # fmt: skip


def test_a_shell_can_parse_a_salt_master_s_script_and_all_scripts_in_it() -> None:
    text = bootstrap.render(MASTER)
    inner = re.findall(r"<<'HART_END'\n(set -eu\n.*?)HART_END\n", text, re.DOTALL)
    assert len(inner) == 4  # equip, start, authorize, seal
    for script in (text, *inner):
        done = subprocess.run(["sh", "-n"], input=script, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_salt_master_has_no_minion_key_and_gets_both_packages() -> None:
    text, minion = bootstrap.render(MASTER), bootstrap.render(replace(MASTER, spec=None))
    assert " salt-master salt-minion $" in text
    assert ("\nmake_minion_key\n" in text, "\nmake_minion_key\n" in minion) == (False, True)
    assert SCRIPT.master_public_key.strip() not in text
    assert "salt-master" not in minion


BAKED = replace(
    SCRIPT,
    platform="debian",
    settings=Settings(salt_source="none", security_upgrades="off"),
    baked=True,
    boothooks=True,
)


@pytest.mark.parametrize("upgrades", ["off", "after"])
def test_cloud_init_runs_the_script_of_a_baked_node_before_sshd_starts(upgrades: Literal["after", "off"]) -> None:
    text = bootstrap.render(replace(BAKED, settings=Settings(salt_source="none", security_upgrades=upgrades)))
    assert text.startswith("#cloud-boothook\n#!/bin/sh\n")
    # Whoever waits for cloud-init in a boothook waits for ever: sshd and others start after it.
    assert text.index('HART_EARLY=yes sh "$0"') < text.index("flock 9")
    done = subprocess.run(["sh", "-n"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "changes",
    [
        {"baked": False},
        {"boothooks": False},
        {"forbid_passwords": True},
        {"spec": InstallSpec("hart-salt")},
        {"settings": Settings(salt_source="none", security_upgrades="before")},
        {"settings": Settings(security_upgrades="off")},
    ],
    ids=str,
)
def test_a_script_that_waits_for_the_network_or_for_later_parts_of_the_boot_runs_after_them(
    changes: dict[str, Any],
) -> None:
    text = bootstrap.render(replace(BAKED, **changes))
    assert text.startswith("#!/bin/sh\n")
    assert "HART_EARLY" not in text


@pytest.mark.parametrize("upgrades", ["off", "after"])
def test_before_a_baked_node_is_ready_no_index_is_updated(upgrades: Literal["after", "off"]) -> None:
    text = bootstrap.render(replace(BAKED, settings=Settings(salt_source="none", security_upgrades=upgrades)))
    steps, *after = re.split(r"cat > \"\$run/after\" <<'HART_END'\n", text)
    install = steps[steps.index("\ninstall_salt() {") :]
    assert "update_indexes" not in install[: install.index("\n}\n")]
    assert [part.count("|| update_indexes\nupgrade_security\nHART_END") for part in after] == [1] * (
        upgrades == "after"
    )


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing_in_the_script() -> None:
    done = subprocess.run(
        ["shellcheck", "-s", "sh", "-"], input=bootstrap.render(SCRIPT), capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
