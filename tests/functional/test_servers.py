"""The private servers of the tests (``tests/servers.py``): spaces, outages, and what is left behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import servers as private
from tests.end_to_end.processes import end_leftovers, processes_of
from tests.servers import cache_of

ROOT = Path(__file__).parents[2]
kinds = pytest.mark.parametrize("kind", private.KINDS)
Servers = Callable[[str], Any]


@kinds
def test_spaces_of_a_server_are_empty_and_separate(servers: Servers, kind: str) -> None:
    server = servers(kind)
    assert servers(kind) is server
    first, second = server.space(), server.space()
    assert list(cache_of(first).list("bank")) == []
    cache_of(first).store("bank", "key", {"a": 1})
    assert [list(cache_of(space).list("bank")) for space in (first, second)] == [["key"], []]
    assert cache_of(first).fetch("bank", "key") == {"a": 1}


@kinds
def test_a_server_keeps_its_data_over_a_restart_and_a_kill(own_server: Servers, kind: str) -> None:
    server = own_server(kind)
    space = server.space()
    cache_of(space).store("bank", "key", {"a": 1})
    for end in (server.stop, server.kill):
        end()
        assert server.process is None
        server.start()
        assert cache_of(space).fetch("bank", "key") == {"a": 1}
    server.hang()
    assert psutil.Process(server.process.pid).status() == psutil.STATUS_STOPPED
    server.resume()
    assert cache_of(space).fetch("bank", "key") == {"a": 1}
    server.lose_everything()
    assert cache_of(server.space()).fetch("bank", "key") == {}
    if kind != "mysql":  # there the database is gone, too
        assert cache_of(space).fetch("bank", "key") == {}


def test_a_later_run_ends_the_server_of_a_killed_one() -> None:
    code = (
        "import os\nfrom tests import servers\n"
        "run = servers.running('redis')\nserver = run.__enter__()\n"
        "print(server.root, flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    if why := private.Redis.missing():
        pytest.skip(why)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=300, check=False
    )
    root = Path(done.stdout.strip())
    assert [process.name() for process in processes_of(root)] == ["redis-server"]
    end_leftovers()
    assert (root.exists(), processes_of(root)) == (False, [])


def test_a_server_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "PATH", "/nonexistent")
    said = {kind: server.missing() for kind, server in private.KINDS.items()}
    assert said == {
        "redis": "redis-server is not installed: apt install redis-server",
        "etcd": "etcd is not installed: apt install etcd-server",
        "mysql": "mariadbd is not installed: apt install mariadb-server-core",
    }
