"""
Run the demo. ``tools/demo.sh`` starts this file with the environment's Python.

The demo keeps all its files in one directory ``/tmp/hart-demo.*``, except the minions' sockets, which the driver
``local`` keeps elsewhere. However the demo ends, it stops and removes everything that it made.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml
from place import Place, command_of

from hart_salt.drivers.local import directory
from hart_salt.screens.draw import draw
from hart_salt.screens.paper import Paper

COMMAND_TIMEOUT = 120.0  #: seconds for one command
START_TIMEOUT = 60.0  #: seconds for the master
WIDTH = 76  #: columns of a table, which is indented by four
ATTEMPTS = 3  #: starts of the master: another program can take a port between our choice and its use
DEFAULT_HART_TOML = Path("/etc/hart.toml")

STAGES = {
    "launching": "create the instance and wait until it runs",
    "running": "connect over SSH to the one host key that hart made for it",
    "bootstrapping": "run the script on the node, which makes the minion's key there",
    "enrolling": "accept that key on the master",
    "enrolled": "start salt-minion; wait for its start event and a ping",
    "ready": "remove everything temporary (seal)",
}


class Failed(Exception):
    """The demo cannot continue, or something is left; the message says what."""


class Stopped(BaseException):
    """The end of the demo by a signal."""

    def __init__(self, signum: int) -> None:
        self.signum = signum
        super().__init__(signal.Signals(signum).name)


# output


def say(text: str = "") -> None:
    """Print a text."""
    print(text, flush=True)


def title(text: str) -> None:
    """Print the title of a part."""
    say(f"{_bold('== ' + text)}\n")


def _bold(text: str) -> str:
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return text if plain else f"\033[1m{text}\033[0m"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in text.rstrip().splitlines())


# the demo


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        raise Failed(f"the user id {os.getuid()} has no name on this machine; Salt needs a user name") from None


class Demo:
    """One run of the demo in one place."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.bin = Path(sys.executable).parent
        user = _user()
        # The variables of the caller's shell about Salt, Python and temporary files must not affect this master.
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("SALT_", "PYTHON")) and key not in ("TMPDIR", "TEMP", "TMP")
        }
        self.environment = {
            **kept,
            "PATH": f"{self.bin}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "SALT_CONFIG_DIR": str(place.etc),
            "USER": user,
            "LOGNAME": user,
        }

    def run(self, *command: str) -> Any:
        """Print a command, run it, print its output as a terminal shows it, and return the output as data."""
        say(f"$ {_bold(shlex.join(command))}")
        data = self.ask(*command, show=True)
        say()
        return data

    def ask(self, *command: str, show: bool = False) -> Any:
        """
        Run a command and return its output as data.

        Raises ``Failed`` if the command fails or takes too long.
        """
        if command[1].startswith("hart.") and DEFAULT_HART_TOML.exists():
            # Otherwise hart would read this machine's own hart.toml.
            command = (*command, f"config={self.place.etc / 'hart.toml'}")
        with subprocess.Popen(
            [str(self.bin / command[0]), "--out=yaml", *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=self.environment,
            text=True,
        ) as process:
            self.place.note_command(process.pid)
            try:
                output, _ = process.communicate(timeout=COMMAND_TIMEOUT)
            except subprocess.TimeoutExpired:
                _end(process)
                raise Failed(f"{shlex.join(command)} did not end within {COMMAND_TIMEOUT:g} s") from None
            except BaseException:
                _end(process)
                raise
        data = yaml.safe_load(output)
        if show:
            say(_indented(draw(data, Paper(WIDTH)) if command[1].startswith("hart.") else output))
        if process.returncode:
            raise Failed(f"{shlex.join(command)} ended with exit code {process.returncode}")
        return data

    # the master

    def start_master(self) -> None:
        """Write the configuration and start a salt-master in its own session."""
        self.write_configuration()
        for attempt in range(ATTEMPTS):
            ports = _free_ports(2)
            self.write_master(*ports)
            with (self.place.root / "master.out").open("ab") as out:
                process = subprocess.Popen(
                    [str(self.bin / "salt-master"), "-c", str(self.place.etc)],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    env=self.environment,
                    start_new_session=True,
                )
            if self.is_up(process, ports):
                return
            self.place.end_master()
            if attempt < ATTEMPTS - 1:
                say("The master did not start. Trying again with other ports.")
        raise Failed("salt-master does not start")

    def is_up(self, process: subprocess.Popen[bytes], ports: Sequence[int]) -> bool:
        """Return whether the master answers; False if it ended or takes too long."""
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and process.poll() is None:
            bus = self.place.root / "run/master_event_pull.ipc"
            if all(_answers(("127.0.0.1", port)) for port in ports) and _answers(str(bus)):
                return True
            time.sleep(0.05)
        return False

    def write_configuration(self) -> None:
        """Write the role and the states: what you would add to an existing master."""
        (self.place.etc / "master.d").mkdir(parents=True)
        (self.place.etc / "hart.toml").touch()
        role = {"minion_config": {"grains": {"hello_dir": str(self.place.hello)}}}
        hart = yaml.safe_dump({"hart": {"roles": {"app": role}}}, default_flow_style=False)
        (self.place.etc / "master.d/hart.conf").write_text(hart)
        shutil.copytree(Path(__file__).parent / "salt", self.place.root / "srv")

    def write_master(self, publish_port: int, ret_port: int) -> None:
        """Write the settings of a private master."""
        config = {
            "id": "demo",
            "interface": "127.0.0.1",
            "publish_port": publish_port,
            "ret_port": ret_port,
            "root_dir": str(self.place.root),
            "sock_dir": str(self.place.root / "run"),
            "pki_dir": str(self.place.etc / "pki"),
            "log_file": str(self.place.root / "log/master"),
            "log_level": "quiet",
            "user": self.environment["USER"],
            "worker_threads": 3,
            "file_roots": {"base": [str(self.place.root / "srv")]},
            "output": "hart",
        }
        (self.place.etc / "master").write_text(yaml.safe_dump(config))

    # the parts of the demo

    def play(self, *, keep: bool) -> None:
        """Run the whole demo. ``keep`` leaves the master and its minions running."""
        say(f"This demo uses a private salt-master below {self.place.root}, on loopback only.")
        say("To use it from another terminal:")
        say(f"\n{self.exports()}\n")
        title("Start the master, which has one role: app")
        say(f"$ {_bold(f'salt-master -c {self.place.etc}')}")
        began = time.monotonic()
        self.start_master()
        say(f"    up after {time.monotonic() - began:.1f} s\n")
        say(f"$ {_bold(f'cat {self.place.etc}/master.d/hart.conf')}")
        say(_indented((self.place.etc / "master.d/hart.conf").read_text()) + "\n")
        nodes = self.create()
        self.use(nodes)
        if keep:
            self.hand_over(nodes)
            return
        self.destroy(nodes)

    def exports(self) -> str:
        """Return the commands that make a shell use this master."""
        etc, programs = shlex.quote(str(self.place.etc)), shlex.quote(str(self.bin))
        return f"    export SALT_CONFIG_DIR={etc}\n    export PATH={programs}:$PATH"

    def create(self) -> dict[str, Any]:
        title("Create two minions with this role")
        began = time.monotonic()
        nodes: dict[str, Any] = self.run("salt-run", "hart.create_role", "app", "count=2")["nodes"]
        took = time.monotonic() - began
        if len(nodes) != 2 or not all(node["result"] for node in nodes.values()):
            raise Failed("hart.create_role did not create two minions")
        say(f"Two trusted minions in {took:.1f} s. The seconds of each stage:\n")
        say(_indented(stage_table(nodes)) + "\n")
        return nodes

    def use(self, nodes: Mapping[str, Any]) -> None:
        title("Use them: they are ordinary minions, and their role is a target")
        answers = self.run("salt", "-C", "G@roles:app", "test.ping")
        if answers != dict.fromkeys(nodes, True):
            raise Failed("the minions that answered the ping are not the two that were created")
        self.run("salt", "-C", "G@roles:app", "state.apply", "hello")
        greetings = sorted(self.place.hello.iterdir())
        say(f"$ {_bold(f'cat {self.place.hello}/*')}")
        say(_indented("".join(path.read_text() for path in greetings)) + "\n")
        if [path.name for path in greetings] != sorted(nodes):
            raise Failed("the state did not write one file for each minion")
        title("List them: hart compares the provider, its records and Salt's key store")
        listed = self.run("salt-run", "hart.list_minions")["nodes"]
        if {minion_id: entry["status"] for minion_id, entry in listed.items()} != dict.fromkeys(nodes, "ready"):
            raise Failed("hart.list_minions does not show two ready minions")

    def destroy(self, nodes: Mapping[str, Any]) -> None:
        title("Destroy them")
        paths = directory.listing(self.place.instances)
        self.run("salt-run", "hart.destroy", ",".join(nodes))
        title("Check that nothing is left")
        records = self.run("salt-run", "hart.list_minions")["nodes"]
        keys = self.run("salt-key", "-L")
        left = {
            "nodes in hart's records": list(records),
            "keys in Salt's key store": [key for names in keys.values() for key in names],
            "instance directories": [str(path) for path in self.place.instances.glob("*")],
            "processes of the instances": self.place.orphans(),
            "socket directories": [str(one) for one in map(directory.socket_dir, paths) if one.exists()],
        }
        for what, found in left.items():
            say(f"    {what:28}{len(found)}")
        if any(left.values()):
            raise Failed("something is left: " + "; ".join(one for found in left.values() for one in found))

    def hand_over(self, nodes: Mapping[str, Any]) -> None:
        first, *_ = nodes
        title("The master and its minions keep running")
        say("In a shell, run:\n")
        say(self.exports())
        say("\nThen, for example:\n")
        for command in (
            "salt-run hart.list_minions",
            "salt-run hart.show_role app",
            "salt-run hart.create_role app count=3",
            "salt-run hart.create db1.example.com role=app apply=hello",
            "salt '*' grains.item roles hart.provider",
            f"salt-run hart.destroy {first}",
            "salt-run state.event pretty=True      # all events, in a second terminal",
        ):
            say(f"    {command}")
        say("\nTo end and remove everything:\n")
        say(f"    {Path(__file__).resolve().parents[1] / 'demo.sh'} --stop")


def stage_table(nodes: Mapping[str, Any]) -> str:
    """Return a table of the seconds of every node in every stage."""
    heads = [minion_id.split(".")[0] for minion_id in nodes]
    spent = [node["seconds"] for node in nodes.values()]
    stages = [*STAGES, *(stage for stage in spent[0] if stage not in STAGES)]
    rows = [["", *heads, ""]]
    rows += [[stage, *(f"{one.get(stage, 0.0):.2f}" for one in spent), STAGES.get(stage, "")] for stage in stages]
    rows += [["total", *(f"{sum(one.values()):.2f}" for one in spent), ""]]
    return "\n".join(
        f"{first:15}" + "".join(f"{cell:>10}" for cell in cells) + (f"   {last}" if last else "")
        for first, *cells, last in rows
    )


def _end(process: subprocess.Popen[str]) -> None:
    """Ask a command to end. hart rolls back unfinished work before it ends."""
    process.terminate()
    try:
        process.communicate(timeout=COMMAND_TIMEOUT / 4)
    except subprocess.TimeoutExpired:
        process.kill()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _answers(address: tuple[str, int] | str) -> bool:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as one:
        return one.connect_ex(address) == 0


def demonstrate(*, keep: bool) -> None:
    """Run the demo and remove everything afterwards, unless ``keep`` is set and the demo succeeds."""
    began = time.monotonic()
    place = Place.make()
    kept = False
    try:
        try:
            Demo(place).play(keep=keep)
            kept = keep
        except Failed as error:
            raise Failed(f"{error}\n{place.evidence()}".rstrip()) from None
        finally:
            _deaf()
    finally:
        if not kept:
            place.end()
    if not kept:
        left = [*place.orphans(), *(f"{one.pid} {command_of(one)}" for one in place.masters())]
        if left or place.root.exists():
            raise Failed("something is left: " + ", ".join([*left, str(place.root)]))
        say(f"\nThe master has ended and {place.root} is removed. The demo took {time.monotonic() - began:.0f} s.")


def stop() -> None:
    """End the demos that were left running."""
    places = Place.all()
    for place in places:
        place.end()
        if place.root.exists():
            raise Failed(f"{place.root} could not be removed")
        say(f"{place.root}: ended and removed")
    if not places:
        say("no demo is running")


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _stopped(signum: int, frame: object) -> NoReturn:
    _deaf()
    raise Stopped(signum)


def _deaf() -> None:
    """Ignore further signals, so that nothing interrupts the cleanup."""
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_IGN)


def main() -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="tools/demo.sh", description="Demonstrate hart-salt on this machine only.")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--keep", action="store_true", help="keep master and minions running, to try things")
    group.add_argument("--stop", action="store_true", help="end what --keep or a killed demo left running")
    arguments = parser.parse_args()
    for signum in SIGNALS:
        signal.signal(signum, _stopped)
    try:
        stop() if arguments.stop else demonstrate(keep=arguments.keep)
    except Failed as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Stopped as stopped:
        print(f"\ndemo: ended by {stopped}; everything is removed", file=sys.stderr)
        return 128 + stopped.signum
    return 0


if __name__ == "__main__":
    sys.exit(main())
