"""The account, its keys and scripts, and the catalogue."""

from __future__ import annotations

from tests.drivers.vultr.emulator import answers
from tests.drivers.vultr.emulator import catalog as catalogue
from tests.drivers.vultr.emulator.answers import Refusal
from tests.drivers.vultr.emulator.create import stock
from tests.drivers.vultr.emulator.routes import ROUTER, body_of, route, text
from tests.drivers.vultr.emulator.state import Key, Script, World
from tests.emulation.http import Answer, Request

NAME_LIMIT = 128  #: a longer name is truncated without an error (tent, 3.10)
PLAN_TYPES = ("all", "vbm", "vdc", "vhp", "vhf", "vc2", "voc", "vcg", "vdg", "vdm", "vx1", "voc-g", "voc-s", "voc-c",
              "voc-m")  # fmt: skip


@route("GET", "/account")
def account(world: World, request: Request) -> Answer:
    """Return the owner of the key."""
    facts = {
        "name": "Owner",
        "email": "owner@example.org",
        "acls": list(world.settings.acls),
        "balance": -5.5,
        "pending_charges": 0.1,
        "last_payment_date": "2026-10-10T01:56:20+00:00",
        "last_payment_amount": -1.25,
    }
    return Answer(200, {"account": facts})


# the catalogue, which needs no key


@route("GET", "/regions")
def list_regions(world: World, request: Request) -> Answer:
    """List all regions."""
    return answers.page(world, request, "regions", catalogue.regions(), lambda it: it)


@route("GET", "/regions/{}/availability")
def availability(world: World, request: Request, region: str) -> Answer:
    """Return the plans available in a region now. Observed lists for instances only in a VPC were always empty."""
    if region not in catalogue.REGIONS:
        raise Refusal(400, "Invalid region.")
    kind = _type(request)
    plans = [name for name in stock(world, region) if kind in ("all", catalogue.plan(name)["type"])]
    return Answer(200, {"available_plans": plans, "available_vpc_only_plans": []})


@route("GET", "/plans")
def list_plans(world: World, request: Request) -> Answer:
    """List all plans, with the regions that can ever have them."""
    kind = _type(request)
    plans = [plan for plan in catalogue.plans() if kind in ("all", plan["type"])]
    return answers.page(world, request, "plans", plans, lambda it: it)


def _type(request: Request) -> str:
    kind = request.first("type") or "all"
    if kind not in PLAN_TYPES:
        raise Refusal(400, f"Please provide a valid type: {', '.join(PLAN_TYPES)}")
    return kind


@route("GET", "/os")
def list_systems(world: World, request: Request) -> Answer:
    """List everything that an instance can be made from, and more."""
    return answers.page(world, request, "os", catalogue.systems(), lambda it: it)


# SSH keys


def _key(world: World, key_id: str) -> Key:
    return answers.found(world.state.keys, key_id, "SSH key ID")


# Machines keep a key that is deleted from the account.
ROUTER.lists("/ssh-keys", "keys", lambda world, it: answers.key(it), "ssh_keys")
ROUTER.shows("/ssh-keys", "ssh_key", _key, lambda world, it: answers.key(it))
ROUTER.deletes("/ssh-keys", "keys", _key)


@route("POST", "/ssh-keys")
def add_key(world: World, request: Request) -> Answer:
    """Add a key and answer 201. The same key can exist under another name."""
    data = body_of(request)
    line = text(data, "ssh_key").strip()
    if not line.startswith(("ssh-", "ecdsa-")) or len(line.split()) < 2:
        raise Refusal(400, "Invalid SSH key.")
    made = Key(world.uuid(), text(data, "name")[:NAME_LIMIT], line, world.clock())
    world.state.keys[made.id] = made
    return Answer(201, {"ssh_key": answers.key(made)})


@route("PATCH", "/ssh-keys/{}")
def change_key(world: World, request: Request, key_id: str) -> Answer:
    """Change a key and answer 204."""
    it, data = _key(world, key_id), body_of(request)
    it.name = str(data.get("name") or it.name)[:NAME_LIMIT]
    it.ssh_key = data.get("ssh_key") or it.ssh_key
    return Answer(204)


# startup scripts

ROUTER.lists("/startup-scripts", "scripts", lambda world, it: answers.script(it), "startup_scripts")


@route("POST", "/startup-scripts")
def add_script(world: World, request: Request) -> Answer:
    """Add a script and answer 201. No instance uses one here."""
    data = body_of(request)
    made = Script(world.uuid(), text(data, "name"), data.get("type") or "boot", text(data, "script"), world.clock())
    world.state.scripts[made.id] = made
    return Answer(201, {"startup_script": answers.script(made)})
