"""Settings accept what people write; their errors are in plain words and contain no value."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, field_validator

from hart_salt.base.text import suggestion
from hart_salt.config.settings import Section, Settings
from hart_salt.config.validation import check_field, check_section
from hart_salt.drivers import OWN, schemas
from hart_salt.drivers.do import driver as do
from hart_salt.drivers.ec2 import driver as ec2
from hart_salt.drivers.gce import driver as gce

OWN_SCHEMAS = [schemas()[name] for name in OWN]
OWN_SECTIONS = [section for schema in OWN_SCHEMAS for section in (schema.account, schema.options)]
PLANTED = "planted-s3cret-value"


def accepted(name: str, value: Any, section: type[Section] = Settings) -> Any:
    kept, problem = check_field(section, name, value)
    assert problem is None
    return kept


def refused(name: str, value: Any, section: type[Section] = Settings) -> str:
    _, problem = check_field(section, name, value)
    assert problem is not None
    return problem


@pytest.mark.parametrize(
    ("name", "written", "kept"),
    [
        ("size", "s-1vcpu-1gb", "s-1vcpu-1gb"),
        ("size", 201, "201"),
        ("image", 123456, "123456"),
        ("salt_version", 3008, "3008"),
        ("salt_version", "3006.10", "3006.10"),
        ("salt_version", "3008.*", "3008.*"),
        ("tags", "a", ["a"]),
        ("tags", "a, b", ["a", "b"]),
        ("tags", "a=1,b=2", {"a": "1", "b": "2"}),
        ("tags", {"a": 1}, {"a": "1"}),
        ("tags", ["k=v"], ["k=v"]),
        ("apply", "highstate", "highstate"),
        ("apply", "web, db.client", ["web", "db.client"]),
        ("apply", ["web"], ["web"]),
        ("saltmaster", "salt.example.com", "salt.example.com"),
        ("saltmaster", "a,b", ["a", "b"]),
        ("saltmaster", ["a"], ["a"]),
        ("security_upgrades", False, "off"),
        ("keep_failed", "yes", True),
        ("boot_timeout", 0.5, 0.5),
        ("region", None, None),
        ("minion_config", {"grains": {"a": (1, 2)}}, {"grains": {"a": [1, 2]}}),
    ],
)
def test_values_as_people_write_them_are_accepted(name: str, written: Any, kept: Any) -> None:
    assert accepted(name, written) == kept


@pytest.mark.parametrize(
    ("name", "written", "words"),
    [
        ("size", 3.5, "must be text; put it in quotes"),
        ("region", False, "must be text; put it in quotes"),
        ("region", " ", "must not be empty"),
        ("image", "a\nb", "one line"),
        ("salt_version", 3006.1, "must be in quotes: without them 3006.10 is read as 3006.1"),
        ("salt_version", "latest", "must be a Salt version"),
        ("salt_version", True, "must be a Salt version"),
        ("tags", "a=1,b", "key=value pairs"),
        ("tags", 1.5, "a list of texts"),
        ("apply", ["highstate", "web"], "not both"),
        ("apply", "", "must not be empty"),
        ("boot_timeout", 0, "above 0"),
        ("boot_timeout", float("inf"), "above 0"),
        ("boot_timeout", float("nan"), "above 0"),
        ("boot_timeout", True, "above 0"),
        ("boot_timeout", "6oo", "above 0"),
        ("connect_via", "both", "must be one of public, private"),
        ("security_upgrades", True, "must be one of before, after, off"),
        ("salt_repo", "ftp://mirror/", "https://"),
        ("salt_repo", "https://mirror/ main'; rm", "https://"),
        ("minion_config", "x", "must be a mapping"),
        ("minion_config", {"id": "me"}, "must not set id"),
        ("minion_config", {"a": object()}, "not plain data"),
        ("minion_config", {"grains": ["a"]}, "mapping as its grains"),
        ("role_naming_scheme", "{role.__class__}", "plain variables"),
        ("role_naming_scheme", "{role", "counterpart"),
        ("keep_failed", 1, "true or false"),
    ],
)
def test_a_wrong_value_is_explained_in_plain_words(name: str, written: Any, words: str) -> None:
    assert words in refused(name, written)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(Settings.model_fields)), anything)
def test_an_accepted_value_is_accepted_again_unchanged(name: str, value: Any) -> None:
    kept, problem = check_field(Settings, name, value)
    if problem is None:
        assert accepted(name, kept) == kept


@pytest.mark.parametrize("section", [Settings, *OWN_SECTIONS])
def test_no_error_holds_the_value(section: type[Section]) -> None:
    for name in section.model_fields:
        for value in (PLANTED + "\n", [PLANTED, 1.5], {PLANTED: object()}, object()):
            _, problem = check_field(section, name, value)
            assert PLANTED not in str(problem)


class Foreign(Section):
    """Settings of a driver in another package: only pydantic's own types."""

    count: int = Field(3, ge=1, le=9)
    ratio: Annotated[float, Field(gt=0)] = 1.0
    kind: Literal["a", "b"] | None = None
    names: list[str] = []
    flag: bool = False
    needed: str
    touchy: str = ""

    @field_validator("touchy")
    @classmethod
    def _touchy(cls, value: str) -> str:
        raise ValueError(f"I do not like {value}")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("count", "must be a whole number of at least 1 and of at most 9"),
        ("ratio", "must be a number above 0"),
        ("kind", "must be one of a, b"),
        ("names", "must be a list"),
        ("flag", "must be true or false"),
        ("needed", "must be text"),
    ],
)
def test_errors_of_pydantics_own_types_are_translated(name: str, words: str) -> None:
    assert refused(name, {PLANTED: 1}, Foreign) == words


def test_texts_of_foreign_checks_are_not_repeated() -> None:
    _, problems = check_section(Foreign, {"needed": "x", "touchy": PLANTED})
    assert problems == [("touchy", "must be text")]


def test_a_whole_section_reports_missing_unknown_and_wrong_together() -> None:
    _, problems = check_section(Foreign, {"cuont": 1, "count": 0})
    assert dict(problems) == {
        "needed": "is missing",
        "cuont": "unknown setting",
        "count": "must be a whole number of at least 1 and of at most 9",
    }


@pytest.mark.parametrize(
    ("section", "values", "words"),
    [
        (ec2.Account, {"aws_access_key_id": PLANTED}, "both or neither"),
        (ec2.Account, {"aws_access_key_id": PLANTED, "aws_secret_access_key": PLANTED, "profile": "x"}, "exclude"),
        (ec2.Options, {"volume_type": "gp2", "volume_iops": 3000}, "gp3, io1 or io2"),
        (gce.Account, {"project": "p", "key": PLANTED}, "both or neither"),
        (gce.Account, {"project": "p", "key": PLANTED, "user_id": "u", "key_file": "/x"}, "exclude"),
        (gce.Options, {"volume_iops": 3000}, "hyperdisk"),
    ],
)
def test_settings_that_cannot_be_combined_are_refused(section: Any, values: Any, words: str) -> None:
    _, [(place, problem)] = check_section(section, values)
    assert place == ""
    assert words in problem
    assert PLANTED not in problem


def test_reprs_show_names_and_no_values() -> None:
    account = do.Account(token=PLANTED)
    settings = Settings(minion_config={"password": PLANTED}, image=PLANTED)
    assert PLANTED not in f"{account!r} {account} {settings!r} {settings}"
    assert "minion_config" in repr(settings)


def test_every_setting_has_a_description() -> None:
    sections: list[type[Section]] = [Settings, *OWN_SECTIONS]
    missing = [f for s in sections for f, info in s.model_fields.items() if not info.description]
    assert missing == []


def test_every_alias_leads_to_a_setting() -> None:
    for schema in OWN_SCHEMAS:
        assert {alias.name for alias in schema.options.ALIASES.values()} <= set(schema.options.model_fields)
    assert {alias.name for alias in Settings.ALIASES.values()} <= set(Settings.model_fields)


def test_no_driver_redefines_a_common_setting() -> None:
    common = {*Settings.model_fields, *Settings.ALIASES}
    for section in OWN_SECTIONS:
        assert not common & {*section.model_fields, *section.ALIASES}


def test_a_similar_word_is_suggested_and_a_different_one_is_not() -> None:
    assert suggestion("szie", ["size", "zone"]) == ", did you mean size?"
    assert suggestion("SIZE", ["size", "zone"]) == ", did you mean size?"
    assert suggestion("colour", ["size", "zone"]) == ""
