"""What lives is never destroyed: not by a crash at the last steps, by lost records, or by one list with a gap."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hart_salt.inventory.records import BANK
from tests.end_to_end import tools
from tests.end_to_end.conftest import SaltMaster
from tests.end_to_end.tools import Trial


@pytest.fixture
def trial(master: SaltMaster) -> Iterator[Trial]:
    with tools.tried(master) as planned:
        yield planned


def run(master: SaltMaster, *arguments: str, code: int = 0) -> dict[str, Any]:
    ran = master.run(*arguments)
    assert ran.code == code, ran
    data: dict[str, Any] = ran.data
    return data


def names(orphans: list[dict[str, Any]]) -> list[str]:
    return sorted(orphan["name"] for orphan in orphans)


def statuses(master: SaltMaster, *arguments: str) -> dict[str, str]:
    return {name: entry["status"] for name, entry in run(master, "hart.list_minions", *arguments).items()}


def kill_at(master: SaltMaster, trial: Trial, point: str, minion_id: str) -> None:
    """Kill a create call at a point."""
    with tools.running(master, "hart.create", minion_id, "role=app") as process:
        trial.wait(point, minion_id)
        process.send_signal(signal.SIGKILL)
        process.wait(300)


def is_sealed(master: SaltMaster, minion_id: str) -> bool:
    temporary = ("run/hart", "etc/ssh/sshd_config.d/00-hart.conf", "var/log/hart-bootstrap.log")
    return not any((master.instances / minion_id / name).exists() for name in temporary)


def lose_records(master: SaltMaster) -> None:
    """Remove the records, as when the cache is cleared, or its store restarted without its data."""
    shutil.rmtree(master.cachedir / BANK)


# ready and unsealed


def test_a_node_killed_between_ready_and_sealed_lives_and_is_sealed_over_salt(master: SaltMaster, trial: Trial) -> None:
    trial.hold_script("lives", "sealing", tools.AT_SEAL)
    kill_at(master, trial, "sealing", "lives")
    trial.go("sealing", "lives")
    assert statuses(master) == {"lives": "unsealed"}
    assert run(master, "hart.show", "lives")["status"] == "unsealed"
    looked = run(master, "hart.sweep", "grace=0", "test=True")
    assert (looked["would_remove"], names(looked["would_seal"])) == ([], ["lives"])
    swept = run(master, "hart.sweep")
    assert (swept["removed"], swept["kept"], names(swept["sealed"])) == ([], [], ["lives"])
    assert is_sealed(master, "lives")
    assert statuses(master) == {"lives": "ready"}
    assert run(master, "hart.sweep", "grace=0") == {"removed": [], "kept": []}


def test_an_unsealed_node_whose_minion_is_stopped_stays_and_the_next_create_seals_it(
    master: SaltMaster, trial: Trial
) -> None:
    trial.hold("put-sealed", "lives")
    kill_at(master, trial, "put-sealed", "lives")
    tools.stop_minion(master, "lives")
    swept = run(master, "hart.sweep", "grace=0")
    assert (swept["removed"], names(swept["kept"])) == ([], ["lives"])
    assert "salt-run hart.destroy lives removes the node" in swept["kept"][0]["why"]
    tools.resume_minion(master, "lives")
    ran = master.run("hart.create", "next", "role=app")
    assert (ran.code, set(ran.data)) == (0, {"next"}), ran
    assert "hart: sealed lives, which a call that died left behind" in ran.stderr
    assert statuses(master) == {"lives": "ready", "next": "ready"}


def test_a_disk_that_is_full_at_the_last_write_costs_no_minion(master: SaltMaster, trial: Trial) -> None:
    trial.fail("put-sealed", "full", "disk full", times=1)
    assert run(master, "hart.create", "full", "role=app", code=1)["full"]["result"] is False
    trial.fix()
    assert run(master, "hart.sweep", "grace=0")["removed"] == []
    assert statuses(master) == {"full": "ready"}


@pytest.mark.parametrize("point", ["put-enrolled", "put-ready"])
def test_a_disk_that_is_full_earlier_undoes_the_node_completely(master: SaltMaster, trial: Trial, point: str) -> None:
    trial.fail(point, "full", "disk full", times=1)
    assert run(master, "hart.create", "full", "role=app", code=1)["full"]["result"] is False
    assert tools.left_of(master, "full") == []


def test_a_minion_that_answers_stays_even_if_its_operation_died_before_ready(master: SaltMaster, trial: Trial) -> None:
    trial.hold("put-ready", "early")
    kill_at(master, trial, "put-ready", "early")
    swept = run(master, "hart.sweep", "grace=0")
    assert (swept["removed"], names(swept["kept"])) == ([], ["early"])
    assert "salt-run hart.destroy early removes it" in swept["kept"][0]["why"]
    assert master.run("hart.create", "next", "role=app").code == 0
    assert statuses(master) == {"early": "left at enrolled", "next": "ready"}
    assert run(master, "hart.destroy", "early")["early"]["result"]
    assert tools.left_of(master, "early") == []


# lost records


def test_scale_creates_no_second_fleet_when_the_records_were_lost(master: SaltMaster) -> None:
    made = sorted(run(master, "hart.scale", "app", "count=2")["created"])
    tools.stop_minion(master, made[0])
    lose_records(master)
    planned = run(master, "hart.scale", "app", "count=2", "test=True")
    assert (planned["before"], planned["would_rebuild"]) == (2, made)
    assert not any(master.record(name).exists() for name in made)
    scaled = run(master, "hart.scale", "app", "count=2")
    assert (scaled["before"], scaled["changed"], scaled["rebuilt"]) == (2, False, made)
    assert statuses(master) == {made[0]: "unreachable", made[1]: "ready"}
    assert run(master, "hart.sweep", "grace=0")["removed"] == []
    tools.resume_minion(master, made[0])
    assert names(run(master, "hart.sweep", "grace=0")["sealed"]) == made[:1]
    shown = run(master, "hart.show", made[0])
    assert (shown["status"], shown["role"], shown["size"]) == ("ready", "app", "shared")
    assert shown["minion_key_finger"] == tools.fingerprint(master, "minions", made[0])
    assert run(master, "hart.scale", "app", "count=0")["after"] == 0
    assert not any(master.left_over().values())


def test_sweep_rebuilds_lost_records_and_removes_nothing_without_force(master: SaltMaster) -> None:
    made = sorted(run(master, "hart.scale", "app", "count=3")["created"])
    orphan, stopped = made[0], made[1]
    tools.stop_minion(master, stopped)
    tools.salt_key(master, "-d", orphan)
    lose_records(master)
    looked = run(master, "hart.sweep", "grace=0", "test=True")
    assert (looked["would_remove"], names(looked["would_rebuild"])) == ([], made[1:])
    assert not master.record(stopped).exists()
    swept = run(master, "hart.sweep", "grace=0")
    assert "the record store seems to have been lost" in swept["lost"]
    assert (swept["removed"], names(swept["rebuilt"])) == ([], made[1:])
    assert "force=True" in next(one["why"] for one in swept["kept"] if one["name"] == orphan)
    assert statuses(master, "role=app") == {orphan: "no record", stopped: "unreachable", made[2]: "ready"}
    lose_records(master)
    assert names(run(master, "hart.sweep", "grace=0", "force=True")["removed"]) == [orphan]
    assert set(statuses(master, "role=app")) == set(made[1:])


# what the cloud reports

HOSTILE: dict[str, Any] = {
    "empty": "", "long": "x" * 256, "nul": "a\0b", "up": "../../x", "word": "retcode", "glob": "*", "list": ["a"],
    "lines": "a\nb: c",
}  # fmt: skip


def forge(master: SaltMaster, name: str, **claim: Any) -> None:
    """Make an instance for which the cloud reports something else than what hart requested."""
    path: Path = master.instances / name
    like = next(master.instances.glob("*/instance.json"))
    path.mkdir()
    (path / "instance.json").write_text(json.dumps({**json.loads(like.read_text()), **claim}))


def test_an_instance_that_names_no_node_is_reported_by_its_own_id_and_affects_no_other(
    master: SaltMaster, trial: Trial
) -> None:
    run(master, "hart.create", "good", "role=app")
    for name, minion_id in HOSTILE.items():
        forge(master, f"i-{name}", minion_id=minion_id)
    forge(master, "i-role", minion_id="sound", role="../../x")
    forge(master, "i-batch", minion_id="sound-too", batch="../../x")
    for name in ("i-one", "i-two"):
        forge(master, name, minion_id="twice")
    bad = sorted([*(f"i-{name}" for name in HOSTILE), "i-role", "i-batch", "i-one", "i-two"])
    before = sorted(path.name for path in (master.cachedir / "hart").rglob("*") if "local" not in path.parts)
    listed = run(master, "hart.list_minions")
    reported = {name: entry["status"] for name, entry in listed.items()}
    assert reported == {"good": "ready", **dict.fromkeys(bad, "bad id")}
    assert all(listed[name]["note"] for name in bad)
    assert run(master, "hart.show", "good")["status"] == "ready"
    assert run(master, "hart.create", "next", "role=app")["next"]["result"]
    assert run(master, "hart.scale", "app", "count=2")["before"] == 2
    swept = run(master, "hart.sweep", "grace=0")
    assert (swept["removed"], names(swept["kept"])) == ([], bad)
    assert run(master, "hart.destroy", "next")["next"]["result"]
    assert all((master.instances / name).exists() for name in bad)
    after = sorted(path.name for path in (master.cachedir / "hart").rglob("*") if "local" not in path.parts)
    assert after == before


# lists with gaps


def test_one_list_without_the_instance_ends_no_create_and_makes_no_second_node(
    master: SaltMaster, trial: Trial
) -> None:
    master.hart["roles"] = {"app": {"role_naming_scheme": "gap"}}
    master.write()
    trial.hold("put-running", "gap")
    # The checks of a create call list once, and from then on the instance is seen, missed, and seen.
    trial.seen_as("gap", state="pending")
    with tools.running(master, "hart.create", "gap", "role=app") as process:
        tools.until(lambda: trial.reached("instances", "gap"), "it is listed")
        trial.hide("gap", 0, 3)
        tools.until(lambda: len(trial.lists("gap")) > 3, "some lists have missed it")
        trial.seen_as("gap")
        trial.go("put-running", "gap")
        ran = tools.ended(process)
    assert ran.code == 0, ran
    trial.hide("gap", 0, 1)
    assert run(master, "hart.scale", "app", "count=1")["before"] == 1
    trial.hide("gap", 0, 2)
    tools.stop_minion(master, "gap")
    assert run(master, "hart.sweep", "grace=0")["removed"] == []
    tools.resume_minion(master, "gap")


def test_an_instance_that_appears_without_its_tags_is_the_launched_one(master: SaltMaster, trial: Trial) -> None:
    trial.seen_as("bare", minion_id="", role=None, batch="")
    ran = master.run("hart.create", "bare", "role=app")
    assert (ran.code, ran.data["bare"]["role"]) == (0, "app"), ran
    assert statuses(master) == {"bare": "ready"}
    assert run(master, "hart.sweep", "grace=0") == {"removed": [], "kept": []}


# the undo


def test_a_key_that_was_denied_since_the_image_made_its_own_goes_and_the_id_is_free(
    master: SaltMaster, trial: Trial
) -> None:
    trial.alter("again", tools.END, f"{REGENERATE}{tools.END}")
    failed = run(master, "hart.create", "again", "role=app", "ready_timeout=10", code=1)
    assert failed["again"]["result"] is False
    assert tools.left_of(master, "again") == []
    trial.unalter("again")
    assert run(master, "hart.create", "again", "role=app")["again"]["result"]


REGENERATE = """cat > "$run/regen.py" <<'PY'
import os, sys
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import rsa
key = rsa.generate_private_key(65537, 2048)
private = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
public = key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
for name, data in ("minion.pem", private), ("minion.pub", public):
    path = os.path.join(sys.argv[1], name)
    os.remove(path)
    open(path, "wb").write(data)
PY
"$HART_PYTHON" "$run/regen.py" "$minion_keys"
"""
