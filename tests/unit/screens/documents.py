"""Documents about declared fleets and about images, as the functions return them."""

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

BAKED_IMAGE: dict[str, Any] = {
    "description": "hart-app-202611301200-1a2b3c4d5e6f70", "available": True, "baked": True, "state": "available",
    "role": "app", "release": "3008.3", "arch": "amd64", "regions": ["nyc3", "fra1"],
    "created": "2026-11-30T12:00:00+00:00", "age_seconds": 3600, "size_gb": 2.36, "monthly_price": 0.14,
    "currency": "USD", "nodes": ["app-1.example.com", "app-2.example.com"], "outdated": ["settings", "image"],
}  # fmt: skip
HALF_MADE = {
    **BAKED_IMAGE, "description": "hart-app-202611291200-2a2b3c4d5e6f70", "available": False, "state": "half made",
    "created": "2026-11-29T12:00:00+00:00", "size_gb": None, "monthly_price": None, "currency": None, "nodes": [],
    "outdated": None, "release": None,
}  # fmt: skip
BAKE_PLAN: dict[str, Any] = {
    "result": None, "action": "bake", "role": "app", "provider": "do", "region": "nyc3", "zone": None,
    "size": "s-1vcpu-1gb", "monthly_price": 6.0, "currency": "USD", "base_image": "trixie", "apply": ["base", "app"],
    "copies": ["fra1"], "image_price_gb": 0.06, "image_currency": "USD", "keep": 3,
    "deleted": ["101", "102"], "notes": [],
}  # fmt: skip
BAKE_DONE: dict[str, Any] = {
    "result": True, "image": "112233445", "name": "hart-app-202611301200-1a2b3c4d5e6f70", "role": "app",
    "provider": "do", "region": "nyc3", "release": "3008.3", "arch": "amd64", "size_gb": 2.36,
    "copies": {"fra1": "112233446"}, "deleted": ["101", "102"], "notes": ["the image 103 (old) stays: app-9 runs"],
    "seconds": {"launching": 21.0, "imaging": 80.0},
}  # fmt: skip
BAKE_FAILED = {
    "result": False, "error": "the states could not be applied: ID: nginx, package.installed failed",
    "output": ["hart: apply", "E: no nginx"], "log": "/var/log/salt/hart/hart-bake-app-1a2b3c4d.log", "notes": [],
}  # fmt: skip
DELETED = {"action": "delete", "name": "hart-app-202611301200-1a2b3c4d5e6f70", "role": "app", "provider": "do"}
IMAGES = [
    doc("list_images", images={"trixie": {"description": "Debian 13", "available": True}}),
    doc(
        "list_images",
        images={
            "trixie": {"description": "Debian 13", "available": True}, "112233445": BAKED_IMAGE, "112": HALF_MADE
        },
    ),
    doc("bake", bakes={"app": BAKE_PLAN}),
    doc("bake", bakes={"app": BAKE_DONE}),
    doc("bake", bakes={"app": BAKE_FAILED}, retcode=1),
    doc("bake", bakes={"app": {**BAKE_DONE, "result": False, "error": "it could not be copied to fra1: 503"}}),
    doc("bake", bakes={}, error="hart.bake needs a role: salt-run hart.bake ROLE", retcode=2),
    doc("remove_image", images={"112233445": {"result": True, **DELETED}}),
    doc("remove_image", images={"112233445": {"result": None, **DELETED}}),
    doc("remove_image", images={"112233445": {"result": False, **DELETED, "error": "503"}}, retcode=1),
]  # fmt: skip
