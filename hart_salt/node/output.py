"""Read the output of commands on a node in pieces, with limits."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hart_salt.base.errors import NodeFailed

#: the most bytes in one line
LINE_LIMIT = 8 * 1024
#: the most bytes of a command's output that is collected, for standard output and standard error each
OUTPUT_LIMIT = 1024 * 1024
#: lines that are passed on at once: each costs a few microseconds of the event loop
LINES_AT_ONCE = 128

# A carriage return at the end of a piece may be the first half of a line end.
_LINE_END = re.compile(rb"\r\n|\n|\r(?=.)", re.DOTALL)


class Lines:
    """Splits bytes into lines; bytes that are not UTF-8 are replaced."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[str]:
        """
        Return the lines that end in ``piece``.

        Raises ``NodeFailed`` if a line is longer than 8 KiB.
        """
        *whole, self._rest = _LINE_END.split(self._rest + piece)
        if len(self._rest.removesuffix(b"\r")) > LINE_LIMIT or any(len(line) > LINE_LIMIT for line in whole):
            raise NodeFailed(f"the node printed a line of more than {LINE_LIMIT >> 10} KiB")
        return [line.decode(errors="replace") for line in whole]

    def end(self) -> list[str]:
        """Return the last line, if it has no line end."""
        rest, self._rest = self._rest.removesuffix(b"\r"), b""
        return [rest.decode(errors="replace")] if rest else []


class Output:
    """
    Collects the output of a command.

    ``name`` names the output in errors; ``limit`` is in bytes (default 1 MiB).
    """

    def __init__(self, name: str, limit: int = OUTPUT_LIMIT) -> None:
        self._name, self._limit = name, limit
        self._data = bytearray()

    def feed(self, piece: bytes) -> None:
        """
        Add ``piece`` to the output.

        Raises ``NodeFailed`` if the output exceeds the limit.
        """
        if len(self._data) + len(piece) > self._limit:
            raise NodeFailed(f"{self._name} is larger than {self._limit >> 20} MiB")
        self._data += piece

    def text(self) -> str:
        """Return the whole output; bytes that are not UTF-8 are replaced."""
        return self._data.decode(errors="replace")


def in_parts(lines: list[str]) -> Iterator[list[str]]:
    """Yield the same lines, at most ``LINES_AT_ONCE`` at a time."""
    return (lines[at : at + LINES_AT_ONCE] for at in range(0, len(lines), LINES_AT_ONCE))
