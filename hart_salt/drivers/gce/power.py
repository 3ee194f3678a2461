"""
Turn Compute Engine's instances on and off, and change their machine type, their labels and their network tags.

Facts about the API come from Google's own description of it, which the library contains in its docstrings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from hart_salt.base.errors import NotFound, TemporaryFailure
from hart_salt.drivers import retry
from hart_salt.drivers.gce import instances
from hart_salt.drivers.gce.refusals import Stale
from hart_salt.drivers.power import STOPPED, Look, Power
from hart_salt.drivers.retry import ActionFailed
from hart_salt.drivers.tagging import Tags, is_own, own_objections
from hart_salt.model import Instance, Size

#: attempts to change what someone else changes at the same time
ATTEMPTS = 5
#: the characters of labels
KEY, VALUE = re.compile("[a-z][a-z0-9_-]{0,62}"), re.compile("[a-z0-9_-]{0,63}")


def where_is(instance: Instance) -> dict[str, Any]:
    """Return the fields of a call that name an instance. Raises ``NotFound`` if its zone is not known."""
    if not instance.zone or not re.fullmatch("[1-9][0-9]{0,19}", instance.instance_id):
        raise NotFound(f"the instance {instance.instance_id} is gone")
    return {"zone": instance.zone, "instance": instance.instance_id}


class GcePower(Power):
    """The operations for the power of an instance; each call waits for its own."""

    def __init__(self, parts: Callable[[], Any], look: Look, sleep: Callable[[float], None]) -> None:
        super().__init__(look, sleep)
        self._parts = parts

    def state(self, instance: Instance) -> str:
        """Return the state; one that is stopping has not stopped."""
        found = self._found(instance)
        if found.state != STOPPED:
            return found.state
        status = str(self._parts().api.get("instances", **where_is(instance)).status)
        return STOPPED if status in ("TERMINATED", "STOPPED", "SUSPENDED") else status

    def start(self, instance: Instance) -> None:
        """Start; the instance may get another public address. Google refuses to start one that is suspended."""
        self._change(instance, "start")

    def stop(self, instance: Instance) -> None:
        """Stop; Compute Engine cuts the power of an operating system that has not shut down after 90 seconds."""
        self._change(instance, "stop")

    def restart(self, instance: Instance, *, force: bool) -> None:
        """Cut the power and start: the API has no other restart."""
        self._change(instance, "reset")

    def change(self, instance: Instance, size: str) -> None:
        """Change the machine type of a stopped instance."""
        body = {"machine_type": f"zones/{instance.zone}/machineTypes/{size}"}
        self._change(instance, "set_machine_type", instances_set_machine_type_request_resource=body)

    def objections(self, instance: Instance, size: Size) -> Sequence[str]:
        """Look up the machine type in the instance's own zone, and compare the architectures."""
        catalogue, zone = self._parts().catalogue, instance.zone or ""
        kind = catalogue.machine_type(zone, size.name)
        if kind is None:
            return [f"{zone} has no machine type {size.name}"]
        now = catalogue.machine_type(zone, instance.size) if instance.size else None
        have, want = (getattr(one, "architecture", "") for one in (now, kind))
        return [f"the instance is {have}, and {size.name} is {want}"] if have and want and have != want else []

    def _change(self, instance: Instance, method: str, **more: Any) -> None:
        api = self._parts().api
        operation = api.change("instances", method, **where_is(instance), **more)
        try:
            api.wait(operation)
        except TemporaryFailure as error:
            raise ActionFailed(str(error), uncertain=True) from error


class GceTags(Tags):
    """
    The labels of an instance, and for tags without a value, its network tags, as the setting ``tags`` has them.

    The labels of its disks stay.
    """

    def __init__(self, parts: Callable[[], Any], sleep: Callable[[float], None]) -> None:
        self._parts = parts
        self._sleep = sleep

    def objections(self, tags: Mapping[str, str]) -> Sequence[str]:
        """Check the characters of labels and network tags, and the names that are reserved for hart."""
        rule = "lowercase letters, digits, '-' and '_', and must begin with a letter"
        labels = [
            f"the label {name}={value} is not valid at Compute Engine: name and value can have up to 63 {rule}"
            for name, value in tags.items()
            if value and not (KEY.fullmatch(name) and VALUE.fullmatch(value))
        ]
        network = [
            f"the tag {name} must start with a letter at Compute Engine; it can have lowercase letters, digits and '-'"
            for name, value in tags.items()
            if not value and not instances.NAME.fullmatch(name)
        ]
        return [*own_objections(tags), *labels, *network]

    def of(self, instance: Instance) -> Mapping[str, str]:
        """Make one call."""
        there = self._parts().api.get("instances", **where_is(instance))
        network = {tag: "" for tag in there.tags.items if not is_own(tag)}
        return {**network, **{name: value for name, value in there.labels.items() if not is_own(name)}}

    def set(self, instance: Instance, tags: Mapping[str, str], remove: Collection[str]) -> None:
        """Make one call, and one more for labels and for network tags if they change."""
        retry.again(lambda: self._set(instance, tags, remove), Stale, self._sleep, ATTEMPTS)

    def _set(self, instance: Instance, tags: Mapping[str, str], remove: Collection[str]) -> None:
        api, where = self._parts().api, where_is(instance)
        there = api.get("instances", **where)
        old = {*tags, *remove}
        labels = {name: value for name, value in there.labels.items() if is_own(name) or name not in old}
        labels |= {name: value for name, value in tags.items() if value}
        network = [tag for tag in there.tags.items if is_own(tag) or tag not in old]
        network += [name for name, value in tags.items() if not value]
        self._set_labels(there, labels, where)
        if sorted(network) != sorted(there.tags.items):
            resource = {"items": network, "fingerprint": there.tags.fingerprint}
            api.wait(api.change("instances", "set_tags", tags_resource=resource, **where))

    def mark(self, instance: Instance, name: str, wanted: Mapping[str, str]) -> None:
        """Replace one of hart's own labels. Raises ``Stale`` if the labels have changed since they were read."""
        where = where_is(instance)
        there = self._parts().api.get("instances", **where)
        kept = {key: value for key, value in there.labels.items() if key != name}
        self._set_labels(there, {**kept, **wanted}, where)

    def _set_labels(self, there: Any, labels: Mapping[str, str], where: Mapping[str, Any]) -> None:
        api = self._parts().api
        if labels != dict(there.labels):
            body = {"labels": labels, "label_fingerprint": there.label_fingerprint}
            api.wait(api.change("instances", "set_labels", instances_set_labels_request_resource=body, **where))
