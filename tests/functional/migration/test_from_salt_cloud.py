"""``hart.from_salt_cloud`` with Salt itself: its loader, its rendering of maps, its sdb, its reading of the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import salt.config
import salt.loader

from hart_salt import drivers
from hart_salt.config import loader
from tests.parts import master_opts

PROVIDERS = """
my-do: {driver: digitalocean, personal_access_token: planted-do-token, location: nyc3}
my-aws: [{driver: ec2, id: PLANTEDKEYID, key: planted/secret+key, location: eu-west-1}]
"""
PROFILES = "web: {provider: my-do, size: s-1vcpu-1gb, image: debian-12-x64, minion: {master: m, a.pass: planted-pass}}"
MAP = "web:\n{% for number in range(1, 4) %}  - web{{ number }}\n{% endfor %}"


@pytest.fixture
def opts(root: Path) -> dict[str, Any]:
    made = master_opts(root)
    for name, text in (("cloud.providers", PROVIDERS), ("cloud.profiles", PROFILES), ("cloud.maps.d/x.map", MAP)):
        path = root / "etc" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return made


def run(opts: dict[str, Any], *arguments: Any, **named: Any) -> Any:
    return salt.loader.runner(opts, context={})["hart.from_salt_cloud"](*arguments, **named)


def test_salt_reads_the_result_and_the_secrets_from_the_old_files(opts: dict[str, Any], root: Path) -> None:
    printed = run(opts)
    assert printed["outputter"] == "txt"
    assert run({**opts, "output": "hart"}) == printed, "as Salt's file can have it for all functions"
    assert "planted" not in printed["data"].lower()
    (root / "etc/master.d").mkdir()
    (root / "etc/master.d/hart.conf").write_text(printed["data"])
    again = salt.config.master_config(str(root / "etc/master"))
    checked = loader.load([loader.Source("master config", again["hart"])], drivers.schemas(), lambda uri: None)
    accounts: dict[str, Any] = {name: provider.account for name, provider in checked.providers.items()}
    assert accounts["my-do"].token.get_secret_value() == "planted-do-token"
    assert accounts["my-aws"].aws_access_key_id.get_secret_value() == "PLANTEDKEYID"
    assert accounts["my-aws"].aws_secret_access_key.get_secret_value() == "planted/secret+key"
    assert checked.roles["web"].settings["minion_config"]["a.pass"] == "planted-pass"


def test_a_map_is_rendered_as_by_salt(opts: dict[str, Any], root: Path) -> None:
    data = run({**opts, "output": "json"}, str(root / "etc"), map="x.map")
    assert data["create"] == ["salt-run hart.create web1,web2,web3 role=web"]
    assert "planted" not in str(data).lower()
    assert "retcode" not in data


@pytest.mark.parametrize(
    ("arguments", "named", "words"),
    [
        (("/nowhere",), {}, "/nowhere has no configuration of salt-cloud"),
        ((), {"map": "bad"}, "bad cannot be rendered (SaltRenderError)"),
        ((), {"map": "other"}, "there is no map other"),
        ((), {"where": 1}, "unknown argument: where"),
        (([],), {}, "directory must be a name"),
    ],
)
def test_bad_input_is_one_sentence(
    opts: dict[str, Any], root: Path, arguments: tuple[Any, ...], named: dict[str, Any], words: str
) -> None:
    (root / "etc/cloud.maps.d/x.map").rename(root / "etc/bad")
    (root / "etc/bad").write_text("{% if %}")
    data = run(opts, *arguments, **named)
    assert words in data["error"]
    assert data["retcode"] == 2
