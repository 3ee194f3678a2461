"""The bootstrap script as text, and the reading of the document that it leaves."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from typing import Any

import jinja2
import pytest

from hart_salt import bootstrap
from hart_salt.bootstrap import Outfit, Script
from hart_salt.errors import NodeFailed
from hart_salt.settings import Settings

SCRIPT = Script(
    platform="local",
    host_private_key="-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
    client_public_key="ssh-ed25519 AAAA hart-1\n",
    master_public_key="-----BEGIN PUBLIC KEY-----\nBBBB\n-----END PUBLIC KEY-----\n",
    salt_version="3008",
)

DOCUMENT: dict[str, Any] = {
    "version": 1, "exit_code": 0, "failed_step": "", "seconds": {"ssh": 0.1}, "salt_version": "3008.3",
    "minion_key": "-----BEGIN PUBLIC KEY-----\n", "host_keys": ["ssh-ed25519 AAAA"], "output": "done\n",
}  # fmt: skip


def test_the_same_input_makes_the_same_script() -> None:
    assert bootstrap.render(SCRIPT) == bootstrap.render(replace(SCRIPT))


def test_line_ends_around_a_key_change_nothing() -> None:
    padded = replace(SCRIPT, host_private_key=f"\n{SCRIPT.host_private_key}\n\n")
    assert bootstrap.render(padded) == bootstrap.render(SCRIPT)


def test_the_keys_stand_in_the_script_as_they_are() -> None:
    text = bootstrap.render(SCRIPT)
    for key in (SCRIPT.host_private_key, SCRIPT.master_public_key):
        assert f"\n{key}HART_END\n" in text
    assert SCRIPT.client_public_key.strip() in text


def test_a_value_that_is_missing_is_an_error_and_not_an_empty_text() -> None:
    with pytest.raises(jinja2.TemplateError):
        bootstrap.render(replace(SCRIPT, platform="no-such-platform"))


@pytest.mark.parametrize("comment", ["hart-1", "it's \"x\"", "$(touch x) `touch x` ; # \\n %s"])
def test_a_shell_can_read_the_script_whatever_the_client_key_s_comment_is(comment: str) -> None:
    text = bootstrap.render(replace(SCRIPT, client_public_key=f"ssh-ed25519 AAAA {comment}"))
    done = subprocess.run(["sh", "-n"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


MASTER = replace(
    SCRIPT, platform="debian", settings=Settings(),
    outfit=Outfit("/run/hart/x.whl[do] it's $(x)", "x.whl", "https://index.example/simple"),
)  # fmt: skip


def test_a_shell_can_read_the_script_of_a_salt_master_and_each_one_in_it() -> None:
    text = bootstrap.render(MASTER)
    inner = re.findall(r"<<'HART_END'\n(set -eu\n.*?)HART_END\n", text, re.DOTALL)
    assert len(inner) == 4  # equip, start, authorize, seal
    for script in (text, *inner):
        done = subprocess.run(["sh", "-n"], input=script, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_salt_master_has_no_minion_key_and_gets_both_packages() -> None:
    text, minion = bootstrap.render(MASTER), bootstrap.render(replace(MASTER, outfit=None))
    assert " salt-master salt-minion\n" in text
    assert ("\nmake_minion_key\n" in text, "\nmake_minion_key\n" in minion) == (False, True)
    assert SCRIPT.master_public_key.strip() not in text
    assert "salt-master" not in minion


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing_in_the_script() -> None:
    done = subprocess.run(
        ["shellcheck", "-s", "sh", "-"], input=bootstrap.render(SCRIPT), capture_output=True, text=True, check=False
    )
    assert done.stdout == ""


def test_a_document_is_read() -> None:
    result = bootstrap.parse_result(json.dumps(DOCUMENT))
    assert (result.exit_code, result.seconds, result.host_keys) == (0, {"ssh": 0.1}, ["ssh-ed25519 AAAA"])


def test_fields_of_a_newer_script_are_no_error() -> None:
    assert bootstrap.parse_result(json.dumps({**DOCUMENT, "version": 2, "reboots": 1})).version == 2


def test_notes_are_read_and_none_are_needed() -> None:
    assert bootstrap.parse_result(json.dumps(DOCUMENT)).notes == []
    assert bootstrap.parse_result(json.dumps({**DOCUMENT, "notes": ["a", "b"]})).notes == ["a", "b"]


GARBAGE = {
    "nothing": "",
    "blank": "\n",
    "text": "Connection closed",
    "null": "null",
    "a list": "[]",
    "a cut": json.dumps(DOCUMENT)[:-20],
    "no fields": "{}",
    "a missing field": json.dumps({key: value for key, value in DOCUMENT.items() if key != "minion_key"}),
    "wrong types": json.dumps({**DOCUMENT, "host_keys": "ssh-ed25519 AAAA"}),
    "null key": json.dumps({**DOCUMENT, "minion_key": None}),
    "two documents": json.dumps(DOCUMENT) * 2,
    "very deep": "[" * 100_000,
    "half a character": '{"version": 1, "output": "\ud800"}',
}


@pytest.mark.parametrize("text", GARBAGE.values(), ids=GARBAGE)
def test_what_is_no_such_document_fails_the_node_with_the_likely_reason(text: str) -> None:
    with pytest.raises(NodeFailed, match="without its result document: .* rebooted or run out of memory"):
        bootstrap.parse_result(text)
