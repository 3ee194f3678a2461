"""
The source address of this master's connections to its nodes, which a temporary firewall allows.

A master with a public address connects from that address. Behind a NAT, only a server outside knows the address.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import urllib.request
from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from hart_salt.base.deadline import within
from hart_salt.base.errors import InvalidRequest
from hart_salt.config.settings import Endpoint, Network

#: Amazon's service; it answers with the source address of the request, and a line end
DEFAULT_SERVICE = "https://checkip.amazonaws.com/"
TIMEOUT = 4.0  #: seconds for the service's answer, including the lookup of its name
#: the root name server L: a host with any default route has a route to it; nothing is sent there
SOMEWHERE = "199.7.83.42"
LONGEST = 64  #: bytes; no address is longer

#: settings: of an account, and of a node
AddressService = Annotated[
    Endpoint,
    Field(
        description="A web page that answers with the source address of the request. hart uses it to find "
        "connect_from if the master has no public address of its own."
    ),
]
ConnectFrom = Annotated[
    Network | None,
    Field(
        description="The address or network that the master connects from, such as 203.0.113.7/32 (default: detected)."
    ),
]


def network(setting: str | None, *, inside: str | None, service: str, source: Callable[[str], str | None]) -> str:
    """
    Return the network from which the master connects to new nodes, such as ``203.0.113.7/32``.

    setting
        ``connect_from``, which overrides everything else
    inside
        an address in the nodes' network, if the master connects to their private addresses
    service
        the address of a web page that answers with the source address of the request, over HTTPS or on loopback
    source
        ``source_address``; tests replace it

    Raises ``InvalidRequest``, which says to set ``connect_from``, if the network cannot be detected.
    """
    if setting:
        return setting
    if inside:
        found = source(inside)
        if found:
            return _as_network(found)
        raise _unknown(f"there is no route to {inside}")
    found = source(SOMEWHERE)
    if found and ipaddress.ip_address(found).is_global:
        return _as_network(found)
    return _as_network(_ask(service))


def source_address(towards: str) -> str | None:
    """Return the source address for packets ``towards`` an address, or None without a route. Send nothing."""
    family = socket.AF_INET6 if ":" in towards else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((towards, 9))
        except OSError:
            return None
        address: str = probe.getsockname()[0]
        return address


def _ask(service: str) -> str:
    try:
        text = within(TIMEOUT, lambda: _read(service))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unknown(f"{service} did not answer") from error
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise _unknown(f"{service} did not answer with an address") from None


def _read(service: str) -> str:
    opener = urllib.request.build_opener(_NoRedirects)  # for http and https only: the setting allows no other scheme
    with opener.open(service, timeout=TIMEOUT) as answer:
        return str(answer.read(LONGEST).decode("ascii", "replace").strip())


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A handler that follows no redirect: the rule for the setting must hold for every address that is called."""

    def redirect_request(self, *_: object) -> None:
        """Treat a redirect like any other unsuccessful status."""


def _as_network(address: str) -> str:
    return str(ipaddress.ip_network(address))


def _unknown(why: str) -> InvalidRequest:
    return InvalidRequest(
        f"the source address of this master could not be detected ({why}): set connect_from to it, such as "
        "203.0.113.7/32"
    )
