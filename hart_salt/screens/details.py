"""Screens of one thing: a node, the settings of a role, the versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from rich.text import Text

from hart_salt.screens.paper import Paper, plain
from hart_salt.screens.table import pairs
from hart_salt.screens.words import age, duration, price, until

#: the sections of a node, by the facts that each one has, in order
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "": ("status", "note", "error", "role", "kind", "protected", "drifted", "by"),
    "Instance": (
        "provider", "driver", "region", "zone", "size", "image", "instance_id", "public_ip", "private_ip", "addresses",
        "created", "ends", "monthly_price",
    ),
    "What the sources say": ("cloud", "record", "key", "present"),
    "Trust": ("sealed", "minion_key_finger", "master_key_finger", "ssh_host_keys"),
    "Log": ("log", "log_note"),
    "Record": ("stage", "batch", "session", "machine", "digest"),
}  # fmt: skip
LABELS = {
    "public_ip": "public address", "private_ip": "private address", "instance_id": "instance id", "key": "minion key",
    "present": "minion answers", "minion_key_finger": "minion key", "master_key_finger": "master key",
    "ssh_host_keys": "SSH host keys", "log_note": "note", "addresses": "further addresses", "cloud": "provider",
    "monthly_price": "price per month",
}  # fmt: skip


def node(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return everything about one node, in sections."""
    if not document.get("nodes"):
        return paper.lines(f"No node has the address {document['ip']}.") if "ip" in document else []
    ((minion_id, entry),) = document["nodes"].items()
    facts = {**entry, **(entry.get("sources") or {})}
    if "monthly_price" in facts:
        facts["monthly_price"] = price(facts["monthly_price"], facts.pop("currency", None))
    lines = [Text(minion_id, "bold")]
    for title, names in SECTIONS.items():
        shown = pairs([(LABELS.get(name, name), _value(name, facts[name])) for name in names if name in facts], paper)
        lines += [Text(""), Text(title, "bold")] if title and shown else []
        lines += shown
    return [*lines, *_rest(facts, paper), *_stages(entry.get("seconds"), paper)]


def _rest(facts: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return the facts that no section names."""
    known = {name for names in SECTIONS.values() for name in names} | {"sources", "seconds", "minion_id"}
    shown = pairs([(name, _value(name, value)) for name, value in facts.items() if name not in known], paper)
    return [Text(""), Text("Other", "bold"), *shown] if shown else []


def _stages(seconds: Any, paper: Paper) -> list[Text]:
    """Return how long each stage took, in the order in which they came."""
    if not isinstance(seconds, Mapping) or not seconds:
        return []
    shown = [(stage, duration(took)) for stage, took in seconds.items()]
    total = ("in all", duration(sum(seconds.values())))
    return [Text(""), Text("Time of each stage", "bold"), *pairs([*shown, total], paper)]


def _value(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "created":
        return f"{age(value)} ago ({value})"
    if name == "ends":
        return value if until(value) == "passed" else f"in {until(value)} ({value})"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {item}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_value("", item) for item in value)
    return str(value)


def settings(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return the settings as they stand in a configuration file."""
    return plain(yaml.safe_dump(dict(document["settings"]), width=max(paper.width, 40), allow_unicode=paper.unicode))


def versions(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return each version and path."""
    return pairs([(name, str(value)) for name, value in document["versions"].items()], paper)


def text(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return a text as it is."""
    return plain(document["text"].rstrip()) if "text" in document else []
