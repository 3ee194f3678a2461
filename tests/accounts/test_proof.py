"""
Tests of the code behind ``test_accounts.py``, with accounts of the test cloud instead of real ones.

Whatever goes wrong, no instance stays.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from saltfactories.manager import FactoriesManager

from tests.accounts import emulated, place, proof, reach
from tests.accounts.emulated import Emulated
from tests.accounts.place import DRIVERS, KEPT, ROLE
from tests.accounts.proof import Failed, Hart, Plan
from tests.drivers.do.in_tables import DESTROY
from tests.end_to_end import light_cloud
from tests.end_to_end.tools import until

_missing = light_cloud.missing()
lights = pytest.mark.skipif(bool(_missing), reason=_missing)
#: sizes with 1 GB; Compute Engine has no prices, so there it is the smallest
CHEAPEST = {
    "digitalocean": "s-1vcpu-1gb", "ec2": "t4g.micro", "gce": "e2-micro", "hetzner": "cx23", "vultr": "vc2-1c-1gb",
}  # fmt: skip
#: the price as it is printed, if not in dollars
MONEY = {"gce": "at a price that the provider does not report", "hetzner": "EUR 3.49 a month"}


@pytest.fixture(scope="module")
def clouds(factories: FactoriesManager, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    with emulated.opened(factories, tmp_path_factory.mktemp("checkout")) as opened:
        yield opened


@pytest.fixture(scope="module")
def proven(clouds: Emulated) -> dict[str, Future[Plan]]:
    """Run all of them, two at a time, because they mostly wait."""

    def prove(name: str) -> Plan:
        hart = clouds.hart(name)
        plan = proof.plan(hart, proof.look(hart))
        hart.say(plan.cost)
        proof.carry_out(hart, plan)
        return plan

    with ThreadPoolExecutor(2) as pool:
        return {name: pool.submit(prove, name) for name in DRIVERS}


@lights
@pytest.mark.parametrize("name", list(DRIVERS))
def test_one_smallest_instance_is_created_verified_and_destroyed(
    name: str, clouds: Emulated, proven: dict[str, Future[Plan]]
) -> None:
    plan = proven[name].result()
    print(*[text for text in clouds.printed if text.startswith(DRIVERS[name])], sep="\n")
    assert f"size={CHEAPEST[name]}" in plan.arguments
    assert (clouds.clouds[name].made(), clouds.left(name), clouds.amiss(name)) == (1, {}, [])


@lights
@pytest.mark.parametrize("name", list(DRIVERS))
def test_the_price_is_printed_before_anything_is_created(
    name: str, clouds: Emulated, proven: dict[str, Future[Plan]]
) -> None:
    plan = proven[name].result()
    printed = [text.partition(": ")[2] for text in clouds.printed if text.startswith(DRIVERS[name])]
    assert printed.index(plan.cost) < printed.index(f"creating {plan.minion_id}")
    assert f"one {CHEAPEST[name]} in" in plan.cost
    assert MONEY.get(name, "$") in plan.cost
    assert printed[-1].startswith("verified and destroyed; nothing is left")


@pytest.fixture
def fresh(clouds: Emulated, proven: dict[str, Future[Plan]]) -> Emulated:
    """Empty all clouds and the printed lines."""
    for future in proven.values():
        future.exception()
    clouds.printed.clear()
    return clouds


def planned(clouds: Emulated, minion_id: str) -> Plan:
    """Return what ``proof.plan`` returns, without a call."""
    provider = clouds.hart("digitalocean").account.provider
    return Plan(minion_id, (minion_id, f"role={ROLE}", f"provider={provider}"), "nothing")


@lights
def test_a_verification_that_fails_fails_the_run_and_leaves_no_instance(
    fresh: Emulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(fresh.answers, "hart.sealed", ["/run/hart is there"])
    made = fresh.clouds["digitalocean"].made()
    with pytest.raises(Failed, match="/run/hart is there"):
        proof.carry_out(fresh.hart("digitalocean"), planned(fresh, "unsealed"))
    assert fresh.clouds["digitalocean"].made() == made + 1
    assert (fresh.left("digitalocean"), fresh.printed[-1]) == ({}, "do: all of it is gone")


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Enable Ctrl-C, which has no effect in background jobs of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@lights
@pytest.mark.usefixtures("ctrl_c")
def test_after_ctrl_c_at_any_time_no_instance_stays(fresh: Emulated) -> None:
    """The second Ctrl-C comes during the removal and does not stop it."""
    cloud = fresh.clouds["digitalocean"]
    made, destroying = cloud.made(), cloud.count("DELETE", r"/droplets/")

    def press() -> None:
        until(lambda: cloud.made() > made, "an instance is created")
        os.kill(os.getpid(), signal.SIGINT)
        until(lambda: cloud.count("DELETE", r"/droplets/") > destroying, "it is being destroyed")
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        proof.carry_out(fresh.hart("digitalocean"), planned(fresh, "interrupted"))
    thread.join()
    assert fresh.left("digitalocean") == {}
    assert "do: SIGINT: in a moment, when nothing is left that costs money" in fresh.printed


@lights
def test_what_cannot_be_removed_is_named_and_the_next_run_begins_with_it(
    fresh: Emulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "PAUSES", (0.0,))
    hart = fresh.hart("digitalocean")
    hart.do("create", *planned(fresh, "stays").arguments)
    fresh.clouds["digitalocean"].faults.add(DESTROY.fault(status=403, times=100))
    with pytest.raises(Failed, match="NOT REMOVED at my-do, and billed until it is: stays"):
        proof.remove(hart, "stays")
    (stays,) = fresh.left("digitalocean")["instances"]
    assert stays == "stays"
    fresh.clouds["digitalocean"].faults.clear()
    # As for a new master with the kept key: no record and no minion key.
    fresh.master.clear()
    proof.tidy(hart)
    assert "do: an earlier run had left the instance stays; it is removed" in fresh.printed
    assert fresh.left("digitalocean") == {}


@lights
def test_a_second_run_from_the_same_place_is_refused(clouds: Emulated, factories: FactoriesManager) -> None:
    with pytest.raises(RuntimeError, match="under way"), place.running(factories, clouds.root):
        pass
    assert [path.name for path in (clouds.root / KEPT).iterdir() if path.stat().st_mode & 0o077] == ["lock"]


def test_a_minion_of_its_own_machine_passes_too(factories: FactoriesManager, tmp_path: Path) -> None:
    """The driver ``local`` has real minions, which check their seal themselves."""
    (tmp_path / place.FILE).write_text("[providers.local]\n\n[roles.integration]\nkeep_failed = true\n")
    printed: list[str] = []
    with place.running(factories, tmp_path) as master:
        hart = Hart(master, place.account(tmp_path, "local"), printed.append)
        proof.carry_out(hart, proof.plan(hart, proof.look(hart)))
        assert not any(master.left_over().values())
    assert printed[-1].startswith("verified and destroyed; nothing is left")


# what is known without a cloud


def test_without_an_account_it_says_what_to_write_where(tmp_path: Path) -> None:
    with pytest.raises(place.Missing, match=r"no hart.toml is in the root .* \[providers.ec2\]"):
        place.account(tmp_path, "ec2")
    (tmp_path / place.FILE).write_text(emulated.toml({"providers": {"mine": {"driver": "do", "token": "x"}}}))
    with pytest.raises(place.Missing, match=r"no provider of the driver ec2"):
        place.account(tmp_path, "ec2")
    assert place.account(tmp_path, "do") == place.Account("mine", tmp_path / place.FILE, has_role=False)


def test_the_smallest_size_is_the_cheapest_that_can_be_had_with_enough_memory() -> None:
    size: dict[str, Any] = {"memory_mb": 1024, "cpus": 1.0, "monthly_price": 6.0, "available": True}
    sizes = {
        "unpriced": {**size, "monthly_price": None}, "dear": {**size, "monthly_price": 7.0}, "right": size,
        "small": {**size, "memory_mb": 512, "monthly_price": 4.0},
        "sold-out": {**size, "monthly_price": 5.0, "available": False},
    }  # fmt: skip
    assert proof.smallest(sizes) == "right"
    unpriced = {name: {**one, "monthly_price": None} for name, one in sizes.items()}
    assert proof.smallest({**unpriced, "large": {**size, "memory_mb": 2048, "monthly_price": None}}) == "dear"
    with pytest.raises(Failed, match="role integration"):
        proof.smallest({"small": sizes["small"]})


def test_an_unreachable_master_is_reported_before_an_instance_exists() -> None:
    assert "saltmaster is not set" in reach.objection(reach.addresses({}))
    for master in ("localhost", "127.0.0.1", "::1"):
        assert "the instance itself" in reach.objection([master])
    assert reach.objection(reach.addresses({"master": "salt.example.com"})) == ""
    (doubt,) = reach.doubts(["127.0.0.1"], [1])
    assert "127.0.0.1:1 does not answer from here" in doubt


def test_a_plain_run_leaves_the_costly_tests_out(pytestconfig: pytest.Config, request: pytest.FixtureRequest) -> None:
    if "integration" in pytestconfig.option.markexpr:
        pytest.skip("this is no plain run")
    assert [item.nodeid for item in request.session.items if item.get_closest_marker("integration")] == []
