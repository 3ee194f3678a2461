"""A role becomes a minion, and is destroyed."""

from __future__ import annotations

from tests.end_to_end.conftest import SaltMaster


def test_a_role_becomes_a_minion_that_answers_and_destroy_leaves_nothing(master: SaltMaster) -> None:
    made = master.run("hart.create_role", "app", "count=2")
    assert made.code == 0, made
    assert len(made.data) == 2
    assert all(entry["result"] is True for entry in made.data.values())

    answers = master.salt("-G", "roles:app", "test.ping")
    assert answers.data == dict.fromkeys(made.data, True)

    gone = master.run("hart.destroy", ",".join(made.data))
    assert gone.code == 0, gone
    assert not any(master.left_over().values())
