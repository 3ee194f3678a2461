"""The configuration that hart gives a minion lets it live through what happens to a master."""

from __future__ import annotations

from tests.integration import tools
from tests.integration.conftest import MakeMaster


def test_a_minion_answers_again_after_its_master_was_stopped_and_started(make_master: MakeMaster) -> None:
    master = make_master()
    # Only intervals are shorter than hart's own; that the minion tries again, and for how long, is hart's doing.
    master.hart["minion_config"] = {
        "master_alive_interval": 3, "auth_timeout": 3, "acceptance_wait_time": 1, "recon_default": 100,
        "recon_max": 500, "random_reauth_delay": 1,
    }  # fmt: skip
    master.write()
    assert master.run("hart.create", "a", "role=app").code == 0
    before = tools.processes_of(master.instances / "a")
    master.stop()
    master.start()
    tools.until(lambda: master.salt("-t", "2", "a", "test.ping").data == {"a": True}, "an answer of the minion")
    assert before[0] in tools.processes_of(master.instances / "a")
