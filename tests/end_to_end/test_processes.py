"""What the tests consider a process of an instance."""

from __future__ import annotations

import contextlib

import psutil
import salt.client

from tests.end_to_end import tools
from tests.end_to_end.conftest import SaltMaster
from tests.end_to_end.processes import is_job, processes_of


def test_a_job_of_a_minion_is_not_a_process_of_its_instance_while_the_minion_lives(master: SaltMaster) -> None:
    assert master.run("hart.create", "w1", "role=app").code == 0
    lasting = {process.pid for process in master.instance_processes()}
    assert len(lasting) >= 3, "the machine and the two processes of salt-minion"
    with salt.client.get_local_client(str(master.root / "etc/master")) as client:
        jid = client.cmd_async("w1", "test.sleep", [300])

    def found() -> psutil.Process | None:
        """Salt puts the job id into the title of its process; jobs of the create call may still be ending."""
        for process in processes_of(master.root):
            with contextlib.suppress(psutil.Error):
                if jid in " ".join(process.cmdline()) and is_job(process):
                    return process
        return None

    job = tools.until(found, "the job")
    assert {process.pid for process in master.instance_processes()} == lasting
    for process in job.parents()[:2]:
        process.kill()
    tools.until(lambda: not is_job(job), "the job has lost its minion")
    now = {process.pid for process in master.instance_processes()}
    assert now - lasting == {job.pid}
