"""
Render the script that removes everything of a node's first life before an image is made of the node.

The templates: ``generalise.sh.j2`` has the order of the steps and how they report, ``common.sh.j2`` what every platform
has, ``debian.sh.j2`` and ``local.sh.j2`` the steps of one platform.
"""

from __future__ import annotations

import functools
import shlex
from dataclasses import dataclass

import jinja2

from hart_salt.node.bootstrap import RUN_DIR


@dataclass(frozen=True)
class Generalise:
    """The commands over the session with a node that becomes an image."""

    #: stores the script, which it reads from standard input
    keep: str
    #: runs the script, which prints a line ``hart: …`` for each step; a failure ends with exit code 1 and a sentence
    run: str
    #: the script
    script: str


def commands(platform: str, root: str, client_public_key: str, minion_id: str) -> Generalise:
    """
    Return the commands that generalise a node with its files below ``root``.

    They run as root, after the states of the node were applied and right before the machine is turned off. A second run
    is a success. Nothing that the script leaves behind needs the machine to run again: do not use the node any more.

    client_public_key
        the key that hart's session logs in with; it is removed from every file of authorized keys
    minion_id
        the id of the node, which must not remain in the names and addresses of the machine
    """
    script = (
        _environment()
        .get_template("generalise.sh.j2")
        .render(platform=platform, root=root, key=client_public_key.split()[1], minion_id=minion_id)
    )
    directory = shlex.quote(root + RUN_DIR)
    return Generalise(
        keep=f"umask 077 && mkdir -p {directory} && cat > {directory}/generalise",
        run=f"exec sh {directory}/generalise",
        script=script,
    )


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hart_salt.images"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - the output is shell, not HTML; values are quoted with the filter below
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    environment.filters["quote"] = shlex.quote
    return environment
