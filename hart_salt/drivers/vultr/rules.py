"""
Vultr's offer and the account's resources, requested once per call of hart, and Vultr's objections to a node.

``client.py`` explains the names of sources.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from hart_salt.base.errors import InvalidRequest, NotFound
from hart_salt.base.text import suggestion
from hart_salt.drivers import limits, tags
from hart_salt.drivers.sdk_driver import Answers
from hart_salt.model import Node

#: how Vultr's name of a release begins, by code name; hart looks up ids, which are only numbers
IMAGES = {
    "bookworm": re.compile(r"Debian 12 x64\b"),
    "trixie": re.compile(r"Debian 13 x64\b"),
    "jammy": re.compile(r"Ubuntu 22\.04 (LTS )?x64\b"),
    "noble": re.compile(r"Ubuntu 24\.04 (LTS )?x64\b"),
    "resolute": re.compile(r"Ubuntu 26\.04 (LTS )?x64\b"),
}
SNAPSHOT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
#: Vultr's own rule is not documented; every system accepts this
HOSTNAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9.\-]*[a-zA-Z0-9])?")


class Api(Protocol):
    """The part of ``client.Api`` that is needed here; requests may be missing when this is imported."""

    def get(self, path: str, field: str) -> Any:
        """Return one resource."""

    def listed(self, path: str, field: str) -> list[dict[str, Any]]:
        """Return all pages of a list."""


class Known:
    """Vultr's lists, each requested once. Safe for several threads."""

    def __init__(self, api: Callable[[], Api]) -> None:
        self._api = api
        self._answers = Answers()

    def listed(self, path: str, field: str) -> list[dict[str, Any]]:
        """Return all pages of a list."""
        return self._answers.once(path, lambda: self._api().listed(path, field))

    def available(self, region: str) -> set[str]:
        """
        Return the plans that are available in a region now.

        The query has no type, because a plan's type is not always what its name suggests.
        """
        path = f"regions/{region}/availability"
        return set(self._answers.once(path, lambda: self._api().get(path, "available_plans")))

    def os_named(self, setting: str) -> dict[str, Any] | None:
        """Return the operating system with a code name or with Vultr's own name, or None."""
        pattern = IMAGES.get(setting, re.compile(re.escape(setting) + "$"))
        offered = (one for one in self.listed("os", "os") if one.get("arch") == "x64" and one.get("id"))
        return next((one for one in offered if pattern.match(one.get("name") or "")), None)

    def image(self, setting: str) -> dict[str, Any]:
        """
        Return the field of a create call that names the image.

        Raises ``InvalidRequest`` if the image does not exist.
        """
        if SNAPSHOT.fullmatch(setting):
            return {"snapshot_id": setting}
        if setting.isdecimal():
            return {"os_id": int(setting)}
        found = self.os_named(setting)
        if found is None:
            near = suggestion(setting, IMAGES)
            raise InvalidRequest(f"Vultr: there is no image {setting}{near}; salt-run hart.list_images shows them")
        return {"os_id": found["id"]}

    def has_egress(self, vpc: str) -> bool:
        """Return whether a VPC has a NAT gateway (govultr)."""
        try:
            return bool(self.listed(f"vpcs/{vpc}/nat-gateway", "nat_gateways"))
        except NotFound:
            return False


def find_image(node: Node, known: Known) -> str:
    """Return the name or the id of the node's image. Raises ``InvalidRequest`` if it does not exist."""
    (found,) = known.image(node.settings.image).values()
    named = known.os_named(node.settings.image) if node.settings.image in IMAGES else None
    return str(named["name"] if named else found)


def find_network(node: Node, known: Known) -> str:
    """Return the node's VPC. Raises ``InvalidRequest`` if the node cannot use it."""
    for problem in _network(node, known):
        raise InvalidRequest(problem)
    return str(getattr(node.options, "vpc", ""))


def objections(node: Node, known: Known) -> list[str]:
    """Return what Vultr would refuse, or accept and do differently. Make only the calls that the node needs."""
    return [
        *tags.tag_objections(node),
        *_names(node),
        *_addresses(node),
        *_image_and_plan(node, known),
        *_network(node, known),
        *_account(node, known),
    ]


def _names(node: Node) -> Iterator[str]:
    if not HOSTNAME.fullmatch(node.minion_id):
        yield "an instance's host name can contain only letters, digits, '-' and '.'"
    yield from limits.no_zone(node, "Vultr")


def _addresses(node: Node) -> Iterator[str]:
    options: Any = node.options
    settings = node.settings
    yield from limits.no_private_ipv6(node, "Vultr")
    if options.disable_public_ipv4 and not options.ipv6:
        yield "disable_public_ipv4 has no effect at Vultr without ipv6: set ipv6 too"
    if not settings.public_ip and not options.vpc:
        yield "an instance without a public address needs vpc: set it to the id of a VPC with a NAT gateway"
    if settings.connect_via == "private" and not (options.vpc or settings.private_networking):
        yield "an instance has a private address only in a VPC: set vpc or private_networking"


def _image_and_plan(node: Node, known: Known) -> Iterator[str]:
    try:
        known.image(node.settings.image)
    except InvalidRequest as error:
        yield str(error)
    # The caller checks that the region and the plan exist.
    exists = any(plan.get("id") == node.size for plan in known.listed("plans", "plans"))
    with contextlib.suppress(InvalidRequest, NotFound):
        if exists and node.size not in known.available(node.region):
            yield f"{node.size} is not available in {node.region} now; salt-run hart.list_sizes shows what is"


def _network(node: Node, known: Known) -> Iterator[str]:
    options: Any = node.options
    if not options.vpc and not node.settings.private_networking:
        return
    here = [one["id"] for one in known.listed("vpcs", "vpcs") if one.get("id") and one.get("region") == node.region]
    if not options.vpc:
        if len(here) > 1:
            yield f"{node.region} has several VPCs: set vpc to one of {', '.join(here)}"
    elif options.vpc not in here:
        yield f"no VPC of the account in {node.region} has the id {options.vpc}; it has {', '.join(here) or 'none'}"
    elif not node.settings.public_ip and not known.has_egress(options.vpc):
        # Vultr's documentation of Terraform's resource vultr_instance requires one.
        yield f"the VPC {options.vpc} has no NAT gateway, which an instance without a public address needs"


def _account(node: Node, known: Known) -> Iterator[str]:
    options: Any = node.options
    groups = [options.firewall_group] if options.firewall_group else []
    yield from _missing("SSH key", options.ssh_keys, "ssh-keys", "ssh_keys", known)
    yield from _missing("firewall group", groups, "firewalls", "firewall_groups", known)


def _missing(kind: str, wanted: Sequence[str], path: str, field: str, known: Known) -> Iterator[str]:
    if wanted:
        there = {one.get("id") for one in known.listed(path, field)}
        yield from (f"no {kind} of the account has the id {one}" for one in wanted if one not in there)
