"""Record a machine's files and sshd's settings just before its startup script runs, to compare with them later."""

from __future__ import annotations

from tests.machines.machines import Machine
from tests.machines.overlay import Overlay
from tests.machines.variants.base import before_script

BEFORE = "/var/lib/test-cloud/before"
#: where programs keep what is theirs; the rest of the disk belongs to packages
KEPT = "/etc /root /home /usr/local /srv"
SHOW = f"""\
find {KEPT} -xdev -type f -exec sha256sum {{}} + | sed 's/^/file /'
find {KEPT} -xdev -type l -printf 'link %l %p\\n'
find {KEPT} -xdev ! -type l -printf 'mode %M:%u:%g %p\\n'
"""
SSHD = "mkdir -p /run/sshd; sshd -T"


def prepare(root: Overlay) -> None:
    """Let the machine record its files."""
    once = f"[ ! -e {BEFORE} ] || exit 0\nmkdir -p {BEFORE}\n"
    before_script(root, "record", f"#!/bin/sh\n{once}({SHOW}) > {BEFORE}/files\n({SSHD}) > {BEFORE}/sshd\n")


def changed(machine: Machine) -> dict[str, str]:
    """Return the files that are not as before: path → what it is now, or ``gone``."""
    before, after = _parsed(_output(machine, f"cat {BEFORE}/files")), _parsed(_output(machine, SHOW))
    paths = {path for path in {*before, *after} if before.get(path) != after.get(path)}
    return {path: " ".join(sorted(after.get(path, {"gone"}))) for path in sorted(paths)}


def sshd_changed(machine: Machine) -> dict[str, str]:
    """Return the settings of sshd that are not as before, and their values."""
    before, after = (set(_output(machine, command).splitlines()) for command in (f"cat {BEFORE}/sshd", SSHD))
    return dict(line.split(None, 1) for line in sorted(after - before)) | {
        line.split()[0]: "" for line in before - after if not any(new.split()[0] == line.split()[0] for new in after)
    }


def _parsed(lines: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in lines.splitlines():
        kind, rest = line.split(" ", 1)
        value, path = rest.split(None, 1)
        if kind == "file" or kind == "link" or not value.startswith("d"):
            found.setdefault(path, set()).add(f"{kind} {value}")
    return found


def _output(machine: Machine, command: str) -> str:
    code, output = machine.run(command, 120)
    assert code == 0, f"{command}: {output[-2000:]}"
    return output
