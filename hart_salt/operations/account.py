"""
Check the accounts of the providers, for ``hart.check``: all that can be found out free of charge and without a change.

These are the credentials and their rights, and for each role that can use the provider: region, size, image, network,
settings, and quota, and the files and states on this master that its settings name, if some of them are missing. Names
of checks begin with the provider, then the role.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from hart_salt.base.errors import HartError, Refused
from hart_salt.base.names import new_batch
from hart_salt.config.loader import Config
from hart_salt.config.schema import Schema
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.side_by_side import ask_each
from hart_salt.model import OK, PROBLEM, UNKNOWN, Check, MasterInfo, Node, Region
from hart_salt.operations.health import problem
from hart_salt.planning import minion_config, releases, resolve
from hart_salt.planning.plan import DISTRIBUTED

#: returns nodes of one role and place with the image that they boot
Fitted = Callable[[Sequence[Node], Driver], Sequence[Node]]
#: returns problems with what a node's settings name on this master, by the kind of it
Missing = Callable[[Node], Mapping[str, Sequence[str]]]
#: stands for the unknown part of an example's id, which providers must accept in a name
_EXAMPLE_ID = "0" * len(resolve.UNKNOWN_ID)


@dataclass(frozen=True)
class Examples:
    """Examples of the nodes that the configuration makes."""

    config: Config
    schemas: Mapping[str, Schema]
    info: MasterInfo
    #: the only role to make examples of; None: all roles
    role: str | None

    def of(self, provider: str) -> dict[str, Node | HartError]:
        """
        Return an example of each role that can use a provider, or why the configuration makes none.

        Raises ``Refused`` if there is no such role.
        """
        if self.role is not None:
            resolve.choose_provider(self.config, self.role, provider)
        wanted = [self.role] if self.role else sorted(self.config.roles)
        return {role: self._one(role, provider) for role in wanted if provider in self.config.candidates(role)}

    def _one(self, role: str, provider: str) -> Node | HartError:
        try:
            node = resolve.resolve(
                self.config, self.schemas, self.info, role=role, provider=provider, now=datetime.now(timezone.utc),
                batch=new_batch(time.time()), preview=True,
            )  # fmt: skip
        except HartError as error:
            return error
        if faults := [f"{fault.path} {fault.problem}" for fault in minion_config.objections(node, self.info)]:
            return Refused("; ".join(faults))
        minion_id = node.minion_id.replace(resolve.UNKNOWN_ID, _EXAMPLE_ID)
        return replace(node, minion_id=minion_id, minion_config={**node.minion_config, "id": minion_id})


def checks(
    drivers: Sequence[Driver], examples: Examples, count: int, fitted: Fitted, missing: Missing = lambda node: {}
) -> list[Check]:  # fmt: skip
    """
    Return the checks of all providers, which are queried in parallel.

    ``count`` is the number of nodes of each role for which the quota must be enough. ``fitted`` returns a node with the
    image that it boots, and ``missing`` what its settings name and this master does not have (default: nothing).
    """
    roles = {driver.provider.name: examples.of(driver.provider.name) for driver in drivers}
    asked = {driver.provider.name: driver for driver in drivers}
    answers = ask_each(
        asked, lambda driver: list(_of_provider(driver, roles[driver.provider.name], count, fitted, missing))
    )
    found: list[Check] = []
    for name, answer in answers.items():
        found += [problem(name, answer)] if isinstance(answer, HartError) else answer
    return found


def _of_provider(
    driver: Driver, roles: Mapping[str, Node | HartError], count: int, fitted: Fitted, missing: Missing
) -> Iterator[Check]:  # fmt: skip
    name = driver.provider.name
    driver.ask_again()
    account = _looked_up(name, driver.check)
    yield account
    if account.result != OK:
        return
    regions = {region.name: region for region in driver.regions()} if roles else {}
    asked: list[Node] = []
    for role, example in roles.items():
        label = f"{name} {role}"
        if isinstance(example, HartError):
            yield problem(f"{label} settings", example)
        elif example.region not in regions:
            said = f"there is no region {example.region}; hart.list_regions shows them"
            yield Check(f"{label} region", PROBLEM, said)
        else:
            node = _placed(example, regions[example.region])
            if not asked:
                asked.append(node)
                yield from _named(f"{name} rights", lambda: driver.check_rights(asked[0]))
            yield from _of_role(label, driver, node, count, fitted)
        if isinstance(example, Node):
            problems = missing(example).items()
            yield from (Check(f"{label} {kind}", PROBLEM, "; ".join(found)) for kind, found in problems if found)


def _placed(node: Node, region: Region) -> Node:
    """Return the node in the region's first zone if its zone is chosen later."""
    return replace(node, zone=region.zones[0]) if node.zone == DISTRIBUTED and region.zones else node


def _of_role(label: str, driver: Driver, node: Node, count: int, fitted: Fitted) -> Iterator[Check]:
    size = _looked_up(f"{label} size", lambda: _size(driver, node))
    yield size
    if size.result == OK:  # what a node names depends on its size, such as the architecture of the image
        try:
            (node,) = fitted([node], driver)
        except HartError as error:
            yield problem(f"{label} image", error)
            return
        for said in [f"it boots the baked image {node.baked}"] if node.baked else node.notes:
            yield Check(f"{label} baked image", OK, said)
        if refused := releases.refusal(node.settings.image, node.image_set_by):
            yield Check(f"{label} image", PROBLEM, refused)
        for kind, lookup in driver.lookups(node).items():
            if kind != "image" or not refused:
                yield _looked_up(f"{label} {kind}", lookup)
        yield _looked_up(f"{label} settings", lambda: _settings(driver, node))
        yield from _named(f"{label} quota", lambda: driver.check_quota(node, count))


def _size(driver: Driver, node: Node) -> str:
    found = driver.size(node.size, node.region)
    place = node.zone or node.region
    if found is None:
        raise _Problem(f"{place} has no size {node.size}; hart.list_sizes shows what there is")
    if not found.available:
        raise _Problem(f"{node.size} is not available in {place} now; hart.list_sizes shows what is")
    return f"{node.size} in {place}"


def _settings(driver: Driver, node: Node) -> str:
    if objections := driver.objections(node):
        raise _Problem("; ".join(objections))
    return "the provider has no objections"


class _Problem(Exception):
    """A check found something that must be fixed."""


def _looked_up(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, OK, look())
    except _Problem as error:
        return Check(name, PROBLEM, str(error))
    except HartError as error:
        return problem(name, error)


def _named(name: str, check: Callable[[], Check | None]) -> Iterator[Check]:
    """Yield the check of a driver under this name, if it has one; one that fails is unknown."""
    try:
        found = check()
    except HartError as error:
        found = Check(name, UNKNOWN, f"it could not be found out: {error}")
    if found is not None:
        yield replace(found, name=name)
