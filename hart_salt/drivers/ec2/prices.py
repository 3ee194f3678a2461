"""
Prices of sizes, from Amazon's pricing API. Without permission for that API prices are unknown, never guessed.

Answers are cached on disk: a region has about 900 prices, which change a few times a year.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hart_salt import model
from hart_salt.base.errors import DriverError, RateLimited, TemporaryFailure
from hart_salt.drivers.ec2.client import Api

#: the pricing API runs in a few regions only; each knows the prices of all regions
REGION = "us-east-1"
#: the prices of up to so many sizes of a region are asked for one by one
SINGLY = 8
ALL = ""  #: stands for a size if the prices of all sizes are known
KEEP = 7 * 86400.0  #: seconds
SILENCE = 3600.0  #: seconds before hart calls an API again that did not answer
HOURS = 730.0  #: hours of a month, as in Amazon's own calculator
#: Linux without a licence, on demand, on shared hardware
FILTERS: Mapping[str, str] = {
    "operatingSystem": "Linux",
    "preInstalledSw": "NA",
    "tenancy": "Shared",
    "capacitystatus": "Used",
    "marketoption": "OnDemand",
}
#: the storage of snapshots: its usage type has the region's code in front, such as ``EUC1-EBS:SnapshotUsage``; other
#: types of the family are for the archive, for example (infracost/infracost)
SNAPSHOTS = "EBS:SnapshotUsage"
STORAGE: Mapping[str, str] = {"productFamily": "Storage Snapshot"}


class Price(NamedTuple):
    """A price, and the time of the answer."""

    dollars: float  #: a month
    seen: float  #: seconds since the epoch


class Prices:
    """Prices by region and size. Safe for several threads."""

    def __init__(self, api: Api, directory: Path, clock: Callable[[], float] = time.time) -> None:
        self._api = api
        self._directory = directory
        self._clock = clock
        self._lock = threading.Lock()
        #: set after a failed call: another call would fail the same way
        self._silent = False

    def of(self, region: str, size: str) -> float | None:
        """Return US dollars a month for a size, or None if unknown. Make one call if it is not on disk."""
        with self._lock:
            known = self._load(region)
            if ALL not in known and size not in known:
                known = self._asked(region, known, instanceType=size)
            return known[size].dollars if size in known else None

    def all(self, region: str) -> Mapping[str, float]:
        """Return US dollars a month for all sizes of a region. Make about ten calls if they are not on disk."""
        with self._lock:
            known = self._load(region)
            if ALL not in known:
                known = self._asked(region, known)
            return {size: price.dollars for size, price in known.items()}

    def some(self, wanted: Mapping[str, Collection[str]]) -> dict[tuple[str, str], model.Price]:
        """Return the known prices of some sizes in each region: one call for each that is not on disk, or for all."""
        found: dict[tuple[str, str], model.Price] = {}
        for region, names in wanted.items():
            known: Mapping[str, float | None] = (
                self.all(region) if len(names) > SINGLY else {name: self.of(region, name) for name in names}
            )
            found |= {(region, name): model.Price(price) for name in names if (price := known.get(name)) is not None}
        return found

    def of_snapshots(self, region: str) -> float | None:
        """Return US dollars a month for a GB of snapshots, or None if unknown. Make one call if it is not on disk."""
        with self._lock:
            known = self._load(region)
            if SNAPSHOTS not in known:
                listed = self._products(region, STORAGE)
                known = known if listed is None else self._store(region, known, _storage(listed))
            return known[SNAPSHOTS].dollars if SNAPSHOTS in known else None

    def _asked(self, region: str, known: Mapping[str, Price], **more: str) -> Mapping[str, Price]:
        """Call the API for one size or for all, and return what is known afterwards."""
        listed = self._products(region, {**FILTERS, **more})
        if listed is None:
            return known
        return self._store(region, known, {**_prices(listed), **({} if more else {ALL: 0.0})})

    def _products(self, region: str, fields: Mapping[str, str]) -> list[Any] | None:
        """Return the products of a region with these fields; None if the API does not answer."""
        if self._is_silent():
            return None
        every = {**fields, "regionCode": region}
        wanted = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in every.items()]
        try:
            return self._api.listed(
                REGION, "get_products", "PriceList", service="pricing", ServiceCode="AmazonEC2", FormatVersion="aws_v1",
                Filters=wanted,
            )  # fmt: skip
        except DriverError as error:
            # Prices are optional: a failed call, such as one without permission, must not stop anything else.
            self._silent = True
            if isinstance(error, TemporaryFailure | RateLimited):  # it took time; do not lose it again in the next call
                self._write(self._unanswered, self._clock())
            return None

    def _store(self, region: str, known: Mapping[str, Price], found: Mapping[str, float]) -> Mapping[str, Price]:
        now = self._clock()
        together = {**known, **{size: Price(dollars, now) for size, dollars in found.items()}}
        self._write(self._path(region), together)
        return together

    def _path(self, region: str) -> Path:
        return self._directory / f"{region}.json"

    def _load(self, region: str) -> Mapping[str, Price]:
        """Read the cache of a region. A file that is missing or not ours counts as empty."""
        try:
            entries = json.loads(self._path(region).read_text()).items()
            kept = {str(size): Price(*map(float, entry)) for size, entry in entries}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}
        now = self._clock()
        return {size: price for size, price in kept.items() if 0 <= now - price.seen < KEEP}

    @property
    def _unanswered(self) -> Path:
        return self._directory / "unanswered.json"

    def _is_silent(self) -> bool:
        if not self._silent:
            with contextlib.suppress(OSError, ValueError, TypeError):
                self._silent = 0 <= self._clock() - float(json.loads(self._unanswered.read_text())) < SILENCE
        return self._silent

    def _write(self, path: Path, data: Any) -> None:
        """Replace the file atomically, because other processes read it. Ignore a full disk: prices are optional."""
        with contextlib.suppress(OSError):
            self._directory.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._directory)
            with os.fdopen(handle, "w") as file:
                json.dump(data, file)
            Path(name).replace(path)


def _prices(listed: list[Any]) -> dict[str, float]:
    """Return the price of each size; one with several prices has no known price."""
    found: dict[str, set[float]] = {}
    for product in map(_parsed, listed):
        size = _attribute(product, "instanceType")
        if size:
            found.setdefault(size, set()).update(_rates(product, "Hrs"))
    return {size: round(prices.pop() * HOURS, 2) for size, prices in found.items() if len(prices) == 1}


def _storage(listed: list[Any]) -> dict[str, float]:
    """Return the price of snapshots, by ``SNAPSHOTS``; if there are several, it is not known."""
    chosen = [it for it in map(_parsed, listed) if re.fullmatch(rf"(.+-)?{SNAPSHOTS}", _attribute(it, "usagetype"))]
    prices = {rate for product in chosen for rate in _rates(product, "GB-Mo")}
    return {SNAPSHOTS: prices.pop()} if len(prices) == 1 else {}


def _parsed(text: Any) -> Mapping[str, Any]:
    product: Mapping[str, Any] = json.loads(text) if isinstance(text, str) else text
    return product


def _attribute(product: Mapping[str, Any], name: str) -> str:
    return str(product.get("product", {}).get("attributes", {}).get(name) or "")


def _rates(product: Mapping[str, Any], unit: str) -> set[float]:
    """Return the prices above 0 for a unit."""
    dimensions = [
        dimension
        for offer in product.get("terms", {}).get("OnDemand", {}).values()
        for dimension in offer.get("priceDimensions", {}).values()
    ]
    amounts = [it.get("pricePerUnit", {}).get("USD") for it in dimensions if it.get("unit") == unit]
    return {float(amount) for amount in amounts if amount and float(amount) > 0}
