"""``RunInstances``: what EC2 refuses, one instance for each token, and the machines of the instances."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import json
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instances import Instance, Reservation

from tests.drivers.ec2.emulator import catalog as catalogue
from tests.drivers.ec2.emulator.answers import Refusal
from tests.drivers.ec2.emulator.images import Imaging
from tests.drivers.ec2.emulator.region import naive
from tests.drivers.ec2.emulator.schema import parsed
from tests.drivers.ec2.emulator.state import NEVER, Life, plain
from tests.emulation.backend import Addresses, BootRequest
from tests.emulation.faults import MachineFault

USER_DATA_LIMIT = 16384
TAG_LIMIT, KEY_LENGTH, VALUE_LENGTH = 50, 127, 256
NO_ROOT = ("st1", "sc1")
#: the names that tests/machines/real.py knows
MACHINE_IMAGES = {"debian-12-": "debian-12-x64", "debian-13-": "debian-13-x64"}
#: parameters that can differ in a repeated call
NOT_COMPARED = ("DryRun",)


class Launching(Imaging):
    """A region that can launch instances."""

    def run_instances(
        self, image_id: str, count: int, user_data: Any, security_group_names: list[str], **kwargs: Any
    ) -> Reservation:
        """Return the same reservation for the same token, and refuse the token if anything else differs."""
        asked = parsed("RunInstances", self.form)
        token = asked.get("ClientToken", "")
        digest = _digest(asked)
        known = self.world.tokens.get((self.region_name, token)) if token else None
        if known is not None:
            if known[0] != digest:
                raise EC2ClientError(
                    "IdempotentParameterMismatch", "The client token you have provided is associated with a resource "
                    "that is not matched with the parameters of this request."
                )  # fmt: skip
            made = self.reservations[known[1]]
            if all(self.world.lives[instance.id].ended_at is not None for instance in made.instances):
                raise EC2ClientError(
                    "IdempotentInstanceTerminated", "The client token you have provided is associated with a "
                    "terminated instance. Please use a different client token."
                )  # fmt: skip
            return made
        reservation = self._launch(asked, image_id, count, user_data, kwargs)
        if token:
            self.world.tokens[self.region_name, token] = (digest, reservation.id)
        return reservation

    def _launch(
        self, asked: dict[str, Any], image_id: str, count: int, user_data: Any, kwargs: dict[str, Any]
    ) -> Reservation:
        script = _user_data(asked)
        check_tags(asked)
        image = self.usable_image(image_id)
        facts = self._checked_size(asked, image)
        subnet = self._checked_subnet(asked)
        groups = self._checked_groups(asked, subnet)
        self._check_room(asked, facts, subnet, count)
        kwargs["nics"] = [{**nic, "SubnetId": subnet.id, "Groups": []} for nic in kwargs["nics"]]
        if not kwargs["nics"]:
            kwargs["subnet_id"] = subnet.id
        kwargs["security_group_ids"] = []
        volumes = self._volumes(asked, image)
        # Moto would create a volume without the iops that its type needs, and then refuse it.
        kwargs["block_device_mappings"] = [{**it, "Ebs": {**it["Ebs"], "VolumeType": "gp2"}} for it in volumes]
        reservation = super().run_instances(image_id, count, user_data, [], **kwargs)
        for instance in reservation.instances:
            self.put_in(instance, groups)
            self._finish(instance, asked, volumes)
            self._boot(instance, asked, script)
        self.tick()
        return reservation

    # what is refused

    def _checked_size(self, asked: dict[str, Any], image: Any) -> Any:
        name = asked.get("InstanceType", "m1.small")
        facts = next((it for it in self.instance_types if it.name == name), None)
        if facts is None:
            raise EC2ClientError("InvalidParameterValue", f"Invalid value '{name}' for InstanceType.")
        architectures = facts["ProcessorInfo"]["SupportedArchitectures"]
        if image.architecture not in architectures:
            raise EC2ClientError(
                "InvalidParameterValue", f"The architecture '{','.join(architectures)}' of the specified instance type "
                f"does not match the architecture '{image.architecture}' of the specified AMI."
            )  # fmt: skip
        if asked.get("CreditSpecification") and not facts.get("BurstablePerformanceSupported"):
            raise EC2ClientError(
                "InvalidParameterCombination", f"The instance type {name} does not support CreditSpecification."
            )
        return facts

    def _checked_subnet(self, asked: dict[str, Any]) -> Any:
        """Return the named subnet, or a default subnet in a zone with capacity."""
        nics = asked.get("NetworkInterfaces", [])
        if nics and (asked.get("SubnetId") or asked.get("SecurityGroupIds") or asked.get("Ipv6AddressCount")):
            raise EC2ClientError(
                "InvalidParameterCombination", "Network interfaces and an instance-level subnet ID, security groups or "
                "IPv6 addresses may not be specified on the same request"
            )  # fmt: skip
        named = asked.get("SubnetId") or (nics[0].get("SubnetId") if nics else None)
        if named:
            subnet = self.get_subnet(named)
        else:
            zone = asked.get("Placement", {}).get("AvailabilityZone")
            defaults = [it for it in self.get_default_subnets().values() if zone in (None, it.availability_zone)]
            if not defaults:
                raise EC2ClientError("VPCIdNotSpecified", "No default VPC for this user")
            free = [it for it in defaults if it.availability_zone not in self.world.settings.full_zones]
            subnet = (free or defaults)[0]
        wanted = nics[0].get("Ipv6AddressCount") if nics else asked.get("Ipv6AddressCount")
        if wanted and not subnet.ipv6_cidr_block_associations:
            raise EC2ClientError("InvalidParameterValue", f"The subnet '{subnet.id}' has no IPv6 CIDR block.")
        return subnet

    def _checked_groups(self, asked: dict[str, Any], subnet: Any) -> list[Any]:
        nics = asked.get("NetworkInterfaces", [])
        wanted = (nics[0].get("Groups") if nics else asked.get("SecurityGroupIds")) or []
        groups = self.groups_named(wanted)
        for group in groups:
            if group.vpc_id != subnet.vpc_id:
                raise EC2ClientError(
                    "InvalidParameter", f"Security group {group.id} and subnet {subnet.id} belong to different "
                    "networks."
                )  # fmt: skip
        default = self.get_default_security_group(subnet.vpc_id)
        return groups or [default]

    def _check_room(self, asked: dict[str, Any], facts: Any, subnet: Any, count: int) -> None:
        zone, name = subnet.availability_zone, facts.name
        if zone in catalogue.NOT_IN.get(name, ()):
            raise EC2ClientError(
                "Unsupported", f"Your requested instance type ({name}) is not supported in your requested Availability "
                f"Zone ({zone})."
            )  # fmt: skip
        cpus = facts["VCpuInfo"]["DefaultVCpus"]
        used = sum(life.ended_at is None for life in self.world.lives.values()) * cpus
        if used + count * cpus > self.world.settings.vcpu_limit:
            raise EC2ClientError(
                "VcpuLimitExceeded", f"You have requested more vCPU capacity than your current vCPU limit of "
                f"{self.world.settings.vcpu_limit} allows for the instance bucket that the specified instance type "
                "belongs to."
            )  # fmt: skip
        if zone in self.world.settings.full_zones:
            raise Refusal(
                "InsufficientInstanceCapacity", f"We currently do not have sufficient {name} capacity in the "
                f"Availability Zone you requested ({zone}). Our system will be working on provisioning additional "
                "capacity.", 500
            )  # fmt: skip

    def _volumes(self, asked: dict[str, Any], image: Any) -> list[dict[str, Any]]:
        """Return all volumes of the instance: a mapping with another name than the image's root adds one."""
        mappings = asked.get("BlockDeviceMappings", [])
        if image.root_device_name not in [mapping["DeviceName"] for mapping in mappings]:
            mappings = [{"DeviceName": image.root_device_name, "Ebs": {"DeleteOnTermination": True}}, *mappings]
        return [self._volume(mapping, image) for mapping in mappings]

    def _volume(self, mapping: dict[str, Any], image: Any) -> dict[str, Any]:
        least = image.disk_size
        ebs = {"VolumeSize": least, "VolumeType": "gp2", **mapping.get("Ebs", {})}
        kind, is_root = ebs["VolumeType"], mapping["DeviceName"] == image.root_device_name
        if kind in ("io1", "io2") and "Iops" not in ebs:
            raise EC2ClientError("MissingParameter", f"The parameter iops must be specified for {kind} volumes.")
        if "Iops" in ebs and kind not in ("io1", "io2", "gp3"):
            raise EC2ClientError("InvalidParameterCombination", f"The parameter iops is not for {kind} volumes.")
        if is_root and kind in NO_ROOT:
            raise EC2ClientError("InvalidParameterValue", f"Volume type {kind} is not supported as a root volume.")
        if is_root and ebs["VolumeSize"] < least:
            raise EC2ClientError(
                "InvalidBlockDeviceMapping", f"Volume of size {ebs['VolumeSize']}GB is smaller than snapshot "
                f"'{image.ebs_snapshot.id}', expect size >= {least}GB"
            )  # fmt: skip
        return {"DeviceName": mapping["DeviceName"], "Ebs": ebs}

    # what is launched

    def _finish(self, instance: Instance, asked: dict[str, Any], volumes: list[dict[str, Any]]) -> None:
        """Apply the parameters that moto ignores."""
        nic = instance.nics[0]
        nics = asked.get("NetworkInterfaces", [{}])
        tags = {it["ResourceType"]: _as_dict(it.get("Tags", [])) for it in asked.get("TagSpecifications", [])}
        nic.add_tags(tags.get("network-interface", {}))
        nic.delete_on_termination = nics[0].get("DeleteOnTermination", True)
        wanted = nics[0].get("Ipv6AddressCount") or asked.get("Ipv6AddressCount")
        if wanted:
            self.assign_ipv6_addresses(nic.id, ipv6_count=wanted)
        made = {device: self.get_volume(held.volume_id) for device, held in instance.get_block_device_mapping}
        for volume in volumes:
            made[volume["DeviceName"]].volume_type = volume["Ebs"]["VolumeType"]
            made[volume["DeviceName"]].iops = volume["Ebs"].get("Iops")
        self.world.credits[instance.id] = asked.get("CreditSpecification", {}).get("CpuCredits", "unlimited")

    def _boot(self, instance: Instance, asked: dict[str, Any], script: bytes) -> None:
        """Boot the machine; it takes its address now and so has the one that EC2 reports later."""
        world, now = self.world, self.world.clock()
        nics = asked.get("NetworkInterfaces", [{}])
        taken = world.machines.backend.take(nics[0].get("AssociatePublicIpAddress", True))
        self.move_in(instance, taken)
        name = _name(instance)
        fault = world.faults.of_machine(name)
        never = fault.never_active
        world.lives[instance.id] = Life(
            instance_id=instance.id, region=self.region_name, name=name, user_data=script, addresses=taken, created=now,
            active_at=NEVER if never else now + world.settings.active_after, fault=fault,
        )  # fmt: skip
        instance.launch_time = naive(now)
        world.made += 1
        if not (never or fault.never_boots or fault.given_up):
            world.machines.boot(self._request(instance, name, script, taken, fault))

    def _request(
        self, instance: Instance, name: str, script: bytes, taken: Addresses, fault: MachineFault
    ) -> BootRequest:
        image = self.amis[instance.image_id]
        named = (slug for prefix, slug in MACHINE_IMAGES.items() if str(image.name).startswith(prefix))
        made = self.world.images.get(image.id)
        known = made.disk if made else next(named, image.id)
        return BootRequest(
            instance_id=instance.id, hostname=name, user_data=plain(script).decode(), public_keys=(),
            public_ip=taken.public, private_ip=taken.private, image=known, image_name=image.name or "",
            tags=tuple(f"{tag['key']}={tag['value']}" for tag in instance.get_tags()), region=self.region_name,
            size=instance.instance_type, fail_at=fault.fail_at, impostor=fault.impostor,
            metadata={name: functools.partial(self._notice, instance.id, name) for name in ("spot", "events")},
        )  # fmt: skip

    def _notice(self, instance_id: str, name: str) -> Any:
        return self.world.lives[instance_id].notices().get(name)


def _user_data(asked: dict[str, Any]) -> bytes:
    try:
        script = base64.b64decode(asked.get("UserData", ""), validate=True)
    except binascii.Error as error:
        raise EC2ClientError("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data") from error
    if len(script) > USER_DATA_LIMIT:
        raise EC2ClientError("InvalidUserData.Malformed", f"User data is limited to {USER_DATA_LIMIT} bytes")
    return script


def check_tags(asked: dict[str, Any]) -> None:
    """Apply EC2's rules for tags, which are the same for every resource."""
    for specification in asked.get("TagSpecifications", []):
        tags = specification.get("Tags", [])
        keys = [tag["Key"] for tag in tags]
        if len(keys) > TAG_LIMIT:
            raise EC2ClientError("TagLimitExceeded", f"The maximum number of Tags for a resource is {TAG_LIMIT}.")
        if len(set(keys)) < len(keys):
            raise EC2ClientError("InvalidParameterValue", "Duplicate tag key specified.")
        for tag in tags:
            if tag["Key"].lower().startswith("aws:"):
                raise EC2ClientError("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved.")
            if len(tag["Key"]) > KEY_LENGTH or len(tag.get("Value", "")) > VALUE_LENGTH:
                raise EC2ClientError("InvalidParameterValue", f"The tag {tag['Key'][:20]} is too long.")


def _as_dict(tags: list[dict[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in tags}


def _name(instance: Instance) -> str:
    tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
    return str(tags.get("Name", instance.id))


def _digest(asked: dict[str, Any]) -> str:
    compared = {name: value for name, value in asked.items() if name not in NOT_COMPARED}
    return hashlib.sha256(json.dumps(compared, sort_keys=True, default=str).encode()).hexdigest()
