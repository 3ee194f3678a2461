"""Draw a document: choose its screen, and put problems and notes below it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import yaml
from rich.text import Text

from hart_salt.screens import (
    catalog,
    details,
    engine,
    explain,
    fleets,
    history,
    images,
    listing,
    money,
    nodes,
    simulate,
    sweep,
    timeline,
)
from hart_salt.screens.paper import Paper, plain

Screen = Callable[[Mapping[str, Any], Paper], list[Text]]

#: the screen of each function; any other function's document is about nodes
SCREENS: Mapping[str, Screen] = {
    "apply": fleets.applied,
    "bake": images.bake,
    "check": catalog.checks,
    "cost": money.cost,
    "engine": engine.engine,
    "explain": explain.entries,
    "fleets": fleets.states,
    "from_salt_cloud": details.text,
    "history": history.history,
    "hold": fleets.held,
    "list_images": images.images,
    "list_minions": listing.minions,
    "list_regions": catalog.regions,
    "list_roles": catalog.roles,
    "list_sizes": catalog.sizes,
    "node": details.node,
    "node_of": details.node,
    "plan": fleets.plan,
    "remove_image": images.removed,
    "replace": nodes.fleet,
    "scale": nodes.fleet,
    "show": details.node,
    "show_role": details.settings,
    "simulate": simulate.simulate,
    "sweep": sweep.sweep,
    "sync_keys": sweep.masters,
    "report": timeline.fleet,
    "timeline": timeline.timeline,
    "unhold": fleets.held,
    "version": details.versions,
}


def draw(document: Mapping[str, Any], paper: Paper) -> str:
    """Return a document as a person reads it."""
    lines = _body(document, paper)
    below = [*_below("problem", _problems(document), "red", paper), *_below("note", document["notes"], "yellow", paper)]
    return paper.show([*lines, *([Text("")] if lines and below else []), *below])


def _problems(document: Mapping[str, Any]) -> list[str]:
    return [problem for problem in document["problems"] if problem != document.get("error")]


def _body(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    if "error" in document:
        head = f"hart.{document['function']}: "
        # Some sentences begin with the name of the function.
        error = str(document["error"]).removeprefix(head.replace(":", ""))
        return [_labelled(line, head, "red") for line in _sentence(error, head, paper)]
    if "job" in document:
        return [Text(f"job {document['job']}")]
    screen = SCREENS.get(document["function"], nodes.nodes if "nodes" in document else _anything)
    return screen(document, paper)


def _anything(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return the data of a function that has no screen of its own."""
    data = {key: value for key, value in document.items() if key not in ("version", "function", "problems", "notes")}
    return plain(yaml.safe_dump(data, sort_keys=False, width=max(paper.width, 40)).rstrip())


def _below(label: str, sentences: list[str], style: str, paper: Paper) -> list[Text]:
    head = f"{label}: "
    return [_labelled(line, head, style) for text in sentences for line in _sentence(str(text), head, paper)]


def _sentence(text: str, head: str, paper: Paper) -> list[str]:
    """Return a sentence in lines; its own line ends stay, as in a list of faults."""
    first, *rest = text.split("\n")
    return [*paper.wrap(first, "  ", head), *(line for more in rest for line in paper.wrap(more, "  "))]


def _labelled(line: str, head: str, style: str) -> Text:
    text = Text(line)
    text.stylize(style, 0, len(head) if line.startswith(head) else 0)
    return text
