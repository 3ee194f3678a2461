"""The version of a Salt that an image has, which the script reads without starting Salt."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hart_salt.config.settings import Settings
from hart_salt.node import bootstrap
from hart_salt.node.bootstrap import Script
from tests.functional.node.test_seal_script import Machine

RENDERED = bootstrap.render(Script("debian", "KEY", "ssh-ed25519 A h", "M", "3008", Settings(salt_source="none")))
STARTS = "#!{0}\necho started >> $STARTED\necho 'salt-minion 3004.1 (Silicon)'\n"


def found(machine: Machine, program: str) -> str:
    text = re.search(r"^installed_version\(\) \{.*?^\}$", RENDERED, re.MULTILINE | re.DOTALL)
    assert text
    started = machine.file("started")
    done = machine.sh(f"set -eu\nexport STARTED={started}\n{text[0]}\ninstalled_version salt-minion {program}\n")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip() + (" started" if started.exists() else "")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.has("bin/dpkg-query", "#!/bin/sh\nexit 1\n", 0o755)
    return made


@pytest.mark.parametrize(
    ("shown", "version"),
    [
        ("installed 3008.3", "3008.3"),
        ("installed 3006.9+ds-1~deb12u1", "3006.9"),
        ("installed 3004.1-2ubuntu3", "3004.1"),
        ("config-files 3006.9", "3004.1 started"),
    ],
)
def test_the_version_of_the_package(machine: Machine, shown: str, version: str) -> None:
    machine.has("bin/dpkg-query", f"#!/bin/sh\necho '{shown}'\n", 0o755)
    machine.has("usr/bin/salt-minion", STARTS.format("/bin/sh"), 0o755)
    assert found(machine, "usr/bin/salt-minion") == version


INFO = "lib/python3.11/site-packages/salt-{}.dist-info/METADATA"
#: where the program is, its first line, and what pip wrote
PLACES = {
    "in a virtual environment": ("opt/venv/bin/salt-minion", "{root}/opt/venv/bin/python", "opt/venv/" + INFO),
    "of the system": ("usr/local/bin/salt-minion", "/usr/bin/python3", "usr/local/" + INFO.replace("site-", "dist-")),
    "in Salt's own directory": ("opt/salt/salt-minion", "/bin/sh", "opt/salt/" + INFO),
    "a copy elsewhere": ("usr/bin/salt-minion", "{root}/opt/other/bin/python3.11", "opt/other/" + INFO),
    "an egg": ("opt/venv/bin/salt-minion", "/bin/sh", "opt/venv/" + INFO.replace("dist-info", "egg-info")),
    "an egg of a Python": ("a/bin/salt-minion", "/bin/sh", "a/" + INFO.replace(".dist", "-py3.11.egg")),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("version", ["3006.9", "3008.0rc1", "3007.1+12.gabcdef"])
def test_the_version_of_what_pip_installed(machine: Machine, place: str, version: str) -> None:
    program, python, info = PLACES[place]
    machine.has(program, STARTS.format(python.format(root=machine.root)), 0o755)
    machine.has(info.format(version), "Version\n")
    machine.has(info.format(version).replace("salt-", "saltext_vault-"), "Version\n")
    assert found(machine, program) == version


def test_a_link_to_the_program_is_followed(machine: Machine) -> None:
    machine.has("opt/venv/bin/salt-minion", STARTS.format("/bin/sh"), 0o755)
    machine.has("opt/venv/" + INFO.format("3006.9"), "")
    machine.file("usr").mkdir()
    machine.file("usr/salt-minion").symlink_to("../opt/venv/bin/salt-minion")
    assert found(machine, "usr/salt-minion") == "3006.9"


def test_only_what_says_nothing_is_started(machine: Machine) -> None:
    machine.has("opt/salt-minion", STARTS.format("/bin/sh"), 0o755)
    assert found(machine, "opt/salt-minion") == "3004.1 started"
