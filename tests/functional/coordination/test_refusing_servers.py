"""What an operator reads when redis or MariaDB refuses hart: the reason, and what to do about this kind of failure."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import salt.config

from hart_salt.base.errors import EnvironmentFault
from hart_salt.config.coordination import server
from hart_salt.coordination import on_redis
from hart_salt.coordination import server as coordination
from hart_salt.inventory.records import Store
from hart_salt.master.client import Master
from tests.servers import LOOPBACK, Space, running

REACHES = "that this machine reaches it"


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    """Return host and port of a redis that asks for a password."""
    with running("redis") as found, redis.Redis(host=LOOPBACK, port=found.port) as client:
        client.config_set("requirepass", "right")
        yield f"{LOOPBACK}:{found.port}"


@pytest.fixture
def mysql(servers: Callable[[str], Any]) -> Space:
    found: Space = servers("mysql").space()
    return found


def leases(url: str) -> str:
    """Return why the leases of a server cannot be used."""
    with pytest.raises(EnvironmentFault) as caught:
        coordination.engine(server(url)).living(["hart/sweep"])
    assert "wrong" not in str(caught.value).partition(";")[2]
    return str(caught.value)


def records(settings: dict[str, Any]) -> str:
    """Return why the records of a master with such settings cannot be used."""
    master = Master({**salt.config.DEFAULT_MASTER_OPTS, **settings})
    with pytest.raises(EnvironmentFault) as caught:
        Store(master.cache(), master.record_place()).check()
    return str(caught.value)


def test_redis_asks_for_a_password(guarded: str) -> None:
    asks = "it asks for a password: set it in hart: coordination"
    assert leases(f"redis://{guarded}/0").endswith(f"cannot be used: redis at {guarded}, database 0: {asks}")
    settings = {"cache": "redis", "cache.redis.host": LOOPBACK, "cache.redis.port": int(guarded.partition(":")[2])}
    asks = "it asks for a password: set it in cache.redis.password in the master config"
    assert records(settings).endswith(f": redis at {guarded}, database 0: {asks}")
    refused = records({**settings, "cache.redis.password": "wrong"})
    assert "the password in cache.redis.password" in refused
    assert REACHES not in refused


def test_redis_refuses_a_password_and_a_database(guarded: str) -> None:
    refused = leases(f"redis://:wrong@{guarded}/0")
    assert "the password in hart: coordination" in refused
    assert REACHES not in refused
    assert "name a database that the server has in hart: coordination" in leases(f"redis://:right@{guarded}/99999")


def test_redis_without_tls(guarded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_redis, "SOCKET_TIMEOUT", 0.3)
    assert "that it uses TLS on this port" in leases(f"rediss://{guarded}/0")


def test_mysql_refuses_a_password_and_a_database(mysql: Space) -> None:
    host = f"{LOOPBACK}:{mysql.server.port}"
    refused = leases(f"mysql://hart:wrong@{host}/{mysql.name}")
    assert "Access denied" in refused
    assert "the password in hart: coordination" in refused
    assert REACHES not in refused
    unknown = "Unknown database 'nothing'; name a database that the server has in"
    assert f"{unknown} hart: coordination" in leases(f"mysql://hart:secret@{host}/nothing")
    assert f"{unknown} mysql.database in the master config" in records({**mysql.settings, "mysql.database": "nothing"})
    refused = records({**mysql.settings, "mysql.password": "wrong"})
    assert "and the password in mysql.user and mysql.password" in refused
    assert REACHES not in refused


def test_records_in_mysql_bring_no_warnings_of_its_library(mysql: Space) -> None:
    script = (
        "import salt.config\n"
        "from hart_salt.master.client import Master\n"
        f"master = Master({{**salt.config.DEFAULT_MASTER_OPTS, **{mysql.settings!r}}})\n"
        "print(master.cache().list('hart/nodes'))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=300)
    assert (ran.returncode, ran.stdout, "is deprecated" in ran.stderr) == (0, "[]\n", False), ran.stderr
