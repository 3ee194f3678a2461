"""
The form of requests, as docs.hetzner.cloud and the vendor's client for Python have them.

Sources in hetznercloud/hcloud-python: servers/client.py and helpers/labels.py. An unknown field is an objection,
because our client must send no field that does nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

USER_DATA_LIMIT = 32 * 1024  #: bytes (hcloud-python, servers/client.py)
_WORD = "[a-z0-9A-Z]([-_.a-z0-9A-Z]{0,%d}[a-z0-9A-Z])?"
LABEL_KEY = re.compile(f"({_WORD % 253}/)?{_WORD % 61}")
LABEL_VALUE = re.compile(f"({_WORD % 61})?")
NAME = re.compile(r"(?=.{1,253}$)[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?")
#: each field of a create call, with its permitted types
CREATE: dict[str, tuple[type, ...]] = {
    "name": (str,), "location": (str, int), "server_type": (str, int), "image": (str, int), "ssh_keys": (list,),
    "volumes": (list,), "firewalls": (list,), "networks": (list,), "user_data": (str,), "labels": (dict,),
    "start_after_create": (bool,), "automount": (bool,), "placement_group": (int,), "public_net": (dict,),
}  # fmt: skip
PUBLIC_NET = {"enable_ipv4": (bool,), "enable_ipv6": (bool,), "ipv4": (int,), "ipv6": (int,)}


def against_create(data: dict[str, Any]) -> Iterator[str]:
    """Yield the fields of a create call that are wrong."""
    for name in ("name", "server_type", "image"):
        if not data.get(name):
            yield name
    yield from _types(data, CREATE)
    yield from _types(data.get("public_net") or {}, PUBLIC_NET)
    if not NAME.fullmatch(str(data.get("name"))):
        yield "name"
    if len(str(data.get("user_data") or "").encode()) > USER_DATA_LIMIT:
        yield "user_data"
    yield from against_labels(data.get("labels") or {})
    if not all(isinstance(one, int) for one in data.get("networks") or []):
        yield "networks"
    if not all(isinstance(one, dict) and isinstance(one.get("firewall"), int) for one in data.get("firewalls") or []):
        yield "firewalls"


def against_labels(labels: dict[str, Any]) -> Iterator[str]:
    """Yield ``labels`` for each label that is invalid."""
    for key, value in labels.items():
        if not LABEL_KEY.fullmatch(key) or not isinstance(value, str) or not LABEL_VALUE.fullmatch(value):
            yield "labels"


def _types(data: dict[str, Any], known: Mapping[str, tuple[type, ...]]) -> Iterator[str]:
    for name, value in data.items():
        kinds = known.get(name, ())
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            yield name
