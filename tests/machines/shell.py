"""
``python -m tests.machines shell``: a shell in a machine with a salt-master and this checkout's hart.

Nothing is downloaded: the machine has the Python of the test cloud's Salt package, and sees the checkout and the
modules of this environment, read-only. It runs ``tools/master-shell.sh``, as the container does. The machine can
reach only this host, so ``local`` is the only provider that works there. It has an address of its own for its ports.
"""

from __future__ import annotations

import shlex
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from tests.machines import cache, salt_package
from tests.machines.machines import Machine, MachineHost, Spec

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "/opt/hart"
BIN = f"{PREFIX}/bin"
SITE = f"{PREFIX}/lib/{salt_package.PYTHON}/site-packages"
#: program → the function of ``salt.scripts`` that it calls
PROGRAMS = {
    "salt": "salt_main", "salt-call": "salt_call", "salt-key": "salt_key", "salt-master": "salt_master",
    "salt-minion": "salt_minion", "salt-run": "salt_run",
}  # fmt: skip
READY = "cloud-init status | grep -q done"

# Positional parameters: the package, the target directory. Only the interpreter is unpacked; the modules are this
# environment's.
UNPACK = f'dpkg-deb --fsys-tarfile "$1" | tar --extract --directory="$2" ./{salt_package.RUNTIME}'
SCRIPT = "#!{bin}/python3\nimport sys\nfrom salt.scripts import {function}\nsys.exit({function}())\n"


def main(command: Sequence[str]) -> int:
    """
    Boot the machine, and run a shell or ``command`` beside its master.

    Takes everything down afterwards and returns the exit code.
    """
    with MachineHost() as host:
        machine = host.boot(_spec(host))
        machine.wait(READY)
        print(f"hart: ports 4505 and 4506 are those of {machine.spec.public_ip}", file=sys.stderr, flush=True)
        return _enter(machine, command)


def _spec(host: MachineHost) -> Spec:
    return Spec(
        instance_id="1", hostname="salt", user_data="", public_keys=(), datasource="digitalocean",
        public_ip=host.network.take("public"), private_ip=host.network.take("private"), layers=(_layer(host),),
        binds={ROOT: str(ROOT), Path(sysconfig.get_path("purelib")): SITE},
    )  # fmt: skip


def _enter(machine: Machine, command: Sequence[str]) -> int:
    shell = ["env", "HART_THROWAWAY=yes", f"HART_BIN={BIN}", str(ROOT / "tools/master-shell.sh"), *command]
    if not sys.stdin.isatty():
        return machine.enter(*shell)
    # A terminal in the machine: with this process's own terminal, nothing in the machine could open it.
    terminal = ["script", "--quiet", "--return", "--command", shlex.join(shell), "/dev/null"]
    return machine.enter("env", "TERM=xterm", *terminal)


def _layer(host: MachineHost) -> Path:
    """Return a directory with Python and Salt's programs, to be layered over an image."""
    name = cache.key(salt_package.ingredients(), Path(__file__).read_bytes())
    return cache.built(f"shell-{name}", lambda place: _build(place, host))


def _build(place: Path, host: MachineHost) -> None:
    place.chmod(0o755)
    (package,) = host.repository.root.rglob(f"salt-common_{salt_package.version()}_*.deb")
    cache.run("sh", "-euc", UNPACK, "unpack", package, place)
    tree = place / PREFIX.lstrip("/")
    (tree / "bin").mkdir(parents=True)
    (place / SITE.lstrip("/")).mkdir(parents=True)
    runtime = f"/{salt_package.RUNTIME}/bin"
    (tree / "pyvenv.cfg").write_text(f"home = {runtime}\ninclude-system-site-packages = false\n")
    (tree / "bin/python3").symlink_to(f"{runtime}/{salt_package.PYTHON}")
    for program, function in PROGRAMS.items():
        script = tree / "bin" / program
        script.write_text(SCRIPT.format(bin=BIN, function=function))
        script.chmod(0o755)
