"""
Vultr's API v2, emulated: a stateful account on loopback, whose instances are machines of a back end.

Every call is held against the vendor's own description where that is at hand (``vultr_schema``): a request that
the description does not allow is refused, and what an answer of ours has wrong is in ``said_against``. Beyond
the description it refuses what users were refused (providers.md, 4.3); where the vendor's behaviour is not known,
both answers can be had by a switch (``vultr_state.Settings``) or a fault (``faults``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from tests.drivers.vultr.emulator import account as vultr_account
from tests.drivers.vultr.emulator import addresses as vultr_addresses
from tests.drivers.vultr.emulator import answers, routes, schema
from tests.drivers.vultr.emulator import create as vultr_create
from tests.drivers.vultr.emulator import instances as vultr_instances
from tests.drivers.vultr.emulator import network as vultr_network
from tests.drivers.vultr.emulator.answers import Refusal
from tests.drivers.vultr.emulator.limits import Limits
from tests.drivers.vultr.emulator.state import Instance, Settings, State, World
from tests.emulation.backend import Backend
from tests.emulation.http import Answer, Request
from tests.emulation.schema import against, against_answer
from tests.emulation.stateful import StatefulEmulator, bearer

#: modules whose import registers their routes
HANDLERS = (vultr_account, vultr_addresses, vultr_create, vultr_instances, vultr_network)
#: of the vendor's length and letters; nothing else about it is real
TOKEN = "ABCDEFGHIJKLMNOP" + "QRSTUVWXYZ0123456789"
#: what anybody may ask for, without a key (description: ``security: []``)
PUBLIC = re.compile(r"/v2/(regions|regions/[^/]+/availability|plans|os)")
DEBIAN_12 = 2136


class Vultr(StatefulEmulator[State, Settings]):
    """See the module."""

    root = "/v2"

    def __init__(self, backend: Backend | None = None, *, settings: Settings | None = None, **more: Any) -> None:
        super().__init__(backend, settings or Settings(), TOKEN, **more)
        self._world = World(state=State(), **self.parts())
        self._limits = Limits()
        self._description = schema.find()

    def user_data(self) -> dict[str, str]:
        """As the machine runs it."""
        return {it.label: it.user_data for it in self.state.instances.values()}

    def secrets(self) -> list[str]:
        """All passwords and console addresses in answers of the API so far."""
        return list(self.state.secrets)

    def instances(self) -> Iterable[Instance]:
        """Also those that are about to go."""
        return self.state.instances.values()

    def clear(self) -> None:
        """What ``add_vpc`` and ``add_snapshot`` made as well."""
        state = self.state
        for things in (state.keys, state.scripts, state.snapshots, state.vpcs, state.groups, state.reserved):
            things.clear()
        state.mails.clear()

    def add_snapshot(self, name: str) -> str:
        """Add a snapshot of the account and return its id."""
        with self.lock:
            return vultr_account.add_snapshot(self._world, name, DEBIAN_12).id

    def add_vpc(self, description: str, region: str, *, gateway: bool = False) -> str:
        """Add a VPC, with a NAT gateway if ``gateway`` says so, and return its id."""
        with self.lock:
            vpc = vultr_network.new_vpc(self._world, region, description)
            vpc.gateways = [self._world.uuid()] if gateway else []
            return vpc.id

    def add_reserved(self, region: str) -> str:
        """Reserve an address in the account and return it."""
        with self.lock:
            return vultr_addresses.new_reserved(self._world, region).subnet

    def handle(self, request: Request) -> Answer:
        """The limit, the key and who may use it, the description, and then the call itself."""
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

    def _check(self, request: Request) -> None:
        as_number = _with_number if self.settings.tolerate_text else None
        if problems := against(self._description, request, as_number):
            raise Refusal(400, "; ".join(problems))

    def failure(self, request: Request, status: int) -> Answer:
        """The vendor's form of an error, or an empty success. Other bodies are for a fault to give."""
        return Answer(status, answers.error(status) if status >= 400 else None)

    def objections(self, request: Request, answer: Answer | None) -> list[str]:
        """What the description says."""
        problems = against(self._description, request)
        # Of errors it says the status and nothing else, not even that they have a body.
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
            "groups": [answers.group(world, it) for it in state.groups.values()],
        }


def _with_number(body: dict[str, Any]) -> dict[str, Any]:
    return {name: vultr_create.number(value) if name == "os_id" else value for name, value in body.items()}
