"""
What a node is made from, as one short text for its tag, and what differs between two such texts. Pure.

The text is the version of its format and a short digest of each part in ``PARTS``, so that the tag alone shows which
part of the configuration has changed. It has 55 characters, of which labels at Compute Engine and Hetzner allow 63.

No secret enters a digest, because a weak one could be guessed from it. A changed secret is no drift.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import SecretStr

from hart_salt.base.redaction import HIDDEN, Secrets, looks_secret
from hart_salt.model import MasterInfo, Node
from hart_salt.planning.minion_config import chosen_by_user

#: The version of the format. Texts of different versions cannot be compared, so a new version makes no node drift:
#: raise it if the digests of existing nodes must change although nothing about the nodes does.
FORMAT = "1"
#: The generation of hart's bootstrap. Raise it by hand if the nodes that were made before must be replaced, such as
#: after a flaw in what the bootstrap leaves on a node: all fleets with ``drift: replace`` then renew themselves.
#: An edited template, such as a new comment in it, is no reason.
BOOTSTRAP = 1
#: the parts, in the order of the text; ``settings`` is everything else of a node that matters to its machine
PARTS = ("role", "size", "image", "release", "settings", "bootstrap")
#: what the parts of an image's digest are called where that is not the word itself: its image is what it was made from
OF_IMAGE = {"image": "base image or states", "release": "Salt release"}
DIGITS = 8  #: of each part's digest

#: common settings that are no part of ``settings``: parts of their own, places, names, what changes nothing on the
#: machine, and what can change on an existing node (tags, protection, its end)
LEFT_OUT = frozenset(
    ["size", "image", "base_image", "salt_version", "region", "zone", "connect_via", "role_naming_scheme", "tags"]
    + ["drain", "protect", "ttl", "keep_failed", "log_days", "boot_timeout", "bootstrap_timeout", "ready_timeout"]
    + ["apply_timeout", "drain_timeout", "start_timeout", "image_timeout"]
    # What is only for the next image: a node differs once there is one.
    + ["bake", "bake_keep"]
    # The masters' addresses: a master that is added to a cluster must not renew all fleets, and each master of a
    # cluster has its own.
    + ["saltmaster"]
    # The user's part of it is there without the masters' addresses.
    + ["minion_config"]
)
#: settings that matter to a baked image, beside its parts and the minion configuration
IN_IMAGES = frozenset(["salt_source", "salt_repo", "salt_repo_key", "security_upgrades"])
#: options of drivers that are left out: where the master connects from, and labels, which are tags
LEFT_OUT_OPTIONS = frozenset(["connect_from", "labels"])

_TEXT = re.compile(f"{FORMAT}(-[0-9a-f]{{{DIGITS}}}){{{len(PARTS)},}}")
_URL_PASSWORD = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^/\s:@]*:)\S+@")
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
#: a value with its name within a text, such as ``--password=x``, ``password: x`` or ``--password x``
_NAMED = re.compile(r"""(--?[\w.-]{1,64}[\s=]|\b[\w.-]{1,64}\s?[=:])(\s*)("[^"]*"|'[^']*'|[^\s"']\S*)""")


def digest_of(node: Node, info: MasterInfo, secrets: Secrets) -> str:
    """
    Return what a node is made from.

    ``secrets`` are those of the configuration. The text does not depend on the node's id, zone and time.
    """
    hidden = _Hidden(secrets)
    made_from = {
        "role": node.role,
        "size": hidden.of(node.size),
        "image": hidden.of(node.settings.image),
        "release": hidden.of(_release(node, info)),
        "settings": hidden.of(_settings(node)),
        "bootstrap": BOOTSTRAP,
    }
    return "-".join([FORMAT, *(_short(name, made_from[name]) for name in PARTS)])


def with_image(digest: str, image_id: str) -> str:
    """Return the digest of the same node, made from this baked image."""
    return _with_part(digest, "image", ["baked", image_id])


def with_plain_image(digest: str, image: str) -> str:
    """Return the digest of the same node with this value of the setting ``image``."""
    return _with_part(digest, "image", image)


def is_made_from(digest: str | None, image_id: str) -> bool:
    """Return whether a digest is that of a node which was made from this baked image, or from it named as ``image``."""
    if not (digest and _TEXT.fullmatch(digest)):
        return False
    return digest in (with_image(digest, image_id), with_plain_image(digest, image_id))


def digest_of_image(node: Node, info: MasterInfo, secrets: Secrets, states: Any) -> str:
    """
    Return what a baked image of a node is made from: nothing of it that matters only to one node.

    ``states`` are those that are applied before the image is made, as the setting ``bake`` has them.
    """
    hidden = _Hidden(secrets)
    common = node.settings.model_dump(exclude_defaults=True, include=set(IN_IMAGES))
    digest = digest_of(node, info, secrets)
    digest = _with_part(digest, "size", None)
    digest = _with_part(digest, "image", hidden.of([node.settings.base_image, states]))
    return _with_part(digest, "settings", hidden.of({"common": common, "minion_config": _minion_config(node)}))


def _with_part(digest: str, name: str, value: Any) -> str:
    parts = digest.split("-")
    parts[1 + PARTS.index(name)] = _short(name, value)
    return "-".join(parts)


def differences(old: str | None, new: str) -> tuple[str, ...]:
    """
    Return the names of the parts that differ between two digests.

    The result is empty if one of them cannot be read: a node without a digest was made before there were any, or was
    imported, and the text of a tag can be anything.
    """
    if not (old and _TEXT.fullmatch(old) and _TEXT.fullmatch(new)):
        return ()
    pairs = zip(PARTS, old.split("-")[1:], new.split("-")[1:], strict=False)
    return tuple(name for name, one, other in pairs if one != other)


def words_of_image(parts: Iterable[str]) -> str:
    """Return the parts in which an image differs from another one, in words for people."""
    return ", ".join(OF_IMAGE.get(part, part) for part in parts)


def is_digest(text: str | None) -> bool:
    """Return whether a text is a digest that ``differences`` can compare."""
    return bool(text and _TEXT.fullmatch(text))


def _short(name: str, value: Any) -> str:
    text = json.dumps([name, value], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def _release(node: Node, info: MasterInfo) -> str | None:
    """Return the Salt version that would be installed; None if the image has Salt already."""
    if node.settings.salt_source == "none":
        return None
    return (node.settings.salt_version or info.salt_version.split(".")[0]).removesuffix(".*")


def _settings(node: Node) -> dict[str, Any]:
    """Return the settings that matter to the machine, without those that equal their default."""
    common = node.settings.model_dump(exclude_defaults=True, exclude=set(LEFT_OUT))
    options = node.options.model_dump(exclude_defaults=True, exclude=set(LEFT_OUT_OPTIONS))
    return {"common": common, "options": options, "minion_config": _minion_config(node)}


def _minion_config(node: Node) -> dict[str, Any]:
    return {name: value for name, value in chosen_by_user(node).items() if name != "master"}


class _Hidden:
    """Puts ``***`` in place of every secret in plain data, and makes data for JSON of it."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def of(self, value: Any) -> Any:
        """Return a value without its secrets. A value that equals one of sdb counts as it."""
        if isinstance(value, Mapping):
            pairs = [[self._text(str(key)), self._of_key(str(key), item)] for key, item in value.items()]
            return sorted(pairs, key=json.dumps)  # pairs, because two keys can be alike once a secret in them is hidden
        if isinstance(value, list | tuple | set | frozenset):
            return [self.of(item) for item in value]
        if isinstance(value, SecretStr):
            return HIDDEN
        if value is None or isinstance(value, bool | int | float):
            known = str(value) in self._secrets or self._secrets.has_looked_up(value)
            return HIDDEN if known else value
        return HIDDEN if self._secrets.has_looked_up(value) else self._text(str(value))

    def _of_key(self, key: str, value: Any) -> Any:
        """Return the value of a key, hidden if the key looks secret; a flag is no secret."""
        flag = value is None or isinstance(value, bool)
        return HIDDEN if looks_secret(key) and not flag else self.of(value)

    def _text(self, text: str) -> str:
        """Return a text without the secrets that are known, and without what looks like one."""
        text = _PRIVATE_KEY.sub(HIDDEN, self._secrets.redact(text))
        text = _URL_PASSWORD.sub(rf"\1{HIDDEN}@", text)
        return _NAMED.sub(lambda it: f"{it[1]}{it[2]}{HIDDEN}" if looks_secret(it[1].strip("-=: ")) else it[0], text)
