"""
Sealing on Debian: the script's own functions open a machine that is a directory, and their seal script seals it.

Their paths are moved below that directory. A path that is still one of this machine fails the test before anything
runs. ``sshd`` and ``systemctl`` are stand-ins: their daemon knows what it last read.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from hart_salt.config.settings import Settings
from hart_salt.node import bootstrap
from hart_salt.node.bootstrap import Script
from hart_salt.operations import sealing

# Both are fixed and belong to nobody: in a new key, a line might look like a path.
HOST_KEY = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXkt+djEA/AAABG5\nQyNTUxOQAAAC+Bx\n"
    "-----END OPENSSH PRIVATE KEY-----"
)
KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIIc+8S236fI2Farr5vB5fI2E/eg0L3sOXetb3wDBMZ+H"
CLIENT_KEY = f"ssh-ed25519 {KEY} hart-0123456789ab"
RENDERED = bootstrap.render(Script("debian", HOST_KEY, CLIENT_KEY, "MASTER", "3008", Settings(), forbid_passwords=True))
#: sshd's files in the image
IMAGE = "PermitRootLogin prohibit-password\n"
#: a shell and ``echo`` would change these lines; one is not UTF-8, at which grep would stop
OTHERS = (
    "# of J\xfcrgen, the admin\n"
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFHYVyQHSDqW0Bj6Ei7XWfBc8yNnBHQJbyLPCxP2G0u0 admin\n"
    'command="printf \'a\\tb\\n\' >> C:\\\\log; say \\c \\"$HOME\\" `id` *" ssh-rsa AAAAB3NzaC1yc2E  two  blanks\n'
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ the-last\n"
)

#: top-level directories of a machine, at the start of a path
PATH = re.compile(r"(?<![\w/.+}*])/(?=(?:etc|home|root|run|tmp|usr|var)\b)")
#: whatever could be an absolute path; one of these is a command of sed and not a path
ABSOLUTE = re.compile(r"(?<![\w/.+}*])/[a-z][\w/.*-]*")
HARMLESS = {"/dev/null", "/d", "/p", "/bin/sh", "/opt/saltstack/salt/bin/python3"}

SYSTEMCTL = """#!/bin/sh
echo "systemctl $*" >> "{0}/calls"
case "$*" in
    "-q is-active ssh.service") test -e "{0}/ssh.service" ;;
    "is-active ssh.service") if test -e "{0}/ssh.service"; then echo active; else echo inactive; exit 3; fi ;;
    "-q is-active ssh.socket") test -e "{0}/ssh.socket" || test ! -e "{0}/ssh.service" ;;
    "reload ssh.service" | "restart ssh.service")
        test "$*" != "reload ssh.service" || test ! -e "{0}/ssh.socket" || exit 1
        test -e "{0}/ssh.service" && test ! -e "{0}/stuck" || exit 1
        cat "{0}"/etc/ssh/sshd_config.d/* > "{0}/sshd" ;;
    daemon-reload) ;;
    *) echo "unknown: $*" >&2; exit 9 ;;
esac
"""
#: prints what ``sshd -T`` prints: the first value of each option, in the order of the files
SSHD = """#!/bin/sh
echo "sshd $*" >> "{0}/calls"
cat "{0}"/etc/ssh/sshd_config.d/* | awk '!seen[$1]++'
"""


def moved(text: str, root: Path) -> str:
    """Return the same text for a machine below ``root``."""
    return checked(PATH.sub(f"{root}/", text), root)


def checked(text: str, root: Path) -> str:
    """Return the text, which must not contain a path of this machine."""
    strange = {path for path in ABSOLUTE.findall(text) if not path.startswith(f"{root}/")} - HARMLESS
    assert strange == set()
    return text


def function(name: str) -> str:
    """Return one of the script's functions."""
    found = re.search(rf"^{name}\(\) \{{(?: [^\n]*|\n.*?^)\}}$", RENDERED, re.MULTILINE | re.DOTALL)
    assert found
    return found[0]


FUNCTIONS = "\n".join(
    function(name)
    for name in (
        "password_options",
        "forbid_passwords",
        "host_key_in_use",
        "include_first",
        "reload_ssh",
        "open_ssh",
        "write_seal",
    )  # fmt: skip
)


@dataclass(frozen=True)
class Machine:
    """A directory with the files that an image, cloud-init and a provider put on a machine."""

    root: Path

    def file(self, name: str) -> Path:
        return self.root / name

    def has(self, name: str, text: str, mode: int = 0o644) -> None:
        path = self.file(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="latin-1")
        path.chmod(mode)

    def lets_in(self, account: str, text: str) -> None:
        self.has(f"{account}/.ssh/authorized_keys", text, 0o600)

    def sh(self, program: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program on the machine, with a language as PAM sets it for a session."""
        environment = {"PATH": f"{self.root}/bin:{os.environ['PATH']}", "HOME": str(self.root), "LANG": "C.UTF-8"}
        return subprocess.run(
            ["sh", "-c", program, "sh", *arguments], env=environment, cwd=self.root, capture_output=True, text=True,
            check=False, timeout=60, input=stdin,
        )  # fmt: skip

    def open(self) -> None:
        """Do the SSH part of the bootstrap, and write the seal script."""
        run = self.file("run/hart")
        run.mkdir(parents=True, mode=0o700)
        sshd = f"{self.root}/etc/ssh/sshd_config"
        variables = f"run={run}\nsshd_config={sshd}\nssh_drop_in={sshd}.d/00-hart.conf\nnote() {{ :; }}\n"
        done = self.sh(f"set -eu\numask 077\n{variables}{moved(FUNCTIONS, self.root)}\nopen_ssh\nwrite_seal\n")
        assert (done.returncode, done.stderr) == (0, "")
        assert f"HostKey {run}/host_key\n" in self.sshd()
        self.file("calls").unlink()

    def seal(self) -> int:
        """Run the master's command, and return its exit code."""
        done = self.sh(checked(bootstrap.commands(str(self.root)).seal, self.root), stdin=bootstrap.seal_input())
        assert "unknown" not in done.stderr
        return done.returncode

    def calls(self) -> list[str]:
        file = self.file("calls")
        return file.read_text().splitlines() if file.exists() else []

    def sshd(self) -> str:
        """Return the configuration that the daemon uses."""
        return self.file("sshd").read_text()

    def files(self, *parts: str) -> dict[str, str]:
        """Return the files below some directories of the machine."""
        found = [path for part in parts for path in sorted(self.file(part).rglob("*")) if path.is_file()]
        return {str(path.relative_to(self.root)): path.read_text(encoding="latin-1") for path in found}


def new_machine(root: Path, image: str = IMAGE) -> Machine:
    """Make a machine that the bootstrap has opened; ``image`` is its image's sshd configuration."""
    made = Machine(root)
    made.has("bin/systemctl", SYSTEMCTL.format(root), 0o755)
    made.has("bin/sshd", SSHD.format(root), 0o755)
    made.has("etc/ssh/sshd_config.d/50-image.conf", image)
    made.has("ssh.service", "it runs")
    made.open()
    return made


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return new_machine(tmp_path)


def traces(machine: Machine) -> list[str]:
    """Return the files that contain anything of the bootstrap."""
    keys = (KEY, *HOST_KEY.splitlines()[1:3], "hart_answer")
    parts = ("etc", "home", "root", "run", "var")
    return [name for name, text in machine.files(*parts).items() if "hart/" in name or any(key in text for key in keys)]


# sshd


def test_sshd_uses_only_the_image_s_configuration(machine: Machine) -> None:
    assert machine.seal() == 0
    assert machine.files("etc/ssh") == {"etc/ssh/sshd_config.d/50-image.conf": IMAGE}
    assert machine.sshd() == IMAGE
    assert machine.calls()[-1] == "systemctl reload ssh.service"


def test_the_file_that_turns_password_logins_off_stays(tmp_path: Path) -> None:
    machine = new_machine(tmp_path, "PasswordAuthentication yes\n")
    assert machine.seal() == 0
    assert machine.sshd() == "PasswordAuthentication no\nPasswordAuthentication yes\n"


def test_an_sshd_that_its_socket_has_started_is_restarted(machine: Machine) -> None:
    """After a reload it cannot bind the port of the socket, and ends."""
    machine.has("ssh.socket", "")
    assert machine.seal() == 0
    assert machine.sshd() == IMAGE
    assert machine.calls()[-1] == "systemctl restart ssh.service"


def test_an_sshd_that_its_socket_starts_is_not_reloaded(machine: Machine) -> None:
    machine.file("ssh.service").unlink()
    assert machine.seal() == 0
    assert machine.calls() == ["systemctl daemon-reload", "systemctl -q is-active ssh.service"]
    assert traces(machine) == []


# what is removed


def test_nothing_of_the_bootstrap_is_left(machine: Machine) -> None:
    machine.has("var/log/hart-bootstrap.log", "hart: ssh\n")
    machine.has("run/hart/result.json", "{}")
    machine.has("run/other/file", "of somebody else")
    assert traces(machine) != []
    assert machine.seal() == 0
    assert not machine.file("run/hart").exists()
    assert machine.files("run", "var") == {"run/other/file": "of somebody else"}
    assert traces(machine) == []


@pytest.mark.parametrize("account", ["root", "home/debian", "home/ubuntu"])
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_the_client_key_is_removed_from_authorized_keys_and_other_lines_stay(
    machine: Machine, account: str, place: str
) -> None:
    lines = OTHERS.splitlines(keepends=True)
    at = {"first": 0, "middle": 2, "last": len(lines)}[place]
    machine.lets_in(account, "".join([*lines[:at], f"{CLIENT_KEY}\n", *lines[at:]]))
    assert machine.seal() == 0
    file = machine.file(f"{account}/.ssh/authorized_keys")
    assert machine.files(account) == {f"{account}/.ssh/authorized_keys": OTHERS}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_client_key_is_found_by_the_key_itself(machine: Machine) -> None:
    """cloud-init puts options before root's key, and the provider its own name after it."""
    machine.lets_in("root", f'no-pty,command="echo no; sleep 10" ssh-ed25519 {KEY} renamed\n{OTHERS}')
    assert machine.seal() == 0
    assert machine.files("root") == {"root/.ssh/authorized_keys": OTHERS}


def test_a_file_with_only_the_client_key_is_removed(machine: Machine) -> None:
    machine.lets_in("root", f"{CLIENT_KEY}\n")
    assert machine.seal() == 0
    assert machine.files("root") == {}


@pytest.mark.parametrize("text", ["", "\n", OTHERS, f"{OTHERS}\n\n", OTHERS.rstrip("\n")])
def test_a_file_without_the_client_key_is_not_changed(machine: Machine, text: str) -> None:
    machine.lets_in("home/admin", text)
    file = machine.file("home/admin/.ssh/authorized_keys")
    os.utime(file, (1, 1))
    assert machine.seal() == 0
    assert machine.files("home") == {"home/admin/.ssh/authorized_keys": text}
    assert file.stat().st_mtime == 1


BLANK = "#!/bin/sh\n".ljust(len(RENDERED) - 1, "#") + "\n"


def test_cloud_init_s_copies_of_the_script_are_blanked_and_its_other_files_stay(machine: Machine) -> None:
    kept = {"var/lib/cloud/instance/datasource": "DataSourceDigitalOcean", "run/cloud-init/status.json": "{}"}
    for name, text in kept.items():
        machine.has(name, text)
    copies = ("var/lib/cloud/instance/user-data.txt", "var/lib/cloud/a b/part-001", "run/cloud-init/combined")
    for name in copies:
        machine.has(name, RENDERED, 0o600)
    inodes = [machine.file(name).stat().st_ino for name in copies]
    assert machine.seal() == 0
    assert machine.files("var/lib", "run") == kept | dict.fromkeys(copies, BLANK)
    assert [machine.file(name).stat().st_ino for name in copies] == inodes
    assert {stat.S_IMODE(machine.file(name).stat().st_mode) for name in copies} == {0o600}


def test_a_link_to_a_copy_is_not_followed_out_of_cloud_init_s_directories(machine: Machine) -> None:
    machine.has("srv/mine", RENDERED)
    machine.has("var/lib/cloud/datasource", "none")
    machine.file("var/lib/cloud/mine").symlink_to(machine.file("srv/mine"))
    assert machine.seal() == 0
    assert machine.file("srv/mine").read_text() == RENDERED


@pytest.mark.parametrize("name", ["cloud-init.log", "cloud-init-output.log"])
def test_cloud_init_s_log_stays_without_the_keys_in_the_file_that_it_has_open(machine: Machine, name: str) -> None:
    log = f"var/log/{name}"
    text = f"before \\n\n{HOST_KEY}\nbetween\nssh-ed25519 {KEY} name\nafter\n"
    machine.has(log, text)
    machine.file("var/lib/cloud").mkdir(parents=True)
    number = machine.file(log).stat().st_ino
    assert machine.seal() == 0
    blank = text.replace(HOST_KEY, "#" * len(HOST_KEY)).replace(KEY, "#" * len(KEY))
    assert machine.files("var/log") == {log: blank}
    assert machine.file(log).stat().st_ino == number


def test_only_the_answer_code_is_removed_from_the_minion_s_configuration(machine: Machine) -> None:
    machine.has(
        "etc/salt/minion.d/zzz-hart.conf", "# hart 0123\nid: web\nhart_answer: 89ab\nmy_hart_answer: 1\n", 0o600
    )
    machine.has("etc/salt/minion.d/mine.conf", "hart_answer: mine\n")
    assert machine.seal() == 0
    assert machine.files("etc/salt") == {
        "etc/salt/minion.d/zzz-hart.conf": "# hart 0123\nid: web\nmy_hart_answer: 1\n",
        "etc/salt/minion.d/mine.conf": "hart_answer: mine\n",
    }
    assert stat.S_IMODE(machine.file("etc/salt/minion.d/zzz-hart.conf").stat().st_mode) == 0o600


# repeated


def full(machine: Machine) -> None:
    """Return a machine with everything that can be sealed."""
    for account in ("root", "home/debian"):
        machine.lets_in(account, f"{OTHERS}{CLIENT_KEY}\n")
    machine.has("var/lib/cloud/instance/user-data.txt", RENDERED)
    machine.has("var/log/cloud-init.log", f"before\n{HOST_KEY}\n{CLIENT_KEY}\nafter\n")
    machine.has("var/log/hart-bootstrap.log", "hart: ssh\n")
    machine.has("etc/salt/minion.d/zzz-hart.conf", "id: web\nhart_answer: 89ab\n", 0o600)


def state(machine: Machine) -> dict[str, str]:
    return machine.files("etc", "home", "root", "run", "var") | {"sshd": machine.sshd()}


SEALED = {
    "etc/salt/minion.d/zzz-hart.conf": "id: web\n",
    "etc/ssh/sshd_config.d/50-image.conf": IMAGE,
    "home/debian/.ssh/authorized_keys": OTHERS,
    "root/.ssh/authorized_keys": OTHERS,
    "sshd": IMAGE,
    "var/lib/cloud/instance/user-data.txt": BLANK,
    "var/log/cloud-init.log": f"before\n{'#' * len(HOST_KEY)}\nssh-ed25519 {'#' * len(KEY)} hart-0123456789ab\nafter\n",
}


def test_a_sealing_that_sshd_refused_fails_keeps_its_script_and_can_be_repeated(machine: Machine) -> None:
    full(machine)
    machine.has("stuck", "sshd")
    assert machine.seal() != 0
    assert machine.file("run/hart/seal").exists()
    machine.file("stuck").unlink()
    assert machine.seal() == 0
    assert state(machine) == SEALED


def cut_off(machine: Machine, program: str, after: int) -> bool:
    """Seal, but kill the shell at a later call of ``program``; return whether there was such a call."""
    original = machine.sh(f"command -v {program}").stdout.strip()
    kept = machine.file(f"bin/{program}").read_text() if program == "systemctl" else f'exec {original} "$@"\n'
    calls, shell = machine.file("counted"), machine.file("shell")
    kill = f'echo >> {calls}\n[ "$(wc -l < {calls})" -le {after} ] || kill -KILL "$(cat {shell})"\n'
    machine.has(f"bin/{program}", f"#!/bin/sh\n{kill}{kept}", 0o755)
    command = f"echo $$ > {shell}; exec sh {machine.root}/run/hart/seal"
    ended = machine.sh(command, stdin=bootstrap.seal_input()).returncode
    machine.has(f"bin/{program}", kept if program == "systemctl" else f'#!/bin/sh\nexec {original} "$@"\n', 0o755)
    assert ended in (0, -9)
    return ended != 0


@pytest.mark.parametrize(("program", "calls"), [("rm", 1), ("grep", 5), ("sed", 1), ("python3", 1), ("systemctl", 3)])
def test_a_sealing_that_is_interrupted_anywhere_is_completed_by_the_next_one(
    tmp_path: Path, program: str, calls: int
) -> None:
    for after in range(calls):
        machine = new_machine(tmp_path / str(after))
        full(machine)
        assert cut_off(machine, program, after)
        assert machine.file("run/hart/seal").exists()
        assert machine.seal() == 0
        assert state(machine) == SEALED


def test_sealing_is_idempotent(machine: Machine) -> None:
    """Two masters may seal at once: what the first one has done must not fail the second one."""
    full(machine)
    script = machine.file("run/hart/seal").read_text()
    assert machine.seal() == 0
    assert state(machine) == SEALED
    machine.file("run/hart").mkdir()
    machine.has("run/hart/seal", script)
    assert machine.seal() == 0
    assert state(machine) == SEALED


def test_a_machine_with_only_sshd_is_sealed(machine: Machine) -> None:
    """It has no cloud-init, no users and no minion yet."""
    assert machine.seal() == 0
    assert state(machine) == {"etc/ssh/sshd_config.d/50-image.conf": IMAGE, "sshd": IMAGE}


def test_sweep_completes_an_interrupted_sealing(machine: Machine) -> None:
    full(machine)
    machine.has("stuck", "sshd")
    assert machine.seal() != 0
    machine.file("stuck").unlink()
    script = checked(sealing.SCRIPT.replace('"$1"/', '"$1/"'), machine.root)
    done = machine.sh(script, str(machine.root), "seal")
    assert (done.returncode, done.stderr) == (0, "")
    assert state(machine) == SEALED


def test_sweep_seals_even_if_a_reboot_removed_the_script(machine: Machine) -> None:
    full(machine)
    shutil.rmtree(machine.file("run/hart"))
    script = checked(sealing.SCRIPT.replace('"$1"/', '"$1/"'), machine.root)
    assert machine.sh(script, str(machine.root), "look").returncode == sealing.NOT_SEALED
    done = machine.sh(script, str(machine.root), "seal")
    assert (done.returncode, done.stderr) == (0, "")
    gone = ("etc/ssh/sshd_config.d/00-hart.conf", "var/log/hart-bootstrap.log")
    assert [name for name in gone if machine.file(name).exists()] == []
    assert machine.sh(script, str(machine.root), "look").returncode == 0


# this test file itself


@pytest.mark.parametrize("text", ["rm -rf /srv/x", "rm /opt", "cat < /boot/y", "x=/lib/z", "rm -rf '/mnt'"])
def test_a_path_of_this_machine_is_never_used(tmp_path: Path, text: str) -> None:
    with pytest.raises(AssertionError):
        moved(text, tmp_path)
