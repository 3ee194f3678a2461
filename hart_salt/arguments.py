"""
Checks of the runner functions' arguments: text from a command line, or any data from a state or an event.

Salt would count a ``TypeError`` as a success, so unknown and unusable arguments raise ``Refused`` here.
"""

from __future__ import annotations

import inspect
import ipaddress
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

from hart_salt.base.errors import Refused
from hart_salt.base.text import closest, suggestion
from hart_salt.config.durations import as_duration, as_duration_or_zero, words
from hart_salt.config.settings import FLAGS, Settings, as_labels, as_names, as_number, as_tags
from hart_salt.config.validation import check_field
from hart_salt.model import ADDITIONAL, PRIVATE, RESERVED, AddressRequest
from hart_salt.operations.extend import Extension
from hart_salt.operations.fleet import TargetSize
from hart_salt.operations.history import Wanted
from hart_salt.operations.listing import BY_ID, COLUMNS, SORTED_BY
from hart_salt.operations.scale import Order
from hart_salt.operations.selection import Selector
from hart_salt.operations.sizes import SizeFilter
from hart_salt.operations.tagging import TagChange
from hart_salt.use_cases import simulation as simulations

COLUMN_NAMES = {"minion": "id", "address": "ip", "instance": "instance_id"}  #: other names of columns
GLOB = frozenset("*?[]{}")  #: characters of patterns, which no id has
SEPARATOR = re.compile(r"[,\s]+")  #: of several ids; a minion id has neither
#: a duration before now
AGO = re.compile(r"([0-9]{1,6}) ?([mhdw])")
AGO_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
MOST_NODES = 10_000  #: the highest number of nodes that a call can request: a typing error must not cost a fortune


def refuse(keywords: Mapping[str, Any], positional: Sequence[Any] = (), of: Callable[..., Any] | None = None) -> None:
    """
    Refuse unknown arguments, except Salt's own keywords such as ``__pub_user``, which are not the user's.

    ``of`` is the function that was called: its parameters are suggested for a name that is close to one of them.
    """
    named = [key for key in keywords if not key.startswith("__")]
    unknown = sorted([*named, *map(str, positional)])
    if not unknown:
        return
    takes = [] if of is None else parameters(of)
    close = [word for word in (closest(key, takes) for key in sorted(named)) if word]
    meant = f"; did you mean {' and '.join(dict.fromkeys(close))}?" if close else ""
    raise Refused(f"unknown argument: {', '.join(unknown)}{meant}")


def parameters(function: Callable[..., Any]) -> list[str]:
    """Return the names of a function's arguments, besides settings."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [name for name, one in inspect.signature(function).parameters.items() if one.kind not in kinds]


def names(**given: Any) -> dict[str, Any]:
    """Return names as text or None; a command line turns digits into a number, and a state can hold anything."""
    kinds = str | int | None
    wrong = [name for name, value in given.items() if not isinstance(value, kinds) or isinstance(value, bool)]
    if wrong:
        raise Refused(f"{' and '.join(wrong)} must be a name, as text; put it in quotes")
    return {name: None if value is None else str(value) for name, value in given.items()}


def word(function: str, name: str, value: Any, extra: Sequence[Any]) -> str:
    """Return the main argument of a function; ``extra`` holds the other positional arguments, which are refused."""
    if value is None or isinstance(value, (dict, list)) or value == "":
        article = "an" if name[0] in "aeio" else "a"
        raise Refused(f"{function} needs {article} {name}: salt-run {function} {name.upper()}")
    _refuse_other_than_text(function, name, value)
    if extra:
        raise Refused(f"{function} takes one {name}; write everything else as name=value: {extra[0]}")
    return str(value)


def _refuse_other_than_text(function: str, name: str, value: Any) -> None:
    """Refuse what YAML made of a text such as ``no`` or ``1.5``; digits are the same text again."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Refused(
            f"{function}: YAML does not read the {name} as text; put it in quotes, and on a command line in two kinds "
            "of quotes, as in \"'no'\""
        )


def ids(function: str, value: Any, extra: Sequence[Any], name: str = "id") -> list[str]:
    """
    Return ids, from the command line (with commas or blanks between them) or from a state (a list).

    ``name`` is what one of them is, for messages.
    """
    if isinstance(value, list) and value and not extra:
        for part in value:
            _refuse_other_than_text(function, name, part)
        parts = [str(part) for part in value]
    else:
        parts = [part for text in (value, *extra) for part in SEPARATOR.split(word(function, name, text, ()))]
    found = [part.strip() for part in parts if part.strip()]
    return found or [word(function, name, None, ())]


def fleets(function: str, value: Any, extra: Sequence[Any]) -> list[str]:
    """Return names of fleets, as ``ids`` does; without a name, none."""
    return ids(function, value, extra, "fleet") if value is not None or extra else []


def fleet(function: str, value: Any, extra: Sequence[Any]) -> str:
    """Return the name of one fleet."""
    found = ids(function, value, extra, "fleet")
    if len(found) > 1:
        raise Refused(f"{function} takes one fleet, not {', '.join(found)}; call it once for each")
    return found[0]


def selector(**given: Any) -> Selector:
    """
    Return a selector from those of ``role``, ``provider``, ``region`` and ``status`` that a function has.

    ``role=app,region=fra1`` is one argument for Salt: the part after the comma counts as an argument of its own.
    """
    found: dict[str, str] = {}
    for name, value in names(**given).items():
        if value is None:
            continue
        first, *more = value.split(",")
        for key, part in [(name, first), *(_condition(name, part, given) for part in more)]:
            if key in found:
                raise Refused(f"{key} is there twice; a selector has one value for each name")
            found[key] = part.strip()
    return Selector(**found)


def _condition(name: str, part: str, known: Collection[str]) -> tuple[str, str]:
    key, equals, value = part.partition("=")
    if not equals:
        raise Refused(f"{name} takes one value, not several; call hart once for each")
    if key.strip() not in known:
        raise Refused(f"unknown selector: {key.strip()}{suggestion(key.strip(), known)}; known: {', '.join(known)}")
    return key.strip(), value


def refuse_globs(function: str, minion_ids: Sequence[str]) -> None:
    """Refuse patterns such as ``app-*``: they would have to be expanded, and could match more than was meant."""
    patterns = [minion_id for minion_id in minion_ids if set(minion_id) & GLOB]
    if patterns:
        raise Refused(
            f"{function} takes ids, and {', '.join(patterns)} is a pattern; select nodes by role, provider, region or "
            f"status, as in salt-run {function} role=ROLE test=True"
        )


def ids_or_selector(function: str, value: Any, extra: Sequence[Any], chosen: Selector) -> list[str]:
    """Return ids, or an empty list if the call has a selector; refuse both and neither."""
    if not chosen:
        if value is None and not extra:
            raise Refused(f"{function} needs an id or a selector: salt-run {function} ID, or role=ROLE test=True")
        found = ids(function, value, extra)
        refuse_globs(function, found)
        return found
    if value is not None or extra:
        raise Refused(f"{function} takes ids or a selector ({chosen}), not both")
    return []


def sort_by(value: Any) -> str:
    """Return by what a list is sorted, with ``-`` in front for the reverse order; by id if it is not given."""
    if value is None:
        return BY_ID
    wanted = str(value)
    if wanted.removeprefix("-") not in SORTED_BY:
        hint = suggestion(wanted.removeprefix("-"), SORTED_BY)
        raise Refused(f"sort cannot be {wanted}{hint}; known: {', '.join(SORTED_BY)}, each also with - in front")
    return wanted


def columns(value: Any) -> list[str]:
    """Return the names of a table's columns, from a command line or a list; empty if they are not given."""
    if value is None:
        return []
    parts = value if isinstance(value, list) else SEPARATOR.split(str(value))
    found = [COLUMN_NAMES.get(str(part), str(part)) for part in parts if part != ""]
    if not found:
        raise Refused(f"columns must name at least one of {', '.join(COLUMNS)}")
    for name in found:
        if name not in COLUMNS:
            raise Refused(f"there is no column {name}{suggestion(name, COLUMNS)}; the columns are {', '.join(COLUMNS)}")
    return list(dict.fromkeys(found))


def interval(value: Any) -> float:
    """Return the number of seconds between two lists, 1 or more."""
    if seconds("watch", value) < 1:
        raise Refused("watch must be a number of seconds, 1 or more, such as watch=5")
    return float(seconds("watch", value))


def refuse_count(settings: Mapping[str, Any]) -> None:
    """Refuse a number of nodes, which cannot have ids that somebody chose."""
    if "count" in settings:
        raise Refused(
            "hart.create takes the id of each node, not count; hart.create_role ROLE count=3 makes nodes of a role"
        )


def count(value: Any) -> Any:
    """Return a count: a whole number from 1 to ``MOST_NODES``, or None if it is not given."""
    return whole("count", value, 1, MOST_NODES)


def bake(*, provider: Any, region: Any, apply: Any, keep: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the arguments of ``hart.bake`` that are no settings; ``settings`` are the others.

    Raises ``Refused`` for one that is wrong.
    """
    if apply is not None and settings.get("bake") is not None:
        raise Refused("apply stands for the setting bake, which is also given: keep one of them")
    if apply is not None and (wrong := check_field(Settings, "bake", apply)[1]):
        raise Refused(f"argument:apply: {wrong}")
    regions = [] if region is None else _several("region", region)
    return {**names(provider=provider), "regions": regions, "apply": apply, "keep": whole("keep", keep, 1)}


def _several(name: str, value: Any) -> list[str]:
    """Return texts, given as a list or as one text separated by commas."""
    parts = value if isinstance(value, list | tuple) else str(value).split(",")
    found = [names(**{name: one})[name] for one in parts if not isinstance(one, str) or one.strip()]
    if not found:
        raise Refused(f"{name} must not be empty")
    return found


def whole(name: str, value: Any, least: int | None, most: int | None = None) -> int | None:
    """Return a whole number of at least ``least`` and at most ``most``, if these are set; None if it is not given."""
    value = as_number(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or (least is not None and value < least):
        raise Refused(f"{name} must be a whole number" + ("" if least is None else f" of at least {least}"))
    if most is not None and value > most:
        raise Refused(f"{name} must be at most {most}; {value} is more than one call creates")
    return value


def seconds(name: str, value: Any) -> float:
    """Return a number of seconds, 0 or more."""
    value = as_number(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise Refused(f"{name} must be a number of seconds")
    return value


def size_filter(*, memory: Any, cpus: Any, max_price: Any, arch: Any, sort: Any) -> SizeFilter:
    """Return what ``hart.list_sizes`` looks for."""
    numbers = {"memory": memory, "cpus": cpus, "max_price": max_price}
    found: dict[str, Any] = {name: value if value is None else amount(name, value) for name, value in numbers.items()}
    return SizeFilter(**found, **names(arch=arch, sort=sort))


def amount(name: str, value: Any) -> float:
    """Return a number, 0 or more."""
    value = as_number(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise Refused(f"{name} must be a number, such as {name}=4")
    return float(value)


def moment(name: str, value: Any, now: float) -> float | None:
    """
    Return a time in the past in seconds since the epoch: a duration before ``now``, or a date in UTC; None for None.

    YAML on a command line can have made a date of the text.
    """
    if value is None:
        return None
    text = value.isoformat() if isinstance(value, date) else value if isinstance(value, str) else ""
    found = AGO.fullmatch(text.strip().lower())
    at = now - int(found[1]) * AGO_UNITS[found[2]] if found else _date(text.strip())
    if at is None:
        raise Refused(f"{name} must be a duration such as 30m, 12h, 1d or 2w, or a date in UTC such as 2026-11-30")
    if at > now:
        raise Refused(f"{name} is in the future: {text.strip()}")
    return at


def _date(text: str) -> float | None:
    try:
        at = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text))
        return (at if at.tzinfo else at.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        return None


def history(minion_id: Any, role: Any, since: Any, limit: Any) -> Wanted:
    """Return which entries of the journal are requested."""
    given = names(role=role, minion_id=minion_id)
    most = whole("limit", limit, 1) or Wanted.limit
    return Wanted(given["minion_id"], given["role"], moment("since", since, time.time()), most)


def size(value: Any) -> str:
    """Return the new size of ``hart.resize``."""
    if value in (None, ""):
        raise Refused(
            "hart.resize needs a size: salt-run hart.resize ID size=SIZE; salt-run hart.list_sizes shows them"
        )
    return word("hart.resize", "size", value, ())


def extension(minion_id: Any, extra: Sequence[Any], duration: Any) -> tuple[list[str], Extension]:
    """
    Return the ids and the duration of ``hart.extend``: without ``duration=``, the last argument is the duration.

    The word ``never`` stands for no end.
    """
    if duration is None:
        *extra, duration = extra or (None,)
    found = ids("hart.extend", minion_id, extra)
    if isinstance(duration, str) and duration.strip().lower() == "never":
        return found, Extension(None)
    try:
        return found, Extension(as_duration(duration))
    except ValueError as error:
        raise Refused(f"hart.extend ID DURATION: the duration {error}, or never for no end") from None


def tag_change(tags: Any, remove: Any, pairs: Mapping[str, Any]) -> TagChange:
    """Return the change of ``hart.set_tags``: tags as the setting has them, pairs from the command line, and names."""
    own = {key: value for key, value in pairs.items() if not key.startswith("__")}
    try:
        given = {} if tags is None else as_tags(tags)
        names = [] if remove is None else as_names(remove)
        found = {**(given if isinstance(given, Mapping) else dict.fromkeys(given, "")), **as_labels(own)}
    except ValueError as error:
        raise Refused(f"hart.set_tags: tags and remove {error}") from None
    names = [name.strip() for name in names]
    if not found and not names:
        raise Refused("hart.set_tags needs what to set: salt-run hart.set_tags ID KEY=VALUE, or remove=KEY")
    if both := sorted({*found} & {*names}):
        raise Refused(f"hart.set_tags cannot set and remove {', '.join(both)} at once")
    return TagChange(found, names)


def timeout(value: Any) -> float | None:
    """Return a number of seconds of at least 1, or None if it is not given."""
    if value is None:
        return None
    found = seconds("timeout", value)
    if found < 1:
        raise Refused("timeout must be at least 1 second")
    return found


def flag(value: Any, name: str = "test") -> bool:
    """Return True or False, also from the words for them: an orchestration may put them in quotes."""
    if isinstance(value, str):
        value = FLAGS.get(value.strip().lower())
    if not isinstance(value, bool):
        raise Refused(f"{name} must be True or False")
    return value


def file(value: Any) -> str | None:
    """Return the path of a file to write, or None if it is not given."""
    if value is not None and (not isinstance(value, str) or not value.strip() or "\0" in value):
        raise Refused("file must be the path of the HTML file to write, such as file=fleet.html")
    return None if value is None else str(value)


def simulation(
    fleet: str, *, file: Any, direct: bool, boot: Any, interval: Any, low: Any, high: Any, changed: Mapping[str, Any]
) -> simulations.Order:  # fmt: skip
    """
    Return what to simulate.

    ``direct`` is whether ``salt-run`` calls hart directly: only then a relative path has a directory that its user
    knows. ``changed`` holds settings of ``autoscale``; None means not given.
    """
    return simulations.Order(
        fleet, _recording(file, direct), _length("boot", boot, 0.0), _length("interval", interval, 1.0),
        whole("min", low, 0, MOST_NODES), whole("max", high, 0, MOST_NODES),
        {name: value for name, value in changed.items() if value is not None},
    )  # fmt: skip


def _recording(value: Any, direct: bool) -> Path | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise Refused("file must be the path of a file with a recorded load, such as file=day.jsonl")
    path = Path(value)
    if not direct and not path.is_absolute():
        raise Refused(f"file={value} must be an absolute path if salt-run does not call hart directly")
    return path.absolute()


def _length(name: str, value: Any, least: float) -> float:
    """Return a length of time in seconds."""
    try:
        seconds = as_duration_or_zero(value)
    except ValueError as error:
        raise Refused(f"{name} {error}") from None
    if seconds < least:
        raise Refused(f"{name} must be at least {words(least)}")
    return seconds


def ipv4(value: Any) -> str:
    """Return an IPv4 address in its usual notation."""
    try:
        return str(ipaddress.IPv4Address(value if isinstance(value, str) else ""))
    except ValueError:
        raise Refused("ip must be an IPv4 address, such as ip=203.0.113.7") from None


def address_request(kind: str | None, ip: Any, vpc: str | None) -> AddressRequest:
    """Return the request of ``hart.add_ip``; a combination that cannot be is refused."""
    kind = kind or (RESERVED if ip is not None else None)
    kinds = (RESERVED, ADDITIONAL, PRIVATE)
    if kind not in kinds:
        raise Refused(f"kind must be one of {', '.join(kinds)}; with ip=ADDRESS it is {RESERVED}")
    if ip is not None and kind != RESERVED:
        raise Refused(f"ip selects a {RESERVED} address: omit it with kind={kind}")
    if vpc is not None and kind != PRIVATE:
        raise Refused(f"vpc selects a private network: omit it with kind={kind}")
    return AddressRequest(kind, ipv4(ip) if kind == RESERVED else None, vpc)


def target_size(**numbers: Any) -> TargetSize:
    """Return the requested size of a role from ``count``, ``delta``, ``min`` and ``max``, of which some are None."""
    numbers = {name: whole(name, value, None if name == "delta" else 0, MOST_NODES) for name, value in numbers.items()}
    return TargetSize(numbers["count"], numbers["delta"], numbers["min"], numbers["max"])


def order(
    role: str, provider: Any, region: Any, force: Any, test: Any, settings: Mapping[str, Any],
    of: Callable[..., Any] | None = None,
) -> Order:  # fmt: skip
    """Return the order for a scale or a replace; ``of`` is the function. Salt's own keywords are no settings."""
    own = {key: value for key, value in settings.items() if not key.startswith("__")}
    given = names(provider=provider, region=region)
    return Order(
        role, **given, force=flag(force, "force"), test=flag(test), settings=own, takes=parameters(of) if of else ()
    )
