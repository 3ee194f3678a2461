"""Copies of the bootstrap script in the forms that cloud-init keeps: each is blanked, and nothing around it changes."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import pickle
import textwrap
import zlib
from collections.abc import Callable
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path

import pytest

from hart_salt.node.bootstrap import BOOTHOOK, blank
from tests.functional.node.test_seal_script import HOST_KEY, KEY, RENDERED

SECRETS = [KEY, *HOST_KEY.splitlines()[1:3], "HART_END"]


def mime(script: str, charset: str) -> str:
    """Return what cloud-init makes of a script: 7-bit in ASCII, base64 in UTF-8."""
    outer = MIMEMultipart()
    outer.attach(MIMEText(script, "x-shellscript", charset))
    outer.attach(MIMEText("#cloud-config\nhostname: web\n", "cloud-config", "us-ascii"))
    return outer.as_string()


def packed(script: str) -> bytes:
    return gzip.compress(script.encode(), mtime=0)


def based(data: bytes) -> str:
    return base64.b64encode(data).decode()


def loaded(script: str) -> bytes:
    """Return a pickle like that of a datasource."""
    source = {"userdata_raw": script, "userdata": MIMEText(script), "vendordata": None, "metadata": {
        "public-keys": [f"ssh-ed25519 {KEY} hart-0123456789ab"], "region": "ams3"}}  # fmt: skip
    return pickle.dumps(source)


FORMS: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "gzip": packed,
    "gzip in a pickle": lambda script: pickle.dumps({"userdata_raw": packed(script), "after": "stays"}),
    "pickle": loaded,
    "old pickle": lambda script: pickle.dumps({"userdata_raw": script, "after": "stays"}, protocol=2),
    "base64": lambda script: based(script.encode()).encode(),
    "base64 of gzip": lambda script: based(packed(script)).encode(),
    "base64 in lines": lambda script: "\n".join(textwrap.wrap(based(script.encode()), 76)).encode(),
    "MIME": lambda script: mime(script, "us-ascii").encode(),
    "MIME in base64": lambda script: mime(script, "utf-8").encode(),
    "JSON": lambda script: json.dumps({"ud": script, "keys": [KEY], "after": "stays"}, indent=1).encode(),
    "JSON with base64": lambda script: json.dumps({"ud": f"ci-b64:{based(script.encode())}"}).encode(),
    "JSON with MIME": lambda script: json.dumps({"ud": mime(script, "utf-8"), "after": "stays"}).encode(),
    "cut off": lambda script: script[: script.index("write_seal() {")].encode(),
    "boothook": lambda script: f"{BOOTHOOK}\n{script}".encode(),
    "boothook in MIME": lambda script: mime(f"{BOOTHOOK}\n{script}", "us-ascii").encode(),
    "two": lambda script: b"before " + packed(script) + b" between " + script.encode() + b" after",
}


def unpacked(data: bytes) -> bytes:
    """Return the data with everything that can be read in it by who looks into gzip and base64."""
    seen = data
    start = data.find(blank.GZIP)
    while start >= 0:
        with contextlib.suppress(zlib.error):
            seen += zlib.decompressobj(31).decompress(data[start:])
        start = data.find(blank.GZIP, start + 1)
    for run in blank.BASE64.findall(data):
        letters = b"".join(blank.LINE_END.split(run)[::2])
        try:
            plain = base64.b64decode(letters, validate=True)
        except ValueError:
            continue
        seen += plain if len(plain) < 1000 else unpacked(plain)
    return seen


@pytest.mark.parametrize("form", FORMS)
def test_a_copy_in_any_form_is_blanked_in_the_same_length(form: str) -> None:
    data = FORMS[form](RENDERED)
    assert KEY.encode() in unpacked(data)
    result = blank.blanked(data, KEY.encode())
    assert len(result) == len(data)
    left = SECRETS[:3] if form == "cut off" else SECRETS
    assert [text for text in left if text.encode() in unpacked(result)] == []
    assert blank.blanked(result, KEY.encode()) == result


@pytest.mark.parametrize("form", FORMS)
def test_a_script_of_another_call_stays(form: str) -> None:
    data = FORMS[form](RENDERED)
    assert blank.blanked(data, b"AAAAC3NzaC1lZDI1NTE5AAAAIanother") == data


def test_a_pickle_loads_with_the_rest_of_the_datasource_and_a_script_that_does_nothing() -> None:
    source = pickle.loads(blank.blanked(loaded(RENDERED), KEY.encode()))  # noqa: S301 - made above
    script = source["userdata_raw"]
    assert (script[:11], set(script[10:-1])) == ("#!/bin/sh\n#", {"#"})
    assert source["userdata"].get_payload() == script
    assert source["metadata"]["region"] == "ams3"
    packed_one = blank.blanked(FORMS["gzip in a pickle"](RENDERED), KEY.encode())
    assert pickle.loads(packed_one)["after"] == "stays"  # noqa: S301 - made above


def test_json_is_valid_with_the_rest_of_its_values() -> None:
    for form in ("JSON", "JSON with MIME"):
        assert json.loads(blank.blanked(FORMS[form](RENDERED), KEY.encode()))["after"] == "stays"
    assert json.loads(blank.blanked(FORMS["JSON"](RENDERED), KEY.encode()))["ud"].startswith("#!/bin/sh\n#")


@pytest.mark.parametrize("data", [b"", KEY.encode()[:-1], b"\x1f\x8b\x08 no gzip", b"A" * 41, RENDERED.encode() * 2])
def test_any_data_keeps_its_length(data: bytes) -> None:
    assert len(blank.blanked(data, KEY.encode())) == len(data)


def test_files_are_blanked_in_place_wherever_they_are(tmp_path: Path) -> None:
    names = ("cloud/a/user-data.txt", "init.log", "cloud/b", "linked")
    copy, log, other, elsewhere = (tmp_path / name for name in names)
    copy.parent.mkdir(parents=True)
    for file in (copy, log, elsewhere):
        file.write_text(RENDERED)
    other.write_text("nothing of ours")
    (tmp_path / "cloud/link").symlink_to(elsewhere)
    copy.chmod(0o640)
    before = copy.stat()
    blank.main(KEY.encode(), [str(tmp_path / "cloud"), str(log), str(tmp_path / "missing")])
    after = copy.stat()
    assert (after.st_ino, after.st_size, after.st_mode) == (before.st_ino, before.st_size, before.st_mode)
    assert [KEY in file.read_text() for file in (copy, log)] == [False, False]
    assert (other.read_text(), elsewhere.read_text()) == ("nothing of ours", RENDERED)
