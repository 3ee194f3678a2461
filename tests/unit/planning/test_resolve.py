"""Roles: the layers of a node, its id, and its minion configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hart_salt
from hart_salt.base.errors import ConfigError, Refused
from hart_salt.base.gate import Gate
from hart_salt.base.names import RESERVED_IDS, NamingError, build_minion_id, check_minion_id
from hart_salt.config.loader import Config, Source, load, read_toml
from hart_salt.config.schema import Schema
from hart_salt.config.settings import Section
from hart_salt.drivers.do import driver as do
from hart_salt.drivers.ec2 import driver as ec2
from hart_salt.drivers.gce import driver as gce
from hart_salt.drivers.vultr import driver as vultr
from hart_salt.model import MasterInfo, Node
from hart_salt.planning.resolve import choose_provider, resolve, show
from tests.parts import EXAMPLE, master_info

PLANTED = "planted-s3cret-value"
NOW = datetime(2026, 3, 7, 23, 30, tzinfo=timezone(-timedelta(hours=2)))
MASTER = replace(master_info(Path("/nowhere")), master_id="salt_master", public_key="")


class Nothing(Section):
    """A driver without settings."""


LOCAL = Schema(driver="local", account=Nothing, options=Nothing, default_size="local", default_region="local")
SCHEMAS = {schema.driver: schema for schema in (do.SCHEMA, ec2.SCHEMA, gce.SCHEMA, LOCAL, vultr.SCHEMA)}

DO: Mapping[str, Any] = {"do": {"token": PLANTED, "region": "sfo3"}}


def loaded(**data: Any) -> Config:
    return load([Source("test", {"saltmaster": "salt.example.com", **data})], SCHEMAS, lambda uri: uri)


def unaddressed(**data: Any) -> Config:
    """Return a configuration without ``saltmaster``."""
    return load([Source("source", data)], SCHEMAS, lambda uri: uri)


def node(config: Config, role: str | None = "app", *, master: MasterInfo = MASTER, **given: Any) -> Node:
    given.setdefault("unique_id", lambda: "0badcafe")
    return resolve(config, SCHEMAS, master, role=role, now=NOW, **given)


def faults(config: Config, role: str | None = "app", **given: Any) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        node(config, role, **given)
    assert PLANTED not in str(caught.value)
    return {fault.path: fault.problem for fault in caught.value.faults}


def refusal(config: Config, role: str | None = "app", **given: Any) -> str:
    with pytest.raises(Refused) as caught:
        node(config, role, **given)
    assert not isinstance(caught.value, ConfigError)
    return str(caught.value)


def test_only_a_role_has_baked_images() -> None:
    """A default of all nodes is no mistake: a node without a role boots the image below it, and a note says so."""
    config = loaded(providers=DO, image="baked", size="s-1vcpu-1gb", roles={"app": {}})
    one = node(config, None, minion_id="one")
    assert one.settings.image == "trixie"
    assert one.notes == ("it boots the image trixie: hart:image is baked, but only nodes of a role boot baked images",)
    assert node(config, None, minion_id="one", arguments={"image": "bookworm"}).notes == ()
    assert node(config, "app").notes == ()
    found = faults(config, None, minion_id="one", arguments={"image": "baked!"})
    assert found == {"argument:image": "only nodes of a role can boot a baked image; add role=ROLE"}


# The example: a file that a user of hart already has

MASTER_SETTING = '[hart]\nsaltmaster = "salt.example.com"\n'


def example(tmp_path: Path, more: str = MASTER_SETTING) -> Config:
    file = tmp_path / "hart.toml"
    file.write_text(EXAMPLE + more)
    source = read_toml(file, required=True)
    assert source is not None
    return load([source], SCHEMAS, lambda uri: uri)


def test_example_provider_do(tmp_path: Path) -> None:
    found = node(example(tmp_path), provider="do", preview=True)
    assert (found.region, found.size) == ("sfo3", "s-2vcpu-2gb")
    assert found.minion_id == "????????.sfo3.do.app.example.com"


def test_example_with_a_region(tmp_path: Path) -> None:
    found = node(example(tmp_path), provider="do", region="nyc3", preview=True)
    assert (found.region, found.size) == ("nyc3", "s-3vcpu-3gb")
    assert found.minion_id == "????????.nyc3.do.app.example.com"


def test_example_with_ec2_added(tmp_path: Path) -> None:
    config = example(tmp_path, MASTER_SETTING + '[providers.ec2]\nregion = "eu-west-1"\n')
    found = node(config, provider="ec2")
    assert found.size == "t3.medium"
    assert vars(found.options)["subnet"] == "subnet-123"


def test_example_with_one_provider_does_not_need_its_name(tmp_path: Path) -> None:
    assert node(example(tmp_path)).provider == "do"
    assert node(example(tmp_path), "db").size == "s-4vcpu-8gb"


@pytest.mark.parametrize("where", ['[hart]\nsaltmaster = "m"\nprovider = "do"\n', MASTER_SETTING])
def test_example_with_a_provider_in_a_layer_does_not_need_its_name(tmp_path: Path, where: str) -> None:
    more = where + '[providers.ec2]\nregion = "eu-west-1"\n[roles.web]\nprovider = "do"\n'
    role = "app" if "provider" in where else "web"
    assert node(example(tmp_path, more), role).provider == "do"


def test_example_with_several_providers_fails_and_names_them(tmp_path: Path) -> None:
    config = example(tmp_path, MASTER_SETTING + "[providers.ec2]\n")
    assert refusal(config) == "several providers are possible: do, ec2; name one, as in provider=do"


def test_example_unchanged_lacks_only_the_master_s_address(tmp_path: Path) -> None:
    assert faults(example(tmp_path, "")) == {
        "hart:saltmaster": "is not set: set the host name or address where minions reach this master"
    }


# Layers


def test_later_layers_win_in_the_order_of_the_design() -> None:
    config = loaded(
        providers={"do": {"token": "t", "size": "2"}},
        size="1",
        roles={"app": {"size": "3", "do": {"size": "4", "nyc3": {"size": "5"}}}, "db": {}},
        region="sfo3",
    )
    assert node(config, "db").size == "2"
    assert node(config).size == "4"
    assert node(config, region="nyc3").size == "5"
    assert node(config, region="nyc3", arguments={"size": "6"}).size == "6"
    assert node(config, None, minion_id="x").size == "2"


def test_the_zone_assigned_to_a_node_overrides_every_layer_and_the_call() -> None:
    config = loaded(providers=DO, roles={"app": {"zone": "z1"}})
    arguments = {"zone": "distributed"}
    assert node(config, arguments=arguments).zone == "distributed"
    found = node(config, arguments=arguments, zone="z2")
    assert (found.zone, found.minion_config["grains"]["hart.zone"]) == ("z2", "z2")


def test_without_any_layer_the_driver_s_default_size_applies() -> None:
    assert node(loaded(providers=DO, roles={"app": {}})).size == "s-1vcpu-1gb"


@pytest.mark.parametrize(
    "data",
    [
        {"region": "nyc3"},
        {"providers": {"do": {"token": "t", "region": "nyc3"}}},
        {"roles": {"app": {"region": "nyc3", "do": {"nyc3": {"size": "there"}}}}},
        {"roles": {"app": {"do": {"region": "nyc3", "nyc3": {"size": "there"}}}}},
    ],
)
def test_a_region_can_be_set_in_any_layer_and_selects_its_section(data: dict[str, Any]) -> None:
    base = {"providers": {"do": {"token": "t"}}, "roles": {"app": {"do": {"nyc3": {"size": "there"}}}}}
    found = node(loaded(**{**base, **data}))
    assert (found.region, found.size) == ("nyc3", "there")


def test_minion_config_and_labels_merge_over_all_layers_and_lists_replace() -> None:
    config = loaded(
        minion_config={"a": {"b": {"one": 1, "two": 1}}, "list": [1]},
        labels={"x": "1", "y": "1"},
        providers={"gce": {"project": "p", "region": "europe-west1", "minion_config": {"a": {"c": 2}}}},
        roles={"app": {"minion_config": {"a": {"b": {"two": 3}}, "list": [3]}, "gce": {"labels": {"y": "2"}}}},
    )
    found = node(config, arguments={"minion_config": {"a": {"d": 4}}, "labels": "z=3"})
    assert found.settings.minion_config == {"a": {"b": {"one": 1, "two": 3}, "c": 2, "d": 4}, "list": [3]}
    assert vars(found.options)["labels"] == {"x": "1", "y": "2", "z": "3"}
    assert found.minion_config["a"] == found.settings.minion_config["a"]


def test_a_default_for_other_drivers_is_ignored_but_refused_in_a_role() -> None:
    config = loaded(providers=DO, subnet="s", ipv6=True, roles={"app": {}, "web": {"local_ssds": 1, "subnet": "s"}})
    assert vars(node(config).options)["ipv6"] is True
    assert faults(config, "web") == {
        "hart:roles:web:local_ssds": "is a setting of gce, but the driver here is do",
        "hart:roles:web:subnet": "is a setting of ec2 and gce, but the driver here is do",
    }


def test_a_value_for_another_driver_only_is_a_fault_at_its_place() -> None:
    config = loaded(providers={"gce": {"project": "p", "region": "r"}}, roles={"app": {"volume_type": "gp3"}})
    assert "must be one of pd-standard" in faults(config)["hart:roles:app:volume_type"]


def test_arguments_are_checked_with_all_faults_at_once() -> None:
    found = faults(
        loaded(providers=DO, roles={"app": {}}),
        arguments={"szie": 1, "subnet": "s", "token": PLANTED, "salt_version": 3006.1, "unset": None},
    )
    assert found == {
        "argument:szie": "unknown setting, did you mean size?",
        "argument:subnet": "is a setting of ec2 and gce, but the driver here is do",
        "argument:token": "belongs in hart:providers:<name>, and nowhere else",
        "argument:salt_version": "must be in quotes: without them 3006.10 is read as 3006.1",
    }


def test_arguments_can_use_names_of_hart_but_not_contradict_each_other() -> None:
    config = loaded(providers=DO, image="bookworm", roles={"app": {}})
    assert node(config, arguments={"debian_codename": "trixie"}).settings.image == "trixie"
    found = faults(config, arguments={"image": "trixie", "debian_codename": "bookworm"})
    assert found == {"argument:debian_codename": "is another name of image, which is also given"}


def test_a_node_without_a_public_address_is_reached_over_its_private_one() -> None:
    config = loaded(providers=DO, connect_via="public", roles={"app": {"no_public_ip": True}})
    assert node(config).settings.connect_via == "private"


def test_settings_of_several_layers_that_cannot_be_combined_are_a_fault_of_the_role() -> None:
    config = loaded(
        providers={"ec2": {"region": "r", "volume_type": "gp2"}}, roles={"app": {"ec2": {"volume_iops": 3000}}}
    )
    assert faults(config) == {"hart:roles:app": "volume_iops needs a volume_type of gp3, io1 or io2"}


def test_a_missing_region_is_a_fault_that_says_where_to_set_it() -> None:
    config = loaded(providers={"do": {"token": "t"}}, roles={"app": {}})
    problem = faults(config)["hart:roles:app:region"]
    assert "hart:providers:do" in problem
    assert "region=" in problem


def test_unknown_roles_and_providers_are_refused_with_a_list_of_the_known_ones() -> None:
    config = loaded(providers=DO, roles={"app": {}, "db": {}})
    assert refusal(config, "ap") == "there is no role ap, did you mean app?; the roles are app, db"
    assert refusal(config, provider="ec2") == (
        "there is no provider ec2; configured: do; configure it under hart:providers"
    )
    assert "none is configured" in refusal(loaded(), "app")
    assert "a role or a minion id" in refusal(config, None)


def test_a_provider_is_chosen_without_a_role_too() -> None:
    assert choose_provider(loaded(), None, None).driver == "local"


@pytest.mark.parametrize("version", ["3009", "3009.1", "4000.*"])
def test_a_minion_must_not_be_newer_than_its_master(version: str) -> None:
    config = loaded(providers=DO, roles={"app": {"salt_version": version}})
    assert "newer than the master" in faults(config)["hart:roles:app:salt_version"]


@pytest.mark.parametrize("version", [3006, "3008", "3008.9"])
def test_a_minion_of_the_master_s_series_or_an_older_one_is_accepted(version: Any) -> None:
    assert node(loaded(providers=DO, roles={"app": {"salt_version": version}})).settings.salt_version == str(version)


# Minion configuration


def test_the_minion_config_has_what_hart_sets() -> None:
    found = node(loaded(providers=DO, roles={"app": {"zone": "z1"}}))
    assert found.minion_config == {
        "id": "0badcafe.sfo3.do.app",
        "master": "salt.example.com",
        "grains": {
            "roles": ["app"],
            "hart.provider": "do",
            "hart.region": "sfo3",
            "hart.size": "s-1vcpu-1gb",
            "hart.zone": "z1",
            "hart.created": "2026-03-08T01:30:00+00:00",
            "hart.version": hart_salt.__version__,
        },
        "master_tries": -1,
        "master_alive_interval": 90,
        "auth_safemode": False,
        "master_type": "failover",
        "retry_dns": 0,
    }


def test_the_user_s_minion_config_wins_at_every_depth() -> None:
    user = {"grains": {"env": "prod", "hart.size": "big"}, "master": "other", "master_tries": 3}
    config = node(loaded(providers=DO, roles={"app": {"minion_config": user}})).minion_config
    assert config["grains"] == {
        "roles": ["app"],
        "hart.provider": "do",
        "hart.region": "sfo3",
        "hart.size": "big",
        "hart.created": "2026-03-08T01:30:00+00:00",
        "hart.version": hart_salt.__version__,
        "env": "prod",
    }
    assert (config["master"], config["master_tries"]) == ("other", 3)


def test_empty_grains_of_the_user_remove_nothing() -> None:
    found = node(loaded(providers=DO, roles={"app": {"minion_config": {"grains": None}}}))
    assert found.minion_config["grains"]["roles"] == ["app"]


def test_another_master_type_gets_no_failover_settings() -> None:
    config = node(loaded(providers=DO, roles={"app": {"minion_config": {"master_type": "str"}}})).minion_config
    assert config["master_type"] == "str"
    assert "retry_dns" not in config
    assert config["master_tries"] == -1


def test_a_master_in_minion_config_is_enough() -> None:
    config = unaddressed(providers=DO, roles={"app": {"minion_config": {"master": "m"}}})
    assert node(config).minion_config["master"] == "m"


def test_a_local_node_knows_its_master_and_its_port() -> None:
    config = unaddressed(roles={"app": {}})
    found = node(config, master=replace(MASTER, return_port=14506))
    assert (found.minion_config["master"], found.minion_config["master_port"]) == ("127.0.0.1", 14506)
    found = node(config, master=replace(MASTER, publish_port=14505))
    assert found.minion_config["publish_port"] == 14505


def test_a_node_without_a_role_has_no_roles() -> None:
    found = node(loaded(providers=DO), None, minion_id="db1.example.com")
    assert found.minion_config["grains"]["roles"] == []
    assert found.minion_config["id"] == found.minion_id == "db1.example.com"


def test_minion_config_cannot_set_the_id() -> None:
    config = loaded(providers=DO, roles={"app": {}})
    assert "must not set id" in faults(config, arguments={"minion_config": {"id": "x"}})["argument:minion_config"]


# Minion ids


@pytest.mark.parametrize(
    ("minion_id", "words"),
    [
        ("", "empty"),
        ("a b", "letters"),
        ("a/b", "letters"),
        ("a\n", "letters"),
        ("ä", "letters"),
        ("*", "letters"),
        (".a", "start and end"),
        ("a-", "start and end"),
        ("_a", "start and end"),
        ("a..b", "'..'"),
        ("a" * 201, "longer"),
        ("retcode", "Salt's results"),
        ("Return", "Salt's results"),
        ("salt_master", "the master itself"),
    ],
)
def test_an_invalid_id_is_refused(minion_id: str, words: str) -> None:
    assert words in str(check_minion_id(minion_id, "salt_master"))


@given(st.text(max_size=30))
def test_an_accepted_id_is_a_safe_file_name_and_no_glob(minion_id: str) -> None:
    if check_minion_id(minion_id) is None:
        assert minion_id.isascii()
        assert not set(minion_id) & set("/\\*?[]{}()|&;<>$`'\" \t\r\n\0,@:=")
        assert not minion_id.startswith((".", "-"))
        assert minion_id.lower() not in RESERVED_IDS


@given(st.from_regex(r"[a-z0-9]+([._-][a-z0-9]+)*", fullmatch=True).filter(lambda text: len(text) <= 200))
def test_ordinary_ids_are_accepted(minion_id: str) -> None:
    assert check_minion_id(minion_id) is None or minion_id in RESERVED_IDS


def test_an_invalid_id_of_a_call_or_a_scheme_is_a_fault_of_that_place() -> None:
    config = loaded(providers=DO, roles={"app": {"role_naming_scheme": "{role} {region}"}})
    assert "letters" in faults(config, None, minion_id="a b")["argument:minion_id"]
    assert "makes the id 'app sfo3'" in faults(config)["hart:roles:app:role_naming_scheme"]


def test_a_question_mark_passes_in_previews_only() -> None:
    config = loaded(providers=DO, roles={"app": {"role_naming_scheme": "????????.{role}"}})
    assert "hart:roles:app:role_naming_scheme" in faults(config)


def test_a_scheme_can_name_any_plain_setting_and_the_date_in_utc() -> None:
    scheme = "{unique_id}-{year}-{month}-{day}.{size}.{zone}.{image}.{log_days}.{volume_size}"
    providers = {"gce": {"project": "p", "region": "r", "zone": "z"}}
    found = node(loaded(providers=providers, roles={"app": {"role_naming_scheme": scheme}}))
    assert found.minion_id == "0badcafe-2026-03-08.e2-small.z.trixie.30.10"


@pytest.mark.parametrize(
    ("scheme", "words"),
    [
        ("{nope}", "unknown variable {nope}; the variables are {apply}"),
        ("{zone}.x", "{zone}, which has no value here"),
        ("{minion_config}", "unknown variable"),
        ("{public_ip}", "unknown variable"),
    ],
)
def test_a_scheme_with_an_unknown_variable_is_a_fault(scheme: str, words: str) -> None:
    config = loaded(providers=DO, roles={"app": {"role_naming_scheme": scheme}})
    assert words in faults(config)["hart:roles:app:role_naming_scheme"]


@pytest.mark.parametrize("scheme", ["{a.b}", "{a[0]}", "{a!r}", "{a:>9}", "{}", "{0}", "{a", "a}", "{a:{b}}"])
def test_a_scheme_can_use_only_plain_variables(scheme: str) -> None:
    with pytest.raises(NamingError):
        build_minion_id(scheme, {"a": "x", "b": "y", "0": "z"})


def test_each_node_gets_its_own_unique_id() -> None:
    config = loaded(providers=DO, roles={"app": {}})
    ids = {resolve(config, SCHEMAS, MASTER, role="app", now=NOW).minion_id for _ in range(20)}
    assert len(ids) == 20
    assert all(check_minion_id(one) is None for one in ids)


# what show returns


def test_show_has_every_effective_setting_as_plain_data() -> None:
    config = loaded(providers=DO, roles={"app": {"tags": ["a"]}})
    shown = show(node(config), MASTER)
    assert shown == json.loads(json.dumps(shown))
    assert (shown["size"], shown["tags"], shown["ipv6"], shown["image"]) == ("s-1vcpu-1gb", ["a"], False, "trixie")
    assert shown["minion_config"]["grains"]["roles"] == ["app"]


def test_show_returns_the_same_at_any_time() -> None:
    config = loaded(providers=DO, roles={"app": {}})
    grains = show(node(config), MASTER)["minion_config"]["grains"]
    assert "hart.created" not in grains
    assert grains["hart.region"] == "sfo3"


def test_show_hides_secrets_of_every_source() -> None:
    config = load(
        [
            Source(
                "test",
                {
                    "saltmaster": "m",
                    "salt_repo": f"https://me:{PLANTED}-repo@mirror/",
                    "providers": DO,
                    "roles": {"app": {"minion_config": {"password": "abc", "plain": "sdb://v/x", "n": PLANTED}}},
                },
            )
        ],
        SCHEMAS,
        lambda uri: f"{PLANTED}-sdb",
    )
    found = node(config, arguments={"minion_config": {"api_key": f"{PLANTED}-argument"}})
    shown = Gate(config.secrets).data(show(found, MASTER))
    assert PLANTED not in repr(shown)
    assert {shown["minion_config"][key] for key in ("password", "plain", "api_key", "n")} == {"***"}
    assert found.minion_config["plain"] == f"{PLANTED}-sdb"
    assert PLANTED not in repr(found)
