"""
An emulator of Compute Engine's API v1: a stateful project on loopback, whose instances are machines of a back end.

Every request and every answer is checked against the message types of Google's own library (``schema.py``): a
request that does not match them is refused, and ``said_against`` has the defects of the emulator's answers. It also
refuses what the vendor refused users. Where the vendor's behaviour varies, a switch
(``state.Settings``) or a fault (``faults``) selects it.

It also issues tokens (``/token``), and returns the address that a request came from (``/address``).
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from hart_salt.drivers.gce.rights import RIGHTS
from tests.drivers.gce.emulator import answers, project, routes, schema, tokens
from tests.drivers.gce.emulator import create as gce_create
from tests.drivers.gce.emulator import images as gce_images
from tests.drivers.gce.emulator import instances as gce_instances
from tests.drivers.gce.emulator.answers import Refusal
from tests.drivers.gce.emulator.state import Image, Instance, Settings, State, Subnet, World, new_state
from tests.emulation.backend import Backend
from tests.emulation.http import Answer, Request
from tests.emulation.stateful import StatefulEmulator, bearer

#: modules whose import registers their routes
HANDLERS = (gce_create, gce_images, gce_instances, project)
#: the type of the operation of a preemption, and the seconds from then until the instance is deleted
PREEMPTED, NOTICE = "compute.instances.preempted", 30.0
TOKEN, ADDRESS = "/token", "/address"
#: the former path of the token server, which some clients still use
OLD_TOKEN = "/o/oauth2/token"  # noqa: S105
#: the address that every request seems to come from
CALLER = "203.0.113.77"
MINUTE = 60.0


class ComputeEngine(StatefulEmulator[State, Settings]):
    """An emulated Compute Engine; see the module."""

    rights = RIGHTS

    def __init__(self, backend: Backend | None = None, *, settings: Settings | None = None, **server: Any) -> None:
        super().__init__(backend, settings or Settings(), **server)
        self.service_account = tokens.Account()
        ids = itertools.count(4_112_000_000_000_000_001, 7919)
        state = new_state(self.clock(), ids)
        self._world = World(state=state, user=self.service_account.email, ids=ids, **self.parts())
        self._calls_of_a_minute: deque[float] = deque()

    @property
    def project(self) -> str:
        """The only project, apart from those with Google's images."""
        return str(self._world.project)

    def account(self) -> dict[str, Any]:
        """Return hart's settings of the account, with the key as text."""
        return {
            "project": self.project,
            "user_id": self.service_account.email,
            "key": self.service_account.key,
            "endpoint": self.endpoint,
            "address_service": f"{self.base_url}{ADDRESS}",
        }

    def made(self) -> int:
        """Return the number of instances ever made, including those whose create failed later."""
        return len(self.state.made)

    def user_data(self) -> dict[str, str]:
        """Return the scripts of the create calls, because the metadata has them only during the boot."""
        return {instance.minion: instance.user_data for instance in self.state.instances.values()}

    def instances(self) -> Iterable[Instance]:
        """Return all instances, including those that are being deleted."""
        return self.state.instances.values()

    def preempt(self, instance_id: str) -> None:
        """Take a spot instance away: it is cut off and deleted after 30 seconds."""
        with self.lock:
            it = self._world.state.instances[int(instance_id)]
            it.preempted_at, scope = self.clock(), f"zones/{it.zone}"
            self._world.begin(
                PREEMPTED, scope, f"{scope}/instances/{it.name}", it.id, NOTICE, lambda: self._world.remove(it)
            )

    def clear(self) -> None:
        """Remove everything except what a new project has."""
        state = self._world.state
        for image in [image for image in state.images if image.source]:
            state.images.remove(image)
            self.machines.forget(image.made_of)
        for things in (state.disks, state.operations, state.requests):
            things.clear()
        for name in [name for name in state.firewalls if not name.startswith("default-")]:
            del state.firewalls[name]

    def add_snapshot(self, name: str) -> str:
        """Add an image to the project and return its name."""
        self.add_image(name)
        return name

    def add_image(self, name: str, **changes: Any) -> Image:
        """Add an image to the project."""
        with self.lock:
            facts = {"project": self.project, "family": "", "made_of": name, "architecture": "X86_64", **changes}
            image = Image(id=next(self._world.ids), name=name, created=self.clock(), **facts)
            self._world.state.images.append(image)
            return image

    def add_subnet(self, name: str, region: str, network: str, **changes: Any) -> Subnet:
        """Add a subnet, and its network if there is none of that name."""
        with self.lock:
            state = self._world.state
            state.networks.setdefault(network, next(self._world.ids))
            subnet = Subnet(next(self._world.ids), name, region, network, f"10.{len(state.subnets)}.0.0/24", **changes)
            state.subnets.append(subnet)
            return subnet

    def give_again(self, minion: str) -> None:
        """Put the script of an instance back into its metadata, as if it had not been removed."""
        with self.lock:
            instance = next(it for it in self._world.state.instances.values() if it.minion == minion)
            kept = [item for item in instance.metadata if item["key"] != "startup-script"]
            instance.metadata = [*kept, {"key": "startup-script", "value": instance.user_data}]

    def called(self, method: str, path: str) -> str:
        """Return the API's name of a method, such as ``images.getFromFamily``."""
        return routes.called(method, path)

    def purposes(self, body: Mapping[str, Any]) -> list[str]:
        """Return the settings of an instance that need more permissions."""
        return ["the setting `service_account`"] if body.get("serviceAccounts") else []

    def handle(self, request: Request) -> Answer:
        """Check token and rate limit, then handle the call itself."""
        if request.path == ADDRESS:
            return Answer(200, f"{CALLER}\n")
        if request.path in (TOKEN, OLD_TOKEN):
            return self.service_account.give(request)
        self._world.tick()
        if request.path.endswith(":testIamPermissions"):
            return self._granted(request)
        if not self.service_account.accepts(bearer(request)):
            return Answer(401, answers.error(401))
        try:
            self._count()
            found, segments = routes.find(request)
            self._permit(request)
            answer = found.handler(self._world, request, *segments)
        except Refusal as refusal:
            answer = Answer(refusal.status, refusal.body)
        self._world.tick()
        return answer

    def _granted(self, request: Request) -> Answer:
        """Return the permissions that the switch ``denied`` does not deny, as Cloud Resource Manager does."""
        if not self.service_account.may_read_permissions(bearer(request)):
            return Answer(401, answers.error(401))
        asked = request.json()["permissions"]
        return Answer(200, {"permissions": [one for one in asked if one not in self.settings.denied]})

    def _permit(self, request: Request) -> None:
        if lacking := self.lacking(request):
            place = request.path.removeprefix("/compute/v1/")
            raise Refusal(403, f"Required '{lacking[0]}' permission for '{place}'", "forbidden")

    def _count(self) -> None:
        now, limit = self.clock(), self.settings.minute_limit
        while self._calls_of_a_minute and self._calls_of_a_minute[0] <= now - MINUTE:
            self._calls_of_a_minute.popleft()
        if limit is not None and len(self._calls_of_a_minute) >= limit:
            raise Refusal(403, "Quota exceeded for quota metric 'Read requests' and limit 'Read requests per minute'",
                          "rateLimitExceeded")  # fmt: skip
        self._calls_of_a_minute.append(now)

    def failure(self, request: Request, status: int) -> Answer:
        """Return a refusal in the vendor's form."""
        return Answer(status, answers.error(status))

    def objections(self, request: Request, answer: Answer | None) -> list[str]:
        """Return how a request and its answer violate the message types."""
        if not request.path.startswith(routes.PREFIX):
            return []
        try:
            found, _ = routes.find(request)
        except Refusal:
            return [f"no such call: {request.method} {request.path}"]
        said = []
        if found.body:
            try:
                said += schema.problems(found.body, request.json())
            except ValueError:
                said.append("body: not JSON")
        if answer is not None and answer.status == 200:
            said += [f"answer: {text}" for text in schema.problems(found.answer, answer.body)]
        return said

    def shown(self) -> dict[str, Any]:
        """Return the project as JSON."""
        state, now = self.state, self.clock()
        instances = [
            {"id": str(it.id), "name": it.name, "zone": it.zone, "status": it.status(now), "tags": it.tags,
             "labels": it.body.get("labels", {}), "metadata": [item["key"] for item in it.metadata]}
            for it in state.instances.values()
        ]  # fmt: skip
        return {"instances": instances, "firewalls": [it.body for it in state.firewalls.values()]}
