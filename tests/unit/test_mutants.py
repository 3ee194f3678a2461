"""The mutants of ``tools/mutants.sh``: the lists fit the code, and each report of a mutant is true."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from hart_salt.drivers import OWN

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools/mutants"
MODULES = ("subjects", "runs", "score")

CODE = "def double(number: int) -> int:\n    return 2 * number\n\n\nLIMIT = 3\n"
CASE = """import time
from hart_salt import double

def test_it():
    assert double.double(4) == 8
    while double.LIMIT > 9:
        time.sleep(0.01)
"""


@pytest.fixture(scope="module")
def tool() -> Iterator[Any]:
    """Yield the modules of the program, which are next to it and in no package."""
    sys.path.insert(0, str(TOOL))
    try:
        yield lambda name: importlib.import_module(name)
    finally:
        sys.path.remove(str(TOOL))
        for name in MODULES:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def mutants(tool: Any) -> list[Any]:
    return [mutant for some in tool("subjects").load().values() for mutant in some]


def test_each_mutant_fits_the_code_and_its_tests_exist(tool: Any, mutants: list[Any]) -> None:
    assert tool("subjects").faults(mutants, ROOT) == []


def test_there_are_enough_mutants_for_each_driver_and_in_total(mutants: list[Any]) -> None:
    numbers = Counter(mutant.subject for mutant in mutants)
    assert len(mutants) >= 120
    assert {name: numbers[name] for name in OWN if numbers[name] < 10} == {}


def test_no_mutant_boots_a_machine(mutants: list[Any]) -> None:
    tests = {file for mutant in mutants for file in mutant.tests.files}
    slow = ("tests/end_to_end/", "tests/machines/", "tests/accounts/")
    files = ("test_machines.py", "test_metadata.py", "test_light.py")
    assert [file for file in tests if file.startswith(slow) or file.endswith(files)] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tests = []\nmore = 1", "unknown fields: more"),
        ("select = 'do'", "lacks tests"),
        ("tests = []\n[[mutants]]\nname = 'one'\nfile = 'a'\nold = 'b'", "one lacks new"),
        ("tests = [", "its-list.toml"),
    ],
)
def test_an_invalid_list_is_reported(tool: Any, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "its-list.toml").write_text(text)
    with pytest.raises(ValueError, match=said):
        tool("subjects").load(tmp_path)


def mutant(tool: Any, name: str, old: str, new: str, survives: str = "") -> Any:
    subjects = tool("subjects")
    return subjects.Mutant(
        name, "double", "hart_salt/double.py", old, new, subjects.Tests(("tests/test_double.py",)), survives
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout with one module and one test of it."""
    root = tmp_path / "checkout"
    for directory in ("hart_salt", "tests"):
        (root / directory).mkdir(parents=True)
    (root / "hart_salt/__init__.py").touch()
    (root / "hart_salt/double.py").write_text(CODE)
    (root / "tests/test_double.py").write_text(CASE)
    # Plugins for other tests take longer to load than everything that is tested here.
    without = " ".join(f"-p no:{plugin.name}" for plugin in entry_points(group="pytest11"))
    (root / "pyproject.toml").write_text(f"[tool.pytest.ini_options]\naddopts = '-p no:cacheprovider {without}'\n")
    return root


UNFIT = {
    "occurs 0 times in": ("3 * number", "4 * number"), "occurs 2 times in": ("number", "digit"),
    "equals its old text": ("LIMIT = 3", "LIMIT = 3"), "invalid Python": ("LIMIT = 3", "LIMIT ="),
}  # fmt: skip


@pytest.mark.parametrize("fault", UNFIT)
def test_a_mutant_that_does_not_fit_the_code_is_reported(tool: Any, checkout: Path, fault: str) -> None:
    old, new = UNFIT[fault]
    (said,) = tool("subjects").faults([mutant(tool, "one", old, new)], checkout)
    assert fault in said


def test_names_of_mutants_are_unique(tool: Any, checkout: Path) -> None:
    twice = [mutant(tool, "one", "LIMIT = 3", "LIMIT = 4")] * 2
    assert tool("subjects").faults(twice, checkout) == ["the name one occurs 2 times"]


def test_a_mutant_is_caught_or_survives_or_hangs_and_the_checkout_stays_as_it_is(
    tool: Any, checkout: Path, tmp_path: Path
) -> None:
    runs, score = tool("runs"), tool("score")
    place = tmp_path / "copy"
    place.mkdir()
    copy = runs.Copy(checkout, place)
    copy.check()
    tests = tool("subjects").Tests(("tests/test_double.py",))
    assert copy.run(tests, 60).code == 0
    all_mutants = [
        (mutant(tool, "wrong", "2 * number", "3 * number"), 60, "caught"),
        (mutant(tool, "harmless", "LIMIT = 3", "LIMIT = 4"), 60, "survived"),
        (mutant(tool, "endless", "LIMIT = 3", "LIMIT = 99"), 3, "caught by timeout"),
        (mutant(tool, "no module", "LIMIT = 3", "LIMIT = THERE"), 60, "caught"),
    ]
    judged = []
    for one, limit, word in all_mutants:
        with copy.broken(one):
            judged.append(score.Judged(one, copy.run(tests, limit)))
        assert (judged[-1].word, one.name) == (word, one.name)
        assert (place / one.file).read_text() == CODE
    assert (checkout / "hart_salt/double.py").read_text() == CODE
    assert list(score.table(judged))[2:] == ["| double | 4 | 3 | 1 | 75.0 |", "| all | 4 | 3 | 1 | 75.0 |"]
    assert list(score.remarks(judged)) == [
        "survived: harmless in hart_salt/double.py: no test noticed it",
        "caught only by timeout: endless",
    ]


def test_a_stopped_run_starts_nothing_more(tool: Any, checkout: Path, tmp_path: Path) -> None:
    place = tmp_path / "copy"
    place.mkdir()
    copy = tool("runs").Copy(checkout, place)
    copy.stop()
    with pytest.raises(tool("runs").Stopped):
        copy.run(tool("subjects").Tests(("tests/test_double.py",)), 60)


@pytest.mark.parametrize(
    ("codes", "survives", "good"),
    [
        ([1] * 20, "", True),
        ([1] * 19 + [0], "", False),
        ([1] * 19 + [0], "it says the same in other words", True),
        ([1] * 18 + [0] * 2, "it says the same in other words", False),
        ([1] * 19 + [5], "it says the same in other words", False),
        ([1] * 18 + [None, -11], "", True),
    ],
)
def test_enough_mutants_are_caught_and_the_lists_explain_the_others(
    tool: Any, codes: list[int | None], survives: str, good: bool
) -> None:
    one = mutant(tool, "one", "LIMIT = 3", "LIMIT = 4", survives)
    judged = [tool("score").Judged(one, tool("runs").Run(code, 1.0, "")) for code in codes]
    assert tool("score").is_good(judged) is good
