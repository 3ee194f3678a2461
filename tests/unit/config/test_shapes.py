"""No shape of data is a defect: it is refused with faults, or it can be planned, written out and shown."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hart_salt import drivers
from hart_salt.base.errors import ConfigError, HartError
from hart_salt.base.gate import Gate
from hart_salt.base.shape import copied
from hart_salt.config.loader import Source, load
from hart_salt.planning.resolve import resolve, show
from tests.parts import master_info

NOW = datetime(2026, 11, 29, tzinfo=timezone.utc)
MASTER = replace(master_info(Path("/nowhere")), master_id="salt_master", public_key="")

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=4)
    | st.dates()
    | st.sampled_from(["do", "local", "web", "size", "60", "true", "sdb://x/y", "", "None"])
)
_WORDS = st.sampled_from(
    ["providers", "roles", "do", "ec2", "gce", "local", "web", "driver", "token", "size", "region", "tags", "nyc3"]
    + ["minion_config", "grains", "boot_timeout", "volume_size", "provider", "drain", "apply", "image", "saltmaster"]
    + ["aws_access_key_id", "profile", "key", "no_public_ip", "salt_version", "args", "kwargs", "function"]
)
_KEYS = (
    _WORDS | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.dates()
)
_SHAPES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=5) | st.sets(st.integers()),
    max_leaves=25,
)


def planned(data: dict[Any, Any], arguments: dict[str, Any]) -> None:
    """Load the data and plan a node of each role. Raises ``HartError``."""
    schemas = drivers.schemas()
    config = load([Source("master config", data)], schemas, lambda uri: uri)
    if faults := copied(arguments, "argument")[1]:
        raise ConfigError(faults)
    for role in config.roles:
        node = resolve(config, schemas, MASTER, now=NOW, role=role, arguments=arguments, preview=True)
        yaml.safe_dump(dict(node.minion_config))
        json.dumps(Gate(config.secrets).data(show(node)))


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(_KEYS, _SHAPES, max_size=5), st.booleans())
def test_any_configuration_is_planned_or_has_faults(data: dict[Any, Any], endless: bool) -> None:
    if endless:
        data["minion_config"] = {"again": data}
    try:
        planned(data, {})
    except ConfigError as error:
        assert error.faults
        assert all(fault.path.startswith(("hart", "argument")) for fault in error.faults)
    except HartError:
        pass
    else:
        assert not endless


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["local", "web", "size", "region", "tags"]), _SHAPES, max_size=5),
    st.dictionaries(_WORDS, _SHAPES, max_size=4),
)
def test_any_role_and_any_arguments_are_planned_or_refused(role: dict[str, Any], arguments: dict[str, Any]) -> None:
    for settings_of_role, given_settings in ((role, {}), ({}, arguments), ({"minion_config": role}, {})):
        try:
            planned({"providers": {"local": {}}, "roles": {"web": settings_of_role}}, given_settings)
        except HartError as error:
            assert str(error)
