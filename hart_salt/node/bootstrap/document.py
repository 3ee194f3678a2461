"""
Read the result document of the bootstrap script: what a node says about itself, limited and checked.

A node is not trusted. A document that the script cannot have written fails the node. Something that an unusual image
may bring, such as a host key of an unknown type, is left out, and a note reports it.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import asyncssh
import pydantic
from pydantic import AfterValidator, BeforeValidator, Field

from hart_salt.base.errors import NodeFailed
from hart_salt.base.text import MARK, visible

#: the steps of the script, in their order
STEPS = ("ssh", "trust", "key", "install", "hand-over")
#: the most characters in the document; the output of a command has the same limit, see ``node/output.py``
DOCUMENT_LIMIT = 1024 * 1024
#: the most characters in a public key in PEM; an RSA key with 16384 bits has 2900
KEY_LIMIT = 4096
#: the most host keys, and characters in one; an RSA key with 16384 bits has 2800
HOST_KEYS = 16
HOST_KEY_LIMIT = 4096
#: a type that cloud-init made until 23.3 (in Debian 12), and that sshd no longer offers since OpenSSH 7.0
UNUSED_KIND = "ssh-dss"
#: the accepted types of host keys; all others are from before 2015, or are certificates
HOST_KEY_KINDS = frozenset(
    ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"]
)
#: the comment of a host key, which is the host's name
COMMENT = re.compile(r"[A-Za-z0-9@._-]{1,100}")
#: the most notes, and characters in one
NOTES = 16
NOTE_LIMIT = 500
#: the most characters of the reason of a failure
REASON_LIMIT = 1000
#: the most characters of the script's last output
TAIL_LIMIT = 64 * 1024
#: the most seconds in one step; if the clock is set while the script runs, they can be negative
STEP_SECONDS = 7 * 86400.0

_PEM = re.compile(r"[A-Za-z0-9+/= \r\n-]*")
_VERSION = re.compile(r"[0-9A-Za-z.+~:-]{1,64}")


def _known_step(name: Any) -> Any:
    if name not in ("", *STEPS):
        raise ValueError("not a step of the script")
    return name


def _pem(text: Any) -> Any:
    if not isinstance(text, str) or len(text) > KEY_LIMIT or not _PEM.fullmatch(text):
        raise ValueError("not a public key")
    return text


def _version(text: Any) -> str:
    """Return a version, or an empty string: if Salt is not available, apt prints ``(none)``."""
    return text if isinstance(text, str) and _VERSION.fullmatch(text) else ""


def _one_line(text: str) -> str:
    return text.strip().replace("\n", MARK)


def _few_steps(times: Any) -> Any:
    # Before the items are checked, since each costs time.
    if not isinstance(times, dict) or len(times) > len(STEPS):
        raise ValueError("not the times of the steps")
    return times


class Result(pydantic.BaseModel):
    """
    The result document. Unknown fields of a newer script are ignored.

    Control characters in the node's texts are made visible. The texts may hold secrets: the code that shows them must
    redact them.

    Raises ``pydantic.ValidationError`` for a document that the script cannot have written.
    """

    model_config = pydantic.ConfigDict(strict=True, allow_inf_nan=False)

    version: Annotated[int, Field(ge=1, le=1000)]
    exit_code: Annotated[int, Field(ge=0, le=255)]
    failed_step: Annotated[str, BeforeValidator(_known_step)]
    #: why the step failed, if the script knows it; part of the error
    reason: Annotated[str, Field(max_length=REASON_LIMIT), AfterValidator(_one_line)] = ""
    #: how long each step took; nothing depends on it
    seconds: Annotated[
        dict[Annotated[str, BeforeValidator(_known_step)], Annotated[float, Field(ge=-STEP_SECONDS, le=STEP_SECONDS)]],
        BeforeValidator(_few_steps),
    ]
    salt_version: Annotated[str, BeforeValidator(_version)]
    #: PEM of the minion's public key; empty if the script did not get that far
    minion_key: Annotated[str, BeforeValidator(_pem)]
    #: PEM of the key of a minion that the image had started, before the script stopped it
    former_key: Annotated[str, BeforeValidator(_pem)] = ""
    #: OpenSSH public key lines of the host's own keys, which stay after sealing; each is parsed and written again
    host_keys: list[str]
    #: permanent changes that an admin should know of, a sentence each
    notes: list[str] = []
    #: the end of the script's output
    output: Annotated[str, Field(max_length=TAIL_LIMIT)]

    @pydantic.model_validator(mode="before")
    @classmethod
    def _bounded(cls, data: Any) -> Any:
        """Drop unusable items of the lists and note them, before any other check, since each item costs time."""
        if not isinstance(data, dict):
            return data
        notes: list[str] = []
        return {
            **data,
            "host_keys": _host_keys(data.get("host_keys"), notes),
            "notes": _notes(data.get("notes", []), notes),
            **{name: visible(data[name]) for name in ("output", "reason") if isinstance(data.get(name), str)},
        }


def _host_keys(lines: Any, notes: list[str]) -> Any:
    """Return the lines that are host keys, parsed and written again; add a sentence on the others to ``notes``."""
    if not isinstance(lines, list):
        return lines
    lines = [line for line in lines if not (isinstance(line, str) and line.startswith(f"{UNUSED_KIND} "))]
    keys = [key for key in map(_host_key_line, lines[:HOST_KEYS]) if key is not None]
    left_out = len(lines) - len(keys)
    if left_out:
        notes.append(
            f"{left_out} of the SSH host keys that the node reported were left out: each must be one line with an "
            f"OpenSSH public key, and at most {HOST_KEYS} are accepted"
        )
    return list(dict.fromkeys(keys))


def _notes(texts: Any, notes: list[str]) -> Any:
    """Return the notes on what was left out, followed by the node's notes that are short enough."""
    if not isinstance(texts, list):
        return texts
    short = [visible(text) for text in texts[:NOTES] if isinstance(text, str) and len(text) <= NOTE_LIMIT]
    if left_out := len(texts) - len(short):
        notes.append(
            f"{left_out} of the node's notes were left out: at most {NOTES} with {NOTE_LIMIT} characters each are "
            "accepted"
        )
    return [*notes, *map(_one_line, short)]


def _host_key_line(line: Any) -> str | None:
    """
    Parse an OpenSSH public key line, and return it written again: type, key and, if it is a plain name, comment.

    Returns None for anything else. Text after a line end would be a separate line in known_hosts, where ``*`` matches
    every host.
    """
    if not isinstance(line, str) or len(line) > HOST_KEY_LIMIT or not line.isprintable():
        return None
    words = line.split()
    try:
        key = asyncssh.import_public_key(" ".join(words[:2]))
        kind, data = key.export_public_key("openssh").decode("ascii").split()[:2]
    except (asyncssh.KeyImportError, asyncssh.KeyExportError, ValueError):
        return None
    if kind not in HOST_KEY_KINDS or words[:2] != [kind, data]:
        return None
    comment = words[2] if len(words) == 3 and COMMENT.fullmatch(words[2]) else ""
    return f"{kind} {data} {comment}".strip()


def parse_result(text: str) -> Result:
    """
    Parse the result document.

    Raises ``NodeFailed`` if the document is missing or cut off: the script ended without writing one, because of the
    out-of-memory killer or a reboot. Also raises it if the script cannot have written the document; the error names
    the first wrong field and does not quote its value.
    """
    if len(text) > DOCUMENT_LIMIT:
        raise NodeFailed(f"the bootstrap's result document is larger than {DOCUMENT_LIMIT >> 20} MiB")
    try:
        return Result.model_validate_json(text)
    except pydantic.ValidationError as error:
        raise NodeFailed(_why_not(error)) from None


def _why_not(error: pydantic.ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    if first["type"] in ("json_invalid", "string_unicode"):
        return (
            "the bootstrap script ended without a result document: the machine may have rebooted or run out of memory"
        )
    name = str(first["loc"][0]) if first["loc"] else "the whole document"
    return f"the bootstrap script cannot have written this result document: {name} is missing or wrong"
