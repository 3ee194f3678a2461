"""
An emulator of Hetzner Cloud's API v1: a stateful project on loopback, whose servers are machines of a back end.

What is known of the API is from docs.hetzner.cloud and the vendor's clients (hetznercloud/hcloud-python and hcloud-go);
``test_hcloud.py`` drives the emulator with the first. The code of an error is known; its status is not always known.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hart_salt.drivers.hetzner.rights import RIGHTS
from tests.drivers.hetzner.emulator import answers, form, images, project, routes, servers
from tests.drivers.hetzner.emulator.answers import Refusal
from tests.drivers.hetzner.emulator.limits import Limits
from tests.drivers.hetzner.emulator.state import Server, Settings, State, World
from tests.emulation.backend import Backend
from tests.emulation.http import Answer, Request
from tests.emulation.stateful import StatefulEmulator, bearer

#: modules whose import registers their routes
HANDLERS = (images, project, servers)
#: has the length and letters of the vendor's tokens; nothing else about it is real
TOKEN = "abcdefghijklmnopqrstuvwxyzABCDEF" + "GHIJKLMNOPQRSTUVWXYZ0123456789ab"


class Hetzner(StatefulEmulator[State, Settings]):
    """One emulated project; see the module."""

    root = "/v1"
    rights = RIGHTS

    def __init__(self, backend: Backend | None = None, *, settings: Settings | None = None, **more: Any) -> None:
        super().__init__(backend, settings or Settings(), TOKEN, **more)
        #: tokens that can only read
        self.reading: set[str] = set()
        self._world = World(state=State(), **self.parts())
        self._limits = Limits()

    def user_data(self) -> dict[str, str]:
        """Return the user-data by server name, as the machine runs it."""
        return {it.name: it.user_data for it in self.state.servers.values()}

    def instances(self) -> Iterable[Server]:
        """Return the servers, including those that are being deleted."""
        return self.state.servers.values()

    def left(self) -> dict[str, list[str]]:
        """Return what is left, with servers as ``instances``, the name that tests of all clouds look for."""
        left = super().left()
        return {"instances": left.pop("servers"), **left}

    def clear(self) -> None:
        """Remove everything but the servers, including what the methods below made."""
        state = self.state
        for snapshot in list(state.snapshots.values()):
            images.forget(self._world, snapshot)
        for things in (state.keys, state.networks, state.firewalls, state.actions, state.mails):
            things.clear()

    def add_snapshot(self, name: str, architecture: str = "x86") -> int:
        """Add a snapshot of the project and return its id."""
        with self.lock:
            return images.add_snapshot(self._world, name, architecture).id

    def add_network(self, name: str, *zones: str) -> int:
        """Add a private network with subnets in those network zones, and return its id."""
        with self.lock:
            return project.new_network(self._world, name, list(zones)).id

    def handle(self, request: Request) -> Answer:
        """Check the token and the limit, then answer the call."""
        self._world.tick()
        try:
            self._authorize(request)
            answer = self._limited() or routes.dispatch(self._world, request)
        except Refusal as refusal:
            answer = Answer(refusal.status, refusal.body)
        added = {"x-correlation-id": "1e30f35cca296a67", **self._limits.headers(self.clock(), self.settings.burst)}
        return Answer(answer.status, answer.body, {**added, **answer.headers})

    def _authorize(self, request: Request) -> None:
        token = bearer(request)
        if token not in self.tokens:
            raise Refusal(401)
        lacking = self.lacking(request)
        if (token in self.reading and request.method != "GET") or "Read & Write" in lacking:
            raise Refusal(403, "token is only allowed to perform GET requests", "token_readonly")
        if lacking:
            raise Refusal(403)

    def _limited(self) -> Answer | None:
        if not self._limits.refuses(self.clock(), self.settings.burst):
            return None
        return Answer(429, answers.error(429), {"retry-after": "1"} if self.settings.sends_retry_after else {})

    def failure(self, request: Request, status: int) -> Answer:
        """Return the vendor's form of an error, or an empty success. A fault brings any other body itself."""
        return Answer(status, answers.error(status) if status >= 400 else None)

    def objections(self, request: Request, answer: Answer | None) -> list[str]:
        """Return what is wrong in the form of a create, and filters that match everything."""
        empty = [name for name, values in request.query.items() if "" in values]
        body = request.json() if request.method == "POST" and request.path == "/v1/servers" else None
        wrong = list(form.against_create(body)) if isinstance(body, dict) else []
        # Its length can depend on the user: the API refuses it then, and the driver has no fault.
        wrong = [name for name in wrong if name != "user_data"]
        return [f"body: {name}" for name in wrong] + [f"query: {name} is empty" for name in empty]

    def shown(self) -> dict[str, Any]:
        """Return the project as its API shows it."""
        state, world = self.state, self._world
        return {
            "servers": [answers.server(world, it) for it in state.servers.values()],
            "keys": [answers.key(it) for it in state.keys.values()],
            "networks": [answers.network(world, it) for it in state.networks.values()],
            "firewalls": [answers.firewall(world, it) for it in state.firewalls.values()],
        }
