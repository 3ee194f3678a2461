"""The leases of a call whose process has died: another call of the same machine frees them at once."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from hart_salt.base.errors import EnvironmentFault, Refused
from hart_salt.inventory import session_files
from hart_salt.inventory.leases import LeaseLocks
from hart_salt.inventory.session import Times
from tests.unit.inventory.lease_world import Cluster, die


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def dead(cluster: Cluster, machine: str = "") -> LeaseLocks:
    """Return the locks of a call that died with a role, the sweep and a node without a record."""
    call = cluster.call()
    call._files._machine = machine
    with contextlib.ExitStack() as stack:
        stack.enter_context(call.role("app", wait=False))
        stack.enter_context(call.sweep(wait=0))
        stack.enter_context(call.claim("a"))
        die(call, stack)
    return call


def files(cluster: Cluster) -> list[str]:
    return sorted(path.name for path in (cluster.root / "m1/hart/locks").glob(f"*{session_files.ALIVE}"))


def test_the_next_call_of_the_machine_has_them_at_once(cluster: Cluster) -> None:
    dead(cluster)
    begun = cluster.server.now
    same = cluster.call()
    with same.role("app", wait=False) as role, same.sweep(wait=0) as sweep, same.claim("a"):
        assert (role, sweep, cluster.server.now) == (True, True, begun)
        assert files(cluster) == [f"{same.session}{session_files.ALIVE}"]
    assert cluster.server.leases == {}


def test_another_machine_waits_until_they_have_run_out_or_were_freed(cluster: Cluster) -> None:
    dead(cluster)
    other = cluster.call("m2")
    with other.role("app", wait=False) as role, other.sweep(wait=0) as sweep:
        assert (role, sweep) == (False, False)
    with pytest.raises(Refused, match="being worked on"), other.claim("a"):
        pytest.fail("its lease has not run out")
    with cluster.call().batch("b1", {}), other.role("app", wait=False) as role, other.sweep(wait=0) as sweep:
        assert (role, sweep) == (True, True)


def test_a_call_that_waits_has_them_when_the_holder_dies(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    one, same = cluster.call(), cluster.call()
    begun = cluster.server.now
    with contextlib.ExitStack() as stack:
        stack.enter_context(one.role("app", wait=False))

        def wait(seconds: float) -> None:
            cluster.server.sleep(seconds)
            die(one, stack)

        monkeypatch.setattr(same, "_sleep", wait)
        with same.role("app", wait=True) as held:
            assert (held, cluster.server.now) == (True, begun + Times().waiting)


def test_those_of_a_living_call_stay(cluster: Cluster) -> None:
    one, same = cluster.call(), cluster.call()
    with one.role("app", wait=False), one.sweep(wait=0), one.claim("a"):
        same.clear()
        with same.role("app", wait=False) as role, same.sweep(wait=0) as sweep:
            assert (role, sweep) == (False, False)
        with pytest.raises(Refused, match="being worked on"), same.claim("a"):
            pytest.fail("its holder lives")
        assert cluster.beat(one)
    assert cluster.server.leases == {}


def test_one_that_has_run_out_and_that_another_call_took_stays(cluster: Cluster) -> None:
    dead(cluster)
    cluster.server.now += Times().lease
    other, same = cluster.call("m2"), cluster.call()
    with other.role("app", wait=False) as held:
        assert held
        with same.batch("b1", {}), same.role("app", wait=False) as taken:
            assert (taken, files(cluster)) == (False, [f"{same.session}{session_files.ALIVE}"])
        assert cluster.beat(other)


def test_without_an_answer_they_are_freed_later(cluster: Cluster) -> None:
    call = dead(cluster)
    cluster.server.down = True
    same = cluster.call()
    with pytest.raises(EnvironmentFault, match="coordination server"), same.batch("b1", {}):
        pytest.fail("the server is down")
    same.clear()
    assert files(cluster) == [f"{call.session}{session_files.ALIVE}"]
    cluster.server.down = False
    same.clear()
    assert (files(cluster), cluster.server.leases) == ([], {})


def test_a_file_of_before_the_machine_was_restarted_frees_nothing(cluster: Cluster) -> None:
    """Another machine can have made it, if the directory is shared: only that machine knows whether its call lives."""
    (cluster.root / "m1/hart/locks").mkdir(parents=True)
    dead(cluster, "another")
    held = dict(cluster.server.leases)
    cluster.call().clear()
    assert (files(cluster), cluster.server.leases) == ([], held)


def test_a_file_that_cannot_be_written_refuses_nothing(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    one = cluster.call()
    with one.batch("b1", {}):
        monkeypatch.setattr(Path, "open", full)
        with one.role("app", wait=False) as held:
            assert held
