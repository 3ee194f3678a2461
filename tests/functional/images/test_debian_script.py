"""
What the script removes on Debian: the rendered script runs on a directory with the files of a first life.

No program of this machine is within its reach but those in ``TOOLS``; the others are stand-ins that log their calls.
On booted machines, see ``tests/machines/test_generalised.py``.
"""

from __future__ import annotations

import gzip
import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from hart_salt.images import generalise
from tests.machines import first_life
from tests.machines.first_life import MINION_ID, OPERATORS, OPERATORS_KEY, PLANTED, TOKEN

TOOLS = (
    "sh", "awk", "basename", "cat", "cmp", "cut", "dd", "find", "grep", "head", "mkdir", "mv", "perl", "rm", "sed",
    "sort", "stat", "sync", "timeout", "tr", "truncate",
)  # fmt: skip
CLIENT = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIc+8S236fI2Farr5vB5fI2E/eg0L3sOXetb3wDBMZ+H hart-0123456789ab"
KEY = CLIENT.split()[1]
METADATA_KEY = f"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQfromTheMetadata {TOKEN}"
#: the hash of the word ``provided``, and another one
PROVIDED = "$6$saltsalt$WnGT2EhFqs/kyZpl.Mly4HCCwDiM2Qei6xN20zIBTRb5th/4JfD.rMVrqmZvbtJMHk/EcEtNWO425ppYLGhwr1"
UNITS = (
    "cron.service",
    "syslog.socket",
    "rsyslog.service",
    "systemd-random-seed.service",
    "unattended-upgrades.service",
)

STAND_IN = """#!/bin/sh
echo "${0##*/} $*" >> "$LOG"
[ ! -e "$STAND_INS/${0##*/}" ] || . "$STAND_INS/${0##*/}"
"""
#: program → what its stand-in does
PROGRAMS = {
    "systemctl": """
        case $* in
            "show -P LoadState "*) if grep -qxF "$4" "$STAND_INS/units"; then echo loaded; else echo not-found; fi ;;
            "stop $FAILS") exit 1 ;;
            "stop rsyslog.service") echo first-life-"5e1f" >> "$R/var/log/syslog" ;;
            "stop systemd-random-seed.service") echo first-life-"5e1f" > "$R/var/lib/systemd/random-seed" ;;
        esac""",
    "cloud-init": """
        case $* in
            "clean --help") [ -z "$OLD" ] || exit 0; echo " -c, --configs {all,ssh_config,network}" ;;
            "clean --logs --seed --configs network" | "clean --logs --seed")
                [ "$FAILS" != cloud-init ] || exit 1
                rm -rf "$R/var/lib/cloud/"* ;;
            *) exit 2 ;;
        esac""",
    "hostname": f"echo {MINION_ID}",
    "getent": "printf '%s\\n' root:x:0:0::/root:/bin/sh nobody:x:9:9::/:/bin/false gone:x:8:8::/none:/bin/sh",
    "systemd-detect-virt": """[ "$2" = --container ] && [ -n "$CONTAINER" ]""",
    "journalctl": """[ "$*" = --relinquish-var ] && [ "$FAILS" != journalctl ]""",
    "blkid": "echo value-of-$2",
    "blockdev": "exit 1",
    "swapoff": """[ "$FAILS" != swapoff ]""",
    **dict.fromkeys(("pkill", "mkswap", "fstrim", "mount", "findmnt"), ":"),
}


@dataclass(frozen=True)
class Disk:
    """The files of a machine below a directory, and what runs the script on them."""

    root: Path
    tools: Path

    def file(self, name: str) -> Path:
        return self.root / name.lstrip("/")

    def has(self, name: str, text: str, mode: int = 0o644) -> None:
        self.file(name).parent.mkdir(parents=True, exist_ok=True)
        self.file(name).write_text(text)
        self.file(name).chmod(mode)

    def run(self, script: str | None = None, **environment: str) -> tuple[int, str]:
        """Store and run the script as the session of a bake does."""
        known = generalise.commands("debian", str(self.root), CLIENT, MINION_ID)
        variables = {
            "PATH": str(self.tools / "bin"), "STAND_INS": str(self.tools / "stand-ins"), "R": str(self.root),
            "LOG": str(self.tools / "log"), "FAILS": "", "OLD": "", "CONTAINER": "", **environment,
        }  # fmt: skip
        for command, text in ((known.keep, script or known.script), (known.run, "")):
            done = subprocess.run(
                [self.tools / "bin/sh", "-c", command], input=text, env=variables, cwd=self.root, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
        return done.returncode, done.stdout

    def calls(self) -> list[str]:
        log = self.tools / "log"
        return log.read_text().splitlines() if log.exists() else []

    def found(self) -> list[str]:
        """Return where something of the first life is, but in what is memory on a machine."""
        wanted = {"token": TOKEN.encode(), "minion id": MINION_ID.encode(), "key": KEY.encode()}
        return [one for one in first_life.search(self.root, wanted) if not one.startswith(("run/", "proc/"))]


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    made = Disk(tmp_path / "disk", tmp_path / "tools")
    for name in ("bin", "stand-ins"):
        (made.tools / name).mkdir(parents=True)
    for tool in TOOLS:
        (made.tools / "bin" / tool).symlink_to(shutil.which(tool) or "/missing")
    # The usual name can be that of a script, which needs more programs.
    (made.tools / "bin/python3").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    (made.tools / "bin/python3").chmod(0o755)
    for program, does in PROGRAMS.items():
        (made.tools / "bin" / program).write_text(STAND_IN)
        (made.tools / "bin" / program).chmod(0o755)
        (made.tools / "stand-ins" / program).write_text(does)
    (made.tools / "stand-ins/units").write_text("\n".join([*UNITS, ""]))
    for name, text in {**PLANTED, **OPERATORS}.items():
        made.has(name, text)
    made.has("run/hart/result.json", "{}")
    made.has("proc/sysrq-trigger", "")
    made.has("run/cloud-init/instance-data-sensitive.json", json.dumps({"v1": {"public_ssh_keys": [METADATA_KEY]}}))
    made.has("var/lib/cloud/instances/i-1/vendor-cloud-config.txt", "chpasswd:\n  list: |\n    root:provided\n")
    made.has("var/lib/cloud/instance/obj.pkl", TOKEN)
    made.has("etc/ssh/sshd_config.d/00-hart.conf", "HostKey x\n")
    made.has("etc/ssh/sshd_config.d/00-hart-passwords.conf", "PasswordAuthentication no\n")
    made.has("etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/00-hart.conf\nPermitRootLogin yes\n")
    made.has("etc/ssh/ssh_host_rsa_key", TOKEN, 0o600)
    made.has("etc/salt/minion.d/_schedule.conf", f"schedule:\n  __master_alive_{TOKEN}: {{seconds: 30}}\n")
    made.has("etc/salt/minion.d/zzz-hart.conf", f"# hart 0123456789abcdef\nid: {MINION_ID}\n", 0o600)
    made.has(
        "etc/hosts", f"127.0.0.1 localhost {MINION_ID}\n{first_life.ENTRIES}10.0.0.2 {MINION_ID} x # Added by Google\n"
    )
    made.has("etc/hostname", f"{MINION_ID}\n")
    made.has("etc/machine-id", f"{TOKEN}\n", 0o444)
    made.has("var/lib/dbus/machine-id", f"{TOKEN}\n")
    made.has("etc/shadow", f"root:{PROVIDED}:1::\napp:$6$other$x:1::\nbin:*:1::\n", 0o640)
    lines = f"{OPERATORS_KEY}\n{METADATA_KEY}\n{CLIENT}\n# Added by Google\nssh-rsa AAAA {TOKEN}\n"
    made.has("root/.ssh/authorized_keys", lines, 0o600)
    made.has("home/deploy/.ssh/authorized_keys", f"{CLIENT}\n", 0o600)
    made.file("var/log/app/app.log.2.gz").write_bytes(gzip.compress(TOKEN.encode()))
    made.has(f"var/log/journal/{TOKEN}/system.journal", TOKEN)
    made.has("var/log/hart-bootstrap.log", TOKEN)
    made.has("var/log/salt/minion", TOKEN)
    return made


def test_nothing_of_the_first_life_is_left_and_everything_of_the_operator_is(disk: Disk) -> None:
    assert {one.split(" has ")[0] for one in disk.found()} >= {
        name.lstrip("/") for name, text in PLANTED.items() if TOKEN in text
    }
    code, output = disk.run()
    assert (code, output.count("note:")) == (0, 0), output
    assert disk.found() == []
    assert {name for name, text in OPERATORS.items() if disk.file(name).read_text() != text} == set()
    assert (
        disk.file("etc/hosts").read_text()
        == "127.0.0.1 localhost\n192.0.2.7 database.example database\n192.0.2.8 peer\n"
    )
    assert (disk.file("etc/machine-id").read_text(), disk.file("etc/hostname").read_text()) == ("", "localhost\n")
    assert disk.file("etc/shadow").read_text() == "root:*:1::\napp:$6$other$x:1::\nbin:*:1::\n"
    assert disk.file("etc/shadow").stat().st_mode & 0o777 == 0o640
    assert disk.file("root/.ssh/authorized_keys").read_text() == f"{OPERATORS_KEY}\n"
    assert disk.file("root/.ssh/authorized_keys").stat().st_mode & 0o777 == 0o600
    assert not disk.file("home/deploy/.ssh/authorized_keys").exists()
    assert disk.file("etc/ssh/sshd_config").read_text() == "PermitRootLogin yes\n"
    assert disk.file("etc/ssh/sshd_config.d/00-hart-passwords.conf").exists()
    assert disk.file("etc/iscsi/initiatorname.iscsi").read_text() == "GenerateName=yes\n"
    assert disk.file("var/log/app/app.log").read_text() == "", "an empty log stays, with its owner"
    gone = (
        "etc/ssh/sshd_config.d/00-hart.conf", "var/log/auth.log.1", "var/log/hart-bootstrap.log", "var/log/salt/minion",
        "var/lib/hart",
    )  # fmt: skip
    assert [name for name in gone if disk.file(name).exists()] == []
    assert not disk.file("var/lib/systemd/random-seed").exists()
    held = disk.file("etc/systemd/system/salt-minion.service.d/zzz-hart.conf")
    assert held.read_text() == f"[Unit]\nConditionPathExists={disk.root}/run/hart/enrolled\n"
    assert held.stat().st_mode & 0o777 == 0o644


def test_a_second_run_is_a_success(disk: Disk) -> None:
    disk.run()
    code, output = disk.run()
    assert (code, output.count("note:")) == (0, 0), output
    assert disk.found() == []
    assert disk.file("var/lib/cloud/scripts/per-boot/own.sh").exists()


def test_what_writes_is_stopped_before_anything_is_removed(disk: Disk) -> None:
    disk.run()
    calls = disk.calls()
    stops = ["systemctl kill --signal=KILL salt-minion.service", "systemctl stop salt-minion.service",
             "systemctl -q disable salt-minion.service", *(f"systemctl stop {unit}" for unit in UNITS),
             "pkill -KILL -x dhclient", "pkill -KILL -x dhcpcd", "journalctl --relinquish-var"]  # fmt: skip
    assert set(stops) <= set(calls)
    assert max(calls.index(one) for one in stops) < calls.index("cloud-init clean --logs --seed --configs network")
    assert [one for one in calls if one.startswith("mount")] == []


@pytest.mark.parametrize("release", ["22", "25"])
def test_cloud_init_cleans_with_the_options_of_its_release_and_an_admin_s_scripts_stay(
    disk: Disk, release: str
) -> None:
    code, output = disk.run(OLD="yes" if release == "22" else "")
    assert code == 0, output
    assert ("cloud-init clean --logs --seed" in disk.calls()) is (release == "22")
    assert disk.found() == []
    assert sorted(path.name for path in disk.file("var/lib/cloud").rglob("*")) == ["own.sh", "per-boot", "scripts"]
    assert not disk.file("var/lib/hart-scripts").exists()


def test_a_machine_without_cloud_init_is_prepared_too(disk: Disk) -> None:
    (disk.tools / "bin/cloud-init").unlink()
    shutil.rmtree(disk.file("var/lib/cloud"))
    shutil.rmtree(disk.file("run/cloud-init"))
    shutil.rmtree(disk.file("etc/iscsi"))
    disk.file("root/.ssh/authorized_keys").write_text(OPERATORS_KEY)
    assert disk.run()[0] == 0
    assert [one for one in disk.found() if "shadow" not in one] == []


@pytest.mark.parametrize(("fails", "sentence"), [
    ("rsyslog.service", "hart: rsyslog.service could not be stopped"),
    ("cloud-init", "hart: cloud-init clean failed"),
    ("journalctl", "hart: the journal could not be moved into memory"),
])  # fmt: skip
def test_a_step_that_fails_is_a_sentence_and_the_rest_is_done(disk: Disk, fails: str, sentence: str) -> None:
    code, output = disk.run(FAILS=fails)
    assert (code, sentence in output.splitlines()) == (1, True), output
    assert "hart: removing logs" in output
    assert [one for one in disk.found() if not one.startswith("var/lib/cloud")] == []
    assert not any("sysrq" in one for one in disk.calls())


def test_a_minion_that_cannot_be_stopped_ends_it_at_once(disk: Disk) -> None:
    code, output = disk.run(FAILS="salt-minion.service")
    assert code == 1
    assert output.splitlines()[-1].startswith('hart: the step "stopping salt-minion')


def test_what_cannot_be_removed_is_named(disk: Disk) -> None:
    known = generalise.commands("debian", str(disk.root), CLIENT, MINION_ID)
    code, output = disk.run(known.script.replace("rm -rf --", ": --"))
    assert code == 1
    assert f"hart: {disk.root}/etc/salt/pki/minion could not be removed" in output.splitlines()


def test_a_key_of_the_bootstrap_anywhere_else_is_a_failure_and_a_name_a_note(disk: Disk) -> None:
    disk.has("srv/copy", f"x {CLIENT} y\n")
    disk.has("etc/postfix/main.cf", f"myhostname = {MINION_ID}\n")
    code, output = disk.run()
    assert (code, f"hart: {disk.root}/srv/copy still has the key of the bootstrap" in output.splitlines()) == (1, True)
    disk.file("srv/copy").unlink()
    code, output = disk.run()
    assert code == 0
    (note,) = (line for line in output.splitlines() if "note:" in line)
    assert note.startswith(f"hart: note: {disk.root}/etc/postfix/main.cf has the name of this machine")


@pytest.mark.parametrize(("name", "words"), [
    ("var/lib/ubuntu-advantage/private/machine-token.json", "token of Ubuntu Pro"),
    ("etc/credstore.encrypted/own", "key of systemd-creds"),
])  # fmt: skip
def test_what_must_stay_although_it_is_of_the_machine_is_a_note(disk: Disk, name: str, words: str) -> None:
    disk.has(name, "secret")
    disk.has("var/lib/systemd/credential.secret", "secret")
    code, output = disk.run()
    assert (code, [words in line for line in output.splitlines() if "note:" in line]) == (0, [True])
    assert disk.file("var/lib/systemd/credential.secret").exists() is ("credstore" in name)


def test_a_machine_that_hart_did_not_make_is_left_alone(disk: Disk) -> None:
    disk.file("run/hart/result.json").unlink()
    before = disk.found()
    code, output = disk.run()
    assert (code, disk.calls(), disk.found()) == (1, [], before)
    assert output.startswith("hart: this machine was not made by hart")


def swaps(disk: Disk) -> Path:
    space = disk.file("swapfile")
    space.write_text(TOKEN * 1000)
    lines = f"Filename Type Size Used Priority\n{space} file 1 0 -2\n/dev/zram0 partition 1 0 100\n"
    disk.has("proc/swaps", lines)
    return space


def test_swap_space_has_nothing_of_the_memory_left_and_keeps_its_id(disk: Disk) -> None:
    space = swaps(disk)
    size = space.stat().st_size
    assert disk.run()[0] == 0
    assert space.read_bytes() == bytes(size)
    made = [one for one in disk.calls() if one.startswith("mkswap")]
    assert made == [f"mkswap -U value-of-UUID -L value-of-LABEL {space}"]


def test_swap_space_that_is_needed_is_a_failure(disk: Disk) -> None:
    swaps(disk)
    code, output = disk.run(FAILS="swapoff")
    assert (code, "could not be turned off" in output) == (1, True)


@pytest.mark.parametrize("container", ["yes", ""])
def test_on_a_machine_with_its_own_kernel_the_disks_become_read_only_at_the_end(disk: Disk, container: str) -> None:
    space = swaps(disk)
    assert disk.run(CONTAINER=container)[0] == 0
    assert disk.file("proc/sysrq-trigger").read_text() == ("" if container else "u\n")
    assert (TOKEN in space.read_text()) is bool(container), "the swap space of a container is its host's"
    assert ("fstrim -a" in disk.calls()) is not bool(container)


def test_the_script_can_be_read_by_root_only_and_ids_are_quoted(tmp_path: Path) -> None:
    root = tmp_path / "a b'c"
    known = generalise.commands("debian", str(root), CLIENT, "x;y")
    subprocess.run(["sh", "-c", known.keep], input=known.script, text=True, check=True)
    stored = root / "run/hart/generalise"
    assert (stored.read_text(), stored.stat().st_mode & 0o777) == (known.script, 0o600)
    assert f"minion_id={shlex.quote('x;y')}" in known.script
    assert os.access(root / "run/hart", os.X_OK)
