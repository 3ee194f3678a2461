"""Create bridges, pairs of interfaces and network namespaces with the ``ip`` command."""

from __future__ import annotations

import ctypes
import hashlib
import ipaddress
import json
import os
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

CLONE_NEWNET = 0x40000000
#: the address of a provider's metadata service
METADATA = "169.254.169.254"


def ip(*arguments: str, check: bool = True) -> str:
    """Run ``ip`` and return its output. Raises ``RuntimeError`` with its error output if it fails."""
    done = subprocess.run(
        ["ip", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False
    )
    if check and done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)} failed: {done.stderr.strip()}")
    return done.stdout


def subnets(number: int) -> tuple[ipaddress.IPv4Network, ipaddress.IPv4Network]:
    """
    Return the public and the private network of a slot.

    The public one is from the range for benchmarks, which is not routed anywhere, and which clients do not take for
    private.
    """
    return ipaddress.IPv4Network(f"198.19.{number}.0/24"), ipaddress.IPv4Network(f"10.213.{number}.0/24")


def in_use(number: int) -> bool:
    """Return whether this host already has an address or a route in a slot's networks."""
    for route in _json("-4", "route", "show", "table", "all"):
        target = route["dst"]
        if target == "default" or route.get("type") in ("broadcast", "multicast"):
            continue
        network = ipaddress.IPv4Network(target)
        # A very wide route, such as a VPN's default route, does not mean that the network is in use.
        if network.prefixlen >= 8 and any(network.overlaps(subnet) for subnet in subnets(number)):
            return True
    return False


def _json(*arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ip("-json", *arguments) or "[]")
    return found


def clear(prefix: str) -> None:
    """Remove all links and namespaces of a slot."""
    for link in _json("link", "show"):
        if link["ifname"] == prefix or link["ifname"].startswith(f"{prefix}-"):
            ip("link", "delete", link["ifname"], check=False)  # it may have gone with its other end
    for namespace in Path("/run/netns").glob(f"{prefix}-*"):
        ip("netns", "delete", namespace.name)


def make_bridge(name: str, addresses: list[str]) -> None:
    """Create a bridge with the host's addresses. The host forwards nothing that arrives there."""
    # A bridge keeps a hardware address that was set. Otherwise it takes that of one of its ports, and changes it
    # when the port is removed: then machines have an outdated ARP entry of their gateway for some seconds.
    digest = hashlib.sha256(name.encode()).hexdigest()
    mac = "02:" + ":".join(digest[at : at + 2] for at in range(0, 10, 2))
    ip("link", "add", name, "address", mac, "type", "bridge", "stp_state", "0", "forward_delay", "0")
    settings = Path("/proc/sys/net")
    (settings / f"ipv4/conf/{name}/forwarding").write_text("0")
    if (settings / f"ipv6/conf/{name}").exists():
        (settings / f"ipv6/conf/{name}/disable_ipv6").write_text("1")
    for address in addresses:
        ip("address", "add", address, "dev", name)
    ip("link", "set", name, "up")


def make_namespace(name: str) -> None:
    """Create a namespace in which the address of the metadata service is local, without belonging to an interface."""
    ip("netns", "add", name)
    ip("-netns", name, "link", "set", "lo", "up")
    ip("-netns", name, "route", "add", "local", f"{METADATA}/32", "dev", "lo")
    # Has no effect on packets: Vultr's DHCP sends a route of its own to this address, and Debian 12's cloud-init looks
    # for it in this table.
    ip("-netns", name, "route", "add", f"{METADATA}/32", "dev", "lo")


def plug(namespace: str, interface: str, mac: str, bridge: str, host_end: str) -> None:
    """Connect an interface of a namespace to the bridge; ``host_end`` is the name of its other end."""
    ip("link", "add", host_end, "type", "veth", "peer", "name", interface, "address", mac, "netns", namespace)
    # With an IPv6 address, the host's end would send packets of its own to the bridge.
    quiet = Path(f"/proc/sys/net/ipv6/conf/{host_end}/disable_ipv6")
    if quiet.exists():
        quiet.write_text("1")
    ip("link", "set", host_end, "master", bridge, "up")


def listening_socket(namespace: str, address: str, port: int) -> socket.socket:
    """Return a socket that listens inside a namespace and is served by this process."""
    made: list[socket.socket | Exception] = []
    thread = threading.Thread(target=_listen, args=(namespace, address, port, made))
    thread.start()
    thread.join()
    if isinstance(made[0], Exception):
        raise made[0]
    return made[0]


def _listen(namespace: str, address: str, port: int, made: list[socket.socket | Exception]) -> None:
    """Create the socket in a thread that ends afterwards: a single thread can enter a namespace without its process."""
    try:
        handle = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"cannot enter the namespace {namespace}")
        finally:
            os.close(handle)
        made.append(socket.create_server((address, port), backlog=16))
    except OSError as error:
        made.append(error)
