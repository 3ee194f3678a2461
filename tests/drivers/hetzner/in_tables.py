"""Hetzner Cloud for the tests that run over all clouds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.drivers.hetzner.emulator.answers import error
from tests.drivers.hetzner.emulator.cloud import Hetzner
from tests.drivers.hetzner.emulator.state import Settings
from tests.emulation import faults
from tests.emulation.backend import Backend
from tests.emulation.emulator import Emulator
from tests.emulation.faults import Fault, MachineFault
from tests.end_to_end.clouds import ALL_WAYS, NEVER, Call, Case, Cloud, hits

CREATE, LOOK = Call("POST", r"/v1/servers$"), Call("GET", r"/v1/servers$")
MAKE_KEY, REMOVE_KEY = Call("POST", r"/v1/ssh_keys$"), Call("DELETE", r"/v1/ssh_keys/")
DESTROY = Call("DELETE", r"/v1/servers/\d+$")
BROKE = "the connection to Hetzner's API"
LOST = CREATE.lost()
INSIDE, ZONE = "of-the-project", "eu-central"  #: the network of a node without a public address
NO_META = {"status": 200, "answer": {"servers": []}}


def _open(backend: Backend) -> Hetzner:
    """Open a cloud whose servers run at once, without limits that many runs in a few minutes would reach."""
    return Hetzner(backend, settings=Settings(running_after=0.0, server_limit=100, burst=None))


def _inside(emulator: Emulator) -> Mapping[str, Any]:
    """Return the options for a server without a public address, which must be in a private network."""
    assert isinstance(emulator, Hetzner)
    return {"network": emulator.add_network(INSIDE, ZONE)}


def _says(call: Call, status: int, code: str, message: str = "", **more: Any) -> Fault:
    return call.fault(status=status, answer=error(status, message, code), **more)


#: the create call fails in each way; the other calls use the same code, and the driver's own tests cover each way too
CASES = (
    *hits("make key", MAKE_KEY, BROKE),
    *hits("create", CREATE, BROKE, ALL_WAYS),
    *hits("remove key", REMOVE_KEY, ways=("500",)),
    Case("plan: list of servers 503, three times", (LOOK.fault(status=503, times=3),)),
    Case("plan: bad token", (Fault("GET", r"/v1/", status=401),), "401 unauthorized"),
    Case("plan: out of stock", (), "cx23 is not available in fsn1 now", switches={"sold_out": ("cx23",)}),
    Case("make key: a token that may only read", (_says(MAKE_KEY, 403, "token_readonly"),), "403 token_readonly"),
    Case("create: quota as 403", (), "403 resource_limit_exceeded", switches={"server_limit": 0}),
    Case("create: no host has room", (), "error during placement (412", switches={"no_host_for": ("cx23",)}),
    Case("create: the project changes meanwhile", (_says(CREATE, 409, "conflict", times=2),)),
    Case("create: 429 without Retry-After", (CREATE.fault(status=429, times=2),)),
    Case("create: 201 with a gateway's page", (
        CREATE.fault(status=201, answer=faults.HTML.format(502), when="after"),)),
    Case("create: answer lost, and listed late", (LOST, MachineFault(hidden_lists=1))),
    Case("create: answer lost, and listed too late", (LOST, MachineFault(hidden_for=4)), BROKE),
    Case("create: answer lost, and locked", (LOST, MachineFault(hidden_lists=2, refuse_delete=1)), BROKE),
    Case("poll: second page 500", (faults.bad_page(LOOK.path, status=500),), count=2, switches={"page_cap": 1}),
    Case("poll: a page without meta", (MachineFault(address_lists=1), LOOK.fault(skip=1, **NO_META))),
    Case("poll: bad token meanwhile", (LOOK.fault(status=401),), "401 unauthorized"),
    Case("pending for ever, delete without effect", (MachineFault(never_active=True, ignore_delete=2),), "not running",
         **NEVER),
)  # fmt: skip

CLOUD = Cloud(
    name="hetzner",
    open=_open,
    datasource="hetzner",
    node={"region": "fsn1"},
    create=CREATE,
    look=LOOK,
    destroy=DESTROY,
    knows_key=True,
    refusal={
        "status": 422, "answer": error(422, "invalid input in field 'image'", "invalid_input", ["image"]),
        "message": "invalid input in field 'image': image (422 invalid_input",
    },
    inside=_inside,
    lasting=INSIDE,
    cases=CASES,
    destroying=(
        *hits("destroy", DESTROY),
        Case("destroy: locked, several times", (_says(DESTROY, 423, "locked", times=3),)),
        Case("destroy: delete without effect", (DESTROY.fault(status=200, answer={"action": {"id": 7}}),)),
        Case("destroy: gone only seconds later", (), switches={"gone_after": 2.0}),
    ),
)  # fmt: skip
