"""The tutorial is right: its commands run in the sandbox of ``tools/demo.sh --keep``, and print what the page shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
DEMO = ROOT / "tools/demo"
TIMEOUT = 300  #: seconds for one block of commands
#: the blocks of commands in their order, each with the output below it
BLOCKS = re.findall(r"^```bash\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", PAGE, re.MULTILINE | re.DOTALL)
#: what differs from run to run, and what stands for it
VARIABLE = [
    (r"/tmp/hart-demo\.\w+", "DIRECTORY"),
    (r"\b[0-9a-f]{8}(?=\.\w+\.)", "UNIQUE"),
    (r"(?:[0-9a-f]{2}:){31}[0-9a-f]{2}", "FINGERPRINT"),
    (r"\bAAAA[\w+/]+", "KEY"),
    (r"\d{4}-\d\d-\d\dT[\d:+]+", "DATE"),
    (r"\d\d:\d\d:\d\d\.\d+", "TIME"),
    (r"(?<=version:)\s+\S+", "VERSION"),
    (r"(?<![\d.])\d+(\.\d+)? (s|min)\b", "AGE"),
    (r"(?<=127\.0\.0\.1) +\d+(?=  )", "SECONDS"),
    (r"(?<![\d.])\d+\.\d+(?![\d.])", "NUMBER"),
]


def normal(text: str) -> str:
    """An output with a word in place of whatever differs; lines break elsewhere where a path is longer."""
    for pattern, word in VARIABLE:
        text = re.sub(pattern, word, text)
    return " ".join(text.split())


def is_like(expected: str, printed: str) -> bool:
    """Whether an output is as expected; three dots on a line of their own stand for any lines."""
    parts = [normal(part) for part in re.split(r"^\.\.\.$", expected, flags=re.MULTILINE)]
    return bool(re.fullmatch(r"(?: .*)? ?".join(map(re.escape, parts)), normal(printed)))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[dict[str, str]]:
    """The environment of a shell into which the two lines were copied that the demo prints."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("HART_", "SALT_"))}
    shown = subprocess.run(
        [sys.executable, DEMO / "demo.py", "--keep"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=TIMEOUT, env=own, check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown
    exports = dict(re.findall(r"^ +export (\w+)=(.+)$", shown.stdout, re.MULTILINE))
    assert set(exports) == {"SALT_CONFIG_DIR", "PATH"}
    place = Path(exports["SALT_CONFIG_DIR"]).parent
    try:
        yield {**own, **exports, "PATH": exports["PATH"].replace("$PATH", own["PATH"])}
    finally:
        # Not --stop, which ends every demo of this user.
        end = "import sys, pathlib, place; place.Place(pathlib.Path(sys.argv[1])).end()"
        subprocess.run([sys.executable, "-c", end, place], cwd=DEMO, timeout=TIMEOUT, env=own, check=True)
        assert not place.exists()


def test_there_is_something_to_test() -> None:
    assert len([output for _, output in BLOCKS if output]) > 10


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("id: 0ea226ab.web.example.com\n", "id:  ffffffff.web.example.com\n", True),
        ("id: 0ea226ab.web.example.com\n", "id: ffffffff.app.example.com\n", False),
        ("a: 1\n...\nz: 2\n", "a: 1\nb: 3\nc: 4\nz: 2\n", True),
        ("a: 1\n...\nz: 2\n", "a: 1\nb: 3\n", False),
        ("a: 1\n", "a: 1\nb: 3\n", False),
        ("took: 1.234\n", "took: 0.5678\n", True),
    ],
)
def test_an_output_is_compared_but_for_what_differs_from_run_to_run(expected: str, printed: str, same: bool) -> None:
    assert is_like(expected, printed) is same


def test_every_command_of_the_tutorial_prints_what_it_shows(sandbox: dict[str, str]) -> None:
    for commands, output in BLOCKS:
        if commands.startswith("./tools/demo.sh"):
            continue
        ran = subprocess.run(
            ["bash", "-c", commands], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT,
            env=sandbox, check=False,
        )  # fmt: skip
        assert is_like(output, ran.stdout), f"{commands}\n{ran.stdout}\n{ran.stderr}\n{output}"
