"""A filter, an argument or an id that names nothing is refused with a suggestion, instead of an empty answer."""

from __future__ import annotations

from typing import Any

import pytest

from hart_salt.base.errors import TemporaryFailure
from hart_salt.master.client import Master
from hart_salt.model import Region, Size
from hart_salt.runners import hart as runner
from tests.functional import test_use_cases
from tests.functional.test_use_cases import CLOUD, Cloud, Place, call, refusal

place = test_use_cases.place  # the fixture


@pytest.fixture
def regions(monkeypatch: pytest.MonkeyPatch) -> list[Region]:
    """Return the regions of the fake provider."""
    found = [Region("nyc3"), Region("ams3")]
    monkeypatch.setattr(Cloud, "regions", lambda self: found)
    return found


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"role": "ap"}, "there is no role ap, did you mean app?; known: app"),
        ({"status": "redy"}, "there is no status redy, did you mean ready?; known: bad id, broken record, elsewhere"),
        ({"region": "nyc9"}, "there is no region nyc9, did you mean nyc3?; known: ams3"),
        ({"provider": "clout"}, "there is no provider clout, did you mean cloud?; configured: cloud"),
        ({"rol": "app"}, "unknown argument: rol; did you mean role?"),
    ],
)
def test_a_list_refuses_what_no_node_can_have(
    place: Place, regions: list[Region], wanted: dict[str, str], expected: str
) -> None:
    place.start("web-1")
    assert expected in refusal(call("list_minions", ping=False, **wanted))


def test_a_list_of_what_a_node_can_have_is_empty_but_no_mistake(place: Place, regions: list[Region]) -> None:
    place.start("web-1")
    for wanted in (
        {"region": "ams3"},
        {"status": "left at enrolled"},
        {"status": "no key"},
        {"role": "app", "region": "nyc3"},
    ):
        assert call("list_minions", ping=False, **wanted) == {}


def test_what_a_node_has_is_never_unknown(place: Place, regions: list[Region]) -> None:
    """A role may have left the configuration, and a region the provider's list."""
    place.start("web-1", role="old", region="gone")
    listed = call("list_minions", ping=False)
    assert list(listed) == ["web-1"]
    for wanted in ({"role": "old"}, {"region": "gone"}, {"status": listed["web-1"]["status"]}):
        assert call("list_minions", ping=False, **wanted) == listed


def test_a_region_is_not_judged_if_the_provider_does_not_answer(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def regions(self: Cloud) -> list[Region]:
        raise TemporaryFailure("no answer")

    monkeypatch.setattr(Cloud, "regions", regions)
    assert call("list_minions", ping=False, region="nyc9") == {}


def test_a_region_of_sizes_and_images_must_exist(
    place: Place, regions: list[Region], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cloud, "sizes", lambda self, region: [Size("small", 1, 1)] if region == "nyc3" else [])
    assert list(call("list_sizes", CLOUD, region="nyc3")) == ["small"]
    for function in ("list_sizes", "list_images"):
        assert f"there is no region nyc33 at {CLOUD}, did you mean nyc3?" in refusal(
            call(function, CLOUD, region="nyc33")
        )


def test_several_ids_with_blanks_are_destroyed(place: Place) -> None:
    for minion_id in ("web-1", "web-2", "web-3"):
        place.start(minion_id)
    assert list(call("destroy", "web-1", "web-2,web-3")) == ["web-1", "web-2", "web-3"]
    assert place.clouds[CLOUD].account == {}


def test_a_reactor_passes_several_ids_to_its_job(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[dict[str, Any]] = []

    def begin(self: Master, function: str, arguments: dict[str, Any]) -> str:
        begun.append({"function": function, **arguments})
        return "20260101000000000000"

    monkeypatch.setattr(Master, "begin", begin)
    monkeypatch.setattr(runner, "_from_reactor", lambda: True)
    place.start("web-1")
    assert call("destroy", "web-1", "web-2")["job"] == "20260101000000000000"
    marks = {runner.BACKGROUND: True, runner.BY: begun[0][runner.BY]}
    assert begun == [{"function": "hart.destroy", "minion_id": ["web-1", "web-2"], **marks}]
    assert len(place.clouds[CLOUD].account) == 1
    assert "takes one role" in refusal(call("scale", "app", "web", count=1))
    assert len(begun) == 1
