"""
DigitalOcean, through python-digitalocean.

Facts about the API are from DigitalOcean's own description (digitalocean/openapi) unless another source is
named where they are used.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from hart_salt.base.errors import AuthError, DriverError, InvalidRequest, NotFound
from hart_salt.config.schema import Provider, Schema
from hart_salt.drivers import limits
from hart_salt.drivers import tags as reports
from hart_salt.drivers.capabilities import AddressSupport
from hart_salt.drivers.do.addresses import ReservedAddresses
from hart_salt.drivers.do.settings import SCHEMA as SCHEMA
from hart_salt.drivers.do.settings import Account as Account
from hart_salt.drivers.do.settings import Options as Options
from hart_salt.drivers.rest_driver import KeyedRestDriver, Report
from hart_salt.drivers.retry import StillThere
from hart_salt.model import Access, Image, Instance, Leftover, MasterInfo, Node, Region, Size

#: a slug always means the current build of a release, so there is no newest one to be looked for
IMAGES = {
    "bookworm": "debian-12-x64",
    "trixie": "debian-13-x64",
    "jammy": "ubuntu-22-04-x64",
    "noble": "ubuntu-24-04-x64",
}
STATES = {"new": "pending", "active": "running", "off": "stopped", "archive": "stopped"}
NAME = re.compile(r"[a-zA-Z0-9]?[a-z0-9A-Z.\-]*[a-z0-9A-Z]")
TAG = re.compile(r"[a-zA-Z0-9_\-:]{1,255}")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class DigitalOcean(AddressSupport, KeyedRestDriver):
    """One DigitalOcean account. Without an SSH key in a create call, a password is mailed to the account's owner."""

    schema: ClassVar[Schema] = SCHEMA
    vendor, needs = "DigitalOcean", "python-digitalocean"
    path, field, id_pattern = "droplets", "droplet", re.compile("[0-9]+")
    keys_path = "account/keys"
    query_names: ClassVar[Mapping[str, str]] = {"tag": "tag_name"}

    def __init__(self, provider: Provider, master: MasterInfo, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(provider, master, sleep)
        self._addresses = ReservedAddresses(lambda: self._api, sleep)
        self._firewalls: list[dict[str, Any]] | None = None

    def _client(self) -> Callable[..., Any]:
        from hart_salt.drivers.do.client import Api

        return Api

    def check(self) -> str:
        """Ask for the account. A locked one cannot create anything."""
        account = self._api.get("account", "account")
        if account.get("status") == "locked":
            raise AuthError(f"DigitalOcean: the account is locked: {account.get('status_message', '')}")
        return f"account {account.get('email')}, up to {account.get('droplet_limit')} droplets"

    def _temporary(self, batch: str) -> Mapping[str, str]:
        """Tags outlive droplets, and once a batch has ended nothing asks for its own."""
        return {f"tags/{self._batch_tag(batch)}": "tag of the batch"}

    @property
    def _batch_prefix(self) -> str:
        """With the owner in it: a tag's name is all that is known of it, and sweep must know whose it is."""
        return f"hart-batch:{self.master.owner}:"

    def _batch_tag(self, batch: str) -> str:
        return f"{self._batch_prefix}{batch}"

    def launch(self, node: Node, user_data: str, access: Access) -> Instance:
        """As the base creates, and then into its firewall."""
        # (koalalorenzo/python-digitalocean#264)
        of_vpc = "; it says so of a vpc that it does not have"
        droplet = self._create(node, self._body(node, user_data, access), access, of_vpc)
        self._join_firewall(node, droplet)
        return _instance(droplet)

    def _body(self, node: Node, user_data: str, access: Access) -> dict[str, Any]:
        options: Any = node.options
        body = {
            "name": node.minion_id,
            "region": node.region,
            "size": node.size,
            "image": _image(node.settings.image),
            "ssh_keys": [access.handle["ssh_key"]],
            "tags": self._tags(node, access.batch, *_firewall_tags(options.firewall)),
            "user_data": user_data,
            "ipv6": options.ipv6,
            "monitoring": options.monitoring,
            "backups": options.backups,
            # The agent is for the web console: a way in that nobody here asked for.
            "with_droplet_agent": False,
            "public_networking": node.settings.public_ip,
        }
        # The API wants texts where these are given at all, and no null.
        optional = {"vpc_uuid": options.vpc, "volumes": options.volumes}
        return {**body, **{name: value for name, value in optional.items() if value}}

    def _tag_value(self, text: str) -> str:
        """Tags know no dot; role names and minion ids no colon."""
        return text.replace(".", ":")

    def _instance(self, report: Report) -> Instance:
        return _instance(report)

    def _join_firewall(self, node: Node, droplet: Mapping[str, Any]) -> None:
        """A droplet that cannot be put in its firewall goes at once, whatever else becomes of the node."""
        firewall = getattr(node.options, "firewall", None)
        if not firewall or not UUID.fullmatch(firewall):
            return
        try:
            self._api.add(f"firewalls/{firewall.lower()}/droplets", {"droplet_ids": [droplet["id"]]})
        except DriverError as error:
            with contextlib.suppress(DriverError):
                self.terminate(_instance(droplet))
            if isinstance(error, NotFound):
                raise InvalidRequest(f"DigitalOcean: there is no firewall {firewall}") from error
            raise

    def _set_tags(self, droplet: Report, wanted: Sequence[str]) -> None:
        """Each tag by a call of its own, in the order given: the owner's comes last."""
        there = self._tags_of(droplet)
        body = {"resources": [{"resource_id": str(droplet["id"]), "resource_type": "droplet"}]}
        for tag in there:
            if tag not in wanted:
                self._api.take(f"tags/{tag}/resources", body)
        for tag in wanted:
            if tag not in there:
                self._api.add("tags", {"name": tag})  # one that exists is success
                self._api.add(f"tags/{tag}/resources", body)

    def _terminate_once(self, instance_id: str) -> None:
        """One that is still new may refuse (test-kitchen/kitchen-digitalocean#40, hashicorp/packer#1814)."""
        try:
            super()._terminate_once(instance_id)
        except InvalidRequest as error:
            raise StillThere(str(error)) from error

    def objections(self, node: Node) -> Sequence[str]:
        """What the API would refuse of the names, and a firewall that is not there: one list call for all nodes."""
        options: Any = node.options
        found = [
            f"the tag {tag} may hold only letters, digits, '_', '-' and ':' at DigitalOcean"
            for tag in reports.user_tags(node)
            if not TAG.fullmatch(tag)
        ]
        found += reports.tag_objections(node)
        if not NAME.fullmatch(node.minion_id):
            found.append("a droplet's name may hold only letters, digits, '-' and '.'")
        found += [*limits.no_zone(node, "DigitalOcean"), *limits.no_private_ipv6(node, "DigitalOcean")]
        if options.vpc and not UUID.fullmatch(options.vpc):
            found.append("vpc is the VPC's UUID at DigitalOcean, not its name")
        if options.firewall and not self._is_firewall(options.firewall):
            # With a tag that no firewall is for, the droplet would be open to all.
            found.append(f"no firewall of the account has the id {options.firewall} or is for the tag of that name")
        return found

    def _is_firewall(self, wanted: str) -> bool:
        if self._firewalls is None:
            self._firewalls = self._api.get("firewalls", "firewalls")
        # Of a tag the first spelling counts, whatever the case.
        return any(
            wanted.lower() in (it["id"], *(tag.lower() for tag in it.get("tags") or [])) for it in self._firewalls
        )

    def leftovers(self) -> list[Leftover]:
        """Temporary keys and tags of this master's batches. DigitalOcean tells no dates of them."""
        names = [tag["name"] for tag in self._api.listed("tags", "tags")]
        return [
            *super().leftovers(),
            *(
                Leftover("tag", name, f"tags/{name}", name.removeprefix(self._batch_prefix))
                for name in names
                if name.startswith(self._batch_prefix)
            ),
        ]

    def regions(self) -> Sequence[Region]:
        """DigitalOcean has no zones."""
        return [
            Region(region["slug"], region["name"], (), bool(region["available"]))
            for region in self._api.get("regions", "regions")
        ]

    def sizes(self, region: str | None) -> Sequence[Size]:
        """Sizes with what a month costs; one that is not on offer in the region is marked, or left out."""
        return [
            Size(
                name=size["slug"],
                memory_mb=int(size["memory"]),
                cpus=float(size["vcpus"]),
                disk_gb=float(size["disk"]),
                monthly_price=float(size["price_monthly"]),
                available=bool(size["available"]),
                description=size.get("description", ""),
            )
            for size in self._api.get("sizes", "sizes")
            if region is None or region in size["regions"]
        ]

    def images(self, region: str | None) -> Sequence[Image]:
        """The distributions that the bootstrap knows, by code name, and the account's own images."""
        offered = [it for it in self._api.get("images", "images", type="distribution") if _is_in(it, region)]
        own = [it for it in self._api.get("images", "images", private="true") if _is_in(it, region)]
        slugs = {image.get("slug") for image in offered}
        return [
            *(Image(name, slug, slug in slugs) for name, slug in IMAGES.items()),
            *(Image(str(it["id"]), it["name"], it.get("status", "available") == "available") for it in own),
        ]


DRIVER = DigitalOcean


def _image(setting: str) -> str | int:
    """A code name, the id of a snapshot, or a slug as it is."""
    return int(setting) if setting.isdecimal() else IMAGES.get(setting, setting)


def _firewall_tags(firewall: str | None) -> list[str]:
    """The tag that puts a droplet in its firewall, where that is not named by its id."""
    return [firewall] if firewall and not UUID.fullmatch(firewall) else []


def _is_in(image: Mapping[str, Any], region: str | None) -> bool:
    return region is None or region in (image.get("regions") or [])


def _instance(droplet: Mapping[str, Any]) -> Instance:
    """Every field but the id may be missing, and the order of the addresses means nothing."""
    tags = reports.values(droplet.get("tags") or [])
    role, minion_id = (tags.get(name, "").replace(":", ".") for name in ("hart-role", "hart-minion"))
    return Instance(
        instance_id=str(droplet["id"]),
        minion_id=minion_id or droplet.get("name", ""),
        state=STATES.get(droplet.get("status", "new"), "pending"),
        role=role or None,
        batch=tags.get("hart-batch", "").rpartition(":")[2],
        region=(droplet.get("region") or {}).get("slug"),
        size=droplet.get("size_slug"),
        public_ip=_address(droplet, "public"),
        private_ip=_address(droplet, "private"),
        created=reports.seconds(droplet.get("created_at")),
    )


def _address(droplet: Mapping[str, Any], kind: str) -> str | None:
    for network in (droplet.get("networks") or {}).get("v4") or []:
        if network.get("type") == kind:
            address: str | None = network.get("ip_address")
            return address
    return None
