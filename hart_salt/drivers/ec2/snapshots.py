"""
Images that hart makes of instances: an AMI, and the EBS snapshot of the root volume that belongs to it.

Both have this master's tags from their create call on. EC2's reference has the facts; comments name any other source.
An AMI exists in one region only. Its name is unique in the account and region, so that a create call whose answer was
lost is found by it.
"""

from __future__ import annotations

import logging
import secrets as randomness
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import tenacity

from hart_salt.base.errors import AuthError, InvalidRequest, NotFound, TemporaryFailure
from hart_salt.drivers import retry
from hart_salt.drivers.catalog import number, readable, required
from hart_salt.drivers.ec2 import client, request
from hart_salt.drivers.ec2.images import AMI, ARCHITECTURES
from hart_salt.drivers.images import KIND, RegionalImages
from hart_salt.drivers.retry import StillThere
from hart_salt.drivers.tags import ARCH, COMPLETE, DIGEST, RELEASE, digest_in, image_marks
from hart_salt.drivers.tags import seconds as date
from hart_salt.model import (
    IMAGE_AVAILABLE,
    IMAGE_FAILED,
    IMAGE_PENDING,
    BakedImage,
    Instance,
    Leftover,
    NewImage,
    Price,
)

if TYPE_CHECKING:
    from hart_salt.drivers.ec2.lookup import Lookup
    from hart_salt.drivers.ec2.prices import Prices

SNAPSHOT = "image snapshot"  #: the kind of a snapshot without an image among the leftovers
STATES = {"available": IMAGE_AVAILABLE, "pending": IMAGE_PENDING, "transient": IMAGE_PENDING}
FAILED = ("failed", "error", "invalid", "disabled")
#: EC2 lists an image for a short time after it was deregistered (hashicorp/terraform-provider-aws#26046)
GONE = "deregistered"
DUPLICATE = "InvalidAMIName.Duplicate"  #: the account has an image of that name in the region
#: EC2 does not know an image, or it is pending or deregistered (hashicorp/packer#12162, ansible/ansible#24945)
UNKNOWN, UNAVAILABLE = "InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"
#: seconds in which "no such image" may mean that EC2 does not know it everywhere yet (Netflix/aminator#73)
YOUNG = 180.0
#: attempts to delete a snapshot, whose image may still seem to use it, and the wait between two of them
DELETE_ATTEMPTS, DELETE_WAIT = 6, tenacity.wait_fixed(2.0)
FILTER_VALUES = 200  #: values of one filter at most (EC2's reference of Filter)
GIB = 2**30

log = logging.getLogger(__name__)


class Ec2Images(RegionalImages):
    """The images of one account in all its regions. Safe for several threads."""

    def __init__(
        self,
        api: client.Api,
        lookup: Lookup,
        prices: Prices,
        owner: str,
        sleep: Callable[[float], None],
        clock: Callable[[], float],
    ) -> None:
        """Store the arguments; make no call. ``owner`` is this master's mark in tags."""
        self._api = api
        self._lookup = lookup
        self._prices = prices
        self._owner = owner
        self._sleep = sleep
        self._clock = clock
        #: images that this object made and did not delete, by id, with the time
        self._made: dict[str, tuple[float, BakedImage]] = {}
        #: those of them that EC2 has shown
        self._shown: set[str] = set()

    # make

    def make(self, instance: Instance, new: NewImage) -> BakedImage:
        """
        Make one call, and before it one that reads the instance's volumes; only the root volume becomes a part.

        The snapshot of an encrypted volume is encrypted with the same key. The SDK retries the call if the outcome is
        uncertain: the name makes that safe.
        """
        region = instance.region or self._api.default_region
        tagged = request.as_tags(self._tags(new))
        parameters = {
            "InstanceId": instance.instance_id,
            "Name": new.name,
            "Description": f"Made by hart of a node of the role {new.role}",
            "TagSpecifications": [{"ResourceType": kind, "Tags": tagged} for kind in ("image", "snapshot")],
            "BlockDeviceMappings": self._left_out(region, instance),
        }
        if not parameters["BlockDeviceMappings"]:
            del parameters["BlockDeviceMappings"]
        image_id = self._created(region, new.name, new.batch, "create_image", parameters)
        return self._began(
            BakedImage(
                image_id, new.name, IMAGE_PENDING, role=new.role, batch=new.batch, digest=new.digest,
                release=new.release, arch=new.arch, regions=(region,),
            )
        )  # fmt: skip

    def _left_out(self, region: str, instance: Instance) -> list[dict[str, Any]]:
        """Return the entries for the volumes that are not the root volume. Raises ``NotFound`` without an instance."""
        fields = request.filters({"instance-id": instance.instance_id})
        reservations = self._api.listed(region, "describe_instances", "Reservations", Filters=fields)
        listed = [facts for reservation in reservations for facts in reservation.get("Instances") or []]
        found = [facts for facts in listed if facts.get("InstanceId") == instance.instance_id]
        if not found or request.instance(found[0], region).state == "gone":
            raise NotFound(f"the instance {instance.instance_id} is gone")
        root = found[0].get("RootDeviceName")
        devices = [mapping.get("DeviceName") for mapping in found[0].get("BlockDeviceMappings") or ()]
        return [{"DeviceName": device, "NoDevice": ""} for device in devices if device and device != root]

    def _tags(self, image: NewImage | BakedImage) -> dict[str, str]:
        own = {"Name": image.name, request.OWNER: self._owner, request.BATCH: image.batch}
        return {**own, **({request.ROLE: image.role} if image.role else {}), **image_marks(image)}

    def _created(self, region: str, name: str, batch: str, call: str, parameters: Mapping[str, Any]) -> str:
        """Make a create call and return the image's id; if its outcome is uncertain, look for the name."""
        try:
            return str(self._api.call(region, call, field="ImageId", **parameters)["ImageId"])
        except (InvalidRequest, TemporaryFailure) as error:
            if client.code_of(error) != DUPLICATE and not getattr(error, "uncertain", False):
                raise
            found = retry.look(lambda: self._of_batch(region, name, batch), self._sleep)
            if found is None:
                raise
            return str(found["ImageId"])

    def _of_batch(self, region: str, name: str, batch: str) -> Mapping[str, Any] | None:
        """Return this master's image of that name and batch, whose create call gave no answer."""
        listed = self._described(region, {"name": name})
        ours = (it for it in listed if it.get("Name") == name and self._is_ours(it))
        return next((it for it in ours if request.from_tags(it.get("Tags")).get(request.BATCH) == batch), None)

    def _began(self, image: BakedImage) -> BakedImage:
        self._made[image.image_id] = (self._clock(), image)
        return image

    def copy(self, image: BakedImage, region: str) -> BakedImage:
        """
        Make one call in the other region, with a token that is unique for the copy.

        hart encrypts every volume, and so the copy's snapshot; its key is the default key of that region, because a key
        belongs to one region. Raises ``InvalidRequest`` if the account has not enabled the region.
        """
        if region not in self._lookup.enabled():
            raise InvalidRequest(f"the image {image.name} cannot be copied to {region}: hart does not use that region")
        tagged = request.as_tags(self._tags(image))
        parameters = {
            "ClientToken": randomness.token_hex(32),
            "Name": image.name,
            "Description": f"Made by hart of a node of the role {image.role}",
            "SourceImageId": image.image_id,
            "SourceRegion": image.regions[0],
            "Encrypted": True,
            "TagSpecifications": [{"ResourceType": kind, "Tags": tagged} for kind in ("image", "snapshot")],
        }
        image_id = self._created(region, image.name, image.batch, "copy_image", parameters)
        copied = replace(image, image_id=image_id, state=IMAGE_PENDING, complete=False, regions=(region,), problem="")
        return self._began(replace(copied, created=None, size_gb=None))

    def finish(self, image: BakedImage) -> None:
        """Make one call. While EC2 may not know the image everywhere, make it again."""
        if not AMI.fullmatch(image.image_id):
            raise NotFound(f"Amazon EC2 has no image {image.image_id}")
        tags = {**self._tags(image), COMPLETE: "true"}
        retry.until_gone(lambda: self._tag(image, tags), self._sleep)

    def _tag(self, image: BakedImage, tags: Mapping[str, str]) -> None:
        region = self._region(image)
        try:
            self._api.call(region, "create_tags", Resources=[image.image_id], Tags=request.as_tags(tags))
        except InvalidRequest as error:
            if client.code_of(error) not in (UNKNOWN, UNAVAILABLE):
                raise
            kind = StillThere if self._is_young(image.image_id) else NotFound
            raise kind(str(error)) from error

    # report

    def all(self, region: str | None) -> list[BakedImage]:
        """
        Make one call for each region, side by side, and one more for the snapshots if there are images.

        For ``YOUNG`` seconds after its create call, an image that EC2 has never listed is pending.
        """
        listed = [self._in(region)] if region else self._lookup.everywhere(self._in)
        return [image for found in listed for image in found]

    def _in(self, region: str) -> list[BakedImage]:
        listed = self._ours_in(region)
        sizes = self._sizes(region) if listed else {}
        found = readable(listed, lambda facts: _report(facts, region, sizes))
        return [*found, *(one for one in self._unseen() if one.regions == (region,))]

    def _unseen(self) -> list[BakedImage]:
        """Return the new images that EC2 has never shown."""
        new = [image_id for image_id in list(self._made) if self._is_young(image_id) and image_id not in self._shown]
        return [self._made[image_id][1] for image_id in new]

    def _ours_in(self, region: str) -> list[Mapping[str, Any]]:
        """Return EC2's reports of this master's images; the owner is checked here as well."""
        return [it for it in self._described(region, {f"tag:{request.OWNER}": self._owner}) if self._is_ours(it)]

    def _described(self, region: str, fields: Mapping[str, str]) -> list[Mapping[str, Any]]:
        """Return the account's images without those that are gone. A filter finds nothing where an id is an error."""
        listed = self._api.listed(region, "describe_images", "Images", Owners=["self"], Filters=request.filters(fields))
        self._shown |= {str(it.get("ImageId")) for it in listed} & self._made.keys()
        return [it for it in listed if it.get("State") != GONE]

    def _is_ours(self, facts: Mapping[str, Any]) -> bool:
        return request.is_owned(facts, self._owner)

    def _sizes(self, region: str) -> Mapping[str, float]:
        """Return the GB of each snapshot, as far as EC2 and the SDK report them."""
        known = {it["SnapshotId"]: number(it.get("FullSnapshotSizeInBytes")) for it in self._snapshots(region)}
        return {name: size / GIB for name, size in known.items() if size is not None}

    def _snapshots(self, region: str, fields: Mapping[str, str] | None = None) -> list[Mapping[str, Any]]:
        """Return this master's snapshots; the owner is checked here as well."""
        wanted = request.filters({f"tag:{request.OWNER}": self._owner, **(fields or {})})
        listed = self._api.listed(region, "describe_snapshots", "Snapshots", OwnerIds=["self"], Filters=wanted)
        return [it for it in listed if it.get("SnapshotId") and self._is_ours(it)]

    def one(self, image: BakedImage) -> BakedImage | None:
        """
        Make one call, and one more for the size of an available image.

        For ``YOUNG`` seconds after its create call, an image that EC2 has never shown is pending.
        """
        for region in image.regions or self._lookup.enabled():
            found = [it for it in self._found(region, image) if self._is_ours(it)]
            if found:
                is_there = found[0].get("State") == "available"
                return _report(found[0], region, self._sizes(region) if is_there else {})
        return next((one for one in self._unseen() if one.image_id == image.image_id), None)

    def _found(self, region: str, image: BakedImage) -> list[Mapping[str, Any]]:
        """Return the account's image with that id, or that name if it has no id."""
        if image.image_id and not AMI.fullmatch(image.image_id):
            return []
        field, value = ("image-id", image.image_id) if image.image_id else ("name", image.name)
        key = "ImageId" if image.image_id else "Name"
        return [it for it in self._described(region, {field: value}) if it.get(key) == value]

    def _is_young(self, image_id: str) -> bool:
        """Return whether EC2 may not know an image everywhere yet."""
        return image_id in self._made and self._clock() - self._made[image_id][0] < YOUNG

    def _region(self, image: BakedImage) -> str:
        return image.regions[0] if image.regions else self._api.default_region

    def price(self, region: str) -> Price | None:
        """Ask the pricing API if the price is not on disk; see ``prices.py``."""
        dollars = self._prices.of_snapshots(region)
        return None if dollars is None else Price(dollars)

    # delete

    def delete(self, image: BakedImage) -> None:
        """
        Deregister this master's image, then delete its snapshots, also those of an image that is gone, by its name.

        An image that EC2 does not deregister while it is pending is asked for again, for about three minutes.
        """
        for region in image.regions or self._lookup.enabled():
            self._delete_in(region, image)

    def _delete_in(self, region: str, image: BakedImage) -> None:
        found = self._found(region, image)
        if found and not self._is_ours(found[0]):
            return
        image_id = image.image_id or (str(found[0]["ImageId"]) if found else "")
        parts = [snapshot for facts in found for snapshot in request.snapshots_of(facts)]
        if AMI.fullmatch(image_id):
            retry.until_gone(lambda: self._deregister(region, image_id), self._sleep)
        name = image.name or (str(found[0].get("Name") or "") if found else "")
        tagged = self._snapshots(region, {"tag:Name": name}) if name else []
        parts += [str(it["SnapshotId"]) for it in tagged if _name_of(it) == name]
        for snapshot in dict.fromkeys(parts):
            self._delete_snapshot(region, snapshot)
        self._made.pop(image_id, None)

    def _deregister(self, region: str, image_id: str) -> None:
        try:
            self._api.call(region, "deregister_image", ImageId=image_id)
        except TemporaryFailure as error:
            if error.uncertain:  # already retried by the SDK, and not caused by the image's state
                raise
            raise StillThere(str(error)) from error
        except InvalidRequest as error:
            code = client.code_of(error)
            if code not in (UNKNOWN, UNAVAILABLE):
                raise
            is_new = code == UNKNOWN and self._is_young(image_id)
            listed = self._described(region, {"image-id": image_id})
            if is_new or any(it.get("ImageId") == image_id for it in listed):
                raise StillThere(str(error)) from error

    def _delete_snapshot(self, region: str, snapshot: str) -> None:
        def once() -> None:
            try:
                self._api.call(region, "delete_snapshot", SnapshotId=snapshot)
            except NotFound:
                return
            except TemporaryFailure as error:
                if error.uncertain:
                    raise
                raise StillThere(str(error)) from error

        retry.again(once, StillThere, self._sleep, DELETE_ATTEMPTS, DELETE_WAIT)

    # leftovers

    def leftovers(self) -> list[Leftover]:
        """Make two calls for each region, side by side, and a third if there are snapshots without an image of ours."""
        return [one for found in self._lookup.everywhere(self._leftovers_in) for one in found]

    def _leftovers_in(self, region: str) -> list[Leftover]:
        # First the snapshots: the image of each one that is listed exists by then, or is gone.
        try:
            snapshots = self._snapshots(region)
        except AuthError as error:  # credentials that cannot list snapshots cannot bake either
            log.info("snapshots of images are not looked for in %s: %s", region, error)
            snapshots = []
        images = self._ours_in(region)
        halves = [it for it in images if COMPLETE not in request.from_tags(it.get("Tags")) and it.get("ImageId")]
        used = {one for it in images for one in request.snapshots_of(it)}
        names = {it.get("Name") for it in images}
        free = [it for it in snapshots if it["SnapshotId"] not in used and _name_of(it) not in names]
        taken = self._used_by_others(region, [str(it["SnapshotId"]) for it in free])
        return [
            *(_image_left(it, region) for it in halves),
            *(_snapshot_left(it, region) for it in free if it["SnapshotId"] not in taken),
        ]

    def _used_by_others(self, region: str, snapshots: Sequence[str]) -> set[str]:
        """Return those of the snapshots that an image without this master's tags uses: somebody keeps it."""
        used: set[str] = set()
        for start in range(0, len(snapshots), FILTER_VALUES):
            values = list(snapshots[start : start + FILTER_VALUES])
            wanted = [{"Name": "block-device-mapping.snapshot-id", "Values": values}]
            listed = self._api.listed(region, "describe_images", "Images", Owners=["self"], Filters=wanted)
            used |= {one for it in listed if it.get("State") != GONE for one in request.snapshots_of(it)}
        return used

    def remove(self, leftover: Leftover) -> bool:
        """Delete a half-made image with its snapshots, or a snapshot. An image that is complete by now stays."""
        region = leftover.region or self._api.default_region
        if leftover.kind == SNAPSHOT:
            self._delete_snapshot(region, leftover.handle)
        elif leftover.kind == KIND:
            image = BakedImage(leftover.handle, leftover.name, IMAGE_PENDING, regions=(region,))
            found = self.one(image)
            if found is None or not found.complete:
                self.delete(image)
        return leftover.kind in (SNAPSHOT, KIND)


def _report(facts: Mapping[str, Any], region: str, sizes: Mapping[str, float]) -> BakedImage:
    """
    Convert a report of an image; ``sizes`` are the GB of the snapshots that are known.

    Raises one of ``catalog.ODD`` if it has no id.
    """
    tags = request.from_tags(facts.get("Tags"))
    state, reason = str(facts.get("State") or ""), facts.get("StateReason") or {}
    is_failed = state in FAILED
    parts = request.snapshots_of(facts)
    architecture = ARCHITECTURES.get(str(facts.get("Architecture")), "")
    return BakedImage(
        image_id=str(required(facts, "ImageId")),
        name=str(facts.get("Name") or ""),
        state=IMAGE_FAILED if is_failed else STATES.get(state, IMAGE_PENDING),
        complete=COMPLETE in tags,
        role=tags.get(request.ROLE),
        batch=tags.get(request.BATCH, ""),
        digest=digest_in(tags.get(DIGEST)),
        release=tags.get(RELEASE) or None,
        arch=architecture or tags.get(ARCH, ""),
        regions=(region,),
        created=date(facts.get("CreationDate")),
        size_gb=sum(sizes[one] for one in parts) if parts and all(one in sizes for one in parts) else None,
        disk_gb=request.disk_of(facts),
        problem=str(reason.get("Message") or reason.get("Code") or state) if is_failed else "",
    )


def _name_of(facts: Mapping[str, Any]) -> str:
    return request.from_tags(facts.get("Tags")).get("Name", "")


def _image_left(facts: Mapping[str, Any], region: str) -> Leftover:
    batch = request.from_tags(facts.get("Tags")).get(request.BATCH, "")
    image_id, name = str(facts["ImageId"]), str(facts.get("Name") or facts["ImageId"])
    return Leftover(KIND, name, image_id, batch, region, date(facts.get("CreationDate")))


def _snapshot_left(facts: Mapping[str, Any], region: str) -> Leftover:
    batch, name = request.from_tags(facts.get("Tags")).get(request.BATCH, ""), str(facts["SnapshotId"])
    return Leftover(SNAPSHOT, name, name, batch, region, request.seconds(facts.get("StartTime")))
