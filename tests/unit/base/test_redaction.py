"""Secrets stay out of text and data, in whatever form they appear."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Callable
from html import escape
from typing import Any
from urllib.parse import quote, quote_plus
from xml.sax import saxutils

import pytest
import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import SecretStr

from hart_salt.base.redaction import Secrets, looks_secret, mask
from hart_salt.base.text import visible

PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\n"

# Letters that neither another secret nor the surrounding text is likely to contain by chance.
secret_texts = st.text(st.characters(min_codepoint=33, max_codepoint=1000), min_size=6, max_size=40)


def hiding(*values: object) -> Secrets:
    secrets = Secrets()
    for value in values:
        secrets.add(value)
    return secrets


def counts_as_secret(text: str) -> bool:
    return len(hiding(text)) == 1


@given(secret_texts, st.text(), st.text())
def test_no_text_holds_a_secret_after_redaction(secret: str, before: str, after: str) -> None:
    assume(counts_as_secret(secret))
    assert secret not in hiding(secret).redact(before + secret + after)


@given(secret_texts, secret_texts, st.text())
def test_no_secret_survives_beside_another_one(first: str, second: str, rest: str) -> None:
    assume(counts_as_secret(first) and counts_as_secret(second))
    result = hiding(first, second).redact(rest + first + second + rest)
    assert first not in result
    assert second not in result


@given(st.text())
def test_text_without_secrets_stays_as_it_is(text: str) -> None:
    assume("correct-horse" not in text)
    assert hiding("correct-horse").redact(text) == text


@given(secret_texts)
@example("correct horse battery")
def test_encoded_secrets_are_found(secret: str) -> None:
    assume(counts_as_secret(secret))
    secrets = hiding(secret)
    forms = [json.dumps(secret), repr(secret), quote(secret, safe=""), shlex.quote(secret), ascii(secret)]
    forms += [quote_plus(secret), escape(secret), escape(secret, quote=False), repr(secret.encode()).removeprefix("b")]
    forms += [json.dumps(json.dumps(secret)[1:-1]), saxutils.quoteattr(secret)]
    for encoded in forms:
        text = f"value: {encoded}"
        inner = encoded[1:-1] if encoded[0] in "'\"" else encoded
        assert inner not in secrets.redact(text)


def test_a_secret_of_two_lines_is_found_in_the_base64_of_a_longer_text() -> None:
    encoded = base64.b64encode(b"user:first line x\nsecond line y\n").decode()
    assert hiding("first line x\nsecond line y\n").redact(encoded) == "dXNlcjp***Qo="


@given(st.binary(max_size=5), st.binary(max_size=5))
def test_base64_of_a_text_with_a_secret_cannot_be_decoded_to_it(before: bytes, after: bytes) -> None:
    planted = "dop_v1_0123456789abcdef"
    encoded = base64.b64encode(before + planted.encode() + after).decode()
    redacted = hiding(planted).redact(encoded)
    assert "***" in redacted
    # at most the two characters at either end, which its neighbours share, can remain
    assert len(redacted) - 3 <= len(encoded) - len(planted) * 8 // 6 + 2


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_of_a_secret_is_hidden_in_the_alphabet_of_urls_as_well(encode: Callable[[bytes], bytes]) -> None:
    planted = "~~~>>>???~~~>>>"
    assert hiding(planted).redact(encode(planted.encode()).decode()) == "***"


def test_a_yaml_dump_shows_no_secret() -> None:
    planted = 'it\'s a "long" one'
    dumped = yaml.safe_dump({"password": planted})
    assert "long" not in hiding(planted).redact(dumped)


def test_overlapping_secrets_leave_no_end_behind() -> None:
    assert hiding("abcdefgh", "efghijkl").redact("<abcdefghijkl>") == "<***>"


def test_everything_else_in_a_text_full_of_secrets_stays() -> None:
    assert hiding("s3cr3t!").redact("s3cr3t! " * 1000 + "end") == "*** " * 1000 + "end"
    assert hiding("s3cr3t!").redact("s3cr3t!s3cr3t!") == "******"


def test_a_secret_is_found_with_its_control_characters_marked() -> None:
    assert hiding("pass\x07word\x9b!").redact(visible("<pass\x07word\x9b!>")) == "<***>"


def test_the_longest_of_nested_secrets_is_replaced_as_one() -> None:
    assert hiding("abcdef", "abcdefghi").redact("abcdefghi") == "***"


def test_each_line_of_a_private_key_is_hidden() -> None:
    secrets = hiding(PEM)
    assert "MIIEvQIBADANBgkq" not in secrets.redact("log: MIIEvQIBADANBgkq")
    assert "hkiG9w0BAQEFAASC" not in secrets.redact("    hkiG9w0BAQEFAASC\r\n")
    assert "MIIE" not in secrets.redact(json.dumps({"key": PEM}))


def test_the_frame_of_a_private_key_is_not_hidden_everywhere() -> None:
    line = "-----BEGIN PRIVATE KEY-----"
    assert hiding(PEM).redact(f"expected {line}") == f"expected {line}"


@pytest.mark.parametrize("value", ["abc", "", "true", "disabled", "******", None, True, 12, "/etc/salt/gce.pem"])
def test_values_that_are_not_secrets_are_ignored(value: object) -> None:
    assert len(hiding(value)) == 0


def test_nested_values_are_added() -> None:
    secrets = hiding({"a": ["first-secret", {"b": SecretStr("second-secret")}], "c": 12345678})
    assert secrets.redact("first-secret second-secret 12345678") == "*** *** ***"


def test_secrets_that_are_added_later_are_hidden_as_well() -> None:
    secrets = hiding("correct-horse")
    assert secrets.redact("correct-horse battery-staple") == "*** battery-staple"
    secrets.add("battery-staple")
    assert secrets.redact("correct-horse battery-staple") == "*** ***"


def test_gather_takes_values_of_secret_looking_keys_and_passwords_in_urls() -> None:
    secrets = Secrets()
    secrets.gather({"a": {"mysql.pass": "hunter22"}, "repo": ["https://me:mirror-pw@host/deb"], "size": "larger"})
    text = "hunter22 https://me:mirror-pw@host/deb larger"
    assert secrets.redact(text) == "*** https://me:***@host/deb larger"


def test_repr_shows_no_secret() -> None:
    assert repr(hiding("correct-horse")) == "<1 secrets>"


@pytest.mark.parametrize(
    "key",
    ["password", "db_password", "mysql.pass", "API-KEY", "apiKey", "s3.key", "secretToken", "private_key"]
    + ["aws_secret_access_key", "vault:token", "PASSWD", "credentials", "auth_token"],
)
def test_keys_of_secrets_are_recognised(key: str) -> None:
    assert looks_secret(key)


@pytest.mark.parametrize(
    "key",
    ["passenger", "tokenizer", "keyboard", "monkey", "public_key", "aws_access_key_id", "token_expire", "", "id"]
    + ["password_file", "compass", "size"],
)
def test_other_keys_are_not(key: str) -> None:
    assert not looks_secret(key)


def test_mask_hides_short_values_too_and_keeps_the_shape() -> None:
    data = {"db": {"password": "abc", "host": "h"}, "tokens": ["a", {"x": 1}], "secret": None, "pass": True}
    assert mask(data) == {
        "db": {"password": "***", "host": "h"},
        "tokens": ["***", {"x": "***"}],
        "secret": None,
        "pass": True,
    }


# within YAML, and within the arguments of a call

QUOTED = [
    "it's a \"long\" one", "don't''stop''now", "a\\b'c\"d\te!", "it's: #no 'comment'", "päss wörd's",
    "\\'both\\\" ways", "correct horse's battery", "first line's\nsecond \"line\"\nthird line here",
]  # fmt: skip
#: made of words, so no part looks random, and only its ends reveal that a line was folded
FOLDED = [
    'correct horse battery staple it\'s a "very" long one, longer than a line may be by far',
    "päss wörd with many words, so that a line of eighty characters cannot hold it at all",
]


def shown(secret: str, text: str) -> list[str]:
    """Return the runs of 8 characters of a secret that a text shows."""
    parts = {line[at : at + 8] for line in secret.splitlines() for at in range(max(1, len(line) - 7))}
    return sorted(part for part in parts if part in text)


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("style", ["'", '"', "|", ">", None])
@pytest.mark.parametrize("secret", [*QUOTED, *FOLDED])
def test_no_style_of_yaml_shows_a_part(secret: str, style: str | None, ascii_only: bool) -> None:
    data = {"db": {"password": secret, "user": "someone"}, "list": [secret]}
    dumped = yaml.safe_dump(data, default_style=style, allow_unicode=not ascii_only)
    redacted = hiding(secret).redact(dumped)
    assert shown(secret, redacted) == []
    assert "someone" in redacted


def test_yaml_s_single_quotes_are_doubled_and_its_double_quotes_escape() -> None:
    secrets = hiding('it\'s "so" \\ é')
    assert secrets.redact("password: 'it''s \"so\" \\ é' # end") == "password: '***' # end"
    assert secrets.redact('password: "it\'s \\"so\\" \\\\ \\xE9" # end') == 'password: "***" # end'


def test_a_block_of_yaml_keeps_its_shape() -> None:
    secrets = hiding("first line's\nsecond line")
    assert secrets.redact("key: |\n  first line's\n  second line\nnext: 1\n") == "key: |\n  ***\n  ***\nnext: 1\n"


@pytest.mark.parametrize("indent", [0, 2, 20])
def test_both_ends_of_a_folded_double_quoted_text_are_hidden(indent: int) -> None:
    folded = 'password: "correct horse battery\\\n' + " " * indent + '\\ staple for everybody"\nnext: 1\n'
    redacted = hiding("correct horse battery staple for everybody").redact(folded)
    assert "correct" not in redacted
    assert "everybody" not in redacted
    assert redacted.endswith("\nnext: 1\n")


ARGUMENTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "as Python has them": repr,
    "as a text of Python": lambda given: repr(repr(given)),
    "as words of a call": lambda given: repr([f"{name}={value}" for name, value in given.items()]),
    "as words with JSON": lambda given: repr([f"{name}={json.dumps(value)}" for name, value in given.items()]),
    "as JSON": json.dumps,
    "as JSON of words": lambda given: json.dumps([f"{name}={value!r}" for name, value in given.items()]),
    "as JSON of words with JSON": lambda given: json.dumps([json.dumps(given)]),
    "as in the data of a job": lambda given: repr({"fun_args": [{"__kwarg__": True, **given}], "user": "root"}),
    "as a call": lambda given: ", ".join(f"{name}={value!r}" for name, value in given.items()),
    "in a shell": lambda given: shlex.join([f"password={given['minion_config']['db']['password']}"]),
    "in YAML": lambda given: yaml.safe_dump(given, default_flow_style=True),
}


@pytest.mark.parametrize("form", ARGUMENTS)
@pytest.mark.parametrize("secret", QUOTED)
def test_the_arguments_of_a_call_show_no_secret(secret: str, form: str) -> None:
    given = {"role": "app", "minion_config": {"db": {"password": secret, "user": "someone"}}}
    secrets = Secrets()
    secrets.gather(given)
    redacted = secrets.redact(ARGUMENTS[form](given))
    assert shown(secret, redacted) == []
    assert "***" in redacted
    assert ("someone" in redacted) == (form != "in a shell")
