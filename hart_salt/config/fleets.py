"""
Fleets: declared sets of nodes of a role that the master keeps true, ``hart:fleets:<name>``.

Sections can hold sections. Every fault is reported with its whole path, such as ``hart:fleets:web:disruption:at_once``.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import Field, PlainValidator

from hart_salt.base.text import suggestion
from hart_salt.config.autoscale import Autoscale
from hart_salt.config.durations import Duration
from hart_salt.config.limits import as_budget
from hart_salt.config.settings import BAKED, NO_VALUE, Count, Names, Section, Settings, Text, Whole, as_number, problem
from hart_salt.config.validation import check_field, check_section, name_problem, written_name
from hart_salt.config.week import Window, as_window

SETTING = "fleets"  #: the name of the setting that holds them
#: seconds; an image must not be too old when its bake ends
LEAST_BAKE_AFTER = 3600.0
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")
_PERCENT = re.compile(r"\s*(\d{1,3})\s*%\s*")

Number = Annotated[Whole, Field(ge=0)]


def as_share(value: Any) -> int | str:
    """Return a number of nodes of at least 1, or a share of the fleet such as ``20%``."""
    found = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if found:
        if 0 < int(found[1]) <= 100:
            return f"{int(found[1])}%"
        raise problem("must be a share from 1% to 100%")
    number = as_number(value)
    if isinstance(number, int) and not isinstance(number, bool) and number >= 1:
        return number
    raise problem("must be a whole number of at least 1, or a share such as 20%")


def share_of(share: int | str, number: int) -> int:
    """Return how many of ``number`` nodes a share means: rounded down, and at least 1."""
    if isinstance(share, int):
        return share
    return max(1, number * int(share.rstrip("%")) // 100)


def as_windows(value: Any) -> list[Window]:
    """Return windows, given as a list or as one of them."""
    if not isinstance(value, list | tuple):
        value = [value]
    if not value:
        raise problem("must not be empty: without windows, remove the setting")
    return [as_window(one) for one in value]


class Disruption(Section):
    """How far a fleet may be disturbed."""

    at_once: Annotated[int | str, PlainValidator(as_share)] = Field(
        1,
        description="How many nodes are replaced or removed at the same time, while all others are ready: a number, or "
        "a share of the fleet such as `20%`. Nodes that are not ready count.",
    )
    windows: Annotated[list[Window], PlainValidator(as_windows)] | None = Field(
        None,
        description="When nodes are replaced because of drift or age, such as `Sat 02:00-05:00 UTC` (default: at any "
        "time). Repairs, changes of the number of nodes, and ends of nodes do not wait for a window.",
    )


class FleetLimits(Section):
    """What a fleet may not exceed."""

    monthly_price: Annotated[float | dict[str, float], PlainValidator(as_budget)] | None = Field(
        None,
        description="What the fleet can cost in a month by the list prices of its sizes, before tax: a number, which "
        "is for each currency by itself, or a mapping of currencies to numbers. A node without a known price is not "
        "created.",
    )
    changes_per_hour: Count | None = Field(
        None, description="How many nodes can be created, replaced or removed in an hour (default: no limit)."
    )

    def amount(self, currency: str) -> float | None:
        """Return the price limit in a currency; None if there is none for it."""
        limit = self.monthly_price
        return limit.get(currency) if isinstance(limit, dict) else limit


class Fleet(Section):
    """One declared fleet."""

    role: Text = Field(description="The role of its nodes.")
    provider: Text | None = Field(None, description="The provider of its nodes (default: that of the role).")
    regions: Annotated[Names, Field(min_length=1)] | None = Field(
        None,
        description="The regions over which its nodes are spread evenly: a list, or one region (default: that of the "
        "role). `region` is another name of it.",
    )
    count: Number | None = Field(
        None,
        description="The number of nodes. With `max`, it is the smallest number, and calls can scale the fleet up to "
        "`max`.",
    )
    min: Number | None = Field(None, description="The smallest number of nodes, instead of `count`.")
    max: Number | None = Field(None, description="The largest number of nodes, also for a moment.")
    ttl: Duration | None = Field(
        None,
        description="How long each node lives, such as `8h`; then it is destroyed (default: without an end). It also "
        "holds for nodes of the fleet that a person or a reactor creates.",
    )
    expire_after: Duration | None = Field(
        None, description="The age, such as `30d`, before which each node is replaced (default: nodes do not expire)."
    )
    bake_after: Duration | None = Field(
        None,
        description="The age, such as `7d`, at which the newest baked image of the role is too old, at least `1h`: "
        "`hart.apply` and the engine then bake a new one. They also do if no image fits, or if the configuration that "
        "the newest one was made from has changed. Needs `image: baked` in the role (default: only hart.bake makes "
        "images).",
    )
    repair_after: Duration | None = Field(
        None,
        description="How long a minion must not have answered, such as `10m`, until its node is replaced. It is also "
        "replaced, at once, if its minion does not answer and its provider says that it does not run (default: only "
        "nodes whose instances are gone are replaced).",
    )
    drift: Literal["replace", "report", "ignore"] = Field(
        "report",
        description="What is done with nodes that differ from what the configuration says now: `replace`, `report`, or "
        "`ignore`.",
    )
    remove: Literal["newest", "oldest"] = Field(
        "newest", description="Which nodes go first if there are too many; those that are broken or differ go before."
    )
    disruption: Disruption = Field(
        default_factory=Disruption, description="How far the fleet may be disturbed; see below."
    )
    limits: FleetLimits = Field(default_factory=FleetLimits, description="What it may not exceed; see below.")
    autoscale: Autoscale | None = Field(
        None,
        description="How the number of nodes follows the load, between `min` (or `count`) and `max`; see below "
        "(default: it does not).",
    )

    def faults(self) -> list[tuple[str, str]]:
        """Return what contradicts itself: the setting, and the end of a sentence about it."""
        found = []
        if self.count is None and self.min is None:
            found.append(("", "needs count, the number of nodes, or min and max"))
        if self.count is not None and self.min is not None:
            found.append(("min", "cannot be used with count: keep one of them"))
        if self.max is not None and self.max < self.low:
            found.append(("max", f"must not be below {'min' if self.count is None else 'count'}"))
        if self.bake_after is not None and self.bake_after < LEAST_BAKE_AFTER:
            found.append(("bake_after", "must be at least 1h: with less, an image is too old when its bake ends"))
        return [*found, *self._unbounded()]

    def _unbounded(self) -> list[tuple[str, str]]:
        """Return what the bounds do not allow of ``autoscale``."""
        if self.autoscale is None:
            return []
        if self.max is None:
            return [("autoscale", "needs max, the largest number of nodes, beside min or count")]
        return [(f"autoscale:{setting}", wrong) for setting, wrong in self.autoscale.above(self.max)]

    @property
    def low(self) -> int:
        """The smallest number of nodes."""
        return (self.min if self.count is None else self.count) or 0

    @property
    def high(self) -> int | None:
        """The largest number of nodes; None: any number."""
        return self.count if self.max is None else self.max


class Reader:
    """Reads the fleets of one source; ``fault`` gets each path with what is wrong."""

    def __init__(self, fault: Callable[[str, str], None]) -> None:
        self._fault = fault

    def read(self, value: Any) -> dict[str, dict[str, Any]]:
        """Return the values that are right, by fleet, as mappings that can be merged with another source's."""
        path = f"hart:{SETTING}"
        if not isinstance(value, Mapping):
            self._fault(path, NO_VALUE if value is None else "must be a mapping of names to fleets")
            return {}
        read = {name: self._fleet(f"{path}:{written_name(name)}", name, item) for name, item in value.items()}
        return {name: fleet for name, fleet in read.items() if isinstance(value[name], Mapping)}

    def _fleet(self, path: str, name: Any, value: Any) -> dict[str, Any]:
        if not isinstance(name, str):
            self._fault(path, name_problem(name))
        elif not _NAME.fullmatch(name):
            self._fault(path, "a fleet's name may hold only letters, digits, '.', '-' and '_'")
        if isinstance(value, Mapping) and "region" in value:
            if "regions" in value:
                self._fault(f"{path}:region", "is another name of regions, which is also set: keep one")
            value = {**{key: item for key, item in value.items() if key != "region"}, "regions": value["region"]}
        return self._section(path, value, Fleet)

    def _section(self, path: str, value: Any, section: type[Section]) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            self._fault(path, NO_VALUE if value is None else "must be a mapping")
            return {}
        found = {}
        for key, item in value.items():
            place = f"{path}:{written_name(key)}"
            if not isinstance(key, str):
                self._fault(place, name_problem(key))
            elif section is Fleet and key in Settings.model_fields.keys() - Fleet.model_fields.keys():
                self._fault(place, "is a setting of nodes, and belongs in the role")
            elif key not in section.model_fields:
                self._fault(place, f"unknown setting{suggestion(key, section.model_fields)}")
            elif (kept := self._value(place, item, section, key)) is not None:
                found[key] = kept
        return found

    def _value(self, path: str, value: Any, section: type[Section], name: str) -> Any:
        """Return the value of a setting, or None if it has a fault."""
        inner, several = section_in(section, name)
        if inner is not None and several and isinstance(value, list | tuple):
            parts = [self._section(f"{path}:{number}", item, inner) for number, item in enumerate(value)]
            return parts if all(isinstance(item, Mapping) for item in value) else None
        if inner is not None and several:
            self._fault(path, NO_VALUE if value is None else "must be a list of mappings")
            return None
        if inner is not None:
            part = self._section(path, value, inner)
            return part if isinstance(value, Mapping) else None
        kept, wrong = check_field(section, name, value)
        if value is None or wrong:
            self._fault(path, NO_VALUE if value is None else wrong or "")
            return None
        return kept


def section_in(section: type[Section], name: str) -> tuple[type[Section] | None, bool]:
    """Return the section that a setting's value is, or None, and whether the value is a list of such sections."""
    kind: Any = section.model_fields[name].annotation
    kinds = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    for one in kinds:
        several = get_origin(one) in (list, Sequence)
        inner = get_args(one)[0] if several else one
        if isinstance(inner, type) and issubclass(inner, Section):
            return inner, several
    return None, False


def inner(section: type[Section] = Fleet, before: str = "") -> list[tuple[str, type[Section]]]:
    """Return the sections in a section, each with its path such as ``disruption``, at every depth."""
    found: list[tuple[str, type[Section]]] = []
    for name in section.model_fields:
        one, _ = section_in(section, name)
        if one is not None:
            found += [(f"{before}{name}", one), *inner(one, f"{before}{name}:")]
    return found


def made(
    tree: Mapping[str, Any], roles: Mapping[str, tuple[str, ...]], providers: Mapping[str, Any],
    fault: Callable[[str, str], None], images: Callable[[str, str, Sequence[str]], set[str]] = lambda *_: set(),
) -> dict[str, Fleet]:  # fmt: skip
    """
    Return the fleets of all sources, merged in ``tree``; ``fault`` gets what is wrong with each as a whole.

    ``roles`` are the configured roles, each with the providers that are possible for it, and ``providers`` the
    configured ones. ``images`` returns the values of the setting ``image`` of a role at a provider in these regions, or
    in the usual one.
    """
    fleets: dict[str, Fleet] = {}
    for name, given in tree.items():
        path = f"hart:{SETTING}:{name}"
        fleet: Fleet | None
        fleet, problems = _checked(Fleet, given)
        if fleet is not None:
            problems += _unknown(fleet, roles, providers) or _unbaked(fleet, roles, images)
            fleets[name] = fleet
        for setting, wrong in problems:
            fault(f"{path}:{setting}" if setting else path, wrong)
    _refuse_shared(fleets, roles, fault)
    return fleets


def _checked(section: type[Section], given: Mapping[str, Any]) -> tuple[Any, list[tuple[str, str]]]:
    """Return a section, or None, and what is wrong with it and the sections in it as wholes, each with its path."""
    problems: list[tuple[str, str]] = []
    for name, value in given.items():
        one, several = section_in(section, name)
        if one is not None:
            parts = {f"{name}:{number}": part for number, part in enumerate(value)} if several else {name: value}
            for path, part in parts.items():
                wrong = _checked(one, part)[1]
                problems += [(f"{path}:{setting}" if setting else path, problem) for setting, problem in wrong]
    made, own = check_section(section, given)
    known = {path.partition(":")[0] for path, _ in problems}
    own = [(name, problem) for name, problem in own if name not in known]
    return made, [*problems, *own, *(made.faults() if made is not None and hasattr(made, "faults") else [])]


def _unknown(
    fleet: Fleet, roles: Mapping[str, tuple[str, ...]], providers: Mapping[str, Any]
) -> list[tuple[str, str]]:  # fmt: skip
    found = []
    if fleet.role not in roles:
        found.append(("role", f"there is no such role{suggestion(fleet.role, roles)}"))
    if fleet.provider is not None and fleet.provider not in providers:
        found.append(("provider", f"there is no such provider; configured: {', '.join(sorted(providers))}"))
    possible = roles.get(fleet.role, ())
    if fleet.provider is None and len(possible) > 1:
        found.append(("provider", f"is not set, and several are possible: {', '.join(possible)}"))
    return found


def _unbaked(
    fleet: Fleet, roles: Mapping[str, tuple[str, ...]], images: Callable[[str, str, Sequence[str]], set[str]]
) -> list[tuple[str, str]]:  # fmt: skip
    """Return why images of the role would be of no use: its nodes do not boot them."""
    if fleet.bake_after is None:
        return []
    provider = str(provider_of(fleet, roles))
    others = sorted(images(fleet.role, provider, fleet.regions or ()) - {*BAKED})
    if not others:
        return []
    where = f"the nodes of the role {fleet.role} at {provider} boot {', '.join(others)}"
    return [("bake_after", f"needs image: baked, but {where}: set hart:roles:{fleet.role}:image to baked")]


def provider_of(fleet: Fleet, roles: Mapping[str, tuple[str, ...]]) -> str | None:
    """Return the provider of a fleet's nodes; None if it is not certain."""
    possible = roles.get(fleet.role, ())
    return fleet.provider or (possible[0] if len(possible) == 1 else None)


def _refuse_shared(
    fleets: Mapping[str, Fleet], roles: Mapping[str, tuple[str, ...]], fault: Callable[[str, str], None]
) -> None:  # fmt: skip
    """A node of two fleets would be created by one and removed by the other."""
    seen: dict[tuple[str, str | None], dict[str, Fleet]] = {}
    for name, fleet in fleets.items():
        alike = seen.setdefault((fleet.role, provider_of(fleet, roles)), {})
        for other, former in alike.items():
            if not fleet.regions or not former.regions:
                what = f"has the same role and provider as the fleet {other}: set different regions for both"
                fault(f"hart:{SETTING}:{name}", what)
            elif both := sorted(set(fleet.regions) & set(former.regions)):
                what = f"{', '.join(both)} belongs to the fleet {other} too, which has the same role and provider"
                fault(f"hart:{SETTING}:{name}:regions", what)
        alike[name] = fleet
