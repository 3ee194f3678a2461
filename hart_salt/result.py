"""What a call comes to: one type, from the use case to the runner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """What a call returns. ``ok`` False: something failed, and ``data`` says what, node by node."""

    data: dict[str, Any]
    ok: bool = True
    #: the number of the signal that ended the work early, if one did
    signal: int | None = None
    #: the exit code where something failed and no signal came
    code: int = 1

    @property
    def exit_code(self) -> int:
        """The exit code of the command where ``ok`` is False; after a signal that of a shell."""
        return 128 + self.signal if self.signal else self.code
