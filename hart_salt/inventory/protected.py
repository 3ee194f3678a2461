"""Which nodes are protected against hart itself. Pure."""

from __future__ import annotations

from hart_salt.inventory.records import Record
from hart_salt.model import Instance


def is_protected(record: Record | None, instance: Instance | None) -> bool:
    """Return whether the record or the instance says that a node is protected: one of the two is enough."""
    return (record is not None and record.protected) or (instance is not None and instance.protected)


def sentence(minion_id: str) -> str:
    """Return why a protected node stays, and what to do."""
    return f"{minion_id} is protected: salt-run hart.unprotect {minion_id} removes the protection"


def differs(record: Record, instance: Instance | None) -> str:
    """Return what to do if record and provider disagree; empty if they agree or there is no instance."""
    if instance is None or record.protected == instance.protected:
        return ""
    where = "its record" if record.protected else f"the provider {record.provider}"
    return (
        f"only {where} says that it is protected, which is enough: salt-run hart.protect {record.minion_id} completes "
        f"the protection, and salt-run hart.unprotect {record.minion_id} removes it"
    )
