"""
What ``hart.from_salt_cloud`` makes of configurations in the shape of public ones, compared with what they mean.

The meaning is what Salt itself reads (``salt.config.cloud_config``), and, by hand, in the words of hart.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import salt.config
import salt.exceptions
import salt.loader
import salt.utils.dictupdate
import salt.utils.sdb
import yaml

from hart_salt import drivers
from hart_salt.base.errors import ConfigError, Refused
from hart_salt.config import loader
from hart_salt.migration.salt_cloud import config as cloud_config
from hart_salt.migration.salt_cloud import files as cloud_files
from hart_salt.migration.salt_cloud.config import Translation
from hart_salt.migration.salt_cloud.hiding import INSTANCE_ROLE
from hart_salt.migration.salt_cloud.table import DRIVERS
from hart_salt.planning import resolve as roles
from tests.parts import master_info, master_opts

SCHEMAS = drivers.schemas()
DATA = Path(__file__).parent / "data"
CASES = [case for file in sorted(DATA.glob("salt_cloud_*.yaml")) for case in yaml.safe_load(file.read_text())]
EACH = pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
#: those that Salt itself reads without an error
SALTS = [case for case in CASES if case.get("salt", True)]
#: the settings of a provider that hold its credentials, by hart's name
CREDENTIALS = {"personal_access_token": "token", "api_key": "token", "id": "aws_access_key_id",
               "key": "aws_secret_access_key", "project": "project"}  # fmt: skip
#: settings that need no word if they have these values: hart does the same
USUAL: Mapping[str, Any] = {
    "deploy": True, "make_master": False, "script": "bootstrap-salt", "key": INSTANCE_ROLE, "id": INSTANCE_ROLE,
    "ssh_interface": "public_ips", "del_root_vol_on_destroy": True, "del_all_vols_on_destroy": True,
    "delete_boot_pd": True, "external_ip": "ephemeral", "endpoint": "ec2.eu-west-1.amazonaws.com",
    "start_action": False, "preemptible": False,
}  # fmt: skip


def write(case: Mapping[str, Any], base: Path) -> Path:
    for name, text in case["files"].items():
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return base


@pytest.fixture(scope="module")
def render(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that reads a map; only the templates of Salt's own tests need Salt for that."""

    def work(path: str) -> Any:
        return yaml.safe_load(Path(path).read_text())

    return work


def translated(base: Path, render: Any) -> Translation:
    return cloud_config.translation(cloud_files.read(str(base), None, render), SCHEMAS)


def config_of(made: Translation, resolve: Any) -> loader.Config:
    """Load the printed file as if it were in ``master.d``."""
    return loader.load([loader.Source("master config", yaml.safe_load(made.text())["hart"])], SCHEMAS, resolve)


def resolver(made: Translation, opts: dict[str, Any]) -> Any:
    """Return a function that looks up a reference as Salt does, in the old files."""
    whole = {**opts, **made.sdb}
    return lambda uri: salt.utils.sdb.sdb_get(uri, whole)


@EACH
def test_hart_loads_the_result_and_it_means_the_same(case: Any, tmp_path: Path, render: Any, root: Path) -> None:
    base = write(case, tmp_path / "etc")
    made = translated(base, render)
    notes = "\n".join(made.notes)
    for words in case.get("notes", []):
        assert words in notes, words
    resolve = resolver(made, master_opts(root))
    if case.get("faults"):
        with pytest.raises(ConfigError) as refused:
            config_of(made, resolve)
        for fault in refused.value.faults:
            assert str(fault) in notes, "a fault that the notes do not name"
        assert all(any(words in str(fault) for fault in refused.value.faults) for words in case["faults"])
        checked = config_of(_without_accounts(made), resolve)
    else:
        checked = config_of(made, resolve)
    for profile, expected in case["means"].items():
        role = case.get("roles", {}).get(profile, profile)
        found = _settings(checked, role, tmp_path)
        assert {name: _part(found.get(name), value) for name, value in expected.items()} == expected, profile
    if "create" in case:
        assert made.create == case["create"]


def _without_accounts(made: Translation) -> Translation:
    """Return the result with credentials that make it complete, so that everything else can be compared."""
    hart = copy.deepcopy(made.hart)
    for name, provider in hart["providers"].items():
        account = SCHEMAS[provider.get("driver", name)].account
        for field in account.model_fields:
            provider.pop(field, None)
        provider |= {field: "x" for field, facts in account.model_fields.items() if facts.is_required()}
    return replace(made, hart=hart)


def _part(found: Any, expected: Any) -> Any:
    """Return of a mapping only what is expected of it."""
    if not isinstance(found, Mapping) or not isinstance(expected, Mapping):
        return found
    return {name: _part(found.get(name), value) for name, value in expected.items()}


def _settings(checked: loader.Config, role: str, tmp_path: Path) -> dict[str, Any]:
    """Return everything that a node of the role has, by hart's names."""
    together = dict(checked.defaults)
    provider = checked.providers[str(checked.roles[role].settings["provider"])]
    layers = (checked.defaults, checked.provider_defaults[provider.name], checked.roles[role].settings)
    saltmaster = next((layer["saltmaster"] for layer in reversed(layers) if layer.get("saltmaster")), None)
    info = replace(master_info(tmp_path), salt_version="3008.3")
    given = {} if saltmaster else {"saltmaster": "unset.example.com"}
    given |= {} if any(layer.get("region") for layer in layers) else {"region": "unset"}
    node = roles.resolve(checked, SCHEMAS, info, role=role, arguments=given, now=datetime.now(timezone.utc))
    together = {"provider": node.provider, "driver": node.driver, "region": node.region, "zone": node.zone}
    together |= {"size": node.size, "saltmaster": saltmaster}
    for part in (node.settings, node.options, provider.account):
        for name in type(part).model_fields:
            value = getattr(part, name)
            together.setdefault(name, value.get_secret_value() if hasattr(value, "get_secret_value") else value)
    return together


# what Salt makes of it


def salts(base: Path, root: Path) -> Any:
    """Return what Salt reads, with the global settings."""
    logging.getLogger("salt.config").setLevel(logging.CRITICAL)
    main = base / "cloud"
    existed = main.exists()
    if not existed:
        main.write_text("")
    try:
        return salt.config.cloud_config(str(main), master_config=dict(master_opts(root)))
    finally:
        if not existed:
            main.unlink()


def _minion(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the minion configuration as salt-cloud merges it, with the grains."""
    merged: dict[str, Any] = {}
    for layer in layers:
        salt.utils.dictupdate.update(merged, copy.deepcopy(dict(layer.get("minion") or {})))
    for layer in layers:
        grains = copy.deepcopy(dict(layer.get("grains") or {}))
        if grains:
            merged["grains"] = salt.utils.dictupdate.update(merged.get("grains") or {}, grains)
    return {name: value for name, value in merged.items() if name not in ("master", "id", "local_master")}


@pytest.mark.parametrize("case", SALTS, ids=[case["name"] for case in SALTS])
def test_salt_reads_the_same_credentials_and_minion_configuration(
    case: Any, tmp_path: Path, render: Any, root: Path
) -> None:
    """Whatever Salt takes of a provider's credentials and of the minion's configuration is the same in hart."""
    base = write(case, tmp_path / "etc")
    opts = salts(base, root)
    made = translated(base, render)
    resolve = resolver(made, master_opts(root))
    faulty = bool(case.get("faults"))
    checked = config_of(_without_accounts(made) if faulty else made, resolve)
    compared = 0
    for profile, values in opts["profiles"].items():
        alias, driver = values["provider"].split(":")
        if driver not in DRIVERS:
            continue
        compared += 1
        provider = opts["providers"][alias][driver]
        found = _settings(checked, case.get("roles", {}).get(profile, profile), tmp_path)
        for theirs, ours in CREDENTIALS.items():
            wanted = provider.get(theirs)
            if wanted in (None, "", INSTANCE_ROLE) or faulty or (theirs == "api_key" and found["driver"] != "vultr"):
                continue
            assert found[ours] == str(wanted), theirs
        assert found["driver"] == DRIVERS[driver].name
        wanted = _minion(opts, provider, values)
        if case["name"] != "what-hart-would-refuse":
            assert _part(found["minion_config"], wanted) == wanted
    assert compared, "Salt has none of its profiles"


# nothing is lost without a word


def _places(base: Path) -> Iterator[tuple[Path, dict[str, Any], str, str]]:
    """Yield each setting of each provider and profile that is a mapping in a file."""
    for path in sorted(it for it in base.rglob("*") if it.is_file() and ".map" not in it.suffix):
        try:
            data = yaml.safe_load(path.read_text())
        except yaml.YAMLError:
            continue
        for entry, values in data.items() if isinstance(data, dict) else ():
            for name in values if isinstance(values, dict) and isinstance(entry, str) else ():
                yield path, data, entry, str(name)


def _same(place: tuple[Path, dict[str, Any], str, str], name: str, value: Any) -> bool:
    _, data, entry, other = place
    there = data[entry][other]
    return other == name and there == value or name == "location" and str(there).startswith(str(value))


@EACH
def test_each_setting_changes_the_result_or_is_named(case: Any, tmp_path: Path, render: Any) -> None:
    base = write(case, tmp_path / "etc")
    whole = translated(base, render)
    notes = "\n".join(whole.notes)
    everything = list(_places(base))
    for path, data, entry, name in everything:
        value = data[entry][name] if entry in data and name in data[entry] else None
        merged = any(f"{entry} is {words}" in notes for words in ("also in", "in another file"))
        if name in notes or merged or (name in USUAL and USUAL[name] == value):
            continue
        if sum((other[0], *other[2:]) != (path, entry, name) and _same(other, name, value) for other in everything):
            continue  # another entry says the same
        text = path.read_text()
        less = {key: dict(item) if isinstance(item, dict) else item for key, item in data.items()}
        if less.get(entry, {}).pop(name, None) is None:
            continue
        path.write_text(yaml.safe_dump(less))
        try:
            assert translated(base, render).data() != whole.data(), f"{entry}: {name} is lost without a word"
        except Refused:
            pass
        finally:
            path.write_text(text)


@EACH
def test_no_secret_is_in_the_result(case: Any, tmp_path: Path, render: Any) -> None:
    made = translated(write(case, tmp_path / "etc"), render)
    for text in (made.text(), str(made.data())):
        for line in text.lower().splitlines():
            assert "planted" not in line, line
    for words in case.get("shown", []):
        assert words in made.text(), words
