"""
Where this master's connections to its nodes come from: what a temporary firewall lets in.

A master with a public address of its own connects from that. Behind a NAT only somebody outside can tell.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import urllib.request
from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from hart_salt.base.errors import InvalidRequest
from hart_salt.config.settings import Endpoint, Network
from hart_salt.drivers.outage import within

#: Amazon's own; it answers with the address that a request came from, and a line end
DEFAULT_SERVICE = "https://checkip.amazonaws.com/"
TIMEOUT = 4.0  #: seconds for the service's answer, with the look-up of its name
#: of the root name server l, which everybody has a route to if to anything; nothing is sent there
SOMEWHERE = "199.7.83.42"
LONGEST = 64  #: no address is longer

#: settings: of an account, and of a node
AddressService = Annotated[
    Endpoint,
    Field(
        description="A web page that answers with the address that a request came from; asked for connect_from "
        "where the master has no public address of its own."
    ),
]
ConnectFrom = Annotated[
    Network | None,
    Field(
        description="The address or network, such as 203.0.113.7/32, that the master's connections come from "
        "(default: found out)."
    ),
]


def network(setting: str | None, *, inside: str | None, service: str, source: Callable[[str], str | None]) -> str:
    """
    Return the network that connections to new nodes come from, such as ``203.0.113.7/32``.

    setting
        ``connect_from``, which has the last word
    inside
        an address in the nodes' own network, if they are connected to at their private addresses
    service
        the address of a web page that says where a request came from; asked over HTTPS, or on loopback
    source
        ``source_address``; a test may have another

    Raises ``InvalidRequest``, which says to set ``connect_from``, where it cannot be found out.
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
    """The address that this machine would send from; None: it has no route. Nothing is sent."""
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
        raise _unknown(f"{service} did not tell") from error
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise _unknown(f"{service} answered with something else") from None


def _read(service: str) -> str:
    opener = urllib.request.build_opener(_NoRedirects)  # of http and https: the setting allows no other
    with opener.open(service, timeout=TIMEOUT) as answer:
        return str(answer.read(LONGEST).decode("ascii", "replace").strip())


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The rule for the setting holds for every address that is asked: another one is no answer."""

    def redirect_request(self, *_: object) -> None:
        """Take a redirect for what any other status is that is no success."""


def _as_network(address: str) -> str:
    return str(ipaddress.ip_network(address))


def _unknown(why: str) -> InvalidRequest:
    return InvalidRequest(
        f"the address that this master connects from could not be found out ({why}): set connect_from to it, such as "
        "203.0.113.7/32"
    )
