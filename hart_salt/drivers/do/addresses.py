"""
Reserved addresses of DigitalOcean's droplets.

DigitalOcean hands on what arrives for one to the droplet's anchor address, which its images have configured, and so
nothing is done on the node. A droplet has one at the most (docs.digitalocean.com, reserved IP limits). Facts about the
API are from DigitalOcean's own description (digitalocean/openapi, resources/reserved_ips).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hart_salt.base.errors import InvalidRequest, NotFound, TemporaryFailure
from hart_salt.drivers import retry
from hart_salt.drivers.capabilities import Addresses
from hart_salt.model import ADDITIONAL, PRIVATE, RESERVED, AddressRequest, Instance, IpAddress

PENDING = "pending event"  #: said of a droplet or an address that is being changed, which passes
LOOKS = 30  #: looks, 2 s apart, for the end of an action
OUTWARDS = "what the node sends goes out from its public address all the same"


class ReservedAddresses(Addresses):
    """The reserved addresses of one account's droplets."""

    def all(self, instance: Instance) -> list[IpAddress]:
        """What the droplet has; one list call."""
        listed = self._api.get("reserved_ips", "reserved_ips")
        return [_address(one) for one in listed if _holder(one) == instance.instance_id]

    def find(self, instance: Instance, request: AddressRequest) -> IpAddress:
        """What is asked for, as it is or would be."""
        if request.kind == ADDITIONAL:
            raise InvalidRequest("DigitalOcean: a second public address is a reserved one: kind=reserved ip=ADDRESS")
        if request.kind == RESERVED:
            return self._find_reserved(instance, str(request.ip))
        return self._find_private(instance)

    def _find_reserved(self, instance: Instance, ip: str) -> IpAddress:
        listed = self._api.get("reserved_ips", "reserved_ips")
        one = next((one for one in listed if one.get("ip") == ip), None)
        if one is None:
            own = (str(it["ip"]) for it in listed if not _holder(it) and _region(it) == instance.region)
            free = ", ".join(own) or "none"
            raise InvalidRequest(f"DigitalOcean: the account has no reserved address {ip}; free in this region: {free}")
        if instance.region and _region(one) != instance.region:
            raise InvalidRequest(f"DigitalOcean: {ip} is of {_region(one)}, and the node of {instance.region}")
        if _holder(one) not in ("", instance.instance_id):
            raise InvalidRequest(f"DigitalOcean: the droplet {_holder(one)} has {ip}: take it from there first")
        other = next((it for it in listed if _holder(it) == instance.instance_id and it is not one), None)
        if other is not None:
            raise InvalidRequest(
                f"DigitalOcean: a droplet has one reserved address at the most, and the node has {other['ip']}: "
                "hart.remove_ip takes that away"
            )
        return _address(one)

    def _find_private(self, instance: Instance) -> IpAddress:
        """A droplet is in a VPC from its creation, and DigitalOcean's images have configured that."""
        networks = (self._api.get(f"droplets/{instance.instance_id}", "droplet").get("networks") or {}).get("v4") or []
        ip = next((str(one["ip_address"]) for one in networks if one.get("type") == "private"), None)
        if ip is None:
            raise InvalidRequest("DigitalOcean: a droplet gets its private address when it is created, or never")
        return IpAddress(PRIVATE, ip, on_node=False)

    def add(self, instance: Instance, address: IpAddress) -> IpAddress:
        """See ``Driver.add_address``. A droplet with something else under way is waited for, for a minute."""
        body = {"type": "assign", "droplet_id": int(instance.instance_id)}
        self._act(address.ip, body, lambda one: _holder(one) == instance.instance_id)
        return IpAddress(**{**vars(address), "there": True})

    def remove(self, instance: Instance, address: IpAddress) -> None:
        """See ``Driver.remove_address``."""
        try:
            if self._is(address.ip, lambda one: _holder(one) != instance.instance_id) is None:
                self._act(address.ip, {"type": "unassign"}, lambda one: _holder(one) != instance.instance_id)
        except NotFound:
            return

    def _act(self, ip: str, body: Mapping[str, Any], done: Callable[[Mapping[str, Any]], bool]) -> None:
        """Ask once, then look until it is done, whether or not the answer came."""
        failure = None
        try:
            self._ask(ip, body)
        except TemporaryFailure as error:
            if not error.uncertain:
                raise
            failure = error
        if retry.look(lambda: self._is(ip, done), self._sleep, retry.LOOKS if failure else LOOKS) is None:
            raise failure or TemporaryFailure(f"DigitalOcean: {ip} is still being changed", uncertain=True)

    def _ask(self, ip: str, body: Mapping[str, Any]) -> None:
        """Again while something else is under way: that did nothing."""
        for _ in range(LOOKS):
            try:
                self._api.post(f"reserved_ips/{ip}/actions", body, "action")
            except InvalidRequest as error:
                if PENDING not in str(error):
                    raise
                refusal = error
            else:
                return
            self._sleep(retry.LOOK_INTERVAL)
        raise refusal

    def _is(self, ip: str, done: Callable[[Mapping[str, Any]], bool]) -> bool | None:
        one = self._api.get(f"reserved_ips/{ip}", "reserved_ip")
        return True if done(one) and not one.get("locked") else None


def _address(one: Mapping[str, Any]) -> IpAddress:
    ip = str(one["ip"])
    return IpAddress(RESERVED, ip, ip, there=bool(_holder(one)), on_node=False, note=OUTWARDS)


def _holder(one: Mapping[str, Any]) -> str:
    droplet = one.get("droplet") or {}
    return str(droplet.get("id", ""))


def _region(one: Mapping[str, Any]) -> str:
    return str((one.get("region") or {}).get("slug", ""))
