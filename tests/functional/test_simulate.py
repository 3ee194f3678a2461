"""``hart.simulate``: what the autoscaling of a declared fleet would have done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import AuthError, EnvironmentFault
from hart_salt.config.autoscale import Autoscale
from hart_salt.fleets.recording import record
from hart_salt.master.client import Master
from hart_salt.master.minions import Minions
from hart_salt.runners import hart as runner
from tests.functional import test_use_cases
from tests.functional.test_use_cases import CLOUD, Place, call, refusal
from tests.unit.fleets import days
from tests.unit.fleets.days import MIDNIGHT

place = test_use_cases.place  # the fixture

AUTOSCALE: dict[str, Any] = {
    "metric": {"function": "status.loadavg", "key": "1-min"}, "target": 0.5, "warm_up": 0,
}  # fmt: skip
WEB: dict[str, Any] = {"role": "app", "min": 1, "max": 20, "autoscale": AUTOSCALE}


@pytest.fixture(autouse=True)
def fleets(place: Place) -> None:
    """Declare a fleet that scales by load, and one that does not."""
    place.opts["fun"] = "hart.simulate"
    place.opts["hart"] = {**place.opts["hart"], "fleets": {"web": WEB, "db": {"role": "db", "count": 1}}}


@pytest.fixture
def day(root: Path) -> Path:
    """Return a file with a spike."""
    path = root / "day.jsonl"
    path.write_text("".join(json.dumps({"time": one.at, "load": one.load}) + "\n" for one in days.spike()))
    return path


def simulate(*fleet: Any, **more: Any) -> dict[str, Any]:
    document: dict[str, Any] = runner.simulate(*fleet, **more)
    return document


def test_a_recorded_day(place: Place, day: Path) -> None:
    document = simulate("web", file=str(day))
    assert (document["problems"], document["notes"], document.get("retcode", 0)) == ([], [], 0)
    found = document["simulation"]
    assert (found["fleet"], found["file"], found["min"], found["max"], found["target"]) == ("web", str(day), 1, 20, 0.5)
    assert (found["from"], found["until"]) == ("2026-11-30T00:00:00+00:00", "2026-11-30T23:59:00+00:00")
    assert [row["wanted"] for row in found["rows"]][:3] == [2, 6, 12]
    totals = found["totals"]
    assert totals["price"] == {"USD": round(5.0 / 730 * totals["node_hours"], 2)}


def test_nothing_is_changed_and_no_master_has_to_run(place: Place, day: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any) -> None:
        raise EnvironmentFault("no salt-master is running")

    monkeypatch.setattr(Master, "require_running", stopped)
    monkeypatch.setattr(Minions, "call_all", stopped)
    assert "simulation" in simulate("web", file=str(day))
    assert place.clouds[CLOUD].account == {}
    assert place.store.read().good == {}


def test_other_settings_and_bounds(place: Place, day: Path) -> None:
    found = simulate("web", file=str(day), max=5, min="3", target=1, down_after="20m", boot="2m", interval=30)
    assert (found["simulation"]["min"], found["simulation"]["max"], found["simulation"]["target"]) == (3, 5, 1.0)
    assert [row["wanted"] for row in found["simulation"]["rows"] if row["ready"] == row["wanted"]] == [3, 5, 3]
    assert found["simulation"]["totals"]["highest"] == 5


def test_without_a_file_the_last_recorded_day_counts(place: Place) -> None:
    for minute in range(30):
        record(place.info.log_dir, "web", MIDNIGHT + 60 * minute, {"a": 0.5, "b": 0.5})
        record(place.info.log_dir, "web", MIDNIGHT + 86400 + 60 * minute, {"a": 2.0, "b": None, "c": 2.0})
    found = simulate("web")["simulation"]
    assert found["file"] == f"{place.info.log_dir}/hart-fleet-web-2026-12-01.jsonl"
    assert found["rows"][0]["wanted"] == 7
    assert found["totals"]["recorded_node_hours"] == 1.45


@pytest.mark.parametrize(
    ("arguments", "more", "sentence"),
    [
        ((), {}, "hart.simulate needs a fleet: salt-run hart.simulate FLEET"),
        (("wep",), {}, "there is no fleet wep, did you mean web?; the fleets are db, web"),
        (("db",), {}, "the fleet db does not scale by load: set hart:fleets:db:autoscale"),
        (("web",), {}, "no load of the fleet web is recorded in "),
        (("web", "db"), {}, "hart.simulate takes one fleet; write everything else as name=value: db"),
        (("web",), {"fil": "x"}, "unknown argument: fil; did you mean file?"),
        (("web",), {"file": 5}, "file must be the path of a file with a recorded load, such as file=day.jsonl"),
        (("web",), {"file": "/nowhere/day"}, "the recorded load cannot be read: "),
        (("web",), {"file": "DAY", "target": 0}, "target must be a number above 0"),
        (("web",), {"file": "DAY", "down_after": "2 days"}, "down_after must be a length of time"),
        (("web",), {"file": "DAY", "up_after": "2d"}, "up_after must be at most 1d"),
        (("web",), {"file": "DAY", "min": 7, "max": 6}, "max must not be below min, 7"),
        (("web",), {"file": "DAY", "min": -1}, "min must be a whole number of at least 0"),
        (("web",), {"file": "DAY", "boot": "x"}, "boot must be a length of time"),
        (("web",), {"file": "DAY", "interval": 0.5}, "interval must be at least 1s"),
        (("web",), {"file": "BAD"}, "BAD: line 1: is neither JSON nor a heading of CSV"),
    ],
)
def test_a_mistake_is_one_sentence(
    place: Place, day: Path, root: Path, arguments: tuple[str, ...], more: dict[str, Any], sentence: str
) -> None:
    bad = root / "bad"
    bad.write_text("hello\n")
    paths = {"DAY": str(day), "BAD": str(bad)}
    given = {name: paths.get(str(value), value) for name, value in more.items()}
    data = simulate(*arguments, **given)
    text = str(data["error"]).replace(str(bad), "BAD")
    assert text.startswith(sentence), text
    assert "\n" not in text
    assert data["retcode"] in (2, 3)


def test_a_relative_path_needs_a_working_directory_that_the_user_knows(
    place: Place, day: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(day.parent)
    assert "simulation" in simulate("web", file="day.jsonl")
    place.opts["fun"] = "state.orchestrate"
    assert refusal(call("simulate", "web", file="day.jsonl")) == (
        "file=day.jsonl must be an absolute path if salt-run does not call hart directly"
    )


def test_a_price_that_is_not_known_is_a_note(place: Place, day: Path) -> None:
    place.opts["hart"]["roles"] = {**place.opts["hart"]["roles"], "app": {"provider": CLOUD, "size": "free",
                                                                          "region": "here"}}  # fmt: skip
    document = simulate("web", file=str(day))
    assert document["simulation"]["totals"]["price"] == {}
    assert document["notes"] == [
        "what the nodes would cost is not known: not every size of the fleet has a known price"
    ]
    place.clouds[CLOUD].prices = _refuse  # type: ignore[method-assign]
    assert simulate("web", file=str(day))["simulation"]["totals"]["price"] == {}


def _refuse(wanted: Any) -> Any:
    raise AuthError("the token is not valid")


def test_a_gap_in_the_file_and_a_fleet_that_never_has_a_node_are_notes(place: Place, root: Path) -> None:
    path = root / "day.csv"
    path.write_text("time,load\n2026-11-30T08:00,0\n2026-11-30T08:30,1\n2026-11-30T10:00,1\n")
    assert simulate("web", file=str(path), min=0)["notes"] == [
        "the file has no sample for a longer time 2 times, for 1h 30m from 2026-11-30T08:30:00+00:00 on: the load "
        "before it counts there",
        "the fleet has no nodes in the whole time, and without nodes no load can be measured: raise min",
    ]


def test_every_setting_of_autoscale_that_is_a_number_can_be_compared() -> None:
    parameters = set(runner.simulate.__annotations__)
    assert {name for name in Autoscale.model_fields if name not in ("metric", "minimums")} <= parameters
