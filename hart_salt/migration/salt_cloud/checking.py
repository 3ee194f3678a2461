"""What hart refuses of a translation: it is taken out or reported, and everything else stays."""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping
from typing import Any

from hart_salt.base.errors import ConfigError, Fault
from hart_salt.base.merge import merge
from hart_salt.config import loader
from hart_salt.config.schema import Schema

#: a placeholder for the value of a reference, and for a setting that is missing, while the result is checked
SOMETHING = "what-a-reference-leads-to"
#: rounds in which settings that hart would refuse are removed
ROUNDS = 20


def check(hart: dict[str, Any], notes: list[str], schemas: Mapping[str, Schema]) -> None:
    """
    Remove what hart refuses of ``hart``, setting by setting, and report it in ``notes``.

    A setting that is missing can only be reported. No provider and no role is removed.
    """
    # What is missing is filled in here only, so that everything else is checked as well.
    filled = copy.deepcopy(hart)
    for _ in range(ROUNDS):
        faults = _faults(filled, schemas)
        if isinstance(faults, loader.Config):
            notes += _missing(faults, schemas)
            return
        for fault in faults:
            gone = _take_out(hart, fault.path, schemas)
            notes.append(f"{fault}{gone}")
            if gone:
                _take_out(filled, fault.path, schemas)
            else:
                _fill(filled, fault.path, schemas)


def _faults(hart: Mapping[str, Any], schemas: Mapping[str, Schema]) -> loader.Config | tuple[Fault, ...]:
    try:
        return loader.load([loader.Source("salt-cloud", hart)], schemas, lambda uri: SOMETHING)
    except ConfigError as error:
        return tuple(error.faults)


def _take_out(hart: dict[str, Any], path: str, schemas: Mapping[str, Schema]) -> str:
    """Remove the setting of a path, or only the parts of it that are wrong; return the end of a sentence about it."""
    *places, last = path.split(":")[1:]
    if last in ("provider", "driver") or len(places) + 1 not in (1, 3) or last in ("providers", "roles"):
        return ""
    tree: Any = hart
    for place in places:
        tree = tree.get(place) if isinstance(tree, Mapping) else None
    if not isinstance(tree, MutableMapping) or last not in tree:
        return ""
    value = tree[last]
    wrong = _wrong_parts(last, value, schemas) if isinstance(value, Mapping) and len(value) > 1 else []
    if not wrong or len(wrong) == len(value):
        del tree[last]
        return "; it was left out"
    tree[last] = {key: item for key, item in value.items() if key not in wrong}
    return f"; {', '.join(wrong)} of it was left out"


def _wrong_parts(name: str, value: Mapping[str, Any], schemas: Mapping[str, Schema]) -> list[str]:
    """Return the keys of a mapping that hart refuses on their own."""
    return [key for key, item in value.items() if not isinstance(_faults({name: {key: item}}, schemas), loader.Config)]


def _fill(hart: dict[str, Any], path: str, schemas: Mapping[str, Schema]) -> None:
    """Make the provider of a path valid: only its account can lack something."""
    _, *places = path.split(":")
    providers = hart.get("providers", {})
    if places[:1] != ["providers"] or places[1] not in providers:
        return
    provider = providers[places[1]]
    account = schemas[provider.get("driver", places[1])].account
    for name, field in account.model_fields.items():
        provider.pop(name, None)
        if field.is_required():
            provider[name] = SOMETHING


def _missing(checked: loader.Config, schemas: Mapping[str, Schema]) -> list[str]:
    notes = []
    for role, provider in ((name, str(it.settings.get("provider"))) for name, it in checked.roles.items()):
        together: dict[str, Any] = {}
        for layer in (checked.defaults, checked.provider_defaults[provider], checked.roles[role].settings):
            together = merge(together, layer)
        schema = schemas[checked.providers[provider].driver]
        if not together.get("region") and not schema.default_region:
            notes.append(f"hart:roles:{role}:region: is not set; set it there, or in hart:providers:{provider}")
        if not together.get("image"):
            notes.append(f"hart:roles:{role}:image: is not set, so its nodes get Debian 13, trixie")
        if not together.get("size") and schema.default_size:
            notes.append(f"hart:roles:{role}:size: is not set, so its nodes get {schema.default_size}")
        if not together.get("saltmaster") and not (together.get("minion_config") or {}).get("master"):
            notes.append(f"hart:roles:{role}:saltmaster: is not set; set it in hart: where minions reach this master")
    return notes
