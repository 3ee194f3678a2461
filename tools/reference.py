"""
Generate ``hart_salt/REFERENCE.md``, the reference for users, from the code.

Run ``python -m tools.reference`` in the checkout.

The tables in this file contain only what the code does not say: the meaning of events, results and exit codes. A test
compares their keys with the code, and the committed reference with the generated one.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hart_salt import drivers
from hart_salt.base import errors
from hart_salt.config import fleets
from hart_salt.config.cluster import Cluster, Peer
from hart_salt.config.described import code, default_of, kind_of, unit_of
from hart_salt.config.fleets import Fleet
from hart_salt.config.limits import Limits
from hart_salt.config.schema import Schema
from hart_salt.config.settings import Section, Settings
from hart_salt.modules import hart as module
from hart_salt.runners import hart as runner
from hart_salt.states import hart as states

FILE = Path(__file__).resolve().parents[1] / "hart_salt/REFERENCE.md"

#: the setting names of hart's file, all of which work here
HART_NAMES = (
    "saltmaster", "salt_version", "debian_codename", "minion_config", "private_networking", "role_naming_scheme",
    "tags", "script", "region", "size", "zone", "subnet", "volume_size", "volume_type", "volume_iops", "labels",
    "enable_ipv6", "enable_oslogin", "local_ssds", "connection_gateway", "connect_via_private_ip", "no_public_ip",
    "service_account", "scopes", "token", "aws_access_key_id", "aws_secret_access_key", "project", "user_id", "key",
)  # fmt: skip

EVENTS = {
    "launching": "The record is written; hart is about to create the instance.",
    "running": "The provider reports that the instance runs and has an address.",
    "bootstrapping": "The verified SSH session is open.",
    "enrolled": "The node's key is accepted. salt-minion has not started yet.",
    "baked": "An image of the node is complete: `image`, `name` and `baked_role`. The node is destroyed next.",
    "ready": "The minion has answered with the code that hart gave to its node. Sealing and `apply` follow.",
    "started": "`hart.start` has started the node, and its minion has answered.",
    "stopped": "`hart.stop` has stopped the node.",
    "rebooted": "`hart.reboot` has restarted the node, and its minion has answered.",
    "resized": "`hart.resize` has changed the size of the node.",
    "failed": "The node did not become ready and was rolled back, or a node could not be changed or destroyed. `error` "
    "says why, and `left` lists what could not be removed.",
    "destroying": "hart is about to remove the instance.",
    "destroyed": "Instance, key and record are removed.",
    "imported": "hart now manages an existing minion.",
}
RESULT = {
    "result": "`True`: the node is a minion, and `apply` succeeded if it is set. `False`: see `error`. "
    "`None`: `test=True`, nothing was done.",
    "changed": "For an import: whether it changed anything, or would change anything with `test=True`.",
    "role": "The role, or `None`.",
    "provider": "The configured provider.",
    "region": "The region.",
    "zone": "The zone, or `None`.",
    "size": "The size.",
    "instance_id": "The provider's id of the instance.",
    "public_ip": "The public address, or `None`.",
    "private_ip": "The private address, or `None`.",
    "protected": "Whether the node is protected: see `hart.protect`.",
    "minion_key_finger": "The fingerprint of the minion's key, as `salt-key -f` shows it.",
    "master_key_finger": "For a new salt-master: the fingerprint of its key, for `master_finger` in the configuration "
    "of minions. (`salt-key -F master` of Salt 3008 shows another fingerprint, which minions do not accept.)",
    "ssh_host_key_fingers": "For a new salt-master: the fingerprints of `ssh_host_keys`, as `ssh` shows them.",
    "ssh_host_keys": "The permanent host keys of the machine, as lines for `known_hosts`, read over the verified "
    "session.",
    "seconds": "The seconds of each stage.",
    "log": "The path of the node's log on the master.",
    "notes": "What the operator should know, such as a foreign key that hart replaced, or password logins that it "
    "turned off.",
    "error": "The reason of the failure, in one sentence.",
    "output": "For a node that failed: the last lines of the bootstrap's output.",
}
EXIT_CODES = {
    "0": "Everything was done.",
    "1": "At least one node or provider failed; this does not affect the others. See `result` and `error` of each "
    "entry. A fault of the master's machine during the call, such as a full disk, also gives this code.",
    "2": "Refused: nothing was done. `error` has one line for each fault. For a fault of the master's machine it names "
    "the path, the user that hart runs as, and what to do.",
    "70": "A defect in hart, never a fault of the machine. The log of salt-run (`-l error`) shows where.",
    "129, 130, 143": "SIGHUP, SIGINT (Ctrl-C) or SIGTERM: unfinished work was rolled back; nodes that were ready stay.",
}


def generate() -> str:
    """Return the text of the reference."""
    schemas = {name: schema for name, schema in drivers.schemas().items() if name in drivers.OWN}
    parts = [
        "# Reference",
        "Generated by `python -m tools.reference`; do not edit. The other pages explain the ideas.",
        _settings_part(schemas),
        _limits_part(),
        _cluster_part(),
        _fleets_part(),
        _capabilities_part(schemas),
        _hart_part(schemas),
        _functions_part(),
        _results_part(),
        _events_part(),
        _errors_part(),
    ]
    return "\n\n".join(parts) + "\n"


# settings


def _settings_part(schemas: Mapping[str, Schema]) -> str:
    common = [
        "## Settings",
        "Each layer can set these settings. From the lowest to the highest, the layers are `hart`, a provider, a role, "
        "a provider in a role, a region in that provider, and the arguments of a call. The highest layer wins; "
        "mappings are merged. `provider` can also be set in `hart` and in a role; `driver` only in a provider. Its "
        "default is the provider's name.",
        _settings_table(Settings, ""),
    ]
    return "\n\n".join([*common, *(_driver_part(name, schema) for name, schema in schemas.items())])


def _driver_part(name: str, schema: Schema) -> str:
    place = f"Default size: {code(schema.default_size)}; default region: {code(schema.default_region)}."
    parts = [f"### Driver {name}: {drivers.OWN[name]}", place]
    for section, where in ((schema.account, f"in `hart:providers:{name}` only"), (schema.options, "in any layer")):
        if section.model_fields:
            parts += [f"{(section.__doc__ or '').strip()} Set {where}:", _settings_table(section, name)]
    if not schema.account.model_fields and not schema.options.model_fields:
        parts.append("No settings of its own.")
    return "\n\n".join(parts)


def _limits_part() -> str:
    text = (
        "Set these directly under `hart`, in a provider, and in a role. Each place has its own limits, and a new node "
        "must be within all of them: they do not override each other, and no argument sets them."
    )
    return "\n\n".join(["### Limits", text, _settings_table(Limits, "")])


def _cluster_part() -> str:
    text = (
        "Set these directly under `hart` only; no node has them. The pages *Running several masters* and *Reactors* "
        "explain them. In `/etc/hart.toml` they are in `[hart]`."
    )
    peer = "Each entry of `masters` has these settings:"
    tables = (_settings_table(Cluster, ""), peer, _settings_table(Peer, "masters"))
    return "\n\n".join(["### hart as a whole", text, *tables])


def _fleets_part() -> str:
    text = (
        "Each entry of `fleets`, directly under `hart`, is a fleet with these settings; in `/etc/hart.toml` it is "
        "a section such as `[fleets.web]`. The page *Fleets* explains them. A length of time is `30d`, `8h`, `10m`, "
        "`45s`, `1h30m`, or a number of seconds."
    )
    parts = ["### Fleets", text, _settings_table(Fleet, "")]
    for name, section in fleets.inner():
        parts += [f"`{name}` of a fleet has these settings:", _settings_table(section, name)]
    return "\n\n".join(parts)


def _capabilities_part(names: Iterable[str]) -> str:
    names = list(names)
    rows = [
        (sentence.replace("``", "`"), *("yes" if name in having else "no" for name in names))
        for sentence, having in drivers.supported().items()
    ]
    text = "Not every driver has every feature. A call that needs a missing feature is refused with the reason."
    return "\n\n".join(["## What each driver can", text, _table(("", *(f"`{name}`" for name in names)), rows)])


def _settings_table(section: type[Section], driver: str) -> str:
    rows = [
        (f"`{name}`", kind_of(field), default_of(field), unit_of(driver, name), str(field.description))
        for name, field in section.model_fields.items()
    ]
    return _table(("setting", "type", "default", "unit", "description"), rows)


# names of hart


def known_as(name: str, schemas: Mapping[str, Schema]) -> list[tuple[str, str, str]]:
    """Return driver (or ``all``), name here, and a note, for each section that knows a name of hart."""
    sections: list[tuple[str, type[Section]]] = [("all", Settings)]
    for driver, schema in schemas.items():
        sections += [(driver, schema.account), (driver, schema.options)]
    found = []
    for whose, section in sections:
        if name in section.model_fields:
            found.append((whose, name, ""))
        elif name in section.ALIASES:
            found.append((whose, section.ALIASES[name].name, section.ALIASES[name].note))
    return found


def _hart_part(schemas: Mapping[str, Schema]) -> str:
    rows = []
    for name in HART_NAMES:
        sections = known_as(name, schemas)
        names = {here for _, here, _ in sections}
        notes = {note for _, _, note in sections if note}
        here = "the same" if names == {name} else ", ".join(f"`{other}`" for other in sorted(names))
        rows.append((f"`{name}`", here, ", ".join(whose for whose, _, _ in sections), "; ".join(sorted(notes))))
    text = (
        "hart-salt reads hart's file `/etc/hart.toml` unchanged: the sections `[hart]`, `[providers.X]`, `[roles.R]`, "
        "`[roles.R.X]` and `[roles.R.X.REGION]`. The names in it also work in every other layer."
    )
    return "\n\n".join(["## Names from hart", text, _table(("in hart", "here", "drivers", "note"), rows)])


# functions


def functions(of: types.ModuleType = runner) -> dict[str, Callable[..., Any]]:
    """Return the public functions of a module (default: the runner), in the order of its file."""
    return {
        name: function
        for name, function in vars(of).items()
        if inspect.isfunction(function) and not name.startswith("_")
    }


def _functions_part() -> str:
    text = (
        "On the command line, write an argument as `name=value`. In an orchestration, put the arguments beside `name:` "
        "or under `kwarg:`. If something failed, the exit code is not 0."
    )
    on_minions = (
        "These functions of the execution module need only Salt. Install them with `salt '*' saltutil.sync_modules` or "
        "with the package."
    )
    on_master = (
        "These states run in orchestrations (`salt-run state.orchestrate`). They have changes only if they changed "
        "something; with `test=True` they return the plan. *Orchestration* explains them."
    )
    parts = [
        "## Functions", text, *_documented(runner), "## States", on_master, *_documented(states, "state "),
        "## Functions on minions", on_minions, *_documented(module),
    ]  # fmt: skip
    return "\n\n".join(parts)


def _documented(of: types.ModuleType, kind: str = "") -> Iterator[str]:
    for name, function in functions(of).items():
        yield from (f"### {kind}hart.{name}", _markdown(inspect.getdoc(function) or ""))


def _markdown(docstring: str) -> str:
    """Return a docstring as Markdown: parameters become a list, and the example becomes a block."""
    result: list[str] = []
    language = "bash"
    for block in _blocks(docstring):
        text = " ".join(line.strip() for line in block.splitlines()).replace("``", "`")
        if parameter := re.match(r"([a-z_, ]+)\n    ", block):
            names = ", ".join(f"`{name}`" for name in parameter[1].split(", "))
            item = f"- {names}: {text.removeprefix(parameter[1]).strip()}"
            listed = bool(result) and result[-1].startswith("- ")
            result[-1:] = [f"{result[-1]}\n{item}"] if listed else [*result[-1:], item]
        elif block.startswith("    "):
            result.append(f"```{language}\n{inspect.cleandoc(block)}\n```")
        elif block.startswith(".. code-block:: "):
            language = block.removeprefix(".. code-block:: ")
        elif block.startswith(".. versionadded:: "):
            result.append(f"Since {block.removeprefix('.. versionadded:: ')}.")
        elif block != "CLI Example:":
            result.append(text)
    return "\n\n".join(result)


def _blocks(docstring: str) -> Iterator[str]:
    """Yield the blocks between blank lines, and each parameter; a block of code keeps its blank lines."""
    code = ""
    for block in re.split(r"\n\n|\n(?=[a-z_, ]+\n {4})", docstring):
        if block.startswith("    "):
            code += f"\n\n{block}" if code else block
            continue
        if code:
            yield code
        code = ""
        yield block
    if code:
        yield code


# results, events, errors


def _results_part() -> str:
    text = (
        "`hart.create`, `hart.create_role`, `hart.create_master`, `hart.destroy`, `hart.import_minion` and "
        "`hart.import_minions` return one entry for each minion id. Except for `hart.destroy`, an entry has those of "
        "the following fields that apply:"
    )
    rest = (
        "If something failed, `retcode` stands beside the entries: it is the exit code of `salt-run`. If hart refused "
        "the call, the result has only `error` and `retcode`."
    )
    rows = [(f"`{name}`", meaning) for name, meaning in RESULT.items()]
    codes = _table(("exit code", "meaning"), list(EXIT_CODES.items()))
    return "\n\n".join(["## Results and exit codes", text, _table(("field", "meaning"), rows), rest, codes])


def _events_part() -> str:
    text = (
        "hart fires these events on the master's event bus, with the tag `hart/<minion_id>/<stage>`. The data are "
        "`minion_id`, `role`, `provider`, `region`, `zone`, `size`, `public_ip`, `private_ip`, and `seconds`: the "
        "duration of each finished stage."
    )
    rows = [(f"`{k}`", v) for k, v in EVENTS.items()]
    more = (
        "When a call that a reactor started ends, hart fires the event `hart/<job>/result` with `fun`, `jid`, "
        "`success`, and `return`: the function's result."
    )
    return "\n\n".join(["## Events", text, _table(("stage", "meaning"), rows), more])


def _errors_part() -> str:
    classes = [
        cls
        for cls in vars(errors).values()
        if isinstance(cls, type) and issubclass(cls, errors.HartError) and cls is not errors.HartError
    ]
    rows = [(f"`{cls.__name__}`", _sentence(cls)) for cls in classes]
    text = "Every failure is one of these errors. `hart.check` shows its name; every function shows its message."
    return "\n\n".join(["## Errors", text, _table(("error", "meaning"), rows)])


def _sentence(cls: type) -> str:
    return " ".join((cls.__doc__ or "").split()).replace("``", "`")


def _table(head: tuple[str, ...], rows: list[Any]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    FILE.write_text(generate(), encoding="utf-8")
