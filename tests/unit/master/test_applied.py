"""What a minion returned for states, as sentences and as lines for the log."""

from __future__ import annotations

from typing import Any

from hart_salt.master.applied import LAST, LONGEST, STATES, applied

COMMAND = "echo the reason >&2; exit 3"


def breaks(**changes: Any) -> dict[str, Any]:
    state = {"result": False, "comment": f'Command "{COMMAND}" run', "changes": {"pid": 7, **changes}}
    return {"return": {"cmd_|-it breaks_|-echo_|-run": state}, "jid": "2026"}


def test_a_command_that_failed_says_its_exit_code_and_the_end_of_its_stderr() -> None:
    made = applied(breaks(retcode=3, stdout="", stderr="first\nthe reason\n"))
    assert made.problems == [f'it breaks: Command "{COMMAND}" run (exit code 3: the reason)']
    assert made.details == (
        "hart: what the states that failed returned (job 2026):",
        "it breaks (cmd.run)",
        f'  comment: Command "{COMMAND}" run',
        "  pid: 7",
        "  retcode: 3",
        "  stdout: ",
        "  stderr:",
        "    first",
        "    the reason",
    )


def test_a_sentence_has_one_line_and_says_nothing_twice() -> None:
    state = {"result": False, "comment": "no package:\n\n  errors: E1", "changes": {"stderr": "errors: E1"}}
    made = applied({"return": {"pkg_|-vim_|-vim_|-installed": state}})
    assert made.problems == ["vim: no package: errors: E1"]
    (long,) = applied(breaks(retcode=1, stderr="x" * 1000)).problems
    assert long.endswith(f"(exit code 1: {'x' * LAST} …)")


def test_only_states_that_failed_are_in_the_details() -> None:
    good = {"a_|-b_|-c_|-d": {"result": True, "comment": "well", "changes": {}}}
    assert applied({"return": good}) == applied({"return": {**good, "other": "no mapping"}})
    assert applied({"return": good}).details == ()


def test_what_states_return_is_bounded() -> None:
    state = {"result": False, "comment": "c", "changes": {"diff": "line\n" * LONGEST}}
    many = {f"cmd_|-s{number}_|-x_|-run": state for number in range(STATES + 5)}
    made = applied({"return": many})
    assert len(made.problems) == STATES + 5
    assert made.details[-1] == "and 5 more states"
    assert sum(map(len, made.details)) < (LONGEST + 200) * STATES * 2


def test_changes_of_any_shape_are_shown() -> None:
    for changes, line in (
        ({"vim": {"old": "", "new": "9"}}, '  vim: {"old": "", "new": "9"}'),
        (["a"], '  changes: ["a"]'),
    ):
        state = {"result": False, "comment": "c", "changes": changes}
        assert applied({"return": {"x_|-y_|-z_|-w": state}}).details[-1] == line
    assert applied({"return": {"x": {"result": False, "comment": None, "changes": None}}}).problems == ["x: failed"]
