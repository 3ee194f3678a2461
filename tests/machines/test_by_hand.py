"""
The shells for trying hart by hand: in a container, and in a machine of the test cloud.

There is no Docker engine here. A fake ``docker`` receives the calls of ``run-in-docker.sh`` and keeps the arguments and
the context of the build. Of what runs in the container, ``tools/env.sh`` is also the first thing that ``./test`` runs,
and ``tools/master-shell.sh`` runs unchanged in the machine, as root of a Debian that has nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import hart_salt
from tests.machines import requirements

ROOT = Path(__file__).resolve().parents[2]
_missing = requirements.missing()
machines = pytest.mark.skipif(bool(_missing), reason=f"no machines can be booted here: {'; '.join(_missing)}")

#: without the variables that the scripts read, such as the Salt series that these tests run with
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("HART_")}
DOCKER = """\
#!/bin/sh
for word; do printf '%s\\0' "$word"; done >> "$DOCKER_LOG/$1.$(ls "$DOCKER_LOG" | wc -l)"
case $1 in
    version) exit "$DOCKER_ENGINE" ;;
    build) cat > "$DOCKER_LOG/context.tar" ;;
    run) exit "$DOCKER_CODE" ;;
esac
"""


Ended = subprocess.CompletedProcess[str]


@dataclass
class Container:
    """A copy of the checkout, and a ``docker`` that only logs its calls."""

    checkout: Path
    log: Path
    bin: Path

    def run(self, *command: str, engine: int = 0, code: int = 0, **environment: str) -> Ended:
        more = {"PATH": f"{self.bin}:{os.environ['PATH']}", "DOCKER_LOG": str(self.log), **environment}
        return subprocess.run(
            [self.checkout / "tools/run-in-docker.sh", *command], stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=60, check=False,
            env={**ENVIRONMENT, **more, "DOCKER_ENGINE": str(engine), "DOCKER_CODE": str(code)},
        )  # fmt: skip

    def calls(self) -> dict[str, list[str]]:
        """Return the arguments of each kind of call; each kind occurs at most once."""
        return {file.name.partition(".")[0]: file.read_text().split("\0")[:-1] for file in self.log.glob("*.[0-9]*")}


@pytest.fixture
def container(tmp_path: Path) -> Container:
    checkout, log, programs = (tmp_path / name for name in ("check out", "log", "bin"))
    for name in ("hart_salt", "_runners", "_modules", "tools"):
        shutil.copytree(ROOT / name, checkout / name, symlinks=True)
    for name in ("pyproject.toml", "README.md", "LICENSE.md"):
        shutil.copy(ROOT / name, checkout)
    log.mkdir()
    programs.mkdir()
    (programs / "docker").write_text(DOCKER)
    (programs / "docker").chmod(0o755)
    return Container(checkout, log, programs)


def after(words: list[str], option: str) -> list[str]:
    """Return the values of an option."""
    return [value for name, value in zip(words, words[1:], strict=False) if name == option]


def test_a_container_publishes_salts_ports_and_mounts_the_checkouts_hart_toml(container: Container) -> None:
    (container.checkout / "hart.toml").write_text("[providers.do]\ntoken = 'x'\n")
    ran = container.run()
    assert ran.returncode == 0, ran
    run = container.calls()["run"]
    assert after(run, "--publish") == ["4505:4505", "4506:4506"]
    assert "ports 4505 and 4506 of this machine lead to the master" in ran.stderr
    assert f"{container.checkout}/hart.toml:/etc/hart.toml:ro" in after(run, "--volume")
    assert "--rm" in run
    assert run[-1] == "hart-salt-shell"


def test_a_command_and_a_series_of_salt_are_passed_on(container: Container) -> None:
    ran = container.run("salt-run", "hart.check", HART_SALT_SERIES="3006")
    assert container.calls()["run"][-3:] == ["hart-salt-shell:3006", "salt-run", "hart.check"]
    assert after(container.calls()["build"], "--build-arg") == ["HART_SALT_SERIES=3006"]
    assert "no hart.toml at the top of the checkout" in ran.stderr


def test_the_build_context_has_what_the_image_needs_and_no_secret(container: Container) -> None:
    (container.checkout / "hart.toml").write_text("secret")
    (container.checkout / ".venv").mkdir()
    container.run()
    with tarfile.open(container.log / "context.tar") as context:
        names = set(context.getnames())
    assert {name.partition("/")[0] for name in names} == {
        "pyproject.toml", "README.md", "LICENSE.md", "_modules", "_runners", "hart_salt", "tools",
    }  # fmt: skip
    assert after(container.calls()["build"], "--file")[0] in names
    dockerfile = (ROOT / "tools/docker/Dockerfile").read_text().splitlines()
    copied = [word for line in dockerfile if line.startswith("COPY") for word in line.split()[1:-1]]
    assert [name for name in copied if name != "." and name not in names] == []
    (entry,) = [json.loads(line.partition(" ")[2]) for line in dockerfile if line.startswith("ENTRYPOINT")]
    assert entry[0].removeprefix("/opt/hart-salt/") in names


@pytest.mark.parametrize(("code", "kept"), [(0, False), (1, False), (75, True), (137, True)])
def test_the_masters_key_is_kept_if_and_only_if_nodes_may_be_left(container: Container, code: int, kept: bool) -> None:
    ran = container.run(code=code)
    assert ran.returncode == code
    volumes = [volume.partition(":")[0] for volume in after(container.calls()["run"], "--volume")]
    assert container.calls().get("volume", [])[2:] == ([] if kept else volumes)
    assert ("start this again" in ran.stderr) is kept


def test_without_docker_or_its_engine_the_script_names_the_alternative(container: Container) -> None:
    for ran in (container.run(engine=1), container.run(DOCKER="no-such-docker")):
        assert (ran.returncode, "tools/run-in-machine.sh works without" in ran.stderr) == (1, True)
    assert "run" not in container.calls()


def test_the_masters_script_changes_nothing_without_a_confirmation() -> None:
    ran = subprocess.run(
        [ROOT / "tools/master-shell.sh", "true"], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert "this changes /etc/salt" in ran.stderr


def documents(text: str) -> list[Any]:
    """Return the JSON documents of an output, which follow each other."""
    found, decoder, text = [], json.JSONDecoder(), text.strip()
    while text:
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:].strip()
    return found


#: ends with exit code 3
SESSION = """
salt-run --out=json hart.version
salt-run --out=json hart.create_role app
salt --out=json --static '*' test.ping
exit 3
"""


@machines
def test_a_machine_has_a_master_with_hart_and_its_nodes_are_destroyed_at_the_end() -> None:
    ran = subprocess.run(
        [ROOT / "tools/run-in-machine.sh", "sh", "-c", SESSION], stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=300, check=False, env={**os.environ, "HART_VENV": sys.prefix},
    )  # fmt: skip
    assert ran.returncode == 3, ran
    version, created, pinged = documents(ran.stdout)
    assert version["versions"]["hart-salt"] == hart_salt.__version__
    ((minion_id, entry),) = created["nodes"].items()
    assert (entry["result"], pinged) == (True, {minion_id: True})
    assert f"destroying the nodes that are left: {minion_id}" in ran.stderr
    assert "[destroyed]" in ran.stderr
