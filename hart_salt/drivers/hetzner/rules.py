"""
The rules of Hetzner's API for labels, names and locations, and its objections to a node.

``client.py`` explains the names of sources.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from hart_salt.base.errors import InvalidRequest
from hart_salt.drivers import limits, tags
from hart_salt.model import Node, Size

IMAGES = {
    "bookworm": "debian-12", "trixie": "debian-13",
    "jammy": "ubuntu-22.04", "noble": "ubuntu-24.04", "resolute": "ubuntu-26.04",
}  # fmt: skip
#: names of labels can have a prefix, and values can be empty (hcloud-python, helpers/labels.py)
PREFIX = re.compile(r"[a-z0-9A-Z]([-_.a-z0-9A-Z]{0,251}[a-z0-9A-Z])?")
WORD = re.compile(r"[a-z0-9A-Z]([-_.a-z0-9A-Z]{0,61}[a-z0-9A-Z])?")
#: (hcloud-python, servers/domain.py: a valid host name as per RFC 1123)
_PART = r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
HOSTNAME = re.compile(rf"(?=.{{1,253}}$){_PART}(\.{_PART})*")

Thing = Mapping[str, Any]
Known = Callable[[str], Sequence[Thing]]


def labels(flat: Iterable[str]) -> dict[str, str]:
    """Return flat tags as labels: the name is the part before the first colon. The first tag of a name wins."""
    found: dict[str, str] = {}
    for tag in flat:
        key, _, value = tag.partition(":")
        found.setdefault(key, value)
    return found


def reference(setting: str) -> int | str:
    """Return an id as a number, or a name."""
    return int(setting) if setting.isdecimal() else setting


def id_of(setting: str, things: Iterable[Thing], kind: str) -> int:
    """
    Return the id of the resource with an id or a name.

    Raises ``InvalidRequest`` if there is none.
    """
    found = named(setting, things)
    if found is None:
        raise InvalidRequest(f"Hetzner: the project has no {kind} {setting}")
    return int(found["id"])


def named(setting: str, things: Iterable[Thing]) -> Thing | None:
    """Return the resource with an id or a name, or None."""
    return next((one for one in things if setting in (str(one["id"]), one.get("name"))), None)


def size(facts: Thing, prices: Sequence[Thing], region: str | None, currency: str) -> Size:
    """
    Return a server type for people.

    prices
        the prices in the requested locations
    """
    places = [it for it in facts.get("locations") or () if region in (None, it["name"])]
    return Size(
        name=facts["name"],
        memory_mb=int(float(facts["memory"]) * 1024),
        cpus=float(facts["cores"]),
        disk_gb=float(facts["disk"]),
        monthly_price=min(round(float(it["price_monthly"]["net"]), 2) for it in prices),
        # Each location reports whether it has the type now (docs, changelog of 2025-09-24).
        available=any(it.get("available", True) for it in places) if places else not facts.get("deprecated"),
        description=f"{facts['description']}, {facts['cpu_type']}, {facts['architecture']}",
        currency=currency,
    )


# objections


def objections(node: Node, known: Known) -> list[str]:
    """Return what Hetzner would refuse. Make only the calls that the node needs."""
    return [*_labels(node), *_names(node), *_addresses(node), *_type_and_image(node, known), *_account(node, known)]


def _labels(node: Node) -> Iterator[str]:
    yield from tags.tag_objections(node)
    seen: set[str] = set()
    for tag in dict.fromkeys(tags.user_tags(node)):
        key, _, value = tag.partition(":")
        if (key == "hart" and value) or tag in (name.rstrip(":") for name in tags.OWN_TAGS):
            yield f"the tag {tag} is one of hart's own"
        if key in seen:
            yield f"the tag {key} occurs twice, but a label has one value at Hetzner"
        seen.add(key)
        prefix, slash, name = key.rpartition("/")
        if (slash and not PREFIX.fullmatch(prefix)) or not WORD.fullmatch(name) or not WORD.fullmatch(value or "a"):
            yield (
                f"the tag {tag} is not a valid label at Hetzner: name and value have up to 63 letters, digits, '-', "
                "'_' and '.', and must begin and end with a letter or a digit"
            )


def _names(node: Node) -> Iterator[str]:
    if not HOSTNAME.fullmatch(node.minion_id):
        yield "a server's name must be a host name: words of up to 63 letters, digits and '-', separated by '.'"
    if node.role and not WORD.fullmatch(node.role):
        yield f"the role {node.role} is not a valid label value at Hetzner, which can have up to 63 characters"
    yield from limits.no_zone(node, "Hetzner")


def _addresses(node: Node) -> Iterator[str]:
    options: Any = node.options
    settings = node.settings
    yield from limits.no_private_ipv6(node, "Hetzner")
    if not settings.public_ip and not options.network:
        yield "a server without a public address needs network: set it to a private network with access to the internet"
    if not settings.public_ip and options.firewall:
        yield "a firewall needs a public address at Hetzner, but public_ip is false"
    elif not options.network and (settings.connect_via == "private" or settings.private_networking):
        yield "a server has a private address only in a private network: set network"


def _type_and_image(node: Node, known: Known) -> Iterator[str]:
    """Check that type and image fit. The caller checks that the location and the type exist."""
    kind = named(node.size, known("server_types"))
    if kind is None:
        return
    here = [it for it in kind.get("locations") or () if it["name"] == node.region]
    if here and not here[0].get("available", True):
        yield f"{node.size} is not available in {node.region} now; salt-run hart.list_sizes shows what is"
    image = IMAGES.get(node.settings.image, node.settings.image)
    fitting = [one for one in known("images") if one["architecture"] == kind["architecture"]]
    if named(image, fitting) is None:
        yield (
            f"there is no image {node.settings.image} for {node.size}, which is {kind['architecture']}; "
            "salt-run hart.list_images shows them"
        )


def _account(node: Node, known: Known) -> Iterator[str]:
    options: Any = node.options
    if options.firewall and named(options.firewall, known("firewalls")) is None:
        yield f"the project has no firewall {options.firewall}"
    yield from (f"the project has no SSH key {one}" for one in options.ssh_keys if not named(one, known("ssh_keys")))
    if options.network:
        yield from _network(node, options.network, known)


def _network(node: Node, setting: str, known: Known) -> Iterator[str]:
    network = named(setting, known("networks"))
    if network is None:
        yield f"the project has no network {setting}"
        return
    zones = {one["network_zone"] for one in network.get("subnets") or ()}
    place = named(node.region, known("locations"))
    if place is not None and place["network_zone"] not in zones:
        yield f"the network {setting} has no subnet in {place['network_zone']}, the network zone of {node.region}"
