"""Objections to a node that apply to several vendors."""

from __future__ import annotations

from collections.abc import Iterator

from hart_salt.model import Node


def no_zone(node: Node, vendor: str) -> Iterator[str]:
    """Object to a zone, for a vendor without zones."""
    if node.zone:
        yield f"{vendor} has no zones"


def no_private_ipv6(node: Node, vendor: str) -> Iterator[str]:
    """Object to ``ipv6`` without ``public_ip``, for a vendor whose IPv6 addresses are all public."""
    if getattr(node.options, "ipv6", False) and not node.settings.public_ip:
        yield f"ipv6 is a public address at {vendor}, and public_ip is false"
