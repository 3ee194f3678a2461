"""
Images of Vultr's instances: its snapshots.

A snapshot has a description and nothing else that a user can set (description, govultr), so the description contains
the name of the image and its tags. ``client.py`` explains the names of sources.

A snapshot is a copy of the whole disk. It can be used in every region, and on plans with the same or a larger disk
(docs.vultr.com/support/products/orchestration).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote, unquote

from hart_salt.drivers import tags
from hart_salt.drivers.catalog import number
from hart_salt.drivers.rest_images import Report, RestImages
from hart_salt.model import IMAGE_AVAILABLE, IMAGE_FAILED, IMAGE_PENDING, BakedImage, Instance, NewImage, Price

#: what a GB of a snapshot costs in a month; the API does not report it
#: (docs.vultr.com/support/platform/billing/does-vultr-charge-for-stored-snapshots, 2025-09)
PRICE = Price(0.05)
#: hart's states by Vultr's; one that is "deleted" is gone, and no other status is documented (description)
STATES = {"complete": IMAGE_AVAILABLE, "pending": IMAGE_PENDING}
GB = 2**30  #: a snapshot of a plan with 25 GB has 26843545600 bytes (apache/libcloud, a recorded answer)
#: The description of a snapshot of hart's: the fields in this order, and nothing else. The mark of a complete image is
#: there from the start, so that a description that Vultr stores once can also be stored with the mark.
_DESCRIPTION = re.compile(
    rf"(?P<name>[A-Za-z0-9-]{{1,63}}) hart-owner:(?P<owner>[0-9a-z]+) hart-batch:(?P<batch>[A-Za-z0-9-]+)"
    rf" hart-role:(?P<role>[A-Za-z0-9%._~-]*)( {tags.DIGEST}:(?P<digest>[0-9a-z-]+))?"
    rf"( {tags.RELEASE}:(?P<release>[A-Za-z0-9%._~-]+))?( {tags.ARCH}:(?P<arch>[a-z0-9]+))?"
    rf" {tags.COMPLETE}:(?P<complete>[01])"
)


class VultrImages(RestImages):
    """The snapshots of one account. Making one can take half an hour (docs.vultr.com)."""

    vendor: ClassVar[str] = "Vultr"
    path, field = "snapshots", "snapshot"
    id_pattern = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

    def begin(self, instance: Instance, new: NewImage) -> Report:
        """Create a snapshot. If the answer has no description, it is the one that was sent."""
        body = {"instance_id": instance.instance_id, "description": description(self._owner, new)}
        return {"description": body["description"], **self._api.post(self.path, body, self.field)}

    def reports(self) -> list[dict[str, Any]]:
        """List all snapshots: how the API filters by description is not documented."""
        listed: list[dict[str, Any]] = self._api.listed(self.path, self.path)
        return listed

    def read(self, report: Report) -> BakedImage | None:
        """Convert a snapshot whose description has exactly hart's form and names this master."""
        found = _DESCRIPTION.fullmatch(report.get("description") or "")
        if found is None or found["owner"] != self._owner or self.is_gone(report):
            return None
        status = str(report.get("status") or "pending")
        size = number(report.get("size")) or None
        return BakedImage(
            image_id=str(report["id"]),
            name=found["name"],
            state=STATES.get(status, IMAGE_FAILED),
            complete=found["complete"] == "1",
            role=unquote(found["role"]) or None,
            batch=found["batch"],
            digest=tags.digest_in(found["digest"]),
            release=unquote(found["release"]) if found["release"] else None,
            arch=found["arch"] or "amd64",  # as all of its plans
            created=tags.seconds(report.get("date_created")),
            size_gb=size and round(size / GB, 2),
            disk_gb=size and size / GB,
            problem="" if status in STATES else f"Vultr reports the status {status}",
        )

    def is_gone(self, report: Report) -> bool:
        """Return whether the status is ``deleted``."""
        return report.get("status") == "deleted"

    def mark(self, image: BakedImage) -> None:
        """Replace the description, which needs no look at the old one (description)."""
        text = description(self._owner, image, complete=True)
        self._api.replace(f"{self.path}/{image.image_id}", {"description": text})


def description(owner: str, image: NewImage | BakedImage, *, complete: bool = False) -> str:
    """Return the description of a snapshot of hart's."""
    marks: Mapping[str, str] = {
        "hart-owner": owner, "hart-batch": image.batch, "hart-role": image.role or "", **tags.image_marks(image),
        tags.COMPLETE: str(int(complete)),
    }  # fmt: skip
    return " ".join([image.name, *(f"{name}:{quote(value, safe='')}" for name, value in marks.items())])
