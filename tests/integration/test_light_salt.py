"""Light machines' minions pass for minions: the start event is heard, and a ping is answered."""

from __future__ import annotations

import threading

import pytest
import salt.config

from hart_salt.errors import HartError
from hart_salt.master import Master
from tests.cloud.light import make_minion_key
from tests.cloud.light_salt import BusMinions
from tests.integration.conftest import SaltMaster


def test_a_start_event_and_a_ping(master: SaltMaster):
    config = master.root / "etc/master"
    ours = Master(salt.config.master_config(str(config)))
    ours.accept_key("app-1", make_minion_key())
    heard: list[tuple[str, ...]] = []
    came = threading.Semaphore(0)

    def hear(*what: str) -> None:
        heard.append(what)
        came.release()

    with BusMinions(config) as minions, ours.events(hear, hear):
        assert not ours.ping("app-1", 2)
        minions.join("app-1")
        assert came.acquire(timeout=10)
        assert ours.ping("app-1", 10)
        assert came.acquire(timeout=10)
        ours.send_ping("20260101120000000000", ["app-1"])
        assert came.acquire(timeout=10)
    assert [heard[0], heard[2]] == [("app-1",), ("20260101120000000000", "app-1")]
    assert heard[1][1] == "app-1"
    ours.close()


def test_a_ping_that_the_master_does_not_publish_is_told(master: SaltMaster, capsys: pytest.CaptureFixture[str]):
    ours = Master(salt.config.master_config(str(master.root / "etc/master")))
    with pytest.raises(HartError, match="published no"):
        ours.send_ping(ours.new_jid(), ["nobody"])
    assert capsys.readouterr().out == ""
