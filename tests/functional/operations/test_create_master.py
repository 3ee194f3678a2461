"""A new salt-master, from the bootstrap to its key, on a machine in memory; whatever fails is rolled back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import NodeFailed
from hart_salt.base.gate import Gate
from hart_salt.inventory.context import Context
from hart_salt.inventory.flocks import FileLocks
from hart_salt.master import public_keys
from hart_salt.operations import create_master
from tests.functional.fakes import fails_with
from tests.functional.node import life_world
from tests.functional.node.life_world import COMMANDS, NOTHING, PEM, FakeMaster, FakeSession, Stage, new_stage

KEY_LINE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFHYVyQHSDqW0Bj6Ei7XWfBc8yNnBHQJbyLPCxP2G0u0 admin@example"


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | bytes]]:
    """Every command on the node, with its input; the node is a salt-master once it has been started."""
    commands: list[tuple[str, str | bytes]] = []
    run = FakeSession.run

    async def listed(self: FakeSession, command: str, *, stdin: str | bytes = b"", **more: Any) -> str:
        commands.append((command, stdin))
        if command == COMMANDS.start:
            self.world.step("start")
            return ""
        return PEM if command == COMMANDS.master_key else await run(self, command, stdin=stdin, **more)

    monkeypatch.setattr(FakeSession, "run", listed)
    return commands


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(life_world.FakeDriver, "platform", "debian")
    return new_stage(tmp_path, monkeypatch)


def create(stage: Stage, **options: Any) -> dict[str, Any]:
    """Create the master ``salt``; return its entry."""
    master: Any = FakeMaster(stage.world)
    context = Context(master, stage.info, stage.store, FileLocks(stage.info.cachedir), Gate())
    wanted = create_master.options(options)
    data, interrupted = create_master.create_master(stage.node("salt"), stage.driver, context, wanted)
    assert interrupted is None
    entry: dict[str, Any] = data["salt"]
    return entry


@pytest.mark.parametrize("own", [True, False])
def test_a_master_has_hart_salt_its_configuration_and_no_key_here(
    stage: Stage, ran: list[tuple[str, str | bytes]], own: bool
) -> None:
    entry = create(stage, authorize_key=KEY_LINE, **({} if own else {"hart_salt": "hart-salt[do]==1.0.0"}))
    assert entry["result"] is True, entry
    inputs = dict(ran)
    assert bool(inputs.get(COMMANDS.carry)) is own, "the wheel of this hart-salt"
    assert inputs[COMMANDS.authorize] == KEY_LINE
    assert COMMANDS.start in inputs
    record = stage.store.get("salt")
    assert record is not None
    assert (record.kind, record.master_key_finger) == ("master", public_keys.master_fingerprint(PEM))
    assert stage.world.keys == {}
    assert len(entry["ssh_host_key_fingers"]) == 1


def test_nobody_is_authorized_who_was_not_named(stage: Stage, ran: list[tuple[str, str | bytes]]) -> None:
    assert create(stage)["result"] is True
    assert COMMANDS.authorize not in dict(ran)


def test_hart_salt_that_cannot_be_installed(stage: Stage, ran: list[tuple[str, str | bytes]]) -> None:
    stage.world.exit_codes[COMMANDS.equip] = 3
    entry = create(stage)
    assert entry["result"] is False
    assert "hart-salt could not be installed: salt-pip ended with exit code 3" in entry["error"]
    assert stage.left() == NOTHING


def test_a_master_that_does_not_start(stage: Stage, ran: list[tuple[str, str | bytes]]) -> None:
    stage.world.faults["start"] = fails_with(NodeFailed("a command on the node failed"))
    entry = create(stage)
    assert entry["result"] is False
    assert "the new salt-master did not become ready: a command on the node failed" in entry["error"]
    assert stage.left() == NOTHING
