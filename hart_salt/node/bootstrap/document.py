"""
The document that the bootstrap script leaves: what a node says about itself, bounded and checked.

A node is not believed. What cannot be what the script writes fails the node; what an unusual image may bring, such as a
host key of a kind that nobody knows, is left out, and a note tells of it.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import asyncssh
import pydantic
from pydantic import BeforeValidator, Field

from hart_salt.base.errors import NodeFailed
from hart_salt.base.text import MARK, visible

#: the steps of the script, in their order
STEPS = ("ssh", "trust", "key", "install", "hand-over")
#: characters of the whole; no command prints more, see ``node/output.py``
DOCUMENT_LIMIT = 1024 * 1024
#: characters of a public key in PEM: of one with 16384 bits there are 2900
KEY_LIMIT = 4096
#: host keys, and characters of one: of an RSA key with 16384 bits there are 2800
HOST_KEYS = 16
HOST_KEY_LIMIT = 4096
#: a kind that cloud-init made until 23.3, as Debian 12 has it, and that no sshd has shown since OpenSSH 7.0
UNUSED_KIND = "ssh-dss"
#: kinds of host keys that are taken; what else there is dates from before 2015, or is a certificate
HOST_KEY_KINDS = frozenset(
    ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"]
)
#: characters of what stands behind a host key, which is the host's name
COMMENT = re.compile(r"[A-Za-z0-9@._-]{1,100}")
#: notes, and characters of one
NOTES = 16
NOTE_LIMIT = 500
#: characters of the script's last output
TAIL_LIMIT = 64 * 1024
#: seconds of one step; a clock that is set while the script runs makes them negative
STEP_SECONDS = 7 * 86400.0

_PEM = re.compile(r"[A-Za-z0-9+/= \r\n-]*")
_VERSION = re.compile(r"[0-9A-Za-z.+~:-]{1,64}")


def _known_step(name: Any) -> Any:
    if name not in ("", *STEPS):
        raise ValueError("no step of the script")
    return name


def _pem(text: Any) -> Any:
    if not isinstance(text, str) or len(text) > KEY_LIMIT or not _PEM.fullmatch(text):
        raise ValueError("no public key")
    return text


def _version(text: Any) -> str:
    """A version, or nothing: where Salt is not to be had, apt says ``(none)``."""
    return text if isinstance(text, str) and _VERSION.fullmatch(text) else ""


def _few_steps(times: Any) -> Any:
    # Before anything looks at them: each costs time.
    if not isinstance(times, dict) or len(times) > len(STEPS):
        raise ValueError("no times of steps")
    return times


class Result(pydantic.BaseModel):
    """
    The document. ``extra`` fields of a newer script are no error.

    Raises ``pydantic.ValidationError`` for one that the script cannot have written. Texts of the node's own are made
    visible in it; they may hold secrets, which whoever shows them takes out.
    """

    model_config = pydantic.ConfigDict(strict=True, allow_inf_nan=False)

    version: Annotated[int, Field(ge=1, le=1000)]
    exit_code: Annotated[int, Field(ge=0, le=255)]
    failed_step: Annotated[str, BeforeValidator(_known_step)]
    #: how long each step took; not believed, and nothing goes by it
    seconds: Annotated[
        dict[Annotated[str, BeforeValidator(_known_step)], Annotated[float, Field(ge=-STEP_SECONDS, le=STEP_SECONDS)]],
        BeforeValidator(_few_steps),
    ]
    salt_version: Annotated[str, BeforeValidator(_version)]
    #: PEM of the minion's public key; empty when the script did not get that far
    minion_key: Annotated[str, BeforeValidator(_pem)]
    #: PEM of the key of a minion that the image started by itself, before the script stopped it
    former_key: Annotated[str, BeforeValidator(_pem)] = ""
    #: OpenSSH public key lines of the host's own keys, which stay after sealing: each parsed, and written anew
    host_keys: list[str]
    #: what the script changed for good and an admin should know, a sentence each
    notes: list[str] = []
    #: the end of the script's output
    output: Annotated[str, Field(max_length=TAIL_LIMIT)]

    @pydantic.model_validator(mode="before")
    @classmethod
    def _bounded(cls, data: Any) -> Any:
        """Take of the lists what can be used, and note what cannot. Before anything else: each item costs time."""
        if not isinstance(data, dict):
            return data
        notes: list[str] = []
        return {
            **data,
            "host_keys": _host_keys(data.get("host_keys"), notes),
            "notes": _notes(data.get("notes", []), notes),
            "output": visible(data["output"]) if isinstance(data.get("output"), str) else data.get("output"),
        }


def _host_keys(lines: Any, notes: list[str]) -> Any:
    """The lines that are host keys, written anew; ``notes`` gets a sentence on the others."""
    if not isinstance(lines, list):
        return lines
    lines = [line for line in lines if not (isinstance(line, str) and line.startswith(f"{UNUSED_KIND} "))]
    keys = [key for key in map(_host_key_line, lines[:HOST_KEYS]) if key is not None]
    left_out = len(lines) - len(keys)
    if left_out:
        notes.append(
            f"{left_out} of the SSH host keys that the node reported were left out: each must be one line with a key "
            f"of OpenSSH, and there may be {HOST_KEYS}"
        )
    return list(dict.fromkeys(keys))


def _notes(texts: Any, notes: list[str]) -> Any:
    """The node's notes that are short enough, after ours on what was left out."""
    if not isinstance(texts, list):
        return texts
    short = [visible(text) for text in texts[:NOTES] if isinstance(text, str) and len(text) <= NOTE_LIMIT]
    if left_out := len(texts) - len(short):
        notes.append(f"{left_out} of the node's notes were left out: there may be {NOTES}, of {NOTE_LIMIT} characters")
    return [*notes, *(text.replace("\n", MARK) for text in short)]


def _host_key_line(line: Any) -> str | None:
    """
    An OpenSSH public key line, parsed and written anew: its kind, the key and, if it is a plain name, its comment.

    Returns None for anything else. What follows a line end would be a line of its own in known_hosts, where ``*``
    stands for every host.
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
    Read the document.

    Raises ``NodeFailed`` when it is missing or cut off: the script ended without leaving one, which the out-of-memory
    killer or a reboot brings about. Also when it is nothing that the script could have written, with the name of the
    first field that is wrong and nothing of what stands in it.
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
            "the bootstrap script ended without its result document: the machine may have rebooted or run out of memory"
        )
    name = str(first["loc"][0]) if first["loc"] else "the whole"
    return f"the bootstrap's result document is none that the script writes: {name} is missing or wrong"
