"""A real minion sees the notice in its metadata, and its master asks it."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import salt.config

from hart_salt.fleets import interruptions
from hart_salt.master.client import Master
from hart_salt.planning.minion_config import INTERRUPTION_JOB, interruption_job
from tests.drivers.ec2.emulator import metadata
from tests.drivers.ec2.emulator.state import when
from tests.end_to_end import tools
from tests.end_to_end.conftest import SaltMaster
from tests.machines.machines import Spec
from tests.machines.metadata import LoopbackService
from tests.machines.network import Interface

NODE = "spot-1"


def test_a_notice_is_seen_by_the_minion_and_asked_for_by_the_master(master: SaltMaster) -> None:
    notices: dict[str, Any] = {}
    fields: dict[str, Any] = {"spot": lambda: notices.get("spot")}
    nic = Interface("eth0", "private", "02:00:00:00:00:02", "10.213.0.4", "255.255.255.0", "10.213.0.1")
    spec = Spec("i-0123456789abcdef0", NODE, "", (), "ec2", None, "10.213.0.4", metadata=fields)
    fired_once = master.instances / NODE / "var/cache/salt/minion/hart-interruption"
    with contextlib.closing(LoopbackService(metadata.service(spec, (nic,), ()))) as service:
        master.hart["minion_config"] = {
            "hart_metadata": {"cloud": "ec2", "address": service.address, "port": service.port},
            # The second job is that of a minion without the module: it must leave the log alone.
            "schedule": {
                INTERRUPTION_JOB: {**interruption_job(), "seconds": 1},
                "without": {**interruption_job(), "seconds": 1, "kwargs": {"module": "no.module", "wake": True}},
            },
        }
        master.write()
        with master.events() as events:
            assert master.run("hart.create", NODE).code == 0
            asked = len(service.asked)
            tools.until(lambda: len(service.asked) >= asked + 6, "the minion looks again and again")
            assert not fired_once.exists()
            ends = time.time() + 120
            notices.update(metadata.notices("terminate", when(ends)))
            tools.until(fired_once.exists, "the event of the minion")
            ours = Master(salt.config.master_config(str(master.root / "etc/master")))
            answered = interruptions.ask(ours.minions, [NODE], time.time())
            ours.close()
        fired, *again = [event for event in events if event.tag == "hart/interruption"]
        assert len(again) < 3, "it is fired every 30 seconds"
        assert (fired.data["id"], fired.data["data"]["action"]) == (NODE, "terminate")
        assert [event.tag for event in events if "schedule" in event.data] == [], "results stay on the minion"
        assert answered == interruptions.Notices({NODE: interruptions.Notice(float(int(ends)), "terminate", "ec2")})
        log = master.instances / NODE / "var/log/salt/minion"
        assert "Traceback" not in log.read_text()
    assert master.run("hart.destroy", NODE).code == 0
