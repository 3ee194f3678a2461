"""Sessions, claims and the fence, with a coordination server whose clock the tests set."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from hart_salt.base.errors import EnvironmentFault, LeaseLost, Refused
from hart_salt.inventory.records import UNKNOWN, Record
from hart_salt.inventory.session import Times
from tests.unit.inventory.lease_world import RECORD, Cluster, die


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


# claims


def test_of_two_masters_that_create_one_id_only_one_can(cluster: Cluster) -> None:
    one, other = cluster.call("m1"), cluster.call("m2")
    with one.claim("a", RECORD) as written:
        assert written
        with pytest.raises(Refused, match="a is being worked on"), other.claim("a", RECORD):
            pytest.fail("claimed twice")
    with pytest.raises(Refused, match="a: a node with that id exists"), other.claim("a", RECORD):
        pytest.fail("created twice")


def test_the_record_names_the_session_from_the_claim_on(cluster: Cluster) -> None:
    one = cluster.call()
    with one.claim("a", RECORD):
        assert cluster.store.get("a") == dataclasses.replace(RECORD, session=one.session)
        assert (one.busy("a"), cluster.call("m2").busy("a")) == (True, True)
    assert (one.busy("a"), cluster.call("m2").busy("a")) == (False, False)


def test_a_thousand_nodes_cost_one_lease(cluster: Cluster) -> None:
    one = cluster.call()
    with contextlib.ExitStack() as stack:
        for number in range(1000):
            minion_id = f"n{number}"
            stack.enter_context(one.claim(minion_id, dataclasses.replace(RECORD, minion_id=minion_id)))
        assert list(cluster.server.leases) == [f"hart/session/{one.session}"]
        cluster.beat(one)
        assert cluster.server.renewed == 1
    assert cluster.server.leases == {}


def test_a_new_node_is_claimed_without_a_list_of_all_others(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the claims of a thousand nodes in one call take the time of a thousand lists."""
    listed: list[str] = []
    monkeypatch.setattr(cluster.cache, "list", listed.append)
    with cluster.call().claim("a", RECORD):
        assert listed == []


def test_a_call_cannot_claim_a_node_twice(cluster: Cluster) -> None:
    one = cluster.call()
    cluster.store.put(RECORD)
    with one.claim("a"), pytest.raises(Refused, match="being worked on"), one.claim("a"):
        pytest.fail("claimed twice")


def test_a_call_can_work_on_a_node_again(cluster: Cluster) -> None:
    """A scale seals a node that was left unsealed, and may then destroy it."""
    one, other = cluster.call("m1"), cluster.call("m2")
    cluster.store.put(RECORD)
    with one.role("app", wait=False):
        for _ in range(2):
            with one.claim("a"):
                one.check_mine("a")
            with pytest.raises(Refused, match="being worked on"), other.claim("a"):
                pytest.fail("the first call still lives")


def test_a_node_of_a_dead_session_can_be_taken(cluster: Cluster) -> None:
    one, other = cluster.call("m1"), cluster.call("m2")
    with contextlib.ExitStack() as stack:
        stack.enter_context(one.claim("a", RECORD))
        die(one, stack)
    with pytest.raises(Refused, match="being worked on"), other.claim("a"):
        pytest.fail("its lease has not run out")
    cluster.server.now += Times().lease
    with other.claim("a"):
        assert other.busy("a")


def test_on_its_own_machine_a_dead_session_is_dead_at_once(cluster: Cluster) -> None:
    one, same = cluster.call("m1"), cluster.call("m1")
    with contextlib.ExitStack() as stack:
        stack.enter_context(one.claim("a", RECORD))
        assert same.busy("a")
        die(one, stack)
    assert not same.busy("a")
    with same.claim("a"):
        pass


def test_a_session_that_lives_but_lost_its_lease_is_dead_on_its_own_machine_too(cluster: Cluster) -> None:
    one, same = cluster.call("m1"), cluster.call("m1")
    with one.claim("a", RECORD):
        cluster.server.now += Times().lease
        assert not same.busy("a")


def test_without_a_record_the_short_lease_is_kept_and_renewed(cluster: Cluster) -> None:
    one, other = cluster.call("m1"), cluster.call("m2")
    with one.claim("a"):
        for _ in range(3):
            cluster.server.now += 20
            assert cluster.beat(one)
        with pytest.raises(Refused, match="being worked on"), other.claim("a"):
            pytest.fail("claimed twice")
        one.check_mine("a")
    with other.claim("a"):
        pass


def test_a_kept_lease_lasts_as_long_as_the_call_may_go_on_without_a_renewal(cluster: Cluster) -> None:
    one, other = cluster.call("m1"), cluster.call("m2")
    times = Times()
    with one.claim("a"):
        cluster.server.now += times.lease - times.margin - 1
        assert one._lost() == ""
        with pytest.raises(Refused, match="being worked on"), other.claim("a"):
            pytest.fail("the first call still counts it as its own")


def test_another_call_that_is_just_taking_a_node_is_waited_for(cluster: Cluster) -> None:
    one, other = cluster.call("m1"), cluster.call("m2")
    cluster.store.put(RECORD)
    taking = one._engine.take("hart/node/a", 0.1)
    assert taking is not None
    with other.claim("a"):
        pass


def test_a_store_that_answers_too_slowly_lets_no_node_be_taken(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = cluster.call()
    read = cluster.store.get

    def slowly(minion_id: str) -> object:
        cluster.server.now += Times().taking
        return read(minion_id)

    cluster.store.put(RECORD)
    monkeypatch.setattr(cluster.store, "get", slowly)
    with pytest.raises(EnvironmentFault, match="too slowly to claim a"), one.claim("a"):
        pytest.fail("its short lease may have run out")


def during_the_write(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, what: Callable[[], object]) -> None:
    """Do something once, while the next record is being written."""
    write = cluster.store.put

    def put(record: Record) -> None:
        monkeypatch.setattr(cluster.store, "put", write)
        what()
        write(record)

    monkeypatch.setattr(cluster.store, "put", put)


@pytest.mark.parametrize("slow", [False, True])
def test_a_claim_whose_lease_was_lost_during_the_write_does_not_count(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    """Such as with a store that answers late, or a connection to MySQL that ended. Nothing stays of it."""
    one, other = cluster.call("m1"), cluster.call("m2")

    def lose() -> None:
        del cluster.server.leases["hart/node/a"]
        cluster.server.now += Times().taking if slow else 0

    during_the_write(cluster, monkeypatch, lose)
    why = "too slowly to claim a" if slow else "fake lost the lease for the claim of a"
    with one.batch("b1", {}):
        with pytest.raises(EnvironmentFault, match=why), one.claim("a", RECORD):
            pytest.fail("another call may have claimed it before")
        assert cluster.store.all() == []
    assert cluster.store.batches() == {}
    with other.claim("a", RECORD):
        pass


def test_a_claim_that_does_not_count_gives_the_node_back(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = cluster.call("m1"), cluster.call("m2")
    before = dataclasses.replace(RECORD, session="dead", stage="ready")
    cluster.store.put(before)
    during_the_write(cluster, monkeypatch, lambda: cluster.server.leases.pop("hart/node/a"))
    with one.role("app", wait=False):
        with pytest.raises(EnvironmentFault, match="lost the lease"), one.claim("a"):
            pytest.fail("another call may have claimed it before")
        assert cluster.store.get("a") == before
        with other.claim("a"):
            pass


def test_a_claim_that_does_not_count_leaves_what_another_call_has_written(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = cluster.call()
    theirs = dataclasses.replace(RECORD, session="another")

    def lose() -> None:
        del cluster.server.leases["hart/node/a"]
        cluster.server.before = lambda _: cluster.store.put(theirs)

    during_the_write(cluster, monkeypatch, lose)
    with pytest.raises(EnvironmentFault, match="lost the lease"), one.claim("a", RECORD):
        pytest.fail("another call has claimed it")
    assert cluster.store.get("a") == theirs


def test_what_a_claim_could_not_take_back_is_left_for_the_next_sweep(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = cluster.call()

    def broken(_: object) -> None:
        raise EnvironmentFault("the record store cannot be written")

    def fail() -> None:
        cluster.store.put(dataclasses.replace(RECORD, session=one.session))  # written, but not acknowledged
        monkeypatch.setattr(cluster.store, "get", broken)
        broken(None)

    during_the_write(cluster, monkeypatch, fail)
    with one.batch("b1", {"nodes": 2}):
        assert [facts["nodes"] for facts in cluster.call("m2").living_batches().values()] == [2]
        with pytest.raises(EnvironmentFault, match="cannot be written"), one.claim("a", RECORD):
            pytest.fail("it is not known what the store has")
    assert list(cluster.call("m2").dead_batches()) == ["b1"]
    assert cluster.call("m2").living_batches() == {}


def test_long_and_unusual_ids_are_kept_apart(cluster: Cluster) -> None:
    one, other = cluster.call("m1"), cluster.call("m2")
    with one.claim("x" * 200), other.claim("X" * 200), other.claim("x" * 201), other.claim("App"), one.claim("app"):
        assert all(len(name) <= 64 and name == name.lower() for name in cluster.server.leases)


# the fence


def test_a_node_that_another_call_took_over_is_not_touched(cluster: Cluster) -> None:
    one, other = cluster.call("m1"), cluster.call("m2")
    with one.claim("a", RECORD):
        one.check_mine("a", creating=True)
        cluster.server.now += Times().lease
        with other.claim("a"):
            with pytest.raises(LeaseLost, match="a is no longer this call's"):
                one.check_mine("a")
            other.check_mine("a", creating=True)


def test_a_record_that_the_store_has_lost_stops_creating_but_no_rollback(cluster: Cluster) -> None:
    """As long as the session lives, no other call takes or removes its nodes."""
    one = cluster.call()
    with one.claim("a", RECORD):
        cluster.store.remove("a")
        one.check_mine("a")
        with pytest.raises(LeaseLost, match="a is no longer this call's"):
            one.check_mine("a", creating=True)
        cluster.server.now += Times().lease
        with pytest.raises(LeaseLost):
            one.check_mine("a")


def test_after_the_loss_nothing_is_created_but_own_nodes_can_be_rolled_back(cluster: Cluster) -> None:
    one = cluster.call()
    with one.claim("a", RECORD):
        cluster.server.now += Times().lease
        with pytest.raises(LeaseLost, match="this process did not run"):
            one.check_mine("a", creating=True)
        with pytest.raises(LeaseLost):
            one.check_alive()
        one.check_mine("a")


def test_without_an_answer_of_the_store_nothing_is_created(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    one = cluster.call()

    def broken(_: str) -> None:
        raise EnvironmentFault("the record store cannot be read")

    with one.claim("a", RECORD):
        monkeypatch.setattr(cluster.store, "get", broken)
        with pytest.raises(EnvironmentFault):
            one.check_mine("a", creating=True)
        one.check_mine("a")  # its session lives, so nobody has taken it
        cluster.server.now += Times().lease
        with pytest.raises(EnvironmentFault):
            one.check_mine("a")


# batches


def test_a_batch_lives_as_long_as_its_session(cluster: Cluster) -> None:
    one, other = cluster.call("m1"), cluster.call("m2")
    with contextlib.ExitStack() as stack:
        stack.enter_context(one.batch("b1", {"provider": "do"}))
        assert (other.batch_lives("b1"), other.dead_batches()) == (True, {})
        die(one, stack)
    assert cluster.call("m1").dead_batches() == {"b1": {"provider": "do", "session": one.session}}
    assert other.dead_batches() == {}
    cluster.server.now += Times().lease
    assert (other.batch_lives("b1"), list(other.dead_batches())) == (False, ["b1"])
    other.forget_batch("b1")
    assert other.dead_batches() == {}


def test_the_claim_of_a_batch_goes_unless_something_of_it_is_left(cluster: Cluster) -> None:
    one = cluster.call()
    with one.batch("b1", {"provider": "do"}):
        pass
    assert cluster.store.batches() == {}
    with one.batch("b2", {"provider": "do"}) as claim:
        claim.keep = True
    assert list(cluster.call("m2").dead_batches()) == ["b2"]


def test_a_batch_of_processes_of_another_machine_is_left_to_that_machine(cluster: Cluster) -> None:
    one, other = cluster.call("m1"), cluster.call("m2")
    with one.batch("b1", {"provider": "local", "machine": one.machine}) as claim:
        claim.keep = True
    assert (list(one.dead_batches()), list(other.dead_batches())) == (["b1"], [])


def test_a_batch_of_a_master_with_another_mark_is_left_to_masters_with_that_mark(cluster: Cluster) -> None:
    one, same, other = cluster.call("m1", "one"), cluster.call("m2", "one"), cluster.call("m3", "other")
    with one.batch("b1", {"provider": "do", "owner": "one"}) as claim:
        claim.keep = True
    assert [list(locks.dead_batches()) for locks in (one, same, other)] == [["b1"], ["b1"], []]


def test_a_node_of_another_machine_is_elsewhere(cluster: Cluster) -> None:
    one, other = cluster.call("m1"), cluster.call("m2")
    mine = dataclasses.replace(RECORD, driver="local", machine=one.machine)
    assert (one.elsewhere(mine), other.elsewhere(RECORD)) == ("", "")
    assert other.elsewhere(mine).startswith("it runs on ")


def test_a_local_node_without_a_machine_in_its_record_belongs_where_its_instance_is(cluster: Cluster) -> None:
    one, other = cluster.call("m1"), cluster.call("m2")
    before = dataclasses.replace(RECORD, driver="local", provider="here", instance_id="a")
    (cluster.root / "m1/hart/local/here/a").mkdir(parents=True)
    assert (one.elsewhere(before), "not on this one" in other.elsewhere(before)) == ("", True)
    assert other.elsewhere(dataclasses.replace(before, stage=UNKNOWN)) == "", "it is in no store"


def test_a_node_with_another_mark_is_elsewhere(cluster: Cluster) -> None:
    one, other = cluster.call("m1", RECORD.owner), cluster.call("m2", "other")
    assert one.elsewhere(RECORD) == ""
    assert other.elsewhere(RECORD).startswith(f"the master with the mark {RECORD.owner} created it")


def test_a_look_asks_the_server_once(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = cluster.call("m1"), cluster.call("m2")
    asked: list[int] = []
    living = other._engine.living

    def counted(names: Collection[str]) -> frozenset[str]:
        asked.append(len(names))
        return living(names)

    monkeypatch.setattr(other._engine, "living", counted)
    with one.claim("a", RECORD), one.batch("b1", {}):
        records = {"a": cluster.store.get("a") or RECORD}
        records |= {f"n{n}": dataclasses.replace(RECORD, minion_id=f"n{n}", session=f"dead-{n}") for n in range(100)}
        look = other.look(records, ["b1", "b2"])
        assert [name for name in [*records, "none"] if look.busy(name)] == ["a"]
        assert (look.batch_lives("b1"), look.batch_lives("b2"), look.dead_batches()) == (True, False, {})
        assert (look.batch_lives(""), asked) == (False, [102])
        assert (look.batch_lives("b3"), look.batch_lives("b3"), asked) == (False, False, [102, 1])


# a store that has lost everything


def named(minion_id: str) -> Record:
    return dataclasses.replace(RECORD, minion_id=minion_id)


def test_a_batch_lives_without_its_claim(cluster: Cluster) -> None:
    one, other = cluster.call("m1"), cluster.call("m2")
    with contextlib.ExitStack() as stack:
        stack.enter_context(one.batch("b1", {}))
        cluster.cache.banks.clear()
        assert (other.batch_lives("b1"), other.look({}).batch_lives("b1"), other.dead_batches()) == (True, True, {})
        die(one, stack)
        cluster.server.now += Times().lease
        assert not other.batch_lives("b1")


def test_a_claim_and_records_that_the_store_has_lost_are_written_again(cluster: Cluster) -> None:
    one = cluster.call()
    with one.batch("b1", {"provider": "do"}), one.claim("a", RECORD), one.claim("b", named("b")):
        cluster.cache.banks.clear()
        cluster.store.put(theirs := dataclasses.replace(named("b"), session="another"))
        mine = dataclasses.replace(RECORD, session=one.session, stage="running")
        assert one.restore("b1", [mine, named("b")]) == ["a"]
        assert cluster.store.batches() == {"b1": {"provider": "do", "session": one.session}}
        assert (cluster.store.get("a"), cluster.store.get("b")) == (mine, theirs)
        cluster.store.remove("a")
        assert one.restore("b1", [mine]) == []  # the claim is there: nothing was lost as a whole
    assert one.restore("b1", [mine]) == []


def test_nothing_is_written_again_after_the_loss_of_the_lease(cluster: Cluster) -> None:
    one = cluster.call()
    with one.batch("b1", {}), one.claim("a", RECORD):
        cluster.cache.banks.clear()
        cluster.server.now += Times().lease
        assert one.restore("b1", [RECORD]) == []
        assert (cluster.store.batches(), cluster.store.all()) == ({}, [])


def test_a_record_is_not_written_again_while_another_call_creates_the_node(cluster: Cluster) -> None:
    one, other = cluster.call("m1"), cluster.call("m2")
    with one.batch("b1", {}), one.claim("a", RECORD):
        cluster.cache.banks.clear()
        taking = other._engine.take("hart/node/a", 30)
        assert taking is not None
        assert one.restore("b1", [RECORD]) == []
        assert cluster.store.get("a") is None
