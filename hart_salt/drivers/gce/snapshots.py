"""
Images that hart makes of instances: images of the project, which every region can use.

Facts about the API come from Google's own description of it. An image has this master's labels from its create call on.
Labels hold neither the exact role nor the release: the description has both, as ``role=db.Main salt=3008.3; …``. The
name is an image's id for hart: the call of a bake has a name of its own, and no other image of the project can get it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import tenacity

from hart_salt.base.errors import AuthError, DriverError, InvalidRequest, NotFound, TemporaryFailure
from hart_salt.drivers import retry
from hart_salt.drivers.catalog import readable
from hart_salt.drivers.gce import instances
from hart_salt.drivers.gce.refusals import AlreadyExists, Stale
from hart_salt.drivers.images import KIND, Images
from hart_salt.drivers.retry import StillThere
from hart_salt.drivers.tags import ARCH, COMPLETE, DIGEST, LONGEST, digest_in, image_marks
from hart_salt.model import (
    IMAGE_AVAILABLE,
    IMAGE_FAILED,
    IMAGE_PENDING,
    BakedImage,
    Instance,
    Leftover,
    MasterInfo,
    NewImage,
)

if TYPE_CHECKING:
    from hart_salt.drivers.gce.client import Api

STATES = {"READY": IMAGE_AVAILABLE, "FAILED": IMAGE_FAILED, "DELETING": IMAGE_FAILED}
ARCHITECTURES = {"X86_64": "amd64", "ARM64": "arm64"}
DESCRIPTION = re.compile(r"role=([A-Za-z0-9._-]+)(?: salt=([^\s;]+))?;")
#: attempts to change labels that someone else changes at the same time
ATTEMPTS = 5
#: attempts to delete an image; each can take as long as the retries of a call and the wait for an operation
DELETE_ATTEMPTS, DELETE_WAIT = 3, tenacity.wait_fixed(2.0)
GIB = 2**30

log = logging.getLogger(__name__)


class GceImages(Images):
    """The images of one project. Safe for several threads."""

    def __init__(self, api: Api, master: MasterInfo, sleep: Callable[[float], None]) -> None:
        """Store the arguments; make no call."""
        self._api = api
        self._master = master
        self._sleep = sleep
        #: the create calls of this object, by the image's name
        self._inserts: dict[str, Any] = {}

    # make

    def make(self, instance: Instance, new: NewImage) -> BakedImage:
        """
        Make one create call, of the boot disk, and before it one that reads the disk's name. Do not wait for it.

        Its retries have the same request id. If it no longer helps, the unique name is taken, and the labels of the
        image show whether this call made it.
        """
        body = {
            "name": new.name,
            "description": self._description(new),
            "family": family_of(new.role),
            "sourceDisk": self._disk_of(instance),
            "labels": self._labels(new),
        }
        try:
            image = self._api.body("Image", body)
            self._inserts[new.name] = self._api.change("images", "insert", image_resource=image)
        except (AlreadyExists, TemporaryFailure) as error:
            if isinstance(error, TemporaryFailure) and not error.uncertain:
                raise
            return self._adopted(new, error)
        return BakedImage(
            new.name, new.name, IMAGE_PENDING, role=new.role, batch=new.batch, digest=new.digest or None,
            release=new.release or None, arch=new.arch,
        )  # fmt: skip

    def _disk_of(self, instance: Instance) -> str:
        """Return the link of an instance's boot disk. Raises ``NotFound`` if the instance is gone."""
        if not instance.zone or not re.fullmatch("[1-9][0-9]{0,19}", instance.instance_id):
            raise NotFound(f"Compute Engine: there is no instance {instance.instance_id}")
        there = self._api.get("instances", zone=instance.zone, instance=instance.instance_id)
        found = next((instances.partial(disk.source) for disk in there.disks if disk.boot and disk.source), "")
        if not found:
            raise InvalidRequest(f"Compute Engine: the instance {there.name} has no boot disk")
        return found

    def _description(self, new: NewImage) -> str:
        release = f" salt={new.release}" if new.release else ""
        return f"role={new.role}{release}; made by hart on {self._master.master_id}"

    def _labels(self, image: NewImage | BakedImage) -> dict[str, str]:
        marks = {name: _as_label(value) for name, value in image_marks(image).items()}
        own = instances.own_labels(image.role, self._master.owner)
        return {**own, **marks, **({instances.BATCH: image.batch} if image.batch else {})}

    def _adopted(self, new: NewImage, error: DriverError) -> BakedImage:
        """Return the existing image of that name; the error stands if it is not of this call."""
        found = retry.look(lambda: self._report(new.name), self._sleep)
        if found is None or found.batch != new.batch:
            raise error
        return found

    def finish(self, image: BakedImage) -> None:
        """Read the image, set its labels, and wait for that. Labels that others set stay."""
        if not instances.NAME.fullmatch(image.image_id):
            raise NotFound(f"Compute Engine: there is no image {image.image_id}")
        retry.again(lambda: self._mark(image), Stale, self._sleep, ATTEMPTS)

    def _mark(self, image: BakedImage) -> None:
        there = self._api.get("images", image=image.image_id)
        labels = {**there.labels, **self._labels(image), COMPLETE: "true"}
        if labels != dict(there.labels):
            body = {"labels": labels, "label_fingerprint": there.label_fingerprint}
            self._api.wait(
                self._api.change_once(
                    "images", "set_labels", resource=image.image_id, global_set_labels_request_resource=body
                )
            )

    # report

    def all(self, region: str | None) -> list[BakedImage]:
        """Make one list call, whatever the region."""
        return readable(self._ours(), _report)

    def _ours(self) -> list[Any]:
        """Return the API's reports of this master's images; the owner is checked here as well."""
        owner = self._master.owner
        listed = self._api.list_of("images", filter=instances.owned_by(owner))
        return [it for it in listed if instances.is_owned(it, owner)]

    def one(self, image: BakedImage) -> BakedImage | None:
        """Make one call. A create call that failed later is a failed image, which may not exist any more."""
        name = image.image_id or image.name
        found = self._report(name)
        if found is not None and found.state != IMAGE_FAILED:
            return found
        operation = self._inserts.get(name)
        if operation is None:
            return found
        lost = found or replace(image, image_id=name, name=name, state=IMAGE_PENDING, complete=False)
        return self._outcome(operation, lost)

    def _outcome(self, operation: Any, image: BakedImage) -> BakedImage | None:
        """Return the state of an image whose create call has not ended, or failed; None if it was deleted since."""
        now = self._api.get("global_operations", operation=operation.name)
        if not self._api.is_done(now):
            return image
        error = self._api.failure_of(now)
        if error is None:
            return image if image.state == IMAGE_FAILED else None
        return replace(image, state=IMAGE_FAILED, problem=str(error))

    def _report(self, name: str) -> BakedImage | None:
        """Return this master's image of that name, or None."""
        if not instances.NAME.fullmatch(name):
            return None
        try:
            there = self._api.get("images", image=name)
        except NotFound:
            return None
        return _report(there) if instances.is_owned(there, self._master.owner) else None

    # delete

    def delete(self, image: BakedImage) -> None:
        """
        Delete this master's image of that name, and wait for that.

        The API refuses while the image is being made; hart retries.
        """
        name = image.image_id or image.name
        retry.again(lambda: self._delete_once(name), TemporaryFailure, self._sleep, DELETE_ATTEMPTS, DELETE_WAIT)
        self._inserts.pop(name, None)

    def _delete_once(self, name: str) -> None:
        if self._report(name) is None and not self._is_coming(name):
            return
        try:
            self._api.wait(self._api.change("images", "delete", image=name))
        except NotFound:
            if self._is_coming(name):
                raise StillThere(f"Compute Engine: the image {name} is being made") from None

    def _is_coming(self, name: str) -> bool:
        """Return whether a create call of this object has not ended yet."""
        operation = self._inserts.get(name)
        return operation is not None and not self._api.is_done(
            self._api.get("global_operations", operation=operation.name)
        )

    # leftovers

    def leftovers(self) -> list[Leftover]:
        """Return the half-made images. Credentials that cannot list images cannot make them either."""
        try:
            images = self.all(None)
        except AuthError as error:
            log.info("half-made images are not looked for: %s", error)
            return []
        return [
            Leftover(KIND, one.name, f"images/{one.name}", one.batch, created=one.created)
            for one in images
            if not one.complete
        ]

    def remove(self, leftover: Leftover) -> bool:
        """Delete a half-made image. One that is complete by now stays: another call has finished it."""
        if leftover.kind != KIND:
            return False
        found = self._report(leftover.handle.removeprefix("images/"))
        if found is not None and not found.complete:
            self.delete(found)
        return True


def family_of(role: str) -> str:
    """Return the family of a role's images, which Google's tools show; it names the newest image for other clients."""
    slug = re.sub("[^a-z0-9]+", "-", role.lower()).strip("-")
    return f"hart-{slug}"[:LONGEST].rstrip("-")


def _as_label(value: str) -> str:
    """Return a value reduced to the characters of labels."""
    return re.sub(r"[^a-z0-9_-]", "_", value.lower())[:LONGEST]


def _report(there: Any) -> BakedImage:
    """Convert a report of an image. Raises ``ValueError`` if it has no name."""
    if not there.name:
        raise ValueError("without name")
    said = DESCRIPTION.match(there.description)
    role, release = said.groups() if said else (None, None)
    state = STATES.get(there.status, IMAGE_PENDING)
    return BakedImage(
        image_id=there.name,
        name=there.name,
        state=state,
        complete=COMPLETE in there.labels,
        role=role,
        batch=there.labels.get(instances.BATCH, ""),
        digest=digest_in(there.labels.get(DIGEST)),
        release=release,
        arch=ARCHITECTURES.get(there.architecture) or there.labels.get(ARCH, ""),
        created=instances.seconds(there.creation_timestamp),
        size_gb=there.archive_size_bytes / GIB if there.archive_size_bytes else None,
        disk_gb=float(there.disk_size_gb) if there.disk_size_gb else None,
        problem=f"Compute Engine reports the image as {there.status}" if state == IMAGE_FAILED else "",
    )
