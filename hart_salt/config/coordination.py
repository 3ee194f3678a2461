"""The setting ``coordination``: which server keeps the leases of several masters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from hart_salt.config.settings import as_text, problem

#: locks are files of this machine
FILE = "file"
#: by the scheme of a URL: the name of the server, and its usual port
SCHEMES: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "redis": ("redis", 6379),
        "rediss": ("redis", 6379),
        "etcd3+http": ("etcd", 2379),
        "etcd3+https": ("etcd", 2379),
        "mysql": ("mysql", 3306),
    }
)
#: by the name of the server, the options after ``?``
OPTIONS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "redis": frozenset(["ssl_ca_certs", "ssl_certfile", "ssl_keyfile"]),
        "etcd": frozenset(["ca_cert", "cert_cert", "cert_key"]),
        "mysql": frozenset(["ssl_ca", "ssl_cert", "ssl_key"]),
    }
)
#: by the name of the server, the scheme with TLS, which all these options are about; MySQL has one scheme for both
ENCRYPTED: Mapping[str, str] = MappingProxyType({"redis": "rediss", "etcd": "etcd3+https"})
#: the option that every server has: the seconds of a lease; a shorter one could not be renewed in time
LEASE = "lease"
LEASE_SECONDS = 60.0
LEAST_SECONDS = 6
#: a part of a path that becomes a part of the names of leases
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,30}")


@dataclass(frozen=True)
class Server:
    """A coordination server, from its URL. Its repr and ``words`` contain no password."""

    #: ``redis``, ``etcd`` or ``mysql``
    kind: str
    host: str
    port: int
    url: str = field(repr=False)
    user: str = ""
    password: str = field(default="", repr=False)
    #: the number of a database of redis, the name of one of MySQL, or a prefix of the names in etcd
    database: str = ""
    encrypted: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    #: seconds after which a lease that is not renewed is free
    lease: float = LEASE_SECONDS

    @property
    def words(self) -> str:
        """The server, for messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind} at {host}:{self.port}" + (f", database {self.database}" if self.database else "")


def server(url: str) -> Server:
    """
    Return the server of a URL.

    Raises ``ValueError`` for anything else, with the end of a sentence that does not contain the URL.
    """
    parts, port = _split(url)
    kind, usual = SCHEMES[parts.scheme]
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    database = unquote(parts.path.strip("/"))
    if not parts.hostname:
        raise problem("must name the host of the server, such as redis://db.example.com:6379/0")
    if kind == "etcd" and (user or password):
        raise problem(
            "must not have a user: etcd3gw cannot log in; use https:// with ?cert_cert=…&cert_key=…&ca_cert=…"
        )
    if kind == "redis" and not re.fullmatch(r"[0-9]{0,5}", database):
        raise problem("must end in the number of a database of redis, from /0 to /99999")
    if kind == "mysql" and (not user or not _NAME.fullmatch(database)):
        raise problem("must name a user and a database, such as mysql://hart:PASSWORD@db.example.com/salt")
    if kind == "etcd" and database and not _NAME.fullmatch(database):
        raise problem("must have a path of letters, digits, '.', '-' and '_', which begins the names of all leases")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    lease = _seconds(options.pop(LEASE, None))
    if unknown := sorted(set(options) - OPTIONS[kind]):
        known = ", ".join(sorted({*OPTIONS[kind], LEASE}))
        word = unknown[0] if re.fullmatch(r"\w{1,40}", unknown[0]) else "an option"
        raise problem(f"has {word} after '?', which is not supported for {kind}; the options are {known}")
    encrypted = parts.scheme in ENCRYPTED.values()
    if options and not encrypted and kind in ENCRYPTED:
        raise problem(f"has {sorted(options)[0]} after '?', which needs an address with {ENCRYPTED[kind]}://")
    url = urlunsplit(parts._replace(query=urlencode(options)))
    return Server(kind, parts.hostname, port or usual, url, user, password, database, encrypted, options, lease)


def _seconds(value: str | None) -> float:
    if value is None:
        return LEASE_SECONDS
    if not re.fullmatch("[0-9]{1,4}", value) or int(value) < LEAST_SECONDS:
        raise problem(f"must have a whole number of seconds as {LEASE}, at least {LEAST_SECONDS}")
    return float(value)


def _split(url: str) -> tuple[SplitResult, int | None]:
    if url.partition("://")[0].lower() not in SCHEMES or "://" not in url:
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise problem(f"must be file, or an address that starts with one of {known}")
    try:
        parts = urlsplit(url)
        return parts, parts.port
    except ValueError:
        raise problem(
            "must be an address such as redis://:PASSWORD@db.example.com:6379/0; write special characters of the "
            "password as in URLs, such as %40 for @ and %2F for /"
        ) from None


def as_coordination(value: Any) -> str:
    """Return ``file``, or the URL of a server."""
    text = as_text(value)
    if text.lower() == FILE:
        return FILE
    server(text)
    return text


def passwords(value: Any) -> list[str]:
    """Return what must never be shown of a value of the setting, even one that is refused."""
    if not isinstance(value, str) or "@" not in value:
        return []
    login = value.partition("://")[2].rpartition("@")[0]
    password = login.partition(":")[2]
    return [password, unquote(password)]
