"""What commands on a node print, taken in pieces and bounded while it is read."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hart_salt.base.errors import NodeFailed

#: bytes of one line
LINE_LIMIT = 8 * 1024
#: bytes of what one command prints that is read as a whole, on standard output and standard error each
OUTPUT_LIMIT = 1024 * 1024
#: lines that are handed on at once: each costs a few microseconds, and others wait for it
LINES_AT_ONCE = 128

# A carriage return at the very end may be half of a line end.
_LINE_END = re.compile(rb"\r\n|\n|\r(?=.)", re.DOTALL)


class Lines:
    """Makes lines of bytes. What is no UTF-8 in them is replaced."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[str]:
        """Return the lines that end in ``piece``. Raises ``NodeFailed`` for one of more than 8 KiB."""
        *whole, self._rest = _LINE_END.split(self._rest + piece)
        if len(self._rest.removesuffix(b"\r")) > LINE_LIMIT or any(len(line) > LINE_LIMIT for line in whole):
            raise NodeFailed(f"the node printed a line of more than {LINE_LIMIT >> 10} KiB")
        return [line.decode(errors="replace") for line in whole]

    def end(self) -> list[str]:
        """The last line, if it had no end."""
        rest, self._rest = self._rest.removesuffix(b"\r"), b""
        return [rest.decode(errors="replace")] if rest else []


class Output:
    """
    Collects what a command prints.

    name
        what it is, for the error
    limit
        in bytes (default 1 MiB)
    """

    def __init__(self, name: str, limit: int = OUTPUT_LIMIT) -> None:
        self._name, self._limit = name, limit
        self._data = bytearray()

    def feed(self, piece: bytes) -> None:
        """Take more of it. Raises ``NodeFailed`` when it is too much."""
        if len(self._data) + len(piece) > self._limit:
            raise NodeFailed(f"{self._name} is larger than {self._limit >> 20} MiB")
        self._data += piece

    def text(self) -> str:
        """All of it; what is no UTF-8 is replaced."""
        return self._data.decode(errors="replace")


def in_parts(lines: list[str]) -> Iterator[list[str]]:
    """The same lines, a few at a time."""
    return (lines[at : at + LINES_AT_ONCE] for at in range(0, len(lines), LINES_AT_ONCE))
