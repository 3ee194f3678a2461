"""The pages that people read, and the blocks of commands and of files in them."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: without what is built of them; the reference is generated, and the changelog names what was
PAGES = [
    path
    for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), ROOT / "hart_salt/examples/README.md")
    if "_build" not in path.parts
]
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
#: a paragraph in front of a block that says which file it is: `/etc/hart.toml`, or `orch/app.sls` in the file roots
FILE = re.compile(r"^`([^`\n]+)`(?: in the (?:master's )?file roots\b.*)?:?$", re.DOTALL)
#: relative paths with these endings are in the file roots
STATES = (".sls",)


@dataclass(frozen=True)
class Block:
    """One block of a page; ``path`` is the file of which it is the content, empty if it is none."""

    page: str
    line: int
    language: str
    text: str
    path: str


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page that have a language, in their order."""
    text = page.read_text(encoding="utf-8")
    return [_block(page, text, found) for found in BLOCK.finditer(text)]


def _block(page: Path, text: str, found: re.Match[str]) -> Block:
    before = text[: found.start()].rstrip("\n").rpartition("\n\n")[2].strip()
    named = FILE.match(before)
    return Block(
        page=str(page.relative_to(ROOT)),
        line=text.count("\n", 0, found.start()) + 1,
        language=found[2],
        text=textwrap.dedent(found[3]),
        path=named[1] if named else "",
    )


def commands(block: Block) -> list[str]:
    """Return the commands of a block, one for each line that does not continue another; none if it is no shell's."""
    if block.language != "bash":
        return []
    joined = block.text.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def commands_of(page: Path) -> list[str]:
    """Return all commands of a page."""
    return [command for block in blocks(page) for command in commands(block)]
