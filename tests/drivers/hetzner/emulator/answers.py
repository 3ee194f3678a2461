"""The form of Hetzner's answers: errors, times, pages, and its objects as JSON (docs.hetzner.cloud)."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tests.drivers.hetzner.emulator import catalog
from tests.drivers.hetzner.emulator.state import Action, Firewall, Key, Network, Server, Snapshot, World
from tests.emulation.http import Answer, Request
from tests.emulation.tables import tables_of

Thing = TypeVar("Thing")
PER_PAGE_DEFAULT, PER_PAGE_LIMIT = 25, 50
#: default code and message by status
MESSAGES = tables_of(__file__)


class Refusal(Exception):
    """The API refuses a request."""

    def __init__(self, status: int, message: str = "", code: str = "", fields: Sequence[str] = ()) -> None:
        self.status = status
        self.body = error(status, message, code, fields)
        super().__init__(message)


def error(status: int, message: str = "", code: str = "", fields: Sequence[str] = ()) -> dict[str, Any]:
    """Return the body of an error; ``fields`` are the fields of the request that it is about."""
    usual = MESSAGES.get(status, ("server_error", "an internal error occurred"))
    details = {"fields": [{"name": name, "messages": ["is wrong"]} for name in fields]} if fields else None
    return {"error": {"code": code or usual[0], "message": message or usual[1], "details": details}}


def invalid(field: str, message: str = "") -> Refusal:
    """Return the refusal of one field of a request."""
    return Refusal(422, message or f"invalid input in field '{field}'", "invalid_input", [field])


def found(things: dict[int, Thing], text: Any, what: str) -> Thing:
    """
    Return the resource with the id ``text``.

    Raises ``Refusal`` if there is none.
    """
    number = int(text) if str(text).isdecimal() else -1
    if number not in things:
        raise Refusal(404, f"{what} with ID '{text}' not found", "not_found")
    return things[number]


def iso(moment: float) -> str:
    """Return a time as the API writes it."""
    return datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).isoformat(timespec="seconds")


def page(world: World, request: Request, name: str, things: Sequence[Thing], show: Callable[[Thing], Any]) -> Answer:
    """Return one page of a list, with the number of the next page."""
    per_page, number = _number(request, "per_page", PER_PAGE_DEFAULT, PER_PAGE_LIMIT), _number(request, "page", 1, None)
    per_page = min(per_page, world.settings.page_cap or per_page)
    last = max(1, -(-len(things) // per_page))
    pages = {
        "page": number,
        "per_page": per_page,
        "previous_page": number - 1 if number > 1 else None,
        "next_page": number + 1 if number < last else None,
        "last_page": last,
        "total_entries": len(things),
    }
    shown = [show(thing) for thing in things[(number - 1) * per_page : number * per_page]]
    return Answer(200, {name: shown, "meta": {"pagination": pages}})


def _number(request: Request, name: str, default: int, limit: int | None) -> int:
    text = request.first(name)
    if text is None:
        return default
    if not text.isdecimal() or int(text) < 1 or (limit is not None and int(text) > limit):
        raise invalid(name)
    return int(text)


def server(world: World, it: Server) -> dict[str, Any]:
    """Return a server as JSON, with its public addresses from the first answer on."""
    now = world.clock()
    attached = it.network_ids if now >= it.created + world.settings.attached_after else []
    return {
        "id": it.id,
        "name": it.name,
        "status": status(it, now),
        "created": iso(it.created),
        "public_net": _public_net(it),
        "private_net": [
            {"network": one, "ip": it.addresses.private, "alias_ips": [], "mac_address": "86:00:00:2a:7d:e0"}
            for one in attached
        ],
        "server_type": catalog.server_type(it.server_type),
        "location": catalog.location(it.location),
        "image": it.image,
        "iso": None,
        "rescue_enabled": False,
        "locked": is_locked(world, it),
        "backup_window": None,
        "outgoing_traffic": 0,
        "ingoing_traffic": 0,
        "included_traffic": 21990232555520,
        "protection": dict.fromkeys(("delete", "rebuild"), it.is_protected(now)),
        "labels": dict(it.labels),
        "volumes": list(it.volumes),
        "load_balancers": [],
        "primary_disk_size": it.disk or catalog.server_type(it.server_type)["disk"],
        "placement_group": None,
    }


def report(world: World, it: Server) -> dict[str, Any]:
    """Return a server as a client's request shows it. The request counts, see ``reported``."""
    shown = server(world, it)
    return it.reported(shown, running=shown["status"] == "running")


def status(it: Server, now: float) -> str:
    """Return the status of a server."""
    if it.deleted_at is not None:
        return "deleting"
    if it.status:
        return it.status
    if now >= it.running_at:
        return "running"
    done = (now - it.created) / (it.running_at - it.created)
    return "initializing" if done < 0.5 else "off" if done < 0.6 else "starting"


def is_locked(world: World, it: Server) -> bool:
    """Return whether an action on the server is in progress."""
    now = world.clock()
    if it.is_busy():
        return True
    if it.status:
        return False
    return it.deleted_at is not None or now < it.running_at or now < it.created + world.settings.locked_for


def _public_net(it: Server) -> dict[str, Any]:
    ipv4 = {"id": it.id + 1, "ip": it.addresses.public, "blocked": False, "dns_ptr": f"{it.name}.example.net"}
    ipv6 = {"id": it.id + 2, "ip": f"2001:db8:{it.id:x}::/64", "blocked": False, "dns_ptr": []}
    return {
        "ipv4": ipv4 if it.ipv4 and it.address_lists <= 0 else None,
        "ipv6": ipv6 if it.ipv6 else None,
        "floating_ips": [],
        "firewalls": [{"id": one, "status": "applied"} for one in it.firewall_ids],
    }


def key(it: Key) -> dict[str, Any]:
    """Return an SSH key as JSON."""
    digest = hashlib.md5(it.public_key.split()[1].encode(), usedforsecurity=False).hexdigest()
    fingerprint = ":".join(digest[at : at + 2] for at in range(0, 32, 2))
    return {"id": it.id, "name": it.name, "fingerprint": fingerprint, "public_key": it.public_key,
            "labels": dict(it.labels), "created": iso(it.created)}  # fmt: skip


def network(world: World, it: Network) -> dict[str, Any]:
    """Return a private network as JSON."""
    subnets = [
        {"type": "cloud", "ip_range": f"10.120.{number}.0/24", "network_zone": zone, "gateway": "10.120.0.1"}
        for number, zone in enumerate(it.zones)
    ]
    servers = [one.id for one in world.state.servers.values() if it.id in one.network_ids]
    return {"id": it.id, "name": it.name, "ip_range": "10.120.0.0/16", "subnets": subnets, "routes": [],
            "servers": servers, "load_balancers": [], "protection": {"delete": False}, "labels": {},
            "expose_routes_to_vswitch": False, "created": iso(it.created)}  # fmt: skip


def firewall(world: World, it: Firewall) -> dict[str, Any]:
    """Return a firewall as JSON."""
    servers = [one.id for one in world.state.servers.values() if it.id in one.firewall_ids]
    return {"id": it.id, "name": it.name, "labels": {}, "rules": [], "created": iso(it.created),
            "applied_to": [{"type": "server", "server": {"id": one}} for one in servers]}  # fmt: skip


def snapshot(it: Snapshot) -> dict[str, Any]:
    """Return an image of the project as JSON; it has a description and no name."""
    system = catalog.system_images()[0]
    made_of = {"id": it.server[0], "name": it.server[1]} if it.server else None
    return {**system, "id": it.id, "type": "snapshot", "status": it.status, "name": None, "rapid_deploy": False,
            "description": it.description, "image_size": 2.3 if it.status == "available" else None,
            "disk_size": it.disk, "architecture": it.architecture, "created": iso(it.created), "created_from": made_of,
            "labels": dict(it.labels), "protection": {"delete": it.protected}}  # fmt: skip


def action(world: World, it: Action) -> dict[str, Any]:
    """Return an action as JSON, running or finished."""
    done = world.clock() >= it.done_at
    return {
        "id": it.id,
        "command": it.command,
        "status": ("error" if it.error else "success") if done else "running",
        "progress": 100 if done else 50,
        "started": iso(it.started),
        "finished": iso(it.done_at) if done else None,
        "resources": [{"id": it.server, "type": "server"}],
        "error": {"code": it.error[0], "message": it.error[1]} if done and it.error else None,
    }
