"""The outcome of a call: one type, from the use case to the runner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """The outcome of a call. If ``ok`` is False, something failed, and ``data`` says what, node by node."""

    data: dict[str, Any]
    ok: bool = True
    #: the number of the signal that ended the work early, if any
    signal: int | None = None
    #: the exit code after a failure without a signal
    code: int = 1

    @property
    def exit_code(self) -> int:
        """The exit code of the command if ``ok`` is False; after a signal it is that of a shell."""
        return 128 + self.signal if self.signal else self.code
