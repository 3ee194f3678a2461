"""Compute Engine, for the tests that run over all clouds."""

from __future__ import annotations

from typing import Any

from hart_salt.drivers.gce.instances import name_of
from tests.drivers.gce.emulator.answers import error
from tests.drivers.gce.emulator.cloud import ComputeEngine
from tests.drivers.gce.emulator.state import Settings
from tests.emulation.backend import Backend
from tests.emulation.faults import Fault, MachineFault
from tests.end_to_end.clouds import ALL_WAYS, NEVER, Call, Case, Cloud, hits, throttled

CREATE, LOOK = Call("POST", r"/zones/[^/]+/instances$"), Call("GET", r"/aggregated/instances$")
INSTANCE = r"/zones/[^/]+/instances/[^/]+"
DESTROY, READ = Call("DELETE", f"{INSTANCE}$"), Call("GET", f"{INSTANCE}$")
SET_TAGS, SET_METADATA = Call("POST", f"{INSTANCE}/setTags$"), Call("POST", f"{INSTANCE}/setMetadata$")
MAKE_RULE, REMOVE_RULE = Call("POST", r"/global/firewalls$"), Call("DELETE", r"/global/firewalls/")
CREATES = Call("GET", r"/zones/[^/]+/operations$")
OPERATION, RULE_OPERATION = Call("GET", r"/zones/[^/]+/operations/."), Call("GET", r"/global/operations/.")
LOST = CREATE.lost()
SOLD_OUT = "ZONE_RESOURCE_POOL_EXHAUSTED"
#: for polls: the same code retries all of them, and the functional tests break them in every way
ONE_WAY = ("500",)
#: attempts by the library itself with a token that is refused
TRIES = 3


def _open(backend: Backend) -> ComputeEngine:
    """Open a cloud as the vendor's, except that instances run at once."""
    return ComputeEngine(backend, settings=Settings(staging_after=0.0, running_after=0.0))


def _refused(call: Call, status: int, message: str, reason: str, **more: Any) -> Fault:
    return call.fault(status=status, answer=error(status, message, reason), **more)


def _late(name: str, code: str, status: int | None, after: float = 0.0) -> Case:
    """Return a case in which a create is accepted and its operation then fails."""
    return Case(name, (), code, switches={"late_error": code, "late_status": status, "late_after": after})


CASES = (
    *hits("make rule", MAKE_RULE, ways=ALL_WAYS),
    *hits("make rule: is it done", RULE_OPERATION, ways=ONE_WAY),
    *hits("create", CREATE, ways=ALL_WAYS),
    *hits("creates under way", CREATES),
    *hits("settle: read", READ, ways=ONE_WAY),
    *hits("settle: tags", SET_TAGS),
    *hits("settle: metadata", SET_METADATA),
    *hits("settle: is it done", OPERATION, ways=ONE_WAY),
    *hits("remove rule", REMOVE_RULE),
    Case("plan: list of instances 503, three times", (LOOK.fault(status=503, times=3),)),
    Case("plan: bad token", (Fault("GET", "/compute/v1/", status=401, times=TRIES),), "401"),
    Case("make rule: not allowed", (MAKE_RULE.fault(status=403),), "403 forbidden"),
    Case("make rule: quota as 403", (), "403 quotaExceeded", switches={"firewall_limit": 0}),
    Case("make rule: network not ready", (
        _refused(MAKE_RULE, 400, "The resource is not ready", "resourceNotReady", times=2),)),
    Case("create: quota as 403", (), "403 quotaExceeded", switches={"instance_limit": 0}),
    Case("create: rate limit as 403", (_refused(CREATE, 403, "Rate Limit Exceeded", "rateLimitExceeded", times=2),)),
    Case("create: 429 for an hour", (throttled(CREATE, retry_after=3600),), "asks to wait 3600 s"),
    Case("create: 200 with a gateway's page", (CREATE.fault(status=200, answer="<html></html>", when="after"),)),
    Case("create: answers lost, twice", (CREATE.lost(times=2),)),
    Case("create: answer lost, and its request id forgotten", (LOST,), switches={"remembers_requests": False}),
    Case("create: answer lost, and refuses to die", (
        LOST, MachineFault(never_active=True, refuse_delete=2)), "not running within 2 s", **NEVER),
    _late("create fails late, sold out", SOLD_OUT, 503),
    _late("create fails late, without a status", SOLD_OUT, None),
    _late("create fails late, after it was listed", f"{SOLD_OUT}_WITH_DETAILS", 503, after=1.5),
    _late("create fails late, quota", "QUOTA_EXCEEDED", 403),
    Case("create fails late, answer lost", (LOST,), SOLD_OUT, switches={"late_error": SOLD_OUT, "late_after": 1.0}),
    Case("nothing, in the zones with the fewest minions", (), count=3, settings={"zone": "distributed"}),
    Case("operation of the create is stuck", (), switches={"stuck_creates": True}),
    Case("poll: bad second page", (LOOK.fault(query="pageToken=page-1", status=500),), count=2,
         switches={"page_cap": 1}),
    Case("poll: second page 429", (LOOK.fault(query="pageToken=page-1", status=429),), count=2,
         switches={"page_cap": 1}),
    Case("poll: bad token meanwhile", (LOOK.fault(status=401, times=TRIES),), "401"),
    Case("settle: metadata changed meanwhile", (_refused(SET_METADATA, 412, "", "conditionNotMet"),)),
    Case("settle: tags changed meanwhile", (_refused(SET_TAGS, 412, "", "conditionNotMet"),)),
    Case("pending for ever, delete fails late", (MachineFault(never_active=True, ignore_delete=2),), "not running",
         **NEVER),
)  # fmt: skip

CLOUD = Cloud(
    name="gce",
    open=_open,
    datasource="gce-startup",
    node={"region": "us-central1", "zone": "us-central1-b"},
    create=CREATE, look=LOOK, destroy=DESTROY,
    refusal={"status": 400, "message": "400 invalid"},
    booted="systemctl -q is-active google-startup-scripts.service",
    # As if the script had not been removed: it runs at every boot, and must know that it is done.
    before_reboot=ComputeEngine.give_again,
    restored="true",
    reran="journalctl -b -u google-startup-scripts -o cat | grep -q 'startup-script exit status 0'",
    script_unit="google-startup-scripts.service",
    hostname=name_of,
    cases=CASES,
    destroying=(
        *hits("destroy", DESTROY),
        *hits("destroy: is it done", OPERATION, ways=ONE_WAY),
        Case("destroy: something else is done to it", (
            _refused(DESTROY, 400, "The resource is not ready", "resourceNotReady", times=2),)),
    ),
)  # fmt: skip
