"""
Failures of a server that hart uses, in words: what went wrong, and what to do about that kind of failure.

The libraries of redis, MySQL and etcd have their own types of errors, which Salt partly wraps; only the text always
remains.
"""

from __future__ import annotations

import re

#: redis answers this to a client without a password
_ASKS = re.compile(r"NOAUTH|HELLO must be called|Authentication required", re.I)
_LOGIN = re.compile(
    r"access denied|command denied|authenticat|WRONGPASS|password|NOPERM|no permissions|permission denied|"
    r"user name is empty|invalid user|auth token|insufficient credentials|requires? user|is not allowed to connect",
    re.I,
)
_DATABASE = re.compile(r"unknown database|no database selected|DB index|SELECT is not allowed", re.I)
_TLS = re.compile(r"\b(SSL|TLS)\b|SSL:|certificate|(in)?secure transport", re.I)
_TIMEOUT = re.compile(r"time[d ]*out|no answer", re.I)
_CONNECTION = re.compile(
    r"refused|unreachable|no route|resolve|getaddrinfo|name or service|name resolution|no address|reset|closed|"
    r"broken pipe|connection|can't connect|gone away|max retries|no more machines",
    re.I,
)


def failure(why: str, *, settings: str, login: str, database: str, tls: bool = False, other: str = "") -> str:
    """
    Return why a server cannot be used, and what to do.

    ``why`` is the text of the error. ``settings`` names what has the address, ``login`` what has the password, and
    ``database`` what has the database. ``tls`` says that hart uses TLS. ``other`` is what to do about any other kind
    of failure (default: check the server and the settings).
    """
    why = why.rstrip(". ")
    if _ASKS.search(why):
        return f"it asks for a password: set it in {login}"
    return f"{why}; {_advice(why, settings, login, database, tls) or other or f'check the server, and {settings}'}"


def _advice(why: str, settings: str, login: str, database: str, tls: bool) -> str:
    if _DATABASE.search(why):
        return f"name a database that the server has in {database}, or create it"
    if _LOGIN.search(why):
        return f"check the user, its rights on the server, and the password in {login}"
    if _TLS.search(why):
        return f"check the certificates, that the server uses TLS on this port, and {settings}"
    if tls and _TIMEOUT.search(why):
        return f"check that it runs, that it uses TLS on this port, that this machine reaches it, and {settings}"
    if _TIMEOUT.search(why) or _CONNECTION.search(why):
        return f"check that it runs, that this machine reaches it, and {settings}"
    return ""
