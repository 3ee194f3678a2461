"""
DigitalOcean's API v2, emulated: a stateful account on loopback, whose droplets are machines of a back end.

Every call is checked against the vendor's own description if that is available (``schema.find``): a request that
the description does not allow is refused, and defects of the emulator's answers are listed by ``said_against``. It also
refuses what users reported as refused. Where the vendor's behaviour is not known, a switch
(``state.Settings``) or a fault (``faults``) selects one of the two answers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from hart_salt.drivers.do.rights import RIGHTS
from hart_salt.drivers.rights import BAKES
from tests.drivers.do.emulator import account as do_account
from tests.drivers.do.emulator import answers, droplets, images, reserved, routes
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
HANDLERS = (do_account, do_create, droplets, images, do_network, reserved)
SPECIFICATION = "digitalocean-v2-subset.json"
#: length and prefix of a real token; everything else about it is invented
TOKEN = "dop_v1_" + "0123456789abcdef" * 4
DEFAULT_IMAGE = "debian-12-x64"


class DigitalOcean(StatefulEmulator[State, Settings]):
    """One emulated account; see the module."""

    #: with a slash at the end, which python-digitalocean needs
    root = "/v2/"
    rights = RIGHTS

    def __init__(self, backend: Backend | None = None, *, settings: Settings | None = None, **more: Any) -> None:
        super().__init__(backend, settings or Settings(), TOKEN, **more)
        self._world = World(state=new_state(self.clock()), **self.parts())
        self._limits = Limits()
        self._description = schema.find(SPECIFICATION)

    def left(self) -> dict[str, list[str]]:
        """Return what is left, including the droplets whose create call mailed a root password."""
        state = self.state
        left = state.left()
        return {"instances": left.pop("droplets"), **left, "passwords mailed": list(state.passwords_mailed)}

    def made(self) -> int:
        """Return the number of droplets from the actions, which remain when droplets are deleted."""
        return sum(action.type == "create" for action in self.state.actions.values())

    def user_data(self) -> dict[str, str]:
        """Return the user-data by droplet name, as the API received it."""
        return {droplet.name: droplet.user_data for droplet in self.state.droplets.values()}

    def instances(self) -> Iterable[Droplet]:
        """Return the droplets, including those that are being deleted."""
        return self.state.droplets.values()

    def clear(self) -> None:
        """Remove everything but the droplets, the images that were there and the default networks."""
        state = self.state
        for image in [it for it in state.images.values() if it.made]:
            images.remove(self._world, image)
        for things in (state.keys, state.tags, state.firewalls, state.reserved, state.passwords_mailed):
            things.clear()

    def add_snapshot(
        self, name: str, *, base: str = DEFAULT_IMAGE, regions: tuple[str, ...] = ("nyc3",), image_id: int | None = None
    ) -> int:
        """Add a snapshot of the account and return its id."""
        with self.lock:
            known = self._world.state.images.values()
            image = next(image for image in known if image.slug == base)
            return images.add_snapshot(self._world, name, image, list(regions), image_id).id

    def add_reserved(self, region: str) -> str:
        """Reserve an address in the account and return it."""
        with self.lock:
            return reserved.new_reserved(self._world, region).ip

    def add_droplet(self, name: str, body: dict[str, Any], created: float) -> Droplet:
        """Add a droplet that has been active since ``created``, without a call and without a machine."""
        with self.lock:
            return do_create.add(self._world, name, body, created)

    def purposes(self, body: Mapping[str, Any]) -> list[str]:
        """Return the settings of a droplet that need more scopes."""
        named = {"vpc_uuid": "the setting `vpc`", "volumes": "the setting `volumes`"}
        makes_image = [BAKES] if body.get("type") == "snapshot" else []
        return [*makes_image, *(purpose for field, purpose in named.items() if body.get(field))]

    def handle(self, request: Request) -> Answer:
        """Check the token, the limits and the description, then answer the call."""
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
        """Refuse a lack of rights, what the vendor has its own message for, and what the description does not allow."""
        if self.lacking(request):
            raise Refusal(403, "You are not authorized to perform this operation")
        routes.check(request)
        without = _without_nulls if self.settings.tolerate_nulls else None
        if problems := schema.against(self._description, request, without):
            raise Refusal(self._invalid_status(request), "; ".join(problems))

    def _invalid_status(self, request: Request) -> int:
        """Return 422, or 400 for the few calls that are described with a 400."""
        assert self._description is not None
        operation = self._description.operation(request.method, request.path)
        return 400 if operation and "400" in operation.data["responses"] else 422

    def failure(self, request: Request, status: int) -> Answer:
        """Return the vendor's form of an error, also for a 404 or a 502. A fault brings any other body itself."""
        return Answer(status, answers.error(status), self._limits.headers(bearer(request), self.clock(), self.settings))

    def objections(self, request: Request, answer: Answer | None) -> list[str]:
        """Return the differences from the description. These include nulls: clients of this project send none."""
        problems = schema.against(self._description, request)
        if answer is None or self._description is None or not self.settings.check_answers:
            return problems
        if answer.status == 401:  # the requests of an unknown token are not counted
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
