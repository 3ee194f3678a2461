"""docs/screens.md shows every function of the runner, at each of three widths."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.cells import cell_len

from tools import reference

PAGE = (Path(__file__).resolve().parents[2] / "docs/screens.md").read_text(encoding="utf-8")
#: command → its screens by width
SCREENS = {
    command: {
        int(width): text for width, text in re.findall(r"^(\d+) columns:\n\n```text\n(.*?)```", body, re.M | re.S)
    }
    for command, body in re.findall(r"^## salt-run hart\.(.*?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
}
#: the functions without a screen on this page, and why
WITHOUT = {
    "remove_image": "it needs an image",
    "add_ip": "its account has no address to assign",
    "completion": "it prints a script",
    "create_master": "light machines are no masters",
    "engine": "an engine would change the fleets of this page",
    "from_salt_cloud": "it prints a file",
    "import_minion": "there is no minion that hart did not create",
    "import_minions": "there is no store of the old hart",
    "peer_keys": "only other masters call it",
    "remove_ip": "its account has no address to assign",
}


def test_every_function_has_a_screen_or_a_reason() -> None:
    shown = {command.split()[0] for command in SCREENS}
    assert shown | set(WITHOUT) == set(reference.functions())
    assert not shown & set(WITHOUT)


@pytest.mark.parametrize("command", SCREENS)
def test_every_screen_fits_its_terminal(command: str) -> None:
    assert set(SCREENS[command]) == {80, 160, 40}
    for width, text in SCREENS[command].items():
        wide = [line for line in text.splitlines() if cell_len(line) > width]
        # A word such as a path or a key stays whole.
        assert [line for line in wide if len(line.split()) > 3] == []
