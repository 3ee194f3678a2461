"""The last errors in a minion's own log."""

from __future__ import annotations

import subprocess
from pathlib import Path

from hart_salt.node import minion_log

LOG = """2026-11-29 20:00:00,001 [salt.minion      :1][INFO    ][42] Setting up
2026-11-29 20:00:01,001 [salt.crypt       :2][ERROR   ][42] The master key has changed
[CRITICAL] Unable to sign_in to master
Traceback (most recent call last):
2026-11-29 20:00:02,001 [salt.minion      :3][WARNING ][42] [ no ERROR ] here
2026-11-29 20:00:03,001 [salt.crypt       :2][ERROR   ][42] The master key has changed
2026-11-29 20:00:04,001 [salt.minion      :4][ERROR   ][42] DNS lookup of 'salt' failed.
"""


def test_the_last_errors_are_shown_once_each_and_oldest_first() -> None:
    assert minion_log.last_errors(LOG) == [
        "Unable to sign_in to master", "The master key has changed", "DNS lookup of 'salt' failed.",
    ]  # fmt: skip
    assert minion_log.last_errors("[ERROR] first\n" + LOG)[0] == "Unable to sign_in to master"
    assert minion_log.last_errors("nothing\n[ERROR   ]\n") == []


def printed(root: Path, **configuration: object) -> str:
    command = minion_log.command(str(root), configuration)
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, timeout=300).stdout


def test_the_end_of_the_log_is_read_also_from_where_minion_config_puts_it(tmp_path: Path) -> None:
    root = tmp_path / "a node"
    assert printed(root) == ""
    log = root / "var/log/salt/minion"
    log.parent.mkdir(parents=True)
    log.write_text("x" * minion_log.READ + "the end")
    assert printed(root) == "x" * (minion_log.READ - 7) + "the end"
    assert printed(root, log_file="file:///dev/log") == printed(root)
    other = tmp_path / "another log"
    other.write_text("elsewhere")
    assert printed(root, log_file=str(other)) == "elsewhere"
