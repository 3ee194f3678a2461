"""
All text for people uses the field's words, and none of the private words that the project once had.

The test reads names, docstrings, comments, messages and pages alike: the text of every file in ``TREES``.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: the files with text for people
TREES = ("README.md", "CHANGELOG.md", "docs", "hart_salt", "_runners", "_modules", "tools", "test", "tests")
SUFFIXES = ("", ".py", ".md", ".j2", ".sh", ".awk", ".toml", ".yaml", ".conf", ".sls", ".css", ".html")

#: each private word with its forms, and the word to use
WORDS = {
    "wish(?:es|ed|ing)?": "request, option",
    "strays?|strayed": "orphan",
    "strangers?": "foreign, unknown, another",
    "spares?|spared|sparing": "keep",
    "tells?|told|telling": "report, say, notify, distinguish",
    "mend(?:s|ed|ing)?": "fix, repair",
    "outfits?": "install spec",
    "giving": "assign, allocate",
    "origins?": "source address",
    "patience": "timeout, retry",
    "homes?": "context, directory",
}
#: only letters make a word: ``_`` separates words in a name
PRIVATE = re.compile(rf"(?<![A-Za-z])(?:{'|'.join(WORDS)})(?![A-Za-z])", re.IGNORECASE)
#: technical uses, each with its reason
ALLOWED = {
    r"\$HOME\b|\"HOME\"|\bHOME=|\bXDG_CACHE_HOME\b": "variables of the environment",
    r"\bPath\.home\b": "the function of Python's pathlib",
    r"\"home = ": "a key of Python's pyvenv.cfg",
    r"--home-dir\b": "an option of useradd",
    r"\"Origin\": ": "a field of an apt repository's Release file",
    r"(?:/|\|)home\b|\bhome/": "the directory of users on Linux, in a path or in a pattern of paths",
    r"\(\"home\"\)|\"etc\", \"home\", ": "the same as an argument, or in a list of directories",
    r"(?<![A-Za-z])home[ _]director(?:y|ies)": "what POSIX calls a user's directory",
    r"\borigin/|\bpush --atomic origin\b|\bremote\", \"add\", \"origin\"": "git's name of a remote",
    r"\bget_origin\b": "the function of Python's typing",
    r"\b(?:server|cloud|emulator|request|self)\.origin\b": "an HTTP origin: scheme, host and port",
}
EXEMPT = re.compile("|".join(ALLOWED))


def files() -> list[Path]:
    paths = [
        path for tree in TREES for path in ([ROOT / tree] if (ROOT / tree).is_file() else (ROOT / tree).rglob("*"))
    ]
    return sorted(
        path
        for path in paths
        if path.is_file() and path.suffix in SUFFIXES and not {"__pycache__", "_build"} & set(path.parts)
        if path != Path(__file__)
    )


def private_words(text: str) -> list[str]:
    """Return the lines with a private word, with their numbers."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        # A capital letter after a small one also begins a word.
        if PRIVATE.search(re.sub("(?<=[a-z])(?=[A-Z])", "_", EXEMPT.sub("", line))):
            found.append(f"{number}: {line.strip()}")
    return found


@pytest.mark.parametrize("tree", TREES)
def test_every_tree_has_files(tree: str) -> None:
    top = ROOT / tree
    assert [path for path in files() if path == top or top in path.parents]


def test_no_text_has_a_private_word() -> None:
    found = {str(path.relative_to(ROOT)): private_words(path.read_text(encoding="utf-8")) for path in files()}
    assert {path: lines for path, lines in found.items() if lines} == {}


FORMS = [
    "wish", "wishes", "wished", "stray", "strays", "stranger", "strangers", "spare", "spares", "spared", "tell",
    "tells", "told", "mend", "mended", "outfit", "giving", "origin", "patience", "home", "homes",
]  # fmt: skip


@pytest.mark.parametrize("word", FORMS)
@pytest.mark.parametrize(
    "text", ["a {} here", "def _{}(x):", "def test_it_is_{}() -> None:", "# {}:", '"the {}"', "{}"]
)
def test_each_word_is_found_wherever_it_is(word: str, text: str) -> None:
    for form in (word, word.capitalize(), word.upper()):
        assert private_words(text.format(form))


def test_words_in_names_of_classes_are_found() -> None:
    assert private_words("class ImportWish:\nclass OutfitSpec:") == ["1: class ImportWish:", "2: class OutfitSpec:"]


@pytest.mark.parametrize(
    "line",
    [
        "recommended", "homepage", "original", "forgiving", "intelligible", "amended", "/home/*/.ssh", "$HOME/x",
        "the user's home directory", "git diff origin/main", "storytelling",
    ],
)  # fmt: skip
def test_other_words_are_not_found(line: str) -> None:
    assert private_words(line) == []
