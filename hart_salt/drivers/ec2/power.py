"""Turn EC2's instances on and off, and change their type and their tags. Facts come from EC2's own reference."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from hart_salt.base.errors import InvalidRequest, NotFound
from hart_salt.drivers.ec2 import request
from hart_salt.drivers.power import STOPPED, Look, Power
from hart_salt.drivers.tagging import Tags, is_own, own_objections
from hart_salt.drivers.tags import ENDS, end_mark
from hart_salt.model import Instance, Size

#: returns the report of an instance in a region, with its tags, or None
Facts = Callable[[Instance], "Mapping[str, Any] | None"]


class Ec2Power(Power):
    """The calls for the power of an instance. Only an instance with an EBS root volume can be stopped."""

    def __init__(self, parts: Callable[[], Any], facts: Facts, look: Look, sleep: Callable[[float], None]) -> None:
        super().__init__(look, sleep)
        self._parts = parts
        self._facts = facts

    def state(self, instance: Instance) -> str:
        """Return EC2's word for the state; one that is stopping has not stopped."""
        self._found(instance)
        facts = self._facts(instance) or {}
        name = str((facts.get("State") or {}).get("Name"))
        return STOPPED if name == "stopped" else name

    def start(self, instance: Instance) -> None:
        """Ask for the start; the instance may get another public address."""
        self._call(instance, "start_instances", InstanceIds=[instance.instance_id])

    def stop(self, instance: Instance) -> None:
        """Ask the operating system; EC2 cuts the power of one that does not shut down."""
        self._call(instance, "stop_instances", InstanceIds=[instance.instance_id])

    def cut(self, instance: Instance) -> None:
        """Cut the power, even during a shutdown."""
        self._call(instance, "stop_instances", InstanceIds=[instance.instance_id], Force=True)

    def restart(self, instance: Instance, *, force: bool) -> None:
        """Restart; EC2 itself cuts the power of an operating system that has not shut down after four minutes."""
        self._call(instance, "reboot_instances", InstanceIds=[instance.instance_id])

    def change(self, instance: Instance, size: str) -> None:
        """Change the type of a stopped instance."""
        self._call(instance, "modify_instance_attribute", InstanceId=instance.instance_id, InstanceType={"Value": size})

    def objections(self, instance: Instance, size: Size) -> Sequence[str]:
        """Compare the architecture, the zone and what the instance is, with up to three calls."""
        facts, lookup = self._facts(instance) or {}, self._parts().lookup
        region, name = instance.region or self._parts().api.default_region, size.name
        described = (lookup.size(name, region) or {}).get("ProcessorInfo") or {}
        known, have = described.get("SupportedArchitectures") or [], facts.get("Architecture")
        found = []
        if known and have and have not in known:
            found.append(f"the instance is {have}, and {name} is {' or '.join(known)}")
        if facts.get("InstanceLifecycle") == "spot":
            found.append("it is a spot instance, whose type EC2 does not change: create another node")
        if facts.get("RootDeviceType") == "instance-store":
            found.append("its disk is in the host that it runs on, so that it cannot be stopped: create another node")
        zone = (facts.get("Placement") or {}).get("AvailabilityZone")
        zones = lookup.zones_with(name, region)
        if zone and zones and zone not in zones:
            found.append(f"{zone} has no instances of the size {name}; these zones have it: {', '.join(zones)}")
        return found

    def _call(self, instance: Instance, operation: str, **parameters: Any) -> None:
        api = self._parts().api
        api.call(instance.region or api.default_region, operation, **parameters)


class Ec2Tags(Tags):
    """The tags of instances; those of their volumes stay."""

    def __init__(self, parts: Callable[[], Any], facts: Facts) -> None:
        self._parts = parts
        self._facts = facts

    def objections(self, tags: Mapping[str, str]) -> Sequence[str]:
        """Check EC2's own rules, and the names that are reserved for hart."""
        rules = [text for key, value in tags.items() for text in request.against_tag(key, value)]
        name = ["the tag Name is the minion id, which candidates of an import are found by"] if "Name" in tags else []
        return list(dict.fromkeys([*own_objections(tags), *rules, *name]))

    def of(self, instance: Instance) -> Mapping[str, str]:
        """Make one call."""
        tags = self._all(instance)
        return {key: value for key, value in tags.items() if not (is_own(key) or key == "Name" or _is_amazons(key))}

    def set(self, instance: Instance, tags: Mapping[str, str], remove: Collection[str]) -> None:
        """Make one call, and one more for what is set, and for what is removed."""
        there = self._all(instance)
        lacking = {key: value for key, value in tags.items() if there.get(key) != value}
        going = [{"Key": key} for key in remove if key in there and not is_own(key)]
        if len({*there, *lacking} - {*remove}) > request.TAG_LIMIT:
            raise InvalidRequest(f"an instance can have {request.TAG_LIMIT} tags at EC2, including hart's own")
        api, where = self._parts().api, {"Resources": [instance.instance_id]}
        region = instance.region or api.default_region
        if going:
            api.call(region, "delete_tags", **where, Tags=going)
        if lacking:
            api.call(region, "create_tags", **where, Tags=request.as_tags(lacking))

    def set_end(self, instance: Instance, ends: float | None) -> None:
        """Implement ``Driver.set_end``. A terminated instance, which EC2 shows for an hour, is gone."""
        api = self._parts().api
        region, facts = instance.region or api.default_region, self._facts(instance)
        if facts is None or request.instance(facts, region).state == "gone":
            raise NotFound(f"the instance {instance.instance_id} is gone")
        where = {"Resources": [instance.instance_id]}
        if ends is None:
            api.call(region, "delete_tags", **where, Tags=[{"Key": ENDS}])
        else:
            api.call(region, "create_tags", **where, Tags=request.as_tags(end_mark(ends)))

    def _all(self, instance: Instance) -> dict[str, str]:
        facts = self._facts(instance)
        if facts is None:
            raise NotFound(f"the instance {instance.instance_id} is gone")
        return request.from_tags(facts.get("Tags"))


def _is_amazons(key: str) -> bool:
    return key.lower().startswith("aws:")
