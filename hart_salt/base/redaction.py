"""The strings that must never be shown, and the ways to keep them out of text and data."""

from __future__ import annotations

import base64
import itertools
import json
import math
import re
import threading
from collections.abc import Mapping
from html import escape
from typing import Any
from urllib.parse import quote

import yaml
from pydantic import SecretStr

from hart_salt.base.finder import Finder
from hart_salt.base.text import visible

HIDDEN = "***"

#: shorter strings occur in any text by chance; hiding them would only garble it
MINIMUM_LENGTH = 6
#: characters; longer ones are keys, which are shown in base64 if at all
LONGEST_IN_HEXADECIMAL = 256

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

# ``aws_access_key_id`` and the like end in a word for a name or a measure, not a secret.
_HARMLESS_ENDS = frozenset(
    ["dir", "driver", "expire", "expires", "expiration", "file", "id", "length", "lifetime", "name", "path", "size"]
    + ["ttl"]
)

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+[a-z]*")
_KEY_FILE = re.compile(r"~?/[\w./@-]+\.(crt|json|key|p12|pem|pub)")
_URL_PASSWORD = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s:@]*:([^/\s@]+)@")


def looks_secret(key: str) -> bool:
    """
    Return whether a key's name indicates a secret value.

    Whole words count: ``db_password``, ``apiKey`` and ``mysql.pass`` match, ``passenger`` does not.
    """
    words = [word.lower() for word in _WORDS.findall(key)]
    if key == "s3.key":
        return True  # Salt's own name for a secret, and the only one of this form
    if not words or words[-1] in _HARMLESS_ENDS:
        return False
    pairs = zip(words, words[1:], strict=False)
    return any(word in _SECRET_WORDS for word in words) or any(pair in _SECRET_PAIRS for pair in pairs)


def mask(data: Any) -> Any:
    """Return a copy of plain data with ``***`` for every value under a key that looks secret, even a short value."""
    if isinstance(data, Mapping):
        return {key: _blank(value) if looks_secret(str(key)) else mask(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [mask(item) for item in data]
    return data


def _blank(value: Any) -> Any:
    """Replace every leaf of ``value`` by ``***``, except empty ones."""
    if isinstance(value, Mapping):
        return {key: _blank(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_blank(item) for item in value]
    return value if value is None or isinstance(value, bool) or value == "" else HIDDEN


class Secrets:
    """
    The strings that must never be shown. The set only grows.

    One instance belongs to one configuration. Adding and redacting can happen in different threads. The search is
    prepared at the first use after an addition, because a configuration is read secret by secret.
    """

    def __init__(self) -> None:
        self._values: frozenset[str] = frozenset()
        self._looked_up: frozenset[str] = frozenset()
        self._forms: dict[str, set[str]] = {}
        self._found: tuple[frozenset[str], Finder] = (self._values, Finder(()))
        self._adding = threading.Lock()

    def __repr__(self) -> str:
        return f"<{len(self._values)} secrets>"

    def __len__(self) -> int:
        return len(self._values)

    def add(self, value: Any) -> None:
        """
        Add a secret, or all strings in nested data: a string, a ``SecretStr``, or mappings and lists of them.

        Strings shorter than six characters, plain words and paths of key files are not secrets. A whole number counts
        as its digits, because a password can be a number.
        """
        found = frozenset(text for text in _strings(value) if _worth_hiding(text))
        with self._adding:
            self._values |= found

    def add_looked_up(self, value: Any) -> None:
        """
        Add a value of sdb as ``add`` does, and know it again as a whole, however short or common it is.

        A setting can split it at its commas, so each part of it counts, too.
        """
        self.add(value)
        found = {part.strip() for text in _strings(value) for part in (text, *text.split(","))}
        with self._adding:
            self._looked_up |= found

    def has_looked_up(self, value: object) -> bool:
        """Return whether a text or a number is a value of sdb as a whole, or a part of one between commas."""
        return isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip() in self._looked_up

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and (text in self._values or text.strip() in self._values)

    def gather(self, data: Any) -> None:
        """Add the values under secret-looking keys in nested plain data, and passwords in URLs."""
        if isinstance(data, Mapping):
            for key, value in data.items():
                if looks_secret(str(key)):
                    self.add(value)
                self.gather(value)
        elif isinstance(data, list | tuple):
            for item in data:
                self.gather(item)
        elif isinstance(data, str):
            self.add(_passwords(data))

    def named_in(self, data: Any, path: str = "") -> list[str]:
        """
        Return where secrets are in nested plain data, as paths such as ``minion_config:mysql:password``.

        These are values under secret-looking keys and known secrets, but not sdb references. ``path`` is the path of
        ``data`` itself.
        """
        if isinstance(data, Mapping):
            return [
                name
                for key, value in data.items()
                for name in self._named(f"{path}:{key}" if path else str(key), str(key), value)
            ]
        if isinstance(data, list | tuple):
            return list(dict.fromkeys(name for item in data for name in self.named_in(item, path)))
        found = [text for text in [*_strings(data), *_passwords(data)] if text in self and not _is_reference(text)]
        return [path] if found else []

    def _named(self, path: str, key: str, value: Any) -> list[str]:
        if looks_secret(key) and any(text and not _is_reference(text) for text in _strings(value)):
            return [path]
        return self.named_in(value, path)

    def redact(self, text: str) -> str:
        """
        Return ``text``, which is about to be shown or written, with ``***`` for every secret in whatever form.

        Overlapping secrets are replaced as one piece, so no end of the second one remains. For parts of a secret see
        ``finder``.
        """
        while spans := self._finder().spans(text):
            # Joined once: copying the text for each of its secrets would take quadratic time.
            starts, ends = zip(*spans, strict=True)
            text = HIDDEN.join(text[end:start] for end, start in zip((0, *ends), (*starts, len(text)), strict=True))
        return text

    def _finder(self) -> Finder:
        values, finder = self._found
        if values is not self._values:
            values = self._values
            self._forms = {text: self._forms.get(text) or _forms(text) for text in values}
            finder = Finder((form for forms in self._forms.values() for form in forms), _PLAIN_WORDS)
            self._found = values, finder
        return finder


def _is_reference(text: str) -> bool:
    return text.startswith("sdb://")


def _passwords(data: Any) -> list[str]:
    """Return the passwords in URLs."""
    return _URL_PASSWORD.findall(data) if isinstance(data, str) else []


def _strings(value: Any) -> list[str]:
    """Return all strings in nested data."""
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
        # the replacement itself is not a secret; hiding it would never end
        and set(text) != {"*"}
    )


#: what JSON, YAML, shells and addresses write unchanged
_WRITTEN_AS_IT_IS = re.compile(r"[A-Za-z0-9_.-]+")
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]{16,}")
_ESCAPED = re.compile("%[0-9A-F]{2}")


def _forms(secret: str) -> set[str]:
    """Return the forms in which a secret can appear in a text: whole, by line, and encoded."""
    whole = secret.strip()
    lines = [line.strip() for line in whole.splitlines()]
    # all PEM blocks share their first and last line
    lines = [line for line in lines if not line.startswith("-----") and _worth_hiding(line)]
    # visible: as it appears in a text whose control characters are already marked
    forms = {whole, *lines, "".join(lines), visible(secret), visible(whole)}
    for text in {whole, *lines}:
        forms |= _encoded(text)
    if len(lines) > 1 and len(whole) > LONGEST_IN_HEXADECIMAL:  # a key: such a long text has many parts
        forms.add(base64.b64encode(whole.encode(errors="replace")).decode())
    else:
        forms |= _base64_forms(whole.encode(errors="replace"))
    return {form for form in forms | _in_hexadecimal(whole) if len(form) >= MINIMUM_LENGTH}


def _encoded(text: str) -> set[str]:
    """Return how JSON, Python, YAML, a shell, a URL, a form and XML write ``text``, if they change it."""
    if _WRITTEN_AS_IT_IS.fullmatch(text):
        return set()
    in_url = {quote(text, safe="", errors="replace"), quote(text, errors="replace")}
    in_url |= {form.replace("%20", "+") for form in in_url}  # as in forms
    in_json = json.dumps(text)[1:-1]
    return {
        in_json,
        json.dumps(in_json)[1:-1],  # a text that quotes JSON, within JSON
        *_in_markup(text),
        ascii(text)[1:-1],
        repr(text.encode(errors="replace"))[2:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        repr(text)[1:-1],
        *_in_arguments(text, in_json),
        yaml.safe_dump(text, default_style='"', width=math.inf).strip()[1:-1],
        text.replace("'", "''"),
        text.replace("'", "'\"'\"'"),
        *in_url,
        *(_ESCAPED.sub(lambda code: code[0].lower(), form) for form in in_url),
    }


def _in_arguments(text: str, in_json: str) -> set[str]:
    """Return how Python writes lists of arguments that contain it, as it is or as Python or JSON wrote it."""
    written = _in_python(text)
    nested = {form for one in (*written, in_json) for form in _in_python(one)}
    return {*written, *nested, *(json.dumps(one)[1:-1] for one in written)}


def _in_python(text: str) -> set[str]:
    """Return how Python writes it within a longer text, which decides whether single quotes are escaped."""
    escaped = repr(f"{text}\"'")[1:-4]
    return {escaped, escaped.replace("\\'", "'")}


def _in_markup(text: str) -> set[str]:
    """Return how XML and HTML write it: some escape quotation marks, by number or by name, and some do not."""
    plain = escape(text, quote=False)
    quotes = itertools.product(("&quot;", "&#34;", '"'), ("&apos;", "&#39;", "&#x27;", "'"))
    return {plain.replace('"', double).replace("'", single) for double, single in quotes}


def _in_hexadecimal(text: str) -> set[str]:
    """Return its bytes in hexadecimal digits; if it consists of hexadecimal digits, also both cases of it."""
    digits = text.encode(errors="replace").hex() if len(text) <= LONGEST_IN_HEXADECIMAL else ""
    cases = {text.lower(), text.upper()} if _HEXADECIMAL.fullmatch(text) else set()
    return {digits, digits.upper(), *cases}


def _base64_forms(raw: bytes) -> set[str]:
    """
    Return the base64 forms of ``raw``, alone and within a longer text.

    Base64 writes three bytes as four characters, so a secret within a longer text looks different at each of three
    offsets. Only characters that depend on the secret alone are used.
    """
    whole = base64.b64encode(raw).decode()
    forms = {whole, whole.rstrip("=")}
    for offset in range(3):
        text = base64.b64encode(b"\0" * offset + raw).decode().rstrip("=")
        bits = 8 * (offset + len(raw))
        forms.add(text[-(-8 * offset // 6) : bits // 6])
    forms |= {form.translate(str.maketrans("+/", "-_")) for form in forms}
    return {form for form in forms if len(form) >= MINIMUM_LENGTH}
