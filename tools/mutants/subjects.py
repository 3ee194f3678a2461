"""The lists of mutants in ``lists/``, one for each subject, with the tests that must catch them."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LISTS = Path(__file__).resolve().parent / "lists"
#: the fields of a list besides its mutants, and those of a mutant; ``tests`` and ``select`` can be in both
OF_SUBJECT, OF_MUTANT = {"tests", "select"}, {"name", "file", "old", "new", "survives", "tests", "select"}

_toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")


@dataclass(frozen=True)
class Tests:
    """The arguments for pytest."""

    files: tuple[str, ...]
    #: for ``-k``; empty: all tests in the files
    select: str = ""


@dataclass(frozen=True)
class Mutant:
    """One change of one file that breaks the code."""

    name: str
    subject: str
    #: path relative to the checkout
    file: str
    #: the text to replace, which must occur exactly once, and its replacement
    old: str
    new: str
    tests: Tests
    #: why no test can catch it; empty: a test must catch it
    survives: str = ""


def load(lists: Path = LISTS) -> dict[str, tuple[Mutant, ...]]:
    """
    Return the mutants of each subject, by its name, in the order of its list.

    ``lists`` is the directory of the lists (default: the one beside this file).

    Raises ``ValueError`` if a list is not TOML, has an unknown field or lacks a required one.
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
        raise ValueError(f"{where} has unknown fields: {', '.join(unknown)}")
    if lacking := sorted(needed - data.keys()):
        raise ValueError(f"{where} lacks {', '.join(lacking)}")


def faults(mutants: Sequence[Mutant], root: Path) -> list[str]:
    """
    Return one message for each fault of the lists.

    ``root`` is the checkout whose code the lists break.
    """
    counted = Counter(mutant.name for mutant in mutants)
    found = [f"the name {name} occurs {number} times" for name, number in counted.items() if number > 1]
    for mutant in mutants:
        found += [f"{mutant.subject}: {mutant.name}: {fault}" for fault in _faults_of(mutant, root)]
    return found


def _faults_of(mutant: Mutant, root: Path) -> Iterable[str]:
    yield from (f"{file} does not exist" for file in mutant.tests.files if not (root / file).is_file())
    path = root / mutant.file
    if not path.is_file():
        yield f"{mutant.file} does not exist"
        return
    text = path.read_text(encoding="utf-8")
    if (number := text.count(mutant.old)) != 1:
        yield f"its old text occurs {number} times in {mutant.file} instead of once"
    elif mutant.old == mutant.new:
        yield "its new text equals its old text"
    elif path.suffix == ".py":
        yield from _faults_of_syntax(changed(text, mutant), mutant.file)


def _faults_of_syntax(text: str, name: str) -> Iterable[str]:
    try:
        compile(text, name, "exec")
    except SyntaxError as error:
        yield f"it makes {name} invalid Python: {error}"


def changed(text: str, mutant: Mutant) -> str:
    """Return the text of a file with the mutant in it."""
    return text.replace(mutant.old, mutant.new, 1)
