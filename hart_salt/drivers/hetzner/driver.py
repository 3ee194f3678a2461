"""
Hetzner Cloud, through its API v1.

``client.py`` explains the names of sources.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from hart_salt.config.schema import Provider, Schema
from hart_salt.drivers import tags as reports
from hart_salt.drivers.catalog import readable
from hart_salt.drivers.hetzner import protection, rules
from hart_salt.drivers.hetzner.images import HetznerImages
from hart_salt.drivers.hetzner.power import HetznerPower
from hart_salt.drivers.hetzner.rules import IMAGES
from hart_salt.drivers.hetzner.settings import SCHEMA as SCHEMA
from hart_salt.drivers.hetzner.settings import Account as Account
from hart_salt.drivers.hetzner.settings import Options as Options
from hart_salt.drivers.power import Powered
from hart_salt.drivers.rest_driver import KeyedRestDriver, Report
from hart_salt.drivers.rest_images import RestImaged
from hart_salt.model import UNKNOWN, Access, Check, Image, Instance, MasterInfo, Node, Price, Region, Size

#: a migrating server runs; hart waits for a server with any other status, such as ``unknown`` (docs)
STATES = {"running": "running", "migrating": "running", "stopping": "stopped", "off": "stopped", "deleting": "gone"}


class Hetzner(Powered, RestImaged, KeyedRestDriver):
    """One project at Hetzner Cloud. Without an SSH key in the create call, it mails root's password to its owner."""

    schema: ClassVar[Schema] = SCHEMA
    boothooks: ClassVar[bool] = True
    vendor, needs = "Hetzner", "requests"
    path, field, id_pattern = "servers", "server", re.compile("[0-9]+")
    keys_path = "ssh_keys"
    no_addresses: ClassVar[str] = "its driver cannot add addresses, not even Hetzner's floating IPs"

    def __init__(self, provider: Provider, master: MasterInfo, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(provider, master, sleep)
        self._power = HetznerPower(lambda: self._api, self.instance, sleep)

    @cached_property
    def _images(self) -> HetznerImages:
        return HetznerImages(lambda: self._api, self.master.owner, self._sleep)

    def _client(self) -> Callable[..., Any]:
        from hart_salt.drivers.hetzner.client import Api

        return Api

    def check(self) -> str:
        """Count the servers: a token belongs to one project, but no call names the project (docs)."""
        pages = self._api.get("servers", "meta", per_page=1).get("pagination") or {}
        return f"a project with {pages.get('total_entries', 'some')} servers"

    def _key_body(self, batch: str, public_key: str) -> Mapping[str, Any]:
        own = ["hart", self._owner_tag, self._batch_tag(batch)]
        return {**super()._key_body(batch, public_key), "labels": rules.labels(own)}

    def launch(self, node: Node, user_data: str, access: Access) -> Instance:
        """Create the server."""
        return self._read(self._create(node, self._body(node, user_data, access), access))

    def _body(self, node: Node, user_data: str, access: Access) -> dict[str, Any]:
        options: Any = node.options
        body = {
            "name": node.minion_id,
            "location": node.region,
            "server_type": node.size,
            # A name has one image per architecture; Hetzner takes the one of the server type (docs).
            "image": rules.reference(IMAGES.get(node.settings.image, node.settings.image)),
            "ssh_keys": [access.handle["ssh_key"], *map(rules.reference, options.ssh_keys)],
            "labels": rules.labels(self._tags(node, access.batch)),
            "user_data": user_data,
            "public_net": {"enable_ipv4": node.settings.public_ip, "enable_ipv6": options.ipv6},
        }
        if options.network:
            body["networks"] = [rules.id_of(options.network, self._known("networks"), "network")]
        if options.firewall:
            body["firewalls"] = [{"firewall": rules.id_of(options.firewall, self._known("firewalls"), "firewall")}]
        return body

    def _tags_of(self, report: Report) -> Sequence[str]:
        return [f"{key}:{value}" if value else key for key, value in (report.get("labels") or {}).items()]

    def _set_tags(self, report: Report, wanted: Sequence[str]) -> None:
        """Make one call, which replaces all labels (docs)."""
        self._api.change(f"servers/{report['id']}", {"labels": rules.labels(wanted)})

    def _tag_problem(self, name: str, value: str) -> str:
        return rules.label_problem(name, value)

    def _listed(self, **query: str) -> list[dict[str, Any]]:
        asked = {"label_selector": query["tag"].replace(":", "=")} if "tag" in query else query
        listed: list[dict[str, Any]] = self._api.listed("servers", "servers", **asked)
        return listed

    def _instance(self, report: Report) -> Instance:
        """
        Convert a report to an ``Instance``. Every field except the id may be missing.

        A server that is off and locked is pending: a new server is off until its first start.
        """
        labels, public = report.get("labels") or {}, report.get("public_net") or {}
        place = report.get("location") or (report.get("datacenter") or {}).get("location") or {}
        state = STATES.get(report.get("status") or "", "pending")
        return Instance(
            instance_id=str(report["id"]),
            minion_id=labels.get("hart-minion") or report.get("name") or "",
            state="pending" if state == "stopped" and report.get("locked") else state,
            role=labels.get("hart-role"),
            batch=labels.get("hart-batch", ""),
            region=place.get("name"),
            size=(report.get("server_type") or {}).get("name"),
            public_ip=(public.get("ipv4") or {}).get("ip"),
            private_ip=next((it["ip"] for it in report.get("private_net") or () if it and it.get("ip")), None),
            created=reports.seconds(report.get("created")),
            digest=reports.digest_in(labels.get(reports.DIGEST)),
            ends=reports.ends_in(labels.get(reports.ENDS)),
            protected=protection.is_on(report) or any(map(reports.is_protection, self._tags_of(report))),
        )

    def _lock(self, report: Report, *, on: bool) -> None:
        protection.turn(self._api, report, self._sleep, on=on)

    reading: ClassVar[Sequence[str]] = ("lists, checks and plans",)

    def lookups(self, node: Node) -> Mapping[str, Callable[[], str]]:
        """Look up the image for the architecture of the size, and the private network."""
        options: Any = node.options
        network = {"network": lambda: rules.find_network(node, self._known)} if options.network else {}
        return {"image": lambda: rules.find_image(node, self._known), **network}

    def check_quota(self, node: Node, count: int) -> Check:
        """Report that Hetzner's API has no call for the limits of a project (docs)."""
        return Check("quota", UNKNOWN, "Hetzner's API does not report the limits of a project; its console shows them")

    def objections(self, node: Node) -> Sequence[str]:
        """Check what Hetzner would refuse."""
        return rules.objections(node, self._known)

    def regions(self) -> Sequence[Region]:
        """Return Hetzner's locations, which have no zones."""
        return readable(self._known("locations"), rules.region)

    def sizes(self, region: str | None) -> Sequence[Size]:
        """
        Return the server types with monthly prices before tax, in the project's currency.

        Prices do not include a public IPv4 address. Without a region, the price is the lowest of all locations.
        """
        currency = self._pricing().get("currency")
        types = (it for it in self._known("server_types") if region is None or region in rules.places(it))
        return readable(types, lambda one: rules.size(one, region, currency))

    def _pricing(self) -> Mapping[str, Any]:
        """Return the prices of the project. This driver object requests them once."""
        found: Mapping[str, Any] = self._answers.once("pricing", lambda: self._api.get("pricing", "pricing"))
        return found

    def image_price(self, region: str) -> Price | None:
        """Return the price in the project's currency, which is the same in all locations."""
        return rules.image_price(self._pricing())

    def images(self, region: str | None) -> Sequence[Image]:
        """Return the distributions that the bootstrap supports, by code name, and the project's snapshots."""
        offered = [one for one in self._known("images") if one.get("type") == "system"]
        snapshots = [one for one in self._known("images") if one.get("type") == "snapshot"]
        there = {
            name: [it.get("architecture") or "unknown" for it in offered if it.get("name") == of]
            for name, of in IMAGES.items()
        }
        return [
            *(Image(name, f"{IMAGES[name]} ({', '.join(sorted(has))})", bool(has)) for name, has in there.items()),
            *readable(snapshots, rules.snapshot),
        ]


DRIVER = Hetzner
