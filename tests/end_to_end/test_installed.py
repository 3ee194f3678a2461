"""The wheel and the source distribution, each installed where the checkout is not visible, in use from there."""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
from pathlib import Path

import psutil
import pytest

import hart_salt
from tests.builds import SITE, installed
from tests.end_to_end.conftest import SaltMaster


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment with the wheel."""
    return installed("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment with the source distribution."""
    return installed("sdist", tmp_path_factory.mktemp("sdist"))


def at(environment: Path, master: SaltMaster) -> SaltMaster:
    """The master, with the programs of another environment."""
    return dataclasses.replace(master, bin=environment / "bin")


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_the_installed_files_are_loaded(master: SaltMaster, kind: str, request: pytest.FixtureRequest) -> None:
    environment = request.getfixturevalue(kind)
    ran = at(environment, master).run("hart.version")
    assert (ran.code, ran.data["hart-salt"]) == (0, hart_salt.__version__), ran
    assert ran.data["package"] == str(environment / SITE / "hart_salt")
    assert ran.data["runner"] == str(environment / SITE / "hart_salt/runners/hart.py")
    checked = at(environment, master).run("hart.check")
    assert (checked.code, checked.data["local"][:2]) == (0, "ok"), checked


def test_minions_load_the_execution_module(wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "minion").write_text(f"root_dir: {tmp_path}\nfile_client: local\nlog_file: {tmp_path}/log\n")
    command = [
        str(wheel / "bin/salt-call"),
        "--local",
        "-c",
        str(tmp_path),
        "--out=newline_values_only",
        "sys.doc",
        "hart",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "salt -G roles:app hart.info" in done.stdout
    assert "salt -G roles:app hart.sealed" in done.stdout


def test_a_role_becomes_a_minion_and_is_destroyed(master: SaltMaster, wheel: Path) -> None:
    there = at(wheel, master)
    shown = there.run("hart.show_role", "app")
    assert (shown.code, shown.data["provider"]) == (0, "local"), shown
    made = there.run("hart.create_role", "app")
    assert made.code == 0, made
    (minion_id,) = made.data
    assert pythons(there.instance_processes()) == {str(wheel / "bin/python")}
    assert there.run("hart.check_seal", minion_id).data == {minion_id: {"result": True}}
    assert there.run("hart.destroy", minion_id).code == 0
    assert not any(there.left_over().values())


def pythons(processes: list[psutil.Process]) -> set[str]:
    """Return the running interpreters; a process may have ended since it was listed."""
    found = set()
    for process in processes:
        with contextlib.suppress(psutil.Error):
            found.update(process.cmdline()[:1])
    return {program for program in found if "python" in program}
