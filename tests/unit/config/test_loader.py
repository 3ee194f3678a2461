"""The configuration: every fault at once, each with its path, and no secret in any of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hart_salt.base.errors import ConfigError
from hart_salt.base.merge import merge
from hart_salt.config.loader import Config, Source, load, read_toml
from hart_salt.config.schema import Schema
from hart_salt.config.settings import Section
from hart_salt.drivers.do import driver as do
from hart_salt.drivers.ec2 import driver as ec2
from hart_salt.drivers.gce import driver as gce
from hart_salt.drivers.vultr import driver as vultr

PLANTED = "planted-s3cret-value"


class Nothing(Section):
    """A driver without settings."""


LOCAL = Schema(driver="local", account=Nothing, options=Nothing, default_size="local", default_region="local")
SCHEMAS = {schema.driver: schema for schema in (do.SCHEMA, ec2.SCHEMA, gce.SCHEMA, LOCAL, vultr.SCHEMA)}


def no_sdb(uri: str) -> str:
    return uri


def loaded(*data: Mapping[str, Any], sdb: Callable[[str], Any] = no_sdb) -> Config:
    return load([Source(f"source {number}", one) for number, one in enumerate(data, 1)], SCHEMAS, sdb)


def faults(*data: Any, sdb: Callable[[str], Any] = no_sdb) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        loaded(*data, sdb=sdb)
    assert PLANTED not in str(caught.value)
    return {fault.path: fault.problem for fault in caught.value.faults}


def toml(tmp_path: Path, text: str) -> Source:
    file = tmp_path / "hart.toml"
    file.write_text(text)
    source = read_toml(file, required=True)
    assert source is not None
    return source


# The TOML file


def test_toml_sections_become_the_form_of_the_hart_key(tmp_path: Path) -> None:
    source = toml(
        tmp_path,
        '[hart]\nsaltmaster = "m"\n[providers.do]\ntoken = "t"\n'
        '[roles.app]\nsize = "s"\n[roles.app.do.nyc3]\nsize = "t"',
    )
    assert source.data == {
        "saltmaster": "m",
        "providers": {"do": {"token": "t"}},
        "roles": {"app": {"size": "s", "do": {"nyc3": {"size": "t"}}}},
    }
    assert source.label == str(tmp_path / "hart.toml")


def test_a_missing_file_is_none_or_an_error_if_required(tmp_path: Path) -> None:
    assert read_toml(tmp_path / "no.toml", required=False) is None
    with pytest.raises(ConfigError, match="there is no such file"):
        read_toml(tmp_path / "no.toml", required=True)


def test_an_unknown_home_directory_is_a_fault_of_the_path() -> None:
    with pytest.raises(ConfigError, match="~nobody-of-that-name/hart.toml: the home directory for ~ is unknown"):
        read_toml("~nobody-of-that-name/hart.toml", required=True)


def test_an_unreadable_file_is_always_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_toml(tmp_path, required=False)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (f'[hart]\ntoken = "{PLANTED}\n', "line 2, column"),
        (f"a = {PLANTED}", "line 1, column"),
        (f"[{PLANTED}]\n[{PLANTED}]\n", "line 2, column"),
        ("a = [", "end of document"),
    ],
)
def test_a_syntax_error_names_the_line_without_quoting_it(tmp_path: Path, text: str, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        toml(tmp_path, text)
    assert where in str(caught.value)
    assert str(tmp_path / "hart.toml") in str(caught.value)
    assert PLANTED not in str(caught.value)


def test_a_file_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "hart.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_toml(tmp_path / "hart.toml", required=True)


def test_yaml_in_place_of_toml_is_an_error_with_the_place_for_yaml(tmp_path: Path) -> None:
    (tmp_path / "hart.yaml").write_text("hart:\n  roles: {}\n")
    with pytest.raises(ConfigError, match=r"hart.yaml: TOML syntax error at line 1, column 5; .* under hart: in the"):
        read_toml(tmp_path / "hart.yaml", required=True)


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 5000 + "]" * 5000, "2026-02-31", "1979-05-27T25:00:00"])
def test_a_value_that_python_cannot_hold_is_an_error(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match=str(tmp_path / "hart.toml")):
        toml(tmp_path, f"[roles.web]\nsize = {value}\n")


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("[roles.web]\nsize = 2026-11-29", "hart:roles:web:size", "is a date or a time"),
        (
            "[roles.web.minion_config]\nx = [{at = 10:00:00}]",
            "hart:roles:web:minion_config:x:at",
            "is a date or a time",
        ),
        ("[roles]\nweb = 1", "hart:roles:web", "must be a mapping"),
        ("[[roles]]\nweb = 1", "hart:roles", "must be a mapping"),
        ("[roles.web]\nboot_timeout = nan", "hart:roles:web:boot_timeout", "must be a number above 0"),
        ("[providers.do]\ntoken = ''", "hart:providers:do:token", "must not be empty"),
        ("[roles.web]\nsize = 0xffffffffffffffffff", "hart:roles:web:size", "has no value|too many digits"),
    ],
)
def test_odd_values_of_the_file_are_faults(tmp_path: Path, text: str, path: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load([toml(tmp_path, text)], SCHEMAS, no_sdb)
    [fault] = caught.value.faults
    assert fault.path == path
    assert re.search(words, fault.problem)


def test_unknown_sections_of_the_file_are_reported_with_the_rest(tmp_path: Path) -> None:
    source = toml(tmp_path, "[provider.do]\nx = 1\n[hart]\nregion = true\n[hart.roles.app]\n")
    with pytest.raises(ConfigError) as caught:
        load([source], SCHEMAS, no_sdb)
    text = str(caught.value)
    assert "provider: unknown section; the sections are hart, providers, roles and fleets" in text
    assert "hart.roles: must be sections of their own" in text
    assert "hart:region: must be text" in text


# Layers of sources


def test_later_sources_win_and_mappings_merge() -> None:
    config = loaded(
        {"saltmaster": "a", "minion_config": {"x": {"y": 1, "z": 1}}, "providers": {"do": {"token": "t"}}},
        {"saltmaster": "b", "minion_config": {"x": {"y": 2}}, "roles": {"app": {"tags": ["a"]}}},
        {"providers": {"do": {"region": "nyc3"}}, "roles": {"app": {"tags": ["b"]}}},
    )
    assert config.defaults == {"saltmaster": "b", "minion_config": {"x": {"y": 2, "z": 1}}}
    assert config.provider_defaults == {"do": {"region": "nyc3"}}
    assert config.roles["app"].settings == {"tags": ["b"]}


def test_an_alias_in_a_later_source_replaces_the_setting_of_an_earlier_one() -> None:
    config = loaded({"image": "bookworm", "public_ip": True}, {"debian_codename": "trixie", "no_public_ip": True})
    assert config.defaults == {"image": "trixie", "public_ip": False}


def test_an_account_can_be_spread_over_sources() -> None:
    config = loaded(
        {"providers": {"aws": {"driver": "ec2"}}},
        {"providers": {"aws": {"aws_access_key_id": "AKIAEXAMPLE"}}},
        {"providers": {"aws": {"aws_secret_access_key": PLANTED}}},
    )
    assert config.providers["aws"].driver == "ec2"
    assert vars(config.providers["aws"].account)["aws_secret_access_key"].get_secret_value() == PLANTED


def test_several_sources_are_named_in_faults_and_a_single_one_is_not() -> None:
    assert faults({}, {"szie": 1}) == {"hart:szie": "unknown setting, did you mean size? (in source 2)"}
    assert faults({"szie": 1}) == {"hart:szie": "unknown setting, did you mean size?"}


nested = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner),
)
mappings = st.dictionaries(st.sampled_from("abc"), nested)


@given(mappings, mappings, mappings)
def test_merging_is_associative_and_changes_nothing(a: Any, b: Any, c: Any) -> None:
    before = repr((a, b, c))
    assert merge(merge(a, b), c) == merge(a, merge(b, c)) or _shadowed(a, b, c)
    assert repr((a, b, c)) == before


def _shadowed(a: Any, b: Any, c: Any) -> bool:
    """Return whether there is a mapping over a scalar over a mapping: the scalar hides everything below it."""
    return any(
        isinstance(a.get(key), dict)
        and isinstance(c.get(key), dict)
        and not isinstance(b[key], dict)
        or all(isinstance(one.get(key), dict) for one in (a, b, c))
        and _shadowed(a[key], b[key], c[key])
        for key in b
    )


@given(mappings, mappings)
def test_everything_in_the_upper_layer_is_in_the_result(lower: Any, upper: Any) -> None:
    def within(part: Any, whole: Any) -> bool:
        if isinstance(part, dict) and isinstance(whole, dict):
            return all(key in whole and within(value, whole[key]) for key, value in part.items())
        return bool(part == whole)

    assert within(upper, merge(lower, upper))


@given(mappings)
def test_an_empty_layer_changes_nothing(data: Any) -> None:
    assert merge(data, {}) == merge({}, data) == data


# Faults


def test_all_faults_are_reported_at_once_each_with_its_path() -> None:
    found = faults(
        {
            "szie": "x",
            "boot_timeout": -1,
            "providers": {"do": {"tokn": PLANTED}, "gcp": {"driver": "gcee"}},
            "roles": {
                "app": {
                    "zoen": "a",
                    "ec2": {"szie": 1, "eu-west-1": {"volume_size": 0}},
                    "do": {"subnet": "s"},
                }
            },
        }
    )
    assert found == {
        "hart:szie": "unknown setting, did you mean size?",
        "hart:boot_timeout": "must be a number above 0",
        "hart:providers:do:tokn": "unknown setting, did you mean token?",
        "hart:providers:do:token": "is missing",
        "hart:providers:gcp:driver": "unknown driver, did you mean gce?; the drivers are do, ec2, gce, local, vultr",
        "hart:roles:app:zoen": "unknown setting, did you mean zone?",
        "hart:roles:app:ec2:szie": "unknown setting, did you mean size?",
        "hart:roles:app:ec2:eu-west-1:volume_size": "must be a whole number of at least 1 and of at most 65536",
        "hart:roles:app:do:subnet": "is a setting of ec2 and gce, but the driver here is do",
    }


@pytest.mark.parametrize(
    ("data", "path", "words"),
    [
        ({"providers": {"do": {"token": "t", "labels": {}}}}, "hart:providers:do:labels", "is a setting of gce"),
        ({"providers": {"size": {"driver": "do", "token": "t"}}}, "hart:providers:size", "cannot have the name"),
        ({"providers": {"labels": {"driver": "local"}}}, "hart:providers:labels", "cannot have the name"),
        ({"providers": {"roles": {"driver": "local"}}}, "hart:providers:roles", "cannot have the name"),
        ({"providers": {"a/b": {"driver": "local"}}}, "hart:providers:a/b", "may hold only"),
        ({"providers": {"foo": {}}}, "hart:providers:foo", "unknown driver; the drivers are do"),
        ({"providers": {"do": "x"}}, "hart:providers:do", "must be a mapping"),
        ({"providers": ["do"]}, "hart:providers", "must be a mapping"),
        ({"providers": {"do": {"token": ["x"]}}}, "hart:providers:do:token", "must be text"),
        ({"providers": {"do": {"token": "t", "provider": "do"}}}, "hart:providers:do:provider", "cannot be set here"),
        ({"providers": {"ec2": {"aws_access_key_id": PLANTED}}}, "hart:providers:ec2", "both or neither"),
        ({"roles": {"../x": {}}}, "hart:roles:../x", "may hold only"),
        ({"roles": {"app": "x"}}, "hart:roles:app", "must be a mapping"),
        ({"roles": {"app": {"token": PLANTED}}}, "hart:roles:app:token", "belongs in hart:providers"),
        ({"roles": {"app": {"do": "x"}}}, "hart:roles:app:do", "must be a mapping"),
        ({"roles": {"app": {"dо": {}}}}, "hart:roles:app:dо", "unknown setting"),
        ({"roles": {"app": {"ec3": {}}}}, "hart:roles:app:ec3", "did you mean ec2?"),
        ({"roles": {"app": {"provider": "nope"}}}, "hart:roles:app:provider", "configured: local"),
        ({"provider": 1.5}, "hart:provider", "must be text"),
        ({"roles": {"app": {"do": {"minion_confg": {}}}}}, "hart:roles:app:do:minion_confg", "mean minion_config?"),
        ({"roles": {"app": {"do": {"size": {}}}}}, "hart:roles:app:do:size", "must be text"),
        ({"roles": {"app": {"do": {"nyc3": {"nyc2": {}}}}}}, "hart:roles:app:do:nyc3:nyc2", "unknown setting"),
        ({"roles": {"app": {"do": {"nyc3": {"region": "x"}}}}}, "hart:roles:app:do:nyc3:region", "a region other than"),
        ({"roles": {"app": {"bake_after": "7d"}}}, "hart:roles:app:bake_after", "belongs in hart:fleets:<name>"),
        ({"roles": {"app": {"count": 3}}}, "hart:roles:app:count", "is a setting of fleets"),
        ({"roles": {"app": {"bake": []}}}, "hart:roles:app:bake", "must not be empty: write 'highstate' or a list of"),
        ({"apply": ","}, "hart:apply", "must not be empty: write 'highstate' or a list of SLS names"),
        ({"drain": []}, "hart:drain", "must not be empty: write SLS names, or a mapping"),
        ({"bake_after": "7d"}, "hart:bake_after", "belongs in hart:fleets:<name>"),
        ({"minion_config": {"id": "x"}}, "hart:minion_config", "must not set id"),
        ({"minion_config": {"a": date(2026, 1, 1)}}, "hart:minion_config:a", "in quotes"),
        ({"volume_type": "nope"}, "hart:volume_type", "must be one of gp3"),
    ],
)
def test_a_fault_is_found_where_it_is(data: dict[str, Any], path: str, words: str) -> None:
    assert words in faults(data)[path]


def test_a_configuration_that_is_not_a_mapping_is_a_fault() -> None:
    assert faults("x") == {"hart": "must be a mapping"}


def test_an_alias_and_its_setting_must_not_contradict_each_other() -> None:
    assert faults({"image": "trixie", "debian_codename": "bookworm"}) == {
        "hart:debian_codename": "is another name of image, which this section sets to a different value"
    }
    assert loaded({"connect_via": "private", "connect_via_private_ip": True}).defaults == {"connect_via": "private"}


def test_the_path_of_a_fault_has_the_name_that_was_written() -> None:
    assert faults({"no_public_ip": "perhaps"}) == {"hart:no_public_ip": "must be true or false"}


# Structure


def test_names_of_hart_are_understood_in_every_place() -> None:
    config = loaded(
        {
            "debian_codename": "bookworm",
            "connect_via_private_ip": False,
            "enable_ipv6": True,
            "providers": {"ec2": {"connection_gateway": "203.0.113.7/32"}},
            "roles": {"app": {"do": {"enable_ipv6": True}, "no_public_ip": False}},
        }
    )
    assert config.defaults == {"image": "bookworm", "connect_via": "public", "ipv6": True}
    assert config.provider_defaults["ec2"] == {"connect_from": "203.0.113.7/32"}
    assert config.roles["app"].settings == {"public_ip": True}
    assert config.roles["app"].providers["do"].settings == {"ipv6": True}


def test_a_provider_can_have_a_different_name_than_its_driver() -> None:
    config = loaded(
        {
            "providers": {"ci": {"driver": "do", "token": PLANTED}},
            "roles": {"app": {"ci": {"monitoring": True, "nyc3": {"size": "s"}}}},
        }
    )
    assert config.providers["ci"].driver == "do"
    assert config.roles["app"].providers["ci"].settings == {"monitoring": True}
    assert config.roles["app"].providers["ci"].regions == {"nyc3": {"size": "s"}}


def test_without_any_provider_local_is_configured() -> None:
    assert set(loaded({}).providers) == {"local"}
    assert set(loaded({"providers": {"do": {"token": "t"}}}).providers) == {"do"}


def test_empty_roles_and_sections_count_as_absent() -> None:
    config = loaded({"roles": {"app": None, "db": {"do": None}}})
    assert config.role_names() == {"app": ("local",), "db": ("local",)}


def test_roles_are_listed_with_the_possible_providers() -> None:
    providers = {"do": {"token": "t"}, "ec2": {}}
    config = loaded({"providers": providers, "roles": {"a": {}, "b": {"provider": "ec2"}}})
    assert config.role_names() == {"a": ("do", "ec2"), "b": ("ec2",)}


# Secrets


def test_sdb_values_are_looked_up_everywhere_and_kept_secret() -> None:
    asked = []

    def sdb(uri: str) -> str:
        asked.append(uri)
        return f"{PLANTED}-{len(asked)}"

    config = loaded(
        {
            "providers": {"do": {"token": "sdb://v/t"}},
            "roles": {"app": {"minion_config": {"a": ["sdb://v/a"]}, "tags": ["sdb://v/b"]}},
        },
        sdb=sdb,
    )
    assert asked == ["sdb://v/t", "sdb://v/a", "sdb://v/b"]
    assert config.roles["app"].settings["minion_config"] == {"a": [f"{PLANTED}-2"]}
    assert PLANTED not in config.secrets.redact(f"{PLANTED}-1 {PLANTED}-2 {PLANTED}-3")
    assert PLANTED not in repr(config)


@pytest.mark.parametrize("answer", ["", None, "sdb://v/t", KeyError(PLANTED)])
def test_a_failed_sdb_lookup_is_a_fault_with_a_path_and_no_value(answer: Any) -> None:
    def sdb(uri: str) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    found = faults({"providers": {"do": {"token": "sdb://v/t"}}}, sdb=sdb)
    assert list(found) == ["hart:providers:do:token"]
    assert "sdb://" in found["hart:providers:do:token"]


def test_secrets_of_all_kinds_are_collected_and_no_repr_shows_them() -> None:
    config = loaded(
        {
            "salt_repo": f"https://me:{PLANTED}-1@mirror/",
            "minion_config": {"mysql.pass": f"{PLANTED}-2"},
            "providers": {
                "do": {"token": f"{PLANTED}-3"},
                "gce": {"project": "my-project", "user_id": "me@x", "key": f"{PLANTED}-4\n{PLANTED}-5"},
            },
        },
        {"providers": {"do": {"token": f"{PLANTED}-6"}}},
    )
    text = " ".join(f"{PLANTED}-{number}" for number in range(1, 7))
    assert config.secrets.redact(text) == " ".join(["***"] * 6)
    assert config.secrets.redact("my-project me@x") == "my-project me@x"
    assert PLANTED not in repr(config)


def test_a_role_named_like_a_secret_hides_nothing() -> None:
    config = loaded({"roles": {"token": {"size": "s-1vcpu-1gb", "minion_config": {"token": PLANTED}}}})
    assert config.secrets.redact(f"s-1vcpu-1gb {PLANTED}") == "s-1vcpu-1gb ***"


def test_a_secret_that_became_a_path_by_mistake_is_not_shown() -> None:
    assert "hart:providers:do:***" in faults({"providers": {"do": {"token": PLANTED, PLANTED: None}}})
