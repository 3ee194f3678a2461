"""
Render the script that an instance runs at its first boot, and name the commands for the session afterwards.

The templates: ``bootstrap.sh.j2`` has the order of the steps, ``steps.sh.j2`` their times and the result document,
``<platform>/platform.sh.j2`` what the steps do on one platform.
"""

from __future__ import annotations

import functools
import hashlib
import re
import shlex
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
import jinja2.ext

from hart_salt.node.bootstrap.document import Result, parse_result
from hart_salt.planning.minion_config import MODULES
from hart_salt.planning.releases import version_pattern

__all__ = [
    "Commands", "InstallSpec", "Result", "Script", "commands", "module", "parse_result", "render", "seal_input",
]  # fmt: skip

#: the script's directory on the node, below ``$HART_ROOT`` (which is empty on a whole machine)
RUN_DIR = "/run/hart"
LOG_PATH = "/var/log/hart-bootstrap.log"
MASTER_KEY = "/etc/salt/pki/master/master.pub"
#: the file name of the module's copy; Salt's loader prefers a file ``hart.py`` from any directory, so a synced one wins
COPY = "hart_copy.py"


#: the first line of user-data that cloud-init runs before sshd starts
BOOTHOOK = "#cloud-boothook"

#: the platforms that can run a salt-master: whole machines with Salt's packages
MASTER_PLATFORMS = frozenset({"debian"})


@dataclass(frozen=True)
class InstallSpec:
    """What to install on a node that becomes a salt-master."""

    #: the requirement of hart-salt for pip
    requirement: str
    #: file name of the wheel that ``carry`` writes to ``RUN_DIR``; empty if pip does not install from it
    wheel: str = ""
    #: URL of the Python package index; empty for the one that the image's pip is configured with
    index: str = ""


@dataclass(frozen=True)
class Script:
    """The variables of the script; one is secret, the throw-away host key, which is worthless after sealing."""

    platform: str
    #: OpenSSH private key, ed25519
    host_private_key: str
    client_public_key: str
    master_public_key: str
    #: release or release series to install, such as ``3008`` or ``3008.3``
    salt_version: str
    settings: Any = None
    #: armoured public key of the Salt repository; empty for the key of the Salt project
    repository_key: str = ""
    #: turn password logins off if the image allows them
    forbid_passwords: bool = False
    #: what to install for a salt-master; None for a minion
    spec: InstallSpec | None = None
    #: PEM of the public key that verifies the signatures of masters' keys, and its name; empty if masters do not sign
    signing_key: str = ""
    signing_key_name: str = ""
    #: the image is a baked one, see ``Node.baked``
    baked: bool = False
    #: cloud-init runs the user-data, so it can run as a boothook, see ``Driver.boothooks``
    boothooks: bool = False

    @property
    def early(self) -> bool:
        """
        Whether the script runs as a boothook of cloud-init: before sshd starts, and beside the boot.

        Then sshd starts with the throw-away host key, and the master connects as soon as sshd runs. This needs a
        script without work that waits for the network or for other parts of the boot, such as a package manager. What
        later parts of the boot change, such as a setting for passwords, an early script cannot see.
        """
        if not (self.baked and self.boothooks) or self.forbid_passwords or self.spec:
            return False
        return bool(self.settings.salt_source == "none" and self.settings.security_upgrades != "before")


def render(script: Script) -> str:
    """
    Return the shell script for one node.

    Raises ``jinja2.TemplateError`` if a template is wrong.
    """
    text = (
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
            signing_key=script.signing_key.strip(),
            signing_key_name=script.signing_key_name,
            settings=script.settings,
            baked=script.baked,
            early=script.early,
        )
    )
    return f"{BOOTHOOK}\n{text}" if script.early else text


class _Shorter(jinja2.ext.Extension):
    """Make the script shorter than the templates, since clouds limit the size of user-data."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """Return the source without comment lines, except those at the top of a script, and with tabs for indents."""
        top, end, rest = source.partition("\nset -eu\n") if source.startswith("#!") else ("", "", source)
        code = re.sub(r"^ *# .*\n", "", rest, flags=re.MULTILINE)
        return top + end + re.sub(r"^(?: {4})+", lambda found: "\t" * (len(found[0]) // 4), code, flags=re.MULTILINE)


@functools.cache
def _environment() -> jinja2.Environment:
    """Return the environment of the templates, which compiles them once for all nodes of a call."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hart_salt.node.bootstrap"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - the output is shell, not HTML; values are quoted with the filter below
        keep_trailing_newline=True,
        trim_blocks=True,
        auto_reload=False,  # the files are not looked at for each node
        extensions=[_Shorter],
    )
    environment.filters["quote"] = shlex.quote
    return environment


def _mark(script: Script) -> str:
    """Return a string that identifies this script's node and reveals nothing else."""
    return hashlib.sha256(script.host_private_key.strip().encode()).hexdigest()[:16]


@functools.cache
def seal_input() -> str:
    """Return what the command ``seal`` reads from standard input: the program that blanks copies of the script."""
    return (resources.files("hart_salt.node.bootstrap") / "blank.py").read_text()


@functools.cache
def module() -> str:
    """
    Return what the command ``bring_module`` reads from standard input: hart's execution module.

    Only ``hart.interruption`` is loaded from this copy, so that it hides nothing of a module that the minion synced.
    """
    return (resources.files("hart_salt") / "modules/hart.py").read_text() + '\n__load__ = ["interruption"]\n'


@functools.cache
def _built_in_key() -> str:
    return (resources.files("hart_salt.node.bootstrap") / "salt-archive-keyring.asc").read_text()


@dataclass(frozen=True)
class Commands:
    """The commands that the master runs over the session with a node."""

    #: prints the script's log on standard error, and at its end the result document on standard output
    follow: str
    start: str
    #: stores hart's execution module, which it reads from standard input, where the minion's ``module_dirs`` name it
    bring_module: str
    #: reads ``seal_input`` from standard input
    seal: str
    #: runs what was deferred until the minion is ready, if anything was
    after: str
    #: stores the script that it reads from standard input, for ``run_script``
    keep_script: str
    run_script: str
    #: for a salt-master: stores the wheel of hart-salt from standard input; installs hart-salt; prints the public key
    carry: str
    equip: str
    master_key: str
    #: lets the OpenSSH public key line that it reads from standard input log in
    authorize: str


def commands(root: str) -> Commands:
    """
    Return the commands for a node with its files below ``root``.

    ``tail`` with ``--pid`` ends when the bootstrap script ends, for any reason; ``-s`` is how often it checks. The
    operator's script stays on the node as ``/root/hart-init``.
    """
    run = shlex.quote(root + RUN_DIR)
    modules = shlex.quote(root + MODULES + "/modules")
    directory = shlex.quote(root + "/root")
    script = f"{directory}/hart-init"
    return Commands(
        follow=f'tail -n +1 -s 0.1 --pid="$(cat {run}/pid)" -f {shlex.quote(root + LOG_PATH)} >&2; '
        f"exec cat {run}/result.json",
        start=f"exec sh {run}/start",
        bring_module=f"umask 022 && mkdir -p {modules} && cat > {modules}/{COPY}",
        seal=f"exec sh {run}/seal",
        after=f"[ ! -e {run}/after ] || exec sh {run}/after",
        keep_script=f"umask 077 && mkdir -p {directory} && cat > {script} && chmod 700 {script}",
        run_script=f"exec {script} < /dev/null",
        carry=f"exec sh {run}/carry",
        equip=f"exec sh {run}/equip",
        master_key=f"cat {shlex.quote(root + MASTER_KEY)}",
        authorize=f"exec sh {run}/authorize",
    )
