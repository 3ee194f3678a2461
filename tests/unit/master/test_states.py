"""States that the master's file server does not have are found before anything is created."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hart_salt.master.states import unknown_states


@pytest.fixture
def opts(tmp_path: Path) -> dict[str, Any]:
    for name in ("app.sls", "web/init.sls", "web/tls.sls"):
        (tmp_path / "srv" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "srv" / name).touch()
    return {"file_roots": {"base": [str(tmp_path / "none"), str(tmp_path / "srv")]}, "fileserver_backend": ["roots"]}


def test_states_are_found_as_salt_finds_them(opts: dict[str, Any]) -> None:
    assert unknown_states(opts, ["app", "web", "web.tls", "web/tls", "web.init"]) == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [("hightstate", "highstate"), ("ap", "app"), ("web.tsl", "web.tls"), ("wbe", "web"), ("quite-other", None)],
)
def test_a_misspelt_state_is_named_with_the_one_that_was_meant(
    opts: dict[str, Any], name: str, meant: str | None
) -> None:
    (problem,) = unknown_states(opts, ["app", name])
    assert problem.startswith(
        f"there is no state {name}{f', did you mean {meant}?' if meant else ''}; it would be below "
    )


@pytest.mark.parametrize(
    "more", [{"fileserver_backend": ["roots", "gitfs"]}, {"file_roots": {}}, {"file_roots": {"base": []}}], ids=repr
)
def test_what_cannot_be_seen_is_not_judged(opts: dict[str, Any], more: dict[str, Any]) -> None:
    assert unknown_states({**opts, **more}, ["nope"]) == []
    assert unknown_states(opts, ["nope"], "prod") == []
