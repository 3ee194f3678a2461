"""hart.check on a master with a fake provider, without daemons."""

from __future__ import annotations

from typing import Any

import pytest

from hart_salt.base.errors import AuthError, EnvironmentFault
from hart_salt.inventory.records import BANK, SUFFIX
from hart_salt.master.client import Master
from tests.functional.test_use_cases import CLOUD, Place, call, place

__all__ = ["place"]


def test_check_has_a_line_for_each_provider_and_each_need(place: Place) -> None:
    lines = call("check")
    assert lines[CLOUD] == "ok: as the account example"
    assert {"log directory", "record store", "broken records", "open files", "minion settings"} < set(lines)
    assert all(line.startswith("ok") for line in lines.values()), lines


def test_check_shows_what_minions_get_from_their_master(place: Place) -> None:
    place.opts.update(transport="ws", publish_port=4511, ssl={"certfile": "/a"}, worker_pools_enabled=False)
    line = call("check")["minion settings"]
    assert line.startswith("ok: minions get master_port: 4506, publish_port: 4511, transport: ws; ssl is required")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"reactor": []}, None),
        ({"reactor": [{"a": ["b"]}], "reactor_worker_threads": 1}, "ok: they run in one thread"),
        (
            {"reactor": [{"a": ["b"]}], "reactor_worker_threads": 10},
            "ok: they run in 10 threads; but Salt loses some that begin at the same time: set"
            " reactor_worker_threads: 1 in the master config",
        ),
    ],
)
def test_check_says_whether_salt_can_lose_calls_of_reactors(
    place: Place, settings: dict[str, Any], line: str | None
) -> None:
    place.opts.update(settings)
    assert call("check").get("calls of reactors") == line


def test_check_fails_if_the_salt_master_does_not_run(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(master: Master) -> None:
        raise EnvironmentFault("no salt-master is running")

    monkeypatch.setattr(Master, "require_running", stopped)
    lines = call("check")
    assert lines["salt-master process"] == "problem: no salt-master is running"
    assert lines["retcode"]


@pytest.mark.parametrize(
    ("cache", "coordination", "sentence"),
    [
        ("redis", "file", "but the locks of hart are files of this machine: set hart: coordination"),
        ("localfs", "redis://127.0.0.1:1/0", "but the records are files of this machine"),
    ],
)
def test_check_fails_where_calls_are_refused_for_locks_that_do_not_reach_as_far_as_the_records(
    place: Place, cache: str, coordination: str, sentence: str
) -> None:
    place.opts.update({"cache": cache, "cache.redis.host": "127.0.0.1", "cache.redis.port": 1})
    place.opts["hart"]["coordination"] = coordination
    lines = call("check")
    assert lines["coordination"].startswith("problem: ")
    assert sentence in lines["coordination"]
    assert lines["retcode"]


def test_check_reports_what_the_plan_would_refuse(place: Place) -> None:
    place.opts["hart"]["roles"]["app"] = {"minion_config": {"root_dir": "/x"}}
    line = call("check", role="app")[f"{CLOUD} app settings"]
    assert line.startswith("problem: minion_config:root_dir must not be set")


def test_check_fails_for_a_master_to_which_no_minion_can_connect(place: Place) -> None:
    place.opts["require_minion_sign_messages"] = True
    lines = call("check")
    assert lines["minion settings"].startswith("problem: require_minion_sign_messages of the master config needs")
    assert lines["retcode"]


def test_check_fails_for_bad_credentials(place: Place) -> None:
    place.clouds["other"].error = AuthError("the token is not valid")
    lines = call("check")
    assert lines["other"] == "AuthError: the token is not valid"
    assert lines["retcode"]


def test_check_names_broken_records(place: Place) -> None:
    Master(place.opts).cache().store(BANK, f"web-1{SUFFIX}", {"minion_id": 5})
    assert str(call("check")["broken records"]).startswith("1: ")
    assert "broken record" in str(call("list_minions")["web-1"]["status"])
