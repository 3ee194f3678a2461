"""How often the master makes a new AES key, which all its minions must then fetch: once for many deleted keys."""

from __future__ import annotations

import pytest
from saltfactories.manager import FactoriesManager

from tests.drivers.do.in_tables import CLOUD
from tests.end_to_end import light_cloud, tools
from tests.end_to_end.light_cloud import LightCloud, nodes_of

_missing = light_cloud.missing()
pytestmark = pytest.mark.skipif(bool(_missing), reason=_missing)

MANY = 50


def created(light: LightCloud, count: int) -> str:
    ran = light.create(f"count={count}")
    assert (ran.code, len(nodes_of(ran))) == (0, count), ran
    return ",".join(nodes_of(ran))


def rotations_of_destroying(light: LightCloud, ids: str) -> int:
    """Return the events of the master's new keys; it checks once in each of its rounds."""
    requested = light.master.cachedir / ".dfn"
    with light.master.events() as events:
        assert light.master.run("hart.destroy", ids).code == 0
        tools.until(lambda: not requested.exists(), "the master has heard of it")
        # Any other rotation would come in the next rounds.
        created(light, 1)
    return len([event for event in events if event.tag == "key" and event.data.get("rotate_aes_key")])


def test_destroying_fifty_makes_the_master_rotate_its_key_once(factories: FactoriesManager) -> None:
    with light_cloud.light_cloud(factories, CLOUD, loop_interval=1) as light:
        assert rotations_of_destroying(light, created(light, MANY)) == 1
        assert rotations_of_destroying(light, created(light, 1)) == 1
