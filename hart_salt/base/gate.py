"""
The one gate through which hart says anything: results, errors, events, logs, and what a person sees.

In this order: characters that nobody sees are marked, secrets are hidden, and only then a text that is too long is made
shorter. A text that was cut before would show the end of a secret that begins before the cut.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import SecretStr

from hart_salt.base.redaction import HIDDEN, Secrets
from hart_salt.base.text import visible

ERROR_LENGTH = 2000  #: characters of an error: of more, the beginning and the end
LEFT_OUT = " … "
DEEPEST = 50  #: levels of nested data


class Gate:
    """Makes what leaves hart fit to be shown. It goes with one call, and learns the call's secrets as they are read."""

    def __init__(self, secrets: Secrets | None = None) -> None:
        """
        Begin with these secrets.

        secrets
            more may be added to it at any time (default: none yet)
        """
        self.secrets = Secrets() if secrets is None else secrets

    def text(self, text: str, limit: int | None = None) -> str:
        """
        Return the text as it may be shown.

        limit
            characters, at the most: of a longer one the middle goes (default: as long as it is)
        """
        shown = self.secrets.redact(visible(text))
        return shown if limit is None else shorten(shown, limit)

    def error(self, error: BaseException | str) -> str:
        """An error as a sentence, ``ERROR_LENGTH`` characters at the most."""
        return self.text(str(error), ERROR_LENGTH)

    def data(self, data: Any) -> Any:
        """
        Copy nested data as it may be shown, keys as well. What is no plain data becomes text.

        Of two keys that become the same both entries are kept, the second one as ``***(2)`` and so on.
        """
        return self._data(data, DEEPEST)

    def _data(self, data: Any, deepest: int) -> Any:
        if data is None or isinstance(data, bool | SecretStr):
            return HIDDEN if isinstance(data, SecretStr) else data
        if isinstance(data, int | float):
            return self._number(data)
        if isinstance(data, bytes | bytearray):
            return self.text(data.decode(errors="replace"))
        if not isinstance(data, Mapping | list | tuple | set | frozenset):
            return self.text(str(data))
        if not deepest:
            return LEFT_OUT.strip()
        if isinstance(data, Mapping):
            return self._mapping(data, deepest - 1)
        return [self._data(item, deepest - 1) for item in data]

    def _number(self, number: float) -> Any:
        """A password may consist of digits."""
        text = str(number)
        shown = self.secrets.redact(text)
        return number if shown == text else shown

    def _mapping(self, data: Mapping[Any, Any], deepest: int) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for key, value in data.items():
            shown = plain = self._data(key, 1)
            if isinstance(plain, list):
                shown = plain = str(plain)
            number = 2
            while shown in result:
                shown, number = f"{plain}({number})", number + 1
            result[shown] = self._data(value, deepest)
        return result

    @contextmanager
    def logs(self) -> Iterator[None]:
        """
        Let everything that this process logs meanwhile pass, Salt's own words and those of libraries as well.

        An exception in a log is the text of an error that nobody foresaw: it may quote whatever there is.
        """
        handlers, guard = list(logging.getLogger().handlers), _Guard(self)
        for handler in handlers:
            handler.addFilter(guard)
        try:
            yield
        finally:
            for handler in handlers:
                handler.removeFilter(guard)


class _Guard(logging.Filter):
    """Lets every record through, without secrets."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate

    def filter(self, record: logging.LogRecord) -> bool:
        """Called by a handler, with the same record for each of them."""
        if len(self._gate.secrets):
            record.msg, record.args = self._gate.text(_message(record)), None
            if record.exc_info:
                record.exc_text = record.exc_text or logging.Formatter().formatException(record.exc_info)
                record.exc_info = None
            if record.exc_text:
                record.exc_text = self._gate.text(record.exc_text)
        return True


def _message(record: logging.LogRecord) -> str:
    """A record of which message and arguments do not go together must not raise in the code that logged it."""
    try:
        return record.getMessage()
    except Exception:
        return f"{record.msg} {record.args}"


def shorten(text: str, limit: int) -> str:
    """Leave the beginning, which says what it is, and of the rest the end; ``text`` must have no secret any more."""
    if len(text) <= limit:
        return text
    beginning = (limit - len(LEFT_OUT)) // 3
    return text[:beginning] + LEFT_OUT + text[len(text) - (limit - len(LEFT_OUT) - beginning) :]
