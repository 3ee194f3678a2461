"""
Vultr's API v2, emulated: a stateful account on loopback, whose instances are machines of a back end.

Every call is checked against the vendor's own description if that is available (``schema``): a request that the
description does not allow is refused, and defects of the emulator's answers are listed by ``said_against``. It also
refuses what users reported as refused. Where the vendor's behaviour is not known, a switch
(``state.Settings``) or a fault (``faults``) selects one of the two answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from hart_salt.drivers.vultr.rights import RIGHTS
from tests.drivers.vultr.emulator import account as vultr_account
from tests.drivers.vultr.emulator import addresses as vultr_addresses
from tests.drivers.vultr.emulator import answers, routes, schema
from tests.drivers.vultr.emulator import create as vultr_create
from tests.drivers.vultr.emulator import instances as vultr_instances
from tests.drivers.vultr.emulator import network as vultr_network
from tests.drivers.vultr.emulator import snapshots as vultr_snapshots
from tests.drivers.vultr.emulator.answers import Refusal
from tests.drivers.vultr.emulator.limits import Limits
from tests.drivers.vultr.emulator.state import Instance, Settings, State, World
from tests.emulation.backend import Backend
from tests.emulation.http import Answer, Request
from tests.emulation.schema import against, against_answer
from tests.emulation.stateful import StatefulEmulator, bearer

#: modules whose import registers their routes
HANDLERS = (vultr_account, vultr_addresses, vultr_create, vultr_instances, vultr_network, vultr_snapshots)
#: length and letters of a real key; everything else about it is invented
TOKEN = "ABCDEFGHIJKLMNOP" + "QRSTUVWXYZ0123456789"
#: calls that need no key (description: ``security: []``)
PUBLIC = re.compile(r"/v2/(regions|regions/[^/]+/availability|plans|os)")
DEBIAN_12 = 2136


class Vultr(StatefulEmulator[State, Settings]):
    """One emulated account; see the module."""

    root = "/v2"
    rights = RIGHTS

    def __init__(self, backend: Backend | None = None, *, settings: Settings | None = None, **more: Any) -> None:
        super().__init__(backend, settings or Settings(), TOKEN, **more)
        self._world = World(state=State(), **self.parts())
        self._limits = Limits()
        self._description = schema.find()

    def user_data(self) -> dict[str, str]:
        """Return the user-data by label, as the machine runs it."""
        return {it.label: it.user_data for it in self.state.instances.values()}

    def secrets(self) -> list[str]:
        """Return all passwords and console addresses in the API's answers so far."""
        return list(self.state.secrets)

    def instances(self) -> Iterable[Instance]:
        """Return the instances, including those that are being deleted."""
        return self.state.instances.values()

    def clear(self) -> None:
        """Remove everything but the instances, including what ``add_vpc`` and ``add_snapshot`` made."""
        state = self.state
        for snapshot in list(state.snapshots.values()):
            vultr_snapshots.forget(self._world, snapshot)
        for things in (state.keys, state.scripts, state.vpcs, state.groups, state.reserved):
            things.clear()
        state.mails.clear()

    def add_snapshot(self, name: str) -> str:
        """Add a snapshot of the account and return its id."""
        with self.lock:
            return vultr_snapshots.add_snapshot(self._world, name, DEBIAN_12).id

    def add_vpc(self, description: str, region: str, *, gateway: bool = False) -> str:
        """Add a VPC, with a NAT gateway if ``gateway`` is true, and return its id."""
        with self.lock:
            vpc = vultr_network.new_vpc(self._world, region, description)
            vpc.gateways = [self._world.uuid()] if gateway else []
            return vpc.id

    def add_reserved(self, region: str) -> str:
        """Reserve an address in the account and return it."""
        with self.lock:
            return vultr_addresses.new_reserved(self._world, region).subnet

    def handle(self, request: Request) -> Answer:
        """Check the limit, the key, the client's address and the description, then answer the call."""
        self._world.tick()
        if self._limits.refuses(request.client, self.clock(), self.settings.second_limit):
            return Answer(429, answers.error(429), {"retry-after": "1"})
        try:
            if not PUBLIC.fullmatch(request.path):
                self._authorize(request)
            self._check(request)
            return routes.dispatch(self._world, request)
        except Refusal as refusal:
            return Answer(refusal.status, refusal.body)

    def _authorize(self, request: Request) -> None:
        if bearer(request) not in self.tokens:
            raise Refusal(401)
        if self.settings.allowed is not None and request.client not in self.settings.allowed:
            raise Refusal(401, f"Unauthorized IP address: {request.client}")
        if self.lacking(request):
            raise Refusal(403, "You are not authorized to perform this action.")  # the real text is not known

    def _check(self, request: Request) -> None:
        as_number = _with_number if self.settings.tolerate_text else None
        if problems := against(self._description, request, as_number):
            raise Refusal(400, "; ".join(problems))

    def failure(self, request: Request, status: int) -> Answer:
        """Return the vendor's form of an error, or an empty success. A fault brings any other body itself."""
        return Answer(status, answers.error(status) if status >= 400 else None)

    def objections(self, request: Request, answer: Answer | None) -> list[str]:
        """Return the differences from the description."""
        problems = against(self._description, request)
        # For errors it describes only the status, and not even that they have a body.
        if answer is None or answer.status >= 400 or self._description is None or not self.settings.check_answers:
            return problems
        return [*problems, *against_answer(self._description, request, answer)]

    def shown(self) -> dict[str, Any]:
        """The account as its API shows it."""
        state, world = self.state, self._world
        return {
            "instances": [answers.instance(world, it) for it in state.instances.values()],
            "keys": [answers.key(it) for it in state.keys.values()],
            "vpcs": [answers.vpc(it) for it in state.vpcs.values()],
            "reserved": [answers.reserved(it) for it in state.reserved.values()],
            "snapshots": [answers.snapshot(it) for it in state.snapshots.values()],
            "groups": [answers.group(world, it) for it in state.groups.values()],
        }


def _with_number(body: dict[str, Any]) -> dict[str, Any]:
    return {name: vultr_create.number(value) if name == "os_id" else value for name, value in body.items()}
