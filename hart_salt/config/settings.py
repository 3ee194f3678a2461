"""
The settings of a node that are common to all drivers, and the types of settings.

Every check here accepts what people write in YAML, TOML and on the command line. Its error never contains the value,
which may be a secret.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, SecretStr

from hart_salt.base.endpoints import objection
from hart_salt.base.names import NamingError, scheme_fields
from hart_salt.config.durations import Duration
from hart_salt.config.values import OUR_ERROR as OUR_ERROR
from hart_salt.config.values import as_number as as_number
from hart_salt.config.values import problem as problem

DEFAULT_NAMING_SCHEME = "{unique_id}.{region}.{provider}.{role}"
DEFAULT_REPOSITORY = "https://packages.broadcom.com/artifactory/saltproject-deb/"

#: why a setting of an account cannot be empty: an empty credential must not become the master's own identity
NO_VALUE = (
    "has no value: write one, or remove the setting; Salt leaves a setting empty if its sdb:// reference finds nothing"
)

#: the values of ``image`` for the newest image that hart.bake made of the role; with the second, no other one is booted
BAKED = ("baked", "baked!")

#: the words for true and false
FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Alias:
    """Another name for a setting, such as the name that hart uses. ``note`` appears in the reference."""

    name: str
    convert: Callable[[Any], Any] = _same
    note: str = ""


class Section(BaseModel):
    """A group of settings. It refuses unknown names, and no error or repr shows a secret."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    ALIASES: ClassVar[Mapping[str, Alias]] = {}

    def __repr__(self) -> str:
        """Return the names only, because any value may come from a vault."""
        return f"{type(self).__name__}({', '.join(sorted(self.model_fields_set))})"

    __str__ = __repr__


def as_text(value: Any) -> str:
    """Return one line of text. YAML turns digits into whole numbers; those can safely be turned back."""
    if isinstance(value, bool | float):
        raise problem("must be text; put it in quotes, because it is read as another type without them")
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
    """Return a list of texts, given as a list or as one comma-separated text."""
    if isinstance(value, str | int) and not isinstance(value, bool):
        value = [part for part in as_text(value).split(",") if part.strip()]
    if not isinstance(value, list | tuple):
        raise problem("must be a list of texts, or one text separated by commas")
    return [as_text(item) for item in value]


def as_labels(value: Any) -> dict[str, str]:
    """Return a mapping of texts to texts, given as a mapping or as one text such as ``a=1,b=2``."""
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        if not all(equals for _, equals, _ in pairs):
            raise problem("must be key=value pairs separated by commas")
        value = {key: text for key, _, text in pairs}
    if not isinstance(value, Mapping):
        raise problem("must be a mapping of names to texts")
    return {as_text(key): "" if text == "" else as_text(text) for key, text in value.items()}


def as_tags(value: Any) -> list[str] | dict[str, str]:
    """Return tags as a list or a mapping, given as either or as one comma-separated text."""
    if isinstance(value, Mapping):
        return as_labels(value)
    if isinstance(value, str) and "=" in value:
        return as_labels(value)
    return as_names(value)


def _flag(value: Any) -> Any:
    """Return true or false for the words for them; anything else as it is."""
    return FLAGS.get(value.strip().lower(), value) if isinstance(value, str) else value


def as_flag(value: Any) -> bool:
    """Return true or false."""
    value = _flag(value)
    if not isinstance(value, bool):
        raise problem("must be true or false")
    return value


def as_whole(value: Any) -> int:
    """Return a whole number, also from a text with its digits."""
    value = as_number(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise problem("must be a whole number")
    return value


def as_seconds(value: Any) -> float:
    """Return a positive, finite number, also from a text with its digits."""
    value = as_number(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0:
        return value
    raise problem("must be a number above 0")


def as_secret(value: Any) -> SecretStr:
    """Return a secret. It can have several lines, and YAML may have turned its digits into a number."""
    if isinstance(value, SecretStr):
        return value
    if value is None:
        raise problem(NO_VALUE)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise problem("must be text, in quotes")
    if not value.strip():
        raise problem("must not be empty")
    if value.strip() in ("None", "null", "undefined"):
        raise problem(f"is the word {value.strip()}, which a template writes if it finds no value")
    return SecretStr(value)


def as_url(value: Any) -> str:
    """
    Return the address of a web server. It is written into files and command lines, so unusual characters are refused.
    """
    address = as_text(value)
    if not re.fullmatch(r"https?://[^\s'\"\\$`<>]+", address):
        raise problem("must be an address that starts with https:// or http://")
    return address


def as_endpoint(value: Any) -> str:
    """Return the address of an API or of a trusted page; see ``endpoints.objection``."""
    address = as_text(value)
    scheme, separator, rest = address.partition("://")
    address = f"{scheme.lower()}{separator}{rest}"
    if said := objection(address):
        raise problem(said)
    return as_url(address)


def as_network(value: Any) -> str:
    """Return an address or a network, written as a network."""
    try:
        return str(ipaddress.ip_network(as_text(value)))
    except ValueError:
        raise problem("must be an address or a network, such as 203.0.113.7 or 203.0.113.0/24") from None


def as_plain(value: Any) -> Any:
    """Return nested plain data, of the types that JSON has; keys can also be numbers, as YAML has them."""
    if isinstance(value, Mapping):
        if not all(key is None or isinstance(key, str | bool | int | float) for key in value):
            raise problem("must have text as its keys; put dates and lists in quotes")
        return {key: as_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise problem("holds a value that is not plain data, such as a date; put it in quotes")


def as_minion_config(value: Any) -> dict[str, Any]:
    """Return a minion configuration. The user must not set its id."""
    if not isinstance(value, Mapping):
        raise problem("must be a mapping")
    if "id" in value:
        raise problem("must not set id; it comes from role_naming_scheme or from the call")
    if not isinstance(value.get("grains") or {}, Mapping):
        raise problem("must have a mapping as its grains")
    config: dict[str, Any] = as_plain(value)
    return config


def as_version(value: Any) -> str:
    """Return a version of Salt. A number with a point has already lost its zeros and is refused."""
    if isinstance(value, float):
        raise problem("must be in quotes: without them 3006.10 is read as 3006.1")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}(\.\d+)?(\.\*)?", value.strip()):
        raise problem("must be a Salt version such as '3008', '3008.3' or '3008.*'")
    return value.strip()


def as_masters(value: Any) -> str | list[str]:
    """Return one address, or a list of several."""
    names = as_names(value)
    if not names:
        raise problem("must not be empty")
    return names[0] if isinstance(value, str | int) and len(names) == 1 else names


def as_apply(value: Any) -> str | list[str]:
    """Return ``highstate`` or a list of SLS names."""
    names = as_names(value)
    if not names:
        raise problem("must not be empty: write 'highstate' or a list of SLS names")
    if "highstate" not in names:
        return names
    if names != ["highstate"]:
        raise problem("must be either 'highstate' or a list of SLS names, not both")
    return "highstate"


def as_drain(value: Any) -> list[str] | dict[str, Any]:
    """Return SLS names, or an execution function with its arguments."""
    if not isinstance(value, Mapping):
        names = as_names(value)
        if not names:
            raise problem("must not be empty: write SLS names, or a mapping with function, args and kwargs")
        return names
    if set(value) - {"function", "args", "kwargs"}:
        raise problem("can hold only function, args and kwargs")
    function, args, kwargs = value.get("function"), value.get("args") or [], value.get("kwargs") or {}
    if not (isinstance(function, str) and re.fullmatch(r"\w+\.\w+", function)):
        raise problem("must name its function as module.function, such as service.stop")
    if not isinstance(args, list) or not isinstance(kwargs, Mapping):
        raise problem("must have a list as its args and a mapping as its kwargs")
    return {"function": function, "args": as_plain(args), "kwargs": as_plain(kwargs)}


def as_scheme(value: Any) -> str:
    """Return a naming scheme that contains only plain variables."""
    scheme = as_text(value)
    try:
        scheme_fields(scheme)
    except NamingError as error:
        raise problem(str(error)) from None
    return scheme


def as_upgrades(value: Any) -> Any:
    """Return ``off`` for false, because YAML reads a bare ``off`` as false."""
    return "off" if value is False else value


Text = Annotated[str, BeforeValidator(as_text)]
Names = Annotated[list[str], BeforeValidator(as_names)]
Labels = Annotated[dict[str, str], BeforeValidator(as_labels)]
Flag = Annotated[bool, PlainValidator(as_flag)]
Whole = Annotated[int, BeforeValidator(as_whole)]
Count = Annotated[Whole, Field(ge=1)]
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
    value = _flag(value)
    return {True: "private", False: "public"}.get(value, value) if isinstance(value, bool) else value


def _inverted(value: Any) -> Any:
    value = _flag(value)
    return not value if isinstance(value, bool) else value


class Settings(Section):
    """The settings that every driver understands. Any layer can set them; see ``resolve.resolve`` for the order."""

    ALIASES: ClassVar[Mapping[str, Alias]] = {
        "debian_codename": Alias("image"),
        "connect_via_private_ip": Alias("connect_via", _private_or_public, "true: private, false: public"),
        "no_public_ip": Alias("public_ip", _inverted, "inverted"),
    }

    size: Text | None = Field(None, description="The size, by the provider's name for it (default: the driver's).")
    region: Text | None = Field(None, description="The region, by the provider's name for it.")
    zone: Text | None = Field(
        None,
        description="The zone, if the provider has zones; `distributed` selects the one with the fewest "
        "minions of the role.",
    )
    image: Text = Field(
        "trixie",
        description="The image to boot: the code name of a Debian or Ubuntu release, the provider's name of an image "
        "or snapshot, or `baked` for the newest image that `hart.bake` made of the role. If there is none that fits, "
        "`baked` boots `base_image`, and `baked!` refuses.",
    )
    base_image: Text | None = Field(
        None,
        description="The image that `hart.bake` starts from, and that `image: baked` boots if no baked image fits "
        "(default: `image`; where that is `baked`, the last other value of `image` in the layers below it, or else "
        "`trixie`).",
    )
    bake: Annotated[str | list[str], PlainValidator(as_apply)] | None = Field(
        None,
        description="The states that `hart.bake` applies before it makes an image of the role: `highstate`, or a list "
        "of SLS names.",
    )
    bake_keep: Count = Field(
        3, description="How many images of the role `hart.bake` keeps in each region; it deletes the oldest."
    )
    baked_upgrades: Annotated[Literal["before", "after", "off"], BeforeValidator(as_upgrades)] = Field(
        "off",
        description="When a node that boots a baked image installs security upgrades, as `security_upgrades` says it "
        "for others. `hart.bake` has installed those of its day.",
    )
    image_timeout: Seconds = Field(
        3600, description="Seconds for the provider to make an image of a node, and for each copy to another region."
    )
    saltmaster: Annotated[str | list[str], PlainValidator(as_masters)] | None = Field(
        None, description="Where the minion reaches its master: a host name or an IP address, or a list of them."
    )
    salt_version: Annotated[str, PlainValidator(as_version)] | None = Field(
        None,
        description="The Salt version to install, such as '3008', '3008.3' or '3008.*', in quotes (default: the "
        "newest of the master's own release series). Its series cannot be newer than the master's.",
    )
    minion_config: MinionConfig = Field(
        default_factory=dict,
        description="Configuration that is merged into the minion configuration that hart generates, at every depth.",
    )
    tags: Tags = Field(
        default_factory=list,
        description="Tags of the instance: a list, or a mapping for providers whose tags have values; on the "
        "command line `a,b` or `a=1,b=2`.",
    )
    role_naming_scheme: Annotated[str, PlainValidator(as_scheme)] = Field(
        DEFAULT_NAMING_SCHEME,
        description="The template for minion ids: `{unique_id} {role} {provider} {region} {zone} {year} {month} "
        "{day}` and any setting of the node whose value is text or a number.",
    )
    script: Text | None = Field(
        None, description="Path of a file on the master that runs on the node as root once the node is a minion."
    )
    apply: Annotated[str | list[str], PlainValidator(as_apply)] | None = Field(
        None, description="The states to apply once the minion is ready: `highstate`, or a list of SLS names."
    )
    drain: Annotated[list[str] | dict[str, Any], PlainValidator(as_drain)] | None = Field(
        None,
        description="What runs on a node before `hart.scale` and `hart.replace` remove it: SLS names, or a mapping "
        "with `function`, `args` and `kwargs`. If it fails, the node is kept.",
    )
    protect: Flag = Field(
        False,
        description="Whether to protect the node once it is a minion: `hart.destroy`, `hart.scale`, `hart.replace` and "
        "`hart.sweep` keep it until `hart.unprotect`.",
    )
    ttl: Duration | None = Field(
        None,
        description="How long the node may live after its creation, such as 8h: after that, it is due to be destroyed. "
        "`hart.extend` moves its end (default: it has no end).",
    )
    keep_failed: Flag = Field(
        False, description="Whether to keep an instance that did not become a minion, for inspection."
    )
    salt_source: Literal["repo", "none"] = Field(
        "repo", description="`repo` installs Salt; `none` is for images that already contain it."
    )
    salt_repo: Address = Field(
        DEFAULT_REPOSITORY,
        description="Address of the apt repository that provides Salt, such as a mirror.",
    )
    salt_repo_key: Text | None = Field(
        None,
        description="Path of a file on the master with the repository's armoured public key (default: the "
        "built-in key of the Salt project).",
    )
    security_upgrades: Annotated[Literal["before", "after", "off"], BeforeValidator(as_upgrades)] = Field(
        "before",
        description="When to install security upgrades: `before` the minion starts, `after` it is ready, or `off`.",
    )
    connect_via: Literal["public", "private"] = Field(
        "public", description="The node's address to connect to; `private` if the node has no public one."
    )
    public_ip: Flag = Field(True, description="Whether the node gets a public address.")
    private_networking: Flag = Field(False, description="Whether the node also gets a private address.")
    boot_timeout: Seconds = Field(600, description="Seconds from the create call to the verified SSH session.")
    bootstrap_timeout: Seconds = Field(1200, description="Seconds for the bootstrap and for upgrades after it.")
    ready_timeout: Seconds = Field(120, description="Seconds from accepting the key to the answered ping.")
    apply_timeout: Seconds = Field(3600, description="Seconds for `script`, and for `apply`.")
    drain_timeout: Seconds = Field(600, description="Seconds for `drain`.")
    start_timeout: Seconds = Field(
        600, description="Seconds for the minion of a node that was started, restarted or resized to answer."
    )
    log_days: Seconds = Field(30, description="Days for which a node's log is kept after a success.")
