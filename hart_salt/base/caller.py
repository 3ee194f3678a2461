"""Who called hart, in words. It is shown and never decides anything: a part of it can come from an event."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Caller:
    """Who called a function of hart. Empty texts are unknown."""

    by: str = ""
    #: such as ``hart.create``
    function: str = ""
