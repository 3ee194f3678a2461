"""The checks of nodes before anything is changed."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hart_salt.base import faults, signals
from hart_salt.base.errors import BrokenRecord, PeerError, Refused
from hart_salt.base.names import scheme_fields
from hart_salt.base.text import suggestion
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.context import Context
from hart_salt.inventory.identity import sane
from hart_salt.master.keys import STATE_WORDS
from hart_salt.model import Instance, Node, Size
from hart_salt.planning import layouts, releases
from hart_salt.planning.plan import DISTRIBUTED, spread

#: looks up a size by its name and a region
FindSize = Callable[[str, str], Size | None]
#: up to so many nodes, hart looks up the instance of each id; for more, it lists all instances
SINGLY = 5


def has_random_id(node: Node) -> bool:
    """Return whether the node's naming scheme gives it an id that no instance can have yet."""
    return "unique_id" in scheme_fields(node.settings.role_naming_scheme)


def fit(
    nodes: Sequence[Node], driver: Driver, context: Context, in_zones: Callable[[Sequence[str]], list[Node]], *,
    images: Callable[[Sequence[Node]], Sequence[Node]] = lambda nodes: nodes, chosen: bool = True,
    states: str = "apply",
) -> list[Node]:  # fmt: skip
    """
    Return the nodes with their prices, and with their zones if these are to be chosen here, which ``in_zones`` sets.

    ``images`` returns the nodes with the images that they boot; it is called once (default: as they are). ``chosen``
    says whether an instance can have one of the ids already (default True). ``states`` is the name of what holds the
    states to apply. A list of all instances can take many calls, so hart makes it only if it needs it.

    Raises ``Refused`` with everything that is wrong, all of it at once.
    """
    is_distributed = nodes[0].zone == DISTRIBUTED
    there = sane(driver.instances()) if is_distributed or (chosen and len(nodes) > SINGLY) else None
    if is_distributed:
        nodes = in_zones(zones(nodes, driver, there or ()))
    nodes = images(nodes)
    find_size = functools.cache(driver.size)  # an API call with some providers
    _refuse_unfit(nodes, driver, there, context, find_size, chosen=chosen, states=states)
    size = find_size(nodes[0].size, nodes[0].region)
    price: dict[str, Any] = {"monthly_price": size.monthly_price, "currency": size.currency} if size else {}
    return [dataclasses.replace(node, **price) for node in nodes]


def _refuse_unfit(
    nodes: Sequence[Node], driver: Driver, there: Sequence[Instance] | None, context: Context, find_size: FindSize, *,
    chosen: bool, states: str,
) -> None:  # fmt: skip
    """``there`` holds the provider's instances; None: only those with the chosen ids matter, and are looked up."""
    objections = {node.minion_id: driver.objections(node) for node in nodes}
    node = nodes[0]
    wanted = {states: node.settings.apply, "drain": node.settings.drain}
    problems = [*_unknown_places(nodes, driver, find_size), *_unreadable(node), *_unknown_states(node, wanted, context)]
    if there is None:
        # The provider may not be able to look for an id that it objects to.
        sought = [minion_id for minion_id, objected in objections.items() if chosen and not objected]
        there = [instance for minion_id in sought for instance in driver.instances_called(minion_id)]
    problems += _taken(nodes, driver, there, context) + _on_others(nodes, context)
    problems += filter(None, [releases.refusal(node.settings.image, node.image_set_by)])
    problems += [f"{minion_id}: {objection}" for minion_id, objected in objections.items() for objection in objected]
    if problems:
        raise Refused("\n".join(problems))


def zones(nodes: Sequence[Node], driver: Driver, there: Sequence[Instance]) -> list[str]:
    """Return the zone of each new node, if the zone is to be the one with the fewest minions of the role."""
    node = nodes[0]
    offered = [zone for region in driver.regions() if region.name == node.region for zone in region.zones]
    if not offered:
        raise Refused(f"zone is {DISTRIBUTED}, but {node.provider} has no zones in {node.region}: leave zone out")
    of_role = [one.zone for one in there if (one.role, one.region) == (node.role, node.region)]
    return spread(offered, of_role, len(nodes))


def _taken(nodes: Sequence[Node], driver: Driver, there: Sequence[Instance], context: Context) -> list[str]:
    """Return why minion ids are not free: an id names one thing, so a new node's id must not be in use."""
    ids = [node.minion_id for node in nodes]
    problems = [
        f"{double}: two nodes of this call would have this id; name it once, or use {{unique_id}} in role_naming_scheme"
        for double in sorted(minion_id for minion_id, number in Counter(ids).items() if number > 1)
    ]
    keys = context.master.keys.states_of(ids)
    named = {instance.minion_id for instance in there}
    for minion_id in dict.fromkeys(ids):
        if minion_id in keys:
            states = " and ".join(STATE_WORDS[state] for state in keys[minion_id])
            problems.append(f"{minion_id}: a key with that id exists, {states}; see salt-key -f {minion_id}")
        try:
            record = context.store.get(minion_id)
        except BrokenRecord as error:
            problems.append(f"{minion_id}: {error}")
            continue
        if record is not None:
            problems.append(f"{minion_id}: a node with that id exists; salt-run hart.list_minions shows it")
        elif minion_id in named:
            problems.append(f"{minion_id}: {driver.provider.name} has an instance with that id")
    return problems


def _on_others(nodes: Sequence[Node], context: Context) -> list[str]:
    """Return what is wrong with the other masters of the nodes, and ids that are taken there."""
    peers = context.others.peers
    if not peers or "master" not in nodes[0].minion_config:  # a new salt-master is no minion
        return []
    ids = [node.minion_id for node in nodes]
    facts = peers.facts(ids)
    signals.check()  # which shortens that wait
    problems = layouts.faults(context.info, facts, may_be_down=peers.may_be_down)
    for name, one in facts.items():
        keys = {} if isinstance(one, PeerError) else one.keys
        for minion_id in dict.fromkeys(ids):
            if states := keys.get(minion_id):
                said = " and ".join(STATE_WORDS[state] for state in states)
                problems.append(f"{minion_id}: the master {name} has a key with that id, {said}; see salt-key there")
    return problems


def _unknown_places(nodes: Sequence[Node], driver: Driver, find_size: FindSize) -> list[str]:
    """Return problems with names that the provider does not know. All nodes of a call share region and size."""
    node = nodes[0]
    if driver.sizes_know_regions and find_size(node.size, node.region) is not None:
        return []
    regions = {region.name: region for region in driver.regions()}
    problems = _unknown("region", node.region, list(regions))
    # If the region is unknown, the size is looked up in any region, so that both mistakes are reported at once.
    region = node.region if not problems else next(iter(regions))
    zones = [] if problems else list(regions[region].zones)
    wanted = dict.fromkeys(one.zone for one in nodes if one.zone)
    if zones:
        problems += [problem for zone in wanted for problem in _unknown("zone", zone, zones, "regions")]
    if find_size(node.size, region) is None:
        problems += _unknown("size", node.size, [size.name for size in driver.sizes(region)])
    return [f"{node.provider}: {problem}" for problem in problems]


def missing(node: Node, context: Context) -> dict[str, list[str]]:
    """Return, by kind, problems with the states and files on this master that the settings of a node or a bake name."""
    states = {name: getattr(node.settings, name) for name in ("bake", "apply", "drain")}
    return {"states": _unknown_states(node, states, context), "files": _unreadable(node)}


def unknown_bake_states(node: Node, context: Context) -> list[str]:
    """Return problems with the states of a bake of such a node."""
    return _unknown_states(node, {"bake": node.settings.bake}, context)


def _unreadable(node: Node) -> list[str]:
    """Return problems with settings that name a file on the master. All nodes of a call share them."""
    files = {"script": node.settings.script, "salt_repo_key": node.settings.salt_repo_key}
    problems = {name: faults.unreadable(path) for name, path in files.items() if path}
    return [f"{name}: {problem}" for name, problem in problems.items() if problem] or _no_text(files["salt_repo_key"])


def _unknown_states(node: Node, wanted: Mapping[str, Any], context: Context) -> list[str]:
    """
    Return problems with the states of a node: ``wanted`` holds the values of settings by their names.

    With other masters, it can get its states from any of them.
    """
    if context.others or "master" not in node.minion_config:
        return []
    saltenv = str(node.minion_config.get("saltenv") or "base")
    return [
        f"{name}: {problem}"
        for name, states in wanted.items()
        if isinstance(states, list)
        for problem in context.master.unknown_states(states, saltenv)
    ]


def _no_text(path: str | None) -> list[str]:
    """Return the problem of a key file that is not text: the node's boot script contains the key as text."""
    try:
        if path:
            Path(path).read_text(encoding="ascii")
    except UnicodeDecodeError:
        return [f"salt_repo_key: {path} is not armoured; convert it to text with gpg --enarmor"]
    return []


def _unknown(kind: str, name: str, known: Sequence[str], listed_by: str = "") -> list[str]:
    if name in known:
        return []
    shown = f"salt-run hart.list_{listed_by or f'{kind}s'} shows them: {', '.join(known[:12])}"
    return [f"no {kind} {name}{suggestion(name, known)}; {shown}"]
