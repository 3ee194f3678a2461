"""The screen of ``hart.explain``: settings and functions in words."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from hart_salt.screens.paper import Paper, plain
from hart_salt.screens.table import pairs

LEAST = 70  #: columns for names and summaries beside each other
CODE = ".. code-block:: "
SINCE = ".. versionadded:: "
NAMES = re.compile(r"([a-z_]+(?:, [a-z_]+)*)\n    ")


def entries(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return the entries, one after the other; a line for each if only their summaries are there."""
    found = document["entries"]
    if all("summary" in entry for entry in found.values()):
        return _listed({name: entry["summary"] for name, entry in found.items()}, paper)
    lines: list[Text] = []
    for name, entry in found.items():
        lines += [Text("")] if lines else []
        lines += [Text(name, "bold"), *_entry(entry, paper)]
    return lines


def _listed(summaries: Mapping[str, str], paper: Paper) -> list[Text]:
    """Return a line for each name; on a narrow terminal the summary stands below the name."""
    if paper.width >= LEAST:
        return pairs(list(summaries.items()), paper)
    return [line for name, text in summaries.items() for line in (Text(name, "bold"), *_indented(text, paper))]


def _entry(entry: Mapping[str, Any], paper: Paper) -> list[Text]:
    if "text" in entry:
        return list(_docstring(entry["text"], paper))
    facts = [(name, str(entry[name])) for name in ("type", "unit", "default", "set", "also") if name in entry]
    labels = {"set": "set it", "also": "hart's name"}
    return [
        *paper.lines(entry["description"]),
        *pairs([(labels.get(name, name), value) for name, value in facts], paper),
    ]


def _docstring(text: str, paper: Paper) -> Iterator[Text]:
    """Yield a docstring of Salt's style as a person reads it."""
    code = False
    for block in text.replace("``", "").split("\n\n"):
        if block.startswith("    "):
            yield from (plain(block) if code else _indented(block, paper))
        elif block.startswith(CODE):
            code = True
            continue
        elif block.startswith(SINCE):
            yield from paper.lines(f"Since {block.removeprefix(SINCE)}.")
        elif names := NAMES.match(block):
            yield Text(names[1], "bold")
            yield from _indented(block.partition("\n")[2], paper)
        else:
            yield from paper.lines(" ".join(block.split()))
        code = code and block.startswith("    ")
        yield Text("")


def _indented(block: str, paper: Paper) -> list[Text]:
    words = " ".join(inspect.cleandoc(block).split())
    return [Text(line) for line in paper.wrap(words, "    ")]
