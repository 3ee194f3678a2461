"""What must never be shown: a set of strings, and the ways to keep them out of text and data."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import yaml
from pydantic import SecretStr

HIDDEN = "***"

#: shorter strings occur by chance in every text; to hide them would only garble it
MINIMUM_LENGTH = 6

_PLAIN_WORDS = frozenset(
    ["accept", "default", "disable", "disabled", "enable", "enabled", "hidden", "ignore", "memory", "nobody"]
    + ["optional", "password", "prompt", "public", "random", "required", "secret", "string", "system"]
    + ["unknown"]
)

_SECRET_WORDS = frozenset(
    ["apikey", "bindpw", "credential", "credentials", "pass", "passphrase", "passwd", "password", "passwords"]
    + ["privkey", "pw", "pwd", "secret", "secrets", "token", "tokens"]
)
_SECRET_PAIRS = frozenset(
    [("api", "key"), ("access", "key"), ("auth", "key"), ("encryption", "key"), ("private", "key")]
    + [("secret", "key"), ("signing", "key"), ("account", "key")]
)

# ``aws_access_key_id`` and the like end in a word that says: a name or a measure, no secret.
_HARMLESS_ENDS = frozenset(
    ["expire", "expires", "expiration", "file", "id", "length", "lifetime", "name", "path", "size", "ttl"]
)

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+[a-z]*")
_KEY_FILE = re.compile(r"~?/[\w./@-]+\.(crt|json|key|p12|pem|pub)")
_URL_PASSWORD = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s:@]*:([^/\s@]+)@")


def looks_secret(key: str) -> bool:
    """
    Say whether a key's name says that its value is a secret.

    Whole words count, so that ``db_password`` and ``mysql.pass`` are found and ``passenger`` is not.

    :param key: a name, such as ``api_key`` or ``apiKey``
    """
    words = [word.lower() for word in _WORDS.findall(key)]
    if key == "s3.key":
        return True  # Salt's own name for it, and the only such one
    if not words or words[-1] in _HARMLESS_ENDS:
        return False
    pairs = zip(words, words[1:], strict=False)
    return any(word in _SECRET_WORDS for word in words) or any(pair in _SECRET_PAIRS for pair in pairs)


def mask(data: Any) -> Any:
    """
    Copy plain data with ``***`` for every value under a key that looks secret, however short the value is.

    :param data: nested plain data
    """
    if isinstance(data, Mapping):
        return {key: _blank(value) if looks_secret(str(key)) else mask(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [mask(item) for item in data]
    return data


def _blank(value: Any) -> Any:
    """Hide every leaf of ``value``; what is empty has nothing to hide."""
    if isinstance(value, Mapping):
        return {key: _blank(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_blank(item) for item in value]
    return value if value is None or isinstance(value, bool) or value == "" else HIDDEN


class Secrets:
    """
    The strings that must never be shown. It only grows.

    One instance goes with one configuration. Adding and redacting may happen in different threads: each
    addition replaces the tuple of forms as a whole.
    """

    def __init__(self) -> None:
        self._values: frozenset[str] = frozenset()
        self._forms: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<{len(self._values)} secrets>"

    def __len__(self) -> int:
        return len(self._values)

    def add(self, value: Any) -> None:
        """
        Remember a secret, or all strings within nested data.

        Strings shorter than six characters, plain words and paths of key files are no secrets. A whole
        number counts as its digits: a password may be one.

        :param value: a string, a ``SecretStr``, or nested mappings and lists of them
        """
        found = frozenset(text for text in _strings(value) if _worth_hiding(text))
        if found <= self._values:
            return
        self._values |= found
        forms = {form for text in self._values for form in _forms(text)}
        self._forms = tuple(sorted(forms, key=lambda form: (-len(form), form)))

    def gather(self, data: Any) -> None:
        """
        Remember what nested data holds under secret-looking keys, and passwords within URLs.

        :param data: nested plain data, such as a configuration
        """
        if isinstance(data, Mapping):
            for key, value in data.items():
                if looks_secret(str(key)):
                    self.add(value)
                self.gather(value)
        elif isinstance(data, list | tuple):
            for item in data:
                self.gather(item)
        elif isinstance(data, str):
            for password in _URL_PASSWORD.findall(data):
                self.add(password)

    def redact(self, text: str) -> str:
        """
        Replace every secret in ``text``, in whatever form it stands there, with ``***``.

        Secrets that overlap go as one piece, so that no end of the second one stays.

        :param text: anything that is about to be shown or written
        """
        while spans := self._spans(text):
            for start, end in reversed(spans):
                text = text[:start] + HIDDEN + text[end:]
        return text

    def clean(self, data: Any) -> Any:
        """
        Copy nested plain data with every secret redacted, in keys as well.

        :param data: nested mappings, lists and scalars
        """
        if isinstance(data, str):
            return self.redact(data)
        if isinstance(data, SecretStr):
            return HIDDEN
        if isinstance(data, Mapping):
            return {self.clean(key): self.clean(value) for key, value in data.items()}
        if isinstance(data, list | tuple):
            return [self.clean(item) for item in data]
        if isinstance(data, int) and not isinstance(data, bool) and str(data) in self._values:
            return HIDDEN
        return data

    def _spans(self, text: str) -> list[tuple[int, int]]:
        """Where secrets stand in ``text``: ordered, without overlaps."""
        found = []
        for form in self._forms:
            at = text.find(form)
            while at >= 0:
                found.append((at, at + len(form)))
                at = text.find(form, at + 1)
        merged: list[tuple[int, int]] = []
        for start, end in sorted(found):
            if merged and start < merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return merged


def _strings(value: Any) -> list[str]:
    """All strings within nested data."""
    if isinstance(value, SecretStr):
        return [value.get_secret_value()]
    if isinstance(value, bytes):
        return [value.decode(errors="replace")]
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _strings(item)]
    if isinstance(value, list | tuple | set | frozenset):
        return [text for item in value for text in _strings(item)]
    if isinstance(value, int) and not isinstance(value, bool):
        return [str(value)]
    return [value] if isinstance(value, str) else []


def _worth_hiding(text: str) -> bool:
    text = text.strip()
    return (
        len(text) >= MINIMUM_LENGTH
        and text.lower() not in _PLAIN_WORDS
        and not _KEY_FILE.fullmatch(text)
        # what redaction itself writes is no secret; hiding it would never end
        and set(text) != {"*"}
    )


def _forms(secret: str) -> set[str]:
    """The shapes in which one secret may stand in a text: whole, by line, and encoded."""
    whole = secret.strip()
    lines = [line.strip() for line in whole.splitlines()]
    # the first and last line of a PEM block are the same in all of them
    lines = [line for line in lines if not line.startswith("-----") and _worth_hiding(line)]
    forms = {secret, whole, *lines, "".join(lines)}
    for text in {secret, whole, *lines}:
        forms |= _encoded(text)
    return {form for form in forms if len(form) >= MINIMUM_LENGTH}


def _encoded(text: str) -> set[str]:
    """How JSON, Python, YAML, a shell, a URL and base64 write ``text``."""
    return {
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        repr(text)[1:-1],
        yaml.safe_dump(text, default_style='"', width=math.inf).strip()[1:-1],
        text.replace("'", "''"),
        text.replace("'", "'\"'\"'"),
        quote(text, safe=""),
        quote(text),
        *_base64_forms(text.encode(errors="replace")),
    }


def _base64_forms(raw: bytes) -> set[str]:
    """
    What base64 makes of ``raw`` alone, and within something longer.

    Base64 writes three bytes as four characters, so a secret inside a longer text looks different for each
    of three offsets. Only characters that depend on the secret alone are taken.
    """
    whole = base64.b64encode(raw).decode()
    forms = {whole, whole.rstrip("=")}
    for offset in range(3):
        text = base64.b64encode(b"\0" * offset + raw).decode().rstrip("=")
        bits = 8 * (offset + len(raw))
        forms.add(text[-(-8 * offset // 6) : bits // 6])
    forms |= {form.translate(str.maketrans("+/", "-_")) for form in forms}
    return {form for form in forms if len(form) >= MINIMUM_LENGTH}
