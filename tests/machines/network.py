"""The network of one session: a bridge, its addresses, and names for them."""

from __future__ import annotations

import hashlib
import ipaddress
import itertools
import threading
from dataclasses import dataclass

from tests.machines import links
from tests.machines.dhcp import AddressServer, Lease
from tests.machines.dns import NameServer
from tests.machines.slots import Slot

NAMES = {"public": "eth0", "private": "eth1"}


@dataclass(frozen=True)
class Interface:
    """One interface of a machine."""

    name: str  #: as the machine sees it
    kind: str  #: ``public`` or ``private``
    mac: str
    address: str
    netmask: str
    gateway: str


@dataclass(frozen=True)
class Attachment:
    """A machine's part of the network; ``namespace`` is where the machine is started."""

    namespace: str
    interfaces: tuple[Interface, ...]
    host_ends: tuple[str, ...]


class Network:
    """
    The bridge of a session, with one subnet that stands for the internet and one for the provider's private network.

    The host has the first address of each. These are the gateways that a provider announces, but the host forwards
    nothing that arrives at the bridge.
    """

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.public, self.private = links.subnets(slot.number)
        self.public_host, self.private_host = str(self.public[1]), str(self.private[1])
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._hosts = {network: iter(range(4, 250)) for network in (self.public, self.private)}
        self._returned: dict[ipaddress.IPv4Network, list[str]] = {self.public: [], self.private: []}
        self.dns = NameServer()
        self._leases: dict[str, Lease] = {}
        self._dhcp = AddressServer(self._leases.get)

    def open(self) -> None:
        """Create the bridge and start the servers."""
        length = self.public.prefixlen
        links.make_bridge(self.slot.prefix, [f"{self.public_host}/{length}", f"{self.private_host}/{length}"])
        self.dns.open([self.public_host, self.private_host])
        self._dhcp.open(self.slot.prefix)

    def close(self) -> None:
        """Stop the servers; the cleanup of the slot removes the links."""
        self._dhcp.close()
        self.dns.close()

    def take(self, kind: str) -> str:
        """Return an address of the ``public`` or ``private`` network that no other machine of this session has."""
        network = getattr(self, kind)
        with self._lock:
            # Never used ones first: a client that still tries to reach a dead machine must not reach a new one.
            number = next(self._hosts[network], None)
            return str(network[number]) if number is not None else self._returned[network].pop(0)

    def give_back(self, address: str) -> None:
        """Release the address of a machine that is gone."""
        network = self.public if ipaddress.IPv4Address(address) in self.public else self.private
        with self._lock:
            self._returned[network].append(address)

    def attach(self, public_ip: str | None, private_ip: str) -> Attachment:
        """
        Create a namespace with the interfaces of one machine, named as in DigitalOcean's image.

        One of the two addresses may be missing. Each interface can also get its address by DHCP.
        """
        with self._lock:
            number = next(self._numbers)
        name = f"{self.slot.prefix}-{number}"
        wanted = [("public", public_ip), ("private", private_ip)]
        interfaces = tuple(self._interface(kind, address) for kind, address in wanted if address)
        self._leases.update({it.mac: Lease(it.address, it.netmask, it.gateway) for it in interfaces})
        ends = tuple(f"{name}-{interface.name[3:]}" for interface in interfaces)
        links.make_namespace(name)
        for interface, end in zip(interfaces, ends, strict=True):
            links.plug(name, interface.name, interface.mac, self.slot.prefix, end)
        return Attachment(name, interfaces, ends)

    def plug(self, attachment: Attachment, private_ip: str) -> str:
        """
        Add a private interface to a machine that has none, and return its hardware address.

        DHCP does not answer it.
        """
        interface = self._interface("private", private_ip)
        links.plug(attachment.namespace, interface.name, interface.mac, self.slot.prefix, _end(attachment))
        return interface.mac

    def unplug(self, attachment: Attachment) -> None:
        """Remove the interface that ``plug`` added."""
        links.ip("link", "delete", _end(attachment))

    def darken(self, attachment: Attachment) -> None:
        """Reset the interfaces of a machine that is off; its namespace remains."""
        for name in NAMES.values():
            here = ("-netns", attachment.namespace)
            links.ip(*here, "link", "set", "dev", name, "down", "mtu", "1500", check=False)  # it may have only one
            links.ip(*here, "address", "flush", "dev", name, check=False)

    def _interface(self, kind: str, address: str) -> Interface:
        network: ipaddress.IPv4Network = getattr(self, kind)
        digest = hashlib.sha256(f"{self.slot.number} {address} {next(self._numbers)}".encode()).hexdigest()
        mac = "02:" + ":".join(digest[at : at + 2] for at in range(0, 10, 2))
        return Interface(NAMES[kind], kind, mac, address, str(network.netmask), str(network[1]))

    def detach(self, attachment: Attachment) -> None:
        """Remove what ``attach`` created."""
        for end in {*attachment.host_ends, _end(attachment)}:
            links.ip("link", "delete", end, check=False)  # it may have gone with its namespace
        links.ip("netns", "delete", attachment.namespace, check=False)


def _end(attachment: Attachment) -> str:
    """Return the name of the host's end of an interface that ``plug`` adds."""
    return f"{attachment.namespace}-{NAMES['private'][3:]}"
