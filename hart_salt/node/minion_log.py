"""The last errors in a minion's own log, for a node whose minion does not answer."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

READ = 64 * 1024  #: bytes of the end of each log
SHOWN = 3  #: errors

# Salt's default formats in the log file and on the console, which the journal has: "... [ERROR   ][42] text".
_ERROR = re.compile(r"\[(?:ERROR|CRITICAL) *\](?:\[\d+\])? *(.+)")


def command(root: str, configuration: Mapping[str, Any]) -> str:
    """
    Return the command that prints the end of the log.

    With systemd it is the journal of the service since its last start: a log file can come from the image. A local
    node, whose files are below ``root``, has only a file, at ``log_file`` of the minion's ``configuration``.
    """
    if not root:
        run = '"$(systemctl show -p InvocationID --value salt-minion.service)"'
        return f"journalctl -q -o cat -n 200 _SYSTEMD_INVOCATION_ID={run} 2> /dev/null | tail -c {READ} || :"
    path = str(configuration.get("log_file") or "")
    file = shlex.quote(path if path.startswith("/") else f"{root}/var/log/salt/minion")
    return f"tail -c {READ} {file} 2> /dev/null || :"


def last_errors(text: str) -> list[str]:
    """Return the messages of the last errors, each once, oldest first."""
    found = [match[1].strip() for match in map(_ERROR.search, text.splitlines()) if match]
    latest = list(dict.fromkeys(reversed(found)))[:SHOWN]
    return latest[::-1]
