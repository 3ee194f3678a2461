"""With the configuration from hart, a minion survives a restart of its master."""

from __future__ import annotations

from tests.end_to_end import tools
from tests.end_to_end.conftest import MakeMaster


def test_a_minion_answers_again_after_its_master_was_stopped_and_started(make_master: MakeMaster) -> None:
    master = make_master()
    # Only intervals are shorter than Salt's and hart's own; what the minion does after them is the same.
    master.hart["minion_config"] = {
        "master_alive_interval": 3, "auth_timeout": 2, "acceptance_wait_time": 1, "recon_default": 100,
        "recon_max": 500, "random_reauth_delay": 1,
    }  # fmt: skip
    master.write()
    assert master.run("hart.create", "a", "role=app").code == 0
    before = set(tools.processes_of(master.instances / "a"))
    master.stop()
    master.start()
    tools.until(lambda: master.salt("-t", "2", "a", "test.ping").data == {"a": True}, "an answer of the minion")
    after = set(tools.processes_of(master.instances / "a"))
    assert len(before) >= 2
    assert before & after, "another process answered"
