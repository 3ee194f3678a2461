"""The screens of declared fleets: their state, and what is or was done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from hart_salt.screens import nodes
from hart_salt.screens.paper import Paper
from hart_salt.screens.table import ALWAYS, Column, Row, table
from hart_salt.screens.words import counted, listed, price, prices

FLEETS = (
    Column("fleet", ALWAYS), Column("state", ALWAYS, styled=True), Column("ready", 8, right=True),
    Column("wanted", 8, right=True), Column("role", 4), Column("provider", 3), Column("regions", 2),
    Column("per month", 5, right=True),
)  # fmt: skip
ACTIONS = (
    Column("", ALWAYS), Column("node", ALWAYS), Column("region", 5), Column("per month", 4, right=True),
)  # fmt: skip
STUCK = ("blocked", "held")  #: states in which nothing is done, whatever differs
MARKS = {"create": "+", "destroy": "-", "replace": "~", "bake": "*"}
STYLES = {"+": "green", "-": "red", "~": "yellow", "*": "cyan"}


def states(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return a line for each fleet, and what waits."""
    found = document["fleets"]
    return _table(found, paper) if found else []


def plan(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return the fleets, and for each one what would be done, in this order."""
    found = document["fleets"]
    lines = _table(found, paper) if found else []
    for name, fleet in found.items():
        lines += _actions(name, fleet, paper)
    if outside := document.get("outside"):
        rows = [Row(("-", minion_id, "", ""), [entry["reason"]], "red") for minion_id, entry in outside.items()]
        lines += [Text(""), *paper.lines("Outside of fleets:"), *table(ACTIONS, rows, paper)]
    return [*lines, *_total(document, paper)]


def applied(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return what was done with nodes and images, and the fleets after it."""
    if "nodes" not in document:
        return plan(document, paper)
    done = [*nodes.nodes(document, paper), *_bakes(document.get("bakes") or {}, paper)]
    lines = [*done, Text("")] if done else []
    lines += states(document, paper)
    for name, fleet in document["fleets"].items():
        lines += _actions(name, fleet, paper, "left to do")
    return lines


def _bakes(bakes: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return a line for each role that was baked; why a bake failed is among the problems of the call."""
    lines: list[Text] = []
    for role, entry in bakes.items():
        image = entry.get("name") or entry.get("image")
        good = f"The role {role} was baked: its newest image is {image}."
        lines += paper.lines(good if entry.get("result") else f"The role {role} was not baked.")
    return lines


def held(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return what became of the hold of a fleet."""
    ((name, entry),) = document["fleets"].items()
    if document["function"] == "hold":
        return paper.lines(f"Fleet {name} is held: neither the engine nor hart.apply changes it until hart.unhold.")
    return paper.lines(f"Fleet {name} is not held" + (" any more." if entry["changed"] else ", and was not before."))


def _table(found: Mapping[str, Any], paper: Paper) -> list[Text]:
    rows = []
    for name, fleet in found.items():
        priced = any(fleet["price"].values())
        cells = (
            name, fleet["state"], str(fleet["nodes"].get("ready", 0)), str(fleet["wanted"]), fleet["role"],
            fleet["provider"], ", ".join(fleet["regions"]), prices(fleet["price"]["before"]) if priced else "",
        )  # fmt: skip
        others = listed([item for item in fleet["nodes"].items() if item[0] != "ready"])
        rows.append(Row(cells, [*filter(None, [fleet["why"], fleet.get("load"), others]), *fleet["notes"]]))
    return table(FLEETS, rows, paper)


def _actions(name: str, fleet: Mapping[str, Any], paper: Paper, now: str = "now") -> list[Text]:
    """Return what is done with one fleet: ``now``, as the heading says it, after that, and later."""
    parts = [(f"{name}, {now}:", fleet["actions"]), (f"{name}, after that:", fleet["following"])]
    parts += _by_why(name, fleet)
    lines: list[Text] = []
    for title, actions in parts:
        if actions:
            lines += [Text(""), *paper.lines(title), *table(ACTIONS, _rows(actions), paper)]
    return lines


def _by_why(name: str, fleet: Mapping[str, Any]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Return what waits, by what it waits for: each reason stands once, and not again if the fleet's line has it."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for action in fleet["later"]:
        found.setdefault(action["why"], []).append(action)
    return [
        (f"{name}, later:" if why in fleet["why"] else f"{name}, later, because {why}:", some)
        for why, some in found.items()
    ]


def _rows(actions: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return a row for each action; new nodes that are alike share one."""
    rows = []
    for same in _alike(actions):
        action, mark = same[0], MARKS[same[0]["action"]]
        name = action["minion_id"] or ("(new image)" if action["action"] == "bake" else f"({len(same)} new)")
        cells = (mark, name, action["region"], _change(action))
        rows.append(Row(cells, [action["reason"]], STYLES[mark]))
    return rows


def _alike(actions: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for action in actions:
        found.setdefault(repr(sorted(action.items())), []).append(action)
    return list(found.values())


def _change(action: Mapping[str, Any]) -> str:
    """Return what an action changes in a month."""
    before, after = _only(action.get("before")), _only(action.get("after"))
    if action["action"] == "replace" and before == after:
        return ""
    return " -> ".join(filter(None, [before, after]))


def _only(amounts: Mapping[str, float] | None) -> str:
    return "" if not amounts else " and ".join(price(value, currency) for currency, value in amounts.items())


def _total(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    fleets: Sequence[Mapping[str, Any]] = list(document["fleets"].values())
    number = sum(len(one[part]) for one in fleets for part in ("actions", "following"))
    later = sum(len(one["later"]) for one in fleets)
    number += len(document.get("outside") or ())
    if not number and not later:
        stuck = [f"{name} is {one['state']}" for name, one in document["fleets"].items() if one["state"] in STUCK]
        last = f"Nothing can be done now: {' and '.join(stuck)}." if stuck else "Nothing to do."
        return [Text(""), *paper.lines(last)] if fleets else []
    before, after = (_sum(fleets, when) for when in ("before", "after"))
    waits = f", {later} for later" if later else ""
    cost = (
        [f"Price per month, before tax: {prices(before)} now, {prices(after)} afterwards."] if before or after else []
    )
    return [Text(""), *paper.lines(f"{counted(number, 'change')} for now{waits}. Nothing was changed.", *cost)]


def _sum(fleets: Sequence[Mapping[str, Any]], when: str) -> dict[str, float]:
    total: dict[str, float] = {}
    for fleet in fleets:
        for currency, amount in fleet["price"][when].items():
            total[currency] = total.get(currency, 0.0) + amount
    return total
