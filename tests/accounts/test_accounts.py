"""
Tests with real accounts: ``./test -m integration``, or ``-m integration -k digitalocean``. They cost some cents.

A plain ``./test`` does not run them. Credentials come from ``hart.toml`` in the root of the checkout;
``docs/contributing/accounts.md`` describes it. ``test_proof.py`` tests the same code with accounts of the test cloud.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from saltfactories.manager import FactoriesManager

from tests.accounts import place, proof, reach
from tests.accounts.place import DRIVERS, PORTS, ROOT, Account
from tests.accounts.proof import Hart, Say
from tests.end_to_end.conftest import SaltMaster

pytestmark = pytest.mark.integration


@pytest.fixture(params=list(DRIVERS))
def account(request: pytest.FixtureRequest) -> Account:
    try:
        return place.account(ROOT, DRIVERS[request.param])
    except place.Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def reachable_master(factories: FactoriesManager) -> Iterator[SaltMaster]:
    """The only master that does not listen on loopback: remote instances must reach it."""
    if problem := place.taken():
        pytest.fail(problem, pytrace=False)
    with place.running(factories, ROOT, interface="0.0.0.0", **PORTS) as master:  # noqa: S104 - see above
        yield master


@pytest.fixture
def say(capfd: pytest.CaptureFixture[str], account: Account) -> Say:
    """Print at once, because the price must appear before it is spent."""

    def show(text: str) -> None:
        with capfd.disabled():
            print(f"\n{account.provider}: {text}", end="", flush=True)

    return show


def test_one_smallest_instance_is_created_verified_and_destroyed(
    account: Account, say: Say, request: pytest.FixtureRequest
) -> None:
    master: SaltMaster = request.getfixturevalue("reachable_master")
    hart = Hart(master, account, say)
    facts = proof.look(hart)
    masters = reach.addresses(facts["minion_config"])
    if objection := reach.objection(masters):
        pytest.fail(objection, pytrace=False)
    for doubt in reach.doubts(masters, PORTS.values()):
        say(doubt)
    plan = proof.plan(hart, facts)
    say(plan.cost)
    proof.carry_out(hart, plan)
