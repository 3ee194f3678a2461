"""Whether a node in a cloud can reach the master of these tests, as far as can be known in advance."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Sequence
from typing import Any

TIMEOUT = 5.0
SET_IT = (
    "set saltmaster in hart.toml, under [hart] or the provider: the name or address at which the instance reaches "
    "ports 4505 and 4506 of this machine; docs/contributing/accounts.md says how from behind NAT"
)


def addresses(minion_config: Any) -> list[str]:
    """Return the masters in a minion's configuration."""
    master = minion_config.get("master") if isinstance(minion_config, dict) else None
    return [master] if isinstance(master, str) else list(master or [])


def objection(masters: Sequence[str]) -> str:
    """Return why no remote instance can reach the master, or an empty string."""
    if not masters:
        return f"saltmaster is not set; {SET_IT}"
    if here := [master for master in masters if _is_loopback(master)]:
        return f"saltmaster is {here[0]}, which on an instance is the instance itself; {SET_IT}"
    return ""


def doubts(masters: Iterable[str], ports: Iterable[int]) -> list[str]:
    """
    Return what looks wrong from here while the master runs.

    These are only doubts: some routers do not let hosts behind them connect to their own public address.
    """
    problems = [(f"{master}:{port}", _problem(master, port)) for master in masters for port in ports]
    return [
        f"{place} does not answer from here: {problem}. Where the instance finds the same, it is never ready; {SET_IT}"
        for place, problem in problems
        if problem
    ]


def _is_loopback(master: str) -> bool:
    try:
        return ipaddress.ip_address(master).is_loopback
    except ValueError:
        return master == "localhost" or master.endswith(".localhost")


def _problem(master: str, port: int) -> str:
    try:
        with socket.create_connection((master, port), TIMEOUT):
            return ""
    except OSError as error:
        return error.strerror or str(error)
