"""Every recorded answer of the real APIs is read by the verb that it belongs to, with the meaning beside it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from tests.drivers.recorded.answers import CLOUDS, FOLDER, Recorded, everything, recorded
from tests.drivers.recorded.readings import OWN, owned, read

#: the requests that list instances of all owners
LISTS = ("GET droplets", "GET instances", "GET servers", "GET aggregated/instances", "DescribeInstances")


def canonical(value: Any) -> Any:
    """Return plain data as JSON has it, and lists of objects in one order: a vendor's maps have none."""
    if isinstance(value, dict):
        return {key: canonical(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        items = [canonical(inner) for inner in value]
        return sorted(items, key=json.dumps) if any(isinstance(one, dict) for one in items) else items
    return value


@pytest.mark.parametrize("answer", everything(), ids=str)
def test_a_recorded_answer_has_its_meaning(answer: Recorded) -> None:
    """Instances, disks and rules are made this master's: only those are listed."""
    change = owned(answer) if answer.status < 300 else OWN
    assert canonical(read(answer, change)) == answer.means


@pytest.mark.parametrize("cloud", CLOUDS)
def test_instances_without_the_owners_mark_are_nobodys(cloud: str) -> None:
    """The APIs' filters are not trusted: an instance of another owner is never listed."""
    for answer in recorded(cloud).values():
        if answer.request in LISTS and answer.status < 300:
            found = read(answer)
            assert (found["instances"] if isinstance(found, dict) else found) == []


def test_there_are_enough_answers_of_many_kinds() -> None:
    kinds = Counter(answer.cloud for answer in everything())
    requests = {cloud: {one.request for one in recorded(cloud).values()} for cloud in CLOUDS}
    assert min(kinds.values()) >= 15
    assert min(map(len, requests.values())) >= 10
    assert sorted(kinds) == sorted(path.name for path in FOLDER.iterdir() if path.is_dir() and path.name[0] != "_")


def test_each_answer_names_its_source() -> None:
    for answer in everything():
        assert {"repository", "path", "year"} <= set(answer.source), answer
        assert 2005 < answer.source["year"] < 2030, answer
