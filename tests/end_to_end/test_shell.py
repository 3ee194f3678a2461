"""A script on a minion: its arguments, its output and exit code, and a minion that does not answer."""

from __future__ import annotations

import salt.config

from hart_salt.master.client import Master
from tests.end_to_end.conftest import SaltMaster
from tests.end_to_end.processes import end_processes

SAYS = 'main() { printf "%s|" "$@"; echo; echo no >&2; exit "$1"; }\nmain "$@" </dev/null\n'


def test_a_script_gets_its_arguments_unchanged_and_its_exit_code_is_returned(master: SaltMaster) -> None:
    assert master.run("hart.create", "w1", "role=app").code == 0
    asked = Master(salt.config.master_config(str(master.root / "etc/master")))
    awkward = ["a b", "mac=02:00:00:00:00:01", "$(id)", "{{ x }}", "1.2.3.4/32", "it's"]
    assert asked.minions.shell("w1", SAYS, ["0", *awkward]) == (0, "|".join(["0", *awkward, ""]))
    assert asked.minions.shell("w1", SAYS, ["3"]) == (3, "no")
    end_processes(master.instances / "w1")
    assert asked.minions.shell("w1", SAYS, ["0"]) is None
