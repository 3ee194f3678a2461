"""Runner and execution module as Salt's own loader finds them."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import salt.config
import salt.loader
import salt.output

import hart_salt
from hart_salt.fleets import engine_process
from tests.parts import master_opts

PACKAGE = Path(hart_salt.__file__).resolve().parent
RUNNER = PACKAGE / "runners/hart.py"
MODULE = PACKAGE / "modules/hart.py"


def commands(loaded: Any) -> set[str]:
    return {name.partition(".")[2] for name in loaded if name.startswith("hart.")}


def public_functions(path: Path) -> set[str]:
    """Return what a file defines without a leading underscore."""
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name[0] != "_"}


@pytest.fixture
def opts(root: Path) -> dict[str, Any]:
    return master_opts(root)


def test_the_entry_point_loads_the_runner_with_every_command_and_nothing_else(opts: dict[str, Any]) -> None:
    assert commands(salt.loader.runner(opts)) == public_functions(RUNNER) == {
        "create", "create_role", "create_master", "destroy", "import_minion", "import_minions", "from_salt_cloud",
        "protect", "unprotect", "add_ip", "remove_ip", "scale", "replace", "sweep", "list_minions", "show", "node",
        "node_of", "check_seal",
        "list_roles", "show_role", "list_regions", "list_sizes", "list_images", "check", "version",
        "sync_keys", "peer_keys", "engine", "timeline", "report", "cost", "history",
        "start", "stop", "reboot", "resize", "set_tags", "extend",
        "explain", "completion", "plan", "apply", "fleets", "hold", "unhold", "simulate", "bake", "remove_image",
    }  # fmt: skip


def test_the_entry_point_loads_the_execution_module_on_minions(minion_opts: dict[str, Any]) -> None:
    loaded = salt.loader.minion_mods(minion_opts)
    assert commands(loaded) == public_functions(MODULE) == {"info", "sealed", "peer_keys", "interruption"}


def engine_of(opts: dict[str, Any]) -> Any:
    """Return the function that Salt calls to start the engine; None if it does not find one."""
    loaded = salt.loader.engines(opts, {}, {}, {})
    return loaded.get("hart.start")


def test_the_entry_point_loads_the_engine(opts: dict[str, Any]) -> None:
    assert Path(engine_of(opts).__globals__["__file__"]).resolve() == PACKAGE / "engines/hart.py"


def test_a_directory_in_the_master_config_loads_the_engine_too(opts: dict[str, Any], root: Path) -> None:
    """A place without the metadata of the package has no entry point."""
    (root / "engines").mkdir()
    shutil.copy(PACKAGE / "engines/hart.py", root / "engines")
    loaded = engine_of({**opts, "engines_dirs": [str(root / "engines")]})
    assert Path(loaded.__globals__["__file__"]).resolve() == root.resolve() / "engines/hart.py"


def test_a_minion_does_not_load_the_engine(opts: dict[str, Any]) -> None:
    assert engine_of({**opts, "__role": "minion"}) is None


@pytest.mark.parametrize("settings", [{"interval": 1}, {"interval": "often"}, {"intervall": 60}, {"config": 3}])
def test_with_a_wrong_setting_the_engine_logs_one_sentence_and_does_not_end(
    opts: dict[str, Any], settings: dict[str, Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Salt starts an engine that ends again and again."""
    done: list[str] = []
    monkeypatch.setattr(engine_process, "idle", lambda: done.append("idles"))
    monkeypatch.setattr(engine_process, "run", lambda opts, settings: done.append("runs"))
    engine_of(opts)(**settings)
    assert done == ["idles"]
    (record,) = [record for record in caplog.records if record.getMessage().startswith("hart engine")]
    assert record.getMessage().startswith(f"hart engine: engines: hart: {next(iter(settings))}: ")
    assert "nothing until salt-master is restarted" in record.getMessage()


def test_the_engine_gets_its_settings(opts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[engine_process.Settings] = []
    monkeypatch.setattr(engine_process, "run", lambda opts, settings: seen.append(settings))
    engine_of(opts)(interval="2m", config="/srv/hart.toml")
    assert seen == [engine_process.Settings(opts["conf_file"], opts["cachedir"], 120.0, "/srv/hart.toml")]


def test_the_execution_module_returns_the_grains(minion_opts: dict[str, Any]) -> None:
    minion_opts["grains"] = {"roles": ["app"], "hart.provider": "do", "hart.region": "nyc3", "hart.version": "1.0.0"}
    data = salt.loader.minion_mods(minion_opts)["hart.info"]()
    assert data == {
        "roles": ["app"], "provider": "do", "region": "nyc3", "zone": None, "size": None, "created": None,
        "version": "1.0.0",
    }  # fmt: skip


def test_the_loaded_runner_is_the_installed_one_and_says_so(opts: dict[str, Any]) -> None:
    data = salt.loader.runner(opts)["hart.version"]()["versions"]
    assert data["hart-salt"] == hart_salt.__version__
    assert Path(data["runner"]).resolve() == RUNNER.resolve()


def test_the_outputter_draws_documents_and_prints_other_data_as_salt_does(opts: dict[str, Any]) -> None:
    for more in ({}, {"output": "hart"}):
        document = {"version": 2, "function": "list_roles", "roles": {"app": ["do"]}, "problems": [], "notes": []}
        wrapped = {"hart": {"result": True, "document": document}}
        table = "ROLE  PROVIDERS\napp   do"
        assert [salt.output.out_format(it, "hart", {**opts, **more}) for it in (document, wrapped)] == [table, table]
        other = salt.output.out_format({"web-1": True}, "hart", {**opts, **more, "color": False})
        assert other == "web-1:\n    True"
        former = {"hart": {"result": True, "document": {"web-1": True}}}  # with result_version: 1 at a terminal
        assert salt.output.out_format(former, "hart", {**opts, **more, "color": False}) == other


def test_a_copy_from_the_file_server_works_and_is_reported_as_such(opts: dict[str, Any], root: Path) -> None:
    synced = root / "extmods/runners"
    synced.mkdir(parents=True)
    shutil.copy(RUNNER, synced / "hart.py")
    opts["extension_modules"] = str(root / "extmods")
    loaded = salt.loader.runner(opts)
    assert commands(loaded) == public_functions(RUNNER)
    data = loaded["hart.version"]()["versions"]
    assert data["runner"].startswith(str(synced))
    assert "not the installed one" in data["runner"]


@pytest.mark.parametrize("path", [RUNNER, MODULE], ids=["runner", "module"])
def test_every_command_has_a_summary_an_example_and_no_mutable_default(path: Path) -> None:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name[0] != "_":
            text = ast.get_docstring(node) or ""
            assert f"hart.{node.name}" in text.partition("CLI Example:")[2], node.name
            assert not any(isinstance(default, ast.List | ast.Dict) for default in node.args.defaults)


def test_without_the_package_the_runner_is_unavailable_and_says_how_to_install_it() -> None:
    code = (
        "import importlib.util, sys\n"
        "spec = importlib.util.spec_from_file_location('runner', sys.argv[1])\n"
        "runner = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(runner)\n"
        "print(runner.__virtual__())\n"
    )
    # -S: without site-packages, and so without hart-salt
    command = [sys.executable, "-I", "-S", "-c", code, str(RUNNER.resolve())]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=True)
    reason = "the Python package hart-salt is not installed: salt-pip install its wheel or checkout"
    assert done.stdout == f"(False, '{reason}')\n"
