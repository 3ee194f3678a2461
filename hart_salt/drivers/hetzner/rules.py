"""
The rules of Hetzner's API for labels, names and locations, and its objections to a node.

``client.py`` explains the names of sources.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from hart_salt.base.errors import InvalidRequest
from hart_salt.base.text import suggestion
from hart_salt.drivers import limits, tags
from hart_salt.drivers.catalog import number, objects, required
from hart_salt.model import Image, Node, Price, Region, Size

IMAGES = {
    "bookworm": "debian-12", "trixie": "debian-13",
    "jammy": "ubuntu-22.04", "noble": "ubuntu-24.04", "resolute": "ubuntu-26.04",
}  # fmt: skip
#: Debian's names of architectures by Hetzner's
ARCHITECTURES = {"x86": "amd64", "arm": "arm64"}
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
    return next((one for one in things if setting in (str(one.get("id")), one.get("name"))), None)


def region(one: Thing) -> Region:
    """Return a location for people."""
    return Region(required(one, "name"), ", ".join(filter(None, (one.get("city"), one.get("country")))))


def snapshot(one: Thing) -> Image:
    """Return a snapshot for people."""
    return Image(str(required(one, "id")), one.get("description") or "", one.get("status") == "available")


def places(facts: Thing) -> set[str]:
    """Return the locations that have a server type: those with a price, and those that report whether it is there."""
    prices, locations = objects(facts.get("prices")), objects(facts.get("locations"))
    return {str(it.get("location")) for it in prices} | {str(it.get("name")) for it in locations}


def size(facts: Thing, region: str | None, currency: str | None) -> Size:
    """Return a server type for people; without the project's currency, its price is unknown."""
    here = [it for it in objects(facts.get("locations")) if region in (None, it.get("name"))]
    prices = [price for it in objects(facts.get("prices")) if (price := _price(it, region)) is not None]
    kinds = (facts.get("description") or facts.get("name"), facts.get("cpu_type"), facts.get("architecture"))
    return Size(
        name=required(facts, "name"),
        memory_mb=int(float(required(facts, "memory")) * 1024),
        cpus=float(required(facts, "cores")),
        disk_gb=number(facts.get("disk")),
        monthly_price=min(prices, default=None) if currency else None,
        # Each location reports whether it has the type now (docs, changelog of 2025-09-24).
        available=any(it.get("available") is not False for it in here) if here else not facts.get("deprecated"),
        description=", ".join(map(str, filter(None, kinds))),
        currency=currency or "EUR",
        arch=ARCHITECTURES.get(str(facts.get("architecture")), ""),
    )


def _price(one: Thing, region: str | None) -> float | None:
    """Return a type's price before tax in a location, or None if it is unknown or of another location."""
    net = number((one.get("price_monthly") or {}).get("net")) if region in (None, one.get("location")) else None
    return None if net is None else round(net, 2)


def image_price(pricing: Thing) -> Price | None:
    """Return what one GB of a snapshot costs in a month, before tax (docs: pricing); None if that is not known."""
    prices = pricing.get("image")
    price = prices.get("price_per_gb_month") if isinstance(prices, Mapping) else None
    net = number(price.get("net")) if isinstance(price, Mapping) else None
    currency = pricing.get("currency")
    return None if net is None or not isinstance(currency, str) or not currency else Price(round(net, 6), currency)


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
        if problem := label_problem(key, value):
            yield problem


def label_problem(key: str, value: str) -> str:
    """Return why a label is not valid, in a sentence; empty if it is."""
    prefix, slash, name = key.rpartition("/")
    if (not slash or PREFIX.fullmatch(prefix)) and WORD.fullmatch(name) and WORD.fullmatch(value or "a"):
        return ""
    return (
        f"the tag {key}{f':{value}' if value else ''} is not a valid label at Hetzner: name and value have up to 63 "
        "letters, digits, '-', '_' and '.', and must begin and end with a letter or a digit"
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
    here = [it for it in kind.get("locations") or () if it.get("name") == node.region]
    if here and here[0].get("available") is False:
        yield f"{node.size} is not available in {node.region} now; salt-run hart.list_sizes shows what is"
    try:
        find_image(node, known)
    except InvalidRequest as error:
        yield str(error)


def find_image(node: Node, known: Known) -> str:
    """
    Return the name of the node's image.

    Raises ``InvalidRequest`` if there is none for the architecture of its server type.
    """
    kind = named(node.size, known("server_types")) or {}
    image = IMAGES.get(node.settings.image, node.settings.image)
    wanted = kind.get("architecture")
    # An image or a type without an architecture dates from before there were several.
    fitting = [one for one in known("images") if None in (wanted, it := one.get("architecture")) or it == wanted]
    if named(image, fitting) is None:
        raise InvalidRequest(
            f"there is no image {node.settings.image} for {node.size}{f', which is {wanted}' if wanted else ''}"
            f"{suggestion(node.settings.image, IMAGES)}; salt-run hart.list_images shows them"
        )
    return f"{image} for {wanted or node.size}"


def find_network(node: Node, known: Known) -> str:
    """Return the name of the node's network. Raises ``InvalidRequest`` if the node cannot use it."""
    setting = str(getattr(node.options, "network", ""))
    for problem in _network(node, setting, known):
        raise InvalidRequest(problem)
    return setting


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
    zones = {one.get("network_zone") for one in network.get("subnets") or ()}
    zone = (named(node.region, known("locations")) or {}).get("network_zone")
    if zone is not None and zone not in zones:
        yield f"the network {setting} has no subnet in {zone}, the network zone of {node.region}"
