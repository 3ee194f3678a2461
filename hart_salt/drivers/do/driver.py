"""
DigitalOcean, through python-digitalocean.

Facts about the API come from DigitalOcean's own description (digitalocean/openapi); comments name any other source.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from hart_salt.base.errors import AuthError, DriverError, InvalidRequest, NoCapacity, NotFound
from hart_salt.base.text import suggestion
from hart_salt.config.schema import Provider, Schema
from hart_salt.drivers import limits, tagging
from hart_salt.drivers import tags as reports
from hart_salt.drivers.capabilities import AddressSupport
from hart_salt.drivers.catalog import number, readable, required
from hart_salt.drivers.do.addresses import ReservedAddresses
from hart_salt.drivers.do.power import DropletPower
from hart_salt.drivers.do.settings import SCHEMA as SCHEMA
from hart_salt.drivers.do.settings import Account as Account
from hart_salt.drivers.do.settings import Options as Options
from hart_salt.drivers.do.snapshots import DropletImages
from hart_salt.drivers.images import RegionallyImaged
from hart_salt.drivers.kept import KeptSizes
from hart_salt.drivers.power import Powered
from hart_salt.drivers.rest_driver import KeyedRestDriver, Report
from hart_salt.drivers.retry import StillThere
from hart_salt.model import (
    OK,
    PROBLEM,
    UNKNOWN,
    Access,
    Check,
    Image,
    Instance,
    Leftover,
    MasterInfo,
    Node,
    Price,
    Region,
    Size,
)

log = logging.getLogger(__name__)

#: a slug always means the current build of a release, so hart need not search the newest
IMAGES = {
    "bookworm": "debian-12-x64",
    "trixie": "debian-13-x64",
    "jammy": "ubuntu-22-04-x64",
    "noble": "ubuntu-24-04-x64",
    "resolute": "ubuntu-26-04-x64",
}
STATES = {"new": "pending", "active": "running", "off": "stopped", "archive": "stopped"}
NAME = re.compile(r"[a-zA-Z0-9]?[a-z0-9A-Z.\-]*[a-z0-9A-Z]")
TAG = re.compile(r"[a-zA-Z0-9_\-:]{1,255}")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class DigitalOcean(AddressSupport, RegionallyImaged, Powered, KeyedRestDriver):
    """One DigitalOcean account. Without an SSH key in the create call, it mails a password to the account's owner."""

    schema: ClassVar[Schema] = SCHEMA
    boothooks: ClassVar[bool] = True
    vendor, needs = "DigitalOcean", "python-digitalocean"
    path, field, id_pattern = "droplets", "droplet", re.compile("[0-9]+")
    keys_path = "account/keys"
    sizes_know_regions = True
    #: a droplet takes half a minute or so; four calls find it in that time, where one call every 3 s needs ten
    first_looks: ClassVar[Sequence[float]] = (0.0, 1.0, 7.0, 21.0)
    query_names: ClassVar[Mapping[str, str]] = {"tag": "tag_name"}

    def __init__(self, provider: Provider, master: MasterInfo, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(provider, master, sleep)
        self._addresses: ReservedAddresses = ReservedAddresses(lambda: self._api, sleep)
        self._power = DropletPower(lambda: self._api, self.instance, sleep)
        self._firewalls: list[dict[str, Any]] | None = None
        #: why there is no such image, by setting and region; None: there is one
        self._missing_images: dict[tuple[str, str], str | None] = {}
        self._kept = KeptSizes(master.cachedir, provider.name, str(self._account.endpoint or ""))

    @cached_property
    def _images(self) -> DropletImages:
        return DropletImages(lambda: self._api, self.master.owner, self._tagged, self._sleep)

    def _client(self) -> Callable[..., Any]:
        from hart_salt.drivers.do.client import Api

        return Api

    def ask_again(self) -> None:
        """Forget the list of sizes."""
        self._kept.forget()

    def check(self) -> str:
        """Get the account. A locked account cannot create anything."""
        account = self._api.get("account", "account")
        if account.get("status") == "locked":
            raise AuthError(f"DigitalOcean: the account is locked: {account.get('status_message', '')}")
        return f"account {account.get('email')}, up to {account.get('droplet_limit')} droplets"

    def _temporary(self, batch: str) -> Mapping[str, str]:
        """Return the batch's tag: tags outlive droplets, and nothing needs it after the batch."""
        return {f"tags/{self._batch_tag(batch)}": "tag of the batch"}

    @property
    def _batch_prefix(self) -> str:
        """The prefix of batch tags, with the owner: sweep must know a tag's owner, and a tag has only its name."""
        return f"hart-batch:{self.master.owner}:"

    def _batch_tag(self, batch: str) -> str:
        return f"{self._batch_prefix}{batch}"

    @property
    def _end_prefix(self) -> str:
        """The prefix of tags that say when a node ends, with the owner, for the same reason."""
        return f"{reports.ENDS}:{self.master.owner}:"

    def _end_tags(self, ends: float | None, batch: str) -> list[str]:
        return [f"{self._end_prefix}{batch}:{value}" for value in reports.end_mark(ends).values()]

    def _batch_of(self, report: Report) -> str:
        """Return the batch that the present end names: the tag of the batch goes when the batch is over."""
        named = [
            tag.split(":")[2]
            for tag in self._tags_of(report)
            if re.fullmatch(f"{reports.ENDS}:[^:]+:[^:]+:[0-9]+", tag)
        ]
        return next(iter(named), super()._batch_of(report))

    def launch(self, node: Node, user_data: str, access: Access) -> Instance:
        """Create the droplet and add it to its firewall."""
        # (koalalorenzo/python-digitalocean#264)
        of_vpc = "; the API gives this answer if vpc does not exist"
        try:
            droplet = self._create(node, self._body(node, user_data, access), access, of_vpc)
        except (InvalidRequest, NoCapacity):
            self._kept.forget()  # the size may be the reason, then the next call is refused before it changes anything
            raise
        self._join_firewall(node, droplet)
        return self._read(droplet)

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
            # The agent is for the web console, which would be one more way to log in.
            "with_droplet_agent": False,
            "public_networking": node.settings.public_ip,
        }
        # The API refuses null for these.
        optional = {"vpc_uuid": options.vpc, "volumes": options.volumes}
        return {**body, **{name: value for name, value in optional.items() if value}}

    def _tag_value(self, text: str) -> str:
        """Replace dots by colons: tags cannot contain dots; role names and minion ids cannot contain colons."""
        return text.replace(".", ":")

    def _instance(self, report: Report) -> Instance:
        return _instance(report)

    def _completed(self, reports: Sequence[Report]) -> Sequence[Report]:
        """
        Leave out reserved addresses: a droplet shows its own beside its public one, in no promised order.

        (digitalocean/godo#343) Only the account's list of reserved addresses shows which is which. Make one call, and
        only if a droplet has two public addresses. Without the right for it, either address leads to the droplet.
        """
        if all(len(_addresses(report, "public")) < 2 for report in reports):
            return reports
        try:
            reserved = self._addresses.reserved()
        except AuthError as error:
            log.warning("%s: hart cannot list the reserved addresses: %s", self.provider.name, error)
            return reports
        return [_without(report, reserved) for report in reports]

    def _join_firewall(self, node: Node, droplet: Mapping[str, Any]) -> None:
        """Add a droplet to its firewall. If that fails, terminate the droplet at once."""
        firewall = getattr(node.options, "firewall", None)
        if not firewall or not UUID.fullmatch(firewall):
            return
        try:
            self._api.add(f"firewalls/{firewall.lower()}/droplets", {"droplet_ids": [droplet["id"]]})
        except DriverError as error:
            with contextlib.suppress(DriverError):
                self.terminate(self._read(droplet))
            if isinstance(error, NotFound):
                raise InvalidRequest(f"DigitalOcean: there is no firewall {firewall}") from error
            raise

    def _set_tags(self, droplet: Report, wanted: Sequence[str]) -> None:
        """Set each tag with its own call, in the given order: the owner's tag comes last."""
        there = self._tags_of(droplet)
        body = {"resources": [{"resource_id": str(droplet["id"]), "resource_type": "droplet"}]}
        for tag in there:
            if tag not in wanted:
                self._api.take(f"tags/{tag}/resources", body)
        for tag in wanted:
            if tag not in there:
                self._api.add("tags", {"name": tag})  # success if it exists
                self._api.add(f"tags/{tag}/resources", body)

    def _tag_problem(self, name: str, value: str) -> str:
        tag = tagging.flat(name, value)
        if TAG.fullmatch(tag):
            return ""
        return f"the tag {tag} can contain only letters, digits, '_', '-' and ':' at DigitalOcean"

    def _terminate_once(self, instance_id: str) -> None:
        """Retry refusals: a new droplet may refuse (test-kitchen/kitchen-digitalocean#40, hashicorp/packer#1814)."""
        try:
            super()._terminate_once(instance_id)
        except InvalidRequest as error:
            raise StillThere(str(error)) from error

    def objections(self, node: Node) -> Sequence[str]:
        """Check the names, the firewall and an image that is no code name, with one call each for all nodes."""
        options: Any = node.options
        found = list(filter(None, (self._tag_problem(tag, "") for tag in reports.user_tags(node))))
        found += reports.tag_objections(node)
        if not NAME.fullmatch(node.minion_id):
            found.append("a droplet's name can contain only letters, digits, '-' and '.'")
        found += [*limits.no_zone(node, "DigitalOcean"), *limits.no_private_ipv6(node, "DigitalOcean")]
        if options.vpc and not UUID.fullmatch(options.vpc):
            found.append("vpc must be the VPC's UUID at DigitalOcean, not its name")
        if options.firewall and not self._is_firewall(options.firewall):
            # If no firewall has the tag, the droplet would be open to everyone.
            found.append(f"no firewall of the account has the id or the tag {options.firewall}")
        if node.settings.image not in IMAGES and (problem := self._image_problem(node)):
            found.append(problem)
        return found

    def lookups(self, node: Node) -> Mapping[str, Callable[[], str]]:
        """Look up the image, and the VPC."""
        options: Any = node.options
        network = {"network": lambda: self._find_vpc(options.vpc, node.region)} if options.vpc else {}
        return {"image": lambda: self._find_image(node), **network}

    def _find_vpc(self, vpc: str, region: str) -> str:
        """Return the name of a VPC. Raises ``InvalidRequest`` if the region does not have it."""
        try:
            found = self._api.get(f"vpcs/{vpc}", "vpc")
        except NotFound as error:
            raise InvalidRequest(f"the account has no VPC {vpc}") from error
        if found.get("region") != region:
            raise InvalidRequest(f"the VPC {vpc} is in {found.get('region')}, not in {region}")
        return f"{found.get('name') or vpc} in {region}"

    def _find_image(self, node: Node) -> str:
        """Return the name of the node's image. Raises ``InvalidRequest`` if its region does not have it."""
        wanted = _image(node.settings.image)
        try:
            image = self._api.get(f"images/{wanted}", "image")
        except NotFound as error:
            near = suggestion(node.settings.image, IMAGES)
            raise InvalidRequest(
                f"there is no image {node.settings.image}{near}; salt-run hart.list_images shows them"
            ) from error
        if not _is_in(image, node.region):
            raise InvalidRequest(f"the image {node.settings.image} is not available in {node.region}")
        return f"{image.get('slug') or image['id']} in {node.region}"

    def _image_problem(self, node: Node) -> str | None:
        """Return why the node's region lacks its image, with one call for all nodes; None if it has it."""
        wanted = (node.settings.image, node.region)
        if wanted not in self._missing_images:
            try:
                self._find_image(node)
            except InvalidRequest as error:
                self._missing_images[wanted] = str(error)
            else:
                self._missing_images[wanted] = None
        return self._missing_images[wanted]

    def check_quota(self, node: Node, count: int) -> Check:
        """Compare the account's limit with its droplets, of all owners, with two calls."""
        limit = int(self._api.get("account", "account").get("droplet_limit") or 0)
        there = self._api.total("droplets")
        said = f"the account has {there} of {limit} droplets"
        if limit and there + count > limit:
            return Check("quota", PROBLEM, f"{said}, so {count} more are too many: ask DigitalOcean to raise the limit")
        return Check("quota", OK if limit else UNKNOWN, said)

    def _is_firewall(self, wanted: str) -> bool:
        if self._firewalls is None:
            self._firewalls = self._api.get("firewalls", "firewalls")
        # Tags ignore case: the first spelling stays.
        return any(
            wanted.lower() in (it.get("id"), *(tag.lower() for tag in it.get("tags") or [])) for it in self._firewalls
        )

    def leftovers(self) -> list[Leftover]:
        """
        Return the temporary keys and tags of this master's batches, and half made images.

        The ends of droplets, and some marks of images, are a tag each. Tags outlive what has them, and DigitalOcean has
        no dates for tags.
        """
        listed = self._api.listed("tags", "tags")
        names = [tag["name"] for tag in listed]
        unused = [tag["name"] for tag in listed if (tag.get("resources") or {}).get("count") == 0]
        ends = [(name, name.split(":")[2]) for name in unused if re.fullmatch(f"{self._end_prefix}[^:]+:[0-9]+", name)]
        of_images = [(name, batch) for name in unused if (batch := self._images.batch_of_tag(name))]
        return [
            *super().leftovers(),
            *self._images.leftovers(),
            *(
                Leftover("tag", name, f"tags/{name}", name.removeprefix(self._batch_prefix))
                for name in names
                if name.startswith(self._batch_prefix)
            ),
            *(Leftover("tag", name, f"tags/{name}", batch) for name, batch in [*ends, *of_images]),
        ]

    def remove(self, leftover: Leftover) -> None:
        """Delete a half-made image, or the path that is the handle."""
        if not self._images.remove(leftover):
            super().remove(leftover)

    def regions(self) -> Sequence[Region]:
        """Return the regions, which have no zones."""
        return readable(self._api.get("regions", "regions"), _region)

    def sizes(self, region: str | None) -> Sequence[Size]:
        """Return the sizes with monthly prices. Sizes that are unavailable in the region are marked or omitted."""
        return _sizes_in(self._answers.once("sizes", self._offered), region)

    def _offered(self) -> list[dict[str, Any]]:
        offered: list[dict[str, Any]] = self._api.get("sizes", "sizes")
        self._kept.put(offered)
        return offered

    def size(self, name: str, region: str) -> Size | None:
        """Return a size that the list of an earlier call has and that was available, otherwise ask for the list."""
        kept = (one for one in _sizes_in(self._kept.get(), region) if one.name == name and one.available)
        return next(kept, None) or super().size(name, region)

    def prices(self, wanted: Mapping[str, Collection[str]]) -> Mapping[tuple[str, str], Price]:
        """Read the list of an earlier call, or ask for it: a size has the same price in every region."""
        known = {one.name: one.monthly_price for one in _sizes_in(self._kept.get(), None)}
        if not {name for names in wanted.values() for name in names} <= known.keys():
            known = {one.name: one.monthly_price for one in self.sizes(None)}
        every = [(region, name) for region, names in wanted.items() for name in names]
        return {(region, name): Price(price) for region, name in every if (price := known.get(name)) is not None}

    def images(self, region: str | None) -> Sequence[Image]:
        """Return the distributions that the bootstrap supports, by code name, and the account's own images."""
        offered = [it for it in self._api.get("images", "images", type="distribution") if _is_in(it, region)]
        own = [it for it in self._api.get("images", "images", private="true") if _is_in(it, region)]
        slugs = {image.get("slug") for image in offered}
        return [
            *(Image(name, slug, slug in slugs) for name, slug in IMAGES.items()),
            *readable(own, _own_image),
        ]


DRIVER = DigitalOcean


def _image(setting: str) -> str | int:
    """Return the API's value for a code name, the id of a snapshot, or a slug."""
    return int(setting) if setting.isdecimal() else IMAGES.get(setting, setting)


def _firewall_tags(firewall: str | None) -> list[str]:
    """Return the tag that adds a droplet to its firewall, if the setting is not the firewall's id."""
    return [firewall] if firewall and not UUID.fullmatch(firewall) else []


def _is_in(offer: Mapping[str, Any], region: str | None) -> bool:
    return region is None or (isinstance(offer, dict) and region in (offer.get("regions") or []))


def _region(one: Mapping[str, Any]) -> Region:
    return Region(required(one, "slug"), one.get("name") or "", (), one.get("available") is not False)


def _sizes_in(offered: Sequence[Mapping[str, Any]], region: str | None) -> list[Size]:
    return readable((it for it in offered if _is_in(it, region)), _size)


def _size(one: Mapping[str, Any]) -> Size:
    """Convert a size. Old answers do not say whether it is available: what is listed counts as available."""
    return Size(
        name=required(one, "slug"),
        memory_mb=int(required(one, "memory")),
        cpus=float(required(one, "vcpus")),
        disk_gb=number(one.get("disk")),
        monthly_price=number(one.get("price_monthly")),
        available=one.get("available") is not False,
        description=one.get("description") or "",
        arch="amd64",  # DigitalOcean has no other Droplets, and its API no field for it
    )


def _own_image(one: Mapping[str, Any]) -> Image:
    status = one.get("status") or "available"  # old answers have none
    return Image(str(required(one, "id")), one.get("name") or "", status == "available")


def _instance(droplet: Mapping[str, Any]) -> Instance:
    """Convert a report to an ``Instance``. Every field except the id may be missing; addresses have no order."""
    tags = reports.values(droplet.get("tags") or [])
    role, minion_id = (tags.get(name, "").replace(":", ".") for name in ("hart-role", "hart-minion"))
    return Instance(
        instance_id=str(droplet["id"]),
        minion_id=minion_id or droplet.get("name") or "",
        state=STATES.get(droplet.get("status") or "new", "pending"),
        role=role or None,
        batch=tags.get("hart-batch", "").rpartition(":")[2],
        region=(droplet.get("region") or {}).get("slug"),
        size=droplet.get("size_slug"),
        public_ip=next(iter(_addresses(droplet, "public")), None),
        private_ip=next(iter(_addresses(droplet, "private")), None),
        created=reports.seconds(droplet.get("created_at")),
        digest=reports.digest_in(tags.get(reports.DIGEST)),
        ends=reports.ends_of(droplet.get("tags") or []),
        protected=any(map(reports.is_protection, droplet.get("tags") or [])),
    )


def _addresses(droplet: Mapping[str, Any], kind: str) -> list[str]:
    networks = (droplet.get("networks") or {}).get("v4") or []
    return [str(it["ip_address"]) for it in networks if it and it.get("type") == kind and it.get("ip_address")]


def _without(droplet: Report, reserved: Collection[str]) -> Report:
    """Return a report without reserved addresses."""
    v4 = (droplet.get("networks") or {}).get("v4") or []
    return {**droplet, "networks": {"v4": [it for it in v4 if not it or it.get("ip_address") not in reserved]}}
