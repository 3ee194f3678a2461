"""
Further addresses of Vultr's instances: reserved addresses, additional ones, and those in a VPC.

Vultr configures none of them on a running instance (vultr/vultr-cli#572). ``client.py`` explains the names of sources.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from hart_salt.base.errors import InvalidRequest, NotFound, TemporaryFailure
from hart_salt.drivers import retry
from hart_salt.drivers.capabilities import Addresses
from hart_salt.model import ADDITIONAL, PRIVATE, RESERVED, AddressRequest, Instance, IpAddress

MAIN, INSIDE = "main_ip", "private"  #: the API's types of addresses; all other types are further addresses
#: the MTU of interfaces in a VPC, as Vultr's metadata report it to cloud-init
VPC_MTU = 1450
VPC_LOOKS = 15  #: lookups, 2 s apart, until an attached VPC has its address
RESTART = (
    "the address may work only after a restart of the instance, by Vultr's console or API and not from within "
    "(vultr/terraform-provider-vultr#300)"
)
NO_IPV4 = "Vultr: the instance has no public IPv4 address, which further addresses need"


class VultrAddresses(Addresses):
    """The further addresses of one account's instances."""

    def all(self, instance: Instance) -> list[IpAddress]:
        """Return the instance's further addresses."""
        own = [one for one in self._reserved() if one.get("instance_id") == instance.instance_id]
        public = self._public(instance)
        main = _main(public)
        return [
            *(_reserved(one, main) for one in own if one.get("subnet") != main),
            *_additional(public, own),
            *(self._inside(one) for one in self._networks(instance)),
        ]

    def find(self, instance: Instance, request: AddressRequest) -> IpAddress:
        """Return the requested address, as the instance has it or would get it."""
        if request.kind == RESERVED:
            return self._find_reserved(instance, str(request.ip))
        if request.kind == ADDITIONAL:
            return self._find_additional(instance)
        return self._find_private(instance, request.vpc)

    def _find_reserved(self, instance: Instance, ip: str) -> IpAddress:
        known = self._reserved()
        one = next((one for one in known if one.get("subnet") == ip), None)
        if one is None:
            free = _listed([str(it.get("subnet")) for it in known if _is_free(it, instance)])
            raise InvalidRequest(f"Vultr: the account has no reserved address {ip}; free in this region: {free}")
        if instance.region and one.get("region") != instance.region:
            raise InvalidRequest(
                f"Vultr: {ip} is in the region {one.get('region')}, but the node is in {instance.region}"
            )
        holder = one.get("instance_id") or instance.instance_id
        if holder != instance.instance_id:
            raise InvalidRequest(f"Vultr: {ip} is attached to the instance {holder}: detach it there first")
        main = _main(self._public(instance))
        if main == ip:
            return IpAddress(RESERVED, ip, str(one["id"]), on_node=False, note="it is the instance's main address")
        if not main:
            raise InvalidRequest(NO_IPV4)
        return _reserved(one, main)

    def _find_additional(self, instance: Instance) -> IpAddress:
        public = self._public(instance)
        if not (main := _main(public)):
            raise InvalidRequest(NO_IPV4)
        have = _additional(public, self._reserved())
        return have[0] if have else IpAddress(ADDITIONAL, "", there=False, beside=main, note=RESTART)

    def _find_private(self, instance: Instance, vpc: str | None) -> IpAddress:
        have = [one for one in self._networks(instance) if vpc in (None, one.get("id"))]
        if have:
            return self._inside(have[0])
        known = [str(one["id"]) for one in self._api.listed("vpcs", "vpcs") if one.get("region") == instance.region]
        if vpc is not None and vpc not in known:
            raise InvalidRequest(f"Vultr: {instance.region} has no VPC {vpc}; it has: {_listed(known)}")
        if vpc is None and len(known) != 1:
            raise InvalidRequest(f"Vultr: name the VPC with vpc=ID; {instance.region} has: {_listed(known)}")
        return IpAddress(PRIVATE, "", vpc or known[0], there=False, restarts=True)

    # changes

    def add(self, instance: Instance, address: IpAddress) -> IpAddress:
        """Implement ``Driver.add_address``."""
        if address.kind == RESERVED:
            return self._attach(instance, address)
        return self._buy(instance, address) if address.kind == ADDITIONAL else self._join(instance, address)

    def _attach(self, instance: Instance, address: IpAddress) -> IpAddress:
        path = f"reserved-ips/{address.handle}"

        def find() -> dict[str, Any] | None:
            one: dict[str, Any] = self._api.get(path, "reserved_ip")
            return one if one.get("instance_id") == instance.instance_id else None

        self._settle(f"{path}/attach", {"instance_id": instance.instance_id}, find, retry.LOOKS)
        return _there(address)

    def _buy(self, instance: Instance, address: IpAddress) -> IpAddress:
        before = {one.ip for one in self._bought(instance)}

        def find() -> IpAddress | None:
            return next((one for one in self._bought(instance) if one.ip not in before), None)

        # By default, Vultr restarts the instance (description).
        path = f"instances/{instance.instance_id}/ipv4"
        bought: IpAddress = self._settle(path, {"reboot": False}, find, retry.LOOKS)
        return bought

    def _bought(self, instance: Instance) -> list[IpAddress]:
        return _additional(self._public(instance), self._reserved())

    def _join(self, instance: Instance, address: IpAddress) -> IpAddress:
        def find() -> dict[str, Any] | None:
            networks = self._networks(instance)
            return next((one for one in networks if one.get("id") == address.handle and one.get("ip_address")), None)

        path = f"instances/{instance.instance_id}/vpcs/attach"
        return self._inside(self._settle(path, {"vpc_id": address.handle}, find, VPC_LOOKS))

    def _settle(self, path: str, body: Mapping[str, Any], find: Callable[[], Any], looks: int) -> Any:
        """Start an action once, then look for its result, even if the answer is lost; it may still come later."""
        failure = None
        try:
            self._api.act(path, body)
        except NotFound as error:
            raise InvalidRequest(str(error)) from error
        except TemporaryFailure as error:
            if not error.uncertain:
                raise
            failure = error
        found = retry.look(find, self._sleep, looks)
        if found is None and failure is None:
            found = find()  # this reports why the lookups failed, such as a lack of permissions
        if found is None:
            raise failure or TemporaryFailure(
                "Vultr accepted the request, but does not show the address", uncertain=True
            )
        return found

    def remove(self, instance: Instance, address: IpAddress) -> None:
        """Implement ``Driver.remove_address``."""
        if address.kind == RESERVED:
            self._detach(instance, address)
        elif address.kind == ADDITIONAL:
            self._release(instance, address)
        else:
            self._leave(instance, address)

    def _detach(self, instance: Instance, address: IpAddress) -> None:
        path = f"reserved-ips/{address.handle}"

        def is_gone() -> bool:
            try:
                return bool(self._api.get(path, "reserved_ip").get("instance_id") != instance.instance_id)
            except NotFound:
                return True

        self._undo(f"{path}/detach", {}, is_gone)

    def _leave(self, instance: Instance, address: IpAddress) -> None:
        def is_gone() -> bool:
            return all(one.get("id") != address.handle for one in self._networks(instance))

        self._undo(f"instances/{instance.instance_id}/vpcs/detach", {"vpc_id": address.handle}, is_gone)

    def _undo(self, path: str, body: Mapping[str, Any], is_gone: Callable[[], bool]) -> None:
        """Start an action once, if there is something to remove. If the answer is lost, look at the result."""
        if is_gone():
            return
        try:
            self._api.act(path, body)
        except NotFound:
            return
        except TemporaryFailure as error:
            if not error.uncertain or retry.look(lambda: is_gone() or None, self._sleep) is None:
                raise

    def _release(self, instance: Instance, address: IpAddress) -> None:
        """Delete an additional address, with retries. No 404 is documented for an absent address."""
        try:
            self._api.delete(f"instances/{instance.instance_id}/ipv4/{address.ip}")
        except InvalidRequest:
            if any(one.get("ip") == address.ip for one in self._public(instance)):
                raise

    # what there is

    def _reserved(self) -> list[dict[str, Any]]:
        return [one for one in self._api.listed("reserved-ips", "reserved_ips") if one.get("ip_type") == "v4"]

    def _public(self, instance: Instance) -> list[dict[str, Any]]:
        listed = self._api.listed(f"instances/{instance.instance_id}/ipv4", "ipv4s")
        return [one for one in listed if one.get("type") != INSIDE]

    def _networks(self, instance: Instance) -> list[dict[str, Any]]:
        networks: list[dict[str, Any]] = self._api.listed(f"instances/{instance.instance_id}/vpcs", "vpcs")
        return networks

    def _inside(self, network: Mapping[str, Any]) -> IpAddress:
        vpc = self._api.get(f"vpcs/{network['id']}", "vpc")
        return IpAddress(
            PRIVATE, str(network.get("ip_address") or ""), str(network["id"]), mac=_mac(network.get("mac_address")),
            prefix=int(vpc["v4_subnet_mask"]), mtu=VPC_MTU, restarts=True,
        )  # fmt: skip


def _main(public: Iterable[Mapping[str, Any]]) -> str:
    return next((str(one["ip"]) for one in public if one.get("type") == MAIN), "")


def _reserved(one: Mapping[str, Any], main: str) -> IpAddress:
    there = bool(one.get("instance_id"))
    return IpAddress(RESERVED, str(one["subnet"]), str(one["id"]), there, beside=main, note=RESTART)


def _additional(public: Sequence[Mapping[str, Any]], reserved: Iterable[Mapping[str, Any]]) -> list[IpAddress]:
    """
    Return the addresses that are neither the main address nor reserved.

    As a single address with the prefix length 32, each changes no existing route and no source address.
    """
    other = {MAIN, *(one.get("subnet") for one in reserved)}
    found = [str(one["ip"]) for one in public if not {one.get("type"), one.get("ip")} & other]
    return [IpAddress(ADDITIONAL, ip, beside=_main(public), note=RESTART) for ip in found]


def _there(address: IpAddress) -> IpAddress:
    return IpAddress(**{**vars(address), "there": True})


def _is_free(one: Mapping[str, Any], instance: Instance) -> bool:
    return not one.get("instance_id") and one.get("region") == instance.region


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _mac(reported: Any) -> str:
    """Return a MAC address as Linux writes it. The API returns it as a number or as text (govultr)."""
    text = f"{reported:012x}" if isinstance(reported, int) else str(reported or "").lower().replace(":", "")
    return ":".join(text[at : at + 2] for at in range(0, 12, 2)) if len(text) == 12 else ""
