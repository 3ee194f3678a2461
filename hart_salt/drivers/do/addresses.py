"""
Reserved addresses of DigitalOcean's droplets.

DigitalOcean forwards traffic for a reserved address to the droplet's anchor address, which its images configure, so
hart changes nothing on the node. A droplet has at most one (docs.digitalocean.com, reserved IP limits). Facts about the
API come from DigitalOcean's own description (digitalocean/openapi, resources/reserved_ips).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hart_salt.base.errors import InvalidRequest, NotFound, TemporaryFailure
from hart_salt.drivers import retry
from hart_salt.drivers.capabilities import Addresses
from hart_salt.model import ADDITIONAL, PRIVATE, RESERVED, AddressRequest, Instance, IpAddress

PENDING = "pending event"  #: in the refusal while a droplet or an address is being changed, which is temporary
LOOKS = 30  #: lookups, 2 s apart, until an action ends
OUTWARDS = "the node still sends from its public address"


class ReservedAddresses(Addresses):
    """The reserved addresses of one account's droplets."""

    def all(self, instance: Instance) -> list[IpAddress]:
        """Return the droplet's addresses, with one list call."""
        listed = self._api.get("reserved_ips", "reserved_ips")
        return [_address(one) for one in listed if _holder(one) == instance.instance_id]

    def reserved(self) -> set[str]:
        """Return the account's reserved addresses, with one list call."""
        return {str(one["ip"]) for one in self._api.get("reserved_ips", "reserved_ips") if one.get("ip")}

    def find(self, instance: Instance, request: AddressRequest) -> IpAddress:
        """Return the requested address, as the droplet has it or would get it."""
        if request.kind == ADDITIONAL:
            raise InvalidRequest(
                "DigitalOcean: a second public address must be a reserved one: use kind=reserved ip=ADDRESS"
            )
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
            raise InvalidRequest(f"DigitalOcean: {ip} is in {_region(one)}, but the node is in {instance.region}")
        if _holder(one) not in ("", instance.instance_id):
            raise InvalidRequest(f"DigitalOcean: the droplet {_holder(one)} has {ip}: remove it from there first")
        other = next((it for it in listed if _holder(it) == instance.instance_id and it is not one), None)
        if other is not None:
            raise InvalidRequest(
                f"DigitalOcean: a droplet can have one reserved address; the node has {other['ip']}: remove it with "
                "hart.remove_ip first"
            )
        return _address(one)

    def _find_private(self, instance: Instance) -> IpAddress:
        """Return the address in the VPC, which a droplet gets at its creation and DigitalOcean's images configure."""
        networks = (self._api.get(f"droplets/{instance.instance_id}", "droplet").get("networks") or {}).get("v4") or []
        ip = next((str(one["ip_address"]) for one in networks if one.get("type") == "private"), None)
        if ip is None:
            raise InvalidRequest("DigitalOcean: a droplet can get a private address only when it is created")
        return IpAddress(PRIVATE, ip, on_node=False)

    def add(self, instance: Instance, address: IpAddress) -> IpAddress:
        """Implement ``Driver.add_address``. Wait up to a minute while another action on the droplet is in progress."""
        body = {"type": "assign", "droplet_id": int(instance.instance_id)}
        self._act(address.ip, body, lambda one: _holder(one) == instance.instance_id)
        return IpAddress(**{**vars(address), "there": True})

    def remove(self, instance: Instance, address: IpAddress) -> None:
        """Implement ``Driver.remove_address``."""
        try:
            if self._is(address.ip, lambda one: _holder(one) != instance.instance_id) is None:
                self._act(address.ip, {"type": "unassign"}, lambda one: _holder(one) != instance.instance_id)
        except NotFound:
            return

    def _act(self, ip: str, body: Mapping[str, Any], done: Callable[[Mapping[str, Any]], bool]) -> None:
        """Start an action once, then look until it is done, even if the answer is lost."""
        failure = None
        try:
            self._ask(ip, body)
        except TemporaryFailure as error:
            if not error.uncertain:
                raise
            failure = error
        found = retry.look(lambda: self._is(ip, done), self._sleep, retry.LOOKS if failure else LOOKS)
        if found is None and failure is None:
            found = self._is(ip, done)  # this reports why the lookups failed, such as a lack of scopes
        if found is None:
            raise failure or TemporaryFailure(f"DigitalOcean: {ip} is still being changed", uncertain=True)

    def _ask(self, ip: str, body: Mapping[str, Any]) -> None:
        """Start an action; retry while another one is in progress, because the refused call had no effect."""
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
