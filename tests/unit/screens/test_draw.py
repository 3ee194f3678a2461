"""Each document has a screen that fits the terminal; nothing of a failure is lost."""

from __future__ import annotations

import re
from typing import Any

import pytest
from rich.cells import cell_len

from hart_salt.inventory.journal import Entry, as_data
from hart_salt.screens.draw import SCREENS, draw
from hart_salt.screens.paper import Paper
from tests.unit.screens import documents
from tools import reference

FACTS = {"role": "app", "provider": "do", "region": "nyc3", "zone": None, "size": "s-1vcpu-1gb"}


def doc(function: str, **parts: Any) -> dict[str, Any]:
    return {"version": 2, "function": function, "problems": [], "notes": [], **parts}


CREATED = doc(
    "create_role",
    nodes={
        "app-1.example.com": {
            "result": True, **FACTS, "public_ip": "203.0.113.7", "private_ip": "10.0.0.3", "notes": [],
            "seconds": {"launching": 21.2, "bootstrapping": 14.0},
        },
        "app-2.example.com": {
            "result": False, **FACTS, "public_ip": None, "seconds": {"launching": 21.2},
            "error": "apt-get update failed on the node: it cannot resolve the name of the mirror; the node has no DNS",
            "output": ["hart: install", "E: cannot resolve"], "log": "/var/log/salt/hart/app-2.example.com.log",
            "notes": ["the image has no cloud-init"],
        },
    },
    problems=["do: the temporary key hart-1 could not be removed: 503"], retcode=1,
)  # fmt: skip
PLANNED = {"result": None, "action": "create", **FACTS, "monthly_price": 6.0, "currency": "USD"}
PLAN = doc("create_role", nodes={"app-1": PLANNED, "app-2": PLANNED})
SCALED = doc(
    "scale", role="app", before=3, after=2, changed=True,
    nodes={
        "app-1": {"action": "destroy", "result": True, "provider": "do"},
        "app-7": {"action": "keep", "result": False, "error": "its drain failed: exit code 3"},
    },
)  # fmt: skip
LISTED = doc(
    "list_minions",
    nodes={
        "app-1.example.com": {
            "status": "ready", **FACTS, "public_ip": "203.0.113.7", "private_ip": None, "created": None, "note": None,
        },
        "app-2.example.com": {
            "status": "left at bootstrapping", **FACTS, "public_ip": None, "private_ip": None, "created": None,
            "error": "no route",
        },
    },
    problems=["ec2: the API does not answer"],
)  # fmt: skip
SIZES = doc(
    "list_sizes",
    sizes={
        "s-1vcpu-512mb": {"memory_mb": 512, "cpus": 1, "disk_gb": 10, "monthly_price": 4.0, "currency": "USD",
                          "available": True, "description": "Basic"},
        "m": {"memory_mb": 8192, "cpus": 0.5, "disk_gb": None, "monthly_price": None, "currency": "USD",
              "available": False, "description": ""},
    },
)  # fmt: skip
COST = doc(
    "cost",
    cost={
        "month": "2026-11", "total": {"EUR": 3.49, "USD": 6.0}, "roles": {"app": {"USD": 6.0}, "(none)": {"EUR": 3.49}},
        "providers": {"do": {"USD": 6.0}, "eu": {"EUR": 3.49}},
        "nodes": {
            "app-1": {**FACTS, "hours": 720.0, "cost": 6.0, "currency": "USD"},
            "b.example.com": {**FACTS, "role": None, "hours": 3.5, "cost": 3.49, "currency": "EUR"},
        },
    },
    notes=["the journal begins at 2026-11-02: nodes that were destroyed before do not count"],
)  # fmt: skip
CHECKED = doc(
    "check",
    checks={
        "do app": "problem: there is no size big at do in nyc3; did you mean small?", "do": "ok: the token is valid",
        "quota": "unknown: only a change would show it",
    },
)  # fmt: skip
SHOWN = doc(
    "show",
    nodes={
        "app-1": {
            "status": "ready", **FACTS, "kind": "minion", "public_ip": "203.0.113.7", "created": None,
            "instance_id": "4711",
            "sources": {"cloud": "running", "record": "ready", "key": "accepted", "present": True},
            "seconds": {"launching": 21.2, "bootstrapping": 14.0}, "addresses": [], "notes": [], "sealed": True,
            "minion_key_finger": "aa:bb", "batch": "1-a", "monthly_price": 6.0, "currency": "USD",
        },
    },
)  # fmt: skip
SWEPT = doc(
    "sweep", removed=[{"kind": "instance", "name": "app-9", "provider": "do", "why": "its record is gone"}],
    kept=[{"kind": "SSH key", "name": "hart-1", "provider": "do", "why": "it is young"}],
)  # fmt: skip
REFUSED = doc(
    "create", nodes={}, error="2 faults:\nhart:a: unknown\nhart:b: must be text", problems=["2 faults"], retcode=2
)
BOOTED = {"end": "done", "began": 0.0, "total": 35.2, "seconds": {"launching": 21.2, "bootstrapping": 14.0}}
FAILED = {"end": "failed", "began": 0.5, "total": 300.0, "seconds": {"launching": 22.0, "running": 278.0}}
TIMELINE = doc(
    "timeline", nodes={"app-2.example.com": FAILED, "app-1.example.com": BOOTED}, steps={}, total=300.5, file="/x.html",
    stages={"launching": {"median": 21.6}, "bootstrapping": {"median": 14.0}},
)  # fmt: skip
OUTCOME = {
    **as_data(Entry("create", "app-1", True, 1_764_489_600.0, by="alice (sudo)")), "seconds": 34.2,
    "monthly_price": 6.0, "currency": "USD", "role": "app",
}  # fmt: skip
HISTORY = [
    OUTCOME,
    {**OUTCOME, "action": "add_ip", "result": False, "details": {"ip": "203.0.113.7"}, "error": "no more addresses"},
    {
        **OUTCOME,
        "action": "sweep",
        "kind": "SSH key",
        "minion_id": "hart-1",
        "by": "reactor sweep (salt://reactor/s.sls)",
    },
]
FLEET = doc(
    "report",
    fleet={
        "nodes": 3, "status": {"ready": 2, "no key": 1}, "role": {"app": 3}, "region": {"do nyc3": 3},
        "monthly_price": {"USD": 12.0}, "unknown_prices": 1, "file": "/srv/fleet.html",
        "last_30_days": {"created": 3, "failed": 0, "destroyed": 1}, "median_seconds": {"launching": 21.2},
    },
)  # fmt: skip
SIMULATED = {
    "fleet": "web", "file": "/srv/day.jsonl", "from": "2026-11-30T00:00:00+00:00",
    "until": "2026-11-30T23:59:00+00:00", "min": 1, "max": 10, "target": 0.5,
    "rows": [
        {
            "time": "2026-11-30T00:00:00+00:00", "load": 4.0, "average": 2.0, "wanted": 6, "ready": 2,
            "reason": "the average is 2, the target 0.5: it takes 8 nodes; one step goes to 6 at most",
        }
    ],
    "totals": {
        "hours": 23.98, "node_hours": 51.17, "overloaded_hours": 0.1, "blind_hours": 1.0, "highest": 6, "lowest": 1,
        "changes": 1, "price": {"USD": 1.5},
    },
}  # fmt: skip
DOCUMENTS = [
    *documents.FLEETS,
    *documents.IMAGES,
    CREATED,
    PLAN,
    SCALED,
    LISTED,
    SIZES,
    COST,
    CHECKED,
    SHOWN,
    SWEPT,
    REFUSED,
    doc("list_regions", regions={"us-east-1": {"description": "", "zones": ["us-east-1a"], "available": False}}),
    doc("list_roles", roles={"app": ["do", "ec2"]}),
    doc("list_roles", roles={}),
    doc("list_minions", nodes={}),
    doc("sweep", removed=[], kept=[]),
    doc("sweep", notes=["another sweep is running; nothing was changed"]),
    doc("explain", entries={"size": {"kind": "setting", "summary": "The size, by the provider's name for it."}}),
    doc(
        "explain", entries={"size": {"kind": "setting", "type": "text", "set": "in any layer", "description": "Size."}}
    ),
    doc("version", versions={"hart-salt": "1.0.0"}),
    doc("show_role", settings={"apply": None, "minion_config": {"a": 1}}),
    doc("sync_keys", masters={"m2": {"result": True, "accepted": ["a"], "nodes": {"b": None}}}),
    doc("node_of", ip="203.0.113.7", minion_id=None, nodes={}),
    doc("from_salt_cloud", text="hart:\n  a: 1\n"),
    TIMELINE,
    FLEET,
    doc("report", fleet={}),
    doc("create", nodes={}, job="2026", notes=["it runs as its own job"]),
    doc("check_seal", nodes={"web-1": {"result": True}}),
    doc("not_here_yet", things={"a": 1}),
    doc("history", history=[]),
    doc("history", history=HISTORY),
    doc("simulate", simulation=SIMULATED),
]


def test_a_create_has_one_line_for_each_node_and_the_reason_of_each_failure() -> None:
    assert draw(CREATED, Paper(80)).splitlines() == [
        "NODE               RESULT  ADDRESS      SECONDS  PROVIDER  PLACE  SIZE",
        "app-1.example.com  ready   203.0.113.7       35  do        nyc3   s-1vcpu-1gb",
        "app-2.example.com  failed                    21  do        nyc3   s-1vcpu-1gb",
        "  apt-get update failed on the node: it cannot resolve the name of the mirror;",
        "  the node has no DNS",
        "  | E: cannot resolve",
        "  log: /var/log/salt/hart/app-2.example.com.log",
        "  the image has no cloud-init",
        "",
        "2 nodes: 1 ready, 1 failed; the slowest took 35 s.",
        "",
        "problem: do: the temporary key hart-1 could not be removed: 503",
    ]


def test_a_history_has_a_line_for_each_outcome_and_who_called() -> None:
    assert draw(doc("history", history=HISTORY), Paper(120)).splitlines() == [
        "TIME (UTC)        NAME            ACTION  RESULT  ROLE  TOOK  A MONTH  BY",
        "2025-11-30 08:00  app-1           create  done    app   34 s    $6.00  alice (sudo)",
        "2025-11-30 08:00  app-1           add_ip  failed  app   34 s    $6.00  alice (sudo)",
        "  no more addresses",
        "  ip: 203.0.113.7",
        "2025-11-30 08:00  SSH key hart-1  sweep   done    app   34 s    $6.00  reactor sweep (salt://reactor/s.sls)",
        "",
        "3 outcomes: 1 created, 1 add_ip failed, 1 swept.",
    ]


def test_the_history_of_an_image_does_not_repeat_its_name() -> None:
    image = {**OUTCOME, "action": "remove_image", "kind": "image", "minion_id": "hart-app"}
    image["details"] = {"image": "hart-app"}
    bake = {**OUTCOME, "action": "bake", "kind": "bake", "minion_id": "hart-bake-app-1", "details": {"image": "112"}}
    lines = draw(doc("history", history=[bake, image]), Paper(120)).splitlines()
    assert lines[1].split()[2:5] == ["hart-bake-app-1", "bake", "done"]
    assert " ".join(lines[1:]).count("112") == 1
    assert " ".join(lines[1:]).count("image hart-app ") == " ".join(lines[1:]).count("hart-app") == 1
    assert lines[-1] == "2 outcomes: 1 baked, 1 deleted."


def test_a_narrow_history_shows_a_part_of_who_called() -> None:
    line = draw(doc("history", history=HISTORY[-1:]), Paper(80)).splitlines()[1]
    assert line == "2025-11-30 08:00  SSH key hart-1  sweep   done    34 s  reactor s..or/s.sls)"
    narrow = draw(doc("history", history=HISTORY[:1]), Paper(40)).splitlines()
    assert re.fullmatch(r"AGE +NAME   ACTION  RESULT\n\d+ d  app-1  create  done", "\n".join(narrow[:2]))


def test_a_plan_has_the_price_of_each_node_and_the_total() -> None:
    assert draw(PLAN, Paper(80)).splitlines() == [
        "   NODE   ROLE  PROVIDER  PLACE  SIZE         PER MONTH",
        "+  app-1  app   do        nyc3   s-1vcpu-1gb      $6.00",
        "+  app-2  app   do        nyc3   s-1vcpu-1gb      $6.00",
        "",
        "2 to create. Nothing was changed.",
        "Price per month of the new nodes, before tax: $12.00.",
    ]
    total = {"before": {"USD": 6.0}, "after": {"USD": 18.0}}
    assert draw({**PLAN, "price": total}, Paper(80)).endswith("before tax: $6.00 now, $18.00 afterwards.")
    some = draw({**PLAN, "price": {**total, "unknown": {"before": 1, "after": 3}}}, Paper(120))
    assert some.endswith("$18.00 afterwards. Not included: 3 nodes without a known price.")


def test_a_timeline_has_the_seconds_of_each_stage_and_their_median() -> None:
    assert draw(TIMELINE, Paper(80)).splitlines() == [
        "NODE               RESULT  BOOT     CONNECT  INSTALL  TOTAL",
        "app-2.example.com  failed  22 s  4 min 38 s           5 min",
        "app-1.example.com  ready   21 s                 14 s   35 s",
        "median                     22 s                 14 s   36 s",
        "",
        "2 nodes in 5 min, from the first start to the last end.",
        "Picture: /x.html",
    ]
    many = {f"app-{number}": BOOTED for number in range(50)}
    shown = draw({**TIMELINE, "nodes": many}, Paper(80))
    assert "app-39 " in shown
    assert "app-40 " not in shown
    assert "The 40 slowest are shown" in shown


def test_a_fleet_is_shown_in_numbers() -> None:
    assert draw(FLEET, Paper(80)).splitlines() == [
        "nodes         3",
        "status        2 ready, 1 no key",
        "role          3 app",
        "region        3 do nyc3",
        "per month     $12.00, without 1 node of unknown price",
        "last 30 days  3 created, 1 destroyed",
        "medians       boot 21 s",
        "page          /srv/fleet.html",
    ]


def test_a_scale_says_how_many_nodes_the_role_has() -> None:
    assert draw(SCALED, Paper(80)).splitlines()[-2:] == [
        "2 nodes: 1 destroyed, 1 kept.", "Role app had 3 nodes and has 2.",
    ]  # fmt: skip


def test_problems_stand_last_and_never_take_the_table_away() -> None:
    shown = draw(LISTED, Paper(80)).splitlines()
    assert (shown[1].split()[:2], shown[-1]) == (
        ["app-1.example.com", "ready"],
        "problem: ec2: the API does not answer",
    )
    assert [line.split()[0] for line in draw(CHECKED, Paper(120)).splitlines()[1:4]] == ["do", "quota", "do"]


def test_the_list_has_a_row_for_each_node_with_its_zone_or_region_and_an_address() -> None:
    facts = {
        "role": "app",
        "provider": "do",
        "region": "nyc3",
        "size": "s-1",
        "private_ip": "10.0.0.1",
        "created": None,
    }
    nodes: dict[str, dict[str, Any]] = {
        "a.example": {"status": "ready", **facts, "zone": None, "public_ip": "192.0.2.1"},
        "b.example": {"status": "no [red] key", **facts, "zone": "z1", "public_ip": None},
    }
    lines = draw(doc("list_minions", nodes=nodes), Paper(100, colored=False)).splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["MINION", "STATUS", "ROLE", "PROVIDER", "PLACE", "SIZE", "ADDRESS"],
        ["a.example", "ready", "app", "do", "nyc3", "s-1", "192.0.2.1"],
        ["b.example", "no", "[red]", "key", "app", "do", "z1", "s-1", "10.0.0.1"],
    ]


def test_one_node_is_shown_in_sections_with_its_stages_in_order() -> None:
    shown = draw(SHOWN, Paper(80))
    assert shown.index("Instance") < shown.index("Trust") < shown.index("launching      21 s") < shown.index("in all")
    assert "batch  1-a" in shown
    assert "price per month  $6.00" in shown
    assert "notes" not in shown, "nothing empty is shown"


def test_a_refusal_names_the_function_once() -> None:
    said = "hart.show needs an id: salt-run hart.show ID"
    assert draw(doc("show", error=said, problems=[said], retcode=2), Paper(80)) == said.replace(" ", ": ", 1)


def test_no_matching_size_is_one_sentence() -> None:
    assert draw(doc("list_sizes", sizes={}), Paper(80)) == "There is no such size."


def test_a_refusal_is_one_sentence_and_a_list_of_faults_keeps_its_lines() -> None:
    assert draw(REFUSED, Paper(80)).splitlines()[:3] == [
        "hart.create: 2 faults:", "  hart:a: unknown", "  hart:b: must be text",
    ]  # fmt: skip


@pytest.mark.parametrize("width", [160, 80, 40, 30])
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document["function"])
def test_every_screen_fits_and_shows_every_sentence(document: dict[str, Any], width: int) -> None:
    shown = draw(document, Paper(width))
    words = " ".join(shown.split())
    for line in shown.splitlines():
        assert cell_len(line) <= width or len(line.split()) <= 2, line
    for sentence in [*document["notes"], *document["problems"]]:
        assert sentence in words
    assert shown.isascii()


def test_every_screen_belongs_to_a_function_and_is_tested() -> None:
    assert set(SCREENS) <= set(reference.functions())
    assert set(SCREENS) - {document["function"] for document in DOCUMENTS} <= {"node", "replace"}
