"""
One region of moto's EC2 with what moto lacks.

Moto keeps networks, groups, volumes, images and tags, and writes all answers. This module and ``launch.py`` add the
time that operations take, instances that are not visible yet or refuse to end, and EC2's refusals.
"""

from __future__ import annotations

import copy
import datetime
from collections.abc import Iterable
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models.amis import Ami
from moto.ec2.models.availability_zones_and_regions import Region as MotoRegion
from moto.ec2.models.elastic_block_store import Snapshot
from moto.ec2.models.instance_types import INSTANCE_TYPES, InstanceType
from moto.ec2.models.instances import Instance, InstanceState, Reservation, StateReason

from tests.drivers.ec2.emulator import catalog as catalogue
from tests.drivers.ec2.emulator.state import NEVER, NOTICE, SHOWN_AFTER_END, Life, World, when
from tests.emulation.backend import Addresses, NoMachines

DEFAULT_GROUP = "default"
FILTER_VALUES = 200  #: values of one filter at most
#: why a spot instance ended (EC2's reference of StateReason)
TAKEN = "Server.SpotInstanceTermination: Spot instance termination"


class Image(Ami):
    """An image with a snapshot for each of its volumes; moto's has one of a fixed size."""

    #: by device; empty for images that nobody made of an instance
    parts: dict[str, Snapshot]
    state_reason: StateReason | None = None

    @property
    def disk_size(self) -> int:
        """The size of the root volume in GiB."""
        root = self.parts.get(self.root_device_name)
        return int(root.volume.size) if root is not None else catalogue.IMAGE_SIZE

    @property
    def block_device_mappings(self) -> list[dict[str, Any]]:
        """The volumes; while the image is pending, EC2 does not show their snapshots."""
        parts = self.parts or {self.root_device_name: self.ebs_snapshot}
        return [
            {
                "DeviceName": device,
                "Ebs": {
                    **({"SnapshotId": part.id} if self.state != "pending" else {}),
                    "VolumeSize": part.volume.size if self.parts else catalogue.IMAGE_SIZE,
                    "DeleteOnTermination": True,
                    "VolumeType": "gp2",
                    "Encrypted": part.encrypted,
                },
            }
            for device, part in parts.items()
        ]

    def get_filter_value(self, filter_name: str, method_name: str | None = None) -> Any:
        """Return the value of a filter that moto has, or the ids of the snapshots."""
        if filter_name == "block-device-mapping.snapshot-id":
            return [ebs["SnapshotId"] for it in self.block_device_mappings if "SnapshotId" in (ebs := it["Ebs"])]
        return super().get_filter_value(filter_name, method_name)


class Region(EC2Backend):
    """One emulated region; see the module."""

    instance_types = [InstanceType(name) for name in catalogue.SIZES]

    def __init__(self, region_name: str, world: World) -> None:
        self.world = world
        #: the parameters of the call that is being answered
        self.form: dict[str, str] = {}
        super().__init__(region_name, world.account)

    # images, regions and sizes

    def _load_amis(self) -> None:
        for image in catalogue.images():
            self._add_image(image.ami(self.region_name), image)

    def _add_image(self, ami: str, image: catalogue.PublicImage, public: bool = True) -> None:
        made = self.amis[ami] = Image(
            self, ami, name=image.name, description=image.name, owner_id=image.owner, public=public,
            virtualization_type="hvm", architecture=image.architecture, root_device_type="ebs",
            root_device_name=image.root_device, hypervisor="xen",
            creation_date=datetime.datetime.strptime(image.created, "%Y-%m-%dT%H:%M:%SZ"),
        )  # fmt: skip
        made.parts = {}

    def add_snapshot(self, ami: str, name: str, architecture: str) -> None:
        """Add an image of the account."""
        now = datetime.datetime.fromtimestamp(self.world.clock(), datetime.timezone.utc)
        date = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        image = catalogue.PublicImage(name, self.account_id, architecture, date, catalogue.DEBIAN_ROOT)
        self._add_image(ami, image, public=False)

    def describe_regions(self, region_names: list[str] | None = None) -> list[MotoRegion]:
        """Return the regions with ``AllRegions`` applied, which moto ignores."""
        every = self.form.get("AllRegions") == "true"
        return [
            MotoRegion(name, f"ec2.{name}.amazonaws.com", "opt-in-not-required" if enabled else "not-opted-in")
            for name, enabled in catalogue.REGIONS.items()
            if (enabled or every) and (not region_names or name in region_names)
        ]

    def describe_instance_type_offerings(
        self, location_type: str | None = None, filters: dict[str, Any] | None = None
    ) -> list[Any]:
        """Return only our sizes, some of which are missing in some zones."""
        offered = super().describe_instance_type_offerings(location_type, filters)
        return [
            it
            for it in offered
            if it["InstanceType"] in catalogue.SIZES
            and it["Location"] not in catalogue.NOT_IN.get(it["InstanceType"], ())
        ]

    def associate_subnet_cidr_block(self, subnet_id: str, ipv6_cidr_block: str) -> dict[str, Any]:
        """Associate the block, and correct its state, which moto nests in another state and writes as Python does."""
        association: dict[str, Any] = super().associate_subnet_cidr_block(subnet_id, ipv6_cidr_block)
        association["ipv6CidrBlockState"] = _Word(association["ipv6CidrBlockState"])
        return association

    # instances

    def tick(self) -> None:
        """Bring moto's objects up to date."""
        now, settings = self.world.clock(), self.world.settings
        for instance in self._own_instances():
            life = self.world.lives[instance.id]
            if life.fault.given_up and life.ended_at is None and now >= life.active_at:
                life.ended_at, life.reason = life.active_at, life.fault.given_up
                self.world.machines.kill(life.instance_id, life.addresses)
            if life.marked_at is not None and life.ended_at is None and now >= life.marked_at + NOTICE:
                life.ended_at, life.reason = life.marked_at + NOTICE, TAKEN
                self.world.machines.kill(life.instance_id, life.addresses)
            instance._state = InstanceState(*life.state(now, settings))
            if instance._state.name == "terminated" and not life.gone:
                self._end(instance, life)
            self._address(instance, life, now)

    def describe_spot_instance_requests(self, filters: Any = None, spot_instance_ids: Any = None) -> list[Any]:
        """Return the request of each spot instance; moto makes none for ``RunInstances``."""
        wanted = (filters or {}).get("instance-id")
        if wanted is not None and len(wanted) > FILTER_VALUES:
            raise EC2ClientError("FilterLimitExceeded", "The maximum number of filter values specified is exceeded.")
        return [
            self._spot_request(instance)
            for instance in self._own_instances()
            if instance.lifecycle == "spot" and (wanted is None or instance.id in wanted)
        ]

    def _spot_request(self, instance: Instance) -> dict[str, Any]:
        code, since = self.world.lives[instance.id].spot_status()
        return {
            "SpotInstanceRequestId": f"sir-{instance.id[-8:]}",
            "InstanceId": instance.id,
            "State": "closed" if code.startswith("instance-terminated") else "active",
            "Status": {"Code": code, "Message": code, "UpdateTime": when(since)},
            "Type": "one-time",
        }

    def _own_instances(self) -> list[Instance]:
        return [instance for reservation in self.reservations.values() for instance in reservation.instances]

    def _end(self, instance: Instance, life: Life) -> None:
        """End the instance; moto removes interface and volumes, and records a termination by the user as the reason."""
        life.gone = True
        instance.terminate()
        if life.reason:
            instance.state_reason = StateReason(life.reason, life.reason.partition(":")[0])

    def _address(self, instance: Instance, life: Life, now: float) -> None:
        nic = instance.nics[0]
        nic.public_ip = life.addresses.public if life.shows_address(now, self.world.settings) else None

    def all_reservations(self, filters: Any = None) -> list[Reservation]:
        """Return the reservations without instances that EC2 does not show yet, or that ended long ago."""
        now = self.world.clock()
        shown = []
        for reservation in super().all_reservations(filters):
            known = [it for it in reservation.instances if self._is_shown(self.world.lives.get(it.id), now)]
            if known:
                one = copy.copy(reservation)
                one.instances = known
                shown.append(one)
        return shown

    def _is_shown(self, life: Life | None, now: float) -> bool:
        if life is None:  # being created at this moment
            return True
        ended = life.ended_at is not None and now >= life.ended_at + SHOWN_AFTER_END
        return not ended and not life.is_hidden(now)

    def looked(self) -> None:
        """Record that the instances were listed, and count down the faults that end after a number of lists."""
        now = self.world.clock()
        for instance in self._own_instances():
            life = self.world.lives[instance.id]
            if life.hidden_lists > 0:
                life.hidden_lists -= 1
            elif life.address_lists > 0 and life.state(now, self.world.settings)[0] == "running":
                life.address_lists -= 1

    def terminate_instances(self, instance_ids: list[str]) -> list[tuple[Instance, InstanceState]]:
        """Terminate all of the instances or none."""
        found = self.get_multi_instances_by_id(instance_ids)
        lives = [self.world.lives[instance.id] for instance in found]
        for instance in found:
            on = {
                "disableApiTermination": instance.disable_api_termination,
                "disableApiStop": instance.disable_api_stop,
            }
            for attribute in (name for name, value in on.items() if value):
                raise EC2ClientError(
                    "OperationNotPermitted", f"The instance '{instance.id}' may not be terminated. Modify its "
                    f"'{attribute}' instance attribute and try again."
                )  # fmt: skip
        for life in lives:
            if life.refuse_delete > 0:
                life.refuse_delete -= 1
                raise EC2ClientError(
                    "IncorrectInstanceState", f"The instance '{life.instance_id}' is not in a state from which it can "
                    "be terminated."
                )  # fmt: skip
        before = [copy.copy(instance._state) for instance in found]
        for life in lives:
            if life.ignore_delete > 0:
                life.ignore_delete -= 1
            else:
                self.end(life)
        self.tick()
        return list(zip(found, before, strict=True))

    def end(self, life: Life) -> None:
        """Start to end an instance; idempotent."""
        if life.ended_at is None:
            life.ended_at = self.world.clock()
            self.world.machines.kill(life.instance_id, life.addresses)

    def stop_instances(self, instance_ids: list[str]) -> list[tuple[Instance, InstanceState]]:
        """Stop the instances, and keep the state here. A stop by force is at once; one ends a stop in progress."""
        done = super().stop_instances(instance_ids)
        force, settings = self.form.get("Force") == "true", self.world.settings
        for instance, _ in done:
            life = self.world.lives[instance.id]
            after = 0.0 if force else NEVER if settings.ignores_shutdown else settings.power_after
            if not life.stopped:
                self.world.machines.halt(instance.id)
            if not life.stopped or force:
                life.stopped, life.stopped_at = True, self.world.clock() + after
        self.tick()
        return done

    def start_instances(self, instance_ids: list[str]) -> list[tuple[Instance, InstanceState]]:
        """Start stopped instances, which get other public addresses; refuse those that are stopping."""
        settings = self.world.settings
        for name in instance_ids:
            if self._state_of(name) == "stopping":
                raise _wrong_state(name, "started")
            if settings.full_zones and self.get_instance(name).placement.zone in settings.full_zones:
                raise EC2ClientError("InsufficientInstanceCapacity", "There is not sufficient capacity.")
        done = super().start_instances(instance_ids)
        for instance, _ in done:
            life = self.world.lives[instance.id]
            if life.stopped:
                self._start(life)
        self.tick()
        return done

    def _start(self, life: Life) -> None:
        life.stopped, life.active_at = False, self.world.clock() + self.world.settings.active_after
        backend, old = self.world.machines.backend, life.addresses
        self.world.machines.start(life.instance_id)
        if old.public and isinstance(backend, NoMachines):
            life.addresses = Addresses(backend.take(True).public, old.private)

    def reboot_instances(self, instance_ids: list[str]) -> list[Instance]:
        """Restart running instances."""
        for name in instance_ids:
            if self._state_of(name) != "running":
                raise _wrong_state(name, "rebooted")
            self.world.lives[name].reboots += 1
            self.world.machines.restart(name)
        return [self.get_instance(name) for name in instance_ids]

    def modify_instance_attribute(self, instance_id: str, key: str, value: Any) -> Instance:
        """
        Set an attribute: the type only of a stopped instance, and only to one of its architecture.

        A spot instance has no termination protection (cloud-custodian/cloud-custodian#2083).
        """
        instance = self.get_instance(instance_id)
        if key == "disable_api_termination" and instance.lifecycle == "spot":
            raise EC2ClientError(
                "UnsupportedOperation", "Modifying 'disableApiTermination' is not supported for spot instances."
            )
        if key == "instance_type":
            known = [it.name for it in self.instance_types]
            if self._state_of(instance_id) != "stopped":
                raise _wrong_state(instance_id, "modified")
            if value not in known:
                raise EC2ClientError("InvalidInstanceAttributeValue", f"{value} is not a valid instance type.")
            if self.world.settings.fails_resize:
                raise EC2ClientError("InsufficientInstanceCapacity", "There is not sufficient capacity.")
            kinds = next(it for it in self.instance_types if it.name == value)["ProcessorInfo"]
            if instance.architecture not in kinds["SupportedArchitectures"]:
                raise EC2ClientError("InvalidParameterCombination", "The architectures do not match.")
        return super().modify_instance_attribute(instance_id, key, value)

    def _state_of(self, instance_id: str) -> str:
        return self.world.lives[self.get_instance(instance_id).id].state(self.world.clock(), self.world.settings)[0]

    def modify_instance_security_groups(self, instance_id: str, new_group_id_list: list[str]) -> Instance:
        """
        Set the groups of an instance and its interface.

        Moto would leave the interface in its old groups, and accepts groups that do not exist.
        """
        instance = self.get_instance(instance_id)
        if self.world.lives[instance_id].ended_at is not None:
            raise EC2ClientError("IncorrectInstanceState", f"The instance '{instance_id}' is terminating.")
        self.put_in(instance, self.groups_named(new_group_id_list))
        return instance

    def put_in(self, instance: Instance, groups: Iterable[Any]) -> None:
        """Put an instance and its interface into these groups and no others."""
        instance.nics[0]._group_set = list(groups)
        instance.security_groups = instance.nics[0]._group_set

    # groups

    def groups_named(self, group_ids: Iterable[str]) -> list[Any]:
        """
        Return the groups with these ids.

        Raises ``EC2ClientError`` if a group does not exist or is not visible yet.
        """
        found = []
        for group_id in group_ids:
            group = self.get_security_group_from_id(group_id)
            if group is None or self._is_new(group_id):
                raise EC2ClientError("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")
            found.append(group)
        return found

    def _is_new(self, group_id: str) -> bool:
        made = self.world.groups.get(group_id, -self.world.settings.groups_hidden_for)
        return self.world.clock() < made + self.world.settings.groups_hidden_for

    def create_security_group(self, name: str, description: str, *args: Any, **kwargs: Any) -> Any:
        """Create a group, record the time, and refuse the names that EC2 refuses."""
        if name.startswith("sg-") or len(name) > 255:
            raise EC2ClientError("InvalidParameterValue", f"Value ({name}) for parameter GroupName is invalid.")
        group = super().create_security_group(name, description, *args, **kwargs)
        self.world.groups[group.id] = self.world.clock()
        return group

    def authorize_security_group_ingress(self, group_name_or_id: str, *args: Any, **kwargs: Any) -> Any:
        """Add a rule, except to a group that is not visible yet."""
        self.groups_named([group_name_or_id])
        return super().authorize_security_group_ingress(group_name_or_id, *args, **kwargs)

    def delete_security_group(self, name: str | None = None, group_id: str | None = None) -> None:
        """Delete a group, unless an interface of any owner has it."""
        (group,) = self.groups_named([group_id or ""])
        if group.name == DEFAULT_GROUP:
            raise EC2ClientError("CannotDelete", f'the specified group: "{group_id}" name: "default" cannot be deleted')
        if any(group in nic.group_set for nic in self.enis.values()):
            raise EC2ClientError("DependencyViolation", f"resource {group_id} has a dependent object")
        super().delete_security_group(name, group_id)

    def modify_network_interface_attribute(
        self, eni_id: str, group_ids: list[str], source_dest_check: bool | None = None, description: str | None = None
    ) -> None:
        """Set the groups of an interface and of its instance; those of an instance that is ending cannot change."""
        groups = self.groups_named(group_ids)
        nic = self.get_network_interface(eni_id)
        if nic.instance is not None and self.world.lives[nic.instance.id].ended_at is not None:
            raise EC2ClientError("IncorrectState", f"The interface {eni_id} is of an instance that is terminating.")
        super().modify_network_interface_attribute(eni_id, group_ids, source_dest_check, description)
        if groups and nic.instance is not None:
            self.put_in(nic.instance, groups)

    # reports of what exists

    def left(self) -> dict[str, list[str]]:
        """Return what users created, by name, without what is removed together with the existing instances."""
        living = {it.id for it in self._own_instances() if it._state.name not in ("terminated", "shutting-down")}
        held = [volume for volume in self.volumes.values() if _holder(volume) not in living]
        return {
            "instances": [self.world.lives[instance_id].name for instance_id in living],
            "security groups": [
                it.name for groups in self.groups.values() for it in groups.values() if it.name != DEFAULT_GROUP
            ],
            "volumes": [volume.id for volume in held if _holder(volume) not in self.world.lives],
        }

    def move_in(self, instance: Instance, taken: Addresses) -> None:
        """Give an instance's interface the addresses that its machine has."""
        nic = instance.nics[0]
        nic.private_ip_address = taken.private
        nic.private_ip_addresses = [{"Primary": True, "PrivateIpAddress": taken.private}]
        nic.public_ip_auto_assign = False


def _wrong_state(instance_id: str, what: str) -> EC2ClientError:
    return EC2ClientError(
        "IncorrectInstanceState", f"The instance '{instance_id}' is not in a state from which it can be {what}."
    )


class _Word(dict[str, str]):
    """A state that is written as one word."""

    def __str__(self) -> str:
        return self["State"]


def _holder(volume: Any) -> str:
    return str(volume.attachment.instance.id) if volume.attachment else ""


def naive(moment: float) -> datetime.datetime:
    """Return a time as moto keeps it: UTC, without a time zone."""
    return datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).replace(tzinfo=None)


assert set(catalogue.SIZES) <= set(INSTANCE_TYPES), "moto knows more sizes than that"
