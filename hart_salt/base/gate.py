"""
The one gate for everything that hart shows: results, errors, events, logs, and text for a person.

The order matters: first it marks invisible characters, then it hides secrets, and only then it shortens a text. A text
that was cut first would show the end of a secret that begins before the cut.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import SecretStr

from hart_salt.base.redaction import HIDDEN, Secrets
from hart_salt.base.text import visible

ERROR_LENGTH = 2000  #: characters of an error; of a longer one, the beginning and the end remain
LEFT_OUT = " … "
REMEMBERED = 1 << 16  #: texts in data whose safe form is remembered
DEEPEST = 50  #: levels of nested data


class Gate:
    """Makes output safe to show. A gate belongs to one call, and learns that call's secrets as they are read."""

    def __init__(self, secrets: Secrets | None = None) -> None:
        """
        Start with these secrets.

        More can be added to ``secrets`` at any time (default: none yet).
        """
        self.secrets = Secrets() if secrets is None else secrets
        self._shown: tuple[int, Callable[[str], str]] = (-1, self.text)

    def text(self, text: str, limit: int | None = None) -> str:
        """
        Return the text in a form that is safe to show.

        ``limit`` is the maximum number of characters; the middle of a longer text is left out (default: no limit).
        """
        shown = self.secrets.redact(visible(text))
        return shown if limit is None else shorten(shown, limit)

    def error(self, error: BaseException | str) -> str:
        """Return an error as a sentence of at most ``ERROR_LENGTH`` characters."""
        return self.text(str(error), ERROR_LENGTH)

    def data(self, data: Any) -> Any:
        """
        Return a copy of nested data that is safe to show, including its keys. Anything but plain data becomes text.

        If two keys become equal, both entries are kept, the second one as ``***(2)`` and so on.
        """
        return self._data(data, DEEPEST, self._show())

    def _show(self) -> Callable[[str], str]:
        """
        Return ``text`` with a memory, which is emptied when a secret is added.

        The entries and events of thousands of nodes have the same keys, and many equal values.
        """
        known = len(self.secrets)
        if self._shown[0] != known:
            self._shown = known, functools.lru_cache(REMEMBERED)(self.text)
        return self._shown[1]

    def _data(self, data: Any, deepest: int, show: Callable[[str], str]) -> Any:
        if isinstance(data, str):
            return show(data)
        if data is None or isinstance(data, bool | SecretStr):
            return HIDDEN if isinstance(data, SecretStr) else data
        if isinstance(data, int | float):
            return _number(data, show)
        if isinstance(data, bytes | bytearray):
            return show(data.decode(errors="replace"))
        if not isinstance(data, dict | Mapping | list | tuple | set | frozenset):
            return show(str(data))
        if not deepest:
            return LEFT_OUT.strip()
        if isinstance(data, dict | Mapping):
            return self._mapping(data, deepest - 1, show)
        return [self._data(item, deepest - 1, show) for item in data]

    def _mapping(self, data: Mapping[Any, Any], deepest: int, show: Callable[[str], str]) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for key, value in data.items():
            shown = plain = self._data(key, 1, show)
            if isinstance(plain, list):
                shown = plain = str(plain)
            number = 2
            while shown in result:
                shown, number = f"{plain}({number})", number + 1
            result[shown] = self._data(value, deepest, show)
        return result

    @contextmanager
    def logs(self) -> Iterator[None]:
        """
        Pass everything that this process logs through the gate, including the messages of Salt and of libraries.

        An exception in a log has a text that nobody foresaw, and may quote anything.
        """
        handlers, guard = list(logging.getLogger().handlers), _Guard(self)
        for handler in handlers:
            handler.addFilter(guard)
        try:
            yield
        finally:
            for handler in handlers:
                handler.removeFilter(guard)


def _number(number: float, show: Callable[[str], str]) -> Any:
    """Return a number, or its redacted text: a password can consist of digits."""
    text = str(number)
    shown = show(text)
    return number if shown == text else shown


class _Guard(logging.Filter):
    """Redacts every log record and drops none."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact a record; every handler calls this with the same record."""
        if len(self._gate.secrets):
            record.msg, record.args = self._gate.text(_message(record)), None
            if record.exc_info:
                record.exc_text = record.exc_text or logging.Formatter().formatException(record.exc_info)
                record.exc_info = None
            if record.exc_text:
                record.exc_text = self._gate.text(record.exc_text)
        return True


def _message(record: logging.LogRecord) -> str:
    """
    Return a record's message. If message and arguments do not match, this must not raise in the code that logged it.
    """
    try:
        return record.getMessage()
    except Exception:
        return f"{record.msg} {record.args}"


def shorten(text: str, limit: int) -> str:
    """Return the beginning, which identifies the text, and the end. ``text`` must be free of secrets."""
    if len(text) <= limit:
        return text
    beginning = (limit - len(LEFT_OUT)) // 3
    return text[:beginning] + LEFT_OUT + text[len(text) - (limit - len(LEFT_OUT) - beginning) :]
