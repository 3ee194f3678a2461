"""What a sweep would remove, but somebody protected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.functional.operations import sweep_world
from tests.functional.operations.sweep_world import DEAD, WHOLE, World

SAID = "web is protected: salt-run hart.unprotect web removes the protection"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with sweep_world.new_world(tmp_path, monkeypatch) as made:
        yield made


def test_a_protected_instance_without_record_and_key_stays(world: World) -> None:
    world.instance("web", protected=True)
    world.instance("other")
    report = world.sweep()
    assert [(one["name"], one["why"]) for one in report["kept"]] == [("web", f"no record of it, but {SAID}")]
    assert world.nodes() == {"web": "instance"}


def test_a_protected_node_of_a_dead_call_stays_and_the_others_go(world: World) -> None:
    world.dies()
    for name, protected in (("web", True), ("other", False)):
        world.record(name, stage="enrolled", sealed=False, batch=DEAD)
        world.accept(name)
        world.instance(name, batch=DEAD, protected=protected)
    report = world.sweep(only_dead=True)
    assert [one["name"] for one in report["removed"]] == ["other"]
    assert world.nodes() == {"web": WHOLE}
    report = world.sweep()
    assert [(one["name"], one["why"]) for one in report["kept"]] == [("web", f"it was left at enrolled, but {SAID}")]
    assert world.nodes() == {"web": WHOLE}


def test_a_node_that_is_protected_after_the_decision_stays(world: World) -> None:
    record = world.left("web")
    world.on["delete keys"] = lambda: pytest.fail("nothing may go")

    def protect() -> None:
        world.on.clear()
        world.store.put(replace(record, protected=True))

    world.on["question"] = protect
    report = world.sweep()
    assert [one["name"] for one in report["kept"]] == ["web"]
    assert world.nodes() == {"web": WHOLE}
