"""Vultr for the tests that run for all clouds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.drivers.vultr.emulator.cloud import Vultr
from tests.drivers.vultr.emulator.state import Settings
from tests.emulation import faults
from tests.emulation.backend import Backend
from tests.emulation.emulator import Emulator
from tests.emulation.faults import Fault, MachineFault
from tests.end_to_end.clouds import ALL_WAYS, NEVER, Call, Case, Cloud, hits, throttled

CREATE, LOOK = Call("POST", r"/v2/instances$"), Call("GET", r"/v2/instances$")
DESTROY, IS_GONE = Call("DELETE", r"/v2/instances/[0-9a-f-]+$"), Call("GET", r"/v2/instances/[0-9a-f-]+$")
IMAGES, STOCK = Call("GET", r"/v2/os$"), Call("GET", r"/availability$")
BROKE = "the connection to Vultr's API"
LOST = CREATE.lost()
REGION = "ams"
INSIDE = "of-the-account"  #: the VPC of a node without a public address
NOT_LISTED = {"error": "Unauthorized IP address: 192.0.2.1", "status": 401}
QUOTA = {"error": "Server add failed: You have reached the maximum monthly fee limit for this account.", "status": 400}
NO_STOCK = {"error": "Server add failed: plan is not available in the selected region", "status": 400}
LOCKED = {"error": "Unable to destroy server: Unable to remove VM: Server is currently locked", "status": 500}
NO_META = {"status": 200, "answer": {"instances": []}}


def _open(backend: Backend) -> Vultr:
    """
    Return an emulator like the vendor's, in which instances are active at once.

    It has no limits that many runs in a few minutes would reach.
    """
    return Vultr(backend, settings=Settings(active_after=0.0, instance_limit=100, second_limit=None))


def _inside(emulator: Emulator) -> Mapping[str, Any]:
    """Return the options of a node without an interface to the internet: it must be in a VPC with a NAT gateway."""
    assert isinstance(emulator, Vultr)
    return {"vpc": emulator.add_vpc(INSIDE, REGION, gateway=True)}


def _page(**more: Any) -> Fault:
    """Return a fault of the second page of the list of instances."""
    return Fault("GET", LOOK.path, query="cursor=", **more)


CASES = (
    *hits("create", CREATE, BROKE, ALL_WAYS),
    *hits("images", IMAGES),
    *hits("what is in stock", STOCK),
    Case("plan: list of instances 503, three times", (LOOK.fault(status=503, times=3),)),
    Case("plan: bad token", (Fault("GET", r"/v2/instances", status=401),), "401"),
    Case("plan: unauthorized IP", (LOOK.fault(status=401, answer=NOT_LISTED),), "Access Control"),
    Case("plan: out of stock", (), "vc2-1c-1gb is not available in ams now", switches={"sold_out": ("vc2-1c-1gb",)}),
    Case("create: unauthorized IP", (CREATE.fault(status=401, answer=NOT_LISTED),), "Access Control"),
    Case("create: quota as 400", (CREATE.fault(status=400, answer=QUOTA),), "maximum monthly fee limit"),
    Case("create: out of stock", (CREATE.fault(status=400, answer=NO_STOCK),), "not available in the selected region"),
    Case("create: 429 for an hour", (throttled(CREATE, retry_after=3600),), "asks to wait 3600 s"),
    Case("create: 202 with a gateway's page", (
        CREATE.fault(status=202, answer=faults.HTML.format(502), when="after"),)),
    Case("create: answer lost, and listed a second late", (LOST, MachineFault(hidden_for=1))),
    Case("create: answer lost, and listed too late", (LOST, MachineFault(hidden_for=4)), BROKE),
    Case("create: answer lost, and locked", (LOST, MachineFault(hidden_lists=2, refuse_delete=1)), BROKE),
    Case("poll: second page 500", (_page(status=500),), count=2, switches={"page_cap": 1}),
    Case("poll: second page 429", (_page(status=429),), count=2, switches={"page_cap": 1}),
    # At the second poll: an instance that was seen before and is missing from the list counts as gone.
    Case("poll: second page without meta", (MachineFault(address_lists=1, times=2), _page(skip=1, **NO_META)),
         count=2, switches={"page_cap": 1}),
    Case("poll: a page without meta", (MachineFault(address_lists=1), LOOK.fault(skip=1, **NO_META))),
    Case("poll: bad token meanwhile", (LOOK.fault(status=401),), "401"),
    Case("0.0.0.0 for a while", (MachineFault(address_lists=2),)),
    Case("server_status never ok", (), switches={"ok_after": 3600.0}),
    Case("pending for ever, locked, several times", (MachineFault(never_active=True, refuse_delete=3),), "not running",
         **NEVER),
    Case("pending for ever, delete without effect", (MachineFault(never_active=True, ignore_delete=2),), "not running",
         **NEVER),
)  # fmt: skip

CLOUD = Cloud(
    name="vultr",
    open=_open,
    datasource="vultr",
    node={"region": REGION},
    create=CREATE, look=LOOK, destroy=DESTROY,
    refusal={"status": 400, "message": "400"},
    inside=_inside,
    # The image allows passwords, as Vultr's do.
    sshd_changes={"passwordauthentication": "no"},
    lasting=INSIDE,
    cases=CASES,
    destroying=(
        *hits("destroy", DESTROY),
        Case("destroy: locked, several times", (DESTROY.fault(status=500, answer=LOCKED, times=3),)),
        Case("destroy: 500 of another kind, twice", (DESTROY.fault(status=500, times=2),)),
        Case("destroy: delete without effect", (DESTROY.fault(status=204),)),
        Case("destroy: is it gone: 500", (IS_GONE.fault(status=500),)),
        Case("destroy: gone only seconds later", (), switches={"gone_after": 2.0}),
    ),
)  # fmt: skip
