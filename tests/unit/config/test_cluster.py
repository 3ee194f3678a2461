"""The settings of hart as a whole: read from each source, checked strictly, and never a node's."""

from __future__ import annotations

from typing import Any

import pytest

from hart_salt import drivers
from hart_salt.base.errors import ConfigError
from hart_salt.base.redaction import Secrets
from hart_salt.config import loader
from hart_salt.config.cluster import FIELDS, Cluster

API = {"api": "https://m2.example.com:8000", "username": "hart", "password": "a-pass-word"}


def load(*sections: Any, secrets: Secrets | None = None) -> Cluster:
    sources = [loader.Source(f"source {number}", section) for number, section in enumerate(sections)]
    return loader.load(sources, drivers.schemas(), lambda uri: "a-value-of-sdb", secrets).cluster


def faults(*sections: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(*sections)
    return str(caught.value).splitlines()


def test_a_master_of_its_own_has_no_peers() -> None:
    assert load({}) == Cluster(masters={}, masters_down="refuse")


def test_peers_of_several_sources_are_merged() -> None:
    found = load({"masters": {"m2": {"minion": "m2.example.com"}}}, {"masters": {"m2": {"address": "10.0.0.2"}}})
    assert (found.masters["m2"].minion, found.masters["m2"].address) == ("m2.example.com", "10.0.0.2")


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        ({"masters": None}, "hart:masters: has no value"),
        ({"masters": ["m2"]}, "hart:masters: must be a mapping of names to masters"),
        ({"masters": {"m2": None}}, "hart:masters:m2: has no value"),
        ({"masters": {"m2": "m2.example.com"}}, "hart:masters:m2: must be a mapping"),
        ({"masters": {2: {"minion": "m2"}}}, "hart:masters:2: YAML reads this name as the number 2"),
        ({"masters": {"m 2": {"minion": "m2"}}}, "hart:masters:m 2: a master's name may hold only"),
        ({"masters": {"m2": {}}}, "hart:masters:m2: needs either minion or api"),
        ({"masters": {"m2": {**API, "minion": "m2"}}}, "hart:masters:m2: has both minion and api; keep one"),
        ({"masters": {"m2": {"minoin": "m2"}}}, "hart:masters:m2:minoin: unknown setting, did you mean minion?"),
        ({"masters": {"m2": {"minion": "m2", True: 1}}}, "hart:masters:m2:true: YAML reads this name as true"),
        ({"masters": {"m2": {"minion": "m*"}}}, "hart:masters:m2:minion: must be the id of one minion"),
        ({"masters": {"m2": {"minion": "m2,m3"}}}, "hart:masters:m2:minion: must be the id of one minion"),
        ({"masters": {"m2": {"minion": None}}}, "hart:masters:m2:minion: has no value"),
        ({"masters": {"m2": {"minion": "m2", "eauth": "ldap"}}}, "hart:masters:m2:eauth: is only used with api"),
        ({"masters": {"m2": {"minion": "m2", "address": "m2:4506"}}}, "hart:masters:m2:address: must be a host name"),
        ({"masters": {"m2": {"minion": "m2", "timeout": 0}}}, "hart:masters:m2:timeout: must be a number above 0"),
        ({"masters": {"m2": {**API, "api": "http://m2.example.com"}}}, "hart:masters:m2:api: must be an address that"),
        ({"masters": {"m2": {"api": API["api"], "username": "u"}}}, "hart:masters:m2:password: is missing"),
        ({"masters": {"a": {"minion": "m"}, "b": {"minion": "m"}}}, "hart:masters:b:minion: is also that of a"),
        ({"masters_down": True}, "hart:masters_down: must be one of refuse, allow"),
        ({"mastres": {}}, "hart:mastres: unknown setting, did you mean masters?"),
    ],
)
def test_a_wrong_setting_is_one_sentence_that_names_it(section: Any, fault: str) -> None:
    (found,) = faults(section)
    assert found.startswith(fault)


@pytest.mark.parametrize("name", sorted(FIELDS))
@pytest.mark.parametrize("place", ["role", "provider"])
def test_no_node_has_one(name: str, place: str) -> None:
    section = {"roles": {"app": {name: "x"}}} if place == "role" else {"providers": {"local": {name: "x"}}}
    (found,) = faults(section)
    assert found.endswith(f":{name}: cannot be set here, only directly under hart")


def test_no_provider_has_the_name_of_one() -> None:
    assert any("cannot have the name of a setting" in it for it in faults({"providers": {"masters": {"driver": "do"}}}))


def test_a_password_is_hidden_even_if_something_else_is_wrong() -> None:
    secrets = Secrets()
    with pytest.raises(ConfigError):
        load({"masters": {"m2": {**API, "adress": "a"}}}, secrets=secrets)
    assert "a-pass-word" not in secrets.redact("it was a-pass-word")
    assert "a-pass-word" not in repr(load({"masters": {"m2": API}}))
