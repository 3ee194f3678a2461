"""Everything that a use case returns or raises passes the gate, which hides secrets."""

from __future__ import annotations

import ast
import inspect
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import salt.config

from hart_salt import answer, service
from hart_salt.base.errors import Interrupted, Refused, TemporaryFailure
from hart_salt.base.gate import Gate
from hart_salt.base.redaction import Secrets
from hart_salt.config.loader import Config
from hart_salt.inventory.journal import Journal
from hart_salt.master.client import Master
from hart_salt.result import PARTS, Result
from hart_salt.runners import hart as runner
from tools import reference

TOKEN = "dop_v1_5a0f3c9b7e1d42688f60c3b2a9d5e714"  # noqa: S105 - not a real token
CUT = f"the API says: {TOKEN[:20]}…; {TOKEN[-20:]}"
FUNCTIONS = reference.functions()
#: the arguments that a function needs before it does anything
NEEDED: dict[str, dict[str, Any]] = {
    "add_ip": {"minion_id": "a", "kind": "additional"},
    "bake": {"role": "app"},
    "check_seal": {"tgt": "*"},
    "create_role": {"role": "app"},
    "remove_ip": {"minion_id": "a", "ip": "203.0.113.7"},
    "extend": {"minion_id": "a", "duration": "4h"},
    "hold": {"fleet": "web"},
    "remove_image": {"image": "1"},
    "replace": {"role": "app"},
    "resize": {"minion_id": "a", "size": "small"},
    "scale": {"role": "app", "count": 1},
    "set_tags": {"minion_id": "a", "team": "blue"},
    "show_role": {"role": "app"},
    "simulate": {"fleet": "web"},
    "unhold": {"fleet": "web"},
}
#: the functions that read no configuration of hart
WITHOUT = {"completion", "engine", "explain", "from_salt_cloud", "node", "node_of", "peer_keys", "version"}


def call(name: str, **more: Any) -> dict[str, Any]:
    needs_id = "minion_id" in inspect.signature(FUNCTIONS[name]).parameters
    needed = {"minion_id": "a"} if needs_id else {}
    data: dict[str, Any] = FUNCTIONS[name](**{**needed, **NEEDED.get(name, {}), **more})
    return data


def parts_in(data: Any) -> list[str]:
    text = repr(data)
    return [part for at in range(len("dop_v1_"), len(TOKEN) - 7) if (part := TOKEN[at : at + 8]) in text]


@pytest.fixture(autouse=True)
def master(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Return what Salt gives a runner; the token is in hart's configuration."""
    opts = dict(salt.config.master_config(""))
    opts |= {"id": "m", "root_dir": str(tmp_path), "cachedir": str(tmp_path), "pki_dir": str(tmp_path / "pki")}
    opts |= {"hart": {"providers": {"do": {"token": TOKEN}}}, "conf_file": str(tmp_path / "master")}
    opts |= {"pillar_roots": {"base": [str(tmp_path)]}, "extension_modules": str(tmp_path / "ext")}
    for name, value in {"__opts__": opts, "__context__": {}, "__jid__": "1", "__user__": "root"}.items():
        monkeypatch.setattr(runner, name, value, raising=False)
    monkeypatch.setattr("hart_salt.base.signals.exit_with", lambda code: None)
    yield opts


#: the groups of use cases
GROUPS = ("offers", "money", "past", "pictures", "everyday", "fleets", "by_hand", "roles", "simulation", "images")


class Says:
    """A service whose use cases all do the same."""

    config = Config({}, {}, {}, {}, Secrets())

    def __init__(self, deed: Callable[[], Result]) -> None:
        self._deed = deed
        self.context = SimpleNamespace(journal=Journal(None, Gate()))

    def __getattr__(self, name: str) -> Any:
        if name in GROUPS:
            return self
        return lambda *arguments, **named: self._deed()


def raising(error: BaseException) -> Callable[[], Result]:
    def deed() -> Result:
        raise error

    return deed


def serve(monkeypatch: pytest.MonkeyPatch, deed: Callable[[], Result]) -> None:
    def make(opts: Any, path: Any, gate: Any, caller: Any) -> Says:
        gate.secrets.gather(opts["hart"])
        return Says(deed)

    monkeypatch.setattr(answer, "Service", make)


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - WITHOUT))
@pytest.mark.parametrize(
    "error", [Refused(CUT), TemporaryFailure(CUT), Interrupted(2, CUT), ValueError(CUT), OSError(5, CUT, CUT)], ids=repr
)
def test_an_error_of_any_use_case_passes_the_gate(
    name: str, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, raising(error))
    data = call(name)
    assert data["retcode"]
    assert parts_in(data) == []


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - WITHOUT))
def test_the_data_of_any_use_case_passes_the_gate(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {TOKEN: {TOKEN: [CUT]}, f"<{TOKEN}>": 1, "facts": (CUT,)}
    serve(monkeypatch, lambda: Result(data, ok=False, problems=[CUT], notes=[CUT], more={f"({TOKEN})": CUT}))
    found = call(name)
    assert parts_in(found) == []
    part = PARTS.get(name, "nodes")
    assert {"***", "<***>", "facts"} <= set(found[part] if part else found)
    assert {"(***)", "problems", "notes"} <= set(found)


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - WITHOUT))
def test_a_fault_found_before_the_configuration_is_read_passes_the_gate(name: str) -> None:
    # A function with settings accepts any name before it reads the configuration; it refuses a surplus id at once.
    takes = inspect.signature(FUNCTIONS[name]).parameters
    if "pairs" in takes:
        data = call(name, **{TOKEN: "", "remove": TOKEN})
    else:
        data = FUNCTIONS[name]("a", f"<{TOKEN}>") if "settings" in takes else call(name, **{f"config_{TOKEN}": 1})
    assert data["retcode"] == answer.REFUSED
    assert parts_in(data) == []
    assert "***" in data["error"]


@pytest.mark.parametrize("name", ["create", "create_role", "scale", "show_role", "create_master"])
@pytest.mark.parametrize(
    "settings", [{"minion_config": {"a": [{"db_password": "abc"}]}}, {"size": TOKEN}, {"token": "x"}], ids=repr
)
def test_a_secret_among_the_arguments_is_noted(
    name: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, lambda: Result({"web1": {"result": True, "notes": ["one"]}, "web2": {"result": False}}))
    (note,) = call(name, **settings)["notes"]
    assert "holds a secret" in note
    serve(monkeypatch, raising(Refused("no")))
    assert "event bus" in call(name, **settings)["notes"][0]


def test_arguments_without_a_secret_are_not_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, lambda: Result({"web1": {"result": True}}))
    settings = {"minion_config": {"password": "sdb://vault/x", "token_expire": 60}, "size": "s-1vcpu-1gb"}
    assert call("create", **settings) == {
        "version": 2, "function": "create", "nodes": {"web1": {"result": True}}, "problems": [], "notes": [],
    }  # fmt: skip


def test_values_that_salt_read_from_sdb_are_known_secrets(tmp_path: Path) -> None:
    """Salt replaces each reference with its value, so hart sees only the value."""
    for directory in ("m.d", "pki"):
        (tmp_path / directory).mkdir()
    (tmp_path / "vault.yml").write_text(f"tag: 'of {TOKEN}'\nother: {TOKEN[::-1]}\n")
    roles = "{app: {tags: [a, 'sdb://vault/tag'], size: 'sdb://vault/other'}}"
    profile = f"vault: {{driver: yaml, files: ['{tmp_path}/vault.yml']}}\n"
    (tmp_path / "master").write_text(f"default_include: m.d/*.conf\n{profile}")
    (tmp_path / "m.d/hart.conf").write_text(f"hart: {{roles: {roles}}}\n")
    opts = salt.config.master_config(str(tmp_path / "master"))
    assert opts["hart"]["roles"]["app"]["tags"] == ["a", f"of {TOKEN}"]
    assert sorted(Master(opts).configuration.from_sdb()) == sorted([f"of {TOKEN}", TOKEN[::-1]])
    report = answer.answer(opts, lambda service: raising(Refused(f"the tag {TOKEN} is hart's"))())
    assert (report.data, report.error) == ({}, "the tag *** is hart's")


def test_every_fault_of_a_long_list_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = [f"hart:roles:app:setting_{number}: must be text" for number in range(200)]
    serve(monkeypatch, raising(Refused("\n".join(faults))))
    found = call("create")
    assert (found["error"].split("\n"), found["problems"][0].split("\n")) == (faults, faults)


def test_a_defect_is_logged_by_its_place_without_its_text(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    serve(monkeypatch, raising(ValueError(CUT)))
    with caplog.at_level(logging.DEBUG):
        call("check")
    assert "hart failed with ValueError at" in caplog.text
    assert parts_in(caplog.text) == []


def test_every_function_answers_through_the_gate() -> None:
    """Each public function ends with the gate; nothing else makes a service or calls it."""
    tree = ast.parse(Path(runner.__file__).read_text())
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            called = [it.func.id for it in ast.walk(node) if isinstance(it, ast.Call) and isinstance(it.func, ast.Name)]
            assert called.count("_report") == 1, node.name
    # The module imports it only for annotations, so that the running module does not have it.
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    imports = [it for node in functions for it in ast.walk(node) if isinstance(it, ast.ImportFrom | ast.Import)]
    assert not hasattr(runner, "Service")
    assert "Service" not in {alias.name for it in imports for alias in it.names}
    users = [path for path in Path(service.__file__).parent.rglob("*.py") if "Service(" in path.read_text()]
    assert sorted(path.name for path in users if path.name != "service.py") == ["answer.py"]


def test_texts_are_cut_only_at_the_gate() -> None:
    """A long slice of anything that hart did not make itself counts as a text that is cut."""
    known = {"drivers/gce/instances.py"}  # cuts names
    root = Path(service.__file__).parent
    found = {str(path.relative_to(root)) for path in root.rglob("*.py") if _cuts(ast.parse(path.read_text()))}
    assert found - known <= {"base/gate.py"}


def _cuts(tree: ast.AST) -> bool:
    slices = [node for node in ast.walk(tree) if isinstance(node, ast.Slice)]
    bounds = [bound for one in slices for bound in (one.lower, one.upper) if bound is not None]
    sizes = [value.value for bound in bounds for value in ast.walk(bound) if isinstance(value, ast.Constant)]
    return any(isinstance(size, int) and abs(size) > 40 for size in sizes)
