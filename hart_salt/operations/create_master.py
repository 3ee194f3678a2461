"""
A new salt-master in a cloud, made from any machine: what is asked for, and how a node becomes one.

It boots, is reached, sealed and undone like any node; see ``node/lifecycle.py``. Between bootstrap and sealing it gets
hart-salt, its master is started, and the fingerprint of its key is read over the verified session.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import PlainValidator

from hart_salt.base.errors import ConfigError, Fault, NodeFailed, Refused
from hart_salt.config.settings import Section, as_minion_config, as_text, as_url, problem
from hart_salt.config.validation import check_section
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.context import Context
from hart_salt.master import keys
from hart_salt.model import Node
from hart_salt.node import bootstrap, ssh
from hart_salt.node.batch import NodeKind
from hart_salt.node.lifecycle import COMMAND_TIMEOUT, Lifecycle
from hart_salt.operations import create
from hart_salt.operations import own_wheel as wheel

#: settings of a node that its master carries out, and that a new master has nobody for
OF_MINIONS = ("apply", "drain")
#: what may be given to ``hart.create`` and its like, and why not here
MISPLACED = {
    **dict.fromkeys(OF_MINIONS, "is for minions; what a new master is to run is script"),
    "role": "is for minions; give the settings of a new master one by one",
    "count": "is for minions; a call creates one master",
}


def _as_key_line(value: Any) -> str:
    """Take an OpenSSH public key; a private one is refused like anything else, and never repeated."""
    line = as_text(value)
    try:
        ssh.key_fingerprint(line)
    except ValueError:
        raise problem("must be one line with an OpenSSH public key, as in a file such as id_ed25519.pub") from None
    return line


def _as_grains(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise problem('must be a mapping, such as \'{"team": "web"}\'')
    grains: dict[str, Any] = as_minion_config({"grains": value})["grains"]
    return grains


def _as_requirement(value: Any) -> str:
    """Take what pip takes as one argument, without options: ``hart-salt[do] @ https://…``."""
    requirement = as_text(value)
    if requirement.startswith("-") or not re.match(r"[A-Za-z0-9]", requirement):
        raise problem(
            "must be what pip installs, such as hart-salt[do] @ https://example.com/hart_salt-1.0.0-py3-none-any.whl"
        )
    return requirement


def _as_index(value: Any) -> str:
    address = as_url(value)
    if not address.startswith("https://"):
        raise problem("must be an address that starts with https://: what is installed from there is trusted")
    return address


class MasterOptions(Section):
    """What is asked for beyond the settings that all nodes have."""

    authorize_key: Annotated[str, PlainValidator(_as_key_line)] | None = None
    grains: Annotated[dict[str, Any], PlainValidator(_as_grains)] | None = None
    hart_salt: Annotated[str, PlainValidator(_as_requirement)] | None = None
    pip_index: Annotated[str, PlainValidator(_as_index)] | None = None


def options(given: Mapping[str, Any]) -> MasterOptions:
    """Check what was given, where None means nothing. Raises ``ConfigError`` with all that is wrong."""
    named = {name: value for name, value in given.items() if value is not None}
    checked, problems = check_section(MasterOptions, named)
    if checked is None or problems:
        raise ConfigError([Fault(f"argument:{name}", text) for name, text in problems])
    made: MasterOptions = checked
    return made


def settings_with(wanted: MasterOptions, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the call as settings of the node: ``grains`` go over those of ``minion_config``."""
    faults = [Fault(f"argument:{name}", why) for name, why in MISPLACED.items() if settings.get(name) is not None]
    if faults:
        raise ConfigError(faults)
    config = settings.get("minion_config") or {}
    if not wanted.grains or not isinstance(config, Mapping):
        return dict(settings)
    below = config.get("grains") or {}
    grains = {**below, **wanted.grains} if isinstance(below, Mapping) else below
    return {**settings, "minion_config": {**config, "grains": grains}}


def fit(node: Node, driver: Driver) -> Node:
    """The node without what is for minions alone. Raises ``Refused`` for a driver that makes no whole machines."""
    if driver.platform not in bootstrap.MASTER_PLATFORMS:
        raise Refused(f"{node.provider} cannot have a salt-master: its instances are no machines; name a cloud")
    return dataclasses.replace(node, settings=node.settings.model_copy(update=dict.fromkeys(OF_MINIONS)))


@dataclass(frozen=True)
class _Goods:
    """What is brought to the node over its session."""

    wheel: bytes
    authorize_key: str | None


def create_master(
    node: Node, driver: Driver, context: Context, wanted: MasterOptions
) -> tuple[dict[str, Any], int | None]:
    """
    Create it. Returns its outcome by its id, and the number of the signal that ended the work early, if one did.

    Whatever fails is undone as with ``create.create_all``. Raises ``Refused`` before anything is touched.
    """
    spec = _spec(wanted, node.driver)
    goods = _Goods(wheel.build() if spec.wheel else b"", wanted.authorize_key)
    kind = NodeKind("master", functools.partial(_become_master, goods), spec)
    data, interrupted = create.create_all([node], driver, context, kind)
    entry = data[node.minion_id]
    if entry["result"]:
        entry["ssh_host_key_fingers"] = [ssh.key_fingerprint(line) for line in entry["ssh_host_keys"]]
    return data, interrupted


def _spec(wanted: MasterOptions, driver: str) -> bootstrap.InstallSpec:
    """What was asked for, or the hart-salt that is installed here, with what it needs for this driver."""
    index = wanted.pip_index or ""
    if wanted.hart_salt:
        return bootstrap.InstallSpec(wanted.hart_salt, index=index)
    extra = f"[{driver}]" if driver in wheel.extras() else ""
    return bootstrap.InstallSpec(f"{bootstrap.RUN_DIR}/{wheel.file_name()}{extra}", wheel.file_name(), index)


async def _become_master(goods: _Goods, life: Lifecycle, session: ssh.Session, result: bootstrap.Result) -> None:
    known = life.commands()
    await life.advance("equipping")
    if goods.wheel:
        await session.run(known.carry, stdin=goods.wheel, timeout=COMMAND_TIMEOUT)
    what, timeout = "the installation of hart-salt", life.node.settings.bootstrap_timeout
    if status := await life.follow(session, known.equip, what, timeout):
        raise NodeFailed(f"hart-salt could not be installed: salt-pip ended with exit code {status}")
    await life.advance("starting")
    try:
        await session.run(known.start, stdin=life.configuration(), timeout=life.node.settings.ready_timeout)
    except NodeFailed as error:
        raise NodeFailed(f"the new salt-master did not get ready: {error}") from error
    key = keys.check_public_key(await session.run(known.master_key, timeout=COMMAND_TIMEOUT))
    life.note(master_key_finger=keys.master_fingerprint(key))
    if goods.authorize_key:
        await session.run(known.authorize, stdin=goods.authorize_key, timeout=COMMAND_TIMEOUT)
