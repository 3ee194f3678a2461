"""A fleet is asked whether it is sealed."""

from __future__ import annotations

from tests.end_to_end import tools
from tests.end_to_end.conftest import SaltMaster


def test_nodes_answer_that_they_are_sealed_or_what_is_left_or_not_at_all(master: SaltMaster) -> None:
    assert master.run("hart.create", "good,bad,down", "role=app").code == 0
    good = master.run("hart.check_seal", "roles:app", "tgt_type=grain")
    assert (good.code, good.data) == (0, {name: {"result": True} for name in ("good", "bad", "down")}), good

    (master.instances / "bad/var/log/hart-bootstrap.log").write_text("hart: ssh\n")
    tools.stop_minion(master, "down")
    asked = master.run("hart.check_seal", "good,bad,down", "tgt_type=list")
    tools.resume_minion(master, "down")
    assert asked.code == 1
    assert {name: entry["result"] for name, entry in asked.data.items() if isinstance(entry, dict)} == {
        "good": True, "bad": False, "down": False,
    }  # fmt: skip
    assert "hart-bootstrap.log still exists" in asked.data["bad"]["error"]
    assert "gave no answer" in asked.data["down"]["error"]


def test_a_target_without_a_match_and_no_target_are_refused(master: SaltMaster) -> None:
    for arguments, words in ((("nobody*",), "no minion with an accepted key matches nobody*"), ((), "needs a target")):
        ran = master.run("hart.check_seal", *arguments)
        assert (ran.code, words in ran.data["error"]) == (2, True), ran
