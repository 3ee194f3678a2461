"""Malformed configurations of a master: each is one error with its place, or has the meaning that it should have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import salt.config
import yaml

from hart_salt import drivers
from hart_salt.base.errors import ConfigError, EnvironmentFault, HartError
from hart_salt.base.redaction import Secrets
from hart_salt.config.loader import Config, Source, load
from hart_salt.master.config_files import ConfigFiles, check_absence
from hart_salt.master.configuration import Configuration

CASES = yaml.safe_load(Path(__file__).with_name("malformed.yaml").read_text(encoding="utf-8"))


def write(directory: Path, case: Mapping[str, Any], file: Path) -> None:
    """Write the file of a case."""
    if "link" in case:
        file.symlink_to(case["link"])
    elif case.get("directory"):
        file.mkdir()
    elif "raw" in case:
        file.write_bytes(case["raw"].encode("latin-1"))
    elif "text" in case:
        depth = case.get("nested", 0)
        text = case["text"].replace("NESTED", "[" * depth + "]" * depth)
        file.write_bytes(text.replace("DIGITS", "9" * case.get("digits", 0)).encode())
    for name, more in case.get("files", {}).items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(more)


def options(directory: Path, case: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that Salt reads from the files of a case; before the file exists if that comes late."""
    (directory / "master.d").mkdir(parents=True)
    main = f"root_dir: {directory}\nosenv: {{driver: env}}\n{case.get('main', '')}"
    (directory / "master").write_text(main)
    file = directory / "master.d" / "hart.conf"
    if not case.get("late"):
        write(directory, case, file)
    opts = dict(salt.config.client_config(str(directory / "master")))
    if case.get("late"):
        write(directory, case, file)
    return {**opts, "config_dir": str(directory)}


def configured(opts: Mapping[str, Any]) -> Config:
    """Return the configuration as hart reads it, without pillar and TOML."""
    configuration = Configuration(opts)
    secrets = Secrets()
    secrets.gather(configuration.own_settings())
    secrets.add(configuration.from_sdb())
    section = Source("master config", configuration.section())
    return load([section], drivers.schemas(), configuration.resolve_sdb, secrets)


def sentences(error: HartError, directory: Path) -> str:
    file = f"{directory}/master.d/hart.conf"
    return str(error).replace(file, "FILE").replace(str(directory), "DIR")


def setting(config: Config, path: str) -> Any:
    section, _, rest = path.partition(":")
    name, _, key = rest.partition(":")
    if section == "roles":
        return config.roles[name].settings[key]
    return config.provider_defaults[name][key] if section == "providers" else config.defaults[path]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SALT_MASTER_CONFIG", raising=False)
    return tmp_path / "salt"


def test_there_are_many_cases_with_different_names() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES) >= 80


@pytest.mark.parametrize("case", CASES, ids=[case["name"].replace(" ", "-") for case in CASES])
def test_a_malformed_configuration_is_one_error_or_has_its_meaning(case: dict[str, Any], directory: Path) -> None:
    opts = options(directory, case)
    if "refused" in case:
        with pytest.raises(ConfigError) as caught:
            configured(opts)
        said = sentences(caught.value, directory)
        assert [part for part in case["refused"] if part not in said] == [], said
        assert len(caught.value.faults) == len({fault.path for fault in caught.value.faults}), said
        assert "planted" not in said
        return
    config = configured(opts)
    if "absent" in case:
        with pytest.raises(ConfigError) as caught:
            check_absence(Configuration(opts).files)
        said = sentences(caught.value, directory)
        assert [part for part in case["absent"] if part not in said] == [], said
        return
    if "hart" not in opts:
        check_absence(Configuration(opts).files)
    means = case["means"]
    assert {role: list(names) for role, names in config.role_names().items()} == means["roles"]
    assert {path: setting(config, path) for path in means.get("settings", {})} == means.get("settings", {})


def test_a_file_that_this_user_cannot_read_matters_only_without_any_hart(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Salt reads its files as root, and salt-run then runs as another user."""
    opts = options(directory, {"text": "other: 1\n"})
    file = f"{directory}/master.d/hart.conf"
    read = Path.read_bytes

    def forbidden(path: Path) -> bytes:
        if str(path) == file:
            raise PermissionError(13, "Permission denied", file)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    monkeypatch.setattr("hart_salt.base.faults.unreadable", lambda path: f"{path} cannot be read by the user salt")
    files = ConfigFiles.read(opts)
    with pytest.raises(EnvironmentFault, match="hart finds no configuration.*cannot be read by the user salt"):
        check_absence(files)
    assert Configuration({**opts, "hart": {"roles": {"web": {}}}}).section() == {"roles": {"web": {}}}


def test_the_configuration_of_a_user_is_read_after_that_of_the_master(directory: Path) -> None:
    opts = options(directory, {"text": "hart: {roles: {web: {}}}\n"})
    user = directory.parent / ".saltrc"
    user.write_text("hart: {roles: {db: {}}}\n")
    again = dict(salt.config.client_config(str(directory / "master")))
    assert again["conf_file"] == str(user)
    with pytest.raises(ConfigError, match=r"hart.conf: Salt lets hart: of .*\.saltrc replace hart: of this file"):
        configured({**again, "config_dir": opts["config_dir"]})


def test_a_file_named_by_the_environment_is_the_main_file(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opts = options(directory, {"text": "hart: {roles: {web: {}}}\n"})
    other = directory.parent / "elsewhere"
    other.write_text("hart: {roles: {db: {}}}\n")
    monkeypatch.setenv("SALT_MASTER_CONFIG", str(other))
    with pytest.raises(ConfigError, match="elsewhere: Salt lets hart: of .*hart.conf replace"):
        configured({**opts, "conf_file": str(other)})


def test_a_reference_in_a_file_counts_as_a_secret(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HART_TEST_PASSWORD", "planted-s3cret")
    text = "other: {of: [{harmless: 'sdb://osenv/HART_TEST_PASSWORD'}]}\n"
    more = {"master.d/z.conf": "other: {more: 1, of: [2]}\n"}
    assert Configuration(options(directory, {"text": text, "files": more})).from_sdb() == ["planted-s3cret"]
