"""The driver ``local``: the directories, processes, sockets and states of its instances."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast
from unittest import mock

import psutil
import pytest

from hart_salt.base.errors import InvalidRequest, NodeFailed
from hart_salt.config.schema import Provider
from hart_salt.drivers.local import directory
from hart_salt.drivers.local.driver import Account, Local
from hart_salt.drivers.local.machine import Machine
from hart_salt.model import Access, Instance, Leftover
from hart_salt.node import bootstrap, ssh
from hart_salt.node.bootstrap import Script
from tests.drivers.environment import OTHER_OWNER
from tests.parts import Start, master_info, new_node

HOST, CLIENT = ssh.make_key("host"), ssh.make_key("client")
BOOTSTRAP = bootstrap.render(Script("local", HOST.private, CLIENT.public, "MASTER", "3008"))

#: leaves its parent, its session and its process group, as daemons do, and ignores the signals that it can ignore
DAEMON = """
import os, signal, sys, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
for signum in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(signum, signal.SIG_IGN)
open(sys.argv[1], 'w').write(str(os.getpid()))
time.sleep(600)
"""


def until(condition: Callable[[], object]) -> None:
    """Wait until another process has done something; the limit makes a test fail instead of hang."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 60 s"
        time.sleep(0.02)


@dataclass
class Local1:
    """The driver and the directory of its instances."""

    driver: Local
    base: Path

    def launch(self, minion_id: str = "web", user_data: str = "exit 0\n") -> Instance:
        return self.driver.launch(new_node(minion_id), user_data, Access("b1", CLIENT.public))

    def running(self, minion_id: str = "web", user_data: str = "exit 0\n") -> Instance:
        """Launch an instance and wait until it runs."""
        self.launch(minion_id, user_data)
        until((self.base / minion_id / "run/machine.json").exists)  # the driver reads all processes for its answer
        until(lambda: self.state(minion_id) == "running")
        return next(one for one in self.driver.instances() if one.minion_id == minion_id)

    def state(self, minion_id: str = "web") -> str | None:
        return next((one.state for one in self.driver.instances() if one.minion_id == minion_id), None)

    def machine(self, minion_id: str = "web") -> psutil.Process:
        return psutil.Process(json.loads((self.base / minion_id / "run/machine.json").read_text())["pid"])


@pytest.fixture
def local(root: Path) -> Iterator[Local1]:
    """Yield a driver whose directory has a space in its path; terminate its instances afterwards."""
    made = Local1(Local(Provider("here", "local", Account()), master_info(root)), root / "hart/local/here")
    yield made
    for instance in made.driver.instances():
        made.driver.terminate(instance)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# the end of commands and instances


def test_the_whole_output_of_a_command_arrives_even_at_a_slow_reader(local: Local1) -> None:
    instance = local.running(user_data=BOOTSTRAP)
    place = ssh.Endpoint("127.0.0.1", instance.ssh_port, HOST.public, CLIENT)

    async def main() -> int:
        count = 0

        def take(lines: list[str]) -> None:
            nonlocal count
            count += len(lines)

        async with await ssh.connect(place, timeout=60) as session:
            assert await session.stream("yes 'a line of some length, as there are many' | head -n 100000", take) == 0
        return count

    assert asyncio.run(main()) == 100_000


class Terminal:
    """The client's end of an SSH session, which accepts the output of a command when the test allows it."""

    command = "true"

    def __init__(self) -> None:
        self.stdin = self.stdout = self.stderr = self
        self.events: list[str] = []
        self.takes = asyncio.Event()

    async def read(self, _: int) -> bytes:
        return b""

    def write(self, data: bytes) -> None:
        self.events.append(data.decode())

    async def drain(self) -> None:
        await self.takes.wait()

    async def wait_closed(self) -> None:
        await asyncio.Event().wait()

    def exit(self, code: int) -> None:
        self.events.append(f"exit {code}")


class EndedCommand:
    """A command that has ended, while its last output still waits in two pipes."""

    returncode = 0

    def __init__(self) -> None:
        self.stdin, self.stdout, self.stderr = mock.Mock(), asyncio.StreamReader(), asyncio.StreamReader()
        for pipe in (self.stdout, self.stderr):
            pipe.feed_data(b"last")
            pipe.feed_eof()

    async def wait(self) -> int:
        return self.returncode


def test_a_session_ends_after_the_last_output_of_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def start(*_: object, **__: object) -> EndedCommand:
        return EndedCommand()

    async def main() -> list[str]:
        terminal = Terminal()
        served = asyncio.ensure_future(Machine(tmp_path)._serve(cast("Any", terminal)))
        for _ in range(100):  # turns of the event loop: more than the session needs to notice the end
            await asyncio.sleep(0)
        assert terminal.events == ["last", "last"]
        terminal.takes.set()
        await served
        return terminal.events

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    assert asyncio.run(main()) == ["last", "last", "exit 0"]


def test_a_command_that_does_not_read_its_input_reports_its_error(local: Local1) -> None:
    instance = local.running(user_data=BOOTSTRAP)
    place = ssh.Endpoint("127.0.0.1", instance.ssh_port, HOST.public, CLIENT)

    async def main() -> None:
        async with await ssh.connect(place, timeout=60) as session:
            for size in (100, 1_000_000):
                with pytest.raises(NodeFailed, match="exit code 7: the disk is full"):
                    await session.run("exec 0<&-; echo the disk is full >&2; exit 7", stdin=b"x" * size)
                assert await session.run("wc -c", stdin=b"x" * size) == f"{size}\n"

    asyncio.run(main())


def test_daemons_of_an_instance_end_with_it(local: Local1) -> None:
    local.running(user_data=f"'{sys.executable}' - \"$HART_ROOT/daemon\" <<'END'\n{DAEMON}END\n")
    pid_file = local.base / "web/daemon"
    until(lambda: pid_file.exists() and pid_file.read_text())
    pid = int(pid_file.read_text())
    assert alive(pid)
    local.driver.terminate(Instance("web", "web", "running"))
    assert not alive(pid)
    assert not (local.base / "web").exists()


def test_temporary_files_of_an_instance_are_in_its_directory_and_are_removed_with_it(local: Local1) -> None:
    local.running(user_data='mktemp > "$HART_ROOT/made.new" && mv "$HART_ROOT/made.new" "$HART_ROOT/made"\n')
    made = local.base / "web/made"
    until(made.exists)
    path = Path(made.read_text().strip())
    assert path.parent == local.base / "web/tmp"
    assert path.is_file()
    local.driver.terminate(Instance("web", "web", "running"))
    assert not path.exists()


def test_a_minion_whose_process_title_hides_its_environment_ends_with_its_instance(local: Local1, start: Start) -> None:
    local.running()
    # Salt's process titles overwrite the environment, but keep the command.
    command = directory.minion_command(local.base / "web")
    fake = [command[0], "-c", "import time; time.sleep(600)", *command[1:]]
    minion = start(fake, env={"PATH": os.environ["PATH"]})
    until(lambda: fake[1:] == psutil.Process(minion.pid).cmdline()[1:])
    local.driver.terminate(Instance("web", "web", "running"))
    assert not alive(minion.pid)


def test_a_users_process_in_the_directory_survives_the_termination(local: Local1, start: Start) -> None:
    local.running()
    shell = start(["sleep", "600"], cwd=local.base / "web")
    reader = start(["tail", "-f", local.base / "web/var/log/machine.log"])
    local.driver.terminate(Instance("web", "web", "running"))
    assert (shell.poll(), reader.poll()) == (None, None)


def test_terminate_leaves_an_instance_whose_name_begins_the_same(local: Local1) -> None:
    local.running("web")
    local.running("web-2")
    local.driver.terminate(Instance("web", "web", "running"))
    assert local.state("web-2") == "running"
    assert local.machine("web-2").is_running()


def test_a_process_that_reuses_the_id_of_a_dead_machine_is_not_the_machine_and_is_not_killed(
    local: Local1, start: Start
) -> None:
    local.running()
    local.machine().kill()
    until(lambda: local.state() == "stopped")
    bystander = start(["sleep", "600"])
    facts = local.base / "web/run/machine.json"
    facts.write_text(json.dumps({**json.loads(facts.read_text()), "pid": bystander.pid}))
    (local.base / "web/run/machine.pid").write_text(str(bystander.pid))
    assert local.state() == "stopped"
    local.driver.terminate(Instance("web", "web", "running"))
    assert bystander.poll() is None


def test_an_interrupted_termination_is_finished_by_the_next_one(local: Local1) -> None:
    local.running()
    (local.base / "web").rename(local.base / ".gone-web")
    assert local.driver.instances() == []
    local.driver.terminate(Instance("web", "web", "running"))
    assert list(local.base.iterdir()) == []


def test_an_interrupted_creation_is_a_leftover_and_is_not_listed(local: Local1) -> None:
    (local.base / "web").mkdir(parents=True)
    no_text: Any = 5  # ends the creation like a kill, except that hart cleans up
    with pytest.raises(TypeError):
        local.driver.launch(new_node("half"), no_text, Access("b1", CLIENT.public))
    assert [path.name for path in local.base.iterdir()] == ["web"]
    owner = local.driver.master.owner
    for name, claim in {
        ".new-b1.abc": None,
        ".new-abc": {"batch": "b2", "owner": owner},
        ".gone-db": {"batch": "b2", "owner": owner},
        ".new-b1.theirs": {"batch": "b1", "owner": OTHER_OWNER},
        ".gone-theirs": {"batch": "b1", "owner": OTHER_OWNER},
    }.items():
        (local.base / name).mkdir()
        if claim is not None:
            (local.base / name / "instance.json").write_text(json.dumps(claim))
    (local.base / ".new-b1.abc/user-data").write_text(HOST.private)
    assert local.driver.instances() == []
    left = {one.name: one for one in local.driver.leftovers()}
    assert {name: one.batch for name, one in left.items()} == {".new-b1.abc": "b1", ".new-abc": "", ".gone-db": "b2"}
    for one in [*left.values(), left[".new-abc"], replace(left[".new-abc"], handle="web")]:
        local.driver.remove(one)
    assert sorted(path.name for path in local.base.iterdir()) == [".gone-theirs", ".new-b1.theirs", "web"]


def test_an_unfinished_directory_names_its_batch(local: Local1, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(new: Path, path: Path) -> None:
        seen.extend(local.driver.leftovers())

    seen: list[Leftover] = []
    monkeypatch.setattr(directory, "_rename_to_free", killed)
    directory.create(local.base / "web", {"batch": "6a00000012345a", "owner": local.driver.master.owner}, "exit 0")
    assert [one.batch for one in seen] == ["6a00000012345a"]


BROKEN_CLAIMS = ["", "x", "[1]", "5", '{"owner": 5}', '{"minion_id": ["web"]}', "[" * 100_000, None, "link"]


def test_a_broken_claim_hides_no_other_instance(local: Local1) -> None:
    local.running("db")
    for content in BROKEN_CLAIMS:
        (local.base / "web").mkdir()
        claim = local.base / "web/instance.json"
        if content is None:
            claim.mkdir()
        elif content == "link":
            claim.symlink_to("nowhere")
        else:
            claim.write_text(content)
        found = [(one.instance_id, one.minion_id) for one in local.driver.instances()]
        assert found == [("db", "db"), ("web", "")], content
        local.driver.terminate(Instance("web", "web", "stopped"))
        assert [one.instance_id for one in local.driver.instances()] == ["db"], content


BROKEN_FILES = ["", "x", "[1]", "5", "{}", '{"pid": "x", "port": 5}', '{"pid": -1, "port": 5}', '{"pid": 1e300}']


def test_a_broken_machine_file_affects_no_other_instance(local: Local1) -> None:
    local.running("db")
    local.running("web")
    for content in BROKEN_FILES:
        (local.base / "web/run/machine.json").write_text(content)
        assert local.state("web") in ("pending", "stopped"), content
        assert local.state("db") == "running", content


# sockets


def test_sockets_have_a_short_private_directory_that_is_removed_with_the_instance(local: Local1) -> None:
    local.running()
    directory.make_socket_dir(local.base / "web")
    sockets = directory.socket_dir(local.base / "web")
    assert sockets.stat().st_mode & 0o777 == 0o700
    assert len(str(sockets / "minion_event_0123456789_pub.ipc")) < 107
    local.driver.terminate(Instance("web", "web", "running"))
    assert not sockets.exists()


@pytest.fixture
def prepared(root: Path) -> Iterator[Path]:
    """Yield the path of the socket directory before it exists, and remove it afterwards."""
    place = directory.socket_dir(root / "web")
    yield place
    if place.is_symlink() or place.is_file():
        place.unlink()
    elif place.exists():
        shutil.rmtree(place)


def test_a_socket_directory_that_others_can_enter_is_refused(root: Path, prepared: Path) -> None:
    prepared.mkdir()
    prepared.chmod(0o777)
    with pytest.raises(PermissionError, match="private"):
        directory.make_socket_dir(root / "web")


def test_a_socket_directory_that_is_a_link_is_refused(root: Path, prepared: Path) -> None:
    (root / "elsewhere").mkdir(mode=0o700)
    prepared.symlink_to(root / "elsewhere")
    with pytest.raises(PermissionError, match="private"):
        directory.make_socket_dir(root / "web")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a directory of somebody else's")
def test_a_socket_directory_of_another_user_is_refused(root: Path, prepared: Path) -> None:
    prepared.mkdir(mode=0o700)
    os.chown(prepared, 65534, 65534)
    with pytest.raises(PermissionError, match="private"):
        directory.make_socket_dir(root / "web")


def test_an_existing_socket_directory_of_the_same_user_is_reused(root: Path, prepared: Path) -> None:
    directory.make_socket_dir(root / "web")
    directory.make_socket_dir(root / "web")


# states


def test_an_instance_is_pending_then_running_with_an_address_then_stopped(local: Local1) -> None:
    launched = local.launch()
    assert (launched.state, launched.public_ip) in (("pending", None), ("running", "127.0.0.1"))
    until(lambda: local.state() == "running")
    (running,) = local.driver.instances()
    assert running.public_ip == "127.0.0.1"
    assert running.ssh_port > 1024
    local.machine().kill()
    until(lambda: local.state() == "stopped")
    (stopped,) = local.driver.instances()
    assert stopped.public_ip is None


def test_a_directory_without_a_machine_process_is_first_pending_and_later_stopped(
    local: Local1, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.create(local.base / "web", {"minion_id": "web", "owner": local.driver.master.owner}, "")
    assert local.state() == "pending"
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 60)
    assert local.state() == "stopped"


def test_after_a_reboot_an_instance_is_stopped(local: Local1) -> None:
    local.running()
    facts = local.base / "web/run/machine.json"
    local.machine().kill()
    until(lambda: local.state() == "stopped")
    facts.write_text(json.dumps({"pid": 2**22 + 1, "port": 2222}))
    assert local.state() == "stopped"


def test_a_machine_listens_on_loopback_only(local: Local1) -> None:
    local.running()
    listening = [one.laddr.ip for one in local.machine().net_connections("inet") if one.status == "LISTEN"]
    assert listening == ["127.0.0.1"]


def test_check_reports_a_directory_that_is_not_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # because root can write everywhere
    with pytest.raises(InvalidRequest, match="not writable"):
        Local(Provider("here", "local", Account()), master_info(tmp_path)).check()


# the machine, as an SSH client sees it


def test_a_machine_boots_and_accepts_ssh_until_it_is_sealed(local: Local1) -> None:
    instance = local.running(user_data=BOOTSTRAP)
    commands = bootstrap.commands(local.driver.root(instance))
    place = ssh.Endpoint("127.0.0.1", instance.ssh_port, HOST.public, CLIENT)
    lines: list[str] = []

    async def main() -> bootstrap.Result:
        async with await ssh.connect(place, timeout=60) as session:
            result = bootstrap.parse_result(await session.follow(commands.follow, lines.extend, output="the document"))
            await session.run(commands.keep_script, stdin=b"")
            await session.run(commands.seal)
        with pytest.raises(NodeFailed, match="did not show this node's host key"):
            await ssh.connect(place, timeout=0.05)
        return result

    result = asyncio.run(main())
    assert (result.exit_code, result.failed_step) == (0, "")
    assert [line for line in lines if "took" in line] == [line for line in result.output.splitlines() if "took" in line]
    assert result.host_keys == [(local.base / "web/etc/ssh/ssh_host_ed25519_key.pub").read_text().strip()]
    assert not (local.base / "web/user-data").exists()
    assert not (local.base / "web/run/hart").exists()
    local.machine().terminate()
    until(lambda: local.state() == "stopped")


def test_a_command_ends_when_its_session_breaks_off(local: Local1) -> None:
    instance = local.running(user_data=BOOTSTRAP)
    place = ssh.Endpoint("127.0.0.1", instance.ssh_port, HOST.public, CLIENT)
    pid_file = local.base / "web/pid"

    def broken(_: list[str]) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            async with await ssh.connect(place, timeout=60) as session:
                await session.stream("echo $$ > pid; echo begun; exec sleep 600", broken)

    asyncio.run(main())
    until(lambda: not alive(int(pid_file.read_text())))


@pytest.mark.parametrize("at", ["hart", "hart/local/here"])
def test_check_reports_a_file_in_place_of_the_directory_of_instances(tmp_path: Path, at: str) -> None:
    (tmp_path / at).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / at).touch()
    with pytest.raises(InvalidRequest, match=f"{tmp_path / at} is not a directory"):
        Local(Provider("here", "local", Account()), master_info(tmp_path)).check()
