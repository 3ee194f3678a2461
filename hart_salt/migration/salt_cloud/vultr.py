"""hart's names for the settings of salt-cloud's driver ``vultr``. Pure."""

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
    matching,
    nothing,
    same,
)
from hart_salt.migration.vultr_v1 import REGIONS

_NO_V1 = "the API with plan numbers no longer exists; see hart.list_sizes"


def _region(value: Any) -> dict[str, Any]:
    text = str(value).strip().lower()
    if text in REGIONS:
        return {"region": REGIONS[text]}
    if re.fullmatch(r"[a-z]{3}", text):
        return {"region": text}
    raise NoCounterpartError("it is not a region, such as ams; see hart.list_regions")


def _image(value: Any) -> dict[str, Any]:
    text = str(value)
    if re.fullmatch(r"[0-9]+|[0-9a-f-]{36}", text):
        return {"image": text}
    if release := code_name(text):
        return {"image": release}
    raise NoCounterpartError("image takes a code name such as trixie, or an id; see hart.list_images")


def _host(value: Any) -> dict[str, Any]:
    if value == "api.vultr.com":
        return {}
    raise NoCounterpartError("set endpoint if it is not Vultr's own")


RULES: Mapping[str, Rule] = {
    **COMMON,
    "api_key": same("token"),
    "management_host": _host,
    "location": _region,
    "size": matching("size", r"[a-z]+[a-z0-9]*-[a-z0-9-]+", _NO_V1),
    "image": _image,
    "enable_private_network": same("private_networking"),
    "firewall_group_id": same("firewall_group"),
    "startup_script_id": nothing("use script to run commands on the node"),
}
DRIVER = Driver("vultr", RULES)
