"""What hart did in the past, from the journal of this master."""

from __future__ import annotations

from hart_salt.config.loader import Config
from hart_salt.inventory.context import Context
from hart_salt.operations import history
from hart_salt.result import Result


class Past:
    """The use cases of ``Service`` that read the journal."""

    config: Config
    context: Context

    def history(self, wanted: history.Wanted) -> Result:
        """Return what became of nodes; see ``history.history``."""
        entries, notes = history.history(wanted, self.context, self.config.roles)
        return Result({"history": entries}, notes=notes)
