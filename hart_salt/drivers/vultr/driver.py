"""
Vultr, through its API v2.

``client.py`` explains the names of sources.
"""

from __future__ import annotations

import base64
import functools
import ipaddress
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from hart_salt.base.errors import AuthError
from hart_salt.config.schema import Provider, Schema
from hart_salt.drivers import tags as reports
from hart_salt.drivers.capabilities import AddressSupport
from hart_salt.drivers.catalog import number, objects, readable, required
from hart_salt.drivers.power import Powered
from hart_salt.drivers.rest_driver import Report, RestDriver
from hart_salt.drivers.rest_images import RestImaged
from hart_salt.drivers.vultr import images, rules
from hart_salt.drivers.vultr.addresses import VultrAddresses
from hart_salt.drivers.vultr.power import VultrPower
from hart_salt.drivers.vultr.rules import IMAGES, Known
from hart_salt.drivers.vultr.settings import SCHEMA as SCHEMA
from hart_salt.drivers.vultr.settings import Account as Account
from hart_salt.drivers.vultr.settings import Options as Options
from hart_salt.model import OK, UNKNOWN, Access, Check, Image, Instance, MasterInfo, Node, Price, Region, Size

#: the tag of an instance without a public IPv4 address: in lists it looks like one that has none yet
IPV6_ONLY = "hart-address:ipv6"
#: the entries of a user's access control list that nodes need; the account's owner has all (description, get-account)
ACLS = ("subscriptions", "provisioning")


class Vultr(AddressSupport, Powered, RestImaged, RestDriver):
    """One Vultr account."""

    schema: ClassVar[Schema] = SCHEMA
    vendor, needs = "Vultr", "requests"
    path, field, name_field = "instances", "instance", "label"
    query_names: ClassVar[Mapping[str, str]] = {"name": "label"}
    id_pattern = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
    #: root has a password from the start, sshd accepts it, and attacks begin within minutes (tent, 3.4 and 3.6)
    password_logins: ClassVar[bool] = True
    no_way_back: ClassVar[str] = "Vultr can only upgrade an instance"

    def __init__(self, provider: Provider, master: MasterInfo, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(provider, master, sleep)
        self._offer = Known(lambda: self._api)
        self._addresses = VultrAddresses(lambda: self._api, sleep)
        self._power = VultrPower(lambda: self._api, self.instance, sleep)

    @functools.cached_property
    def _images(self) -> images.VultrImages:
        return images.VultrImages(lambda: self._api, self.master.owner, self._sleep)

    def _client(self) -> Callable[..., Any]:
        from hart_salt.drivers.vultr.client import Api

        return Api

    def check(self) -> str:
        """Get the account."""
        account = self._api.get("account", "account")
        return f"account {account.get('email') or account.get('name')}"

    @contextmanager
    def access(self, batch: str, client_public_key: str, nodes: Sequence[Node]) -> Iterator[Access]:
        """
        Make nothing at Vultr: the script itself enables root's login, and the create call needs no key.

        An instance has at most one firewall group, which is the role's own. Vultr's images allow only SSH (tent, 3.6).
        """
        yield Access(batch, client_public_key)

    def launch(self, node: Node, user_data: str, access: Access) -> Instance:
        """Create the instance, which shows up in lists up to a second late (tent, 3.3)."""
        return self._read(self._create(node, self._body(node, user_data, access), access))

    def _body(self, node: Node, user_data: str, access: Access) -> dict[str, Any]:
        options: Any = node.options
        body = {
            "region": node.region,
            "plan": node.size,
            "label": node.minion_id,
            "hostname": node.minion_id,
            **self._offer.image(node.settings.image),
            # Vultr keeps tags as they are written (tent, 3.3); later ones are in lower case.
            "tags": self._tags(node, access.batch, *([IPV6_ONLY] if options.disable_public_ipv4 else [])),
            "user_data": base64.b64encode(user_data.encode()).decode(),
            "enable_ipv6": options.ipv6,
            "backups": "enabled" if options.backups else "disabled",
            "activation_email": False,
        }
        optional = {
            "attach_vpc": [options.vpc] if options.vpc else None,
            # The region's only VPC, which Vultr makes if there is none (description).
            "enable_vpc": node.settings.private_networking and not options.vpc,
            # No public address and no interface for one: all traffic goes through the VPC (tent, 3.9).
            "vpc_only": not node.settings.public_ip,
            "disable_public_ipv4": options.disable_public_ipv4,
            "firewall_group_id": options.firewall_group,
            "sshkey_id": options.ssh_keys,
        }
        return {**body, **{name: value for name, value in optional.items() if value}}

    def _instance(self, report: Report) -> Instance:
        return _instance(report)

    def _set_tags(self, report: Report, wanted: Sequence[str]) -> None:
        self._api.change(f"instances/{report['id']}", {"tags": list(wanted)})

    def settle(self, instance: Instance) -> None:
        """
        Do nothing: there is nothing to detach.

        The user-data stays readable on the instance. Replacing it would take one more call per node, and its failure
        would roll back a healthy minion; its content is worthless once the node is sealed.
        """

    def lookups(self, node: Node) -> Mapping[str, Callable[[], str]]:
        """Look up the image, and the VPC."""
        options: Any = node.options
        network = {"network": lambda: rules.find_network(node, self._offer)} if options.vpc else {}
        return {"image": lambda: rules.find_image(node, self._offer), **network}

    def check_rights(self, node: Node) -> Check:
        """Read what hart reads, and the older access control list of the key's user if the account reports it."""
        read = super().check_rights(node)
        acls = self._api.get("account", "account").get("acls")
        if read.result != UNKNOWN or not isinstance(acls, list) or not acls:
            return read
        lacking = [name for name in ACLS if name not in acls]
        if lacking:
            said = f"the access control list of the key's user lacks {' and '.join(lacking)}"
            return Check("rights", AuthError.__name__, f"Vultr: {said}: add it in Vultr's console under Users")
        return Check("rights", OK, f"the access control list of the key's user has {' and '.join(ACLS)}")

    def check_quota(self, node: Node, count: int) -> Check:
        """Report that Vultr's API has no call for the limits of an account (description)."""
        return Check("quota", UNKNOWN, "Vultr's API does not report the limits of an account")

    def objections(self, node: Node) -> Sequence[str]:
        """Check what Vultr would refuse, or accept and do differently."""
        return rules.objections(node, self._offer)

    def regions(self) -> Sequence[Region]:
        """Return the regions, which have no zones."""
        return readable(self._offer.listed("regions", "regions"), _region)

    def sizes(self, region: str | None) -> Sequence[Size]:
        """
        Return the plans with monthly prices; with a region, its plans and whether each is available now.

        A plan's own list of locations does not say what is in stock. The price is unknown in locations with their own
        price (tent, 3.8): the format of those prices is not documented.
        """
        now = self._offer.available(region) if region else None
        plans = self._offer.listed("plans", "plans")
        here = (it for it in plans if now is None or it.get("id") in now or region in (it.get("locations") or []))
        return readable(here, lambda plan: _size(plan, region, now))

    def prices(self, wanted: Mapping[str, Collection[str]]) -> Mapping[tuple[str, str], Price]:
        """List all plans; what is in stock in a region does not matter here."""
        plans = objects(self._offer.listed("plans", "plans"))
        found: dict[tuple[str, str], Price] = {}
        for region, names in wanted.items():
            read = functools.partial(_size, region=region, now=None)
            here = readable((plan for plan in plans if plan.get("id") in names), read)
            found |= {(region, one.name): Price(one.monthly_price) for one in here if one.monthly_price is not None}
        return found

    def images(self, region: str | None) -> Sequence[Image]:
        """Return the distributions that the bootstrap supports, by code name, and the account's snapshots."""
        found = {name: self._offer.os_named(name) for name in IMAGES}
        snapshots = self._api.listed("snapshots", "snapshots")
        return [
            *(Image(name, os["name"] if os else "", os is not None) for name, os in found.items()),
            *readable(snapshots, _snapshot),
        ]

    def image_price(self, region: str) -> Price:
        """Return Vultr's list price, which is the same everywhere."""
        return images.PRICE


DRIVER = Vultr


def _region(one: Mapping[str, Any]) -> Region:
    return Region(required(one, "id"), ", ".join(filter(None, (one.get("city"), one.get("country")))))


def _size(plan: Mapping[str, Any], region: str | None, now: Collection[str] | None) -> Size:
    """Convert a plan; ``now`` are the plans that are available in the region now."""
    own_price = region in (plan.get("location_cost") or ())
    return Size(
        name=required(plan, "id"),
        memory_mb=int(required(plan, "ram")),
        cpus=float(required(plan, "vcpu_count")),
        disk_gb=number(plan.get("disk")),
        monthly_price=None if own_price else number(plan.get("monthly_cost")),
        available=bool(plan.get("locations")) if now is None else plan["id"] in now,
        description=plan.get("type") or "",
        arch="amd64",  # its images are all x64 (GET /os), and its plans have no field for it
    )


def _snapshot(one: Mapping[str, Any]) -> Image:
    return Image(required(one, "id"), one.get("description") or "", one.get("status") == "complete")


def _instance(report: Mapping[str, Any]) -> Instance:
    """Convert a report to an ``Instance``. Every field except the id may be missing."""
    flat = report.get("tags") or []
    tags = reports.values(flat)
    public = _address(report, "v6_main_ip" if IPV6_ONLY in flat else "main_ip")
    return Instance(
        instance_id=str(report["id"]),
        minion_id=tags.get("hart-minion") or report.get("label") or "",
        state=_state(report),
        role=tags.get("hart-role"),
        batch=tags.get("hart-batch", ""),
        region=report.get("region"),
        size=report.get("plan"),
        public_ip=None if report.get("vpc_only") else public,
        private_ip=_address(report, "internal_ip"),
        created=reports.seconds(report.get("date_created")),
        problem="Vultr has suspended it" if report.get("status") == "suspended" else "",
        digest=reports.digest_in(tags.get(reports.DIGEST)),
        ends=reports.ends_of(flat),
        protected=any(map(reports.is_protection, flat)),
    )


def _state(report: Mapping[str, Any]) -> str:
    """
    Return the state of an instance.

    An active instance is running whatever ``server_status`` says, because for some it never becomes ok
    (vultr/docker-machine-driver-vultr#15). But while it is not ok, a stopped instance is still being installed.
    """
    status = report.get("status")
    if status == "suspended":
        return "stopped"
    if status != "active":
        return "pending"
    if report.get("power_status") != "stopped":
        return "running"
    return "stopped" if report.get("server_status") == "ok" else "pending"


def _address(report: Mapping[str, Any], name: str) -> str | None:
    """Return an address, or None: before an instance has one, the field is empty or ``0.0.0.0``."""
    try:
        address = ipaddress.ip_address(str(report.get(name) or ""))
    except ValueError:
        return None
    return None if address.is_unspecified else str(address)
