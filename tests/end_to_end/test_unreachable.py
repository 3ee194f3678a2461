"""APIs that cannot be reached, with the real ``salt-run``: what is done, reported and requested, and how it ends."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from typing import Any

import pytest

from tests.drivers.do.emulator.cloud import DigitalOcean
from tests.drivers.gce.emulator.tokens import Account as ServiceAccount
from tests.emulation.backend import NoMachines
from tests.end_to_end.conftest import SaltMaster

#: seconds; far above the promise, far below the two minutes that it took before
CEILING = 100


@pytest.fixture
def refused() -> str:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def accounts(endpoint: str) -> dict[str, dict[str, Any]]:
    return {
        "do": {"token": "a-token-0123", "endpoint": endpoint, "region": "nyc3"},
        "vultr": {"token": "a-token-0123", "endpoint": endpoint, "region": "ams"},
        "ec2": {
            "aws_access_key_id": "an-id-0123", "aws_secret_access_key": "a-secret-0123", "endpoint": endpoint,
            "regions": ["eu-west-1"], "region": "eu-west-1",
        },
        "gce": {
            "project": "p", "user_id": "u@example.com", "key": ServiceAccount().key, "endpoint": endpoint,
            "region": "us-central1", "zone": "us-central1-a",
        },
    }  # fmt: skip


def configure(master: SaltMaster, providers: dict[str, Any]) -> None:
    master.config["hart"] = {"saltmaster": "127.0.0.1", "providers": providers, "roles": {"app": {}}}
    master.write()


def timed(master: SaltMaster, *call: str) -> Any:
    began = time.monotonic()
    ran = master.run(*call)
    assert time.monotonic() - began < CEILING
    return ran


def test_concurrent_calls_do_not_affect_each_other(master: SaltMaster, refused: str) -> None:
    broken = accounts(refused)
    broken["do"]["endpoint"] = "https://api.hart.invalid"
    configure(master, {**broken, "local": {}})
    for function in ("hart.check", "hart.list_minions"):
        ran = timed(master, function)
        assert ran.code == 1
        waits = [line for line in ran.stderr.splitlines() if line.startswith("hart: waiting for ")]
        assert {line.split()[3] for line in waits} >= {"ec2:", "gce:", "do:"}
        found = ran.data["errors"] if function == "hart.list_minions" else ran.data.values()
        reasons = [str(one) for one in found]
        for name, reason in {
            "api.hart.invalid": "its name does not resolve", "Vultr's": "connection refused",
            "Amazon": "connection refused", "Compute": "connection refused",
        }.items():  # fmt: skip
            assert [text for text in reasons if name in text and reason in text], (name, ran.data)
        assert "hart: waiting" not in ran.stdout
    assert timed(master, "hart.list_minions", "provider=local").code == 0
    assert "ok: " in timed(master, "hart.check").data["local"]


@pytest.mark.parametrize("kind", ["do", "vultr", "ec2", "gce"])
def test_a_create_ends_with_nothing_done(master: SaltMaster, refused: str, kind: str) -> None:
    configure(master, {kind: accounts(refused)[kind], "local": {}})
    for test in ((), ("test=True",)):
        ran = timed(master, "hart.create", "n1", f"provider={kind}", *test)
        assert ran.code == 2, ran
        assert "could not be reached: connection refused" in ran.data["error"]
        assert f"hart: waiting for {kind}: " in ran.stderr
    assert (timed(master, "hart.list_minions", "provider=local").data, ran.stdout.count("waiting")) == ({}, 0)


def test_a_call_for_one_provider_asks_no_other(master: SaltMaster) -> None:
    """The second provider counts its requests; an operation that died there is left to sweep."""
    with DigitalOcean(NoMachines()) as cloud:
        account = {"driver": "do", "token": cloud.token, "endpoint": cloud.endpoint, "region": "nyc3"}
        configure(master, {"local": {}, "other": account})
        locks = master.cachedir / "hart/locks"
        assert master.run("hart.create", "n1", "provider=local").code == 0
        locks.mkdir(parents=True, exist_ok=True)
        (locks / "0123456789ab.batch").write_text('{"provider": "other", "region": "nyc3"}')
        for call in (
            ("hart.list_minions", "provider=local"),
            ("hart.show", "n1"),
            ("hart.create", "n2", "provider=local"),
            ("hart.scale", "app", "count=0", "provider=local"),
            ("hart.create_role", "app", "provider=local", "test=True"),
            ("hart.sweep", "provider=local"),
            ("hart.list_sizes", "local"),
            ("hart.destroy", "n1,n2"),
        ):
            ran = master.run(*call)
            assert ran.code == 0, ran
            assert [call.path for call in cloud.calls] == []
        (locks / "0123456789ab.batch").unlink()


def test_a_node_without_a_record_is_found_even_if_another_provider_does_not_answer(
    master: SaltMaster, refused: str
) -> None:
    configure(master, {"local": {}, "do": accounts(refused)["do"]})
    assert master.run("hart.create", "n1", "provider=local").code == 0
    master.record("n1").unlink()
    ran = timed(master, "hart.destroy", "n1")
    assert (ran.code, ran.data["n1"]["result"]) == (0, True)
    ran = timed(master, "hart.destroy", "n1")
    assert ran.code == 2
    assert "n1: is not known" in ran.data["error"]
    assert "could not be reached" in ran.data["error"]
