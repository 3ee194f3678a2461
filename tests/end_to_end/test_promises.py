"""The promises of the design, end to end: salt-run, salt-master, salt-minion and SSH are real."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from tests.end_to_end import tools, wire
from tests.end_to_end.conftest import Event, SaltMaster

ID = "one.example"


@dataclass
class Witnessed:
    """What was recorded of one node, from its create call until after it was sealed."""

    result: dict[str, Any]
    output: str
    events: list[Event]
    user_data: str
    session: list[dict[str, str]]
    throw_away: dict[str, str]
    client_key: dict[str, str]
    #: the client's packets of each SSH connection, and how many connections there were before a successful login
    connections: list[list[int]]
    refused_first: int
    image_key: str
    #: the state just before salt-minion started for the first time
    at_start: dict[str, Any]
    minion_key: str
    minion_key_mode: int
    where: dict[str, list[str]]
    #: the state afterwards
    instance_files: list[str]
    key_shown_afterwards: str
    client_key_works_afterwards: bool
    accepted_key: str
    reported_key: str


@pytest.fixture(scope="module")
def seen(_session_master: SaltMaster) -> Witnessed:
    """Run one node's life and record it; it has ended when the tests run."""
    master = _session_master
    with tools.restored(master):
        return _witness(master)


def _witness(master: SaltMaster) -> Witnessed:
    with master.events() as events:
        seen = _watched_life(master)
    return dataclasses.replace(seen, events=events)


def _watched_life(master: SaltMaster) -> Witnessed:
    path = master.instances / ID
    with tools.tried(master) as trial, wire.Relay(lambda: wire.ssh_port(master, ID)) as relay:
        trial.seen_as(ID, ssh_port=relay.port)
        trial.hold_script(ID, "ssh", tools.BEFORE_SSH)
        trial.hold_script(ID, "start", tools.AT_START)
        with tools.running(master, "hart.create", ID, "role=app") as run:
            trial.wait("ssh", ID)
            refused = tools.until(lambda: len([p for p in relay.packets() if 30 in p]), "an attempt to connect")
            image_key = wire.host_key_at(wire.ssh_port(master, ID))
            trial.go("ssh", ID)
            trial.wait("start", ID)
            throw_away, client_key = _keys_made(trial)
            at_start = {
                "keys": master.keys(),
                "minion_master.pub": (path / "etc/salt/pki/minion/minion_master.pub").read_text(),
                "minions": [pid for pid in tools.processes_of(path) if _is_minion(pid)],
                "client key works": wire.can_log_in(wire.ssh_port(master, ID), client_key["private"]),
                "key shown": wire.host_key_at(wire.ssh_port(master, ID)),
                "throw-away key in": tools.files_with(master.root, tools.body_lines(throw_away["private"])),
            }
            trial.go("start", ID)
            done = tools.ended(run)
        assert done.code == 0, done
        minion_key = (path / "etc/salt/pki/minion/minion.pem").read_text()
        texts = {"minion key": minion_key, "throw-away key": throw_away["private"], "client key": client_key["private"]}
        answers = master.salt(ID, "test.ping").data
        assert answers == {ID: True}
        return Witnessed(
            result=done.data[ID],
            output=done.stdout + done.stderr,
            events=[],
            user_data=trial.user_data(ID),
            session=trial.noted("session"),
            throw_away=throw_away,
            client_key=client_key,
            connections=relay.packets(),
            refused_first=refused,
            image_key=image_key,
            at_start=at_start,
            minion_key=minion_key,
            minion_key_mode=stat.S_IMODE((path / "etc/salt/pki/minion/minion.pem").stat().st_mode),
            where={name: tools.files_with(master.root, tools.body_lines(text)) for name, text in texts.items()},
            instance_files=[str(file.relative_to(path)) for file in path.rglob("*") if not file.is_dir()],
            key_shown_afterwards=wire.host_key_at(wire.ssh_port(master, ID)),
            client_key_works_afterwards=wire.can_log_in(wire.ssh_port(master, ID), client_key["private"]),
            accepted_key=tools.stored_key(master, ID),
            reported_key=(path / "etc/salt/pki/minion/minion.pub").read_text(),
        )


def _keys_made(trial: tools.Trial) -> tuple[dict[str, str], dict[str, str]]:
    made = trial.noted("ssh-keys")
    assert len(made) == 2
    (host,) = [key for key in made if ID in key["comment"]]
    (client,) = [key for key in made if ID not in key["comment"]]
    return host, client


def _is_minion(pid: int) -> bool:
    """Return whether it is a minion; a listed process may have ended."""
    with contextlib.suppress(OSError):
        return b"salt_minion" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


# 1. No private key ever travels.


def test_1_the_minions_private_key_is_in_one_file_of_the_node_and_nowhere_else(
    seen: Witnessed, _session_master: SaltMaster
) -> None:
    own = str((_session_master.instances / ID / "etc/salt/pki/minion/minion.pem").relative_to(_session_master.root))
    assert seen.where["minion key"] == [own]
    assert seen.minion_key_mode == 0o400


def test_1_the_minions_private_key_is_in_no_event_no_output_no_user_data_and_not_in_the_session(
    seen: Witnessed,
) -> None:
    passed = {
        "events": str(seen.events),
        "output": seen.output,
        "user-data": seen.user_data,
        "session": str(seen.session),
    }
    lines = tools.body_lines(seen.minion_key)
    assert len(lines) > 20
    found = [where for where, text in passed.items() if any(line in text for line in lines)]
    assert found == []
    # The public key, which must travel, shows that the search works.
    public = tools.body_lines(seen.reported_key)[1]
    assert [where for where, text in passed.items() if public in text] == ["events", "session"]


def test_1_the_only_private_key_in_the_user_data_is_the_throw_away_host_key(seen: Witnessed) -> None:
    assert seen.user_data.count("PRIVATE KEY-----") == 2
    assert seen.throw_away["private"].strip() in seen.user_data


# 2. Verified from the first packet.


def test_2_the_image_s_own_key_is_refused_until_the_bootstrap_ran_and_the_session_is_the_only_one(
    seen: Witnessed,
) -> None:
    assert seen.refused_first >= 1
    trusted = [packets for packets in seen.connections if wire.NEWKEYS in packets]
    refused = [packets for packets in seen.connections if wire.NEWKEYS not in packets]
    assert len(trusted) == 1
    assert seen.connections.index(trusted[0]) == len(seen.connections) - 1
    assert all(set(packets) <= set(wire.BEFORE_TRUST) for packets in refused)


def test_2_another_machine_at_the_node_s_address_gets_no_authentication_attempt_and_is_named(
    master: SaltMaster,
) -> None:
    with (
        tools.tried(master) as trial,
        wire.Impostor() as impostor,
        wire.Relay(lambda: impostor.port) as relay,
    ):
        trial.seen_as(ID, ssh_port=relay.port)
        master.hart["boot_timeout"] = 20
        master.write()
        done = master.run("hart.create", ID, "role=app")
        assert done.code == 1, done
        packets, (expected, _) = relay.packets(), _keys_made(trial)
        left = tools.left_of(master, ID, trial)
    assert impostor.key.get_fingerprint() in done.data[ID]["error"]
    assert asyncssh.import_public_key(expected["public"]).get_fingerprint() in done.data[ID]["error"]
    assert impostor.authentications == []
    assert len([sent for sent in packets if 30 in sent]) >= 2, "it did not try again"
    assert all(set(sent) <= set(wire.BEFORE_TRUST) for sent in packets)
    assert left == []


# 3. Trust is seeded on both sides before first contact.


def test_3_each_side_has_the_others_key_before_salt_minion_first_starts(
    seen: Witnessed, _session_master: SaltMaster
) -> None:
    (master_key,) = _session_master.root.rglob("master.pub")
    assert seen.at_start["minion_master.pub"].strip() == master_key.read_text().strip()
    assert seen.at_start["keys"]["minions"] == [ID]
    assert seen.at_start["minions"] == []


def test_3_the_minion_s_key_is_never_pending(seen: Witnessed) -> None:
    assert {data["act"] for data in tools.of(seen.events, "salt/auth", id=ID)} == {"accept"}
    assert len(tools.of(seen.events, f"salt/minion/{ID}/start")) == 1


def test_3_the_accepted_key_is_byte_for_byte_the_one_on_the_node(seen: Witnessed) -> None:
    assert seen.accepted_key == seen.reported_key


def test_3_a_minion_that_expects_another_master_never_connects_and_is_undone(master: SaltMaster) -> None:
    (master_key,) = master.root.rglob("master.pub")
    with tools.tried(master) as trial, master.events() as events:
        trial.alter(ID, master_key.read_text().strip(), tools.foreign_key())
        trial.hold("terminate", ID)
        master.hart["ready_timeout"] = 15
        master.write()
        with tools.running(master, "hart.create", ID, "role=app") as run:
            trial.wait("terminate", ID)
            said = (master.instances / ID / "var/log/salt/minion").read_text()
            trial.go("terminate", ID)
            done = tools.ended(run)
        left = tools.left_of(master, ID, trial)
    assert done.code == 1
    assert re.search(r"did not reach this master within 15 s: its log says: .*public key", done.data[ID]["error"])
    assert "public key" in said, "the minion did not look at the master's key at all"
    assert tools.of(events, f"salt/minion/{ID}/start") == []
    assert left == []


# 4. No key without a node, no node without a key.


def test_4_there_is_no_key_before_a_node_has_proved_itself_and_none_after_it_is_gone(
    master: SaltMaster,
) -> None:
    with tools.tried(master) as trial:
        trial.hold_script(ID, "key", tools.BEFORE_KEY)
        with tools.running(master, "hart.create", ID, "role=app") as run:
            trial.wait("key", ID)
            early = master.keys()
            trial.go("key", ID)
            done = tools.ended(run)
        assert done.code == 0, done
        assert not any(early.values())
        assert (master.keys()["minions"], (master.instances / ID).exists()) == ([ID], True)
        assert master.run("hart.destroy", ID).code == 0
        assert tools.left_of(master, ID, trial) == []


def test_4_nodes_that_fail_before_or_after_their_key_is_made_or_accepted_leave_neither(
    master: SaltMaster,
) -> None:
    at = {"a.example": tools.BEFORE_KEY, "b.example": "begin hand-over\n", "c.example": tools.AT_START}
    with tools.tried(master) as trial:
        for minion_id, line in at.items():
            trial.alter(minion_id, line, f"exit 9\n{line}")
        done = master.run("hart.create", ",".join(at), "role=app")
        left = tools.left_of_each(master, list(at), trial)
    assert done.code == 1
    assert ["exit code 9" in done.data[minion_id]["error"] for minion_id in at] == [True] * 3
    assert left == {minion_id: [] for minion_id in at}


# 5. Nothing temporary survives.


def test_5_nothing_of_the_bootstrap_is_left_on_the_node(seen: Witnessed) -> None:
    temporary = ("run/hart", "etc/ssh/sshd_config.d", "user-data", "var/log/hart-bootstrap.log")
    assert [file for file in seen.instance_files if file.startswith(temporary)] == []
    assert "etc/ssh/ssh_host_ed25519_key" in seen.instance_files


def test_5_the_ssh_port_shows_the_image_s_own_key_again_and_refuses_the_client_key(seen: Witnessed) -> None:
    assert seen.at_start["key shown"].split()[:2] == seen.throw_away["public"].split()[:2]
    assert seen.at_start["client key works"] is True
    assert seen.key_shown_afterwards == seen.image_key
    assert seen.client_key_works_afterwards is False


def test_5_the_throw_away_keys_are_in_no_file_below_the_master_s_root(seen: Witnessed) -> None:
    assert len(seen.at_start["throw-away key in"]) == 2, "the user-data and the host key's file had it"
    assert seen.where["throw-away key"] == []
    assert seen.where["client key"] == []


def test_5_the_result_names_the_host_keys_that_stay(seen: Witnessed) -> None:
    kept = [" ".join(line.split()[:2]) for line in seen.result["ssh_host_keys"]]
    assert kept == [" ".join(seen.image_key.split()[:2])]
