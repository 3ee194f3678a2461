"""Explain a setting or a function: what the reference says of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.fields import FieldInfo

from hart_salt.base.errors import Refused
from hart_salt.base.text import suggestion
from hart_salt.config.cluster import Cluster, Peer
from hart_salt.config.described import default_of, kind_of, unit_of
from hart_salt.config.fleets import Fleet, inner
from hart_salt.config.limits import Limits
from hart_salt.config.schema import Schema
from hart_salt.config.settings import Section, Settings

#: where a setting can be set
LAYERS = "in any layer: hart, a provider, a role, a provider in a role, a region in that provider, an argument"
ACCOUNT = "in hart:providers:<name> only"
LIMITS = "directly under hart, in a provider and in a role; not as an argument"
WHOLE = "directly under hart only"
PEERS = "in an entry of hart:masters"
FLEETS = "in an entry of hart:fleets"
#: words of the configuration that are no settings of a node
WORDS = {
    "provider": ("under hart and in a role; an argument", "The configured provider that creates the instance."),
    "driver": (ACCOUNT, "The cloud of a provider. Default: the provider's name."),
    "role": ("an argument", "The role that the settings come from, an entry of hart:roles."),
}
SEPARATOR = re.compile(r"[:.\s]+")

#: what is known of a setting, of a word, or of a function
Entry = dict[str, Any]


def explain(
    name: str | None, schemas: Mapping[str, Schema], functions: Mapping[str, Mapping[str, str]]
) -> dict[str, Entry]:
    """
    Return the entries that a name means; without a name, a summary of all.

    ``name`` is a setting, a setting of a driver such as ``do.backups``, a path of the configuration such as
    ``hart:roles:app:size``, a driver, or a function. ``functions`` holds docstrings by program and name.

    Raises ``Refused`` for a name that means nothing, with a suggestion.
    """
    entries = {**settings(schemas), **_functions(functions)}
    if name is None:
        return {one: summary(entry) for one, entry in entries.items()}
    *before, last = [part for part in SEPARATOR.split(name) if part] or [""]
    if last in schemas and not (before and before[-1] not in ("hart", "providers")):
        return {one: summary(entry) for one, entry in entries.items() if one.startswith(f"{last}.")}
    found = _chosen(entries, before, last, list(schemas))
    if not found:
        raise Refused(_unknown(name, before, last, entries))
    return {one: _of_driver(one, entry, before, schemas) for one, entry in found.items()}


def _of_driver(name: str, entry: Entry, before: list[str], schemas: Mapping[str, Schema]) -> Entry:
    """Return an entry with the driver's own default, if the path names a driver that has one."""
    for driver in before:
        default = getattr(schemas.get(driver), f"default_{name}", None)
        if default is not None:
            return {**entry, "default": str(default)}
    return entry


def _chosen(entries: Mapping[str, Entry], before: list[str], last: str, drivers: list[str]) -> dict[str, Entry]:
    """Return the entries with this last word; words before it can name a driver, ``masters``, or hart."""
    named = {one: entry for one, entry in entries.items() if last in (one.rpartition(".")[2], entry.get("also"))}
    if "fleets" in before:
        return _of_fleets(named, before)
    owners = [word for word in before if word in (*drivers, "masters")]
    if owners:
        own = {one: entry for one, entry in named.items() if one.partition(".")[0] in owners}
        return own or {one: entry for one, entry in named.items() if "." not in one}
    if before == ["hart"] or not before:
        return {one: entry for one, entry in named.items() if not _is_of_fleets(one)} or named
    return {one: entry for one, entry in named.items() if entry["kind"] == "setting"}


def _of_fleets(named: Mapping[str, Entry], before: list[str]) -> dict[str, Entry]:
    """Return the entries of a fleet whose sections are all named, and of them those with the most."""
    own = {one: entry for one, entry in named.items() if set(one.split(".")[:-1]) <= set(before) and _is_of_fleets(one)}
    most = max((one.count(".") for one in own), default=0)
    return {one: entry for one, entry in own.items() if one.count(".") == most}


def _is_of_fleets(name: str) -> bool:
    return name.startswith("fleets.")


def _unknown(name: str, before: list[str], last: str, entries: Mapping[str, Entry]) -> str:
    others = [one for one in entries if "." in one and one.rpartition(".")[2] == last and not one.startswith("hart.")]
    if others and before:
        return f"there is no {name}; {last} is a setting of {' and '.join(one.partition('.')[0] for one in others)}"
    known = [*entries, *(one.rpartition(".")[2] for one in entries)]
    near = suggestion(name, known) or suggestion(last, known)
    return f"there is no setting or function {name}{near}; salt-run hart.explain lists all"


def summary(entry: Entry) -> Entry:
    """Return the kind of an entry, and the first clause about it as a whole sentence."""
    text = entry.get("description") or entry.get("text", "").partition("\n\n")[0]
    first = re.split(r"(?<=[.;:])\s", " ".join(text.replace("`", "").split()))[0]
    # The clause can end in a parenthesis, such as "(default: the driver's)".
    whole = first if first.count("(") <= first.count(")") else first.rpartition(" (")[0]
    return {"kind": entry["kind"], "summary": f"{whole.rstrip('.;:')}."}


# settings


def settings(schemas: Mapping[str, Schema]) -> dict[str, Entry]:
    """
    Return every setting: those of a driver by ``driver.setting``, of another master by ``masters.setting``, and of a
    fleet by ``fleets.setting``, or with its sections by ``fleets.section.setting``.
    """
    words = {name: {"kind": "setting", "set": place, "description": text} for name, (place, text) in WORDS.items()}
    found = [*_section(Settings, "", LAYERS), *_section(Limits, "", LIMITS), *_section(Cluster, "", WHOLE)]
    found += [*_section(Peer, "masters", PEERS), *_section(Fleet, "fleets", FLEETS)]
    for path, section in inner():
        found += _section(section, f"fleets.{path.replace(':', '.')}", f"{FLEETS}, under {path}")
    for driver, schema in schemas.items():
        found += [*_section(schema.account, driver, ACCOUNT), *_section(schema.options, driver, LAYERS)]
    return {**dict(found), **words}


def _section(section: type[Section], owner: str, place: str) -> Iterator[tuple[str, Entry]]:
    also = {alias.name: name for name, alias in section.ALIASES.items() if alias.name != name}
    for name, field in section.model_fields.items():
        entry = _setting(owner, name, field, place)
        yield (f"{owner}.{name}" if owner else name), {**entry, **({"also": also[name]} if name in also else {})}


def _setting(owner: str, name: str, field: FieldInfo, place: str) -> Entry:
    facts = {"type": kind_of(field), "default": default_of(field), "unit": unit_of(owner, name)}
    shown = {key: value.replace("`", "") for key, value in facts.items() if value}
    description = str(field.description or "").replace("`", "")
    return {"kind": "setting", **shown, "set": place, "description": description}


# functions


def _functions(functions: Mapping[str, Mapping[str, str]]) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for program, documented in functions.items():
        for name, text in documented.items():
            # A function on minions can have the name of a function of the runner.
            key = f"hart.{name}" if f"hart.{name}" not in found else f"{program} hart.{name}"
            found[key] = {"kind": program, "text": text}
    return found
