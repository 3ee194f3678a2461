"""The form of Vultr's answers: errors, times, pages, and its objects as JSON."""

from __future__ import annotations

import base64
import binascii
import datetime
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tests.drivers.vultr.emulator import catalog as catalogue
from tests.drivers.vultr.emulator.state import Group, Instance, Key, Reserved, Script, Snapshot, Vpc, World
from tests.emulation.http import Answer, Request
from tests.emulation.tables import tables_of
from tests.emulation.world import fields_of

Thing = TypeVar("Thing")

#: by status code, if no other message is known
MESSAGES = tables_of(__file__)
PER_PAGE_DEFAULT = 100
PER_PAGE_LIMIT = 500
CURSOR = "next__"
#: the value of an address field without an address
NOTHING = "0.0.0.0"  # noqa: S104 - nobody listens there


class Refusal(Exception):
    """The API refuses a request."""

    def __init__(self, status: int, message: str = "") -> None:
        self.status = status
        self.body = error(status, message)
        super().__init__(message)


def error(status: int, message: str = "") -> dict[str, Any]:
    """Return the body of an error."""
    return {"error": message or MESSAGES.get(status, "Server error."), "status": status}


def found(things: dict[Any, Thing], name: Any, what: str) -> Thing:
    """Return the entry with this id. Raises ``Refusal`` with 404 if there is none."""
    if name not in things:
        raise Refusal(404, f"Invalid {what}.")
    return things[name]


def iso(moment: float) -> str:
    """Return a time as the API writes it."""
    return datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).isoformat(timespec="seconds")


def page(world: World, request: Request, name: str, things: Sequence[Thing], show: Callable[[Thing], Any]) -> Answer:
    """Return one page of a list. A cursor names the next page; it is empty after the last one."""
    per_page = _per_page(world, request)
    start = _start(request)
    following = start + per_page if start + per_page < len(things) else None
    before = max(0, start - per_page) if start else None
    links = {"next": _cursor(following), "prev": _cursor(before)}
    shown = [show(thing) for thing in things[start : start + per_page]]
    return Answer(200, {name: shown, "meta": {"total": len(things), "links": links}})


def _per_page(world: World, request: Request) -> int:
    text = request.first("per_page")
    wanted = PER_PAGE_DEFAULT if text is None else int(text) if text.isdigit() else 0
    if not 1 <= wanted <= PER_PAGE_LIMIT:
        raise Refusal(400, "Invalid per_page.")
    return min(wanted, world.settings.page_cap or wanted)


def _cursor(start: int | None) -> str:
    return "" if start is None else base64.b64encode(f"{CURSOR}{start}".encode()).decode()


def _start(request: Request) -> int:
    text = request.first("cursor") or ""
    try:
        plain = base64.b64decode(text, validate=True).decode()
        return int(plain.removeprefix(CURSOR)) if plain else 0
    except (binascii.Error, ValueError) as problem:
        raise Refusal(400, "Invalid cursor.") from problem


def instance(world: World, it: Instance, *, password: bool = False) -> dict[str, Any]:
    """Return an instance as JSON. ``password`` adds the first password, as only the answer to its create has it."""
    now, plan = world.clock(), catalogue.plan(it.plan)
    active = it.is_active(now)
    shown = {
        "id": it.id,
        "os": "Snapshot" if it.snapshot else catalogue.system(it.os_id),
        "ram": plan["ram"],
        "disk": plan["disk"],
        "main_ip": _main_ip(world, it),
        "vcpu_count": plan["vcpu_count"],
        "region": it.region,
        "plan": it.plan,
        "date_created": iso(it.created),
        "status": "active" if active else "pending",
        "allowed_bandwidth": plan["bandwidth"],
        "netmask_v4": "255.255.254.0" if active and it.ipv4 else "",
        "gateway_v4": it.addresses.public.rsplit(".", 1)[0] + ".1" if active and it.addresses.public else NOTHING,
        # An instance that is being created is not on yet: a client must not mistake it for one that was turned off.
        "power_status": "running" if active and it.powered else "stopped",
        "server_status": _server_status(world, it),
        "v6_network": _v6(it, "") if active else "",
        "v6_main_ip": _v6(it, "5400:4ff:fe00:1") if active else "",
        "v6_network_size": 64 if active and it.ipv6 else 0,
        "label": it.label,
        "internal_ip": it.addresses.private if active and len(it.vpc_ids) == 1 else "",
        "kvm": f"https://my.vultr.com/subs/vps/novnc/api.php?data={it.console}",
        "hostname": it.hostname,
        "tag": it.tags[0] if it.tags else "",
        "tags": list(it.tags),
        "os_id": it.os_id,
        "app_id": 0,
        "image_id": "",
        "snapshot_id": it.snapshot.id if it.snapshot else "",
        "firewall_group_id": it.firewall_group_id,
        "features": [name for name, on in (("ipv6", it.ipv6), ("auto_backups", it.backups)) if on],
        "user_scheme": it.user_scheme,
        "vpc_only": it.vpc_only,
    }
    return {**shown, "default_password": it.password} if password else shown


def report(world: World, it: Instance) -> dict[str, Any]:
    """Return an instance as a client's request shows it. The request counts, see ``reported``."""
    shown = instance(world, it)
    return it.reported(shown, running=shown["status"] == "active")


def _main_ip(world: World, it: Instance) -> str:
    """Return the main address, 0.0.0.0 at first. The value without a public interface is not documented."""
    if world.clock() < it.active_at + world.settings.address_after or it.address_lists > 0:
        return NOTHING
    if it.vpc_only:
        return it.addresses.private
    return it.addresses.public or NOTHING


def _v6(it: Instance, host: str) -> str:
    """Return an address from the range for documentation, or an empty string without IPv6."""
    return f"2001:db8:{int(it.id[:4], 16):x}:{int(it.id[4:8], 16):x}:{host or ':'}" if it.ipv6 else ""


def _server_status(world: World, it: Instance) -> str:
    now = world.clock()
    if it.deleted_at is not None or now < it.created + world.settings.locked_for or is_saved(world, it):
        return "locked"
    if not it.is_active(now):
        return "none"
    return "ok" if now >= it.active_at + world.settings.ok_after else "installingbooting"


def is_saved(world: World, it: Instance) -> bool:
    """Return whether a snapshot of an instance is in the making."""
    return any(one.instance_id == it.id and one.status == "pending" for one in world.state.snapshots.values())


def key(it: Key) -> dict[str, Any]:
    """Return an SSH key as JSON."""
    return {"id": it.id, "date_created": iso(it.created), "name": it.name, "ssh_key": it.ssh_key}


def script(it: Script) -> dict[str, Any]:
    """Return a startup script as JSON."""
    return {"id": it.id, "date_created": iso(it.created), "date_modified": iso(it.created), "name": it.name,
            "type": it.type, "script": it.script}  # fmt: skip


def snapshot(it: Snapshot) -> dict[str, Any]:
    """Return a snapshot as JSON."""
    return {
        "id": it.id,
        "date_created": iso(it.created),
        "description": it.description,
        # A pending snapshot has the size 0 (apache/libcloud, fixtures/vultr_v2/ex_create_snapshot.json).
        "size": it.disk * 2**30 if it.status == "complete" else 0,
        "compressed_size": 2**30 if it.status == "complete" else 0,
        "status": it.status,
        "os_id": it.os_id,
        "app_id": 0,
    }


def vpc(it: Vpc) -> dict[str, Any]:
    """Return a VPC as JSON."""
    shown = fields_of(it, "id", "region", "description", "v4_subnet", "v4_subnet_mask")
    return {**shown, "date_created": iso(it.created)}


def reserved(it: Reserved) -> dict[str, Any]:
    """Return a reserved address as JSON."""
    return {"id": it.id, "region": it.region, "ip_type": "v4", "subnet": it.subnet, "subnet_size": 32,
            "label": it.label, "instance_id": it.instance_id}  # fmt: skip


def gateway(it: Vpc, gateway_id: str) -> dict[str, Any]:
    """Return a NAT gateway of a VPC as JSON (govultr, vpc.go)."""
    return {"id": gateway_id, "vpc_id": it.id, "date_created": iso(it.created), "status": "active", "label": "",
            "tag": "", "public_ips": ["192.0.2.9"], "public_ips_v6": [], "private_ips": []}  # fmt: skip


def group(world: World, it: Group) -> dict[str, Any]:
    """Return a firewall group as JSON. ``instance_count`` was missing while it had an instance (tent, 3.6)."""
    count = sum(one.firewall_group_id == it.id for one in world.state.instances.values())
    return {
        "id": it.id,
        "description": it.description,
        "date_created": iso(it.created),
        "date_modified": iso(it.created),
        **({} if count else {"instance_count": 0}),
        "rule_count": len(it.rules),
        "max_rule_count": 50,
    }
