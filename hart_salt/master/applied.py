"""What a minion returned for states, as sentences about those that failed, and as lines for the log. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: characters of what one state said, and states whose whole return is in the log: a thousand may fail for one reason
LONGEST, STATES = 8000, 20
LAST = 200  #: characters of the last line of stderr in a sentence


@dataclass(frozen=True)
class Applied:
    """What came of applying states."""

    #: a sentence of one line for each state that failed, or for the job; none: every state succeeded
    problems: list[str]
    #: what the states that failed returned, in lines
    details: tuple[str, ...] = ()


def applied(answer: Mapping[str, Any] | None) -> Applied:
    """
    Return what came of ``state.apply``.

    ``answer`` is what the master has of the minion: ``return`` and, if known, ``jid``; None: it did not answer.
    """
    answer = answer or {}
    said = answer.get("return")
    if isinstance(said, Mapping) and said:
        failed = {str(key): one for key, one in said.items() if isinstance(one, Mapping) and one.get("result") is False}
        problems = [_sentence(_id(key), one) for key, one in failed.items()]
        return Applied(problems, tuple(_details(failed, str(answer.get("jid") or ""))))
    if isinstance(said, list):
        return Applied([str(problem) for problem in said])
    return Applied([str(said) if said else "the minion did not answer"])


def _id(key: str) -> str:
    return key.split("_|-")[1] if "_|-" in key else key


def _sentence(name: str, state: Mapping[str, Any]) -> str:
    """Return what failed, on one line, with the exit code and the end of stderr of a command."""
    comment = " ".join(str(state.get("comment") or "failed").split())
    changes = state.get("changes")
    changes = changes if isinstance(changes, Mapping) else {}
    lines = str(changes.get("stderr") or "").strip().splitlines()
    code = f"exit code {changes['retcode']}" if changes.get("retcode") else ""
    last = lines[-1].strip() if lines else ""
    if len(last) > LAST:
        last = f"{last[:LAST]} …"
    more = ": ".join(filter(None, [code, "" if comment.endswith(last) else last]))
    return f"{name}: {comment}{f' ({more})' if more else ''}"


def _details(failed: Mapping[str, Mapping[str, Any]], jid: str) -> Iterator[str]:
    """Yield what the states returned, as far as it is not too much."""
    if not failed:
        return
    yield f"hart: what the states that failed returned{f' (job {jid})' if jid else ''}:"
    for key, state in list(failed.items())[:STATES]:
        parts = key.split("_|-")
        function = f" ({parts[0]}.{parts[-1]})" if len(parts) > 1 else ""
        text = "\n".join(_shown("comment", state.get("comment") or "", 2) + _changes(state.get("changes")))
        yield f"{_id(key)}{function}"
        yield from _cut(text).splitlines()
    if len(failed) > STATES:
        yield f"and {len(failed) - STATES} more states"


def _cut(text: str) -> str:
    """Return the beginning and the end of a text that is too long."""
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST // 2]}\n  …\n  {text[-LONGEST // 2 :]}"


def _changes(changes: Any) -> list[str]:
    if not isinstance(changes, Mapping):
        return _shown("changes", changes, 2) if changes else []
    return [line for name, value in changes.items() for line in _shown(str(name), value, 2)]


def _shown(name: str, value: Any, indent: int) -> list[str]:
    """Return a value with its name: a text with lines of its own stands below the name."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    lines = text.strip("\n").splitlines()
    space = " " * indent
    if len(lines) <= 1:
        return [f"{space}{name}: {''.join(lines)}"]
    return [f"{space}{name}:", *(f"{space}  {line}" for line in lines)]
