"""``hart.history``: which outcomes it shows, and what it says if something cannot be shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.caller import Caller
from hart_salt.base.errors import Refused
from hart_salt.base.gate import Gate
from hart_salt.config.cluster import Cluster
from hart_salt.inventory.context import Context
from hart_salt.inventory.journal import Entry, journal_of
from hart_salt.operations.history import Wanted, history
from tests.functional.operations.world import World


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """Return a context whose journal has the outcomes of three nodes."""
    world = World(tmp_path)
    world.start("recorded")
    journal = journal_of(world.info, Gate(), Caller("alice"))
    for number, role in enumerate(["app", "db", "app"]):
        journal.write(Entry("create", f"node{number}", True, time=100.0 + number, role=role))
    return replace(world.context, journal=journal)


def ids(context: Context, **wanted: Any) -> list[str]:
    """Return the ids of the outcomes that are shown."""
    entries, _ = history(Wanted(**wanted), context, ["web"])
    return [entry["minion_id"] for entry in entries]


def test_shows_the_outcomes_that_match(context: Context) -> None:
    """The oldest first."""
    assert ids(context) == ["node0", "node1", "node2"]
    assert ids(context, role="app") == ["node0", "node2"]
    assert ids(context, minion_id="node1") == ["node1"]
    assert ids(context, since=101.0) == ["node1", "node2"]
    assert ids(context, limit=1) == ["node2"]


def test_what_is_left_out_is_a_note(context: Context) -> None:
    """A limit must not look like the whole history."""
    assert history(Wanted(limit=1), context, [])[1] == ["2 older entries are not shown: limit=3 shows all"]
    assert history(Wanted(limit=3), context, [])[1] == []


def test_a_known_id_or_role_without_outcomes_has_an_empty_history(context: Context) -> None:
    """A node can be older than the journal."""
    assert ids(context, minion_id="recorded") == ids(context, role="web") == []


def test_an_unknown_id_or_role_is_refused_with_a_suggestion(context: Context) -> None:
    """An empty history must mean that nothing happened."""
    with pytest.raises(Refused, match="^neither the journal nor a record has nod1, did you mean node1[?]$"):
        ids(context, minion_id="nod1")
    with pytest.raises(Refused, match="^there is no role ap, did you mean app[?]; known: app, db, web$"):
        ids(context, role="ap")


def test_with_other_masters_it_says_whose_journal_it_is(context: Context) -> None:
    """Each master has its own journal."""
    note = (
        f"these are the outcomes of calls on {context.info.master_id}: call hart.history on each master, because each "
        "has its own journal"
    )
    shared = replace(context, cluster=Cluster(coordination="redis://db"))
    clustered = replace(context, info=replace(context.info, cluster_id="c1"))
    assert history(Wanted(), shared, [])[1] == history(Wanted(), clustered, [])[1] == [note]
