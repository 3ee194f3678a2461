"""The digest of a node: what enters it, that no secret does, and what differs between two."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from hart_salt import drivers
from hart_salt.base.redaction import Secrets
from hart_salt.config.loader import Config, Source, load
from hart_salt.config.settings import Settings
from hart_salt.model import MasterInfo, Node
from hart_salt.planning import digest
from hart_salt.planning.digest import PARTS, differences, digest_of, is_digest
from hart_salt.planning.resolve import resolve
from tests.parts import master_info

NOW = datetime(2026, 3, 7, 23, 30, tzinfo=timezone.utc)
MASTER = replace(master_info(Path("/nowhere")), master_id="master", public_key="", salt_version="3008.3")
SCHEMAS = drivers.schemas()
#: settings that are parts of their own, and the word of the part
OWN_PARTS = {"size": "size", "image": "image", "salt_version": "release"}
#: common settings that enter the part ``settings``, each with a value other than its default
ENTERING: Mapping[str, Any] = {
    "minion_config": {"log_level": "info"}, "script": "/srv/setup.sh", "apply": "highstate", "salt_source": "none",
    "salt_repo": "https://mirror.example.com/", "salt_repo_key": "/etc/hart/mirror.asc", "security_upgrades": "off",
    "public_ip": False, "private_networking": True, "baked_upgrades": "after",
}  # fmt: skip
#: common settings that do not enter, each with a value other than its default
OUTSIDE: Mapping[str, Any] = {
    "region": "fra1", "zone": "z2", "saltmaster": ["m1.example.com", "m2.example.com"], "tags": ["blue"],
    "role_naming_scheme": "{role}-{unique_id}", "drain": "drained", "protect": True, "ttl": "8h", "keep_failed": True,
    "connect_via": "private", "log_days": 7, "boot_timeout": 1, "bootstrap_timeout": 2, "ready_timeout": 3,
    "apply_timeout": 4, "drain_timeout": 5, "start_timeout": 6, "image_timeout": 7,
    "base_image": "bookworm", "bake": "highstate", "bake_keep": 8,
}  # fmt: skip


def loaded(role: Mapping[str, Any], sdb: Mapping[str, Any] | None = None, **data: Any) -> Config:
    settings = {"saltmaster": "salt.example.com", "providers": {"do": {"token": "planted-t0ken", "region": "nyc3"}}}
    found = {f"sdb://vault/{name}": value for name, value in (sdb or {}).items()}
    roles = {"app": {"size": "s-1vcpu-1gb", **role}}
    return load([Source("test", {**settings, **data, "roles": roles})], SCHEMAS, lambda uri: found.get(uri, uri))


def made(config: Config, master: MasterInfo = MASTER, **more: Any) -> Node:
    return resolve(config, SCHEMAS, master, **{"role": "app", "now": NOW, "preview": True, **more})


def of(role: Mapping[str, Any] | None = None, sdb: Mapping[str, Any] | None = None, **data: Any) -> str:
    return made(loaded(role or {}, sdb, **data)).digest


def test_a_digest_fits_into_a_label_of_every_provider() -> None:
    found = of()
    assert is_digest(found)
    assert re.fullmatch("[0-9a-z-]{1,63}", found)
    assert len(found.split("-")) == 1 + len(PARTS)


def test_a_digest_is_the_same_in_every_process_and_every_release() -> None:
    """If this fails, every node of every fleet differs from its configuration after an update of hart."""
    plain = "1-65107e62-986ec20d-fe2fd151-8b02980e-644b00b0-2ef8519c"
    whole = "1-65107e62-986ec20d-9ada3efd-5a9b17c7-5211775d-2ef8519c"
    more = {"image": "bookworm", "salt_version": "3007.*", "minion_config": {"b": 1, "a": [None, {"c": 1.5}], 5: True}}
    assert (of(), of({**more, "do": {"vpc": "5a4981aa-9653-4bd1-bef5-d6bff52042e4"}})) == (plain, whole)


def test_a_digest_does_not_depend_on_the_seed_of_hashes() -> None:
    settings = {"minion_config": {"b": 1, "a": {"d": 1, "c": 2}}}
    code = f"from tests.unit.planning.test_digest import of; print(of({settings}))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(seen) == 1


# what enters


def test_every_common_setting_enters_or_stays_outside() -> None:
    """A new setting needs a decision: ``digest.LEFT_OUT``, or ``ENTERING`` above."""
    assert {*OWN_PARTS, *ENTERING, *OUTSIDE} == {*Settings.model_fields}
    assert {*OWN_PARTS, *OUTSIDE, "minion_config"} == digest.LEFT_OUT


@pytest.mark.parametrize("name", ENTERING)
def test_what_matters_to_the_machine_is_drift_of_the_settings(name: str) -> None:
    changed = of({name: ENTERING[name]})
    expected = ("release", "settings") if name == "salt_source" else ("settings",)
    assert differences(of(), changed) == expected


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_does_not_matter_to_the_machine_is_no_drift(name: str) -> None:
    assert of({name: OUTSIDE[name]}) == of()


@pytest.mark.parametrize(
    ("settings", "part"),
    [({"size": "s-2vcpu-2gb"}, "size"), ({"image": "bookworm"}, "image"), ({"salt_version": "3007"}, "release"),
     ({"do": {"firewall": "web"}}, "settings"), ({"do": {"nyc3": {"backups": True}}}, "settings"),
     ({"minion_config": {"grains": {"team": "blue"}}}, "settings")],
)  # fmt: skip
def test_a_change_is_drift_of_its_part_only(settings: Mapping[str, Any], part: str) -> None:
    assert differences(of(), of(settings)) == (part,)


def test_role_release_of_the_master_and_bootstrap_are_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    config = loaded({})
    plain = made(config)
    other = replace(plain, role="db")
    assert differences(plain.digest, digest_of(other, MASTER, config.secrets)) == ("role",)
    assert differences(plain.digest, made(config, replace(MASTER, salt_version="3009.1")).digest) == ("release",)
    assert made(config, replace(MASTER, salt_version="3008.4")).digest == plain.digest, "of the same series"
    monkeypatch.setattr(digest, "BOOTSTRAP", digest.BOOTSTRAP + 1)
    assert differences(plain.digest, made(config).digest) == ("bootstrap",)


def test_a_value_that_equals_its_default_is_no_drift() -> None:
    assert of({"security_upgrades": "before", "public_ip": True, "image": "trixie", "do": {"backups": False}}) == of()
    assert of({"minion_config": {"grains": None}}) == of({"minion_config": {}}) == of()
    assert of({"salt_version": "3008"}) == of({"salt_version": "3008.*"}) == of()


def test_two_nodes_of_a_role_have_the_same_digest() -> None:
    config = loaded({})
    one = resolve(config, SCHEMAS, MASTER, role="app", now=NOW)
    two = resolve(config, SCHEMAS, MASTER, role="app", now=NOW + timedelta(days=40), zone=None, batch="b2")
    assert one.minion_id != two.minion_id
    assert one.digest == two.digest == made(config).digest


def test_another_master_of_a_cluster_changes_nothing() -> None:
    masters = {name: {"address": f"{name}.example.com", "minion": name} for name in ("master", "second")}
    others = {**masters, "third": {"address": "third.example.com", "minion": "third"}}
    found = {of(), of(masters=masters), of(masters=others), of({"minion_config": {"master": ["a", "b"]}})}
    assert len(found) == 1
    assert made(loaded({}, masters=others)).minion_config["master"] != made(loaded({})).minion_config["master"]


def test_a_salt_master_has_no_digest() -> None:
    assert made(loaded({}), role=None, minion_id="new-master", masterless=True).digest == ""


# secrets


def _key(secret: str) -> tuple[Any, dict[str, Any]]:
    return {"minion_config": {"deep": [{"mysql": {"pass": secret}}]}}, {}


def _list(secret: str) -> tuple[Any, dict[str, Any]]:
    return {"minion_config": {"tokens": [secret, {"x": secret}]}}, {}


def _keys_below(secret: str) -> tuple[Any, dict[str, Any]]:
    return {"minion_config": {"passwords": {secret: {"user": secret}}}}, {}


def _sdb(secret: str) -> tuple[Any, dict[str, Any]]:
    return {"minion_config": {"opaque": "sdb://vault/x", "list": ["a", "sdb://vault/x"]}}, {"x": secret}


def _part_of_sdb(secret: str) -> tuple[Any, dict[str, Any]]:
    return {"do": {"volumes": "sdb://vault/x"}}, {"x": f"first,{secret}"}


def _number_of_sdb(secret: str) -> tuple[Any, dict[str, Any]]:
    return {"minion_config": {"pin": "sdb://vault/x"}}, {"x": sum(map(ord, secret))}


def _mapping_of_sdb(secret: str) -> tuple[Any, dict[str, Any]]:
    return {"minion_config": {"pillar": "sdb://vault/x"}}, {"x": {"a": [secret], "b": {"c": secret}}}


def _image(secret: str) -> tuple[Any, dict[str, Any]]:
    return {"image": "sdb://vault/x"}, {"x": secret}


def _size(secret: str) -> tuple[Any, dict[str, Any]]:
    return {"size": "sdb://vault/x"}, {"x": secret}


def _address(secret: str) -> tuple[Any, dict[str, Any]]:
    return {"salt_repo": f"https://user:{secret}@mirror.example.com/"}, {}


def _script(secret: str) -> tuple[Any, dict[str, Any]]:
    return {"script": f"/srv/setup.sh --password={secret} --verbose", "do": {"vpc": f"x --token {secret}"}}, {}


def _command(secret: str) -> tuple[Any, dict[str, Any]]:
    text = f"login --api-token '{secret} more' -v; export DB_PASSWORD={secret}; password: {secret}"
    return {"minion_config": {"schedule": {"job": {"args": [text]}}}}, {}


def _private_key(secret: str) -> tuple[Any, dict[str, Any]]:
    pem = f"-----BEGIN RSA PRIVATE KEY-----\n{secret}\n-----END RSA PRIVATE KEY-----\n"
    return {"minion_config": {"files": [f"before {pem} after"]}}, {}


def _elsewhere(secret: str) -> tuple[Any, dict[str, Any]]:
    """The text of a secret in a place that does not look like one."""
    return {"minion_config": {"db": {"password": secret}, "url": f"x/{secret}/y", secret: 1, "b": 2}}, {}


def _setting(secret: str) -> tuple[Any, dict[str, Any]]:
    return {"do": {"vpc": "sdb://vault/x", "firewall": "sdb://vault/x"}, "script": "sdb://vault/x"}, {"x": secret}


#: where a secret can be
PLACES: Mapping[str, Callable[[str], tuple[Any, dict[str, Any]]]] = {
    one.__name__.strip("_"): one
    for one in (_key, _list, _keys_below, _sdb, _part_of_sdb, _number_of_sdb, _mapping_of_sdb, _image, _size, _address,
                _script, _command, _private_key, _elsewhere, _setting)
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_a_secret_never_enters(place: str) -> None:
    """A changed secret is no drift, and nothing of the text can be guessed from."""
    seen = set()
    for secret in ("planted-s3cret-one", "another-s3cret", "zzz-last-s3cret/with=other:characters"):
        role, sdb = PLACES[place](secret)
        seen.add(of(role, sdb))
    assert len(seen) == 1
    assert seen != {of()}, "that there is one may show"


@pytest.mark.parametrize("place", ["key", "list", "sdb", "number_of_sdb", "mapping_of_sdb", "address", "setting"])
@given(secret=st.text("uvw789", min_size=1, max_size=12))
def test_not_even_a_short_secret_enters(place: str, secret: str) -> None:
    """A secret of a few characters is hidden nowhere else in texts."""
    before, after = (of(*PLACES[place](one)) for one in ("s3cr", secret))
    assert before == after


def test_arguments_of_a_call_are_masked_like_the_configuration() -> None:
    config = loaded({})
    found = {
        made(config, arguments={"minion_config": {"db_password": secret, "x": f"<{secret}>"}}).digest
        for secret in ("planted-s3cret-one", "planted-s3cret-two")
    }
    assert len(found) == 1


def test_a_secret_type_of_another_packages_driver_is_masked() -> None:
    hidden = digest._Hidden(Secrets())
    assert hidden.of([SecretStr("one")]) == hidden.of([SecretStr("two")])


def test_flags_under_a_name_that_looks_secret_are_no_secrets() -> None:
    assert differences(
        of({"minion_config": {"password_authentication": True}}),
        of({"minion_config": {"password_authentication": False}}),
    ) == ("settings",)


# the comparison


@given(st.one_of(st.none(), st.text(max_size=80), st.text("0123456789abcdef-", max_size=70)))
def test_text_of_a_tag_that_is_no_digest_is_never_drift(text: str | None) -> None:
    assert differences(text, of()) == () or is_digest(text)
    assert differences(of(), text or "") == () or is_digest(text)


def test_formats_that_differ_are_not_compared() -> None:
    assert differences("2" + of()[1:], of({"image": "bookworm"})) == ()
    assert differences("-".join(of().split("-")[:-1]), of({"image": "bookworm"})) == ()


def test_a_part_of_a_later_release_is_not_compared() -> None:
    assert differences(f"{of()}-01234567", of({"image": "bookworm"})) == ("image",)


def test_every_part_can_differ_at_once() -> None:
    other = "-".join(["1", *["00000000"] * len(PARTS)])
    assert differences(other, of()) == PARTS


def test_the_end_is_the_creation_time_and_the_ttl_in_whole_seconds() -> None:
    assert made(loaded({})).ends is None
    assert made(loaded({"ttl": "8h"})).ends == NOW.timestamp() + 8 * 3600
    assert made(loaded({"ttl": "8h"}), now=NOW + timedelta(seconds=0.25)).ends == NOW.timestamp() + 8 * 3600 + 1
    assert made(loaded({"ttl": "8h"}), arguments={"ttl": 60}).ends == NOW.timestamp() + 60
    assert made(loaded({"ttl": None}, ttl="8h")).ends is None, "a role can switch the default off"


def test_a_node_is_the_same_but_for_its_marks() -> None:
    with_ttl, without = made(loaded({"ttl": "8h"})), made(loaded({}))
    assert dataclasses.replace(with_ttl, settings=without.settings, ends=None) == without
