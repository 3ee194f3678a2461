"""Light machines' minions pass for minions: the start event is heard, and a ping is answered."""

from __future__ import annotations

import threading

import salt.config

from hart_salt.master import Master
from tests.cloud.light import make_minion_key
from tests.cloud.light_salt import BusMinions
from tests.integration.conftest import SaltMaster


def test_a_start_event_and_a_ping(master: SaltMaster):
    config = master.root / "etc/master"
    ours = Master(salt.config.master_config(str(config)))
    ours.accept_key("app-1", make_minion_key())
    heard: list[str] = []
    came = threading.Event()

    def on_start(minion_id: str) -> None:
        heard.append(minion_id)
        came.set()

    with BusMinions(config) as minions, ours.events(on_start):
        assert not ours.ping("app-1", 2)
        minions.join("app-1")
        assert came.wait(10)
        assert ours.ping("app-1", 10)
    assert heard == ["app-1"]
    ours.close()
