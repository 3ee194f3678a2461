"""The bootstrap script, really run, below a directory, with a stand-in for the machine process."""

from __future__ import annotations

import os
import shlex
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import salt.version

from hart_salt.master import public_keys
from hart_salt.node import bootstrap, ssh
from hart_salt.node.bootstrap import Result, Script
from tests.parts import Start

HOST_KEY = ssh.make_key("host")
CLIENT_KEY = ssh.make_key('it\'s a "client" $(exit 1) \\n key')
MASTER_KEY = "-----BEGIN PUBLIC KEY-----\nMASTER\n-----END PUBLIC KEY-----"
SCRIPT = bootstrap.render(Script("local", HOST_KEY.private, CLIENT_KEY.public, MASTER_KEY, "3008"))

#: bytes that a step may print: everything that JSON or a shell treats specially
NASTY = (
    b'say "quoted" and \'single\' \\ one \\\\ two \\n \\u0041 \\" %s %% & ~\n'
    b"a\ttab, a carriage return\r, \x1b[31mred\x1b[0m, \x00\x01\x07\x08\x0b\x0c\x7f\n"
    b"\xc3\x9cber \xe2\x82\xac \xf0\x9f\xa6\x8c and not UTF-8: \xff\xfe\xc3\n"
    b"no line end: \\"
)


@dataclass
class Machine:
    """A directory like one that the local driver makes, with what the script needs."""

    root: Path
    firmware: subprocess.Popen[
        str
    ]  #: the process named in ``machine.pid``; it ends when it gets the signal to reload SSH

    def run(self) -> int:
        environment = {**os.environ, "HART_ROOT": str(self.root), "HART_PYTHON": str(self.root / "python")}
        done = subprocess.run(["sh", self.root / "user-data"], env=environment, capture_output=True, check=False)
        assert (done.stdout, done.stderr) == (b"", b"")
        return done.returncode

    def python(self, before: str) -> None:
        """Make a ``HART_PYTHON`` that runs this Python after some shell commands."""
        path = self.root / "python"
        path.write_text(f'#!/bin/sh\n{before}\nexec {sys.executable} "$@"\n')
        path.chmod(0o700)

    def result(self) -> Result:
        return bootstrap.parse_result((self.root / "run/hart/result.json").read_text())

    def log(self) -> str:
        return (self.root / "var/log/hart-bootstrap.log").read_bytes().decode(errors="replace")

    def file(self, name: str) -> Path:
        return self.root / name


@pytest.fixture
def machine(root: Path, start: Start) -> Machine:
    for part in ("run", "etc/ssh"):
        (root / part).mkdir(parents=True)
    made = Machine(root, start(["sleep", "600"]))
    made.python("")
    (root / "run/machine.pid").write_text(str(made.firmware.pid))
    (root / "etc/ssh/ssh_host_ed25519_key.pub").write_text(ssh.make_key("root@web").public + "\n")
    (root / "user-data").write_text(SCRIPT)
    return made


def until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_document_has_the_minion_s_key_the_host_s_keys_and_the_time_of_each_step(machine: Machine) -> None:
    assert machine.run() == 0
    result = machine.result()
    assert (result.exit_code, result.failed_step) == (0, "")
    assert result.minion_key == machine.file("etc/salt/pki/minion/minion.pub").read_text()
    assert public_keys.check_public_key(result.minion_key)
    assert result.host_keys == [machine.file("etc/ssh/ssh_host_ed25519_key.pub").read_text().strip()]
    assert list(result.seconds) == ["ssh", "trust", "key", "install", "hand-over"]
    assert result.salt_version == salt.version.__version__
    assert result.output == machine.log()


def test_the_machine_lets_in_only_the_client_key_and_shows_the_throw_away_host_key(machine: Machine) -> None:
    machine.run()
    assert machine.firmware.wait(60) == -signal.SIGHUP
    drop_in = machine.file("etc/ssh/sshd_config.d/00-hart.conf").read_text()
    run = machine.file("run/hart")
    assert drop_in == f"HostKey {run}/host_key\nAuthorizedKeysFile {run}/authorized_keys\n"
    assert machine.file("run/hart/host_key").read_text() == HOST_KEY.private
    assert machine.file("run/hart/authorized_keys").read_text() == CLIENT_KEY.public + "\n"


def test_the_key_that_verifies_other_masters_is_beside_the_master_s(machine: Machine) -> None:
    signing = MASTER_KEY.replace("MASTER", "SIGNING")
    script = Script(
        "local", HOST_KEY.private, CLIENT_KEY.public, MASTER_KEY, "3008", signing_key=signing, signing_key_name="ours"
    )
    machine.file("user-data").write_text(bootstrap.render(script))
    machine.run()
    trusted = machine.file("etc/salt/pki/minion")
    assert (trusted / "ours.pub").read_text().strip() == signing
    assert mode(trusted / "ours.pub") == 0o644
    assert (trusted / "minion_master.pub").read_text().strip() == MASTER_KEY


def test_the_master_is_trusted_before_salt_minion_first_starts(machine: Machine) -> None:
    machine.run()
    assert machine.file("etc/salt/pki/minion/minion_master.pub").read_text().strip() == MASTER_KEY
    assert not machine.file("etc/salt/minion.d/zzz-hart.conf").exists()


def test_private_keys_are_readable_by_their_owner_only_and_in_no_output(machine: Machine) -> None:
    machine.run()
    private = machine.file("etc/salt/pki/minion/minion.pem")
    assert (mode(private), mode(machine.file("run/hart/host_key"))) == (0o400, 0o600)
    assert mode(machine.file("run/hart")) == 0o700
    # A salt-master, which is not root, has its own keys beside them.
    assert [mode(machine.file(f"etc/salt/{name}")) for name in ("pki", "pki/minion")] == [0o755, 0o700]
    printed = machine.log() + machine.file("run/hart/result.json").read_text()
    assert "PRIVATE" not in printed
    assert private.read_text().splitlines()[1] not in printed


@pytest.mark.parametrize("step_fails", [False, True])
def test_the_document_is_json_whatever_a_step_prints(machine: Machine, step_fails: bool) -> None:
    machine.file("nasty").write_bytes(NASTY)
    machine.python(f'cat "$HART_ROOT/nasty"; {"exit 9" if step_fails else "echo"}')
    assert machine.run() == (9 if step_fails else 0)
    output = machine.result().output
    for line in (
        'say "quoted" and \'single\' \\ one \\\\ two \\n \\u0041 \\" %s %% & ~\n',
        "a\ttab, a carriage return, [31mred[0m, \n",
        "ber   and not UTF-8: \n",
        "no line end: \\",
    ):
        assert line in output


@pytest.mark.parametrize("notes", [[], ["one"], ['it\'s "quoted" \\ %s', "two"]])
def test_a_note_is_in_the_document_and_in_the_log(machine: Machine, notes: list[str]) -> None:
    calls = "".join(f"    note {shlex.quote(text)}\n" for text in notes)
    script = machine.file("user-data")
    script.write_text(script.read_text().replace("silence_minion() { :; }", f"silence_minion() {{\n{calls}    :\n}}"))
    assert machine.run() == 0
    assert machine.result().notes == notes
    assert [f"hart: {text}" in machine.log().splitlines() for text in notes] == [True] * len(notes)


def test_a_reason_is_in_the_document_and_in_the_log(machine: Machine) -> None:
    script = machine.file("user-data")
    script.write_text(script.read_text().replace("silence_minion() { :; }", "silence_minion() { fail 'say \"why\"'; }"))
    assert machine.run() == 1
    assert (machine.result().failed_step, machine.result().reason) == ("trust", 'say "why"')
    assert 'hart: say "why"' in machine.log().splitlines()


def test_a_line_without_an_end_does_not_make_the_document_endless(machine: Machine) -> None:
    machine.python("""head -c 3000000 /dev/zero | tr '\\0' '"'; exit 9""")
    assert machine.run() == 9
    result = machine.result()
    assert result.output.endswith('""hart: step key failed with exit code 9\n')
    assert len(machine.file("run/hart/result.json").read_text()) < 50_000


def no_machine(machine: Machine) -> None:
    machine.file("run/machine.pid").unlink()


def no_place_for_trust(machine: Machine) -> None:
    machine.file("etc/salt").write_text("a file where a directory should be")


def no_cryptography(machine: Machine) -> None:
    machine.python('[ "$1" != - ] || { echo "the disk is full"; exit 7; }')


def no_salt(machine: Machine) -> None:
    machine.python('[ "$1" != -c ] || { echo "no such module" >&2; exit 3; }')


def no_place_for_commands(machine: Machine) -> None:
    machine.file("run/hart/start").mkdir(parents=True)


@pytest.mark.parametrize(
    ("breaks", "step", "code", "said"),
    [
        (no_machine, "ssh", None, "machine.pid"),
        (no_place_for_trust, "trust", None, "etc/salt"),
        (no_cryptography, "key", 7, "the disk is full"),
        (no_salt, "install", 3, "no such module"),
        (no_place_for_commands, "hand-over", None, "start"),
    ],
)
def test_a_failed_step_is_named_with_its_exit_code_and_the_end_of_its_output(
    machine: Machine, breaks: Callable[[Machine], None], step: str, code: int | None, said: str
) -> None:
    breaks(machine)
    ended = machine.run()
    result = machine.result()
    assert ended == result.exit_code != 0
    assert code in (None, ended)
    assert result.failed_step == step
    assert step not in result.seconds
    assert said in result.output
    assert result.output.endswith(f"hart: step {step} failed with exit code {ended}\n")


def test_a_failure_before_there_is_a_key_reports_no_key(machine: Machine) -> None:
    no_cryptography(machine)
    machine.run()
    assert machine.result().minion_key == ""


@pytest.mark.parametrize(("name", "code"), [("HUP", 129), ("INT", 130), ("TERM", 143)])
def test_a_signal_still_leaves_a_document(machine: Machine, name: str, code: int) -> None:
    machine.python(f"kill -{name} $PPID")
    assert machine.run() == code
    assert (machine.result().exit_code, machine.result().failed_step) == (code, "key")


def test_a_second_run_makes_a_new_key_and_a_new_document(machine: Machine, start: Start) -> None:
    no_salt(machine)
    machine.run()
    first = machine.result()
    machine.python("")
    machine.file("run/machine.pid").write_text(str(start(["sleep", "600"]).pid))
    assert machine.run() == 0
    second = machine.result()
    assert (first.failed_step, second.failed_step) == ("install", "")
    assert second.minion_key == machine.file("etc/salt/pki/minion/minion.pub").read_text() != first.minion_key


def test_a_second_run_beside_the_first_waits_for_its_end_and_does_nothing(machine: Machine, start: Start) -> None:
    """Google's agent runs the startup script again when it is upgraded."""
    machine.python(f"until [ -e {shlex.quote(str(machine.file('go')))} ]; do sleep 0.05; done")
    environment = {**os.environ, "HART_ROOT": str(machine.root), "HART_PYTHON": str(machine.root / "python")}
    command = ["sh", str(machine.file("user-data"))]
    first = start(command, env=environment)
    until(lambda: machine.file("run/hart/pid").exists())
    second = start(command, env=environment)
    until(lambda: [child.name() for child in psutil.Process(second.pid).children()] == ["flock"])
    machine.file("go").touch()
    assert (first.wait(60), second.wait(60)) == (0, 0)
    assert machine.log().count("hart: ssh\n") == 1
    assert machine.result().minion_key == machine.file("etc/salt/pki/minion/minion.pub").read_text()


def test_a_run_after_a_complete_one_does_nothing(machine: Machine, start: Start) -> None:
    machine.run()
    before = machine.result()
    assert machine.run() == 0
    assert machine.result() == before
    # Nor after the node was started and sealed.
    commands = bootstrap.commands(str(machine.root))
    for command in (commands.start, commands.seal):
        machine.file("run/machine.pid").write_text(str(start(["sleep", "600"]).pid))
        on_the_node(machine, command, "id: web\n")
    machine.file("user-data").write_text(SCRIPT)
    assert machine.run() == 0
    assert not machine.file("run/hart").exists()
    assert before.minion_key == machine.file("etc/salt/pki/minion/minion.pub").read_text()


def test_a_key_in_the_image_is_not_the_node_s_key(machine: Machine) -> None:
    keys = machine.file("etc/salt/pki/minion")
    keys.mkdir(parents=True)
    (keys / "minion.pub").write_text("known to everybody")
    (keys / "minion.pem").write_text("known to everybody")
    assert machine.run() == 0
    assert "known to everybody" not in machine.result().minion_key + (keys / "minion.pem").read_text()


def on_the_node(machine: Machine, command: str, stdin: str = "") -> str:
    """Run a command of the master's session, and return its output."""
    environment = {**os.environ, "HART_ROOT": str(machine.root)}
    done = subprocess.run(
        ["sh", "-c", command], input=stdin, env=environment, cwd=machine.root, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return done.stdout


def test_following_the_log_ends_with_the_script(machine: Machine) -> None:
    machine.run()
    commands = bootstrap.commands(str(machine.root))
    done = subprocess.run(["sh", "-c", commands.follow], capture_output=True, text=True, check=True)
    assert done.stderr == machine.log()
    assert bootstrap.parse_result(done.stdout) == machine.result()


def test_start_writes_the_configuration_and_then_signals_the_machine(machine: Machine, start: Start) -> None:
    machine.run()
    init = start(["sleep", "600"])
    machine.file("run/machine.pid").write_text(str(init.pid))
    on_the_node(machine, bootstrap.commands(str(machine.root)).start, "id: web\n")
    mark, configuration = machine.file("etc/salt/minion.d/zzz-hart.conf").read_text().splitlines()
    assert (mark[:7], configuration) == ("# hart ", "id: web")
    assert mode(machine.file("etc/salt/minion.d/zzz-hart.conf")) == 0o600
    assert init.wait(60) == -signal.SIGUSR1


def test_sealing_leaves_the_minion_and_nothing_of_the_bootstrap(machine: Machine, start: Start) -> None:
    machine.run()
    sshd = start(["sleep", "600"])
    machine.file("run/machine.pid").write_text(str(sshd.pid))
    on_the_node(machine, bootstrap.commands(str(machine.root)).seal)
    assert sshd.wait(60) == -signal.SIGHUP
    files = sorted(str(path.relative_to(machine.root)) for path in machine.root.rglob("*") if path.is_file())
    assert files == [
        "etc/salt/minion", "etc/salt/pki/minion/minion.pem", "etc/salt/pki/minion/minion.pub",
        "etc/salt/pki/minion/minion_master.pub", "etc/ssh/ssh_host_ed25519_key.pub", "python", "run/machine.pid",
    ]  # fmt: skip


def test_only_root_can_read_the_operator_s_script_and_it_runs(machine: Machine) -> None:
    commands = bootstrap.commands(str(machine.root))
    on_the_node(machine, commands.keep_script, "#!/bin/sh\necho ran with $(cat | wc -c) bytes of input\n")
    assert mode(machine.file("root/hart-init")) == 0o700
    assert on_the_node(machine, commands.run_script, "ignored") == "ran with 0 bytes of input\n"


def test_the_module_of_a_spot_node_can_be_read_by_a_minion_of_any_user(machine: Machine) -> None:
    on_the_node(machine, bootstrap.commands(str(machine.root)).bring_module, bootstrap.module())
    place = machine.file("var/lib/hart/modules/hart_copy.py")
    assert place.read_text() == bootstrap.module()
    assert (mode(place), mode(place.parent)) == (0o644, 0o755)
