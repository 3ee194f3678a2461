"""What each of a thousand nodes costs: the commands over its session, and the writes of its record."""

from __future__ import annotations

from typing import Any

import pytest

from hart_salt.inventory.records import Record
from tests.functional.node.life_world import COMMANDS, FakeSession, RecordingStore, Stage, plainly

STAGES = ["launching", "running", "bootstrapping", "enrolling", "enrolled", "ready"]


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the commands that run over the sessions, in order."""
    ran: list[str] = []
    for name in ("follow", "run", "stream"):
        monkeypatch.setattr(FakeSession, name, _noting(getattr(FakeSession, name), ran))
    return ran


def _noting(real: Any, ran: list[str]) -> Any:
    async def noting(session: FakeSession, command: str, *arguments: Any, **more: Any) -> Any:
        if ran[-1:] != [command]:  # the fake follows with its own stream
            ran.append(command)
        return await real(session, command, *arguments, **more)

    return noting


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """Return the records as they are written, in order."""
    puts: list[Record] = []
    real = RecordingStore.put

    def put(store: RecordingStore, record: Record) -> None:
        puts.append(record)
        real(store, record)

    monkeypatch.setattr(RecordingStore, "put", put)
    return puts


def test_a_node_takes_three_channels(stage: Stage, commands: list[str]) -> None:
    stage.play(stage.node(), plainly)
    assert commands == [COMMANDS.follow, COMMANDS.start, COMMANDS.seal]


def test_only_upgrades_that_were_left_for_later_take_a_further_one(stage: Stage, commands: list[str]) -> None:
    stage.play(stage.node(security_upgrades="after"), plainly)
    assert commands == [COMMANDS.follow, COMMANDS.start, COMMANDS.after, COMMANDS.seal]


def test_a_record_is_written_once_for_each_stage_and_once_at_the_end(stage: Stage, written: list[Record]) -> None:
    stage.play(stage.node(), plainly)
    assert [record.stage for record in written] == [*STAGES, "ready"]
    last = written[-1]
    assert (last.sealed, last.session, "ready" in last.seconds) == (True, None, True)
    assert [record.sealed for record in written[:-1]] == [False] * len(STAGES)


def test_while_states_are_applied_the_record_says_sealed_and_names_the_call(
    stage: Stage, written: list[Record]
) -> None:
    stage.play(stage.node(apply="highstate"), plainly)
    *_, sealed, last = written
    assert len(written) == len(STAGES) + 2
    assert (sealed.sealed, sealed.session, sealed.seconds) == (True, written[0].session, {})
    assert (last.sealed, last.session, "applying" in last.seconds) == (True, None, True)
