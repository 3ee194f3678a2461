"""``hart.explain`` and ``hart.completion``, and the names that calls of hart leave for shells."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import salt.output

from hart_salt.inventory.records import Store
from hart_salt.operations import completion
from hart_salt.runners import hart as runner
from hart_salt.states import hart as states
from tests.functional import test_use_cases
from tests.functional.test_use_cases import Place
from tools import reference

place = test_use_cases.place


@pytest.mark.usefixtures("place")
def test_every_function_and_state_can_be_explained() -> None:
    everything = runner.explain()["entries"]
    assert {f"hart.{name}" for of in (runner, states) for name in reference.functions(of)} <= set(everything)
    assert "Destroy nodes" in runner.explain("destroy")["entries"]["hart.destroy"]["text"]
    assert runner.explain(name="hart:roles:app:size")["entries"]["size"]["description"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("szie",), "did you mean size?"), ((True,), "name must be a name"), (("size", "x"), "unknown argument: x")],
)
@pytest.mark.usefixtures("place")
def test_a_mistake_is_refused(arguments: tuple[Any, ...], words: str) -> None:
    data = runner.explain(*arguments)
    assert data["retcode"] == 2
    assert words in data["error"]


def test_the_script_is_plain_text_at_a_terminal_and_elsewhere(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = runner.completion("bash")
    assert plain["outputter"] == "txt"
    assert plain["data"].startswith("# Completion of hart's functions for salt-run in bash.")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setitem(place.opts, "fun", "hart.completion")
    assert runner.completion("bash") == plain
    assert runner.completion("fish")["data"]["hart"]["document"]["retcode"] == 2
    for name in ("hart", "txt"):
        monkeypatch.setitem(place.opts, "output", name)
        assert runner.completion("bash") == plain
        printed = salt.output.out_format(plain["data"], plain["outputter"], place.opts)
        assert printed.rstrip() == plain["data"].rstrip()
    monkeypatch.setitem(place.opts, "output", "json")
    assert runner.completion("bash")["text"] == plain["data"]


def offered(place: Place, line: str) -> list[str]:
    """Return what bash offers at the end of a line."""
    text = runner.completion("bash")["data"]
    ask = f"COMP_LINE={line!r} COMP_POINT={len(line)}; _hart_complete; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-c", f"{text}\n{ask}"], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_bash_offers_the_nodes_roles_and_settings_of_this_master(place: Place) -> None:
    place.start("one")
    assert "one" not in offered(place, "salt-run hart.destroy o")
    assert "retcode" not in runner.list_minions(ping=False)
    assert offered(place, "salt-run hart.destroy o") == ["one"]
    assert offered(place, "salt-run hart.create x role=") == ["app", "db"]
    assert offered(place, "salt-run hart.create x provider=cl") == ["cloud"]
    assert offered(place, "salt-run hart.create x security_up") == ["security_upgrades="]
    assert offered(place, "salt-run hart.create x security_upgrades=b") == ["before"]
    assert offered(place, "salt-run hart.create x keep_failed=T") == ["True"]
    assert offered(place, "salt-run hart.create x image=b") == ["baked", "baked!"]
    assert f"hart.{runner.check_seal.__name__}" in offered(place, "salt-run hart.check")
    assert "retcode" not in runner.destroy("one")
    assert "one" not in offered(place, "salt-run hart.destroy o")


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("function", sorted(reference.functions()))
def test_bash_offers_no_argument_twice(place: Place, function: str) -> None:
    words = offered(place, f"salt-run hart.{function} ")
    assert sorted(set(words)) == sorted(words)


def test_bash_offers_the_declared_fleets(place: Place) -> None:
    place.opts["hart"]["fleets"] = {"web": {"role": "app", "count": 1}, "worker": {"role": "db", "count": 1}}
    assert "retcode" not in runner.list_roles()
    for function in ("plan", "apply", "fleets", "hold", "unhold", "simulate"):
        assert offered(place, f"salt-run hart.{function} wo") == ["worker"], function
    assert offered(place, "salt-run hart.plan fleet=we") == ["web"]
    assert offered(place, "salt-run hart.plan web,wo") == ["web,worker"]
    assert "waves=" in offered(place, "salt-run hart.apply web ")
    assert offered(place, "salt-run hart.apply web force=T") == ["True"]


def test_the_names_are_no_reason_to_fail(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from hart_salt.base.errors import EnvironmentFault

    def broken(self: Store) -> list[str]:
        raise EnvironmentFault("the store is down")

    monkeypatch.setattr(Store, "ids", broken)
    assert "retcode" not in runner.list_roles()
    assert not Path(place.opts["cachedir"], completion.FILE).exists()
