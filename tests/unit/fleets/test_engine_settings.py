"""The settings of the engine: a wrong one is one sentence that names it."""

from __future__ import annotations

from typing import Any

import pytest

from hart_salt.fleets.engine_settings import configured, settings

OPTS = {"conf_file": "/etc/salt/master", "cachedir": "/var/cache/salt/master"}
WRONG = "engines: hart: interval: must be a number of seconds of at least 5, or a length such as 1m"


@pytest.mark.parametrize(("interval", "seconds"), [(60, 60), (5, 5), ("90", 90), ("1m", 60), (7.5, 7.5)])
def test_an_interval_is_in_seconds_or_a_length_of_time(interval: Any, seconds: float) -> None:
    assert settings(OPTS, interval, None, {}).interval == seconds


@pytest.mark.parametrize("interval", [4, 4.9, 0, -60, None, True, "often", [], float("nan"), float("inf"), 10**12])
def test_a_wrong_interval_is_one_sentence(interval: Any) -> None:
    with pytest.raises(ValueError, match="interval") as raised:
        settings(OPTS, interval, None, {})
    assert str(raised.value) == WRONG


def test_an_unknown_setting_is_named_with_a_suggestion() -> None:
    with pytest.raises(ValueError, match="engines: hart: intervall: unknown setting, did you mean interval?"):
        settings(OPTS, 60, None, {"intervall": 30})
    with pytest.raises(ValueError, match="engines: hart: config: must be the path of a TOML file"):
        settings(OPTS, 60, 3, {})


@pytest.mark.parametrize(
    ("engines", "found"),
    [
        (None, None), ([], None), ("hart", None), ([{"webhook": {}}], None),
        (["hart"], {}), ([{"hart": None}], {}), ([{"hart": {"interval": 30}}], {"interval": 30}),
        ({"hart": {"interval": 30}, "reactor": {}}, {"interval": 30}),
        ([{"fleets": {"engine_module": "hart", "interval": 30}}], {"interval": 30}),
        ([{"hart": {"engine_module": "webhook"}}], None),
    ],
)  # fmt: skip
def test_every_form_in_which_salt_takes_engines_is_found(engines: Any, found: Any) -> None:
    assert configured({"engines": engines}) == found
