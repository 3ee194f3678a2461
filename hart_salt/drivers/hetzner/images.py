"""
Images of Hetzner's servers: its snapshots, with labels.

A snapshot is bound to no location and no server (docs: images). ``client.py`` explains the names of sources.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from hart_salt.drivers import tags
from hart_salt.drivers.catalog import number
from hart_salt.drivers.hetzner import rules
from hart_salt.drivers.rest_images import Report, RestImages
from hart_salt.model import IMAGE_AVAILABLE, IMAGE_FAILED, IMAGE_PENDING, BakedImage, Instance, NewImage

#: hart's states by Hetzner's (docs); any other may still become available
STATES = {"available": IMAGE_AVAILABLE, "creating": IMAGE_PENDING, "unavailable": IMAGE_FAILED}
TYPE = "snapshot"
_NO_LABEL = re.compile(r"[^-_.a-zA-Z0-9]")


class HetznerImages(RestImages):
    """The snapshots of one project. The server is locked while one is made (docs)."""

    vendor: ClassVar[str] = "Hetzner"
    path, field, id_pattern = "images", "image", re.compile("[0-9]+")

    def begin(self, instance: Instance, new: NewImage) -> Report:
        """Begin the action, whose answer has the image; its name is the description, because snapshots have no name."""
        body = {"type": TYPE, "description": new.name, "labels": {"hart": "", **self._marks(new)}}
        made: Report = self._api.post(f"servers/{instance.instance_id}/actions/create_image", body, self.field)
        return made

    def reports(self) -> list[dict[str, Any]]:
        """List the snapshots with this master's label."""
        query = {"type": TYPE, "label_selector": f"hart-owner={self._owner}"}
        listed: list[dict[str, Any]] = self._api.listed(self.path, self.path, **query)
        return listed

    def read(self, report: Report) -> BakedImage | None:
        """Convert a snapshot with this master's label that is not deleted."""
        labels: Mapping[str, str] = report.get("labels") or {}
        other = self.is_gone(report) or report.get("type", TYPE) != TYPE
        if other or labels.get("hart-owner") != self._owner:
            return None
        state = STATES.get(report.get("status") or "", IMAGE_PENDING)
        return BakedImage(
            image_id=str(report["id"]),
            name=report.get("description") or "",
            state=state,
            complete=tags.COMPLETE in labels,
            role=labels.get("hart-role"),
            batch=labels.get("hart-batch", ""),
            digest=tags.digest_in(labels.get(tags.DIGEST)),
            release=labels.get(tags.RELEASE),
            arch=rules.ARCHITECTURES.get(str(report.get("architecture")), labels.get(tags.ARCH, "")),
            created=tags.seconds(report.get("created")),
            size_gb=number(report.get("image_size")),
            disk_gb=number(report.get("disk_size")),
            problem="Hetzner reports it as unavailable" if state == IMAGE_FAILED else "",
        )

    def is_gone(self, report: Report) -> bool:
        """Return whether the report has the time of the deletion (docs)."""
        return bool(report.get("deleted"))

    def mark(self, image: BakedImage) -> None:
        """Make two calls: one replaces all labels (docs), so those of the user are read first and kept."""
        path = f"{self.path}/{image.image_id}"
        there: Mapping[str, str] = self._api.get(path, self.field).get("labels") or {}
        wanted = {**there, **self._marks(image), tags.COMPLETE: "yes"}
        if wanted != there:
            self._api.change(path, {"labels": wanted})

    def _marks(self, image: NewImage | BakedImage) -> dict[str, str]:
        """Return hart's labels. A release can have characters that no label can have, such as a plus sign."""
        role = {"hart-role": image.role} if image.role else {}
        marks = {"hart-owner": self._owner, "hart-batch": image.batch, **role, **tags.image_marks(image)}
        release = {tags.RELEASE: _NO_LABEL.sub("_", marks[tags.RELEASE])} if tags.RELEASE in marks else {}
        return {**marks, **release}
