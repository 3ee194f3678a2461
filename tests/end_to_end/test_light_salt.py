"""The minions of light machines act like real ones: they send the start event and answer questions."""

from __future__ import annotations

import threading

import pytest
import salt.config

from hart_salt.base.errors import HartError
from hart_salt.master.client import Master
from tests.emulation.light import make_minion_key
from tests.emulation.light_salt import BusMinions
from tests.end_to_end.conftest import SaltMaster


def test_a_start_event_and_a_ping(master: SaltMaster) -> None:
    config = master.root / "etc/master"
    ours = Master(salt.config.master_config(str(config)))
    ours.keys.accept("app-1", make_minion_key())
    heard: list[tuple[str, ...]] = []
    came = threading.Semaphore(0)

    def hear(*what: str) -> None:
        heard.append(what)
        came.release()

    with BusMinions(config) as minions, ours.events(hear, hear):
        assert not ours.minions.ping("app-1", 2)
        minions.join("app-1")
        assert came.acquire(timeout=120)
        assert ours.minions.ping("app-1", 10)
        minions.configured["app-1"] = {"hart_answer": "a code"}
        ours.minions.ask_for_answers(["app-1"])
        assert came.acquire(timeout=120)
    # A return that the master cannot store yet is sent again, and then appears several times on the bus.
    assert heard[0] == ("app-1",)
    assert set(heard[1:]) == {("app-1", "a code")}
    ours.close()


def test_a_question_that_the_master_does_not_publish_is_reported(
    master: SaltMaster, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = Master(salt.config.master_config(str(master.root / "etc/master")))
    with pytest.raises(HartError, match="did not publish"):
        ours.minions.ask_for_answers(["nobody"])
    assert capsys.readouterr().out == ""
