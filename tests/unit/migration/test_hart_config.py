"""What means something else here than in hart, in hart's own file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hart_salt import drivers
from hart_salt.base.errors import ConfigError
from hart_salt.config import loader
from hart_salt.config.sources import read_toml
from hart_salt.migration import hart_config

SCHEMAS = drivers.schemas()
#: as hart's users have it: hart passes every setting on, and ignores what it does not know
HARTS = """
title = "ours"
[hart]
saltmaster = "salt.example.com"
use_py2 = false
[providers.do]
token = "planted-token"
project = "web"
[providers.ec2]
aws_access_key_id = "PLANTEDID"
aws_secret_access_key = "planted-secret"
[roles.app]
size = "s-1vcpu-1gb"
provider = "do"
region = "nyc3"
backup = true
[roles.app.do.nyc3]
szie = "s-2vcpu-2gb"
[roles.app.linode]
size = "g6"
"""


def loaded(tmp_path: Path, text: str) -> tuple[loader.Config, list[str]]:
    file = tmp_path / "hart.toml"
    file.write_text(text)
    source = read_toml(file, required=True)
    assert source is not None
    config = loader.load([source], SCHEMAS, lambda uri: None)
    return config, [*config.notes, *hart_config.notes(source, SCHEMAS)]


def test_a_file_with_settings_that_hart_ignores_is_loaded_and_each_is_noted(tmp_path: Path) -> None:
    config, notes = loaded(tmp_path, HARTS)
    assert config.roles["app"].settings["size"] == "s-1vcpu-1gb"
    assert config.providers["do"].driver == "do"
    text = "\n".join(notes)
    for words in (
        "title: unknown section; the sections are hart, providers, roles and fleets; it has no effect",
        "hart:use_py2: unknown setting",
        "hart:providers:do:project: ",
        "hart:roles:app:backup: unknown setting, did you mean backups?; it has no effect",
        "hart:roles:app:do:nyc3:szie: unknown setting, did you mean size?; it has no effect",
        "hart:roles:app:linode: unknown setting",
    ):
        assert words in text, words
    assert len(notes) == 6
    assert "planted" not in text


def test_a_wrong_value_is_still_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hart:roles:app:public_ip: must be true or false"):
        loaded(tmp_path, "[roles.app]\npublic_ip = 'perhaps'")


def test_an_unknown_setting_in_another_source_is_refused_beside_hart_s_file(tmp_path: Path) -> None:
    (tmp_path / "hart.toml").write_text("[hart]\nszie = 'a'")
    source = read_toml(tmp_path / "hart.toml", required=True)
    assert source is not None
    with pytest.raises(ConfigError) as refused:
        loader.load([source, loader.Source("master config", {"zoen": "b"})], SCHEMAS, lambda uri: None)
    assert [fault.path for fault in refused.value.faults] == ["hart:zoen"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[hart]\nprovider = 'do'\n[roles.a]\nprovider = 'ec2'", ["roles.a.provider: hart takes provider from [hart]"]),
        ("[hart]\nregion = 'nyc3'\n[roles.a]\nregion = 'ams3'", ["roles.a.region: hart takes region from [hart]"]),
        ("[hart]\nregion = 'nyc3'\n[roles.a]\nregion = 'nyc3'", []),
        ("[providers.gce]\nproject = 'p'\n[roles.a]", ["roles.a: without size, hart creates n1-standard-1 at gce"]),
        ("[providers.gce]\nproject = 'p'\n[roles.a]\nprovider = 'do'", []),
        ("[providers.gce]\nproject = 'p'\n[roles.a.gce]\nsize = 'e2-small'", []),
        ("[providers.vultr]\ntoken = 'x'\n[hart]\nsize = '201'\nregion = '7'",
         ["hart.region: 7 is a region of Vultr's API v1: it is ams today", "hart.size: 201 is a size of"]),
        ("[providers.vultr]\ntoken = 'x'\n[roles.a.vultr.1]\nsize = 'vc2-1c-1gb'\n[roles.a.vultr]\nsize='vc2-1c-1gb'",
         ["roles.a.vultr.1: 1 is a region of Vultr's API v1: it is ewr today"]),
        ("[hart]\nregion = '7'", []),
    ],
)  # fmt: skip
def test_what_means_something_else_is_noted_with_its_place(tmp_path: Path, text: str, said: list[str]) -> None:
    file = tmp_path / "hart.toml"
    file.write_text(text)
    found: list[Any] = hart_config.notes(read_toml(file, required=True), SCHEMAS)
    assert len(found) == len(said), found
    assert all(note.startswith(words) for note, words in zip(found, said, strict=True)), found


def test_without_the_file_there_is_no_note() -> None:
    assert hart_config.notes(None, SCHEMAS) == []
