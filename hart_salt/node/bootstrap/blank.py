"""
Blank the bootstrap script in the copies that cloud-init keeps of it. This runs on a node, when it is sealed.

The node's own Python reads this file from standard input: standard library only. Each file keeps its size, mode and
owner, and the text around the script. ``obj.pkl``, which cloud-init loads at the next boot, contains the script too: a
pickle stays valid if a text in it is replaced by one of the same length.
"""

from __future__ import annotations

import base64
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

#: files and texts with more bytes are no copy: user-data is smaller at every provider
LARGEST = 2**24
#: a copy in a copy, such as base64 of gzip in JSON
DEPTH = 4

# A line end is two characters in JSON.
SCRIPT = re.compile(rb"(#!/bin/sh)(\r?\n|\\n)# Turns a fresh instance .*?\2end_step(?![_(])", re.DOTALL)
PRIVATE_KEY = re.compile(rb"-----BEGIN OPENSSH PRIVATE KEY-----.*?-----END OPENSSH PRIVATE KEY-----", re.DOTALL)
# The n of a line end in JSON is none of the letters.
BASE64 = re.compile(rb"(?:(?<=\\n)|(?<![A-Za-z0-9+/\\]))[A-Za-z0-9+/]{40,}(?:(?:\r?\n|\\n)[A-Za-z0-9+/]+)*={0,2}")
LINE_END = re.compile(rb"(\r?\n|\\n)")
GZIP = b"\x1f\x8b\x08"


def blanked(data: bytes, key: bytes, depth: int = DEPTH) -> bytes:
    """
    Return ``data`` of the same length without the script that contains ``key``.

    A copy can be plain, in base64 or in gzip. A shell script that is only a comment replaces it.
    """
    if depth == 0:
        return data
    data = BASE64.sub(lambda found: _blanked_base64(found[0], key, depth), data)
    for start, end in _packed(data, key, depth):
        data = data[:start] + b"#!/bin/sh\n".ljust(end - start, b"#")[: end - start] + data[end:]
    if key in data:
        data = SCRIPT.sub(lambda found: (found[1] + found[2]).ljust(len(found[0]), b"#"), data)
        data = PRIVATE_KEY.sub(lambda found: b"#" * len(found[0]), data)
        data = data.replace(key, b"#" * len(key))
    return data


def _blanked_base64(text: bytes, key: bytes, depth: int) -> bytes:
    """Return a base64 text with the same layout whose content is blanked; the same text if it is not a copy."""
    parts = LINE_END.split(text)
    letters = b"".join(parts[::2])
    try:
        plain = base64.b64decode(letters, validate=True)
    except ValueError:
        return text
    result = blanked(plain, key, depth - 1)
    if result == plain:
        return text
    letters = base64.b64encode(result)
    for number in range(0, len(parts), 2):
        length = len(parts[number])
        parts[number], letters = letters[:length], letters[length:]
    return b"".join(parts)


def _packed(data: bytes, key: bytes, depth: int) -> Iterator[tuple[int, int]]:
    """Return where a copy in gzip begins and ends, for each one."""
    start = data.find(GZIP)
    while start >= 0:
        unpacking = zlib.decompressobj(31)
        try:
            plain = unpacking.decompress(data[start:], LARGEST)
        except zlib.error:
            plain = b""
        if plain and blanked(plain, key, depth - 1) != plain:
            yield start, len(data) - len(unpacking.unused_data)
        start = data.find(GZIP, start + 1)


def _files(places: list[str]) -> Iterator[Path]:
    """Return the regular files in ``places``, which are files or directories."""
    for place in map(Path, places):
        paths = place.rglob("*") if place.is_dir() else [place]
        yield from (path for path in paths if path.is_file() and not path.is_symlink())


def main(key: bytes, places: list[str]) -> None:
    """Blank the files in ``places`` in place: cloud-init may have its log open."""
    for path in _files(places):
        try:
            with path.open("r+b") as file:
                data = file.read(LARGEST)
                result = blanked(data, key)
                if result != data:
                    file.seek(0)
                    file.write(result)
        except FileNotFoundError:  # cloud-init removed it in between
            pass


if __name__ == "__main__":
    main(sys.argv[1].encode(), sys.argv[2:])
