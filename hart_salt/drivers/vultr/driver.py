"""
Vultr, through its API v2.

Sources of facts about the API are named as in ``client.py``.
"""

from __future__ import annotations

import base64
import ipaddress
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from hart_salt.config.schema import Provider, Schema
from hart_salt.drivers import tags as reports
from hart_salt.drivers.capabilities import AddressSupport
from hart_salt.drivers.rest_driver import Report, RestDriver
from hart_salt.drivers.vultr import rules
from hart_salt.drivers.vultr.addresses import VultrAddresses
from hart_salt.drivers.vultr.rules import IMAGES, Known
from hart_salt.drivers.vultr.settings import SCHEMA as SCHEMA
from hart_salt.drivers.vultr.settings import Account as Account
from hart_salt.drivers.vultr.settings import Options as Options
from hart_salt.model import Access, Image, Instance, MasterInfo, Node, Region, Size

#: marks an instance without a public IPv4 address: lists do not tell it from one that has none yet
IPV6_ONLY = "hart-address:ipv6"


class Vultr(AddressSupport, RestDriver):
    """One Vultr account."""

    schema: ClassVar[Schema] = SCHEMA
    vendor, needs = "Vultr", "requests"
    path, field, name_field = "instances", "instance", "label"
    query_names: ClassVar[Mapping[str, str]] = {"name": "label"}
    id_pattern = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
    #: root has a password from the start, sshd takes it, and guessing begins within minutes (tent, 3.4 and 3.6)
    password_logins: ClassVar[bool] = True

    def __init__(self, provider: Provider, master: MasterInfo, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(provider, master, sleep)
        self._offer = Known(lambda: self._api)
        self._addresses = VultrAddresses(lambda: self._api, sleep)

    def _client(self) -> Callable[..., Any]:
        from hart_salt.drivers.vultr.client import Api

        return Api

    def check(self) -> str:
        """Ask for the account."""
        account = self._api.get("account", "account")
        return f"account {account.get('email') or account.get('name')}"

    @contextmanager
    def access(self, batch: str, client_public_key: str, nodes: Sequence[Node]) -> Iterator[Access]:
        """
        Nothing is made at Vultr: the script itself lets root in, and no key is asked for at a create.

        An instance has one firewall group at the most, which is the role's own; Vultr's images let in nothing but
        SSH (tent, 3.6).
        """
        yield Access(batch, client_public_key)

    def launch(self, node: Node, user_data: str, access: Access) -> Instance:
        """As the base creates; an instance shows in lists up to a second late (tent, 3.3)."""
        return _instance(self._create(node, self._body(node, user_data, access), access))

    def _body(self, node: Node, user_data: str, access: Access) -> dict[str, Any]:
        options: Any = node.options
        body = {
            "region": node.region,
            "plan": node.size,
            "label": node.minion_id,
            "hostname": node.minion_id,
            **self._offer.image(node.settings.image),
            # They are kept as they are written (tent, 3.3); those that are asked for later are in lower case.
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
            # Neither a public address nor an interface for one; all goes through the VPC (tent, 3.9).
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
        Nothing to detach.

        The user-data stays readable on the instance. Replacing it would be a call more for each node, and one that
        takes back a sound minion when it fails; what it holds is worth nothing once the node is sealed.
        """

    def objections(self, node: Node) -> Sequence[str]:
        """What Vultr would refuse, or take and do something else."""
        return rules.objections(node, self._offer)

    def regions(self) -> Sequence[Region]:
        """Vultr has no zones."""
        return [
            Region(one["id"], ", ".join(filter(None, (one.get("city"), one.get("country")))))
            for one in self._offer.listed("regions", "regions")
        ]

    def sizes(self, region: str | None) -> Sequence[Size]:
        """
        Plans with what a month costs; with a region, those that it has, and which can be had now.

        A plan's own list of places does not say what is in stock. In a place that has a price of its own (tent, 3.8)
        the price is not known: how Vultr tells that is not described.
        """
        now = self._offer.available(region) if region else None
        return [
            Size(
                name=plan["id"],
                memory_mb=int(plan["ram"]),
                cpus=float(plan["vcpu_count"]),
                disk_gb=float(plan["disk"]),
                monthly_price=None if region in (plan.get("location_cost") or ()) else float(plan["monthly_cost"]),
                available=bool(plan.get("locations")) if now is None else plan["id"] in now,
                description=plan.get("type", ""),
            )
            for plan in self._offer.listed("plans", "plans")
            if now is None or plan["id"] in now or region in (plan.get("locations") or [])
        ]

    def images(self, region: str | None) -> Sequence[Image]:
        """The distributions that the bootstrap knows, by code name, and the account's snapshots."""
        found = {name: self._offer.os_named(name) for name in IMAGES}
        snapshots = self._api.listed("snapshots", "snapshots")
        return [
            *(Image(name, os["name"] if os else "", os is not None) for name, os in found.items()),
            *(Image(one["id"], one.get("description", ""), one.get("status") == "complete") for one in snapshots),
        ]


DRIVER = Vultr


def _instance(report: Mapping[str, Any]) -> Instance:
    """Every field but the id may be missing."""
    flat = report.get("tags") or []
    tags = reports.values(flat)
    public = _address(report, "v6_main_ip" if IPV6_ONLY in flat else "main_ip")
    return Instance(
        instance_id=str(report["id"]),
        minion_id=tags.get("hart-minion") or report.get("label", ""),
        state=_state(report),
        role=tags.get("hart-role"),
        batch=tags.get("hart-batch", ""),
        region=report.get("region"),
        size=report.get("plan"),
        public_ip=None if report.get("vpc_only") else public,
        private_ip=_address(report, "internal_ip"),
        created=reports.seconds(report.get("date_created")),
        problem="Vultr has suspended it" if report.get("status") == "suspended" else "",
    )


def _state(report: Mapping[str, Any]) -> str:
    """
    What is active runs, whatever ``server_status`` says: that of some never became ok.

    (vultr/docker-machine-driver-vultr#15) But while it does not say ok, an instance that is switched off is being
    installed.
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
    """``0.0.0.0`` and nothing are what stands there before there is one."""
    try:
        address = ipaddress.ip_address(str(report.get(name) or ""))
    except ValueError:
        return None
    return None if address.is_unspecified else str(address)
