"""The form of DigitalOcean's answers: errors, times, pages, and its objects as JSON."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from tests.drivers.do.emulator import catalog as catalogue
from tests.drivers.do.emulator.state import Action, Droplet, Firewall, Image, Key, Reserved, Volume, Vpc, World
from tests.emulation.http import Answer, Request
from tests.emulation.tables import tables_of
from tests.emulation.world import fields_of

Thing = TypeVar("Thing")

_TABLES = tables_of(__file__)
#: by status code
ERROR_IDS, MESSAGES = _TABLES["ids"], _TABLES["messages"]
PER_PAGE_DEFAULT = 20
REQUEST_ID = "00000000-0000-4000-8000-000000000000"  # of every refused request
PER_PAGE_LIMIT = 200


class Refusal(Exception):
    """The API refuses a request."""

    def __init__(self, status: int, message: str = "", body: Any = None) -> None:
        self.status = status
        self.body = body or error(status, message)
        super().__init__(message)


def error(status: int, message: str = "") -> dict[str, str]:
    """Return the body of an error; only the errors of ``POST /v2/tags`` have another form."""
    return {
        "id": ERROR_IDS.get(status, "server_error"),
        "message": message or MESSAGES.get(status, "Server was unable to give you a response."),
        "request_id": REQUEST_ID,
    }


def found(things: dict[Any, Thing], name: Any) -> Thing:
    """Return the entry with this name or id. Raises ``Refusal`` with 404 if there is none."""
    if name not in things:
        raise Refusal(404)
    return things[name]


def number(text: str) -> int:
    """Return the id in a path. Raises ``Refusal`` with 404 if it is not a number."""
    if not text.isdigit():
        raise Refusal(404)
    return int(text)


def iso(moment: float) -> str:
    """Return a time as the API writes it."""
    return datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def page(world: World, request: Request, name: str, things: Sequence[Thing], show: Callable[[Thing], Any]) -> Answer:
    """Return one page of a list, with absolute links to other pages on the host of the request."""
    per_page = _count(request, "per_page", PER_PAGE_DEFAULT, PER_PAGE_LIMIT)
    if world.settings.page_cap is not None:
        per_page = min(per_page, world.settings.page_cap)
    current = _count(request, "page", 1, None)
    last = max(1, -(-len(things) // per_page))
    shown = [show(thing) for thing in things[(current - 1) * per_page : current * per_page]]
    pages: dict[str, int] = {}
    if current > 1:
        pages |= {"first": 1, "prev": current - 1}
    if current < last:
        pages |= {"next": current + 1, "last": last}
    links = {"pages": {rel: _link(request, at, per_page) for rel, at in pages.items()}} if pages else {}
    return Answer(200, {name: shown, "links": links, "meta": {"total": len(things)}})


def _count(request: Request, name: str, default: int, limit: int | None) -> int:
    text = request.first(name)
    if text is None:
        return default
    if not text.isdigit() or int(text) < 1 or (limit is not None and int(text) > limit):
        raise Refusal(422, f"{name} must be a number from 1{f' to {limit}' if limit else ''}")
    return int(text)


def _link(request: Request, at: int, per_page: int) -> str:
    query = {**request.query, "page": [str(at)], "per_page": [str(per_page)]}
    return f"{request.base_url}{request.path}?{urlencode(query, doseq=True)}"


def key(it: Key) -> dict[str, Any]:
    """Return an SSH key as JSON."""
    return {"id": it.id, "name": it.name, "fingerprint": it.fingerprint, "public_key": it.public_key}


def image(it: Image) -> dict[str, Any]:
    """Return an image as JSON."""
    return {
        **fields_of(it, "id", "name", "distribution", "slug", "public", "min_disk_size", "type", "size_gigabytes"),
        "regions": list(it.regions),
        "created_at": iso(it.created),
        "description": f"{it.distribution} {it.name}",
        "tags": list(it.tags),
        "status": "available",
        "error_message": "",
    }


def action(world: World, it: Action) -> dict[str, Any]:
    """Return an action as JSON. A create is completed once the droplet is active."""
    done = world.clock() >= it.done
    return {
        "id": it.id,
        "status": ("errored" if it.failed else "completed") if done else "in-progress",
        "type": it.type,
        "started_at": iso(it.started),
        "completed_at": iso(it.done) if done else None,
        "resource_id": it.resource_id,
        "resource_type": it.resource_type,
        "region": catalogue.region(it.region),
        "region_slug": it.region,
    }


def droplet(world: World, it: Droplet) -> dict[str, Any]:
    """Return a droplet as JSON."""
    now = world.clock()
    size = catalogue.size(it.size)
    status = it.status(now)
    backups = {"start": iso(now + 3600), "end": iso(now + 3600 * 24)} if it.backups else None
    return {
        "id": it.id,
        "name": it.name,
        "memory": size["memory"],
        "vcpus": size["vcpus"],
        "disk": it.disk or size["disk"],
        "disk_info": size["disk_info"],
        "locked": status == "new" or it.deleted_at is not None or it.is_busy(),
        "status": status,
        "kernel": None,
        "created_at": iso(it.created),
        "features": _features(it),
        "backup_ids": [],
        "next_backup_window": backups,
        "snapshot_ids": [],
        "image": image(it.image),
        "volume_ids": list(it.volume_ids),
        "size": size,
        "size_slug": it.size,
        "networks": _networks(world, it, now),
        "region": catalogue.region(it.region),
        "tags": list(it.tags),
        "vpc_uuid": it.vpc_uuid,
    }


def report(world: World, it: Droplet) -> dict[str, Any]:
    """Return a droplet as a client's request shows it. The request counts, see ``reported``."""
    shown = droplet(world, it)
    return it.reported(shown, running=shown["status"] != "new")


def _features(it: Droplet) -> list[str]:
    wanted = {
        "backups": it.backups,
        "monitoring": it.monitoring,
        "droplet_agent": it.with_droplet_agent is not False,
        "ipv6": it.ipv6,
        "private_networking": True,
    }
    return [name for name, on in wanted.items() if on]


def _networks(world: World, it: Droplet, now: float) -> dict[str, Any]:
    """Return no addresses at first, and later the private, the public and the reserved one, in random order."""
    if it.status(now) == "new" or now < it.active_at + world.settings.address_after or it.address_lists > 0:
        return {} if world.settings.bare_networks else {"v4": [], "v6": []}
    v4 = [_v4(it.addresses.private, "255.255.240.0", "private")]
    if it.addresses.public:
        v4.append(_v4(it.addresses.public, "255.255.240.0", "public"))
    # (digitalocean/godo#343)
    v4 += [_v4(one.ip, "255.255.240.0", "public") for one in world.state.reserved.values() if one.holder(now) == it.id]
    world.chance.shuffle(v4)
    return {"v4": v4, "v6": [_v6(it.id)] if it.ipv6 else []}


def _v4(address: str, netmask: str, kind: str) -> dict[str, str]:
    gateway = address.rsplit(".", 1)[0] + ".1"
    return {"ip_address": address, "netmask": netmask, "gateway": gateway, "type": kind}


def _v6(droplet_id: int) -> dict[str, Any]:
    text = f"2001:db8:0:{droplet_id >> 16:x}:0:{droplet_id & 0xFFFF:x}::2"
    return {"ip_address": text.replace("::2", ":0:2"), "netmask": 64, "gateway": "2001:db8::1", "type": "public"}


def tag(world: World, name: str) -> dict[str, Any]:
    """Return a tag as JSON, with the number of its resources."""
    droplets = [it for it in world.state.droplets.values() if name in it.tags]
    counts: dict[str, int] = {
        "droplets": len(droplets),
        "images": sum(name in it.tags for it in world.state.images.values()),
        "volumes": sum(name in it.tags for it in world.state.volumes.values()),
        "volume_snapshots": 0,
        "databases": 0,
    }
    resources: dict[str, Any] = {kind: {"count": count} for kind, count in counts.items()}
    return {"name": name, "resources": {"count": sum(counts.values()), **resources}}


def firewall(it: Firewall) -> dict[str, Any]:
    """Return a firewall as JSON. Changes take effect on the droplets at once."""
    return {
        "id": it.id,
        "name": it.name,
        "status": "succeeded",
        "created_at": iso(it.created),
        "pending_changes": [],
        "inbound_rules": it.inbound_rules,
        "outbound_rules": it.outbound_rules,
        "droplet_ids": list(it.droplet_ids),
        "tags": list(it.tags),
    }


def volume(it: Volume) -> dict[str, Any]:
    """Return a volume as JSON."""
    return {
        **fields_of(it, "id", "name", "description"),
        "size_gigabytes": it.size,
        "droplet_ids": list(it.droplet_ids),
        "region": catalogue.region(it.region),
        "created_at": iso(it.created),
        "filesystem_type": "",
        "filesystem_label": "",
        "tags": list(it.tags),
    }


def reserved(world: World, it: Reserved) -> dict[str, Any]:
    """Return a reserved address as JSON, with all fields of the droplet that has it."""
    now = world.clock()
    holder = world.state.droplets.get(it.holder(now) or 0)
    return {
        "ip": it.ip,
        "region": catalogue.region(it.region),
        "droplet": droplet(world, holder) if holder else None,
        "locked": it.is_locked(now),
        "project_id": "746c6152-2fa2-11ed-92d3-27aaa54e4988",
    }


def vpc(it: Vpc) -> dict[str, Any]:
    """Return a VPC as JSON."""
    return {
        "id": it.id,
        "urn": f"do:vpc:{it.id}",
        "name": it.name,
        "description": it.description,
        "region": it.region,
        "ip_range": it.ip_range,
        "created_at": iso(it.created),
        "default": it.default,
    }
