"""What is broken, and by which tests it should be noticed: the lists in ``lists/``, one for each subject."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LISTS = Path(__file__).resolve().parent / "lists"
#: what a list has beside its mutants, and what each of them has; ``tests`` and ``select`` may be in both
OF_SUBJECT, OF_MUTANT = {"tests", "select"}, {"name", "file", "old", "new", "survives", "tests", "select"}

_toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")


@dataclass(frozen=True)
class Tests:
    """What pytest is given."""

    files: tuple[str, ...]
    #: for ``-k``; empty: all that there are in the files
    select: str = ""


@dataclass(frozen=True)
class Mutant:
    """One change of one file that makes the code wrong."""

    name: str
    subject: str
    #: below the checkout
    file: str
    #: what stands there, exactly once, and what takes its place
    old: str
    new: str
    tests: Tests
    #: why no test can notice it; empty: one has to
    survives: str = ""


def load(lists: Path = LISTS) -> dict[str, tuple[Mutant, ...]]:
    """
    Read the lists: the mutants of each subject, by its name, in order.

    lists
        the directory that they are in (default: the one beside this file)

    Raises ``ValueError`` for a list that is no TOML or has other fields than it should.
    """
    return {path.stem: tuple(_subject(path)) for path in sorted(lists.glob("*.toml"))}


def _subject(path: Path) -> Iterable[Mutant]:
    try:
        data = _toml.loads(path.read_text(encoding="utf-8"))
        head = {name: value for name, value in data.items() if name != "mutants"}
        _check_names(head, OF_SUBJECT, {"tests"})
        for one in data.get("mutants", []):
            _check_names(one, OF_MUTANT, {"name", "file", "old", "new"})
            how = {**head, **one}
            tests = Tests(tuple(how["tests"]), how.get("select", ""))
            yield Mutant(one["name"], path.stem, one["file"], one["old"], one["new"], tests, one.get("survives", ""))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path.name}: {error}") from error


def _check_names(data: Mapping[str, Any], known: set[str], needed: set[str]) -> None:
    where = data.get("name", "the list")
    if unknown := sorted(data.keys() - known):
        raise ValueError(f"{where} has the unknown fields {', '.join(unknown)}")
    if lacking := sorted(needed - data.keys()):
        raise ValueError(f"{where} lacks {', '.join(lacking)}")


def faults(mutants: Sequence[Mutant], root: Path) -> list[str]:
    """
    What is wrong with the lists, a sentence each.

    root
        the checkout that they are about
    """
    counted = Counter(mutant.name for mutant in mutants)
    found = [f"the name {name} is there {number} times" for name, number in counted.items() if number > 1]
    for mutant in mutants:
        found += [f"{mutant.subject}: {mutant.name}: {fault}" for fault in _faults_of(mutant, root)]
    return found


def _faults_of(mutant: Mutant, root: Path) -> Iterable[str]:
    yield from (f"there is no {file}" for file in mutant.tests.files if not (root / file).is_file())
    path = root / mutant.file
    if not path.is_file():
        yield f"there is no {mutant.file}"
        return
    text = path.read_text(encoding="utf-8")
    if (number := text.count(mutant.old)) != 1:
        yield f"its old text is {number} times in {mutant.file}, and not once"
    elif mutant.old == mutant.new:
        yield "its new text is the old one"
    elif path.suffix == ".py":
        yield from _faults_of_syntax(changed(text, mutant), mutant.file)


def _faults_of_syntax(text: str, name: str) -> Iterable[str]:
    try:
        compile(text, name, "exec")
    except SyntaxError as error:
        yield f"with it {name} is no Python: {error}"


def changed(text: str, mutant: Mutant) -> str:
    """The text of the mutant's file with the mutant in it."""
    return text.replace(mutant.old, mutant.new, 1)
