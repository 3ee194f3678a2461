"""The one rule, for all drivers and settings, about which addresses may receive credentials."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

#: the end of a sentence that starts with the setting
PLAIN = (
    "must be an address that starts with https://, or others could read the credentials; http:// is for this machine "
    "alone: localhost, 127.0.0.1 or [::1]"
)


def objection(address: str) -> str | None:
    """
    Return what is wrong with an address that receives credentials or that hart trusts; None if nothing is.

    The address must start with ``https://``. With ``http://`` it must be this machine, by IP address or as
    ``localhost``, because no other name guarantees where it leads. It must have a host name in ASCII, and no user name,
    password, query or fragment. The result is the end of a sentence that starts with the setting. It does not contain
    the address, which may include a password.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "must be an address such as https://api.example.com"
    if "@" in parts.netloc:
        return "must not have a user name or password in the address"
    if not host or port == 0 or not all(part.isascii() and part.isprintable() for part in (parts.netloc, parts.path)):
        return "must be an address such as https://api.example.com; write an international name as xn--…"
    if "?" in address or "#" in address:
        return "must be an address without ? and #"
    if parts.scheme == "https" or (parts.scheme == "http" and is_this_machine(host)):
        return None
    return PLAIN


def is_this_machine(host: str) -> bool:
    """Return whether a host is this machine, whatever a name server says."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback if address.version == 4 else address == ipaddress.IPv6Address("::1")
