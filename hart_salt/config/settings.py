"""
The settings of a node that are common to all drivers, and the types that settings have.

Every check here takes what people write in YAML, TOML and on the command line, and complains in words that
never hold the value: it may be a secret.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, SecretStr
from pydantic_core import PydanticCustomError

from hart_salt.base.endpoints import objection
from hart_salt.base.names import NamingError, scheme_fields

DEFAULT_NAMING_SCHEME = "{unique_id}.{region}.{provider}.{role}"
DEFAULT_REPOSITORY = "https://packages.broadcom.com/artifactory/saltproject-deb/"

#: the type of errors whose text is ours and free of values; see ``problem``
OUR_ERROR = "hart"


def problem(text: str) -> PydanticCustomError:
    """
    Make the error that a check of a setting raises.

    :param text: the end of a sentence that starts with the setting's path; it must not hold the value
    """
    return PydanticCustomError(OUR_ERROR, "{text}", {"text": text})


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Alias:
    """Another name for a setting, such as one that hart has. ``note`` is for the reference."""

    name: str
    convert: Callable[[Any], Any] = _same
    note: str = ""


class Section(BaseModel):
    """A group of settings. Unknown names are refused, and no error or repr shows a secret."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    ALIASES: ClassVar[Mapping[str, Alias]] = {}

    def __repr__(self) -> str:
        """Names only: any value may have come from a vault."""
        return f"{type(self).__name__}({', '.join(sorted(self.model_fields_set))})"

    __str__ = __repr__


def as_text(value: Any) -> str:
    """Take one line of text. YAML makes whole numbers of digits; those are safe to take back."""
    if isinstance(value, bool | float):
        raise problem("must be text; put it in quotes, or it is read as something else")
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise problem("must be text")
    if not value.strip():
        raise problem("must not be empty")
    if not value.isprintable():
        raise problem("must be one line of text without control characters")
    return value.strip()


def as_names(value: Any) -> list[str]:
    """Take a list of texts, or one text with commas."""
    if isinstance(value, str | int) and not isinstance(value, bool):
        value = [part for part in as_text(value).split(",") if part.strip()]
    if not isinstance(value, list | tuple):
        raise problem("must be a list of texts, or one text with commas")
    return [as_text(item) for item in value]


def as_labels(value: Any) -> dict[str, str]:
    """Take a mapping of texts to texts, or one text such as ``a=1,b=2``."""
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        if not all(equals for _, equals, _ in pairs):
            raise problem("must be key=value pairs with commas between them")
        value = {key: text for key, _, text in pairs}
    if not isinstance(value, Mapping):
        raise problem("must be a mapping of names to texts")
    return {as_text(key): "" if text == "" else as_text(text) for key, text in value.items()}


def as_tags(value: Any) -> list[str] | dict[str, str]:
    """Take a list of tags or a mapping of them, or one text with commas for either."""
    if isinstance(value, Mapping):
        return as_labels(value)
    if isinstance(value, str) and "=" in value:
        return as_labels(value)
    return as_names(value)


def as_flag(value: Any) -> bool:
    """Take true or false."""
    words = {"true": True, "yes": True, "false": False, "no": False}
    if isinstance(value, str):
        value = words.get(value.strip().lower())
    if not isinstance(value, bool):
        raise problem("must be true or false")
    return value


def as_seconds(value: Any) -> float:
    """Take a positive, finite number."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0:
        return value
    raise problem("must be a number above 0")


def as_secret(value: Any) -> SecretStr:
    """Take a secret. It may have several lines, and digits that YAML made a number of."""
    if isinstance(value, SecretStr):
        return value
    if value is None:
        raise problem("has no value; an sdb:// reference in the master config that Salt cannot find becomes none")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise problem("must be text, in quotes")
    if not value.strip():
        raise problem("must not be empty")
    return SecretStr(value)


def as_url(value: Any) -> str:
    """Take the address of a web server. It goes into files and command lines, so nothing odd in it."""
    address = as_text(value)
    if not re.fullmatch(r"https?://[^\s'\"\\$`<>]+", address):
        raise problem("must be an address that starts with https:// or http://")
    return address


def as_endpoint(value: Any) -> str:
    """Take the address of an API or of a page that is trusted; see ``endpoints.objection``."""
    address = as_text(value)
    scheme, separator, rest = address.partition("://")
    address = f"{scheme.lower()}{separator}{rest}"
    if said := objection(address):
        raise problem(said)
    return as_url(address)


def as_network(value: Any) -> str:
    """Take an address or a network, and write both as a network."""
    try:
        return str(ipaddress.ip_network(as_text(value)))
    except ValueError:
        raise problem("must be an address or a network, such as 203.0.113.7 or 203.0.113.0/24") from None


def as_plain(value: Any) -> Any:
    """Take nested plain data, as JSON knows it."""
    if isinstance(value, Mapping):
        if not all(isinstance(key, str | int) for key in value):
            raise problem("must have texts as keys; put dates and numbers in quotes")
        return {key: as_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise problem("holds a value that is no plain data, such as a date; put it in quotes")


def as_minion_config(value: Any) -> dict[str, Any]:
    """Take a minion's configuration, in which the id is not for the user to set."""
    if not isinstance(value, Mapping):
        raise problem("must be a mapping")
    if "id" in value:
        raise problem("must not set id; it comes from role_naming_scheme or from the call")
    if not isinstance(value.get("grains") or {}, Mapping):
        raise problem("must have a mapping as its grains")
    config: dict[str, Any] = as_plain(value)
    return config


def as_version(value: Any) -> str:
    """Take a version of Salt. A number with a point has already lost zeros, so it is refused."""
    if isinstance(value, float):
        raise problem("must be in quotes: without them 3006.10 is read as 3006.1")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}(\.\d+)?(\.\*)?", value.strip()):
        raise problem("must be a Salt version such as '3008', '3008.3' or '3008.*'")
    return value.strip()


def as_masters(value: Any) -> str | list[str]:
    """Take one address or several."""
    names = as_names(value)
    if not names:
        raise problem("must not be empty")
    return names[0] if isinstance(value, str | int) and len(names) == 1 else names


def as_apply(value: Any) -> str | list[str]:
    """Take ``highstate`` or SLS names."""
    names = as_names(value)
    if not names:
        raise problem("must be 'highstate' or a list of SLS names")
    if "highstate" not in names:
        return names
    if names != ["highstate"]:
        raise problem("must be either 'highstate' or a list of SLS names, not both")
    return "highstate"


def as_drain(value: Any) -> list[str] | dict[str, Any]:
    """Take SLS names, or an execution function with its arguments."""
    if not isinstance(value, Mapping):
        names = as_names(value)
        if not names:
            raise problem("must be SLS names, or a mapping with function, args and kwargs")
        return names
    if set(value) - {"function", "args", "kwargs"}:
        raise problem("may hold function, args and kwargs, and nothing else")
    function, args, kwargs = value.get("function"), value.get("args") or [], value.get("kwargs") or {}
    if not (isinstance(function, str) and re.fullmatch(r"\w+\.\w+", function)):
        raise problem("must name its function as module.function, such as service.stop")
    if not isinstance(args, list) or not isinstance(kwargs, Mapping):
        raise problem("must have a list as its args and a mapping as its kwargs")
    return {"function": function, "args": as_plain(args), "kwargs": as_plain(kwargs)}


def as_scheme(value: Any) -> str:
    """Take a naming scheme of plain variables."""
    scheme = as_text(value)
    try:
        scheme_fields(scheme)
    except NamingError as error:
        raise problem(str(error)) from None
    return scheme


def as_upgrades(value: Any) -> Any:
    """YAML reads a bare ``off`` as false."""
    return "off" if value is False else value


Text = Annotated[str, BeforeValidator(as_text)]
Names = Annotated[list[str], BeforeValidator(as_names)]
Labels = Annotated[dict[str, str], BeforeValidator(as_labels)]
Flag = Annotated[bool, PlainValidator(as_flag)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, PlainValidator(as_seconds)]
Secret = Annotated[SecretStr, PlainValidator(as_secret)]
Address = Annotated[str, PlainValidator(as_url)]
Endpoint = Annotated[str, PlainValidator(as_endpoint)]
Network = Annotated[str, PlainValidator(as_network)]
ApiTimeout = Annotated[
    float,
    PlainValidator(as_seconds),
    Field(description="Seconds that the provider's API may take to answer a call."),
]
Tags = Annotated[list[str] | dict[str, str], PlainValidator(as_tags)]
MinionConfig = Annotated[dict[str, Any], PlainValidator(as_minion_config)]


def _private_or_public(value: Any) -> Any:
    return {True: "private", False: "public"}.get(value, value) if isinstance(value, bool) else value


def _inverted(value: Any) -> Any:
    return not value if isinstance(value, bool) else value


class Settings(Section):
    """What every driver understands. Any layer may set them; see ``roles.resolve`` for the order."""

    ALIASES: ClassVar[Mapping[str, Alias]] = {
        "debian_codename": Alias("image"),
        "connect_via_private_ip": Alias("connect_via", _private_or_public, "true: private, false: public"),
        "no_public_ip": Alias("public_ip", _inverted, "the opposite"),
    }

    size: Text | None = Field(None, description="The size, in the provider's own words (default: the driver's).")
    region: Text | None = Field(None, description="The region, in the provider's own words.")
    zone: Text | None = Field(
        None,
        description="The zone, where the provider has zones; `distributed` picks the one with the fewest "
        "minions of the role.",
    )
    image: Text = Field(
        "trixie",
        description="What to boot: the code name of a Debian or Ubuntu release, or the provider's own name "
        "of an image or snapshot.",
    )
    saltmaster: Annotated[str | list[str], PlainValidator(as_masters)] | None = Field(
        None, description="Where the minion reaches its master: a host name or address, or a list of them."
    )
    salt_version: Annotated[str, PlainValidator(as_version)] | None = Field(
        None,
        description="The Salt to install, such as '3008', '3008.3' or '3008.*', in quotes (default: the "
        "newest of the master's own series). It may not be of a newer series than the master.",
    )
    minion_config: MinionConfig = Field(
        default_factory=dict,
        description="Merged over the minion configuration that hart makes, at every depth.",
    )
    tags: Tags = Field(
        default_factory=list,
        description="Tags of the instance: a list, or a mapping for providers whose tags have values; on the "
        "command line `a,b` or `a=1,b=2`.",
    )
    role_naming_scheme: Annotated[str, PlainValidator(as_scheme)] = Field(
        DEFAULT_NAMING_SCHEME,
        description="How minion ids are made: `{unique_id} {role} {provider} {region} {zone} {year} {month} "
        "{day}` and any setting of the node whose value is text or a number.",
    )
    script: Text | None = Field(
        None, description="Path of a file on the master to run on the node as root, once it is a minion."
    )
    apply: Annotated[str | list[str], PlainValidator(as_apply)] | None = Field(
        None, description="What to apply once the minion is ready: `highstate`, or a list of SLS names."
    )
    drain: Annotated[list[str] | dict[str, Any], PlainValidator(as_drain)] | None = Field(
        None,
        description="What to run on a node before `hart.scale` and `hart.replace` remove it: SLS names, or a mapping "
        "with `function`, `args` and `kwargs`. Its failure keeps the node.",
    )
    keep_failed: Flag = Field(False, description="Keep an instance that did not become a minion, to look at it.")
    salt_source: Literal["repo", "none"] = Field(
        "repo", description="`repo` installs Salt; `none` is for images that already have it."
    )
    salt_repo: Address = Field(
        DEFAULT_REPOSITORY,
        description="Address of the apt repository with Salt, such as a mirror.",
    )
    salt_repo_key: Text | None = Field(
        None,
        description="Path of a file on the master with the repository's armoured public key (default: the "
        "Salt project's own, which is built in).",
    )
    security_upgrades: Annotated[Literal["before", "after", "off"], BeforeValidator(as_upgrades)] = Field(
        "before",
        description="When to install security upgrades: `before` the minion starts, `after`, or `off`.",
    )
    connect_via: Literal["public", "private"] = Field(
        "public", description="Which address of the node to connect to; `private` where there is no public one."
    )
    public_ip: Flag = Field(True, description="Whether the node gets a public address.")
    private_networking: Flag = Field(False, description="Whether the node gets a private address as well.")
    boot_timeout: Seconds = Field(600, description="Seconds from the create call to the verified SSH session.")
    bootstrap_timeout: Seconds = Field(1200, description="Seconds for the bootstrap, and for upgrades after it.")
    ready_timeout: Seconds = Field(120, description="Seconds from the accepted key to the answered ping.")
    apply_timeout: Seconds = Field(3600, description="Seconds for `script`, and for `apply`.")
    drain_timeout: Seconds = Field(600, description="Seconds for `drain`.")
    log_days: Seconds = Field(30, description="Days for which a node's log is kept after a success.")
