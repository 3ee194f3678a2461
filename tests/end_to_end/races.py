"""
What two masters do to the same nodes at the same moment: the scenarios of ``test_masters_table.py``.

A call is stopped at the cloud's API, and goes on when the other call has reached the point that matters: it waits for
the first, has ended, or does harm. Nothing depends on time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import etcd3gw
import redis

from hart_salt.inventory.records import BANK, BATCHES, SUFFIX
from tests.drivers.do.in_tables import CREATE, DESTROY
from tests.emulation.holds import Hold
from tests.end_to_end import tools
from tests.end_to_end.clouds import Call
from tests.end_to_end.conftest import Ran, SaltMaster
from tests.end_to_end.two_masters import LightPair
from tests.end_to_end.warm import Begun
from tests.servers import LOOPBACK, Etcd, MariaDb, Redis, Space, cache_of

TIMEOUT = 300  #: seconds for one call, on a machine under load
PROVIDER = "provider=do"
SWEEP = ("hart.sweep", PROVIDER, "grace=0")
#: what a call prints when it waits for another one
WAITS = "waiting for it"
#: what a call says that has lost its lease
LOST = "has lost its lease"
SESSIONS = "hart/session/"  #: the beginning of the names of calls' leases
#: seconds of the leases in the scenarios in which they run out
SHORT = 15


@dataclass
class Site:
    """The two places from which the calls of a scenario come, and what they share."""

    coordinator: str
    light: LightPair
    one: SaltMaster
    #: the other master; the same one if the coordinator is the file system of one machine
    two: SaltMaster
    #: the server with the records and the leases, if there is one
    space: Space | None = None

    @contextlib.contextmanager
    def calls(self) -> Iterator[Callable[..., Begun]]:
        """Yield what starts ``salt-run`` on a master; commands that still run after the block are killed."""
        started: list[Begun] = []

        def start(master: SaltMaster, *command: str) -> Begun:
            started.append(master.begin_warm(*command))
            return started[-1]

        try:
            yield start
        finally:
            self.light.cloud.holds.clear()
            for run in started:
                run.kill()
                run.close()

    def run(self, master: SaltMaster, *command: str) -> Ran:
        """Run ``salt-run`` to its end."""
        return master.run(*command, timeout=TIMEOUT)

    def good(self, master: SaltMaster, *command: str) -> Any:
        """Run ``salt-run``, which must succeed, and return its result."""
        ran = self.run(master, *command)
        assert ran.code == 0, ran.stdout + ran.stderr
        return ran.data

    def hold(self, call: Call, when: str = "before") -> Hold:
        """Stop such calls at the API from now on."""
        return self.light.cloud.holds.add(Hold(call.method, call.path, when=when))

    def row(self, name: str, wanted: int | Sequence[str], *ended: Ran) -> Row:
        """Return how it ended; ``wanted`` is how many instances, or which, are right."""
        there, keys = self.light.instances(), self.light.pair.keys()
        return Row(name, self.coordinator, wanted, there, keys, self._records(), list(ended))

    def _records(self) -> list[str]:
        """Return the ids of the records."""
        if self.space is None:
            return sorted(path.name.removesuffix(f"{SUFFIX}.p") for path in (self.one.cachedir / BANK).glob("*.p"))
        return sorted(key.removesuffix(SUFFIX) for key in cache_of(self.space).list(BANK))


@dataclass(frozen=True)
class Row:
    """The outcome of a scenario."""

    scenario: str
    coordinator: str
    wanted: int | Sequence[str]
    there: list[str]
    #: the accepted keys of each master
    keys: list[list[str]]
    #: the ids of the records
    records: list[str]
    calls: list[Ran]

    @property
    def codes(self) -> list[int]:
        return [ran.code for ran in self.calls]

    @property
    def number(self) -> int:
        """How many instances are right."""
        return self.wanted if isinstance(self.wanted, int) else len(self.wanted)

    @property
    def is_right(self) -> bool:
        """Whether the instances are those that were wanted, with their records and keys, and no others."""
        named = isinstance(self.wanted, int) or sorted(self.wanted) == self.there
        known = all(names == self.there for names in (*self.keys, self.records))
        return named and len(self.there) == self.number and known

    def line(self) -> str:
        """Return the row of the table."""
        keys = " ".join(str(len(one)) for one in self.keys)
        codes = " ".join(str(code) for code in self.codes)
        judged = "" if self.is_right else "   WRONG"
        counts = f"{self.number:>6} {len(self.there):>6}"
        return f"{self.scenario:<34} {self.coordinator:<6} {counts}   {keys:<8} {codes}{judged}"


HEAD = f"{'scenario':<34} {'locks':<6} {'wanted':>6} {'there':>6}   {'keys':<8} exit codes"


def ended(run: Begun) -> Ran:
    """Wait for a call to end."""
    done = run.wait(TIMEOUT)
    return Ran(done.returncode, done.stdout, done.stderr)


def until_stopped(run: Begun, harm: Callable[[], bool] = lambda: False) -> None:
    """Wait until a call waits for another one, has ended, or does what it must not do."""
    tools.until(lambda: WAITS in run.stderr or run.has_ended() or harm(), "the second call", TIMEOUT)


def _both(site: Site, command: Sequence[str], number: int, call: Call = CREATE) -> tuple[Ran, Ran]:
    """
    Run a command on both masters: the first is stopped at its calls of the API, of which there are ``number``, until
    the second waits, has ended, or makes such calls, too.
    """
    with site.calls() as start:
        hold = site.hold(call)
        first = start(site.one, *command)
        assert hold.wait(number), first.stderr
        second = start(site.two, *command)
        until_stopped(second, lambda: len(hold.reached) > number)
        hold.release()
        return ended(first), ended(second)


def both_scale(site: Site) -> Row:
    """Both masters scale a role to two nodes."""
    return site.row("both scale to 2", 2, *_both(site, ("hart.scale", "app", "count=2", PROVIDER), 2))


def both_delta(site: Site) -> Row:
    """Both masters add a node, as two reactors do on one alarm; the cooldown makes that one node."""
    command = ("hart.scale", "app", "delta=1", "cooldown=300", PROVIDER)
    return site.row("both delta=1 with cooldown", 1, *_both(site, command, 1))


def both_replace(site: Site) -> Row:
    """Both masters replace the only node of a role."""
    site.good(site.one, "hart.scale", "app", "count=1", PROVIDER)
    return site.row("both replace", 1, *_both(site, ("hart.replace", "app", PROVIDER), 1))


def both_create(site: Site) -> Row:
    """Both masters create a node with the same id."""
    return site.row("both create one id", ["a"], *_both(site, ("hart.create", "a", "role=app", PROVIDER), 1))


def create_and_sweep(site: Site) -> Row:
    """One master sweeps without a grace period while the instance of the other exists and is not known to it."""
    with site.calls() as start:
        hold = site.hold(CREATE, "after")
        creating = start(site.one, "hart.create", "a", "role=app", PROVIDER)
        assert hold.wait(), creating.stderr
        sweeping = start(site.two, *SWEEP)
        until_stopped(sweeping)
        hold.release()
        return site.row("create x sweep grace=0", ["a"], ended(creating), ended(sweeping))


def create_and_destroy(site: Site) -> Row:
    """One master destroys a node that the other is creating."""
    with site.calls() as start:
        hold = site.hold(CREATE, "after")
        creating = start(site.one, "hart.create", "a", "role=app", PROVIDER)
        assert hold.wait(), creating.stderr
        destroying = start(site.two, "hart.destroy", "a")
        until_stopped(destroying)
        hold.release()
        return site.row("create x destroy", ["a"], ended(creating), ended(destroying))


def scale_and_destroy(site: Site) -> Row:
    """One master destroys the node that the other is removing while it scales down."""
    made = site.good(site.one, "hart.scale", "app", "count=2", PROVIDER)["created"]
    oldest, newest = sorted(made, key=lambda name: site.good(site.one, "hart.show", name)["created"])
    with site.calls() as start:
        hold = site.hold(DESTROY)
        scaling = start(site.one, "hart.scale", "app", "count=1", f"remove={newest}", PROVIDER)
        assert hold.wait(), scaling.stderr
        destroying = start(site.two, "hart.destroy", newest)
        until_stopped(destroying, lambda: len(hold.reached) > 1)
        hold.release()
        return site.row("scale x destroy", [oldest], ended(scaling), ended(destroying))


def both_sweep(site: Site) -> Row:
    """Both masters sweep what a killed call left."""
    _kill_a_create(site)
    return site.row("sweep x sweep", 0, *_both(site, SWEEP, 1, DESTROY))


def _kill_a_create(site: Site) -> None:
    """Kill a call right after its instance was made."""
    with site.calls() as start:
        hold = site.hold(CREATE, "after")
        creating = start(site.one, "hart.create", "a", "role=app", PROVIDER)
        assert hold.wait(), creating.stderr
        creating.kill()
        ended(creating)


def master_killed(site: Site) -> Row:
    """
    A master is killed in the middle of a create, with its call.

    A sweep of the other master leaves its node alone while the lease lives, and removes it afterwards.
    """
    with site.calls() as start:
        hold = site.hold(CREATE, "after")
        creating = start(site.one, "hart.create", "a", "role=app", PROVIDER)
        assert hold.wait(), creating.stderr
        creating.kill()
        killed = ended(creating)
        hold.release()
        site.one.stop()
    try:
        early = site.good(site.two, *SWEEP)
        if site.space is not None and has_leases(site.space):
            assert early["removed"] == [], early
        swept = tools.until(lambda: _removes(site), "the sweep of what the lease protected", TIMEOUT)
        return site.row("master killed", 0, killed, swept)
    finally:
        site.one.start()


def lease_lost(site: Site) -> Row:
    """The server forgets the leases while a call creates two nodes, and another master sweeps before the call knows."""
    assert site.space is not None
    with site.calls() as start:
        hold = site.hold(CREATE, "after")
        creating = start(site.one, "hart.create_role", "app", "count=2", PROVIDER)
        assert hold.wait(2), creating.stderr
        forget_leases(site.space)
        swept = site.run(site.two, *SWEEP)
        hold.release()
        created = ended(creating)
    assert LOST in created.stdout, created
    return site.row("lease lost", 0, created, swept)


def store_lost(site: Site) -> Row:
    """The server is away from the middle of a create until the call has lost its lease; the call rolls back."""
    return _store_lost(site, "store lost", returns=True)


def store_lost_for_long(site: Site) -> Row:
    """The server is away until the call has ended, which takes a minute; then a sweep removes what is left."""
    return _store_lost(site, "store lost until the call ends", returns=False)


def _store_lost(site: Site, name: str, *, returns: bool) -> Row:
    assert site.space is not None
    with site.calls() as start:
        hold = site.hold(CREATE, "after")
        creating = start(site.one, "hart.create_role", "app", "count=2", PROVIDER)
        assert hold.wait(2), creating.stderr
        site.space.server.kill()
        hold.release()
        lost = tools.until(lambda: LOST in creating.stderr or creating.has_ended(), "the loss of the lease", TIMEOUT)
        created = ended(creating) if lost and not returns else None
        other = site.run(site.two, *SWEEP)
        site.space.server.start()
        created = created or ended(creating)
    assert LOST in created.stdout, created
    swept = tools.until(lambda: _removes(site), "a sweep that removes what is left", TIMEOUT)
    return site.row(name, 0, created, other, swept)


def store_returns(site: Site) -> Row:
    """
    The server is away for a moment in the middle of a create, and nothing happens. Only locks of MySQL end with their
    connection: the call knows that soon, and rolls back.
    """
    assert site.space is not None
    survives = not isinstance(site.space.server, MariaDb)
    with site.calls() as start:
        hold = site.hold(CREATE, "after")
        creating = start(site.one, "hart.create_role", "app", "count=2", PROVIDER)
        assert hold.wait(2), creating.stderr
        site.space.server.kill()
        site.space.server.start()
        if not survives:
            tools.until(lambda: LOST in creating.stderr or creating.has_ended(), "the loss of the lease", TIMEOUT)
        hold.release()
        return site.row("store restarted", 2 if survives else 0, ended(creating))


def records_lost(site: Site) -> Row:
    """
    The store loses all records and claims in the middle of a create, but the lease lives.

    On the other master, neither a sweep without a grace period nor a destroy ends the node.
    """
    assert site.space is not None
    with site.calls() as start:
        hold = site.hold(CREATE, "after")
        creating = start(site.one, "hart.create", "a", "role=app", PROVIDER)
        assert hold.wait(), creating.stderr
        forget_records(site.space)
        swept = site.run(site.two, *SWEEP)
        destroyed = site.run(site.two, "hart.destroy", "a")
        hold.release()
        return site.row("records lost x sweep, destroy", ["a"], ended(creating), swept, destroyed)


def _removes(site: Site) -> Ran | None:
    """Sweep on the second master; return the run once nothing is left."""
    swept = site.run(site.two, *SWEEP)
    return swept if not site.light.instances() else None


def has_leases(space: Space) -> bool:
    """Return whether a call has a lease; a lease of MySQL ends with its process."""
    if isinstance(space.server, Redis):
        with contextlib.closing(redis.Redis.from_url(space.url)) as client:
            return bool(client.keys(f"{SESSIONS}*"))
    return isinstance(space.server, Etcd) and bool(_etcd(space).get_prefix("/"))


def forget_records(space: Space) -> None:
    """Remove all records and claims of batches from a store."""
    cache = cache_of(space)
    for bank in (BANK, BATCHES):
        for key in list(cache.list(bank)):
            cache.flush(bank, key)


def forget_leases(space: Space) -> None:
    """Remove all leases from a server, as if their time had passed."""
    if isinstance(space.server, Redis):
        with contextlib.closing(redis.Redis.from_url(space.url)) as client:
            client.delete(*client.keys(f"{SESSIONS}*"))
    elif isinstance(space.server, Etcd):
        _etcd(space).delete_prefix("/")  # the records are in the store of the other version of the API
    elif isinstance(space.server, MariaDb):
        # A lock ends with its connection.
        for number, info in space.server.execute("SELECT id, info FROM information_schema.processlist"):
            if "processlist" not in str(info):
                space.server.execute(f"KILL {number}")


def _etcd(space: Space) -> etcd3gw.Etcd3Client:
    return etcd3gw.client(host=LOOPBACK, port=space.server.port)


#: those in which all masters and servers live
SCENARIOS: Sequence[Callable[[Site], Row]] = (
    both_scale, both_delta, create_and_sweep, create_and_destroy, both_replace, both_create, both_sweep,
    scale_and_destroy,
)  # fmt: skip
#: those that need a server which can lose the leases or the records, and those that stop it
LOSSES: Sequence[Callable[[Site], Row]] = (master_killed, lease_lost, records_lost)
OUTAGES: Sequence[Callable[[Site], Row]] = (store_lost, store_lost_for_long, store_returns)
#: those in which a lease runs out
RUN_OUT: Sequence[Callable[[Site], Row]] = (master_killed, lease_lost, store_lost, store_lost_for_long)
