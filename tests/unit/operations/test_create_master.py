"""The options of a new salt-master: what is accepted, what is refused, and with which message."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import asyncssh
import pytest

from hart_salt.base.errors import ConfigError, Refused
from hart_salt.config.loader import Source, load
from hart_salt.model import Node
from hart_salt.node import ssh
from hart_salt.operations import create_master, own_wheel
from hart_salt.planning import resolve
from tests.unit.planning.test_resolve import DO, MASTER, SCHEMAS

KEY = asyncssh.generate_private_key("ssh-ed25519", comment="admin@example")
LINE = KEY.export_public_key().decode().strip()
PRIVATE = KEY.export_private_key().decode()


def node(defaults: dict[str, Any] | None = None, **arguments: Any) -> Node:
    """Return the node of a new master; its caller's Salt is 3008.3."""
    config = load([Source("test", {"providers": DO, **(defaults or {})})], SCHEMAS, lambda uri: uri)
    return resolve.resolve(
        config, SCHEMAS, MASTER, minion_id="salt", provider="do", arguments={"region": "nyc3", **arguments},
        now=datetime.now(timezone.utc), masterless=True,
    )  # fmt: skip


def test_an_option_that_is_not_given_is_not_set() -> None:
    names = ("authorize_key", "grains", "hart_salt", "pip_index")
    wanted = create_master.options(dict.fromkeys(names))
    assert [getattr(wanted, name) for name in names] == [None] * 4


def test_a_key_line_is_accepted_with_its_comment() -> None:
    assert create_master.options({"authorize_key": f" {LINE} "}).authorize_key == LINE


@pytest.mark.parametrize(
    "value",
    [PRIVATE, PRIVATE.replace("\n", " "),
     "-----BEGIN OPENSSH PRIVATE KEY----- b3B+++c -----END OPENSSH PRIVATE KEY-----",
     "/root/.ssh/id.pub", f"{LINE}\n{LINE}", 7, ""],
)  # fmt: skip
def test_text_that_is_not_a_public_key_line_is_refused_and_not_quoted(value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        create_master.options({"authorize_key": value})
    assert str(caught.value).startswith("argument:authorize_key: must ")
    assert str(value)[:20] not in str(caught.value) or value == ""


@pytest.mark.parametrize(("name", "value"), [
    ("grains", ["a"]), ("grains", "a"), ("hart_salt", "-r x"), ("hart_salt", "./x"), ("pip_index", "http://example.com/"),
    ("pip_index", "file:///x"),
])  # fmt: skip
def test_each_mistake_is_reported_with_its_place(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^argument:{name}: must be "):
        create_master.options({name: value})


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        create_master.options({"grains": 1, "hart_salt": 1.5, "pip_index": "x"})
    assert len(caught.value.faults) == 3


@pytest.mark.parametrize("name", ["apply", "drain", "role", "count"])
def test_arguments_that_are_only_for_minions_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"argument:{name}: is for minions"):
        create_master.settings_with(create_master.options({}), {name: "highstate"})


def test_grains_override_those_of_minion_config() -> None:
    given = {"minion_config": {"log_level": "info", "grains": {"a": 1, "b": 1}}, "size": "s"}
    made = create_master.settings_with(create_master.options({"grains": {"b": 2}}), given)
    assert made == {"size": "s", "minion_config": {"log_level": "info", "grains": {"a": 1, "b": 2}}}


def test_its_minion_has_no_master_and_its_own_settings_win() -> None:
    config = node(minion_config={"state_verbose": True, "grains": {"team": "ops"}}).minion_config
    assert (config["id"], config["file_client"], config["state_verbose"]) == ("salt", "local", True)
    assert (config["grains"]["team"], config["grains"]["hart.provider"], config["grains"]["roles"]) == ("ops", "do", [])
    assert not {"master", "master_type", "master_port"} & set(config)


def test_its_salt_can_be_newer_than_the_caller_s() -> None:
    assert node(salt_version="3009").settings.salt_version == "3009"


def test_defaults_that_are_only_for_minions_do_not_apply_to_it() -> None:
    class Driver:
        platform = "debian"

    made = node({"apply": "highstate", "drain": "stop"})
    fitted = create_master.fit(made, Driver)  # type: ignore[arg-type]  # only this field is read
    assert (made.settings.apply, fitted.settings.apply, fitted.settings.drain) == ("highstate", None, None)


def test_a_driver_without_whole_machines_is_refused() -> None:
    class Driver:
        platform = "local"

    with pytest.raises(Refused, match="do cannot have a salt-master, .* use the provider of a cloud"):
        create_master.fit(node(), Driver)  # type: ignore[arg-type]  # only this field is read


@pytest.mark.parametrize(("asked", "driver", "requirement"), [
    (None, "do", "/run/hart/hart_salt-{version}-py3-none-any.whl[do]"),
    (None, "of-others", "/run/hart/hart_salt-{version}-py3-none-any.whl"),
    ("hart-salt[all]==1.0.0", "do", "hart-salt[all]==1.0.0"),
])  # fmt: skip
def test_the_given_requirement_or_the_caller_s_own_package_is_installed(
    asked: str | None, driver: str, requirement: str
) -> None:
    spec = create_master._spec(create_master.options({"hart_salt": asked}), driver)
    assert spec.requirement == requirement.format(version=own_wheel._distribution().version)
    assert bool(spec.wheel) is (asked is None)


def test_fingerprints_equal_those_of_ssh_keygen() -> None:
    assert ssh.key_fingerprint(LINE) == KEY.get_fingerprint()
    with pytest.raises(ValueError, match="not an OpenSSH public key line"):
        ssh.key_fingerprint("x")
