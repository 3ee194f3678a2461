"""What ``hart.show`` adds to the entry of a node."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hart_salt.operations import listing
from tests.unit.inventory.lease_world import RECORD


def test_a_log_that_is_not_on_this_machine_is_shown_as_such(tmp_path: Path) -> None:
    log = tmp_path / "web1.log"
    there = replace(RECORD, log=str(log))
    assert listing.more(there)["log_note"].startswith("not on this machine")
    log.touch()
    assert "log_note" not in listing.more(there)
    assert "log_note" not in listing.more(RECORD)
