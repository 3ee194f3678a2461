"""A declared fleet scales by what its minions answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import SaltMaster


@pytest.fixture
def load(master: SaltMaster) -> Iterator[Path]:
    """Declare a fleet whose load is what a file says, and return the file."""
    path = master.root / "load"
    metric = {"function": "cmd.run", "args": [f"cat '{path}'"], "per": "cpu", "timeout": "60s"}
    autoscale = {"metric": metric, "target": 0.001, "warm_up": 0}
    master.hart["fleets"] = {"web": {"role": "app", "min": 1, "max": 3, "autoscale": autoscale}}
    master.write()
    yield path
    del master.hart["fleets"]
    master.write()


def planned(master: SaltMaster, code: int) -> dict[str, Any]:
    ran = master.run("hart.plan", "web")
    assert ran.code == code, ran
    fleet: dict[str, Any] = json.loads(ran.stdout)["fleets"]["web"]
    return fleet


def test_the_fleet_grows_with_the_load_that_its_minions_answer(master: SaltMaster, load: Path) -> None:
    load.write_text("0.001")
    made = master.run("hart.apply", "web")
    assert made.code == 0, made
    (minion_id,) = json.loads(made.stdout)["nodes"]

    load.write_text("100\n")
    fleet = planned(master, 3)
    assert (fleet["wanted"], [action["action"] for action in fleet["actions"]]) == (3, ["create", "create"])
    assert fleet["actions"][0]["reason"].endswith("one step goes to 5 at most; max is 3")

    load.write_text("abc")
    fleet = planned(master, 0)
    assert (fleet["wanted"], fleet["notes"]) == (1, [f"{minion_id} answered 'abc' for cmd.run"])

    simulated = master.run("hart.simulate", "web")
    assert simulated.code == 0, simulated
    document = json.loads(simulated.stdout)["simulation"]
    assert Path(document["file"]).parent == master.log_dir
    assert document["totals"]["highest"] == 1
