"""
Create a new salt-master in a cloud, from any machine.

It boots, is reached, sealed and rolled back like any node; see ``node/lifecycle.py``. Between bootstrap and sealing,
hart installs hart-salt, starts the master, and reads the fingerprint of its key over the verified session.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import PlainValidator

from hart_salt.base.errors import ConfigError, Fault, NodeFailed, Refused
from hart_salt.config.settings import Section, as_minion_config, as_text, as_url, problem
from hart_salt.config.validation import check_section
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.context import Context
from hart_salt.master import public_keys
from hart_salt.model import Node
from hart_salt.node import bootstrap, ssh
from hart_salt.node.batch import NodeKind
from hart_salt.node.lifecycle import COMMAND_TIMEOUT, Lifecycle
from hart_salt.operations import create
from hart_salt.operations import own_wheel as wheel

#: settings of a node that its master carries out; a new master has no master
OF_MINIONS = ("apply", "drain")
#: arguments of ``hart.create`` that a new master cannot have, and why
MISPLACED = {
    **dict.fromkeys(OF_MINIONS, "is for minions; use script to run something on a new master"),
    "role": "is for minions; pass the settings of a new master as arguments",
    "count": "is for minions; a call creates one master",
}


def _as_key_line(value: Any) -> str:
    """
    Return an OpenSSH public key line.

    Raises ``ValueError`` for anything else, such as a private key, without quoting it.
    """
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
    """Return one argument of pip that is not an option, such as ``hart-salt[do] @ https://…``."""
    requirement = as_text(value)
    if requirement.startswith("-") or not re.match(r"[A-Za-z0-9]", requirement):
        raise problem(
            "must be what pip installs, such as hart-salt[do] @ https://example.com/hart_salt-1.0.0-py3-none-any.whl"
        )
    return requirement


def _as_index(value: Any) -> str:
    address = as_url(value)
    if not address.startswith("https://"):
        raise problem("must be a URL that starts with https://, because packages from there are trusted")
    return address


class MasterOptions(Section):
    """The options of a new master besides the settings that all nodes have."""

    authorize_key: Annotated[str, PlainValidator(_as_key_line)] | None = None
    grains: Annotated[dict[str, Any], PlainValidator(_as_grains)] | None = None
    hart_salt: Annotated[str, PlainValidator(_as_requirement)] | None = None
    pip_index: Annotated[str, PlainValidator(_as_index)] | None = None


def options(given: Mapping[str, Any]) -> MasterOptions:
    """
    Check the options; one with the value None counts as not given.

    Raises ``ConfigError`` with all problems.
    """
    named = {name: value for name, value in given.items() if value is not None}
    checked, problems = check_section(MasterOptions, named)
    if checked is None or problems:
        raise ConfigError([Fault(f"argument:{name}", text) for name, text in problems])
    made: MasterOptions = checked
    return made


def settings_with(wanted: MasterOptions, settings: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the arguments of the call as settings of the node; ``grains`` override those of ``minion_config``.

    Raises ``ConfigError`` for arguments that are only for minions.
    """
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
    """
    Return the node without the settings that are only for minions.

    Raises ``Refused`` if the driver does not create whole machines.
    """
    if driver.platform not in bootstrap.MASTER_PLATFORMS:
        raise Refused(
            f"{node.provider} cannot have a salt-master, because its instances are not machines; "
            "use the provider of a cloud"
        )
    return dataclasses.replace(node, settings=node.settings.model_copy(update=dict.fromkeys(OF_MINIONS)))


@dataclass(frozen=True)
class _Upload:
    """What is sent to the node over its session."""

    wheel: bytes
    authorize_key: str | None


def create_master(
    node: Node, driver: Driver, context: Context, wanted: MasterOptions, claimed: Callable[[], object] = lambda: None
) -> tuple[dict[str, Any], int | None]:
    """
    Create the salt-master; a failure is rolled back as in ``create.create_all``, which explains ``claimed``.

    Returns its outcome by its id, and the number of the signal that interrupted the work, or None.

    Raises ``Refused`` before anything is changed.
    """
    spec = _spec(wanted, node.driver)
    upload = _Upload(wheel.build() if spec.wheel else b"", wanted.authorize_key)
    kind = NodeKind("master", functools.partial(_become_master, upload), spec)
    data, interrupted = create.create_all([node], driver, context, kind, claimed)
    entry = data[node.minion_id]
    if entry["result"]:
        entry["ssh_host_key_fingers"] = [ssh.key_fingerprint(line) for line in entry["ssh_host_keys"]]
    return data, interrupted


def _spec(wanted: MasterOptions, driver: str) -> bootstrap.InstallSpec:
    """Return what to install: the given requirement, or this machine's hart-salt with the extra of the driver."""
    index = wanted.pip_index or ""
    if wanted.hart_salt:
        return bootstrap.InstallSpec(wanted.hart_salt, index=index)
    extra = f"[{driver}]" if driver in wheel.extras() else ""
    return bootstrap.InstallSpec(f"{bootstrap.RUN_DIR}/{wheel.file_name()}{extra}", wheel.file_name(), index)


async def _become_master(upload: _Upload, life: Lifecycle, session: ssh.Session, result: bootstrap.Result) -> None:
    known = life.commands()
    await life.advance("equipping")
    if upload.wheel:
        await session.run(known.carry, stdin=upload.wheel, timeout=COMMAND_TIMEOUT)
    what, timeout = "the installation of hart-salt", life.node.settings.bootstrap_timeout
    if status := await life.follow(session, known.equip, what, timeout):
        raise NodeFailed(f"hart-salt could not be installed: salt-pip ended with exit code {status}")
    await life.advance("starting")
    try:
        await session.run(known.start, stdin=life.configuration(), timeout=life.node.settings.ready_timeout)
    except NodeFailed as error:
        raise NodeFailed(f"the new salt-master did not become ready: {error}") from error
    key = public_keys.check_public_key(await session.run(known.master_key, timeout=COMMAND_TIMEOUT))
    life.note(master_key_finger=public_keys.master_fingerprint(key))
    if upload.authorize_key:
        await session.run(known.authorize, stdin=upload.authorize_key, timeout=COMMAND_TIMEOUT)
