"""
``CreateImage``, ``CopyImage``, ``DeregisterImage`` and ``DeleteSnapshot``: images that users make, and their snapshots.

Moto makes an image at once and of nothing. Here it takes time, can fail, has a snapshot for each volume, and a back end
keeps the disk that it is made of.
"""

from __future__ import annotations

import re
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import Ami
from moto.ec2.models.elastic_block_store import Snapshot
from moto.ec2.models.instances import Instance, StateReason
from moto.ec2.utils import random_ami_id

from tests.drivers.ec2.emulator.region import Image, Region, naive
from tests.drivers.ec2.emulator.schema import parsed
from tests.drivers.ec2.emulator.state import Made

NAME = re.compile(r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}")
#: bytes of a snapshot that are in use
WRITTEN = 1_610_612_736
FAILED = StateReason("Client.InternalError: Client error on launch", "Client.InternalError")
#: states of an instance of which an image can be made
STATES = ("running", "stopped")


class Imaging(Region):
    """A region in which images can be made."""

    # make

    def create_image(
        self, instance_id: str, name: str, description: str, tag_specifications: list[dict[str, Any]]
    ) -> Ami:
        """
        Begin an image with a snapshot of each volume that ``NoDevice`` does not leave out.

        An instance that runs is restarted for it, unless the call says ``NoReboot``.
        """
        asked = parsed("CreateImage", self.form)
        instance = self.get_instance(instance_id)
        if self._state_of(instance_id) not in STATES:
            raise EC2ClientError("IncorrectInstanceState", f"Instance '{instance_id}' is not 'running' or 'stopped'.")
        self._check_new(name)
        root = instance.root_device_name
        left_out = [it["DeviceName"] for it in asked.get("BlockDeviceMappings", []) if "NoDevice" in it]
        sized = [it for it in asked.get("BlockDeviceMappings", []) if set(it.get("Ebs", {})) - {"DeleteOnTermination"}]
        if root in left_out or sized:
            raise EC2ClientError("InvalidParameterValue", "The root volume must stay as it is.")
        image = self._new_image(name, description, instance.architecture, root)
        for device, held in instance.get_block_device_mapping:
            if device not in left_out:
                volume = self.get_volume(held.volume_id)
                why = f"Created by CreateImage({instance_id}) for {image.id}"
                image.parts[device] = self._snapshot(image, volume.id, why)
        self._save(instance, asked, image.id)
        self._begin(image, asked, image.id)
        return image

    def _save(self, instance: Instance, asked: dict[str, Any], disk: str) -> None:
        machines, runs = self.world.machines, self._state_of(instance.id) == "running"
        if runs and not asked.get("NoReboot"):
            self.world.lives[instance.id].reboots += 1
        if runs:
            machines.halt(instance.id)
        machines.save(instance.id, disk)
        if runs:
            machines.start(instance.id)

    def copy_image(
        self, source_image_id: str, source_region: str, name: str | None = None, description: str | None = None
    ) -> Ami:
        """Begin a copy, with copies of the snapshots; return the same copy for the same token."""
        asked = parsed("CopyImage", self.form)
        token = (f"copy in {self.region_name}", asked.get("ClientToken", ""))
        if token[1] and token in self.world.tokens:
            return self.amis[self.world.tokens[token][1]]
        there: Any = ec2_backends[self.account_id][source_region]
        there.tick()
        source = there.usable_image(source_image_id)
        self._check_new(name or "")
        image = self._new_image(name or "", description or "", source.architecture, source.root_device_name)
        for device, part in source.parts.items():
            secret = part.encrypted or bool(asked.get("Encrypted"))
            volume = self.create_volume(size=part.volume.size, zone_name=f"{self.region_name}a", encrypted=secret)
            image.parts[device] = self._snapshot(image, volume.id, f"Copied for DestinationAmi {image.id}")
            self.delete_volume(volume.id)
        self._begin(image, asked, self.world.images[source.id].disk)
        if token[1]:
            self.world.tokens[token] = ("", image.id)
        return image

    def _check_new(self, name: str) -> None:
        if not NAME.fullmatch(name):
            raise EC2ClientError("InvalidAMIName.Malformed", "AMI names must be between 3 and 128 characters long.")
        known = next((it for it in self.amis.values() if it.name == name and it.owner_id == self.account_id), None)
        if known is not None:
            raise EC2ClientError("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI {known.id}")
        limit = self.world.settings.image_limit
        if limit is not None and len(self._made()) >= limit:
            raise EC2ClientError(
                "ResourceLimitExceeded", f"You have reached your quota of {limit} for the number of public and private "
                "images allowed in this Region. Deregister unused images or request an increase in your AMI quota."
            )  # fmt: skip

    def _new_image(self, name: str, description: str, architecture: str, root: str) -> Image:
        image = Image(
            self, random_ami_id(), name=name, description=description, virtualization_type="hvm",
            architecture=architecture, root_device_type="ebs", root_device_name=root, hypervisor="xen",
            creation_date=naive(self.world.clock()),
        )  # fmt: skip
        del self.snapshots[image.ebs_snapshot.id]  # moto's own, of a volume that never was
        image.parts = {}
        return image

    def _snapshot(self, image: Image, volume_id: str, description: str) -> Snapshot:
        made = self.create_snapshot(volume_id, description, self.account_id, from_ami=image.id)
        made.start_time, made.status = naive(self.world.clock()), "pending"
        made.full_snapshot_size_in_bytes = WRITTEN  # type: ignore[attr-defined]
        return made

    def _begin(self, image: Image, asked: dict[str, Any], disk: str) -> None:
        now, settings = self.world.clock(), self.world.settings
        self.world.images[image.id] = Made(
            image.id, self.region_name, disk, now + settings.image_after, now + settings.images_hidden_for,
            settings.fails_image,
        )  # fmt: skip
        image.ebs_snapshot = image.parts[image.root_device_name]
        image.state = "pending"
        self.amis[image.id] = image
        tags = {it["ResourceType"]: {tag["Key"]: tag.get("Value", "") for tag in it["Tags"]}
                for it in asked.get("TagSpecifications", [])}  # fmt: skip
        image.add_tags(tags.get("image", {}))
        for part in image.parts.values():
            part.add_tags(tags.get("snapshot", {}))
        self.tick()

    # what becomes of them

    def tick(self) -> None:
        """Bring images and their snapshots up to date, too."""
        super().tick()
        now = self.world.clock()
        for made in self._made():
            image = self.amis.get(made.ami)
            if not isinstance(image, Image):
                continue
            if made.gone_at is not None and now >= made.gone_at:
                super().deregister_image(made.ami)
            elif image.state == "pending" and now >= made.available_at:
                image.state, status = ("failed", "error") if made.fails else ("available", "completed")
                image.state_reason = FAILED if made.fails else None
                for part in image.parts.values():
                    part.status = status

    def _made(self) -> list[Made]:
        """Return the images that users made in this region and did not deregister, or that are still listed."""
        return [it for it in self.world.images.values() if it.region == self.region_name and it.ami in self.amis]

    def usable_image(self, image_id: str) -> Any:
        """Return an image from which an instance, or a copy, can be made."""
        image = self.amis.get(image_id)
        if image is None or self._is_hidden(image_id):
            kind = "NotFound" if image_id.startswith("ami-") else "Malformed"
            raise EC2ClientError(f"InvalidAMIID.{kind}", f"The image id '[{image_id}]' does not exist")
        if image.state != "available":
            raise EC2ClientError("InvalidAMIID.Unavailable", f"AMI '{image_id}' is {image.state}, and cannot be run")
        return image

    def _is_hidden(self, image_id: str) -> bool:
        """Return whether EC2 does not know an image everywhere yet."""
        made = self.world.images.get(image_id)
        return made is not None and self.world.clock() < made.shown_at

    def describe_images(
        self,
        ami_ids: list[str] | None = None,
        filters: dict[str, Any] | None = None,
        exec_users: list[str] | None = None,
        owners: list[str] | None = None,
    ) -> list[Ami]:
        """Return the images without those that EC2 does not show yet."""
        found = super().describe_images(ami_ids, filters, exec_users, owners)
        return [it for it in found if not self._is_hidden(it.id)]

    def describe_snapshots(self, snapshot_ids: list[str] | None = None, filters: Any = None) -> list[Snapshot]:
        """Return the snapshots of the owners that the call names, which moto ignores."""
        owners = parsed("DescribeSnapshots", self.form).get("OwnerIds", [])
        wanted = [self.account_id if owner == "self" else owner for owner in owners]
        found = super().describe_snapshots(snapshot_ids, filters)
        return [it for it in found if not wanted or it.owner_id in wanted]

    def create_tags(self, resource_ids: list[str], tags: dict[str, str]) -> bool:
        """Tag resources; an image that EC2 does not know cannot be tagged."""
        asked = self.form.get("Action") == "CreateTags"
        for name in (name for name in resource_ids if asked and name.startswith("ami-")):
            if name not in self.amis or self._is_hidden(name) or self.amis[name].state == "deregistered":
                raise EC2ClientError("InvalidAMIID.NotFound", f"The image ID '{name}' does not exist")
        return super().create_tags(resource_ids, tags)

    # delete

    def deregister_image(self, ami_id: str) -> None:
        """
        Deregister an image; its snapshots stay.

        With the switch ``deregistered_for`` it is listed for a while, and its snapshots count as in use.
        """
        settings, made = self.world.settings, self.world.images.get(ami_id)
        image = self.amis.get(ami_id)
        if self._is_hidden(ami_id):
            raise EC2ClientError("InvalidAMIID.NotFound", f"The image id '[{ami_id}]' does not exist")
        if image is not None and image.owner_id != self.account_id:
            raise EC2ClientError("AuthFailure", f"Not authorized for image:{ami_id}")
        if image is not None and (
            image.state == "deregistered" or (image.state == "pending" and settings.keeps_pending_images)
        ):
            raise EC2ClientError("InvalidAMIID.Unavailable", f"The image ID '{ami_id}' is {image.state}")
        if made is None or image is None or not settings.deregistered_for:
            super().deregister_image(ami_id)
        else:
            image.state, made.gone_at = "deregistered", self.world.clock() + settings.deregistered_for
        self._forget(ami_id)

    def _forget(self, ami_id: str) -> None:
        """Let the back end remove a disk that no image needs any more."""
        made = self.world.images.get(ami_id)
        if made is None:
            return
        made.is_gone = True
        others = [it for it in self.world.images.values() if it.disk == made.disk and not it.is_gone]
        if not others:
            self.world.machines.forget(made.disk)

    def left(self) -> dict[str, list[str]]:
        """Return the images that users made, and the snapshots of such images, too."""
        made = [it for it in self._made() if not it.is_gone]
        parts = [it for it in self.snapshots.values() if it.from_ami in self.world.images]
        return {**super().left(), "images": [str(self.amis[it.ami].name) for it in made],
                "snapshots": [it.id for it in parts]}  # fmt: skip
