"""Documents about declared fleets, as the functions return them."""

from __future__ import annotations

from typing import Any

CREATE = {
    "action": "create", "minion_id": None, "region": "fra1", "cause": "few", "reason": "3 of 4 nodes are there",
    "after": {"USD": 6.0},
}  # fmt: skip
REPLACE = {
    "action": "replace", "minion_id": "app-1.example.com", "region": "nyc3", "cause": "drift",
    "reason": "it differs from the configuration: size", "before": {"USD": 6.0}, "after": {"USD": 12.0},
    "why": "the next window opens at 2026-12-05 02:00 UTC", "since": "2026-12-05T02:00:00+00:00",
}  # fmt: skip
DESTROY = {
    "action": "destroy", "minion_id": "app-2.example.com", "region": "nyc3", "cause": "ttl",
    "reason": "its ttl has ended", "before": {"USD": 6.0},
}  # fmt: skip
BAKE = {
    "action": "bake", "minion_id": None, "region": "nyc3", "cause": "image",
    "reason": "the newest image, hart-app-1, is 8d old, and bake_after is 7d",
}  # fmt: skip
WEB: dict[str, Any] = {
    "state": "changing", "why": "", "role": "app", "provider": "do", "regions": ["nyc3", "fra1"], "wanted": 4,
    "nodes": {"ready": 3, "coming": 0, "silent": 1, "stopped": 0, "gone": 0},
    "actions": [DESTROY, CREATE, CREATE], "following": [{**REPLACE, "why": ""}], "later": [REPLACE],
    "notes": ["app-9.example.com stays although its ttl has ended: it is protected"],
    "price": {"before": {"USD": 24.0}, "after": {"USD": 36.0}},
}  # fmt: skip
STEADY = {**WEB, "state": "steady", "actions": [], "following": [], "later": [], "notes": [], "nodes": {"ready": 4}}
BLOCKED = {**STEADY, "state": "blocked", "why": "do: the API does not answer", "price": {"before": {}, "after": {}}}
READY = {"action": "create", "result": True, "provider": "do", "region": "fra1", "public_ip": "203.0.113.7"}


def doc(function: str, **parts: Any) -> dict[str, Any]:
    return {"version": 2, "function": function, "problems": [], "notes": [], **parts}


NOTED = {
    "web": {
        "state": "changing", "since": "2026-11-30T11:59:00Z", "actions": 1, "later": 2, "job": "20261130120000000001",
        "job_began": "2026-11-30T11:59:30Z", "job_runs": True,
    },
    "ci": {
        "state": "blocked", "why": "the token is wrong", "since": "2026-11-30T10:00:00Z", "actions": 0, "later": 0,
        "job_failures": 2, "job_error": "no capacity", "next_job": "2026-11-30T12:04:00Z",
    },
}  # fmt: skip
ENGINE: dict[str, Any] = {
    "status": "working", "interval": 60.0, "leader": "m1 (one)", "leads": True, "last_look": "2026-11-30T11:59:30Z",
    "seconds": 1.5, "next_look": "2026-11-30T12:00:30Z", "fleets": NOTED,
}  # fmt: skip

FLEETS = [
    doc(
        "plan", fleets={"web": WEB, "ci": STEADY}, outside={"x-1": {"action": "destroy", "reason": "its ttl has ended"}}
    ),
    doc("plan", fleets={"web": STEADY}),
    doc("plan", fleets={}, notes=["no fleet is declared: declare one under hart:fleets"]),
    doc(
        "apply",
        fleets={"web": STEADY, "ci": BLOCKED},
        nodes={"app-3": READY},
        problems=["ci is blocked: do: no answer"],
    ),
    doc("apply", fleets={"web": STEADY}, nodes={}),
    doc("plan", fleets={"web": {**WEB, "actions": [BAKE], "following": [], "later": [{**BAKE, "why": "held"}]}}),
    doc(
        "apply", fleets={"web": STEADY}, nodes={}, bakes={"app": {"result": True, "image": "i-1", "name": "hart-app-2"}}
    ),
    doc("apply", fleets={"web": WEB}),
    doc("fleets", fleets={"web": WEB, "ci": BLOCKED}),
    doc("hold", fleets={"web": {"result": True, "state": "held"}}),
    doc("unhold", fleets={"web": {"result": True, "changed": True}}),
    doc("engine", engine=ENGINE),
    doc(
        "engine",
        engine={"status": "not running", "fleets": {}},
        problems=["the engine is configured, but it does not run"],
    ),
]
