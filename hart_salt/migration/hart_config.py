"""What means something else here than in hart, in hart's own file. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hart_salt.config.schema import Schema
from hart_salt.config.sources import Source
from hart_salt.migration.vultr_v1 import REGIONS

#: hart 0.22's default sizes, where they differ from those here
SIZES = {"gce": "n1-standard-1", "vultr": "201"}


def notes(source: Source | None, schemas: Mapping[str, Schema]) -> list[str]:
    """
    Return a sentence for each setting of hart's file that has another effect here, with its place.

    ``source`` is that file, or None; ``schemas`` holds the settings that each driver takes. The facts are from
    ``roles.py`` and ``providers/*.py`` of hart 0.22.
    """
    data: Mapping[str, Any] = source.data if source else {}
    roles, providers = _group(data, "roles"), _group(data, "providers")
    found = [note for role, values in roles.items() for note in _overruled(str(role), _mapping(values), data)]
    for role, values in roles.items():
        found += _default_sizes(str(role), _mapping(values), data, providers, schemas)
    return [*found, *_first_api(data, roles, providers)]


def _group(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return _mapping(data.get(name))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _overruled(role: str, values: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[str]:
    """hart takes the provider and the region from ``[hart]``, even if a role has its own."""
    for name in ("provider", "region"):
        if data.get(name) and values.get(name) not in (None, data[name]):
            yield (
                f"roles.{role}.{name}: hart takes {name} from [hart] if it is there; here the role's own counts: "
                "remove the one that should not count"
            )


def _default_sizes(
    role: str, values: Mapping[str, Any], data: Mapping[str, Any], providers: Mapping[str, Any],
    schemas: Mapping[str, Schema],
) -> Iterator[str]:  # fmt: skip
    named = values.get("provider") or data.get("provider")
    for provider, theirs in SIZES.items():
        if provider not in providers or provider not in schemas or named not in (None, provider):
            continue
        layers = (data, values, _mapping(providers[provider]), _mapping(values.get(provider)))
        if not any(layer.get("size") for layer in layers):
            ours = schemas[provider].default_size
            yield f"roles.{role}: without size, hart creates {theirs} at {provider}; here it is {ours}: set size"


def _first_api(
    data: Mapping[str, Any], roles: Mapping[str, Any], providers: Mapping[str, Any]
) -> Iterator[str]:  # fmt: skip
    """Yield notes on ids of Vultr's API v1."""
    if "vultr" not in providers:
        return
    layers = {"hart": data, "providers.vultr": _mapping(providers["vultr"])}
    for role, values in roles.items():
        own = _mapping(_mapping(values).get("vultr"))
        layers |= {f"roles.{role}": _mapping(values), f"roles.{role}.vultr": own}
        layers |= {f"roles.{role}.vultr.{name}": part for name, part in own.items() if isinstance(part, Mapping)}
        for name in own:
            if str(name).isdigit():
                yield _old(f"roles.{role}.vultr.{name}", "region", str(name))
    for place, layer in layers.items():
        for name in ("region", "size"):
            if str(layer.get(name, "")).isdigit():
                yield _old(f"{place}.{name}", name, str(layer[name]))


def _old(place: str, what: str, number: str) -> str:
    today = f"it is {REGIONS[number]} today" if what == "region" and number in REGIONS else "it no longer exists"
    return f"{place}: {number} is a {what} of Vultr's API v1: {today}; see hart.list_{what}s vultr"
