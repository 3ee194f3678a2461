"""The minion configuration that follows from the master's, and what contradicts hart's own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hart_salt.master.public_keys import master_fingerprint
from hart_salt.model import MasterInfo, MinionTerms
from hart_salt.planning.resolve import show
from tests.parts import new_public_key
from tests.unit.planning.test_resolve import DO, MASTER, faults, loaded, node, unaddressed


def with_terms(**terms: Any) -> MasterInfo:
    return replace(MASTER, terms=MinionTerms(**terms))


def with_user(provider: str = "do", **user: Any) -> Any:
    providers = DO if provider == "do" else {"local": {}}
    return loaded(providers=providers, roles={"app": {"minion_config": user}})


def refused(provider: str = "do", master: MasterInfo = MASTER, **user: Any) -> dict[str, str]:
    return faults(with_user(provider, **user), master=master)


def test_settings_that_follow_from_the_master_are_below_the_users() -> None:
    master = with_terms(settings={"transport": "tcp", "ipv6": True})
    assert node(with_user(), master=master).minion_config["transport"] == "tcp"
    found = node(with_user(transport="ws", grains={"a": 1}), master=master).minion_config
    assert (found["transport"], found["ipv6"], found["grains"]["a"]) == ("ws", True, 1)


def test_a_new_master_s_own_minion_has_none_of_them() -> None:
    master = with_terms(settings={"transport": "tcp"}, refusals={"x": "y"}, required={"ssl": "z"})
    found = node(with_user(), None, minion_id="m", master=master, masterless=True)
    assert "transport" not in found.minion_config


CONTRADICTIONS = {
    "pki_dir": "/srv/pki",
    "root_dir": "/srv",
    "conf_file": "/srv/minion",
    "append_minionid_config_dirs": ["cachedir", "pki_dir"],
    "append_domain": "example.com",
    "master_type": "disable",
    "file_client": "local",
    "open_mode": True,
    "keys.cache_driver": "mmap_key",
    "whitelist_modules": ["test"],
    "disable_modules": ["config"],
    "random_startup_delay": 3600,
    "master_finger": "00:11",
    "minion_sign_messages": True,
}
HARMLESS = {
    "append_minionid_config_dirs": ["cachedir"],
    "master_type": "str",
    "file_client": "remote",
    "open_mode": False,
    "keys.cache_driver": "localfs_key",
    "whitelist_modules": ["test", "config"],
    "disable_modules": ["cmd"],
    "random_startup_delay": 5,
    "minion_sign_messages": False,
    "sign_pub_messages": True,
    "cachedir": "/srv/cache",
    "startup_states": "highstate",
    "minion_id_lowercase": True,
}


@pytest.mark.parametrize(("name", "value"), CONTRADICTIONS.items(), ids=CONTRADICTIONS)
def test_a_setting_that_contradicts_hart_s_own_is_refused_at_its_place(name: str, value: Any) -> None:
    found = refused(master=replace(MASTER, public_key=new_public_key()), **{name: value})
    assert list(found) == [f"hart:roles:app:minion_config:{name}"]


@pytest.mark.parametrize(("name", "value"), HARMLESS.items(), ids=HARMLESS)
def test_other_values_and_other_settings_are_the_users_own(name: str, value: Any) -> None:
    assert node(with_user(**{name: value})).minion_config[name] == value


@pytest.mark.parametrize("value", [True, 5, {"config": 1}], ids=str)
@pytest.mark.parametrize("name", ["whitelist_modules", "disable_modules", "append_minionid_config_dirs"])
def test_a_value_that_is_no_list_is_refused_and_no_defect(name: str, value: Any) -> None:
    assert list(refused(**{name: value})) == [f"hart:roles:app:minion_config:{name}"]


def test_the_layer_that_set_a_contradiction_is_named() -> None:
    config = loaded(providers=DO, minion_config={"pki_dir": "/x"}, roles={"app": {"minion_config": {"a": 1}}})
    assert list(faults(config, arguments={"minion_config": {"root_dir": "/y"}})) == [
        "hart:minion_config:pki_dir", "argument:minion_config:root_dir",
    ]  # fmt: skip


def test_all_contradictions_are_reported_at_once() -> None:
    master = with_terms(refusals={"require_minion_sign_messages": "needs x"}, required={"ssl": "is required"})
    found = refused(master=master, pki_dir="/x", open_mode=True)
    assert list(found) == [
        "hart:roles:app:minion_config:pki_dir", "hart:roles:app:minion_config:open_mode",
        "hart:roles:app:minion_config:ssl", "master config:require_minion_sign_messages",
    ]  # fmt: skip


def test_local_files_with_a_master_are_possible() -> None:
    config = with_user(file_client="local", use_master_when_local=True)
    assert node(config).minion_config["file_client"] == "local"


@pytest.mark.parametrize("name", ["user", "cachedir", "sock_dir", "pidfile", "extension_modules", "log_file"])
def test_a_local_node_keeps_its_files_in_its_directory(name: str) -> None:
    assert list(faults(with_user("local", **{name: "x"}))) == [f"hart:roles:app:minion_config:{name}"]
    assert node(with_user(**{name: "x"})).minion_config[name] == "x"


def test_the_fingerprint_of_this_master_s_key_is_accepted() -> None:
    master = replace(MASTER, public_key=new_public_key())
    finger = master_fingerprint(master.public_key)
    assert node(with_user(master_finger=finger.upper()), master=master).minion_config["master_finger"]


def test_settings_that_only_the_user_can_make_are_required() -> None:
    master = with_terms(required={"ssl": "is required"})
    assert refused(master=master) == {"hart:roles:app:minion_config:ssl": "is required"}
    assert node(with_user(ssl={"ca_certs": "/x"}), master=master).minion_config["ssl"] == {"ca_certs": "/x"}


def test_signed_messages_need_a_master_that_can_verify_them() -> None:
    master = with_terms(message_algorithm="PKCS1v15-SHA1")
    assert node(with_user(minion_sign_messages=True), master=master).minion_config["minion_sign_messages"]


def test_a_minion_cannot_verify_publications_that_its_master_does_not_sign() -> None:
    assert refused(master=with_terms(signs_publications=False), sign_pub_messages=True)


@pytest.mark.parametrize("user", [{"master": ["a", "b"]}, {"always_verify_signature": True}])
def test_a_key_that_verifies_other_masters_must_be_there_where_it_is_needed(user: dict[str, Any]) -> None:
    master = with_terms(signs_key=True)
    found = faults(with_user(**user), master=master)
    assert "master_sign.pub" in found["master config:master_sign_pubkey"]
    assert node(with_user(), master=master).minion_config
    assert node(with_user(**user), master=with_terms(signs_key=True, signing_key="PEM")).minion_config


def test_the_name_of_that_key_is_no_path() -> None:
    assert list(refused(master_sign_key_name="../minion")) == ["hart:roles:app:minion_config:master_sign_key_name"]


@pytest.mark.parametrize("version", ["3005", "3005.1", "3006.0", "3006.11", "3007.3"])
def test_a_release_that_this_master_turns_away_is_refused(version: str) -> None:
    config = loaded(providers=DO, roles={"app": {"salt_version": version}})
    found = faults(config, master=with_terms(minimum_auth_version=3))
    assert list(found) == ["hart:roles:app:salt_version"]
    assert "minimum_auth_version" in found["hart:roles:app:salt_version"]
    assert node(config, master=with_terms(minimum_auth_version=2)).settings.salt_version == version


@pytest.mark.parametrize("version", ["3006", "3006.12", "3006.*", "3007.4", "3008.0", "3008"])
def test_a_release_with_the_newer_protocol_is_accepted(version: str) -> None:
    config = loaded(providers=DO, roles={"app": {"salt_version": version}})
    assert node(config, master=with_terms(minimum_auth_version=3)).settings.salt_version == version


def test_a_look_at_a_role_reports_what_prevents_a_new_node_as_notes() -> None:
    master = with_terms(refusals={"require_minion_sign_messages": "needs x"})
    config = unaddressed(providers=DO, roles={"app": {"minion_config": {"pki_dir": "/x"}}})
    found = show(node(config, master=master, preview=True), master)
    assert [note.split()[0] for note in found["notes"]] == [
        "hart:saltmaster", "minion_config:pki_dir", "master",
    ]  # fmt: skip


# several masters


@pytest.mark.parametrize("where", ["saltmaster", "master"])
def test_a_list_of_masters_means_all_of_them_unless_failover_is_asked_for(where: str) -> None:
    def configuration(**user: Any) -> dict[str, Any]:
        if where == "master":
            return dict(node(with_user(master=["a", "b"], **user)).minion_config)
        return dict(
            node(loaded(saltmaster=["a", "b"], providers=DO, roles={"app": {"minion_config": user}})).minion_config
        )

    hot = configuration()
    assert hot["master"] == ["a", "b"]
    assert hot.keys().isdisjoint({"master_type", "retry_dns", "master_alive_interval"})
    failover = configuration(master_type="failover")
    assert (failover["master_type"], failover["retry_dns"], failover["master_alive_interval"]) == ("failover", 0, 90)


@pytest.mark.parametrize("master", ["a", ["a"]])
def test_one_master_keeps_its_address_up_to_date(master: Any) -> None:
    found = node(loaded(saltmaster=master, providers=DO, roles={"app": {}})).minion_config
    assert (found["master"], found["master_type"]) == (master, "failover")


def test_an_empty_master_of_the_user_is_none() -> None:
    assert node(with_user(master=None)).minion_config["master"] == "salt.example.com"


# spot nodes


def of_spot(provider: str = "ec2", spot: bool = True, **user: Any) -> dict[str, Any]:
    providers = {"ec2": {"region": "eu-west-1"}, "gce": {"project": "p", "region": "europe-west1", "zone": "a"}}
    role = {provider: {"spot": spot}, "minion_config": user}
    config = loaded(providers={provider: providers[provider]}, roles={"app": role})
    return dict(node(config, provider=provider).minion_config)


@pytest.mark.parametrize("provider", ["ec2", "gce"])
def test_a_spot_node_looks_for_an_interruption_and_returns_nothing_to_the_master(provider: str) -> None:
    found = of_spot(provider)
    assert found["schedule"] == {
        "hart-interruption": {
            "function": "test.try", "kwargs": {"module": "hart.interruption", "wake": True}, "seconds": 5,
            "maxrunning": 1, "return_job": False,
        }
    }  # fmt: skip
    assert found["module_dirs"] == ["/var/lib/hart"]
    assert of_spot(provider) == found


def test_no_other_node_does() -> None:
    assert of_spot(spot=False).keys().isdisjoint({"schedule", "module_dirs"})
    assert node(with_user()).minion_config.keys().isdisjoint({"schedule", "module_dirs"})


def test_the_users_own_schedule_stays_and_can_switch_it_off() -> None:
    own = {"mine": {"function": "test.ping", "hours": 1}, "hart-interruption": {"enabled": False}}
    found = of_spot(schedule=own, module_dirs=["/srv/salt"])
    assert found["schedule"]["mine"] == own["mine"]
    assert (found["schedule"]["hart-interruption"]["enabled"], found["module_dirs"]) == (False, ["/srv/salt"])


@pytest.mark.parametrize(
    "user",
    [{"whitelist_modules": ["config", "test"]}, {"disable_modules": ["test"]}, {"disable_modules": ["hart"]}],
    ids=str,
)
def test_a_minion_that_may_not_run_the_function_gets_no_job_for_it(user: dict[str, Any]) -> None:
    """Salt would log a traceback every five seconds."""
    assert "schedule" not in of_spot(**user)
    assert "schedule" in of_spot(whitelist_modules=["config", "test", "hart"], disable_modules=["cmd"])
