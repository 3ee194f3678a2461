"""The result document of a node: whatever it contains, what hart accepts of it is limited and clean."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hart_salt.base.errors import NodeFailed
from hart_salt.base.text import MARK, visible
from hart_salt.node import bootstrap
from hart_salt.node.bootstrap import document

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIt8nmNGH+lWOnCEAzbiNSYTwcbfUUWmPPej05UDf2dn"
DOCUMENT: dict[str, Any] = {
    "version": 1, "exit_code": 0, "failed_step": "", "seconds": {"ssh": 0.1}, "salt_version": "3008.3",
    "minion_key": "-----BEGIN PUBLIC KEY-----\n", "host_keys": [KEY], "output": "done\n",
}  # fmt: skip


def read(**changes: Any) -> bootstrap.Result:
    return bootstrap.parse_result(json.dumps({**DOCUMENT, **changes}))


def test_a_document_is_parsed() -> None:
    result = read()
    assert (result.exit_code, result.seconds, result.host_keys, result.notes) == (0, {"ssh": 0.1}, [KEY], [])


def test_fields_of_a_newer_script_are_ignored() -> None:
    assert read(version=2, reboots=1).version == 2


def test_the_steps_are_those_of_the_script() -> None:
    template = Path(bootstrap.__file__).parent / "templates/bootstrap.sh.j2"
    assert tuple(re.findall(r"^begin (\S+)$", template.read_text(), re.MULTILINE)) == document.STEPS


CUT = {
    "nothing": "",
    "blank": "\n",
    "text": "Connection closed",
    "a cut": json.dumps(DOCUMENT)[:-20],
    "two documents": json.dumps(DOCUMENT) * 2,
    "very deep": "[" * 100_000,
    "half a character": '{"version": 1, "output": "\ud800"}',
    "half a character, escaped": '{"version": 1, "output": "\\ud800"}',
}


@pytest.mark.parametrize("text", CUT.values(), ids=CUT)
def test_text_that_is_not_a_document_fails_the_node_with_the_likely_reason(text: str) -> None:
    with pytest.raises(NodeFailed, match="without a result document: .* rebooted or run out of memory"):
        bootstrap.parse_result(text)


#: values that a field cannot have
WRONG_VALUES: dict[str, list[Any]] = {
    "version": [0, -1, "1", None, 1.5, True, 10**30],
    "exit_code": [-1, 256, "0", None, 0.5],
    "failed_step": ["format-disk", "\x1b[2J", "x" * 100_000, None, 1, ["ssh"], {}],
    "seconds": [{"ssh": math.nan}, {"ssh": math.inf}, {"ssh": 1e300}, {"boom": 1}, {"ssh": "1"}, [], None],
    "minion_key": [None, 1, "a\x1bb", "é", "A" * 5000],
    "former_key": [None, 1, "a\x1bb", "\u202e", "A" * 5000],
    "host_keys": [None, KEY, {}, 1],
    "notes": [None, "note", {}, 1],
    "reason": [None, 1, "x" * 1001],
    "output": [None, 1, "x" * 70_000],
}
WRONG = {
    "null": "null",
    "a list": "[]",
    "no fields": "{}",
    "a missing field": json.dumps({key: value for key, value in DOCUMENT.items() if key != "minion_key"}),
    "endless digits": json.dumps(DOCUMENT).replace('"exit_code": 0', f'"exit_code": {"9" * 4000}'),
    "many steps": json.dumps({**DOCUMENT, "seconds": {str(number): "x" for number in range(50_000)}}),
    **{
        f"{name} = {json.dumps(value)[:30]}": json.dumps({**DOCUMENT, name: value})
        for name, values in WRONG_VALUES.items()
        for value in values
    },
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_a_document_that_the_script_cannot_have_written_fails_the_node_and_is_not_quoted(text: str) -> None:
    with pytest.raises(NodeFailed, match="cannot have written this result document: [a-z_ ]+ is missing or wrong$"):
        bootstrap.parse_result(text)


def test_a_document_larger_than_a_mebibyte_is_not_parsed() -> None:
    with pytest.raises(NodeFailed, match="larger than 1 MiB"):
        bootstrap.parse_result(json.dumps({**DOCUMENT, "more": "x" * 1024 * 1024}))


def test_a_salt_version_that_is_not_one_is_left_out() -> None:
    assert read(salt_version="3008.4-1~deb12").salt_version == "3008.4-1~deb12"
    assert {read(salt_version=text).salt_version for text in ("(none)", "z" * 100, "1\n2", None, 3)} == {""}


def test_a_reason_is_one_line_without_invisible_characters() -> None:
    assert read().reason == ""
    assert read(reason=" why\x1b[2J\nnot \n").reason == f"why{MARK}[2J{MARK}not"


# host keys

OTHERS = [asyncssh.generate_private_key(kind) for kind in ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp521", "ssh-ed25519")]
RSA = asyncssh.generate_private_key("ssh-rsa", key_size=2048)


@pytest.mark.parametrize("key", [*OTHERS, RSA], ids=lambda key: key.get_algorithm())
def test_host_keys_of_all_types_in_use_are_accepted(key: asyncssh.SSHKey) -> None:
    key.set_comment("root@web-1")
    line = key.export_public_key().decode().strip()
    result = read(host_keys=[line])
    assert result.host_keys == [line]
    assert result.notes == []


LEFT_OUT = {
    "a line end and a wildcard": f"{KEY}\n* {KEY}",
    "a carriage return": f"{KEY}\r* {KEY}",
    "a line end of Unicode's": f"{KEY}\u2028* {KEY}",
    "a host in front": f"* {KEY}",
    "a mark in front": f"@cert-authority * {KEY}",
    "options in front": f'command="id" {KEY}',
    "no key": "not a key at all",
    "cut": KEY[:40],
    "long": "A" * 20_000,
    "another name for the kind": KEY.replace("ssh-ed25519 ", "ssh-rsa "),
    "more base64 than the key": KEY + "AAAA",
    "characters that base64 passes over": KEY.replace("AAAAC3", "AA*AAC3"),
    "nothing": "",
    "a number": 1,
    "a list": [KEY],
    "a certificate": "ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5",
    "a hidden character": f"{KEY}\u200b",
}


@pytest.mark.parametrize("line", LEFT_OUT.values(), ids=LEFT_OUT)
def test_a_line_that_is_not_a_host_key_is_left_out_and_reported(line: Any) -> None:
    result = read(host_keys=[line, KEY], notes=["from the node"])
    assert result.host_keys == [KEY]
    assert result.notes[0].startswith("1 of the SSH host keys that the node reported were left out")
    assert result.notes[1:] == ["from the node"]


def test_the_dsa_key_that_cloud_init_made_is_ignored() -> None:
    """Images of Debian 12 have one, and sshd never offers it: a note on each node would be useless."""
    result = read(host_keys=["ssh-dss AAAAB3NzaC1kc3MAAACBAA== root@web-1", KEY])
    assert (result.host_keys, result.notes) == ([KEY], [])


@pytest.mark.parametrize("comment", ["two words", "a" * 200, "ünïcode", "$(id)", "#"])
def test_a_comment_that_is_not_a_plain_name_is_left_out(comment: str) -> None:
    assert read(host_keys=[f"{KEY} {comment}"]).host_keys == [KEY]


def test_the_number_of_host_keys_is_limited_and_duplicates_are_dropped() -> None:
    assert read(host_keys=[KEY, KEY]).host_keys == [KEY]
    result = read(host_keys=["no key"] * 2000 + [KEY])
    assert (result.host_keys, result.notes[0][:5]) == ([], "2001 ")


# notes


def test_notes_are_few_and_short_and_have_one_line_each() -> None:
    notes = ["\x1b]0;title\x07forged:\nresult: True\u202e", "n" * 501, *["note"] * 30]
    result = read(notes=notes)
    assert result.notes[0] == "17 of the node's notes were left out: at most 16 with 500 characters each are accepted"
    assert result.notes[1] == "\ufffd]0;title\ufffdforged:\ufffdresult: True\ufffd"
    assert result.notes[2:] == ["note"] * 14


# arbitrary documents

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
LINES = st.text() | st.sampled_from([KEY, *map(str, LEFT_OUT.values())]) | st.text().map(lambda text: f"{KEY} {text}")
NEAR = st.fixed_dictionaries(
    {},
    optional={
        "version": st.integers(0, 3) | JSON,
        "exit_code": st.integers(-2, 300) | JSON,
        "failed_step": st.sampled_from(["", *document.STEPS]) | JSON,
        "seconds": st.dictionaries(st.sampled_from(document.STEPS) | st.text(), st.floats() | JSON, max_size=6) | JSON,
        "salt_version": st.text() | JSON,
        "minion_key": st.text() | JSON,
        "former_key": st.text() | JSON,
        "host_keys": st.lists(LINES | JSON, max_size=20) | JSON,
        "notes": st.lists(st.text(max_size=600) | JSON, max_size=20) | JSON,
        "output": st.text() | JSON,
        "more": JSON,
    },
)


def check(result: bootstrap.Result) -> None:
    """Check what holds for every accepted document."""
    assert 0 <= result.exit_code <= 255
    assert {result.failed_step, *result.seconds} <= {"", *document.STEPS}
    assert all(math.isfinite(seconds) for seconds in result.seconds.values())
    assert len(result.host_keys) <= document.HOST_KEYS
    for line in result.host_keys:
        assert re.fullmatch(r"[a-z0-9-]+ [A-Za-z0-9+/=]+( [A-Za-z0-9@._-]+)?", line)
        asyncssh.import_public_key(line)
    assert len(result.notes) <= document.NOTES + 2
    for text in [*result.notes, result.output, result.salt_version, result.minion_key, result.former_key]:
        assert visible(text) == text.replace("\r\n", "\n")
    assert all(len(note) <= document.NOTE_LIMIT and "\n" not in note for note in result.notes)
    assert max(len(result.minion_key), len(result.former_key)) <= document.KEY_LIMIT


@given(NEAR, st.booleans())
def test_whatever_a_node_writes_is_refused_or_limited_and_clean(changes: dict[str, Any], whole: bool) -> None:
    text = json.dumps({**DOCUMENT, **changes} if whole else changes)
    try:
        result = bootstrap.parse_result(text)
    except NodeFailed as error:
        assert visible(str(error)) == str(error)
        assert len(str(error)) < 200
        return
    check(result)


@given(st.text() | JSON.map(json.dumps))
def test_no_text_does_more_than_fail_the_node(text: str) -> None:
    with pytest.raises(NodeFailed):
        bootstrap.parse_result(text)
