"""The execution module works for another master on the machine of a salt-master, and nowhere else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from hart_salt.master.keys import ACCEPTED, Keys
from hart_salt.master.peer_work import digest
from hart_salt.modules import hart
from tests.parts import master_opts, new_public_key

KEY = new_public_key() + "\n"


@pytest.fixture
def opts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the configuration of a salt-master, beside which the minion's configuration is."""
    for name in ("minions", "minions_pre", "minions_rejected", "minions_denied"):
        (tmp_path / "pki" / name).mkdir(parents=True)
    (tmp_path / "cache").mkdir()
    found = master_opts(tmp_path)
    monkeypatch.setattr(hart, "__opts__", {"conf_file": str(tmp_path / "etc/minion")}, raising=False)
    return found


def test_it_works_with_the_configuration_of_the_salt_master_beside_the_minion_s(opts: dict[str, Any]) -> None:
    answer = hart.peer_keys("accept", {"web": KEY}, __pub_user="root", __pub_jid="1")
    assert answer["keys"] == {"web": {"accepted": digest(KEY), "notes": []}}
    assert Keys(opts).states() == {"web": (ACCEPTED,)}


def test_it_does_nothing_for_another_minion(opts: dict[str, Any]) -> None:
    assert "only a master may" in hart.peer_keys("accept", {"web": KEY}, __pub_id="evil")["error"]
    assert Keys(opts).states() == {}


def test_it_does_nothing_where_no_salt_master_is(
    opts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hart, "__opts__", {"conf_file": str(tmp_path / "elsewhere/minion")})
    error = hart.peer_keys("facts")["error"]
    assert error.startswith(f"this machine has no salt-master: there is no {tmp_path}/elsewhere/master; ")
    assert "set hart_master_config to that path" in error


def test_the_configuration_of_the_salt_master_can_be_elsewhere(opts: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "etc/master").rename(tmp_path / "ours")
    hart.__opts__["hart_master_config"] = str(tmp_path / "ours")
    assert hart.peer_keys("list")["keys"] == {}


def test_a_minion_without_the_package_says_so(opts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    error = hart.peer_keys("facts")["error"]
    assert error.startswith(f"hart-salt is not installed in {sys.executable}, the Python of the minion on this machine")


def test_what_is_no_answer_is_an_error_with_its_last_line(
    opts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert hart.peer_keys("facts")["error"].startswith("hart failed on this master with exit code 1")


def test_work_that_hangs_is_stopped(opts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = tmp_path / "hangs"
    hangs.write_text("#!/bin/sh\nexec sleep 300\n")
    hangs.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(hangs))
    answer = hart.peer_keys("facts", {}, 0.1)
    assert answer == {
        "error": "hart did not finish on this master within 0.1 seconds and was stopped", "late": True
    }  # fmt: skip


def test_a_request_that_waited_too_long_is_not_begun(opts: dict[str, Any]) -> None:
    assert "was stopped" in hart.peer_keys("accept", {"web": KEY}, until=1.0)["error"]
    assert Keys(opts).states() == {}
