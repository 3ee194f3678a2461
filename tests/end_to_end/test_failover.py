"""A node of one master fails over to another master with another key, because both sign their keys."""

from __future__ import annotations

import contextlib
import shutil
from typing import Any

from saltfactories.manager import FactoriesManager

from tests.end_to_end import tools
from tests.end_to_end.conftest import SaltMaster, running_master

SIGNS: dict[str, Any] = {"master_sign_pubkey": True, "master_sign_key_name": "ours"}
#: only intervals are shorter than hart's and Salt's own
SOON = {"master_alive_interval": 2, "auth_timeout": 2, "acceptance_wait_time": 1, "random_reauth_delay": 1}


def test_a_minion_of_hart_accepts_its_second_master_by_the_signature_of_that_master_s_key(
    factories: FactoriesManager,
) -> None:
    def with_the_same_signing_key(second: SaltMaster) -> None:
        keys = second.root / "etc/salt/pki/master"
        keys.mkdir(parents=True)
        for name in ("ours.pem", "ours.pub"):
            shutil.copy(first.root / "etc/salt/pki/master" / name, keys)

    with contextlib.ExitStack() as stack:
        first = stack.enter_context(running_master(factories, **SIGNS))
        # The minion's check whether a master is alive uses the same ports for all masters.
        ports = {name: first.config[name] for name in ("publish_port", "ret_port")}
        second = stack.enter_context(
            running_master(factories, with_the_same_signing_key, interface="127.0.0.2", **ports, **SIGNS)
        )
        masters = ["127.0.0.1", "127.0.0.2"]
        first.hart["minion_config"] = {"master": masters, "master_type": "failover", **SOON}
        first.write()
        made = first.run("hart.create", "a", "role=app")
        assert made.code == 0, made.stdout + made.stderr
        keys = first.instances / "a/etc/salt/pki/minion"
        before = (keys / "minion_master.pub").read_text()
        shutil.copy(keys / "minion.pub", second.root / "etc/salt/pki/master/minions/a")
        first.stop()
        tools.until(lambda: second.salt("-t", "2", "a", "test.ping").data == {"a": True}, "an answer on the second")
        assert (keys / "minion_master.pub").read_text() != before
        tools.end_instance(first, "a")
