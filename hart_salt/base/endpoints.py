"""Which addresses may be asked with credentials: one rule for all drivers, and for every place that names one."""

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
    Say what is wrong with an address that credentials, or what is trusted, go to; None: nothing.

    It starts with ``https://``; with ``http://`` it is this machine by its address or as ``localhost``, for no other
    name says by itself where it leads. It has a host name in ASCII, and neither user name nor password, query or
    fragment. The text is the end of a sentence that starts with the setting, and does not hold the address, which may
    have a password in it.
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
    """Whether a host is this machine whatever a name server says."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback if address.version == 4 else address == ipaddress.IPv6Address("::1")
