"""The wheel and the source distribution, each installed where the checkout is not visible, are complete."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest

from hart_salt.drivers import OWN
from tests.builds import ROOT, SITE, installed

toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
PROJECT = toml.loads((ROOT / "pyproject.toml").read_text())["project"]
#: what Salt's loader finds there as runner and as execution module, and the files that hart reads at work
LOOK = """
import json, sys
import salt.config, salt.loader
root = sys.argv[1]
opts = {**salt.config.DEFAULT_MASTER_OPTS, "root_dir": root, "cachedir": root, "extension_modules": root + "/extmods"}
runner = salt.loader.runner(opts)
minion = {**salt.config.DEFAULT_MINION_OPTS, "id": "web", "cachedir": root, "extension_modules": root + "/extmods"}
modules = salt.loader.minion_mods(minion)
import hart_salt
from hart_salt import drivers
from hart_salt.images import generalise
from hart_salt.node import bootstrap
from hart_salt.operations import own_wheel
print(json.dumps({
    "package": hart_salt.__file__,
    "runner": sorted(name for name in runner if name.startswith("hart.")),
    "version": runner["hart.version"](),
    "modules": sorted(name for name in modules if name.startswith("hart.")),
    "states": sorted(name for name in salt.loader.states(
        {**opts, "__role": "master"}, {}, {}, {}) if name.startswith("hart.")),
    "engine": "hart.start" in salt.loader.engines({**opts, "__role": "master"}, {}, {}, {}),
    "outputter": "hart" in salt.loader.outputters(opts),
    "doc": modules["sys.doc"]("hart.info")["hart.info"],
    "drivers": sorted(drivers.schemas()),
    "templates": sorted(bootstrap._environment().list_templates() + generalise._environment().list_templates()),
    "key": bootstrap._built_in_key()[:27],
    "extras": sorted(own_wheel.extras()),
}))
"""


@pytest.fixture(scope="module", params=["wheel", "sdist"])
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def there(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what a program of that environment sees of hart, from a directory without any of it."""
    place = tmp_path_factory.mktemp("place")
    command = [str(environment / "bin/python"), "-I", "-c", LOOK, str(place)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=place, check=False)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def test_salt_finds_the_runner_and_the_execution_module(environment: Path, there: dict[str, Any]) -> None:
    assert there["package"] == str(environment / SITE / "hart_salt/__init__.py")
    assert {"hart.create", "hart.destroy", "hart.check"} <= set(there["runner"])
    assert there["version"]["versions"]["runner"] == str(environment / SITE / "hart_salt/runners/hart.py")
    assert there["modules"] == ["hart.info", "hart.interruption", "hart.peer_keys", "hart.sealed"]
    assert there["states"] == ["hart.absent", "hart.fleet", "hart.present", "hart.scaled"]
    assert (there["outputter"], there["engine"]) == (True, True)
    assert "salt -G roles:app hart.info" in there["doc"]


def test_the_files_that_hart_reads_are_installed(environment: Path, there: dict[str, Any]) -> None:
    assert set(there["drivers"]) >= set(OWN)
    assert {"bootstrap.sh.j2", "generalise.sh.j2", "debian.sh.j2"} <= set(there["templates"])
    assert there["key"] == "-----BEGIN PGP PUBLIC KEY B"
    assert (environment / SITE / "hart_salt/operations/address.sh").is_file()
    assert (environment / SITE / "hart_salt/py.typed").is_file()
    assert (environment / SITE / "hart_salt/reports/templates/style.css").is_file()


def test_what_operators_read_is_there_and_nothing_that_developers_run(environment: Path) -> None:
    package = environment / SITE / "hart_salt"
    examples = {str(path.relative_to(ROOT / "hart_salt")) for path in (ROOT / "hart_salt/examples").rglob("*.*")}
    assert len(examples) > 10
    assert [name for name in ("REFERENCE.md", *examples) if not (package / name).exists()] == []
    (info,) = (environment / SITE).glob("hart_salt-*.dist-info")
    installed_files = [line.partition(",")[0] for line in (info / "RECORD").read_text().splitlines()]
    assert {name.partition("/")[0] for name in installed_files} == {"hart_salt", info.name}
    assert (info / "licenses/LICENSE.md").read_bytes() == (ROOT / "LICENSE.md").read_bytes()


def test_its_extras_and_dependencies_are_those_of_the_project(environment: Path, there: dict[str, Any]) -> None:
    (metadata,) = (environment / SITE).glob("hart_salt-*.dist-info/METADATA")
    said = Parser().parsestr(metadata.read_text())
    assert set(said.get_all("Provides-Extra", ())) == set(PROJECT["optional-dependencies"]) == set(there["extras"])
    needed = [line for line in said.get_all("Requires-Dist", ()) if "extra ==" not in line]
    assert len(needed) == len(PROJECT["dependencies"])
    assert said["Requires-Python"] == "<3.15,>=3.10"
