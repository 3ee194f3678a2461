"""Runner and execution module from Salt's file server, with a checkout as its root and as a git repository."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.builds import ROOT
from tests.end_to_end import tools
from tests.end_to_end.conftest import MakeMaster, SaltMaster

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")


def git(place: Path, *arguments: str) -> str:
    """Run git with only our configuration."""
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.com")
    nobodys = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(
        ["git", *who, *arguments], cwd=place, env=nobodys, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a checkout with the present files of this one, all committed on the branch ``main``."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        if name and os.path.lexists(ROOT / name):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name, follow_symlinks=False)
    git(copy, "init", "-q", "-b", "main")
    git(copy, "add", "-A")
    git(copy, "commit", "-q", "-m", "as it is")
    return copy


def served(how: str, checkout: Path) -> dict[str, Any]:
    """Return the master's settings to serve the checkout."""
    if how == "roots":
        return {"file_roots": {"base": [str(checkout)]}}
    return {
        "fileserver_backend": ["gitfs"], "gitfs_provider": "gitpython", "gitfs_base": "main",
        "gitfs_remotes": [f"file://{checkout}"],
    }  # fmt: skip


@pytest.mark.parametrize("how", ["roots", "gitfs"])
def test_a_synced_runner_creates_minions_that_sync_their_module(
    make_master: MakeMaster, checkout: Path, how: str
) -> None:
    master = make_master(**served(how, checkout))
    extmods = master.cachedir / "extmods"
    # A master that has just started may still be fetching the repository.
    synced = tools.until(lambda: master.run("saltutil.sync_runners").data, "the checkout is on the file server")
    assert synced == ["runners.hart"]
    assert master.run("saltutil.sync_modules").data == ["modules.hart"]
    runner = master.run("hart.version").data["runner"]
    assert runner.startswith(f"{extmods}/runners/hart.py (not the installed one")
    for name in ("runners", "modules"):
        assert files_in(extmods / name) == {"hart.py": (checkout / f"_{name}/hart.py").read_bytes()}
    made = master.run("hart.create", "web-1")
    assert made.code == 0, made
    assert master.salt("web-1", "saltutil.sync_modules").data == {"web-1": ["modules.hart"]}
    assert master.salt("web-1", "hart.info").data["web-1"]["provider"] == "local"
    assert loaded_by(master, "web-1") == [(checkout / "_modules/hart.py").read_bytes()]
    assert master.run("hart.destroy", "web-1").code == 0
    assert not any(master.left_over().values())


def files_in(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()}


def loaded_by(master: SaltMaster, minion_id: str) -> list[bytes]:
    """Return what the minion has synced."""
    return [path.read_bytes() for path in (master.instances / minion_id).rglob("extmods/modules/hart.py")]
