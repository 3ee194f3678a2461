"""
``python -m tests.machines up --provider do``: a cloud for playing; ``shell``: a machine with a master, see
``shell.py``.

The first prints one line of JSON with the endpoint, a token and the lines for a provider's settings; Ctrl-C or SIGTERM
takes everything down. The second takes everything down when its shell, or the command that was given, has ended.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from tests.drivers.do.emulator.cloud import DigitalOcean
from tests.drivers.gce.emulator.cloud import ComputeEngine
from tests.drivers.hetzner.emulator.cloud import Hetzner
from tests.drivers.vultr.emulator.cloud import Vultr
from tests.emulation.backend import Backend, NoMachines
from tests.emulation.emulator import Emulator
from tests.emulation.light import LightMachines
from tests.machines import requirements, shell
from tests.machines.machines import MachineHost
from tests.machines.real import RealMachines

#: instances of an account; the provider's rate limits have no purpose here
LIMIT = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    return int(options.work(options))


def _shell(options: argparse.Namespace) -> int:
    _refuse_without_machines()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    return shell.main(options.run)


def _up(options: argparse.Namespace) -> int:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    backend = BACKENDS[options.machines](options)
    emulator, facts = PROVIDERS[options.provider](backend, options)
    with emulator:
        print(json.dumps({**facts(), "pid": os.getpid(), "admin": f"{emulator.base_url}/_test/"}), flush=True)
        stop.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.machines", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    inside = commands.add_parser("shell", help="boot a machine with a salt-master and a shell in it")
    inside.add_argument("run", nargs=argparse.REMAINDER, metavar="COMMAND", help="a command instead of the shell")
    inside.set_defaults(work=_shell)
    up = commands.add_parser("up", help="start a cloud")
    up.add_argument("--provider", choices=sorted(PROVIDERS), required=True)
    up.add_argument("--port", type=int, default=0, help="the API's port on loopback (default: a free one)")
    up.add_argument("--ssh-port", type=int, default=22, help="the port of light machines (default 22)")
    kinds = up.add_mutually_exclusive_group()
    kinds.add_argument(
        "--light", dest="machines", action="store_const", const="light", help="machines that only answer SSH"
    )
    kinds.add_argument("--none", dest="machines", action="store_const", const="none", help="no machines")
    up.set_defaults(work=_up, machines="real")
    return parser


def _digitalocean(backend: Backend, options: argparse.Namespace) -> tuple[Emulator, Callable[[], dict[str, Any]]]:
    cloud = DigitalOcean(backend, port=options.port)
    cloud.settings.droplet_limit = LIMIT
    cloud.settings.key_lists_limit = None
    return cloud, _account("do", cloud)


def _account(name: str, cloud: Emulator) -> Callable[[], dict[str, Any]]:
    """Return a function that returns the text to print: the account, and the lines for a provider's settings."""
    return lambda: {**cloud.account(), "settings": {"hart": {"providers": {name: cloud.account()}}}}


def _vultr(backend: Backend, options: argparse.Namespace) -> tuple[Emulator, Callable[[], dict[str, Any]]]:
    cloud = Vultr(backend, port=options.port)
    cloud.settings.instance_limit = LIMIT
    return cloud, _account("vultr", cloud)


def _hetzner(backend: Backend, options: argparse.Namespace) -> tuple[Emulator, Callable[[], dict[str, Any]]]:
    cloud = Hetzner(backend, port=options.port)
    cloud.settings.server_limit = LIMIT
    return cloud, _account("hetzner", cloud)


def _compute_engine(backend: Backend, options: argparse.Namespace) -> tuple[Emulator, Callable[[], dict[str, Any]]]:
    cloud = ComputeEngine(backend, port=options.port)
    return cloud, _account("gce", cloud)


def _ec2(backend: Backend, options: argparse.Namespace) -> tuple[Emulator, Callable[[], dict[str, Any]]]:
    from tests.drivers.ec2.emulator.cloud import Ec2  # imports moto, which is slow
    from tests.drivers.ec2.emulator.state import REGION

    cloud = Ec2(backend, port=options.port)

    def facts() -> dict[str, Any]:
        # No server on the internet can report the source address of connections to machines on this host.
        account = {**cloud.account(), "region": REGION, "connect_from": "127.0.0.1"}
        return {**cloud.account(), "settings": {"hart": {"providers": {"ec2": account}}}}

    return cloud, facts


def _refuse_without_machines(instead: str = "") -> None:
    if missing := requirements.missing():
        sys.exit("python -m tests.machines: no machines can be booted here: " + "; ".join(missing) + instead)


def _real(options: argparse.Namespace) -> Backend:
    _refuse_without_machines("; or say --light")
    host = MachineHost()
    return Hosted(host, DATASOURCES[options.provider])


class Hosted(RealMachines):
    """Real machines with a host of their own, which is closed with them."""

    def close(self) -> None:
        super().close()
        self.host.close()


PROVIDERS: dict[str, Callable[[Backend, argparse.Namespace], tuple[Emulator, Callable[[], dict[str, Any]]]]] = {
    "do": _digitalocean,
    "ec2": _ec2,
    "gce": _compute_engine,
    "hetzner": _hetzner,
    "vultr": _vultr,
}
#: by provider, the datasource by which a machine recognises it
DATASOURCES = {"do": "digitalocean", "ec2": "ec2", "gce": "gce-startup", "hetzner": "hetzner", "vultr": "vultr"}
BACKENDS: dict[str, Callable[[argparse.Namespace], Backend]] = {
    "light": lambda options: LightMachines(port=options.ssh_port),
    "none": lambda options: NoMachines(),
    "real": _real,
}

if __name__ == "__main__":
    sys.exit(main())
