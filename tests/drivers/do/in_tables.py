"""DigitalOcean for the tests that run for all clouds."""

from __future__ import annotations

from tests.drivers.do.emulator.cloud import DigitalOcean
from tests.drivers.do.emulator.state import Settings
from tests.emulation import faults
from tests.emulation.backend import Backend
from tests.emulation.faults import Fault, MachineFault
from tests.end_to_end.clouds import ALL_WAYS, NEVER, Call, Case, Cloud, hits, throttled

CREATE, LOOK = Call("POST", r"/v2/droplets$"), Call("GET", r"/v2/droplets$")
MAKE_KEY, REMOVE_KEY = Call("POST", r"/v2/account/keys"), Call("DELETE", r"/v2/account/keys")
REMOVE_TAG = Call("DELETE", r"/v2/tags/")
DESTROY, IS_GONE = Call("DELETE", r"/v2/droplets/\d+$"), Call("GET", r"/v2/droplets/\d+$")
BROKE = "the connection to DigitalOcean's API"
LOST = CREATE.lost()


def _open(backend: Backend) -> DigitalOcean:
    """
    Return an emulator like the vendor's, in which droplets are active at once.

    It has no rate limits, which many runs in a few minutes would reach.
    """
    settings = Settings(active_after=0.0, droplet_limit=100, hourly_limit=None, minute_limit=None, key_lists_limit=None)
    return DigitalOcean(backend, settings=settings)


CASES = (
    *hits("make key", MAKE_KEY, BROKE, ALL_WAYS),
    *hits("create", CREATE, BROKE, ALL_WAYS),
    *hits("remove key", REMOVE_KEY),
    *hits("remove tag", REMOVE_TAG),
    Case("plan: list of droplets 503, three times", (LOOK.fault(status=503, times=3),)),
    Case("plan: bad token", (Fault("GET", r"/v2/", status=401),), "401"),
    Case("make key: bad token", (MAKE_KEY.fault(status=401),), "401"),
    Case("create: 429 for an hour", (throttled(CREATE, retry_after=3600),), "asks to wait 3600 s"),
    Case("create: 202 with a gateway's page", (
        CREATE.fault(status=202, answer=faults.HTML.format(502), when="after"),)),
    Case("create: answer lost, and listed late", (LOST, MachineFault(hidden_lists=1))),
    Case("create: answer lost, and listed too late", (LOST, MachineFault(hidden_for=4)), BROKE),
    Case("create: answer lost, and refuses to die", (LOST, MachineFault(hidden_lists=2, refuse_delete=1)), BROKE),
    Case("poll: bad second page", (faults.bad_page(LOOK.path, status=500),), count=2, switches={"page_cap": 1}),
    Case("poll: second page 429", (faults.bad_page(LOOK.path),), count=2, switches={"page_cap": 1}),
    Case("poll: bad token meanwhile", (LOOK.fault(status=401),), "401"),
    Case("new for ever, delete without effect", (MachineFault(never_active=True, ignore_delete=2),), "not running",
         **NEVER),
)  # fmt: skip

CLOUD = Cloud(
    name="do",
    open=_open,
    datasource="digitalocean",
    node={"region": "nyc3"},
    create=CREATE, look=LOOK, destroy=DESTROY,
    knows_key=True,
    refusal={"status": 422, "message": "422"},
    # Tags remain when droplets are deleted. These are the same for all nodes of a master, and need not be removed.
    lasting=r"hart|hart-complete|hart-(owner|role|digest|release|arch|baking):.*",
    cases=CASES,
    destroying=(
        *hits("destroy", DESTROY),
        Case("destroy: is it gone: 500", (IS_GONE.fault(status=500),)),
    ),
)  # fmt: skip
