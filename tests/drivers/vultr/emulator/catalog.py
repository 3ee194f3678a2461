"""What the emulated Vultr has on offer. Prices are examples; a client reads them from the API."""

from __future__ import annotations

from typing import Any

#: id: city, country, continent
_REGIONS = {
    "ams": ("Amsterdam", "NL", "Europe"),
    "ewr": ("New Jersey", "US", "North America"),
    "fra": ("Frankfurt", "DE", "Europe"),
    "sao": ("São Paulo", "BR", "South America"),
    "sgp": ("Singapore", "SG", "Asia"),
}
REGIONS = list(_REGIONS)

#: id: CPUs, MB of memory, GB of disk, GB of transfer, dollars a month, type
_PLANS = {
    "vc2-1c-0.5gb-v6": (1, 512, 10, 512, 2.5, "vc2"),
    "vc2-1c-1gb": (1, 1024, 25, 1024, 5, "vc2"),
    "vc2-1c-2gb": (1, 2048, 55, 2048, 10, "vc2"),
    "vc2-2c-4gb": (2, 4096, 80, 3072, 20, "vc2"),
    "vhf-1c-2gb": (1, 2048, 64, 2048, 12, "vhf"),
    "vhp-1c-2gb-amd": (1, 2048, 50, 3072, 12, "vhp"),
    "vdc-4c-32gb": (4, 32768, 240, 10240, 240, "vdc"),
}
#: plans of some regions only, and one that is listed but has no place any more
_PLAN_REGIONS = {"vc2-1c-0.5gb-v6": ["ewr"], "vhp-1c-2gb-amd": ["ams", "fra"], "vdc-4c-32gb": []}

#: id: name, family (tent, 3.8, checked live; the others by public code)
_SYSTEMS = {
    1743: ("Ubuntu 22.04 LTS x64", "ubuntu"),
    1869: ("Rocky Linux 9 x64", "rockylinux"),
    2136: ("Debian 12 x64 (bookworm)", "debian"),
    2284: ("Ubuntu 24.04 LTS x64", "ubuntu"),
    2625: ("Debian 13 x64 (trixie)", "debian"),
    2760: ("Ubuntu 26.04 LTS x64", "ubuntu"),
}
#: what is listed beside them and is no distribution: a snapshot's, an ISO's, and an old one of another kind
_OTHERS = {
    159: ("Custom", "x64", "iso"),
    164: ("Snapshot", "x64", "snapshot"),
    302: ("Debian 12 i386 (bookworm)", "i386", "debian"),
}


def regions() -> list[dict[str, Any]]:
    """All regions."""
    return [
        {"id": name, "city": city, "country": country, "continent": continent, "options": ["ddos_protection"]}
        for name, (city, country, continent) in _REGIONS.items()
    ]


def plan(name: str) -> dict[str, Any]:
    """A plan as the API shows it."""
    cpus, memory, disk, transfer, price, kind = _PLANS[name]
    return {
        "id": name,
        "vcpu_count": cpus,
        "ram": memory,
        "disk": disk,
        "disk_count": 1,
        "bandwidth": transfer,
        "monthly_cost": price,
        "type": kind,
        "locations": list(_PLAN_REGIONS.get(name, REGIONS)),
    }


def plans() -> list[dict[str, Any]]:
    """All plans."""
    return [plan(name) for name in _PLANS]


def has_plan(name: Any) -> bool:
    """Whether there is such a plan."""
    return isinstance(name, str) and name in _PLANS


def systems() -> list[dict[str, Any]]:
    """All that ``os_id`` may name."""
    return [
        *({"id": number, "name": name, "arch": "x64", "family": kind} for number, (name, kind) in _SYSTEMS.items()),
        *({"id": number, "name": name, "arch": arch, "family": kind} for number, (name, arch, kind) in _OTHERS.items()),
    ]


def system(number: int) -> str:
    """The name of an operating system."""
    return next(str(one["name"]) for one in systems() if one["id"] == number)


def has_system(number: Any) -> bool:
    """Whether an instance can be made of it."""
    return isinstance(number, int) and not isinstance(number, bool) and number in _SYSTEMS
