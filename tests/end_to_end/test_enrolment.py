"""An attacker who reaches the master first, with the id of a node that is coming up, gains nothing."""

from __future__ import annotations

import contextlib
import subprocess

from hart_salt.master.public_keys import fingerprint
from tests.end_to_end import tools
from tests.end_to_end.conftest import MakeMaster, SaltMaster


def _wait_for_key(master: SaltMaster, minion_id: str, state: str) -> None:
    tools.until(lambda: minion_id in master.keys()[state], f"{minion_id} in {state}")


def _own_key(master: SaltMaster, minion_id: str) -> str:
    return (master.instances / minion_id / "etc/salt/pki/minion/minion.pub").read_text()


def test_foreign_keys_that_are_pending_rejected_or_denied_are_replaced_and_reported(master: SaltMaster) -> None:
    ids = ("pending", "rejected", "denied")
    with tools.tried(master) as trial, contextlib.ExitStack() as stack:
        for minion_id in ids:
            trial.hold_script(minion_id, "script", tools.BEFORE_KEY)
        run = stack.enter_context(tools.running(master, "hart.create", ",".join(ids), "role=app"))
        for minion_id in ids:
            trial.wait("script", minion_id)
        for minion_id in ids:
            stack.enter_context(tools.bare_minion(master, minion_id))
        for minion_id in ids:
            _wait_for_key(master, minion_id, "minions_pre")
        tools.salt_key(master, "-r", "rejected")
        _wait_for_key(master, "rejected", "minions_rejected")
        stack.enter_context(tools.bare_minion(master, "denied"))
        _wait_for_key(master, "denied", "minions_denied")
        states = {"pending": "minions_pre", "rejected": "minions_rejected", "denied": "minions_denied"}
        shown = {minion_id: tools.fingerprint(master, state, minion_id) for minion_id, state in states.items()}
        for minion_id in ids:
            trial.go("script", minion_id)
        done = tools.ended(run)
        assert done.code == 0, done
        notes = {minion_id: "\n".join(done.data[minion_id]["notes"]) for minion_id in ids}
        for word in ids:
            assert f"was {word} under this id was replaced: {shown[word]}" in notes[word]
        assert "was pending under this id" in notes["denied"], "there were two foreign keys with that id"
        for minion_id in ids:
            assert tools.stored_key(master, minion_id) == _own_key(master, minion_id)
            assert shown[minion_id] in tools.log_of(master, minion_id)
        assert master.salt("-L", ",".join(ids), "test.ping").data == dict.fromkeys(ids, True)


def test_the_fingerprint_in_the_result_is_the_one_that_salt_key_shows(
    master: SaltMaster,
) -> None:
    done = master.run("hart.create", "a", "role=app")
    assert done.code == 0, done
    assert tools.fingerprint(master, "minions", "a") == done.data["a"]["minion_key_finger"]
    assert fingerprint(_own_key(master, "a")) == done.data["a"]["minion_key_finger"]
    assert done.data["a"]["notes"] == []


def _begin_after_a_foreign_key(
    master: SaltMaster, trial: tools.Trial, stack: contextlib.ExitStack, state: str
) -> subprocess.Popen[str]:
    """Start a call that creates ``a``, held before the node makes its key; a foreign key with the id has that state."""
    trial.hold_script("a", "script", tools.BEFORE_KEY)
    run = stack.enter_context(tools.running(master, "hart.create", "a", "role=app"))
    trial.wait("script", "a")
    stack.enter_context(tools.bare_minion(master, "a"))
    _wait_for_key(master, "a", state)
    return run


def _assert_node_fails_and_foreign_key_is_left(
    master: SaltMaster, trial: tools.Trial, run: subprocess.Popen[str]
) -> None:
    """Continue the call while the foreign key is accepted, and check its result."""
    shown = tools.fingerprint(master, "minions", "a")
    trial.go("script", "a")
    done = tools.ended(run)
    _assert_foreign_key_is_left(master, trial, shown, done.data["a"]["error"])
    assert done.code == 1


def test_if_an_admin_accepts_a_foreign_key_during_the_bootstrap_the_node_fails_and_the_key_stays(
    master: SaltMaster,
) -> None:
    with tools.tried(master) as trial, contextlib.ExitStack() as stack:
        run = _begin_after_a_foreign_key(master, trial, stack, "minions_pre")
        tools.salt_key(master, "-a", "a")
        _assert_node_fails_and_foreign_key_is_left(master, trial, run)


def test_with_auto_accept_a_foreign_key_that_came_first_fails_the_node_and_stays(make_master: MakeMaster) -> None:
    master = make_master(auto_accept=True)
    with tools.tried(master) as trial, contextlib.ExitStack() as stack:
        run = _begin_after_a_foreign_key(master, trial, stack, "minions")
        _assert_node_fails_and_foreign_key_is_left(master, trial, run)
        # A foreign key with another id affects nobody.
        assert master.run("hart.create", "b", "role=app").code == 0


def _assert_foreign_key_is_left(master: SaltMaster, trial: tools.Trial, shown: str, error: str) -> None:
    assert "another key is already accepted as a" in error
    assert shown in error
    assert tools.left_of(master, "a", trial) == ["key minions"]
    assert tools.fingerprint(master, "minions", "a") == shown
