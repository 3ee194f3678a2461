"""What a node may not have at several vendors: objections in the vendor's name."""

from __future__ import annotations

from collections.abc import Iterator

from hart_salt.model import Node


def no_zone(node: Node, vendor: str) -> Iterator[str]:
    """At a vendor without zones."""
    if node.zone:
        yield f"{vendor} has no zones"


def no_private_ipv6(node: Node, vendor: str) -> Iterator[str]:
    """At a vendor whose IPv6 addresses are all public; the option is called ``ipv6``."""
    if getattr(node.options, "ipv6", False) and not node.settings.public_ip:
        yield f"ipv6 is a public address at {vendor}, and public_ip is false"
