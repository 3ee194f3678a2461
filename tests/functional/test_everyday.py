"""The everyday verbs from the runner: what is refused before anything is changed, and what each driver cannot do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.functional import test_use_cases
from tests.functional.test_use_cases import Place, call, refusal

place = test_use_cases.place  # the fixture
NEEDS: dict[str, dict[str, Any]] = {
    "resize": {"size": "big"},
    "set_tags": {"team": "blue"},
    "extend": {"duration": "4h"},
}
VERBS = ("start", "stop", "reboot", "resize", "set_tags", "extend")


@pytest.mark.parametrize("verb", VERBS)
def test_an_unknown_node_refuses_the_whole_call(place: Place, verb: str) -> None:
    place.start("web-1")
    assert "web-9: is not known" in refusal(call(verb, "web-1 web-9", **NEEDS.get(verb, {})))


@pytest.mark.parametrize("verb", ["stop", "resize", "set_tags"])
def test_a_driver_that_cannot_do_it_says_so(place: Place, verb: str) -> None:
    """A driver of another package need not have these verbs."""
    place.start("web-1")
    data = call(verb, "web-1", **NEEDS.get(verb, {}))
    said = data.get("error") or str(data["web-1"])
    assert data["retcode"]
    assert any(word in said for word in ("cannot turn instances", "it runs", "change the size", "change the tags")), (
        said
    )


@pytest.mark.parametrize(
    ("verb", "arguments", "said"),
    [
        ("reboot", {"timeout": 0}, "timeout must be at least 1 second"),
        ("reboot", {"timeout": "soon"}, "timeout must be a number of seconds"),
        ("stop", {"force": "perhaps"}, "force must be True or False"),
        ("start", {"timout": 5}, "unknown argument: timout; did you mean timeout?"),
        ("resize", {}, "hart.resize needs a size: salt-run hart.resize ID size=SIZE"),
        ("set_tags", {}, "hart.set_tags needs what to set"),
        ("set_tags", {"a": "b", "remove": "a"}, "cannot set and remove a at once"),
        ("set_tags", {"tags": 1.5}, "must be"),
    ],
)
def test_a_wrong_argument_is_refused_with_a_sentence(
    place: Place, verb: str, arguments: dict[str, Any], said: str
) -> None:
    assert said in refusal(call(verb, "web-1", **arguments))
