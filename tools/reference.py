"""
Writes ``hart_salt/REFERENCE.md``, the reference for users, from what the code says.

``python -m tools.reference``, in the checkout.

The tables of this file hold only what no code says: what an event, a result or an exit code means. A test
compares their keys with the code, and the committed file with the generated one.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from hart_salt import drivers
from hart_salt.base import errors
from hart_salt.config.schema import Schema
from hart_salt.config.settings import Section, Settings
from hart_salt.modules import hart as module
from hart_salt.runners import hart as runner

FILE = Path(__file__).resolve().parents[1] / "hart_salt/REFERENCE.md"

#: what a setting takes, by the check that it goes through
KINDS = {
    "as_apply": "`highstate`, or a list of texts",
    "as_drain": "list of texts, or mapping",
    "as_flag": "true or false",
    "as_labels": "mapping of texts",
    "as_masters": "text, or a list of texts",
    "as_minion_config": "mapping",
    "as_names": "list of texts",
    "as_scheme": "text",
    "as_seconds": "number above 0",
    "as_network": "address or network",
    "as_secret": "text, secret",
    "as_tags": "list of texts, or mapping of texts",
    "as_text": "text",
    "as_url": "web address",
    "as_endpoint": "address with `https://`, or `http://` on this machine",
    "as_version": "Salt version, in quotes",
    "_as_google_labels": "mapping of texts",
}
#: the units of numbers: by name, or by driver and name
UNITS = {
    "boot_timeout": "seconds",
    "bootstrap_timeout": "seconds",
    "ready_timeout": "seconds",
    "apply_timeout": "seconds",
    "drain_timeout": "seconds",
    "api_timeout": "seconds",
    "log_days": "days",
    "ec2.volume_size": "GiB",
    "gce.volume_size": "GB",
    "volume_iops": "operations per second",
    "local_ssds": "disks",
}
#: the setting names of hart's file; each works here
HART_NAMES = (
    "saltmaster", "salt_version", "debian_codename", "minion_config", "private_networking", "role_naming_scheme",
    "tags", "script", "region", "size", "zone", "subnet", "volume_size", "volume_type", "volume_iops", "labels",
    "enable_ipv6", "enable_oslogin", "local_ssds", "connection_gateway", "connect_via_private_ip", "no_public_ip",
    "service_account", "scopes", "token", "aws_access_key_id", "aws_secret_access_key", "project", "user_id", "key",
)  # fmt: skip

EVENTS = {
    "launching": "The record is written; the instance is about to be asked for.",
    "running": "The provider says that the instance runs, and it has an address.",
    "bootstrapping": "The verified SSH session stands.",
    "enrolled": "The node's key is accepted; salt-minion has not started yet.",
    "ready": "The minion has answered with the code that its node was given. Sealing and `apply` follow.",
    "failed": "The node did not come up, and was undone; or a node could not be destroyed. With `error`, and "
    "with `left`: what could not be undone.",
    "destroying": "The instance is about to be removed.",
    "destroyed": "Instance, key and record are gone.",
    "imported": "An existing minion has come under hart's management.",
}
RESULT = {
    "result": "`True`: it is a minion, and `apply` succeeded where it was asked for. `False`: see `error`. "
    "`None`: nothing was done, by `test=True`.",
    "changed": "Of an import: whether anything was to be done.",
    "role": "The role, or `None`.",
    "provider": "The configured provider.",
    "region": "The region.",
    "zone": "The zone, or `None`.",
    "size": "The size.",
    "instance_id": "The provider's name of the instance.",
    "public_ip": "The public address, or `None`.",
    "private_ip": "The private address, or `None`.",
    "minion_key_finger": "The fingerprint of the minion's key, as `salt-key -f` shows it.",
    "master_key_finger": "Of a new salt-master: the fingerprint of its key, as `master_finger` of minions wants it. "
    "(What `salt-key -F master` of Salt 3008 shows is another, which no minion takes.)",
    "ssh_host_key_fingers": "Of a new salt-master: the fingerprints of `ssh_host_keys`, as `ssh` shows them.",
    "ssh_host_keys": "The host keys that the machine keeps, as lines for `known_hosts`; read over the verified "
    "session.",
    "seconds": "The seconds that each stage took.",
    "log": "The path of the node's log on the master.",
    "notes": "What the admin should know: a foreign key that was replaced, password logins that were turned off.",
    "error": "Why it failed, in a sentence.",
    "output": "The last lines of the bootstrap's output, of a node that failed.",
}
EXIT_CODES = {
    "0": "All of it was done.",
    "1": "At least one node or provider failed; the others are what they are. Each entry says. A fault of the master's "
    "machine that comes up on the way, such as a full disk, is one of these.",
    "2": "Refused: nothing was done. `error` has one line for each thing that is wrong. For a fault of the master's "
    "machine it has the path, the user that hart runs as, and what to do.",
    "70": "A defect in hart, and never a fault of the machine. The log of salt-run (`-l error`) has its place.",
    "129, 130, 143": "SIGHUP, SIGINT (Ctrl-C) or SIGTERM: what was under way was undone; nodes that were ready stay.",
}


def generate() -> str:
    """Return the whole text."""
    schemas = {name: schema for name, schema in drivers.schemas().items() if name in drivers.OWN}
    parts = [
        "# Reference",
        "Generated by `python -m tools.reference`; do not edit. The other pages explain the ideas.",
        _settings_part(schemas),
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
        "Any layer may set these: `hart`, a provider, a role, a role's provider, a region of that, and the "
        "arguments of a call; later wins, and mappings merge. `provider` may stand in `hart` and in a role as "
        "well; `driver` in a provider only (default: the provider's name).",
        _settings_table(Settings, ""),
    ]
    return "\n\n".join([*common, *(_driver_part(name, schema) for name, schema in schemas.items())])


def _driver_part(name: str, schema: Schema) -> str:
    place = f"Default size: {_code(schema.default_size)}; default region: {_code(schema.default_region)}."
    parts = [f"### Driver {name}: {drivers.OWN[name]}", place]
    for section, where in ((schema.account, f"in `hart:providers:{name}` only"), (schema.options, "in any layer")):
        if section.model_fields:
            parts += [f"{(section.__doc__ or '').strip()} Set {where}:", _settings_table(section, name)]
    if not schema.account.model_fields and not schema.options.model_fields:
        parts.append("No settings of its own.")
    return "\n\n".join(parts)


def _capabilities_part(names: Iterable[str]) -> str:
    names = list(names)
    rows = [
        (sentence.replace("``", "`"), *("yes" if name in having else "no" for name in names))
        for sentence, having in drivers.supported().items()
    ]
    text = "What only some drivers can; a call for another one is refused, with the reason."
    return "\n\n".join(["## What each driver can", text, _table(("", *(f"`{name}`" for name in names)), rows)])


def _settings_table(section: type[Section], driver: str) -> str:
    rows = [
        (f"`{name}`", kind_of(field), _default(field), unit_of(driver, name), str(field.description))
        for name, field in section.model_fields.items()
    ]
    return _table(("setting", "type", "default", "unit", "description"), rows)


def kind_of(field: FieldInfo) -> str:
    """What a setting takes, in words."""
    parts = [*field.metadata, *_flat(field.annotation)]
    for part in parts:
        check = getattr(getattr(part, "func", None), "__name__", "")
        if check in KINDS:
            return KINDS[check]
    choices = [choice for part in _flat(field.annotation) if get_origin(part) is Literal for choice in get_args(part)]
    if choices:
        return "one of " + ", ".join(f"`{choice}`" for choice in choices)
    limits = [limit for part in parts for limit in getattr(part, "metadata", [part])]
    low = next((limit.ge for limit in limits if hasattr(limit, "ge")), None)
    high = next((limit.le for limit in limits if hasattr(limit, "le")), None)
    return f"whole number, at least {low}" + (f", at most {high}" if high is not None else "")


def _flat(kind: Any) -> Iterator[Any]:
    """A type and everything that it is made of."""
    if get_origin(kind) in (Annotated, Union, types.UnionType):
        for part in get_args(kind):
            yield from _flat(part)
    else:
        yield kind


def unit_of(driver: str, name: str) -> str:
    """The unit of a number; empty for what has none."""
    return UNITS.get(f"{driver}.{name}", UNITS.get(name, ""))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "none" if value in (None, [], {}) else _code(value)


def _code(value: Any) -> str:
    return "none" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"


# names of hart


def homes_of(name: str, schemas: Mapping[str, Schema]) -> list[tuple[str, str, str]]:
    """Where a name of hart's is known: pairs of whose it is and the name there, and a note."""
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
        homes = homes_of(name, schemas)
        names = {here for _, here, _ in homes}
        notes = {note for _, _, note in homes if note}
        here = "the same" if names == {name} else ", ".join(f"`{other}`" for other in sorted(names))
        rows.append((f"`{name}`", here, ", ".join(whose for whose, _, _ in homes), "; ".join(sorted(notes))))
    text = (
        "hart's file `/etc/hart.toml` is read as it is: sections `[hart]`, `[providers.X]`, `[roles.R]`, "
        "`[roles.R.X]` and `[roles.R.X.REGION]`. Its names work in every other layer too."
    )
    return "\n\n".join(["## Names from hart", text, _table(("in hart", "here", "drivers", "note"), rows)])


# functions


def functions(of: types.ModuleType = runner) -> dict[str, Callable[..., Any]]:
    """The public functions of the runner, or of the execution module, in the order of the file."""
    return {
        name: function
        for name, function in vars(of).items()
        if inspect.isfunction(function) and not name.startswith("_")
    }


def _functions_part() -> str:
    text = (
        "On the command line an argument is `name=value`; in an orchestration, the arguments stand beside "
        "`name:` or under `kwarg:`. Every function exits with a code that is not 0 when something failed."
    )
    on_minions = "Of the execution module, which needs Salt only: `salt '*' saltutil.sync_modules`, or the package."
    parts = ["## Functions", text, *_documented(runner), "## Functions on minions", on_minions, *_documented(module)]
    return "\n\n".join(parts)


def _documented(of: types.ModuleType) -> Iterator[str]:
    for name, function in functions(of).items():
        yield from (f"### hart.{name}", _markdown(inspect.getdoc(function) or ""))


def _markdown(docstring: str) -> str:
    """One of our docstrings as Markdown: names with indented paragraphs become a list, the example a block."""
    result: list[str] = []
    for block in docstring.split("\n\n"):
        text = " ".join(line.strip() for line in block.splitlines()).replace("``", "`")
        if parameter := re.match(r"([a-z_, ]+)\n    ", block):
            names = ", ".join(f"`{name}`" for name in parameter[1].split(", "))
            item = f"- {names}: {text.removeprefix(parameter[1]).strip()}"
            listed = bool(result) and result[-1].startswith("- ")
            result[-1:] = [f"{result[-1]}\n{item}"] if listed else [*result[-1:], item]
        elif block.startswith("    "):
            result.append(f"```bash\n{inspect.cleandoc(block)}\n```")
        elif block.startswith(".. versionadded:: "):
            result.append(f"Since {block.removeprefix('.. versionadded:: ')}.")
        elif block not in ("CLI Example:", ".. code-block:: bash"):
            result.append(text)
    return "\n\n".join(result)


# what comes back


def _results_part() -> str:
    text = (
        "`hart.create`, `hart.create_role`, `hart.create_master`, `hart.destroy`, `hart.import_minion` and "
        "`hart.import_minions` return one entry for each minion id. Of all but `hart.destroy` it has of these what "
        "applies:"
    )
    rest = (
        "When something failed, there is `retcode` beside the entries, which is the exit code of `salt-run`. "
        "When nothing was done, there are only `error` and `retcode`."
    )
    rows = [(f"`{name}`", meaning) for name, meaning in RESULT.items()]
    codes = _table(("exit code", "meaning"), list(EXIT_CODES.items()))
    return "\n\n".join(["## Results and exit codes", text, _table(("field", "meaning"), rows), rest, codes])


def _events_part() -> str:
    text = (
        "On the master's event bus, with the tag `hart/<minion_id>/<stage>`. The data are `minion_id`, `role`, "
        "`provider`, `region`, `zone`, `size`, `public_ip`, `private_ip`, and `seconds`: how long each stage "
        "took that is over."
    )
    rows = [(f"`{k}`", v) for k, v in EVENTS.items()]
    more = (
        "The end of a call that a reactor began is the event `hart/<job>/result`, with `fun`, `jid`, `success`, and "
        "`return`: what the function returned."
    )
    return "\n\n".join(["## Events", text, _table(("stage", "meaning"), rows), more])


def _errors_part() -> str:
    classes = [
        cls
        for cls in vars(errors).values()
        if isinstance(cls, type) and issubclass(cls, errors.HartError) and cls is not errors.HartError
    ]
    rows = [(f"`{cls.__name__}`", _sentence(cls)) for cls in classes]
    text = "What went wrong is one of these; `hart.check` shows the name, every function the message."
    return "\n\n".join(["## Errors", text, _table(("error", "meaning"), rows)])


def _sentence(cls: type) -> str:
    return " ".join((cls.__doc__ or "").split()).replace("``", "`")


def _table(head: tuple[str, ...], rows: list[Any]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    FILE.write_text(generate(), encoding="utf-8")
