"""On the real salt-run: a configuration that is lost or malformed is one sentence, exit code 2, and nothing done."""

from __future__ import annotations

import getpass
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.former import former_of

SALT_RUN = Path(sys.executable).with_name("salt-run")
ROLE = "hart: {roles: {web: {}}}\n"
CREATE = ("hart.create_role", "web")
#: further lines of the main file, files of master.d, the call, and a part of the error
REFUSED: dict[str, tuple[str, dict[str, str], tuple[str, ...], str]] = {
    "a file that salt skips": (
        "", {"hart.conf": "hart:\n\troles:\n\t\tweb: {}\n"}, CREATE,
        "master.d/hart.conf: has hart:, but Salt cannot use the file and skips it: YAML error in line 2",
    ),
    "a hidden main file": ("hart: {roles: {db: {}}}", {"hart.conf": ROLE}, CREATE, "c/master: Salt lets hart: of "),
    "an anchor that contains itself": (
        "", {"hart.conf": "hart: &h {roles: {web: {minion_config: {a: *h}}}}\nother: &o {a: *o}\n"}, CREATE,
        "contains itself, through an anchor and an alias",
    ),
    "a credential that sdb did not find": (
        "", {"hart.conf": "hart: {providers: {ec2: {aws_access_key_id: 'sdb://osenv/HART_NOT_A', "
             "aws_secret_access_key: 'sdb://osenv/HART_NOT_B'}}, roles: {web: {}}}\n"}, CREATE,
        "hart:providers:ec2:aws_access_key_id: has no value",
    ),
    "a name that is a number": (
        "", {"hart.conf": "hart: {roles: {1: {}}}\n"}, CREATE, "hart:roles:1: YAML reads this name as the number 1",
    ),
    "nothing below hart": ("", {"hart.conf": "hart:\nroles: {web: {}}\n"}, CREATE, "hart: is empty in the master"),
    "a missing include": ("include: more.yml", {}, ("hart.create", "n1"), "more.yml, which does not exist"),
    "a pillar that does not render": ("", {"p/top.sls": "{{ nothing.at.all }}"}, CREATE, "does not compile"),
    "a word that yaml reads as false": ("", {"hart.conf": ROLE}, ("hart.create_role", "no"), "does not read the role"),
}  # fmt: skip


class Place:
    """A master's configuration, of which only salt-run makes use."""

    def __init__(self, root: Path, main: str, files: dict[str, str]) -> None:
        self.root = root
        self.cache = root / "var/cache/salt/master"
        for directory in (self.cache / "proc", root / "c/master.d", root / "p"):
            directory.mkdir(parents=True)
        settings: dict[str, Any] = {
            "root_dir": str(root), "interface": "127.0.0.1", "user": getpass.getuser(), "osenv": {"driver": "env"},
            "pillar_roots": {"base": [str(root / "p")]},
        }  # fmt: skip
        (root / "c/master").write_text(json.dumps(settings)[1:-1].replace(', "', '\n"') + f"\n{main}\n")
        for name, text in files.items():
            (root / (name if "/" in name else f"c/master.d/{name}")).write_text(text)

    def run(self, *call: str) -> tuple[int, dict[str, Any], str]:
        command = [str(SALT_RUN), "-c", str(self.root / "c"), "--out=json", *call]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        return done.returncode, former_of(json.loads(done.stdout)), done.stderr

    def made(self) -> list[str]:
        """Return the files that hart wrote, except the one that names this master."""
        return [str(path) for path in (self.cache / "hart").rglob("*") if not path.is_dir() and path.name != "owner"]


@pytest.mark.parametrize("kind", REFUSED)
def test_a_lost_or_malformed_configuration_is_refused(tmp_path: Path, kind: str) -> None:
    main, files, call, words = REFUSED[kind]
    place = Place(tmp_path / "m", main, files)
    code, data, said = place.run(*call)
    assert code == 2, data
    assert set(data) == {"error", "retcode"}
    assert words in data["error"]
    assert "hart_salt" not in said, "no traceback, and no defect in the log"
    assert place.made() == []


def test_quoted_values_and_broken_files_of_others_are_accepted(tmp_path: Path) -> None:
    files = {
        "hart.conf": "hart: {boot_timeout: '60', roles: {web: {minion_config: {grains: {1.5: a, no: b}}}}}\n",
        "z.conf": "other:\n\tx: 1\n",
    }
    code, data, _ = Place(tmp_path / "m", "", files).run("hart.show_role", "web")
    assert (code, data["boot_timeout"], data["provider"]) == (0, 60, "local")
    assert data["minion_config"]["grains"]["1.5"] == "a"
