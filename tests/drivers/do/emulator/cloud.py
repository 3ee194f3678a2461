"""
DigitalOcean's API v2, emulated: a stateful account on loopback, whose droplets are machines of a back end.

Every call is held against the vendor's own description where that is at hand (``schema.find``): a request
that the description does not allow is refused, and what an answer of ours has wrong is in ``said_against``.
Beyond the description it refuses what users were refused (providers.md, 1.4); where the vendor's behaviour is
not known, both answers can be had by a switch (``do_state.Settings``) or a fault (``faults``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from tests.drivers.do.emulator import account as do_account
from tests.drivers.do.emulator import answers, droplets, reserved, routes
from tests.drivers.do.emulator import create as do_create
from tests.drivers.do.emulator import network as do_network
from tests.drivers.do.emulator.answers import Refusal
from tests.drivers.do.emulator.limits import Limits
from tests.drivers.do.emulator.state import Droplet, Settings, State, World, new_state
from tests.emulation import schema
from tests.emulation.backend import Backend
from tests.emulation.http import Answer, Request
from tests.emulation.stateful import StatefulEmulator, bearer

#: modules whose import registers their routes
HANDLERS = (do_account, do_create, droplets, do_network, reserved)
SPECIFICATION = "digitalocean-v2-subset.json"
#: length and prefix of the vendor's own; nothing else about it is real
TOKEN = "dop_v1_" + "0123456789abcdef" * 4
DEFAULT_IMAGE = "debian-12-x64"


class DigitalOcean(StatefulEmulator[State, Settings]):
    """See the module."""

    #: with a slash at its end, which python-digitalocean needs
    root = "/v2/"

    def __init__(self, backend: Backend | None = None, *, settings: Settings | None = None, **more: Any) -> None:
        super().__init__(backend, settings or Settings(), TOKEN, **more)
        self._world = World(state=new_state(self.clock()), **self.parts())
        self._limits = Limits()
        self._description = schema.find(SPECIFICATION)

    def left(self) -> dict[str, list[str]]:
        """Also the droplets of which the create call sent a root password by mail."""
        state = self.state
        left = state.left()
        return {"instances": left.pop("droplets"), **left, "passwords mailed": list(state.passwords_mailed)}

    def made(self) -> int:
        """By the actions, which outlive droplets."""
        return sum(action.type == "create" for action in self.state.actions.values())

    def user_data(self) -> dict[str, str]:
        """As the API got it."""
        return {droplet.name: droplet.user_data for droplet in self.state.droplets.values()}

    def instances(self) -> Iterable[Droplet]:
        """Also those that are about to go."""
        return self.state.droplets.values()

    def clear(self) -> None:
        """But for the images and the default networks."""
        state = self.state
        for things in (state.keys, state.tags, state.firewalls, state.reserved, state.passwords_mailed):
            things.clear()

    def add_snapshot(
        self, name: str, *, base: str = DEFAULT_IMAGE, regions: tuple[str, ...] = ("nyc3",), image_id: int | None = None
    ) -> int:
        """Add a snapshot of the account and return its id."""
        with self.lock:
            images = self._world.state.images.values()
            image = next(image for image in images if image.slug == base)
            return droplets.add_snapshot(self._world, name, image, list(regions), image_id).id

    def add_reserved(self, region: str) -> str:
        """Reserve an address in the account and return it."""
        with self.lock:
            return reserved.new_reserved(self._world, region).ip

    def handle(self, request: Request) -> Answer:
        """Token, limits, description, and then the call itself."""
        self._world.tick()
        token = bearer(request)
        if token not in self.tokens:
            return Answer(401, answers.error(401))
        now = self.clock()
        lists_keys = (request.method, request.path) == ("GET", "/v2/account/keys")
        throttled = self._limits.refusal(token, lists_keys, now, self.settings)
        headers = self._limits.headers(token, now, self.settings)
        if throttled is not None:
            return Answer(429, answers.error(429), {**headers, **throttled})
        try:
            self._check(request)
            answer = routes.dispatch(self._world, request)
        except Refusal as refusal:
            answer = Answer(refusal.status, refusal.body)
        return dataclasses.replace(answer, headers={**headers, **answer.headers})

    def _check(self, request: Request) -> None:
        """What the vendor has words of its own for first, then all that the description does not allow."""
        routes.check(request)
        without = _without_nulls if self.settings.tolerate_nulls else None
        if problems := schema.against(self._description, request, without):
            raise Refusal(self._invalid_status(request), "; ".join(problems))

    def _invalid_status(self, request: Request) -> int:
        """422 but for the few calls that are described with a 400."""
        assert self._description is not None
        operation = self._description.operation(request.method, request.path)
        return 400 if operation and "400" in operation.data["responses"] else 422

    def failure(self, request: Request, status: int) -> Answer:
        """The vendor's form of an error. A 404 or a 502 has it too: other bodies are for a fault to give."""
        return Answer(status, answers.error(status), self._limits.headers(bearer(request), self.clock(), self.settings))

    def objections(self, request: Request, answer: Answer | None) -> list[str]:
        """What the description says, nulls included: clients of ours send none."""
        problems = schema.against(self._description, request)
        if answer is None or self._description is None or not self.settings.check_answers:
            return problems
        if answer.status == 401:  # for an unknown token there is nothing to count
            answer = dataclasses.replace(answer, headers=self.failure(request, 401).headers)
        return [*problems, *schema.against_answer(self._description, request, answer)]

    def shown(self) -> dict[str, Any]:
        """The account as its API shows it."""
        state, world = self.state, self._world
        return {
            "droplets": [answers.droplet(world, it) for it in state.droplets.values()],
            "keys": [answers.key(it) for it in state.keys.values()],
            "tags": sorted(state.tags.values()),
            "firewalls": [answers.firewall(it) for it in state.firewalls.values()],
            "volumes": [answers.volume(it) for it in state.volumes.values()],
            "vpcs": [answers.vpc(it) for it in state.vpcs.values()],
            "passwords_mailed": list(state.passwords_mailed),
        }


def _without_nulls(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}
