"""The master's own pillar, compiled by Salt with the master's grains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import salt.loader

from hart_salt.base.errors import Refused
from hart_salt.master.client import Master
from tests.parts import master_opts

#: a top file and the files that it names; in each case the master has the role ``app``
ROLES = "hart: {roles: {app: {}}}\n"
#: a grain that every machine has, and that only the master's own grains contain
GRAIN = "kernel"
PILLARS = {
    "glob": {"top.sls": "base: {'*': [a]}", "a.sls": ROLES},
    "id": {"top.sls": "base: {test_master: [a]}", "a.sls": ROLES},
    "template": {"top.sls": "base: {'*': [a]}", "a.sls": f"{{% if grains['{GRAIN}'] %}}\n{ROLES}{{% endif %}}\n"},
    "template of the top": {
        "top.sls": f"base:\n  '{{{{ grains['id'] if grains['{GRAIN}'] }}}}': [a]\n", "a.sls": ROLES,
    },
    "grain": {"top.sls": f"base: {{'{GRAIN}:Linux': [{{match: grain}}, a]}}", "a.sls": ROLES},
    "compound": {"top.sls": f"base: {{'G@{GRAIN}:Linux and test_*': [{{match: compound}}, a]}}", "a.sls": ROLES},
    "function of a module": {
        "top.sls": "base: {'*': [a]}", "a.sls": f"{{% if salt['grains.get']('{GRAIN}') %}}\n{ROLES}{{% endif %}}\n",
    },
    "static grain": {"top.sls": "base: {'site:north': [{match: grain}, a]}", "a.sls": ROLES},
}  # fmt: skip


def master(root: Path, files: dict[str, str], **settings: Any) -> Master:
    base = root / "srv"
    base.mkdir()
    for name, text in files.items():
        (base / name).parent.mkdir(exist_ok=True)
        (base / name).write_text(text)
    opts = master_opts(root, **{"pillar_roots": {"base": [str(base)]}, "grains": {"site": "north"}, **settings})
    return Master(opts)


@pytest.mark.parametrize("files", PILLARS.values(), ids=PILLARS)
def test_the_pillar_is_compiled_with_the_grains_of_the_master(root: Path, files: dict[str, str]) -> None:
    assert master(root, files).configuration.pillar() == {"roles": {"app": {}}}


def test_the_pillar_of_the_masters_pillarenv_is_used(root: Path) -> None:
    files = {"top.sls": "base: {'*': [a]}", "a.sls": "hart: {}\n"}
    other = root / "other"
    other.mkdir()
    (other / "top.sls").write_text("other: {'*': [a]}")
    (other / "a.sls").write_text(ROLES)
    roots = {"base": [str(root / "srv")], "other": [str(other)]}
    found = master(root, files, pillar_roots=roots, pillarenv="other")
    assert found.configuration.pillar() == {"roles": {"app": {}}}


def test_an_external_pillar_alone_is_enough(root: Path) -> None:
    found = master(root, {}, ext_pillar=[{"cmd_json": 'echo \'{"hart": {"roles": {"app": {}}}}\''}])
    assert found.configuration.pillar() == {"roles": {"app": {}}}


def test_a_pillar_for_a_directory_of_an_environment_is_found(root: Path) -> None:
    files = {"other/top.sls": "other: {'*': [a]}", "other/a.sls": ROLES}
    roots = {"__env__": [str(root / "srv/__env__")]}
    found = master(root, files, pillar_roots=roots, pillarenv="other")
    assert found.configuration.pillar() == {"roles": {"app": {}}}


def test_without_any_pillar_neither_grains_nor_pillar_cost_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("grains", "minion_mods"):
        monkeypatch.delattr(salt.loader, name)
    assert master(root, {"a.sls": ROLES}).configuration.pillar() == {}


@pytest.mark.parametrize("text", ["{% if nothing.there.is %}", "hart: [\n", "{{ grains['no such grain'].x }}\n"])
def test_a_pillar_that_does_not_compile_is_refused_with_what_shows_why(root: Path, text: str) -> None:
    found = master(root, {"top.sls": "base: {'*': [a]}", "a.sls": text})
    with pytest.raises(Refused, match="the pillar of this master .test_master. does not compile: .*salt.cmd pillar"):
        found.configuration.pillar()
