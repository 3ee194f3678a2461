"""Password logins: the part of the Debian script that turns them off, with a stand-in for sshd."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from hart_salt.config.settings import Settings
from hart_salt.node import bootstrap
from hart_salt.node.bootstrap import Script

OURS = "00-hart-passwords.conf"
#: prints what ``sshd -T`` prints: the first value of each option, in the order of the files
SSHD = """#!/bin/sh
cat $(sed -n 's/^Include //p' {0}/sshd_config) {0}/defaults | tr 'A-Z' 'a-z' | awk '!seen[$1]++'
"""
DEFAULTS = "port 22\npasswordauthentication no\nkbdinteractiveauthentication no\npermitemptypasswords no\n"


def script(*, forbid: bool) -> str:
    return bootstrap.render(
        Script("debian", "KEY", "ssh-ed25519 AAAA hart", "MASTER", "3008", Settings(), forbid_passwords=forbid)
    )


@dataclass
class Image:
    """The sshd configuration of an image, and what the script changes in it."""

    directory: Path

    @property
    def config(self) -> Path:
        return self.directory.with_name("sshd_config")

    def has(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text)

    def run(self) -> tuple[bool, str, list[str]]:
        """Run the script; return whether password logins are surely off, what was printed, and the notes."""
        rendered = script(forbid=True)
        functions = rendered[rendered.index("include_first() {") : rendered.index("reload_ssh() {")]
        program = (
            f"set -eu\numask 077\nsshd_config={self.config}\nssh_drop_in={self.directory}/00-hart.conf\n"
            'note() { echo "NOTE $1"; }\n'
            f"{functions}\nforbid_passwords\nif password_options > /dev/null; then exit 7; fi\n"
        )
        path = f"{self.directory.parent}/bin:{os.environ['PATH']}"
        done = subprocess.run(["sh", "-c", program], env={"PATH": path}, capture_output=True, text=True, check=False)
        assert (done.returncode in (0, 7), done.stderr) == (True, "")
        lines = done.stdout.splitlines()
        return done.returncode == 0, done.stdout, [line[5:] for line in lines if line.startswith("NOTE ")]

    def ours(self) -> str | None:
        file = self.directory / OURS
        return file.read_text() if file.exists() else None


@pytest.fixture
def image(tmp_path: Path) -> Image:
    directory = tmp_path / "sshd_config.d"
    for made in (directory, tmp_path / "bin"):
        made.mkdir()
    (tmp_path / "defaults").write_text(DEFAULTS)
    (directory / "90-none.conf").write_text("")
    (tmp_path / "sshd_config").write_text(f"Include {directory}/*.conf\nUsePAM yes\n")
    sshd = tmp_path / "bin/sshd"
    sshd.write_text(SSHD.format(tmp_path))
    sshd.chmod(0o755)
    return Image(directory)


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("PasswordAuthentication yes\n", "passwordauthentication no\n"),
        ("KbdInteractiveAuthentication yes\n", "kbdinteractiveauthentication no\n"),
        ("PasswordAuthentication yes\nKbdInteractiveAuthentication yes\n",
         "passwordauthentication no\nkbdinteractiveauthentication no\n"),
    ],
)  # fmt: skip
def test_password_logins_are_turned_off_for_good_with_a_note(image: Image, text: str, file: str) -> None:
    image.has("50-cloud-init.conf", text)
    off, _, notes = image.run()
    assert (off, image.ours()) == (True, file)
    assert notes == [f"the image allowed SSH logins by password; {image.directory}/{OURS} turns that off"]


def test_if_password_logins_are_off_nothing_is_changed_or_noted(image: Image) -> None:
    image.has("50-cloud-init.conf", "PasswordAuthentication no\n")
    assert image.run() == (True, "", [])
    assert image.ours() is None


def test_an_image_made_of_a_node_has_it_already(image: Image) -> None:
    image.has("50-cloud-init.conf", "PasswordAuthentication yes\n")
    image.run()
    before = image.ours()
    assert image.run() == (True, "", [])
    assert image.ours() == before


def test_a_file_that_sorts_even_earlier_does_not_win(image: Image) -> None:
    """Then sshd_config itself includes the file first; without that need, sshd_config stays as it is."""
    before = image.config.read_text()
    image.has("50-cloud-init.conf", "PasswordAuthentication yes\n")
    assert (image.run()[0], image.config.read_text()) == (True, before)
    image.has("00-aaa.conf", "PasswordAuthentication yes\n")
    assert image.run()[0]
    assert image.config.read_text() == f"Include {image.directory}/{OURS}\n{before}"


@pytest.mark.parametrize("config", ["", "UsePAM yes\n", "UsePAM yes"])
def test_an_sshd_config_that_includes_no_other_file_gets_a_line_for_it(image: Image, config: str) -> None:
    image.config.write_text(config)
    (image.directory.parent / "defaults").write_text(DEFAULTS.replace("no", "yes"))
    off, _, notes = image.run()
    assert (off, len(notes)) == (True, 1)
    assert image.config.read_text() == f"Include {image.directory}/{OURS}\n{config}"


def test_an_sshd_that_allows_passwords_in_any_case_fails_the_step(image: Image) -> None:
    (image.directory.parent / "bin/sshd").write_text("#!/bin/sh\necho passwordauthentication yes\n")
    assert not image.run()[0]


def test_it_is_in_the_script_only_if_the_driver_asks_for_it() -> None:
    with_it, without = script(forbid=True), script(forbid=False)
    assert "passwordauthentication" not in without.lower()
    opening = with_it[with_it.index("open_ssh() {") : with_it.index("begin trust")]
    # Before sshd reloads, and checked after it: only then can the master read the reason.
    places = [opening.index(line) for line in ("\tforbid_passwords\n", "\treload_ssh\n", "if password_options;")]
    assert places == sorted(places)
    done = subprocess.run(["sh", "-n"], input=with_it, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
