"""``hart.explain`` finds settings and functions by every name that people use for them."""

from __future__ import annotations

from typing import Any

import pytest

from hart_salt import drivers
from hart_salt.base.errors import Refused
from hart_salt.config.cluster import Cluster, Peer
from hart_salt.config.fleets import Fleet, inner
from hart_salt.config.limits import Limits
from hart_salt.config.settings import Settings
from hart_salt.operations.explain import WORDS, explain
from hart_salt.screens.draw import draw
from hart_salt.screens.paper import Paper

SCHEMAS = drivers.schemas()
FUNCTIONS = {
    "salt-run": {
        "create": "Create nodes.\n\nsize\n    A size.\n\nCLI Example:\n\n.. code-block:: bash\n\n    salt-run x"
    },
    "state": {"present": "Make sure that nodes exist."},
    "salt": {"sealed": "Return whether it is sealed."},
}


def look(name: str | None) -> dict[str, dict[str, Any]]:
    return explain(name, SCHEMAS, FUNCTIONS)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("size", ["size"]), ("do.size", ["size"]), ("hart:roles:app:size", ["size"]), ("roles.app.size", ["size"]),
        ("hart:roles:app:do:nyc3:size", ["size"]), ("do.backups", ["do.backups"]), ("monitoring", ["do.monitoring"]),
        ("hart:providers:do:token", ["do.token"]), ("volume_size", ["ec2.volume_size", "gce.volume_size"]),
        ("ec2.volume_size", ["ec2.volume_size"]), ("hart:roles:app:gce:volume_size", ["gce.volume_size"]),
        ("max_calls", ["max_calls"]), ("hart:max_calls", ["max_calls"]), ("max_nodes", ["max_nodes"]),
        ("masters.timeout", ["masters.timeout"]), ("hart:masters:two:timeout", ["masters.timeout"]),
        ("create", ["hart.create"]), ("hart.create", ["hart.create"]), ("hart.present", ["hart.present"]),
        ("autoscale", ["fleets.autoscale"]), ("hart:fleets:web:min", ["fleets.min"]),
        ("hart:fleets:web:autoscale:minimums:0:min", ["fleets.autoscale.minimums.min"]),
        ("fleets.autoscale.target", ["fleets.autoscale.target"]), ("role", ["role"]), ("fleets.role", ["fleets.role"]),
        ("at_once", ["fleets.disruption.at_once"]), ("hart:fleets:do:role", ["fleets.role"]),
        ("sealed", ["hart.sealed"]), ("provider", ["provider"]), ("driver", ["driver"]),
    ],
)  # fmt: skip
def test_a_name_finds_what_it_means(name: str, found: list[str]) -> None:
    assert list(look(name)) == found


def test_a_driver_lists_its_settings() -> None:
    schema = SCHEMAS["do"]
    assert list(look("do")) == [f"do.{name}" for one in (schema.account, schema.options) for name in one.model_fields]
    assert look("do") == look("hart:providers:do")


def test_without_a_name_everything_is_listed_with_a_summary() -> None:
    everything = look(None)
    expected = {*Settings.model_fields, *Limits.model_fields, *Cluster.model_fields, *WORDS}
    expected |= {f"masters.{name}" for name in Peer.model_fields} | {f"fleets.{name}" for name in Fleet.model_fields}
    for path, section in inner():
        expected |= {f"fleets.{path.replace(':', '.')}.{name}" for name in section.model_fields}
    for driver, schema in SCHEMAS.items():
        expected |= {f"{driver}.{name}" for one in (schema.account, schema.options) for name in one.model_fields}
    expected |= {"hart.create", "hart.present", "hart.sealed"}
    assert set(everything) == expected
    assert [name for name, entry in everything.items() if not entry["summary"]] == []


def test_each_summary_is_one_whole_sentence() -> None:
    everything = look(None)
    for name, entry in everything.items():
        said = entry["summary"]
        assert said.count("(") == said.count(")"), name
        assert said[-2:-1] not in ".:; " and said.endswith(".") and "`" not in said, name
    assert everything["size"]["summary"] == "The size, by the provider's name for it."


def test_every_setting_has_a_type_a_default_a_place_and_a_description() -> None:
    for name in look(None):
        for entry in look(name).values():
            if entry["kind"] == "setting" and name not in WORDS:
                assert all(entry[fact] for fact in ("type", "default", "set", "description")), name


def test_the_driver_in_a_path_decides_the_default() -> None:
    assert look("size")["size"]["default"] == "none"
    assert look("do.size")["size"]["default"] == SCHEMAS["do"].default_size
    assert look("hart:roles:app:vultr:size")["size"]["default"] == SCHEMAS["vultr"].default_size


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("szie", "did you mean size?"), ("hart:roles:app:szie", "did you mean size?"),
        ("hart:roles:app:do:volume_size", "volume_size is a setting of ec2 and gce"), ("creat", "did you mean"),
        ("", "there is no setting"), ("hart:roles:app:create", "there is no setting"),
        ("xyzzy", "salt-run hart.explain"),
    ],
)  # fmt: skip
def test_a_name_that_means_nothing_is_refused_with_a_suggestion(name: str, words: str) -> None:
    with pytest.raises(Refused) as caught:
        look(name)
    assert words in str(caught.value)


@pytest.mark.parametrize("width", [40, 80, 160])
@pytest.mark.parametrize("name", [None, "size", "volume_size", "create", "do", "fleets.autoscale.target"])
def test_the_screen_fits(name: str | None, width: int) -> None:
    document = {"version": 2, "function": "explain", "entries": look(name), "problems": [], "notes": []}
    text = draw(document, Paper(width))
    assert max(map(len, text.splitlines())) <= width
    assert "``" not in text
    assert ".. " not in text
    if name == "create":
        assert "\nsize\n    A size.\n" in text
        assert "\n    salt-run x" in text
