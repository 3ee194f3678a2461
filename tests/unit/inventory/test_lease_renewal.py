"""How the lease of a call is renewed, how its loss is noticed, and when its session begins and ends."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from hart_salt.base.errors import EnvironmentFault, Interrupted, LeaseLost
from hart_salt.inventory import session, session_files
from hart_salt.inventory.session import Times
from tests.parts import begun
from tests.unit.inventory.lease_world import RECORD, Cluster, die


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


# renewal and loss


def test_a_lease_that_is_renewed_never_runs_out(cluster: Cluster) -> None:
    one = cluster.call()
    with one.claim("a", RECORD):
        for _ in range(10):
            cluster.server.now += Times().interval
            assert cluster.beat(one) == Times().interval
        assert (one._lost(), one.busy("a")) == ("", True)


def test_a_short_outage_loses_nothing(cluster: Cluster) -> None:
    one = cluster.call()
    with one.claim("a", RECORD):
        cluster.server.now += 20
        assert cluster.beat(one) == 20
        cluster.server.down = True
        for _ in range(4):
            cluster.server.now += 10
            assert cluster.beat(one) == Times().retry
        cluster.server.down = False
        assert cluster.beat(one) == 20
        assert one._lost() == ""


def test_a_long_outage_ends_the_call_before_the_lease_can_be_anothers(cluster: Cluster) -> None:
    one = cluster.call()
    cancelled = []
    with one.claim("a", RECORD), one.stop.work(lambda: cancelled.append(cluster.server.now)):
        begun_at = cluster.server.now
        cluster.server.down = True
        while cluster.beat(one) is not None:
            cluster.server.now += 1
        assert cancelled == [begun_at + Times().lease - Times().margin]
        why = "because fake did not renew it for 50 s (it does not answer)"
        assert one.stop.reason == f"this call has lost its lease, {why}"
        with pytest.raises(LeaseLost):
            one.check_mine("a", creating=True)
    with pytest.raises(Interrupted, match="has lost its lease"), one.claim("b"):
        pytest.fail("the call is over")


def test_a_lease_that_another_call_has_ends_the_call(cluster: Cluster) -> None:
    one = cluster.call()
    cancelled = []
    with one.claim("a", RECORD), one.stop.work(lambda: cancelled.append(1)):
        cluster.server.leases.clear()  # such as a server that was restarted without its data
        assert cluster.beat(one) is None
        assert cancelled == [1]
        assert "because fake no longer has it, or another call has it (hart/session/" in one.stop.reason


def test_the_lease_of_a_role_is_renewed_and_its_loss_ends_the_call(cluster: Cluster) -> None:
    one, other = cluster.call("m1"), cluster.call("m2")
    with one.role("app", wait=False) as held:
        assert held
        for _ in range(4):
            cluster.server.now += 20
            cluster.beat(one)
        with other.role("app", wait=False) as second, other.role("web", wait=False) as another:
            assert (second, another) == (False, True)
        del cluster.server.leases["hart/role/app"]
        assert cluster.beat(one) is None
        assert "hart/role/app" in one.stop.reason


def test_a_process_that_did_not_run_has_lost_its_lease(cluster: Cluster) -> None:
    one = cluster.call()
    cancelled = []
    with one.claim("a", RECORD), one.stop.work(lambda: cancelled.append(1)):
        cluster.server.now += Times().lease
        assert "this process did not run" in one._lost()
        assert cancelled == [1]
        assert cluster.beat(one) is None


def test_the_loss_is_known_in_time_although_the_renewal_waits_for_the_server(cluster: Cluster) -> None:
    """Another call can have the lease as soon as its time has passed."""
    one = cluster.call()
    times = Times()
    cancelled: list[float] = []

    def late(_: str) -> None:
        cluster.server.now += times.lease - times.margin - times.interval
        cluster.renewals[1]()  # the watch, whose time has come
        assert cancelled == [cluster.server.now]

    with one.claim("a", RECORD), one.stop.work(lambda: cancelled.append(cluster.server.now)):
        begun_at = cluster.server.now
        cluster.server.now += times.interval
        cluster.server.before_renewal = late
        assert cluster.beat(one) is None
        assert cancelled == [begun_at + times.lease - times.margin]
        assert one.stop.reason.endswith("because fake did not renew it for 50 s (no answer)")
        with pytest.raises(LeaseLost):
            one.check_mine("a", creating=True)


def test_a_lease_whose_connection_has_ended_is_lost_at_once(cluster: Cluster) -> None:
    """MySQL frees it then, and the next renewal may be a third of its time away."""
    cluster.times = Times(retry=0.001)
    one = cluster.call()
    with one.claim("a", RECORD), one.role("app", wait=False):
        cluster.server.cut.add("hart/role/app")
        cluster.renewals[1]()
        assert one.stop.reason.endswith("because fake closed the connection that had it (hart/role/app)")
        assert cluster.server.renewed == 0


def test_a_renewal_that_waited_is_followed_by_the_next_in_time(cluster: Cluster) -> None:
    one = cluster.call()
    times = Times()

    def late(_: str) -> None:
        cluster.server.now += times.interval + 5

    with one.claim("a", RECORD):
        cluster.server.now += times.interval
        cluster.server.before_renewal = late
        assert cluster.beat(one) == 0
        cluster.server.before_renewal = lambda _: None
        assert cluster.beat(one) == times.interval
        assert one._lost() == ""


def test_a_kept_lease_that_is_gone_stops_the_work_on_its_node(cluster: Cluster) -> None:
    """The next renewal would notice it only later: with MySQL it ends with a connection."""
    one = cluster.call()
    with one.claim("a"):
        one.check_mine("a")
        del cluster.server.leases["hart/node/a"]
        with pytest.raises(LeaseLost, match="a is no longer this call's: fake no longer has its lease"):
            one.check_mine("a")
        cluster.server.down = True
        with pytest.raises(EnvironmentFault):
            one.check_mine("a")


def test_a_call_waits_for_a_role_until_its_holder_is_done(cluster: Cluster) -> None:
    one, other = cluster.call("m1"), cluster.call("m2")
    with contextlib.ExitStack() as stack:
        stack.enter_context(one.role("app", wait=False))
        die(one, stack)
    before = cluster.server.now
    with other.role("app", wait=True) as held:
        assert held
    assert Times().lease <= cluster.server.now - before <= Times().lease + 2


def test_one_sweep_at_a_time_in_the_whole_cluster(cluster: Cluster) -> None:
    one, other = cluster.call("m1"), cluster.call("m2")
    with one.sweep(wait=0) as first, other.sweep(wait=5) as second:
        assert (first, second) == (True, False)
    with other.sweep(wait=0) as third:
        assert third


# the session


def test_the_session_begins_with_the_first_claim_and_ends_with_the_last(cluster: Cluster) -> None:
    one = cluster.call()
    name = f"hart/session/{one.session}"
    assert cluster.server.leases == {}
    with one.batch("b1", {}):
        with one.claim("a", RECORD):
            pass
        assert list(cluster.server.leases) == [name, "hart/batch/b1"]
    assert cluster.server.leases == {}
    assert list((cluster.root / "m1/hart/locks").iterdir()) == []
    assert len(cluster.renewals) == 2


def test_a_server_that_does_not_answer_lets_nothing_begin(cluster: Cluster) -> None:
    one = cluster.call()
    cluster.server.down = True
    with pytest.raises(EnvironmentFault, match="coordination server"), one.claim("a", RECORD):
        pytest.fail("claimed")
    assert cluster.store.all() == []
    assert list((cluster.root / "m1/hart/locks").iterdir()) == []


def test_the_file_of_a_killed_process_goes_with_clear(cluster: Cluster) -> None:
    one = cluster.call()
    one.session  # noqa: B018 - makes the directory
    path = cluster.root / "m1/hart/locks" / f"dead{session_files.ALIVE}"
    path.touch()
    with one.claim("a", RECORD):
        one.clear()
        assert [found.name for found in path.parent.iterdir()] == [f"{one.session}{session_files.ALIVE}"]


HOLDER = """
import sys
from pathlib import Path
from hart_salt.inventory.session_files import Files
files = Files(Path(sys.argv[1]))
with files.alive(f"{files.machine}-x"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_kernel_says_that_the_process_of_a_session_has_died(tmp_path: Path) -> None:
    files = session_files.Files(tmp_path)
    name = f"{files.machine}-x"
    with begun(HOLDER, str(tmp_path), says="held") as process:
        assert not files.is_dead(name)
        process.kill()
        process.wait()
        assert files.is_dead(name)
    assert not files.is_dead("another-x")


def test_the_thread_renews_until_the_session_ends(cluster: Cluster) -> None:
    """This is the only test with the real thread; it waits for events."""
    cluster.times = Times(interval=0.001)
    one = cluster.call()
    with one.claim("a", RECORD):
        session.in_thread(cluster.renewals[0])
        while cluster.server.renewed < 3:
            pass
    assert one.stop.reason == ""
