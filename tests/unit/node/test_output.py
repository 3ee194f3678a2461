"""The output of commands is limited while it is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hart_salt.base.errors import NodeFailed
from hart_salt.node.output import LINE_LIMIT, LINES_AT_ONCE, OUTPUT_LIMIT, Lines, Output, in_parts


def lines_of(*pieces: bytes) -> list[str]:
    lines = Lines()
    return [line for piece in pieces for line in lines.feed(piece)] + lines.end()


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([b"a\nb\r\nc"], ["a", "b", "c"]),
        ([b"a\r", b"\nb"], ["a", "b"]),
        ([b"a", b"b\n", b"\n"], ["ab", ""]),
        ([b"10%\r50%\r100%\r\n"], ["10%", "50%", "100%"]),
        ([b"end\r"], ["end"]),
        ([b"\xff\xc3", b"\xbc\n"], ["\ufffdü"]),
        ([], []),
    ],
)
def test_lines_end_where_a_terminal_would_start_a_new_one(pieces: list[bytes], expected: list[str]) -> None:
    assert lines_of(*pieces) == expected


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_the_lines_do_not_depend_on_the_pieces(pieces: list[bytes]) -> None:
    assert lines_of(*pieces) == lines_of(b"".join(pieces))


@pytest.mark.parametrize("end", [b"", b"\n", b"\r"])
def test_a_line_can_have_eight_kibibytes_and_no_more(end: bytes) -> None:
    assert lines_of(b"x" * LINE_LIMIT + end) == ["x" * LINE_LIMIT]
    with pytest.raises(NodeFailed, match="^the node printed a line of more than 8 KiB$"):
        lines_of(b"x" * LINE_LIMIT, b"x" + end)


def test_a_line_without_an_end_is_not_collected_without_limit() -> None:
    lines = Lines()
    with pytest.raises(NodeFailed):
        for _ in range(10):
            lines.feed(b"x" * 4096)
    assert len(lines._rest) <= LINE_LIMIT + 4096


def test_an_output_is_not_collected_beyond_its_limit() -> None:
    output = Output("the answer")
    for _ in range(OUTPUT_LIMIT // 4096):
        output.feed(b"\xff" * 4096)
    with pytest.raises(NodeFailed, match="^the answer is larger than 1 MiB$"):
        output.feed(b"x")
    assert output.text() == "\ufffd" * OUTPUT_LIMIT


def test_many_lines_are_passed_on_a_few_at_a_time() -> None:
    lines = [str(number) for number in range(LINES_AT_ONCE * 2 + 1)]
    parts = list(in_parts(lines))
    assert [len(part) for part in parts] == [LINES_AT_ONCE, LINES_AT_ONCE, 1]
    assert [line for part in parts for line in part] == lines
