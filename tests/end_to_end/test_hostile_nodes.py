"""Nodes that lie, flood and use names of others, beside an honest one: only they fail, and nothing is left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import salt.config
from salt.utils.crypt import pem_finger

from hart_salt.inventory.records import BANK
from hart_salt.master.client import Master
from tests.end_to_end import tools
from tests.end_to_end.conftest import Ran, SaltMaster, running_master

#: the last thing that the script does: a hostile image acts just before it
LAST = '\tmv "$run/result.json.new" "$run/result.json"\n'
PLANTED = "Zq8-hors3-Kx0-bAttery-9wV"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIt8nmNGH+lWOnCEAzbiNSYTwcbfUUWmPPej05UDf2dn"

#: changes the document by Python code, in which it is ``d``
REWRITE = """"$HART_PYTHON" - "$run/result.json.new" <<'PY'
import json, sys
d = json.load(open(sys.argv[1]))
{}
open(sys.argv[1], "w").write(json.dumps(d))
PY
"""

FAILING = {
    "endless": (
        'rm "$run/result.json.new"; ln -s /dev/zero "$run/result.json.new"',
        "the bootstrap's result document is larger than 1 MiB",
    ),
    "long": (
        f"yes '{PLANTED} ' | tr -d '\\n' 2>/dev/null | head -c 1800000 >> \"$log\"; echo >> \"$log\"",
        "the node printed a line of more than 8 KiB",
    ),
    "many": (
        'yes "$(printf %0900d 7)" 2>/dev/null | head -c 12000000 >> "$log"',
        "the node printed too much: its log is larger than 10 MiB",
    ),
    "wrong": (REWRITE.format('d["seconds"] = {"rm -rf": 1}'), "seconds is missing or wrong"),
    "framed": (
        REWRITE.format('d["minion_key"] = "look here\\n" + d["minion_key"]'),
        "the node reported a minion key with other text beside it",
    ),
    "flood": (
        "echo 'cat > /dev/null; yes >&2' > \"$run/start\"",
        "the output of a command on the node is larger than 1 MiB",
    ),
    "cut": (
        "cat > \"$run/start\" <<'X'\ncat >&2\nhead -c 440 /dev/zero | tr '\\0' x >&2; exit 1\nX",
        "a command on the node failed with exit code 1: ",
    ),
}
LYING = {
    "keys": REWRITE.format(
        f'd["host_keys"] = [" ".join([*d["host_keys"][0].split()[:2], "{PLANTED}"])]\n'
        f'd["host_keys"] += ["{KEY}\\n* {KEY}", "not a key at all", "A" * 20000]\n'
        'd["notes"] = ["\\x1b]0;PWNED-TITLE\\x07\\x1b[2Jforged: \\x9b31m\\u202e\\rresult: True", "n" * 5000]\n'
        'd["salt_version"] = "z" * 1000'
    ),
    "named": REWRITE.format('d["former_key"] = open("@VICTIM@").read()'),
}


@dataclass(frozen=True)
class Seen:
    """One call with all of them, and what was left after it."""

    ran: Ran
    master: SaltMaster
    keys: dict[str, list[str]]
    left: dict[str, Any]
    victim: str

    def shown(self) -> str:
        """Return everything that left hart, as text."""
        logs = "".join(path.read_text() for path in sorted(self.master.log_dir.glob("*.log")))
        return self.ran.stdout + self.ran.stderr + logs

    def records(self) -> str:
        paths = sorted((self.master.cachedir / BANK).glob("*"))
        return "".join(path.read_bytes().decode("latin-1") for path in paths)


@pytest.fixture(scope="module")
def seen(factories: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    victim = tools.foreign_key()
    file = tmp_path_factory.mktemp("victim") / "pub"
    file.write_text(victim + "\n")
    file.chmod(0o644)
    with running_master(factories) as master:
        master.hart["roles"]["app"] = {"minion_config": {"my_password": PLANTED}}
        with tools.tried(master) as trial:
            for minion_id, snippet in {**{name: one for name, (one, _) in FAILING.items()}, **LYING}.items():
                trial.alter(minion_id, LAST, snippet.replace("@VICTIM@", str(file)) + "\n" + LAST)
            # The key of another machine, which is pending.
            Master(salt.config.master_config(str(master.root / "etc/master"))).keys._deposit("victim", victim)
            ran = master.run("hart.create", ",".join(["good", *FAILING, *LYING]), "role=app", timeout=400)
            yield Seen(ran, master, master.keys(), master.left_over(), victim)


def test_the_honest_node_becomes_a_minion_beside_them(seen: Seen) -> None:
    assert seen.ran.data["good"]["result"] is True
    assert seen.ran.data["good"]["notes"] == []


@pytest.mark.parametrize("minion_id", FAILING)
def test_a_hostile_node_fails_with_one_sentence(seen: Seen, minion_id: str) -> None:
    entry = seen.ran.data[minion_id]
    assert entry["result"] is False
    assert FAILING[minion_id][1] in entry["error"]
    assert len(entry["error"]) < 1000
    assert sum(map(len, entry["output"])) < 200_000


def test_nothing_is_left_of_the_failed_nodes(seen: Seen) -> None:
    there = ["good", *LYING]
    assert sorted(seen.keys["minions"]) == sorted(there)
    assert sorted(seen.left["records"]) == sorted(f"{name}.node" for name in there)
    assert sorted(Path(path).name for path in seen.left["instances"]) == sorted(there)


def test_a_sweep_finds_nothing_after_them(seen: Seen) -> None:
    swept = seen.master.run("hart.sweep", "grace=0", "test=True")
    assert (swept.code, swept.data) == (0, {"would_remove": [], "kept": []})


def test_host_keys_and_notes_are_one_line_each_and_clean(seen: Seen) -> None:
    entry = seen.ran.data["keys"]
    assert entry["result"] is True
    assert len(entry["ssh_host_keys"]) == 1
    assert "\n" not in entry["ssh_host_keys"][0]
    keys, notes, forged = entry["notes"]
    assert keys.startswith("3 of the SSH host keys that the node reported were left out")
    assert notes.startswith("1 of the node's notes were left out")
    assert forged == "\ufffd]0;PWNED-TITLE\ufffd\ufffd[2Jforged: \ufffd31m\ufffd\ufffdresult: True"


def test_the_key_of_another_machine_stays_and_a_note_names_its_holder(seen: Seen) -> None:
    assert seen.keys["minions_pre"] == ["victim"]
    (note,) = seen.ran.data["named"]["notes"]
    assert f"{pem_finger(key=seen.victim.encode(), sum_type='sha256')} is pending as victim" in note
    assert "salt-key -d victim" in note


def test_no_part_of_the_secret_and_no_control_character_is_anywhere(seen: Seen) -> None:
    shown = seen.shown()
    everything = shown + seen.records()
    assert not [PLANTED[at : at + 8] for at in range(len(PLANTED) - 7) if PLANTED[at : at + 8] in everything]
    unseen = {char for char in shown if (ord(char) < 32 and char not in "\n\t") or 127 <= ord(char) < 160}
    assert unseen == set()


def test_the_size_of_a_log_is_limited(seen: Seen) -> None:
    sizes = {path.name: path.stat().st_size for path in seen.master.log_dir.glob("*.log")}
    assert {name: size for name, size in sizes.items() if size > 11 * 1024 * 1024} == {}
    assert sizes["many.log"] > 10 * 1024 * 1024
