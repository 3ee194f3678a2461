"""
An image with a minion's configuration: hart's settings win, and the image's others stay, as Salt itself reads them.

The script's own functions run below a directory, as in ``test_seal_script.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import salt.config
import yaml

from tests.functional.node.test_seal_script import Machine, function, moved

OURS = {"id": "web", "master": "10.0.0.1", "grains": {"hart.provider": "do", "roles": ["app"]}}
FUNCTIONS = "\n".join(function(name) for name in ("defer_configuration", "write_start", "write_after"))
SYSTEMCTL = '#!/bin/sh\necho "systemctl $*" >> "{0}/calls"\n'


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.has("bin/systemctl", SYSTEMCTL.format(tmp_path), 0o755)
    made.file("run/hart").mkdir(parents=True)
    made.has("etc/salt/minion", "# The defaults are in force.\n")
    return made


def begin(machine: Machine, ours: Mapping[str, Any] = OURS) -> tuple[dict[str, Any], list[str]]:
    """Start the minion of a machine; return the configuration that its Salt reads, and the notes."""
    machine.has("etc/systemd/system/salt-minion.service.d/zzz-hart.conf", "[Unit]\n")
    note = f'run={machine.root}/run/hart\nnote() {{ echo "NOTE $1"; }}\n'
    made = machine.sh(f"set -eu\nexport LC_ALL=C\n{note}{moved(FUNCTIONS, machine.root)}\nwrite_start\n")
    assert (made.returncode, made.stderr) == (0, "")
    configuration = yaml.safe_dump(dict(ours), default_flow_style=False)  # as hart does
    done = machine.sh(f"sh {machine.root}/run/hart/start", stdin=configuration)
    assert (done.returncode, done.stderr) == (0, "")
    options = salt.config.minion_config(str(machine.root / "etc/salt/minion"), cache_minion_id=False)
    return options, [line[5:] for line in made.stdout.splitlines() if line.startswith("NOTE ")]


@pytest.mark.parametrize(
    "name",
    [
        "minion.conf", "master.conf", "99-site.conf", "_schedule.conf", "zz.conf", "hart.conf", "zzz-hart.confx.conf",
        "zzz-site.conf", "zzzz.conf", "\xe9.conf",
    ],
)  # fmt: skip
def test_hart_s_settings_win_over_any_file_of_the_image_whose_others_stay(machine: Machine, name: str) -> None:
    theirs = "id: old\nmaster: old.example\ngrains: {dc: fra, roles: [base]}\nlog_level_logfile: info\n"
    machine.has(f"etc/salt/minion.d/{name}", theirs)
    machine.has("etc/salt/minion_id", "old")
    options, notes = begin(machine)
    assert (options["id"], options["master"], options["log_level_logfile"]) == ("web", "10.0.0.1", "info")
    assert (options["grains"]["dc"], options["grains"]["hart.provider"]) == ("fra", "do")
    assert options["grains"]["roles"] == ["app"]
    assert not machine.file("etc/salt/minion_id").exists()
    last = name > "zzz-hart.conf"
    assert [f"minion.d/{name} is now minion.d/zz-{name}" in note for note in notes] == [True] * last


@pytest.mark.parametrize("masters", [["one", "two"], "one"])
@pytest.mark.parametrize("old", ["[old, two]", "old", "\n- old\n- two"])
def test_the_masters_are_those_of_hart_alone(machine: Machine, masters: Any, old: str) -> None:
    """Salt adds lists of several files together."""
    machine.has("etc/salt/minion.d/minion.conf", f"master: {old}\n")
    options, _ = begin(machine, {**OURS, "master": masters})
    assert options["master"] == masters
    assert ("master:" in machine.file("etc/salt/minion.d/zzz-hart-lists.conf").read_text()) is isinstance(masters, list)


@pytest.mark.parametrize("roles", [["app"], []])
@pytest.mark.parametrize("place", ["etc/salt/minion", "etc/salt/minion.d/minion.conf"])
def test_the_roles_are_those_of_hart_alone(machine: Machine, roles: list[str], place: str) -> None:
    machine.has(place, "grains: {dc: [fra], roles: [database]}\n")
    options, _ = begin(machine, {**OURS, "grains": {"dc": ["ams"], "roles": roles}, "log_level": "info"})
    assert (options["grains"]["roles"], options["grains"]["dc"]) == (roles, ["fra", "ams"])


@pytest.mark.parametrize(
    "text",
    [
        "id: old\nmaster: [old]\ngrains:\n  dc: fra\n",
        "include: site/*.conf\n",
        "id: old\ninclude:\n- site/*.conf\n",
        "default_include: site/*.conf\n",
    ],
)
def test_the_main_file_of_the_image_and_what_it_includes_do_not_win_either(machine: Machine, text: str) -> None:
    machine.has("etc/salt/minion", text)
    machine.has("etc/salt/site/a.conf", "id: old\nmaster: [old]\ngrains: {dc: fra}\n")
    for number in range(2):  # an image that was made of a node has it already
        options, notes = begin(machine)
        assert (options["id"], options["master"], options["grains"]["dc"]) == ("web", "10.0.0.1", "fra")
        assert options["grains"]["hart.provider"] == "do"
        assert len(notes) == 1 - number


def test_a_main_file_without_such_settings_stays(machine: Machine) -> None:
    text = "id: old\nmaster: [old]\nhash_type: sha512\n"
    machine.has("etc/salt/minion", text)
    options, notes = begin(machine)
    assert (options["id"], options["master"], options["hash_type"], notes) == ("web", "10.0.0.1", "sha512", [])
    assert machine.file("etc/salt/minion").read_text() == text


@pytest.mark.parametrize(("text", "stays"), [("# hart 0123456789abcdef\nid: old\n", False), ("id: mine\n", True)])
def test_the_file_of_an_older_hart_goes_and_the_user_s_own_of_that_name_stays(
    machine: Machine, text: str, stays: bool
) -> None:
    machine.has("etc/salt/minion.d/hart.conf", text)
    assert begin(machine)[0]["id"] == "web"
    assert machine.file("etc/salt/minion.d/hart.conf").exists() is stays


def test_nothing_holds_the_service_when_it_is_started(machine: Machine) -> None:
    begin(machine)
    assert machine.files("etc/systemd") == {}
    assert not machine.file("etc/systemd/system/salt-minion.service.d").exists()
    assert machine.file("calls").read_text().splitlines() == [
        "systemctl --no-block start salt-minion.service", "systemctl -q --no-reload enable salt-minion.service",
    ]  # fmt: skip
