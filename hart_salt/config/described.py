"""Settings in words, for the reference and ``hart.explain``: their type, their unit and their default."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from hart_salt.config.durations import words
from hart_salt.config.settings import Section

LENGTH = "length of time"
#: the type of a setting, by the function that checks it
KINDS = {
    "as_budget": "number, or mapping of currencies to numbers",
    "as_arguments": "list",
    "as_apply": "`highstate`, or a list of texts",
    "as_coordination": "`file`, or the address of a server",
    "as_duration": LENGTH,
    "as_duration_or_zero": LENGTH,
    "as_drain": "list of texts, or mapping",
    "as_function": "name of an execution function",
    "as_flag": "true or false",
    "as_host": "host name or IP address",
    "as_keywords": "mapping",
    "as_labels": "mapping of texts",
    "as_masters": "text, or a list of texts",
    "as_minion_config": "mapping",
    "as_minion_id": "minion id",
    "as_moment": "time of the week",
    "as_names": "list of texts",
    "as_peers": "mapping of names to masters",
    "as_price": "number",
    "as_scheme": "text",
    "as_seconds": "number above 0",
    "as_network": "address or network",
    "as_secret": "text, secret",
    "as_share": "whole number, at least 1, or a share such as `20%`",
    "as_target": "number above 0",
    "as_tolerance": "number from 0 to below 1",
    "as_tags": "list of texts, or mapping of texts",
    "as_text": "text",
    "as_url": "web address",
    "as_endpoint": "address with `https://`, or `http://` on this machine",
    "as_version": "Salt version, in quotes",
    "as_windows": "list of windows",
    "_as_google_labels": "mapping of texts",
}
#: the units of numbers, by setting or by driver and setting
UNITS = {
    "boot_timeout": "seconds",
    "bootstrap_timeout": "seconds",
    "ready_timeout": "seconds",
    "apply_timeout": "seconds",
    "drain_timeout": "seconds",
    "start_timeout": "seconds",
    "api_timeout": "seconds",
    "log_days": "days",
    "image_timeout": "seconds",
    "bake_keep": "images",
    "max_calls": "calls",
    "max_monthly_price": "per month",
    "max_nodes": "nodes",
    "masters.timeout": "seconds",
    "ec2.volume_size": "GiB",
    "gce.volume_size": "GB",
    "volume_iops": "operations per second",
    "local_ssds": "disks",
    "spot_max_price": "USD per hour",
}


def kind_of(field: FieldInfo) -> str:
    """Return the type of a setting in words."""
    parts = [*field.metadata, *_flat(field.annotation)]
    for part in parts:
        check = getattr(getattr(part, "func", None), "__name__", "")
        if check in KINDS:
            return KINDS[check]
    if any(_is_section(part) for part in parts):
        return "mapping"
    if any(get_origin(part) is list and _is_section(get_args(part)[0]) for part in parts):
        return "list of mappings"
    choices = [choice for part in _flat(field.annotation) if get_origin(part) is Literal for choice in get_args(part)]
    if choices:
        return "one of " + ", ".join(f"`{choice}`" for choice in choices)
    limits = [limit for part in parts for limit in getattr(part, "metadata", [part])]
    low = next((limit.ge for limit in limits if hasattr(limit, "ge")), None)
    high = next((limit.le for limit in limits if hasattr(limit, "le")), None)
    if low is None:
        return "value"  # of a driver in another package
    return f"whole number, at least {low}" + (f", at most {high}" if high is not None else "")


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _flat(kind: Any) -> Iterator[Any]:
    """Yield the parts of a type, nested ones included."""
    if get_origin(kind) in (Annotated, Union, types.UnionType):
        for part in get_args(kind):
            yield from _flat(part)
    else:
        yield kind


def unit_of(driver: str, name: str) -> str:
    """Return the unit of a setting; empty if it has none."""
    return UNITS.get(f"{driver}.{name}", UNITS.get(name, ""))


def default_of(field: FieldInfo) -> str:
    """Return the default of a setting in words."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, float) and kind_of(field) == LENGTH:
        return code(words(value).replace(" ", ""))
    return "none" if value in (None, [], {}) or isinstance(value, Section) else code(value)


def code(value: Any) -> str:
    """Return a value as it is written in a configuration; none for nothing."""
    return "none" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"
