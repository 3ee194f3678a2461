"""Layouts of several masters that cannot work are refused by name; those that work are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import MasterDown, MasterRefuses
from hart_salt.master.peers import PeerFacts
from hart_salt.model import MasterInfo, MinionTerms
from hart_salt.planning import layouts
from tests.parts import master_info
from tests.unit.planning.test_resolve import DO, LOCAL, MASTER, faults, loaded, node

INFO = master_info(Path("/nowhere"))
SIGNED = replace(INFO, terms=MinionTerms(signs_key=True, signing_key="S"))
FACTS = PeerFacts(
    hart="1.0.0", salt="3008.4", master_id="two_master", public_key=INFO.public_key, cluster="", ports=(4505, 4506),
    signs_key=False, signing_key="", settings={}, refusals={}, problem="",
)  # fmt: skip


def said(info: MasterInfo = INFO, *, may_be_down: bool = False, **facts: Any) -> list[str]:
    return layouts.faults(info, {"m2": replace(FACTS, **facts)}, may_be_down=may_be_down)


def test_one_key_pair_on_all_masters_works() -> None:
    assert said() == []
    assert said(public_key=INFO.public_key + "\n") == []


def test_different_keys_with_one_signing_key_work() -> None:
    assert said(SIGNED, public_key="other", signs_key=True, signing_key="S") == []


@pytest.mark.parametrize(
    ("info", "facts", "fault"),
    [
        (INFO, {"public_key": "other"}, "m2 has another key than this master, and a minion would accept only one"),
        (SIGNED, {"public_key": "other"}, "m2 has another key than this master, and a minion would accept only one"),
        (INFO, {"public_key": "other", "signs_key": True, "signing_key": "S"}, "m2 has another key than this master"),
        (SIGNED, {"public_key": "other", "signs_key": True, "signing_key": "T"}, "signs it with another key"),
        (INFO, {"public_key": ""}, "the master m2 has no key yet"),
        (INFO, {"ports": (4505, 4507)}, "publish_port and ret_port of m2 are 4505 and 4507, and here 4505 and 4506"),
        (INFO, {"settings": {"transport": "tcp"}}, "what minions need as transport differs between m2"),
        (
            INFO,
            {"refusals": {"keys.cache_driver": "is mmap_key"}},
            "keys.cache_driver of the master config of m2 is mm",
        ),
        (replace(INFO, cluster_id="ours"), {"cluster": "ours"}, "m2 is in this master's cluster ours"),
        (INFO, {"master_id": INFO.master_id}, "m2 is this master itself: remove it"),
        (INFO, {"problem": "no salt-master is running"}, "no salt-master is running; set masters_down: allow"),
    ],
)
def test_a_layout_that_cannot_work_is_one_sentence(info: MasterInfo, facts: dict[str, Any], fault: str) -> None:
    (found,) = said(info, **facts)
    assert found.startswith("hart:masters:m2: ")
    assert fault in found


def test_a_master_that_cannot_be_reached_is_refused_unless_it_may_be_down() -> None:
    down = {"m2": MasterDown("its minion does not answer")}
    (fault,) = layouts.faults(INFO, down)
    assert fault.startswith(
        "hart:masters:m2: the master m2 cannot be reached: its minion does not answer; set masters_down:"
    )
    assert layouts.faults(INFO, down, may_be_down=True) == []
    assert said(problem="it does not run", may_be_down=True) == []


@pytest.mark.parametrize("may_be_down", [False, True])
def test_a_master_that_answers_and_cannot_be_used_is_always_refused(may_be_down: bool) -> None:
    facts = {"m2": MasterRefuses("its hart-salt is 0.9")}
    (fault,) = layouts.faults(INFO, facts, may_be_down=may_be_down)
    assert fault == "hart:masters:m2: the master m2 cannot be used: its hart-salt is 0.9"


# what nodes get

TWO = {"m2": {"minion": "two", "address": "10.0.0.2"}, "m3": {"minion": "three", "address": "10.0.0.3"}}


def masters_of(provider: str = "do", **settings: Any) -> Any:
    providers = DO if provider == "do" else {"local": {}}
    return node(loaded(providers=providers, roles={"app": {}}, **{"masters": TWO, **settings})).minion_config["master"]


def test_nodes_get_all_masters_this_one_first() -> None:
    assert masters_of(saltmaster="10.0.0.1") == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert masters_of("local") == ["127.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert LOCAL.driver == "local"


def test_a_list_of_the_user_stays_and_so_does_a_name_for_all() -> None:
    assert masters_of(saltmaster=["b", "a"]) == ["b", "a"]
    assert masters_of(saltmaster="x", minion_config={"master": ["b", "a"]}) == ["b", "a"]
    assert masters_of(saltmaster="salt", masters={"m2": {"minion": "two"}}) == "salt"


def test_an_address_for_some_masters_only_is_a_fault() -> None:
    masters = {**TWO, "m2": {"minion": "two"}}
    found = faults(loaded(providers=DO, roles={"app": {}}, saltmaster="a", masters=masters))
    assert "is not set, but another master's is" in found["hart:masters:m2:address"]


def test_this_master_s_own_entry_is_no_other_master() -> None:
    masters = {**TWO, MASTER.master_id.removesuffix("_master"): {"minion": "me", "address": "10.0.0.1"}}
    assert masters_of(saltmaster="10.0.0.1", masters=masters) == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


@pytest.mark.parametrize("name", ["random_master", "master_shuffle"])
def test_a_node_that_fails_over_must_not_begin_at_another_master(name: str) -> None:
    def found(**user: Any) -> Any:
        return faults(
            loaded(providers=DO, roles={"app": {"minion_config": {name: True, **user}}}, saltmaster=["a", "b"])
        )

    assert "must not be true with failover" in found(master_type="failover")[f"hart:roles:app:minion_config:{name}"]
