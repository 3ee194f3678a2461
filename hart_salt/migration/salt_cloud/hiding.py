"""
Secrets in salt-cloud's configuration: what looks like one, by its name or by its value.

A value that is hidden without need does no harm: hart reads it through a reference like every other one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hart_salt.base.redaction import looks_secret

SDB = "sdb://"
#: in place of a key of EC2: boto3 finds the machine's own credentials by itself
INSTANCE_ROLE = "use-instance-role-credentials"

#: parts of names
_PARTS = re.compile("pass|pwd|secret|token|credential|licen[cs]e|api_?key|private|community|cookie|bearer|psk|dsn")
#: names that end in one of these words
_ENDS = re.compile(
    r"(?<!pub)(?<!public)(?<!public[_.-])(?<!pub[_.-])key$|(^|[^a-z])(auth|authorization|pw|pin|salt|hash)$"
)
#: names that contain such a part, but whose last word shows that they hold no secret
_HARMLESS = re.compile(
    r"(.*[^a-z])?(dir|driver|enabled?|expires?|expiration|file|files|fingerprint|format|ids?|interval|length|lifetime"
    r"|names?|networking|network|path|port|retries|size|timeout|tries|ttl|type|version)"
    r"|.*(private_ips?|public|authentication)|compass.*|.*passive.*"
)
_PATH_KEY, _PATH = re.compile(r"private_key$|keyfile$|key_file$|_key$|cert$"), re.compile(r"[/~][^\n:=]*")

_NAME = r"[\w.-]*(?:pass|pwd|secret|token|credential|api[_-]?key|access[_-]?key|private[_-]?key|auth[_-]?key)[\w-]*"
_VALUES = re.compile(
    "|".join(
        (
            r"-----BEGIN ",
            r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@",  # an address with a password
            r"(?:^|[\s\"'=])[\w.+-]+:[^\s@/:]+@[\w-]",  # and without the name of a protocol
            r"[?&](?:key|sig|signature|code|auth)=\S",
            r"hooks\.slack\.com/|discord(?:app)?\.com/api/webhooks/|webhook\.office\.com/",
            rf"(?i:\b{_NAME}[\"']?\s*[:=]\s*\S)",
            r"(?:^|\s)(?:-p|-P|-u|--(?:user|pass|password|token|secret|key|api-key))(?:[\s=]+\S)",
            r"(?:^|\s)-p[^\s=-]\S|\bredis-cli\b.*\s-a\s+\S|(?:^|\s)-U\s*\S+%\S",  # mysql -pX, redis-cli, smbclient
            r"\b(?:Bearer|Basic)\s+\S",
            r"(?i:\b(?:password|passwd|passphrase|secret|token|requirepass|masterauth)\s+[^\s.,;:!?])",
            r"\b(?:A3T|AKIA|ASIA)[A-Z0-9]{12,}",
            r"\b(?:dop_v1_|gh[opsu]_|github_pat_|glpat-|xox[abeprs]-|sk_live_|sk-|AIza|ya29\.|hvs\.|SG\.|npm_|pypi-)\w",
            r"\beyJ[\w-]{8,}\.",
            r"\$(?:1|2[aby]?|5|6|y)\$",
        )
    )
)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HEXADECIMAL, _RANDOM = re.compile(r"[0-9a-fA-F]{20,}"), re.compile(r"[A-Za-z0-9+/_=-]{20,}")


class Hidden(str):
    """The reference to a secret in place of the secret itself. It knows what kind of text the secret is."""

    kind: str

    def __new__(cls, reference: str, kind: str = "") -> Hidden:
        """Return the reference; ``kind`` is ``json``, or empty for any other text."""
        made = super().__new__(cls, reference)
        made.kind = kind
        return made


def kind_of(value: Any) -> str:
    """Return the kind of a secret's text."""
    return "json" if str(value).lstrip().startswith("{") else ""


def is_secret(value: Any, keys: Sequence[str], depth: int) -> bool:
    """
    Return whether a value looks like a secret.

    ``keys`` are the names that lead to it; ``depth`` is how many of them name a provider or profile. ``id`` and ``key``
    of a provider are those of EC2. The path of a key file is not a secret. A key of Amazon's can also begin with a
    slash.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float | bytes) or value in ("", b"", INSTANCE_ROLE):
        return False
    # the oldest form of a provider is one name, such as EC2.key
    names = [key for key in keys[depth:] or keys if not key.isdigit()]
    if not names:
        return False
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    if text.startswith(SDB) or (_PATH_KEY.search(names[-1]) and _PATH.fullmatch(text) and names != ["key"]):
        return False
    if len(names) == 1 and names[0].rpartition(".")[2] in ("id", "key"):
        return True
    return any(_is_named(name) for name in names) or _looks_like_one(text, nested=len(names) > 1)


def _is_named(name: str) -> bool:
    if looks_secret(name):
        return True
    low = name.lower()
    return bool((_PARTS.search(low) or _ENDS.search(low)) and not _HARMLESS.fullmatch(low))


def _looks_like_one(text: str, *, nested: bool) -> bool:
    """Return whether a text itself looks like a secret; ``nested``: it is no value of a setting that salt-cloud has."""
    if _VALUES.search(text):
        return True
    if not nested or _UUID.fullmatch(text) or not _RANDOM.fullmatch(text):
        return False
    kinds = (any(map(str.isdigit, text)), any(map(str.isupper, text)), any(map(str.islower, text)))
    return all(kinds) or bool(_HEXADECIMAL.fullmatch(text) and kinds[0] and any(kinds[1:]))
