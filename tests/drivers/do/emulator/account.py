"""The account, its SSH keys and tags, and the catalogue."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Any

from tests.drivers.do.emulator import answers
from tests.drivers.do.emulator import catalog as catalogue
from tests.drivers.do.emulator.answers import Refusal
from tests.drivers.do.emulator.create import TAG
from tests.drivers.do.emulator.routes import ROUTER, body_of, route, text
from tests.drivers.do.emulator.state import Droplet, Firewall, Image, Key, Volume, World
from tests.emulation.http import Answer, Request

KEY_TYPES = (
    "ssh-rsa",
    "ssh-dss",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-ed25519",
)


@route("GET", "/account")
def account(world: World, request: Request) -> Answer:
    """Return the owner of the token and the account's limit of droplets."""
    facts = {
        "droplet_limit": world.settings.droplet_limit,
        "floating_ip_limit": 3,
        "email": "owner@example.org",
        "name": "Owner",
        "uuid": "b6fr89dbf6d9156cace5f3c78dc9851d957381ef",
        "email_verified": True,
        "status": "active",
        "status_message": "",
        "team": {"uuid": "5df3e3004a17e242b7c20ca6c9fc25b701a47ece", "name": "My Team"},
    }
    return Answer(200, {"account": facts})


@route("GET", "/regions")
def list_regions(world: World, request: Request) -> Answer:
    """List the regions, including closed ones."""
    return answers.page(world, request, "regions", catalogue.regions(), lambda it: it)


@route("GET", "/sizes")
def list_sizes(world: World, request: Request) -> Answer:
    """List the sizes, including retired ones; ``available`` is false for one that is sold out."""
    sold_out = world.settings.sold_out_sizes
    sizes = [{**it, "available": it["available"] and it["slug"] not in sold_out} for it in catalogue.sizes()]
    return answers.page(world, request, "sizes", sizes, lambda it: it)


# keys


@route("POST", "/account/keys")
def add_key(world: World, request: Request) -> Answer:
    """Add a key and answer 201. A key that the account already has is refused, whatever its name."""
    data = body_of(request)
    name, public_key = text(data, "name"), text(data, "public_key").strip()
    fingerprint = _fingerprint(public_key)
    if any(key.fingerprint == fingerprint for key in world.state.keys.values()):
        raise Refusal(422, "SSH Key is already in use on your account")
    key = Key(next(world.ids), name, public_key, fingerprint)
    world.state.keys[key.id] = key
    return Answer(201, {"ssh_key": answers.key(key)})


@route("PUT", "/account/keys/{}")
def rename_key(world: World, request: Request, name: str) -> Answer:
    """Rename a key; the key itself cannot be changed."""
    key = _key(world, name)
    key.name = text(body_of(request), "name")
    return Answer(200, {"ssh_key": answers.key(key)})


def _key(world: World, name: str) -> Key:
    for key in world.state.keys.values():
        if name in (str(key.id), key.fingerprint):
            return key
    raise Refusal(404)


# This list has its own limit of 10 calls in 60 seconds. Machines keep a key that is deleted from the account.
ROUTER.lists("/account/keys", "keys", lambda world, it: answers.key(it), "ssh_keys")
ROUTER.shows("/account/keys", "ssh_key", _key, lambda world, it: answers.key(it))
ROUTER.deletes("/account/keys", "keys", _key)


def _fingerprint(public_key: str) -> str:
    """Return the MD5 of the key's bytes, the old form of OpenSSH's fingerprints."""
    words = public_key.split(None, 2)
    try:
        blob = base64.b64decode(words[1], validate=True) if len(words) > 1 else b""
    except binascii.Error:
        blob = b""
    kind = words[0].encode()
    if words[0] not in KEY_TYPES or not blob.startswith(len(kind).to_bytes(4, "big") + kind):
        raise Refusal(422, f"Key invalid, key should be of type {', '.join(KEY_TYPES)}")
    digest = hashlib.md5(blob, usedforsecurity=False).hexdigest()
    return ":".join(re.findall("..", digest))


# tags


@route("GET", "/tags")
def list_tags(world: World, request: Request) -> Answer:
    """List the tags; a tag remains when its resources are deleted."""
    names = list(world.state.tags.values())
    return answers.page(world, request, "tags", names, lambda it: answers.tag(world, it))


def _check_tag(data: dict[str, Any]) -> None:
    """Refuse an invalid tag. This is the only error body without ``id`` and ``message``."""
    name = data.get("name")
    if not isinstance(name, str) or not TAG.fullmatch(name):
        problem = "name only allows alphanumeric characters, dashes, underscores, and colons"
        raise Refusal(400, body={"error": problem, "messages": [problem], "root_causes": []})


@route("POST", "/tags", check=_check_tag)
def add_tag(world: World, request: Request) -> Answer:
    """Create a tag and answer 201, even if the tag exists."""
    return Answer(201, {"tag": answers.tag(world, world.name_tag(body_of(request)["name"]))})


@route("GET", "/tags/{}")
def get_tag(world: World, request: Request, name: str) -> Answer:
    """Return a tag; its name is not case-sensitive."""
    return Answer(200, {"tag": answers.tag(world, answers.found(world.state.tags, name.lower()))})


@route("DELETE", "/tags/{}")
def delete_tag(world: World, request: Request, name: str) -> Answer:
    """Delete a tag and remove it from all resources."""
    spelling = answers.found(world.state.tags, name.lower())
    tagged: tuple[Droplet | Image | Volume | Firewall, ...] = (
        *world.state.droplets.values(),
        *world.state.images.values(),
        *world.state.volumes.values(),
        *world.state.firewalls.values(),
    )
    for thing in tagged:
        thing.tags = [tag for tag in thing.tags if tag != spelling]
    del world.state.tags[name.lower()]
    return Answer(204)


@route("POST", "/tags/{}/resources")
def tag_resources(world: World, request: Request, name: str) -> Answer:
    """Add an existing tag to resources and answer 204."""
    spelling = answers.found(world.state.tags, name.lower())
    for thing in _resources(world, request):
        if spelling not in thing.tags:
            thing.tags.append(spelling)
    return Answer(204)


@route("DELETE", "/tags/{}/resources")
def untag_resources(world: World, request: Request, name: str) -> Answer:
    """Remove a tag from resources and answer 204."""
    spelling = answers.found(world.state.tags, name.lower())
    for thing in _resources(world, request):
        thing.tags = [tag for tag in thing.tags if tag != spelling]
    return Answer(204)


def _resources(world: World, request: Request) -> list[Droplet | Image | Volume]:
    known: dict[str, dict[str, Any]] = {
        "droplet": {str(number): it for number, it in world.state.droplets.items()},
        "image": {str(number): it for number, it in world.state.images.items()},
        "volume": dict(world.state.volumes),
    }
    wanted = body_of(request).get("resources")
    if not isinstance(wanted, list) or not all(isinstance(it, dict) for it in wanted):
        raise Refusal(422, "resources must be an array of objects.")
    return [answers.found(answers.found(known, it.get("resource_type")), str(it.get("resource_id"))) for it in wanted]
