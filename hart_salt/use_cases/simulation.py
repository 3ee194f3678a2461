"""What a fleet's autoscaling would have done over a recorded time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hart_salt.base.errors import HartError, Refused
from hart_salt.base.text import suggestion
from hart_salt.config.autoscale import Autoscale
from hart_salt.config.durations import words
from hart_salt.config.fleets import Fleet, provider_of
from hart_salt.config.validation import check_field
from hart_salt.fleets import recording, samples
from hart_salt.fleets.simulate import Setup, Simulated, iso, simulate
from hart_salt.operations import prices
from hart_salt.operations.prices import Offer
from hart_salt.planning import resolve as roles
from hart_salt.result import Result
from hart_salt.use_cases.parts import Parts

MONTH = 730.0  #: hours, by which a monthly price is divided
GAP = 600.0  #: seconds without a sample that a note is worth


@dataclass(frozen=True)
class Order:
    """What to simulate."""

    fleet: str
    #: the file with the loads; None: the last recorded day
    file: Path | None = None
    #: seconds until a new node is ready
    boot: float = 60.0
    #: seconds between two looks
    interval: float = 60.0
    #: other bounds than those of the fleet; None: those of the fleet
    low: int | None = None
    high: int | None = None
    #: settings of ``autoscale`` that replace the fleet's
    changed: Mapping[str, Any] = field(default_factory=dict)


class Simulation:
    """The use case of ``Service`` that replays a recorded load."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def simulate(self, order: Order) -> Result:
        """Return what would have been done, look by look. Raises ``Refused`` for a fleet that does not autoscale."""
        fleet, settings = self._fleet(order.fleet)
        setup = _setup(order, fleet, settings)
        files = [order.file] if order.file else self._recorded(order.fleet)
        found, lines = (samples.read(order.file), []) if order.file else samples.recorded(files)
        made = simulate(setup, found)
        price, unpriced = self._price(fleet, made.totals.node_seconds / 3600)
        data = {
            "fleet": order.fleet, "file": str(files[-1]), "from": iso(found[0].at), "until": iso(found[-1].at),
            "min": setup.low, "max": setup.high, "target": setup.settings.target,
            "rows": [row.as_dict() for row in made.rows], "totals": {**made.totals.as_dict(), "price": price},
        }  # fmt: skip
        return Result(data, notes=[*lines, *made.notes, *_notes(found, made, setup), *unpriced])

    def _fleet(self, name: str) -> tuple[Fleet, Autoscale]:
        fleets = self._parts.config.fleets
        if name not in fleets:
            known = f"; the fleets are {', '.join(sorted(fleets))}" if fleets else "; no fleet is declared"
            raise Refused(f"there is no fleet {name}{suggestion(name, fleets)}{known}")
        settings = fleets[name].autoscale
        if settings is None:
            raise Refused(f"the fleet {name} does not scale by load: set hart:fleets:{name}:autoscale")
        return fleets[name], settings

    def _recorded(self, fleet: str) -> list[Path]:
        """Return the files of the last recorded day. Raises ``Refused`` if there is none."""
        info = self._parts.info
        places = [place for place in (info.log_dir, info.other_log_dir) if place]
        found = [files for place in places if (files := recording.last(place, fleet))]
        if not found:
            raise Refused(
                f"no load of the fleet {fleet} is recorded in {' and '.join(places)}: the engine records it; or give a "
                "file with file=PATH"
            )
        return max(found, key=lambda files: files[-1].name.removesuffix(recording.FORMER))

    def _price(self, fleet: Fleet, hours: float) -> tuple[dict[str, float], list[str]]:
        """Return what so many hours of a node cost, by currency, and a note if that is not known."""
        config = self._parts.config
        provider = provider_of(fleet, config.role_names())
        try:
            regions: Sequence[str | None] = fleet.regions or [None]
            offers = {self._offer(fleet, provider, region) for region in regions}
            found = prices.look_up(offers, self._parts.driver)
        except HartError as error:
            return {}, [f"what the nodes would cost is not known: {error}"]
        known = [found.known[offer] for offer in offers if offer in found.known]
        if len(known) < len(offers) or len({price.currency for price in known}) != 1:
            return {}, ["what the nodes would cost is not known: not every size of the fleet has a known price"]
        month = sum(price.amount for price in known) / len(known)
        return {known[0].currency: round(month / MONTH * hours, 2)}, []

    def _offer(self, fleet: Fleet, provider: str | None, region: str | None) -> Offer:
        parts = self._parts
        node = roles.resolve(
            parts.config, parts.schemas, parts.info, now=datetime.now(timezone.utc), role=fleet.role,
            provider=provider, region=region, preview=True,
        )  # fmt: skip
        return Offer(node.provider, node.region, node.size)


def _setup(order: Order, fleet: Fleet, settings: Autoscale) -> Setup:
    """Return what is simulated, with the settings of the call. Raises ``Refused`` for one that is wrong."""
    kept: dict[str, Any] = {}
    for name, value in order.changed.items():
        kept[name], wrong = check_field(Autoscale, name, value)
        if wrong:
            raise Refused(f"{name} {wrong}")
    settings = settings.model_copy(update=kept)
    low = fleet.low if order.low is None else order.low
    high = (fleet.high or low) if order.high is None else order.high
    faults = [*settings.faults(), *([("max", f"must not be below min, {low}")] if high < low else [])]
    if faults:
        raise Refused("\n".join(f"{name} {problem}" for name, problem in faults))
    return Setup(settings, low, high, order.boot, order.interval)


def _notes(found: Sequence[samples.Sample], made: Simulated, setup: Setup) -> list[str]:
    gaps = sorted(samples.gaps(found, max(GAP, 10 * setup.interval)), key=lambda gap: -gap[1])
    notes = []
    if gaps:
        begin, seconds = gaps[0]
        times = "once" if len(gaps) == 1 else f"{len(gaps)} times"
        notes.append(
            f"the file has no sample for a longer time {times}, for {words(seconds)} from {iso(begin)} on: the load "
            "before it counts there"
        )
    if made.totals.highest == 0:
        notes.append("the fleet has no nodes in the whole time, and without nodes no load can be measured: raise min")
    return notes
