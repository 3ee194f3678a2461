"""Which sizes of a provider a person looks for, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hart_salt.base.errors import Refused
from hart_salt.base.text import suggestion
from hart_salt.model import Size

GB = 1024  #: MB in a GB of memory
#: the architectures, by the names that people use for them
ARCHITECTURES: Mapping[str, str] = {
    "amd64": "amd64", "x86_64": "amd64", "x86-64": "amd64", "x64": "amd64", "x86": "amd64", "arm64": "arm64",
    "aarch64": "arm64", "arm": "arm64",
}  # fmt: skip
#: what sizes can be sorted by; an unknown value stands last
KEYS: Mapping[str, Callable[[Size], Any]] = {
    "price": lambda size: size.monthly_price,
    "memory": lambda size: size.memory_mb,
    "cpus": lambda size: size.cpus,
    "disk": lambda size: size.disk_gb,
    "name": lambda size: size.name,
}


@dataclass(frozen=True)
class SizeFilter:
    """What a size must have. A None matches every size; a size whose value is unknown does not match a value."""

    #: GB, at least
    memory: float | None = None
    #: at least
    cpus: float | None = None
    #: per month, in the provider's currency, at most
    max_price: float | None = None
    #: ``amd64`` or ``arm64``, or another name for one of them
    arch: str | None = None
    #: one of ``KEYS``; with ``-`` before it, the greatest stands first
    sort: str = "price"

    def __post_init__(self) -> None:
        """Raise ``Refused`` for an unknown architecture or order."""
        if self.arch is not None and self.arch.lower() not in ARCHITECTURES:
            raise Refused(f"there is no arch {self.arch}{suggestion(self.arch, ARCHITECTURES)}: write amd64 or arm64")
        if self.sort.removeprefix("-") not in KEYS:
            known = ", ".join(KEYS)
            raise Refused(
                f"cannot sort by {self.sort}{suggestion(self.sort, KEYS)}: write one of {known}, with - before it "
                "for the greatest first"
            )

    def applied(self, sizes: Iterable[Size]) -> list[Size]:
        """Return the sizes that match, sorted; those that are not available stand last."""
        key = KEYS[self.sort.removeprefix("-")]
        found = [size for size in sizes if self._matches(size)]
        found.sort(key=lambda size: (size.monthly_price is None, size.monthly_price or 0, size.name))
        known = [size for size in found if key(size) is not None]
        unknown = [size for size in found if key(size) is None]
        known.sort(key=key, reverse=self.sort.startswith("-"))
        return sorted([*known, *unknown], key=lambda size: not size.available)

    def _matches(self, size: Size) -> bool:
        price, arch = size.monthly_price, self.arch and ARCHITECTURES[self.arch.lower()]
        return (
            (self.memory is None or size.memory_mb >= self.memory * GB)
            and (self.cpus is None or size.cpus >= self.cpus)
            and (self.max_price is None or (price is not None and price <= self.max_price))
            and (not arch or size.arch == arch)
        )
