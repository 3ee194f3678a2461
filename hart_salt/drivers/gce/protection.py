"""Protection of instances: a label, and Compute Engine's own deletion protection, both of which lists show."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hart_salt.base.errors import NotFound
from hart_salt.drivers.tags import PROTECTED
from hart_salt.model import Instance

if TYPE_CHECKING:
    from hart_salt.drivers.gce.client import Api


@dataclass(frozen=True)
class Change:
    """One change of an instance's protection, which can be made again if someone else changes the labels meanwhile."""

    api: Api
    instance: Instance
    on: bool

    def make(self) -> None:
        """
        Protect the instance, or remove every protection from it.

        Raises ``Stale`` if the labels have changed since they were read, and ``NotFound`` if an instance that is to be
        protected does not exist.
        """
        with suppress(*(() if self.on else (NotFound,))):
            there = self.api.get("instances", zone=self.instance.zone, instance=self.instance.instance_id)
            if self.on:
                self._label(there)
            if bool(there.deletion_protection) != self.on:
                where: Any = {"zone": self.instance.zone, "resource": self.instance.instance_id}
                self.api.wait(
                    self.api.change("instances", "set_deletion_protection", deletion_protection=self.on, **where)
                )
            if not self.on:
                self._label(there)

    def _label(self, there: Any) -> None:
        labels = {name: value for name, value in there.labels.items() if name != PROTECTED}
        labels |= {PROTECTED: "true"} if self.on else {}
        if labels == dict(there.labels):
            return
        body = {"labels": labels, "label_fingerprint": there.label_fingerprint}
        where: Any = {"zone": self.instance.zone, "instance": self.instance.instance_id}
        self.api.wait(self.api.change("instances", "set_labels", instances_set_labels_request_resource=body, **where))
