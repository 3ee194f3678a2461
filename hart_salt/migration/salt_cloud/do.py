"""hart's names for the settings of salt-cloud's driver ``digitalocean``. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hart_salt.migration.salt_cloud.terms import (
    COMMON,
    Driver,
    NoCounterpartError,
    Rule,
    code_name,
    names_of,
    nothing,
    same,
)

_CITIES = {
    "new york": "nyc", "san francisco": "sfo", "amsterdam": "ams", "singapore": "sgp", "london": "lon",
    "frankfurt": "fra", "toronto": "tor", "bangalore": "blr", "sydney": "syd", "atlanta": "atl",
}  # fmt: skip
_SLUG = re.compile(r"[a-z0-9][a-z0-9.-]*")
_FIRST_API = "DigitalOcean's first API no longer exists: create a token, and set personal_access_token"


def _region(value: Any) -> dict[str, Any]:
    text = str(value).strip().lower()
    city, _, number = text.rpartition(" ")
    if city in _CITIES and number.isdigit():
        return {"region": f"{_CITIES[city]}{number}"}
    if re.fullmatch(r"[a-z]{3}[0-9]", text):
        return {"region": text}
    raise NoCounterpartError("it is not a slug, such as nyc3; see hart.list_regions")


def _size(value: Any) -> dict[str, Any]:
    """Return the size; salt-cloud compares in small letters."""
    if not _SLUG.fullmatch(str(value).lower()) or re.fullmatch(r"\d+|\d+[mg]b", str(value).lower()):
        raise NoCounterpartError("it is not a slug of today, such as s-1vcpu-1gb; see hart.list_sizes")
    return {"size": str(value).lower()}


def _image(value: Any) -> dict[str, Any]:
    text = str(value)
    if _SLUG.fullmatch(text) and not re.fullmatch(r"\d\d\.\d\d", text):
        return {"image": text}
    if release := code_name(text):
        return {"image": release}
    raise NoCounterpartError("it is not a slug, such as debian-13-x64; see hart.list_images")


RULES: Mapping[str, Rule] = {
    **COMMON,
    "personal_access_token": same("token"),
    "api_root": same("endpoint"),
    "client_key": nothing(_FIRST_API),
    "api_key": nothing(_FIRST_API),
    "location": _region,
    "size": _size,
    "image": _image,
    "backups_enabled": same("backups"),
    "ipv6": same("ipv6"),
    "monitoring": same("monitoring"),
    "tags": lambda value: {"tags": names_of(value)},
    "vpc_name": nothing("vpc takes the UUID of the VPC"),
    "create_dns_record": nothing("use a reactor on the event ready"),
    "delete_dns_record": nothing("use a reactor on the event destroyed"),
    "dns_domain": nothing("use a reactor on the event ready"),
    "dns_hostname": nothing("use a reactor on the event ready"),
}
DRIVER = Driver("do", RULES)
