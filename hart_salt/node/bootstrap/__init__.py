"""
The script that an instance boots with, and the document that it leaves behind.

One family of templates: ``bootstrap.sh.j2`` is the order of the steps, ``steps.sh.j2`` their times and the
result document, ``<platform>/platform.sh.j2`` what the steps do on one kind of machine.
"""

from __future__ import annotations

import functools
import hashlib
import shlex
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2

from hart_salt.node.bootstrap.document import Result, parse_result

__all__ = ["Commands", "InstallSpec", "Result", "Script", "commands", "parse_result", "render", "version_pattern"]

#: where the script works on the node, below ``$HART_ROOT`` (which is empty on a whole machine)
RUN_DIR = "/run/hart"
LOG_PATH = "/var/log/hart-bootstrap.log"
MASTER_KEY = "/etc/salt/pki/master/master.pub"


#: the platforms that can be a salt-master: machines of their own, with Salt's packages
MASTER_PLATFORMS = frozenset({"debian"})


@dataclass(frozen=True)
class InstallSpec:
    """What a node gets that becomes a salt-master."""

    #: of hart-salt, as pip takes it
    requirement: str
    #: file name of the wheel that ``carry`` brings to ``RUN_DIR``, if it is that which is installed
    wheel: str = ""
    #: address of the Python package index; empty: the one that the image's pip knows
    index: str = ""


@dataclass(frozen=True)
class Script:
    """What varies in the script. Holds one secret, the throw-away host key, worth nothing after sealing."""

    platform: str
    #: OpenSSH private key, ed25519
    host_private_key: str
    client_public_key: str
    master_public_key: str
    #: release or release series to install, such as ``3008`` or ``3008.3``
    salt_version: str
    settings: Any = None
    #: armoured public key of the Salt repository; empty: the Salt project's own
    repository_key: str = ""
    #: turn password logins off where the image has them on
    forbid_passwords: bool = False
    #: None: it becomes a minion
    spec: InstallSpec | None = None


def render(script: Script) -> str:
    """Return the shell script for one node. Raises ``jinja2.TemplateError`` for a template that is wrong."""
    return (
        _environment()
        .get_template("bootstrap.sh.j2")
        .render(
            platform=script.platform,
            mark=_mark(script),
            host_private_key=script.host_private_key.strip(),
            client_public_key=script.client_public_key.strip(),
            master_public_key=script.master_public_key.strip(),
            salt_version=script.salt_version,
            salt_pattern=version_pattern(script.salt_version),
            repository_key=(script.repository_key or _built_in_key()).strip(),
            forbid_passwords=script.forbid_passwords,
            spec=script.spec,
            settings=script.settings,
        )
    )


@functools.cache
def _environment() -> jinja2.Environment:
    """The templates, compiled once for all nodes of a call."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hart_salt.node.bootstrap"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - this makes shell, not HTML; values are quoted with the filter below
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    environment.filters["quote"] = shlex.quote
    return environment


def _mark(script: Script) -> str:
    """What tells this script's node from every other, and tells nothing else."""
    return hashlib.sha256(script.host_private_key.strip().encode()).hexdigest()[:16]


def version_pattern(version: str) -> str:
    """
    The extended regular expression for the Debian package versions that ``version`` means.

    ``3008`` and ``3008.*`` are a series; ``3008.3`` is that release, in whatever packaging, and not 3008.30.
    """
    release = version.removesuffix(".*")
    if "." not in release:
        return rf"^{release}\."
    return "^" + release.replace(".", r"\.") + "([^0-9].*)?$"


def _built_in_key() -> str:
    return (resources.files("hart_salt.node.bootstrap") / "salt-archive-keyring.asc").read_text()


@dataclass(frozen=True)
class Commands:
    """The commands that the master runs over the session with a node."""

    follow: str
    result: str
    start: str
    seal: str
    #: what is to be done once the minion is ready; does nothing where there is nothing
    after: str
    #: takes a script on standard input and keeps it; then ``run_script`` runs it
    keep_script: str
    run_script: str
    #: of a salt-master: takes the wheel of hart-salt on standard input; installs hart-salt; prints the public key
    carry: str
    equip: str
    master_key: str
    #: takes an OpenSSH public key line on standard input, which may log in from then on
    authorize: str


def commands(root: str) -> Commands:
    """
    Return the commands for a node whose files live below ``root``.

    ``tail`` with ``--pid`` ends by itself with the bootstrap script, whatever ends that; ``-s`` is how often
    it looks. The operator's script stays as ``/root/hart-init``, where hart keeps it.
    """
    run = shlex.quote(root + RUN_DIR)
    home = shlex.quote(root + "/root")
    return Commands(
        follow=f'exec tail -n +1 -s 0.1 --pid="$(cat {run}/pid)" -f {shlex.quote(root + LOG_PATH)}',
        result=f"cat {run}/result.json",
        start=f"exec sh {run}/start",
        seal=f"exec sh {run}/seal",
        after=f"[ ! -e {run}/after ] || exec sh {run}/after",
        keep_script=f"umask 077 && mkdir -p {home} && cat > {home}/hart-init && chmod 700 {home}/hart-init",
        run_script=f"exec {home}/hart-init < /dev/null",
        carry=f"exec sh {run}/carry",
        equip=f"exec sh {run}/equip",
        master_key=f"cat {shlex.quote(root + MASTER_KEY)}",
        authorize=f"exec sh {run}/authorize",
    )
