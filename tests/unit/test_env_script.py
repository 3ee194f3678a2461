"""What ``tools/env.sh`` refuses before it makes or changes an environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = ("tools/env.sh", "tools/floors.sh", "pyproject.toml", "hart_salt/__init__.py")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    place = tmp_path / "check out"
    for name in FILES:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place / name)
    return place


def run(checkout: Path, venv: Path) -> subprocess.CompletedProcess[str]:
    """Run the script with pip set to find no package anywhere."""
    nowhere = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}
    return subprocess.run(
        [checkout / "tools/env.sh"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        env={**os.environ, **nowhere, "PYTHON": sys.executable, "HART_VENV": str(venv)},
    )  # fmt: skip


def test_an_environment_of_another_checkout_stays_as_it_is(checkout: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    venv.mkdir()
    stamp = venv / "hart-salt.stamp"
    stamp.write_text("Python 3.11.7 at /srv/another checkout, Salt newest, 1 2 dev\n")
    ran = run(checkout, venv)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert f"{venv} belongs to the checkout /srv/another checkout; set HART_VENV to another directory" in ran.stderr
    assert list(venv.iterdir()) == [stamp]
    assert stamp.read_text().startswith("Python 3.11.7 at /srv/another checkout")


def test_a_directory_that_the_script_did_not_make_stays_as_it_is(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").touch()
    ran = run(checkout, tmp_path / "mine")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "this script did not make" in ran.stderr
    assert (tmp_path / "mine/file").exists()
