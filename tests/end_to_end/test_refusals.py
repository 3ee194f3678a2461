"""A refusal says what to do, and changes nothing."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.end_to_end.conftest import MakeMaster, Ran, SaltMaster
from tests.end_to_end.processes import end_processes
from tests.end_to_end.runs import side_by_side
from tests.end_to_end.tools import salt_key

REFUSED = 2


def state_of(master: SaltMaster) -> dict[str, Any]:
    """Return everything that a call could have changed."""
    places = [master.cachedir / "hart/nodes", master.cachedir / "hart/local", master.log_dir, master.temporary]
    files = [path for place in places for path in (place.rglob("*") if place.exists() else [])]
    return {**master.left_over(), "files": sorted(str(path) for path in files if "salt/minion" not in str(path))}


def check_refusal(ran: Ran, *words: str) -> None:
    """Check that there is one text with these words, and nothing else on standard output."""
    assert ran.code == REFUSED, ran
    assert set(ran.data) == {"error", "retcode"}
    missing = [word for word in words if word not in ran.data["error"]]
    assert not missing, ran.data["error"]
    assert "Traceback" not in ran.stdout + ran.stderr


def put_key(master: SaltMaster, state: str, minion_id: str) -> None:
    """Put a key into the store, as Salt itself does."""
    key = rsa.generate_private_key(65537, 2048).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    directory = master.root / "etc/salt/pki/master" / state
    directory.mkdir(exist_ok=True)
    (directory / minion_id).write_bytes(key.public_bytes(serialization.Encoding.PEM, form))


def test_all_ids_that_are_taken_in_any_way_are_refused_and_named(master: SaltMaster) -> None:
    assert master.run("hart.create", "recorded,running", "role=app").code == 0
    salt_key(master, "-d", "recorded")
    end_processes(master.instances / "recorded")
    shutil.rmtree(master.instances / "recorded")
    salt_key(master, "-d", "running")
    master.record("running").unlink()
    states = {"minions": "accepted", "minions_pre": "pending", "minions_rejected": "rejected"}
    states |= {"minions_denied": "denied"}
    for state, word in states.items():
        put_key(master, state, word)
    before = state_of(master)

    ids = [*states.values(), "recorded", "running", "twice", "twice", "free"]
    ran = master.run("hart.create", ",".join(ids), "role=app")

    key = "{0}: a key with that id exists, {0}".format
    check_refusal(ran, *(key(word) for word in states.values()))
    check_refusal(ran, "recorded: a node with that id exists", "running: local has an instance with that id")
    check_refusal(ran, "twice: two nodes of this call would have this id")
    assert "free" not in ran.data["error"]
    assert state_of(master) == before


def test_all_invalid_minion_ids_are_refused_and_named(master: SaltMaster) -> None:
    assert master.daemon is not None
    ids = ["p*", "../../x", "a b", "-x", "retcode", "x" * 201, master.daemon.id, "good"]
    before = state_of(master)
    together, slash, tab = side_by_side(
        master, [("hart.create", ",".join(ids)), ("hart.create", "a/b"), ("hart.destroy", "p*,good")]
    )
    check_refusal(together, "letters, digits", "start and end", "Salt's results", "200 characters", "the master itself")
    check_refusal(slash, "letters, digits")
    check_refusal(tab, "hart.destroy takes ids, and p* is a pattern; select nodes by role")
    assert state_of(master) == before


def test_unknown_names_are_refused_with_the_known_ones(master: SaltMaster) -> None:
    before = state_of(master)
    role, provider, places, destroyed = side_by_side(
        master,
        [
            ("hart.create_role", "ap"),
            ("hart.create_role", "app", "provider=lokal"),
            ("hart.create_role", "app", "region=mars", "size=huge"),
            ("hart.destroy", "unknown"),
        ],
    )
    check_refusal(role, "ap", "did you mean app?")
    check_refusal(provider, "lokal", "local")
    check_refusal(places, "no region mars", "hart.list_regions", "no size huge", "hart.list_sizes", "shared")
    check_refusal(destroyed, "unknown: is not known")
    assert state_of(master) == before


@pytest.mark.parametrize(
    ("hart", "words"),
    [
        (
            {"providers": {"cloud": {"driver": "dgo"}}, "roles": {"app": {}}},
            ["hart:providers:cloud:driver: unknown driver", "do", "local"],
        ),
        (
            {"roles": {"app": {"provider": "lokal"}}},
            ["hart:roles:app:provider: there is no such provider", "local"],
        ),
        (
            {"roles": {"app": {"local": {"volume_type": "gp3", "szie": "shared"}, "count": 2}}},
            ["hart:roles:app:local:volume_type", "hart:roles:app:local:szie", "did you mean size?"]
            + ["hart:roles:app:count"],
        ),
    ],
    ids=["driver", "provider of a role", "settings of another driver, and two more"],
)
def test_a_configuration_with_faults_is_refused_with_the_path_of_each(
    master: SaltMaster, hart: dict[str, Any], words: list[str]
) -> None:
    master.config["hart"] = {"saltmaster": "127.0.0.1", **hart}
    master.write()
    before = state_of(master)
    check_refusal(master.run("hart.create_role", "app"), *words)
    assert state_of(master) == before


def test_unknown_arguments_and_settings_of_another_driver_are_refused_together(master: SaltMaster) -> None:
    before = state_of(master)
    ran = master.run("hart.create_role", "app", "volume_type=gp3", "aplly=highstate", "ready_timeout=soon")
    check_refusal(ran, "volume_type", "aplly", "did you mean apply?", "ready_timeout", "must be a number above 0")
    assert state_of(master) == before


def test_a_master_that_does_not_run_is_refused(make_master: MakeMaster) -> None:
    master = make_master()
    master.stop()
    before = state_of(master)
    check_refusal(master.run("hart.create_role", "app"), "no salt-master is running", "start it")
    assert state_of(master) == before


def test_addresses_that_cannot_be_assigned_are_refused_with_what_to_do(master: SaltMaster) -> None:
    assert master.run("hart.create", "w1", "role=app").code == 0
    before = state_of(master)
    calls = {
        ("w1", "kind=floating"): ["kind must be one of reserved, additional, private"],
        ("w1", "ip=203.0.113.7", "size=big"): ["unknown argument: size"],
        ("w1", "ip=203.0.113.7"): ["a node of the driver local is a process of this machine and shares its addresses"],
        ("unknown", "ip=203.0.113.7"): ["unknown: is not known"],
    }
    ran = side_by_side(master, [("hart.add_ip", *arguments) for arguments in calls])
    for one, words in zip(ran, calls.values(), strict=True):
        check_refusal(one, *words)
    check_refusal(master.run("hart.remove_ip", "w1"), "ip must be an IPv4 address")
    nothing = master.run("hart.remove_ip", "w1", "ip=203.0.113.7")
    assert (nothing.code, nothing.data["w1"]["changed"]) == (0, False)
    assert state_of(master) == before
