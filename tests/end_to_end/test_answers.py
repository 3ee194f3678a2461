"""hart asks minions that start for an answer, and a silent one does not delay the others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from saltfactories.manager import FactoriesManager

from tests.drivers.do.in_tables import CLOUD
from tests.end_to_end import light_cloud
from tests.end_to_end.conftest import Event
from tests.end_to_end.light_cloud import LightCloud, nodes_of

_missing = light_cloud.missing()
pytestmark = pytest.mark.skipif(bool(_missing), reason=_missing)

DEAF = "deaf.do0.example"
HEARING = [f"web-{number}.do0.example" for number in range(5)]


@pytest.fixture
def light(factories: FactoriesManager) -> Iterator[LightCloud]:
    with light_cloud.light_cloud(factories, CLOUD) as opened:
        yield opened


def questions(events: list[Event]) -> list[list[str]]:
    """Return the minions of each question for an answer, in order."""
    jobs = [event.data for event in events if event.tag.startswith("salt/job/") and event.tag.endswith("/new")]
    return [job["minions"] for job in jobs if job["fun"] == "config.get"]


def test_a_silent_minion_is_undone_and_does_not_delay_the_others(light: LightCloud) -> None:
    light.configure(ready_timeout=12)
    light.minions.deaf.add(DEAF)
    with light.master.events() as events:
        ran = light.master.run("hart.create", ",".join([DEAF, *HEARING]), "role=app", f"provider={light.provider}")
    nodes = nodes_of(ran)
    assert ran.code == 1
    assert nodes[DEAF]["error"] == "the minion sent its start event but did not answer this master within 12 s"
    assert {minion_id for minion_id, node in nodes.items() if node["result"]} == set(HEARING)
    assert light.minion_ids() == set(HEARING), "the key of the silent one is gone"
    ends = ("/ready", "/failed")
    reported = [event.tag for event in events if event.tag.startswith("hart/") and event.tag.endswith(ends)]
    assert reported[-1] == f"hart/{DEAF}/failed"
    assert sorted(reported[:-1]) == sorted(f"hart/{minion_id}/ready" for minion_id in HEARING)
    assert sum(DEAF in job for job in questions(events)) >= 2, "it is asked again"
