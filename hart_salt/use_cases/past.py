"""What hart did in the past, from the journal of this master."""

from __future__ import annotations

from hart_salt.operations import history
from hart_salt.result import Result
from hart_salt.use_cases.parts import Parts


class Past:
    """The use cases of ``Service`` that read the journal."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def history(self, wanted: history.Wanted) -> Result:
        """Return what became of nodes; see ``history.history``."""
        entries, notes = history.history(wanted, self._parts.context, self._parts.config.roles)
        return Result({"history": entries}, notes=notes)
