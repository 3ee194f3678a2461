"""hart in real orchestrations: its results decide the next states, and test mode changes nothing."""

from __future__ import annotations

import re

from tests.end_to_end.conftest import SaltMaster
from tests.end_to_end.runs import states_of, write_sls
from tests.former import former_of

RAISE = """
    nodes:
      salt.runner:
        - name: hart.create_role
        - role: app
        - count: 2
"""


def test_an_orchestration_creates_nodes_applies_states_to_them_by_role_and_destroys_them(master: SaltMaster) -> None:
    write_sls(
        master,
        "hello",
        f"""
        greeting:
          file.append:
            - name: {master.root}/greetings
            - text: {{{{ grains.id }}}} is {{{{ grains.roles | join }}}}
        """,
    )
    # The next step finds the first step's nodes by its result; the last one takes its ids from hart's own list.
    write_sls(
        master,
        "orch.whole",
        RAISE
        + """
    states:
      salt.state:
        - tgt: roles:app
        - tgt_type: grain
        - sls: hello
        - require:
          - salt: nodes
    removal:
      salt.runner:
        - name: state.orchestrate
        - mods: orch.remove
        - require:
          - salt: states
    """,
    )
    write_sls(
        master,
        "orch.remove",
        """
        gone:
          salt.runner:
            - name: hart.destroy
            - minion_id: {{ salt["saltutil.runner"]("hart.list_minions", role="app").nodes | list }}
        """,
    )
    ran = master.run("state.orchestrate", "orch.whole")
    assert ran.code == 0, ran
    states = states_of(ran)
    assert {name: state["result"] for name, state in states.items()} == dict.fromkeys(states, True)

    made = former_of(states["nodes"]["changes"]["return"])
    assert len(made) == 2
    assert {entry["role"] for entry in made.values()} == {"app"}
    made_by = {one["minion_id"]: one["by"] for one in master.run("hart.history", "role=app").data["history"]
               if one["action"] == "create" and one["result"]}  # fmt: skip
    assert made_by.keys() >= made.keys()
    assert all(re.search(r"^\w+, orchestration orch\.whole \(job \d{20}\)$", made_by[minion_id]) for minion_id in made)
    greetings = (master.root / "greetings").read_text().split("\n")
    assert sorted(filter(None, greetings)) == sorted(f"{minion_id} is app" for minion_id in made)
    assert not any(master.left_over().values())


def test_an_orchestration_with_test_as_an_argument_plans(master: SaltMaster) -> None:
    write_sls(master, "orch.plan", RAISE + "        - test: True\n")
    ran = master.run("state.orchestrate", "orch.plan")
    assert ran.code == 0, ran
    plan = former_of(states_of(ran)["nodes"]["changes"]["return"])
    assert [(entry["action"], entry["result"], entry["region"]) for entry in plan.values()] == [
        ("create", None, "local")
    ] * 2
    assert not any(master.left_over().values())
    assert not list(master.log_dir.glob("*"))


def test_an_orchestration_in_test_mode_calls_nothing(master: SaltMaster) -> None:
    write_sls(master, "orch.raise", RAISE)
    with master.events() as events:
        ran = master.run("state.orch", "orch.raise", "test=True")
    assert states_of(ran)["nodes"]["result"] is None
    assert not any(event.tag.startswith("hart/") or "hart.create" in str(event.data.get("fun")) for event in events)
    assert not any(master.left_over().values())
