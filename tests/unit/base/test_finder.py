"""No part of a secret is shown, wherever it was cut; other texts stay unchanged."""

from __future__ import annotations

import base64
import hashlib
import json
import textwrap
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hart_salt
from hart_salt.base.finder import PART
from hart_salt.base.redaction import Secrets

#: kinds of tokens, each made from 32 bytes
KINDS: dict[str, Callable[[bytes], str]] = {
    "hexadecimal": bytes.hex,
    "DigitalOcean's": lambda raw: f"dop_v1_{(raw + raw[::-1]).hex()}",
    "base64": lambda raw: base64.b64encode(raw).decode(),
    "of addresses": lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("="),
    "UUID": lambda raw: str(uuid.UUID(bytes=raw[:16], version=4)),
    "several words": lambda raw: " +/'\"é ".join(raw[at : at + 8].hex() for at in range(0, 32, 8)),
}
ORDINARY = "the secret could not be read: production database, salt-minion, password, s-1vcpu-1gb, 203.0.113.7"

numbers = st.integers(min_value=0, max_value=2**32)


def token(kind: str, number: int) -> str:
    return KINDS[kind](hashlib.sha256(str(number).encode()).digest())


def hiding(*values: str) -> Secrets:
    secrets = Secrets()
    for value in values:
        secrets.add(value)
    return secrets


def shown(secret: str, text: str) -> list[str]:
    """Return the parts of the secret that the text shows."""
    return [part for at in range(len(secret) - PART + 1) if (part := secret[at : at + PART]) in text]


def cut(secret: str) -> list[str]:
    """Return texts with the secret cut at every place, in every way."""
    texts = []
    for at in range(len(secret) + 1):
        head, tail = secret[:at], secret[at:]
        texts += [f"start {head}", f"{tail} end", f"'{head}' is bad", f"see {head}…", f"... {tail}", f"a\n{tail}\nb"]
        texts += [f"{head}\n  {tail}", f"{head}\ufffd", f"no (token: {head}...) there"]
    return texts


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=5)
@given(numbers)
def test_no_part_of_a_cut_token_is_shown(kind: str, number: int) -> None:
    secret = token(kind, number)
    secrets = hiding(secret)
    assert [text for text in cut(secret) if shown(secret, secrets.redact(text))] == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "several words"])
@settings(max_examples=20)
@given(numbers, st.data())
def test_no_part_from_the_middle_is_shown_even_without_a_mark_of_truncation(
    kind: str, number: int, data: st.DataObject
) -> None:
    secret = token(kind, number)
    start = data.draw(st.integers(0, len(secret) - PART))
    end = data.draw(st.integers(start + PART, len(secret)))
    result = hiding(secret).redact(f"they say x{secret[start:end]}x here")
    # a part of dop_v1_ and the like is not hidden on its own
    assert [part for part in shown(secret, result) if secret.index(part) > len("dop_v1")] == []


@settings(max_examples=20)
@given(numbers)
def test_no_line_of_wrapped_or_encoded_text_shows_a_part(number: int) -> None:
    secret = token("base64", number)
    encoded = base64.b64encode(f'{{"token": "{secret}"}}'.encode()).decode()
    inner = base64.b64encode(secret.encode()).decode().rstrip("=")[:-2]
    for width in (20, 64, 76):
        result = hiding(secret).redact("\n".join(textwrap.wrap(f"token {secret} {encoded}", width)))
        assert shown(secret, result) == []
        assert shown(inner, hiding(secret).redact("\n".join(textwrap.wrap(inner, width)))) == []


@pytest.mark.parametrize("secret", ["correct horse battery staple", "Production-Database-Key", "hunter2hunter2"])
def test_no_end_of_a_password_of_words_is_shown(secret: str) -> None:
    secrets = hiding(secret)
    assert [text for text in cut(secret) if shown(secret, secrets.redact(text))] == []


def test_a_token_is_found_in_other_notations() -> None:
    secret = token("hexadecimal", 1)
    upper, pairs, address = secret.upper(), "päss wörd+1".encode().hex(), "p%c3%a4ss%20w%c3%b6rd%2b1"
    assert hiding(secret).redact(f"<{upper}>") == "<***>"
    assert hiding("päss wörd+1").redact(f"<{pairs}> <{pairs.upper()}> <{address}>") == "<***> <***> <***>"


@settings(max_examples=10)
@given(st.lists(numbers, min_size=1, max_size=5))
def test_ordinary_texts_stay_as_they_are(several: list[int]) -> None:
    secrets = hiding(*(token(kind, number) for kind in KINDS for number in several), "production-salt-4f9a2c7be81d")
    for text in (ORDINARY, json.dumps({"token": ORDINARY}), KINDS["base64"](b"\1" * 32)):
        assert secrets.redact(text) == text


def test_the_words_around_a_token_are_not_hidden() -> None:
    secrets = hiding(
        "hart-salt-production-7f3a9c5e1b8d2046-staging", "postgres://app:x7Kq9Zr2Lm4T@db.example.com/production"
    )
    for text in ("hart-salt in production", "staging of db.example.com", "postgres://db.example.com/production"):
        assert secrets.redact(text) == text


def test_the_source_of_hart_shows_no_secret() -> None:
    """A long unrelated text shows no secret."""
    secrets = hiding(*(token(kind, number) for kind in KINDS for number in range(20)))
    for path in Path(hart_salt.__file__).parent.rglob("*.py"):
        text = path.read_text()
        assert secrets.redact(text) == text
